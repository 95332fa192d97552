//! Bytes on the agent's disk, in order, until told that they are safe elsewhere.
//!
//! A [`Spool`] takes records, numbers them from 1 without a hole, and gives them back lowest first
//! until they are acknowledged. It knows nothing of what is in them.
//!
//! Promises:
//! - What [`Spool::sync`] returned for is found again after `kill -9` and after power loss, until
//!   it is acknowledged or a [`Loss`] that covers it is declared.
//! - Only synced records are given out, so a number that anyone has seen is never given to another
//!   record, however often the process restarts.
//! - It never grows past its bound and never blocks at it: the oldest records go, and the loss, with
//!   the span of their times, is kept on disk until the caller says that it was told. A caller that
//!   can say the same in fewer bytes makes room before that with [`Spool::thin_oldest`].
//! - A torn tail is cut at the last good record. A damaged segment is set aside into `damaged/`, its
//!   good beginning kept, the rest declared lost; nothing unreadable is deleted before `damaged/` is at its bound.
//! - A full disk is an error to try again later, and harms nothing that is there. It keeps no spool from opening, and
//!   no reader from what lies behind damage.
//!
//! It holds no clock, no threads and no logs: it returns facts, the caller acts on them. All I/O
//! goes through [`Disk`]: [`Directory`] on a machine, [`MemoryDisk`] with its faults in tests.
//! `FORMAT.md` beside this crate states every byte.

mod directory;
mod disk;
mod error;
mod loss;
mod memory;
mod record;
mod spool;
mod state;

pub use directory::Directory;
pub use disk::Disk;
pub use error::Error;
pub use loss::{LOSSES_MAX, Loss, Reason, Span, hull, no_span};
pub use memory::MemoryDisk;
pub use spool::{Config, Damage, Recovery, Spool, Thinned, Thinner};
