//! The ingest contract, checked: what an agent may say and how much of it.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::ops::RangeInclusive;

use bytes::Bytes;
use series::limits::BLOCK_COLUMNS_MAX;

use crate::proto;
use crate::transition::AlertTransition;

/// Most labels an agent may say of its node.
pub const HELLO_LABELS_MAX: usize = 32;
/// Most blocks in one batch: targets of one node in one interval.
pub const BLOCKS_PER_BATCH_MAX: usize = 4096;
/// Longest summary of an event, in bytes.
pub const EVENT_SUMMARY_BYTES_MAX: usize = 1024;
/// Most labels of an event.
pub const EVENT_LABELS_MAX: usize = 32;
/// What kinds of event there are.
pub const EVENT_KINDS: [&str; 8] = [
    "gpu_xid",
    "collector_down",
    "collector_up",
    "agent_started",
    "agent_throttled",
    "spool_damaged",
    ALERT_FIRING,
    ALERT_RESOLVED,
];
/// The kind of an event that says that an alert began to fire.
pub const ALERT_FIRING: &str = "alert_firing";
/// The kind of an event that says that an alert is over.
pub const ALERT_RESOLVED: &str = "alert_resolved";
/// How bad an event may be.
pub const EVENT_SEVERITIES: [&str; 3] = ["info", "warning", "critical"];

/// Why an agent may have lost batches.
pub const LOSS_REASONS: [&str; 5] = ["full", "damaged", "missing", "unwritten", "undecodable"];

const AGENT_ID_BYTES_MAX: usize = 128;
const EVENT_ID_BYTES_MAX: usize = 64;
const VERSION_BYTES_MAX: usize = 64;
const LABEL_TEXT_BYTES_MAX: usize = 1024;

/// What is wrong with a message. The sender has a bug or means harm; sending it again is no use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// A field that must be there is not.
    #[error("{field} is missing")]
    Missing {
        /// The field, by its path in the message.
        field: &'static str,
    },
    /// A field holds what it may not.
    #[error("{field} {problem}")]
    Invalid {
        /// The field, by its path in the message.
        field: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The other side speaks a protocol that this side does not.
    #[error("protocol {got} is not spoken here, only {} is", crate::PROTOCOL)]
    Version {
        /// What the other side speaks.
        got: u32,
    },
}

impl ProtocolError {
    /// Whether the same message could be taken later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Missing { .. } | Self::Invalid { .. } | Self::Version { .. } => false,
        }
    }
}

fn invalid(field: &'static str, problem: &'static str) -> ProtocolError {
    ProtocolError::Invalid { field, problem }
}

/// The name of an agent: 1 to 128 bytes of `[A-Za-z0-9._:-]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AgentId(String);

impl AgentId {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for AgentId {
    type Error = ProtocolError;
    fn try_from(id: String) -> Result<Self, ProtocolError> {
        if id.is_empty() {
            return Err(ProtocolError::Missing { field: "agent_id" });
        }
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._:-".contains(&b);
        if id.len() > AGENT_ID_BYTES_MAX || !id.bytes().all(allowed) {
            return Err(invalid(
                "agent_id",
                "is not 1 to 128 characters of A-Z a-z 0-9 . _ : -",
            ));
        }
        Ok(Self(id))
    }
}

impl std::fmt::Display for AgentId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// A checked [`proto::Hello`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Who speaks.
    pub agent_id: AgentId,
    /// The life of its spool.
    pub epoch: NonZeroU64,
    /// What it says of its node.
    pub labels: BTreeMap<String, String>,
    /// Version of its program.
    pub version: String,
    /// Its wall clock, in milliseconds since the Unix epoch.
    pub wall_millis: i64,
    /// The lowest sequence that it can still say something of; none from an agent of before, which sends
    /// in order.
    pub oldest_sequence: Option<NonZeroU64>,
    /// Whether it runs rules that it is given.
    pub runs_rules: bool,
    /// The version of the rules that it has; empty when it has none.
    pub rules_version: String,
}

