//! What agents have lost for good: durable, with the reason, in the same write that settles it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use store::{Note, Store};
use wire::ingest::{AgentId, LOSS_REASONS};

/// State space of losses. Never reused for anything else.
const SPACE: u8 = 5;

/// Most losses of one agent that are listed, and kept for long.
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

/// Splits the key of a row into the agent's name and the epoch, the first and the last sequence.
fn parse_key(key: &[u8]) -> Option<(&str, [u64; 3])> {
    let end = key.iter().position(|byte| *byte == 0)?;
    let (name, numbers) = (key.get(..end)?, key.get(end + 1..)?);
    let (numbers, rest) = numbers.as_chunks::<8>();
    let [epoch, first, last] = *numbers else {
        return None;
    };
    let name = std::str::from_utf8(name).ok()?;
    let numbers = [epoch, first, last].map(u64::from_be_bytes);
    rest.is_empty().then_some((name, numbers))
}

fn parse(key: &[u8], value: &[u8]) -> Option<Lost> {
    let (_, [epoch, first, last]) = parse_key(key)?;
    let row: Row = serde_json::from_slice(value).ok()?;
    Some(Lost {
        epoch,
        first,
        last,
        reason: row.reason,
        span: row.span,
        declared_millis: row.declared_millis,
    })
}

/// All losses of an agent, in order of epoch and sequence; those that were declared last, if there are
/// more than [`LISTED_MAX`].
///
/// # Errors
/// When the store fails.
pub fn list(store: &Store, agent: &AgentId) -> Result<Vec<Lost>, store::Error> {
    let mut newest = Newest::new(LISTED_MAX);
    let (mut unreadable, mut left_out) = (0_u64, 0_u64);
    store.visit_state_under(
        SPACE,
        &prefix(agent),
        &mut |key, value| match parse(key, value) {
            Some(lost) => left_out += u64::from(newest.add(lost.declared_millis, lost).is_some()),
            None => unreadable += 1,
        },
    )?;
    if unreadable + left_out > 0 {
        tracing::warn!(
            %agent,
            unreadable,
            left_out,
            "losses of an agent that cannot be read, or are too many, are not listed"
        );
    }
    let mut lost = newest.into_inner();
    lost.sort_by_key(|it| (it.epoch, it.first));
    Ok(lost)
}

/// The newest of what came, up to a number.
struct Newest<T> {
    most: usize,
    /// By when, and then by the order in which they came.
    kept: BTreeMap<(i64, u64), T>,
    count: u64,
}

impl<T> Newest<T> {
    const fn new(most: usize) -> Self {
        Self {
            most,
            kept: BTreeMap::new(),
            count: 0,
        }
    }

    /// Adds one. Gives the oldest when there are too many.
    fn add(&mut self, at_millis: i64, item: T) -> Option<T> {
        self.kept.insert((at_millis, self.count), item);
        self.count += 1;
        if self.kept.len() <= self.most {
            return None;
        }
        self.kept.pop_first().map(|(_, item)| item)
    }

    fn into_inner(self) -> Vec<T> {
        self.kept.into_values().collect()
    }
}

/// What became of rows that are too old or too many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retained {
    /// Rows that were declared too long ago, and were dropped.
    pub old: u64,
    /// Rows that were dropped because their agent had more than [`LISTED_MAX`].
    pub too_many: u64,
    /// Rows that cannot be read. They stay.
    pub unreadable: u64,
}

/// Rows that are dropped in one write.
const DROPPED_TOGETHER_MAX: usize = 10_000;

