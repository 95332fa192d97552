//! The bytes of a segment: a head, then records.

/// Magic, version, level, two zero bytes, first sequence, epoch, checksum.
pub(crate) const HEAD_BYTES: usize = 28;
/// Length, checksum, sequence.
pub(crate) const RECORD_HEAD_BYTES: usize = 16;

const MAGIC: [u8; 4] = *b"VDTS";
pub(crate) const VERSION: u8 = 1;

const SUFFIX: &str = ".seg";

/// Every sequence is less: at a million records a second this is 292,000 years away. What claims it
/// or a greater one is damaged or not ours, and what counts on from a file cannot overflow.
pub(crate) const SEQUENCE_END: u64 = u64::MAX / 2;

/// What the head of a segment says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) first: u64,
    pub(crate) epoch: u64,
    /// How thin its records were made; 0 for as they came.
    pub(crate) level: u8,
}

/// The name of the segment that starts at `first`: twenty digits, so that names sort as numbers.
pub(crate) fn segment_name(first: u64) -> String {
    format!("{first:020}{SUFFIX}")
}

/// The first sequence of the segment of this name, or `None` if it is none of ours.
pub(crate) fn segment_first(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    (digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| digits.parse().ok())
        .flatten()
}

pub(crate) fn head_bytes(head: &Head) -> [u8; HEAD_BYTES] {
    let mut bytes = [0; HEAD_BYTES];
    bytes[..4].copy_from_slice(&MAGIC);
    bytes[4] = VERSION;
    bytes[5] = head.level;
    bytes[8..16].copy_from_slice(&head.first.to_le_bytes());
    bytes[16..24].copy_from_slice(&head.epoch.to_le_bytes());
    let checksum = crc32fast::hash(&bytes[..24]);
    bytes[24..].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

/// What is found where a head should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FoundHead {
    Good(Head),
    LaterVersion(u8),
    Damaged,
}

pub(crate) fn read_head(segment: &[u8]) -> FoundHead {
    let Some((bytes, _)) = segment.split_first_chunk::<HEAD_BYTES>() else {
        return FoundHead::Damaged;
    };
    if bytes[..4] != MAGIC || crc32fast::hash(&bytes[..24]) != u32_at(bytes, 24) {
        return FoundHead::Damaged;
    }
    if bytes[4] != VERSION {
        return FoundHead::LaterVersion(bytes[4]);
    }
    FoundHead::Good(Head {
        first: u64_at(bytes, 8),
        epoch: u64_at(bytes, 16),
        level: bytes[5],
    })
}

/// Appends one record. Its payload must be shorter than 4 GiB, which the caller's bound sees to.
pub(crate) fn put_record(sequence: u64, payload: &[u8], out: &mut Vec<u8>) {
    let length = u32::try_from(payload.len())
        .unwrap_or(u32::MAX)
        .to_le_bytes();
    out.extend_from_slice(&length);
    out.extend_from_slice(&checksum(length, sequence, payload).to_le_bytes());
    out.extend_from_slice(&sequence.to_le_bytes());
    out.extend_from_slice(payload);
}

fn checksum(length: [u8; 4], sequence: u64, payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&length);
    hasher.update(&sequence.to_le_bytes());
    hasher.update(payload);
    hasher.finalize()
}

/// The head of a record, not yet checked against its payload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordHead {
    pub(crate) length: usize,
    checksum: u32,
    pub(crate) sequence: u64,
}

impl RecordHead {
    pub(crate) fn read(bytes: &[u8; RECORD_HEAD_BYTES]) -> Self {
        Self {
            length: u32_at(bytes, 0) as usize,
            checksum: u32_at(bytes, 4),
            sequence: u64_at(bytes, 8),
        }
    }

    pub(crate) fn matches(&self, payload: &[u8]) -> bool {
        let length = u32::try_from(self.length).unwrap_or(u32::MAX).to_le_bytes();
        payload.len() == self.length && checksum(length, self.sequence, payload) == self.checksum
    }
}

/// The record at the start of `bytes` if it is whole and has this sequence: how long it is.
fn good_record(bytes: &[u8], sequence: u64) -> Option<usize> {
    let (head, rest) = bytes.split_first_chunk::<RECORD_HEAD_BYTES>()?;
    let head = RecordHead::read(head);
    let payload = rest.get(..head.length)?;
    (head.sequence == sequence && head.matches(payload)).then_some(RECORD_HEAD_BYTES + head.length)
}

