//! Label sets: what names a series.

use std::cmp::Ordering;
use std::fmt;

use crate::limits::{
    LABEL_NAME_BYTES_MAX, LABEL_VALUE_BYTES_MAX, LABELS_BYTES_MAX, LABELS_PER_SERIES_MAX,
};

/// The label that holds the metric name.
pub const METRIC_NAME: &str = "__name__";

/// Why a label set was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LabelsError {
    /// A name is empty or does not match `[a-zA-Z_][a-zA-Z0-9_]*` (metric names may hold colons).
    #[error("label name {name:?} is not valid")]
    BadName {
        /// The name as it came, cut at 64 characters.
        name: String,
    },
    /// The same name twice.
    #[error("label name {name:?} is given twice")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// A name or value, or all together, are longer than [`crate::limits`] allows.
    #[error("{what} has {got} bytes, more than {max}")]
    TooLong {
        /// What is too long.
        what: &'static str,
        /// Its bytes.
        got: usize,
        /// The bound.
        max: usize,
    },
    /// More labels than [`LABELS_PER_SERIES_MAX`].
    #[error("{got} labels, more than {LABELS_PER_SERIES_MAX}")]
    TooMany {
        /// How many.
        got: usize,
    },
}

/// An immutable label set: pairs of name and value, sorted by name, each name once, no value empty
/// (to Prometheus an empty value and no label are the same). The metric name is the label
/// [`METRIC_NAME`].
///
/// All text lies in one allocation and the ends of its pieces in another.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Labels {
    text: Box<str>,
    /// End offset in `text` of name 0, value 0, name 1, value 1, …
    ends: Box<[u16]>,
}

impl Labels {
    /// From pairs in any order.
    ///
    /// # Errors
    /// When a name is not valid or comes twice, or a bound of [`crate::limits`] is passed.
    pub fn new(pairs: &[(&str, &str)]) -> Result<Self, LabelsError> {
        let mut builder = LabelsBuilder::default();
        for (name, value) in pairs {
            builder.push(name, value);
        }
        builder.build()
    }

    /// From a metric name and further pairs in any order.
    ///
    /// # Errors
    /// As [`Labels::new`].
    pub fn with_name(metric: &str, pairs: &[(&str, &str)]) -> Result<Self, LabelsError> {
        let mut builder = LabelsBuilder::default();
        builder.push(METRIC_NAME, metric);
        for (name, value) in pairs {
            builder.push(name, value);
        }
        builder.build()
    }

    /// From pairs that a label set gave out before, in its order; `None` when they are not in order
    /// or too long for one. Names are not looked at again.
    #[must_use]
    pub fn from_sorted<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Option<Self> {
        let mut text = String::with_capacity(256);
        let mut ends = Vec::with_capacity(32);
        let mut last_name = "";
        for (name, value) in pairs {
            if name <= last_name {
                return None;
            }
            last_name = name;
            for piece in [name, value] {
                text.push_str(piece);
                ends.push(u16::try_from(text.len()).ok()?);
            }
        }
        Some(Self {
            text: text.into_boxed_str(),
            ends: ends.into_boxed_slice(),
        })
    }

    /// How many labels, the metric name included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len() / 2
    }

    /// Whether there is no label at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Bytes of all names and values together.
    #[must_use]
    pub fn text_bytes(&self) -> usize {
        self.text.len()
    }

    /// Name and value pairs in order of name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> + Clone {
        (0..self.len()).map(|pair| (self.piece(2 * pair), self.piece(2 * pair + 1)))
    }

    /// The value of `name`, or `""` when there is no such label.
    #[must_use]
    pub fn get(&self, name: &str) -> &str {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let mid = usize::midpoint(low, high);
            match self.piece(2 * mid).cmp(name) {
                Ordering::Less => low = mid + 1,
                Ordering::Greater => high = mid,
                Ordering::Equal => return self.piece(2 * mid + 1),
            }
        }
        ""
    }

    /// The metric name, or `""`.
    #[must_use]
    pub fn metric_name(&self) -> &str {
        self.get(METRIC_NAME)
    }

    fn piece(&self, index: usize) -> &str {
        let start = if index == 0 {
            0
        } else {
            usize::from(self.ends[index - 1])
        };
        // The builder put these ends between whole strings.
        self.text
            .get(start..usize::from(self.ends[index]))
            .unwrap_or_default()
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Labels {
    /// Pair by pair, as Prometheus sorts label sets.
    fn cmp(&self, other: &Self) -> Ordering {
        // Up to the first piece that differs in length or text all are equal.
        let same = common_prefix(self.text.as_bytes(), other.text.as_bytes());
        let ends = self.ends.iter().zip(&other.ends);
        let piece = ends
            .take_while(|(a, b)| a == b && usize::from(**a) <= same)
            .count();
        if piece < self.ends.len().min(other.ends.len()) {
            self.piece(piece).cmp(other.piece(piece))
        } else {
            self.ends.len().cmp(&other.ends.len())
        }
    }
}

fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    let (words, _) = a.as_chunks::<8>();
    let (other_words, _) = b.as_chunks::<8>();
    let words = words.iter().zip(other_words).take_while(|(a, b)| a == b);
    let start = 8 * words.count();
    let rest = a.iter().zip(b).skip(start);
    start + rest.take_while(|(a, b)| a == b).count()
}

