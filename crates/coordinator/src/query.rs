//! Questions and their answers, their gRPC face, and the store behind the evaluator's seam.

mod api;
mod portions;
mod questions;
mod source;

pub use api::QueryApi;
pub(crate) use questions::{Answered, Question, When, selector};
pub use questions::{Failure, Questions};
pub use source::StoreSource;
