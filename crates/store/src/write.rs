//! Taking in: ids for label sets, and batches made durable.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use codec::Samples;
use roaring::RoaringBitmap;
use series::{Block, Labels, MetricKind, Sequences};

use crate::engine::{Batch, Durability, Family};
use crate::groups::Stretch;
use crate::index::Index;
use crate::notes::{Note, Notes};
use crate::open::{encode_mark, engine_error};
use crate::{Error, Mark, SeriesId, Settled, Store, journal, keys, locked, reading, writing};

/// One batch, checked and decoded.
#[derive(Clone, Debug, Default)]
pub struct Arrival {
    /// Name of the agent and the batch's place in its numbering; none for a sender that numbers
    /// nothing.
    pub mark: Option<(String, Mark)>,
    /// What is written beside it of those of its sequences that were not settled before.
    pub note: Option<Note>,
    /// [`Store::generation`] from before its series were defined.
    pub generation: u64,
    /// Its blocks.
    pub blocks: Vec<ArrivedBlock>,
    /// Samples that came one by one, under the numbers of their [`SeriesId`]s.
    pub samples: Samples,
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

impl Arrival {
    /// How many samples it holds.
    #[must_use]
    pub fn sample_count(&self) -> u64 {
        let blocks: usize = self.blocks.iter().map(|it| it.block.sample_count()).sum();
        (blocks + self.samples.values.len()) as u64
    }
}

/// How many series may share a label, so that one who makes series without end leaves room for others.
#[derive(Clone, Copy, Debug)]
pub struct Bound<'a> {
    /// The label's name.
    pub name: &'a str,
    /// Its value.
    pub value: &'a str,
    /// Series in the index that carry it: past that, new ones are refused.
    pub series_max: u64,
}

/// The ids of label sets, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Defined {
    /// One for each; none for a new one that the index has no room for, or that is past a bound.
    pub ids: Vec<Option<SeriesId>>,
}

/// An arrival that will be taken, and where its samples go.
struct Placed {
    arrival: Arrival,
    blocks: Vec<Vec<Stretch>>,
    samples: Vec<Stretch>,
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
    /// Its sequence would make more holes than are kept; send first what is missing.
    Scattered,
}

impl Bound<'_> {
    fn is_reached(&self, index: &Index, labels: &Labels) -> bool {
        let carriers = || {
            index
                .with(self.name, self.value)
                .map_or(0, RoaringBitmap::len)
        };
        labels.get(self.name) == self.value && carriers() >= self.series_max
    }
}

impl Store {
    /// Changes whenever series are dropped, and with them ids that a caller may hold.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Gives each label set its id, a new one if it has none yet and the index has room. New ids become
    /// durable with the next commit, before anything that uses them.
    ///
    /// # Errors
    /// When there are no more ids.
    pub fn define(&self, list: &[(Labels, MetricKind)]) -> Result<Defined, Error> {
        self.define_within(list, None)
    }

