//! A run of integers: differences of the order that makes them smallest, then varints (short
//! runs), pco's binned entropy code in the narrowest type that holds them, or, where time counts
//! more than size, as many bits each as the widest needs.
//!
//! pco (<https://github.com/pcodec/pcodec>) writes the lower end of each of its bins in full, so a
//! run of 480 residuals that fit 16 bits costs a fifth less as `u16` than as `i64`. The differences
//! are therefore taken here, shifted to start at zero and divided by what divides all of them, and
//! pco is left with its plainest mode: no delta, no multiple. A decoder accepts nothing else from it,
//! which keeps what it allocates in proportion to the run.

use pco::data_types::Number;
use pco::metadata::{DeltaEncoding, Mode};
use pco::wrapped::{FileCompressor, FileDecompressor};
use pco::{ChunkConfig, DeltaSpec, ModeSpec};

use crate::bytes::{Reader, put_signed, put_varint, zigzag};
use crate::{Error, packed};

/// What pco writes at the start of a file of its format 4.1; kept here and not in each column.
pub(crate) const PCO_HEAD: [u8; 2] = [4, 1];

/// Classic, IntMult, FloatMult and FloatQuant, in pco's numbers; the next one is Dict.
const PCO_MODE_MAX: u8 = 3;

/// Level 4 of 12 is the knee: level 8 gains one per cent of size for twice the time.
const PCO_LEVEL: usize = 4;

/// The highest order of differences. A third never won on real columns.
pub(crate) const ORDER_MAX: u8 = 2;

/// Shorter runs are not worth pco's tables.
const PCO_COUNT_MIN: usize = 32;

/// Integers that are looked at to choose the order of differences.
const ORDER_SAMPLE: usize = 512;

/// How the residuals of a run are written; the low nibble of its first byte.
mod method {
    /// All equal: nothing follows.
    pub(super) const EQUAL: u8 = 0;
    /// Varints.
    pub(super) const VARINT: u8 = 1;
    /// pco of `u8`, `u16`, `u32`, `u64`.
    pub(super) const PCO_8: u8 = 2;
    pub(super) const PCO_16: u8 = 3;
    pub(super) const PCO_32: u8 = 4;
    pub(super) const PCO_64: u8 = 5;
    /// As many bits each as the widest needs.
    pub(super) const PACKED: u8 = 6;
}

/// How much time packing may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// A tenth of the time for about twice the size: for what is soon packed again.
    Quick,
    /// For what is kept.
    Dense,
}

/// Replaces the integers from `order` on by their differences of that order; the ones before stay
/// as the heads that the sum starts from (the second head is a first difference).
pub(crate) fn difference(integers: &mut [i64], order: u8) {
    for skip in 0..usize::from(order) {
        for index in (skip + 1..integers.len()).rev() {
            integers[index] = integers[index].wrapping_sub(integers[index - 1]);
        }
    }
}

/// The inverse of [`difference`].
pub(crate) fn integrate(integers: &mut [i64], order: u8) {
    if order == 2
        && let Some((_, rest)) = integers.split_first_mut()
    {
        running_sum(rest);
    }
    if order >= 1 {
        running_sum(integers);
    }
}

fn running_sum(integers: &mut [i64]) {
    let mut sum = 0_i64;
    for integer in integers {
        sum = sum.wrapping_add(*integer);
        *integer = sum;
    }
}

/// The order of differences whose residuals have the fewest bits around their mean. Of a long run its
/// middle tells.
fn best_order(integers: &[i64]) -> u8 {
    let start = integers.len().saturating_sub(ORDER_SAMPLE) / 2;
    let mut work: Vec<i64> = integers
        .iter()
        .skip(start)
        .take(ORDER_SAMPLE)
        .copied()
        .collect();
    let mut best = (u64::MAX, 0);
    for order in 0..=ORDER_MAX {
        let skip = usize::from(order);
        let Some(residuals) = work.get(skip..).filter(|residuals| !residuals.is_empty()) else {
            break;
        };
        let heads = work.iter().take(skip).map(|&head| bits_of(head));
        let bits = spread_bits(residuals) + heads.sum::<u64>();
        if bits < best.0 {
            best = (bits, order);
        }
        for index in (skip + 1..work.len()).rev() {
            work[index] = work[index].wrapping_sub(work[index - 1]);
        }
    }
    best.1
}

