//! The columns of one source.

use std::collections::{BTreeMap, HashMap};

use foldhash::fast::FixedState;
use series::{
    Block, Column, Family, Labels, LabelsError, MetricKind, Rows, Timestamp, Values, is_stale,
};

use crate::families::Families;

/// Most columns in one block: a list of names and a block of columns stay well below a message.
const BLOCK_COLUMNS_MAX: usize = 5_000;
/// Most samples in one block: 800 KB before compression.
const BLOCK_SAMPLES_MAX: usize = 100_000;
/// Most rows times columns in one block, present or not: what is decoded is as large as this, and the
/// limit of all who decode is far above.
const BLOCK_CELLS_MAX: usize = 1024 * 1024;
/// Most bytes of names in one block before compression.
const BLOCK_NAME_BYTES_MAX: usize = 1024 * 1024;
/// Cuts that a series may miss before its column is forgotten.
const IDLE_CUTS_MAX: u32 = 10;
/// The same while memory is tight: a series said in each interval is not gone.
const IDLE_CUTS_TIGHT_MAX: u32 = 1;
/// Cuts for which the encoded names of a block are kept.
const NAMES_CUTS_MAX: u32 = 4;

const _: () = assert!(BLOCK_CELLS_MAX <= series::limits::BLOCK_SAMPLES_MAX / 4);
const _: () = assert!(series::limits::BLOCK_ROWS_MAX <= BLOCK_CELLS_MAX);

/// An encoded block with what is in it.
pub(super) struct CutBlock {
    pub(super) names: bytes::Bytes,
    pub(super) columns: Vec<u8>,
    /// Rows times columns.
    pub(super) cells: usize,
    pub(super) samples: u64,
    pub(super) stale: u64,
    /// Its first and last time.
    pub(super) span: Option<spool::Span>,
}

/// One series of the source.
#[derive(Debug)]
struct Slot {
    labels: Labels,
    kind: MetricKind,
    rows: Vec<u16>,
    values: Values,
    idle_cuts: u32,
}

#[derive(Debug, Default)]
pub(super) struct Source {
    /// Labels as the source says them → slot; `None` for labels that were refused.
    by_said: HashMap<Labels, Option<usize>, FixedState>,
    /// How many of those were refused.
    refused: usize,
    slots: Vec<Slot>,
    times: Vec<i64>,
    /// Samples that bring a time of their own: slot, time, value.
    timed: Vec<(usize, i64, f64)>,
    /// Blocks closed before the cut, because the clock went back or the rows were full.
    closed: Vec<Block>,
    closed_slots: Vec<Vec<usize>>,
    /// Encoded names of blocks, by their slots, for as long as slots keep their meaning; and the cut that they
    /// were of last.
    names: HashMap<Vec<usize>, (bytes::Bytes, u32), FixedState>,
    /// Cuts with something in them.
    cuts: u32,
    idle_cuts: u32,
}

impl Source {
    /// Begins a row at `at`. A row at or before the last one (the clock was set back) begins a new
    /// block, so that times ascend within each.
    pub(super) fn begin(&mut self, at: Timestamp) {
        let back = self
            .times
            .last()
            .is_some_and(|last| *last >= at.as_millis());
        if back || self.times.len() >= series::limits::BLOCK_ROWS_MAX {
            self.close();
        }
        self.times.push(at.as_millis());
    }

    /// The slot of a series, made when it is new; `None` when its labels are refused.
    pub(super) fn slot(
        &mut self,
        said: &Labels,
        families: &[Family],
        complete: impl FnOnce(&Labels) -> Result<Labels, LabelsError>,
        told: &Families,
    ) -> Option<usize> {
        if let Some(known) = self.by_said.get(said) {
            return *known;
        }
        let slot = complete(said).ok().map(|labels| {
            let family = family_of(labels.metric_name(), families);
            let kind = family.map_or(MetricKind::Unknown, |family| family.kind);
            if let Some(family) = family {
                told.note(kind.metric_of(labels.metric_name()), family);
            }
            let slot = Slot {
                labels,
                kind,
                rows: Vec::new(),
                values: Values::new(),
                idle_cuts: 0,
            };
            self.slots.push(slot);
            self.slots.len() - 1
        });
        self.refused += usize::from(slot.is_none());
        self.by_said.insert(said.clone(), slot);
        slot
    }

