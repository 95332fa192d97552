//! Simulated inference servers: what vLLM would say of itself under a plausible load.
//!
//! Each [`node::Node`] is a small model of one vLLM engine: requests arrive ([`workload`]), wait,
//! are batched continuously, prefill, decode, are preempted when the KV cache is full, and finish
//! ([`engine`]). Nothing is drawn from a curve: every number on the page is counted from the same
//! requests, so the numbers agree with one another as those of a real server do.
//!
//! What it promises: the same seed and the same times give the same page, however often it is
//! asked for; counters and histograms never go back. What it does not do: it serves no tokens,
//! and its speeds are round figures of the right size, not a benchmark of any hardware.
//!
//! Everything here is plain code that takes the time as an argument; the program around it owns
//! the clock and the sockets.

pub mod engine;
pub mod gpu;
pub mod histogram;
pub mod node;
pub mod page;
pub mod profile;
pub mod rng;
pub mod workload;
