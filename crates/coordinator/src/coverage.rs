//! Which minutes of a node are known, which are lost, and of which nothing is known.

use rollup::Tier;
use series::{MatchOp, Matcher, TimeRange, Timestamp};
use store::{Meter, Store};
use wire::ingest::AgentId;

use crate::losses::{self, Lost};

/// Longest stretch of time that can be asked for: 31 days.
pub const MINUTES_MAX: i64 = 31 * 24 * 60;

/// What every agent says of itself each time it collects.
const ALWAYS_SAID: &str = "vedette_agent_spool_pending";

const MINUTE: i64 = Tier::Minute.millis();

/// What is known of a minute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Knowledge {
    /// The node's own metrics of it are here.
    Known,
    /// Nothing is here, and no word why.
    Unknown,
    /// The node had it and will never send it, for this reason.
    Lost(String),
    /// About a sample a minute is here.
    Thinned,
}

/// Minutes in a row of which the same is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// The first millisecond of the first.
    pub start_millis: i64,
    /// The first millisecond after the last.
    pub end_millis: i64,
    /// What is known.
    pub knowledge: Knowledge,
}

/// All that is known of a node's minutes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// Ascending, without a hole.
    pub stretches: Vec<Stretch>,
    /// All that the node has lost, of whatever time.
    pub losses: Vec<Lost>,
}

/// Bounded by the number of minutes.
struct Unmetered;

impl Meter for Unmetered {
    fn series(&self, _: u64) -> bool {
        true
    }

    fn samples(&self, _: u64) -> bool {
        true
    }
}

/// What is known of the minutes from that of `start_millis` to that of `end_millis`, both inside. A
/// minute holds its first millisecond, not that of the next.
///
/// # Errors
/// When the store fails.
pub fn of(
    store: &Store,
    agent: &AgentId,
    start_millis: i64,
    end_millis: i64,
) -> Result<Coverage, store::Error> {
    let first = start_millis.div_euclid(MINUTE);
    let last = end_millis
        .div_euclid(MINUTE)
        .min(first.saturating_add(MINUTES_MAX - 1));
    let losses = losses::list(store, agent)?;
    let count = usize::try_from(last.saturating_sub(first).saturating_add(1)).unwrap_or(0);
    let mut minutes = vec![Knowledge::Unknown; count];
    let place = |millis: i64| usize::try_from(millis.div_euclid(MINUTE) - first).ok();
    for lost in &losses {
        let Some((from, to)) = lost.span else {
            continue;
        };
        let from = from.max(first.saturating_mul(MINUTE));
        let (Some(from), Some(to)) = (place(from), place(to)) else {
            continue;
        };
        for minute in minutes.iter_mut().take(to.saturating_add(1)).skip(from) {
            *minute = Knowledge::Lost(lost.reason.clone());
        }
    }
    for millis in said(store, agent, first.saturating_mul(MINUTE), last)? {
        if let Some(minute) = place(millis).and_then(|at| minutes.get_mut(at)) {
            *minute = match minute {
                Knowledge::Lost(reason) if reason == losses::THINNED => Knowledge::Thinned,
                _ => Knowledge::Known,
            };
        }
    }
    Ok(Coverage {
        stretches: stretches(minutes, first),
        losses,
    })
}

/// Times at which the agent said something of itself.
fn said(
    store: &Store,
    agent: &AgentId,
    start_millis: i64,
    last_minute: i64,
) -> Result<Vec<i64>, store::Error> {
    let equal = |name, value| Matcher::new(name, MatchOp::Equal, value).ok();
    let matchers = [
        equal("__name__", ALWAYS_SAID),
        equal("node", agent.as_str()),
    ];
    let matchers: Vec<Matcher> = matchers.into_iter().flatten().collect();
    let end = last_minute.saturating_add(1).saturating_mul(MINUTE) - 1;
    let range = TimeRange::new(
        Timestamp::from_millis(start_millis),
        Timestamp::from_millis(end),
    );
    let mut times = Vec::new();
    store.select_each(&matchers, range, &Unmetered, &mut |series| {
        let mut minute = i64::MIN;
        for &time in series.times.iter() {
            if time.div_euclid(MINUTE) != minute {
                minute = time.div_euclid(MINUTE);
                times.push(time);
            }
        }
        Ok(())
    })?;
    Ok(times)
}

