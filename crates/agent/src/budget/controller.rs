//! Which level it takes. Pure: measurements in, changes out.

use crate::pace::{DETAIL_FROM, LEVEL_MAX};

/// What has a cap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// Processor time.
    Cpu,
    /// Resident memory.
    Memory,
    /// Bytes sent.
    BytesPerMinute,
}

impl Resource {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Cpu, Self::Memory, Self::BytesPerMinute];

    /// The value of a `resource` label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::BytesPerMinute => "bytes_per_minute",
        }
    }
}

/// How much of a cap is used.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Used {
    /// There is no cap.
    Off,
    /// Not enough was seen yet.
    Unknown,
    /// This share of it; above 1 is too much.
    Share(f64),
}

impl Used {
    /// The share, if it is known.
    #[must_use]
    pub fn share(self) -> Option<f64> {
        match self {
            Self::Share(share) => Some(share),
            Self::Off | Self::Unknown => None,
        }
    }
}

/// The level changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// From this level.
    pub from: u8,
    /// To this one.
    pub to: u8,
    /// What was over its cap; on the way down, what was over it last.
    pub reason: Resource,
}

/// Measurements in a row over a cap after which the level goes up.
const OVER_MAX: u32 = 3;
/// The share under which all have to be for the level to go down. A level about halves the load, so what
/// was spared often has no room again; see [`Controller`].
const CALM_BELOW: f64 = 0.7;
/// Measurements in a row under it: at first, and at most, an hour at 5 s.
const PATIENCE: (u32, u32) = (12, 720);

/// By how much memory must have changed since a level was taken because of it, so that another is.
const MEMORY_CHANGED: f64 = 0.05;
/// Measurements after which detail that was given up for memory is told again if that did not help: three
/// minutes, in which series are forgotten also with a sync interval of one.
const IN_VAIN: u32 = 36;

/// Goes up a level when over a cap for some measurements in a row, and down when well under all of
/// them for more.
///
/// A load may be too much on one level and little on the next. So that it does not go back and forth
/// between them, each way down that was taken in vain doubles the patience before the next.
///
/// What a page needs of memory does not depend on how often it is read. So memory goes to the first level
/// that tells less at once, and to a further one only if that helped, or if it still grows. If it did not
/// help, that level is left again: detail is not given up for nothing.
#[derive(Debug)]
pub struct Controller {
    level: u8,
    reason: Resource,
    over: u32,
    calm: u32,
    patience: u32,
    /// Measurements since the last way down.
    since_down: Option<u32>,
    /// The share of memory when a level was taken because of it last.
    memory: Option<f64>,
    /// The level from which memory went to one that tells less, and the measurements since.
    memory_from: Option<(u8, u32)>,
}

impl Default for Controller {
    fn default() -> Self {
        Self {
            level: 0,
            reason: Resource::Cpu,
            over: 0,
            calm: 0,
            patience: PATIENCE.0,
            since_down: None,
            memory: None,
            memory_from: None,
        }
    }
}

impl Controller {
    /// The level now.
    #[must_use]
    pub fn level(&self) -> u8 {
        self.level
    }

    /// Takes a measurement, in the order of [`Resource::ALL`].
    pub fn measure(&mut self, used: [Used; Resource::ALL.len()]) -> Option<Change> {
        self.since_down = self.since_down.map(|since| since.saturating_add(1));
        if self
            .since_down
            .is_some_and(|since| since > 4 * self.patience)
        {
            (self.since_down, self.patience) = (None, PATIENCE.0);
        }
        if let Some(change) = self.take_back(used) {
            return Some(change);
        }
        let shares = Resource::ALL.into_iter().zip(used.map(Used::share));
        let known = shares.filter_map(|(resource, share)| Some((resource, share?)));
        let over =
            known.filter(|(resource, share)| *share > 1.0 && self.may_help(*resource, *share));
        if let Some((resource, share)) = over.max_by(|a, b| a.1.total_cmp(&b.1)) {
            self.calm = 0;
            self.over = self.over.saturating_add(1);
            if self.over < OVER_MAX || self.level >= LEVEL_MAX {
                return None;
            }
            self.reason = resource;
            let mut to = self.level + 1;
            if resource == Resource::Memory {
                self.memory = Some(share);
                if to < DETAIL_FROM {
                    self.memory_from = Some((self.level, 0));
                    to = DETAIL_FROM;
                }
            }
            if self
                .since_down
                .take()
                .is_some_and(|since| since < 2 * self.patience)
            {
                self.patience = (2 * self.patience).min(PATIENCE.1);
            }
            return Some(self.go(to));
        }
        self.over = 0;
        let is_calm = |used: &Used| match used {
            Used::Off => true,
            Used::Unknown => false,
            Used::Share(share) => *share < CALM_BELOW,
        };
        self.calm = if used.iter().all(is_calm) {
            self.calm + 1
        } else {
            0
        };
        if self.level == 0 || self.calm < self.patience {
            return None;
        }
        self.since_down = Some(0);
        self.memory = None;
        let from = self.memory_from.filter(|_| self.level == DETAIL_FROM);
        let to = from.map_or(self.level - 1, |(from, _)| from);
        Some(self.go(to))
    }

