//! From a tree back to text: on one line, or broken and indented as Prometheus' `format_query` does
//! (promql/parser/prettier.go).

use std::fmt;

use series::labels::{METRIC_NAME, is_label_name, is_metric_name};
use series::{MatchOp, Matcher};

use super::ast::{
    Aggregate, At, Binary, Cardinality, Duration, DurationOp, Expr, Kind, Selector, Shift, Subquery,
};

/// Longest line that is not broken, in bytes.
const LINE_MAX: usize = 100;
const INDENT: &str = "  ";

impl fmt::Display for Expr {
    /// On one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(number) = self.literal() {
            return f.write_str(&go_decimal(number));
        }
        match &self.kind {
            Kind::Number(number) => f.write_str(&go_decimal(*number)),
            Kind::Text(text) => match &text.not_utf8 {
                Some(literal) => f.write_str(literal),
                None => f.write_str(&quoted(&text.value)),
            },
            Kind::Selector(selector) => {
                write!(f, "{}{}", Series(selector), selector.shift)
            }
            Kind::Range { selector, range } => {
                write!(f, "{}[{range}]{}", Series(selector), selector.shift)
            }
            Kind::Subquery(subquery) => write!(f, "{}{}", subquery.expr, Suffix(subquery)),
            Kind::Call { function, args } => {
                write!(f, "{}(", function.name)?;
                for (index, arg) in args.iter().enumerate() {
                    write!(f, "{}{arg}", if index == 0 { "" } else { ", " })?;
                }
                f.write_str(")")
            }
            Kind::Aggregate(aggregate) => {
                write!(f, "{}(", Head(aggregate))?;
                if let Some(param) = &aggregate.param {
                    write!(f, "{param}, ")?;
                }
                write!(f, "{})", aggregate.expr)
            }
            Kind::Binary(binary) => {
                write!(f, "{} {} {}", binary.lhs, Operator(binary), binary.rhs)
            }
            Kind::Negate(inner) => write!(f, "-{inner}"),
            Kind::Plus(inner) => write!(f, "+{inner}"),
            Kind::Paren(inner) => write!(f, "({inner})"),
        }
    }
}

impl Expr {
    /// A number with the signs before it.
    pub(super) fn literal(&self) -> Option<f64> {
        match &self.kind {
            Kind::Number(number) => Some(*number),
            Kind::Plus(inner) => inner.literal(),
            Kind::Negate(inner) => inner.literal().map(|number| -number),
            _ => None,
        }
    }

    /// Over as many lines as it takes to have none that is long and could be broken.
    #[must_use]
    pub fn pretty(&self) -> String {
        self.pretty_at(0)
    }

    fn pretty_at(&self, level: usize) -> String {
        let indent = INDENT.repeat(level);
        let line = self.to_string();
        if line.len() <= LINE_MAX {
            return indent + &line;
        }
        match &self.kind {
            Kind::Number(_) | Kind::Text(_) | Kind::Selector(_) | Kind::Range { .. } => {
                indent + &line
            }
            Kind::Subquery(subquery) => {
                format!("{}{}", subquery.expr.pretty_at(level), Suffix(subquery))
            }
            Kind::Call { function, args } => {
                let args: Vec<String> = args.iter().map(|arg| arg.pretty_at(level + 1)).collect();
                let args = args.join(",\n");
                format!("{indent}{}(\n{args}\n{indent})", function.name)
            }
            Kind::Aggregate(aggregate) => {
                let param = aggregate.param.iter();
                let param: String = param
                    .map(|param| format!("{},\n", param.pretty_at(level + 1)))
                    .collect();
                let of = aggregate.expr.pretty_at(level + 1);
                format!("{indent}{}(\n{param}{of}\n{indent})", Head(aggregate))
            }
            Kind::Binary(binary) => {
                let [lhs, rhs] = [&binary.lhs, &binary.rhs].map(|side| side.pretty_at(level + 1));
                format!("{lhs}\n{indent}{}\n{rhs}", Operator(binary))
            }
            Kind::Negate(inner) | Kind::Plus(inner) => {
                let sign = if matches!(self.kind, Kind::Negate(_)) {
                    '-'
                } else {
                    '+'
                };
                format!("{indent}{sign}{}", inner.pretty_at(level).trim_start())
            }
            Kind::Paren(inner) => {
                format!("{indent}(\n{}\n{indent})", inner.pretty_at(level + 1))
            }
        }
    }
}

