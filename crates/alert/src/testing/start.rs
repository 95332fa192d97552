//! The time that a test begins at: Unix seconds, or RFC 3339.

/// Days from 1970-01-01 to a date, by Howard Hinnant's `days_from_civil`; none where it is no date.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let longest = match month {
        2 => 28 + i64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=longest).contains(&day) {
        return None;
    }
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted.div_euclid(400);
    let of_era = shifted.rem_euclid(400);
    let month = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * month + 2) / 5 + day - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}

/// So many digits at a place, and what must follow them.
fn digits(text: &str, from: usize, to: usize) -> Option<i64> {
    let part = text.get(from..to)?;
    let are_digits = part.bytes().all(|byte| byte.is_ascii_digit());
    are_digits.then(|| part.parse().ok()).flatten()
}

/// Milliseconds since the Unix epoch.
pub(super) fn millis(text: &str) -> Option<i64> {
    if let Ok(seconds) = text.parse::<f64>() {
        let is_near = seconds.abs() < 1e11;
        return is_near.then(|| series::Timestamp::from_secs_f64(seconds).as_millis());
    }
    let bytes = text.as_bytes();
    let separators = [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')];
    let is_separated = separators
        .iter()
        .all(|(at, byte)| bytes.get(*at) == Some(byte));
    if !is_separated || !matches!(bytes.get(10), Some(b'T' | b't')) {
        return None;
    }
    let day = days(
        digits(text, 0, 4)?,
        digits(text, 5, 7)?,
        digits(text, 8, 10)?,
    )?;
    let (hour, minute) = (digits(text, 11, 13)?, digits(text, 14, 16)?);
    let second = digits(text, 17, 19)?;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let mut rest = text.get(19..)?;
    let mut fraction = 0;
    if let Some(after) = rest.strip_prefix('.') {
        let end = after.find(|c: char| !c.is_ascii_digit())?;
        let padded = format!("{:0<3}", after.get(..end)?);
        fraction = digits(&padded, 0, 3)?;
        rest = after.get(end..)?;
    }
    let zone = match rest {
        "Z" | "z" => 0,
        zone => {
            let sign = if zone.starts_with('-') { -1 } else { 1 };
            let is_zone = zone.starts_with(['+', '-']) && zone.len() == 6;
            if !is_zone || zone.as_bytes().get(3) != Some(&b':') {
                return None;
            }
            sign * (digits(zone, 1, 3)? * 60 + digits(zone, 4, 6)?)
        }
    };
    let seconds = day * 86_400 + hour * 3600 + (minute - zone) * 60 + second;
    Some(seconds * 1000 + fraction)
}

#[cfg(test)]
mod tests {
    use super::millis;

    #[test]
    fn times_are_read() {
        for (text, expected) in [
            ("0", Some(0)),
            ("1609459200", Some(1_609_459_200_000)),
            ("2024-01-01T00:00:00Z", Some(1_704_067_200_000)),
            ("2024-02-29T01:00:00.5+01:00", Some(1_709_164_800_500)),
            ("2023-02-29T00:00:00Z", None),
            ("2024-01-01", None),
            ("2024-01-01T00:00:00", None),
            ("2024-01-01T00:00:00+0100", None),
        ] {
            assert_eq!(millis(text), expected, "{text}");
        }
    }
}
