//! Numbers as the exposition formats write them.

use series::Timestamp;

use super::Reason;

/// The NaN that Prometheus stores for every NaN it reads, so that no payload from outside can be
/// mistaken for the stale marker.
pub const NORMAL_NAN: f64 = f64::from_bits(0x7ff8_0000_0000_0001);

/// Most digits that surely fit into the 53 bits of an `f64`.
const EXACT_DIGITS_MAX: usize = 15;

/// Reads a sample value by the rules of Prometheus: decimal floats, `inf` and `infinity` in any
/// case with an optional sign, `nan` in any case without one; no hexadecimal, no underscores, and
/// nothing that overflows to infinity.
pub(super) fn value(token: &[u8]) -> Result<f64, Reason> {
    if let Some(whole) = small_integer(token) {
        return Ok(whole);
    }
    let text = std::str::from_utf8(token).map_err(|_not_text| Reason::BadValue)?;
    let value: f64 = text.parse().map_err(|_not_a_number| Reason::BadValue)?;
    if value.is_nan() {
        return if text.len() == "nan".len() {
            Ok(NORMAL_NAN)
        } else {
            Err(Reason::BadValue)
        };
    }
    if value.is_infinite() && token.iter().any(u8::is_ascii_digit) {
        return Err(Reason::ValueOutOfRange);
    }
    Ok(value)
}

/// Most values are short counts; they need no float parser. A sign is left to the parser, for −0.
fn small_integer(token: &[u8]) -> Option<f64> {
    if token.is_empty() || token.len() > EXACT_DIGITS_MAX {
        return None;
    }
    let mut whole = 0_u64;
    for &byte in token {
        if !byte.is_ascii_digit() {
            return None;
        }
        whole = whole * 10 + u64::from(byte - b'0');
    }
    #[expect(
        clippy::cast_precision_loss,
        reason = "fifteen decimal digits lie below 2^53"
    )]
    Some(whole as f64)
}

/// Reads the timestamp of text format 0.0.4: whole milliseconds.
pub(super) fn millis(token: &[u8]) -> Result<Timestamp, Reason> {
    std::str::from_utf8(token)
        .ok()
        .and_then(|text| text.parse().ok())
        .map(Timestamp::from_millis)
        .ok_or(Reason::BadTimestamp)
}

/// Reads a timestamp of OpenMetrics: seconds, to the nearest millisecond.
pub(super) fn seconds(token: &[u8]) -> Result<Timestamp, Reason> {
    let seconds = value(token).map_err(|_any| Reason::BadTimestamp)?;
    // Past this bound the milliseconds no longer fit 64 bits; it also keeps NaN and infinity out.
    if seconds.abs() < 9.2e15 {
        Ok(Timestamp::from_secs_f64(seconds))
    } else {
        Err(Reason::BadTimestamp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_read_as_prometheus_reads_them() {
        for (text, expected) in [
            ("0", 0.0),
            ("-0", -0.0),
            ("+1", 1.0),
            ("999999999999999", 999_999_999_999_999.0),
            ("9223372036854775808", 9_223_372_036_854_775_808.0),
            ("1.", 1.0),
            (".5", 0.5),
            ("1e-05", 1e-5),
            ("0000000000000000000000000001.2e-1", 0.12),
            ("4.9e-324", f64::from_bits(1)),
            ("1e-400", 0.0),
            ("+Inf", f64::INFINITY),
            ("-inf", f64::NEG_INFINITY),
            ("INFINITY", f64::INFINITY),
            ("NaN", NORMAL_NAN),
            ("nan", NORMAL_NAN),
        ] {
            let got = value(text.as_bytes()).unwrap();
            assert_eq!(got.to_bits(), expected.to_bits(), "{text}");
        }
        for text in [
            "", "a", "0x1", "0x1p-3", "0X1", "0o1", "0b1", "1_2", "--1", "1e", ".", "e5", "+NaN",
            "-nan", "1 ", "١",
        ] {
            assert_eq!(value(text.as_bytes()), Err(Reason::BadValue), "{text}");
        }
        assert_eq!(value(b"1e400"), Err(Reason::ValueOutOfRange));
    }

    #[test]
    fn a_time_past_64_bits_of_milliseconds_is_refused() {
        assert_eq!(seconds(b"1.0004"), Ok(Timestamp::from_millis(1000)));
        assert_eq!(seconds(b"-1.5e3"), Ok(Timestamp::from_millis(-1_500_000)));
        for text in ["12345678901234567890.123", "NaN", "Inf", "1_2", "z"] {
            assert_eq!(seconds(text.as_bytes()), Err(Reason::BadTimestamp));
        }
        assert_eq!(millis(b"-1"), Ok(Timestamp::from_millis(-1)));
        assert_eq!(millis(b"1.5"), Err(Reason::BadTimestamp));
        assert_eq!(millis(b"9223372036854775808"), Err(Reason::BadTimestamp));
    }
}