impl TryFrom<proto::Hello> for Hello {
    type Error = ProtocolError;
    fn try_from(hello: proto::Hello) -> Result<Self, ProtocolError> {
        if hello.protocol != crate::PROTOCOL {
            return Err(ProtocolError::Version {
                got: hello.protocol,
            });
        }
        if hello.version.len() > VERSION_BYTES_MAX {
            return Err(invalid("version", "is longer than 64 bytes"));
        }
        if hello.labels.len() > HELLO_LABELS_MAX {
            return Err(invalid("labels", "are more than 32"));
        }
        check_texts("labels", &hello.labels)?;
        crate::transition::check_version(&hello.rules_version)?;
        Ok(Self {
            agent_id: hello.agent_id.try_into()?,
            epoch: NonZeroU64::new(hello.epoch).ok_or(ProtocolError::Missing { field: "epoch" })?,
            labels: hello.labels,
            version: hello.version,
            wall_millis: hello.wall_millis,
            oldest_sequence: NonZeroU64::new(hello.oldest_sequence),
            runs_rules: hello.runs_rules,
            rules_version: hello.rules_version,
        })
    }
}

fn check_texts(
    field: &'static str,
    labels: &BTreeMap<String, String>,
) -> Result<(), ProtocolError> {
    if labels
        .keys()
        .any(|name| !series::labels::is_label_name(name))
    {
        return Err(invalid(field, "hold a name that is not a label name"));
    }
    if labels
        .values()
        .any(|value| value.len() > LABEL_TEXT_BYTES_MAX)
    {
        return Err(invalid(field, "hold a value longer than 1 KiB"));
    }
    Ok(())
}

/// A checked [`proto::Batch`]. What its columns hold is checked when they are decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Its place in the epoch.
    pub sequence: NonZeroU64,
    /// The first of the sequences that it stands for, its own being the last.
    pub first_sequence: NonZeroU64,
    /// Its blocks.
    pub blocks: Vec<Block>,
    /// The agent's clocks as it was sent.
    pub clocks: Option<proto::Clocks>,
    /// Whether only about a sample a minute is left of each series.
    pub thinned: bool,
}

/// A block of a [`Batch`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The series of its columns, as numbers of the stream's definitions.
    pub series_refs: Vec<u32>,
    /// Its encoded columns.
    pub columns: Bytes,
}

impl TryFrom<proto::Batch> for Batch {
    type Error = ProtocolError;
    fn try_from(batch: proto::Batch) -> Result<Self, ProtocolError> {
        let sequence = NonZeroU64::new(batch.sequence).ok_or(ProtocolError::Missing {
            field: "batch.sequence",
        })?;
        if batch.blocks.len() > BLOCKS_PER_BATCH_MAX {
            return Err(invalid("batch.blocks", "are more than 4096"));
        }
        if batch
            .blocks
            .iter()
            .any(|block| block.series_refs.len() > BLOCK_COLUMNS_MAX)
        {
            return Err(invalid(
                "batch.blocks.series_refs",
                "are more than a block may hold",
            ));
        }
        let blocks = batch
            .blocks
            .into_iter()
            .map(|block| Block {
                series_refs: block.series_refs,
                columns: block.columns,
            })
            .collect();
        let first_sequence = NonZeroU64::new(batch.first_sequence).unwrap_or(sequence);
        if first_sequence > sequence {
            return Err(invalid("batch.first_sequence", "is after its own"));
        }
        Ok(Self {
            sequence,
            first_sequence,
            blocks,
            clocks: batch.clocks,
            thinned: batch.thinned,
        })
    }
}

/// A checked [`proto::Loss`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The sequences, both ends inside.
    pub sequences: RangeInclusive<u64>,
    /// One of [`LOSS_REASONS`].
    pub reason: String,
    /// Times of the first and the last sample, in milliseconds since the Unix epoch, if they are known.
    pub span: Option<(i64, i64)>,
}

impl TryFrom<proto::Loss> for Loss {
    type Error = ProtocolError;
    fn try_from(loss: proto::Loss) -> Result<Self, ProtocolError> {
        let (first, last) = (loss.first_sequence, loss.last_sequence);
        if first == 0 || last < first || last == u64::MAX {
            return Err(invalid("loss.last_sequence", "is before the first"));
        }
        if !LOSS_REASONS.contains(&loss.reason.as_str()) {
            return Err(invalid("loss.reason", "is not a known reason"));
        }
        let (from, to) = (loss.first_millis, loss.last_millis);
        if to < from {
            return Err(invalid("loss.last_millis", "is before the first"));
        }
        Ok(Self {
            sequences: first..=last,
            reason: loss.reason,
            span: (to > 0).then_some((from, to)),
        })
    }
}

