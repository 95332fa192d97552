//! The small files beside the segments: the epoch, the losses, how far it was acknowledged.

use crate::loss::{Loss, Losses, Reason, Span};
use crate::record::{SEQUENCE_END, u32_at, u64_at};

/// Holds the epoch; replaced when a new one begins.
pub(crate) const EPOCH_FILE: &str = "epoch";
/// Holds the losses and the lowest sequence that still counts; replaced at each change.
pub(crate) const LOSSES_FILE: &str = "losses";
/// Holds the last acknowledged sequence; a hint, written in place without a sync.
pub(crate) const ACKNOWLEDGED_FILE: &str = "acknowledged";

/// Zeros that make room by going away; nothing is read from it.
pub(crate) const RESERVE_FILE: &str = "reserve";

const EPOCH_MAGIC: [u8; 4] = *b"VDSE";
const LOSSES_MAGIC: [u8; 4] = *b"VDSL";
const ACKNOWLEDGED_MAGIC: [u8; 4] = *b"VDSA";
const VERSION: u8 = 1;
/// Version 2 has the spans of the losses.
const LOSSES_VERSION: u8 = 2;
/// Magic, version, three zero bytes.
const HEAD_BYTES: usize = 8;
/// Head, sequence, checksum.
pub(crate) const ACKNOWLEDGED_BYTES: usize = HEAD_BYTES + 8 + 4;
/// First, last, reason, told, whether the span is known, five zero bytes, the span.
const LOSS_BYTES: usize = 40;
/// In version 1, which ended before the span.
const LOSS_BYTES_1: usize = 24;

/// No state file is longer: a head, two numbers, two full lists of losses, a checksum.
pub(crate) const STATE_BYTES_MAX: usize = 128 * 1024;

const _: () = assert!(HEAD_BYTES + 16 + 2 * crate::LOSSES_MAX * LOSS_BYTES + 4 <= STATE_BYTES_MAX);

fn seal(magic: [u8; 4], version: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = magic.to_vec();
    bytes.extend_from_slice(&[version, 0, 0, 0]);
    bytes.extend_from_slice(body);
    let checksum = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes
}

/// The body of a file that is whole, of this kind and of this version.
fn unseal(magic: [u8; 4], version: u8, bytes: &[u8]) -> Option<&[u8]> {
    let body_end = bytes.len().checked_sub(4)?;
    let body = bytes.get(HEAD_BYTES..body_end)?;
    let sealed = bytes.get(..4)? == magic
        && *bytes.get(4)? == version
        && crc32fast::hash(bytes.get(..body_end)?) == u32_at(bytes, body_end);
    sealed.then_some(body)
}

fn seal_number(magic: [u8; 4], number: u64) -> Vec<u8> {
    seal(magic, VERSION, &number.to_le_bytes())
}

fn unseal_number(magic: [u8; 4], bytes: &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(
        unseal(magic, VERSION, bytes)?.try_into().ok()?,
    ))
}

pub(crate) fn epoch_bytes(epoch: u64) -> Vec<u8> {
    seal_number(EPOCH_MAGIC, epoch)
}

pub(crate) fn read_epoch(bytes: &[u8]) -> Option<u64> {
    unseal_number(EPOCH_MAGIC, bytes)
}

pub(crate) fn acknowledged_bytes(sequence: u64) -> Vec<u8> {
    seal_number(ACKNOWLEDGED_MAGIC, sequence)
}

pub(crate) fn read_acknowledged(bytes: &[u8]) -> Option<u64> {
    unseal_number(ACKNOWLEDGED_MAGIC, bytes).filter(|sequence| *sequence < SEQUENCE_END)
}

pub(crate) fn losses_bytes(floor: u64, losses: &Losses) -> Vec<u8> {
    let mut body = floor.to_le_bytes().to_vec();
    let all = losses.untold.iter().map(|loss| (loss, 0));
    let all: Vec<_> = all
        .chain(losses.told.iter().map(|loss| (loss, 1)))
        .collect();
    body.extend_from_slice(&(all.len() as u64).to_le_bytes());
    for (loss, told) in all {
        body.extend_from_slice(&loss.first.to_le_bytes());
        body.extend_from_slice(&loss.last.to_le_bytes());
        let known = u8::from(loss.span.is_some());
        body.extend_from_slice(&[loss.reason.code(), told, known, 0, 0, 0, 0, 0]);
        let (from, to) = loss.span.unwrap_or_default();
        body.extend_from_slice(&from.to_le_bytes());
        body.extend_from_slice(&to.to_le_bytes());
    }
    seal(LOSSES_MAGIC, LOSSES_VERSION, &body)
}

