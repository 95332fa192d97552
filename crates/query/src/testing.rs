//! Running scripts in Prometheus' test language, and a source in memory to run them on.
//!
//! The language is described in Prometheus' `promql/promqltest/README.md`: `load` puts series into
//! memory, `eval instant` and `eval range` evaluate and compare, `expect` says what else must hold.
//! Native histograms are recognised; an evaluation that meets one and does not pass is counted
//! apart, because this crate does not hold them.

mod memory;
mod run;
mod script;
mod series;

pub use memory::MemorySource;
pub use run::{Miss, Report, run, run_on};
pub use script::ScriptError;
pub use series::{Point, labels, points};
