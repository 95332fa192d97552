//! The head: samples that are in the journal and not yet in chunks.
//!
//! It keeps them by group, row after row as they come: a scrape is appended in one copy. What comes
//! late for a time that no row has is kept apart until the group is written.

mod group;
mod piece;

use std::collections::HashMap;

use foldhash::fast::FixedState;
use roaring::RoaringBitmap;
use series::Block;

use crate::groups::{GroupId, Groups, Stretch};

pub(crate) use group::HeadGroup;
pub(crate) use piece::{Piece, follow, merge};

/// The samples of some span of the journal.
#[derive(Debug, Default)]
pub(crate) struct Head {
    pub(crate) groups: HashMap<GroupId, HeadGroup, FixedState>,
    pub(crate) samples: u64,
    /// The newest time held, 0 for none.
    pub(crate) newest_millis: i64,
    /// Journal positions held here lie before this.
    pub(crate) position_end: u64,
    /// Bytes of memory, with what the journal keeps in memory of the same samples.
    pub(crate) bytes: usize,
}

impl Head {
    /// Takes in samples at the places found for them. `value_of` and `time_of` give a sample by its
    /// number.
    pub(crate) fn push(
        &mut self,
        groups: &Groups,
        stretches: &[Stretch],
        times: &[i64],
        values: &[f64],
    ) {
        for stretch in stretches {
            let (start, end) = (stretch.start as usize, stretch.end as usize);
            let (Some(&time), Some(values)) = (times.get(start), values.get(start..end)) else {
                continue;
            };
            self.group(groups, stretch.group)
                .push(time, stretch.column, values);
            self.samples += values.len() as u64;
            self.newest_millis = self.newest_millis.max(time);
        }
        self.bytes += size_of_val(values);
    }

    /// Takes in a block whose columns have the places found for them, one sample of each.
    pub(crate) fn push_block(&mut self, groups: &Groups, stretches: &[Stretch], block: &Block) {
        let mut row_values = Vec::with_capacity(block.columns.len());
        for stretch in stretches {
            let columns = block
                .columns
                .get(stretch.start as usize..stretch.end as usize)
                .unwrap_or_default();
            let group = self.group(groups, stretch.group);
            let mut taken = vec![0_usize; columns.len()];
            for (row, &time) in block.times.iter().enumerate() {
                let mut first = stretch.column;
                row_values.clear();
                for (column, taken) in columns.iter().zip(&mut taken) {
                    if column.rows.has(row)
                        && let Some(&value) = column.values.get(*taken)
                    {
                        *taken += 1;
                        row_values.push(value);
                        continue;
                    }
                    let count = u16::try_from(row_values.len()).unwrap_or(u16::MAX);
                    if count > 0 {
                        group.push(time, first, &row_values);
                        row_values.clear();
                    }
                    first += count + 1;
                }
                if !row_values.is_empty() {
                    group.push(time, first, &row_values);
                }
            }
        }
        let samples = block.sample_count();
        self.samples += samples as u64;
        self.bytes += samples * size_of::<f64>();
        let newest = block.times.last().copied().unwrap_or(0);
        self.newest_millis = self.newest_millis.max(newest);
    }

    fn group(&mut self, groups: &Groups, id: GroupId) -> &mut HeadGroup {
        let width = groups.members(id).map_or(0, |members| members.series.len());
        let group = self.groups.entry(id).or_default();
        group.widen(width);
        group
    }

    /// The series that have a sample here.
    pub(crate) fn series(&self, groups: &Groups) -> RoaringBitmap {
        let mut found = RoaringBitmap::new();
        for (id, group) in &self.groups {
            let members = groups.members(*id).into_iter().flat_map(|it| &it.series);
            let seen = members.enumerate().filter(|(column, _)| group.has(*column));
            found.extend(seen.map(|(_, id)| id.0));
        }
        found
    }
}
