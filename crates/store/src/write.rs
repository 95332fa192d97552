//! Taking in: ids for label sets, and batches made durable.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use series::{Block, Labels, MetricKind};

use crate::engine::{Batch, Durability, Family};
use crate::open::{encode_mark, engine_error};
use crate::{Error, Mark, SeriesId, Store, journal, keys, locked, reading, writing};

/// One batch of one agent, checked and decoded, and as it was received.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// Name of the agent.
    pub agent: String,
    /// Its place in the agent's numbering.
    pub mark: Mark,
    /// [`Store::generation`] from before its series were defined.
    pub generation: u64,
    /// Its blocks.
    pub blocks: Vec<ArrivedBlock>,
}

/// One block of an [`Arrival`]. `received` is the encoding of `block`; there are as many series as
/// columns.
#[derive(Clone, Debug)]
pub struct ArrivedBlock {
    /// The series of the columns.
    pub series: Vec<SeriesId>,
    /// The codec "block" as it came.
    pub received: Vec<u8>,
    /// The same, decoded.
    pub block: Block,
}

/// What became of one [`Arrival`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is durable and its samples can be read.
    Taken,
    /// It had been taken before; nothing was counted again.
    Duplicate,
    /// Series were dropped since its own were defined, perhaps some of them: define them anew.
    StaleSeries,
}

impl Store {
    /// Changes whenever series are dropped, and with them ids that a caller may hold.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Gives each label set its id, a new one if it has none yet. New ids become durable with the
    /// next commit, before anything that uses them.
    ///
    /// # Errors
    /// When there are no more ids.
    pub fn define(&self, list: Vec<(Labels, MetricKind)>) -> Result<Vec<SeriesId>, Error> {
        let mut ids = Vec::with_capacity(list.len());
        {
            let index = reading(&self.index);
            for (labels, _) in &list {
                match index.find(labels) {
                    Some(id) => ids.push(id),
                    None => break,
                }
            }
        }
        if ids.len() == list.len() {
            return Ok(ids);
        }
        let mut index = writing(&self.index);
        let mut staged = locked(&self.staged);
        for (labels, kind) in list.into_iter().skip(ids.len()) {
            let id = match index.find(&labels) {
                Some(id) => id,
                None => {
                    let id = index.next_id().ok_or(Error::SeriesExhausted)?;
                    let labels = Arc::new(labels);
                    index.insert(id, Arc::clone(&labels), kind);
                    staged.series.push((id, labels, kind));
                    id
                }
            };
            ids.push(id);
        }
        Ok(ids)
    }

    /// The high-water mark of an agent: what it has sent that is durable here.
    #[must_use]
    pub fn mark(&self, agent: &str) -> Mark {
        locked(&self.journal)
            .marks
            .get(agent)
            .copied()
            .unwrap_or_default()
    }

    /// Makes batches durable, all of them with one sync, and their samples readable. A batch at or
    /// below its agent's mark was taken before and is not taken again. Returns when everything that
    /// was passed is durable, with one outcome for each arrival.
    ///
    /// # Errors
    /// When the write failed: then nothing of it may be acknowledged, and the store takes nothing
    /// more until it is opened again.
    pub fn commit(&self, arrivals: Vec<Arrival>) -> Result<Vec<Outcome>, Error> {
        if self.poisoned.load(Ordering::Acquire) {
            return Err(Error::Poisoned);
        }
        let mut journal = locked(&self.journal);
        let mut batch = Batch::default();
        let mut position = journal.next_position;
        let mut marks = std::collections::HashMap::new();
        let mut outcomes = Vec::with_capacity(arrivals.len());
        let mut fresh = Vec::with_capacity(arrivals.len());
        for arrival in arrivals {
            if arrival.generation != self.generation() {
                outcomes.push(Outcome::StaleSeries);
                continue;
            }
            let before = marks
                .get(&arrival.agent)
                .or_else(|| journal.marks.get(&arrival.agent))
                .copied()
                .unwrap_or_default();
            if before.epoch == arrival.mark.epoch && arrival.mark.sequence <= before.sequence {
                self.counters
                    .duplicate_batches
                    .fetch_add(1, Ordering::Relaxed);
                outcomes.push(Outcome::Duplicate);
                continue;
            }
            outcomes.push(Outcome::Taken);
            let blocks = arrival.blocks.iter();
            let record = blocks.map(|block| (block.series.as_slice(), block.received.as_slice()));
            batch.put(
                Family::Journal,
                keys::journal(position),
                journal::encode(record),
            );
            batch.put(
                Family::Meta,
                keys::mark(&arrival.agent),
                encode_mark(arrival.mark),
            );
            position += 1;
            marks.insert(arrival.agent, arrival.mark);
            fresh.extend(arrival.blocks);
        }
        let staged = std::mem::take(&mut locked(&self.staged).series);
        for (id, labels, kind) in &staged {
            let mut row = vec![kind.code()];
            codec::encode_labels(labels, &mut row);
            batch.put(Family::Series, keys::series(id.0), row);
        }
        if batch.ops.is_empty() {
            return Ok(outcomes);
        }
        if let Err(error) = self.engine.write(batch, Durability::Synced) {
            self.poisoned.store(true, Ordering::Release);
            return Err(engine_error("committing batches")(error));
        }
        journal.next_position = position;
        journal.marks.extend(marks);
        let mut heads = writing(&self.heads);
        heads.active.position_end = position;
        for block in fresh {
            let samples = block.block.sample_count() as u64;
            self.counters.samples.fetch_add(samples, Ordering::Relaxed);
            heads.active.push(&block.series, block.block);
        }
        Ok(outcomes)
    }
}
