//! JSON as the Prometheus API writes it: straight into a text, piece by piece and bounded.
//!
//! A [`Json`] that is full takes nothing more and says so at the end, so that the callers need no
//! error path for each piece. Long loops ask [`Json::is_full`] and stop early.

use std::fmt::{self, Write};

use series::Labels;

/// A JSON text under way.
#[derive(Debug)]
pub(super) struct Json {
    out: String,
    bytes_max: usize,
    full: bool,
}

impl Write for Json {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.full || text.len() > self.bytes_max - self.out.len() {
            self.full = true;
            return Err(fmt::Error);
        }
        self.out.push_str(text);
        Ok(())
    }
}

impl Json {
    /// An empty text of at most so many bytes.
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            out: String::new(),
            bytes_max,
            full: false,
        }
    }

    /// Whether it has reached its bound: what is written from now on is lost.
    pub(super) fn is_full(&self) -> bool {
        self.full
    }

    /// The text, if all of it had room.
    pub(super) fn finish(self) -> Option<String> {
        (!self.full).then_some(self.out)
    }

    /// Writes what is no string; it must be JSON already.
    fn raw(&mut self, text: impl fmt::Display) {
        self.full |= write!(self, "{text}").is_err();
    }

    /// A comma, unless this is the first of an object or array or the value of a key. The last byte
    /// tells: no value ends in one of these.
    fn separate(&mut self) {
        if !matches!(self.out.as_bytes().last(), None | Some(b'{' | b'[' | b':')) {
            self.text_of(",");
        }
    }

    /// An object with these members.
    pub(super) fn object(&mut self, members: impl FnOnce(&mut Self)) {
        self.separate();
        self.text_of("{");
        members(self);
        self.text_of("}");
    }

    /// An array with these elements.
    pub(super) fn array(&mut self, elements: impl FnOnce(&mut Self)) {
        self.separate();
        self.text_of("[");
        elements(self);
        self.text_of("]");
    }

    /// The name of the next member.
    pub(super) fn key(&mut self, name: &str) -> &mut Self {
        self.string(name);
        self.text_of(":");
        self
    }

    /// A string.
    pub(super) fn string(&mut self, text: &str) {
        self.separate();
        self.text_of("\"");
        let plain = |byte: u8| byte >= b' ' && byte != b'"' && byte != b'\\';
        if text.bytes().all(plain) {
            self.text_of(text);
        } else {
            for c in text.chars() {
                match c {
                    '"' => self.raw("\\\""),
                    '\\' => self.raw("\\\\"),
                    '\n' => self.raw("\\n"),
                    '\r' => self.raw("\\r"),
                    '\t' => self.raw("\\t"),
                    c if c < ' ' => self.raw(format_args!("\\u{:04x}", u32::from(c))),
                    c => self.raw(c),
                }
            }
        }
        self.text_of("\"");
    }

    /// Strings as an array.
    pub(super) fn strings<'a>(&mut self, texts: impl IntoIterator<Item = &'a String>) {
        self.array(|json| {
            for text in texts {
                json.string(text);
            }
        });
    }

    /// A whole number.
    pub(super) fn count(&mut self, count: u64) {
        self.separate();
        self.raw(count);
    }

    /// Seconds, with as many digits as they need.
    pub(super) fn seconds(&mut self, duration: std::time::Duration) {
        self.separate();
        self.raw(duration.as_secs_f64());
    }

    /// A number; what is not finite is 0, since JSON has no other.
    pub(super) fn number(&mut self, number: f64) {
        self.separate();
        self.raw(if number.is_finite() { number } else { 0.0 });
    }

    /// A time as Go writes it; the zero time when there is none.
    pub(super) fn time(&mut self, millis: i64) {
        let at = jiff::Timestamp::from_millisecond(millis);
        match at {
            Ok(at) if millis != 0 => self.string(&at.to_string()),
            _ => self.string("0001-01-01T00:00:00Z"),
        }
    }

    /// Names and values as an object.
    pub(super) fn pairs(&mut self, pairs: &std::collections::BTreeMap<String, String>) {
        self.object(|json| {
            for (name, value) in pairs {
                json.key(name).string(value);
            }
        });
    }

    /// A time in seconds.
    pub(super) fn timestamp(&mut self, millis: i64) {
        self.separate();
        self.time_of(millis);
    }

    fn time_of(&mut self, millis: i64) {
        if millis % 1000 == 0 {
            self.text_of(itoa::Buffer::new().format(millis / 1000));
        } else {
            self.raw(Seconds(millis));
        }
    }

    /// A truth.
    pub(super) fn truth(&mut self, truth: bool) {
        self.separate();
        self.raw(truth);
    }

    /// A label set as an object.
    pub(super) fn labels(&mut self, labels: &Labels) {
        self.object(|json| {
            for (name, value) in labels.iter() {
                json.key(name).string(value);
            }
        });
    }

    /// Time and value of a sample of a vector or matrix: `[1.5,"2"]`.
    pub(super) fn sample(&mut self, millis: i64, value: f64) {
        self.pair(millis, |json| {
            json.text_of(",\"");
            json.sample_value(value);
            json.text_of("\"");
        });
    }

    /// A sample's float as [`SampleValue`] writes it; most in a fraction of its time, since answers
    /// are made of them.
    fn sample_value(&mut self, value: f64) {
        let magnitude = value.abs();
        #[expect(clippy::cast_possible_truncation, reason = "it is below 1e15")]
        let whole = if magnitude < 1e15 { value as i64 } else { 0 };
        #[expect(clippy::cast_precision_loss, reason = "it is below 2^53")]
        if series::same_bits(whole as f64, value) {
            self.text_of(itoa::Buffer::new().format(whole));
        } else if (1e-5..1e15).contains(&magnitude) {
            let mut buffer = zmij::Buffer::new();
            let text = buffer.format_finite(value);
            self.text_of(text.strip_suffix(".0").unwrap_or(text));
        } else {
            self.raw(SampleValue(value));
        }
    }

    fn text_of(&mut self, text: &str) {
        self.full |= self.write_str(text).is_err();
    }

    /// Time and value of a scalar, which Prometheus never writes with an exponent.
    pub(super) fn scalar(&mut self, millis: i64, value: f64) {
        self.pair(millis, |json| {
            json.raw(format_args!(",\"{}\"", PlainFloat(value)));
        });
    }

    /// Time and value of a text.
    pub(super) fn text(&mut self, millis: i64, text: &str) {
        self.pair(millis, |json| json.string(text));
    }

    fn pair(&mut self, millis: i64, value: impl FnOnce(&mut Self)) {
        self.array(|json| {
            json.time_of(millis);
            value(json);
        });
    }
}

