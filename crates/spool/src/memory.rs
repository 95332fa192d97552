//! A disk in memory that can be full, fail and crash, for tests.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::Disk;

/// What Linux says when the medium fails.
const EIO: i32 = 5;

/// A disk in memory. Clones are handles to the same disk, so that it outlives a spool that crashed.
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    files: BTreeMap<String, File>,
    /// Removed or replaced in place since the last durable change of names: a crash may undo it.
    undoable: Vec<(String, File)>,
    /// Bytes that may still be written before the disk is full.
    room: Option<usize>,
    /// Most bytes of all files together.
    capacity: Option<usize>,
    /// Names of files that were set aside, oldest first.
    aside: Vec<String>,
    sync_failures: usize,
    read_failures: (usize, i32),
    replace_failures: usize,
}

#[derive(Clone, Debug, Default)]
struct File {
    bytes: Vec<u8>,
    /// A crash keeps at least these.
    durable: usize,
    /// After a failed sync, what lies beyond this never becomes durable.
    doubtful_from: Option<usize>,
    /// Bytes that the medium does not give.
    unreadable: Vec<Range<usize>>,
}

impl MemoryDisk {
    /// From now on at most `room` bytes can be written; `None` lifts the bound.
    pub fn set_room(&self, room: Option<usize>) {
        self.inner().room = room;
    }

    /// How many bytes can still be written; `None` if there is no bound.
    #[must_use]
    pub fn room(&self) -> Option<usize> {
        self.inner().room
    }

    /// From now on all files together hold at most `bytes`: what is removed or cut makes room again.
    /// `None` lifts the bound.
    pub fn set_capacity(&self, bytes: Option<usize>) {
        self.inner().capacity = bytes;
    }

    /// The next `count` replacements are made and fail all the same, as when a directory cannot be
    /// synced.
    pub fn fail_replacements(&self, count: usize) {
        self.inner().replace_failures = count;
    }

    /// The next `count` syncs fail, and what they should have saved is lost at the next crash.
    pub fn fail_syncs(&self, count: usize) {
        self.inner().sync_failures = count;
    }

    /// Loses power: of what was not made durable, some survives, some is torn, some comes back that
    /// had been removed. `chance` gives numbers that decide how much.
    pub fn crash(&self, mut chance: impl FnMut() -> u64) {
        let mut inner = self.inner();
        for (name, file) in std::mem::take(&mut inner.undoable) {
            if chance().is_multiple_of(2) {
                if name.contains('/') {
                    inner.aside.push(name.clone());
                }
                inner.files.insert(name, file);
            }
        }
        for file in inner.files.values_mut() {
            let end = file.doubtful_from.take().unwrap_or(file.bytes.len());
            let loose = end.saturating_sub(file.durable);
            let kept = usize::try_from(chance() % (loose as u64 + 1)).unwrap_or_default();
            file.bytes.truncate(file.durable + kept);
            // The last bytes that survive may be garbage: length is written before content.
            let garbage = usize::try_from(chance() % (kept as u64 + 1)).unwrap_or_default();
            let start = file.bytes.len() - garbage.min(64);
            if chance().is_multiple_of(2) {
                file.bytes.get_mut(start..).unwrap_or_default().fill(0);
            }
            file.durable = file.bytes.len();
        }
        inner.room = None;
        inner.capacity = None;
        inner.sync_failures = 0;
        inner.replace_failures = 0;
    }

    /// Changes the bytes of a file behind the spool's back; `false` if there is none.
    pub fn damage(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) -> bool {
        let mut inner = self.inner();
        let Some(file) = inner.files.get_mut(name) else {
            return false;
        };
        change(&mut file.bytes);
        file.durable = file.durable.min(file.bytes.len());
        true
    }

    /// From now on these bytes of a file cannot be read, as when sectors are bad, wherever the file is moved; `false`
    /// if there is none.
    pub fn spoil(&self, name: &str, bytes: Range<usize>) -> bool {
        let mut inner = self.inner();
        let file = inner.files.get_mut(name);
        file.map(|file| file.unreadable.push(bytes)).is_some()
    }

    /// The next `count` reads fail with this code of the system, whatever they read.
    pub fn fail_reads(&self, count: usize, code: i32) {
        self.inner().read_failures = (count, code);
    }

