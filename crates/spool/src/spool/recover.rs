//! Opening: find out what is there, write down what is lost, then repair.

use std::io;

use super::damage::span_around;
use super::examine::{Finding, Repair, examine};
use super::read::read_given;
use super::{Config, Damage, Noted, Recovery, Segment, Spool, Tail};
use crate::error::{is_damage, is_full};
use crate::loss::{Loss, Losses, Reason};
use crate::record::{FoundHead, HEAD_BYTES, SEQUENCE_END, read_head, segment_first, segment_name};
use crate::state::{
    ACKNOWLEDGED_BYTES, ACKNOWLEDGED_FILE, EPOCH_FILE, LOSSES_FILE, RESERVE_FILE, STATE_BYTES_MAX,
    epoch_bytes, read_acknowledged, read_epoch, read_losses,
};
use crate::{Disk, Error};

/// Of most losses found at a start their times are looked for: it takes reading two segments again.
const SPANS_MAX: usize = 64;

pub(super) fn open(mut disk: Box<dyn Disk>, config: Config) -> Result<(Spool, Recovery), Error> {
    let mut recovery = Recovery::default();
    let names = disk.list().map_err(Error::disk("list", "the directory"))?;
    let all_firsts = names.iter().filter_map(|name| segment_first(name));
    let (mut firsts, beyond): (Vec<u64>, Vec<u64>) =
        all_firsts.partition(|first| *first <= SEQUENCE_END);
    firsts.sort_unstable();

    let (epoch, has_epoch) = find_epoch(disk.as_mut(), &config, &names, &firsts, &mut recovery)?;
    let (known_floor, mut losses) = state_file(
        disk.as_mut(),
        LOSSES_FILE,
        &names,
        read_losses,
        &mut recovery,
    )?
    .unwrap_or_else(|| (1, Losses::default()));
    let acknowledged = acknowledged_hint(disk.as_mut(), &names)?;
    let floor = known_floor.max(acknowledged.saturating_add(1));

    let mut findings = Vec::new();
    for (index, &first) in firsts.iter().enumerate() {
        let end = firsts.get(index + 1).copied();
        findings.push(examine(disk.as_mut(), first, end, epoch, floor)?);
    }
    // Everything that is lost is written down before a byte is moved: if this process ends in the
    // middle of the repair, no number is given out twice.
    let noted = find_losses(
        disk.as_mut(),
        &config,
        &findings,
        (floor, &mut losses),
        &mut recovery,
    );
    let mut spool = Spool {
        disk,
        config,
        epoch,
        segments: std::collections::VecDeque::new(),
        next: floor.max(lost_next(&losses)),
        synced_next: 0,
        floor,
        acknowledged,
        losses,
        unsynced: Vec::new(),
        tail: Tail::Sound,
        has_reserve: false,
        cursor: None,
        has_epoch,
        noted,
        damage: Damage::default(),
        damaged_bytes: 0,
    };
    std::mem::take(&mut recovery.set_aside)
        .into_iter()
        .for_each(|aside| spool.is_set_aside(aside));
    spool.bound_damaged();
    spool.find_reserve(&names);
    spool.write_losses()?;
    let last = findings.iter().map(|finding| finding.segment.first).max();
    for finding in findings {
        let is_last = Some(finding.segment.first) == last;
        spool.repair(finding, is_last, &mut recovery)?;
    }
    // No spool wrote these, so there is nothing in them to keep.
    for first in beyond {
        spool.set_aside_foreign(&segment_name(first))?;
    }
    spool.begin_tail()?;
    spool.keep_reserve();
    spool.synced_next = spool.next;
    recovery.pending = spool.pending();
    recovery.set_aside.clone_from(&spool.damage.set_aside);
    Ok((spool, recovery))
}

/// Adds what is lost to the losses that were known; says what the disk has of them.
fn find_losses(
    disk: &mut dyn Disk,
    config: &Config,
    findings: &[Finding],
    (floor, losses): (u64, &mut Losses),
    recovery: &mut Recovery,
) -> Noted {
    let before = losses.clone();
    for loss in all_losses(findings, floor, lost_next(losses)) {
        recovery.losses.extend(losses.add(loss));
    }
    let segments = findings.iter().filter(|finding| finding.is_ours());
    let segments = segments.map(|finding| &finding.segment);
    for loss in recovery.losses.iter_mut().take(SPANS_MAX) {
        let range = (loss.first, loss.last);
        loss.span = span_around(disk, segments.clone(), range, config.span_of);
        losses.set_span(loss);
    }
    let last = findings.iter().filter(|finding| finding.is_ours());
    let last = last.map(|finding| finding.segment.first).max();
    // A segment behind a loss says that its numbers were given.
    let is_certain = |loss: &Loss| last.is_some_and(|last| loss.last < last);
    if *losses == before {
        Noted::All
    } else if recovery.losses.iter().all(is_certain) {
        Noted::Some
    } else {
        Noted::SomeUncertain
    }
}

