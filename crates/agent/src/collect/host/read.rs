//! Bounded reading of small files, and of the numbers in them.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fmt::{self, Write as _};
use std::fs;
use std::io;
use std::mem;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::buffer::spare_capacity;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, openat, statat};
use rustix::io::{Errno, pread};

use super::HostConfig;

/// The largest file that is read. The longest of `/proc` that is read here grows with the sockets
/// or the CPUs of the host and stays below this up to thousands of either.
const FILE_BYTES_MAX: usize = 1024 * 1024;
/// How much is asked for at once. All but a few files fit, so that one call reads them.
const READ_BYTES: usize = 16 * 1024;
/// The most entries of one folder: more than the processes that a host runs, or its devices.
const FOLDER_ENTRIES_MAX: usize = 262_144;

/// Files of procfs that are kept open. As many as are read in a round, the ones of processes apart,
/// and far from the 1024 that a service may usually have open.
const KEPT_MAX: usize = 64;

/// Why a sub-collector failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum SourceError {
    /// A file or folder could not be read.
    #[error("reading {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// A file or folder is larger than the bounds of this module.
    #[error("{} is larger than allowed", path.display())]
    TooLarge { path: PathBuf },
    /// A file does not hold what it should.
    #[error("{} does not hold {what}", path.display())]
    Unusable { path: PathBuf, what: &'static str },
    /// Some filesystems did not answer in time.
    #[error("{count} filesystems not asked for lack of time")]
    Unanswered { count: usize },
}

impl SourceError {
    /// Whether the next round may well succeed.
    pub(super) fn is_retryable(&self) -> bool {
        match self {
            Self::Read { source, .. } => source.kind() != io::ErrorKind::NotFound,
            Self::Unusable { .. } | Self::Unanswered { .. } => true,
            Self::TooLarge { .. } => false,
        }
    }
}

/// Reads files into one buffer that is used again and again.
pub(super) struct Files {
    proc: PathBuf,
    sys: PathBuf,
    udev_data: PathBuf,
    root: PathBuf,
    /// The path being read, and the text of its last part.
    path: OsString,
    tail: String,
    text: String,
    /// Files of procfs by path. To open one costs more than to read it, and what stands at these
    /// paths never changes; sysfs has devices that come, go and are renamed.
    kept: HashMap<OsString, OwnedFd>,
}

impl Files {
    pub(super) fn new(config: &HostConfig) -> Self {
        Self {
            proc: config.proc.clone(),
            sys: config.sys.clone(),
            udev_data: config.udev_data.clone(),
            root: config.root.clone(),
            path: OsString::new(),
            tail: String::new(),
            text: String::new(),
            kept: HashMap::new(),
        }
    }

    /// The text of a file of procfs that every round reads. Bytes that are not UTF-8 are replaced.
    pub(super) fn proc(&mut self, tail: impl fmt::Display) -> Result<&str, SourceError> {
        self.set_path(|files| &files.proc, tail);
        if let Some(file) = self.kept.get(&self.path) {
            let mut bytes = mem::take(&mut self.text).into_bytes();
            let outcome = read_open(file, Extent::File, &mut bytes);
            self.set_text(bytes);
            if outcome.is_ok() {
                return Ok(&self.text);
            }
            self.kept.remove(&self.path);
        } else if self.kept.len() < KEPT_MAX
            && let Ok(file) = open(CWD, Path::new(&self.path))
        {
            self.kept.insert(self.path.clone(), file);
        }
        self.read()
    }

    /// The text of the first file of procfs that can be read.
    pub(super) fn proc_first(&mut self, tails: [&str; 2]) -> Result<&str, SourceError> {
        let [first, second] = tails;
        if self.proc(first).is_ok() {
            return Ok(&self.text);
        }
        self.proc(second)
    }

    /// The text of a file of sysfs.
    pub(super) fn sys(&mut self, tail: impl fmt::Display) -> Result<&str, SourceError> {
        self.set_path(|files| &files.sys, tail);
        self.read()
    }

    /// The text of a file of udev's database.
    pub(super) fn udev(&mut self, tail: impl fmt::Display) -> Result<&str, SourceError> {
        self.set_path(|files| &files.udev_data, tail);
        self.read()
    }

    /// The text of a file of the host's tree.
    pub(super) fn root(&mut self, tail: impl fmt::Display) -> Result<&str, SourceError> {
        self.set_path(|files| &files.root, tail);
        self.read()
    }

    /// The trimmed text of a sysfs attribute; none when it cannot be read or is empty. A device
    /// need not have every attribute, and some refuse to be read.
    pub(super) fn attribute(&mut self, tail: impl fmt::Display) -> Option<&str> {
        self.set_path(|files| &files.sys, tail);
        let path = mem::take(&mut self.path);
        self.read_attribute(CWD, Path::new(&path));
        self.path = path;
        Some(self.text.trim()).filter(|text| !text.is_empty())
    }

