//! A whole target's block, typically 12 rows of 500 columns, compressed as one.
//!
//! At 12 rows, what a column costs beside its values decides the size, so nothing is written for a
//! column as such: every decision (has it gaps, which decimal exponent, which order of differences,
//! is it steady) and the size class of every number is a symbol of one adaptive range code, in the
//! context of the columns before it. The low bits of numbers, which no context foretells, go as they
//! are into a plain bit stream.

mod columns;
mod numbers;

use series::limits::{BLOCK_COLUMNS_MAX, BLOCK_ROWS_MAX, BLOCK_SAMPLES_MAX};
use series::{Block, Column};

use crate::bytes::{Reader, put_varint};
use crate::range::{Decoder, Encoder};
use crate::{Error, decode_times, encode_times};
use columns::Context;

const WHAT: &str = "a block";
const MAGIC: [u8; 4] = *b"VDTB";
const VERSION: u8 = 1;
/// Magic, version, flags, length of the body.
const HEAD_BYTES: usize = 10;
/// The flag bit reserved for native histograms, which would follow the float columns.
const FLAGS_KNOWN: u8 = 0;

/// Appends one block, self-contained: magic, version, length, checksum, body.
///
/// The block must be valid ([`Block::validate`]): what it holds beyond its limits is encoded, but
/// refused by [`decode_block`]. A [`series::Rows::Some`] with every bit set reads back as
/// [`series::Rows::All`].
pub fn encode_block(block: &Block, out: &mut Vec<u8>) {
    let rows = block.times.len();
    let mut body = Vec::new();
    put_varint(&mut body, block.columns.len() as u64);
    let mut times = Vec::new();
    encode_times(&block.times, &mut times);
    put_varint(&mut body, times.len() as u64);
    body.extend_from_slice(&times);

    let mut encoder = Encoder::new();
    let mut context = Context::new();
    for column in &block.columns {
        context.put(&mut encoder, column, rows);
    }
    let (coded, plain) = encoder.finish();
    put_varint(&mut body, plain.len() as u64);
    body.extend_from_slice(&plain);
    body.extend_from_slice(&coded);

    let start = out.len();
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[VERSION, FLAGS_KNOWN]);
    // A valid block has at most 8 Mi samples of 8 bytes and 2^17 columns, far below 4 GiB.
    out.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
    let checksum = checksum(out.get(start..).unwrap_or_default(), &body);
    out.extend_from_slice(&checksum.to_le_bytes());
    out.extend_from_slice(&body);
}

/// Reads one block, which must be all of `bytes`. It allocates 8 bytes for each sample (at most
/// [`BLOCK_SAMPLES_MAX`]), 72 bytes for each column (at most [`BLOCK_COLUMNS_MAX`]), a bitmap for
/// each column with gaps, and less than 200 KiB beside: under 100 MiB in all, whatever the bytes
/// claim.
///
/// # Errors
/// When this is no block, when it is of a later version, damaged, or larger than
/// [`series::limits`] allows.
pub fn decode_block(bytes: &[u8]) -> Result<Block, Error> {
    decode_block_within(bytes, BLOCK_SAMPLES_MAX)
}

/// Reads one block as [`decode_block`] does, if it has no more than `cells_max` rows times columns.
///
/// # Errors
/// As [`decode_block`]; a block with more cells is refused before anything is allocated for them.
pub fn decode_block_within(bytes: &[u8], cells_max: usize) -> Result<Block, Error> {
    let cells_max = cells_max.min(BLOCK_SAMPLES_MAX);
    let mut body = Reader::new(checked_body(bytes)?, WHAT);
    let column_count = body.count("the number of columns", BLOCK_COLUMNS_MAX)?;
    let times_len = body.count("the length of the time column", bytes.len())?;
    let times = decode_times(body.bytes(times_len)?, BLOCK_ROWS_MAX)?;
    let rows = times.len();
    let samples = rows.saturating_mul(column_count);
    if samples > cells_max {
        return Err(Error::TooLarge {
            what: "the number of samples",
            got: samples as u64,
            max: cells_max as u64,
        });
    }
    let plain_len = body.count("the length of the plain bits", bytes.len())?;
    let plain = body.bytes(plain_len)?;
    let mut decoder = Decoder::new(body.rest(), plain);
    let mut context = Context::new();
    let columns = (0..column_count)
        .map(|_| context.take(&mut decoder, rows))
        .collect::<Result<Vec<Column>, Error>>()?;
    decoder.finish(WHAT)?;
    Ok(Block { times, columns })
}

fn checksum(head: &[u8], body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(head);
    hasher.update(body);
    hasher.finalize()
}

/// Checks everything around the body.
fn checked_body(bytes: &[u8]) -> Result<&[u8], Error> {
    let mut reader = Reader::new(bytes, WHAT);
    if reader.array()? != MAGIC {
        return Err(Error::BadMagic { what: WHAT });
    }
    let version = reader.u8()?;
    if version != VERSION {
        return Err(Error::UnknownVersion {
            what: WHAT,
            version,
        });
    }
    let flags = reader.u8()?;
    if flags != FLAGS_KNOWN {
        return Err(Error::UnknownCode {
            what: "the flags of a block",
            code: flags,
        });
    }
    let length = reader.u32()? as usize;
    let stored = reader.u32()?;
    let body = reader.bytes(length)?;
    reader.finish()?;
    let computed = checksum(bytes.get(..HEAD_BYTES).unwrap_or_default(), body);
    if stored != computed {
        return Err(Error::BadChecksum { stored, computed });
    }
    Ok(body)
}