impl Spool {
    fn find_reserve(&mut self, names: &[String]) {
        let reserve = names.iter().any(|name| name == RESERVE_FILE);
        let bytes = reserve.then(|| self.disk.len(RESERVE_FILE).ok());
        self.has_reserve =
            self.config.reserve_bytes > 0 && bytes.flatten() == Some(self.config.reserve_bytes);
    }

    /// Writes the losses that were found. If there is no room even without the reserve, they wait in memory.
    fn write_losses(&mut self) -> Result<(), Error> {
        if self.noted == Noted::All {
            return Ok(());
        }
        match self.keep_losses(self.losses.clone(), self.floor) {
            Err(Error::DiskFull { .. }) if self.spend_reserve() => {}
            done => return waits_for_room(done),
        }
        waits_for_room(self.keep_losses(self.losses.clone(), self.floor))
    }

    /// Sees to it that there is a segment to write to.
    fn begin_tail(&mut self) -> Result<(), Error> {
        let last = self.segments.back();
        if last.is_some_and(|last| last.next == self.next && last.damaged.is_none()) {
            return self.make_room(0);
        }
        self.make_room(HEAD_BYTES as u64)?;
        let begun = self.start_segment(self.next, &[]);
        if begun.is_err() && self.segments.is_empty() {
            // The one that is written to, as soon as it can be begun.
            self.segments.push_back(Segment {
                first: self.next,
                next: self.next,
                bytes: HEAD_BYTES as u64,
                level: 0,
                damaged: None,
            });
        }
        waits_for_room(begun)
    }

    fn repair(
        &mut self,
        finding: Finding,
        is_last: bool,
        recovery: &mut Recovery,
    ) -> Result<(), Error> {
        let Finding {
            mut segment,
            file_bytes,
            repair,
            ..
        } = finding;
        let name = segment.name();
        match repair {
            Repair::Nothing => {}
            Repair::Cut => {
                self.disk
                    .truncate(&name, segment.bytes)
                    .map_err(Error::disk("cut", &name))?;
                recovery.cut_bytes += file_bytes - segment.bytes;
            }
            Repair::Salvage => {
                if self.noted == Noted::SomeUncertain {
                    // As long as it is where it is, the next process finds the same losses.
                    segment.damaged = Some(file_bytes.saturating_sub(segment.bytes));
                } else {
                    self.salvage(&mut segment)?;
                }
                if segment.first == segment.next && segment.damaged.is_none() {
                    return Ok(());
                }
            }
            Repair::SetAside => {
                return self.set_aside_foreign(&name);
            }
            Repair::Remove => {
                return match self.disk.remove(&name) {
                    // The next start tries again.
                    Err(error) if is_damage(&error) => Ok(()),
                    removed => removed.map_err(Error::disk("remove", &name)),
                };
            }
        }
        if repair != Repair::Salvage {
            // What is read now may be in memory only, if the last process ended before its sync or
            // its sync failed; from here on it counts as durable. After a failure a sync may say
            // that all is well, so what was written last is written anew, if there is room.
            let again = is_last && self.write_again(&segment).is_ok();
            if !again {
                self.disk.sync(&name).map_err(Error::disk("sync", &name))?;
            }
        }
        self.next = self.next.max(segment.next);
        self.segments.push_back(segment);
        Ok(())
    }

    fn write_again(&mut self, segment: &Segment) -> io::Result<()> {
        let mut bytes = vec![0; usize::try_from(segment.bytes).unwrap_or_default()];
        self.disk.read_at(&segment.name(), 0, &mut bytes)?;
        self.disk.replace(&segment.name(), &bytes)
    }

    /// Sets aside a file that no spool wrote. Where that cannot be done for want of room, it stays and is left out.
    fn set_aside_foreign(&mut self, name: &str) -> Result<(), Error> {
        let aside = set_aside(self.disk.as_mut(), name)?;
        aside.into_iter().for_each(|aside| self.is_set_aside(aside));
        Ok(())
    }
}

/// Sets a file aside, if there is room and the disk gives its name.
fn set_aside(disk: &mut dyn Disk, name: &str) -> Result<Option<String>, Error> {
    match disk.set_aside(name) {
        Err(error) if is_damage(&error) || is_full(&error) => Ok(None),
        aside => aside.map(Some).map_err(Error::disk("set aside", name)),
    }
}

