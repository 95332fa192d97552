//! Right checksums over wrong bytes, so that what lies behind the checksum is reached.

/// CRC-32 of parts that follow one another.
#[must_use]
pub fn checksum(parts: &[&[u8]]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize()
}

/// The bytes and their checksum behind them: journal records, state files of the spool.
#[must_use]
pub fn behind(bytes: &[u8]) -> Vec<u8> {
    [bytes, &checksum(&[bytes]).to_le_bytes()].concat()
}

fn framed(head: &[u8], body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes();
    let sum = checksum(&[head, &length, body]).to_le_bytes();
    [head, &length, &sum, body].concat()
}

/// A codec "block" with this body.
#[must_use]
pub fn block(body: &[u8]) -> Vec<u8> {
    framed(b"VDTB\x01\x00", body)
}

/// A codec "dictionary of label sets" that unpacks to `plain`.
#[must_use]
pub fn dictionary(plain: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    codec::compress(plain, 1, &mut frame);
    framed(b"VDTL\x01", &frame)
}

/// A chunk record of the store under `key`: its rows, first and last time, its time column, and its
/// columns.
#[must_use]
pub fn chunk(
    key: &[u8],
    rows: u32,
    (first, last): (i64, i64),
    times: &[u8],
    columns: &[&[u8]],
) -> Vec<u8> {
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes();
    let mut head = vec![2];
    head.extend_from_slice(&rows.to_le_bytes());
    head.extend_from_slice(&first.to_le_bytes());
    head.extend_from_slice(&last.to_le_bytes());
    let count = u16::try_from(columns.len()).unwrap_or(u16::MAX);
    head.extend_from_slice(&count.to_le_bytes());
    head.extend_from_slice(&length(times));
    for column in columns {
        head.extend_from_slice(&length(column));
        head.extend_from_slice(&checksum(&[column]).to_le_bytes());
    }
    let sum = checksum(&[key, &head, times]).to_le_bytes();
    [&head, &sum[..], times, &columns.concat()].concat()
}

/// A windows record of the store under `key`: first and last time of its samples, and a codec "block"
/// with this body.
#[must_use]
pub fn windows(key: &[u8], (first, last): (i64, i64), body: &[u8]) -> Vec<u8> {
    let head = [&[1][..], &first.to_le_bytes(), &last.to_le_bytes()].concat();
    let block = block(body);
    let sum = checksum(&[key, &head, &block]).to_le_bytes();
    [&head[..], &sum, &block].concat()
}

/// The head of a segment of the spool.
#[must_use]
pub fn segment_head(version: u8, level: u8, first: u64, epoch: u64) -> Vec<u8> {
    let first = first.to_le_bytes();
    let epoch = epoch.to_le_bytes();
    behind(&[&b"VDTS"[..], &[version, level, 0, 0], &first, &epoch].concat())
}

/// A record of a segment of the spool.
#[must_use]
pub fn record(sequence: u64, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len())
        .unwrap_or(u32::MAX)
        .to_le_bytes();
    let sequence = sequence.to_le_bytes();
    let sum = checksum(&[&length, &sequence, payload]).to_le_bytes();
    [&length[..], &sum, &sequence, payload].concat()
}

/// A file of an agent's rules: what it is, its body, and FNV-1a of both.
#[must_use]
pub fn state_file(magic: [u8; 8], body: &[u8]) -> Vec<u8> {
    let mut bytes = [&magic[..], body].concat();
    let sum = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes
}
