//! Prometheus remote write, read without copies.
//!
//! What arrives is a snappy block of a protobuf message, in which every sample carries all labels of
//! its series again. Reading those labels is what costs, so they are not read: a [`Memory`] knows
//! each label set by its bytes and by what followed it last time, and most series are recognised by
//! one hash of bytes that the sender repeats.
//!
//! ```
//! use std::hash::RandomState;
//! use std::sync::RwLock;
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let body = [0];
//! let memory = RwLock::new(remote::Memory::new(100_000, &RandomState::new()));
//! let (mut buffer, mut decoded) = (Vec::new(), remote::Decoded::default());
//!
//! let content = (Some("application/x-protobuf"), Some("snappy"));
//! let version = remote::negotiate(content.0, content.1)?;
//! let raw = remote::decompress(&body, remote::RAW_BYTES_MAX, &mut buffer)?;
//! remote::decode(version, raw, &memory.read().unwrap(), &mut decoded)?;
//! if decoded.has_unknown() {
//!     // Asks whoever gives out ids; `None` refuses a series.
//!     let unknown = decoded.take_unknown();
//!     decoded.settle(unknown.iter().map(|(_labels, _kind)| Some(7_u32)));
//!     memory.write().unwrap().learn(&decoded);
//! }
//! let samples = decoded.samples();
//! assert_eq!(samples.ids.len(), samples.values.len());
//! let written = samples.values.len() as u64;
//! let answer = remote::Answer::of(version, written, decoded.refused(), decoded.skipped());
//! assert_eq!(answer.status, 204);
//! # Ok(())
//! # }
//! ```
//!
//! Promises:
//! - Every value comes through to the bit, and the samples of one label set in the order in which
//!   they came, as long as it is written in the same way each time.
//! - What the memory recognises is what parsing would have found: two label sets are taken for one
//!   another with a chance below 2⁻⁶², over keys that no sender knows.
//! - No input panics or is read past its end, and what is allocated stays in proportion to it.
//! - A message that is no protobuf is an [`Error`], and nothing of it is taken. A series that is bad
//!   for itself is [`Refused`] and counted, and the rest goes on.
//!
//! It has no socket, clock, thread or log. Native histograms and exemplars are stepped over
//! and counted.

mod answer;
mod decode;
mod decoded;
mod digest;
mod error;
mod fields;
mod memory;
mod negotiate;
mod refused;
mod snappy;
#[cfg(test)]
mod testing;

pub use answer::{Answer, EXEMPLARS_WRITTEN, HISTOGRAMS_WRITTEN, SAMPLES_WRITTEN};
pub use decode::decode;
pub use decoded::{Decoded, Met, Samples, Skipped};
pub use error::Error;
pub use memory::Memory;
pub use negotiate::{Unsupported, Version, negotiate};
pub use refused::{Reason, Refused};
pub use snappy::decompress;

/// Most bytes of a message after decompression, unless the receiver wants fewer. Senders put some
/// thousand samples of 200 bytes into one; this is thirty times the largest seen.
pub const RAW_BYTES_MAX: usize = 64 << 20;

/// Most samples in one message. The smallest takes two bytes and becomes twenty, so that the bytes
/// alone would bound nothing.
pub const SAMPLES_MAX: usize = 1 << 20;

/// Most metrics that one message says something of; Prometheus sends 2,000 at a time.
pub const FAMILIES_MAX: usize = 10_000;

/// Most symbols in one message of version 2: as for [`SAMPLES_MAX`].
pub const SYMBOLS_MAX: usize = 1 << 20;
