//! One line of a page: which part is what. Everything borrows from the line.

use std::borrow::Cow;

use series::labels::{is_label_name, is_metric_name};
use series::{MetricKind, Timestamp};

use super::number;
use super::{Format, Reason};

/// Most characters in the labels of an exemplar (OpenMetrics 1.0, "Exemplars").
const EXEMPLAR_CHARS_MAX: usize = 128;

/// What a line that is not a sample says.
#[derive(Debug, PartialEq)]
pub(super) enum Meta<'a> {
    /// Nothing: a blank line or a free comment.
    Nothing,
    /// The end of an OpenMetrics page.
    Eof,
    /// What a family means.
    Help(&'a str, Cow<'a, str>),
    /// What kind of metric a family is.
    Type(&'a str, MetricKind),
    /// The unit of a family.
    Unit(&'a str, &'a str),
}

/// A piece of a series as it is written.
#[derive(Debug)]
pub(in crate::collect::scrape) enum Piece<'a> {
    /// The metric name.
    Metric(Cow<'a, str>),
    /// A label: name and value.
    Label(Cow<'a, str>, Cow<'a, str>),
}

fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// `bytes` from its first byte that is not a blank.
fn skip_blanks(bytes: &[u8]) -> &[u8] {
    let blanks = bytes.iter().take_while(|&&byte| is_blank(byte)).count();
    &bytes[blanks..]
}

fn trim_blanks(bytes: &[u8]) -> &[u8] {
    let bytes = skip_blanks(bytes);
    let kept = bytes.len() - bytes.iter().rev().take_while(|&&b| is_blank(b)).count();
    &bytes[..kept]
}

/// A word and what follows it.
type Split<'a> = (&'a [u8], &'a [u8]);

/// Splits at the first blank, which belongs to the second part.
fn split_word(bytes: &[u8]) -> Split<'_> {
    let end = bytes.iter().position(|&byte| is_blank(byte));
    bytes.split_at(end.unwrap_or(bytes.len()))
}

/// Reads a line that starts with `#`, or is blank. OpenMetrics knows no blank lines, no free
/// comments, and separates by single spaces.
pub(super) fn meta(line: &[u8], format: Format) -> Result<Meta<'_>, Reason> {
    let strict = format == Format::OpenMetrics;
    let Some(after_hash) = line.strip_prefix(b"#") else {
        return if strict {
            Err(Reason::BlankLine)
        } else {
            Ok(Meta::Nothing)
        };
    };
    if strict && line == b"# EOF" {
        return Ok(Meta::Eof);
    }
    let gap = after_hash.len() - skip_blanks(after_hash).len();
    let (word, rest) = split_word(&after_hash[gap..]);
    let known = matches!(word, b"HELP" | b"TYPE") || (strict && word == b"UNIT");
    if strict && (!known || gap != 1 || after_hash.first() != Some(&b' ')) {
        return Err(Reason::BadComment);
    }
    if !known || gap == 0 {
        return Ok(Meta::Nothing);
    }
    let rest = separated(rest, format)?;
    let (name, text) = family_name(rest)?;
    let text = match (text.split_first(), strict) {
        (Some((b' ', text)), true) => text,
        (_, true) => return Err(Reason::BadComment),
        (_, false) => trim_blanks(text),
    };
    let text = std::str::from_utf8(text).map_err(|_bytes| Reason::NotUtf8)?;
    match word {
        b"HELP" => Ok(Meta::Help(name, unescape(text, strict))),
        b"TYPE" => match MetricKind::from_word(text) {
            Some(_) if strict && text == "untyped" => Err(Reason::BadType),
            Some(kind) => Ok(Meta::Type(name, kind)),
            None => Err(Reason::BadType),
        },
        _ => match name.strip_suffix(text) {
            Some(stem) if text.is_empty() || stem.ends_with('_') => Ok(Meta::Unit(name, text)),
            _ => Err(Reason::BadUnit),
        },
    }
}

/// The blanks that must stand between two words: one space in OpenMetrics, any in 0.0.4.
fn separated(rest: &[u8], format: Format) -> Result<&[u8], Reason> {
    match (rest.split_first(), format) {
        (Some((b' ', after)), Format::OpenMetrics)
            if !after.first().is_none_or(|&b| is_blank(b)) =>
        {
            Ok(after)
        }
        (Some((&first, _)), Format::Text) if is_blank(first) => Ok(skip_blanks(rest)),
        _ => Err(Reason::BadComment),
    }
}

