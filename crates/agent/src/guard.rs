//! How many series one target may say, and what becomes of those beyond.
//!
//! A bad label (a request id, a user) makes ten series a million. What a target says beyond its bounds
//! is not sent series by series but folded: for each metric one series with the target's own labels and
//! `vedette_folded="true"`, whose value is the sum of what is folded. Whoever sums over the target still
//! gets what is right; buckets keep their `le`, so quantiles over sums do too.
//!
//! **Who stays.** Series that were there first keep their place while they live; it is free again when
//! their end is told, or they were missing in some pages. Only a series whose end will be told gets one:
//! see [`Gathered::unknown`]. When a target is over its bound as a whole, each metric gets the same share
//! and small metrics stay whole. A page whose series are all stale (the target did not answer) costs
//! nobody a place.
//!
//! **Gauges** are summed anew each time.
//!
//! **Counters** come and go, and their sum must not look like a reset where there is none. So the
//! last value of each folded counter is remembered, and the sum grows by what each of them grew: by the
//! whole value if it is new (a new counter begins at zero) or was reset, by nothing if it is gone. It
//! never falls. A folded counter stays folded while it lives, because what is in the sum cannot be
//! taken out of it again. One that had a place some pages ago and comes back to find none goes on in the
//! sum from where it is now. There is one exception: when the bounds themselves are changed by the
//! budget, counters that now lose their place go on in the sum from where they were, and counters
//! that get one leave what they were in it. Rates are right throughout; the bare sum of a counter over
//! series and fold is then off by what it was at that moment. So it is after a restart of the agent, which
//! gives the places anew.
//!
//! **What has no sum** is left out and counted: infos and states, quantiles, times of creation, and
//! samples that bring a time of their own.
//!
//! For each series some 40 bytes are kept: a hash of 64 bits in the place of its labels. Two of a hundred
//! thousand series have the same with a chance of one in four thousand million; they then share a place.

mod sums;
mod target;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use foldhash::quality::RandomState;

use crate::batch::Gathered;
pub(crate) use sums::Sum;
use target::Target;

/// The label of a series that is the sum of others.
pub const FOLDED: &str = "vedette_folded";

/// Most folded counters whose last value is remembered, over all targets: some 20 MB. Those beyond are
/// left out and counted.
const MEMBERS_MAX: usize = 500_000;
/// Most metrics of which the worst are named.
pub const WORST_MAX: usize = 10;
/// How long a target may be silent before it is forgotten. Far more than the widest interval.
const IDLE_MAX: Duration = Duration::from_secs(15 * 60);
/// How often it is looked for such targets.
const IDLE_LOOK: Duration = Duration::from_secs(60);

/// Bounds of one target; 0 is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Most series of one metric name.
    pub series_per_metric_max: usize,
    /// Most series of all its metrics.
    pub series_per_target_max: usize,
}

impl Bounds {
    /// The bounds when only one in `divisor` is wanted.
    #[must_use]
    pub fn divided(self, divisor: usize) -> Self {
        let part = |bound: usize| match bound {
            0 => usize::MAX,
            bound => (bound / divisor).max(1),
        };
        Self {
            series_per_metric_max: part(self.series_per_metric_max),
            series_per_target_max: part(self.series_per_target_max),
        }
    }
}

/// Samples that were left out, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// They have no sum.
    pub no_sum: u64,
    /// There is no room for another sum, or to remember another counter.
    pub no_room: u64,
}

/// A metric that has begun to be folded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overflow {
    /// The name of its series.
    pub metric: String,
    /// How many it has on this page.
    pub series: usize,
    /// How many of these are folded or left out.
    pub folded: usize,
}

/// Holds targets to their bounds.
#[derive(Debug)]
pub struct Guard {
    bounds: Bounds,
    divisor: usize,
    targets: HashMap<Arc<str>, Target>,
    hasher: RandomState,
    members: usize,
    looked: Duration,
    stats: GuardStats,
}