fn stretches(minutes: Vec<Knowledge>, first: i64) -> Vec<Stretch> {
    let mut stretches: Vec<Stretch> = Vec::new();
    for (minute, knowledge) in (first..).zip(minutes) {
        let end_millis = minute.saturating_add(1).saturating_mul(MINUTE);
        match stretches.last_mut() {
            Some(last) if last.knowledge == knowledge => last.end_millis = end_millis,
            _ => stretches.push(Stretch {
                start_millis: minute.saturating_mul(MINUTE),
                end_millis,
                knowledge,
            }),
        }
    }
    stretches
}

#[cfg(test)]
mod tests {
    use series::{Block, Column, Labels, MetricKind, Rows};
    use store::engine::memory::Memory;
    use store::{Arrival, ArrivedBlock, Mark};

    use super::*;

    fn agent() -> AgentId {
        AgentId::try_from("n-1".to_owned()).unwrap()
    }

    fn thinned(store: &Store, sequence: u64, span: (i64, i64)) {
        noted(store, sequence, Some(span), losses::THINNED);
    }

    fn lost(store: &Store, sequence: u64, span: Option<(i64, i64)>) {
        noted(store, sequence, span, "full");
    }

    fn noted(store: &Store, sequence: u64, span: Option<(i64, i64)>, reason: &str) {
        let mark = Mark {
            epoch: 7,
            first: sequence,
            last: sequence,
            base: 1,
        };
        let arrival = Arrival {
            mark: Some(("n-1".to_owned(), mark)),
            note: Some(losses::note(&agent(), 7, reason, span, 99)),
            generation: store.generation(),
            ..Arrival::default()
        };
        store.commit(vec![arrival]).unwrap();
    }

    fn collected(store: &Store, times: Vec<i64>) {
        let labels = Labels::with_name(ALWAYS_SAID, &[("node", "n-1")]).unwrap();
        let ids = store.define(&[(labels, MetricKind::Gauge)]).unwrap().ids;
        let block = Block {
            columns: vec![Column {
                rows: Rows::All,
                values: vec![0.0; times.len()].into(),
            }],
            times,
        };
        let mut received = Vec::new();
        codec::encode_block(&block, &mut received);
        let arrival = Arrival {
            generation: store.generation(),
            blocks: vec![ArrivedBlock {
                series: ids.into_iter().flatten().collect(),
                received: received.into(),
                block,
            }],
            ..Arrival::default()
        };
        store.commit(vec![arrival]).unwrap();
    }

    #[test]
    fn each_minute_is_known_lost_or_unknown() {
        let (store, _) = Store::open(Box::new(Memory::default())).unwrap();
        collected(&store, vec![120_000, 150_000, 190_000, 599_999]);
        lost(&store, 1, Some((60_000, 130_000)));
        lost(&store, 2, None);
        lost(&store, 3, Some((300_000, 310_000)));
        thinned(&store, 4, (540_000, 599_999));
        let coverage = of(&store, &agent(), 61_000, 600_000).unwrap();
        let found: Vec<_> = coverage
            .stretches
            .iter()
            .map(|it| {
                (
                    it.start_millis / MINUTE,
                    it.end_millis / MINUTE,
                    &it.knowledge,
                )
            })
            .collect();
        let full = &Knowledge::Lost("full".to_owned());
        let (known, unknown) = (&Knowledge::Known, &Knowledge::Unknown);
        let expected = [
            (1, 2, full),
            (2, 4, known),
            (4, 5, unknown),
            (5, 6, full),
            (6, 9, unknown),
            (9, 10, &Knowledge::Thinned),
            (10, 11, unknown),
        ];
        assert_eq!(found, expected);
        assert_eq!(coverage.losses.len(), 4);
    }

    #[test]
    fn a_range_that_is_too_long_backwards_or_at_the_end_of_time_is_cut() {
        let (store, _) = Store::open(Box::new(Memory::default())).unwrap();
        let count = |start, end| of(&store, &agent(), start, end).unwrap().stretches.len();
        assert_eq!(count(0, i64::MAX), 1);
        assert_eq!(count(i64::MIN, i64::MAX), 1);
        assert_eq!(count(i64::MAX, i64::MAX), 1);
        assert_eq!(count(600_000, 0), 0);
    }
}
