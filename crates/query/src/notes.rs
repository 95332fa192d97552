//! Warnings and infos: collected while evaluating, each once, with the place they point to.

use std::cell::RefCell;
use std::collections::BTreeSet;

use crate::parse::Position;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Warning,
    Info,
}

/// Most notes kept; a note names a metric, and a query may meet any number of metrics.
const NOTES_MAX: usize = 100;

/// Collects notes through a shared reference, because every node of a tree may add some.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    notes: RefCell<BTreeSet<(Level, usize, String)>>,
}

impl Notes {
    /// Adds a note about the expression that starts at byte `at`.
    pub(crate) fn add(&self, level: Level, at: usize, text: String) {
        let mut notes = self.notes.borrow_mut();
        if notes.len() < NOTES_MAX {
            notes.insert((level, at, text));
        }
    }

    /// All notes of a level as the API shows them, with `line:column`.
    pub(crate) fn texts(&self, level: Level, expression: &str) -> Vec<String> {
        let prefix = match level {
            Level::Warning => "PromQL warning",
            Level::Info => "PromQL info",
        };
        self.notes
            .borrow()
            .iter()
            .filter(|(note_level, ..)| *note_level == level)
            .map(|(_, at, text)| {
                let position = Position::at(expression, *at);
                format!("{prefix}: {text} ({position})")
            })
            .collect()
    }
}
