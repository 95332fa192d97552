//! One long column, as it is stored in a chunk: 120 to 1000 rows of one series.

use pco::metadata::{DeltaEncoding, Mode};
use pco::{DeltaSpec, ModeSpec};
use series::{Column, Rows};

use crate::bytes::{Reader, put_varint};
use crate::scale::{Scaled, scale, unscale};
use crate::{Effort, Error, ints};

const WHAT: &str = "a column";

/// What a column holds; the low nibble of its first byte.
mod kind {
    /// Decimal integers, see [`crate::scale`].
    pub(super) const SCALED: u8 = 0;
    /// One bit pattern over and over.
    pub(super) const CONSTANT: u8 = 1;
    /// Floats by pco.
    pub(super) const FLOATS: u8 = 2;
    /// Bit patterns as they are.
    pub(super) const RAW: u8 = 3;
    // 8 is reserved for native histograms.
}

/// The column has no value in some rows: their runs follow.
const HAS_GAPS: u8 = 0x10;
/// Some values are no decimals: they follow as bit patterns.
const HAS_EXCEPTIONS: u8 = 0x20;

/// Fewer floats than this are not worth pco's tables.
const PCO_COUNT_MIN: usize = 16;

/// Appends one column of `rows` rows. The values must be as many as the rows it claims
/// ([`series::Block::validate`] checks that); what is more is left out, what is missing is NaN.
///
/// A [`Rows::Some`] with every bit set reads back as [`Rows::All`].
pub fn encode_column(column: &Column, rows: usize, effort: Effort, out: &mut Vec<u8>) {
    let count = column.rows.count(rows);
    let mut padded;
    let values = if column.values.len() == count {
        &column.values
    } else {
        padded = column.values.clone();
        padded.resize(count, f64::NAN);
        &padded
    };
    let place = out.len();
    out.push(0);
    let mut head = 0;
    if count != rows {
        head |= HAS_GAPS;
        put_rows(&column.rows, rows, out);
    }
    head |= put_values(values, effort, out);
    out[place] = head;
}

fn put_values(values: &[f64], effort: Effort, out: &mut Vec<u8>) -> u8 {
    if let Some(scaled) = scale(values, values.len() / 16) {
        return put_scaled(&scaled, effort, out);
    }
    let first = values.first().map_or(0, |value| value.to_bits());
    if values.iter().all(|value| value.to_bits() == first) {
        out.extend_from_slice(&first.to_le_bytes());
        return kind::CONSTANT;
    }
    let start = out.len();
    if effort == Effort::Dense
        && values.len() >= PCO_COUNT_MIN
        && ints::put_numbers(values, (ModeSpec::Auto, DeltaSpec::TryConsecutive(1)), out).is_some()
        && out.len() - start < 8 * values.len()
    {
        return kind::FLOATS;
    }
    out.truncate(start);
    out.extend(
        values
            .iter()
            .flat_map(|value| value.to_bits().to_le_bytes()),
    );
    kind::RAW
}

fn put_scaled(scaled: &Scaled, effort: Effort, out: &mut Vec<u8>) -> u8 {
    out.push(scaled.exponent);
    let mut head = kind::SCALED;
    if !scaled.exceptions.is_empty() {
        head |= HAS_EXCEPTIONS;
        put_varint(out, scaled.exceptions.len() as u64);
        let mut next = 0;
        for &(index, value) in &scaled.exceptions {
            put_varint(out, (index - next) as u64);
            out.extend_from_slice(&value.to_bits().to_le_bytes());
            next = index + 1;
        }
    }
    ints::encode(&scaled.integers, effort, out);
    head
}

