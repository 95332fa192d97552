//! What to answer a sender.

use crate::{Error, Refused, Skipped, Unsupported, Version};

/// The header that says how many samples were written.
pub const SAMPLES_WRITTEN: &str = "x-prometheus-remote-write-samples-written";
/// The header that says how many native histograms were written: none.
pub const HISTOGRAMS_WRITTEN: &str = "x-prometheus-remote-write-histograms-written";
/// The header that says how many exemplars were written: none.
pub const EXEMPLARS_WRITTEN: &str = "x-prometheus-remote-write-exemplars-written";

/// An answer over HTTP.
///
/// A sender does not send again what got a status of 4xx (but for 429). After [`Answer::later`] it
/// sends the whole message once more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// 204 when all was written, 400 when something was refused for good, 413 when the message is
    /// too large, 415 when it is of a kind that is not taken, 503 when it is to be sent again.
    pub status: u16,
    /// The headers that say what was written, in lower case.
    pub headers: [(&'static str, u64); 3],
    /// What is wrong, for a person; nothing when all is well.
    pub text: String,
}

impl Answer {
    /// After `written` samples were written and the rest of what was there was not.
    ///
    /// The specification of version 2 allows no 2xx when a native histogram or an exemplar was left
    /// out. That of version 1 knows neither; an exemplar is no sample, but a histogram is, and its
    /// sender has to hear that it is not there.
    #[must_use]
    pub fn of(version: Version, written: u64, refused: &Refused, skipped: &Skipped) -> Self {
        let mut wrong = Vec::new();
        if !refused.is_empty() {
            wrong.push(refused.to_string());
        }
        let exemplars = match version {
            Version::V1 => 0,
            Version::V2 => skipped.exemplars,
        };
        for (count, what) in [
            (skipped.histograms, "native histograms"),
            (exemplars, "exemplars"),
        ] {
            if count > 0 {
                wrong.push(format!("{what} are not kept here: {count}"));
            }
        }
        let status = if wrong.is_empty() { 204 } else { 400 };
        Self::new(status, written, wrong.join("; "))
    }

    /// After nothing could be written for a reason that passes.
    #[must_use]
    pub fn later(text: String) -> Self {
        Self::new(503, 0, text)
    }

    /// After the body itself could not be read, which HTTP has a status for.
    #[must_use]
    pub fn not_read(status: u16, text: String) -> Self {
        Self::new(status, 0, text)
    }

    fn new(status: u16, written: u64, text: String) -> Self {
        Self {
            status,
            headers: [
                (SAMPLES_WRITTEN, written),
                (HISTOGRAMS_WRITTEN, 0),
                (EXEMPLARS_WRITTEN, 0),
            ],
            text,
        }
    }
}

impl From<&Error> for Answer {
    fn from(error: &Error) -> Self {
        let status = match error {
            Error::TooLarge { .. } | Error::TooMany { .. } => 413,
            Error::Snappy { .. } | Error::Truncated | Error::Varint | Error::WireType { .. } => 400,
        };
        Self::new(status, 0, error.to_string())
    }
}

impl From<&Unsupported> for Answer {
    fn from(unsupported: &Unsupported) -> Self {
        Self::new(415, 0, unsupported.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Reason;

    #[test]
    fn all_written_is_204_without_a_text() {
        let skipped = Skipped {
            exemplars: 3,
            histograms: 0,
        };
        let answer = Answer::of(Version::V1, 7, &Refused::default(), &skipped);
        assert_eq!((answer.status, answer.text.as_str()), (204, ""));
        assert_eq!(answer.headers[0], (SAMPLES_WRITTEN, 7));
    }

    #[test]
    fn a_part_written_is_400_and_says_how_much() {
        let mut refused = Refused::default();
        refused.add(Reason::NoRoom, 2, || "up".to_owned());
        let skipped = Skipped {
            histograms: 1,
            exemplars: 4,
        };
        let answer = Answer::of(Version::V2, 5, &refused, &skipped);
        assert_eq!(answer.status, 400);
        assert_eq!(answer.headers.map(|(_, count)| count), [5, 0, 0]);
        assert_eq!(
            answer.text,
            "samples refused: 2, 2 of series for which there is no room; the first: up; \
             native histograms are not kept here: 1; exemplars are not kept here: 4"
        );
    }

    #[test]
    fn nothing_written_says_why() {
        let large = Error::TooLarge { got: 9, max: 8 };
        assert_eq!(Answer::from(&large).status, 413);
        assert_eq!(Answer::from(&Error::Varint).status, 400);
        let zstd = Unsupported::Encoding {
            got: "zstd".to_owned(),
        };
        assert_eq!(Answer::from(&zstd).status, 415);
        let later = Answer::later("shutting down".to_owned());
        assert_eq!(later.status, 503);
        assert_eq!(later.headers.map(|(_, count)| count), [0, 0, 0]);
    }
}