fn bits_of(integer: i64) -> u64 {
    u64::from(64 - zigzag(integer).leading_zeros())
}

/// Bits of all distances from the mean: what an entropy code of them costs, roughly.
fn spread_bits(residuals: &[i64]) -> u64 {
    let sum: i128 = residuals.iter().map(|&residual| i128::from(residual)).sum();
    let count = i128::try_from(residuals.len()).unwrap_or(1).max(1);
    let mean = i64::try_from(sum / count).unwrap_or_default();
    residuals
        .iter()
        .map(|&residual| bits_of(residual.wrapping_sub(mean)))
        .sum()
}

/// The order whose residuals, heads aside, span the fewest bits: what packing costs.
fn narrowest_order(integers: &[i64]) -> u8 {
    let mut spans = [(i64::MAX, i64::MIN); 1 + ORDER_MAX as usize];
    let (mut last, mut last_step) = (0_i64, 0_i64);
    for (index, &integer) in integers.iter().enumerate() {
        let step = integer.wrapping_sub(last);
        let residuals = [integer, step, step.wrapping_sub(last_step)];
        for (order, &residual) in residuals.iter().enumerate().take(index + 1) {
            let (least, most) = spans[order];
            spans[order] = (least.min(residual), most.max(residual));
        }
        (last, last_step) = (integer, step);
    }
    let width = |(least, most): (i64, i64)| most.wrapping_sub(least).cast_unsigned();
    let mut best = (width(spans[0]), 0);
    for order in 1..=ORDER_MAX {
        let span = width(spans[usize::from(order)]);
        if integers.len() > usize::from(order) && span < best.0 / 2 {
            best = (span, order);
        }
    }
    best.1
}

/// Appends `integers`; the reader must know how many they are.
pub(crate) fn encode(integers: &[i64], effort: Effort, out: &mut Vec<u8>) {
    let mut work = integers.to_vec();
    let order = match effort {
        Effort::Quick => narrowest_order(&work),
        Effort::Dense => best_order(&work),
    };
    difference(&mut work, order);
    encode_residuals(&work, order, effort, out);
}

fn encode_residuals(work: &[i64], order: u8, effort: Effort, out: &mut Vec<u8>) {
    let (heads, residuals) = work.split_at(usize::from(order).min(work.len()));
    let least = residuals.iter().copied().min().unwrap_or_default();
    let offsets: Vec<u64> = residuals
        .iter()
        .map(|&residual| residual.wrapping_sub(least).cast_unsigned())
        .collect();
    let divisor = match effort {
        Effort::Quick => 1,
        Effort::Dense => {
            let mut offsets = offsets.iter();
            let divisor = offsets.try_fold(0, |have, &offset| match common_divisor(have, offset) {
                1 => None,
                divisor => Some(divisor),
            });
            divisor.unwrap_or(1).max(1)
        }
    };
    let offsets: Vec<u64> = if divisor == 1 {
        offsets
    } else {
        offsets.iter().map(|offset| offset / divisor).collect()
    };
    let most = offsets.iter().copied().max().unwrap_or_default();

    let place = out.len();
    out.push(0);
    for &head in heads {
        put_signed(out, head);
    }
    put_signed(out, least);
    if most == 0 {
        out[place] = order << 4 | method::EQUAL;
        return;
    }
    put_varint(out, divisor);
    if effort == Effort::Quick {
        out[place] = order << 4 | method::PACKED;
        packed::put(&offsets, most, out);
        return;
    }
    let start = out.len();
    let varint_bytes = || -> usize { offsets.iter().map(|&offset| varint_len(offset)).sum() };
    if offsets.len() >= PCO_COUNT_MIN
        && let Some(method) = put_pco(&offsets, most, out)
        // A varint has at least a byte.
        && (out.len() - start < offsets.len() || out.len() - start < varint_bytes())
    {
        out[place] = order << 4 | method;
        return;
    }
    out.truncate(start);
    out[place] = order << 4 | method::VARINT;
    for &offset in &offsets {
        put_varint(out, offset);
    }
}

