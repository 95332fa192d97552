//! All ways out of the house, by configuration.

mod deliver;
mod open;

use alert::{Delivery, Message, Target};
use spec::{Channel, Policy};

use crate::address::{self, shown};
use crate::config::Config;
use crate::form;
use crate::http::Http;
use crate::send::email::Server;
use crate::templates::Templates;
use crate::words::Words;

/// Why nothing can be sent at all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A key has a value that cannot be used.
    #[error("{key}: {fault}")]
    Key {
        /// The key, with its table.
        key: String,
        /// What is wrong, and what would be right.
        fault: String,
    },
    /// A secret is not there.
    #[error(transparent)]
    Secret(#[from] crate::secret::Error),
    /// A file of templates cannot be read.
    #[error("reading the template {name} in {path}")]
    TemplateFile {
        /// The template.
        name: String,
        /// Its file.
        path: String,
        /// What is wrong.
        #[source]
        source: std::io::Error,
    },
    /// A template cannot be used.
    #[error(transparent)]
    Template(#[from] crate::templates::Error),
    /// There is no client for HTTP.
    #[error(transparent)]
    Http(#[from] crate::http::Error),
}

impl Error {
    /// Whether the same configuration may do later: only secrets come by themselves.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Secret(error) => error.is_retryable(),
            Self::Template(error) => error.is_retryable(),
            Self::Http(error) => error.is_retryable(),
            Self::Key { .. } | Self::TemplateFile { .. } => false,
        }
    }
}

/// In what manner a notification is sent, where that is not in the notification itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manner {
    /// The template, where the policy names one for the channel.
    pub template: Option<String>,
    /// The urgency that the policy asks of PagerDuty: `high` or `low`.
    pub urgency: Option<String>,
    /// What the provider called the first word of this incident to this target: the `provider_id` of the
    /// first that was accepted. Slack puts what follows into its thread.
    pub thread: Option<String>,
}

impl Manner {
    /// The manner that a policy asks for in a channel, without a thread.
    #[must_use]
    pub fn of(policy: &Policy, channel: Channel) -> Self {
        Self {
            template: policy.templates.get(&channel).cloned(),
            urgency: (channel == Channel::Pagerduty)
                .then(|| policy.pagerduty_urgency.clone())
                .flatten(),
            thread: None,
        }
    }

    /// The same in a thread.
    #[must_use]
    pub fn in_thread(mut self, first: Option<String>) -> Self {
        self.thread = first;
        self
    }
}

/// What came of sending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// What the provider said.
    pub delivery: Delivery,
    /// Why the built-in template spoke in the place of the configured one, where it had to; to be counted
    /// and logged by the caller.
    pub template_fault: Option<String>,
}

/// All ways out of the house. It holds no secret: they are read for each message.
#[derive(Debug)]
pub struct Senders {
    config: Config,
    /// Only where something is configured that needs it: a system without authorities can do without.
    http: Option<Http>,
    mail: Option<Server>,
    templates: Templates,
}

impl Senders {
    /// Checks everything that a configuration says, and reads each secret and template once. It blocks
    /// for as long as the disk takes.
    ///
    /// # Errors
    /// The first thing that cannot be used, by its key.
    pub fn open(config: Config) -> Result<Self, Error> {
        open::open(config)
    }

    /// Whether a target can be reached.
    ///
    /// # Errors
    /// What is missing in the configuration, and what to add.
    pub fn can(&self, target: &Target) -> Result<(), String> {
        address::check(target).map_err(|error| error.to_string())?;
        let name = target.address.as_str();
        let config = &self.config;
        let (is_there, missing) = match target.channel {
            Channel::Email => (
                config.email.is_some(),
                "add [notify.email] with server and from".to_owned(),
            ),
            Channel::Slack => (
                config.slack.as_ref().is_some_and(|slack| {
                    slack.token_file.is_some() || slack.webhooks.contains_key(name)
                }),
                format!("add {name:?} to [notify.slack.webhooks], or token_file to [notify.slack]"),
            ),
            Channel::Pagerduty => (
                config
                    .pagerduty
                    .as_ref()
                    .is_some_and(|pagerduty| pagerduty.services.contains_key(name)),
                format!("add {name} to [notify.pagerduty.services] with the file of its key"),
            ),
            Channel::Phone | Channel::Sms => (
                config.phone.is_some(),
                "add [notify.phone] with account_sid, token_file and from".to_owned(),
            ),
            Channel::Webhook => (
                config.webhook.contains_key(name),
                format!("add [notify.webhook.{name}] with url"),
            ),
            Channel::Alertmanager => (
                config.alertmanager.contains_key(name),
                format!("add [notify.alertmanager.{name}] with url"),
            ),
        };
        if is_there {
            Ok(())
        } else {
            Err(format!("{} cannot be reached: {missing}", shown(target)))
        }
    }

    /// What a policy asks for and the configuration does not have: addresses that cannot be reached, and
    /// templates that are not there. Nothing where all is well.
    #[must_use]
    pub fn missing(&self, policy: &Policy) -> Vec<String> {
        let addresses = policy.addresses.iter().flat_map(|(channel, addresses)| {
            addresses.iter().filter_map(|address| {
                let target = Target {
                    channel: *channel,
                    address: address.clone(),
                };
                self.can(&target).err()
            })
        });
        let templates = policy.templates.iter().filter_map(|(channel, name)| {
            let found = self.templates.find(*channel, name);
            found.err().map(|error| error.to_string())
        });
        addresses.chain(templates).collect()
    }

    /// What would be sent, for a person to read. No secret is in it.
    #[must_use]
    pub fn preview(&self, message: &Message, channel: Channel, manner: &Manner) -> String {
        let external_url = self.config.external_url.as_deref();
        let words = Words::new(message, external_url);
        let mut rendering = self
            .templates
            .say(channel, manner.template.as_deref(), &words);
        let json = |bytes: &[u8]| {
            serde_json::from_slice::<serde_json::Value>(bytes)
                .map(|value| format!("{value:#}"))
                .unwrap_or_default()
        };
        match channel {
            Channel::Email => {
                let parts = form::email::parts(&mut rendering);
                format!("Subject: {}\n\n{}", parts.subject, parts.text)
            }
            Channel::Slack => format!("{:#}", form::slack::message(&words, &mut rendering)),
            Channel::Pagerduty => {
                let urgency = manner.urgency.as_deref();
                let event = form::pagerduty::event(message, &words, urgency, &mut rendering);
                format!("{event:#}")
            }
            Channel::Phone => form::twilio::twiml(&mut rendering),
            Channel::Sms => form::twilio::sms(&words, &mut rendering),
            Channel::Webhook => json(&form::webhook::body(message, "preview", external_url)),
            Channel::Alertmanager => {
                let labels = &self.config.external_labels;
                json(&form::alertmanager::body(message, external_url, labels))
            }
        }
    }
}

#[cfg(test)]
mod tests;
