//! The spool itself.

mod damage;
mod examine;
mod notes;
mod read;
mod recover;
mod room;
mod thin;

use std::collections::VecDeque;
use std::io;

use crate::loss::{Loss, Losses, Span};
use crate::record::{
    HEAD_BYTES, Head, RECORD_HEAD_BYTES, SEQUENCE_END, head_bytes, put_record, segment_name,
};
use crate::state::{ACKNOWLEDGED_FILE, EPOCH_FILE, acknowledged_bytes, epoch_bytes};
use crate::{Disk, Error};

pub use damage::Damage;
use notes::Noted;
pub use thin::{Thinned, Thinner};

/// No segment is larger: recovery reads one at a time into memory.
pub(crate) const SEGMENT_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// The smallest segment that is worth a file.
const SEGMENT_BYTES_MIN: u64 = 256;

/// The bounds of a spool, and what it cannot know itself.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Most bytes of all segments together; at least two segments. Past it the oldest segment is
    /// dropped. What was set aside as damaged (a tenth of it at most, or a segment, if that is more) and the small
    /// state files (under 128 KiB each) come on top.
    pub bytes_max: u64,
    /// Most bytes of one segment, and so of one record with its 44 bytes of heads. Space is freed
    /// and lost in units of it. As much is kept in memory between syncs.
    pub segment_bytes: u64,
    /// The epoch to take if there is no spool yet, such as the time in nanoseconds: a value that no
    /// earlier spool of this agent had.
    pub epoch_if_new: u64,
    /// Bytes that lie on the disk for nothing, so that on a full one a segment can be thinned: the
    /// thinner one needs its place before the old one goes. As many as a segment's are enough for any;
    /// 0 for none. They come on top of `bytes_max`.
    pub reserve_bytes: u64,
    /// The first and the last time in a record, for [`Loss::span`]; [`crate::no_span`] where nobody
    /// asks.
    pub span_of: fn(&[u8]) -> Option<Span>,
}

impl Config {
    /// Checks the bounds against each other.
    ///
    /// # Errors
    /// [`Error::BadConfig`] says which.
    pub const fn validate(&self) -> Result<(), Error> {
        if self.segment_bytes < SEGMENT_BYTES_MIN || self.segment_bytes > SEGMENT_BYTES_MAX {
            return Err(Error::BadConfig {
                what: "segment_bytes must lie from 256 B to 256 MiB",
            });
        }
        if self.bytes_max / 2 < self.segment_bytes {
            return Err(Error::BadConfig {
                what: "bytes_max must be at least two segments",
            });
        }
        if self.reserve_bytes > self.segment_bytes {
            return Err(Error::BadConfig {
                what: "reserve_bytes must be at most a segment",
            });
        }
        Ok(())
    }
}

/// What opening found, for the log and the counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Whether there was no spool before.
    pub created: bool,
    /// Records that are not acknowledged.
    pub pending: u64,
    /// Bytes cut from a torn tail.
    pub cut_bytes: u64,
    /// Where damaged files were moved, relative to the directory.
    pub set_aside: Vec<String>,
    /// Losses that were found now; they are among [`Spool::losses`] too.
    pub losses: Vec<Loss>,
}

/// One file of records with the sequences `first..next`.
#[derive(Clone, Debug)]
struct Segment {
    first: u64,
    next: u64,
    bytes: u64,
    /// How thin its records were made; 0 for as they came.
    level: u8,
    /// Where the file could not be set aside for want of room, the bytes in it behind those that are good.
    damaged: Option<u64>,
}

impl Segment {
    fn name(&self) -> String {
        segment_name(self.first)
    }
}

/// Whether the end of the active file is as the spool thinks it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tail {
    Sound,
    /// A part of a record that was refused may lie behind the last one.
    Partial,
    /// A sync failed: the kernel may have thrown away what it could not write, and may claim
    /// success the next time. The unsynced records are written anew, elsewhere, from memory.
    Doubtful,
    /// The next segment was begun in vain, but its file may be there, and ends this one: what comes
    /// goes into the next, once it can be begun.
    Ended,
}

/// Records on disk, numbered, oldest first, until they are acknowledged.
pub struct Spool {
    disk: Box<dyn Disk>,
    config: Config,
    epoch: u64,
    /// Oldest first, ascending and without overlap; the last one is written to and is always there.
    segments: VecDeque<Segment>,
    /// The sequence that the next record gets.
    next: u64,
    /// Sequences below are durable.
    synced_next: u64,
    /// Sequences below were acknowledged or dropped.
    floor: u64,
    acknowledged: u64,
    losses: Losses,
    /// The records that are not synced yet, as they lie in the file.
    unsynced: Vec<u8>,
    tail: Tail,
    /// Whether the reserve is there.
    has_reserve: bool,
    /// Where the sequence after the last one read starts in its segment, so that reading on does not
    /// walk again. It is empty at the end of a segment.
    cursor: Option<(u64, u64)>,
    /// Whether the disk has the epoch.
    has_epoch: bool,
    /// What the disk has of the losses.
    noted: Noted,
    damage: Damage,
    damaged_bytes: u64,
}

