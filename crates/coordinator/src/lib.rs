//! The centre: receive → check → journal → answer.
//!
//! This crate is wiring. What is decided is decided in the crates below it; here are the tasks,
//! sockets, timers, logs and counters:
//!
//! - [`net`]: connections and their handshakes; [`access`]: who may do what and how often, and the audit
//!   log; [`rate`]: how often is too often;
//! - [`ingest`]: the streams of the agents, checked at the door and handed to the [`writer`];
//! - [`join`]: certificates for agents;
//! - [`writer`]: the one thread that commits, many batches with one sync;
//! - [`upkeep`]: flushing the head and dropping old days, on time;
//! - [`fleet`]: who is there; [`events`]: what happened on the nodes;
//! - [`query`]: questions and their gRPC face; [`http`]: health, metrics and the Prometheus API;
//! - [`alerting`]: rules, incidents and those who are told;
//! - [`admin`]: what operators see of the coordinator itself;
//! - [`run`]: all of it together, from start to drain.

pub mod access;
pub mod admin;
pub mod alerting;
pub mod config;
pub mod coverage;
pub mod events;
pub mod families;
pub mod fleet;
pub mod health;
pub mod http;
pub mod ingest;
pub mod join;
pub mod losses;
pub mod metrics;
pub mod net;
pub mod query;
pub mod rate;
pub mod run;
pub mod status;
pub mod upkeep;
pub mod writer;

pub use config::Config;
