//! Series as numbers of label pairs.

use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use roaring::RoaringBitmap;
use series::{Labels, MetricKind};

use crate::SeriesId;
use crate::paged::Paged;

type PairId = u32;

/// A label pair in use, and who carries it.
#[derive(Debug)]
struct Pair {
    name: Arc<str>,
    value: Arc<str>,
    series: RoaringBitmap,
}

#[derive(Clone, Debug)]
struct Entry {
    /// In order of name.
    pairs: Box<[PairId]>,
    kind: MetricKind,
}

/// All series by id, by labels and by label pair.
#[derive(Debug, Default)]
pub(crate) struct Index {
    entries: Paged<Option<Entry>>,
    /// All ids below have been given.
    next_id: u32,
    by_labels: HashTable<SeriesId>,
    pairs: Vec<Option<Pair>>,
    free_pairs: Vec<PairId>,
    /// Label name → label value → pair. Ordered, so that prefixes and listings are walks.
    by_name: BTreeMap<Arc<str>, BTreeMap<Arc<str>, PairId>>,
    /// Ids that have an entry.
    hot: RoaringBitmap,
    /// Ids that are in use and have no entry: their labels are on disk.
    cold: RoaringBitmap,
    text_bytes: usize,
    /// Seeded by chance, so that nobody can choose labels that collide.
    hasher: RandomState,
}

fn hash_of<'a>(hasher: &RandomState, pairs: impl Iterator<Item = (&'a str, &'a str)>) -> u64 {
    pairs.fold(0, |hash, pair| hasher.hash_one((hash, pair)))
}

impl Index {
    /// The id of a label set, if it has one.
    pub(crate) fn find(&self, labels: &Labels) -> Option<SeriesId> {
        let same = |id: &SeriesId| {
            self.entry(*id).is_some_and(|entry| {
                entry.pairs.len() == labels.len() && self.texts(entry).eq(labels.iter())
            })
        };
        self.by_labels
            .find(hash_of(&self.hasher, labels.iter()), same)
            .copied()
    }

    fn entry(&self, id: SeriesId) -> Option<&Entry> {
        self.entries.get(id)?.as_ref()
    }

