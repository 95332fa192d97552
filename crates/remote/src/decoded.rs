//! What a message held.

use std::ops::Range;

use hashbrown::HashTable;
use series::{Family, Labels, MetricKind};

use crate::digest::Digest;
use crate::{Error, Reason, Refused};

/// What was stepped over: it is not kept here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Skipped {
    /// Native histograms.
    pub histograms: u64,
    /// Exemplars.
    pub exemplars: u64,
}

/// How the series of a message were met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Met {
    /// Series that came where they were expected.
    pub foreseen: u64,
    /// Series that are known and came after another one than last time.
    pub found: u64,
    /// Series that are not known, each time that they came.
    pub unknown: u64,
}

/// The samples of a message, one to a place in each slice.
#[derive(Clone, Copy, Debug)]
pub struct Samples<'a, Id> {
    /// The series.
    pub ids: &'a [Id],
    /// Milliseconds since 1970.
    pub times: &'a [i64],
    /// The values, to the bit.
    pub values: &'a [f64],
}

/// What tells one label set from others: its digest, and how long it is when encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trait {
    pub(crate) digest: Digest,
    pub(crate) length: u32,
}

impl Trait {
    /// The length of what is not a run of bytes in the message: longer than every message.
    pub(crate) const UNBOUND: u32 = u32::MAX;
}

/// A series of a message, as a step on the way that its sender goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// Before the first one.
    Start,
    /// A place in the memory.
    Known(u32),
    /// An index among the unknown.
    Unknown(u32),
}

/// What [`decode`](crate::decode) found in a message. It keeps its room for the next one, as
/// much as the largest one so far needed.
#[derive(Debug)]
pub struct Decoded<Id> {
    pub(crate) ids: Vec<Id>,
    pub(crate) times: Vec<i64>,
    pub(crate) values: Vec<f64>,
    pub(crate) skipped: Skipped,
    families: Vec<Family>,
    pub(crate) met: Met,
    pub(crate) refused: Refused,
    unknown: Vec<(Labels, MetricKind)>,
    /// One for each unknown series; it stays when the labels were taken out.
    pub(crate) traits: Vec<Trait>,
    /// Unknown series by digest: a message may hold the samples of one in several places.
    by_digest: HashTable<u32>,
    /// The samples of unknown series: which one, and how many.
    late: Vec<(u32, u32)>,
    late_times: Vec<i64>,
    late_values: Vec<f64>,
    /// What became of the unknown ones.
    pub(crate) outcomes: Vec<Option<Id>>,
    /// Steps from or to an unknown series.
    pub(crate) links: Vec<(Link, Link)>,
    /// That of the memory.
    pub(crate) generation: u64,
    /// Room for labels that do not lie together.
    pub(crate) scattered: Vec<u8>,
    /// Those of the message, in version 2.
    pub(crate) symbols: Symbols,
}

impl<Id> Default for Decoded<Id> {
    fn default() -> Self {
        Self {
            ids: Vec::new(),
            times: Vec::new(),
            values: Vec::new(),
            skipped: Skipped::default(),
            families: Vec::new(),
            met: Met::default(),
            refused: Refused::default(),
            unknown: Vec::new(),
            traits: Vec::new(),
            by_digest: HashTable::new(),
            late: Vec::new(),
            late_times: Vec::new(),
            late_values: Vec::new(),
            outcomes: Vec::new(),
            links: Vec::new(),
            generation: 0,
            scattered: Vec::new(),
            symbols: Symbols::default(),
        }
    }
}

impl<Id: Copy> Decoded<Id> {
    /// The samples whose series has an id: those of known series, and after [`Decoded::settle`]
    /// those of the others behind them.
    #[must_use]
    pub fn samples(&self) -> Samples<'_, Id> {
        Samples {
            ids: &self.ids,
            times: &self.times,
            values: &self.values,
        }
    }

    /// Whether there are samples that wait for [`Decoded::settle`].
    #[must_use]
    pub fn has_unknown(&self) -> bool {
        !self.late.is_empty()
    }

    /// Takes out the series that are not known, each once, with what version 2 says of their kind.
    /// One that is here has samples.
    pub fn take_unknown(&mut self) -> Vec<(Labels, MetricKind)> {
        std::mem::take(&mut self.unknown)
    }

    /// Gives the unknown series their ids, in the order of [`Decoded::take_unknown`]. `None`, or no
    /// outcome at all, refuses one: [`Reason::NoRoom`].
    pub fn settle(&mut self, outcomes: impl IntoIterator<Item = Option<Id>>) {
        self.outcomes.clear();
        self.outcomes
            .extend(outcomes.into_iter().take(self.traits.len()));
        self.outcomes.resize(self.traits.len(), None);
        let mut from = 0;
        for (index, count) in self.late.drain(..) {
            let end = from + count as usize;
            match self.outcomes.get(index as usize).copied().flatten() {
                Some(id) => {
                    self.times.extend_from_slice(&self.late_times[from..end]);
                    self.values.extend_from_slice(&self.late_values[from..end]);
                    self.ids.resize(self.times.len(), id);
                }
                None => self
                    .refused
                    .add(Reason::NoRoom, u64::from(count), String::new),
            }
            from = end;
        }
        self.late_times.clear();
        self.late_values.clear();
    }

    /// What was refused; the rest is there.
    #[must_use]
    pub const fn refused(&self) -> &Refused {
        &self.refused
    }

    /// To count what the receiver refuses for its own reasons.
    pub const fn refused_mut(&mut self) -> &mut Refused {
        &mut self.refused
    }

    /// What was stepped over.
    #[must_use]
    pub const fn skipped(&self) -> &Skipped {
        &self.skipped
    }

    /// What is said of metrics; of version 2 only with series that are not known. At most
    /// [`FAMILIES_MAX`](crate::FAMILIES_MAX), each text as it came.
    pub fn take_families(&mut self) -> Vec<Family> {
        std::mem::take(&mut self.families)
    }

    /// How the series were met.
    #[must_use]
    pub const fn met(&self) -> &Met {
        &self.met
    }
}

