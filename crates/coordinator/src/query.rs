//! Questions over gRPC, and the store behind the evaluator's seam.

mod api;
mod source;

pub use api::{QueryApi, Questions};
pub use source::StoreSource;
