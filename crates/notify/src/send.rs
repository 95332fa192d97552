//! How each provider is spoken to, and what it may answer.

pub(crate) mod alertmanager;
pub(crate) mod email;
pub(crate) mod pagerduty;
pub(crate) mod slack;
pub(crate) mod twilio;
pub(crate) mod webhook;