    /// The same, and no new series past a bound. Series that do not carry its label are not bound by it.
    ///
    /// # Errors
    /// When there are no more ids.
    pub fn define_within(
        &self,
        list: &[(Labels, MetricKind)],
        bound: Option<Bound<'_>>,
    ) -> Result<Defined, Error> {
        let mut ids: Vec<Option<SeriesId>> = {
            let index = reading(&self.index);
            list.iter().map(|(labels, _)| index.find(labels)).collect()
        };
        if ids.iter().all(Option::is_some) {
            return Ok(Defined { ids });
        }
        let mut index = writing(&self.index);
        let mut staged = locked(&self.staged);
        let max = self.index_bytes_max.load(Ordering::Acquire);
        for ((labels, kind), id) in list.iter().zip(&mut ids) {
            // Another thread may have defined it since, or it comes twice.
            *id = id.or_else(|| index.find(labels));
            if id.is_some() {
                continue;
            }
            if max > 0 && index.bytes() as u64 >= max {
                self.counters.refused_series.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            if bound.is_some_and(|bound| bound.is_reached(&index, labels)) {
                let counter = &self.counters.series_over_bound;
                counter.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            let new = index.next_id().ok_or(Error::SeriesExhausted)?;
            index.insert(new, labels, *kind);
            staged.series.push(new);
            *id = Some(new);
        }
        Ok(Defined { ids })
    }

    /// Bounds the memory of the index: past it, new series are refused. 0 takes the bound away.
    pub fn set_index_bytes_max(&self, bytes: u64) {
        self.index_bytes_max.store(bytes, Ordering::Release);
    }

    /// What is settled of an agent's numbering.
    #[must_use]
    pub fn settled(&self, agent: &str) -> Settled {
        locked(&self.marks).get(agent).cloned().unwrap_or_default()
    }

    /// Makes batches durable, all of them with one sync, and their samples readable. A batch whose
    /// sequence is settled is not taken again. Returns when everything that
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
        let mut marks: HashMap<String, Settled> = HashMap::new();
        let mut outcomes = Vec::with_capacity(arrivals.len());
        let mut taken = Vec::with_capacity(arrivals.len());
        for arrival in arrivals {
            let outcome = self.judge(&arrival, &mut marks, &mut journal.notes, &mut batch);
            outcomes.push(outcome);
            if outcome == Outcome::Taken {
                taken.push(self.place(arrival));
            }
        }
        let mut position = journal.next_position;
        let mut record_bytes = 0;
        for placed in &taken {
            let blocks = placed.arrival.blocks.iter();
            let blocks = blocks.map(|block| (block.series.as_slice(), &*block.received));
            let record = journal::encode(blocks, &placed.arrival.samples);
            record_bytes += record.len();
            batch.put(Family::Journal, keys::journal(position), record);
            position += 1;
        }
        for (agent, settled) in &marks {
            batch.put(Family::Meta, keys::mark(agent), encode_mark(settled));
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
        let groups = reading(&self.groups);
        let mut heads = writing(&self.heads);
        let before = heads.active.samples;
        heads.active.position_end = position;
        // The engine holds the record in memory until it is settled.
        heads.active.bytes += record_bytes;
        for placed in taken {
            for (block, stretches) in placed.arrival.blocks.iter().zip(&placed.blocks) {
                heads.active.push_block(&groups, stretches, &block.block);
            }
            let Samples { times, values, .. } = &placed.arrival.samples;
            heads.active.push(&groups, &placed.samples, times, values);
        }
        let samples = heads.active.samples - before;
        self.counters.samples.fetch_add(samples, Ordering::Relaxed);
        Ok(outcomes)
    }

    /// What becomes of an arrival. If it is taken, its sequences count as settled in `marks`, and its note
    /// is in `batch`.
    fn judge(
        &self,
        arrival: &Arrival,
        marks: &mut HashMap<String, Settled>,
        notes: &mut Notes,
        batch: &mut Batch,
    ) -> Outcome {
        let mut settled = arrival.mark.as_ref().map(|(agent, mark)| {
            let known = marks.get(agent).cloned();
            let known = known.unwrap_or_else(|| self.settled(agent));
            if known.epoch == mark.epoch {
                return known;
            }
            Settled {
                epoch: mark.epoch,
                sequences: Sequences::up_to(mark.base.saturating_sub(1)),
            }
        });
        let mut new: Vec<(u64, u64)> = Vec::new();
        if let (Some((_, mark)), Some(settled)) = (&arrival.mark, &mut settled) {
            new.extend(settled.sequences.missing(mark.first, mark.last));
            if new.is_empty() {
                let counter = &self.counters.duplicate_batches;
                counter.fetch_add(1, Ordering::Relaxed);
                return Outcome::Duplicate;
            }
            if !settled.sequences.insert(mark.first, mark.last) {
                return Outcome::Scattered;
            }
        }
        // Ids are never given again, so an id that is there is the one that was meant.
        if arrival.generation != self.generation() {
            let index = reading(&self.index);
            let blocks = arrival.blocks.iter().flat_map(|block| &block.series);
            let samples = arrival.samples.series.iter().map(|id| SeriesId(*id));
            let mut ids = blocks.copied().chain(samples);
            if !ids.all(|id| index.contains(id)) {
                return Outcome::StaleSeries;
            }
        }
        if let Some(note) = &arrival.note {
            for range in new {
                notes.put(note, range, batch);
            }
        }
        if let (Some((agent, _)), Some(settled)) = (&arrival.mark, settled) {
            marks.insert(agent.clone(), settled);
        }
        Outcome::Taken
    }

    fn place(&self, arrival: Arrival) -> Placed {
        let mut groups = writing(&self.groups);
        let blocks = arrival.blocks.iter().map(|block| {
            let mut stretches = Vec::new();
            groups.place_columns(&block.series, &mut stretches);
            stretches
        });
        let blocks = blocks.collect();
        let mut samples = Vec::new();
        groups.place_samples(&arrival.samples, &mut samples);
        drop(groups);
        Placed {
            arrival,
            blocks,
            samples,
        }
    }

    /// Adds the rows of new series and of changed groups.
    pub(crate) fn put_staged(&self, batch: &mut Batch) {
        let index = reading(&self.index);
        let staged = std::mem::take(&mut locked(&self.staged).series);
        for id in staged {
            let (Some(labels), Some(kind)) = (index.labels(id), index.kind(id)) else {
                continue;
            };
            let mut row = vec![kind.code()];
            codec::encode_labels(&labels, &mut row);
            batch.put(Family::Series, keys::series(id.0), row);
        }
        drop(index);
        for (group, row) in writing(&self.groups).take_dirty() {
            batch.put(Family::Groups, keys::group(group), row);
        }
    }
}
