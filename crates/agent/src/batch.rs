//! Gathering: snapshots of one interval become columns, one block for each source.
//!
//! A source (a collector, a target) says the same series again and again. So each series gets a
//! column the first time it is said, and from then on costs one hash lookup and eight bytes. The
//! names of a block are encoded once and used again for as long as they are the same.

mod source;

use std::collections::HashMap;
use std::sync::Arc;

use series::{Labels, LabelsBuilder, LabelsError, Sample, Snapshot, Timestamp};
use spool::hull;
use wire::Message;
use wire::ingest::BLOCKS_PER_BATCH_MAX;
use wire::proto::{SpooledBatch, SpooledBlock};

use crate::families::Families;
use source::Source;
pub(crate) use source::family_of;

/// Bytes of blocks that go into one record. A block larger than that is a record alone.
const RECORD_BYTES_TARGET: usize = 1024 * 1024;
/// Rows times columns that go into one record, present or not: the coordinator allocates for all of
/// them and refuses a batch with more than twice as many.
const RECORD_CELLS_TARGET: usize = series::limits::BLOCK_SAMPLES_MAX / 2;
/// Cuts that a source may miss before it is forgotten.
const IDLE_CUTS_MAX: u32 = 10;
/// Most samples held between two cuts; what comes beyond is dropped and counted.
const SAMPLES_MAX: u64 = 8 * 1024 * 1024;

/// What came from one source at one instant.
#[derive(Clone, Debug)]
pub struct Gathered {
    /// The source, as a key: the same for the same collector or target.
    pub source: Arc<str>,
    /// Labels that its series get where they do not have them: `job`, `instance`.
    pub labels: Arc<[(String, String)]>,
    /// The instant.
    pub at: Timestamp,
    /// What was found.
    pub snapshot: Snapshot,
    /// Samples of series whose end nobody will tell: the guard may only sum them.
    pub unknown: Vec<Sample>,
    /// The part of its places by which the guard is to decide, where the source has decided by it too.
    pub divisor: Option<usize>,
}

/// The labels of a series as it is stored: as its source says it, with those of the source and the agent.
pub(crate) fn complete(
    said: &Labels,
    given: &[(String, String)],
    own: &[(String, String)],
) -> Result<Labels, LabelsError> {
    let mut builder = LabelsBuilder::from_labels(said);
    for (name, value) in given {
        if builder.get(name).is_empty() {
            builder.set(name, value);
        }
    }
    // The agent's own labels win: a target cannot speak for another node.
    for (name, value) in own {
        builder.set(name, value);
    }
    builder.build()
}

/// A record for the spool, and what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// An encoded [`SpooledBatch`].
    pub bytes: Vec<u8>,
    /// Its samples, stale markers left out.
    pub samples: u64,
    /// Its stale markers.
    pub stale: u64,
    /// Its first and last time.
    pub span: Option<spool::Span>,
}

/// What was not taken in, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Samples beyond the bound of one interval.
    pub over_limit: u64,
    /// Samples whose series was said twice at one instant; the first counts.
    pub duplicate: u64,
    /// Samples whose labels together with those of the agent are refused.
    pub bad_labels: u64,
}

/// Gathers until it is cut.
#[derive(Debug, Default)]
pub struct Batcher {
    /// Labels that every series gets: `node` and those of the configuration.
    labels: Vec<(String, String)>,
    sources: HashMap<Arc<str>, Source>,
    samples: u64,
    dropped: Dropped,
    families: Families,
    /// Whether series that are gone are forgotten at once.
    is_tight: bool,
}

impl Batcher {
    /// A batcher whose series all carry `labels`.
    #[must_use]
    pub fn new(labels: Vec<(String, String)>) -> Self {
        Self {
            labels,
            sources: HashMap::new(),
            samples: 0,
            dropped: Dropped::default(),
            families: Families::default(),
            is_tight: false,
        }
    }

    /// Forgets series that are gone at the next cut, and not only after some, or no longer so.
    pub fn be_tight(&mut self, is_tight: bool) {
        self.is_tight = is_tight;
    }

    /// The same, telling `families` what metrics mean.
    #[must_use]
    pub fn telling(self, families: Families) -> Self {
        Self { families, ..self }
    }

    /// Takes in what was gathered.
    pub fn push(&mut self, gathered: Gathered) {
        let count = gathered.snapshot.samples.len() as u64;
        if self.samples + count > SAMPLES_MAX {
            self.dropped.over_limit += count;
            return;
        }
        self.samples += count;
        if !self.sources.contains_key(&gathered.source) {
            self.sources
                .insert(Arc::clone(&gathered.source), Source::default());
        }
        let Some(source) = self.sources.get_mut(&gathered.source) else {
            return;
        };
        source.begin(gathered.at);
        let families = &gathered.snapshot.families;
        for sample in gathered.snapshot.samples {
            let slot = source.slot(
                &sample.labels,
                families,
                |labels| complete(labels, &gathered.labels, &self.labels),
                &self.families,
            );
            match slot {
                Some(slot) => {
                    if !source.push(slot, sample.at, sample.value) {
                        self.dropped.duplicate += 1;
                    }
                }
                None => self.dropped.bad_labels += 1,
            }
        }
    }

    /// What was dropped since the last time this was asked.
    pub fn take_dropped(&mut self) -> Dropped {
        std::mem::take(&mut self.dropped)
    }

    /// Everything gathered so far as records; what is gathered from now on goes into the next.
    pub fn cut(&mut self) -> Vec<Record> {
        self.samples = 0;
        let mut records = Vec::new();
        let mut open = Open::default();
        let mut sources: Vec<_> = self.sources.iter_mut().collect();
        sources.sort_by(|a, b| a.0.cmp(b.0));
        for (_, source) in sources {
            for block in source.cut(self.is_tight) {
                let size = block.names.len() + block.columns.len();
                let full = open.bytes + size > RECORD_BYTES_TARGET
                    || open.cells + block.cells > RECORD_CELLS_TARGET
                    || open.batch.blocks.len() >= BLOCKS_PER_BATCH_MAX;
                if open.bytes > 0 && full {
                    records.push(std::mem::take(&mut open).close());
                }
                open.bytes += size;
                open.cells += block.cells;
                open.samples += block.samples;
                open.stale += block.stale;
                open.span = hull(open.span, block.span);
                open.batch.blocks.push(SpooledBlock {
                    series_list: block.names,
                    columns: block.columns.into(),
                });
            }
        }
        if open.bytes > 0 {
            records.push(open.close());
        }
        self.sources
            .retain(|_, source| source.idle_cuts() <= IDLE_CUTS_MAX);
        records
    }
}

/// A record that is being filled.
#[derive(Default)]
struct Open {
    batch: SpooledBatch,
    bytes: usize,
    cells: usize,
    samples: u64,
    stale: u64,
    span: Option<spool::Span>,
}

impl Open {
    fn close(mut self) -> Record {
        let (first, last) = self.span.unwrap_or_default();
        (self.batch.first_millis, self.batch.last_millis) = (first, last);
        Record {
            bytes: self.batch.encode_to_vec(),
            samples: self.samples,
            stale: self.stale,
            span: self.span,
        }
    }
}

#[cfg(test)]
mod tests;
