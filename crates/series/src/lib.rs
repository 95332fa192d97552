//! The words of the system: names, labels, samples, blocks of columns, time, matchers, limits.
//!
//! Everything here is plain data with its invariants checked at construction. The crate does no
//! I/O, reads no clock and knows no encoding: `codec` writes these types as bytes, `wire` carries
//! them, `store` keeps them and `query` answers with them.
//!
//! The model is the field's own: a *series* is a metric name plus sorted labels, a *sample* is a
//! millisecond timestamp and an `f64`. What is ours is the [`Block`]: the series of one target
//! share their timestamps, so a batch carries the time column once and one value column a series.

pub mod block;
mod floats;
pub mod labels;
pub mod limits;
pub mod matcher;
pub mod sequences;
pub mod snapshot;
pub mod time;
pub mod value;

pub use block::{Block, Column, Rows, Values};
pub use floats::{Floats, SharedFloats, Walk};
pub use labels::{Labels, LabelsBuilder, LabelsError};
pub use matcher::{MatchOp, Matcher, MatcherError};
pub use sequences::Sequences;
pub use snapshot::{Family, MetricKind, PARTS, Sample, Snapshot};
pub use time::{TimeRange, Timestamp};
pub use value::{STALE_NAN, is_stale, same_bits};
