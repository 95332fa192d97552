//! The rows of one group out of several chunks, as columns of one time column.

use std::sync::Arc;

use series::{Column, Rows, Values};

use crate::chunk::Chunk;
use crate::head::{self, Piece};

/// What one chunk has of a group.
pub(super) struct Part {
    pub(super) times: Vec<i64>,
    /// By column; those without a sample are `None`.
    columns: Vec<Option<Column>>,
}

impl Part {
    fn column(&self, column: usize) -> Option<&Column> {
        self.columns.get(column).and_then(Option::as_ref)
    }

    /// Reads all columns of a chunk; the error says what is wrong with it.
    pub(super) fn read(key: &[u8], record: &[u8], width: usize) -> Result<Self, &'static str> {
        let chunk = Chunk::parse(key, record)?;
        let columns = (0..width).map(|column| chunk.column(column));
        Ok(Self {
            times: chunk.times()?,
            columns: columns.collect::<Result<_, _>>()?,
        })
    }
}

/// All samples of parts of `width` columns. Where a time comes twice the later part wins.
pub(super) fn unite(parts: Vec<Part>, width: usize) -> (Vec<i64>, Vec<Column>) {
    let follow = |pair: &[Part]| pair[0].times.last() < pair[1].times.first();
    if parts.windows(2).all(follow) {
        concatenate(&parts, width)
    } else {
        merge(parts, width)
    }
}

fn concatenate(parts: &[Part], width: usize) -> (Vec<i64>, Vec<Column>) {
    let times: Vec<i64> = parts.iter().flat_map(|part| &part.times).copied().collect();
    let columns = (0..width).map(|column| {
        let mut values = Values::with_capacity(times.len());
        for part in parts {
            values.extend_from_slice(part.column(column).map_or(&[], |column| &column.values));
        }
        if values.len() == times.len() {
            return Column {
                rows: Rows::All,
                values,
            };
        }
        let mut flags = Vec::with_capacity(times.len());
        for part in parts {
            let rows = part.column(column).map(|column| &column.rows);
            let has = |row| rows.is_some_and(|rows| rows.has(row));
            flags.extend((0..part.times.len()).map(has));
        }
        Column {
            rows: Rows::from_flags(&flags),
            values,
        }
    });
    let columns = columns.collect();
    (times, columns)
}

fn merge(parts: Vec<Part>, width: usize) -> (Vec<i64>, Vec<Column>) {
    let mut pieces: Vec<Vec<Piece>> = vec![Vec::new(); width];
    for part in parts {
        let times: Arc<[i64]> = part.times.into();
        for (column, pieces) in part.columns.into_iter().zip(&mut pieces) {
            pieces.extend(column.map(|column| Piece {
                times: Arc::clone(&times),
                rows: column.rows,
                values: column.values.as_slice().into(),
            }));
        }
    }
    let merged: Vec<(Vec<i64>, Vec<f64>)> = pieces.iter().map(|it| head::merge(it)).collect();
    let mut times: Vec<i64> = merged
        .iter()
        .flat_map(|(times, _)| times)
        .copied()
        .collect();
    times.sort_unstable();
    times.dedup();
    let columns = merged.into_iter().map(|(own, values)| {
        let mut flags = vec![false; times.len()];
        let mut row = 0;
        for time in &own {
            while times.get(row).is_some_and(|at| at < time) {
                row += 1;
            }
            if let Some(flag) = flags.get_mut(row) {
                *flag = true;
            }
        }
        Column {
            rows: Rows::from_flags(&flags),
            values: values.into(),
        }
    });
    let columns = columns.collect();
    (times, columns)
}
