//! Chunk records: some rows of one group, its times kept once, each series' column readable without
//! the others.
//!
//! ```text
//! version          u8 = 2
//! rows             u32
//! first time       i64          milliseconds
//! last time        i64
//! columns          u16
//! times            u32          bytes of the time column
//! for each column: u32 bytes, 0 for a column without a sample; u32 CRC-32 of those bytes
//! checksum         u32, CRC-32 of the key, all before it, and the time column
//! time column      a codec "time column"
//! columns          each a codec "column" of `rows` rows
//! ```
//! All numbers are little-endian. The checksum covers the key, so that a chunk under a wrong key
//! is found too.

use series::Column;
use series::limits::BLOCK_ROWS_MAX;

use crate::groups::COLUMNS_MAX;

const VERSION: u8 = 2;
const HEAD_BYTES: usize = 1 + 4 + 8 + 8 + 2 + 4;
const ENTRY_BYTES: usize = 8;

/// Writes a record for `key` from columns that share `times`; a column without a value costs its
/// entry. Nothing is written when there are no times.
pub(crate) fn encode(
    key: &[u8],
    times: &[i64],
    columns: &[Column],
    effort: codec::Effort,
) -> Vec<u8> {
    let (first, last) = match (times.first(), times.last()) {
        (Some(first), Some(last)) => (*first, *last),
        _ => return Vec::new(),
    };
    let mut out = Vec::with_capacity(HEAD_BYTES + columns.len() * (ENTRY_BYTES + times.len()));
    out.push(VERSION);
    put_u32(&mut out, times.len());
    out.extend_from_slice(&first.to_le_bytes());
    out.extend_from_slice(&last.to_le_bytes());
    // A group has at most COLUMNS_MAX columns.
    let count = u16::try_from(columns.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&count.to_le_bytes());
    let mut time_column = Vec::new();
    codec::encode_times(times, &mut time_column);
    put_u32(&mut out, time_column.len());
    let mut body = Vec::with_capacity(columns.len() * times.len());
    for column in columns {
        let start = body.len();
        if !column.values.is_empty() {
            codec::encode_column(column, times.len(), effort, &mut body);
        }
        let bytes = body.get(start..).unwrap_or_default();
        put_u32(&mut out, bytes.len());
        out.extend_from_slice(&crc32fast::hash(bytes).to_le_bytes());
    }
    let checksum = checksum(&[key, &out, &time_column]);
    out.extend_from_slice(&checksum.to_le_bytes());
    out.append(&mut time_column);
    out.append(&mut body);
    out
}

fn put_u32(out: &mut Vec<u8>, number: usize) {
    // A chunk has at most 128 columns of 4096 rows, some megabytes.
    out.extend_from_slice(&u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes());
}

/// Checksum of parts that follow one another.
pub(crate) fn checksum(parts: &[&[u8]]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize()
}

/// A record whose head is checked; its columns are checked as they are read.
#[derive(Clone, Debug)]
pub(crate) struct Chunk<'a> {
    pub(crate) rows: usize,
    pub(crate) first_millis: i64,
    pub(crate) last_millis: i64,
    entries: &'a [[u8; ENTRY_BYTES]],
    /// Where each column begins in the body.
    starts: [usize; COLUMNS_MAX],
    times: &'a [u8],
    body: &'a [u8],
}

