//! Small durable rows of the program above: who was seen, what happened.

use std::ops::ControlFlow;
use std::sync::atomic::Ordering;

use crate::engine::{Batch, Durability, Family};
use crate::open::engine_error;
use crate::{Error, Store, keys};

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateRow {
    /// Its key within its space.
    pub key: Vec<u8>,
    /// What it holds.
    pub value: Vec<u8>,
}

impl Store {
    /// Writes rows of one space, all of them or none, synced.
    ///
    /// # Errors
    /// When the write failed; then the store takes nothing more until it is opened again.
    pub fn put_state(&self, space: u8, rows: Vec<StateRow>) -> Result<(), Error> {
        let rows = rows.into_iter().map(|row| (row.key, Some(row.value)));
        self.change_state(space, rows)
    }

    /// Writes rows of one space and removes those without a value, all of it or nothing, synced.
    ///
    /// # Errors
    /// As [`Store::put_state`].
    pub fn change_state(
        &self,
        space: u8,
        rows: impl IntoIterator<Item = (Vec<u8>, Option<Vec<u8>>)>,
    ) -> Result<(), Error> {
        if self.poisoned.load(Ordering::Acquire) {
            return Err(Error::Poisoned);
        }
        let mut batch = Batch::default();
        for (key, value) in rows {
            let key = keys::state(space, &key);
            match value {
                Some(value) => batch.put(Family::State, key, value),
                None => batch.delete(Family::State, key),
            }
        }
        self.engine
            .write(batch, Durability::Synced)
            .map_err(|source| {
                self.poisoned.store(true, Ordering::Release);
                engine_error("writing state rows")(source)
            })
    }

    /// Removes the rows of one space whose keys are at or after `start`.
    ///
    /// # Errors
    /// As [`Store::put_state`].
    pub fn drop_state(&self, space: u8, start: &[u8]) -> Result<(), Error> {
        let end = [space.saturating_add(1)];
        self.engine
            .drop_range(Family::State, &keys::state(space, start), &end)
            .map_err(engine_error("dropping state rows"))
    }

    /// Reads one row of a space.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn get_state(&self, space: u8, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let row = self.engine.get(Family::State, &keys::state(space, key));
        row.map_err(engine_error("reading a state row"))
    }

    /// Rows of one space whose keys are at or after `start`, in order, at most `limit`.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn scan_state(
        &self,
        space: u8,
        start: &[u8],
        limit: usize,
    ) -> Result<Vec<StateRow>, Error> {
        self.scan_state_while(space, start, limit, &|_| true)
    }

    /// Rows of one space whose keys begin with `prefix`, in order, at most `limit`.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn scan_state_under(
        &self,
        space: u8,
        prefix: &[u8],
        limit: usize,
    ) -> Result<Vec<StateRow>, Error> {
        self.scan_state_while(space, prefix, limit, &|key| key.starts_with(prefix))
    }

    /// Shows each row of one space whose key begins with `prefix` to `each`, in order: the key within the
    /// space, and what it holds.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn visit_state_under(
        &self,
        space: u8,
        prefix: &[u8],
        each: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<(), Error> {
        let start = keys::state(space, prefix);
        let end = [space.saturating_add(1)];
        let mut visit = |key: &[u8], value: &[u8]| {
            if !key.starts_with(&start) {
                return ControlFlow::Break(());
            }
            each(key.get(1..).unwrap_or_default(), value);
            ControlFlow::Continue(())
        };
        self.engine
            .scan(Family::State, &start, &end, &mut visit)
            .map_err(engine_error("scanning state rows"))
    }

    fn scan_state_while(
        &self,
        space: u8,
        start: &[u8],
        limit: usize,
        goes_on: &dyn Fn(&[u8]) -> bool,
    ) -> Result<Vec<StateRow>, Error> {
        let mut rows = Vec::new();
        let start = keys::state(space, start);
        let end = [space.saturating_add(1)];
        let mut each = |key: &[u8], value: &[u8]| {
            let key = key.get(1..).unwrap_or_default();
            if rows.len() == limit || !goes_on(key) {
                return ControlFlow::Break(());
            }
            rows.push(StateRow {
                key: key.to_vec(),
                value: value.to_vec(),
            });
            ControlFlow::Continue(())
        };
        self.engine
            .scan(Family::State, &start, &end, &mut each)
            .map_err(engine_error("scanning state rows"))?;
        Ok(rows)
    }
}
