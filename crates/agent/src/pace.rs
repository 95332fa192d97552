//! How often is read what is read at an interval, while the agent is over its budget.
//!
//! Each level spares more than the one before. First what says most is read less often, then
//! everything, then less is told of it:
//!
//! | level | heavy | others | GPUs | detail |
//! |---|---|---|---|---|
//! | 0 | 1 | 1 | 1 | all |
//! | 1 | 2 | 1 | 1 | all |
//! | 2 | 4 | 2 | 1 | all |
//! | 3 | 8 | 4 | 2 | all |
//! | 4 | 8 | 4 | 2 | a tenth of the guard's bounds, no counts of processes |
//! | 5 | 16 | 4 | 2 | a hundredth of the guard's bounds, no counts of processes |
//!
//! The numbers multiply the interval; none becomes longer than [`INTERVAL_MAX`], so that a rate over five
//! minutes has what it needs. Heavy are the sources, largest first, that together say half of all
//! samples. GPUs are never more than twice as slow, never heavy and always told whole: they are what
//! the node is for. Events do not come this way and never wait. The agent's own metrics stay as they are.
//!
//! What a page takes of memory does not depend on how often it is read. So while memory is [tight](Pace::is_tight)
//! less is kept of what is not needed now: less is under way to the coordinator, series that are gone are
//! forgotten at the next cut, and their numbers with a new stream soon. What is free goes back to the kernel
//! within a second. Only if that is not enough less is told, from [`DETAIL_FROM`] on.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

/// No interval is widened beyond this.
pub const INTERVAL_MAX: Duration = Duration::from_secs(120);
/// The last level.
pub const LEVEL_MAX: u8 = 5;
/// The first level that tells less.
pub const DETAIL_FROM: u8 = 4;

/// What a level does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Step {
    heavy: u32,
    others: u32,
    gpu: u32,
    /// Of the guard's bounds, one in so many.
    divisor: usize,
}

const STEPS: [Step; LEVEL_MAX as usize + 1] = {
    const fn step(heavy: u32, others: u32, gpu: u32, divisor: usize) -> Step {
        Step {
            heavy,
            others,
            gpu,
            divisor,
        }
    }
    [
        step(1, 1, 1, 1),
        step(2, 1, 1, 1),
        step(4, 2, 1, 1),
        step(8, 4, 2, 1),
        step(8, 4, 2, 10),
        step(16, 4, 2, 100),
    ]
};

/// What is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The host.
    Host,
    /// The GPUs.
    Gpu,
    /// A scraped endpoint.
    Target,
}

impl Class {
    /// All classes.
    pub const ALL: [Self; 3] = [Self::Host, Self::Gpu, Self::Target];

    /// The class of the collector of this name.
    #[must_use]
    pub fn of_collector(name: &str) -> Self {
        match name {
            "gpu" => Self::Gpu,
            _ => Self::Host,
        }
    }

    /// The value of a `class` label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Gpu => "gpu",
            Self::Target => "target",
        }
    }
}

#[derive(Debug)]
struct Shared {
    level: AtomicU8,
    tight: AtomicBool,
    /// Samples from which on a source is heavy.
    heavy_from: AtomicU64,
    /// What each source said last. There are as many as there are targets.
    weights: Mutex<Vec<Weak<AtomicU64>>>,
    spared: [AtomicU64; Class::ALL.len()],
}

/// The pace of everything that is read. Clones share it. It guards no other memory: a reader that
/// sees a level late reads once more or less.
#[derive(Clone, Debug)]
pub struct Pace(Arc<Shared>);

impl Default for Pace {
    fn default() -> Self {
        Self(Arc::new(Shared {
            level: AtomicU8::new(0),
            tight: AtomicBool::new(false),
            heavy_from: AtomicU64::new(u64::MAX),
            weights: Mutex::default(),
            spared: Default::default(),
        }))
    }
}

impl Pace {
    /// The turns of a source.
    #[must_use]
    pub fn turns(&self, class: Class) -> Turns {
        let weight = Arc::new(AtomicU64::new(0));
        let mut weights = self.weights();
        weights.retain(|weight| weight.strong_count() > 0);
        if class != Class::Gpu {
            weights.push(Arc::downgrade(&weight));
        }
        Turns {
            pace: self.clone(),
            class,
            weight,
            passed: u32::MAX,
        }
    }

    /// Takes a level and finds out which sources are heavy now.
    pub fn set(&self, level: u8) {
        let weights = self.weights();
        let alive = weights.iter().filter_map(Weak::upgrade);
        let weights = alive.map(|weight| weight.load(Ordering::Relaxed)).collect();
        self.0
            .heavy_from
            .store(heavy_from(weights), Ordering::Relaxed);
        self.0.level.store(level.min(LEVEL_MAX), Ordering::Relaxed);
    }

    /// The level.
    #[must_use]
    pub fn level(&self) -> u8 {
        self.0.level.load(Ordering::Relaxed)
    }

    /// Says whether memory is tight.
    pub fn be_tight(&self, is_tight: bool) {
        self.0.tight.store(is_tight, Ordering::Relaxed);
    }