/// The selector of some matchers.
pub(crate) fn selector(matchers: &[Matcher]) -> String {
    let is_name = |it: &&Matcher| it.name() == METRIC_NAME && it.op() == MatchOp::Equal;
    let name = matchers.iter().find(is_name);
    let selector = Selector {
        matchers: matchers.to_vec(),
        name: name.map(|it| it.value().to_owned()),
        shift: Shift::default(),
    };
    Series(&selector).to_string()
}

/// Which series: the name, then the other matchers in order of their text.
struct Series<'a>(&'a Selector);

impl fmt::Display for Series<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Selector { matchers, name, .. } = self.0;
        let is_the_name = |it: &Matcher| {
            it.name() == METRIC_NAME
                && it.op() == MatchOp::Equal
                && Some(it.value()) == name.as_deref()
        };
        let others = matchers.iter().filter(|it| !is_the_name(it));
        let mut texts: Vec<String> = others
            .map(|it| {
                let (label, value) = (label(it.name()), quoted(it.value()));
                format!("{label}{}{value}", it.op().as_str())
            })
            .collect();
        texts.sort_unstable();
        match name {
            Some(name) if is_metric_name(name) && !is_number(name) => f.write_str(name)?,
            Some(name) => texts.insert(0, quoted(name)),
            None => {}
        }
        if texts.is_empty() {
            return Ok(());
        }
        write!(f, "{{{}}}", texts.join(","))
    }
}

impl fmt::Display for Shift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            None => {}
            Some(At::Start) => f.write_str(" @ start()")?,
            Some(At::End) => f.write_str(" @ end()")?,
            #[expect(clippy::cast_precision_loss, reason = "as Prometheus writes it")]
            Some(At::Millis(millis)) => write!(f, " @ {:.3}", millis as f64 / 1000.0)?,
        }
        match &self.offset {
            None => Ok(()),
            Some(offset @ Duration::Op(op, _)) if op.power() > 0 => write!(f, " offset ({offset})"),
            Some(offset) => write!(f, " offset {offset}"),
        }
    }
}

/// What follows the expression of a subquery.
struct Suffix<'a>(&'a Subquery);

impl fmt::Display for Suffix<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Subquery {
            range, step, shift, ..
        } = self.0;
        match step {
            Some(step) => write!(f, "[{range}:{step}]{shift}"),
            None => write!(f, "[{range}:]{shift}"),
        }
    }
}

/// An aggregation up to its opening parenthesis.
struct Head<'a>(&'a Aggregate);

impl fmt::Display for Head<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Aggregate {
            op,
            without,
            listed,
            ..
        } = self.0;
        f.write_str(op.as_str())?;
        match (without, listed.is_empty()) {
            (true, _) => write!(f, " without ({}) ", labels(listed)),
            (false, false) => write!(f, " by ({}) ", labels(listed)),
            (false, true) => Ok(()),
        }
    }
}

/// A binary operator with all that stands between it and its right side.
struct Operator<'a>(&'a Binary);

impl fmt::Display for Operator<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Binary {
            op,
            return_bool,
            matching,
            ..
        } = self.0;
        f.write_str(op.as_str())?;
        if *return_bool {
            f.write_str(" bool")?;
        }
        let group = match matching.cardinality {
            Cardinality::OneToOne => "",
            Cardinality::ManyToOne => " group_left",
            Cardinality::OneToMany => " group_right",
        };
        if matching.on || !matching.labels.is_empty() || !group.is_empty() {
            let how = if matching.on { "on" } else { "ignoring" };
            write!(f, " {how} ({})", labels(&matching.labels))?;
        }
        if !group.is_empty() {
            write!(f, "{group} ({})", labels(&matching.include))?;
        }
        let fill = |of: Option<f64>| of.map(go_decimal);
        match (fill(matching.fill_left), fill(matching.fill_right)) {
            (None, None) => Ok(()),
            (Some(left), Some(right)) if left == right => write!(f, " fill ({left})"),
            (left, right) => {
                let mut each = |name: &str, of: Option<String>| match of {
                    Some(of) => write!(f, " {name} ({of})"),
                    None => Ok(()),
                };
                each("fill_left", left)?;
                each("fill_right", right)
            }
        }
    }
}

