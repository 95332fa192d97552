//! Who is told, when, how loudly, and when to stop. Pure state machines: `now` goes in, facts come out.
//!
//! [`rules`] evaluate expressions; a [`Transition`] is what a rule found. A [`Notification`] is one word to
//! one receiver by one channel, kept until it was taken. In between, [`Centre`] makes incidents of alerts and
//! decides who is told. [`template`] fills in the words of rules; [`testing`] runs unit tests of rules.

mod alert;
pub mod centre;
mod float;
mod incident;
mod notification;
mod rehearsal;
pub mod routes;
pub mod rules;
pub mod silence;
pub mod template;
pub mod testing;
mod transition;

pub use alert::{Alert, Also, Held, Join, fingerprint};
pub use centre::Centre;
pub use incident::{Acknowledgement, Climb, Dues, Entry, Incident, Said, Standing, Verdict};
pub use notification::{AlertLine, Delivery, Kind, Message, Notification, Status, Target};
pub use rehearsal::{Rehearsal, rehearse};
pub use routes::{Inhibition, Routes, Timing};
pub use silence::{Condition, ConditionError, Silence};
pub use transition::{State, Transition};