    /// Adds a value to the present row, or at its own time; `false` when the series has one there.
    pub(super) fn push(&mut self, slot: usize, at: Option<Timestamp>, value: f64) -> bool {
        if let Some(at) = at {
            self.timed.push((slot, at.as_millis(), value));
            return true;
        }
        let row = u16::try_from(self.times.len().saturating_sub(1)).unwrap_or(u16::MAX);
        let slot = &mut self.slots[slot];
        if slot.rows.last() == Some(&row) {
            return false;
        }
        slot.rows.push(row);
        slot.values.push(value);
        true
    }

    pub(super) fn idle_cuts(&self) -> u32 {
        self.idle_cuts
    }

    /// How many different labels it remembers.
    #[cfg(test)]
    pub(super) fn known(&self) -> usize {
        self.by_said.len()
    }

    /// Turns the rows so far into a block.
    fn close(&mut self) {
        let rows = self.times.len();
        let times = std::mem::take(&mut self.times);
        let mut block = Block {
            times,
            columns: Vec::new(),
        };
        let mut slots = Vec::new();
        for (index, slot) in self.slots.iter_mut().enumerate() {
            if slot.values.is_empty() {
                continue;
            }
            let values = std::mem::take(&mut slot.values);
            let present = if slot.rows.len() == rows {
                Rows::All
            } else {
                let mut flags = vec![false; rows];
                for row in &slot.rows {
                    flags[usize::from(*row)] = true;
                }
                Rows::from_flags(&flags)
            };
            slot.rows.clear();
            slot.idle_cuts = 0;
            block.columns.push(Column {
                rows: present,
                values,
            });
            slots.push(index);
        }
        if !slots.is_empty() {
            self.closed.push(block);
            self.closed_slots.push(slots);
        }
    }

    /// Turns the samples that brought their own time into blocks. Of two with the same series and
    /// time the later counts.
    fn close_timed(&mut self) {
        let mut by_time: BTreeMap<i64, BTreeMap<usize, f64>> = BTreeMap::new();
        for (slot, time, value) in self.timed.drain(..) {
            by_time.entry(time).or_default().insert(slot, value);
            self.slots[slot].idle_cuts = 0;
        }
        let by_time: Vec<_> = by_time.into_iter().collect();
        for part in by_time.chunks(series::limits::BLOCK_ROWS_MAX) {
            let mut columns: BTreeMap<usize, (Vec<bool>, Values)> = BTreeMap::new();
            for (row, (_, samples)) in part.iter().enumerate() {
                for (slot, value) in samples {
                    let empty = || (vec![false; part.len()], Values::new());
                    let column = columns.entry(*slot).or_insert_with(empty);
                    column.0[row] = true;
                    column.1.push(*value);
                }
            }
            let times = part.iter().map(|(time, _)| *time).collect();
            self.closed_slots.push(columns.keys().copied().collect());
            let columns = columns
                .into_values()
                .map(|(flags, values)| Column {
                    rows: Rows::from_flags(&flags),
                    values,
                })
                .collect();
            self.closed.push(Block { times, columns });
        }
    }

    /// Everything so far as encoded blocks.
    pub(super) fn cut(&mut self, is_tight: bool) -> Vec<CutBlock> {
        self.close();
        self.close_timed();
        let blocks = std::mem::take(&mut self.closed);
        let slots = std::mem::take(&mut self.closed_slots);
        self.idle_cuts = if blocks.is_empty() {
            self.idle_cuts + 1
        } else {
            0
        };
        let mut cut = Vec::new();
        self.cuts = self.cuts.wrapping_add(u32::from(!blocks.is_empty()));
        for (block, slots) in blocks.into_iter().zip(slots) {
            self.split(block, &slots, &mut cut);
        }
        // Only the latest layouts are worth keeping: where series come and go each cut has its own.
        let cuts = self.cuts;
        self.names
            .retain(|_, (_, last)| cuts.wrapping_sub(*last) < NAMES_CUTS_MAX);
        self.forget_idle(is_tight);
        cut
    }

