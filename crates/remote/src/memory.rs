//! What is remembered of the label sets that were met.

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU32, Ordering};

use hashbrown::HashTable;

use crate::Decoded;
use crate::decoded::{Link, Trait};
use crate::digest::{Digest, Key};

/// No entry; as the place of one it is beyond every table.
pub(crate) const NONE: u32 = u32::MAX;

/// One label set as its senders write it. 32 bytes when `Id` has four.
#[derive(Debug)]
pub(crate) struct Entry<Id> {
    pub(crate) digest: Digest,
    pub(crate) id: Id,
    /// Bytes of the labels as they were encoded, or [`Trait::UNBOUND`].
    pub(crate) length: u32,
    /// The entry that followed last time, or [`NONE`]. It is a guess and no more: threads that
    /// decode side by side overwrite each other's, and whoever goes by it compares digests.
    next: AtomicU32,
}

impl<Id> Entry<Id> {
    pub(crate) fn next(&self) -> u32 {
        self.next.load(Ordering::Relaxed)
    }
}

/// Knows label sets by the bytes that senders write for them, and gives them their ids.
///
/// Many threads may decode with one memory at once, behind a lock for reading; [`Memory::learn`]
/// and [`Memory::clear`] need it for writing, for as long as it takes to add what was new.
#[derive(Debug)]
pub struct Memory<Id> {
    key: Box<Key>,
    entries: Vec<Entry<Id>>,
    /// Places in `entries`, by digest.
    table: HashTable<u32>,
    entries_max: usize,
    /// Counts how often it was emptied, so that what was decoded before is not mixed in after.
    generation: u64,
}

impl<Id: Copy> Memory<Id> {
    /// A memory for at most `entries_max` label sets: about 40 bytes each when `Id` has four, twice
    /// that when it has just grown. When it is full it starts over, which costs time and nothing else, so it should have room for
    /// every series that is written to at one time, and twice that for senders of both versions.
    ///
    /// `random` must not be known to senders; [`std::hash::RandomState`] is meant.
    #[must_use]
    pub fn new(entries_max: usize, random: &impl BuildHasher) -> Self {
        Self {
            key: Box::new(Key::new(random)),
            entries: Vec::new(),
            table: HashTable::new(),
            // Half of the numbers are kept for links.
            entries_max: entries_max.clamp(1, (u32::MAX / 2) as usize),
            generation: 0,
        }
    }

    /// How many label sets are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes that are allocated for them.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Entry<Id>>() + self.table.allocation_size()
    }

    /// Forgets everything. To be called when ids were given up.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.table.clear();
        self.generation += 1;
    }

    /// Takes in the series that were unknown and got an id by [`Decoded::settle`], and what followed
    /// what. Of what was decoded before a [`Memory::clear`] nothing is taken.
    pub fn learn(&mut self, decoded: &Decoded<Id>) {
        if decoded.generation != self.generation {
            return;
        }
        let fresh = decoded.outcomes.iter().flatten().count();
        let mut cleared = false;
        if self.entries.len() + fresh > self.entries_max {
            self.clear();
            cleared = true;
        }
        let mut places = Vec::with_capacity(decoded.outcomes.len());
        for (outcome, met) in decoded.outcomes.iter().zip(&decoded.traits) {
            places.push(outcome.map_or(NONE, |id| self.insert(*met, id)));
        }
        let place = |link: Link| match link {
            Link::Start => NONE,
            // A place in what was just forgotten.
            Link::Known(_) if cleared => NONE,
            Link::Known(place) => place,
            Link::Unknown(index) => places.get(index as usize).copied().unwrap_or(NONE),
        };
        for (from, to) in &decoded.links {
            let to = place(*to);
            if to != NONE {
                self.follow(place(*from), to);
            }
        }
    }

    /// The place of an entry, made if it is not there and there is room.
    fn insert(&mut self, met: Trait, id: Id) -> u32 {
        if let Some((place, _)) = self.find(met) {
            if let Some(entry) = self.entries.get_mut(place as usize) {
                entry.id = id;
            }
            return place;
        }
        if self.entries.len() >= self.entries_max {
            return NONE;
        }
        let Ok(place) = u32::try_from(self.entries.len()) else {
            return NONE;
        };
        self.entries.push(Entry {
            digest: met.digest,
            id,
            length: met.length,
            next: AtomicU32::new(NONE),
        });
        let entries = &self.entries;
        let spread = |place: &u32| {
            let entry = entries.get(*place as usize);
            entry.map_or(0, |entry| entry.digest.spread())
        };
        self.table.insert_unique(met.digest.spread(), place, spread);
        place
    }
}

impl<Id> Memory<Id> {
    pub(crate) fn key(&self) -> &Key {
        &self.key
    }

    pub(crate) const fn generation(&self) -> u64 {
        self.generation
    }

    #[inline]
    pub(crate) fn at(&self, place: u32) -> Option<&Entry<Id>> {
        self.entries.get(place as usize)
    }

    pub(crate) fn find(&self, met: Trait) -> Option<(u32, &Entry<Id>)> {
        let is = |place: &u32| {
            self.at(*place)
                .is_some_and(|entry| entry.digest == met.digest && entry.length == met.length)
        };
        let place = *self.table.find(met.digest.spread(), is)?;
        Some((place, self.at(place)?))
    }

    /// Remembers that `to` came after `from`.
    pub(crate) fn follow(&self, from: u32, to: u32) {
        if let Some(entry) = self.at(from) {
            entry.next.store(to, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests;
