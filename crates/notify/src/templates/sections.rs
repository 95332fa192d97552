//! Which sections a channel's templates have, and the text of each.

use minijinja::value::Value;
use minijinja::{AutoEscape, Output, State};
use spec::Channel;

use super::Error;

/// The name of Slack's way to escape: `&`, `<` and `>` and no other.
pub(super) const SLACK: &str = "slack";

/// A template that is in the program.
pub(super) struct BuiltIn {
    pub(super) name: &'static str,
    pub(super) channel: Channel,
    pub(super) text: &'static str,
}

/// The templates of all channels that have any.
pub(super) const BUILT_IN: &[BuiltIn] = &[
    BuiltIn {
        name: "alert_email_template",
        channel: Channel::Email,
        text: include_str!("../../templates/alert_email_template.txt"),
    },
    BuiltIn {
        name: "alert_slack_template",
        channel: Channel::Slack,
        text: include_str!("../../templates/alert_slack_template.txt"),
    },
    BuiltIn {
        name: "alert_pagerduty_template",
        channel: Channel::Pagerduty,
        text: include_str!("../../templates/alert_pagerduty_template.txt"),
    },
    BuiltIn {
        name: "alert_phone_template",
        channel: Channel::Phone,
        text: include_str!("../../templates/alert_phone_template.txt"),
    },
    BuiltIn {
        name: "alert_sms_template",
        channel: Channel::Sms,
        text: include_str!("../../templates/alert_sms_template.txt"),
    },
];

/// A section of a channel: its name, and whether it is said once for each alert.
type Place = (Channel, &'static str, bool);

/// The sections that there are; the first but for headings is the main one.
const PLACES: &[Place] = &[
    (Channel::Email, "subject", false),
    (Channel::Email, "text", false),
    (Channel::Email, "html", false),
    (Channel::Slack, "header", false),
    (Channel::Slack, "text", false),
    (Channel::Slack, "alert", true),
    (Channel::Slack, "context", false),
    (Channel::Pagerduty, "summary", false),
    (Channel::Phone, "say", false),
    (Channel::Sms, "text", false),
];

/// One section of a template, for one channel.
pub(crate) struct Section {
    pub(super) channel: Channel,
    pub(super) name: &'static str,
    pub(super) per_alert: bool,
    pub(super) text: String,
}

/// The sections of a channel.
pub(crate) fn of_channel(channel: Channel) -> impl Iterator<Item = &'static str> {
    PLACES
        .iter()
        .filter(move |place| place.0 == channel)
        .map(|place| place.1)
}

/// The section that a text without headings is.
fn main_of(channel: Channel) -> &'static str {
    match channel {
        Channel::Email | Channel::Slack | Channel::Sms => "text",
        Channel::Pagerduty => "summary",
        Channel::Phone => "say",
        Channel::Webhook | Channel::Alertmanager => "",
    }
}

/// Cuts a text at its headings. A section is there once for every channel that has one of that name; a
/// built-in name belongs to its channel alone.
pub(super) fn split(name: &str, text: &str) -> Result<Vec<Section>, Error> {
    let only = BUILT_IN
        .iter()
        .find(|built_in| built_in.name == name)
        .map(|built_in| built_in.channel);
    let places = || {
        PLACES
            .iter()
            .filter(move |place| only.is_none_or(|channel| channel == place.0))
    };
    let mut parts: Vec<(Option<&str>, String)> = vec![(None, String::new())];
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix("=== ") {
            parts.push((Some(heading.trim()), String::new()));
        } else if let Some((_, part)) = parts.last_mut() {
            part.push_str(line);
            part.push('\n');
        }
    }
    let mut sections = Vec::new();
    for (heading, text) in parts {
        if heading.is_none() && text.trim().is_empty() {
            continue;
        }
        let found: Vec<Section> = places()
            .filter(|place| place.1 == heading.unwrap_or_else(|| main_of(place.0)))
            .map(|(channel, name, per_alert)| Section {
                channel: *channel,
                name,
                per_alert: *per_alert,
                text: text.clone(),
            })
            .collect();
        if found.is_empty() {
            let mut known: Vec<&str> = places().map(|place| place.1).collect();
            known.dedup();
            return Err(Error::Sections {
                name: name.to_owned(),
                fault: format!(
                    "there is no section {:?}; sections are {}",
                    heading.unwrap_or_default(),
                    known.join(", ")
                ),
            });
        }
        sections.extend(found);
    }
    Ok(sections)
}

/// Slack takes these three for itself and no other.
#[must_use]
pub(crate) fn escape_slack(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// Writes a value as its section needs it.
pub(super) fn write_escaped(
    out: &mut Output<'_>,
    state: &mut State<'_, '_>,
    value: &Value,
) -> Result<(), minijinja::Error> {
    // What is not there is left out: `none` is a word for programs.
    if value.is_undefined() || value.is_none() {
        return Ok(());
    }
    if matches!(state.auto_escape(), AutoEscape::Custom(name) if name == SLACK) {
        if value.is_safe() {
            return out.write_str(&value.to_string()).map_err(Into::into);
        }
        return out
            .write_str(&escape_slack(&value.to_string()))
            .map_err(Into::into);
    }
    minijinja::escape_formatter(out, state, value)
}
