//! How often may be asked for a certificate: the generic cell rate algorithm (ATM Forum, Traffic
//! Management Specification 4.0, 1996), for each who asks and for all together.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

/// Who is remembered at a time; beyond it nobody new is let in until others are forgotten.
const KNOWN_MAX: usize = 10_000;

/// A rate: one in so long, and so many at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    pub(super) every: Duration,
    pub(super) burst: u32,
}

impl Rate {
    fn takes(self, until: &mut Duration, now: Duration) -> bool {
        let begins = (*until).max(now);
        let takes = begins.saturating_sub(now) <= self.every * (self.burst - 1);
        if takes {
            *until = begins.saturating_add(self.every);
        }
        takes
    }
}

/// Who has asked, and how often.
#[derive(Debug)]
pub(super) struct Knocks<K> {
    each: Rate,
    all: Rate,
    until: HashMap<K, Duration>,
    all_until: Duration,
}

impl<K: Eq + Hash> Knocks<K> {
    pub(super) fn new(each: Rate, all: Rate) -> Self {
        Self {
            each,
            all,
            until: HashMap::new(),
            all_until: Duration::ZERO,
        }
    }

    /// Whether someone may ask now. Who asks too often takes nothing from the others.
    pub(super) fn may(&mut self, who: K, now: Duration) -> bool {
        if self.until.len() >= KNOWN_MAX && !self.until.contains_key(&who) {
            self.until.retain(|_, until| *until > now);
            if self.until.len() >= KNOWN_MAX {
                return false;
            }
        }
        let until = self.until.entry(who).or_default();
        self.each.takes(until, now) && self.all.takes(&mut self.all_until, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn knocks() -> Knocks<u32> {
        let each = Rate {
            every: SECOND,
            burst: 3,
        };
        let all = Rate {
            every: SECOND / 10,
            burst: 10,
        };
        Knocks::new(each, all)
    }

    #[test]
    fn who_asks_too_often_waits_and_the_others_do_not() {
        let mut knocks = knocks();
        let mut now = SECOND;
        let let_in = |knocks: &mut Knocks<u32>, who, times, now| {
            (0..times).filter(|_| knocks.may(who, now)).count()
        };
        assert_eq!(let_in(&mut knocks, 1, 100, now), 3);
        assert_eq!(let_in(&mut knocks, 2, 100, now), 3);
        now += SECOND;
        assert_eq!(let_in(&mut knocks, 1, 100, now), 1);
        now += 10 * SECOND;
        let all = (10..20).map(|who| let_in(&mut knocks, who, 2, now));
        assert_eq!(all.sum::<usize>(), 10);
    }

    #[test]
    fn who_is_remembered_is_bounded() {
        let mut knocks = knocks();
        for who in 0..20_000 {
            knocks.may(who, SECOND);
        }
        assert_eq!(knocks.until.len(), KNOWN_MAX);
        assert!(knocks.may(20_001, 5 * SECOND));
        assert_eq!(knocks.until.len(), 1);
    }
}
