//! What agents have lost for good: durable, with the reason, in the same write that settles it.

use serde::{Deserialize, Serialize};
use store::{Note, Store};
use wire::ingest::{AgentId, LOSS_REASONS};

/// State space of losses. Never reused for anything else.
const SPACE: u8 = 5;

/// Most losses of one agent that are listed.
pub const LISTED_MAX: usize = 10_000;

/// Why nothing of a batch could be taken here.
pub const REFUSED: &str = "refused";
/// The agent no longer has what it was told is durable here, and it is not: this store is older than
/// the one that said so.
pub const FORGOTTEN: &str = "forgotten";

/// Detail is lost: the agent's spool was full, and about a sample a minute is here.
pub const THINNED: &str = "thinned";

/// Samples of it are of a time that has not come, and were left out; the others are here.
pub const FUTURE: &str = "future";

/// A part of it could not be used; the rest is here.
pub const REFUSED_PART: &str = "refused_part";

/// Samples of it are of series for which there is no room; the others are here.
pub const SERIES_REFUSED: &str = "series_refused";

/// Rows of which the times are no farther apart may be one.
const JOIN_WITHIN_MILLIS: i64 = 120_000;

/// All reasons: those of agents, then our own.
pub const REASONS: [&str; 11] = {
    let [full, damaged, missing, unwritten, undecodable] = LOSS_REASONS;
    [
        full,
        damaged,
        missing,
        unwritten,
        undecodable,
        REFUSED,
        FORGOTTEN,
        THINNED,
        FUTURE,
        REFUSED_PART,
        SERIES_REFUSED,
    ]
};

/// What a row holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Row {
    reason: String,
    span: Option<(i64, i64)>,
    declared_millis: i64,
}

/// Batches that are lost for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Of which of the agent's epochs.
    pub epoch: u64,
    /// The first sequence.
    pub first: u64,
    /// The last sequence, inside.
    pub last: u64,
    /// One of [`REASONS`].
    pub reason: String,
    /// Times of the first and the last sample that were in them, if they are known.
    pub span: Option<(i64, i64)>,
    /// When it was declared.
    pub declared_millis: i64,
}

/// A name ends with a byte that is in none, so that none begins with another.
fn prefix(agent: &AgentId) -> Vec<u8> {
    [agent.as_str().as_bytes(), &[0]].concat()
}

impl Row {
    /// What two rows of adjacent sequences say together, if they say the same: a reason that comes with
    /// every batch is one row.
    fn joined(self, with: &Self) -> Option<Self> {
        let span = match (self.span, with.span) {
            (None, None) => None,
            (Some((first, last)), Some((from, to))) => {
                let apart = from.saturating_sub(last).max(first.saturating_sub(to));
                if apart > JOIN_WITHIN_MILLIS {
                    return None;
                }
                Some((first.min(from), last.max(to)))
            }
            _ => return None,
        };
        (self.reason == with.reason).then_some(Self {
            span,
            declared_millis: self.declared_millis.max(with.declared_millis),
            ..self
        })
    }
}

fn join(before: &[u8], after: &[u8]) -> Option<Vec<u8>> {
    let read = |value| serde_json::from_slice::<Row>(value).ok();
    serde_json::to_vec(&read(before)?.joined(&read(after)?)?).ok()
}

/// What is to be written beside an arrival of which a part is lost, or all that it held. Batches in a row
/// that lose for the same reason are one row.
#[must_use]
pub fn note_of_batch(
    agent: &AgentId,
    epoch: u64,
    reason: &str,
    span: Option<(i64, i64)>,
    declared_millis: i64,
) -> Note {
    Note {
        join: Some(join),
        ..note(agent, epoch, reason, span, declared_millis)
    }
}

/// What is to be written beside an arrival that settles lost sequences.
#[must_use]
pub fn note(
    agent: &AgentId,
    epoch: u64,
    reason: &str,
    span: Option<(i64, i64)>,
    declared_millis: i64,
) -> Note {
    let row = Row {
        reason: reason.to_owned(),
        span,
        declared_millis,
    };
    Note {
        space: SPACE,
        key: [&prefix(agent)[..], &epoch.to_be_bytes()].concat(),
        value: serde_json::to_vec(&row).unwrap_or_default(),
        join: None,
    }
}

/// All losses of an agent, in order of epoch and sequence; [`LISTED_MAX`] at most.
///
/// # Errors
/// When the store fails.
pub fn list(store: &Store, agent: &AgentId) -> Result<Vec<Lost>, store::Error> {
    let prefix = prefix(agent);
    let rows = store.scan_state_under(SPACE, &prefix, LISTED_MAX)?;
    let lost = rows.into_iter().filter_map(|row| {
        let (numbers, rest) = row.key.get(prefix.len()..)?.as_chunks::<8>();
        let [epoch, first, last] = *numbers else {
            return None;
        };
        let kept: Row = serde_json::from_slice(&row.value).ok()?;
        rest.is_empty().then_some(Lost {
            epoch: u64::from_be_bytes(epoch),
            first: u64::from_be_bytes(first),
            last: u64::from_be_bytes(last),
            reason: kept.reason,
            span: kept.span,
            declared_millis: kept.declared_millis,
        })
    });
    Ok(lost.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(reason: &str, span: Option<(i64, i64)>) -> Row {
        Row {
            reason: reason.to_owned(),
            span,
            declared_millis: 9,
        }
    }

    #[test]
    fn rows_of_one_reason_whose_times_meet_are_one() {
        let first = || row(FUTURE, Some((0, 60_000)));
        let later = row(FUTURE, Some((75_000, 90_000)));
        assert_eq!(first().joined(&later), Some(row(FUTURE, Some((0, 90_000)))));
        assert_eq!(later.joined(&first()), Some(row(FUTURE, Some((0, 90_000)))));
        let unknown = || row(FUTURE, None);
        assert_eq!(unknown().joined(&unknown()), Some(unknown()));
        for other in [
            row(THINNED, Some((75_000, 90_000))),
            row(FUTURE, Some((60_001 + JOIN_WITHIN_MILLIS, i64::MAX))),
            row(FUTURE, Some((i64::MIN, -JOIN_WITHIN_MILLIS - 1))),
            unknown(),
        ] {
            assert_eq!(first().joined(&other), None, "{other:?}");
            assert_eq!(other.joined(&first()), None);
        }
    }
}
