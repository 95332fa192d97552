//! The monitoring specification: what a user asks Vedette to do.
//!
//! [`load`] makes a [`Plan`] of the documents in some texts: rules to evaluate, a policy that says who is
//! told, and an [`Account`] of every single setting. A setting is in force, or it is refused by name
//! because its part of the system is not built; none is ignored. It is pure: texts go in, a plan or
//! [`Problem`]s come out. It evaluates nothing and tells nobody.
//!
//! In reading order: [`Level`] says how bad something is, [`Policy`] what is done about each level, [`Kind`]
//! which documents there are, [`Binding`] what the name of a metric stands for, [`PlannedRule`] what a rule
//! is, [`stock`] which rules are on without being asked for, and [`runbooks`] what to do about their alerts.

mod account;
mod binding;
mod compile;
mod document;
mod duration;
mod kind;
mod level;
mod nearest;
mod plan;
mod policy;
mod problem;
mod rule;
pub mod runbooks;
mod shape;
pub mod stock;
mod tree;
mod trigger;
mod unit;

pub use account::{Account, Effect, Resolved};
pub use binding::{Bad, Binding, Origin, Role, metrics};
pub use compile::conditions;
pub use kind::Kind;
pub use level::{Level, UnknownLevel};
pub use plan::{Fatigue, Need, NeedKind, Plan, Text, load};
pub use policy::{Channel, Escalation, IncidentPolicy, LevelPolicy, Policy, Rung};
pub use problem::{Fault, Place, Problem};
pub use rule::{Action, Missing, PlannedRule};
pub use tree::{BYTES_MAX, DEPTH_MAX, DOCUMENTS_MAX, NODES_MAX};
pub use unit::Unit;
