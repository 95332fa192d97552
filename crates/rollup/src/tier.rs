//! The widths of windows.

/// How wide windows are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tier {
    /// One minute.
    Minute,
    /// Five minutes.
    FiveMinutes,
    /// One hour.
    Hour,
    /// One UTC day.
    Day,
}

impl Tier {
    /// All tiers, from the finest.
    pub const ALL: [Self; 4] = [Self::Minute, Self::FiveMinutes, Self::Hour, Self::Day];

    /// Milliseconds of one window.
    #[inline]
    #[must_use]
    pub const fn millis(self) -> i64 {
        match self {
            Self::Minute => 60_000,
            Self::FiveMinutes => 300_000,
            Self::Hour => 3_600_000,
            Self::Day => 86_400_000,
        }
    }

    /// Its name as durations are written: `1m`, `5m`, `1h`, `1d`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Minute => "1m",
            Self::FiveMinutes => "5m",
            Self::Hour => "1h",
            Self::Day => "1d",
        }
    }

    /// The millisecond that ends the window which `millis` lies in, which is inside.
    #[inline]
    #[must_use]
    pub const fn end_of(self, millis: i64) -> i64 {
        let over = millis.rem_euclid(self.millis());
        if over == 0 {
            millis
        } else {
            millis.saturating_add(self.millis() - over)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_open_on_the_left_and_closed_on_the_right() {
        assert_eq!(Tier::Minute.end_of(60_000), 60_000);
        assert_eq!(Tier::Minute.end_of(60_001), 120_000);
        assert_eq!(Tier::Minute.end_of(-1), 0);
        assert_eq!(Tier::Day.end_of(0), 0);
    }
}
