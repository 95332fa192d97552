//! Numbers of a fixed width, bit after bit.

use crate::Error;
use crate::bytes::Reader;

/// Appends the width that `most`, the largest of `numbers`, needs, then each number in so many bits,
/// least significant first, the last byte filled up with zeros.
pub(crate) fn put(numbers: &[u64], most: u64, out: &mut Vec<u8>) {
    let width = 64 - most.leading_zeros();
    out.extend_from_slice(&width.to_le_bytes()[..1]);
    out.reserve(bytes_of(numbers.len(), width) + 8);
    let (mut word, mut filled) = (0_u64, 0_u32);
    for &number in numbers {
        word |= number << filled;
        filled += width;
        if filled >= 64 {
            out.extend_from_slice(&word.to_le_bytes());
            filled -= 64;
            // What of the number did not fit; nothing when it fitted exactly.
            word = number.checked_shr(width - filled).unwrap_or(0);
        }
    }
    let rest = filled.div_ceil(8) as usize;
    out.extend_from_slice(word.to_le_bytes().get(..rest).unwrap_or_default());
}

const fn bytes_of(count: usize, width: u32) -> usize {
    (count * width as usize).div_ceil(8)
}

/// Reads `count` numbers and hands each to `each`. The count must be bounded by the caller.
pub(crate) fn take(
    reader: &mut Reader<'_>,
    count: usize,
    mut each: impl FnMut(u64),
) -> Result<(), Error> {
    let width = u32::from(reader.u8()?);
    if width > 64 {
        return Err(Error::Invalid {
            what: "a width of more than 64 bits",
        });
    }
    let bytes = reader.bytes(bytes_of(count, width))?;
    let mask = 1_u64.checked_shl(width).unwrap_or(0).wrapping_sub(1);
    if width > 56 {
        return take_wide(bytes, count, width, mask, each);
    }
    // Eight bytes from where a number begins hold all of it.
    let whole = bytes.len().saturating_sub(8) * 8;
    let mut at = 0_usize;
    for _ in 0..count {
        let start = at / 8;
        let word = if at <= whole
            && let Some(word) = bytes.get(start..).and_then(<[u8]>::first_chunk::<8>)
        {
            u64::from_le_bytes(*word)
        } else {
            tail_word(bytes.get(start..).unwrap_or_default())
        };
        each(word >> (at % 8) & mask);
        at += width as usize;
    }
    Ok(())
}

fn tail_word(bytes: &[u8]) -> u64 {
    let mut word = [0_u8; 8];
    for (to, from) in word.iter_mut().zip(bytes) {
        *to = *from;
    }
    u64::from_le_bytes(word)
}

fn take_wide(
    bytes: &[u8],
    count: usize,
    width: u32,
    mask: u64,
    mut each: impl FnMut(u64),
) -> Result<(), Error> {
    let mut at = 0_usize;
    for _ in 0..count {
        let from = bytes.get(at / 8..).unwrap_or_default();
        let shift = at % 8;
        let high = from.get(8).copied().map_or(0, u64::from);
        let word = tail_word(from) >> shift | (high << (63 - shift) << 1);
        each(word & mask);
        at += width as usize;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_width_comes_back() {
        for width in 0..=64_u32 {
            for count in [0_usize, 1, 2, 7, 8, 9, 63, 64, 65, 200] {
                let mask = 1_u64.checked_shl(width).unwrap_or(0).wrapping_sub(1);
                let numbers: Vec<u64> = (0..count as u64)
                    .map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(7) & mask)
                    .collect();
                let most = numbers.iter().copied().max().unwrap_or(0);
                let mut out = vec![];
                put(&numbers, most, &mut out);
                let mut reader = Reader::new(&out, "numbers");
                let mut read = vec![];
                take(&mut reader, count, |number| read.push(number)).unwrap();
                reader.finish().unwrap();
                assert_eq!(read, numbers, "width {width}");
            }
        }
    }

    #[test]
    fn a_width_past_a_word_is_refused() {
        let bytes = [65; 100];
        assert!(take(&mut Reader::new(&bytes, "x"), 1, |_| {}).is_err());
        assert!(take(&mut Reader::new(&bytes[..1], "x"), 0, |_| {}).is_err());
        assert!(take(&mut Reader::new(&[8, 1], "x"), 2, |_| {}).is_err());
    }
}
