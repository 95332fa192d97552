//! Journal records: a batch as it was received, its series already numbered by the store.
//!
//! ```text
//! version          u8 = 1, or 2 when samples follow the blocks
//! blocks           u32
//! for each block:
//!   runs           u32
//!   for each run:  first id u32, count u32     series ids of the columns, in column order
//!   columns        u32 length, then a codec "block", as received
//! samples          version 2: a codec "list of samples", to the checksum
//! checksum         u32, CRC-32 of all before it
//! ```
//! All numbers are little-endian.

use codec::Samples;

use crate::SeriesId;

/// Most samples of one record; what came over the door was bounded far below.
const SAMPLES_MAX: usize = 64 << 20;

const BLOCKS: u8 = 1;
const BLOCKS_AND_SAMPLES: u8 = 2;

/// One block of a journal record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JournalBlock {
    pub(crate) series: Vec<SeriesId>,
    pub(crate) columns: Vec<u8>,
}

/// Writes a record from parts that are borrowed.
pub(crate) fn encode<'a>(
    blocks: impl ExactSizeIterator<Item = (&'a [SeriesId], &'a [u8])>,
    samples: &Samples,
) -> Vec<u8> {
    let has_samples = !samples.series.is_empty();
    let mut out = vec![if has_samples {
        BLOCKS_AND_SAMPLES
    } else {
        BLOCKS
    }];
    put_count(&mut out, blocks.len());
    for (series, columns) in blocks {
        let runs = runs_of(series);
        put_count(&mut out, runs.len());
        for (first, count) in runs {
            out.extend_from_slice(&first.to_le_bytes());
            out.extend_from_slice(&count.to_le_bytes());
        }
        put_count(&mut out, columns.len());
        out.extend_from_slice(columns);
    }
    if has_samples {
        codec::encode_samples(&samples.series, &samples.times, &samples.values, &mut out);
    }
    let checksum = crc32fast::hash(&out);
    out.extend_from_slice(&checksum.to_le_bytes());
    out
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    // A batch is bounded by the wire's message size, far below 4 GiB.
    out.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
}

fn runs_of(series: &[SeriesId]) -> Vec<(u32, u32)> {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for id in series {
        match runs.last_mut() {
            Some((first, count)) if first.checked_add(*count) == Some(id.0) => *count += 1,
            _ => runs.push((id.0, 1)),
        }
    }
    runs
}

/// Reads a record; `None` when it is not whole.
pub(crate) fn decode(bytes: &[u8]) -> Option<(Vec<JournalBlock>, Samples)> {
    let (body, checksum) = bytes.split_last_chunk::<4>()?;
    if crc32fast::hash(body) != u32::from_le_bytes(*checksum) {
        return None;
    }
    let (&version, mut rest) = body.split_first()?;
    if !matches!(version, BLOCKS | BLOCKS_AND_SAMPLES) {
        return None;
    }
    let blocks = take_u32(&mut rest)?;
    let mut out = Vec::new();
    for _ in 0..blocks {
        let runs = take_u32(&mut rest)?;
        let mut series = Vec::new();
        for _ in 0..runs {
            let first = take_u32(&mut rest)?;
            let count = take_u32(&mut rest)?;
            if series.len().saturating_add(count as usize) > ::series::limits::BLOCK_COLUMNS_MAX {
                return None;
            }
            series.extend((0..count).map(|step| SeriesId(first.wrapping_add(step))));
        }
        let length = take_u32(&mut rest)? as usize;
        let (columns, after) = rest.split_at_checked(length)?;
        rest = after;
        out.push(JournalBlock {
            series,
            columns: columns.to_vec(),
        });
    }
    if version == BLOCKS_AND_SAMPLES {
        let samples = codec::decode_samples(rest, SAMPLES_MAX).ok()?;
        return Some((out, samples));
    }
    rest.is_empty().then(|| (out, Samples::default()))
}

fn take_u32(rest: &mut &[u8]) -> Option<u32> {
    let (number, after) = rest.split_first_chunk::<4>()?;
    *rest = after;
    Some(u32::from_le_bytes(*number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_back_as_it_went() {
        let ids: Vec<SeriesId> = [5, 6, 7, 2, 9, 10].map(SeriesId).to_vec();
        let samples = Samples {
            series: vec![5, 6],
            times: vec![1, 1],
            values: vec![0.5, f64::NAN],
        };
        let blocks = [(ids.as_slice(), b"abc".as_slice()), (&[], b"")];
        let bytes = encode(blocks.into_iter(), &samples);
        let (blocks, read) = decode(&bytes).unwrap();
        assert_eq!((read.series, read.times), (samples.series, samples.times));
        assert!(read.values[1].is_nan());
        assert_eq!(
            blocks[0],
            JournalBlock {
                series: ids,
                columns: b"abc".to_vec()
            }
        );
        assert_eq!(blocks.len(), 2);
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_found() {
        let block = ([SeriesId(1)].as_slice(), b"abc".as_slice());
        let bytes = encode([block].into_iter(), &Samples::default());
        for at in 0..bytes.len() {
            assert_eq!(decode(&bytes[..at]), None);
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert_eq!(decode(&damaged), None);
        }
    }
}