/// A family name in a `#` line, quoted or plain, and what follows it.
fn family_name(rest: &[u8]) -> Result<(&str, &[u8]), Reason> {
    let (name, after) = if let Some(quoted) = rest.strip_prefix(b"\"") {
        let end = closing_quote(quoted)?;
        (&quoted[..end], &quoted[end + 1..])
    } else {
        split_word(rest)
    };
    match std::str::from_utf8(name) {
        Ok(name) if is_metric_name(name) => Ok((name, after)),
        _ => Err(Reason::BadMetricName),
    }
}

/// How many bytes at the start of `line` name the series: up to its closing brace, or up to the
/// first blank when it has no labels. Only quotes are looked at; [`pieces`] checks the rest.
pub(super) fn series_len(line: &[u8]) -> Result<usize, Reason> {
    let name_len = line
        .iter()
        .position(|&byte| is_blank(byte) || byte == b'{')
        .unwrap_or(line.len());
    let after_name = skip_blanks(&line[name_len..]);
    if after_name.first() != Some(&b'{') {
        return Ok(name_len);
    }
    let mut at = line.len() - after_name.len() + 1;
    while let Some(&byte) = line.get(at) {
        match byte {
            b'}' => return Ok(at + 1),
            b'"' => at += 1 + closing_quote(&line[at + 1..])? + 1,
            _ => at += 1,
        }
    }
    Err(Reason::NoClosingBrace)
}