    /// A sysfs attribute that is a number, decimal or with `0x`.
    pub(super) fn number(&mut self, tail: impl fmt::Display) -> Option<f64> {
        self.attribute(tail).and_then(integer)
    }

    /// Opens a folder of sysfs, so that its many attributes are found without walking to it from
    /// the root each time.
    pub(super) fn enter_sys(&mut self, tail: impl fmt::Display) -> Option<OwnedFd> {
        self.set_path(|files| &files.sys, tail);
        self.enter()
    }

    /// What tells the folder at a path of sysfs from another that was there before or will be.
    pub(super) fn sys_identity(&mut self, tail: impl fmt::Display) -> Option<u64> {
        self.set_path(|files| &files.sys, tail);
        let found = statat(CWD, Path::new(&self.path), AtFlags::empty()).ok()?;
        (FileType::from_raw_mode(found.st_mode) == FileType::Directory).then_some(found.st_ino)
    }

    /// The trimmed text of an open attribute; none when it cannot be read or is empty.
    pub(super) fn attribute_of(&mut self, file: &OwnedFd) -> Option<&str> {
        let mut bytes = mem::take(&mut self.text).into_bytes();
        if read_open(file, Extent::Attribute, &mut bytes).is_err() {
            bytes.clear();
        }
        self.set_text(bytes);
        Some(self.text.trim()).filter(|text| !text.is_empty())
    }

    /// Opens a folder of procfs.
    pub(super) fn enter_proc(&mut self, tail: impl fmt::Display) -> Option<OwnedFd> {
        self.set_path(|files| &files.proc, tail);
        self.enter()
    }

    /// The trimmed text of a file in an open folder; none when it cannot be read or is empty.
    pub(super) fn attribute_in(&mut self, folder: &OwnedFd, file: &str) -> Option<&str> {
        self.read_attribute(folder, Path::new(file));
        Some(self.text.trim()).filter(|text| !text.is_empty())
    }

    /// A file in an open folder that is a number, decimal or with `0x`.
    pub(super) fn number_in(&mut self, folder: &OwnedFd, file: &str) -> Option<f64> {
        self.attribute_in(folder, file).and_then(integer)
    }

    /// The first number of a file of procfs.
    pub(super) fn proc_number(&mut self, tail: impl fmt::Display) -> Result<f64, SourceError> {
        let found = self.proc(tail)?.split_whitespace().next().and_then(number);
        found.ok_or_else(|| self.unusable("a number"))
    }

    /// The names in a folder of procfs, in no order.
    pub(super) fn list_proc(
        &mut self,
        tail: impl fmt::Display,
    ) -> Result<Vec<String>, SourceError> {
        self.set_path(|files| &files.proc, tail);
        self.list()
    }

    /// The names in a folder of sysfs, ascending, so that series keep their order.
    pub(super) fn list_sys(&mut self, tail: impl fmt::Display) -> Result<Vec<String>, SourceError> {
        self.set_path(|files| &files.sys, tail);
        let mut names = self.list()?;
        names.sort_unstable();
        Ok(names)
    }

    /// Where a link of sysfs ends.
    pub(super) fn resolve_sys(&mut self, tail: impl fmt::Display) -> Option<PathBuf> {
        self.set_path(|files| &files.sys, tail);
        fs::canonicalize(&self.path).ok()
    }

    /// The bytes of a file of procfs that is not text.
    pub(super) fn proc_bytes(&mut self, tail: impl fmt::Display) -> Result<Vec<u8>, SourceError> {
        self.set_path(|files| &files.proc, tail);
        let mut bytes = Vec::new();
        read_bounded(Path::new(&self.path), &mut bytes)?;
        Ok(bytes)
    }

    /// The error of the file read last when it does not hold `what`.
    pub(super) fn unusable(&self, what: &'static str) -> SourceError {
        SourceError::Unusable {
            path: PathBuf::from(&self.path),
            what,
        }
    }

    fn set_path(&mut self, base: impl Fn(&Self) -> &PathBuf, tail: impl fmt::Display) {
        let mut path = mem::take(&mut self.path);
        path.clear();
        path.push(base(self));
        path.push("/");
        self.tail.clear();
        write!(self.tail, "{tail}").expect("a String takes everything");
        path.push(&self.tail);
        self.path = path;
    }

    fn read(&mut self) -> Result<&str, SourceError> {
        let mut bytes = mem::take(&mut self.text).into_bytes();
        let outcome = read_bounded(Path::new(&self.path), &mut bytes);
        self.set_text(bytes);
        outcome.map(|()| self.text.as_str())
    }

    /// Takes over the text of an attribute, or none if it cannot be read.
    fn read_attribute(&mut self, folder: impl AsFd, path: &Path) {
        let mut bytes = mem::take(&mut self.text).into_bytes();
        if read_file(folder, path, Extent::Attribute, &mut bytes).is_err() {
            bytes.clear();
        }
        self.set_text(bytes);
    }

