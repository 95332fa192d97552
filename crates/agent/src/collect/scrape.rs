//! Reads any Prometheus endpoint: vLLM, SGLang, Triton, DCGM exporters, node_exporter and the rest.
//!
//! | module | does |
//! |---|---|
//! | [`text`] | the exposition formats, page to snapshot |
//! | [`target`] | what is scraped, and the labels it gives |
//! | [`cache`] | what a target said last: known series, and which of them ended |
//! | [`fetch`] | one bounded HTTP request |
//! | [`scraper`] | one target: fetch, read, label, mark what is stale |
//! | [`targets_file`] | targets listed in a file that may change |
//! | [`pool`] | all targets, each in its own time |
//! | [`stats`] | what was done, failed and skipped |
//!
//! What it promises: samples carry the instant at which their scrape truly began; a target that
//! cannot be read says `up 0` and ends its series by stale markers; a slow consumer costs scrapes,
//! which are counted, and never memory.

pub mod cache;
pub mod fetch;
pub mod pool;
pub mod scraper;
pub mod stats;
pub mod target;
pub mod targets_file;
pub mod text;

use std::sync::Arc;
use std::time::Duration;

use series::{Sample, Snapshot, Timestamp};

pub use fetch::Error;
pub use pool::{PoolConfig, ScrapePool};
pub use scraper::Scraper;
pub use stats::{FailureReason, ScrapeStats, SkipReason, StatsHandle};
pub use target::Target;
pub use text::{Format, Limits, Page, Reason, Refusals, RefusedLine};

/// The series that the scraper itself writes for each target, in Prometheus' names and meanings.
pub const REPORT_NAMES: [&str; 5] = [
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
];

/// What came of reading one target once.
#[derive(Debug)]
pub struct Scrape {
    /// Who was read.
    pub target: Arc<Target>,
    /// When reading began; the time of every sample that has none of its own.
    pub at: Timestamp,
    /// How long it took, the parsing of the page left out.
    pub duration: Duration,
    /// Families and samples, target labels merged in, stale markers and the target's own
    /// [`REPORT_NAMES`] included.
    pub snapshot: Snapshot,
    /// Samples of series beyond what [`Scraper::know_at_most`] allows. They are not remembered, so nobody will say
    /// that they ended: the guard may only sum them.
    pub unknown: Vec<Sample>,
    /// The lines of the page that were refused.
    pub refusals: Refusals,
    /// The part of the guard's places by which series of the page were remembered, where that was said. The guard
    /// decides by the same, or places stay empty.
    pub divisor: Option<usize>,
    /// Why there is no page, when there is none. A target that was taken out of the list has no
    /// failure, only stale markers.
    pub failure: Option<Error>,
}
