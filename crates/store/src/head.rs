//! The head: samples that are in the journal and not yet in chunks.
//!
//! It keeps the columns as they came, each with the time column of its block, which all columns of
//! the block share. Nothing is copied on a read: pieces are reference-counted.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::FixedState;
use roaring::RoaringBitmap;
use series::{Block, Rows};

use crate::SeriesId;

/// The part of a series that came with one block.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    pub(crate) times: Arc<[i64]>,
    pub(crate) rows: Rows,
    pub(crate) values: Arc<[f64]>,
}

/// The pieces of a block whose columns belong to `ids`. There are as many ids as columns.
pub(crate) fn pieces_of(ids: &[SeriesId], block: Block) -> Vec<(SeriesId, Piece)> {
    let times: Arc<[i64]> = block.times.into();
    ids.iter()
        .zip(block.columns)
        .filter(|(_, column)| !column.values.is_empty())
        .map(|(id, column)| {
            let piece = Piece {
                times: Arc::clone(&times),
                rows: column.rows,
                values: column.values.into(),
            };
            (*id, piece)
        })
        .collect()
}

#[derive(Debug, Default)]
pub(crate) struct Head {
    pub(crate) series: HashMap<SeriesId, Vec<Piece>, FixedState>,
    /// The keys of `series`.
    pub(crate) ids: RoaringBitmap,
    pub(crate) samples: u64,
    /// The newest time held, 0 for none.
    pub(crate) newest_millis: i64,
    /// Journal positions held here lie before this.
    pub(crate) position_end: u64,
}

impl Head {
    /// Takes in the pieces of a block.
    pub(crate) fn push(&mut self, pieces: Vec<(SeriesId, Piece)>) {
        for (id, piece) in pieces {
            self.samples += piece.values.len() as u64;
            let newest = piece.times.last().copied().unwrap_or(0);
            self.newest_millis = self.newest_millis.max(newest);
            self.ids.insert(id.0);
            self.series.entry(id).or_default().push(piece);
        }
    }

    pub(crate) fn pieces(&self, id: SeriesId) -> &[Piece] {
        self.series.get(&id).map_or(&[], Vec::as_slice)
    }
}

/// Whether pieces follow one another in time and hold every row: then their times can simply be
/// joined, and shared by all series of which the same is true.
pub(crate) fn are_joined(pieces: &[Piece]) -> bool {
    pieces.iter().all(|piece| piece.rows == Rows::All)
        && pieces
            .windows(2)
            .all(|pair| pair[0].times.last() < pair[1].times.first())
}

/// All samples of the pieces in order of time. Where a time comes twice the later piece wins.
pub(crate) fn merge(pieces: &[Piece]) -> (Vec<i64>, Vec<f64>) {
    let mut samples: Vec<(i64, usize, f64)> = Vec::new();
    for (order, piece) in pieces.iter().enumerate() {
        let rows = piece.rows.iter(piece.times.len());
        samples.extend(
            rows.zip(piece.values.iter())
                .map(|(row, &value)| (piece.times[row], order, value)),
        );
    }
    samples.sort_by_key(|&(time, order, _)| (time, order));
    let mut times = Vec::with_capacity(samples.len());
    let mut values = Vec::with_capacity(samples.len());
    for (time, _, value) in samples {
        if times.last() == Some(&time) {
            values.pop();
            times.pop();
        }
        times.push(time);
        values.push(value);
    }
    (times, values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(samples: &[(i64, f64)]) -> Piece {
        Piece {
            times: samples.iter().map(|(time, _)| *time).collect(),
            rows: Rows::All,
            values: samples.iter().map(|(_, value)| *value).collect(),
        }
    }

    #[test]
    fn late_pieces_are_sorted_in_and_the_later_wins() {
        let pieces = [
            piece(&[(10, 1.0), (20, 2.0)]),
            piece(&[(5, 0.5), (20, 9.0)]),
        ];
        assert!(!are_joined(&pieces));
        assert_eq!(merge(&pieces), (vec![5, 10, 20], vec![0.5, 1.0, 9.0]));
    }

    #[test]
    fn missing_rows_are_left_out() {
        let sparse = Piece {
            times: [1, 2, 3].into(),
            rows: Rows::from_flags(&[true, false, true]),
            values: [1.0, 3.0].into(),
        };
        assert_eq!(merge(&[sparse]), (vec![1, 3], vec![1.0, 3.0]));
    }
}
