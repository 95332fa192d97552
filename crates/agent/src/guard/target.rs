//! The places of one target's series, and the sums of those without.

use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::time::Duration;

use foldhash::quality::RandomState;
use series::labels::METRIC_NAME;
use series::{Family, Labels, LabelsBuilder, STALE_NAN, Sample, is_stale};

use super::sums::{Sum, share};
use super::{Bounds, FOLDED, LeftOut, Overflow, WORST_MAX};
use crate::batch::{Gathered, family_of};
use crate::collect::scrape::REPORT_NAMES;

/// Sums of one target at most: metrics, and for histograms their bounds. It is what a target may say
/// beyond its places.
const FOLDS_MAX: usize = 2_000;
/// Pages in a row that a series may be missing before it is forgotten, and its place free if nobody told its end.
const GONE_PAGES_MAX: u32 = 3;
/// Pages that a folded counter may be missing before it counts as new: five minutes at 5 s, which is
/// as long as a series without samples is shown.
const FORGOTTEN_PAGES_MAX: u32 = 60;
/// Pages between two looks for what is gone.
const SWEEP_PAGES: u32 = 4;
/// With more metrics than this it is looked after each page: no program has a tenth of them.
const METRICS_MAX: usize = 10_000;

type ByHash<T> = HashMap<u64, T, RandomState>;

/// A series with a place of its own, or that had one a few pages ago.
#[derive(Debug)]
struct Place {
    metric: u64,
    page: u32,
    /// The turn in which it lost the place. It is known for some pages more, since a counter that comes back does
    /// not begin at zero.
    lost: Option<u64>,
}

/// A counter that is folded.
#[derive(Debug)]
struct Member {
    last: f64,
    page: u32,
}

#[derive(Debug)]
struct Metric {
    name: Box<str>,
    sum: Sum,
    /// How many of its series have a place.
    placed: usize,
    /// On this page.
    series: usize,
    folded: usize,
    /// Whether it was told that it is folded.
    told: bool,
    /// By bound of the bucket; of what is no bucket, by nothing.
    folds: HashMap<Box<str>, Fold>,
}

#[derive(Debug)]
struct Fold {
    labels: Labels,
    value: f64,
    /// The last turn and page with something to sum.
    turn: u64,
    page: u32,
    /// Whether the last turn said it.
    said: bool,
}

/// What becomes of a sample.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Own,
    Folded,
    NoSum,
    NoRoom,
}

/// What holds for one turn.
struct Turn {
    /// Places for one metric, and for all.
    per_metric: usize,
    per_target: usize,
    /// Counters that may be remembered.
    members_max: usize,
    /// Whether the bounds were changed: all places are given anew.
    anew: bool,
    left_out: LeftOut,
    /// Stale markers of series that lose their place.
    ended: Vec<Sample>,
}

impl Turn {
    /// Counts what is left out, and ends a series that had a place and has none now.
    fn note(&mut self, fate: Fate, sample: &Sample, was_placed: bool) {
        match fate {
            Fate::Own => return,
            Fate::Folded => {}
            Fate::NoSum => self.left_out.no_sum += 1,
            Fate::NoRoom => self.left_out.no_room += 1,
        }
        if was_placed && sample.at.is_none() {
            self.ended.push(Sample {
                labels: sample.labels.clone(),
                value: STALE_NAN,
                at: None,
            });
        }
    }
}

/// One target.
#[derive(Debug)]
pub(super) struct Target {
    /// When it said something last.
    pub(super) seen: Duration,
    hasher: RandomState,
    bounds: Option<Bounds>,
    /// Snapshots, and those of them in which something was not stale.
    turn: u64,
    page: u32,
    places: ByHash<Place>,
    /// How many of them are not lost.
    placed: usize,
    members: ByHash<Member>,
    metrics: ByHash<Metric>,
    folds: usize,
    overflows: Vec<Overflow>,
}