/// Milliseconds as seconds: no fraction, or three digits of it.
struct Seconds(i64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, abs) = (if self.0 < 0 { "-" } else { "" }, self.0.unsigned_abs());
        match abs % 1000 {
            0 => write!(f, "{sign}{}", abs / 1000),
            fraction => write!(f, "{sign}{}.{fraction:03}", abs / 1000),
        }
    }
}

/// A float as Go's `strconv.FormatFloat(value, 'f', -1, 64)`: the fewest digits that read back as
/// the same float, never an exponent.
struct PlainFloat(f64);

impl fmt::Display for PlainFloat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == f64::INFINITY {
            f.write_str("+Inf")
        } else if self.0 == f64::NEG_INFINITY {
            f.write_str("-Inf")
        } else {
            write!(f, "{}", self.0)
        }
    }
}

/// A sample's float as Prometheus' `jsonutil.MarshalFloat` writes it: as [`PlainFloat`], but with
/// an exponent of at least two digits below 1e-6 and from 1e21 on.
struct SampleValue(f64);

impl fmt::Display for SampleValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let abs = self.0.abs();
        let exponent = abs.is_finite() && abs > 0.0 && !(1e-6..1e21).contains(&abs);
        if !exponent {
            return PlainFloat(self.0).fmt(f);
        }
        let text = format!("{:e}", self.0);
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        match exponent.strip_prefix('-') {
            Some(exponent) => write!(f, "{digits}e-{exponent:0>2}"),
            None => write!(f, "{digits}e+{exponent:0>2}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn floats_are_written_as_go_writes_them() {
        for (value, sample, scalar) in [
            (0.0, "0", "0"),
            (-0.0, "-0", "-0"),
            (0.1 + 0.2, "0.30000000000000004", "0.30000000000000004"),
            (1e20, "100000000000000000000", "100000000000000000000"),
            (1e21, "1e+21", "1000000000000000000000"),
            (-1.5e22, "-1.5e+22", "-15000000000000000000000"),
            (1e-6, "0.000001", "0.000001"),
            (9.5e-7, "9.5e-07", "0.00000095"),
            (1.5e300, "1.5e+300", ""),
            (5e-324, "5e-324", ""),
            (f64::NAN, "NaN", "NaN"),
            (f64::INFINITY, "+Inf", "+Inf"),
            (f64::NEG_INFINITY, "-Inf", "-Inf"),
        ] {
            assert_eq!(SampleValue(value).to_string(), sample);
            if !scalar.is_empty() {
                assert_eq!(PlainFloat(value).to_string(), scalar);
            }
        }
    }

    proptest! {
        #[test]
        fn the_quick_way_writes_what_the_slow_one_does(
            value in prop_oneof![
                any::<f64>(),
                (any::<i32>(), 0..9_i32).prop_map(|(number, digits)| f64::from(number) / 10_f64.powi(digits)),
                (-400..400_i32).prop_map(|power| 2_f64.powi(power)),
                (-20..25_i32).prop_map(|power| 10_f64.powi(power)),
                Just(-0.0),
            ]
        ) {
            let mut json = Json::new(1000);
            json.sample_value(value);
            prop_assert_eq!(json.finish().unwrap(), SampleValue(value).to_string());
        }
    }

    #[test]
    fn times_are_seconds_with_three_digits_or_none() {
        for (millis, text) in [
            (0, "0"),
            (1, "0.001"),
            (-1, "-0.001"),
            (1_500, "1.500"),
            (1_700_000_000_000, "1700000000"),
            (i64::MIN, "-9223372036854775.808"),
        ] {
            assert_eq!(Seconds(millis).to_string(), text);
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        let mut json = Json::new(1000);
        let odd = "\u{0}\u{1f}\"\\\n\r\t/é\u{2028}😀";
        json.object(|json| {
            json.key(odd).string(odd);
            json.key("empty").array(|_| ());
            json.key("list").array(|json| {
                json.truth(true);
                json.count(u64::MAX);
                json.object(|_| ());
                json.sample(1_500, 2.0);
                json.scalar(-2_000, 0.5);
                json.text(0, odd);
            });
        });
        let text = json.finish().unwrap();
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read[odd], odd);
        assert_eq!(
            read["list"],
            serde_json::json!([true, u64::MAX, {}, [1.5, "2"], [-2, "0.5"], [0, odd]])
        );
        assert_eq!(read["empty"], serde_json::json!([]));
    }

    #[test]
    fn a_full_text_takes_nothing_more_and_says_so() {
        for bytes_max in 0..11 {
            let mut json = Json::new(bytes_max);
            json.array(|json| {
                json.string("abc");
                json.count(12);
            });
            assert_eq!(json.is_full(), bytes_max < r#"["abc",12]"#.len());
            assert_eq!(json.finish().is_some(), bytes_max == 10);
        }
    }
}
