//! Numbers, durations and strings, by Go's rules, which are PromQL's.

use super::ast::Text;

/// Where a number or duration ends.
pub(super) fn number_end(text: &str) -> usize {
    let bytes = text.as_bytes();
    let hex = bytes.len() > 1 && bytes[0] == b'0' && matches!(bytes[1], b'x' | b'X');
    let mut end = 0;
    while let Some(&byte) = bytes.get(end) {
        let sign = matches!(byte, b'+' | b'-')
            && !hex
            && matches!(bytes[end - 1], b'e' | b'E')
            && bytes.get(end + 1).is_some_and(u8::is_ascii_digit);
        if !(byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'_' || sign) {
            break;
        }
        end += 1;
    }
    end
}

/// A number as Go reads it: an integer with an optional base prefix (`0x`, `0o`, `0b`, or a
/// leading zero for octal), else a decimal float.
pub(super) fn number(word: &str) -> Option<f64> {
    let lower = word.to_ascii_lowercase();
    let (digits, radix) = match lower.as_bytes() {
        [b'0', b'x', ..] => (lower.get(2..)?, 16),
        [b'0', b'o', ..] => (lower.get(2..)?, 8),
        [b'0', b'b', ..] => (lower.get(2..)?, 2),
        [b'0', b'0'..=b'7', ..] => (lower.get(1..)?, 8),
        _ => (lower.as_str(), 10),
    };
    let plain = digits.replace('_', "");
    if let Ok(integer) = i64::from_str_radix(&plain, radix) {
        #[expect(clippy::cast_precision_loss, reason = "PromQL numbers are floats")]
        return Some(integer as f64);
    }
    let decimal = lower
        .bytes()
        .all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'+' | b'-'));
    if decimal { lower.parse().ok() } else { None }
}

/// Unit words from the longest down, in milliseconds.
const UNITS: [(&str, i64); 7] = [
    ("y", 365 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// A duration such as `1h30m`: units from long to short, each at most once. `None` when it is not
/// one, `Some(None)` when it does not fit.
#[expect(
    clippy::option_option,
    reason = "not a duration, and one too long, are different"
)]
pub(crate) fn duration(word: &str) -> Option<Option<i64>> {
    let mut rest = word;
    let mut total: Option<i64> = Some(0);
    let mut next_unit = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (count, after) = rest.split_at_checked(digits)?;
        let letters = after
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(letters)?;
        let index = UNITS.iter().position(|(name, _)| *name == unit)?;
        if count.is_empty() || index < next_unit {
            return None;
        }
        next_unit = index + 1;
        let millis = count
            .parse::<i64>()
            .ok()
            .and_then(|count| count.checked_mul(UNITS[index].1));
        // Go keeps durations in 64-bit nanoseconds; what does not fit there is refused.
        total = total
            .zip(millis)
            .and_then(|(total, millis)| total.checked_add(millis))
            .filter(|total| *total <= i64::MAX / 1_000_000);
        rest = after;
    }
    if word.is_empty() { None } else { Some(total) }
}

/// The string literal at the start of `text`, and its length with quotes.
pub(crate) fn text(text: &str) -> Result<(Text, usize), String> {
    let quote = text.chars().next().unwrap_or('"');
    if quote == '`' {
        let end = text
            .get(1..)
            .and_then(|rest| rest.find('`'))
            .ok_or("unterminated raw string")?;
        let value = text.get(1..=end).unwrap_or("").replace('\r', "");
        let literal = Text {
            value,
            not_utf8: None,
        };
        return Ok((literal, end + 2));
    }
    let mut bytes = Vec::new();
    let mut chars = text.char_indices();
    chars.next();
    while let Some((at, c)) = chars.next() {
        match c {
            '\n' => break,
            '\\' => escape(&mut chars, quote, &mut bytes)?,
            c if c == quote => {
                let length = at + 1;
                let quoted = text.get(..length).unwrap_or("").to_owned();
                return Ok((unpack(bytes, quoted), length));
            }
            c => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    Err("unterminated quoted string".to_owned())
}

fn unpack(bytes: Vec<u8>, quoted: String) -> Text {
    match String::from_utf8(bytes) {
        Ok(value) => Text {
            value,
            not_utf8: None,
        },
        Err(error) => Text {
            value: String::from_utf8_lossy(error.as_bytes()).into_owned(),
            not_utf8: Some(quoted),
        },
    }
}

/// What follows a backslash.
fn escape(
    chars: &mut std::str::CharIndices<'_>,
    quote: char,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    let bad = || "unknown escape sequence".to_owned();
    let (_, c) = chars.next().ok_or("escape sequence not terminated")?;
    let (digits, radix, bytes) = match c {
        'a' => return push(out, 7),
        'b' => return push(out, 8),
        'f' => return push(out, 12),
        'n' => return push(out, b'\n'),
        'r' => return push(out, b'\r'),
        't' => return push(out, b'\t'),
        'v' => return push(out, 11),
        '\\' => return push(out, b'\\'),
        c if c == quote => return push(out, u8::try_from(c).unwrap_or(b'"')),
        '0'..='7' => (2, 8, true),
        'x' => (2, 16, true),
        'u' => (4, 16, false),
        'U' => (8, 16, false),
        _ => return Err(bad()),
    };
    let mut code = if radix == 8 {
        c.to_digit(8).unwrap_or(0)
    } else {
        0
    };
    for _ in 0..digits {
        let digit = chars
            .next()
            .and_then(|(_, c)| c.to_digit(radix))
            .ok_or_else(bad)?;
        code = code.wrapping_mul(radix) | digit;
    }
    if bytes {
        out.push(u8::try_from(code).map_err(|_too_large| bad())?);
    } else {
        let c = char::from_u32(code).ok_or("escape sequence is an invalid Unicode code point")?;
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
    Ok(())
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "ends a match arm with its caller's type"
)]
fn push(out: &mut Vec<u8>, byte: u8) -> Result<(), String> {
    out.push(byte);
    Ok(())
}
