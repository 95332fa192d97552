//! Triggers: `cpu_usage > 80% for 5m`, `accuracy_drop > 2% for 1h`.

use std::time::Duration;

use crate::duration;
use crate::unit::Unit;

/// A condition on a metric that has to hold for a time.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Trigger {
    /// The bare name of the metric, without `_drop` or `_rise`.
    pub(crate) metric: String,
    /// Whether it is its way from the metric's own baseline that counts, and not the metric.
    pub(crate) change: Option<Change>,
    /// `>`, `>=`, `<`, `<=`, `==` or `!=`.
    pub(crate) op: &'static str,
    /// The number, as it stands there.
    pub(crate) value: f64,
    /// The unit, where it is said; else it is the metric's own.
    pub(crate) unit: Option<Unit>,
    /// For how long.
    pub(crate) hold: Duration,
}

/// A way from the baseline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Below it.
    Drop,
    /// Above it.
    Rise,
}

const OPS: [&str; 6] = [">=", "<=", "==", "!=", ">", "<"];
const FORM: &str =
    "a trigger is METRIC OP VALUE[unit] for DURATION, such as cpu_usage > 80% for 5m";

/// Reads a trigger, or says what is wrong with it.
pub(crate) fn parse(text: &str) -> Result<Trigger, String> {
    let text = text.trim();
    let end = text
        .find(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'))
        .unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    if !name.starts_with(|letter: char| letter.is_ascii_alphabetic()) {
        return Err(FORM.to_owned());
    }
    let rest = rest.trim_start();
    let op = OPS
        .into_iter()
        .find(|op| rest.starts_with(op))
        .ok_or("after the metric there should be >, >=, <, <=, == or !=")?;
    let rest = rest.trim_start_matches(op).trim();
    let (amount, hold) = match rest.split_once(" for ") {
        Some((amount, hold)) => (amount.trim(), duration::parse(hold)?),
        None => (rest, Duration::ZERO),
    };
    let (value, unit) = amount_of(amount)?;
    let (metric, change) = if let Some(metric) = name.strip_suffix("_drop") {
        (metric, Some(Change::Drop))
    } else if let Some(metric) = name.strip_suffix("_rise") {
        (metric, Some(Change::Rise))
    } else {
        (name, None)
    };
    if change.is_some() && (op.starts_with('<') || value <= 0.0) {
        return Err("a drop or a rise counts from 0 up: write it as > VALUE".to_owned());
    }
    Ok(Trigger {
        metric: metric.to_owned(),
        change,
        op,
        value,
        unit,
        hold,
    })
}

/// `200ms` as 200 and milliseconds.
fn amount_of(text: &str) -> Result<(f64, Option<Unit>), String> {
    let end = text
        .find(|letter: char| !(letter.is_ascii_digit() || matches!(letter, '.' | '-' | '+')))
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let value: f64 = digits.parse().map_err(|_wrong| FORM.to_owned())?;
    let unit = match unit.trim() {
        "" => None,
        word => Some(Unit::from_word(word).ok_or_else(|| {
            let words: Vec<_> = Unit::words().collect();
            format!(
                "{word:?} is no unit: %, ms, s, MB/s, or one of {}",
                words.join(", ")
            )
        })?),
    };
    Ok((value, unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_triggers_of_the_specification_are_understood() {
        let minutes = |count: u64| Duration::from_secs(60 * count);
        for (text, metric, change, value, unit, hold) in [
            (
                "cpu_usage > 80% for 5m",
                "cpu_usage",
                None,
                80.0,
                Some(Unit::Percent),
                5,
            ),
            (
                "error_rate > 5% for 2m",
                "error_rate",
                None,
                5.0,
                Some(Unit::Percent),
                2,
            ),
            (
                "response_time > 200ms for 3m",
                "response_time",
                None,
                200.0,
                Some(Unit::Milliseconds),
                3,
            ),
            (
                "accuracy_drop > 2% for 1h",
                "accuracy",
                Some(Change::Drop),
                2.0,
                Some(Unit::Percent),
                60,
            ),
            ("queue_length>100", "queue_length", None, 100.0, None, 0),
            (
                "network_io > 10.5 MB/s for 1m",
                "network_io",
                None,
                10.5,
                Some(Unit::MegabytesPerSecond),
                1,
            ),
        ] {
            let trigger = parse(text).unwrap();
            assert_eq!(
                (trigger.metric.as_str(), trigger.op),
                (metric, ">"),
                "{text}"
            );
            assert_eq!((trigger.change, trigger.unit), (change, unit), "{text}");
            assert!((trigger.value - value).abs() < 1e-9, "{text}");
            assert_eq!(trigger.hold, minutes(hold), "{text}");
        }
        assert_eq!(parse("throughput <= 5 for 1m").unwrap().op, "<=");
    }

    #[test]
    fn what_is_no_trigger_is_refused() {
        for text in [
            "",
            "cpu_usage",
            "> 80%",
            "cpu_usage 80",
            "cpu_usage > high",
            "cpu_usage > 80% for soon",
            "cpu_usage > 80% for",
            "cpu_usage > 80 parsecs",
            "accuracy_drop < 2%",
            "accuracy_drop > -2%",
            "cpu usage > 80%",
            "cpu_usage => 80%",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC*") {
            drop(parse(&text));
            let _length = duration::parse(&text);
        }
    }
}
