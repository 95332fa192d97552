//! Listings: which series, label names and values there are.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use series::{Labels, Matcher, MetricKind, TimeRange};

use crate::cold::Matching;
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

fn slices(selectors: &[Vec<Matcher>]) -> Vec<&[Matcher]> {
    selectors.iter().map(Vec::as_slice).collect()
}

impl Store {
    /// Series that pass at least one of the selectors (all series when there is none) and have a
    /// sample in a day that `range` touches or in the head.
    ///
    /// # Errors
    /// When labels cannot be read from disk, which holds those of old series.
    pub fn series(
        &self,
        selectors: &[Vec<Matcher>],
        range: TimeRange,
        limit: usize,
    ) -> Result<Listing<(Arc<Labels>, MetricKind)>, Error> {
        let Matching { ids, cold, .. } = self.matching(&slices(selectors), range, &|| true)?;
        let index = reading(&self.index);
        let entries = ids.iter().map(SeriesId).filter_map(|id| {
            if let Some((labels, kind)) = cold.get(&id) {
                return Some((Arc::clone(labels), *kind));
            }
            Some((Arc::new(index.labels(id)?), index.kind(id)?))
        });
        // A label set that went cold and came again is two series.
        let mut seen = HashSet::new();
        let is_new = |(labels, _): &(Arc<Labels>, MetricKind)| {
            cold.is_empty() || seen.insert(Arc::clone(labels))
        };
        Ok(listing(entries.filter(is_new), limit))
    }

    /// Names of the labels of such series, in order.
    ///
    /// # Errors
    /// As [`Store::series`].
    pub fn label_names(
        &self,
        selectors: &[Vec<Matcher>],
        range: TimeRange,
        limit: usize,
    ) -> Result<Listing<String>, Error> {
        let Matching { ids, cold, .. } = self.matching(&slices(selectors), range, &|| true)?;
        let index = reading(&self.index);
        let in_use = |name: &&str| index.values(name).any(|(_, with)| !with.is_disjoint(&ids));
        let hot = index.names().filter(in_use);
        let cold = cold.values().flat_map(|(labels, _)| labels.iter());
        let names: BTreeSet<&str> = hot.chain(cold.map(|(name, _)| name)).collect();
        Ok(listing(names.into_iter().map(str::to_owned), limit))
    }

    /// Values of one label on such series, in order.
    ///
    /// # Errors
    /// As [`Store::series`].
    pub fn label_values(
        &self,
        name: &str,
        selectors: &[Vec<Matcher>],
        range: TimeRange,
        limit: usize,
    ) -> Result<Listing<String>, Error> {
        let Matching { ids, cold, .. } = self.matching(&slices(selectors), range, &|| true)?;
        let index = reading(&self.index);
        let hot = index.values(name);
        let hot = hot.filter(|(_, with)| !with.is_disjoint(&ids));
        let cold = cold.values().map(|(labels, _)| labels.get(name));
        let values: BTreeSet<&str> = hot.map(|(value, _)| value).chain(cold).collect();
        let values = values.into_iter().filter(|value| !value.is_empty());
        Ok(listing(values.map(str::to_owned), limit))
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

    /// Series in the index.
    #[must_use]
    pub fn series_count(&self) -> u64 {
        reading(&self.index).len()
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
        let (hits, misses) = self.columns.hits_and_misses();
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Statistics {
            series: reading(&self.index).len(),
            cold_series: reading(&self.index).cold().len(),
            groups: reading(&self.groups).ids().count() as u64,
            head_samples: self.head_samples(),
            head_bytes: self.head_bytes(),
            index_bytes: self.index_bytes(),
            samples_total: load(&counters.samples),
            duplicate_batches_total: load(&counters.duplicate_batches),
            refused_series_total: load(&counters.refused_series),
            series_over_bound_total: load(&counters.series_over_bound),
            runs: count,
            chunk_samples: samples,
            chunk_bytes: bytes,
            compacted_samples_total: load(&counters.compacted_samples),
            column_cache_bytes: self.columns.bytes(),
            column_cache_hits_total: hits,
            column_cache_misses_total: misses,
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
