//! Rows beside arrivals, of which those that say the same of sequences in a row are one.

use std::collections::HashMap;

use crate::engine::{Batch, Family};
use crate::keys;

/// Rows under one key that a new one may join: batches come on two lanes, each in its own order, and two
/// kinds of rows may take turns.
const OPEN_MAX: usize = 4;
/// Keys whose last rows are remembered. Beyond it all are forgotten: rows begin anew.
const KEYS_MAX: usize = 16_384;

/// Gives what two rows hold together, if they may be one.
pub type Join = fn(&[u8], &[u8]) -> Option<Vec<u8>>;

/// A row of a state space for each range of sequences. Its key is `key`, then the first and the last
/// sequence, big-endian.
#[derive(Clone, Debug)]
pub struct Note {
    /// The space.
    pub space: u8,
    /// How its key begins.
    pub key: Vec<u8>,
    /// What it holds.
    pub value: Vec<u8>,
    /// How it becomes one with a row of the sequences just before or after it; never, if there is none.
    pub join: Option<Join>,
}

#[derive(Debug)]
struct Row {
    first: u64,
    last: u64,
    value: Vec<u8>,
}

/// The rows that were written last.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    open: HashMap<(u8, Vec<u8>), Vec<Row>>,
}

impl Note {
    fn row_key(&self, first: u64, last: u64) -> Vec<u8> {
        let key = [&*self.key, &first.to_be_bytes(), &last.to_be_bytes()].concat();
        keys::state(self.space, &key)
    }
}

impl Row {
    fn joined(&self, with: &Self, join: Join) -> Option<Self> {
        let is_before = self.last.checked_add(1) == Some(with.first);
        let is_after = with.last.checked_add(1) == Some(self.first);
        if !is_before && !is_after {
            return None;
        }
        Some(Self {
            first: self.first.min(with.first),
            last: self.last.max(with.last),
            value: join(&self.value, &with.value)?,
        })
    }
}

impl Notes {
    /// Adds the row of a range to `batch`, in the place of those that it joins. What was added before counts
    /// as written: after a write that failed there is no other.
    pub(crate) fn put(&mut self, note: &Note, (first, last): (u64, u64), batch: &mut Batch) {
        let value = note.value.clone();
        let Some(join) = note.join else {
            batch.put(Family::State, note.row_key(first, last), value);
            return;
        };
        let key = (note.space, note.key.clone());
        if self.open.len() >= KEYS_MAX && !self.open.contains_key(&key) {
            self.open.clear();
        }
        let open = self.open.entry(key).or_default();
        let mut row = Row { first, last, value };
        while let Some((at, joined)) = open
            .iter()
            .enumerate()
            .find_map(|(at, before)| Some((at, before.joined(&row, join)?)))
        {
            let before = open.remove(at);
            batch.delete(Family::State, note.row_key(before.first, before.last));
            row = joined;
        }
        let key = note.row_key(row.first, row.last);
        batch.put(Family::State, key, row.value.clone());
        open.push(row);
        if open.len() > OPEN_MAX {
            open.remove(0);
        }
    }
}
