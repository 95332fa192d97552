//! Chunk records: some hours of one series, its times kept once for all series that share them.
//!
//! ```text
//! version          u8 = 1
//! rows             u32          how many rows the time column has
//! times            u64          number of the time column in the same partition
//! last time        i64          milliseconds; the first is in the key
//! column           …            a codec "column" of `rows` rows
//! checksum         u32, CRC-32 of the key and all before it
//! ```
//! All numbers are little-endian. The checksum covers the key, so that a chunk under a wrong key
//! is found too.

use series::Column;

const VERSION: u8 = 1;
const HEAD_BYTES: usize = 1 + 4 + 8 + 8;

/// The fixed part of a chunk record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChunkHead {
    pub(crate) rows: u32,
    pub(crate) times: u64,
    pub(crate) last_millis: i64,
}

/// Writes a record for `key`.
pub(crate) fn encode(key: &[u8], head: ChunkHead, column: &Column) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEAD_BYTES + 4 + column.values.len());
    out.push(VERSION);
    out.extend_from_slice(&head.rows.to_le_bytes());
    out.extend_from_slice(&head.times.to_le_bytes());
    out.extend_from_slice(&head.last_millis.to_le_bytes());
    codec::encode_column(column, head.rows as usize, &mut out);
    let checksum = checksum(key, &out);
    out.extend_from_slice(&checksum.to_le_bytes());
    out
}

fn checksum(key: &[u8], body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(body);
    hasher.finalize()
}

/// Reads the fixed part without checking the rest; `None` when it is too short or of a version
/// that is not known here.
pub(crate) fn head(bytes: &[u8]) -> Option<ChunkHead> {
    let fixed = bytes.get(..HEAD_BYTES)?;
    let (&version, rest) = fixed.split_first()?;
    let (rows, rest) = rest.split_first_chunk::<4>()?;
    let (times, rest) = rest.split_first_chunk::<8>()?;
    let last = rest.first_chunk::<8>()?;
    (version == VERSION).then_some(ChunkHead {
        rows: u32::from_le_bytes(*rows),
        times: u64::from_le_bytes(*times),
        last_millis: i64::from_le_bytes(*last),
    })
}

/// Checks the whole record under `key` and reads its column; the error says what is wrong.
pub(crate) fn decode(key: &[u8], bytes: &[u8]) -> Result<(ChunkHead, Column), &'static str> {
    let head = head(bytes).ok_or("too short or of an unknown version")?;
    let (body, found) = bytes.split_last_chunk::<4>().ok_or("too short")?;
    if checksum(key, body) != u32::from_le_bytes(*found) {
        return Err("checksum does not match");
    }
    let rows = usize::try_from(head.rows).map_err(|_source| "too many rows")?;
    if rows > series::limits::BLOCK_ROWS_MAX {
        return Err("too many rows");
    }
    let column = body.get(HEAD_BYTES..).ok_or("too short")?;
    let column = codec::decode_column(column, rows).map_err(|_source| "column does not decode")?;
    Ok((head, column))
}

#[cfg(test)]
mod tests {
    use super::*;
    use series::Rows;

    #[test]
    fn a_chunk_comes_back_and_any_flipped_bit_is_found() {
        let column = Column {
            rows: Rows::All,
            values: vec![1.0, 2.5, f64::NAN],
        };
        let head = ChunkHead {
            rows: 3,
            times: 7,
            last_millis: 99,
        };
        let bytes = encode(b"key", head, &column);
        assert_eq!(decode(b"key", &bytes), Ok((head, column)));
        assert!(decode(b"kez", &bytes).is_err());
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 4;
            assert!(decode(b"key", &damaged).is_err());
            assert!(decode(b"key", &bytes[..at]).is_err());
        }
    }
}
