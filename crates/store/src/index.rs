//! The index: which series there are, and which of them a selector means.
//!
//! Every label pair has a bitmap of the series that carry it (a posting list). A selector is
//! answered by set operations on them; no series is looked at one by one.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use foldhash::fast::FixedState;
use roaring::RoaringBitmap;
use series::{Labels, MatchOp, Matcher, MetricKind};

use crate::SeriesId;

/// What names a series and what kind it is.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) labels: Arc<Labels>,
    pub(crate) kind: MetricKind,
}

#[derive(Debug, Default)]
pub(crate) struct Index {
    by_id: HashMap<SeriesId, Entry, FixedState>,
    by_labels: HashMap<Arc<Labels>, SeriesId, FixedState>,
    /// Label name → label value → series. Ordered, so that prefixes and listings are walks.
    postings: BTreeMap<Box<str>, BTreeMap<Box<str>, RoaringBitmap>>,
    all: RoaringBitmap,
    next: u32,
}

impl Index {
    /// The id of a label set, if it has one.
    pub(crate) fn find(&self, labels: &Labels) -> Option<SeriesId> {
        self.by_labels.get(labels).copied()
    }

    pub(crate) fn get(&self, id: SeriesId) -> Option<&Entry> {
        self.by_id.get(&id)
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// The next id that is free; `None` when all four billion have been used.
    pub(crate) fn next_id(&self) -> Option<SeriesId> {
        (self.next < u32::MAX).then_some(SeriesId(self.next))
    }

    /// Keeps an id from being given to a new series: its row is there, though it cannot be read.
    pub(crate) fn reserve(&mut self, id: SeriesId) {
        self.next = self.next.max(id.0.saturating_add(1));
    }

    /// All ids in use.
    pub(crate) fn ids(&self) -> &RoaringBitmap {
        &self.all
    }

    /// Adds a series under an id that is not in use.
    pub(crate) fn insert(&mut self, id: SeriesId, labels: Arc<Labels>, kind: MetricKind) {
        for (name, value) in labels.iter() {
            if !self.postings.contains_key(name) {
                self.postings.insert(name.into(), BTreeMap::new());
            }
            if let Some(values) = self.postings.get_mut(name) {
                match values.get_mut(value) {
                    Some(ids) => {
                        ids.insert(id.0);
                    }
                    None => {
                        values.insert(value.into(), RoaringBitmap::from_iter([id.0]));
                    }
                }
            }
        }
        self.all.insert(id.0);
        self.reserve(id);
        self.by_labels.insert(Arc::clone(&labels), id);
        self.by_id.insert(id, Entry { labels, kind });
    }

    /// Forgets a series.
    pub(crate) fn remove(&mut self, id: SeriesId) {
        let Some(entry) = self.by_id.remove(&id) else {
            return;
        };
        // Another id may have taken the labels over since.
        if self.by_labels.get(&entry.labels) == Some(&id) {
            self.by_labels.remove(&entry.labels);
        }
        self.all.remove(id.0);
        for (name, value) in entry.labels.iter() {
            let Some(values) = self.postings.get_mut(name) else {
                continue;
            };
            if let Some(ids) = values.get_mut(value) {
                ids.remove(id.0);
                if ids.is_empty() {
                    values.remove(value);
                }
            }
            if values.is_empty() {
                self.postings.remove(name);
            }
        }
    }

    /// The series that pass every matcher.
    pub(crate) fn select(&self, matchers: &[Matcher]) -> RoaringBitmap {
        let mut found: Option<RoaringBitmap> = None;
        // Equality first: it is cheapest and cuts most.
        let (equal, other): (Vec<_>, Vec<_>) = matchers
            .iter()
            .partition(|matcher| matcher.op() == MatchOp::Equal);
        for matcher in equal.into_iter().chain(other) {
            let passing = self.passing(matcher);
            let rest = match found {
                None => passing,
                Some(found) => found & passing,
            };
            if rest.is_empty() {
                return rest;
            }
            found = Some(rest);
        }
        found.unwrap_or_else(|| self.all.clone())
    }

    fn passing(&self, matcher: &Matcher) -> RoaringBitmap {
        let Some(values) = self.postings.get(matcher.name()) else {
            return if matcher.matches_absent() {
                self.all.clone()
            } else {
                RoaringBitmap::new()
            };
        };
        if matcher.matches_absent() {
            // Series without the label pass too: take away those whose value does not.
            let mut passing = self.all.clone();
            for (_, ids) in values.iter().filter(|(value, _)| !matcher.matches(value)) {
                passing -= ids;
            }
            return passing;
        }
        if matcher.op() == MatchOp::Equal {
            return values.get(matcher.value()).cloned().unwrap_or_default();
        }
        let mut passing = RoaringBitmap::new();
        for (_, ids) in values.iter().filter(|(value, _)| matcher.matches(value)) {
            passing |= ids;
        }
        passing
    }

    /// All label names in use, in order.
    pub(crate) fn names(
        &self,
    ) -> impl Iterator<Item = (&str, impl Iterator<Item = &RoaringBitmap>)> {
        self.postings
            .iter()
            .map(|(name, values)| (&**name, values.values()))
    }

    /// All values of a label with the series that carry them, in order.
    pub(crate) fn values(&self, name: &str) -> impl Iterator<Item = (&str, &RoaringBitmap)> {
        self.postings
            .get(name)
            .into_iter()
            .flat_map(|values| values.iter().map(|(value, ids)| (&**value, ids)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index() -> Index {
        let mut index = Index::default();
        for (id, (name, pairs)) in [
            ("up", [("job", "a"), ("zone", "")]),
            ("up", [("job", "b"), ("zone", "x")]),
            ("load", [("job", "a"), ("zone", "y")]),
        ]
        .into_iter()
        .enumerate()
        {
            let labels = Labels::with_name(name, &pairs).unwrap();
            let id = SeriesId(u32::try_from(id).unwrap());
            index.insert(id, Arc::new(labels), MetricKind::Gauge);
        }
        index
    }

    fn select(matchers: &[(&str, MatchOp, &str)]) -> Vec<u32> {
        let matchers: Vec<Matcher> = matchers
            .iter()
            .map(|(name, op, value)| Matcher::new(name, *op, value).unwrap())
            .collect();
        index().select(&matchers).iter().collect()
    }

    #[test]
    fn each_operator_selects_as_prometheus_does() {
        use MatchOp::{Equal, NotEqual, NotRegex, Regex};
        assert_eq!(select(&[("__name__", Equal, "up")]), [0, 1]);
        assert_eq!(
            select(&[("__name__", Equal, "up"), ("job", NotEqual, "b")]),
            [0]
        );
        assert_eq!(select(&[("zone", Equal, "")]), [0]);
        assert_eq!(select(&[("zone", NotEqual, "")]), [1, 2]);
        assert_eq!(select(&[("zone", Regex, "x|y")]), [1, 2]);
        assert_eq!(select(&[("zone", Regex, "x|")]), [0, 1]);
        assert_eq!(select(&[("zone", NotRegex, "x")]), [0, 2]);
        assert_eq!(select(&[("none", Equal, "1")]), [0_u32; 0]);
        assert_eq!(select(&[("none", NotEqual, "1")]), [0, 1, 2]);
        assert_eq!(select(&[]), [0, 1, 2]);
    }

    #[test]
    fn a_removed_series_leaves_no_trace() {
        let mut index = index();
        index.reserve(SeriesId(9));
        let again = Arc::new(Labels::with_name("load", &[("job", "a"), ("zone", "y")]).unwrap());
        index.insert(SeriesId(5), Arc::clone(&again), MetricKind::Gauge);
        index.remove(SeriesId(2));
        assert_eq!(index.find(&again), Some(SeriesId(5)));
        index.remove(SeriesId(5));
        assert!(index.values("zone").all(|(value, _)| value != "y"));
        assert!(index.values("__name__").all(|(value, _)| value != "load"));
        assert_eq!(index.len(), 2);
        assert_eq!(index.next_id(), Some(SeriesId(10)));
    }
}
