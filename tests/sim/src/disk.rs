//! The disk of an agent's node: it survives the agent, can be full, fail, rot, and lose power.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use spool::{Disk, MemoryDisk};

use crate::chance::Chance;
use crate::mutant::Mutant;

/// A handle to the disk of one node.
#[derive(Clone, Debug)]
pub(crate) struct NodeDisk {
    files: MemoryDisk,
    power: Arc<Mutex<Power>>,
    is_rotten: Arc<AtomicBool>,
    aside: Arc<AtomicUsize>,
    mutant: Option<Mutant>,
}

/// What is left until the machine stops in the middle of its work.
#[derive(Debug, Default)]
struct Power {
    calls_left: Option<u64>,
}

fn down() -> io::Error {
    io::Error::other("the machine is down")
}

impl NodeDisk {
    pub(crate) fn new(mutant: Option<Mutant>) -> Self {
        Self {
            files: MemoryDisk::default(),
            power: Arc::default(),
            is_rotten: Arc::default(),
            aside: Arc::default(),
            mutant,
        }
    }

    fn power(&self) -> MutexGuard<'_, Power> {
        self.power.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// After so many more calls nothing reaches the disk.
    pub(crate) fn stop_after(&self, calls: u64) {
        self.power().calls_left = Some(calls);
    }

    /// The process has ended; with `power_lost` what was not synced is gone too.
    pub(crate) fn ended(&self, power_lost: bool, chance: &mut Chance) {
        self.power().calls_left = None;
        if power_lost {
            self.files.crash(|| chance.next());
        }
    }

    /// Has room for so many bytes; `None` for any.
    pub(crate) fn set_room(&self, room: Option<usize>) {
        self.files.set_room(room);
    }

    /// Fails the next syncs.
    pub(crate) fn fail_syncs(&self, count: usize) {
        self.files.fail_syncs(count);
    }

    fn segments(&self) -> Vec<(String, Vec<u8>)> {
        let mut files = self.files.contents();
        files.retain(|(name, _)| name.ends_with(".seg") && !name.contains('/'));
        files
    }

    /// Flips a bit in a segment that is no longer written to, or lets its sector go bad; says which.
    pub(crate) fn rot(&self, chance: &mut Chance) -> Option<String> {
        let mut segments = self.segments();
        segments.pop();
        if segments.is_empty() {
            return None;
        }
        let (name, bytes) = segments.swap_remove(chance.index(segments.len()));
        let at = chance.index(bytes.len());
        self.is_rotten.store(true, Ordering::Relaxed);
        if chance.likely(500_000) {
            self.files.spoil(&name, at..at + 1);
            return Some(format!("{name} cannot be read at {at}"));
        }
        let bit = 1 << chance.below(8);
        self.files.damage(&name, |bytes| {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= bit;
            }
        });
        Some(format!("{name} at {at}"))
    }

    /// Whether a bit has flipped or a sector gone bad.
    pub(crate) fn is_rotten(&self) -> bool {
        self.is_rotten.load(Ordering::Relaxed)
    }

    /// Bytes of all segments.
    pub(crate) fn segment_bytes(&self) -> u64 {
        let segments = self.segments();
        segments.iter().map(|(_, bytes)| bytes.len() as u64).sum()
    }

    /// How many files were set aside.
    pub(crate) fn set_aside_count(&self) -> usize {
        self.aside.load(Ordering::Relaxed)
    }

    fn is_set_aside(&self, aside: io::Result<String>) -> io::Result<String> {
        self.aside
            .fetch_add(usize::from(aside.is_ok()), Ordering::Relaxed);
        aside
    }

    fn works(&self) -> io::Result<()> {
        match &mut self.power().calls_left {
            None => Ok(()),
            Some(0) => Err(down()),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
        }
    }
}

impl Disk for NodeDisk {
    fn list(&mut self) -> io::Result<Vec<String>> {
        self.works()?;
        self.files.list()
    }

    fn len(&mut self, name: &str) -> io::Result<u64> {
        self.works()?;
        self.files.len(name)
    }

    fn read_at(&mut self, name: &str, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.works()?;
        self.files.read_at(name, offset, into)
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.works()?;
        // The last call before the end leaves a part of itself.
        if self.power().calls_left == Some(0) {
            let part = bytes.get(..bytes.len() / 2).unwrap_or_default();
            self.files.append(name, part)?;
            return Err(down());
        }
        self.files.append(name, bytes)
    }

    fn truncate(&mut self, name: &str, len: u64) -> io::Result<()> {
        self.works()?;
        self.files.truncate(name, len)
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        self.works()?;
        if self.mutant == Some(Mutant::SpoolBeforeSync) {
            return Ok(());
        }
        self.files.sync(name)
    }

    fn replace(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.works()?;
        self.files.replace(name, bytes)
    }

    fn overwrite(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.works()?;
        self.files.overwrite(name, bytes)
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.works()?;
        self.files.remove(name)
    }

    fn replace_aside(&mut self, name: &str, bytes: &[u8]) -> io::Result<String> {
        self.works()?;
        if self.mutant == Some(Mutant::DeleteUnreadable) {
            self.files.replace(name, bytes)?;
            return Ok(format!("damaged/{name}"));
        }
        self.is_set_aside(self.files.clone().replace_aside(name, bytes))
    }

    fn set_aside(&mut self, name: &str) -> io::Result<String> {
        self.works()?;
        if self.mutant == Some(Mutant::DeleteUnreadable) {
            self.files.remove(name)?;
            return Ok(format!("damaged/{name}"));
        }
        self.is_set_aside(self.files.clone().set_aside(name))
    }

    fn list_aside(&mut self) -> io::Result<Vec<(String, u64)>> {
        self.works()?;
        self.files.list_aside()
    }
}
