//! A well-behaved process: clock, config, logs, metrics, shutdown.
//!
//! What every long-running program of ours does alike. It knows nothing of series or batches.

pub mod clock;
