//! Parts of one series, wherever they lie.

use std::sync::Arc;

use series::{Rows, SharedFloats};

/// A part of a series. Series of one group share the times of a part.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    pub(crate) times: Arc<[i64]>,
    pub(crate) rows: Rows,
    pub(crate) values: SharedFloats,
}

/// Whether pieces follow one another in time: then their times can simply be joined, and shared by all
/// series that have the same.
pub(crate) fn follow(pieces: &[Piece]) -> bool {
    pieces
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
    // Pieces mostly follow one another, so this is a check more than a sort.
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
            values: samples
                .iter()
                .map(|(_, value)| *value)
                .collect::<Arc<[f64]>>()
                .into(),
        }
    }

    #[test]
    fn late_pieces_are_sorted_in_and_the_later_wins() {
        let pieces = [
            piece(&[(10, 1.0), (20, 2.0)]),
            piece(&[(5, 0.5), (20, 9.0)]),
        ];
        assert!(!follow(&pieces));
        assert_eq!(merge(&pieces), (vec![5, 10, 20], vec![0.5, 1.0, 9.0]));
    }

    #[test]
    fn missing_rows_are_left_out() {
        let sparse = Piece {
            times: [1, 2, 3].into(),
            rows: Rows::from_flags(&[true, false, true]),
            values: [1.0, 3.0][..].into(),
        };
        assert_eq!(merge(&[sparse]), (vec![1, 3], vec![1.0, 3.0]));
    }
}