impl<'a> Chunk<'a> {
    /// Checks the head of the record under `key`; the error says what is wrong.
    pub(crate) fn parse(key: &[u8], record: &'a [u8]) -> Result<Self, &'static str> {
        let (head, rest) = record
            .split_first_chunk::<HEAD_BYTES>()
            .ok_or("it is too short")?;
        let mut fields = head.as_slice();
        let [version] = take(&mut fields);
        if version != VERSION {
            return Err("its version is not known");
        }
        let rows = u32::from_le_bytes(take(&mut fields)) as usize;
        let first_millis = i64::from_le_bytes(take(&mut fields));
        let last_millis = i64::from_le_bytes(take(&mut fields));
        let columns = usize::from(u16::from_le_bytes(take(&mut fields)));
        let times_bytes = u32::from_le_bytes(take(&mut fields)) as usize;
        if rows > BLOCK_ROWS_MAX || columns > COLUMNS_MAX {
            return Err("it claims more rows or columns than a chunk may have");
        }
        let short = "it is shorter than it says";
        let (entries, rest) = rest.split_at_checked(columns * ENTRY_BYTES).ok_or(short)?;
        let (stored, rest) = rest.split_first_chunk::<4>().ok_or(short)?;
        let (times, body) = rest.split_at_checked(times_bytes).ok_or(short)?;
        if checksum(&[key, head, entries, times]) != u32::from_le_bytes(*stored) {
            return Err("the checksum of its head does not match");
        }
        let (entries, _) = entries.as_chunks::<ENTRY_BYTES>();
        let mut chunk = Self {
            rows,
            first_millis,
            last_millis,
            entries,
            starts: [0; COLUMNS_MAX],
            times,
            body,
        };
        let mut end = 0;
        for column in 0..columns {
            chunk.starts[column] = end;
            end += chunk.entry(column).0;
        }
        if end == body.len() {
            Ok(chunk)
        } else {
            Err("it is longer or shorter than it says")
        }
    }

    /// How many columns it may have samples of.
    pub(crate) fn columns(&self) -> usize {
        self.entries.len()
    }

    /// Its times.
    pub(crate) fn times(&self) -> Result<Vec<i64>, &'static str> {
        let times = codec::decode_times(self.times, self.rows);
        times
            .ok()
            .filter(|times| times.len() == self.rows)
            .ok_or("its time column does not decode")
    }

    /// One column; `None` when the chunk has no sample of it.
    pub(crate) fn column(&self, column: usize) -> Result<Option<Column>, &'static str> {
        let (length, stored) = self.entry(column);
        if length == 0 {
            return Ok(None);
        }
        let start = self.starts.get(column).copied().unwrap_or_default();
        let bytes = self
            .body
            .get(start..start + length)
            .ok_or("it is shorter than it says")?;
        if crc32fast::hash(bytes) != stored {
            return Err("the checksum of a column does not match");
        }
        codec::decode_column(bytes, self.rows)
            .map(Some)
            .map_err(|_source| "a column does not decode")
    }

    /// Length and checksum of a column.
    fn entry(&self, column: usize) -> (usize, u32) {
        self.entries.get(column).map_or((0, 0), |entry| {
            let mut fields = entry.as_slice();
            let length = u32::from_le_bytes(take(&mut fields)) as usize;
            (length, u32::from_le_bytes(take(&mut fields)))
        })
    }
}

/// Takes bytes off a head whose length was checked.
fn take<const N: usize>(fields: &mut &[u8]) -> [u8; N] {
    let (field, rest) = fields.split_first_chunk::<N>().unwrap_or((&[0; N], &[]));
    *fields = rest;
    *field
}

#[cfg(test)]
mod tests {
    use codec::Effort;
    use series::Rows;

    use super::*;

    fn columns() -> Vec<Column> {
        vec![
            Column {
                rows: Rows::All,
                values: vec![1.0, 2.5, f64::NAN].into(),
            },
            Column {
                rows: Rows::from_flags(&[false; 3]),
                values: vec![].into(),
            },
            Column {
                rows: Rows::from_flags(&[true, false, true]),
                values: vec![7.0, 8.0].into(),
            },
        ]
    }

    #[test]
    fn a_chunk_comes_back_column_by_column() {
        for effort in [Effort::Quick, Effort::Dense] {
            let bytes = encode(b"key", &[1, 5, 9], &columns(), effort);
            let chunk = Chunk::parse(b"key", &bytes).unwrap();
            assert_eq!(chunk.times().unwrap(), [1, 5, 9]);
            assert_eq!((chunk.first_millis, chunk.last_millis), (1, 9));
            assert_eq!(chunk.column(0).unwrap().unwrap(), columns()[0]);
            assert_eq!(chunk.column(1).unwrap(), None);
            assert_eq!(chunk.column(2).unwrap().unwrap(), columns()[2]);
            assert_eq!(chunk.column(3).unwrap(), None);
        }
    }

    #[test]
    fn any_flipped_bit_is_found_and_costs_what_it_hits() {
        let bytes = encode(b"key", &[1, 5, 9], &columns(), Effort::Dense);
        assert!(Chunk::parse(b"kez", &bytes).is_err());
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1 << bit;
                let Ok(chunk) = Chunk::parse(b"key", &damaged) else {
                    continue;
                };
                let whole = [0, 2].map(|column| chunk.column(column).is_ok());
                assert!(
                    whole == [true, false] || whole == [false, true],
                    "byte {at}"
                );
            }
            assert!(Chunk::parse(b"key", &bytes[..at]).is_err());
        }
    }
}
