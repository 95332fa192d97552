//! What was refused of a message of which the rest was taken.

use std::fmt;

use series::LabelsError;

/// Longest text about what was refused first: it quotes what a stranger sent.
const FIRST_BYTES_MAX: usize = 512;

/// Why a series was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// It has no label `__name__`.
    NoName,
    /// A label name or the metric name is not a name.
    BadName,
    /// A label name is there twice.
    Duplicate,
    /// A name, a value or all together are longer than a series may have.
    TooLong,
    /// It has more labels than a series may have.
    TooManyLabels,
    /// A name or a value is not UTF-8.
    NotUtf8,
    /// Its labels point to symbols that are not there, or a name has no value (version 2).
    BadReference,
    /// The receiver takes in no further series.
    NoRoom,
    /// The time of the samples is outside of what the receiver keeps.
    BadTime,
}

impl Reason {
    /// All reasons, in the order of their numbers.
    pub const ALL: [Self; 9] = [
        Self::NoName,
        Self::BadName,
        Self::Duplicate,
        Self::TooLong,
        Self::TooManyLabels,
        Self::NotUtf8,
        Self::BadReference,
        Self::NoRoom,
        Self::BadTime,
    ];

    /// The word for it in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoName => "no_name",
            Self::BadName => "bad_name",
            Self::Duplicate => "duplicate",
            Self::TooLong => "too_long",
            Self::TooManyLabels => "too_many_labels",
            Self::NotUtf8 => "not_utf8",
            Self::BadReference => "bad_reference",
            Self::NoRoom => "no_room",
            Self::BadTime => "bad_time",
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::NoName => "without a metric name",
            Self::BadName => "with a bad name",
            Self::Duplicate => "with a label twice",
            Self::TooLong => "with labels that are too long",
            Self::TooManyLabels => "with too many labels",
            Self::NotUtf8 => "with labels that are no UTF-8",
            Self::BadReference => "with references to no symbol",
            Self::NoRoom => "of series for which there is no room",
            Self::BadTime => "with a time that is not kept",
        }
    }

    pub(crate) const fn of(error: &LabelsError) -> Self {
        match error {
            LabelsError::BadName { .. } => Self::BadName,
            LabelsError::Duplicate { .. } => Self::Duplicate,
            LabelsError::TooLong { .. } => Self::TooLong,
            LabelsError::TooMany { .. } => Self::TooManyLabels,
        }
    }
}

/// How many samples were refused, for each reason. Its text is for the answer to the sender.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    samples: [u64; Reason::ALL.len()],
    first: String,
}

impl Refused {
    /// Counts `samples`. `what` says which series and what is wrong with it; it is asked the first
    /// time only.
    pub fn add(&mut self, reason: Reason, samples: u64, what: impl FnOnce() -> String) {
        if samples == 0 {
            return;
        }
        if self.is_empty() {
            self.first = what();
            if let Some(end) = (0..=FIRST_BYTES_MAX)
                .rev()
                .find(|end| self.first.is_char_boundary(*end))
            {
                self.first.truncate(end);
            }
        }
        self.samples[reason as usize] += samples;
    }

    /// Whether nothing was refused.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.samples() == 0
    }

    /// All samples refused.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.samples.iter().sum()
    }

    /// Those refused for `reason`.
    #[must_use]
    pub const fn samples_for(&self, reason: Reason) -> u64 {
        self.samples[reason as usize]
    }

    pub(crate) fn clear(&mut self) {
        self.samples = Default::default();
        self.first.clear();
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "samples refused: {}", self.samples())?;
        for reason in Reason::ALL {
            let samples = self.samples_for(reason);
            if samples > 0 {
                write!(f, ", {samples} {}", reason.words())?;
            }
        }
        if self.first.is_empty() {
            Ok(())
        } else {
            write!(f, "; the first: {}", self.first)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_by_reason_and_keeps_the_first_text() {
        let mut refused = Refused::default();
        refused.add(Reason::NoName, 0, || "nothing".to_owned());
        assert!(refused.is_empty());
        refused.add(Reason::BadName, 2, || "é".repeat(600));
        refused.add(Reason::NoName, 1, || "not asked".to_owned());
        assert_eq!(refused.samples(), 3);
        let text = refused.to_string();
        let (head, first) = text.split_once("; the first: ").unwrap();
        assert_eq!(
            head,
            "samples refused: 3, 1 without a metric name, 2 with a bad name"
        );
        assert_eq!(first, "é".repeat(256));
    }

    #[test]
    fn the_order_of_reasons_is_their_number() {
        for (index, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index);
        }
    }
}
