//! What can go wrong.

use std::io;
use std::path::PathBuf;

/// What Linux says of a file whose bytes the medium does not give: EIO, and by device and file system ENODATA,
/// EBADMSG, EILSEQ and EUCLEAN.
const UNREADABLE: [i32; 5] = [5, 61, 74, 84, 117];

/// Whether bytes are gone: the file is not there or too short, or the medium does not give them. Any other error,
/// as of a process without file handles or rights, says nothing of the bytes.
pub(crate) fn is_damage(error: &io::Error) -> bool {
    let is_gone = matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::NotFound
    );
    is_gone
        || error
            .raw_os_error()
            .is_some_and(|code| UNREADABLE.contains(&code))
}

/// Whether there is no room on the disk.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// Why a spool did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process holds the directory.
    #[error("{path:?} is in use by another process")]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// The directory cannot be used at all.
    #[error("cannot use the directory {path:?}")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The disk is full. Nothing that was there before is harmed.
    #[error("no room on disk to write {name}")]
    DiskFull {
        /// The file that was written.
        name: String,
        /// What the disk said.
        #[source]
        source: io::Error,
    },
    /// The disk failed.
    #[error("cannot {what} {name}")]
    Disk {
        /// What was tried.
        what: &'static str,
        /// The file.
        name: String,
        /// What the disk said.
        #[source]
        source: io::Error,
    },
    /// A record is larger than a segment may be.
    #[error("a record of {got} bytes, more than {max}")]
    RecordTooLarge {
        /// Its bytes.
        got: usize,
        /// The bound.
        max: usize,
    },
    /// The bounds of a configuration contradict each other.
    #[error("{what}")]
    BadConfig {
        /// Which do, and how.
        what: &'static str,
    },
    /// The next record would have no number: the files claim one at the end of all numbers.
    #[error("all sequences are used up")]
    SequencesExhausted,
    /// More was acknowledged than was ever made durable.
    #[error("sequence {got} is acknowledged, but {last} is the last one")]
    NeverGiven {
        /// The sequence acknowledged.
        got: u64,
        /// The last synced sequence.
        last: u64,
    },
    /// An epoch that is not later than the present one.
    #[error("epoch {got} is not later than {now}")]
    EpochNotLater {
        /// The epoch that was to begin.
        got: u64,
        /// The present one.
        now: u64,
    },
    /// The directory holds segments of a later version of this program.
    #[error("{name} is of version {version}, which is not known")]
    UnknownVersion {
        /// The file.
        name: String,
        /// Its version.
        version: u8,
    },
}

impl Error {
    /// Of a failed attempt to `what` the file `name`.
    pub(crate) fn disk(what: &'static str, name: &str) -> impl FnOnce(io::Error) -> Self {
        let name = name.to_owned();
        move |source| match is_full(&source) {
            true => Self::DiskFull { name, source },
            false => Self::Disk { what, name, source },
        }
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::InUse { .. } | Self::DiskFull { .. } | Self::Disk { .. } => true,
            Self::Directory { .. }
            | Self::RecordTooLarge { .. }
            | Self::BadConfig { .. }
            | Self::SequencesExhausted
            | Self::NeverGiven { .. }
            | Self::EpochNotLater { .. }
            | Self::UnknownVersion { .. } => false,
        }
    }
}