    fn texts<'a>(&'a self, entry: &'a Entry) -> impl Iterator<Item = (&'a str, &'a str)> {
        entry.pairs.iter().filter_map(|pair| {
            let pair = self.pairs.get(*pair as usize)?.as_ref()?;
            Some((&*pair.name, &*pair.value))
        })
    }

    /// Whether a series is there.
    pub(crate) fn contains(&self, id: SeriesId) -> bool {
        self.entry(id).is_some() || self.cold.contains(id.0)
    }

    /// What names a series.
    pub(crate) fn labels(&self, id: SeriesId) -> Option<Labels> {
        let entry = self.entry(id)?;
        // They came from a label set, in its order.
        Labels::from_sorted(self.texts(entry))
    }

    /// What kind a series is.
    pub(crate) fn kind(&self, id: SeriesId) -> Option<MetricKind> {
        self.entry(id).map(|entry| entry.kind)
    }

    /// Series whose labels are here.
    pub(crate) fn len(&self) -> u64 {
        self.hot.len()
    }

    /// The next id that is free; `None` when all four billion have been used.
    pub(crate) fn next_id(&self) -> Option<SeriesId> {
        (self.next_id < u32::MAX).then_some(SeriesId(self.next_id))
    }

    /// Keeps an id from being given to a new series: its row is there, though it cannot be read.
    pub(crate) fn reserve(&mut self, id: SeriesId) {
        self.next_id = self.next_id.max(id.0.saturating_add(1));
    }

    /// The ids whose labels are here.
    pub(crate) const fn hot(&self) -> &RoaringBitmap {
        &self.hot
    }

    /// The ids whose labels are on disk.
    pub(crate) const fn cold(&self) -> &RoaringBitmap {
        &self.cold
    }

    /// Takes note of a series whose labels are on disk.
    pub(crate) fn insert_cold(&mut self, id: SeriesId) {
        self.reserve(id);
        self.cold.insert(id.0);
    }

    /// Forgets the labels of a series, which are on disk.
    pub(crate) fn cool(&mut self, id: SeriesId) {
        if self.entry(id).is_some() {
            self.remove(id);
            self.cold.insert(id.0);
        }
    }

    /// Takes in the labels of a series that was cold. Where another series has taken them since, it stays
    /// cold.
    pub(crate) fn warm(&mut self, id: SeriesId, labels: &Labels, kind: MetricKind) {
        if self.find(labels).is_none() && self.cold.remove(id.0) {
            self.insert(id, labels, kind);
        }
    }

    /// Adds a series under an id that is not in use.
    pub(crate) fn insert(&mut self, id: SeriesId, labels: &Labels, kind: MetricKind) {
        let pairs: Box<[PairId]> = labels
            .iter()
            .map(|(name, value)| self.intern(name, value))
            .collect();
        for pair in &pairs {
            if let Some(Some(pair)) = self.pairs.get_mut(*pair as usize) {
                pair.series.insert(id.0);
            }
        }
        self.reserve(id);
        self.entries.set(id, Some(Entry { pairs, kind }));
        self.hot.insert(id.0);
        let Self {
            by_labels,
            entries,
            pairs,
            hasher,
            ..
        } = self;
        let rehash = |id: &SeriesId| {
            let entry = entries.get(*id).and_then(Option::as_ref);
            let pairs = entry
                .into_iter()
                .flat_map(|entry| &entry.pairs)
                .filter_map(|pair| {
                    let pair = pairs.get(*pair as usize)?.as_ref()?;
                    Some((&*pair.name, &*pair.value))
                });
            hash_of(hasher, pairs)
        };
        by_labels.insert_unique(hash_of(hasher, labels.iter()), id, rehash);
    }

    fn intern(&mut self, name: &str, value: &str) -> PairId {
        if let Some(pair) = self.by_name.get(name).and_then(|values| values.get(value)) {
            return *pair;
        }
        let name = match self.by_name.get_key_value(name) {
            Some((name, _)) => Arc::clone(name),
            None => Arc::from(name),
        };
        let value: Arc<str> = Arc::from(value);
        let pair = Pair {
            name: Arc::clone(&name),
            value: Arc::clone(&value),
            series: RoaringBitmap::new(),
        };
        self.text_bytes += value.len();
        let number = if let Some(number) = self.free_pairs.pop() {
            self.pairs[number as usize] = Some(pair);
            number
        } else {
            self.pairs.push(Some(pair));
            // There are fewer pairs than a machine has bytes / 100; ids of series run out first.
            u32::try_from(self.pairs.len() - 1).unwrap_or(u32::MAX)
        };
        self.by_name.entry(name).or_default().insert(value, number);
        number
    }

    /// Forgets a series, and pairs that nothing carries any more.
    pub(crate) fn remove(&mut self, id: SeriesId) {
        self.cold.remove(id.0);
        let Some(entry) = self.entries.set(id, None) else {
            return;
        };
        let hash = hash_of(&self.hasher, self.texts(&entry));
        if let Ok(found) = self.by_labels.find_entry(hash, |have| *have == id) {
            found.remove();
        }
        self.hot.remove(id.0);
        for number in &entry.pairs {
            let slot = &mut self.pairs[*number as usize];
            let Some(pair) = slot else { continue };
            pair.series.remove(id.0);
            if !pair.series.is_empty() {
                continue;
            }
            if let Some(values) = self.by_name.get_mut(&pair.name) {
                values.remove(&pair.value);
                if values.is_empty() {
                    self.by_name.remove(&pair.name);
                }
            }
            self.text_bytes = self.text_bytes.saturating_sub(pair.value.len());
            *slot = None;
            self.free_pairs.push(*number);
        }
    }

    /// The series that carry a pair.
    pub(crate) fn with(&self, name: &str, value: &str) -> Option<&RoaringBitmap> {
        let pair = *self.by_name.get(name)?.get(value)?;
        Some(&self.pairs.get(pair as usize)?.as_ref()?.series)
    }

    /// All label names in use, in order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(|name| &**name)
    }

    /// All values of a label with the series that carry them, in order.
    pub(crate) fn values(&self, name: &str) -> impl Iterator<Item = (&str, &RoaringBitmap)> {
        self.values_from(name, "")
    }

    /// The values of a label from `first` on, in order.
    pub(crate) fn values_from(
        &self,
        name: &str,
        first: &str,
    ) -> impl Iterator<Item = (&str, &RoaringBitmap)> {
        let values = self.by_name.get(name).into_iter();
        let from = (std::ops::Bound::Included(first), std::ops::Bound::Unbounded);
        values
            .flat_map(move |values| values.range::<str, _>(from))
            .filter_map(|(value, pair)| {
                let pair = self.pairs.get(*pair as usize)?.as_ref()?;
                Some((&**value, &pair.series))
            })
    }

    /// Bytes of memory, roughly: what grows with series and with pairs.
    pub(crate) fn bytes(&self) -> usize {
        // An entry with its pairs (about ten), its place among the labels, its share of bitmaps.
        let each_series = 48 + 9 + 24;
        let each_pair = size_of::<Option<Pair>>() + 2 * (16 + 24) + 100;
        // There are far fewer series than a machine has bytes.
        let series = usize::try_from(self.len()).unwrap_or(usize::MAX);
        self.entries.bytes() + series * each_series + self.pairs.len() * each_pair + self.text_bytes
    }
}
