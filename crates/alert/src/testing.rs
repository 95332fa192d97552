//! Unit tests of rules, in the form of `promtool test rules`.
//!
//! A [`TestFile`] names rule files and holds tests: series, and what alerts and expressions must give at
//! some times. [`TestFile::run`] evaluates the rules by the evaluator that runs live. Verdicts are those of
//! Prometheus 3: ranges are open at their start, an expected NaN is equal to nothing. What needs native
//! histograms fails, and says so: they are not held.

mod compare;
mod file;
mod run;
mod show;
mod start;
mod until;

pub use file::{FILE_BYTES_MAX, TestFile, TestFileError};
pub use run::{EVALUATIONS_MAX, Failed, FailedTest, Mismatch, Report, TestReport};
pub use show::{junit, text};
