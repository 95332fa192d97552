//! Constants in templates.

use super::node::Number;

/// A constant by Go's rules.
pub(super) fn read(text: &str) -> Option<Number> {
    if text.starts_with('\'') {
        let (value, _) = query::string_literal(text).ok()?;
        let mut chars = value.chars();
        let code = chars.next().filter(|_| chars.next().is_none())?;
        return Some(Number::Int(i64::from(u32::from(code))));
    }
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let bases = [("0x", 16), ("0b", 2), ("0o", 8)];
    let base = bases.into_iter().find_map(|(prefix, base)| {
        let digits = lower.strip_prefix(prefix)?;
        Some((digits.to_owned(), base))
    });
    let plain = lower.replace('_', "");
    let has_octal_zero = lower.len() > 1 && lower.starts_with('0');
    let integer = match &base {
        Some((digits, base)) => i64::from_str_radix(&digits.replace('_', ""), *base).ok(),
        None if has_octal_zero && plain.bytes().all(|byte| byte.is_ascii_digit()) => {
            i64::from_str_radix(&plain, 8).ok()
        }
        None => plain.parse().ok(),
    };
    if let Some(integer) = integer {
        return integer.checked_mul(sign).map(Number::Int);
    }
    let is_decimal = plain
        .bytes()
        .all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'+' | b'-'));
    if base.is_some() || !is_decimal {
        return None;
    }
    let value: f64 = plain.parse().ok()?;
    value
        .is_finite()
        .then(|| Number::Float(if sign < 0 { -value } else { value }))
}
