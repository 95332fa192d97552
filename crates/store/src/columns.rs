//! Columns of chunks as they were unpacked, and labels as they were put together: what is asked for
//! again, as dashboards do, is not unpacked again.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use foldhash::fast::FixedState;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{OptionsBuilder, Weighter};
use series::{Labels, Rows, SharedFloats};

use crate::SeriesId;
use crate::groups::GroupId;

/// Which chunk of which run. Runs never change and no two have the same number and level, so what was
/// unpacked of one stays right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ChunkPlace {
    pub(crate) partition: u32,
    pub(crate) number: u32,
    pub(crate) level: u8,
    pub(crate) group: GroupId,
    pub(crate) part: u16,
}

/// What was unpacked of a chunk.
#[derive(Debug)]
pub(crate) struct Unpacked {
    pub(crate) times: Arc<[i64]>,
    columns: Box<[OnceLock<Column>]>,
}

/// A column; `None` when the chunk has no sample of it.
pub(crate) type Column = Option<(Rows, SharedFloats)>;

impl Unpacked {
    /// The times of a chunk of so many columns.
    pub(crate) fn new(times: Vec<i64>, columns: usize) -> Self {
        Self {
            times: times.into(),
            columns: (0..columns).map(|_| OnceLock::new()).collect(),
        }
    }

    /// A column, if it was unpacked.
    pub(crate) fn column(&self, column: u16) -> Option<&Column> {
        match self.columns.get(usize::from(column)) {
            Some(unpacked) => unpacked.get(),
            None => Some(&None),
        }
    }

    /// Keeps a column.
    pub(crate) fn put(&self, column: u16, unpacked: Column) {
        if let Some(place) = self.columns.get(usize::from(column)) {
            place.get_or_init(|| unpacked);
        }
    }

    fn bytes(&self) -> u64 {
        let unpacked = self.columns.iter().filter_map(OnceLock::get).flatten();
        let numbers: usize = unpacked.map(|(_, values)| values.len()).sum();
        ENTRY_BYTES
            + COLUMN_BYTES * self.columns.len() as u64
            + 8 * (self.times.len() + numbers) as u64
    }
}

/// What entries and columns cost beside their numbers.
const ENTRY_BYTES: u64 = 160;
const COLUMN_BYTES: u64 = 64;
/// What some columns of a day's chunk take, and what labels take, roughly: for so many entries there is
/// room at first.
const USUAL_BYTES: u64 = 64 << 10;
const LABELS_BYTES: u64 = 256;
/// The part of the bound that labels may take.
const LABELS_PART: u64 = 8;

#[derive(Clone, Copy, Debug)]
struct Bytes;

/// A chunk as it is in the cache. Columns are added to it while it is there, and the cache counts on what
/// it took from its room to be given back: so the weight is that of when it was put there.
#[derive(Clone, Debug)]
struct Weighed {
    chunk: Arc<Unpacked>,
    bytes: u64,
}

impl Weighter<ChunkPlace, Weighed> for Bytes {
    fn weight(&self, _: &ChunkPlace, weighed: &Weighed) -> u64 {
        weighed.bytes
    }
}

impl Weighter<SeriesId, Arc<Labels>> for Bytes {
    fn weight(&self, _: &SeriesId, labels: &Arc<Labels>) -> u64 {
        ENTRY_BYTES + labels.text_bytes() as u64 + 4 * labels.len() as u64
    }
}

type Kept<K, V> = Cache<K, V, Bytes, FixedState>;

/// A bounded cache of columns and labels, which one read of everything does not empty (S3-FIFO: Yang
/// et al., "FIFO queues are all you need for cache eviction", 2023).
pub(crate) struct Columns {
    chunks: Kept<ChunkPlace, Weighed>,
    labels: Kept<SeriesId, Arc<Labels>>,
    hits: AtomicU64,
    misses: AtomicU64,
}

fn cache<K: Eq + std::hash::Hash, V: Clone>(usual: u64) -> Kept<K, V>
where
    Bytes: Weighter<K, V>,
{
    let items = usize::try_from((64 << 20) / usual).unwrap_or(usize::MAX);
    // Of one part: what is kept of a chunk may be a large part of the whole.
    let options = OptionsBuilder::new()
        .shards(1)
        .estimated_items_capacity(items)
        .weight_capacity(0)
        .build()
        .expect("both capacities are given");
    Cache::with_options(
        options,
        Bytes,
        FixedState::default(),
        DefaultLifecycle::default(),
    )
}

impl Columns {
    /// One that keeps nothing before it is given a bound.
    pub(crate) fn new() -> Self {
        Self {
            chunks: cache(USUAL_BYTES),
            labels: cache(LABELS_BYTES),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    /// Changes the bound.
    pub(crate) fn set_bytes_max(&self, bytes: u64) {
        let of_labels = bytes / LABELS_PART;
        if self.labels.capacity() != of_labels {
            self.labels.set_capacity(of_labels);
            self.chunks.set_capacity(bytes - of_labels);
        }
    }

    /// Bytes held now.
    pub(crate) fn bytes(&self) -> u64 {
        self.chunks.weight() + self.labels.weight()
    }

    /// Columns that were found and columns that were not.
    pub(crate) fn hits_and_misses(&self) -> (u64, u64) {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (load(&self.hits), load(&self.misses))
    }

    /// What was unpacked of a chunk.
    pub(crate) fn chunk(&self, place: ChunkPlace) -> Option<Arc<Unpacked>> {
        self.chunks.get(&place).map(|weighed| weighed.chunk)
    }

    /// Keeps a chunk, or weighs it anew when more of it was unpacked.
    pub(crate) fn put_chunk(&self, place: ChunkPlace, chunk: Arc<Unpacked>) {
        let bytes = chunk.bytes();
        self.chunks.insert(place, Weighed { chunk, bytes });
    }

    /// Counts columns that a read found unpacked and that it had to unpack.
    pub(crate) fn count(&self, hits: usize, misses: usize) {
        self.hits.fetch_add(hits as u64, Ordering::Relaxed);
        self.misses.fetch_add(misses as u64, Ordering::Relaxed);
    }

    /// The labels of a series, put together by `make` if they are not here.
    pub(crate) fn labels(
        &self,
        id: SeriesId,
        make: impl FnOnce() -> Option<Arc<Labels>>,
    ) -> Option<Arc<Labels>> {
        if let Some(labels) = self.labels.get(&id) {
            return Some(labels);
        }
        let labels = make()?;
        self.labels.insert(id, Arc::clone(&labels));
        Some(labels)
    }
}
