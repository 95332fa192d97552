//! How far an agent's clock is off ours, from one-way messages.
//!
//! A message shows the agent's clock late by the time it was under way, so of some messages the one that
//! shows it latest was under way the least: the minimum filter of the Network Time Protocol (RFC 5905,
//! section 10), one way.

use std::collections::VecDeque;

use wire::proto::Clocks;

/// Messages that the estimate is of: at one a minute, a quarter of an hour, in which a clock that
/// drifts by 50 ppm moves by 45 ms.
const WINDOW: usize = 16;
/// What the wall clock may move against the monotonic one between two messages before it was set: more
/// than any clock is slewed by in a minute.
const SET_MILLIS: i64 = 500;

/// The estimate of one stream.
#[derive(Debug, Default)]
pub(super) struct Skew {
    /// The agent's wall clock less ours when the message came, of the last messages.
    seen: VecDeque<i64>,
    /// The agent's wall clock less its monotonic one.
    base: Option<i64>,
}

impl Skew {
    /// Takes note of a message that told the agent's wall clock alone.
    pub(super) fn note_wall(&mut self, agent_millis: i64, our_millis: i64) {
        self.seen.truncate(WINDOW - 1);
        self.seen
            .push_front(agent_millis.saturating_sub(our_millis));
    }

    /// Takes note of a message. `true` when the agent's wall clock was set since the last one.
    pub(super) fn note(&mut self, clocks: &Clocks, our_millis: i64) -> bool {
        let monotonic = i64::try_from(clocks.monotonic_millis).unwrap_or(i64::MAX);
        let base = clocks.wall_millis.saturating_sub(monotonic);
        let before = self.base.replace(base);
        let was_set =
            before.is_some_and(|before| base.abs_diff(before) > SET_MILLIS.unsigned_abs());
        if was_set {
            self.seen.clear();
        }
        self.note_wall(clocks.wall_millis, our_millis);
        was_set
    }

    /// The agent's wall clock less ours, in milliseconds.
    pub(super) fn offset_millis(&self) -> i64 {
        self.seen.iter().copied().max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(wall_millis: i64, monotonic_millis: u64) -> Clocks {
        Clocks {
            wall_millis,
            monotonic_millis,
        }
    }

    #[test]
    fn the_message_that_was_under_way_the_least_counts() {
        let mut skew = Skew::default();
        // Two seconds ahead, under way for 900, 40 and 700 ms.
        for (index, delay) in [(0, 900), (1, 40), (2, 700)] {
            let sent = index * 60_000;
            let clocks = at(sent + 2000, sent.unsigned_abs());
            assert!(!skew.note(&clocks, sent + delay));
        }
        assert_eq!(skew.offset_millis(), 1960);
    }

    #[test]
    fn a_clock_that_is_set_begins_anew_and_is_said() {
        let mut skew = Skew::default();
        skew.note(&at(100_000, 0), 40_010);
        assert_eq!(skew.offset_millis(), 59_990);
        assert!(skew.note(&at(100_000, 60_000), 100_020));
        assert_eq!(skew.offset_millis(), -20);
        assert!(!skew.note(&at(160_100, 120_000), 160_130));
    }

    #[test]
    fn what_is_old_is_forgotten_and_no_number_is_too_great() {
        let mut skew = Skew::default();
        skew.note(&at(i64::MAX, u64::MAX), i64::MIN);
        assert_eq!(skew.offset_millis(), i64::MAX);
        for _ in 0..=WINDOW {
            skew.note(&at(i64::MIN, u64::MAX), i64::MAX);
        }
        assert_eq!(skew.offset_millis(), i64::MIN);
    }
}
