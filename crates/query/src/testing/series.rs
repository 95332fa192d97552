//! The notation of series: `name{label="value"} 1 2+3x4 _ stale`.

use series::labels::METRIC_NAME;
use series::{Labels, LabelsBuilder, STALE_NAN};

use crate::parse::literal;

/// One point of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Point {
    /// `_`
    Nothing,
    /// A value, which may be the stale marker.
    Float(f64),
    /// `{{…}}`, whose content is not looked at.
    Histogram,
}

/// Most points in one line; scripts are written by people.
const POINTS_MAX: usize = 1_000_000;

/// Labels and points of a line.
pub(super) fn line(text: &str) -> Result<(Labels, Vec<Point>), String> {
    let (labels, rest) = labels(text)?;
    Ok((labels, points(rest)?))
}

/// The labels at the start of a line, and what follows.
///
/// # Errors
/// When they are not written as `name{label="value"}`, or are no label set.
pub fn labels(text: &str) -> Result<(Labels, &str), String> {
    let name_end = text
        .find(|c: char| c == '{' || c.is_whitespace())
        .unwrap_or(text.len());
    let (name, mut rest) = text.split_at(name_end);
    let mut builder = LabelsBuilder::default();
    builder.push(METRIC_NAME, name);
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside.trim_start();
        loop {
            if let Some(after) = rest.strip_prefix('}') {
                rest = after;
                break;
            }
            rest = pair(rest, &mut builder)?.trim_start();
            rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
        }
    }
    let labels = builder.build().map_err(|error| error.to_string())?;
    Ok((labels, rest))
}

/// One `name="value"` or `"metric name"`, and what follows.
fn pair<'t>(text: &'t str, builder: &mut LabelsBuilder) -> Result<&'t str, String> {
    let quoted = text.starts_with(['"', '\'', '`']);
    let (name, rest) = if quoted {
        let (name, length) = literal::text(text)?;
        (name.value, text.get(length..).unwrap_or(""))
    } else {
        let end = text
            .find(|c: char| c == '=' || c.is_whitespace())
            .ok_or("label without value")?;
        let (name, rest) = text.split_at(end);
        (name.to_owned(), rest)
    };
    let Some(value_text) = rest.trim_start().strip_prefix('=') else {
        if quoted {
            builder.push(METRIC_NAME, &name);
            return Ok(rest);
        }
        return Err(format!("label {name:?} has no value"));
    };
    let value_text = value_text.trim_start();
    let (value, length) = literal::text(value_text)?;
    builder.push(&name, &value.value);
    Ok(value_text.get(length..).unwrap_or(""))
}

/// The points of a line, behind its labels: `1 2+3x4 _ stale`.
///
/// # Errors
/// When one is not written so, or there are too many.
pub fn points(text: &str) -> Result<Vec<Point>, String> {
    let mut points = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let end = token_end(rest);
        let (token, after) = rest.split_at(end);
        expand(token, &mut points)?;
        if points.len() > POINTS_MAX {
            return Err("too many points".to_owned());
        }
        rest = after.trim_start();
    }
    Ok(points)
}

/// Where a token ends: at a blank that is not inside `{{…}}`.
fn token_end(text: &str) -> usize {
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            c if c.is_whitespace() && depth == 0 => return at,
            _ => {}
        }
    }
    text.len()
}

/// Adds the points of one token.
fn expand(token: &str, points: &mut Vec<Point>) -> Result<(), String> {
    let (head, times) = match token.rsplit_once('x') {
        Some((head, count)) if !count.is_empty() && !count.contains('}') => {
            let count: usize = count
                .parse()
                .map_err(|_not_a_number| format!("bad count in {token:?}"))?;
            (head, Some(count.min(POINTS_MAX)))
        }
        _ => (token, None),
    };
    let repeats = times.map_or(1, |times| times + 1);
    if head == "_" {
        // Unlike values, `_x3` is three points and not four.
        points.extend(vec![Point::Nothing; times.unwrap_or(1)]);
    } else if head == "stale" {
        points.extend(vec![Point::Float(STALE_NAN); repeats]);
    } else if head.starts_with("{{") {
        points.extend(vec![Point::Histogram; repeats]);
    } else {
        let (start, step) = start_and_step(head).ok_or_else(|| format!("bad value {token:?}"))?;
        let mut value = start;
        for _ in 0..repeats {
            points.push(Point::Float(value));
            value += step;
        }
    }
    Ok(())
}

/// `a`, `a+b` or `a-b`.
fn start_and_step(text: &str) -> Option<(f64, f64)> {
    if let Ok(value) = text.parse() {
        return Some((value, 0.0));
    }
    let bytes = text.as_bytes();
    (1..bytes.len())
        .filter(|at| matches!(bytes[*at], b'+' | b'-'))
        .filter(|at| !matches!(bytes[at - 1], b'e' | b'E' | b'+' | b'-'))
        .find_map(|at| {
            let (start, step) = text.split_at_checked(at)?;
            let step = match step.strip_prefix('+') {
                Some(step) => step.parse().ok()?,
                None => step.parse::<f64>().ok()?,
            };
            Some((start.parse().ok()?, step))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_expand_as_written() {
        let (labels, points) =
            line(r#"a{b="c d", e="}"} 1 2+3x2 _x2 stale -1-2x1 {{a:[1 2]}}x1"#).unwrap();
        assert_eq!(labels.to_string(), r#"a{b="c d",e="}"}"#);
        let shown: Vec<String> = points
            .iter()
            .map(|point| match point {
                Point::Nothing => "_".to_owned(),
                Point::Float(value) if series::is_stale(*value) => "stale".to_owned(),
                Point::Float(value) => value.to_string(),
                Point::Histogram => "h".to_owned(),
            })
            .collect();
        assert_eq!(shown.join(" "), "1 2 5 8 _ _ stale -1 -3 h h");
    }
}
