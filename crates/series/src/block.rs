//! Columns: the samples of one target over some time, its timestamps kept once.

use smallvec::SmallVec;

use crate::limits::{BLOCK_COLUMNS_MAX, BLOCK_ROWS_MAX, BLOCK_SAMPLES_MAX};

/// Which rows of a block a column has a value in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Rows {
    /// Every row.
    #[default]
    All,
    /// The rows whose bit is set: bit `r % 64` of word `r / 64`, least significant first. As many
    /// words as the rows need; the bits past the last row are zero.
    Some(Box<[u64]>),
}

impl Rows {
    /// From one flag a row; all set becomes [`Rows::All`].
    #[must_use]
    pub fn from_flags(flags: &[bool]) -> Self {
        if flags.iter().all(|&set| set) {
            return Self::All;
        }
        let mut words = vec![0_u64; flags.len().div_ceil(64)];
        for (row, _) in flags.iter().enumerate().filter(|(_, set)| **set) {
            words[row / 64] |= 1 << (row % 64);
        }
        Self::Some(words.into())
    }

    /// Whether the column has a value in `row`.
    #[must_use]
    pub fn has(&self, row: usize) -> bool {
        match self {
            Self::All => true,
            Self::Some(words) => words
                .get(row / 64)
                .is_some_and(|word| word >> (row % 64) & 1 == 1),
        }
    }

    /// How many of `rows` rows have a value.
    #[must_use]
    pub fn count(&self, rows: usize) -> usize {
        match self {
            Self::All => rows,
            Self::Some(words) => words.iter().map(|word| word.count_ones() as usize).sum(),
        }
    }

    /// The rows that have a value, ascending, of `rows` in all.
    pub fn iter(&self, rows: usize) -> impl Iterator<Item = usize> + '_ {
        (0..rows).filter(|&row| self.has(row))
    }
}

/// Values of one column. The rows of a minute lie in the column itself: a block of a sync interval
/// has hundreds of columns of four rows, which would cost more to allocate than to decode.
pub type Values = SmallVec<[f64; 6]>;

/// The values of one series in a block. Native histograms will be a second kind of column; this
/// is the kind that holds floats.
#[derive(Clone, Debug, Default)]
pub struct Column {
    /// The rows it has a value in.
    pub rows: Rows,
    /// One value for each of those rows, in row order; every bit pattern is kept.
    pub values: Values,
}

impl PartialEq for Column {
    /// Equal to the bit: NaN payloads, −0 and the stale marker count.
    fn eq(&self, other: &Self) -> bool {
        self.rows == other.rows
            && self.values.len() == other.values.len()
            && self
                .values
                .iter()
                .zip(&other.values)
                .all(|(a, b)| a.to_bits() == b.to_bits())
    }
}

/// Why a block is not one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// Two rows have the same time, or a later row an earlier one.
    #[error("row {row} does not lie after the row before it")]
    TimeNotAscending {
        /// The later of the two rows.
        row: usize,
    },
    /// A column has more or fewer values than rows it claims.
    #[error("column {column} has {got} values for {expected} rows")]
    ColumnLength {
        /// Which column.
        column: usize,
        /// Its values.
        got: usize,
        /// The rows it claims.
        expected: usize,
    },
    /// More rows, columns or samples than [`crate::limits`] allows.
    #[error("{got} {what}, more than {max}")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How much there is.
        got: usize,
        /// The bound.
        max: usize,
    },
}

/// What one target said over some time: a time column and one value column for each series. Which
/// series a column belongs to is kept beside the block, since spool, wire and disk name it
/// differently.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Block {
    /// Milliseconds since the Unix epoch, strictly ascending.
    pub times: Vec<i64>,
    /// The value columns.
    pub columns: Vec<Column>,
}

impl Block {
    /// Checks the invariants: ascending times, as many values as rows, within the limits.
    ///
    /// # Errors
    /// Names the first row or column that breaks one.
    pub fn validate(&self) -> Result<(), BlockError> {
        let rows = self.times.len();
        within("rows", rows, BLOCK_ROWS_MAX)?;
        within("columns", self.columns.len(), BLOCK_COLUMNS_MAX)?;
        within(
            "samples",
            rows.saturating_mul(self.columns.len()),
            BLOCK_SAMPLES_MAX,
        )?;
        if let Some(at) = self.times.windows(2).position(|pair| pair[0] >= pair[1]) {
            return Err(BlockError::TimeNotAscending { row: at + 1 });
        }
        for (index, column) in self.columns.iter().enumerate() {
            let expected = column.rows.count(rows);
            let words_fit = match &column.rows {
                Rows::All => true,
                Rows::Some(words) => {
                    words.len() == rows.div_ceil(64)
                        && (rows.is_multiple_of(64)
                            || words.last().is_none_or(|word| word >> (rows % 64) == 0))
                }
            };
            if column.values.len() != expected || !words_fit {
                return Err(BlockError::ColumnLength {
                    column: index,
                    got: column.values.len(),
                    expected,
                });
            }
        }
        Ok(())
    }

    /// How many samples all columns hold together.
    #[must_use]
    pub fn sample_count(&self) -> usize {
        self.columns.iter().map(|column| column.values.len()).sum()
    }
}

fn within(what: &'static str, got: usize, max: usize) -> Result<(), BlockError> {
    if got > max {
        Err(BlockError::TooLarge { what, got, max })
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_know_their_flags() {
        let flags: Vec<bool> = (0..130).map(|row| row % 3 == 0).collect();
        let rows = Rows::from_flags(&flags);
        assert_eq!(rows.count(130), 44);
        assert!(rows.has(129) && !rows.has(128) && !rows.has(5000));
        assert_eq!(rows.iter(130).count(), 44);
        assert_eq!(Rows::from_flags(&[true, true]), Rows::All);
    }

    #[test]
    fn a_block_that_breaks_a_rule_is_named() {
        let column = |values: &[f64]| Column {
            rows: Rows::All,
            values: values.into(),
        };
        let block = Block {
            times: vec![1, 1],
            columns: vec![],
        };
        assert_eq!(
            block.validate(),
            Err(BlockError::TimeNotAscending { row: 1 })
        );
        let block = Block {
            times: vec![1, 2],
            columns: vec![column(&[1.0, 2.0]), column(&[1.0])],
        };
        assert_eq!(
            block.validate(),
            Err(BlockError::ColumnLength {
                column: 1,
                got: 1,
                expected: 2
            })
        );
        let stray = Column {
            rows: Rows::Some([0b101].into()),
            values: [1.0, 2.0][..].into(),
        };
        assert!(
            Block {
                times: vec![1, 2],
                columns: vec![stray]
            }
            .validate()
            .is_err()
        );
    }

    #[test]
    fn columns_are_equal_to_the_bit() {
        let column = |value: f64| Column {
            rows: Rows::All,
            values: [value][..].into(),
        };
        assert_eq!(column(f64::NAN), column(f64::NAN));
        assert_ne!(column(0.0), column(-0.0));
        assert_ne!(column(f64::NAN), column(crate::STALE_NAN));
    }
}
