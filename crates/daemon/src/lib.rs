//! A well-behaved process: clock, units, config, logs, metrics, shutdown.
//!
//! What every long-running program of ours does alike. It knows nothing of series or batches, and
//! no other crate of ours is used here.
//!
//! What it promises: no value of a key that holds a secret is printed, nothing here panics, and a
//! process that was asked to stop ends within its deadline and says which task did not.

pub mod backoff;
pub mod blocking;
pub mod clock;
pub mod config;
pub mod logs;
pub mod metrics;
pub mod shutdown;
pub mod units;
pub mod version;

pub use units::{ByteSize, HumanDuration};

/// An error and its causes in one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
