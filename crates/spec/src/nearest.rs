//! The word that was probably meant.

/// Words longer than this are not compared: the work grows with the product of the lengths.
const LENGTH_MAX: usize = 64;

/// The known word nearest to `word`, if it is near enough that a slip of the hand explains it: a third
/// of its letters, and at least one.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.chars().count() > LENGTH_MAX {
        return None;
    }
    let allowed = (word.chars().count() / 3).max(1);
    known
        .into_iter()
        .filter(|known| *known != word && known.len() <= LENGTH_MAX)
        .map(|known| (distance(word, known), known))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// How many letters must be put in, taken out, changed, or swapped with the next.
fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut older: Vec<usize> = Vec::new();
    let mut before: Vec<usize> = (0..=to.len()).collect();
    for (row, left) in from.iter().enumerate() {
        let mut now = vec![row + 1];
        for (column, right) in to.iter().enumerate() {
            let change = before[column] + usize::from(left != right);
            let mut best = change.min(before[column + 1] + 1).min(now[column] + 1);
            let swapped =
                row > 0 && column > 0 && from[row - 1] == *right && to[column - 1] == *left;
            if swapped {
                best = best.min(older[column - 1] + 1);
            }
            now.push(best);
        }
        older = std::mem::replace(&mut before, now);
    }
    before.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_found_and_another_word_is_not() {
        let known = ["response_time", "channels", "escalation", "threshold"];
        for (word, meant) in [
            ("resposne_time", Some("response_time")),
            ("chanels", Some("channels")),
            ("treshold", Some("threshold")),
            ("escalation", None),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known), meant, "{word}");
        }
        assert_eq!(distance("ab", "ba"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(nearest(&"x".repeat(10_000), known), None);
    }
}
