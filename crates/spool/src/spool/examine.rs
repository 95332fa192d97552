//! Judging one segment file when a spool is opened.

use super::read::read_given;
use super::{SEGMENT_BYTES_MAX, Segment};
use crate::error::is_damage;
use crate::loss::{Loss, Reason};
use crate::record::{
    FoundHead, HEAD_BYTES, RECORD_HEAD_BYTES, SEQUENCE_END, Walk, read_head, segment_name, walk,
};
use crate::{Disk, Error};

/// What is to be done with a segment file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repair {
    Nothing,
    /// Cut what lies behind the good records.
    Cut,
    /// Set the file aside and keep the good records.
    Salvage,
    /// Set the file aside: it belongs to another spool.
    SetAside,
    /// Remove the file: all of it was acknowledged or dropped before.
    Remove,
}

/// What was found in one segment file.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) segment: Segment,
    pub(super) file_bytes: u64,
    pub(super) repair: Repair,
    pub(super) loss: Option<Loss>,
}

impl Finding {
    /// Whether what is in it counts.
    pub(super) fn is_ours(&self) -> bool {
        !matches!(self.repair, Repair::Remove | Repair::SetAside)
    }

    /// Says what is lost and what is to be done, by what a walk found; the disk did not give bytes of at most so many
    /// records.
    fn judge(&mut self, found: &Walk, end: Option<u64>, head_is_good: bool, records_hidden: u64) {
        let first = self.segment.first;
        let lost = |from: u64, last: u64, reason| {
            (from <= last).then_some(Loss {
                first: from,
                last,
                reason,
                span: None,
            })
        };
        let hides_some = records_hidden > 0;
        let left_over = self.file_bytes > found.good_bytes as u64 || hides_some;
        self.segment.next = found.next;
        self.segment.bytes = found.good_bytes as u64;
        // Whatever is behind the last record found touches bytes that the disk does not give. Better too many numbers
        // lost than one given out twice.
        let last_found = found.beyond.unwrap_or_else(|| found.next.saturating_sub(1));
        let hidden = hides_some.then_some((last_found + records_hidden).min(SEQUENCE_END - 1));
        let last_known = end.map(|end| end - 1).or(hidden).or(found.beyond);
        let reason = if left_over {
            Reason::Damaged
        } else {
            Reason::Missing
        };
        self.loss = last_known.and_then(|last| lost(found.next, last, reason));
        if !head_is_good && last_known.is_none() && found.next == first && left_over {
            // Nothing makes sense, so nobody can say how much there was: at most a record for every sixteen bytes.
            let most = (first + self.file_bytes / 16).min(SEQUENCE_END - 1);
            self.loss = lost(first, most, Reason::Damaged);
        }
        self.repair = if !head_is_good || hides_some || (self.loss.is_some() && left_over) {
            Repair::Salvage
        } else if left_over {
            Repair::Cut
        } else {
            Repair::Nothing
        };
    }
}

/// Reads one segment and judges it; `end` is where the next one starts.
pub(super) fn examine(
    disk: &mut dyn Disk,
    first: u64,
    end: Option<u64>,
    epoch: u64,
    floor: u64,
) -> Result<Finding, Error> {
    let name = segment_name(first);
    let length = match disk.len(&name) {
        Err(error) if is_damage(&error) => None,
        length => Some(length.map_err(Error::disk("look at", &name))?),
    };
    let file_bytes = length.unwrap_or_default();
    let mut finding = Finding {
        segment: Segment {
            first,
            next: first,
            bytes: HEAD_BYTES as u64,
            level: 0,
            damaged: None,
        },
        file_bytes,
        repair: Repair::Nothing,
        loss: None,
    };
    if end.is_some_and(|end| end <= floor) {
        finding.repair = Repair::Remove;
        return Ok(finding);
    }
    if file_bytes > SEGMENT_BYTES_MAX {
        // No spool wrote this, so there is nothing in it to keep.
        finding.repair = Repair::SetAside;
        return Ok(finding);
    }
    let mut given = read_given(disk, &name, file_bytes)?;
    if length.is_none() {
        given.records_hidden = SEGMENT_BYTES_MAX / RECORD_HEAD_BYTES as u64;
    }
    let bytes = given.bytes;
    let head_is_good = match read_head(&bytes) {
        FoundHead::Good(head) if head.epoch <= epoch && head.first == first => {
            finding.segment.level = head.level;
            true
        }
        FoundHead::Good(_) => {
            finding.repair = Repair::SetAside;
            return Ok(finding);
        }
        FoundHead::LaterVersion(version) => return Err(Error::UnknownVersion { name, version }),
        FoundHead::Damaged => false,
    };
    let found = walk(&bytes, first, end.unwrap_or(SEQUENCE_END));
    finding.judge(&found, end, head_is_good, given.records_hidden);
    Ok(finding)
}
