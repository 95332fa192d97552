//! Taking in: ids for label sets, and batches made durable.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use series::{Block, Labels, MetricKind};

use crate::engine::{Batch, Durability, Family};
use crate::open::{encode_mark, engine_error};
use crate::{Error, Mark, SeriesId, Store, head, journal, keys, locked, reading, writing};

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
    pub received: Bytes,
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
    /// Some of its series were dropped since they were defined: define them anew.
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
        locked(&self.marks).get(agent).copied().unwrap_or_default()
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
        let mut marks: HashMap<String, Mark> = HashMap::new();
        let mut outcomes = Vec::with_capacity(arrivals.len());
        let mut fresh = Vec::with_capacity(arrivals.len());
        for arrival in arrivals {
            let durable = || self.mark(&arrival.agent);
            let before = marks.get(&arrival.agent).copied().unwrap_or_else(durable);
            let outcome = self.judge(&arrival, before);
            outcomes.push(outcome);
            if outcome != Outcome::Taken {
                continue;
            }
            let blocks = arrival.blocks.iter();
            let record = blocks.map(|block| (block.series.as_slice(), &*block.received));
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
        self.put_staged(&mut batch);
        if batch.ops.is_empty() {
            return Ok(outcomes);
        }
        if let Err(error) = self.engine.write(batch, Durability::Synced) {
            self.poisoned.store(true, Ordering::Release);
            return Err(engine_error("committing batches")(error));
        }
        journal.next_position = position;
        locked(&self.marks).extend(marks);
        let pieces: Vec<_> = fresh
            .into_iter()
            .map(|block| head::pieces_of(&block.series, block.block))
            .collect();
        let mut heads = writing(&self.heads);
        let before = heads.active.samples;
        heads.active.position_end = position;
        for pieces in pieces {
            heads.active.push(pieces);
        }
        let samples = heads.active.samples - before;
        self.counters.samples.fetch_add(samples, Ordering::Relaxed);
        Ok(outcomes)
    }

    fn judge(&self, arrival: &Arrival, durable: Mark) -> Outcome {
        if durable.epoch == arrival.mark.epoch && arrival.mark.sequence <= durable.sequence {
            self.counters
                .duplicate_batches
                .fetch_add(1, Ordering::Relaxed);
            return Outcome::Duplicate;
        }
        // Ids are never given again, so an id that is there is the one that was meant.
        let mut ids = arrival.blocks.iter().flat_map(|block| &block.series);
        if arrival.generation != self.generation() {
            let index = reading(&self.index);
            if !ids.all(|id| index.get(*id).is_some()) {
                return Outcome::StaleSeries;
            }
        }
        Outcome::Taken
    }

    fn put_staged(&self, batch: &mut Batch) {
        let staged = std::mem::take(&mut locked(&self.staged).series);
        for (id, labels, kind) in &staged {
            let mut row = vec![kind.code()];
            codec::encode_labels(labels, &mut row);
            batch.put(Family::Series, keys::series(id.0), row);
        }
    }
}
