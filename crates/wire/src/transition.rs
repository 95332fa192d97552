//! Rules at the edge, checked: what an agent is given to run, and what it finds.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message as _;

use crate::ingest::ProtocolError;
use crate::proto;

/// Longest version of rules, in bytes.
pub const RULES_VERSION_BYTES_MAX: usize = 64;
/// Most rules that an agent runs.
pub const RULES_MAX: usize = 1000;
/// Most bytes of their text.
pub const RULES_BYTES_MAX: usize = 1024 * 1024;
/// Most alerts of a [`RulesRun`].
pub const FIRING_MAX: usize = 1000;
/// Most bytes of a transition.
pub const TRANSITION_BYTES_MAX: usize = 64 * 1024;

const LABELS_MAX: usize = 64;
const ANNOTATIONS_MAX: usize = 256;
const NAME_BYTES_MAX: usize = 1024;
const STATES: [&str; 3] = ["inactive", "pending", "firing"];
const LEVELS: [&str; 4] = ["critical", "high", "medium", "low"];

fn invalid(field: &'static str, problem: &'static str) -> ProtocolError {
    ProtocolError::Invalid { field, problem }
}

/// A checked [`proto::AlertTransition`].
#[derive(Clone, Debug, PartialEq)]
pub struct AlertTransition {
    /// The rule, `group/rule`.
    pub rule: String,
    /// What names the alert.
    pub labels: BTreeMap<String, String>,
    /// What is said of it.
    pub annotations: BTreeMap<String, String>,
    /// `critical`, `high`, `medium` or `low`.
    pub level: String,
    /// `inactive`, `pending` or `firing`.
    pub from: String,
    /// The same words.
    pub to: String,
    /// The value that the condition was last seen to hold with.
    pub value: f64,
    /// When, in milliseconds since the Unix epoch.
    pub at_millis: i64,
    /// Since when the condition holds.
    pub active_millis: i64,
    /// When the newest sample behind it was taken, where that is known.
    pub sample_millis: Option<i64>,
}

// Two that were read from the same bytes are the same, NaN or not.
impl Eq for AlertTransition {}

impl TryFrom<proto::AlertTransition> for AlertTransition {
    type Error = ProtocolError;
    fn try_from(alert: proto::AlertTransition) -> Result<Self, ProtocolError> {
        if alert.encoded_len() > TRANSITION_BYTES_MAX {
            return Err(invalid("alert", "is longer than 64 KiB"));
        }
        if alert.rule.is_empty() || alert.rule.len() > NAME_BYTES_MAX {
            return Err(invalid("alert.rule", "is not 1 to 1024 bytes"));
        }
        if alert.labels.len() > LABELS_MAX || alert.annotations.len() > ANNOTATIONS_MAX {
            return Err(invalid(
                "alert",
                "has more than 64 labels or 256 annotations",
            ));
        }
        let mut names = alert.labels.keys().chain(alert.annotations.keys());
        if names.any(|name| !series::labels::is_label_name(name)) {
            return Err(invalid("alert", "has a name that is not a label name"));
        }
        if !LEVELS.contains(&alert.level.as_str()) {
            return Err(invalid("alert.level", "is not a known level"));
        }
        let is_state = |word: &String| STATES.contains(&word.as_str());
        if !is_state(&alert.from) || !is_state(&alert.to) {
            return Err(invalid("alert.to", "is not a known state"));
        }
        Ok(Self {
            rule: alert.rule,
            labels: alert.labels.into_iter().collect(),
            annotations: alert.annotations.into_iter().collect(),
            level: alert.level,
            from: alert.from,
            to: alert.to,
            value: alert.value,
            at_millis: alert.at_millis,
            active_millis: alert.active_millis,
            sample_millis: (alert.sample_millis > 0).then_some(alert.sample_millis),
        })
    }
}

impl From<AlertTransition> for proto::AlertTransition {
    fn from(alert: AlertTransition) -> Self {
        Self {
            rule: alert.rule,
            labels: alert.labels,
            annotations: alert.annotations,
            level: alert.level,
            from: alert.from,
            to: alert.to,
            value: alert.value,
            at_millis: alert.at_millis,
            active_millis: alert.active_millis,
            sample_millis: alert.sample_millis.unwrap_or(0),
        }
    }
}

/// A checked [`proto::RulesRun`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RulesRun {
    /// The version that the rules are of; empty when the agent has none.
    pub version: String,
    /// The rules that run.
    pub rules: BTreeSet<String>,
    /// What fires by them.
    pub firing: Vec<AlertTransition>,
    /// Whether that is all that fires.
    pub firing_is_whole: bool,
    /// The agent's wall clock when this was so.
    pub wall_millis: i64,
    /// Why the rules given last are not run.
    pub refusal: String,
}

impl TryFrom<proto::RulesRun> for RulesRun {
    type Error = ProtocolError;
    fn try_from(run: proto::RulesRun) -> Result<Self, ProtocolError> {
        check_version(&run.version)?;
        if run.rules.len() > RULES_MAX || run.firing.len() > FIRING_MAX {
            return Err(invalid("rules_run", "has more than 1000 rules or alerts"));
        }
        if run.rules.iter().any(|rule| rule.len() > NAME_BYTES_MAX) {
            return Err(invalid("rules_run.rules", "hold a name longer than 1 KiB"));
        }
        let firing = run.firing.into_iter().map(AlertTransition::try_from);
        Ok(Self {
            version: run.version,
            rules: run.rules.into_iter().collect(),
            firing: firing.collect::<Result<_, _>>()?,
            firing_is_whole: run.firing_is_whole,
            wall_millis: run.wall_millis,
            refusal: run.refusal.chars().take(NAME_BYTES_MAX).collect(),
        })
    }
}