/// A checked [`proto::Event`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Unique in the agent's life.
    pub id: String,
    /// When it was seen, in milliseconds since the Unix epoch.
    pub at_millis: i64,
    /// One of [`EVENT_KINDS`].
    pub kind: String,
    /// One of [`EVENT_SEVERITIES`].
    pub severity: String,
    /// What happened, for a person.
    pub summary: String,
    /// Details.
    pub labels: BTreeMap<String, String>,
    /// Of an alert that began or ceased to fire, all that is known of that.
    pub alert: Option<AlertTransition>,
}

impl TryFrom<proto::Event> for Event {
    type Error = ProtocolError;
    fn try_from(event: proto::Event) -> Result<Self, ProtocolError> {
        if event.id.is_empty() || event.id.len() > EVENT_ID_BYTES_MAX {
            return Err(invalid("event.id", "is not 1 to 64 bytes"));
        }
        if !EVENT_KINDS.contains(&event.kind.as_str()) {
            return Err(invalid("event.kind", "is not a known kind"));
        }
        if !EVENT_SEVERITIES.contains(&event.severity.as_str()) {
            return Err(invalid(
                "event.severity",
                "is not info, warning or critical",
            ));
        }
        if event.summary.len() > EVENT_SUMMARY_BYTES_MAX {
            return Err(invalid("event.summary", "is longer than 1 KiB"));
        }
        if event.labels.len() > EVENT_LABELS_MAX {
            return Err(invalid("event.labels", "are more than 32"));
        }
        check_texts("event.labels", &event.labels)?;
        Ok(Self {
            id: event.id,
            at_millis: event.at_millis,
            kind: event.kind,
            severity: event.severity,
            summary: event.summary,
            labels: event.labels,
            alert: event.alert.map(AlertTransition::try_from).transpose()?,
        })
    }
}

impl From<Event> for proto::Event {
    fn from(event: Event) -> Self {
        Self {
            id: event.id,
            at_millis: event.at_millis,
            kind: event.kind,
            severity: event.severity,
            summary: event.summary,
            labels: event.labels,
            alert: event.alert.map(proto::AlertTransition::from),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello() -> proto::Hello {
        proto::Hello {
            protocol: crate::PROTOCOL,
            agent_id: "node-1".to_owned(),
            epoch: 7,
            oldest_sequence: 1,
            ..Default::default()
        }
    }

    #[test]
    fn a_good_hello_passes() {
        assert_eq!(
            Hello::try_from(hello()).unwrap().agent_id.as_str(),
            "node-1"
        );
    }

    #[test]
    fn each_fault_of_a_hello_is_named() {
        let refused = |change: fn(&mut proto::Hello)| {
            let mut hello = hello();
            change(&mut hello);
            Hello::try_from(hello).unwrap_err().to_string()
        };
        assert_eq!(
            refused(|h| h.protocol = 9),
            "protocol 9 is not spoken here, only 1 is"
        );
        assert_eq!(refused(|h| h.epoch = 0), "epoch is missing");
        assert_eq!(refused(|h| h.agent_id.clear()), "agent_id is missing");
        assert!(refused(|h| h.agent_id = "a b".to_owned()).starts_with("agent_id is not"));
        assert!(
            refused(|h| h.labels = BTreeMap::from([("a-b".to_owned(), String::new())]))
                .starts_with("labels hold a name")
        );
    }

    #[test]
    fn a_batch_without_a_sequence_is_refused() {
        assert!(Batch::try_from(proto::Batch::default()).is_err());
    }

    #[test]
    fn a_loss_of_nothing_or_for_no_reason_is_refused() {
        let good = proto::Loss {
            first_sequence: 3,
            last_sequence: 3,
            reason: "full".to_owned(),
            ..Default::default()
        };
        assert!(Loss::try_from(good.clone()).is_ok());
        let refused = |change: fn(&mut proto::Loss)| {
            let mut loss = good.clone();
            change(&mut loss);
            Loss::try_from(loss).is_err()
        };
        assert!(refused(|it| it.first_sequence = 0));
        assert!(refused(|it| it.last_sequence = 2));
        assert!(refused(|it| it.last_sequence = u64::MAX));
        assert!(refused(|it| it.reason = "bored".to_owned()));
        assert!(refused(|it| it.first_millis = 1));
    }

    #[test]
    fn an_event_of_an_unknown_kind_is_refused() {
        let event = proto::Event {
            id: "1".to_owned(),
            kind: "rumour".to_owned(),
            ..Default::default()
        };
        assert!(Event::try_from(event).is_err());
    }
}