    /// Leaves a level that was taken for memory and did not help.
    fn take_back(&mut self, used: [Used; Resource::ALL.len()]) -> Option<Change> {
        let (from, since) = self.memory_from.as_mut()?;
        *since += 1;
        let (from, is_time) = (*from, *since == IN_VAIN);
        let [cpu, memory, bytes] = used.map(Used::share);
        let share = memory.filter(|share| *share > 1.0)?;
        let is_calm = |share: Option<f64>| share.is_none_or(|share| share < CALM_BELOW);
        let is_in_vain = is_time && !self.may_help(Resource::Memory, share);
        (is_in_vain && is_calm(cpu) && is_calm(bytes)).then(|| self.go(from))
    }

    /// Whether there is reason to think that another level makes a difference.
    fn may_help(&self, resource: Resource, share: f64) -> bool {
        let is_same = |then: f64| (share / then - 1.0).abs() <= MEMORY_CHANGED;
        resource != Resource::Memory || !self.memory.is_some_and(is_same)
    }

    fn go(&mut self, to: u8) -> Change {
        (self.over, self.calm) = (0, 0);
        if to < DETAIL_FROM {
            self.memory_from = None;
        }
        Change {
            from: std::mem::replace(&mut self.level, to),
            to,
            reason: self.reason,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: usize = 720;

    fn cpu(share: f64) -> [Used; 3] {
        [Used::Share(share), Used::Off, Used::Off]
    }

    /// The levels over time under a load that each level divides by its divisor.
    fn levels(load: impl Fn(usize) -> f64, divisors: [f64; 6], measurements: usize) -> Vec<u8> {
        let mut controller = Controller::default();
        let level = |at| {
            let divisor = divisors[usize::from(controller.level())];
            controller.measure(cpu(load(at) / divisor));
            controller.level()
        };
        (0..measurements).map(level).collect()
    }

    fn changes(levels: &[u8]) -> usize {
        levels.windows(2).filter(|pair| pair[0] != pair[1]).count()
    }

    #[test]
    fn three_measurements_over_a_cap_are_a_level_and_two_are_none() {
        let mut controller = Controller::default();
        for share in [1.5, 1.5, 0.9, 1.5, 1.5] {
            assert_eq!(controller.measure(cpu(share)), None);
        }
        let change = Change {
            from: 0,
            to: 1,
            reason: Resource::Cpu,
        };
        assert_eq!(controller.measure(cpu(1.5)), Some(change));
    }

    #[test]
    fn the_reason_is_what_is_most_over() {
        let mut controller = Controller::default();
        let used = [Used::Share(1.1), Used::Share(3.0), Used::Unknown];
        let changes = [0; 3].map(|_| controller.measure(used));
        assert_eq!(changes[2].map(|it| it.reason), Some(Resource::Memory));
    }

    #[test]
    fn it_goes_down_only_when_all_is_known_and_well_below() {
        let mut controller = Controller::default();
        for _ in 0..3 {
            controller.measure(cpu(2.0));
        }
        for used in [Used::Unknown, Used::Share(0.8)] {
            for _ in 0..100 {
                let used = [Used::Share(0.1), used, Used::Off];
                assert_eq!(controller.measure(used), None);
            }
        }
        let mut downs = (0..12).filter_map(|_| controller.measure(cpu(0.1)));
        assert_eq!(downs.next().map(|it| (it.from, it.to)), Some((1, 0)));
    }

    #[test]
    fn a_load_that_depends_on_the_level_finds_its_level() {
        let halves = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0];
        for load in [0.5, 1.2, 3.0, 7.0, 25.0] {
            let levels = levels(|_| load, halves, 24 * HOUR);
            let fits = halves.iter().position(|divisor| load / divisor <= 1.0);
            let fits = u8::try_from(fits.unwrap()).unwrap();
            // It is there within two minutes.
            assert_eq!(levels[24], fits, "{load}");
            let over = levels.iter().filter(|level| **level < fits).count();
            assert!(over < 200, "{load}: {over} of a day over its cap");
            assert!(changes(&levels) < 80, "{load}: {}", changes(&levels));
            // In the last hours it tries once an hour whether there is room again.
            assert!(changes(&levels[20 * HOUR..]) <= 10, "{load}");
        }
    }

    #[test]
    fn a_load_that_is_gone_is_forgotten_within_minutes() {
        let load = |at| if at < 100 { 40.0 } else { 0.1 };
        let levels = levels(load, [1.0, 2.0, 4.0, 8.0, 16.0, 32.0], 300);
        assert_eq!(levels[99], 5);
        assert_eq!(levels[100 + 5 * 12], 0);
    }

    #[test]
    fn memory_that_no_level_gives_back_costs_no_detail() {
        let mut controller = Controller::default();
        let mut after = |count: u32, share: f64| {
            for _ in 0..count {
                controller.measure([Used::Share(0.1), Used::Share(share), Used::Off]);
            }
            controller.level()
        };
        assert_eq!(after(3, 1.3), 4, "there is less to tell at once");
        assert_eq!(after(30, 1.31), 4);
        assert_eq!(after(300, 1.31), 0, "it did not help");
        assert_eq!(after(3, 1.5), 4, "it grows");
        assert_eq!(after(30, 1.2), 5, "it helped");
        assert_eq!(after(12, 0.5), 4);
        assert_eq!(after(12, 0.5), 0, "and not by way of the levels between");
    }

    #[test]
    fn a_load_that_nothing_helps_stays_on_the_last_level() {
        let levels = levels(|_| 1000.0, [1.0; 6], HOUR);
        assert_eq!((levels[20], changes(&levels)), (LEVEL_MAX, 5));
    }
}
