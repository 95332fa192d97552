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

/// All reasons: those of agents, then our own.
pub const REASONS: [&str; 9] = {
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
