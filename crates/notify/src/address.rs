//! Addresses, in the terms of each channel.

use std::collections::BTreeMap;

use alert::Target;
use serde::{Deserialize, Serialize};
use spec::Channel;

/// Digits of a number in E.164: the recommendation says 15 at most, and no country has fewer than 5 in all.
const E164_DIGITS: std::ops::RangeInclusive<usize> = 5..=15;
/// Longest name of a Slack channel, without its `#`.
const SLACK_CHANNEL_CHARS_MAX: usize = 80;
/// Longest mail address, after RFC 5321.
const MAIL_BYTES_MAX: usize = 254;
/// Longest name of a service, hook or Alertmanager in the configuration.
const NAME_CHARS_MAX: usize = 200;
/// Most addresses of one receiver: each is a message of its own.
pub const ADDRESSES_MAX: usize = 50;

/// Who is told, by the names that the ladder of escalation uses: `[receivers]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    try_from = "BTreeMap<String, Vec<String>>",
    into = "BTreeMap<String, Vec<String>>"
)]
pub struct Receivers(BTreeMap<String, Vec<Target>>);

/// Text that is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{fault}")]
pub struct AddressError {
    /// What is wrong, and what would be right.
    fault: String,
}

impl AddressError {
    fn new(fault: impl Into<String>) -> Self {
        Self {
            fault: fault.into(),
        }
    }

    /// Never: it must be written differently.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        false
    }
}

impl Receivers {
    /// The addresses of a receiver.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[Target]> {
        self.0.get(name).map(Vec::as_slice)
    }

    /// The receivers' names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Every receiver with its addresses.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[Target])> {
        self.0
            .iter()
            .map(|(name, targets)| (name.as_str(), targets.as_slice()))
    }
}

impl TryFrom<BTreeMap<String, Vec<String>>> for Receivers {
    type Error = AddressError;

    fn try_from(texts: BTreeMap<String, Vec<String>>) -> Result<Self, AddressError> {
        let mut receivers = BTreeMap::new();
        for (name, addresses) in texts {
            if addresses.len() > ADDRESSES_MAX {
                return Err(AddressError::new(format!(
                    "receivers.{name} has {} addresses, {ADDRESSES_MAX} is the most",
                    addresses.len()
                )));
            }
            let mut targets = Vec::new();
            for address in addresses {
                let target = parse(&address)
                    .map_err(|error| AddressError::new(format!("receivers.{name}: {error}")))?;
                if !targets.contains(&target) {
                    targets.push(target);
                }
            }
            receivers.insert(name, targets);
        }
        Ok(Self(receivers))
    }
}

impl From<Receivers> for BTreeMap<String, Vec<String>> {
    fn from(receivers: Receivers) -> Self {
        receivers
            .0
            .into_iter()
            .map(|(name, targets)| (name, targets.iter().map(shown).collect()))
            .collect()
    }
}

/// An address as it is written: `email:oncall@company.com`.
#[must_use]
pub fn shown(target: &Target) -> String {
    format!("{}:{}", target.channel.as_str(), target.address)
}

/// Reads an address as it is written.
///
/// # Errors
/// When it is none.
pub fn parse(text: &str) -> Result<Target, AddressError> {
    let known = || Channel::ALL.map(Channel::as_str).join(", ");
    let (word, address) = text.split_once(':').ok_or_else(|| {
        AddressError::new(format!(
            "{text:?} is no address: write CHANNEL:ADDRESS; channels are {}",
            known()
        ))
    })?;
    let channel = Channel::from_word(word.trim()).ok_or_else(|| {
        AddressError::new(format!(
            "{word:?} in {text:?} is no channel; channels are {}",
            known()
        ))
    })?;
    let target = Target {
        channel,
        address: address.trim().to_owned(),
    };
    check(&target)?;
    Ok(target)
}

