//! The literal text in a regular expression, so that an index need not try it on every value.

use regex_syntax::hir::{Class, Hir, HirKind};

/// More values than this are not listed: trying the expression is as fast.
const LITERALS_MAX: usize = 256;

/// What a pattern says, by itself.
pub(super) fn parse(pattern: &str) -> Result<Hir, regex::Error> {
    regex_syntax::ParserBuilder::new()
        .dot_matches_new_line(true)
        .build()
        .parse(pattern)
        .map_err(|error| regex::Error::Syntax(error.to_string()))
}

/// All values that a pattern matches, if they are few.
pub(super) fn all(hir: &Hir) -> Option<Vec<String>> {
    match hir.kind() {
        HirKind::Empty => Some(vec![String::new()]),
        HirKind::Literal(literal) => Some(vec![std::str::from_utf8(&literal.0).ok()?.to_owned()]),
        HirKind::Class(Class::Unicode(class)) => {
            let ranges = class.ranges().iter();
            let count: usize = ranges.clone().map(|range| range.len()).sum();
            (count <= LITERALS_MAX)
                .then(|| ranges.flat_map(|range| range.start()..=range.end()))
                .map(|chars| chars.map(String::from).collect())
        }
        HirKind::Capture(capture) => all(&capture.sub),
        HirKind::Concat(parts) => parts.iter().try_fold(vec![String::new()], |begun, part| {
            let ends = all(part)?;
            let few = begun.len() * ends.len() <= LITERALS_MAX;
            few.then(|| {
                let joined = |begin: &String| -> Vec<String> {
                    ends.iter().map(|end| format!("{begin}{end}")).collect()
                };
                begun.iter().flat_map(joined).collect()
            })
        }),
        HirKind::Alternation(branches) => {
            let mut found = Vec::new();
            for branch in branches {
                found.extend(all(branch)?);
                if found.len() > LITERALS_MAX {
                    return None;
                }
            }
            Some(found)
        }
        HirKind::Class(Class::Bytes(_)) | HirKind::Look(_) | HirKind::Repetition(_) => None,
    }
}

/// What each value that a pattern matches begins with.
pub(super) fn prefix(hir: &Hir) -> String {
    match hir.kind() {
        HirKind::Literal(literal) => std::str::from_utf8(&literal.0)
            .unwrap_or_default()
            .to_owned(),
        HirKind::Capture(capture) => prefix(&capture.sub),
        HirKind::Concat(parts) => {
            let mut text = String::new();
            for part in parts {
                text.push_str(&prefix(part));
                if !matches!(part.kind(), HirKind::Literal(_)) {
                    break;
                }
            }
            text
        }
        _ => String::new(),
    }
}
