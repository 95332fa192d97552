//! Texts made to fit: cut at a whole character, and that they were cut is seen.

/// What stands where a text was cut.
const CUT: char = '…';

/// `text`, at most `max` characters; a cut one ends with an ellipsis.
#[must_use]
pub(crate) fn chars(text: &str, max: usize) -> String {
    if text.chars().nth(max).is_none() {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(max.saturating_sub(1)).collect();
    if max > 0 {
        cut.push(CUT);
    }
    cut
}

/// `text` on one line: control characters and line breaks become spaces, and spaces are joined.
#[must_use]
pub(crate) fn line(text: &str, max: usize) -> String {
    let spaced: String = text
        .chars()
        .take(max.saturating_mul(2).saturating_add(64))
        .map(|c| if breaks(c) { ' ' } else { c })
        .collect();
    let joined = spaced.split_whitespace().collect::<Vec<_>>().join(" ");
    chars(&joined, max)
}

/// `text` on as many lines as it has, without other control characters.
#[must_use]
pub(crate) fn lines(text: &str, max: usize) -> String {
    let clean: String = text
        .replace("\r\n", "\n")
        .chars()
        .map(|c| if c != '\n' && breaks(c) { ' ' } else { c })
        .collect();
    chars(&clean, max)
}

/// Whether it ends a line somewhere, or may not be in XML.
fn breaks(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{fffe}' | '\u{ffff}')
}

/// What a stranger's answer says, for an error of ours: one short line, without the secrets given.
#[must_use]
pub(crate) fn excerpt(text: &str, secrets: &[&str]) -> String {
    /// Enough for a provider's own sentence; a page of HTML is no use to anybody.
    const EXCERPT_CHARS_MAX: usize = 200;
    let mut text = text.to_owned();
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        text = text.replace(*secret, "(secret)");
    }
    line(&text, EXCERPT_CHARS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_stays_and_what_is_cut_shows_it() {
        assert_eq!(chars("four", 4), "four");
        assert_eq!(chars("fours", 4), "fou…");
        assert_eq!(chars("é", 0), "");
    }

    #[test]
    fn a_line_is_one_line() {
        assert_eq!(line("a\r\nb\u{0}\tc\u{2028}d", 100), "a b c d");
        assert_eq!(lines("a\r\nb\u{7}c\n", 100), "a\nb c\n");
    }

    #[test]
    fn an_excerpt_names_no_secret() {
        assert_eq!(
            excerpt("bad token xoxb-1\nat line 3", &["xoxb-1", ""]),
            "bad token (secret) at line 3"
        );
    }
}
