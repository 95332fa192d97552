//! The edge: collect → batch → encode → spool → sync.
//!
//! - [`collect`] reads the node; [`schedule`] decides when, and what becomes of a slow collector;
//! - [`guard`] holds each target to a number of series and folds the others;
//! - [`batch`] gathers what was read into columns, one block for each target;
//! - [`rules`] runs rules of one node over what was read, and says what fires at once;
//! - [`outbox`] puts the batches of an interval on disk and gives them out until acknowledged;
//! - [`thin`] says old batches in fewer samples when the disk is short;
//! - [`sync`] brings them to the coordinator, [`urgent`] brings what cannot wait;
//! - [`certificate`] proves who the agent is and is renewed, [`way`] is what it is shown on;
//! - [`budget`] measures what all that costs, and [`pace`] is what gives way when it is too much;
//! - [`run`] is all of it together, from start to drain.
//!
//! No database is linked here, and nothing it holds in memory is without a bound.

pub mod batch;
pub mod budget;
pub mod certificate;
pub mod collect;
pub mod config;
mod cutter;
pub mod families;
pub mod guard;
pub mod metrics;
pub mod outbox;
pub mod pace;
pub mod rules;
pub mod run;
pub mod schedule;
pub mod sync;
pub mod thin;
pub mod urgent;
pub mod way;

pub use config::Config;
pub use daemon::chain;