impl fmt::Display for Labels {
    /// `name{a="1",b="2"}` with Prometheus' escapes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let metric = self.metric_name();
        f.write_str(metric)?;
        let mut rest = self
            .iter()
            .filter(|(name, _)| *name != METRIC_NAME)
            .peekable();
        if rest.peek().is_none() {
            return if metric.is_empty() {
                f.write_str("{}")
            } else {
                Ok(())
            };
        }
        f.write_str("{")?;
        for (index, (name, value)) in rest.enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            write!(f, "{name}=\"")?;
            for c in value.chars() {
                match c {
                    '\\' => f.write_str("\\\\")?,
                    '"' => f.write_str("\\\"")?,
                    '\n' => f.write_str("\\n")?,
                    c => write!(f, "{c}")?,
                }
            }
            f.write_str("\"")?;
        }
        f.write_str("}")
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Collects pairs for a [`Labels`]. Pairs with an empty value are left out.
#[derive(Clone, Debug, Default)]
pub struct LabelsBuilder {
    pairs: Vec<(Box<str>, Box<str>)>,
}

impl LabelsBuilder {
    /// Starts from an existing set.
    #[must_use]
    pub fn from_labels(labels: &Labels) -> Self {
        Self {
            pairs: labels
                .iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        }
    }

    /// Adds a pair; the same name twice makes [`LabelsBuilder::build`] fail.
    pub fn push(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.pairs.push((name.into(), value.into()));
        }
    }

    /// Sets `name` to `value`, replacing what was there; an empty value removes it.
    pub fn set(&mut self, name: &str, value: &str) {
        self.remove(name);
        self.push(name, value);
    }

    /// Removes `name`.
    pub fn remove(&mut self, name: &str) {
        self.pairs.retain(|(have, _)| &**have != name);
    }

    /// Keeps only the labels whose name passes.
    pub fn retain(&mut self, mut keep: impl FnMut(&str) -> bool) {
        self.pairs.retain(|(name, _)| keep(name));
    }

    /// The value now set for `name`, or `""`.
    #[must_use]
    pub fn get(&self, name: &str) -> &str {
        self.pairs
            .iter()
            .find(|(have, _)| &**have == name)
            .map_or("", |(_, value)| value)
    }

    /// Sorts, checks and packs the pairs.
    ///
    /// # Errors
    /// When a name is not valid or comes twice, or a bound of [`crate::limits`] is passed.
    pub fn build(mut self) -> Result<Labels, LabelsError> {
        self.pairs.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        if self.pairs.len() > LABELS_PER_SERIES_MAX {
            return Err(LabelsError::TooMany {
                got: self.pairs.len(),
            });
        }
        if let Some(pair) = self.pairs.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(LabelsError::Duplicate {
                name: pair[0].0.to_string(),
            });
        }
        let bytes = self
            .pairs
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum();
        check_length("the label set", bytes, LABELS_BYTES_MAX)?;
        let mut text = String::with_capacity(bytes);
        let mut ends = Vec::with_capacity(2 * self.pairs.len());
        for (name, value) in &self.pairs {
            check_length("a label name", name.len(), LABEL_NAME_BYTES_MAX)?;
            check_length("a label value", value.len(), LABEL_VALUE_BYTES_MAX)?;
            let valid = if &**name == METRIC_NAME {
                is_metric_name(value)
            } else {
                is_label_name(name)
            };
            if !valid {
                let bad = if &**name == METRIC_NAME { value } else { name };
                return Err(LabelsError::BadName {
                    name: bad.chars().take(64).collect(),
                });
            }
            for piece in [name, value] {
                text.push_str(piece);
                // LABELS_BYTES_MAX is checked above and asserted to fit.
                ends.push(u16::try_from(text.len()).unwrap_or(u16::MAX));
            }
        }
        Ok(Labels {
            text: text.into_boxed_str(),
            ends: ends.into_boxed_slice(),
        })
    }
}