impl Target {
    pub(super) fn new(hasher: RandomState) -> Self {
        Self {
            seen: Duration::ZERO,
            bounds: None,
            turn: 0,
            page: 0,
            places: HashMap::with_hasher(hasher.clone()),
            placed: 0,
            members: HashMap::with_hasher(hasher.clone()),
            metrics: HashMap::with_hasher(hasher.clone()),
            hasher,
            folds: 0,
            overflows: Vec::new(),
        }
    }

    /// How many counters are remembered.
    pub(super) fn members(&self) -> usize {
        self.members.len()
    }

    /// How many series were folded or left out this turn.
    pub(super) fn folded(&self) -> usize {
        self.metrics.values().map(|metric| metric.folded).sum()
    }

    /// The metrics of which most are.
    pub(super) fn worst(&self) -> Vec<(String, usize)> {
        let folded = self.metrics.values().filter(|metric| metric.folded > 0);
        let mut worst: Vec<_> = folded.map(|it| (it.name.to_string(), it.folded)).collect();
        worst.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        worst.truncate(WORST_MAX);
        worst
    }

    /// The worst of those that were not folded before this turn.
    pub(super) fn overflows(&mut self) -> Vec<Overflow> {
        std::mem::take(&mut self.overflows)
    }

    /// Folds what is beyond `bounds`; at most `members_max` counters are remembered.
    pub(super) fn apply(
        &mut self,
        gathered: &mut Gathered,
        bounds: Bounds,
        members_max: usize,
    ) -> LeftOut {
        self.turn += 1;
        let snapshot = &mut gathered.snapshot;
        let unknown = std::mem::take(&mut gathered.unknown);
        let mut samples = std::mem::take(&mut snapshot.samples);
        // What the scraper itself says of the target stays, and bears the target's own labels.
        let is_report = |it: &&Sample| REPORT_NAMES.contains(&it.labels.metric_name());
        let reports = samples.iter().rev().take_while(is_report).count();
        let reports = samples.split_off(samples.len() - reports.min(REPORT_NAMES.len()));
        let own = reports.first().map(|it| it.labels.clone());
        let own = own.unwrap_or_default();
        self.count(samples.iter().chain(&unknown), &snapshot.families);
        let mut turn = self.begin(bounds, members_max);
        // First what frees places, then who may have them.
        samples.retain(|sample| !is_stale(sample.value) || self.end(sample));
        for sample in &unknown {
            self.sum_up(sample, &own, &mut turn);
        }
        samples.retain(|sample| is_stale(sample.value) || self.take(sample, &own, &mut turn));
        samples.append(&mut turn.ended);
        self.say(&mut samples);
        samples.extend(reports);
        snapshot.samples = samples;
        self.find_overflows();
        if self.page.is_multiple_of(SWEEP_PAGES) || self.metrics.len() > METRICS_MAX {
            self.sweep();
        }
        turn.left_out
    }

