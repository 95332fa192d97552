//! All keys of the database, in one place.
//!
//! Numbers in keys are big-endian, so that byte order is number order; this must remain so. Key
//! shapes and prefixes are never reused for another meaning.
//!
//! | family | key | value |
//! |---|---|---|
//! | journal | position `u64` | journal record |
//! | series | id `u32` | kind `u8`, then codec "labels" |
//! | chunks | partition `u32`, id `u32`, first time `i64` with its sign bit flipped, flush `u32` | chunk record |
//! | times | partition `u32`, number `u64` | checksum `u32`, then codec "times" |
//! | partitions | partition `u32` | roaring bitmap of series ids |
//! | meta | `version`, `flushed`, `flushes`, `mark/` + agent | see [`crate::Store`] |
//! | state | space `u8`, then the caller's key | the caller's bytes |

/// Milliseconds of one partition: a UTC day.
pub const PARTITION_MILLIS: i64 = 86_400_000;

/// Number of the partition that a time lies in. Times before 1970 fall into partition 0, which is
/// dropped first; the door refuses them anyway.
#[must_use]
pub fn partition_of(millis: i64) -> u32 {
    u32::try_from(millis.max(0) / PARTITION_MILLIS).unwrap_or(u32::MAX)
}

/// Key of a journal row.
#[must_use]
pub fn journal(position: u64) -> Vec<u8> {
    position.to_be_bytes().to_vec()
}

/// Key of a series row.
#[must_use]
pub fn series(id: u32) -> Vec<u8> {
    id.to_be_bytes().to_vec()
}

/// Key of a partition's bitmap, and first key of a partition in every family that has them.
#[must_use]
pub fn partition(partition: u32) -> Vec<u8> {
    partition.to_be_bytes().to_vec()
}

/// First key of a series' chunks in a partition.
#[must_use]
pub fn chunks_of(partition: u32, id: u32) -> Vec<u8> {
    let mut key = Vec::with_capacity(8);
    key.extend_from_slice(&partition.to_be_bytes());
    key.extend_from_slice(&id.to_be_bytes());
    key
}

/// First key after a series' chunks in a partition.
#[must_use]
pub fn chunks_after(partition: u32, id: u32) -> Vec<u8> {
    match id.checked_add(1) {
        Some(next) => chunks_of(partition, next),
        None => self::partition(partition.saturating_add(1)),
    }
}

/// Key of a chunk.
#[must_use]
pub fn chunk(partition: u32, id: u32, first_millis: i64, flush: u32) -> Vec<u8> {
    let mut key = chunks_of(partition, id);
    key.extend_from_slice(&(first_millis.cast_unsigned() ^ (1 << 63)).to_be_bytes());
    key.extend_from_slice(&flush.to_be_bytes());
    key
}

/// The flush that a chunk's key names; 0 for a key that is too short to name one.
#[must_use]
pub fn flush_of(chunk_key: &[u8]) -> u32 {
    chunk_key
        .last_chunk::<4>()
        .map_or(0, |flush| u32::from_be_bytes(*flush))
}

/// Key of a shared time column.
#[must_use]
pub fn times(partition: u32, number: u64) -> Vec<u8> {
    let mut key = Vec::with_capacity(12);
    key.extend_from_slice(&partition.to_be_bytes());
    key.extend_from_slice(&number.to_be_bytes());
    key
}

/// Key of an agent's high-water mark.
#[must_use]
pub fn mark(agent: &str) -> Vec<u8> {
    [b"mark/", agent.as_bytes()].concat()
}

/// First key after all high-water marks.
pub const MARKS_END: &[u8] = b"mark0";
/// First key of the high-water marks.
pub const MARKS_START: &[u8] = b"mark/";
/// Meta row: version of the format, one byte.
pub const VERSION: &[u8] = b"version";
/// Meta row: journal position that is flushed through, `u64` big-endian, exclusive.
pub const FLUSHED: &[u8] = b"flushed";
/// Meta row: number of flushes so far, `u32` big-endian.
pub const FLUSHES: &[u8] = b"flushes";

/// State space of journal rows that could not be used, under their old key.
pub const SET_ASIDE: u8 = 0xfe;

/// Key of a state row.
#[must_use]
pub fn state(space: u8, key: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + key.len());
    bytes.push(space);
    bytes.extend_from_slice(key);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunk_keys_sort_by_partition_series_time_and_flush() {
        let keys = [
            chunk(1, 1, -5, 9),
            chunk(1, 1, 3, 1),
            chunk(1, 1, 3, 2),
            chunk(1, 1, 256, 0),
            chunk(1, 2, 0, 0),
            chunk(2, 0, 0, 0),
        ];
        assert!(keys.is_sorted());
        assert!(
            keys[..4]
                .iter()
                .all(|key| *key >= chunks_of(1, 1) && *key < chunks_after(1, 1))
        );
        assert_eq!(chunks_after(1, u32::MAX), partition(2));
    }

    #[test]
    fn a_day_is_a_partition() {
        assert_eq!(partition_of(PARTITION_MILLIS - 1), 0);
        assert_eq!(partition_of(PARTITION_MILLIS), 1);
        assert_eq!(partition_of(-1), 0);
    }

    #[test]
    fn marks_lie_between_their_bounds() {
        assert!(mark("").as_slice() >= MARKS_START && mark("~~~~").as_slice() < MARKS_END);
    }
}
