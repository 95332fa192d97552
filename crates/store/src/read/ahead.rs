//! Groups of one read that other threads read ahead, while the asker works on those that came.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;

use super::{Columns, Read};
use crate::groups::GroupId;
use crate::{Error, SeriesId, Store};

/// Most threads that read ahead for one asker.
const THREADS_MAX: usize = 8;
/// Fewest samples that are left to read, as far as the first group foretells, for threads to be worth
/// their start.
const SAMPLES_MIN: usize = 1 << 18;

/// Threads that may be reading ahead now, of all reads together: one for each processor.
#[derive(Debug)]
pub(crate) struct Spare(AtomicUsize);

impl Spare {
    pub(crate) fn new() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        Self(AtomicUsize::new(processors))
    }

    /// Takes up to so many.
    fn take(&self, wanted: usize) -> Taken<'_> {
        let less = |spare: usize| Some(spare.saturating_sub(wanted));
        let (set, fetch) = (Ordering::AcqRel, Ordering::Acquire);
        let (Ok(spare) | Err(spare)) = self.0.fetch_update(set, fetch, less);
        Taken {
            spare: self,
            count: spare.min(wanted),
        }
    }
}

/// Threads that are given back when the read ends.
struct Taken<'s> {
    spare: &'s Spare,
    count: usize,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.spare.0.fetch_add(self.count, Ordering::AcqRel);
    }
}

/// What reading a group gave, and what of it could not be read.
type Outcome = (Result<Vec<Read>, Error>, Vec<String>);

impl Store {
    /// Reads groups and hands each to `take`, in no order. The first is read here; when its columns were
    /// packed and there are many more, other threads read those, a few ahead of `take`.
    pub(super) fn each_group(
        &self,
        wanted: &BTreeMap<GroupId, Vec<(u16, SeriesId)>>,
        read: &(dyn Fn(GroupId, &Columns) -> Outcome + Sync),
        damaged: &mut Vec<String>,
        take: &mut dyn FnMut(Vec<Read>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut take = |(found, more): Outcome| {
            damaged.extend(more);
            take(found?)
        };
        let groups: Vec<(&GroupId, &Vec<(u16, SeriesId)>)> = wanted.iter().collect();
        let Some(((group, columns), rest)) = groups.split_first() else {
            return Ok(());
        };
        let (_, packed_before) = self.columns.hits_and_misses();
        let first = read(**group, columns);
        let (_, packed) = self.columns.hits_and_misses();
        let samples: usize = first
            .0
            .iter()
            .flatten()
            .map(|(_, times, _)| times.len())
            .sum();
        take(first)?;
        let is_worth = packed > packed_before && samples.saturating_mul(rest.len()) >= SAMPLES_MIN;
        let threads = if is_worth {
            THREADS_MAX.min(rest.len())
        } else {
            0
        };
        let threads = self.spare.take(threads);
        if threads.count < 2 {
            for (group, columns) in rest {
                take(read(**group, columns))?;
            }
            return Ok(());
        }
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            let (sender, receiver) = sync_channel::<Outcome>(threads.count);
            for _ in 0..threads.count {
                let (sender, next) = (sender.clone(), &next);
                scope.spawn(move || {
                    while let Some((group, columns)) =
                        rest.get(next.fetch_add(1, Ordering::Relaxed))
                    {
                        // Nobody takes it any more: the read has ended.
                        if sender.send(read(**group, columns)).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(sender);
            // Dropped at the first error, which ends the threads.
            receiver.into_iter().try_for_each(&mut take)
        })
    }
}
