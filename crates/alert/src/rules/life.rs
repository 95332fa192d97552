//! The life of one alert: pending, firing, over. Pure: what was seen and the time go in.

use serde::{Deserialize, Serialize};

use crate::State;

/// How long an alert that is over is kept, in milliseconds, so that who has missed its end is told again:
/// Prometheus' 15 minutes.
pub const RESOLVED_RETENTION_MILLIS: i64 = 900_000;

/// How long an alert is held whose data stay away, in milliseconds. Four hours: what has ended for good must
/// end its alerts some time, and before `AgentSilent`, which explains them for six hours, whatever window of
/// up to an hour they look through.
pub const HOLD_MAX_MILLIS: i64 = 4 * 3_600_000;

/// At least so many of the last evaluations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    least: u32,
    of: u32,
}

impl Count {
    /// Most evaluations that are looked back on: the bits of a word.
    pub const OF_MAX: u32 = 64;

    /// At least `least` of the last `of`; none where that cannot be counted.
    #[must_use]
    pub fn new(least: u32, of: u32) -> Option<Self> {
        let is_countable = (1..=of).contains(&least) && of <= Self::OF_MAX;
        is_countable.then_some(Self { least, of })
    }

    fn with(self, bits: u64, holds: bool) -> u64 {
        let mask = u64::MAX >> (Self::OF_MAX - self.of);
        ((bits << 1) | u64::from(holds)) & mask
    }
}

/// When an alert fires and when it is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timing {
    /// How long its condition must hold before it fires, in milliseconds.
    pub hold_millis: i64,
    /// How long it must be clear before it is over, in milliseconds.
    pub clear_millis: i64,
    /// In how many of the last evaluations its condition must hold.
    pub count: Option<Count>,
}

/// What an evaluation says of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// Its condition holds.
    Holds,
    /// Its condition does not hold; whether that is enough for it to be clear.
    Not {
        /// Whether it is.
        is_clear: bool,
    },
    /// Nothing is known.
    Unknown,
    /// It has no data, and is held while that does not last too long.
    Missing,
}

/// Where an alert is and since when, in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Life {
    pub(super) state: State,
    pub(super) active_millis: i64,
    pub(super) fired_millis: Option<i64>,
    pub(super) resolved_millis: Option<i64>,
    pub(super) clear_since_millis: Option<i64>,
    /// Since when it has no data and is held.
    #[serde(default)]
    pub(super) missing_since_millis: Option<i64>,
    /// The last evaluations, the newest in the lowest bit; only where they are counted.
    pub(super) bits: u64,
}

impl Life {
    /// Of an alert that was not there before.
    pub(super) fn new(at: i64) -> Self {
        Self {
            state: State::Inactive,
            active_millis: at,
            fired_millis: None,
            resolved_millis: None,
            clear_since_millis: None,
            missing_since_millis: None,
            bits: 0,
        }
    }

    /// Whether it is pending or firing.
    pub(super) fn is_active(&self) -> bool {
        self.state != State::Inactive
    }

    /// The life after an evaluation; none where nothing is left to know.
    pub(super) fn after(mut self, seen: Seen, at: i64, timing: &Timing) -> Option<Self> {
        match seen {
            Seen::Unknown => return Some(self),
            Seen::Missing => return self.while_missing(at),
            Seen::Holds | Seen::Not { .. } => self.missing_since_millis = None,
        }
        let holds_now = seen == Seen::Holds;
        let holds = match timing.count {
            Some(count) => {
                self.bits = count.with(self.bits, holds_now);
                self.bits.count_ones() >= count.least
            }
            None => holds_now,
        };
        if holds_now && self.state == State::Inactive {
            self = Self {
                state: State::Pending,
                bits: self.bits,
                ..Self::new(at)
            };
        }
        if holds {
            self.clear_since_millis = None;
            let held = at.saturating_sub(self.active_millis);
            if self.state == State::Pending && held >= timing.hold_millis {
                self.state = State::Firing;
                self.fired_millis = Some(at);
            }
            return Some(self);
        }
        match self.state {
            State::Pending => (self.bits != 0).then_some(self),
            State::Firing => Some(self.while_clear(seen, at, timing)),
            State::Inactive => self.while_over(at),
        }
    }

    fn while_over(self, at: i64) -> Option<Self> {
        let over = self.resolved_millis.unwrap_or(at);
        (at.saturating_sub(over) <= RESOLVED_RETENTION_MILLIS).then_some(self)
    }

