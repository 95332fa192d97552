//! What can be set. `deploy/config/coordinator.toml` is the documentation of every key.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::secret::Source;

/// Where PagerDuty takes events.
const PAGERDUTY_URL: &str = "https://events.pagerduty.com/v2/enqueue";
/// Where Slack's API is.
const SLACK_API_URL: &str = "https://slack.com/api";
/// Where Twilio's API is.
const TWILIO_URL: &str = "https://api.twilio.com";

/// How words leave the house: `[notify]`. What is not configured cannot be used and costs nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// The page of incidents for links in messages; `{incident}` in it stands for the id.
    pub external_url: Option<String>,
    /// Authorities in PEM that are trusted besides those of the system.
    pub ca_file: Option<PathBuf>,
    /// Mail.
    pub email: Option<EmailConfig>,
    /// Slack.
    pub slack: Option<SlackConfig>,
    /// PagerDuty.
    pub pagerduty: Option<PagerDutyConfig>,
    /// Calls and text messages by Twilio.
    pub phone: Option<PhoneConfig>,
    /// Hooks by their names.
    pub webhook: BTreeMap<String, WebhookConfig>,
    /// Alertmanagers by their names.
    pub alertmanager: BTreeMap<String, AlertmanagerConfig>,
    /// Files of templates by the templates' names.
    pub templates: BTreeMap<String, PathBuf>,
    /// Labels that alerts bear in an Alertmanager, where they have none of that name. Whoever reads the
    /// configuration knows them from elsewhere.
    #[serde(skip)]
    pub external_labels: BTreeMap<String, String>,
}

/// How the mail server is spoken to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EmailTls {
    /// In the clear at first, then encrypted; refused where the server cannot.
    #[default]
    Starttls,
    /// Encrypted from the first byte.
    Tls,
    /// In the clear: only to this machine, unless `plaintext` says that it may go further.
    None,
}

/// Mail over SMTP.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EmailConfig {
    /// Name or address of the server.
    pub server: String,
    /// Its port; by default 587 for `starttls`, 465 for `tls`, 25 for `none`.
    pub port: Option<u16>,
    /// How it is spoken to.
    pub tls: EmailTls,
    /// Allows `tls = "none"` beyond this machine.
    pub plaintext: bool,
    /// Whom mail is from: `vedette@example.com` or `Vedette <vedette@example.com>`.
    pub from: String,
    /// The name to log in with; without it nobody logs in.
    pub username: Option<String>,
    /// Its password.
    pub password_file: Option<Source>,
}

impl EmailConfig {
    /// The port that is used.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(match self.tls {
            EmailTls::Starttls => 587,
            EmailTls::Tls => 465,
            EmailTls::None => 25,
        })
    }

    /// Whether the server is on this machine.
    #[must_use]
    pub(crate) fn is_loopback(&self) -> bool {
        self.server == "localhost"
            || self
                .server
                .parse::<IpAddr>()
                .is_ok_and(|address| address.is_loopback())
    }
}

/// Slack: an incoming webhook for each channel, or a token for all of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SlackConfig {
    /// A bot's token with the scope `chat:write`. Channels that have no webhook are written to by it.
    pub token_file: Option<Source>,
    /// The address of an incoming webhook for each channel: `"#ml-alerts" = "FILE"`.
    pub webhooks: BTreeMap<String, Source>,
    /// Where the API is, for the token.
    pub api_url: String,
}

impl Default for SlackConfig {
    fn default() -> Self {
        Self {
            token_file: None,
            webhooks: BTreeMap::new(),
            api_url: SLACK_API_URL.to_owned(),
        }
    }
}

/// PagerDuty: an integration of Events API v2 for each service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PagerDutyConfig {
    /// The integration key of each service.
    pub services: BTreeMap<String, Source>,
    /// Where events are taken.
    pub url: String,
}

impl Default for PagerDutyConfig {
    fn default() -> Self {
        Self {
            services: BTreeMap::new(),
            url: PAGERDUTY_URL.to_owned(),
        }
    }
}

/// Calls and text messages by Twilio, or by what speaks as it does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PhoneConfig {
    /// The account: `AC` and 32 hexadecimal digits.
    pub account_sid: String,
    /// Its auth token.
    pub token_file: Option<Source>,
    /// The number that calls and writes, in E.164: `+4930123456`.
    pub from: String,
    /// Where the API is.
    pub url: String,
}

impl Default for PhoneConfig {
    fn default() -> Self {
        Self {
            account_sid: String::new(),
            token_file: None,
            from: String::new(),
            url: TWILIO_URL.to_owned(),
        }
    }
}

/// A hook that takes Alertmanager's webhook payload.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WebhookConfig {
    /// Where it is, if that is no secret.
    pub url: Option<String>,
    /// Where it is, if that is a secret.
    pub url_file: Option<Source>,
    /// What payloads are signed with; without it they are not.
    pub secret_file: Option<Source>,
}

/// An Alertmanager that takes our alerts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AlertmanagerConfig {
    /// Where it is, without `/api/v2/alerts`.
    pub url: String,
    /// A bearer token for it.
    pub bearer_file: Option<Source>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Receivers;

    #[derive(Deserialize)]
    struct File {
        notify: Config,
        receivers: Receivers,
    }

    /// The text of the example with every key taken out of its comment.
    fn example() -> String {
        include_str!("../../../deploy/config/coordinator.toml")
            .lines()
            .skip_while(|line| *line != "[notify]")
            .map(|line| match line.strip_prefix("# ") {
                Some(rest) if rest.starts_with('[') || is_key(rest) => rest,
                _ => line,
            })
            .map(|line| line.to_owned() + "\n")
            .collect()
    }

    fn is_key(text: &str) -> bool {
        text.split_once(" = ").is_some_and(|(key, _)| {
            key.starts_with('"')
                || key
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || matches!(c, '_' | '-'))
        })
    }

    /// Every key of the example means something, and every key there is stands in the example.
    #[test]
    fn the_example_has_every_key_and_no_other() {
        let text = example();
        let file: File = toml::from_str(&text).unwrap();
        let written: toml::Table = text.parse().unwrap();
        let config = file.notify;
        let read = toml::Table::try_from(&config).unwrap();
        assert_eq!(
            keys(written["notify"].as_table().unwrap()),
            keys(&read),
            "left: the example, right: the program"
        );
        let email = config.email.unwrap();
        assert_eq!(email.port(), 587);
        assert_eq!(config.slack.unwrap().api_url, SLACK_API_URL);
        let pagerduty = config.pagerduty.unwrap();
        assert_eq!(pagerduty.url, PAGERDUTY_URL);
        assert!(pagerduty.services.contains_key("ml-monitoring-service"));
        assert_eq!(config.phone.unwrap().url, TWILIO_URL);
        assert_eq!(
            file.receivers.names().collect::<Vec<_>>(),
            ["manager", "oncall"]
        );
    }

    fn keys(table: &toml::Table) -> Vec<String> {
        let mut all = Vec::new();
        for (key, value) in table {
            if let Some(below) = value.as_table() {
                all.extend(
                    keys(below)
                        .into_iter()
                        .map(|below| format!("{key}.{below}")),
                );
            } else {
                all.push(key.clone());
            }
        }
        all.sort();
        all
    }
}