    /// All names, set-aside files included, with their bytes.
    #[must_use]
    pub fn contents(&self) -> Vec<(String, Vec<u8>)> {
        let inner = self.inner();
        inner
            .files
            .iter()
            .map(|(name, file)| (name.clone(), file.bytes.clone()))
            .collect()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Nothing panics while it is held, and a test that did has failed already.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl File {
    fn durable(bytes: &[u8]) -> Self {
        Self {
            bytes: bytes.to_vec(),
            durable: bytes.len(),
            ..Self::default()
        }
    }
}

impl Inner {
    fn file(&mut self, name: &str) -> io::Result<&mut File> {
        self.files
            .get_mut(name)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// How much of `wanted` bytes can be written.
    fn take_room(&mut self, wanted: usize) -> usize {
        let used = || self.files.values().map(|file| file.bytes.len()).sum();
        let wanted = match self.capacity {
            Some(capacity) => wanted.min(capacity.saturating_sub(used())),
            None => wanted,
        };
        let Some(room) = &mut self.room else {
            return wanted;
        };
        let taken = wanted.min(*room);
        *room -= taken;
        taken
    }
}

impl Disk for MemoryDisk {
    fn list(&mut self) -> io::Result<Vec<String>> {
        Ok(self
            .inner()
            .files
            .keys()
            .filter(|name| !name.contains('/'))
            .cloned()
            .collect())
    }

    fn len(&mut self, name: &str) -> io::Result<u64> {
        Ok(self.inner().file(name)?.bytes.len() as u64)
    }

    fn read_at(&mut self, name: &str, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let mut inner = self.inner();
        if let (count @ 1.., code) = inner.read_failures {
            inner.read_failures.0 = count - 1;
            return Err(io::Error::from_raw_os_error(code));
        }
        let file = inner.file(name)?;
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let end = start.saturating_add(into.len());
        if file
            .unreadable
            .iter()
            .any(|bad| bad.start < end && start < bad.end)
        {
            return Err(io::Error::from_raw_os_error(EIO));
        }
        let from = file
            .bytes
            .get(start..)
            .and_then(|rest| rest.get(..into.len()))
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        into.copy_from_slice(from);
        Ok(())
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut inner = self.inner();
        let taken = inner.take_room(bytes.len());
        let file = inner.file(name)?;
        file.bytes.extend(bytes.iter().take(taken));
        if taken < bytes.len() {
            Err(io::ErrorKind::StorageFull.into())
        } else {
            Ok(())
        }
    }

    fn truncate(&mut self, name: &str, len: u64) -> io::Result<()> {
        let mut inner = self.inner();
        let file = inner.file(name)?;
        file.bytes
            .truncate(usize::try_from(len).unwrap_or(usize::MAX));
        file.durable = file.durable.min(file.bytes.len());
        Ok(())
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        let mut inner = self.inner();
        let fails = inner.sync_failures > 0;
        inner.sync_failures = inner.sync_failures.saturating_sub(1);
        let file = inner.file(name)?;
        if fails {
            file.doubtful_from.get_or_insert(file.durable);
            return Err(io::Error::other("the disk did not answer"));
        }
        file.durable = file.doubtful_from.unwrap_or(file.bytes.len());
        Ok(())
    }

    fn replace(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut inner = self.inner();
        if inner.take_room(bytes.len()) < bytes.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        inner.files.insert(name.to_owned(), File::durable(bytes));
        inner.undoable.clear();
        if inner.replace_failures > 0 {
            inner.replace_failures -= 1;
            return Err(io::Error::other("the directory did not answer"));
        }
        Ok(())
    }

    fn overwrite(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut inner = self.inner();
        if inner.take_room(bytes.len()) < bytes.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let file = File {
            bytes: bytes.to_vec(),
            durable: 0,
            doubtful_from: None,
            unreadable: Vec::new(),
        };
        if let Some(old) = inner.files.insert(name.to_owned(), file) {
            inner.undoable.push((name.to_owned(), old));
        }
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        let mut inner = self.inner();
        let file = inner.files.remove(name).ok_or(io::ErrorKind::NotFound)?;
        inner.aside.retain(|aside| aside != name);
        inner.undoable.push((name.to_owned(), file));
        Ok(())
    }

    fn replace_aside(&mut self, name: &str, bytes: &[u8]) -> io::Result<String> {
        self.inner().file(name)?;
        if self.inner().take_room(bytes.len()) < bytes.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let aside = self.set_aside(name)?;
        let mut inner = self.inner();
        inner.files.insert(name.to_owned(), File::durable(bytes));
        inner.undoable.clear();
        if inner.replace_failures > 0 {
            inner.replace_failures -= 1;
            return Err(io::Error::other("the directory did not answer"));
        }
        Ok(aside)
    }

    fn set_aside(&mut self, name: &str) -> io::Result<String> {
        let mut inner = self.inner();
        let file = inner.files.remove(name).ok_or(io::ErrorKind::NotFound)?;
        let aside = (0..=u32::MAX)
            .map(|turn| format!("damaged/{name}.{turn}"))
            .find(|aside| !inner.files.contains_key(aside))
            .ok_or(io::ErrorKind::StorageFull)?;
        inner.files.insert(aside.clone(), file);
        inner.aside.push(aside.clone());
        Ok(aside)
    }

    fn list_aside(&mut self) -> io::Result<Vec<(String, u64)>> {
        let inner = self.inner();
        let files = inner.aside.iter().filter_map(|name| {
            let file = inner.files.get(name)?;
            Some((name.clone(), file.bytes.len() as u64))
        });
        Ok(files.collect())
    }
}
