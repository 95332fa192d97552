//! Durations inside brackets and after `offset`: literals, and expressions over them.

use super::Fault;
use super::ast::{Duration, DurationOp};
use super::grammar::Parser;
use super::lexer::Token;

/// Longest duration, in seconds: what fits into Go's 64-bit nanoseconds.
const SECONDS_MAX: f64 = 9_223_372_036.0;

impl Parser<'_> {
    /// A duration expression, as it stands between brackets.
    pub(super) fn duration(&mut self) -> Result<Duration, Fault> {
        self.duration_at(0)
    }

    /// The duration after `offset`: a sign, then one operand. Operators that follow belong to the
    /// surrounding expression.
    pub(super) fn offset_duration(&mut self) -> Result<Duration, Fault> {
        if self.take_symbol("-")? {
            return Ok(Duration::Negate(Box::new(self.duration_operand()?)));
        }
        self.take_symbol("+")?;
        self.duration_operand()
    }

    fn duration_at(&mut self, min_power: u8) -> Result<Duration, Fault> {
        self.enter()?;
        let mut left = if self.take_symbol("-")? {
            Duration::Negate(Box::new(self.duration_at(5)?))
        } else if self.take_symbol("+")? {
            self.duration_at(5)?
        } else {
            self.duration_operand()?
        };
        let mut operators = 0;
        loop {
            let (op, power, right_power) = match &self.token {
                Token::Symbol("+") => (DurationOp::Add, 1, 2),
                Token::Symbol("-") => (DurationOp::Sub, 1, 2),
                Token::Symbol("*") => (DurationOp::Mul, 3, 4),
                Token::Symbol("/") => (DurationOp::Div, 3, 4),
                Token::Symbol("%") => (DurationOp::Mod, 3, 4),
                Token::Symbol("^") => (DurationOp::Pow, 6, 5),
                _ => break,
            };
            if power < min_power {
                break;
            }
            // Each operator deepens the tree by one level on its left.
            operators += 1;
            self.check_depth(operators)?;
            self.advance()?;
            let right = self.duration_at(right_power)?;
            left = Duration::Op(op, Box::new((left, right)));
        }
        self.leave();
        Ok(left)
    }

    fn duration_operand(&mut self) -> Result<Duration, Fault> {
        let at = self.at;
        match self.token.clone() {
            Token::Number(seconds) => {
                if !seconds.is_finite() || seconds.abs() > SECONDS_MAX {
                    return Err(Fault::new(at, "duration out of range"));
                }
                self.advance()?;
                Ok(Duration::Seconds(seconds))
            }
            Token::Millis(millis) => {
                self.advance()?;
                #[expect(clippy::cast_precision_loss, reason = "bounded by 292 years")]
                Ok(Duration::Seconds(millis as f64 / 1000.0))
            }
            Token::Symbol("(") => {
                self.advance()?;
                let inner = self.duration_at(0)?;
                self.expect_symbol(")", "duration expression")?;
                Ok(inner)
            }
            Token::Word(word) => self.duration_call(&word.to_ascii_lowercase()),
            token => Err(Fault::new(
                at,
                format!(
                    "unexpected {} in duration, expected number or duration",
                    token.describe()
                ),
            )),
        }
    }

    fn duration_call(&mut self, name: &str) -> Result<Duration, Fault> {
        let op = match name {
            "step" | "range" => None,
            "min_of" => Some(DurationOp::Min),
            "max_of" => Some(DurationOp::Max),
            _ => {
                let found = self.token.describe();
                return Err(Fault::new(
                    self.at,
                    format!("unexpected {found} in duration, expected number or duration"),
                ));
            }
        };
        self.advance()?;
        self.expect_symbol("(", "duration expression")?;
        let Some(op) = op else {
            self.expect_symbol(")", "duration expression")?;
            return Ok(if name == "step" {
                Duration::Step
            } else {
                Duration::Range
            });
        };
        let left = self.duration_at(0)?;
        self.expect_symbol(",", "duration expression")?;
        let right = self.duration_at(0)?;
        self.expect_symbol(")", "duration expression")?;
        Ok(Duration::Op(op, Box::new((left, right))))
    }
}

impl Duration {
    /// The literal value in seconds, when nothing but numbers is in it.
    pub(super) fn constant(&self) -> Option<f64> {
        match self {
            Self::Seconds(seconds) => Some(*seconds),
            Self::Negate(inner) => inner.constant().map(|seconds| -seconds),
            Self::Step | Self::Range | Self::Op(..) => None,
        }
    }

    /// Its length in milliseconds, for a query of this step and range.
    ///
    /// # Errors
    /// When it divides by zero or does not fit.
    pub fn millis(&self, step: i64, range: i64) -> Result<i64, String> {
        let seconds = self.seconds(step, range)?;
        if !seconds.is_finite() || seconds.abs() > SECONDS_MAX {
            return Err("duration out of range".to_owned());
        }
        #[expect(clippy::cast_possible_truncation, reason = "bounded just above")]
        Ok((seconds * 1000.0).round() as i64)
    }

    fn seconds(&self, step: i64, range: i64) -> Result<f64, String> {
        #[expect(
            clippy::cast_precision_loss,
            reason = "a query's times stay far below 2^53"
        )]
        Ok(match self {
            Self::Seconds(seconds) => *seconds,
            Self::Step => step as f64 / 1000.0,
            Self::Range => range as f64 / 1000.0,
            Self::Negate(inner) => -inner.seconds(step, range)?,
            Self::Op(op, sides) => {
                let left = sides.0.seconds(step, range)?;
                let right = sides.1.seconds(step, range)?;
                let zero = right.abs() <= 0.0;
                match op {
                    DurationOp::Add => left + right,
                    DurationOp::Sub => left - right,
                    DurationOp::Mul => left * right,
                    DurationOp::Div if zero => return Err("division by zero".to_owned()),
                    DurationOp::Mod if zero => return Err("modulo by zero".to_owned()),
                    DurationOp::Div => left / right,
                    DurationOp::Mod => left % right,
                    DurationOp::Pow => left.powf(right),
                    DurationOp::Min => left.min(right),
                    DurationOp::Max => left.max(right),
                }
            }
        })
    }
}