    /// Encodes a block, in parts when it is too large for one.
    fn split(&mut self, block: Block, slots: &[usize], cut: &mut Vec<CutBlock>) {
        let mut columns = block.columns.into_iter();
        let mut start = 0;
        while start < slots.len() {
            let mut end = start;
            let (mut samples, mut name_bytes) = (0, 0);
            while end < slots.len() && end - start < BLOCK_COLUMNS_MAX {
                let slot = &self.slots[slots[end]];
                samples += columns.as_slice()[end - start].values.len();
                name_bytes += slot.labels.text_bytes();
                let cells = (end - start + 1) * block.times.len();
                let full = samples > BLOCK_SAMPLES_MAX
                    || cells > BLOCK_CELLS_MAX
                    || name_bytes > BLOCK_NAME_BYTES_MAX;
                if full && end > start {
                    break;
                }
                end += 1;
            }
            let part = Block {
                times: block.times.clone(),
                columns: columns.by_ref().take(end - start).collect(),
            };
            cut.push(self.encode(&part, &slots[start..end]));
            start = end;
        }
    }

    fn encode(&mut self, block: &Block, slots: &[usize]) -> CutBlock {
        let cuts = self.cuts;
        let names = match self.names.get_mut(slots) {
            Some((names, cut)) => {
                *cut = cuts;
                names.clone()
            }
            None => {
                let of = |slot: &usize| &self.slots[*slot];
                let labels: Vec<Labels> =
                    slots.iter().map(|slot| of(slot).labels.clone()).collect();
                let kinds: Vec<MetricKind> = slots.iter().map(|slot| of(slot).kind).collect();
                let mut names = Vec::new();
                codec::encode_labels_list(&labels, &kinds, &mut names);
                let names = bytes::Bytes::from(names);
                self.names.insert(slots.to_vec(), (names.clone(), cuts));
                names
            }
        };
        let mut columns = Vec::new();
        codec::encode_block(block, &mut columns);
        let values = block.columns.iter().flat_map(|column| &column.values);
        let stale = values.filter(|value| is_stale(**value)).count() as u64;
        let samples = block.sample_count() as u64 - stale;
        CutBlock {
            names,
            columns,
            cells: block.times.len() * block.columns.len(),
            samples,
            stale,
            span: crate::thin::span_of_block(block),
        }
    }

    /// Forgets series that have not been said for a while, or while memory is tight that are gone.
    fn forget_idle(&mut self, is_tight: bool) {
        let idle_cuts_max = if is_tight {
            IDLE_CUTS_TIGHT_MAX
        } else {
            IDLE_CUTS_MAX
        };
        // Labels that were refused have no slot that could fall idle.
        if self.refused > 0 {
            self.by_said.retain(|_, slot| slot.is_some());
            self.refused = 0;
        }
        for slot in &mut self.slots {
            slot.idle_cuts += 1;
        }
        let idle = self
            .slots
            .iter()
            .filter(|slot| slot.idle_cuts > idle_cuts_max)
            .count();
        // Slots are numbered anew, so this is done when it pays.
        let share = if is_tight { 16 } else { 4 };
        if idle * share < self.slots.len().max(1) {
            return;
        }
        let mut renumbered = Vec::with_capacity(self.slots.len());
        let mut kept = Vec::with_capacity(self.slots.len() - idle);
        for slot in self.slots.drain(..) {
            let keep = slot.idle_cuts <= idle_cuts_max;
            renumbered.push(keep.then_some(kept.len()));
            if keep {
                kept.push(slot);
            }
        }
        self.slots = kept;
        self.names.clear();
        self.by_said.retain(|_, slot| match slot {
            Some(old) => {
                let new = renumbered[*old];
                *slot = new;
                new.is_some()
            }
            None => false,
        });
        if self.by_said.len() < self.by_said.capacity() / 4 {
            self.by_said.shrink_to_fit();
        }
    }
}

/// The family that a metric name belongs to.
pub(crate) fn family_of<'f>(metric: &str, families: &'f [Family]) -> Option<&'f Family> {
    let find = |name: &str| families.iter().find(|family| family.name == name);
    find(metric).or_else(|| {
        ["_bucket", "_sum", "_count", "_total", "_created", "_info"]
            .iter()
            .filter_map(|suffix| metric.strip_suffix(suffix))
            .find_map(find)
    })
}