    /// Held for as long as data may come back. Then it is over at once: there is nothing to be clear.
    fn while_missing(mut self, at: i64) -> Option<Self> {
        if self.state == State::Inactive {
            return self.while_over(at);
        }
        let since = *self.missing_since_millis.get_or_insert(at);
        if at.saturating_sub(since) < HOLD_MAX_MILLIS {
            return Some(self);
        }
        if self.state == State::Pending {
            return None;
        }
        self.state = State::Inactive;
        self.resolved_millis = Some(at);
        (self.missing_since_millis, self.bits) = (None, 0);
        Some(self)
    }

    fn while_clear(mut self, seen: Seen, at: i64, timing: &Timing) -> Self {
        // Between firing and clear lies a band in which an alert stays as it is.
        if seen == (Seen::Not { is_clear: false }) {
            self.clear_since_millis = None;
            return self;
        }
        let since = *self.clear_since_millis.get_or_insert(at);
        if at.saturating_sub(since) >= timing.clear_millis {
            self.state = State::Inactive;
            self.resolved_millis = Some(at);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a life: `h` holds, `-` is clear, `b` is neither, `?` is unknown, `m` is missing; one a minute.
    fn lives(seen: &str, timing: Timing) -> String {
        let mut life = None;
        let mut shown = String::new();
        for (minute, c) in (0_i64..).zip(seen.chars()) {
            let seen = match c {
                'h' => Seen::Holds,
                '-' => Seen::Not { is_clear: true },
                'b' => Seen::Not { is_clear: false },
                'm' => Seen::Missing,
                _ => Seen::Unknown,
            };
            let at = minute * 60_000;
            life = match life {
                None if seen == Seen::Holds => Life::new(at).after(seen, at, &timing),
                None => None,
                Some(life) => Life::after(life, seen, at, &timing),
            };
            shown.push(match life.map(|life| life.state) {
                None => '.',
                Some(State::Inactive) => 'i',
                Some(State::Pending) => 'p',
                Some(State::Firing) => 'F',
            });
        }
        shown
    }

    #[test]
    fn a_life_follows_what_is_seen() {
        let minutes = |hold: i64, clear: i64| Timing {
            hold_millis: hold * 60_000,
            clear_millis: clear * 60_000,
            count: None,
        };
        for (seen, timing, expected) in [
            ("-hh-h", minutes(0, 0), ".FFiF"),
            ("hhh-hhh", minutes(2, 0), "ppFippF"),
            ("h-h", minutes(1, 0), "p.p"),
            ("h--h----", minutes(0, 2), "FFFFFFii"),
            // In the band between, an alert stays, and being clear begins anew.
            ("hb-b--", minutes(0, 1), "FFFFFi"),
            ("h??h", minutes(2, 0), "pppF"),
            ("h?-?-", minutes(0, 1), "FFFFi"),
            ("h-----------------", minutes(0, 0), "Fiiiiiiiiiiiiiiii."),
            ("hmm-", minutes(0, 0), "FFFi"),
            // One that is over is not kept because it has no data.
            ("h-mmmmmmmmmmmmmmmm", minutes(0, 0), "Fiiiiiiiiiiiiiiii."),
        ] {
            assert_eq!(lives(seen, timing), expected, "{seen}");
        }
    }

    #[test]
    fn an_alert_without_data_is_held_for_four_hours_and_no_longer() {
        let timing = Timing {
            clear_millis: 3_600_000,
            ..Timing::default()
        };
        let minutes = usize::try_from(HOLD_MAX_MILLIS / 60_000).unwrap();
        let states = lives(&format!("h{}", "m".repeat(minutes + 17)), timing);
        assert_eq!(states.find('i'), Some(minutes + 1));
        assert!(states.ends_with("i."), "{states}");
        // Data that come back begin it anew.
        let half = "m".repeat(minutes - 1);
        let states = lives(&format!("h{half}h{half}"), timing);
        assert!(states.chars().all(|state| state == 'F'), "{states}");
        let pending = Timing {
            hold_millis: i64::MAX,
            ..Timing::default()
        };
        let states = lives(&format!("h{}", "m".repeat(minutes + 1)), pending);
        assert_eq!(states.find('.'), Some(minutes + 1));
    }

    #[test]
    fn evaluations_are_counted() {
        let timing = Timing {
            count: Count::new(2, 3),
            ..Timing::default()
        };
        assert_eq!(
            lives("h-h-h--", timing),
            "ppFFFFi".replace("FFFFi", "FiFii")
        );
        assert_eq!(lives("h---", timing), "ppp.");
        assert_eq!(lives("h?h", timing), "ppF");
        assert_eq!(Count::new(0, 3), None);
        assert_eq!(Count::new(4, 3), None);
        assert_eq!(Count::new(64, 64), Some(Count { least: 64, of: 64 }));
    }
}
