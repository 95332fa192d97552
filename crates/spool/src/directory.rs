//! A real directory.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::{Disk, Error};

const LOCK: &str = "lock";
const DAMAGED: &str = "damaged";
/// Ends the names of files that are being written and do not count yet.
const UNFINISHED: &str = ".tmp";

/// A directory that this process alone uses, held by a lock that dies with the process.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    /// The file last used, kept open: nearly all calls in a row are about one segment.
    open: Option<(String, File)>,
    _lock: File,
}

impl Directory {
    /// Opens `path`, creating it if need be, and locks it.
    ///
    /// # Errors
    /// [`Error::InUse`] when another process holds it; [`Error::Directory`] when it cannot be
    /// created, locked or cleared of unfinished files.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Directory {
            path: path.to_owned(),
            source,
        };
        fs::create_dir_all(path).map_err(failed)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join(LOCK))
            .map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::InUse {
                    path: path.to_owned(),
                });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        for entry in fs::read_dir(path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if entry.file_name().to_string_lossy().ends_with(UNFINISHED) {
                fs::remove_file(entry.path()).map_err(failed)?;
            }
        }
        Ok(Self {
            path: path.to_owned(),
            open: None,
            _lock: lock,
        })
    }

    fn file(&mut self, name: &str) -> io::Result<&File> {
        if self.open.as_ref().is_none_or(|(open, _)| open != name) {
            let file = OpenOptions::new()
                .read(true)
                .append(true)
                .open(self.path.join(name))?;
            self.open = Some((name.to_owned(), file));
        }
        self.open
            .as_ref()
            .map(|(_, file)| file)
            .ok_or_else(|| io::Error::other("no file is open"))
    }

    /// Writes a file that does not count yet.
    fn write_unfinished(&self, name: &str, bytes: &[u8]) -> io::Result<PathBuf> {
        let unfinished = self.path.join(format!("{name}{UNFINISHED}"));
        let written = (|| {
            let mut file = File::create(&unfinished)?;
            file.write_all(bytes)?;
            file.sync_data()
        })();
        if let Err(error) = written {
            // What cannot be removed now is removed at the next start.
            drop(fs::remove_file(&unfinished));
            return Err(error);
        }
        Ok(unfinished)
    }

    /// A name among the files set aside that no other has.
    fn name_aside(&self, name: &str) -> io::Result<String> {
        fs::create_dir_all(self.path.join(DAMAGED))?;
        let mut turn = 0_u32;
        loop {
            let aside = format!("{DAMAGED}/{name}.{turn}");
            if !self.path.join(&aside).try_exists()? {
                return Ok(aside);
            }
            turn = turn.checked_add(1).ok_or(io::ErrorKind::StorageFull)?;
        }
    }

    /// Gives the file a second name among those set aside. On a file system where a file has one name only it loses
    /// its own, and what is to take its place is lost if the process ends just then.
    fn link_aside(&self, name: &str) -> io::Result<String> {
        let aside = self.name_aside(name)?;
        let (from, to) = (self.path.join(name), self.path.join(&aside));
        fs::hard_link(&from, &to).or_else(|_| fs::rename(&from, &to))?;
        self.sync_names(Path::new(DAMAGED))?;
        Ok(aside)
    }

    /// Names are durable only when their directory is.
    fn sync_names(&self, path: &Path) -> io::Result<()> {
        File::open(self.path.join(path))?.sync_all()
    }
}

impl Disk for Directory {
    fn list(&mut self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            // Names that are not UTF-8 are not ours.
            if let Ok(name) = entry.file_name().into_string()
                && name != LOCK
                && entry.file_type()?.is_file()
            {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn len(&mut self, name: &str) -> io::Result<u64> {
        Ok(self.file(name)?.metadata()?.len())
    }

    fn read_at(&mut self, name: &str, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.file(name)?.read_exact_at(into, offset)
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.file(name)?.write_all(bytes)
    }

    fn truncate(&mut self, name: &str, len: u64) -> io::Result<()> {
        self.file(name)?.set_len(len)
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        self.file(name)?.sync_data()
    }

    fn replace(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.open = None;
        let unfinished = self.write_unfinished(name, bytes)?;
        if let Err(error) = fs::rename(&unfinished, self.path.join(name)) {
            drop(fs::remove_file(&unfinished));
            return Err(error);
        }
        self.sync_names(Path::new("."))
    }

    fn overwrite(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(self.path.join(name))?;
        file.write_all_at(bytes, 0)?;
        file.set_len(bytes.len() as u64)
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.open = None;
        fs::remove_file(self.path.join(name))
    }

    fn replace_aside(&mut self, name: &str, bytes: &[u8]) -> io::Result<String> {
        self.open = None;
        let unfinished = self.write_unfinished(name, bytes)?;
        let aside = self.link_aside(name);
        let placed = aside.and_then(|aside| {
            fs::rename(&unfinished, self.path.join(name))?;
            Ok(aside)
        });
        if placed.is_err() {
            drop(fs::remove_file(&unfinished));
        }
        self.sync_names(Path::new("."))?;
        placed
    }

    fn set_aside(&mut self, name: &str) -> io::Result<String> {
        self.open = None;
        let aside = self.name_aside(name)?;
        fs::rename(self.path.join(name), self.path.join(&aside))?;
        self.sync_names(Path::new(DAMAGED))?;
        self.sync_names(Path::new("."))?;
        Ok(aside)
    }

    fn list_aside(&mut self) -> io::Result<Vec<(String, u64)>> {
        let entries = match fs::read_dir(self.path.join(DAMAGED)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut files = Vec::new();
        for entry in entries {
            let entry = entry?;
            let about = entry.metadata()?;
            if let (Ok(name), true) = (entry.file_name().into_string(), about.is_file()) {
                // Moving a file changes this time, and not the one of its content.
                let moved = (about.ctime(), about.ctime_nsec());
                files.push((moved, format!("{DAMAGED}/{name}"), about.len()));
            }
        }
        files.sort_unstable();
        let files = files.into_iter();
        Ok(files.map(|(_, name, bytes)| (name, bytes)).collect())
    }
}
