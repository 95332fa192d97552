//! All metrics of a process in one place.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{
    Counter, Error, Gauge, Histogram, LabelPairs, MetricFamily, MetricKind, MetricSample,
    SERIES_MAX, float_of, sorted,
};

type Callback = Arc<dyn Fn() -> Option<f64> + Send + Sync>;
type Collector = Arc<dyn Fn() -> Vec<MetricFamily> + Send + Sync>;

/// Where the value of one series comes from.
#[derive(Clone)]
enum Source {
    Counter(Counter),
    Gauge(Gauge),
    Histogram(Histogram),
    Callback(Callback),
}

#[derive(Clone)]
struct Entry {
    help: &'static str,
    kind: MetricKind,
    series: BTreeMap<LabelPairs, Source>,
}

#[derive(Clone, Default)]
struct Entries {
    families: BTreeMap<&'static str, Entry>,
    series_count: usize,
    collectors: Vec<Collector>,
}

/// All metrics of a process. Clones share it.
#[derive(Clone, Default)]
pub struct Registry(Arc<Mutex<Entries>>);

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.lock();
        f.debug_struct("Registry")
            .field("families", &entries.families.keys())
            .field("series_count", &entries.series_count)
            .finish_non_exhaustive()
    }
}

impl Registry {
    /// An empty registry.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A counter; its name ends in `_total`. Asked again with the same labels it is the same one.
    ///
    /// # Errors
    /// When the name or a label is not valid, the name means something else, or there are too
    /// many series.
    pub fn counter(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &[(&'static str, &str)],
    ) -> Result<Counter, Error> {
        let fresh = Source::Counter(Counter::default());
        match self.register(name, help, MetricKind::Counter, labels, fresh)? {
            Source::Counter(counter) => Ok(counter),
            Source::Gauge(_) | Source::Histogram(_) | Source::Callback(_) => {
                Err(Error::Duplicate { name })
            }
        }
    }

    /// A gauge. Asked again with the same labels it is the same one.
    ///
    /// # Errors
    /// As [`Registry::counter`].
    pub fn gauge(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &[(&'static str, &str)],
    ) -> Result<Gauge, Error> {
        let fresh = Source::Gauge(Gauge::default());
        match self.register(name, help, MetricKind::Gauge, labels, fresh)? {
            Source::Gauge(gauge) => Ok(gauge),
            Source::Counter(_) | Source::Histogram(_) | Source::Callback(_) => {
                Err(Error::Duplicate { name })
            }
        }
    }

    /// A histogram of times; its name ends in `_seconds`. Asked again with the same labels it is
    /// the same one.
    ///
    /// # Errors
    /// As [`Registry::counter`].
    pub fn histogram(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &[(&'static str, &str)],
    ) -> Result<Histogram, Error> {
        let fresh = Source::Histogram(Histogram::new());
        match self.register(name, help, MetricKind::Histogram, labels, fresh)? {
            Source::Histogram(histogram) => Ok(histogram),
            Source::Counter(_) | Source::Gauge(_) | Source::Callback(_) => {
                Err(Error::Duplicate { name })
            }
        }
    }

    /// One series whose value is asked for at each [`Registry::gather`]; `None` is missing. The
    /// callback must not block.
    ///
    /// # Errors
    /// As [`Registry::counter`], when the kind is a histogram, and when the series is there.
    pub fn callback(
        &self,
        name: &'static str,
        help: &'static str,
        kind: MetricKind,
        labels: &[(&'static str, &str)],
        value: impl Fn() -> Option<f64> + Send + Sync + 'static,
    ) -> Result<(), Error> {
        if kind == MetricKind::Histogram {
            return Err(Error::BadName {
                name,
                rule: "a callback gives one value and not a histogram",
            });
        }
        let value: Callback = Arc::new(value);
        match self.register(
            name,
            help,
            kind,
            labels,
            Source::Callback(Arc::clone(&value)),
        )? {
            Source::Callback(kept) if Arc::ptr_eq(&kept, &value) => Ok(()),
            Source::Callback(_) | Source::Counter(_) | Source::Gauge(_) | Source::Histogram(_) => {
                Err(Error::Duplicate { name })
            }
        }
    }

    /// Whole families made at each [`Registry::gather`], such as [`super::process_families`]. Their names
    /// must not be those of registered metrics of another kind. The collector must not block.
    pub fn collector(&self, collect: impl Fn() -> Vec<MetricFamily> + Send + Sync + 'static) {
        self.lock().collectors.push(Arc::new(collect));
    }

    /// Everything as it is now, sorted by name and then by labels. Families without samples are
    /// left out.
    #[must_use]
    pub fn gather(&self) -> Vec<MetricFamily> {
        // Callbacks run without the lock, so that they may use the registry themselves.
        let entries = self.lock().clone();
        let mut families: BTreeMap<&'static str, MetricFamily> = BTreeMap::new();
        for (name, entry) in entries.families {
            let mut family = MetricFamily::new(name, entry.help, entry.kind);
            for (labels, source) in entry.series {
                source.sample(labels, &mut family.samples);
            }
            families.insert(name, family);
        }
        for family in entries.collectors.iter().flat_map(|collect| collect()) {
            match families.get_mut(family.name) {
                None => {
                    families.insert(family.name, family);
                }
                Some(present) if present.kind == family.kind => {
                    present.samples.extend(family.samples);
                }
                Some(present) => {
                    tracing::warn!(
                        metric = family.name,
                        kept = ?present.kind,
                        dropped = ?family.kind,
                        "two kinds of one metric, the second is left out"
                    );
                }
            }
        }
        families.retain(|_, family| !family.samples.is_empty());
        families.into_values().collect()
    }

    fn register(
        &self,
        name: &'static str,
        help: &'static str,
        kind: MetricKind,
        labels: &[(&'static str, &str)],
        fresh: Source,
    ) -> Result<Source, Error> {
        check_name(name, kind)?;
        let labels = sorted(labels);
        check_labels(name, &labels)?;
        let mut guard = self.lock();
        let entries = &mut *guard;
        let present = entries.families.get(name);
        if present.is_some_and(|entry| entry.kind != kind || entry.help != help) {
            return Err(Error::Conflict { name });
        }
        if let Some(source) = present.and_then(|entry| entry.series.get(&labels)) {
            return Ok(source.clone());
        }
        if entries.series_count >= SERIES_MAX {
            return Err(Error::TooMany { name });
        }
        entries.series_count += 1;
        entries
            .families
            .entry(name)
            .or_insert_with(|| Entry {
                help,
                kind,
                series: BTreeMap::new(),
            })
            .series
            .insert(labels, fresh.clone());
        Ok(fresh)
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        // A panic elsewhere leaves whole entries, as each is inserted in one step.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source {
    /// Adds the samples of one series.
    fn sample(&self, labels: LabelPairs, out: &mut Vec<MetricSample>) {
        let value = match self {
            Self::Counter(counter) => Some(float_of(counter.get())),
            Self::Gauge(gauge) => gauge.get(),
            Self::Callback(value) => value(),
            Self::Histogram(histogram) => {
                histogram.sample(&labels, out);
                None
            }
        };
        if let Some(value) = value {
            out.push(MetricSample {
                suffix: "",
                labels,
                value,
            });
        }
    }
}

fn check_name(name: &'static str, kind: MetricKind) -> Result<(), Error> {
    let refuse = |rule| Err(Error::BadName { name, rule });
    let starts_well = name.starts_with(|c: char| c.is_ascii_lowercase());
    let of_letters = name
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if !starts_well || !of_letters {
        return refuse("names are lower-case letters, digits and underscores, a letter first");
    }
    match kind {
        MetricKind::Counter if !name.ends_with("_total") => refuse("counters end in _total"),
        MetricKind::Histogram if !name.ends_with("_seconds") => {
            refuse("histograms end in _seconds")
        }
        MetricKind::Info if !name.ends_with("_info") => refuse("facts end in _info"),
        MetricKind::Gauge
            if ["_total", "_bucket", "_sum", "_count", "_info"]
                .iter()
                .any(|suffix| name.ends_with(suffix)) =>
        {
            refuse("a gauge must not end as the samples of other kinds do")
        }
        MetricKind::Counter | MetricKind::Histogram | MetricKind::Info | MetricKind::Gauge => {
            Ok(())
        }
    }
}

fn check_labels(name: &'static str, labels: &LabelPairs) -> Result<(), Error> {
    for (at, (label, _)) in labels.iter().enumerate() {
        let starts_well = label.starts_with(|c: char| c.is_ascii_lowercase());
        let of_letters = label
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        let twice = at > 0 && labels[at - 1].0 == *label;
        if !starts_well || !of_letters || twice || *label == "le" || *label == "quantile" {
            return Err(Error::BadLabel { name, label });
        }
    }
    Ok(())
}
