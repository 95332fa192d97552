//! The tree of an expression.

use series::Matcher;

use super::functions::Function;

/// What kind of value an expression has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// One float.
    Scalar,
    /// One text.
    String,
    /// A sample for each of some series.
    Vector,
    /// A span of samples for each of some series.
    Matrix,
}

impl Type {
    /// The documented name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::String => "string",
            Self::Vector => "instant vector",
            Self::Matrix => "range vector",
        }
    }
}

/// One node: what it is and where it starts in the text.
#[derive(Debug)]
pub struct Expr {
    /// What it is.
    pub kind: Kind,
    /// Byte offset of its first character.
    pub at: usize,
    /// Levels below and including this node.
    pub(crate) depth: usize,
}

/// What a node is.
#[derive(Debug)]
pub enum Kind {
    /// A number, or a duration in seconds.
    Number(f64),
    /// A text.
    Text(Text),
    /// An instant vector selector.
    Selector(Selector),
    /// A range vector selector.
    Range {
        /// Which series, and when.
        selector: Selector,
        /// Length of the window.
        range: Duration,
    },
    /// An expression evaluated over a window of its own.
    Subquery(Box<Subquery>),
    /// A function call.
    Call {
        /// Which function.
        function: &'static Function,
        /// Its arguments, checked against the function's types.
        args: Vec<Expr>,
    },
    /// An aggregation.
    Aggregate(Box<Aggregate>),
    /// A binary operation.
    Binary(Box<Binary>),
    /// A sign before an expression.
    Negate(Box<Expr>),
    /// A plus sign before an expression, which changes nothing.
    Plus(Box<Expr>),
    /// Parentheses, kept so that positions stay true.
    Paren(Box<Expr>),
}

/// A string literal. Prometheus' strings are bytes; ours are text, so a literal that is not UTF-8
/// keeps its quoted form for the error that names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// The text; bytes that are not UTF-8 are replaced.
    pub value: String,
    /// The literal in quotes, if it was not UTF-8.
    pub not_utf8: Option<String>,
}

/// Which series, and shifted to when.
#[derive(Clone, Debug, Default)]
pub struct Selector {
    /// All conditions, the metric name's included.
    pub matchers: Vec<Matcher>,
    /// The metric name, if it was not written as a condition.
    pub name: Option<String>,
    /// Where it looks relative to the time of evaluation.
    pub shift: Shift,
}

/// The `offset` and `@` modifiers.
#[derive(Clone, Debug, Default)]
pub struct Shift {
    /// How far back; negative looks ahead.
    pub offset: Option<Duration>,
    /// A fixed time instead of the time of evaluation.
    pub at: Option<At>,
}

/// The `@` modifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// Milliseconds since the Unix epoch.
    Millis(i64),
    /// `@ start()` of the query.
    Start,
    /// `@ end()` of the query.
    End,
}

/// A length of time, which may be an expression over the query's step and range.
#[derive(Clone, Debug, PartialEq)]
pub enum Duration {
    /// Seconds.
    Seconds(f64),
    /// The query's step.
    Step,
    /// The query's end minus its start.
    Range,
    /// A negated duration.
    Negate(Box<Duration>),
    /// `+ - * / % ^`, `min_of` and `max_of`.
    Op(DurationOp, Box<(Duration, Duration)>),
}

/// An operation on durations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DurationOp {
    /// `+`
    Add,
    /// `-`
    Sub,
    /// `*`
    Mul,
    /// `/`
    Div,
    /// `%`
    Mod,
    /// `^`
    Pow,
    /// `min_of`
    Min,
    /// `max_of`
    Max,
}

/// `expr[range:step]`.
#[derive(Debug)]
pub struct Subquery {
    /// What is evaluated.
    pub expr: Expr,
    /// Over how long.
    pub range: Duration,
    /// How often; the engine's default when absent.
    pub step: Option<Duration>,
    /// Where it looks.
    pub shift: Shift,
}

/// `op by (…) (param, expr)`.
#[derive(Debug)]
pub struct Aggregate {
    /// How samples are combined.
    pub op: AggregateOp,
    /// What is aggregated.
    pub expr: Expr,
    /// The first argument of the operations that take one.
    pub param: Option<Expr>,
    /// The labels as they were listed.
    pub listed: Vec<String>,
    /// The same, sorted and each once.
    pub grouping: Vec<String>,
    /// Whether the listed labels are dropped rather than kept.
    pub without: bool,
}

/// An aggregation operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AggregateOp {
    /// `sum`
    Sum,
    /// `avg`
    Avg,
    /// `min`
    Min,
    /// `max`
    Max,
    /// `count`
    Count,
    /// `group`
    Group,
    /// `stddev`
    Stddev,
    /// `stdvar`
    Stdvar,
    /// `topk`
    Topk,
    /// `bottomk`
    Bottomk,
    /// `quantile`
    Quantile,
    /// `count_values`
    CountValues,
    /// `limitk`
    Limitk,
    /// `limit_ratio`
    LimitRatio,
}

