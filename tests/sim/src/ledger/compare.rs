//! Log and store, side by side.

use std::collections::{BTreeSet, HashMap};

use coordinator::losses;
use series::{Labels, MatchOp, Matcher, Sequences, TimeRange};
use store::{Meter, Store};
use wire::ingest::AgentId;

use super::{Account, Kept, Ledger, index_of, name_of, text_of};

/// Differences of one kind that are told.
const TOLD_MAX: usize = 4;

/// What a store was found to hold.
#[derive(Debug, Default)]
struct Found {
    /// Samples of each batch.
    of_batch: HashMap<(usize, usize), usize>,
    /// For each agent the batches of which a thinned one holds the last sample.
    thinned: HashMap<usize, BTreeSet<usize>>,
    samples: u64,
    differences: Vec<String>,
}

struct NoBound;

impl Meter for NoBound {
    fn series(&self, _: u64) -> bool {
        true
    }
    fn samples(&self, _: u64) -> bool {
        true
    }
}

impl Ledger {
    /// Compares the store with the log. What was acknowledged must be there; with `drained`, all that is
    /// durable and was not declared lost.
    pub(crate) fn compare(&self, store: &Store, drained: bool) -> Result<(), String> {
        let mut found = self.read(store)?;
        let counted = store.statistics();
        let counted = counted.head_samples + counted.chunk_samples;
        // What stands in the place of a sample may be beside it until a compaction.
        if counted != found.samples && !(self.thins && counted > found.samples) {
            let held = found.samples;
            let text = format!("the store counts {counted} samples and holds {held}");
            found.differences.push(text);
        }
        for (&(agent, batch), &held) in &found.of_batch {
            let whole = self.accounts[agent].batches[batch].samples;
            if self.thins && held < whole {
                found.thinned.entry(agent).or_default().insert(batch);
            }
        }
        for (agent, account) in self.accounts.iter().enumerate() {
            let declared = declared(store, &name_of(agent))?;
            for batch in 0..account.batches.len() {
                let held = found.of_batch.get(&(agent, batch)).copied();
                let thinned = found.thinned.get(&agent);
                if thinned.is_some_and(|thinned| account.is_thinned(batch, thinned)) {
                    continue;
                }
                let difference = account.difference(batch, held.unwrap_or(0), &declared, drained);
                let difference = difference.map(|text| format!("{} {text}", name_of(agent)));
                found.differences.extend(difference);
            }
        }
        let count = found.differences.len();
        if count == 0 {
            return Ok(());
        }
        found.differences.truncate(TOLD_MAX);
        Err(format!(
            "{count} differences\n  {}",
            found.differences.join("\n  ")
        ))
    }

    fn read(&self, store: &Store) -> Result<Found, String> {
        let mut found = Found::default();
        let all = Matcher::new("node", MatchOp::NotEqual, "").map_err(|error| error.to_string())?;
        let selected = store.select(&[all], TimeRange::ALL, &NoBound);
        let selected = selected.map_err(|error| daemon::chain(&error))?;
        found.differences.extend(selected.damaged);
        for series in &selected.series {
            let text = text_of(&series.labels);
            for (time, value) in series.times.iter().zip(series.values.iter()) {
                found.samples += 1;
                let place = (text.clone(), *time);
                let claims = self.claims.get(&place);
                let claim = claims
                    .and_then(|claims| claims.iter().find(|claim| claim.bits == value.to_bits()));
                match claim {
                    Some(claim) => {
                        let batch = (claim.agent, claim.batch);
                        *found.of_batch.entry(batch).or_default() += 1;
                    }
                    None => match self.thinned(&series.labels, *time) {
                        Some((agent, batch)) => {
                            found.thinned.entry(agent).or_default().insert(batch);
                        }
                        None => found
                            .differences
                            .push(format!("no agent has sent {text} {value} @{time}")),
                    },
                }
            }
        }
        Ok(found)
    }

    /// The batch in whose time a sample lies that thinning may have made: it stands in the last row of
    /// its minute, where its series need not have had one.
    fn thinned(&self, labels: &Labels, time: i64) -> Option<(usize, usize)> {
        let agent = index_of(labels.get("node")).filter(|_| self.thins)?;
        let batches = self.accounts.get(agent)?.batches.iter();
        let mut spans = batches.map(|batch| batch.span.0..=batch.span.1);
        Some((agent, spans.position(|span| span.contains(&time))?))
    }

    /// Compares the events of the coordinator, newest first, with those handed in: each at most once, and
    /// with `drained` all those of the agents as they run now.
    pub(crate) fn compare_events(&self, recorded: &[String], drained: bool) -> Result<(), String> {
        let mut counts: HashMap<&str, usize> = HashMap::new();
        for summary in recorded {
            *counts.entry(summary).or_default() += 1;
        }
        for account in &self.accounts {
            for summary in account.events.0.iter().chain(&account.events.1) {
                let count = counts.remove(summary.as_str()).unwrap_or(0);
                if count > 1 {
                    return Err(format!("event {summary:?} was recorded {count} times"));
                }
                if count == 0 && drained && account.events.0.contains(summary) {
                    return Err(format!("event {summary:?} was not recorded"));
                }
            }
        }
        counts.keys().next().map_or(Ok(()), |summary| {
            Err(format!("event {summary:?} is recorded and did not happen"))
        })
    }
}

/// The sequences that a store says are lost for good.
fn declared(store: &Store, agent: &str) -> Result<Sequences, String> {
    let agent = AgentId::try_from(agent.to_owned()).map_err(|error| error.to_string())?;
    let lost = losses::list(store, &agent).map_err(|error| daemon::chain(&error))?;
    let mut declared = Sequences::default();
    for lost in lost {
        if !declared.insert(lost.first, lost.last) {
            return Err(format!("{agent} has lost more stretches than are noted"));
        }
    }
    Ok(declared)
}

impl Account {
    /// Whether a batch is in a thinned one: it, or one that ends within the minute after it, has its last
    /// sample there.
    fn is_thinned(&self, index: usize, thinned: &BTreeSet<usize>) -> bool {
        let last = self.batches.get(index).map_or(0, |batch| batch.span.1);
        let mut later = thinned.range(index..);
        later.any(|it| {
            let span = self.batches.get(*it).map(|batch| batch.span);
            span.is_some_and(|(first, _)| first <= last.saturating_add(60_000))
        })
    }

    /// What is wrong with a batch of which the store holds so many samples.
    fn difference(
        &self,
        index: usize,
        held: usize,
        declared: &Sequences,
        drained: bool,
    ) -> Option<String> {
        let batch = self.batches.get(index)?;
        let sequence = batch.sequence.unwrap_or(0);
        let samples = batch.samples;
        let is_excused = self.refused.contains(&sequence);
        if held == samples || is_excused {
            return None;
        }
        // Of a batch with samples of the future the others are there, and it is declared.
        if held > 0 && !declared.contains(sequence) {
            return Some(format!(
                "batch {sequence}: {held} of its {samples} samples are there"
            ));
        }
        let acknowledged = sequence > 0 && sequence <= self.acknowledged;
        let is_due = acknowledged || drained && batch.kept == Kept::Durable;
        if is_due && !self.lost.contains(&sequence) && !declared.contains(sequence) {
            let why = if acknowledged {
                "acknowledged"
            } else {
                "durable in its spool"
            };
            return Some(format!(
                "batch {sequence} of {samples} samples was {why} and is gone"
            ));
        }
        None
    }
}
