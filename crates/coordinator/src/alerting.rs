//! From a rule to a person: the tasks, timers and sockets around [`alert`].
//!
//! The [`Office`] is all of it. [`Book`] says which rules are in force and who is told; [`Rules`] evaluates
//! them on time. The [`Desk`] is the one task that owns what is known of alerts, incidents and notifications. Whatever it
//! decides is a synced row before anything is sent.

mod api;
mod backtest;
mod book;
mod carrier;
mod completeness;
mod desk;
mod duty;
mod edge;
mod heartbeat;
mod memory;
mod metrics;
mod office;
mod outposts;
mod own;
mod recorder;
mod rules;
mod show;
mod view;

pub use api::AlertApi;
pub use book::{Book, BookError, Document};
pub use carrier::Providers;
pub use desk::{Carrier, Desk, DeskError};
pub use duty::DutyApi;
pub use edge::{Edge, InForce};
pub use metrics::AlertingMetrics;
pub use office::{Ground, Office, OfficeError};
pub use outposts::Outposts;
pub use recorder::Recorder;
pub use rules::{Parts, Rules};
pub use view::{ActiveAlert, RuleGroupView};