/// That there is no room is no reason not to open.
fn waits_for_room(done: Result<(), Error>) -> Result<(), Error> {
    match done {
        Err(Error::DiskFull { .. }) => Ok(()),
        done => done,
    }
}

/// The sequence after all that are known to be lost, or the first of all.
fn lost_next(losses: &Losses) -> u64 {
    let all = losses.untold.iter().chain(&losses.told);
    let nexts = all.map(|loss| loss.last.saturating_add(1));
    nexts.max().unwrap_or(1)
}

/// The losses within segments and the holes between them, from `floor` on, up to what was known to
/// be lost before.
fn all_losses(findings: &[Finding], floor: u64, lost_next: u64) -> Vec<Loss> {
    let missing = |first: u64, end: u64| Loss {
        first,
        last: end - 1,
        reason: Reason::Missing,
        span: None,
    };
    let mut losses = Vec::new();
    let mut expected = floor;
    for finding in findings {
        let segment = &finding.segment;
        if !finding.is_ours() {
            continue;
        }
        if expected < segment.first {
            losses.push(missing(expected, segment.first));
        }
        losses.extend(finding.loss);
        let known = finding.loss.map_or(0, |loss| loss.last.saturating_add(1));
        expected = expected.max(segment.next).max(known);
    }
    if expected < lost_next {
        losses.push(missing(expected, lost_next));
    }
    losses
        .into_iter()
        .map(|loss| Loss {
            first: loss.first.max(floor),
            ..loss
        })
        .filter(|loss| loss.first <= loss.last)
        .collect()
}

/// The epoch of the file, or the latest of the segments if the file is lost, or a new one; and whether there was room to
/// write it.
fn find_epoch(
    disk: &mut dyn Disk,
    config: &Config,
    names: &[String],
    firsts: &[u64],
    recovery: &mut Recovery,
) -> Result<(u64, bool), Error> {
    if let Some(epoch) = state_file(disk, EPOCH_FILE, names, read_epoch, recovery)? {
        return Ok((epoch, true));
    }
    let mut found = None;
    for &first in firsts {
        let name = segment_name(first);
        let mut head = [0; HEAD_BYTES];
        match disk.read_at(&name, 0, &mut head) {
            Ok(()) => {
                if let FoundHead::Good(head) = read_head(&head) {
                    found = found.max(Some(head.epoch));
                }
            }
            Err(error) if is_damage(&error) => {}
            Err(error) => return Err(Error::disk("read", &name)(error)),
        }
    }
    recovery.created = found.is_none();
    let epoch = found.unwrap_or(config.epoch_if_new);
    match disk.replace(EPOCH_FILE, &epoch_bytes(epoch)) {
        Err(error) if is_full(&error) => Ok((epoch, false)),
        Err(error) => Err(Error::disk("write", EPOCH_FILE)(error)),
        Ok(()) => Ok((epoch, true)),
    }
}

/// How far the last process knew it was acknowledged; 0 if it does not say, as after a power loss
/// in the middle of its writing. There is nothing in it that is worth keeping then.
fn acknowledged_hint(disk: &mut dyn Disk, names: &[String]) -> Result<u64, Error> {
    if !names.iter().any(|have| have == ACKNOWLEDGED_FILE) {
        return Ok(0);
    }
    let mut bytes = [0; ACKNOWLEDGED_BYTES];
    match disk.read_at(ACKNOWLEDGED_FILE, 0, &mut bytes) {
        Ok(()) => Ok(read_acknowledged(&bytes).unwrap_or(0)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
        Err(error) if is_damage(&error) => {
            // The next is not written to the same bad place.
            drop(disk.remove(ACKNOWLEDGED_FILE));
            Ok(0)
        }
        Err(error) => Err(Error::disk("read", ACKNOWLEDGED_FILE)(error)),
    }
}

/// Reads a state file if it is there; one that makes no sense is set aside.
fn state_file<T>(
    disk: &mut dyn Disk,
    name: &str,
    names: &[String],
    read: impl FnOnce(&[u8]) -> Option<T>,
    recovery: &mut Recovery,
) -> Result<Option<T>, Error> {
    if !names.iter().any(|have| have == name) {
        return Ok(None);
    }
    let length = match disk.len(name) {
        Err(error) if is_damage(&error) => 0,
        length => length.map_err(Error::disk("look at", name))?,
    };
    if length <= STATE_BYTES_MAX as u64
        && let Some(state) = read(&read_given(disk, name, length)?.bytes)
    {
        return Ok(Some(state));
    }
    recovery.set_aside.extend(set_aside(disk, name)?);
    Ok(None)
}
