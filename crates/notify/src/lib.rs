//! Words out of the house: a [`alert::Notification`] in the form of its channel, handed to the provider.
//!
//! [`Senders`] does it all: [`Senders::open`] checks the configuration, [`Senders::can`] says whether a
//! target can be reached, [`Senders::send`] hands one notification over and says what came of it. It does not
//! queue, wait, repeat or remember: who owns the notifications does.
//!
//! Delivery is at least once. What was taken and not heard of is sent again: PagerDuty knows it by its
//! `dedup_key`, mail by its `Message-ID`, hooks by the header `Idempotency-Key`; Slack and the telephone have
//! no such key, and say it twice.
//!
//! | module | holds |
//! |---|---|
//! | `config` | what can be set |
//! | `address` | addresses in the terms of each channel, and the receivers that have them |
//! | `secret` | where secrets are |
//! | `words` | a message in words, bounded |
//! | `templates` | what is said, by templates built in and configured |
//! | `form` | the body that each provider takes, within its limits |
//! | `http` | one request, and what its answer means |
//! | `send` | how each provider is spoken to |
//! | `senders` | all of it, by configuration |

mod address;
mod bounds;
mod config;
pub mod example;
mod form;
mod http;
mod secret;
mod send;
mod senders;
mod templates;
mod when;
mod words;

pub use address::{ADDRESSES_MAX, AddressError, Receivers, check, parse, shown};
pub use config::{
    AlertmanagerConfig, Config, EmailConfig, EmailTls, PagerDutyConfig, PhoneConfig, SlackConfig,
    WebhookConfig,
};
pub use http::Error as HttpError;
pub use secret::{Error as SecretError, Source};
pub use senders::{Error, Manner, Senders, Sent};
pub use templates::{Error as TemplateError, built_in};
pub use words::{AlertWords, Words};
