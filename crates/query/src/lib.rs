//! PromQL over [`SeriesSource`]: text in, an [`Answer`] out.
//!
//! The evaluator is pure and synchronous. It reads no clock, writes no log and knows no store; the
//! caller hands in the times, a source and a [`Budget`], and may cancel through the budget from
//! another thread. Each node of the expression is evaluated once for all steps, into columns (one
//! value a step for each series), and windows slide over the samples instead of being cut anew.
//! Results follow Prometheus 3 to the last digit where its own test scripts look: summation order
//! and compensation, extrapolation, staleness, left-open windows, late removal of metric names.
//!
//! It holds floats and classic histograms. Native histograms have their place in
//! [`source::Values`] and are not there yet; functions of them find nothing.
//!
//! In reading order: [`parse`] makes the tree, [`Engine`] bounds and runs it, [`source`] is where
//! the series come from, [`overlay`] lays more over them, [`testing`] runs scripts in Prometheus' test language.

pub mod answer;
mod engine;
mod error;
mod eval;
pub mod explain;
mod notes;
pub mod overlay;
mod parse;
pub mod source;
pub mod testing;

pub use answer::{Answer, Statistics, Value};
pub use engine::{Engine, Options};
pub use error::{Error, ErrorType};
pub use parse::{
    BYTES_MAX, DEPTH_MAX, Expr, ParseError, Position, REGEXES_MAX, ast, duration_millis, functions,
    parse, string_literal,
};
pub use source::{Budget, SeriesSource};