impl<Id> Decoded<Id> {
    /// Keeps what is said of a metric.
    pub(crate) fn push_family(&mut self, family: Family) {
        if self.families.len() < crate::FAMILIES_MAX {
            self.families.push(family);
        }
    }

    /// The last series that was put aside.
    pub(crate) fn last_unknown(&self) -> Option<&(Labels, MetricKind)> {
        self.unknown.last()
    }

    /// Back to nothing, with the room that there is.
    pub(crate) fn clear(&mut self) {
        self.ids.clear();
        self.times.clear();
        self.values.clear();
        self.skipped = Skipped::default();
        self.families.clear();
        self.met = Met::default();
        self.refused.clear();
        self.unknown.clear();
        self.traits.clear();
        if !self.by_digest.is_empty() {
            self.by_digest.clear();
        }
        self.late.clear();
        self.late_times.clear();
        self.late_values.clear();
        self.outcomes.clear();
        self.links.clear();
        self.scattered.clear();
        self.symbols.digests.clear();
        self.symbols.places.clear();
    }

    /// Samples that were read and not refused.
    pub(crate) fn samples_read(&self) -> usize {
        self.times.len() + self.late_times.len()
    }

    /// Drops the samples from `from` on that were read last.
    pub(crate) fn truncate(&mut self, from: usize) {
        self.times.truncate(from);
        self.values.truncate(from);
    }

    /// Refuses the samples from `from` on.
    pub(crate) fn refuse(&mut self, from: usize, refusal: Refusal) {
        let samples = (self.times.len() - from) as u64;
        self.refused.add(refusal.reason, samples, || refusal.what);
        self.truncate(from);
    }

    /// Puts the samples from `from` on aside for a series that is not known. If it is met for the
    /// first time in this message, `build` makes its labels.
    pub(crate) fn put_aside(
        &mut self,
        from: usize,
        met: Trait,
        kind: MetricKind,
        build: impl FnOnce() -> Result<Result<Labels, Refusal>, Error>,
    ) -> Result<Option<u32>, Error> {
        let spread = met.digest.spread();
        let is = |index: &u32| self.traits.get(*index as usize) == Some(&met);
        let index = if let Some(index) = self.by_digest.find(spread, is) {
            *index
        } else {
            let labels = match build()? {
                Ok(labels) => labels,
                Err(refusal) => {
                    self.refuse(from, refusal);
                    return Ok(None);
                }
            };
            // There are not more series here than samples.
            let index = u32::try_from(self.traits.len()).unwrap_or(u32::MAX);
            self.unknown.push((labels, kind));
            self.traits.push(met);
            let traits = &self.traits;
            self.by_digest.insert_unique(spread, index, |index| {
                let met = traits.get(*index as usize);
                met.map_or(0, |met| met.digest.spread())
            });
            index
        };
        let count = u32::try_from(self.times.len() - from).unwrap_or(u32::MAX);
        self.late.push((index, count));
        self.late_times.extend_from_slice(&self.times[from..]);
        self.late_values.extend_from_slice(&self.values[from..]);
        self.truncate(from);
        Ok(Some(index))
    }
}

/// The symbols of a message.
#[derive(Debug, Default)]
pub(crate) struct Symbols {
    pub(crate) digests: Vec<Digest>,
    /// Where in the message they are.
    pub(crate) places: Vec<Range<usize>>,
}

impl Symbols {
    /// The digest of the symbol that a reference points to.
    #[inline]
    pub(crate) fn digest(&self, reference: u64) -> Option<Digest> {
        let at = usize::try_from(reference).ok()?;
        self.digests.get(at).copied()
    }

    /// The symbol that a reference points to in the message `raw`, or nothing.
    pub(crate) fn text<'a>(&self, raw: &'a [u8], reference: u64) -> &'a [u8] {
        let at = usize::try_from(reference).unwrap_or(usize::MAX);
        let place = self.places.get(at).cloned().unwrap_or_default();
        raw.get(place).unwrap_or_default()
    }
}

/// Why one series is not taken.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) reason: Reason,
    pub(crate) what: String,
}

#[cfg(test)]
mod tests;
