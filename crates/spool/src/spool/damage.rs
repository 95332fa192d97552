//! What becomes of bytes that cannot be read.

use std::io;

use super::read::read_given;
use super::{Segment, Spool};
use crate::error::{is_damage, is_full};
use crate::loss::{Loss, Reason};
use crate::record::{HEAD_BYTES, Head, head_bytes};
use crate::{Disk, Error};

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
                span: None,
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

    /// Takes note that a file was set aside.
    pub(super) fn is_set_aside(&mut self, aside: String) {
        self.set_aside.push(aside);
    }
}
