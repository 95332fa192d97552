//! Go's `fmt.Sprintf` over the values of templates.

use super::value::Value;
use super::{OUTPUT_BYTES_MAX, float};

/// Widest a verb pads to, and most digits after a point; Go's own bound is a million.
const WIDTH_MAX: usize = 1000;

#[derive(Clone, Copy, Default)]
struct Flags {
    plus: bool,
    minus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// The text of a format and its arguments.
pub(super) fn sprintf(format: &str, args: &[Value]) -> String {
    let mut out = String::new();
    let mut next = 0;
    let mut rest = format;
    while let Some(start) = rest.find('%') {
        // What is too long is refused as a whole by who called.
        if out.len() > OUTPUT_BYTES_MAX {
            return out;
        }
        let (before, after) = rest.split_at(start);
        out.push_str(before);
        let mut flags = Flags::default();
        let mut tail = after.get(1..).unwrap_or_default();
        tail = read_flags(tail, &mut flags);
        let is_bad = !read_index(&mut tail, args.len(), &mut next);
        let faults = read_sizes(&mut tail, &mut flags, args, &mut next);
        out.push_str(&faults);
        let is_bad = !read_index(&mut tail, args.len(), &mut next) || is_bad;
        let Some(verb) = tail.chars().next() else {
            out.push_str("%!(NOVERB)");
            return extra(out, args, next);
        };
        rest = tail.get(verb.len_utf8()..).unwrap_or_default();
        if verb == '%' {
            out.push('%');
        } else if is_bad {
            out.push_str(&format!("%!{verb}(BADINDEX)"));
        } else if let Some(value) = args.get(next) {
            next += 1;
            out.push_str(&one(verb, flags, value));
        } else {
            out.push_str(&format!("%!{verb}(MISSING)"));
        }
    }
    out.push_str(rest);
    // Who says which argument is meant may leave some out.
    if format.contains("%[") {
        return out;
    }
    extra(out, args, next)
}

/// `[n]`, which says what argument comes next; false where there is none such.
fn read_index(text: &mut &str, count: usize, next: &mut usize) -> bool {
    let Some((index, rest)) = text
        .strip_prefix('[')
        .and_then(|inside| inside.split_once(']'))
    else {
        return true;
    };
    *text = rest;
    match index.parse::<usize>() {
        Ok(index) if (1..=count).contains(&index) => {
            *next = index - 1;
            true
        }
        _ => false,
    }
}

fn extra(mut out: String, args: &[Value], next: usize) -> String {
    let Some(left) = args.get(next..).filter(|left| !left.is_empty()) else {
        return out;
    };
    let left: Vec<String> = left
        .iter()
        // What is left over is a mistake; a few tell.
        .take(16)
        .map(|value| match value {
            Value::Nil => "<nil>".to_owned(),
            value => format!("{}={}", value.type_name(), value.shown()),
        })
        .collect();
    out.push_str(&format!("%!(EXTRA {})", left.join(", ")));
    out
}

fn read_flags<'t>(mut text: &'t str, flags: &mut Flags) -> &'t str {
    while let Some(c) = text.chars().next() {
        match c {
            '+' => flags.plus = true,
            '-' => {
                flags.minus = true;
                flags.zero = false;
            }
            '#' => flags.sharp = true,
            ' ' => flags.space = true,
            '0' => flags.zero = !flags.minus,
            _ => break,
        }
        text = text.get(1..).unwrap_or_default();
    }
    text
}

/// Width and precision, each a number or `*`; what is wrong with them.
fn read_sizes(text: &mut &str, flags: &mut Flags, args: &[Value], next: &mut usize) -> String {
    let mut faults = String::new();
    let mut size = |text: &mut &str, what: &str| -> Option<i64> {
        if let Some(rest) = text.strip_prefix('*') {
            *text = rest;
            let value = args.get(*next);
            *next += 1;
            let most = i64::try_from(WIDTH_MAX).unwrap_or(i64::MAX);
            return match value {
                Some(Value::Int(size)) if size.abs() <= most => Some(*size),
                _ => {
                    faults.push_str(&format!("%!(BAD{what})"));
                    None
                }
            };
        }
        let end = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let (digits, rest) = text.split_at(end);
        *text = rest;
        digits.parse().ok()
    };
    if let Some(width) = size(text, "WIDTH") {
        flags.minus |= width < 0;
        flags.zero &= width >= 0;
        let width = usize::try_from(width.unsigned_abs()).unwrap_or(WIDTH_MAX);
        flags.width = Some(width.min(WIDTH_MAX));
    }
    if let Some(rest) = text.strip_prefix('.') {
        *text = rest;
        let precision = size(text, "PREC").unwrap_or(0);
        flags.precision = usize::try_from(precision).ok().map(|it| it.min(WIDTH_MAX));
    }
    faults
}