/// What a walk over a segment found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Walk {
    /// The sequence after the last good record.
    pub(crate) next: u64,
    /// Where the good records end.
    pub(crate) good_bytes: usize,
    /// The highest sequence of a whole record after that, if the end is not merely torn.
    pub(crate) beyond: Option<u64>,
}

/// Walks over the records of a segment, up to the sequence `end_exclusive`.
pub(crate) fn walk(segment: &[u8], first: u64, end_exclusive: u64) -> Walk {
    let (mut next, mut at) = (first, HEAD_BYTES.min(segment.len()));
    while next < end_exclusive
        && let Some(length) = good_record(segment.get(at..).unwrap_or_default(), next)
    {
        at += length;
        next += 1;
    }
    let rest = segment.get(at..).unwrap_or_default();
    Walk {
        next,
        good_bytes: at,
        beyond: highest_within(rest, next, end_exclusive),
    }
}

/// The records of a segment from `first` on, up to the first that is not good.
pub(crate) fn records(segment: &[u8], first: u64) -> impl Iterator<Item = (u64, &[u8])> {
    let mut rest = segment.get(HEAD_BYTES..).unwrap_or_default();
    (first..).map_while(move |sequence| {
        let (record, after) = rest.split_at_checked(good_record(rest, sequence)?)?;
        rest = after;
        Some((sequence, record.get(RECORD_HEAD_BYTES..)?))
    })
}

/// The highest sequence of any whole record in `bytes`, wherever it starts: a tail torn by a crash
/// has none, since nothing was written after it.
fn highest_within(bytes: &[u8], from: u64, end_exclusive: u64) -> Option<u64> {
    let most = from
        .saturating_add((bytes.len() / RECORD_HEAD_BYTES) as u64)
        .min(end_exclusive);
    let mut highest = None;
    let mut at = 0;
    while let Some((head, _)) = bytes.get(at..).and_then(<[u8]>::split_first_chunk) {
        let sequence = RecordHead::read(head).sequence;
        let length = if (from..most).contains(&sequence) {
            good_record(bytes.get(at..).unwrap_or_default(), sequence)
        } else {
            None
        };
        if length.is_some() {
            highest = highest.max(Some(sequence));
        }
        at += length.unwrap_or(1);
    }
    highest
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    array_at(bytes, at).map_or(0, u32::from_le_bytes)
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    array_at(bytes, at).map_or(0, u64::from_le_bytes)
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: Head = Head {
        first: 7,
        epoch: 1,
        level: 2,
    };

    fn segment(records: &[&[u8]]) -> Vec<u8> {
        let mut bytes = head_bytes(&HEAD).to_vec();
        for (sequence, record) in (7..).zip(records) {
            put_record(sequence, record, &mut bytes);
        }
        bytes
    }

    #[test]
    fn a_name_is_its_first_sequence() {
        assert_eq!(segment_name(7), "00000000000000000007.seg");
        assert_eq!(segment_first(&segment_name(u64::MAX)), Some(u64::MAX));
        assert_eq!(segment_first("7.seg"), None);
        assert_eq!(segment_first("+0000000000000000007.seg"), None);
    }

    #[test]
    fn a_cut_at_any_byte_leaves_the_records_before_it() {
        let whole = segment(&[b"one", b"", b"three"]);
        let ends = [28, 28 + 19, 28 + 19 + 16, whole.len()];
        for cut in 28..=whole.len() {
            let walk = walk(&whole[..cut], 7, u64::MAX);
            let records = ends.iter().filter(|&&end| end <= cut).count() - 1;
            assert_eq!(
                (walk.next, walk.good_bytes),
                (7 + records as u64, ends[records])
            );
            assert_eq!(walk.beyond, None);
            let read = super::records(&whole[..cut], 7);
            assert_eq!(read.count(), records);
        }
    }

    #[test]
    fn a_flipped_bit_in_the_middle_is_not_taken_for_a_torn_tail() {
        let mut bytes = segment(&[b"one", b"two", b"three"]);
        bytes[28 + 19 + 17] ^= 1;
        assert_eq!(
            walk(&bytes, 7, u64::MAX),
            Walk {
                next: 8,
                good_bytes: 28 + 19,
                beyond: Some(9)
            }
        );
    }

    #[test]
    fn a_head_is_checked() {
        let bytes = segment(&[]);
        assert_eq!(read_head(&bytes), FoundHead::Good(HEAD));
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            assert_eq!(read_head(&damaged), FoundHead::Damaged, "{at}");
        }
    }
}