impl std::fmt::Debug for Spool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spool")
            .field("epoch", &self.epoch)
            .field("segments", &self.segments)
            .field("next", &self.next)
            .field("synced_next", &self.synced_next)
            .field("floor", &self.floor)
            .field("losses", &self.losses)
            .finish_non_exhaustive()
    }
}

impl Spool {
    /// Opens what is on `disk`, or starts a new spool there. Reads every segment once.
    ///
    /// # Errors
    /// When the configuration contradicts itself, the disk fails, or the files are of a later version. Damage is no
    /// error: it is repaired and reported. A full disk is none either: what is to be written waits for room, and so do
    /// new records.
    pub fn open(disk: impl Disk + 'static, config: Config) -> Result<(Self, Recovery), Error> {
        config.validate()?;
        recover::open(Box::new(disk), config)
    }

    /// Chosen when the spool was created or [`Spool::begin_epoch`] was called last; with it a
    /// sequence is unique for ever.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Bytes of all segments, those included that are acknowledged but share a file with others.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let segments = self.segments.iter();
        segments
            .map(|segment| segment.bytes + segment.damaged.unwrap_or_default())
            .sum()
    }

    /// Records that are neither acknowledged nor lost, those not yet synced included.
    #[must_use]
    pub fn pending(&self) -> u64 {
        self.segments
            .iter()
            .map(|segment| segment.next.saturating_sub(segment.first.max(self.floor)))
            .sum()
    }

    /// The lowest sequence that [`Spool::read_from`] may still give.
    #[must_use]
    pub const fn oldest_sequence(&self) -> u64 {
        self.floor
    }

    /// The sequence that the next record will get.
    #[must_use]
    pub const fn next_sequence(&self) -> u64 {
        self.next
    }

    /// Sequences below this are durable, and readable if they are still there.
    #[must_use]
    pub const fn synced_next_sequence(&self) -> u64 {
        self.synced_next
    }

    /// The highest sequence acknowledged so far, 0 if none.
    #[must_use]
    pub const fn acknowledged_through(&self) -> u64 {
        self.acknowledged
    }

    /// Takes one record; gives its sequence. It is durable, and readable, after the next
    /// [`Spool::sync`]. At the bound the oldest segment makes room, which is a [`Loss`].
    ///
    /// # Errors
    /// [`Error::RecordTooLarge`], [`Error::SequencesExhausted`]; or the disk is full or fails, and the
    /// record was not taken.
    pub fn append(&mut self, record: &[u8]) -> Result<u64, Error> {
        let needed = (RECORD_HEAD_BYTES + record.len()) as u64;
        let room = self.config.segment_bytes - HEAD_BYTES as u64;
        if needed > room {
            return Err(Error::RecordTooLarge {
                got: record.len(),
                max: usize::try_from(room).unwrap_or(usize::MAX) - RECORD_HEAD_BYTES,
            });
        }
        if self.next >= SEQUENCE_END {
            return Err(Error::SequencesExhausted);
        }
        if self.tail == Tail::Doubtful {
            self.rewrite_tail()?;
        }
        if self.needs_segment(needed) {
            self.make_room(HEAD_BYTES as u64 + needed)?;
            self.sync()?;
            self.start_segment(self.next, &[])?;
        } else {
            self.make_room(needed)?;
        }
        let (name, end) = (self.active().name(), self.active().bytes);
        if self.tail == Tail::Partial {
            self.disk
                .truncate(&name, end)
                .map_err(Error::disk("cut", &name))?;
            self.tail = Tail::Sound;
        }
        let start = self.unsynced.len();
        put_record(self.next, record, &mut self.unsynced);
        let written = self.unsynced.get(start..).unwrap_or_default();
        if let Err(source) = self.disk.append(&name, written) {
            self.unsynced.truncate(start);
            self.tail = match self.disk.truncate(&name, end) {
                Ok(()) => Tail::Sound,
                Err(_) => Tail::Partial,
            };
            return Err(Error::disk("append to", &name)(source));
        }
        self.active_mut().bytes += needed;
        self.active_mut().next += 1;
        self.next += 1;
        Ok(self.next - 1)
    }

    /// Makes all records durable. One call for many appends is as safe as one for each.
    ///
    /// # Errors
    /// When the disk fails or is full; the records are kept in memory and written elsewhere by the
    /// next call.
    pub fn sync(&mut self) -> Result<(), Error> {
        if self.noted != Noted::All {
            // They are kept in memory until it succeeds.
            drop(self.keep_losses(self.losses.clone(), self.floor));
        }
        if self.tail == Tail::Doubtful {
            return self.rewrite_tail();
        }
        if self.unsynced.is_empty() {
            return Ok(());
        }
        let name = self.active().name();
        if let Err(source) = self.disk.sync(&name) {
            self.tail = Tail::Doubtful;
            return Err(Error::disk("sync", &name)(source));
        }
        self.unsynced.clear();
        self.synced_next = self.next;
        Ok(())
    }

    /// Takes note that everything up to `sequence` is safe elsewhere, and frees the segments that
    /// hold nothing else. That this happened survives the end of the process, but perhaps not a
    /// power loss, after which some records are given out again.
    ///
    /// # Errors
    /// [`Error::NeverGiven`]; or the disk fails, and the acknowledgement holds for this process.
    pub fn acknowledge_through(&mut self, sequence: u64) -> Result<(), Error> {
        if sequence >= self.synced_next {
            return Err(Error::NeverGiven {
                got: sequence,
                last: self.synced_next - 1,
            });
        }
        if sequence <= self.acknowledged {
            return Ok(());
        }
        self.acknowledged = sequence;
        self.floor = self.floor.max(sequence + 1);
        // All of an active segment that has grown is free too, once there is another one.
        let all = self.floor == self.next && self.active().bytes > self.config.segment_bytes / 4;
        if all && self.tail == Tail::Sound {
            self.start_segment(self.next, &[])?;
        }
        if self.segments.len() > 1 && self.segments[0].next <= self.floor {
            // A power loss may bring back some of the removed files and not others; with the floor
            // on disk that is no hole. If the disk is too full to say so, room comes first: then
            // acknowledged records may be called missing after a power loss, which costs nothing.
            drop(self.keep_losses(self.losses.clone(), self.floor));
            while self.segments.len() > 1 && self.segments[0].next <= self.floor {
                self.remove_oldest()?;
            }
        }
        self.disk
            .overwrite(ACKNOWLEDGED_FILE, &acknowledged_bytes(sequence))
            .map_err(Error::disk("write", ACKNOWLEDGED_FILE))
    }

    /// Begins a new epoch: from now on a sequence means a record of this spool again, where someone
    /// else knows records under the old epoch that are not here, as after a restore from a
    /// snapshot. All records stay, with their sequences.
    ///
    /// # Errors
    /// [`Error::EpochNotLater`]; or the disk fails or is full. [`Spool::epoch`] says which epoch
    /// holds then; a new call may take it further.
    pub fn begin_epoch(&mut self, epoch: u64) -> Result<(), Error> {
        if epoch <= self.epoch {
            return Err(Error::EpochNotLater {
                got: epoch,
                now: self.epoch,
            });
        }
        self.sync()?;
        // The file comes first: a head of a later epoch than the file's belongs to another spool.
        self.disk
            .replace(EPOCH_FILE, &epoch_bytes(epoch))
            .map_err(Error::disk("write", EPOCH_FILE))?;
        (self.epoch, self.has_epoch) = (epoch, true);
        // A head of the new epoch, so that it is found again if that file is lost.
        self.make_room(HEAD_BYTES as u64)?;
        self.start_segment(self.next, &[])
    }

    /// Whether so many bytes go into a segment of their own.
    fn needs_segment(&self, bytes: u64) -> bool {
        self.tail == Tail::Ended || self.active().bytes + bytes > self.config.segment_bytes
    }

    fn active(&self) -> &Segment {
        &self.segments[self.segments.len() - 1]
    }

    fn active_mut(&mut self) -> &mut Segment {
        let last = self.segments.len() - 1;
        &mut self.segments[last]
    }

    /// Starts a file at `first` with these records, durable; in the place of one of the same name.
    fn start_segment(&mut self, first: u64, records: &[u8]) -> Result<(), Error> {
        let name = segment_name(first);
        let mut bytes = head_bytes(&Head {
            first,
            epoch: self.epoch,
            level: 0,
        })
        .to_vec();
        bytes.extend_from_slice(records);
        let begun = self
            .write_epoch()
            .and_then(|()| self.disk.replace(&name, &bytes));
        if let Err(source) = begun {
            if first == self.next {
                self.tail = Tail::Ended;
            }
            return Err(Error::disk("create", &name)(source));
        }
        if self.tail == Tail::Ended {
            self.tail = Tail::Sound;
        }
        self.segments.retain(|segment| segment.first != first);
        self.segments.push_back(Segment {
            first,
            next: self.next,
            bytes: bytes.len() as u64,
            level: 0,
            damaged: None,
        });
        self.cursor = None;
        Ok(())
    }

    /// Writes the epoch if the disk does not have it, before any head has it.
    fn write_epoch(&mut self) -> io::Result<()> {
        if !self.has_epoch {
            self.disk.replace(EPOCH_FILE, &epoch_bytes(self.epoch))?;
            self.has_epoch = true;
        }
        Ok(())
    }

    /// After a failed sync: a new file with the unsynced records, from memory.
    fn rewrite_tail(&mut self) -> Result<(), Error> {
        self.make_room(HEAD_BYTES as u64)?;
        let records = std::mem::take(&mut self.unsynced);
        let started = self.start_segment(self.synced_next, &records);
        self.unsynced = records;
        started?;
        if let Some(index) = self.segments.len().checked_sub(2) {
            let old = &mut self.segments[index];
            if old.next > self.synced_next {
                old.next = self.synced_next;
                old.bytes -= self.unsynced.len() as u64;
                // If this fails, what is left over is passed over at the next start: the records
                // of a segment end where the next one begins.
                drop(self.disk.truncate(&old.name(), old.bytes));
            }
        }
        self.unsynced.clear();
        self.synced_next = self.next;
        self.tail = Tail::Sound;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