    /// Whether more memory is used than may be, so that nothing is kept that is not needed now.
    #[must_use]
    pub fn is_tight(&self) -> bool {
        self.0.tight.load(Ordering::Relaxed)
    }

    /// Of the guard's bounds, one in so many is wanted.
    #[must_use]
    pub fn divisor(&self) -> usize {
        self.step().divisor
    }

    /// Heavy sources are read each so many turns.
    #[must_use]
    pub fn heavy_turns(&self) -> u32 {
        self.step().heavy
    }

    /// Turns that were passed over.
    #[must_use]
    pub fn spared(&self, class: Class) -> u64 {
        self.0.spared[class as usize].load(Ordering::Relaxed)
    }

    fn step(&self) -> Step {
        STEPS[usize::from(self.level())]
    }

    fn weights(&self) -> std::sync::MutexGuard<'_, Vec<Weak<AtomicU64>>> {
        self.0
            .weights
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The least of the weights that, largest first, are together half of all.
fn heavy_from(mut weights: Vec<u64>) -> u64 {
    weights.sort_unstable_by(|a, b| b.cmp(a));
    let all: u64 = weights.iter().sum();
    let mut so_far = 0;
    for weight in weights {
        so_far += weight;
        if weight > 0 && so_far * 2 >= all {
            return weight;
        }
    }
    u64::MAX
}

/// The turns of one source.
#[derive(Debug)]
pub struct Turns {
    pace: Pace,
    class: Class,
    weight: Arc<AtomicU64>,
    /// Turns since it was read, this one included.
    passed: u32,
}

impl Turns {
    /// Whether it is read this turn; asked once each turn of `every`.
    pub fn is_due(&mut self, every: Duration) -> bool {
        self.passed = self.passed.saturating_add(1);
        let is_due = self.passed >= self.factor(every);
        if is_due {
            self.passed = 0;
        } else {
            self.pace.0.spared[self.class as usize].fetch_add(1, Ordering::Relaxed);
        }
        is_due
    }

    /// Of the guard's bounds, one in so many is wanted of it.
    #[must_use]
    pub fn divisor(&self) -> usize {
        self.pace.divisor()
    }

    /// Takes note of how many samples it said.
    pub fn said(&self, samples: usize) {
        self.weight.store(samples as u64, Ordering::Relaxed);
    }

    fn factor(&self, every: Duration) -> u32 {
        let step = self.pace.step();
        let heavy_from = self.pace.0.heavy_from.load(Ordering::Relaxed);
        let factor = match self.class {
            Class::Gpu => step.gpu,
            _ if self.weight.load(Ordering::Relaxed) >= heavy_from => step.heavy,
            Class::Host | Class::Target => step.others,
        };
        let most = INTERVAL_MAX.as_millis() / every.as_millis().max(1);
        factor.min(u32::try_from(most).unwrap_or(u32::MAX)).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(5);

    /// How many of so many turns are taken.
    fn taken(turns: &mut Turns, every: Duration, count: u32) -> u32 {
        (0..count).map(|_| u32::from(turns.is_due(every))).sum()
    }

    #[test]
    fn the_heavy_are_spared_first_and_gpus_least() {
        let pace = Pace::default();
        let mut host = pace.turns(Class::Host);
        let mut gpu = pace.turns(Class::Gpu);
        let mut large = pace.turns(Class::Target);
        let mut small = pace.turns(Class::Target);
        host.said(900);
        gpu.said(100_000);
        large.said(20_000);
        small.said(200);
        let mut table = Vec::new();
        for level in 0..=LEVEL_MAX {
            pace.set(level);
            let all = [&mut large, &mut small, &mut host, &mut gpu];
            table.push(all.map(|turns| taken(turns, EVERY, 160)));
        }
        let expected = [
            [160, 160, 160, 160],
            [80, 160, 160, 160],
            [40, 80, 80, 160],
            [20, 40, 40, 80],
            [20, 40, 40, 80],
            [10, 40, 40, 80],
        ];
        assert_eq!(table, expected);
        assert_eq!(pace.spared(Class::Gpu), 3 * 80);
        pace.set(0);
        assert!(large.is_due(EVERY), "at once when the level is gone");
    }

    #[test]
    fn no_interval_becomes_longer_than_two_minutes() {
        let pace = Pace::default();
        let mut turns = pace.turns(Class::Target);
        turns.said(1);
        pace.set(LEVEL_MAX);
        assert_eq!(taken(&mut turns, Duration::from_secs(30), 40), 10);
        assert_eq!(taken(&mut turns, Duration::from_secs(300), 40), 40);
    }

    #[test]
    fn equals_are_heavy_together_and_what_is_gone_weighs_nothing() {
        assert_eq!(heavy_from(vec![10, 10, 10, 10]), 10);
        assert_eq!(heavy_from(vec![100, 1, 1]), 100);
        assert_eq!(heavy_from(vec![0, 0]), u64::MAX);
        assert_eq!(heavy_from(Vec::new()), u64::MAX);
        let pace = Pace::default();
        let (small, large) = (pace.turns(Class::Host), pace.turns(Class::Target));
        small.said(1);
        large.said(100);
        drop(large);
        pace.set(1);
        assert_eq!(small.factor(EVERY), 2);
    }
}