fn pad(text: &str, flags: Flags) -> String {
    let length = text.chars().count();
    let Some(missing) = flags.width.and_then(|width| width.checked_sub(length)) else {
        return text.to_owned();
    };
    if flags.minus {
        format!("{text}{}", " ".repeat(missing))
    } else if flags.zero {
        match text.strip_prefix(['-', '+']) {
            Some(digits) => {
                let sign = text.get(..1).unwrap_or_default();
                format!("{sign}{}{digits}", "0".repeat(missing))
            }
            None => format!("{}{text}", "0".repeat(missing)),
        }
    } else {
        format!("{}{text}", " ".repeat(missing))
    }
}

fn bad(verb: char, value: &Value) -> String {
    match value {
        Value::Nil => format!("%!{verb}(<nil>)"),
        value => format!("%!{verb}({}={})", value.type_name(), value.shown()),
    }
}

fn one(verb: char, flags: Flags, value: &Value) -> String {
    match (verb, value) {
        ('T', Value::Nil) => pad("<nil>", flags),
        ('T', value) => pad(value.type_name(), flags),
        ('v', Value::Nil) => pad("<nil>", flags),
        (_, Value::Int(value)) => int(verb, flags, *value),
        (_, Value::Float(value)) => match float(verb, flags, *value) {
            Some(text) => text,
            None => bad(verb, &Value::Float(*value)),
        },
        (_, Value::Text(text)) => match string(verb, flags, text) {
            Some(text) => text,
            None => bad(verb, value),
        },
        ('t' | 'v', Value::Bool(value)) => pad(&value.to_string(), flags),
        (_, Value::Bool(_) | Value::Nil) => bad(verb, value),
        ('s' | 'v', value) => pad(&value.shown(), flags),
        (_, value) => bad(verb, value),
    }
}

fn signed(text: String, is_negative: bool, flags: Flags) -> String {
    if is_negative || text.starts_with(['+', '-']) {
        text
    } else if flags.plus {
        format!("+{text}")
    } else if flags.space {
        format!(" {text}")
    } else {
        text
    }
}

fn int(verb: char, flags: Flags, value: i64) -> String {
    let magnitude = value.unsigned_abs();
    let digits = match verb {
        'd' | 'v' => magnitude.to_string(),
        'b' => format!("{magnitude:b}"),
        'o' => format!("{}{magnitude:o}", if flags.sharp { "0" } else { "" }),
        'O' => format!("0o{magnitude:o}"),
        'x' => format!("{}{magnitude:x}", if flags.sharp { "0x" } else { "" }),
        'X' => format!("{}{magnitude:X}", if flags.sharp { "0X" } else { "" }),
        'c' | 'q' | 'U' => {
            let code = u32::try_from(value).ok().and_then(char::from_u32);
            let shown = code.unwrap_or(char::REPLACEMENT_CHARACTER);
            let text = match verb {
                'c' => shown.to_string(),
                'q' => format!("'{shown}'"),
                _ => format!("U+{magnitude:04X}"),
            };
            return pad(&text, flags);
        }
        _ => return bad(verb, &Value::Int(value)),
    };
    let least = flags.precision.unwrap_or(0);
    // No digits at least, and zero has none.
    let digits = if flags.precision == Some(0) && value == 0 {
        String::new()
    } else {
        digits
    };
    let zeros = "0".repeat(least.saturating_sub(digits.len()));
    let sign = if value < 0 { "-" } else { "" };
    let text = signed(format!("{sign}{zeros}{digits}"), value < 0, flags);
    let zero = flags.zero && flags.precision.is_none();
    pad(&text, Flags { zero, ..flags })
}

fn float(verb: char, flags: Flags, value: f64) -> Option<String> {
    let text = match verb {
        'v' => float::general(value, flags.precision),
        'g' => float::general(value, flags.precision),
        'G' => float::general(value, flags.precision).to_uppercase(),
        'f' | 'F' => float::fixed(value, flags.precision.unwrap_or(6)),
        'e' => float::scientific(value, flags.precision.unwrap_or(6)),
        'E' => float::scientific(value, flags.precision.unwrap_or(6)).to_uppercase(),
        _ => return None,
    };
    let zero = flags.zero && value.is_finite();
    let text = if value.is_nan() || !value.is_infinite() {
        signed(text, value.is_sign_negative() && !value.is_nan(), flags)
    } else {
        text
    };
    Some(pad(&text, Flags { zero, ..flags }))
}

fn string(verb: char, flags: Flags, text: &str) -> Option<String> {
    let cut: String = match flags.precision {
        Some(most) => text.chars().take(most).collect(),
        None => text.to_owned(),
    };
    let shown = match verb {
        's' | 'v' => cut,
        'q' => super::quote::quoted(&cut),
        'x' => cut.bytes().map(|byte| format!("{byte:02x}")).collect(),
        'X' => cut.bytes().map(|byte| format!("{byte:02X}")).collect(),
        _ => return None,
    };
    Some(pad(&shown, flags))
}
