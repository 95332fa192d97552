//! The dashboards in `deploy/grafana`: whole, and each query of theirs answered by a coordinator that
//! is fed with what agents, servers and the programs themselves really tell.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper fails its test by panicking"
)]

mod answers;
mod board;
mod expression;
mod host;
mod pages;
mod shape;
