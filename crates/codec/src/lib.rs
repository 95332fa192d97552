//! One compact encoding of columns, from edge to disk.
//!
//! A target's samples leave the agent as a *block* ([`encode_block`]), are kept by the coordinator
//! as *columns* of one series each ([`encode_column`]) beside a shared *time column*
//! ([`encode_times`]), and the label sets that name them travel as a *dictionary*
//! ([`encode_labels_list`]). `FORMAT.md` beside this crate states every byte.
//!
//! Promises:
//! - Every `f64` comes back to the bit: NaN payloads, the stale marker, −0, infinities, subnormals.
//! - A decoder never panics on any input, never reads past it, and allocates no more than its
//!   documentation says, whatever lengths the input claims. What is wrong is named in [`Error`].
//! - What one version wrote, the next one reads; golden bytes hold that.
//!
//! It does no I/O, reads no clock and keeps no state between calls. It is the only user of zstd in
//! the workspace; [`compress`] and [`decompress`] are for the others.

mod block;
mod bytes;
mod column;
mod error;
mod ints;
mod labels;
mod packed;
mod range;
mod samples;
mod scale;
mod times;
mod zip;

pub use block::{decode_block, decode_block_within, encode_block};
pub use column::{decode_column, encode_column};
pub use error::Error;
pub use ints::Effort;
pub use labels::{decode_labels, decode_labels_list, encode_labels, encode_labels_list};
pub use samples::{Samples, decode_samples, encode_samples};
pub use times::{decode_times, encode_times};
pub use zip::{compress, decompress};
