//! Numbers as text: exactly as Prometheus writes them, and short for people.

/// A sample's value as the Prometheus HTTP API writes it: the shortest text that reads back as
/// the same float, without an exponent from 1e-6 up to 1e21.
pub(crate) fn prometheus(value: f64) -> String {
    let magnitude = value.abs();
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned()
    } else if magnitude != 0.0 && !(1e-6..1e21).contains(&magnitude) {
        let text = format!("{value:e}");
        // Go writes the sign of an exponent that is positive.
        match text.split_once('e') {
            Some((mantissa, exponent)) if !exponent.starts_with('-') => {
                format!("{mantissa}e+{exponent}")
            }
            _ => text,
        }
    } else {
        format!("{value}")
    }
}

/// A value for people: six significant digits.
pub(crate) fn rounded(value: f64) -> String {
    if !value.is_finite() || value == 0.0 {
        return prometheus(value);
    }
    // Rounding by way of the decimal text is exact where scaling by powers of ten is not.
    let text = format!("{value:.5e}");
    text.parse().map_or(text, prometheus)
}

/// A count for people: `950`, `12.3k`, `4.56M`.
pub(crate) fn count(value: f64) -> String {
    scaled(value, 1000.0, &["", "k", "M", "G", "T", "P"])
}

/// A number of bytes for people: `950 B`, `12.3 KiB`, `4.56 MiB`.
pub(crate) fn bytes(value: f64) -> String {
    scaled(
        value,
        1024.0,
        &[" B", " KiB", " MiB", " GiB", " TiB", " PiB"],
    )
}

fn scaled(value: f64, base: f64, units: &[&str]) -> String {
    let mut left = value;
    let mut unit = 0;
    while left.abs() >= base && unit + 1 < units.len() {
        left /= base;
        unit += 1;
    }
    let whole = left.fract() == 0.0 && unit == 0;
    let digits = match left.abs() {
        _ if whole => 0,
        0.0..10.0 => 2,
        10.0..100.0 => 1,
        _ => 0,
    };
    format!("{left:.digits$}{}", units[unit])
}

/// A share of 1 as percent: `7.3%`.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.1}%", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_prometheus_does() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (1.5, "1.5"),
            (0.1 + 0.2, "0.30000000000000004"),
            (1e-6, "0.000001"),
            (1.5e-7, "1.5e-7"),
            (123_456_789_012.0, "123456789012"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (-2.5e300, "-2.5e+300"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(prometheus(value), text);
        }
    }

    #[test]
    fn values_for_people_have_six_digits() {
        for (value, text) in [
            (0.1 + 0.2, "0.3"),
            (1.0 / 3.0, "0.333333"),
            (1_234_567.8, "1234570"),
            (42.0, "42"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(rounded(value), text);
        }
    }

    #[test]
    fn counts_and_bytes_are_scaled() {
        for (value, text) in [
            (0.0, "0"),
            (950.0, "950"),
            (3.456, "3.46"),
            (12_340.0, "12.3k"),
        ] {
            assert_eq!(count(value), text);
        }
        for (value, text) in [(950.0, "950 B"), (1.257, "1.26 B"), (12_595.2, "12.3 KiB")] {
            assert_eq!(bytes(value), text);
        }
        assert_eq!(bytes(3.0 * 1024.0 * 1024.0 * 1024.0), "3.00 GiB");
        assert_eq!(percent(0.0734), "7.3%");
    }
}
