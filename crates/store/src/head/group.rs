//! The samples of one group, row after row.

use std::ops::Range;
use std::sync::Arc;

use series::{Column, Rows, TimeRange, Timestamp};

use super::Piece;

/// Rows of one tile: what is allocated at a time.
const TILE_ROWS: usize = 16;

/// Some rows of one width.
#[derive(Clone, Debug, Default)]
struct Tile {
    times: Vec<i64>,
    /// Row after row, `width` values each; 0 where one is missing.
    cells: Vec<f64>,
    width: usize,
    /// One bit for each cell that is missing; none at all as long as none is.
    missing: Vec<u64>,
}

impl Tile {
    fn is_missing(&self, cell: usize) -> bool {
        self.missing
            .get(cell / 64)
            .is_some_and(|word| word >> (cell % 64) & 1 == 1)
    }

    fn set_missing(&mut self, cell: usize, missing: bool) {
        let words = self.cells.len().div_ceil(64);
        if self.missing.len() < words {
            if !missing && self.missing.is_empty() {
                return;
            }
            self.missing.resize(words, 0);
        }
        if let Some(word) = self.missing.get_mut(cell / 64) {
            *word = *word & !(1 << (cell % 64)) | u64::from(missing) << (cell % 64);
        }
    }
}

/// One value that came late.
#[derive(Clone, Copy, Debug)]
struct Late {
    time: i64,
    column: u16,
    value: f64,
}

/// The samples of one group. Times of rows ascend.
#[derive(Clone, Debug, Default)]
pub(crate) struct HeadGroup {
    tiles: Vec<Tile>,
    /// Values for times that no row has and that lie before the last row, in the order they came.
    late: Vec<Late>,
    width: usize,
    /// Which columns have a value; the first `width` bits.
    seen: Vec<u64>,
}

/// All rows of a group in order of time, row after row.
#[derive(Debug, Default)]
pub(crate) struct Matrix {
    pub(crate) times: Vec<i64>,
    cells: Vec<f64>,
    width: usize,
    missing: Vec<u64>,
}

impl HeadGroup {
    /// Makes room for more columns.
    pub(crate) fn widen(&mut self, width: usize) {
        if width > self.width {
            self.width = width;
            self.seen.resize(width.div_ceil(64), 0);
        }
    }

    /// Takes in values of one time for columns that follow one another.
    pub(crate) fn push(&mut self, time: i64, first_column: u16, values: &[f64]) {
        let first = usize::from(first_column);
        for column in first..first + values.len() {
            if let Some(word) = self.seen.get_mut(column / 64) {
                *word |= 1 << (column % 64);
            }
        }
        let last = self.tiles.last().and_then(|tile| tile.times.last());
        if last.is_none_or(|last| *last < time) {
            self.append(time, first, values);
            return;
        }
        let mut written = 0;
        if let Some((tile, row)) = self.find(time) {
            let tile = &mut self.tiles[tile];
            // A row from before the group was widened has no cell for the new columns.
            written = tile.width.saturating_sub(first).min(values.len());
            let start = row * tile.width + first;
            for (cell, value) in (start..).zip(values.iter().take(written)) {
                tile.cells[cell] = *value;
                tile.set_missing(cell, false);
            }
        }
        let rest = (first_column..).zip(values).skip(written);
        self.late.extend(rest.map(|(column, &value)| Late {
            time,
            column,
            value,
        }));
    }

    /// Adds a row after the last.
    fn append(&mut self, time: i64, first: usize, values: &[f64]) {
        let width = self.width;
        let fits = |tile: &Tile| tile.times.len() < TILE_ROWS && tile.width == width;
        if !self.tiles.last().is_some_and(fits) {
            self.tiles.push(Tile {
                times: Vec::with_capacity(TILE_ROWS),
                cells: Vec::with_capacity(TILE_ROWS * width),
                width,
                missing: Vec::new(),
            });
        }
        let Some(tile) = self.tiles.last_mut() else {
            return;
        };
        tile.times.push(time);
        let start = tile.cells.len();
        if first == 0 && values.len() == width {
            tile.cells.extend_from_slice(values);
            if !tile.missing.is_empty() {
                tile.missing.resize(tile.cells.len().div_ceil(64), 0);
            }
            return;
        }
        tile.cells.resize(start + width, 0.0);
        tile.cells[start + first..start + first + values.len()].copy_from_slice(values);
        for column in (0..first).chain(first + values.len()..width) {
            tile.set_missing(start + column, true);
        }
    }

    /// The tile and row of a time, if there is such a row.
    fn find(&self, time: i64) -> Option<(usize, usize)> {
        let tile = self
            .tiles
            .partition_point(|tile| tile.times.last().is_some_and(|last| *last < time));
        let row = self.tiles.get(tile)?.times.binary_search(&time).ok()?;
        Some((tile, row))
    }

    /// Whether a column has a sample.
    pub(crate) fn has(&self, column: usize) -> bool {
        self.seen
            .get(column / 64)
            .is_some_and(|word| word >> (column % 64) & 1 == 1)
    }

