//! The snappy block format (<https://github.com/google/snappy/blob/main/format_description.txt>).
//!
//! A block is the varint of its length and then elements: literals, and copies of what was written
//! before. In remote write there are seven elements to a sample, of kinds and lengths that no branch
//! predictor learns, so an element is decoded without a branch on either: its length and the parts
//! of its offset come from tables, and 64 bytes are moved whatever the length; what is too much is
//! overwritten by the next element. So that a literal and a copy are the same move, the block lies
//! in the buffer behind what it becomes.

use std::hint::select_unpredictable;

use crate::Error;

/// What one move writes, and so the room that must be behind the last one.
const MOVE_BYTES: usize = 64;
/// A copy of 64 bytes takes 3, and no element is denser: a block that claims more is a lie, and is
/// not given the memory.
const RATIO_MAX: usize = 22;
/// Literals up to here have their length in the tag.
const SHORT_LITERAL_MAX: usize = 60;

/// For each tag byte the length in the low byte, and the high bits of the offset from bit 16 on. The
/// highest bit marks a literal, which gets an offset that overlaps nothing. What the fast path leaves
/// alone has the offset 0 and so one that is shorter than its length, as a copy that overlaps itself.
static ELEMENTS: [u32; 256] = {
    let mut table = [0; 256];
    let mut tag = 0;
    while tag < 256 {
        let upper = tag >> 2;
        table[tag as usize] = match tag & 3 {
            0 if upper < 60 => (upper + 1) | LITERAL,
            1 => ((upper & 7) + 4) | (tag >> 5) << 24,
            2 => upper + 1,
            _ => RARE,
        };
        tag += 1;
    }
    table
};
const LITERAL: u32 = 1 << 31;
const RARE: u32 = 0xff;
/// Which of the bytes behind a tag belong to the offset, by the kind of the element.
static OFFSETS: [u32; 4] = [0, 0xff, 0xffff, 0];

/// Decompresses one block into `buffer`, which keeps its size for the next one, and hands out the
/// part that was written. What is allocated is at most 23 times the body and a bit, or the body and
/// `raw_bytes_max` and a bit.
///
/// # Errors
/// When the block claims more than `raw_bytes_max` bytes, or is damaged.
pub fn decompress<'a>(
    body: &[u8],
    raw_bytes_max: usize,
    buffer: &'a mut Vec<u8>,
) -> Result<&'a [u8], Error> {
    let (raw, head) = claimed(body).ok_or(damaged("it has no length"))?;
    if raw > raw_bytes_max as u64 {
        return Err(Error::TooLarge {
            got: raw,
            max: raw_bytes_max as u64,
        });
    }
    let packed = body.len() - head;
    let raw = usize::try_from(raw)
        .ok()
        .filter(|raw| *raw <= packed.saturating_mul(RATIO_MAX))
        .ok_or(damaged("it claims more than it can hold"))?;

    let start = raw + MOVE_BYTES;
    let bytes = start + packed + MOVE_BYTES;
    if buffer.len() < bytes {
        buffer.resize(bytes, 0);
    }
    let window = &mut buffer[..bytes];
    window[start..start + packed].copy_from_slice(&body[head..]);
    let done = unpack(window, start, start + packed, raw);
    if done != Some((start + packed, raw)) {
        return Err(damaged("an element is not valid"));
    }
    Ok(&buffer[..raw])
}

const fn damaged(what: &'static str) -> Error {
    Error::Snappy { what }
}

/// The length that a block claims, and how many bytes it takes to say so.
fn claimed(body: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0;
    for (index, byte) in body.iter().enumerate().take(5) {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if *byte < 0x80 {
            return Some((value, index + 1));
        }
    }
    None
}

/// Unpacks the elements in `window[from..end]` to the front of `window`, and says where it stopped
/// to read and to write. Whether that is where it should have stopped is for the caller to see: an
/// element that is cut off reads what lies behind the block and ends past it.
#[inline]
fn unpack(window: &mut [u8], from: usize, end: usize, raw: usize) -> Option<(usize, usize)> {
    let (mut at, mut to) = (from, 0);
    while at < end {
        let bytes = u64::from_le_bytes(*window.get(at..at + 8)?.first_chunk()?);
        let [tag, ..] = bytes.to_le_bytes();
        let kind = usize::from(tag & 3);
        let element = ELEMENTS[usize::from(tag)];
        let [_, a, b, ..] = bytes.to_le_bytes();
        let offset = u32::from(u16::from_le_bytes([a, b])) & OFFSETS[kind] | element >> 16;
        let length = element & 0xff;
        if offset < length {
            (at, to) = unpack_slowly(window, at, to, bytes, end, raw)?;
            continue;
        }
        // An offset that reaches before the start wraps around and is outside of the window.
        let source = select_unpredictable(
            element & LITERAL != 0,
            at + 1,
            to.wrapping_sub(offset as usize),
        );
        let moved = *window.get(source..)?.first_chunk::<MOVE_BYTES>()?;
        *window.get_mut(to..to + MOVE_BYTES)?.first_chunk_mut()? = moved;
        at += select_unpredictable(kind == 0, usize::from(tag >> 2) + 2, kind + 1);
        to += length as usize;
    }
    Some((at, to))
}

/// One element of a kind that is rare: a long literal, a copy that overlaps itself, or one with a
/// long offset.
#[cold]
#[inline(never)]
fn unpack_slowly(
    window: &mut [u8],
    at: usize,
    to: usize,
    bytes: u64,
    end: usize,
    raw: usize,
) -> Option<(usize, usize)> {
    let [tag, a, b, c, d, ..] = bytes.to_le_bytes();
    let upper = usize::from(tag >> 2);
    let room = raw.checked_sub(to)?;
    let (length, offset, next) = match tag & 3 {
        0 => {
            let extra = (upper + 1).saturating_sub(SHORT_LITERAL_MAX);
            let long = u32::from_le_bytes([a, b, c, d]) as usize;
            let length = match extra {
                0 => upper,
                1..=3 => long & ((1 << (8 * extra)) - 1),
                _ => long,
            } + 1;
            let from = at + 1 + extra;
            if length > room || length > end.checked_sub(from)? {
                return None;
            }
            window.copy_within(from..from + length, to);
            return Some((from + length, to + length));
        }
        1 => (
            (upper & 7) + 4,
            usize::from(tag >> 5) << 8 | usize::from(a),
            at + 2,
        ),
        2 => (upper + 1, usize::from(u16::from_le_bytes([a, b])), at + 3),
        _ => (upper + 1, u32::from_le_bytes([a, b, c, d]) as usize, at + 5),
    };
    if offset == 0 || offset > to || length > room {
        return None;
    }
    let pattern = window.get_mut(to - offset..to + length)?;
    for index in 0..length {
        pattern[index + offset] = pattern[index];
    }
    Some((next, to + length))
}

#[cfg(test)]
mod tests;