/// Reads `count` integers.
pub(crate) fn decode(reader: &mut Reader<'_>, count: usize) -> Result<Vec<i64>, Error> {
    let code = reader.u8()?;
    let order = code >> 4;
    if order > ORDER_MAX || usize::from(order) > count {
        return Err(Error::UnknownCode {
            what: "an order of differences",
            code,
        });
    }
    let mut integers = Vec::with_capacity(count);
    for _ in 0..order {
        integers.push(reader.signed()?);
    }
    let least = reader.signed()?;
    let residuals = count - integers.len();
    let method = code & 15;
    if method == method::EQUAL {
        integers.resize(count, least);
        integrate(&mut integers, order);
        return Ok(integers);
    }
    let divisor = reader.varint()?;
    let value = |offset: u64| {
        offset
            .wrapping_mul(divisor)
            .cast_signed()
            .wrapping_add(least)
    };
    match method {
        method::VARINT => {
            for _ in 0..residuals {
                integers.push(value(reader.varint()?));
            }
        }
        method::PCO_8 => integers.extend(
            take_pco::<u8>(reader, residuals)?
                .into_iter()
                .map(|offset| value(offset.into())),
        ),
        method::PCO_16 => integers.extend(
            take_pco::<u16>(reader, residuals)?
                .into_iter()
                .map(|offset| value(offset.into())),
        ),
        method::PCO_32 => integers.extend(
            take_pco::<u32>(reader, residuals)?
                .into_iter()
                .map(|offset| value(offset.into())),
        ),
        method::PCO_64 => {
            integers.extend(take_pco::<u64>(reader, residuals)?.into_iter().map(value));
        }
        method::PACKED => packed::take(reader, residuals, |offset| integers.push(value(offset)))?,
        _ => {
            return Err(Error::UnknownCode {
                what: "a method of integers",
                code,
            });
        }
    }
    integrate(&mut integers, order);
    Ok(integers)
}

/// The greatest common divisor; 0 is divided by everything. Most runs come to 1 at once.
fn common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 && a != 1 {
        (a, b) = (b, a % b);
    }
    a
}

const fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// Writes in the narrowest type that holds `most`; gives the method, or `None` if pco declines.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the widest value was looked at"
)]
fn put_pco(offsets: &[u64], most: u64, out: &mut Vec<u8>) -> Option<u8> {
    let plain = (ModeSpec::Classic, DeltaSpec::NoOp);
    if u8::try_from(most).is_ok() {
        let narrow: Vec<u8> = offsets.iter().map(|&offset| offset as u8).collect();
        put_numbers(&narrow, plain, out).map(|()| method::PCO_8)
    } else if u16::try_from(most).is_ok() {
        let narrow: Vec<u16> = offsets.iter().map(|&offset| offset as u16).collect();
        put_numbers(&narrow, plain, out).map(|()| method::PCO_16)
    } else if u32::try_from(most).is_ok() {
        let narrow: Vec<u32> = offsets.iter().map(|&offset| offset as u32).collect();
        put_numbers(&narrow, plain, out).map(|()| method::PCO_32)
    } else {
        put_numbers(offsets, plain, out).map(|()| method::PCO_64)
    }
}

/// Writes one pco chunk of one page, without the file head.
pub(crate) fn put_numbers<T: Number>(
    numbers: &[T],
    (mode, delta): (ModeSpec, DeltaSpec),
    out: &mut Vec<u8>,
) -> Option<()> {
    let config = ChunkConfig::default()
        .with_compression_level(PCO_LEVEL)
        .with_mode_spec(mode)
        .with_delta_spec(delta)
        .with_enable_8_bit(true);
    let mut chunk = FileCompressor::default()
        .chunk_compressor(numbers, &config)
        .ok()?;
    chunk.write_meta(&mut *out).ok()?;
    chunk.write_page(0, &mut *out).ok()?;
    Some(())
}

