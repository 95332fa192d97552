//! Floats as Go writes them.

/// The digits of a finite float without point and zeros at the end, and the exponent of the first.
struct Digits {
    is_negative: bool,
    digits: String,
    exponent: i32,
}

impl Digits {
    /// As many as it takes to read the same float back, or so many significant ones.
    fn new(value: f64, significant: Option<usize>) -> Self {
        let text = match significant {
            Some(count) => format!("{:.*e}", count.max(1) - 1, value.abs()),
            None => format!("{:e}", value.abs()),
        };
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let digits = mantissa.replace('.', "");
        let kept = digits.trim_end_matches('0');
        Self {
            is_negative: value.is_sign_negative(),
            digits: if kept.is_empty() { "0" } else { kept }.to_owned(),
            exponent: exponent.parse().unwrap_or(0),
        }
    }
}

/// What is no number.
fn special(value: f64) -> Option<&'static str> {
    if value.is_nan() {
        Some("NaN")
    } else if value.is_infinite() {
        Some(if value > 0.0 { "+Inf" } else { "-Inf" })
    } else {
        None
    }
}

/// `%v`: the shortest text that is read back the same.
pub(super) fn shortest(value: f64) -> String {
    general(value, None)
}

/// `%g`, with so many significant digits or as many as it takes.
pub(super) fn general(value: f64, significant: Option<usize>) -> String {
    if let Some(word) = special(value) {
        return word.to_owned();
    }
    let significant = significant.map(|count| count.max(1));
    let digits = Digits::new(value, significant);
    // Go: %e for exponents below -4 or from the precision on, which is 6 where none is given.
    let most = significant.map_or(6, |count| i32::try_from(count).unwrap_or(i32::MAX));
    let sign = if digits.is_negative { "-" } else { "" };
    if digits.exponent < -4 || digits.exponent >= most {
        let (first, rest) = digits.digits.split_at(1);
        let point = if rest.is_empty() { "" } else { "." };
        return format!("{sign}{first}{point}{rest}{}", exponent(digits.exponent));
    }
    format!("{sign}{}", plain(&digits))
}

fn exponent(exponent: i32) -> String {
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("e{sign}{:02}", exponent.unsigned_abs())
}

fn plain(digits: &Digits) -> String {
    let Digits {
        digits, exponent, ..
    } = digits;
    let Ok(before) = usize::try_from(exponent + 1) else {
        let zeros = "0".repeat(usize::try_from(-exponent - 1).unwrap_or(0));
        return format!("0.{zeros}{digits}");
    };
    if before == 0 {
        return format!("0.{digits}");
    }
    match digits.split_at_checked(before) {
        Some((whole, "")) => whole.to_owned(),
        Some((whole, rest)) => format!("{whole}.{rest}"),
        None => format!("{digits}{}", "0".repeat(before - digits.len())),
    }
}

/// `%f` and `%.nf`.
pub(super) fn fixed(value: f64, decimals: usize) -> String {
    match special(value) {
        Some(word) => word.to_owned(),
        None => format!("{value:.decimals$}"),
    }
}

/// `%e` and `%.ne`.
pub(super) fn scientific(value: f64, decimals: usize) -> String {
    if let Some(word) = special(value) {
        return word.to_owned();
    }
    let text = format!("{value:.decimals$e}");
    let (mantissa, power) = text.split_once('e').unwrap_or((&text, "0"));
    format!("{mantissa}{}", exponent(power.parse().unwrap_or(0)))
}
