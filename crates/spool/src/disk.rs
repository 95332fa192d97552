//! What a spool needs of a disk.

use std::io;

/// One directory of files, seen by one process. A name is a plain file name without separators.
///
/// A crash may undo, wholly or in part, whatever was not made durable by [`Disk::sync`] or
/// [`Disk::replace`].
pub trait Disk: Send {
    /// The names of all files, in any order, those that were set aside left out.
    ///
    /// # Errors
    /// When the directory cannot be read.
    fn list(&mut self) -> io::Result<Vec<String>>;

    /// How long a file is, in bytes.
    ///
    /// # Errors
    /// When it is not there or cannot be looked at.
    fn len(&mut self, name: &str) -> io::Result<u64>;

    /// Fills all of `into` from `offset` on.
    ///
    /// # Errors
    /// When the file is not there, ends before that, or cannot be read.
    fn read_at(&mut self, name: &str, offset: u64, into: &mut [u8]) -> io::Result<()>;

    /// Writes at the end of a file that is there. After an error a part may have been written.
    ///
    /// # Errors
    /// When the disk is full, or the file cannot be written.
    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()>;

    /// Cuts a file to `len` bytes.
    ///
    /// # Errors
    /// When the file cannot be changed.
    fn truncate(&mut self, name: &str, len: u64) -> io::Result<()>;

    /// Makes the content and length of a file durable.
    ///
    /// # Errors
    /// When the disk says no; what was written since the last success is then in doubt for good.
    fn sync(&mut self, name: &str) -> io::Result<()>;

    /// Puts a file with this content in the place of one of that name, if any: durable on return,
    /// and after a crash either the old file or the new one is there whole.
    ///
    /// # Errors
    /// When the disk is full or cannot be written; one of the two is then there whole, as after a
    /// crash.
    fn replace(&mut self, name: &str, bytes: &[u8]) -> io::Result<()>;

    /// Writes a short file in place, creating it; not durable, and a crash may leave it torn.
    ///
    /// # Errors
    /// When the disk is full or cannot be written.
    fn overwrite(&mut self, name: &str, bytes: &[u8]) -> io::Result<()>;

    /// Removes a file, or one that was set aside, by the name that [`Disk::set_aside`] gave; a crash may bring it
    /// back.
    ///
    /// # Errors
    /// When it cannot be removed.
    fn remove(&mut self, name: &str) -> io::Result<()>;

    /// Puts a file with this content in the place of one that is there, as [`Disk::replace`] does, and moves the
    /// old one away, as [`Disk::set_aside`] does: whatever happens, the one or the other has the name.
    ///
    /// # Errors
    /// When there is none, the disk is full or cannot be written; the old file is then where it was, or what
    /// was asked for is done.
    fn replace_aside(&mut self, name: &str, bytes: &[u8]) -> io::Result<String>;

    /// Moves a file away, for a person to look at, under a name that no other has; gives that
    /// name, relative to the directory.
    ///
    /// # Errors
    /// When it cannot be moved.
    fn set_aside(&mut self, name: &str) -> io::Result<String>;

    /// The files that were set aside, that first which was first, with their bytes.
    ///
    /// # Errors
    /// When their folder cannot be read.
    fn list_aside(&mut self) -> io::Result<Vec<(String, u64)>>;
}
