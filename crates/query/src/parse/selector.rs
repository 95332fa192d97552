//! Selectors and what may follow them: braces, brackets, `offset` and `@`.

use series::labels::METRIC_NAME;
use series::{MatchOp, Matcher};

use super::ast::{At, Duration, Expr, Kind, Selector, Shift, Subquery};
use super::grammar::Parser;
use super::lexer::Token;
use super::{Fault, REGEXES_MAX};

/// Most matchers in one selector: as many as a series may have labels.
const MATCHERS_MAX: usize = series::limits::LABELS_PER_SERIES_MAX;

impl Parser<'_> {
    /// A selector whose metric name, if any, has been read already.
    pub(super) fn selector(&mut self, name: Option<&str>, at: usize) -> Result<Expr, Fault> {
        let mut matchers = Vec::new();
        let mut metric: Option<String> = None;
        if let Some(name) = name {
            matchers.push(matcher(at, METRIC_NAME, MatchOp::Equal, name)?);
            metric = Some(name.to_owned());
        }
        if self.take_symbol("{")? {
            while !self.take_symbol("}")? {
                self.matcher(&mut matchers, &mut metric)?;
                if matchers.len() > MATCHERS_MAX {
                    return Err(Fault::new(at, format!("more than {MATCHERS_MAX} matchers")));
                }
                if !self.take_symbol(",")? && self.token != Token::Symbol("}") {
                    return Err(self.unexpected("label matching", "\",\" or \"}\""));
                }
            }
        }
        if matchers.iter().all(Matcher::matches_absent) {
            return Err(Fault::new(
                at,
                "vector selector must contain at least one non-empty matcher",
            ));
        }
        let selector = Selector {
            matchers,
            name: metric,
            shift: Shift::default(),
        };
        Ok(Expr::leaf(Kind::Selector(selector), at))
    }

    fn matcher(
        &mut self,
        matchers: &mut Vec<Matcher>,
        metric: &mut Option<String>,
    ) -> Result<(), Fault> {
        let at = self.at;
        let (name, quoted) = match self.token.clone() {
            Token::Word(word) => (word.to_owned(), false),
            Token::Text(text) => (text.value, true),
            _ => return Err(self.unexpected("label matching", "identifier or \"}\"")),
        };
        self.advance()?;
        let op = match self.token {
            Token::Symbol("=") => MatchOp::Equal,
            Token::Symbol("!=") => MatchOp::NotEqual,
            Token::Symbol("=~") => MatchOp::Regex,
            Token::Symbol("!~") => MatchOp::NotRegex,
            _ if quoted => {
                if let Some(first) = metric {
                    return Err(Fault::new(
                        at,
                        format!("metric name must not be set twice: {first:?} or {name:?}"),
                    ));
                }
                matchers.push(matcher(at, METRIC_NAME, MatchOp::Equal, &name)?);
                *metric = Some(name);
                return Ok(());
            }
            _ => return Err(self.unexpected("label matching", "label matching operator")),
        };
        self.advance()?;
        self.regexes += usize::from(matches!(op, MatchOp::Regex | MatchOp::NotRegex));
        if self.regexes > REGEXES_MAX {
            let message = format!("more than {REGEXES_MAX} regular expressions");
            return Err(Fault::new(at, message));
        }
        let Token::Text(value) = self.token.clone() else {
            return Err(self.unexpected("label matching", "string"));
        };
        self.advance()?;
        if let Some(first) = metric
            && name == METRIC_NAME
            && op == MatchOp::Equal
        {
            let second = value.value;
            return Err(Fault::new(
                at,
                format!("metric name must not be set twice: {first:?} or {second:?}"),
            ));
        }
        matchers.push(matcher(at, &name, op, &value.value)?);
        Ok(())
    }

    /// All of `[…]`, `offset` and `@` that follow.
    pub(super) fn postfix(&mut self, mut expr: Expr) -> Result<Expr, Fault> {
        loop {
            match self.token {
                Token::Symbol("[") => expr = self.brackets(expr)?,
                Token::Symbol("@") => self.at_modifier(&mut expr)?,
                Token::Word(word) if word.eq_ignore_ascii_case("offset") => {
                    self.offset(&mut expr)?;
                }
                _ => return Ok(expr),
            }
        }
    }

    fn brackets(&mut self, expr: Expr) -> Result<Expr, Fault> {
        let bracket = self.at;
        self.advance()?;
        let range_at = self.at;
        let range = self.duration()?;
        if self.take_symbol(":")? {
            let step_at = self.at;
            let step = if self.token == Token::Symbol("]") {
                None
            } else {
                Some(self.duration()?)
            };
            self.expect_symbol("]", "subquery")?;
            positive(&range, range_at)?;
            if let Some(step) = &step {
                positive(step, step_at)?;
            }
            let (at, depth) = (expr.at, expr.depth + 1);
            let subquery = Subquery {
                expr,
                range,
                step,
                shift: Shift::default(),
            };
            return self.node(Kind::Subquery(Box::new(subquery)), at, depth);
        }
        self.expect_symbol("]", "subquery or range selector")?;
        positive(&range, range_at)?;
        let at = expr.at;
        let Kind::Selector(selector) = expr.kind else {
            return Err(Fault::new(
                bracket,
                "ranges only allowed for vector selectors",
            ));
        };
        if selector.shift.offset.is_some() {
            return Err(Fault::new(
                bracket,
                "no offset modifiers allowed before range",
            ));
        }
        if selector.shift.at.is_some() {
            return Err(Fault::new(bracket, "no @ modifiers allowed before range"));
        }
        Ok(Expr::leaf(Kind::Range { selector, range }, at))
    }

    fn offset(&mut self, expr: &mut Expr) -> Result<(), Fault> {
        let at = self.at;
        self.advance()?;
        let offset = self.offset_duration()?;
        let Some(shift) = shift_of(expr) else {
            return Err(Fault::new(
                at,
                "offset modifier must be preceded by an instant vector selector or range vector \
                 selector or a subquery",
            ));
        };
        if shift.offset.is_some() {
            return Err(Fault::new(at, "offset may not be set multiple times"));
        }
        shift.offset = Some(offset);
        Ok(())
    }

    fn at_modifier(&mut self, expr: &mut Expr) -> Result<(), Fault> {
        let at = self.at;
        self.advance()?;
        let value = self.at_value()?;
        let Some(shift) = shift_of(expr) else {
            return Err(Fault::new(
                at,
                "@ modifier must be preceded by an instant vector selector or range vector \
                 selector or a subquery",
            ));
        };
        if shift.at.is_some() {
            return Err(Fault::new(
                at,
                "@ <timestamp> may not be set multiple times",
            ));
        }
        shift.at = Some(value);
        Ok(())
    }

    fn at_value(&mut self) -> Result<At, Fault> {
        let negative = self.take_symbol("-")?;
        if !negative {
            self.take_symbol("+")?;
        }
        let at = self.at;
        let seconds = match self.token {
            Token::Number(seconds) => seconds,
            #[expect(clippy::cast_precision_loss, reason = "bounded by 292 years")]
            Token::Millis(millis) => millis as f64 / 1000.0,
            Token::Word(word) if !negative => {
                let value = match word.to_ascii_lowercase().as_str() {
                    "start" => At::Start,
                    "end" => At::End,
                    _ => return Err(self.unexpected("@", "timestamp")),
                };
                self.advance()?;
                self.expect_symbol("(", "@")?;
                self.expect_symbol(")", "@")?;
                return Ok(value);
            }
            _ => return Err(self.unexpected("@", "timestamp")),
        };
        self.advance()?;
        let seconds = if negative { -seconds } else { seconds };
        let millis = (seconds * 1000.0).round();
        // A quarter of the range leaves room for offsets and windows.
        if !millis.is_finite() || millis.abs() > 2.0_f64.powi(61) {
            return Err(Fault::new(
                at,
                format!("timestamp out of bounds for @ modifier: {seconds}"),
            ));
        }
        #[expect(clippy::cast_possible_truncation, reason = "bounded just above")]
        Ok(At::Millis(millis as i64))
    }
}

/// A range or step that is known now must be above zero; the others are checked when resolved.
fn positive(duration: &Duration, at: usize) -> Result<(), Fault> {
    match duration.constant() {
        Some(seconds) if seconds <= 0.0 => Err(Fault::new(at, "duration must be greater than 0")),
        _ => Ok(()),
    }
}

fn shift_of(expr: &mut Expr) -> Option<&mut Shift> {
    match &mut expr.kind {
        Kind::Selector(selector) | Kind::Range { selector, .. } => Some(&mut selector.shift),
        Kind::Subquery(subquery) => Some(&mut subquery.shift),
        _ => None,
    }
}

fn matcher(at: usize, name: &str, op: MatchOp, value: &str) -> Result<Matcher, Fault> {
    Matcher::new(name, op, value).map_err(|error| {
        let cause = std::error::Error::source(&error).map_or_else(String::new, |source| {
            let text = source.to_string();
            format!(": {}", text.lines().last().unwrap_or("").trim())
        });
        Fault::new(at, format!("{error}{cause}"))
    })
}
