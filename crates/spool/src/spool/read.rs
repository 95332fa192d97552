//! Reading.

use std::io;

use super::Spool;
use crate::error::is_damage;
use crate::record::{HEAD_BYTES, RECORD_HEAD_BYTES, RecordHead};
use crate::{Disk, Error};

/// A file that cannot be read as a whole is read in pieces of so many bytes: a page, which is what a bad sector
/// costs.
const PIECE_BYTES: usize = 4096;
/// A bad disk may take seconds for each piece: after so many that it does not give it is not asked for the rest.
const BAD_PIECES_MAX: usize = 16;

impl Spool {
    /// Gives durable records from `sequence` on, lowest first: at most `records_max`, and as many
    /// as fit `bytes_max` of payload but at least one. What is acknowledged or lost is passed over.
    /// Records that cannot be read are set aside and become a [`crate::Loss`].
    ///
    /// # Errors
    /// When the disk fails; damage is none.
    pub fn read_from(
        &mut self,
        sequence: u64,
        records_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<(u64, Vec<u8>)>, Error> {
        let mut records = Vec::new();
        let mut bytes = 0_usize;
        let mut at = sequence.max(self.floor);
        while records.len() < records_max && at < self.synced_next {
            let Some(index) = self.segments.iter().position(|segment| at < segment.next) else {
                break;
            };
            at = at.max(self.segments[index].first);
            if at >= self.synced_next {
                break;
            }
            let bytes_left = if records.is_empty() {
                usize::MAX
            } else {
                bytes_max - bytes
            };
            match self.read_one(index, at, bytes_left)? {
                Read::Record(record) => {
                    bytes = bytes.saturating_add(record.len());
                    records.push((at, record));
                    at += 1;
                    if bytes >= bytes_max {
                        break;
                    }
                }
                Read::Enough => break,
                Read::Damaged {
                    sequence,
                    good_bytes,
                } => {
                    if !self.lose_rest(index, sequence, good_bytes)? {
                        break;
                    }
                }
            }
        }
        Ok(records)
    }

    fn read_one(&mut self, index: usize, sequence: u64, bytes_max: usize) -> Result<Read, Error> {
        let segment = self.segments[index].clone();
        let name = segment.name();
        let (mut at, mut offset) = match self.cursor {
            Some(cursor) if cursor.0 >= segment.first && cursor.0 <= sequence => cursor,
            _ => (segment.first, HEAD_BYTES as u64),
        };
        loop {
            let damaged = Read::Damaged {
                sequence: at,
                good_bytes: offset,
            };
            let mut head = [0; RECORD_HEAD_BYTES];
            if !self.read_exact(&name, offset, &mut head)? {
                return Ok(damaged);
            }
            let head = RecordHead::read(&head);
            let end = offset + (RECORD_HEAD_BYTES + head.length) as u64;
            if head.sequence != at || end > segment.bytes {
                return Ok(damaged);
            }
            if at < sequence {
                (at, offset) = (at + 1, end);
                continue;
            }
            self.cursor = Some((at, offset));
            if head.length > bytes_max {
                return Ok(Read::Enough);
            }
            let mut payload = vec![0; head.length];
            let whole = self.read_exact(&name, offset + RECORD_HEAD_BYTES as u64, &mut payload)?;
            if !whole || !head.matches(&payload) {
                return Ok(damaged);
            }
            self.cursor = (at + 1 < segment.next).then_some((at + 1, end));
            return Ok(Read::Record(payload));
        }
    }

    /// Whether the bytes are there: that they are not is damage, not a failure.
    fn read_exact(&mut self, name: &str, offset: u64, into: &mut [u8]) -> Result<bool, Error> {
        match self.disk.read_at(name, offset, into) {
            Ok(()) => Ok(true),
            Err(error) if is_damage(&error) => Ok(false),
            Err(error) => Err(Error::disk("read", name)(error)),
        }
    }
}

/// What lies at a place of a segment.
enum Read {
    Record(Vec<u8>),
    /// A good record, but too large for what is left of the caller's bound.
    Enough,
    Damaged {
        sequence: u64,
        good_bytes: u64,
    },
}

/// The bytes of a file, as many as the disk gives.
#[derive(Debug, Default)]
pub(super) struct Given {
    /// Zeros where it gave none.
    pub(super) bytes: Vec<u8>,
    /// The most records of which some bytes were not given; 0 if all were.
    pub(super) records_hidden: u64,
}

/// Reads the first `length` bytes of a file, and of a damaged one what it gives.
pub(super) fn read_given(disk: &mut dyn Disk, name: &str, length: u64) -> Result<Given, Error> {
    let mut given = Given {
        bytes: vec![0; usize::try_from(length).unwrap_or_default()],
        records_hidden: 0,
    };
    // Nothing is read of a file that may not be there.
    if length == 0 {
        return Ok(given);
    }
    match disk.read_at(name, 0, &mut given.bytes) {
        Err(error) if is_damage(&error) => {}
        read => return read.map(|()| given).map_err(Error::disk("read", name)),
    }
    let (mut offset, mut bad) = (0, 0);
    for piece in given.bytes.chunks_mut(PIECE_BYTES) {
        let read = if bad < BAD_PIECES_MAX {
            disk.read_at(name, offset, piece)
        } else {
            Err(io::ErrorKind::UnexpectedEof.into())
        };
        offset += piece.len() as u64;
        match read {
            Ok(()) => {}
            Err(error) if is_damage(&error) => {
                piece.fill(0);
                bad += 1;
                given.records_hidden += (piece.len() / RECORD_HEAD_BYTES) as u64 + 1;
            }
            Err(error) => return Err(Error::disk("read", name)(error)),
        }
    }
    Ok(given)
}