    /// The times of all samples, row after row, those that came late last.
    pub(crate) fn times(&self) -> impl Iterator<Item = i64> + '_ {
        let rows = self
            .tiles
            .iter()
            .flat_map(|tile| tile.times.iter().copied());
        rows.chain(self.late.iter().map(|late| late.time))
    }

    /// First and last time; `None` when there is no sample.
    pub(crate) fn span(&self) -> Option<(i64, i64)> {
        Some((self.times().min()?, self.times().max()?))
    }

    /// How many rows there are.
    pub(crate) fn rows(&self) -> usize {
        let rows: usize = self.tiles.iter().map(|tile| tile.times.len()).sum();
        rows + self.late.len()
    }

    /// Whether more than half of the cells are missing.
    pub(crate) fn is_sparse(&self) -> bool {
        let cells: usize = self.tiles.iter().map(|tile| tile.cells.len()).sum();
        let words = self.tiles.iter().flat_map(|tile| &tile.missing);
        let missing: usize = words.map(|word| word.count_ones() as usize).sum();
        let late = self.late.len() * self.width.saturating_sub(1);
        self.width > 1 && 2 * (missing + late) > cells + self.late.len() * self.width
    }

    /// The pieces of some columns that touch a range, those that came late last.
    pub(crate) fn pieces(&self, columns: &[u16], range: TimeRange) -> Vec<Vec<Piece>> {
        let tiles: Vec<&Tile> = self
            .tiles
            .iter()
            .filter(|tile| touches(&tile.times, range))
            .collect();
        let times: Arc<[i64]> = tiles
            .iter()
            .flat_map(|tile| tile.times.iter().copied())
            .collect();
        let mut found = Vec::with_capacity(columns.len());
        for &column in columns {
            let mut pieces = Vec::new();
            let (rows, values) = column_of(&tiles, usize::from(column));
            if !values.is_empty() {
                pieces.push(Piece {
                    times: Arc::clone(&times),
                    rows,
                    values: values.as_slice().into(),
                });
            }
            let late = self.late.iter().filter(|late| late.column == column);
            pieces.extend(late.map(|late| Piece {
                times: [late.time].into(),
                rows: Rows::All,
                values: [late.value][..].into(),
            }));
            found.push(pieces);
        }
        found
    }

    /// How many columns there are.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// How many rows there are in tiles that touch a range, and late values in it.
    pub(crate) fn rows_in(&self, range: TimeRange) -> usize {
        let tiles = self.tiles.iter().filter(|tile| touches(&tile.times, range));
        let rows: usize = tiles.map(|tile| tile.times.len()).sum();
        rows + self.late_in(range).count()
    }

    /// How many samples lie in a range.
    pub(crate) fn samples_in(&self, range: TimeRange) -> u64 {
        let matrix = self.matrix(range);
        let columns = 0..matrix.width();
        let values =
            columns.map(|column| matrix.column(column, matrix.rows_in(range)).values.len());
        values.sum::<usize>() as u64
    }

    fn late_in(&self, range: TimeRange) -> impl Iterator<Item = &Late> {
        self.late
            .iter()
            .filter(move |late| range.contains(Timestamp::from_millis(late.time)))
    }

    /// All rows of a range in order of time, what came late among them; rows beside the range may be
    /// there too.
    pub(crate) fn matrix(&self, range: TimeRange) -> Matrix {
        let tiles: Vec<&Tile> = self
            .tiles
            .iter()
            .filter(|tile| touches(&tile.times, range))
            .collect();
        let mut times: Vec<i64> = tiles
            .iter()
            .flat_map(|tile| tile.times.iter().copied())
            .collect();
        let before = times.len();
        times.extend(self.late_in(range).map(|late| late.time));
        let whole = |tile: &&Tile| tile.width == self.width && tile.missing.is_empty();
        if times.len() == before && tiles.iter().all(whole) {
            let cells = tiles.iter().flat_map(|tile| &tile.cells);
            return Matrix {
                cells: cells.copied().collect(),
                times,
                width: self.width,
                missing: Vec::new(),
            };
        }
        times.sort_unstable();
        times.dedup();
        self.sparse_matrix(times, &tiles, range)
    }

    fn sparse_matrix(&self, times: Vec<i64>, tiles: &[&Tile], range: TimeRange) -> Matrix {
        let cells = times.len() * self.width;
        let mut matrix = Matrix {
            times,
            cells: vec![0.0; cells],
            width: self.width,
            missing: vec![u64::MAX; cells.div_ceil(64)],
        };
        for tile in tiles {
            for (row, &time) in tile.times.iter().enumerate() {
                for column in 0..tile.width {
                    let cell = row * tile.width + column;
                    if !tile.is_missing(cell) {
                        matrix.set(time, column, tile.cells[cell]);
                    }
                }
            }
        }
        for late in self.late_in(range) {
            matrix.set(late.time, usize::from(late.column), late.value);
        }
        matrix
    }
}