impl DurationOp {
    /// How tightly it binds; 0 when it is written as a call.
    const fn power(self) -> u8 {
        match self {
            Self::Min | Self::Max => 0,
            Self::Add | Self::Sub => 1,
            Self::Mul | Self::Div | Self::Mod => 2,
            Self::Pow => 3,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::Div => "/",
            Self::Mod => "%",
            Self::Pow => "^",
            Self::Min => "min_of",
            Self::Max => "max_of",
        }
    }
}

impl fmt::Display for Duration {
    /// Parentheses stand around every operation inside another.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = |it: &Self| match it {
            Self::Op(op, _) if op.power() > 0 => format!("({it})"),
            Self::Negate(_) => format!("({it})"),
            Self::Seconds(_) | Self::Step | Self::Range | Self::Op(..) => it.to_string(),
        };
        match self {
            Self::Seconds(seconds) => f.write_str(&units(*seconds)),
            Self::Step => f.write_str("step()"),
            Self::Range => f.write_str("range()"),
            Self::Negate(of) => write!(f, "-{}", inner(of)),
            Self::Op(op, sides) if op.power() == 0 => {
                write!(f, "{}({}, {})", op.as_str(), sides.0, sides.1)
            }
            Self::Op(op, sides) => {
                write!(f, "{} {} {}", inner(&sides.0), op.as_str(), inner(&sides.1))
            }
        }
    }
}

/// A duration as Prometheus writes it: `1h30m`; whole days are not said in weeks or years unless nothing
/// is left over.
fn units(seconds: f64) -> String {
    let millis = (seconds * 1000.0).round();
    let is_whole = (millis / 1000.0 - seconds).abs() <= 0.0;
    if !(1.0..9e15).contains(&millis) || !is_whole {
        return go_decimal(seconds);
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 1 and 9e15"
    )]
    let mut left = millis as u64;
    let mut text = String::new();
    for (unit, of, only_whole) in [
        ("y", 365 * 86_400_000, true),
        ("w", 7 * 86_400_000, true),
        ("d", 86_400_000, false),
        ("h", 3_600_000, false),
        ("m", 60_000, false),
        ("s", 1000, false),
        ("ms", 1, false),
    ] {
        let count = left / of;
        if count > 0 && (!only_whole || left.is_multiple_of(of)) {
            text += &format!("{count}{unit}");
            left -= count * of;
        }
    }
    text
}

fn labels(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| label(name)).collect();
    names.join(", ")
}

/// Whether a word is read as a number.
fn is_number(word: &str) -> bool {
    word.eq_ignore_ascii_case("inf") || word.eq_ignore_ascii_case("nan")
}

/// A label's name, in quotes when it needs them.
fn label(name: &str) -> String {
    if is_label_name(name) {
        name.to_owned()
    } else {
        quoted(name)
    }
}

/// A float without exponent, as Go's `FormatFloat(v, 'f', -1, 64)` writes it.
pub(crate) fn go_decimal(value: f64) -> String {
    if value.is_infinite() {
        if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned()
    } else {
        format!("{value}")
    }
}

/// A text in quotes, as Go's `strconv.Quote` writes it.
fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for char in text.chars() {
        let code = u32::from(char);
        match char {
            '"' | '\\' => out.extend(['\\', char]),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            _ if code < 0x80 && char.is_control() => out.push_str(&format!("\\x{code:02x}")),
            _ if char.is_control() || (char.is_whitespace() && char != ' ') => {
                out.push_str(&format!("\\u{code:04x}"));
            }
            _ => out.push(char),
        }
    }
    out.push('"');
    out
}