/// Whether an address is one in its channel.
///
/// # Errors
/// When it is none.
pub fn check(target: &Target) -> Result<(), AddressError> {
    let address = target.address.as_str();
    match target.channel {
        Channel::Phone | Channel::Sms => number(address),
        Channel::Email => mail(address),
        Channel::Slack => slack(address),
        Channel::Pagerduty | Channel::Webhook | Channel::Alertmanager => {
            let is_name = !address.is_empty()
                && address.chars().count() <= NAME_CHARS_MAX
                && !address.chars().any(char::is_control);
            is_name.then_some(()).ok_or_else(|| {
                AddressError::new(format!(
                    "{address:?} is no name of a {} in the configuration",
                    target.channel.as_str()
                ))
            })
        }
    }
}

/// A number in E.164: a plus, the country, the number, nothing else.
pub(crate) fn number(text: &str) -> Result<(), AddressError> {
    let digits = text.strip_prefix('+').unwrap_or_default();
    if E164_DIGITS.contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && !digits.starts_with('0')
    {
        return Ok(());
    }
    Err(AddressError::new(format!(
        "{text:?} is no number in E.164: write a plus, the country and the number, digits alone, such as +4930123456"
    )))
}

fn mail(text: &str) -> Result<(), AddressError> {
    if text.len() <= MAIL_BYTES_MAX && text.parse::<lettre::Address>().is_ok() {
        return Ok(());
    }
    Err(AddressError::new(format!(
        "{text:?} is no mail address such as oncall@company.com"
    )))
}

/// `#name` or a channel's id, which is what a name that people change needs.
fn slack(text: &str) -> Result<(), AddressError> {
    let name = text.strip_prefix('#').unwrap_or_default();
    let is_name = !name.is_empty()
        && name.chars().count() <= SLACK_CHANNEL_CHARS_MAX
        && name
            .chars()
            .all(|c| c.is_alphanumeric() && !c.is_uppercase() || c == '-' || c == '_');
    let is_id = text.len() >= 9
        && text.starts_with(['C', 'G', 'D'])
        && text
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    if is_name || is_id {
        return Ok(());
    }
    Err(AddressError::new(format!(
        "{text:?} is no channel of Slack: write its name such as #ml-alerts, or its id such as C024BE91L"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written() {
        for text in [
            "pagerduty:ml-monitoring-service",
            "phone:+4912345678",
            "sms:+12025550123",
            "slack:#ml-alerts",
            "slack:C024BE91L",
            "email:oncall@company.com",
            "webhook:bridge",
            "alertmanager:central",
        ] {
            assert_eq!(shown(&parse(text).unwrap()), text);
        }
    }

    #[test]
    fn what_is_no_address_is_refused_and_told() {
        for (text, told) in [
            (
                "oncall",
                "write CHANNEL:ADDRESS; channels are pagerduty, phone,",
            ),
            (
                "fax:+4912345678",
                "\"fax\" in \"fax:+4912345678\" is no channel",
            ),
            ("phone:004912345678", "no number in E.164"),
            ("phone:+49 123 45678", "no number in E.164"),
            ("sms:+1234567890123456", "no number in E.164"),
            ("email:oncall", "no mail address"),
            ("email:a@b.c\r\nBcc: x@y.z", "no mail address"),
            ("slack:ml-alerts", "write its name such as #ml-alerts"),
            ("slack:#ML Alerts", "write its name such as #ml-alerts"),
            ("webhook:", "no name of a webhook"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(told), "{text}: {error}");
        }
    }

    #[test]
    fn receivers_are_named_in_errors_and_hold_each_address_once() {
        let receivers = |addresses: &[&str]| {
            let addresses = addresses.iter().map(|text| (*text).to_owned()).collect();
            Receivers::try_from(BTreeMap::from([("oncall".to_owned(), addresses)]))
        };
        let twice = receivers(&["sms:+12025550123", "sms: +12025550123"]).unwrap();
        assert_eq!(twice.get("oncall").unwrap().len(), 1);
        assert_eq!(twice.get("nobody"), None);
        let error = receivers(&["sms:1"]).unwrap_err().to_string();
        assert!(
            error.starts_with("receivers.oncall: \"1\" is no number"),
            "{error}"
        );
        let many = vec!["webhook:a"; ADDRESSES_MAX + 1];
        assert!(receivers(&many).is_err());
    }
}