/// Reads a column of `rows` rows, which must be all of `bytes`. It allocates at most 64 bytes for
/// each row, and what pco's tables need, under 8 MiB at their largest.
///
/// # Errors
/// When bytes are missing, left over or damaged, or when the kind is not known.
pub fn decode_column(bytes: &[u8], rows: usize) -> Result<Column, Error> {
    let mut reader = Reader::new(bytes, WHAT);
    let head = reader.u8()?;
    let present = if head & HAS_GAPS == 0 {
        Rows::All
    } else {
        take_rows(&mut reader, rows)?
    };
    let count = present.count(rows);
    let values = match head & !HAS_GAPS {
        kind::SCALED => take_scaled(&mut reader, count, false)?,
        code if code == kind::SCALED | HAS_EXCEPTIONS => take_scaled(&mut reader, count, true)?,
        kind::CONSTANT => vec![f64::from_bits(reader.u64()?); count],
        kind::FLOATS => ints::take_numbers(&mut reader, count, |mode, delta| {
            matches!(
                mode,
                Mode::Classic | Mode::FloatMult(_) | Mode::FloatQuant(_)
            ) && matches!(
                delta,
                DeltaEncoding::NoOp | DeltaEncoding::Consecutive { .. }
            )
        })?,
        kind::RAW => {
            let bytes = reader.bytes(count.saturating_mul(8))?;
            let (words, _) = bytes.as_chunks::<8>();
            words
                .iter()
                .map(|word| f64::from_bits(u64::from_le_bytes(*word)))
                .collect()
        }
        code => {
            return Err(Error::UnknownCode {
                what: "a kind of column",
                code,
            });
        }
    };
    reader.finish()?;
    Ok(Column {
        rows: present,
        values: values.into(),
    })
}

fn take_scaled(
    reader: &mut Reader<'_>,
    count: usize,
    has_exceptions: bool,
) -> Result<Vec<f64>, Error> {
    let exponent = reader.u8()?;
    let mut exceptions = Vec::new();
    if has_exceptions {
        let mut next = 0_usize;
        for _ in 0..reader.count("the number of exceptions", count)? {
            let index = next + reader.count("the place of an exception", count)?;
            exceptions.push((index, f64::from_bits(reader.u64()?)));
            next = index + 1;
        }
    }
    let integers = ints::decode(reader, count)?;
    let mut values: Vec<f64> = unscale(&integers, exponent).ok_or(Error::UnknownCode {
        what: "a decimal exponent",
        code: exponent,
    })?;
    for (index, value) in exceptions {
        *values.get_mut(index).ok_or(Error::Invalid {
            what: "the place of an exception",
        })? = value;
    }
    Ok(values)
}

/// Lengths of runs, of present rows first (0 if the first row is missing) and then in turn; the
/// last run reaches the last row and is not written. When there are so many that a bitmap is
/// shorter, a 0 and the bitmap.
fn put_rows(rows: &Rows, count: usize, out: &mut Vec<u8>) {
    let mut runs = Vec::new();
    let (mut present, mut length) = (true, 0_u64);
    for row in 0..count {
        if rows.has(row) != present {
            runs.push(length);
            (present, length) = (!present, 0);
        }
        length += 1;
    }
    if runs.len() > count / 8 {
        out.push(0);
        for first in (0..count).step_by(8) {
            let bits = (first..count.min(first + 8)).filter(|&row| rows.has(row));
            out.push(bits.fold(0, |byte, row| byte | 1 << (row - first)));
        }
        return;
    }
    put_varint(out, runs.len() as u64);
    for run in runs {
        put_varint(out, run);
    }
}

fn take_rows(reader: &mut Reader<'_>, count: usize) -> Result<Rows, Error> {
    let runs = reader.count("the number of runs", count)?;
    let mut flags = Vec::with_capacity(count);
    if runs == 0 {
        let bitmap = reader.bytes(count.div_ceil(8))?;
        flags.extend((0..count).map(|row| {
            bitmap
                .get(row / 8)
                .is_some_and(|byte| byte >> (row % 8) & 1 == 1)
        }));
    } else {
        let mut present = true;
        for _ in 0..runs {
            let length = reader.count("a run of rows", count - flags.len())?;
            flags.resize(flags.len() + length, present);
            present = !present;
        }
        flags.resize(count, present);
    }
    Ok(Rows::from_flags(&flags))
}