fn take_pco<T: Number + Default>(reader: &mut Reader<'_>, count: usize) -> Result<Vec<T>, Error> {
    take_numbers(reader, count, |mode, delta| {
        matches!((mode, delta), (Mode::Classic, DeltaEncoding::NoOp))
    })
}

/// Reads one pco chunk of one page of `count` numbers whose mode is one that `accepts`.
pub(crate) fn take_numbers<T: Number + Default>(
    reader: &mut Reader<'_>,
    count: usize,
    accepts: impl FnOnce(&Mode, &DeltaEncoding) -> bool,
) -> Result<Vec<T>, Error> {
    let damaged = |source| Error::Numbers { source };
    let bytes = reader.rest();
    // The lowest four bits name the mode. A dictionary would be allocated, up to 256 MiB, before
    // pco sees that the input is too short for it.
    if bytes.first().is_none_or(|head| head & 15 > PCO_MODE_MAX) {
        return Err(Error::Invalid {
            what: "the mode of a stream of numbers",
        });
    }
    let (file, _) = FileDecompressor::new(PCO_HEAD.as_slice()).map_err(damaged)?;
    let (mut chunk, rest) = file.chunk_decompressor::<T, _>(bytes).map_err(damaged)?;
    if !accepts(&chunk.meta().mode, &chunk.meta().delta_encoding) {
        return Err(Error::Invalid {
            what: "the mode of a stream of numbers",
        });
    }
    let mut numbers = vec![T::default(); count];
    let mut page = chunk.page_decompressor(rest, count).map_err(damaged)?;
    let progress = page.read(&mut numbers).map_err(damaged)?;
    if progress.n_processed != count {
        return Err(Error::Truncated {
            what: "a stream of numbers",
        });
    }
    *reader = Reader::new(page.into_src(), reader.what());
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(integers: &[i64]) -> usize {
        let mut sizes = [Effort::Quick, Effort::Dense].map(|effort| {
            let mut out = vec![];
            encode(integers, effort, &mut out);
            let mut reader = Reader::new(&out, "integers");
            assert_eq!(decode(&mut reader, integers.len()).unwrap(), integers);
            reader.finish().unwrap();
            out.len()
        });
        sizes.sort_unstable();
        sizes[1]
    }

    #[test]
    fn runs_of_any_length_and_width_come_back() {
        for count in [0, 1, 2, 3, 31, 32, 33, 256, 257, 1000] {
            check(&vec![-7; count]);
            for shift in [0, 7, 15, 31, 62] {
                let integers: Vec<i64> = (0..count)
                    .map(|i| i64::try_from(i * i * 7919 % 257).unwrap() << shift)
                    .collect();
                check(&integers);
            }
        }
        check(&[i64::MIN, i64::MAX, 0, i64::MAX, i64::MIN]);
    }

    #[test]
    fn a_steady_counter_costs_a_few_bytes() {
        let integers: Vec<i64> = (0..480).map(|i| 1_000_000 + 15_000 * i).collect();
        assert!(check(&integers) <= 8);
    }

    #[test]
    fn differences_are_summed_back() {
        for order in 0..=ORDER_MAX {
            for count in 0..5 {
                let integers: Vec<i64> = [9, 1, 7, 7, 8].into_iter().take(count).collect();
                let mut work = integers.clone();
                difference(&mut work, order);
                integrate(&mut work, order);
                assert_eq!(work, integers);
            }
        }
    }

    #[test]
    fn the_head_kept_here_is_what_pco_writes() {
        let head = FileCompressor::default().write_header(vec![]).unwrap();
        assert_eq!(head, PCO_HEAD);
    }
}