pub(crate) fn read_losses(bytes: &[u8]) -> Option<(u64, Losses)> {
    if let Some(body) = unseal(LOSSES_MAGIC, LOSSES_VERSION, bytes) {
        return read_entries::<LOSS_BYTES>(body);
    }
    read_entries::<LOSS_BYTES_1>(unseal(LOSSES_MAGIC, VERSION, bytes)?)
}

fn read_entries<const ENTRY_BYTES: usize>(body: &[u8]) -> Option<(u64, Losses)> {
    let (head, entries) = body.split_first_chunk::<16>()?;
    let mut losses = Losses::default();
    let (entries, rest) = entries.as_chunks::<ENTRY_BYTES>();
    if !rest.is_empty() || u64_at(head, 8) != entries.len() as u64 {
        return None;
    }
    for entry in entries {
        let loss = Loss {
            first: u64_at(entry, 0),
            last: u64_at(entry, 8),
            reason: Reason::from_code(entry[16])?,
            span: read_span(entry)?,
        };
        // Sequences count from 1.
        if loss.first == 0 || loss.first > loss.last || loss.last >= SEQUENCE_END {
            return None;
        }
        let list = if entry[17] == 0 {
            &mut losses.untold
        } else {
            &mut losses.told
        };
        list.push(loss);
    }
    let floor = u64_at(head, 0);
    (floor <= SEQUENCE_END).then_some((floor, losses))
}

/// The span of a loss, if one is there and known; `None` for one that ends before it begins.
fn read_span(entry: &[u8]) -> Option<Option<Span>> {
    if entry.len() < LOSS_BYTES || entry[18] == 0 {
        return Some(None);
    }
    let span = (
        u64_at(entry, 24).cast_signed(),
        u64_at(entry, 32).cast_signed(),
    );
    (span.0 <= span.1).then_some(Some(span))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_of_no_sequence_is_not_believed() {
        for (first, last) in [(0, 0), (0, 3), (2, 1), (1, SEQUENCE_END)] {
            let loss = Loss {
                first,
                last,
                reason: Reason::Full,
                span: None,
            };
            let losses = Losses {
                untold: vec![loss],
                told: vec![],
            };
            assert_eq!(read_losses(&losses_bytes(1, &losses)), None);
        }
    }

    #[test]
    fn a_span_that_ends_before_it_begins_is_not_believed() {
        for (span, believed) in [((5, 4), false), ((5, 5), true)] {
            let loss = Loss {
                first: 1,
                last: 1,
                reason: Reason::Unwritten,
                span: Some(span),
            };
            let losses = Losses {
                untold: vec![loss],
                told: vec![],
            };
            let read = read_losses(&losses_bytes(1, &losses));
            assert_eq!(read.is_some(), believed);
        }
    }

    #[test]
    fn losses_of_version_1_are_read_without_a_span() {
        let mut body = 4_u64.to_le_bytes().to_vec();
        for number in [1_u64, 2, 3] {
            body.extend_from_slice(&number.to_le_bytes());
        }
        body.extend_from_slice(&[3, 1, 0, 0, 0, 0, 0, 0]);
        let loss = Loss {
            first: 2,
            last: 3,
            reason: Reason::Missing,
            span: None,
        };
        let losses = Losses {
            untold: vec![],
            told: vec![loss],
        };
        let bytes = seal(LOSSES_MAGIC, VERSION, &body);
        assert_eq!(read_losses(&bytes), Some((4, losses)));
    }

    #[test]
    fn state_comes_back_and_damage_is_seen() {
        let losses = Losses {
            untold: vec![Loss {
                first: 3,
                last: 9,
                reason: Reason::Damaged,
                span: Some((-5, i64::MAX)),
            }],
            told: vec![Loss {
                first: 1,
                last: 2,
                reason: Reason::Full,
                span: None,
            }],
        };
        let bytes = losses_bytes(10, &losses);
        assert_eq!(read_losses(&bytes), Some((10, losses)));
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 4;
            assert_eq!(read_losses(&damaged), None);
            assert_eq!(read_losses(&bytes[..at]), None);
        }
        assert_eq!(read_epoch(&epoch_bytes(5)), Some(5));
        assert_eq!(read_acknowledged(&acknowledged_bytes(6)), Some(6));
        assert_eq!(read_epoch(&acknowledged_bytes(6)), None);
    }
}
