//! Numbers for people, by Prometheus' rules.

use super::float::general;

fn four(value: f64) -> String {
    general(value, Some(4))
}

fn is_no_size(value: f64) -> bool {
    value.is_nan() || value.is_infinite() || value.abs() <= 0.0
}

/// Divides by `by` as long as it is as large, and says how often in a word.
fn large(mut value: f64, by: f64, words: [&'static str; 8]) -> (f64, &'static str) {
    let mut prefix = "";
    for word in words {
        if value.abs() < by {
            break;
        }
        prefix = word;
        value /= by;
    }
    (value, prefix)
}

fn small(mut value: f64) -> (f64, &'static str) {
    let mut prefix = "";
    for word in ["m", "u", "n", "p", "f", "a", "z", "y"] {
        if value.abs() >= 1.0 {
            break;
        }
        prefix = word;
        value *= 1000.0;
    }
    (value, prefix)
}

/// `1.234M`
pub(super) fn decimal(value: f64) -> String {
    if is_no_size(value) {
        return four(value);
    }
    let (value, prefix) = if value.abs() >= 1.0 {
        large(value, 1000.0, ["k", "M", "G", "T", "P", "E", "Z", "Y"])
    } else {
        small(value)
    };
    format!("{}{prefix}", four(value))
}

/// `1.234Mi`
pub(super) fn binary(value: f64) -> String {
    if is_no_size(value) || value.abs() <= 1.0 {
        return four(value);
    }
    let words = ["ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"];
    let (value, prefix) = large(value, 1024.0, words);
    format!("{}{prefix}", four(value))
}

/// `12.34%`
pub(super) fn percentage(value: f64) -> String {
    format!("{}%", four(value * 100.0))
}

/// `1d 2h 3m 4s`
pub(super) fn duration(value: f64) -> String {
    if value.is_nan() || value.is_infinite() {
        return four(value);
    }
    if is_no_size(value) {
        return format!("{}s", four(value));
    }
    if value.abs() < 1.0 {
        let (value, prefix) = small(value);
        return format!("{}{prefix}s", four(value));
    }
    let sign = if value < 0.0 { "-" } else { "" };
    let value = value.abs();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive, and saturating where no date reaches"
    )]
    let whole = value as u64;
    let (days, hours) = (whole / 86_400, whole / 3600 % 24);
    let (minutes, seconds) = (whole / 60 % 60, whole % 60);
    if days != 0 {
        format!("{sign}{days}d {hours}h {minutes}m {seconds}s")
    } else if hours != 0 {
        format!("{sign}{hours}h {minutes}m {seconds}s")
    } else if minutes != 0 {
        format!("{sign}{minutes}m {seconds}s")
    } else {
        format!("{sign}{}s", four(value))
    }
}