/// One column of tiles that follow one another.
fn column_of(tiles: &[&Tile], column: usize) -> (Rows, Vec<f64>) {
    let rows: usize = tiles.iter().map(|tile| tile.times.len()).sum();
    let mut values = Vec::with_capacity(rows);
    let whole = |tile: &&Tile| tile.missing.is_empty() && column < tile.width;
    if tiles.iter().all(whole) {
        for tile in tiles {
            values.extend(tile.cells.iter().skip(column).step_by(tile.width));
        }
        return (Rows::All, values);
    }
    let mut flags = Vec::with_capacity(rows);
    for tile in tiles {
        for row in 0..tile.times.len() {
            let cell = row * tile.width + column;
            let has = column < tile.width && !tile.is_missing(cell);
            flags.push(has);
            if has {
                values.push(tile.cells[cell]);
            }
        }
    }
    (Rows::from_flags(&flags), values)
}

fn touches(times: &[i64], range: TimeRange) -> bool {
    match (times.first(), times.last()) {
        (Some(&first), Some(&last)) => {
            first <= range.end_inclusive.as_millis() && last >= range.start_inclusive.as_millis()
        }
        _ => false,
    }
}

impl Matrix {
    fn set(&mut self, time: i64, column: usize, value: f64) {
        let Ok(row) = self.times.binary_search(&time) else {
            return;
        };
        let cell = row * self.width + column;
        self.cells[cell] = value;
        self.missing[cell / 64] &= !(1 << (cell % 64));
    }

    /// How many columns there are.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// The rows that lie in a range.
    pub(crate) fn rows_in(&self, range: TimeRange) -> Range<usize> {
        let start = range.start_inclusive.as_millis();
        let end = range.end_inclusive.as_millis();
        self.times.partition_point(|&time| time < start)
            ..self.times.partition_point(|&time| time <= end)
    }

    /// One column in some of the rows.
    pub(crate) fn column(&self, column: usize, rows: Range<usize>) -> Column {
        let cells = rows.map(|row| row * self.width + column);
        if self.missing.is_empty() {
            return Column {
                rows: Rows::All,
                values: cells.map(|cell| self.cells[cell]).collect(),
            };
        }
        let has = |cell: usize| self.missing[cell / 64] >> (cell % 64) & 1 == 0;
        let flags: Vec<bool> = cells.clone().map(has).collect();
        Column {
            rows: Rows::from_flags(&flags),
            values: cells
                .filter(|cell| has(*cell))
                .map(|cell| self.cells[cell])
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::head::merge;

    fn read(group: &HeadGroup, column: u16) -> Vec<(i64, f64)> {
        let pieces = group.pieces(&[column], TimeRange::ALL).remove(0);
        let (times, values) = merge(&pieces);
        times.into_iter().zip(values).collect()
    }

    #[test]
    fn rows_are_filled_extended_and_corrected() {
        let mut group = HeadGroup::default();
        group.widen(3);
        group.push(10, 0, &[1.0, 2.0]);
        group.push(10, 2, &[3.0]);
        group.push(20, 1, &[5.0]);
        group.push(5, 0, &[0.5]);
        group.push(10, 1, &[9.0]);
        group.widen(4);
        group.push(20, 3, &[8.0]);
        group.push(30, 0, &[1.0, 2.0, 3.0, 4.0]);
        assert_eq!(read(&group, 0), [(5, 0.5), (10, 1.0), (30, 1.0)]);
        assert_eq!(read(&group, 1), [(10, 9.0), (20, 5.0), (30, 2.0)]);
        assert_eq!(read(&group, 3), [(20, 8.0), (30, 4.0)]);
        assert_eq!(group.span(), Some((5, 30)));
        let early = TimeRange::new(Timestamp::from_millis(0), Timestamp::from_millis(4));
        assert!(group.pieces(&[1], early)[0].is_empty());
        assert!(group.has(3) && !group.has(4));
    }

    proptest! {
        #[test]
        fn pieces_and_matrix_hold_what_was_written_last(
            writes in prop::collection::vec((0_i64..40, 0_usize..5, 1_usize..4), 0..200)
        ) {
            let mut group = HeadGroup::default();
            let mut model = std::collections::BTreeMap::new();
            for (number, (time, first, count)) in writes.into_iter().enumerate() {
                group.widen(first + count);
                let values: Vec<f64> = (0..count).map(|step| f64::from(u32::try_from(number * 8 + step).unwrap())).collect();
                group.push(time, u16::try_from(first).unwrap(), &values);
                for (step, value) in values.into_iter().enumerate() {
                    model.insert((first + step, time), value);
                }
            }
            let matrix = group.matrix(TimeRange::ALL);
            for column in 0..matrix.width() {
                let expected: Vec<(i64, f64)> = model
                    .range((column, i64::MIN)..(column + 1, i64::MIN))
                    .map(|((_, time), value)| (*time, *value))
                    .collect();
                prop_assert_eq!(read(&group, u16::try_from(column).unwrap()), expected.clone());
                let all = matrix.column(column, 0..matrix.times.len());
                let times = all.rows.iter(matrix.times.len()).map(|row| matrix.times[row]);
                let samples: Vec<(i64, f64)> = times.zip(all.values.iter().copied()).collect();
                prop_assert_eq!(samples, expected);
            }
        }
    }
}
