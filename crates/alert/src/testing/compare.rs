//! Compares what is expected with what is there.

use std::collections::BTreeMap;

use series::Labels;

/// An alert: labels and annotations.
pub(super) type Alert = (BTreeMap<String, String>, BTreeMap<String, String>);

/// An element: labels and value.
pub(super) type Element = (Labels, f64);

/// Whether two values are the same, or next to each other where that is enough. NaN is equal to nothing,
/// as in promtool.
#[expect(clippy::float_cmp, reason = "unit tests compare floats exactly")]
pub(super) fn is_same(expected: f64, got: f64, fuzzy: bool) -> bool {
    expected == got || (fuzzy && (expected.next_down() == got || expected.next_up() == got))
}

/// Whether two answers are the same, in any order.
pub(super) fn are_same(expected: &mut [Element], got: &mut [Element], fuzzy: bool) -> bool {
    let order = |a: &Element, b: &Element| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1));
    expected.sort_by(order);
    got.sort_by(order);
    expected.len() == got.len()
        && expected
            .iter()
            .zip(got.iter())
            .all(|(expected, got)| expected.0 == got.0 && is_same(expected.1, got.1, fuzzy))
}

/// Lines of what is expected and what is there, each with a sign: `-` is missing, `+` is too much. Both
/// are sorted; of lines that differ in one place the missing come first.
pub(super) fn difference(expected: &[String], got: &[String]) -> Vec<(char, String)> {
    let mut lines = Vec::new();
    let mut missing: &[String] = expected;
    let mut there: &[String] = got;
    loop {
        let is_missing = |line: &&String| got.binary_search(line).is_err();
        let is_too_much = |line: &&String| expected.binary_search(line).is_err();
        let gone = missing.iter().take_while(is_missing).count();
        let new = there.iter().take_while(is_too_much).count();
        for (sign, list, count) in [('-', &mut missing, gone), ('+', &mut there, new)] {
            let (first, rest) = list.split_at(count);
            lines.extend(first.iter().map(|line| (sign, line.clone())));
            *list = rest;
        }
        match (missing.split_first(), there.split_first()) {
            (Some((left, rest)), Some((right, others))) if left == right => {
                lines.push((' ', left.clone()));
                (missing, there) = (rest, others);
            }
            // The same line more often on one side.
            (Some((left, rest)), _) if there.first().is_none_or(|right| left < right) => {
                lines.push(('-', left.clone()));
                missing = rest;
            }
            (_, Some((right, others))) => {
                lines.push(('+', right.clone()));
                there = others;
            }
            _ => return lines,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_one_list() {
        let lines = |text: &str| -> Vec<String> { text.chars().map(String::from).collect() };
        let shown = |expected: &str, got: &str| -> String {
            let lines = difference(&lines(expected), &lines(got));
            lines
                .iter()
                .map(|(sign, line)| format!("{sign}{line}"))
                .collect()
        };
        assert_eq!(shown("abde", "bcdf"), "-a b+c d-e+f");
        assert_eq!(shown("aab", "abb"), " a-a b+b");
        assert_eq!(shown("", "a"), "+a");
        assert_eq!(shown("a", ""), "-a");
    }

    #[test]
    fn floats_next_to_each_other_may_be_the_same() {
        assert!(!is_same(3.0, 2.999_999_999_999_999_6, false));
        assert!(is_same(3.0, 2.999_999_999_999_999_6, true));
        assert!(!is_same(3.0, 2.999_999_999_999_998_7, true));
        assert!(!is_same(f64::NAN, f64::NAN, true));
    }
}
