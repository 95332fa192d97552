//! What becomes of bytes that cannot be read.

use std::io;

use super::read::read_given;
use super::{Segment, Spool};
use crate::error::{is_damage, is_full};
use crate::loss::{Loss, Reason, Span};
use crate::record::{HEAD_BYTES, Head, head_bytes, records};
use crate::{Disk, Error};

/// Of the bytes of a spool, how many more what was set aside may take: one in so many, and at least a segment.
const DAMAGED_SHARE: u64 = 10;
/// Most names that are remembered until they are asked for.
const NAMES_MAX: usize = 256;

/// Files that were set aside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// How many were set aside.
    pub files: u64,
    /// Where they are now, relative to the directory; the first 256.
    pub set_aside: Vec<String>,
    /// How many had to be removed, because what is set aside has a bound of its own or had no room.
    pub files_removed: u64,
    /// Which; the first 256.
    pub removed: Vec<String>,
}

impl Spool {
    /// Gives up the durable records of a segment from `sequence` on, and keeps those before it. `false` when nothing
    /// was done for want of room, and there is nothing to read behind it either.
    pub(super) fn lose_rest(
        &mut self,
        index: usize,
        sequence: u64,
        good_bytes: u64,
    ) -> Result<bool, Error> {
        let segment = self.segments[index].clone();
        let is_active = index + 1 == self.segments.len();
        let end = segment.next.min(self.synced_next);
        // What was acknowledged before is no loss, though it may be what is damaged.
        let first = sequence.max(self.floor);
        if first < end {
            let mut losses = self.losses.clone();
            losses.add(Loss {
                first,
                last: end - 1,
                reason: Reason::Damaged,
                span: self.span_around(sequence, end - 1),
            });
            match self.keep_losses(losses.clone(), self.floor) {
                Ok(()) => {}
                // The segment behind it says that these numbers were given, so the note can wait.
                Err(Error::DiskFull { .. }) if !is_active => self.remember(losses, self.floor),
                Err(Error::DiskFull { .. }) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        self.cursor = None;
        if is_active {
            // The unsynced records are safe in memory; they go to a file of their own.
            match self.rewrite_tail() {
                Err(Error::DiskFull { .. }) => return Ok(false),
                done => done?,
            }
        }
        // The new file may have cost the oldest its place.
        let same = |have: &Segment| have.first == segment.first;
        let Some(index) = self.segments.iter().position(same) else {
            return Ok(true);
        };
        let mut kept = Segment {
            next: sequence,
            bytes: good_bytes,
            ..segment
        };
        self.salvage(&mut kept)?;
        if kept.first == kept.next && kept.damaged.is_none() {
            self.segments.remove(index);
        } else {
            self.segments[index] = kept;
        }
        self.keep_reserve();
        Ok(true)
    }

    /// Puts the good beginning of a segment, if any, in the place of its file, which is set aside; the head is made
    /// anew. On a full disk the reserve pays for it. Where there is none the file stays, and is not read behind the
    /// good records; it is set aside when it is thinned or no longer needed, or at the next start.
    pub(super) fn salvage(&mut self, segment: &mut Segment) -> Result<(), Error> {
        let name = segment.name();
        let length = match self.disk.len(&name) {
            Err(error) if is_damage(&error) => 0,
            length => length.map_err(Error::disk("look at", &name))?,
        };
        let damaged = Some(length.saturating_sub(segment.bytes));
        let moved = if segment.first < segment.next {
            let good = read_given(self.disk.as_mut(), &name, segment.bytes)?;
            if good.records_hidden > 0 {
                // Whoever reads it next finds what went bad just now.
                segment.damaged = damaged;
                return Ok(());
            }
            let mut good = good.bytes;
            let head = Head {
                first: segment.first,
                epoch: self.epoch,
                level: segment.level,
            };
            good[..HEAD_BYTES].copy_from_slice(&head_bytes(&head));
            self.with_reserve(|disk| disk.replace_aside(&name, &good))
        } else {
            self.disk.set_aside(&name)
        };
        match moved {
            Ok(aside) => {
                segment.damaged = None;
                self.is_set_aside(aside);
            }
            Err(error) if is_full(&error) => segment.damaged = damaged,
            // It is not there, or the disk does not even give its name.
            Err(error) if is_damage(&error) => {}
            Err(error) => return Err(Error::disk("set aside", &name)(error)),
        }
        Ok(())
    }

    /// Does what needs room on disk; where there is none the reserve goes, and it is done again.
    pub(super) fn with_reserve<T>(
        &mut self,
        write: impl Fn(&mut dyn Disk) -> io::Result<T>,
    ) -> io::Result<T> {
        match write(self.disk.as_mut()) {
            Err(error) if is_full(&error) && self.spend_reserve() => write(self.disk.as_mut()),
            done => done,
        }
    }

    /// From the last time in the last good record before some sequences to the first time in the first after them, if
    /// both are there and say so: about when records were made that cannot be read.
    pub fn span_around(&mut self, first: u64, last: u64) -> Option<Span> {
        let (disk, segments) = (self.disk.as_mut(), &self.segments);
        span_around(disk, segments, (first, last), self.config.span_of)
    }

    /// What was set aside since it was last asked, [`Spool::open`] included, and what had to go for it.
    pub fn take_damage(&mut self) -> Damage {
        std::mem::take(&mut self.damage)
    }

    /// Bytes of files that were set aside and are still there.
    #[must_use]
    pub const fn damaged_bytes(&self) -> u64 {
        self.damaged_bytes
    }

    /// Takes note that a file was set aside.
    pub(super) fn is_set_aside(&mut self, aside: String) {
        self.damage.files += 1;
        remember(&mut self.damage.set_aside, aside);
        self.bound_damaged();
    }

    /// Removes the oldest of the files set aside until the others are within their bound.
    pub(super) fn bound_damaged(&mut self) {
        let Ok(files) = self.disk.list_aside() else {
            return;
        };
        let share = self.config.bytes_max / DAMAGED_SHARE;
        let bytes_max = share.max(self.config.segment_bytes);
        let mut bytes = files.iter().map(|(_, bytes)| bytes).sum::<u64>();
        for (name, length) in files {
            if bytes <= bytes_max {
                break;
            }
            if self.disk.remove(&name).is_ok() {
                bytes -= length;
                self.is_removed(name);
            }
        }
        self.damaged_bytes = bytes;
    }

    /// Takes note that a damaged file is gone for good.
    pub(super) fn is_removed(&mut self, name: String) {
        self.damage.files_removed += 1;
        remember(&mut self.damage.removed, name);
    }
}

fn remember(names: &mut Vec<String>, name: String) {
    if names.len() < NAMES_MAX {
        names.push(name);
    }
}

/// See [`Spool::span_around`]. Only the nearest segment on either side is read.
pub(super) fn span_around<'a>(
    disk: &mut dyn Disk,
    segments: impl IntoIterator<Item = &'a Segment, IntoIter: DoubleEndedIterator + Clone>,
    (first, last): (u64, u64),
    span_of: fn(&[u8]) -> Option<Span>,
) -> Option<Span> {
    let segments = segments.into_iter();
    let mut filled = segments.filter(|segment| segment.first < segment.next);
    let before = filled.clone().rfind(|segment| segment.first < first)?;
    let after = filled.find(|segment| segment.next > last.saturating_add(1))?;
    let mut read = |segment: &Segment| read_given(disk, &segment.name(), segment.bytes).ok();
    let (before_bytes, after_bytes) = (read(before)?.bytes, read(after)?.bytes);
    let before = records(&before_bytes, before.first)
        .take_while(|(at, _)| *at < first.min(before.next))
        .filter_map(|(_, record)| span_of(record))
        .last()?;
    let after = records(&after_bytes, after.first)
        .take_while(|(at, _)| *at < after.next)
        .filter(|(at, _)| *at > last)
        .find_map(|(_, record)| span_of(record))?;
    // A date may have been set back between the two.
    Some((before.1.min(after.0), before.1.max(after.0)))
}
