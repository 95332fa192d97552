//! All keys of the database, in one place.
//!
//! Numbers in keys are big-endian, so that byte order is number order; this must remain so. Key
//! shapes and prefixes are never reused for another meaning.
//!
//! | family | key | value |
//! |---|---|---|
//! | journal | position `u64` | journal record |
//! | series | id `u32` | kind `u8`, then codec "labels" |
//! | groups | group `u32` | its series |
//! | days | partition `u32` | its runs and series |
//! | runs | partition `u32`, number `u32`, level `u8`, group `u32`, part `u16` | chunk record |
//! | windows | tier `u8`, partition `u32`, number `u32`, level `u8`, group `u32` | windows record |
//! | meta | `version`, `flushed`, `flushes`, `mark/` + agent | see [`crate::Store`] |
//! | state | space `u8`, then the caller's key | the caller's bytes |

use series::{TimeRange, Timestamp};

/// Milliseconds of one partition: a UTC day.
pub const PARTITION_MILLIS: i64 = 86_400_000;

/// Number of the partition that a time lies in. Times before 1970 fall into partition 0, which is
/// dropped first; the door refuses them anyway.
#[must_use]
pub fn partition_of(millis: i64) -> u32 {
    u32::try_from(millis.max(0) / PARTITION_MILLIS).unwrap_or(u32::MAX)
}

/// The times of a partition.
#[must_use]
pub fn range_of(partition: u32) -> TimeRange {
    let start = i64::from(partition) * PARTITION_MILLIS;
    // What lies before 1970 is with the first day, and what has no day of its own with the last.
    let first = if partition == 0 { i64::MIN } else { start };
    let last = if partition == u32::MAX {
        i64::MAX
    } else {
        start + (PARTITION_MILLIS - 1)
    };
    TimeRange::new(Timestamp::from_millis(first), Timestamp::from_millis(last))
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

/// Key of a partition, and first key of a partition in every family that has them.
#[must_use]
pub fn partition(partition: u32) -> Vec<u8> {
    partition.to_be_bytes().to_vec()
}

/// Key of a group.
#[must_use]
pub fn group(group: u32) -> Vec<u8> {
    group.to_be_bytes().to_vec()
}

/// First key of a run's chunks.
#[must_use]
pub fn run(partition: u32, number: u32, level: u8) -> Vec<u8> {
    let mut key = Vec::with_capacity(15);
    key.extend_from_slice(&partition.to_be_bytes());
    key.extend_from_slice(&number.to_be_bytes());
    key.push(level);
    key
}

/// First key after a run's chunks.
#[must_use]
pub fn run_end(partition: u32, number: u32, level: u8) -> Vec<u8> {
    match (level.checked_add(1), number.checked_add(1)) {
        (Some(level), _) => run(partition, number, level),
        (None, Some(number)) => run(partition, number, 0),
        (None, None) => self::partition(partition.saturating_add(1)),
    }
}

/// Key of a chunk; its parts follow one another in time and count from 0.
#[must_use]
pub fn chunk(partition: u32, number: u32, level: u8, group: u32, part: u16) -> Vec<u8> {
    let mut key = run(partition, number, level);
    key.extend_from_slice(&group.to_be_bytes());
    key.extend_from_slice(&part.to_be_bytes());
    key
}

/// Key of a group's windows; `tier` is 3 for hours and 4 for days.
#[must_use]
pub fn windows(tier: u8, partition: u32, number: u32, level: u8, group: u32) -> Vec<u8> {
    let mut key = windows_of(tier, partition);
    key.extend_from_slice(&number.to_be_bytes());
    key.push(level);
    key.extend_from_slice(&group.to_be_bytes());
    key
}

/// First key of a partition's windows.
#[must_use]
pub fn windows_of(tier: u8, partition: u32) -> Vec<u8> {
    let mut key = Vec::with_capacity(14);
    key.push(tier);
    key.extend_from_slice(&partition.to_be_bytes());
    key
}

/// Key of what is settled of an agent.
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

/// State space of journal and day rows that could not be used, under their old key.
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
    fn chunk_keys_sort_by_partition_run_group_and_part() {
        let keys = [
            chunk(1, 1, 0, 9, 0),
            chunk(1, 1, 1, 2, 0),
            chunk(1, 1, 1, 2, 1),
            chunk(1, 1, 1, 300, 0),
            chunk(1, 2, 0, 0, 0),
            chunk(2, 0, 0, 0, 0),
        ];
        assert!(keys.is_sorted());
        for key in &keys[1..4] {
            assert!(*key >= run(1, 1, 1) && *key < run_end(1, 1, 1));
        }
        assert_eq!(run_end(1, 7, u8::MAX), run(1, 8, 0));
        assert_eq!(run_end(1, u32::MAX, u8::MAX), partition(2));
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
