//! From text to a checked tree.
//!
//! The grammar is PromQL's, with its documented precedences, read by precedence climbing over a
//! lexer that looks at each byte once. Input is bounded before anything recurses: [`BYTES_MAX`]
//! bounds the text, [`DEPTH_MAX`] bounds the height of the tree and so the stack of every later
//! walk over it. Every node keeps where it starts, because warnings point there.
//!
//! It is a parser of our own because the input is not trusted. The library at hand, promql-parser
//! 0.11, panics on `a[1e300]`, takes seconds for a chain of 32 KiB, names no place in its errors
//! and knows no duration expressions.

pub mod ast;
mod check;
mod duration;
pub mod functions;
mod grammar;
mod lexer;
pub(crate) mod literal;
pub(crate) mod print;
mod selector;

use std::fmt;

pub use ast::Expr;

/// Longest expression, in bytes. The longest rule in the public rule packs has under 4 KiB.
pub const BYTES_MAX: usize = 64 * 1024;

/// Most levels of the tree. A chain such as `a or b or c` grows a level with each operator, and
/// generated rules chain dozens; evaluation takes some stack for each level.
pub const DEPTH_MAX: usize = 160;

/// Most regular expressions in one expression. The dearest that [`series::Matcher`] accepts takes
/// some 15 ms to compile; dashboards stay under a dozen.
pub const REGEXES_MAX: usize = 100;

/// Why a text is not an expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ParseError {
    /// Where in the text.
    pub position: Position,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for ParseError {
    /// As Prometheus writes it: `1:5: parse error: unexpected …`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: parse error: {}", self.position, self.message)
    }
}

/// A place in the text; both count from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl Position {
    /// The place of byte `offset` in `text`.
    #[must_use]
    pub fn at(text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self {
            line: 1 + before.bytes().filter(|&byte| byte == b'\n').count(),
            column: 1 + before.get(line_start..).unwrap_or("").chars().count(),
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// An error inside the parser: a byte offset and a message.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) at: usize,
    pub(crate) message: String,
}

impl Fault {
    pub(crate) fn new(at: usize, message: impl Into<String>) -> Self {
        Self {
            at,
            message: message.into(),
        }
    }
}

/// Parses and type-checks an expression.
///
/// # Errors
/// When the text is too long or too deeply nested, or is not a well-typed expression.
pub fn parse(text: &str) -> Result<Expr, ParseError> {
    if text.len() > BYTES_MAX {
        return Err(ParseError {
            position: Position { line: 1, column: 1 },
            message: format!(
                "expression has {} bytes, more than the maximum of {BYTES_MAX}",
                text.len()
            ),
        });
    }
    grammar::Parser::new(text)
        .parse()
        .map_err(|fault| ParseError {
            position: Position::at(text, fault.at),
            message: fault.message,
        })
}

/// The milliseconds of a duration such as `1h30m`; `None` when it is not one, or too long.
#[must_use]
pub fn duration_millis(text: &str) -> Option<i64> {
    literal::duration(text).flatten()
}

/// The string literal that `text` begins with, by Go's rules, and how many bytes it takes with its quotes.
///
/// # Errors
/// When it does not end, or an escape is unknown.
pub fn string_literal(text: &str) -> Result<(String, usize), String> {
    let (found, length) = literal::text(text)?;
    Ok((found.value, length))
}

#[cfg(test)]
mod tests;
