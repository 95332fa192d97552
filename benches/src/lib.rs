//! How fast it is, and how small.
//!
//! - `micro/` holds the benches of single steps (`cargo bench -p benches`, or one of them with
//!   `--bench store`). Each reports its throughput in samples.
//! - [`footprint`] and its program `bench-agent` measure a whole agent beside `node_exporter`.
//! - [`recorded`] and its program `bench-native-ingest` measure what a coordinator spends on what agents
//!   send; `peers/` has the coordinator beside what people would take instead; `rules/` has ten thousand rules on it.
//! - [`load`] is what they work on: the pages of simulated inference nodes, the same every time.
//! - `baselines/` keeps results with the machine and the revision they are from.

pub mod footprint;
pub mod load;
pub mod recorded;

use std::time::Duration;

use criterion::Criterion;

/// The settings of every bench here: short, so that all of them together take a minute or so.
#[must_use]
pub fn criterion() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1_000))
        .without_plots()
        .configure_from_args()
}
