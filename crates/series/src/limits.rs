//! Bounds on what a name, a label set or a batch may be, each with its reason.
//!
//! They are checked once, at the door: where a label set is built, where a message is received.

/// Longest label name or metric name, in bytes. Prometheus has no bound; the longest name in the
/// field's exporters is under 130.
pub const LABEL_NAME_BYTES_MAX: usize = 512;

/// Longest label value, in bytes. Long values (stack traces, prompts) do not belong into labels.
pub const LABEL_VALUE_BYTES_MAX: usize = 4096;

/// Most labels in one series, the metric name included.
pub const LABELS_PER_SERIES_MAX: usize = 64;

/// Most bytes of names and values together in one series. It fits the `u16` offsets of
/// [`crate::Labels`] with room to spare.
pub const LABELS_BYTES_MAX: usize = 32 * 1024;

/// Most rows (timestamps) in one block: an hour at one second, rounded up.
pub const BLOCK_ROWS_MAX: usize = 4096;

/// Most columns (series) in one block: one target may say a hundred thousand things, not more.
pub const BLOCK_COLUMNS_MAX: usize = 131_072;

/// Most samples in one block. It bounds what decoding allocates: eight bytes each, 64 MiB.
pub const BLOCK_SAMPLES_MAX: usize = 8 * 1024 * 1024;

const _: () = assert!(LABELS_BYTES_MAX <= u16::MAX as usize);
const _: () = assert!(LABEL_NAME_BYTES_MAX + LABEL_VALUE_BYTES_MAX <= LABELS_BYTES_MAX);
