//! PromQL over [`source::SeriesSource`].
pub mod source;
