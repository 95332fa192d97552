//! Room for what comes: what goes for it, and what could not be kept at all.

use super::read::read_given;
use super::{Segment, Spool};
use crate::Error;
use crate::error::{is_damage, is_full};
use crate::loss::{Loss, Reason, Span, hull};
use crate::record::{HEAD_BYTES, RECORD_HEAD_BYTES, SEQUENCE_END, records};
use crate::state::RESERVE_FILE;

impl Spool {
    /// Whether taking in a record of so many bytes would drop the oldest segment.
    #[must_use]
    pub fn is_full_for(&self, record_bytes: usize) -> bool {
        let mut needed = (RECORD_HEAD_BYTES + record_bytes) as u64;
        if self.needs_segment(needed) {
            needed += HEAD_BYTES as u64;
        }
        self.is_over(needed)
    }

    /// Drops the oldest segment, for a disk that has no room although the spool is within its bound;
    /// what was not acknowledged of it is a [`Loss`]. `false` when there is only the one that is
    /// written to.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn drop_oldest(&mut self) -> Result<bool, Error> {
        if self.segments.len() < 2 {
            return Ok(false);
        }
        let oldest = self.segments[0].clone();
        let first = oldest.first.max(self.floor);
        if first >= oldest.next {
            self.remove_oldest()?;
            return Ok(true);
        }
        let mut losses = self.losses.clone();
        losses.add(Loss {
            first,
            last: oldest.next - 1,
            reason: Reason::Full,
            span: self.span_from(&oldest, first),
        });
        match self.keep_losses(losses.clone(), oldest.next) {
            Ok(()) => self.remove_oldest()?,
            // Where there is no room even for the note, the room comes first. If the process ends
            // between the two, the next one finds the hole and calls it missing.
            Err(Error::DiskFull { .. }) => {
                self.remove_oldest()?;
                if self.keep_losses(losses.clone(), oldest.next).is_err() {
                    self.remember(losses, oldest.next);
                }
            }
            Err(error) => return Err(error),
        }
        Ok(true)
    }

    /// Gives the next `count` sequences to records that cannot be kept: a [`Loss`] from the start.
    ///
    /// # Errors
    /// [`Error::SequencesExhausted`]; or the disk is full or fails before anything is changed.
    pub fn skip(&mut self, count: u64, reason: Reason, span: Option<Span>) -> Result<(), Error> {
        let first = self.next;
        let end = first.saturating_add(count);
        if end > SEQUENCE_END {
            return Err(Error::SequencesExhausted);
        }
        if count == 0 {
            return Ok(());
        }
        self.sync()?;
        self.make_room(HEAD_BYTES as u64)?;
        let mut losses = self.losses.clone();
        losses.add(Loss {
            first,
            last: end - 1,
            reason,
            span,
        });
        match self.keep_losses(losses.clone(), self.floor) {
            Ok(()) => {}
            Err(error @ Error::DiskFull { .. }) => return Err(error),
            // The note may be there all the same, and nothing else may have these numbers then.
            Err(_) => self.remember(losses, self.floor),
        }
        (self.next, self.synced_next) = (end, end);
        // If this fails, the next record begins it.
        drop(self.start_segment(end, &[]));
        Ok(())
    }

    /// Drops segments until so many bytes more are within the bound.
    pub(super) fn make_room(&mut self, needed: u64) -> Result<(), Error> {
        while self.is_over(needed) {
            self.drop_oldest()?;
        }
        Ok(())
    }

    fn is_over(&self, needed: u64) -> bool {
        self.bytes() + needed > self.config.bytes_max && self.segments.len() > 1
    }

    pub(super) fn remove_oldest(&mut self) -> Result<(), Error> {
        let name = self.segments[0].name();
        if self.segments[0].damaged.is_some() {
            match self.disk.set_aside(&name) {
                Ok(aside) => self.is_set_aside(aside),
                // Nothing can be done for it.
                Err(error) if is_damage(&error) => {}
                // It would be what keeps good records out.
                Err(error) if is_full(&error) && self.disk.remove(&name).is_ok() => {
                    self.is_removed(name);
                }
                Err(error) => return Err(Error::disk("set aside", &name)(error)),
            }
        } else {
            match self.disk.remove(&name) {
                Err(error) if !is_damage(&error) => {
                    return Err(Error::disk("remove", &name)(error));
                }
                Ok(()) | Err(_) => {}
            }
        }
        self.segments.pop_front();
        self.keep_reserve();
        Ok(())
    }

    /// Puts the reserve on the disk if it is not there and there is room; it is missed when it is
    /// needed, and not before.
    pub(super) fn keep_reserve(&mut self) {
        if self.config.reserve_bytes > 0 && !self.has_reserve {
            let zeros = vec![0; usize::try_from(self.config.reserve_bytes).unwrap_or_default()];
            self.has_reserve = self.disk.replace(RESERVE_FILE, &zeros).is_ok();
        }
    }

    /// Takes the reserve off the disk; `false` if there is none.
    pub(super) fn spend_reserve(&mut self) -> bool {
        let spent = self.has_reserve && self.disk.remove(RESERVE_FILE).is_ok();
        self.has_reserve = false;
        spent
    }

    /// The times of the records of a segment from `sequence` on, as far as they can be read.
    fn span_from(&mut self, segment: &Segment, sequence: u64) -> Option<Span> {
        let bytes = self.load(segment).ok()?;
        records(&bytes, segment.first)
            .take_while(|(at, _)| *at < segment.next)
            .filter(|(at, _)| *at >= sequence)
            .map(|(_, record)| (self.config.span_of)(record))
            .fold(None, hull)
    }

    /// The bytes of a segment, as many as are there; zeros where the disk does not give them.
    pub(super) fn load(&mut self, segment: &Segment) -> Result<Vec<u8>, Error> {
        let name = segment.name();
        let length = match self.disk.len(&name) {
            Ok(length) => length.min(segment.bytes),
            Err(error) if is_damage(&error) => 0,
            Err(error) => return Err(Error::disk("look at", &name)(error)),
        };
        Ok(read_given(self.disk.as_mut(), &name, length)?.bytes)
    }
}
