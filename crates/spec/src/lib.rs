//! The monitoring specification: what a user asks Vedette to do.
//!
//! In reading order: [`Level`] says how bad something is, [`Policy`] what is done about each level.

mod level;
mod policy;

pub use level::{Level, UnknownLevel};
pub use policy::{Channel, Escalation, IncidentPolicy, LevelPolicy, Policy, Rung};