pub(crate) fn check_version(version: &str) -> Result<(), ProtocolError> {
    if version.len() > RULES_VERSION_BYTES_MAX {
        return Err(invalid("rules_version", "is longer than 64 bytes"));
    }
    Ok(())
}

/// A checked [`proto::EdgeRules`]. Whether the texts are rules is for who reads them to say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EdgeRules {
    /// The same for the same rules and settings.
    pub version: String,
    /// Names of files, and their texts.
    pub files: Vec<(String, String)>,
    /// For templates.
    pub external_url: String,
    /// For templates.
    pub external_labels: BTreeMap<String, String>,
    /// How far back a selector looks for a sample.
    pub lookback_millis: i64,
}

impl TryFrom<proto::EdgeRules> for EdgeRules {
    type Error = ProtocolError;
    fn try_from(rules: proto::EdgeRules) -> Result<Self, ProtocolError> {
        if rules.version.is_empty() {
            return Err(ProtocolError::Missing {
                field: "rules.version",
            });
        }
        check_version(&rules.version)?;
        let bytes = rules
            .files
            .iter()
            .map(|file| file.text.len())
            .sum::<usize>();
        if bytes > RULES_BYTES_MAX || rules.files.len() > RULES_MAX {
            return Err(invalid("rules.files", "are more than 1 MiB or 1000"));
        }
        if rules
            .files
            .iter()
            .any(|file| file.name.len() > NAME_BYTES_MAX)
            || rules.external_url.len() > NAME_BYTES_MAX
            || rules.external_labels.len() > LABELS_MAX
        {
            return Err(invalid(
                "rules",
                "has a name longer than 1 KiB or more than 64 labels",
            ));
        }
        let lookback = i64::try_from(rules.lookback_millis).unwrap_or(i64::MAX);
        Ok(Self {
            version: rules.version,
            files: rules
                .files
                .into_iter()
                .map(|file| (file.name, file.text))
                .collect(),
            external_url: rules.external_url,
            external_labels: rules.external_labels.into_iter().collect(),
            // A day is more than any window; nothing is not a way to look back.
            lookback_millis: lookback.clamp(1, 86_400_000),
        })
    }
}

impl From<EdgeRules> for proto::EdgeRules {
    fn from(rules: EdgeRules) -> Self {
        let files = rules.files.into_iter();
        Self {
            version: rules.version,
            files: files
                .map(|(name, text)| proto::EdgeRuleFile { name, text })
                .collect(),
            external_url: rules.external_url,
            external_labels: rules.external_labels.into_iter().collect(),
            lookback_millis: rules.lookback_millis.max(0).cast_unsigned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert() -> proto::AlertTransition {
        proto::AlertTransition {
            rule: "g/A".to_owned(),
            labels: [("node".to_owned(), "n".to_owned())].into(),
            level: "high".to_owned(),
            from: "inactive".to_owned(),
            to: "firing".to_owned(),
            value: f64::NAN,
            at_millis: 7,
            ..Default::default()
        }
    }

    #[test]
    fn each_fault_of_a_transition_is_named() {
        let good = AlertTransition::try_from(alert()).unwrap();
        assert_eq!(good.sample_millis, None);
        assert_eq!(proto::AlertTransition::from(good).rule, "g/A");
        let refused = |change: fn(&mut proto::AlertTransition)| {
            let mut alert = alert();
            change(&mut alert);
            AlertTransition::try_from(alert).unwrap_err().to_string()
        };
        assert!(refused(|a| a.rule.clear()).starts_with("alert.rule"));
        assert!(refused(|a| a.level = "red".to_owned()).starts_with("alert.level"));
        assert!(refused(|a| a.to = "gone".to_owned()).starts_with("alert.to"));
        assert!(
            refused(|a| drop(a.labels.insert("a-b".to_owned(), String::new())))
                .contains("not a label name")
        );
        assert!(
            refused(|a| a.annotations = [("s".to_owned(), "x".repeat(70_000))].into())
                .contains("64 KiB")
        );
    }

    #[test]
    fn rules_without_a_version_or_without_end_are_refused() {
        let rules = |version: &str, bytes: usize| proto::EdgeRules {
            version: version.to_owned(),
            files: vec![proto::EdgeRuleFile {
                name: "f".to_owned(),
                text: " ".repeat(bytes),
            }],
            ..Default::default()
        };
        assert!(EdgeRules::try_from(rules("", 1)).is_err());
        assert!(EdgeRules::try_from(rules("v", RULES_BYTES_MAX + 1)).is_err());
        let good = EdgeRules::try_from(rules("v", 1)).unwrap();
        assert_eq!(good.lookback_millis, 1);
        let many = proto::RulesRun {
            rules: vec![String::new(); RULES_MAX + 1],
            ..Default::default()
        };
        assert!(RulesRun::try_from(many).is_err());
    }
}