    /// Counts the series of each metric on this page.
    fn count<'s>(&mut self, samples: impl Iterator<Item = &'s Sample>, families: &[Family]) {
        for metric in self.metrics.values_mut() {
            (metric.series, metric.folded) = (0, 0);
        }
        for sample in samples.filter(|sample| !is_stale(sample.value)) {
            let name = sample.labels.metric_name();
            let metric = self.metrics.entry(self.hasher.hash_one(name));
            let metric = metric.or_insert_with(|| Metric {
                name: name.into(),
                sum: Sum::of(name, family_of(name, families)),
                placed: 0,
                series: 0,
                folded: 0,
                told: false,
                folds: HashMap::new(),
            });
            metric.series += 1;
        }
    }

    fn begin(&mut self, bounds: Bounds, members_max: usize) -> Turn {
        let series: usize = self.metrics.values().map(|metric| metric.series).sum();
        let mut anew = false;
        if series > 0 {
            self.page += 1;
            let before = self.bounds.replace(bounds);
            anew = before.is_some_and(|before| before != bounds);
            if anew {
                let turn = self.turn;
                for place in self.places.values_mut() {
                    place.lost.get_or_insert(turn);
                }
                self.placed = 0;
                for metric in self.metrics.values_mut() {
                    metric.placed = 0;
                }
            }
        }
        let mut per_metric = bounds.series_per_metric_max;
        if series > bounds.series_per_target_max {
            let counts = self.metrics.values().map(|it| it.series.min(per_metric));
            let fair = share(counts.collect(), bounds.series_per_target_max);
            per_metric = per_metric.min(fair.max(1));
        }
        Turn {
            per_metric,
            per_target: bounds.series_per_target_max,
            members_max,
            anew,
            left_out: LeftOut::default(),
            ended: Vec::new(),
        }
    }

    /// Whether a series that ended had a place until now. It has none any more.
    fn end(&mut self, marker: &Sample) -> bool {
        self.lose(self.hasher.hash_one(&marker.labels))
    }

    /// Takes a series' place. Whether it had one until this turn.
    fn lose(&mut self, key: u64) -> bool {
        let Some(place) = self.places.get_mut(&key) else {
            return false;
        };
        let is_free = place.lost.is_some();
        let lost = *place.lost.get_or_insert(self.turn);
        if !is_free {
            self.placed -= 1;
            if let Some(metric) = self.metrics.get_mut(&place.metric) {
                metric.placed -= 1;
            }
        }
        lost == self.turn
    }

    /// Whether a sample stays as it is; if not, it is in a sum or left out.
    fn take(&mut self, sample: &Sample, own: &Labels, turn: &mut Turn) -> bool {
        let key = self.hasher.hash_one(&sample.labels);
        let fate = self.fate(key, sample, own, turn);
        if fate != Fate::Own {
            let was_placed = self.lose(key);
            turn.note(fate, sample, was_placed);
        }
        fate == Fate::Own
    }

    /// Sums a sample of a series that may have no place. If it has one, it loses it.
    fn sum_up(&mut self, sample: &Sample, own: &Labels, turn: &mut Turn) {
        let key = self.hasher.hash_one(&sample.labels);
        let was_placed = self.lose(key);
        let metric_key = self.hasher.hash_one(sample.labels.metric_name());
        // It was made when the page was counted.
        let Some(metric) = self.metrics.get_mut(&metric_key) else {
            return;
        };
        metric.folded += 1;
        let from = self.places.contains_key(&key).then_some(sample.value);
        let fate = self.sum(key, metric_key, sample, own, from, turn.members_max);
        turn.note(fate, sample, was_placed);
    }

    fn fate(&mut self, key: u64, sample: &Sample, own: &Labels, turn: &Turn) -> Fate {
        let place = self.places.get_mut(&key);
        let had_place = place.is_some();
        if let Some(place) = place.filter(|place| place.lost.is_none()) {
            place.page = self.page;
            return Fate::Own;
        }
        let name = sample.labels.metric_name();
        let metric_key = self.hasher.hash_one(name);
        // It was made when the page was counted.
        let Some(metric) = self.metrics.get_mut(&metric_key) else {
            return Fate::NoRoom;
        };
        let is_member = metric.sum == Sum::Counter && self.members.contains_key(&key);
        let may_move = !is_member || turn.anew;
        let has_room = metric.placed < turn.per_metric && self.placed < turn.per_target;
        if may_move && has_room {
            metric.placed += 1;
            self.placed += 1;
            self.members.remove(&key);
            let place = Place {
                metric: metric_key,
                page: self.page,
                lost: None,
            };
            self.places.insert(key, place);
            return Fate::Own;
        }
        metric.folded += 1;
        let from = had_place.then_some(sample.value);
        self.sum(key, metric_key, sample, own, from, turn.members_max)
    }

    /// Adds a sample to the sum of its metric. `from` is the value that a counter has grown from, if it
    /// did not begin at zero.
    fn sum(
        &mut self,
        key: u64,
        metric_key: u64,
        sample: &Sample,
        own: &Labels,
        from: Option<f64>,
        members_max: usize,
    ) -> Fate {
        let Some(metric) = self.metrics.get_mut(&metric_key) else {
            return Fate::NoRoom;
        };
        let sum = metric.sum;
        let is_quantile = !sample.labels.get("quantile").is_empty();
        if sum == Sum::None || is_quantile || sample.at.is_some() {
            return Fate::NoSum;
        }
        let is_full = self.members.len() >= members_max;
        if sum == Sum::Counter && is_full && !self.members.contains_key(&key) {
            return Fate::NoRoom;
        }
        let is_bucket = metric.name.ends_with("_bucket");
        let bound = if is_bucket {
            sample.labels.get("le")
        } else {
            ""
        };
        let Some(fold) = fold(metric, bound, own, &mut self.folds) else {
            return Fate::NoRoom;
        };
        if sum == Sum::Gauge {
            let so_far = if fold.turn == self.turn {
                fold.value
            } else {
                0.0
            };
            fold.value = so_far + sample.value;
        } else {
            let first = Member {
                last: from.unwrap_or(0.0),
                page: self.page,
            };
            let member = self.members.entry(key).or_insert(first);
            member.page = self.page;
            fold.value += grown(member.last, sample.value);
            if sample.value.is_finite() {
                member.last = sample.value;
            }
        }
        (fold.turn, fold.page) = (self.turn, self.page);
        Fate::Folded
    }

    /// Adds the sums to what is said, and ends those of which nothing is left.
    fn say(&mut self, samples: &mut Vec<Sample>) {
        let folds = self
            .metrics
            .values_mut()
            .flat_map(|it| it.folds.values_mut());
        for fold in folds {
            let now = fold.turn == self.turn;
            if now || fold.said {
                samples.push(Sample {
                    labels: fold.labels.clone(),
                    value: if now { fold.value } else { STALE_NAN },
                    at: None,
                });
            }
            fold.said = now;
        }
    }

    fn find_overflows(&mut self) {
        let metrics = self.metrics.values_mut();
        for metric in metrics.filter(|metric| metric.folded > 0 && !metric.told) {
            metric.told = true;
            self.overflows.push(Overflow {
                metric: metric.name.to_string(),
                series: metric.series,
                folded: metric.folded,
            });
        }
        let names = |it: &Overflow| (usize::MAX - it.folded, it.metric.clone());
        self.overflows.sort_by_cached_key(names);
        self.overflows.truncate(WORST_MAX);
    }

    /// Frees what is gone.
    fn sweep(&mut self) {
        let page = self.page;
        let (metrics, placed) = (&mut self.metrics, &mut self.placed);
        self.places.retain(|_, place| {
            let keep = page - place.page <= GONE_PAGES_MAX;
            if !keep && place.lost.is_none() {
                *placed -= 1;
                if let Some(metric) = metrics.get_mut(&place.metric) {
                    metric.placed -= 1;
                }
            }
            keep
        });
        let forgotten = |last: u32| page - last > FORGOTTEN_PAGES_MAX;
        self.members.retain(|_, member| !forgotten(member.page));
        let mut folds = 0;
        metrics.retain(|_, metric| {
            metric.folds.retain(|_, fold| !forgotten(fold.page));
            folds += metric.folds.len();
            metric.placed > 0 || metric.series > 0 || !metric.folds.is_empty()
        });
        self.folds = folds;
    }
}

/// By how much a counter grew from `last` to `now`; a smaller value began again at zero.
fn grown(last: f64, now: f64) -> f64 {
    let grown = if now >= last { now - last } else { now };
    if grown.is_finite() {
        grown.max(0.0)
    } else {
        0.0
    }
}

/// The sum of this bound, made when there is room for it.
fn fold<'m>(
    metric: &'m mut Metric,
    bound: &str,
    own: &Labels,
    folds: &mut usize,
) -> Option<&'m mut Fold> {
    if !metric.folds.contains_key(bound) {
        if *folds >= FOLDS_MAX {
            return None;
        }
        let mut labels = LabelsBuilder::from_labels(own);
        labels.set(METRIC_NAME, &metric.name);
        labels.set(FOLDED, "true");
        labels.set("le", bound);
        let fold = Fold {
            labels: labels.build().ok()?,
            value: 0.0,
            turn: 0,
            page: 0,
            said: false,
        };
        *folds += 1;
        metric.folds.insert(bound.into(), fold);
    }
    metric.folds.get_mut(bound)
}
