//! Listings: which series, label names and values there are.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use roaring::RoaringBitmap;
use series::{Labels, Matcher, MetricKind, TimeRange};

use crate::engine::Family;
use crate::{Error, SeriesId, Statistics, Store, reading};

/// A list that may have been cut at the asker's limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing<T> {
    /// What there is, in order.
    pub items: Vec<T>,
    /// Whether there is more.
    pub truncated: bool,
}

fn listing<T>(mut found: impl Iterator<Item = T>, limit: usize) -> Listing<T> {
    let items = found.by_ref().take(limit).collect();
    Listing {
        items,
        truncated: found.next().is_some(),
    }
}

impl Store {
    /// Series that pass at least one of the selectors (all series when there is none) and have a
    /// sample in a day that `range` touches or in the head.
    #[must_use]
    pub fn series(
        &self,
        selectors: &[Vec<Matcher>],
        range: TimeRange,
        limit: usize,
    ) -> Listing<(Arc<Labels>, MetricKind)> {
        let ids = self.ids(selectors, range);
        let index = reading(&self.index);
        let entries = ids.iter().map(SeriesId).filter_map(|id| {
            let labels = index.labels(id)?;
            Some((Arc::new(labels), index.kind(id)?))
        });
        listing(entries, limit)
    }

    /// Names of the labels of such series, in order.
    #[must_use]
    pub fn label_names(
        &self,
        selectors: &[Vec<Matcher>],
        range: TimeRange,
        limit: usize,
    ) -> Listing<String> {
        let ids = self.ids(selectors, range);
        let index = reading(&self.index);
        let in_use = |name: &&str| index.values(name).any(|(_, with)| !with.is_disjoint(&ids));
        listing(index.names().filter(in_use).map(str::to_owned), limit)
    }

    /// Values of one label on such series, in order.
    #[must_use]
    pub fn label_values(
        &self,
        name: &str,
        selectors: &[Vec<Matcher>],
        range: TimeRange,
        limit: usize,
    ) -> Listing<String> {
        let ids = self.ids(selectors, range);
        let index = reading(&self.index);
        let values = index
            .values(name)
            .filter(|(_, with)| !with.is_disjoint(&ids))
            .map(|(value, _)| value.to_owned());
        listing(values, limit)
    }

    fn ids(&self, selectors: &[Vec<Matcher>], range: TimeRange) -> RoaringBitmap {
        let mut ids = RoaringBitmap::new();
        {
            let index = reading(&self.index);
            if selectors.is_empty() {
                ids = index.select(&[]);
            }
            for matchers in selectors {
                ids |= index.select(matchers);
            }
        }
        ids & self.present(range)
    }

    /// Samples that are not yet in chunks.
    #[must_use]
    pub fn head_samples(&self) -> u64 {
        let heads = reading(&self.heads);
        heads.active.samples + heads.frozen.as_ref().map_or(0, |head| head.samples)
    }

    /// Bytes of memory of the samples that are not yet in chunks, and of the journal behind them.
    #[must_use]
    pub fn head_bytes(&self) -> u64 {
        let heads = reading(&self.heads);
        let frozen = heads.frozen.as_ref().map_or(0, |head| head.bytes);
        (heads.active.bytes + frozen) as u64
    }

    /// Bytes of memory of the index.
    #[must_use]
    pub fn index_bytes(&self) -> u64 {
        (reading(&self.index).bytes() + reading(&self.groups).bytes()) as u64
    }

    /// The end of the newest day or the newest time in the head, whichever is later: no sample is
    /// newer. 0 when there is none.
    #[must_use]
    pub fn newest_millis(&self) -> i64 {
        let heads = reading(&self.heads);
        let frozen = heads.frozen.as_ref().map_or(0, |head| head.newest_millis);
        let head = heads.active.newest_millis.max(frozen);
        drop(heads);
        let days = reading(&self.days);
        let last = days
            .last_key_value()
            .map_or(0, |(number, _)| i64::from(*number) + 1);
        head.max(last * crate::keys::PARTITION_MILLIS)
    }

    /// Counters and sizes.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        let days = reading(&self.days);
        let live = days.values().filter(|day| !day.only_windows);
        let runs = live.flat_map(|day| &day.runs);
        let (count, samples, bytes) = runs.fold((0, 0, 0), |(count, samples, bytes), run| {
            (count + 1, samples + run.samples, bytes + run.bytes)
        });
        drop(days);
        let counters = &self.counters;
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Statistics {
            series: reading(&self.index).len(),
            groups: reading(&self.groups).ids().count() as u64,
            head_samples: self.head_samples(),
            head_bytes: self.head_bytes(),
            index_bytes: self.index_bytes(),
            samples_total: load(&counters.samples),
            duplicate_batches_total: load(&counters.duplicate_batches),
            refused_series_total: load(&counters.refused_series),
            runs: count,
            chunk_samples: samples,
            chunk_bytes: bytes,
            compacted_samples_total: load(&counters.compacted_samples),
            disk_bytes: self.engine.disk_bytes(),
        }
    }

    /// Bytes of the files of each family; what is only in the log and in memory is not in them.
    #[must_use]
    pub fn family_bytes(&self) -> [(&'static str, u64); Family::ALL.len()] {
        Family::ALL.map(|family| (family.name(), self.engine.family_bytes(family)))
    }

    /// Whether anything more is taken in.
    ///
    /// # Errors
    /// [`Error::Poisoned`] after a failed write.
    pub fn check(&self) -> Result<(), Error> {
        if self.poisoned.load(Ordering::Acquire) {
            Err(Error::Poisoned)
        } else {
            Ok(())
        }
    }
}