impl AggregateOp {
    /// The operation of a keyword in lower case.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Some(match word {
            "sum" => Self::Sum,
            "avg" => Self::Avg,
            "min" => Self::Min,
            "max" => Self::Max,
            "count" => Self::Count,
            "group" => Self::Group,
            "stddev" => Self::Stddev,
            "stdvar" => Self::Stdvar,
            "topk" => Self::Topk,
            "bottomk" => Self::Bottomk,
            "quantile" => Self::Quantile,
            "count_values" => Self::CountValues,
            "limitk" => Self::Limitk,
            "limit_ratio" => Self::LimitRatio,
            _ => return None,
        })
    }

    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Avg => "avg",
            Self::Min => "min",
            Self::Max => "max",
            Self::Count => "count",
            Self::Group => "group",
            Self::Stddev => "stddev",
            Self::Stdvar => "stdvar",
            Self::Topk => "topk",
            Self::Bottomk => "bottomk",
            Self::Quantile => "quantile",
            Self::CountValues => "count_values",
            Self::Limitk => "limitk",
            Self::LimitRatio => "limit_ratio",
        }
    }

    /// The type of its parameter, if it takes one.
    #[must_use]
    pub const fn param(self) -> Option<Type> {
        match self {
            Self::Topk | Self::Bottomk | Self::Quantile | Self::Limitk | Self::LimitRatio => {
                Some(Type::Scalar)
            }
            Self::CountValues => Some(Type::String),
            Self::Sum
            | Self::Avg
            | Self::Min
            | Self::Max
            | Self::Count
            | Self::Group
            | Self::Stddev
            | Self::Stdvar => None,
        }
    }
}

/// `lhs op rhs`.
#[derive(Debug)]
pub struct Binary {
    /// The operation.
    pub op: BinaryOp,
    /// Left.
    pub lhs: Expr,
    /// Right.
    pub rhs: Expr,
    /// Whether a comparison answers 0 or 1 instead of filtering.
    pub return_bool: bool,
    /// How series of both sides find each other.
    pub matching: Matching,
}

/// A binary operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BinaryOp {
    /// `+`
    Add,
    /// `-`
    Sub,
    /// `*`
    Mul,
    /// `/`
    Div,
    /// `%`
    Mod,
    /// `^`
    Pow,
    /// `atan2`
    Atan2,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `>`
    Greater,
    /// `<`
    Less,
    /// `>=`
    GreaterEqual,
    /// `<=`
    LessEqual,
    /// `and`
    And,
    /// `or`
    Or,
    /// `unless`
    Unless,
}

impl BinaryOp {
    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::Div => "/",
            Self::Mod => "%",
            Self::Pow => "^",
            Self::Atan2 => "atan2",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Greater => ">",
            Self::Less => "<",
            Self::GreaterEqual => ">=",
            Self::LessEqual => "<=",
            Self::And => "and",
            Self::Or => "or",
            Self::Unless => "unless",
        }
    }

    /// Whether it compares.
    #[must_use]
    pub const fn is_comparison(self) -> bool {
        matches!(
            self,
            Self::Equal
                | Self::NotEqual
                | Self::Greater
                | Self::Less
                | Self::GreaterEqual
                | Self::LessEqual
        )
    }

    /// Whether it works on sets of series.
    #[must_use]
    pub const fn is_set(self) -> bool {
        matches!(self, Self::And | Self::Or | Self::Unless)
    }
}

/// How many series of one side belong to one of the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cardinality {
    /// One to one.
    #[default]
    OneToOne,
    /// `group_left`: many on the left.
    ManyToOne,
    /// `group_right`: many on the right.
    OneToMany,
}

/// The vector matching of a binary operation.
#[derive(Clone, Debug, Default)]
pub struct Matching {
    /// How many belong to how many.
    pub cardinality: Cardinality,
    /// Whether `on` or `ignoring` was written.
    pub explicit: bool,
    /// Whether the labels are those to match on, rather than those to ignore.
    pub on: bool,
    /// The labels listed.
    pub labels: Vec<String>,
    /// Labels taken over from the side of one.
    pub include: Vec<String>,
    /// What stands for a missing left side.
    pub fill_left: Option<f64>,
    /// What stands for a missing right side.
    pub fill_right: Option<f64>,
}

impl Expr {
    /// The type of its value.
    #[must_use]
    pub fn value_type(&self) -> Type {
        match &self.kind {
            Kind::Number(_) => Type::Scalar,
            Kind::Text(_) => Type::String,
            Kind::Selector(_) | Kind::Aggregate(_) => Type::Vector,
            Kind::Range { .. } | Kind::Subquery(_) => Type::Matrix,
            Kind::Call { function, .. } => function.returns,
            Kind::Binary(binary) => {
                if binary.lhs.value_type() == Type::Scalar
                    && binary.rhs.value_type() == Type::Scalar
                {
                    Type::Scalar
                } else {
                    Type::Vector
                }
            }
            Kind::Negate(inner) | Kind::Plus(inner) | Kind::Paren(inner) => inner.value_type(),
        }
    }

    /// The expression inside all parentheses and behind all plus signs.
    #[must_use]
    pub fn unwrapped(&self) -> &Self {
        let mut expr = self;
        while let Kind::Paren(inner) | Kind::Plus(inner) = &expr.kind {
            expr = inner;
        }
        expr
    }
}
