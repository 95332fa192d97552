//! What the programs promise, held by running them.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::float_cmp,
    reason = "a helper fails its test by panicking; what a run came to is printed; counts are exact"
)]

mod access;
mod alerting;
mod answers;
mod edge;
mod exit_codes;
mod gaps;
mod gpu;
mod hostile;
mod join;
mod lifecycle;
mod limits;
mod outages;
mod services;
mod slow;
mod survival;
