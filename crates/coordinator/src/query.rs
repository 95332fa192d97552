//! Questions and their answers, their gRPC face, and the store behind the evaluator's seam.

mod api;
mod source;

pub use api::{Failure, QueryApi, Questions};
pub(crate) use api::{Question, When, selector};
pub use source::StoreSource;