fn check_length(what: &'static str, got: usize, max: usize) -> Result<(), LabelsError> {
    if got > max {
        Err(LabelsError::TooLong { what, got, max })
    } else {
        Ok(())
    }
}

/// Whether `name` matches `[a-zA-Z_][a-zA-Z0-9_]*`.
#[must_use]
pub fn is_label_name(name: &str) -> bool {
    is_name(name, |byte| byte == b'_')
}

/// Whether `name` matches `[a-zA-Z_:][a-zA-Z0-9_:]*`.
#[must_use]
pub fn is_metric_name(name: &str) -> bool {
    is_name(name, |byte| byte == b'_' || byte == b':')
}

fn is_name(name: &str, special: impl Fn(u8) -> bool) -> bool {
    let bytes = name.as_bytes();
    bytes
        .first()
        .is_some_and(|&b| b.is_ascii_alphabetic() || special(b))
        && bytes
            .iter()
            .all(|&b| b.is_ascii_alphanumeric() || special(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_sorted_and_found() {
        let labels = Labels::with_name("up", &[("job", "vllm"), ("instance", "a:1")]).unwrap();
        assert_eq!(labels.to_string(), r#"up{instance="a:1",job="vllm"}"#);
        assert_eq!(labels.get("job"), "vllm");
        assert_eq!(labels.get("none"), "");
        assert_eq!(labels.metric_name(), "up");
        assert_eq!(labels.len(), 3);
    }

    #[test]
    fn a_set_is_made_again_from_its_own_pairs() {
        let labels = Labels::with_name("up", &[("job", "vllm"), ("instance", "a:1")]).unwrap();
        assert_eq!(Labels::from_sorted(labels.iter()), Some(labels));
        assert_eq!(
            Labels::from_sorted([("b", "1"), ("a", "2")].into_iter()),
            None
        );
        assert_eq!(
            Labels::from_sorted([("a", "1"), ("a", "2")].into_iter()),
            None
        );
    }

    #[test]
    fn an_empty_value_is_no_label() {
        assert_eq!(Labels::new(&[("a", "")]).unwrap(), Labels::default());
    }

    #[test]
    fn bad_sets_are_refused_by_name() {
        assert!(matches!(
            Labels::new(&[("a-b", "1")]),
            Err(LabelsError::BadName { .. })
        ));
        assert!(matches!(
            Labels::new(&[("a", "1"), ("a", "2")]),
            Err(LabelsError::Duplicate { .. })
        ));
        assert!(matches!(
            Labels::with_name("0up", &[]),
            Err(LabelsError::BadName { .. })
        ));
        assert!(Labels::with_name("vllm:running", &[]).is_ok());
        let long = "x".repeat(LABEL_VALUE_BYTES_MAX + 1);
        assert!(matches!(
            Labels::new(&[("a", &long)]),
            Err(LabelsError::TooLong { .. })
        ));
    }

    #[test]
    fn order_is_pair_by_pair_and_not_by_text() {
        let a = Labels::new(&[("a", "b")]).unwrap();
        let b = Labels::new(&[("ab", "a")]).unwrap();
        assert!(a < b);
        let c = Labels::new(&[("a", "bz")]).unwrap();
        assert!(a < c && c < b);
    }

    #[test]
    fn set_replaces_and_removes() {
        let mut builder = LabelsBuilder::default();
        builder.push("a", "1");
        builder.set("a", "2");
        assert_eq!(builder.get("a"), "2");
        builder.set("a", "");
        assert!(builder.build().unwrap().is_empty());
    }

    proptest::proptest! {
        #[test]
        fn sets_sort_pair_by_pair(
            a in proptest::collection::btree_map("[ab]{1,3}", "[ab]{1,12}", 0..4),
            b in proptest::collection::btree_map("[ab]{1,3}", "[ab]{1,12}", 0..4),
        ) {
            let labels = |pairs: &std::collections::BTreeMap<String, String>| {
                let pairs: Vec<(&str, &str)> =
                    pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                Labels::new(&pairs).unwrap()
            };
            let (left, right) = (labels(&a), labels(&b));
            proptest::prop_assert_eq!(left.cmp(&right), left.iter().cmp(right.iter()));
            proptest::prop_assert_eq!(left.cmp(&left.clone()), Ordering::Equal);
        }
    }
}
