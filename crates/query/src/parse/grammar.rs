//! The grammar, by precedence climbing.

use super::ast::{
    Aggregate, AggregateOp, Binary, BinaryOp, Cardinality, Expr, Kind, Matching, Text,
};
use super::lexer::{Lexer, Token};
use super::{DEPTH_MAX, Fault, check, functions};

/// The binding power of a sign: `-a ^ b` is `-(a ^ b)`, `-a * b` is `(-a) * b`.
const SIGN_POWER: u8 = 11;

/// One token of look-ahead over the lexer.
pub(super) struct Parser<'a> {
    lexer: Lexer<'a>,
    /// What is next.
    pub(super) token: Token<'a>,
    /// Where it starts.
    pub(super) at: usize,
    nesting: usize,
    /// Regular expressions compiled so far.
    pub(super) regexes: usize,
}

impl Expr {
    pub(super) fn leaf(kind: Kind, at: usize) -> Self {
        Self { kind, at, depth: 1 }
    }
}

impl<'a> Parser<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            lexer: Lexer::new(text),
            token: Token::End,
            at: 0,
            nesting: 0,
            regexes: 0,
        }
    }

    pub(super) fn parse(mut self) -> Result<Expr, Fault> {
        self.advance()?;
        if self.token == Token::End {
            return Err(Fault::new(0, "no expression found in input"));
        }
        let expr = self.expression(0)?;
        if self.token != Token::End {
            return Err(Fault::new(
                self.at,
                format!("unexpected {}", self.token.describe()),
            ));
        }
        Ok(expr)
    }

    pub(super) fn advance(&mut self) -> Result<(), Fault> {
        (self.token, self.at) = self.lexer.next()?;
        Ok(())
    }

    /// Counts a level of recursion; [`Parser::leave`] gives it back. After an error nothing is
    /// parsed any more, so it need not be given back then.
    pub(super) fn enter(&mut self) -> Result<(), Fault> {
        self.nesting += 1;
        self.check_depth(self.nesting)
    }

    pub(super) fn leave(&mut self) {
        self.nesting -= 1;
    }

    pub(super) fn check_depth(&self, depth: usize) -> Result<(), Fault> {
        if depth > DEPTH_MAX {
            return Err(Fault::new(
                self.at,
                format!("expression is nested more than {DEPTH_MAX} levels deep"),
            ));
        }
        Ok(())
    }

    /// A checked inner node.
    pub(super) fn node(&self, kind: Kind, at: usize, depth: usize) -> Result<Expr, Fault> {
        self.check_depth(depth)?;
        let expr = Expr { kind, at, depth };
        check::check(&expr)?;
        Ok(expr)
    }

    pub(super) fn take_symbol(&mut self, symbol: &'static str) -> Result<bool, Fault> {
        let found = self.token == Token::Symbol(symbol);
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    pub(super) fn expect_symbol(
        &mut self,
        symbol: &'static str,
        context: &str,
    ) -> Result<(), Fault> {
        if self.take_symbol(symbol)? {
            Ok(())
        } else {
            Err(self.unexpected(context, &format!("{symbol:?}")))
        }
    }

    pub(super) fn unexpected(&self, context: &str, expected: &str) -> Fault {
        Fault::new(
            self.at,
            format!(
                "unexpected {} in {context}, expected {expected}",
                self.token.describe()
            ),
        )
    }

    /// The next token as a keyword in lower case.
    fn keyword(&self) -> Option<String> {
        match self.token {
            Token::Word(word) => Some(word.to_ascii_lowercase()),
            _ => None,
        }
    }

    fn take_keyword(&mut self, keyword: &str) -> Result<bool, Fault> {
        let found = matches!(self.token, Token::Word(word) if word.eq_ignore_ascii_case(keyword));
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    pub(super) fn expression(&mut self, min_power: u8) -> Result<Expr, Fault> {
        self.enter()?;
        let mut left = self.operand()?;
        while let Some((op, power)) = self.operator() {
            if power < min_power {
                break;
            }
            self.advance()?;
            let (return_bool, matching) = self.modifiers(op)?;
            // All but the power operator group to the left.
            let right_power = if op == BinaryOp::Pow {
                power
            } else {
                power + 1
            };
            let rhs = self.expression(right_power)?;
            let depth = 1 + left.depth.max(rhs.depth);
            let at = left.at;
            let binary = Binary {
                op,
                lhs: left,
                rhs,
                return_bool,
                matching,
            };
            left = self.node(Kind::Binary(Box::new(binary)), at, depth)?;
        }
        self.leave();
        Ok(left)
    }

    fn operator(&self) -> Option<(BinaryOp, u8)> {
        Some(match &self.token {
            Token::Symbol(symbol) => match *symbol {
                "==" => (BinaryOp::Equal, 5),
                "!=" => (BinaryOp::NotEqual, 5),
                "<=" => (BinaryOp::LessEqual, 5),
                "<" => (BinaryOp::Less, 5),
                ">=" => (BinaryOp::GreaterEqual, 5),
                ">" => (BinaryOp::Greater, 5),
                "+" => (BinaryOp::Add, 7),
                "-" => (BinaryOp::Sub, 7),
                "*" => (BinaryOp::Mul, 9),
                "/" => (BinaryOp::Div, 9),
                "%" => (BinaryOp::Mod, 9),
                "^" => (BinaryOp::Pow, 11),
                _ => return None,
            },
            Token::Word(_) => match self.keyword()?.as_str() {
                "or" => (BinaryOp::Or, 1),
                "and" => (BinaryOp::And, 3),
                "unless" => (BinaryOp::Unless, 3),
                "atan2" => (BinaryOp::Atan2, 9),
                _ => return None,
            },
            _ => return None,
        })
    }

    /// `bool`, `on`, `ignoring`, `group_left`, `group_right` and `fill…` after an operator.
    fn modifiers(&mut self, op: BinaryOp) -> Result<(bool, Matching), Fault> {
        let at = self.at;
        let return_bool = self.take_keyword("bool")?;
        if return_bool && !op.is_comparison() {
            return Err(Fault::new(
                at,
                "bool modifier can only be used on comparison operators",
            ));
        }
        let mut matching = Matching::default();
        let on = self.take_keyword("on")?;
        if on || self.take_keyword("ignoring")? {
            matching.explicit = true;
            matching.on = on;
            matching.labels = self.label_list()?;
            let left = self.take_keyword("group_left")?;
            if left || self.take_keyword("group_right")? {
                matching.cardinality = if left {
                    Cardinality::ManyToOne
                } else {
                    Cardinality::OneToMany
                };
                if self.token == Token::Symbol("(") {
                    matching.include = self.label_list()?;
                }
            }
        }
        loop {
            let (left, right) = match self.keyword().as_deref() {
                Some("fill") => (true, true),
                Some("fill_left") => (true, false),
                Some("fill_right") => (false, true),
                _ => break,
            };
            // Without parentheses it is a metric of that name.
            if !self.lexer.opens() {
                break;
            }
            self.advance()?;
            let value = self.fill_value()?;
            if left {
                matching.fill_left = Some(value);
            }
            if right {
                matching.fill_right = Some(value);
            }
        }
        Ok((return_bool, matching))
    }

    fn fill_value(&mut self) -> Result<f64, Fault> {
        self.expect_symbol("(", "fill modifier")?;
        let negative = self.take_symbol("-")?;
        if !negative {
            self.take_symbol("+")?;
        }
        let Token::Number(value) = self.token else {
            return Err(self.unexpected("fill modifier", "number"));
        };
        self.advance()?;
        self.expect_symbol(")", "fill modifier")?;
        Ok(if negative { -value } else { value })
    }

    pub(super) fn label_list(&mut self) -> Result<Vec<String>, Fault> {
        self.expect_symbol("(", "grouping opts")?;
        let mut labels = Vec::new();
        while !self.take_symbol(")")? {
            match self.token.clone() {
                Token::Word(word) if !word.contains(':') => labels.push(word.to_owned()),
                Token::Text(text) if text.not_utf8.is_none() && !text.value.is_empty() => {
                    labels.push(text.value);
                }
                _ => return Err(self.unexpected("grouping opts", "label")),
            }
            self.advance()?;
            if !self.take_symbol(",")? && self.token != Token::Symbol(")") {
                return Err(self.unexpected("grouping opts", "\",\" or \")\""));
            }
        }
        Ok(labels)
    }

    fn operand(&mut self) -> Result<Expr, Fault> {
        let at = self.at;
        let expr = match self.token.clone() {
            Token::Number(number) => {
                self.advance()?;
                Expr::leaf(Kind::Number(number), at)
            }
            Token::Millis(millis) => {
                self.advance()?;
                #[expect(clippy::cast_precision_loss, reason = "bounded by 292 years")]
                Expr::leaf(Kind::Number(millis as f64 / 1000.0), at)
            }
            Token::Text(text) => self.text(text, at)?,
            Token::Symbol("(") => {
                self.advance()?;
                let inner = self.expression(0)?;
                self.expect_symbol(")", "paren expression")?;
                let depth = inner.depth + 1;
                self.node(Kind::Paren(Box::new(inner)), at, depth)?
            }
            Token::Symbol("{") => self.selector(None, at)?,
            Token::Symbol(sign @ ("-" | "+")) => {
                self.advance()?;
                let inner = self.expression(SIGN_POWER)?;
                let depth = inner.depth + 1;
                let kind = if sign == "-" {
                    Kind::Negate(Box::new(inner))
                } else {
                    Kind::Plus(Box::new(inner))
                };
                check::sign(&kind, at)?;
                return self.node(kind, at, depth);
            }
            Token::Word(word) => self.named(word, at)?,
            token => {
                return Err(Fault::new(at, format!("unexpected {}", token.describe())));
            }
        };
        self.postfix(expr)
    }

    fn text(&mut self, text: Text, at: usize) -> Result<Expr, Fault> {
        self.advance()?;
        Ok(Expr::leaf(Kind::Text(text), at))
    }

    /// What begins with a word: an aggregation, a call or a selector.
    fn named(&mut self, word: &'a str, at: usize) -> Result<Expr, Fault> {
        self.advance()?;
        let lower = word.to_ascii_lowercase();
        let opens = self.token == Token::Symbol("(");
        if let Some(op) = AggregateOp::from_word(&lower) {
            let modifier = matches!(self.keyword().as_deref(), Some("by" | "without"));
            if opens || modifier {
                return self.aggregate(op, at);
            }
        }
        if opens {
            // Function names are matched exactly, as Prometheus does; `START` is a keyword.
            let name = if matches!(
                lower.as_str(),
                "start" | "end" | "step" | "range" | "min_of" | "max_of"
            ) {
                lower.as_str()
            } else {
                word
            };
            return self.call(name, at);
        }
        if matches!(
            lower.as_str(),
            "bool" | "on" | "ignoring" | "group_left" | "group_right" | "atan2"
        ) {
            return Err(Fault::new(at, format!("unexpected <{lower}>")));
        }
        self.selector(Some(word), at)
    }

    fn arguments(&mut self) -> Result<Vec<Expr>, Fault> {
        self.expect_symbol("(", "function call")?;
        let mut args = Vec::new();
        if self.take_symbol(")")? {
            return Ok(args);
        }
        loop {
            args.push(self.expression(0)?);
            if self.take_symbol(")")? {
                return Ok(args);
            }
            if !self.take_symbol(",")? {
                return Err(self.unexpected("function call", "\",\" or \")\""));
            }
            if self.token == Token::Symbol(")") {
                return Err(Fault::new(
                    self.at,
                    "trailing commas not allowed in function call args",
                ));
            }
        }
    }

    fn call(&mut self, name: &str, at: usize) -> Result<Expr, Fault> {
        let Some(function) = functions::find(name) else {
            return Err(Fault::new(
                at,
                format!("unknown function with name {name:?}"),
            ));
        };
        let args = self.arguments()?;
        let depth = 1 + args.iter().map(|arg| arg.depth).max().unwrap_or(0);
        self.node(Kind::Call { function, args }, at, depth)
    }

    fn grouping(&mut self) -> Result<Option<(bool, Vec<String>)>, Fault> {
        let without = self.take_keyword("without")?;
        if !without && !self.take_keyword("by")? {
            return Ok(None);
        }
        Ok(Some((without, self.label_list()?)))
    }

    fn aggregate(&mut self, op: AggregateOp, at: usize) -> Result<Expr, Fault> {
        let mut grouping = self.grouping()?;
        let mut args = self.arguments()?.into_iter();
        if grouping.is_none() {
            grouping = self.grouping()?;
        }
        let (without, listed) = grouping.unwrap_or_default();
        let mut grouping = listed.clone();
        grouping.sort_unstable();
        grouping.dedup();
        let wanted = 1 + usize::from(op.param().is_some());
        if args.len() == 0 {
            return Err(Fault::new(
                at,
                "no arguments for aggregate expression provided",
            ));
        }
        if args.len() != wanted {
            return Err(Fault::new(
                at,
                format!(
                    "wrong number of arguments for aggregate expression provided, expected \
                     {wanted}, got {}",
                    args.len()
                ),
            ));
        }
        let param = op.param().and_then(|_| args.next());
        let Some(expr) = args.next() else {
            return Err(Fault::new(
                at,
                "no arguments for aggregate expression provided",
            ));
        };
        let depth = 1 + expr
            .depth
            .max(param.as_ref().map_or(0, |param| param.depth));
        let aggregate = Aggregate {
            op,
            expr,
            param,
            listed,
            grouping,
            without,
        };
        self.node(Kind::Aggregate(Box::new(aggregate)), at, depth)
    }
}