/// Drops what was declared before `oldest_millis`, and of each agent the oldest beyond [`LISTED_MAX`]. A row
/// is kept for as long as samples are from when it was declared, not from the times that it speaks of: those
/// are by the agent's word, and what was said yesterday should be seen today.
///
/// # Errors
/// When the store fails; what was dropped until then stays dropped.
pub fn retain(store: &Store, oldest_millis: i64) -> Result<Retained, store::Error> {
    let mut retained = Retained::default();
    loop {
        let mut dropped: Vec<Vec<u8>> = Vec::new();
        let mut agent: Vec<u8> = Vec::new();
        let mut newest = Newest::new(LISTED_MAX);
        let mut this = Retained::default();
        store.visit_state_under(SPACE, &[], &mut |key, value| {
            if dropped.len() >= DROPPED_TOGETHER_MAX {
                return;
            }
            let (Some((name, _)), Some(lost)) = (parse_key(key), parse(key, value)) else {
                this.unreadable += 1;
                return;
            };
            if name.as_bytes() != agent {
                agent = name.as_bytes().to_vec();
                newest = Newest::new(LISTED_MAX);
            }
            if lost.declared_millis < oldest_millis {
                this.old += 1;
                dropped.push(key.to_vec());
            } else if let Some(key) = newest.add(lost.declared_millis, key.to_vec()) {
                this.too_many += 1;
                dropped.push(key);
            }
        })?;
        retained.old += this.old;
        retained.too_many += this.too_many;
        retained.unreadable = this.unreadable;
        if dropped.is_empty() {
            return Ok(retained);
        }
        store.change_state(SPACE, dropped.into_iter().map(|key| (key, None)))?;
    }
}

#[cfg(test)]
mod tests {
    use store::engine::memory::Memory;

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

    const DAY: i64 = 86_400_000;

    fn agent(name: &str) -> AgentId {
        AgentId::try_from(name.to_owned()).unwrap()
    }

    /// Puts rows of an agent that were declared one a millisecond, in no order of their sequences.
    fn declared(store: &Store, name: &str, from_millis: i64, count: u64) {
        let rows = (0..count).map(|number| {
            let at = from_millis + i64::try_from(number).unwrap();
            let note = note(&agent(name), 7, FUTURE, None, at);
            let sequence = number.reverse_bits() | 1;
            let sequences = [sequence.to_be_bytes(), sequence.to_be_bytes()].concat();
            ([note.key, sequences].concat(), Some(note.value))
        });
        store.change_state(SPACE, rows).unwrap();
    }

    #[test]
    fn the_newest_are_listed_and_what_cannot_be_read_is_counted_and_stays() {
        let (store, _) = Store::open(Box::new(Memory::default())).unwrap();
        let most = LISTED_MAX as u64;
        declared(&store, "a", 0, most + 5);
        declared(&store, "ab", 0, 2);
        let odd = [(prefix(&agent("a")), Some(b"?".to_vec()))];
        store.change_state(SPACE, odd).unwrap();
        let listed = list(&store, &agent("a")).unwrap();
        assert_eq!(listed.len(), LISTED_MAX);
        let oldest = listed.iter().map(|it| it.declared_millis).min();
        assert_eq!(oldest, Some(5));
        assert!(listed.is_sorted_by_key(|it| it.first));
        let retained = retain(&store, 0).unwrap();
        let expected = Retained {
            old: 0,
            too_many: 5,
            unreadable: 1,
        };
        assert_eq!(retained, expected);
        assert_eq!(list(&store, &agent("a")).unwrap(), listed);
        let rows = store.scan_state(SPACE, &[], usize::MAX).unwrap();
        assert_eq!(rows.len(), LISTED_MAX + 3);
    }

    #[test]
    fn what_was_declared_too_long_ago_is_dropped() {
        let (store, _) = Store::open(Box::new(Memory::default())).unwrap();
        declared(&store, "a", DAY - 2, 3);
        declared(&store, "b", 0, 2 * DROPPED_TOGETHER_MAX as u64 + 1);
        let retained = retain(&store, DAY).unwrap();
        assert_eq!(retained.old, 2 * DROPPED_TOGETHER_MAX as u64 + 3);
        let kept = list(&store, &agent("a")).unwrap();
        assert_eq!(kept.len(), 1);
        assert_eq!(kept[0].declared_millis, DAY);
        assert_eq!(list(&store, &agent("b")).unwrap(), []);
        assert_eq!(retain(&store, DAY).unwrap(), Retained::default());
    }
}
