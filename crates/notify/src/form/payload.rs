//! What payloads for programs share: labels as they are, within bounds.

use std::collections::BTreeMap;

use alert::{AlertLine, Message};

use crate::bounds;
use crate::words::{LABELS_MAX, VALUE_CHARS_MAX};

/// Largest payload: what receivers commonly take.
pub(crate) const PAYLOAD_BYTES_MAX: usize = 1024 * 1024;
/// Longest label or annotation, and most of them, while all fits.
const WIDE: Bounds = Bounds {
    value_chars: 4096,
    labels: 64,
};
/// The same where it does not fit.
const NARROW: Bounds = Bounds {
    value_chars: VALUE_CHARS_MAX,
    labels: LABELS_MAX,
};

/// What labels and annotations may be.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    value_chars: usize,
    labels: usize,
}

impl Bounds {
    /// Labels, as Prometheus names them. An empty one is none.
    pub(crate) fn labels(self, labels: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        labels
            .iter()
            .filter(|(name, value)| !name.is_empty() && !value.is_empty())
            .take(self.labels)
            .map(|(name, value)| (label_name(name), bounds::chars(value, self.value_chars)))
            .collect()
    }
}

/// A payload that fits, with as many alerts as there is room for.
pub(crate) fn fitted(
    message: &Message,
    payload: impl Fn(&[AlertLine], Bounds) -> Vec<u8>,
) -> Vec<u8> {
    let all = message.alerts.len().min(Message::ALERTS_MAX);
    let mut fallback = Vec::new();
    for bounds in [WIDE, NARROW] {
        let mut shown = all;
        loop {
            let alerts: Vec<AlertLine> = message.alerts.iter().take(shown).cloned().collect();
            fallback = payload(&alerts, bounds);
            if fallback.len() <= PAYLOAD_BYTES_MAX {
                return fallback;
            }
            // The narrow bounds are tried before alerts are left out.
            if shown == 0 || bounds.value_chars == WIDE.value_chars {
                break;
            }
            shown /= 2;
        }
    }
    fallback
}

/// A name that every Alertmanager takes: one with another character would make it refuse all.
fn label_name(name: &str) -> String {
    /// Longer ones are no names.
    const NAME_CHARS_MAX: usize = 128;
    let mut clean: String = name
        .chars()
        .take(NAME_CHARS_MAX)
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '_' {
                c
            } else {
                '_'
            }
        })
        .collect();
    if clean.starts_with(|c: char| c.is_ascii_digit()) {
        clean.insert(0, '_');
    }
    clean
}