    fn set_text(&mut self, bytes: Vec<u8>) {
        self.text = match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(not_utf8) => String::from_utf8_lossy(not_utf8.as_bytes()).into_owned(),
        };
    }

    fn enter(&self) -> Option<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        openat(CWD, Path::new(&self.path), flags, Mode::empty()).ok()
    }

    fn list(&self) -> Result<Vec<String>, SourceError> {
        let path = Path::new(&self.path);
        let failed = |source| SourceError::Read {
            path: path.to_owned(),
            source,
        };
        let mut names = Vec::new();
        for entry in fs::read_dir(path).map_err(failed)? {
            if names.len() == FOLDER_ENTRIES_MAX {
                return Err(SourceError::TooLarge {
                    path: path.to_owned(),
                });
            }
            // The kernel gives no names outside UTF-8; one that came from elsewhere is no device.
            if let Ok(name) = entry.map_err(failed)?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }
}

/// Replaces `bytes` by the contents of a file, which are empty on failure.
fn read_bounded(path: &Path, bytes: &mut Vec<u8>) -> Result<(), SourceError> {
    read_file(CWD, path, Extent::File, bytes).map_err(|source| {
        bytes.clear();
        let path = path.to_owned();
        if source.kind() == io::ErrorKind::FileTooLarge {
            SourceError::TooLarge { path }
        } else {
            SourceError::Read { path, source }
        }
    })
}

/// Opens an attribute in an open folder, to be read again and again.
pub(super) fn open_attribute(folder: &OwnedFd, file: &str) -> Option<OwnedFd> {
    open(folder, Path::new(file)).ok()
}

/// How much there is to read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// As much as one call gives, which is all: sysfs writes an attribute in one piece of at most
    /// a page, procfs the state of a process.
    Attribute,
    /// To the end of the file.
    File,
}

/// The same, with the path seen from `folder`. It makes no more calls than it must: a round reads
/// hundreds of files, and most of its time is spent in them.
fn read_file(
    folder: impl AsFd,
    path: &Path,
    extent: Extent,
    bytes: &mut Vec<u8>,
) -> io::Result<()> {
    bytes.clear();
    read_open(&open(folder, path)?, extent, bytes)
}

fn open(folder: impl AsFd, path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    Ok(openat(folder, path, flags, Mode::empty())?)
}

/// The same of an open file, from its start.
fn read_open(file: &OwnedFd, extent: Extent, bytes: &mut Vec<u8>) -> io::Result<()> {
    bytes.clear();
    loop {
        bytes.reserve(READ_BYTES);
        let offset = bytes.len() as u64;
        let got = loop {
            match pread(file, spare_capacity(bytes), offset) {
                Err(Errno::INTR) => {}
                got => break got?,
            }
        };
        if bytes.len() > FILE_BYTES_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        if got == 0 || extent == Extent::Attribute {
            return Ok(());
        }
    }
}

/// A decimal number as the kernel writes it: digits, perhaps a sign and a fraction. A number too
/// large for its type elsewhere is still a number here.
pub(super) fn number(text: &str) -> Option<f64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return None;
    }
    text.parse().ok()
}

/// A number, decimal or hexadecimal with `0x`.
pub(super) fn integer(text: &str) -> Option<f64> {
    match text.strip_prefix("0x") {
        Some(digits) => hex(digits),
        None => number(text),
    }
}

/// Hexadecimal digits without a prefix.
#[expect(clippy::cast_precision_loss, reason = "samples are f64")]
pub(super) fn hex(digits: &str) -> Option<f64> {
    u64::from_str_radix(digits, 16).ok().map(|n| n as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_kernel_writes_is_a_number() {
        assert_eq!(
            number("18446744073709551616"),
            Some(18_446_744_073_709_551_616.0)
        );
        assert_eq!(number("-1"), Some(-1.0));
        assert_eq!(number("0.05"), Some(0.05));
        for text in ["", "-", "inf", "NaN", "1e3", "+1", " 1", "1.2.3", "12kB"] {
            assert_eq!(number(text), None, "{text:?}");
        }
        assert_eq!(integer("0x1003"), Some(4099.0));
        assert_eq!(integer("0x"), None);
        assert_eq!(hex("fffffffffffffffff"), None);
    }

    #[test]
    fn a_file_past_the_bound_is_refused_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("long");
        let mut bytes = b"before".to_vec();
        for (extra, fits) in [(0, true), (1, false)] {
            let size = FILE_BYTES_MAX + extra;
            fs::write(&path, vec![b'x'; size]).unwrap();
            let outcome = read_bounded(&path, &mut bytes);
            assert_eq!(outcome.is_ok(), fits);
            assert_eq!(bytes.len(), if fits { size } else { 0 });
        }
        let gone = read_bounded(&folder.path().join("gone"), &mut bytes).unwrap_err();
        assert!(!gone.is_retryable());
    }
}
