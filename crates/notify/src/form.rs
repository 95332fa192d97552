//! What is said, in the form of each channel. Pure: words go in, a body comes out; no secret is in it.

pub(crate) mod alertmanager;
pub(crate) mod email;
pub(crate) mod pagerduty;
mod payload;
pub(crate) mod slack;
pub(crate) mod twilio;
pub(crate) mod webhook;

#[cfg(test)]
mod tests;