/// Where the first quote lies that no backslash escapes.
fn closing_quote(text: &[u8]) -> Result<usize, Reason> {
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        match byte {
            b'"' => return Ok(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    Err(Reason::NoClosingQuote)
}

/// Whether a series of `key` bytes that was read before also stands at the start of `line`, to its
/// full length.
pub(in crate::collect::scrape) fn starts_with_series(line: &[u8], key: &[u8]) -> bool {
    let Some(rest) = line.strip_prefix(key) else {
        return false;
    };
    if key.last() == Some(&b'}') {
        return true;
    }
    // A bare name may go on, or have its labels after a blank.
    rest.first().is_some_and(|&byte| is_blank(byte)) && skip_blanks(rest).first() != Some(&b'{')
}

/// Takes a series apart.
pub(in crate::collect::scrape) fn pieces<'a>(
    series: &'a [u8],
    push: &mut impl FnMut(Piece<'a>),
) -> Result<(), Reason> {
    let name_len = series
        .iter()
        .position(|&byte| is_blank(byte) || byte == b'{')
        .unwrap_or(series.len());
    let mut names = 0;
    if name_len > 0 {
        let name = std::str::from_utf8(&series[..name_len]).map_err(|_bytes| Reason::NotUtf8)?;
        if !is_metric_name(name) {
            return Err(Reason::BadMetricName);
        }
        push(Piece::Metric(Cow::Borrowed(name)));
        names = 1;
    }
    let rest = skip_blanks(&series[name_len..]);
    if let Some(inside) = rest.strip_prefix(b"{") {
        label_pairs(inside, &mut |piece| {
            names += usize::from(matches!(piece, Piece::Metric(_)));
            push(piece);
        })?;
    }
    if names == 1 {
        Ok(())
    } else {
        Err(Reason::BadMetricName)
    }
}

/// Reads `name="value",…}` and returns what follows the brace. A quoted name that stands alone is
/// the metric name. One comma may trail.
fn label_pairs<'a>(inside: &'a [u8], push: &mut impl FnMut(Piece<'a>)) -> Result<&'a [u8], Reason> {
    let mut rest = skip_blanks(inside);
    loop {
        if let Some(after) = rest.strip_prefix(b"}") {
            return Ok(after);
        }
        let quoted = rest.first() == Some(&b'"');
        let name = if quoted {
            let (name, after) = quoted_text(rest)?;
            rest = after;
            name
        } else {
            let end = rest
                .iter()
                .position(|&b| !b.is_ascii_alphanumeric() && b != b'_');
            let (name, after) = rest.split_at(end.unwrap_or(rest.len()));
            rest = after;
            Cow::Borrowed(std::str::from_utf8(name).map_err(|_bytes| Reason::NotUtf8)?)
        };
        rest = skip_blanks(rest);
        if let Some(after) = rest.strip_prefix(b"=") {
            if !quoted && !is_label_name(&name) {
                return Err(Reason::BadLabelName);
            }
            let (value, after) = quoted_text(skip_blanks(after))?;
            push(Piece::Label(name, value));
            rest = skip_blanks(after);
        } else if quoted && matches!(rest.first(), Some(b',' | b'}')) {
            // Whoever collects the labels leaves out what is empty; this would leave no name at all.
            if name.is_empty() {
                return Err(Reason::BadMetricName);
            }
            push(Piece::Metric(name));
        } else if !quoted && name.is_empty() {
            return Err(Reason::BadLabelName);
        } else {
            return Err(Reason::NoEqualsSign);
        }
        rest = match rest.split_first() {
            Some((b',', after)) => skip_blanks(after),
            Some((b'}', _)) => rest,
            Some(_) => return Err(Reason::NoComma),
            None => return Err(Reason::NoClosingBrace),
        };
    }
}

/// Reads a quoted text with its escapes, and returns what follows the closing quote.
fn quoted_text(rest: &[u8]) -> Result<(Cow<'_, str>, &[u8]), Reason> {
    let Some(text) = rest.strip_prefix(b"\"") else {
        return Err(Reason::NoOpeningQuote);
    };
    let end = closing_quote(text)?;
    let inside = std::str::from_utf8(&text[..end]).map_err(|_bytes| Reason::NotUtf8)?;
    Ok((unescape(inside, true), &text[end + 1..]))
}

/// Undoes `\\`, `\n` and, where `quotes` says so, `\"`. A backslash before anything else stands
/// for itself, as Prometheus has it.
fn unescape(text: &str, quotes: bool) -> Cow<'_, str> {
    if !text.as_bytes().contains(&b'\\') {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            plain.push(c);
            continue;
        }
        match chars.next() {
            Some('\\') => plain.push('\\'),
            Some('n') => plain.push('\n'),
            Some('"') if quotes => plain.push('"'),
            Some(other) => plain.extend(['\\', other]),
            None => plain.push('\\'),
        }
    }
    Cow::Owned(plain)
}

/// Reads what follows the series: the value, a timestamp if there is one, an exemplar if there is
/// one (checked and left out).
pub(super) fn value_and_time(
    rest: &[u8],
    format: Format,
) -> Result<(f64, Option<Timestamp>), Reason> {
    let (token, mut rest) = next_word(rest, format)?.ok_or(Reason::NoValue)?;
    let value = number::value(token)?;
    let mut at = None;
    let mut next = next_word(rest, format)?;
    if let Some((token, after)) = next.filter(|(token, _)| token.first() != Some(&b'#')) {
        at = Some(match format {
            Format::Text => number::millis(token)?,
            Format::OpenMetrics => number::seconds(token)?,
        });
        rest = after;
        next = next_word(rest, format)?;
    }
    match next {
        None => Ok((value, at)),
        Some((b"#", after)) => exemplar(after, format).map(|()| (value, at)),
        Some((token, _)) if token.first() == Some(&b'#') => Err(Reason::BadExemplar),
        Some(_) => Err(Reason::TrailingText),
    }
}

/// The next word of a sample line and what follows it; `None` at the end.
fn next_word(rest: &[u8], format: Format) -> Result<Option<Split<'_>>, Reason> {
    let word = match format {
        Format::Text => skip_blanks(rest),
        Format::OpenMetrics => match rest.split_first() {
            None => rest,
            Some((b' ', after)) if after.first().is_some_and(|&byte| !is_blank(byte)) => after,
            Some(_) => return Err(Reason::BadSpacing),
        },
    };
    Ok((!word.is_empty()).then(|| split_word(word)))
}

/// Checks `{labels} value [time]`.
fn exemplar(rest: &[u8], format: Format) -> Result<(), Reason> {
    let bad = |_reason| Reason::BadExemplar;
    let inside = separated(rest, format)
        .map_err(bad)?
        .strip_prefix(b"{")
        .ok_or(Reason::BadExemplar)?;
    let (mut chars, mut names) = (0, 0);
    let rest = label_pairs(inside, &mut |piece| match piece {
        Piece::Metric(_) => names += 1,
        Piece::Label(name, value) => chars += name.chars().count() + value.chars().count(),
    })
    .map_err(bad)?;
    let (token, rest) = next_word(rest, format)
        .map_err(bad)?
        .ok_or(Reason::BadExemplar)?;
    number::value(token).map_err(bad)?;
    let ends = match next_word(rest, format).map_err(bad)? {
        None => true,
        Some((token, rest)) => {
            number::seconds(token).map_err(bad)?;
            next_word(rest, format).map_err(bad)?.is_none()
        }
    };
    if ends && names == 0 && chars <= EXEMPLAR_CHARS_MAX {
        Ok(())
    } else {
        Err(Reason::BadExemplar)
    }
}
