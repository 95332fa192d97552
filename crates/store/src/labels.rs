//! Listings: which series, label names and values there are.

use std::sync::Arc;

use roaring::RoaringBitmap;
use series::{Labels, Matcher, MetricKind, TimeRange};

use crate::{Error, SeriesId, Statistics, Store, reading};
use std::sync::atomic::Ordering;

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
        let entries = ids.iter().filter_map(|id| index.get(SeriesId(id)));
        listing(
            entries.map(|entry| (Arc::clone(&entry.labels), entry.kind)),
            limit,
        )
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
        let names = index.names().filter_map(|(name, mut values)| {
            values
                .any(|with| !with.is_disjoint(&ids))
                .then(|| name.to_owned())
        });
        listing(names, limit)
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

    /// The end of the newest day or the newest time in the head, whichever is later: no sample is
    /// newer. 0 when there is none.
    #[must_use]
    pub fn newest_millis(&self) -> i64 {
        let heads = reading(&self.heads);
        let frozen = heads.frozen.as_ref().map_or(0, |head| head.newest_millis);
        let head = heads.active.newest_millis.max(frozen);
        drop(heads);
        let partitions = reading(&self.partitions);
        let last = partitions
            .last_key_value()
            .map_or(0, |(number, _)| i64::from(*number) + 1);
        head.max(last * crate::keys::PARTITION_MILLIS)
    }

    /// Counters and sizes.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        Statistics {
            series: reading(&self.index).len() as u64,
            head_samples: self.head_samples(),
            samples_total: self.counters.samples.load(Ordering::Relaxed),
            duplicate_batches_total: self.counters.duplicate_batches.load(Ordering::Relaxed),
            chunk_samples_total: self.counters.chunk_samples.load(Ordering::Relaxed),
            chunk_bytes_total: self.counters.chunk_bytes.load(Ordering::Relaxed),
            disk_bytes: self.engine.disk_bytes(),
        }
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
