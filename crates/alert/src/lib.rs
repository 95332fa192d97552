//! Who is told, when, how loudly, and when to stop. Pure state machines: `now` goes in, facts come out.
//!
//! [`rules`] evaluate expressions; a [`Transition`] is what a rule found. A [`Notification`] is one word to
//! one receiver by one channel, kept until it was taken. [`template`] fills in the words of rules;
//! [`testing`] runs unit tests of rules.

mod float;
mod notification;
pub mod rules;
pub mod template;
pub mod testing;
mod transition;

pub use notification::{AlertLine, Delivery, Kind, Message, Notification, Status, Target};
pub use transition::{State, Transition};