impl Guard {
    /// A guard that has seen nothing.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            divisor: 1,
            targets: HashMap::new(),
            hasher: RandomState::default(),
            members: 0,
            looked: Duration::ZERO,
            stats: GuardStats::default(),
        }
    }

    /// What is folded now, for our own metrics.
    #[must_use]
    pub fn stats(&self) -> GuardStats {
        self.stats.clone()
    }

    /// From each target's next page on only one in `divisor` of its bounds is wanted.
    pub fn divide(&mut self, divisor: usize) {
        self.divisor = divisor.max(1);
    }

    /// Folds what is beyond the bounds. `now` is the monotonic time. Returns the worst of the
    /// metrics that were not folded before.
    pub fn apply(&mut self, gathered: &mut Gathered, now: Duration) -> Vec<Overflow> {
        self.forget_idle(now);
        if !self.targets.contains_key(&gathered.source) {
            let target = Target::new(self.hasher.clone());
            self.targets.insert(Arc::clone(&gathered.source), target);
        }
        let Some(target) = self.targets.get_mut(&gathered.source) else {
            return Vec::new();
        };
        target.seen = now;
        let before = target.members();
        let room = MEMBERS_MAX.saturating_sub(self.members - before);
        let bounds = self.bounds.divided(self.divisor);
        let left_out = target.apply(gathered, bounds, room);
        self.members = self.members - before + target.members();
        self.stats.note(&gathered.source, target, left_out);
        target.overflows()
    }

    fn forget_idle(&mut self, now: Duration) {
        if now.saturating_sub(self.looked) < IDLE_LOOK {
            return;
        }
        self.looked = now;
        let (members, stats) = (&mut self.members, &self.stats);
        self.targets.retain(|source, target| {
            let keep = now.saturating_sub(target.seen) < IDLE_MAX;
            if !keep {
                *members -= target.members();
                stats.forget(source);
            }
            keep
        });
    }
}

/// A metric of a target and how many of its series are folded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worst {
    /// Where the target is read, or the collector.
    pub target: String,
    /// The name of the series.
    pub metric: String,
    /// How many of them are folded or left out.
    pub folded: usize,
}

/// How many series of a source are folded, and of which metrics most.
type OfSource = (usize, Vec<(String, usize)>);

#[derive(Debug, Default)]
struct Folding {
    sources: HashMap<Arc<str>, OfSource>,
    left_out: LeftOut,
}

/// What is folded now. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct GuardStats(Arc<Mutex<Folding>>);

impl GuardStats {
    /// Series that are folded or left out now, over all targets.
    #[must_use]
    pub fn folded(&self) -> usize {
        self.with(|folding| folding.sources.values().map(|(all, _)| all).sum())
    }

    /// What was left out since the start.
    #[must_use]
    pub fn left_out(&self) -> LeftOut {
        self.with(|folding| folding.left_out)
    }

    /// The metrics of which most is folded, at most [`WORST_MAX`], the worst first.
    #[must_use]
    pub fn worst(&self) -> Vec<Worst> {
        let mut worst: Vec<Worst> = Vec::new();
        self.with(|folding| {
            for (source, (_, metrics)) in &folding.sources {
                // A source is a URL, then the labels.
                let target = source.split(' ').next().unwrap_or_default();
                for (metric, folded) in metrics {
                    let same = |it: &&mut Worst| it.target == target && it.metric == *metric;
                    match worst.iter_mut().find(same) {
                        Some(have) => have.folded += folded,
                        None => worst.push(Worst {
                            target: target.to_owned(),
                            metric: metric.clone(),
                            folded: *folded,
                        }),
                    }
                }
            }
        });
        worst.sort_by(|a, b| {
            let names = |it: &Worst| (it.target.clone(), it.metric.clone());
            b.folded
                .cmp(&a.folded)
                .then_with(|| names(a).cmp(&names(b)))
        });
        worst.truncate(WORST_MAX);
        worst
    }

    fn note(&self, source: &Arc<str>, target: &Target, left_out: LeftOut) {
        let all = target.folded();
        self.with(|folding| {
            folding.left_out.no_sum += left_out.no_sum;
            folding.left_out.no_room += left_out.no_room;
            if all > 0 {
                let worst = target.worst();
                folding.sources.insert(Arc::clone(source), (all, worst));
            } else {
                folding.sources.remove(source);
            }
        });
    }

    fn forget(&self, source: &Arc<str>) {
        self.with(|folding| folding.sources.remove(source));
    }

    fn with<T>(&self, look: impl FnOnce(&mut Folding) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests;
