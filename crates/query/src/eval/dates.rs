//! Parts of dates, in UTC, by the proleptic Gregorian calendar.

use crate::parse::functions::Id;

/// A part of a date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Minute,
    Hour,
    DayOfWeek,
    DayOfMonth,
    DayOfYear,
    DaysInMonth,
    Month,
    Year,
}

/// The part that a function gives.
pub(super) fn part(id: Id) -> Option<Part> {
    Some(match id {
        Id::Minute => Part::Minute,
        Id::Hour => Part::Hour,
        Id::DayOfWeek => Part::DayOfWeek,
        Id::DayOfMonth => Part::DayOfMonth,
        Id::DayOfYear => Part::DayOfYear,
        Id::DaysInMonth => Part::DaysInMonth,
        Id::Month => Part::Month,
        Id::Year => Part::Year,
        _ => return None,
    })
}

/// Farthest second that is looked at: 10 million years either way keeps the arithmetic small.
const SECONDS_MAX: f64 = 3.2e14;

impl Part {
    /// The part of the time `seconds` after the Unix epoch; NaN stays NaN.
    pub(super) fn of(self, seconds: f64) -> f64 {
        if seconds.is_nan() || seconds.abs() > SECONDS_MAX {
            return f64::NAN;
        }
        #[expect(clippy::cast_possible_truncation, reason = "bounded just above")]
        let seconds = seconds as i64;
        let days = seconds.div_euclid(86_400);
        let of_day = seconds.rem_euclid(86_400);
        let date = Date::of_days(days);
        let number = match self {
            Self::Minute => of_day / 60 % 60,
            Self::Hour => of_day / 3600,
            // The epoch was a Thursday; Sunday is 0.
            Self::DayOfWeek => (days + 4).rem_euclid(7),
            Self::DayOfMonth => date.day,
            Self::DayOfYear => 1 + days - days_before(date.year, 1),
            Self::DaysInMonth => {
                let (year, month) = match date.month {
                    12 => (date.year + 1, 1),
                    month => (date.year, month + 1),
                };
                days_before(year, month) - days_before(date.year, date.month)
            }
            Self::Month => date.month,
            Self::Year => date.year,
        };
        #[expect(clippy::cast_precision_loss, reason = "small by now")]
        {
            number as f64
        }
    }
}

/// The UTC day of a millisecond, as `1970-01-02`.
pub(super) fn day(millis: i64) -> String {
    let Date { year, month, day } = Date::of_days(millis.div_euclid(86_400_000));
    format!("{year:04}-{month:02}-{day:02}")
}

struct Date {
    year: i64,
    month: i64,
    day: i64,
}

impl Date {
    /// From days since the epoch, after H. Hinnant, "chrono-compatible low-level date algorithms":
    /// eras of 400 years, years that begin in March.
    fn of_days(days: i64) -> Self {
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let of_era = shifted.rem_euclid(146_097);
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * of_year + 2) / 153;
        let month = if march_month < 10 {
            march_month + 3
        } else {
            march_month - 9
        };
        Self {
            year: year_of_era + era * 400 + i64::from(month <= 2),
            month,
            day: of_year - (153 * march_month + 2) / 5 + 1,
        }
    }
}

/// Days from the epoch to the first of a month; the inverse of [`Date::of_days`].
fn days_before(year: i64, month: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let march_month = (month + 9) % 12;
    let of_year = (153 * march_month + 2) / 5;
    let of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year;
    era * 146_097 + of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_of_eight_centuries_comes_back() {
        for days in -146_097..146_097 {
            let date = Date::of_days(days);
            assert_eq!(days_before(date.year, date.month) + date.day - 1, days);
        }
    }
}
