//! Batches that become one.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use foldhash::fast::FixedState;
use spool::{Span, hull};
use wire::Message;
use wire::ingest::BLOCKS_PER_BATCH_MAX;
use wire::proto::{SpooledBatch, SpooledBlock};

use super::Loose;
use super::column::Thin;

/// Rows times columns that go into one batch: 2 MiB if each took all its bytes, half of a message.
const CELLS_MAX: usize = 256 * 1024;
/// Bytes of names that go into one batch; one alone may have more.
const LIST_BYTES_MAX: usize = 1024 * 1024;
/// Most bytes of a batch that was made of several; well below a message.
const BATCH_BYTES_MAX: usize = 3 * 1024 * 1024;

/// Batches that are to become one, under the sequence of the last.
#[derive(Default)]
pub(super) struct Group {
    /// Places of the records among those given.
    members: Vec<usize>,
    /// The sequence of the first.
    first_sequence: u64,
    /// Their bytes.
    bytes: usize,
    /// Blocks with their lists of names.
    blocks: Vec<(Bytes, Thin)>,
    /// The block that the next rows of a list go into.
    open: HashMap<Bytes, usize, FixedState>,
    cells: usize,
    list_bytes: usize,
    span: Option<Span>,
}

impl Group {
    /// Whether a batch is within the bounds together with those before it; a first one always is.
    pub(super) fn takes(&self, batch: &Loose) -> bool {
        let cells: usize = batch.blocks.iter().map(|(_, block)| block.cells()).sum();
        let lists = batch.blocks.iter().map(|(list, _)| list);
        let new = lists.filter(|list| !self.open.contains_key(*list));
        let list_bytes: usize = new.map(Bytes::len).sum();
        self.members.is_empty()
            || self.cells + cells <= CELLS_MAX
                && self.list_bytes + list_bytes <= LIST_BYTES_MAX
                && self.blocks.len() + self.more_blocks(batch) <= BLOCKS_PER_BATCH_MAX
    }

    /// How many blocks a batch adds at most: of each list one may go into the open block.
    fn more_blocks(&self, batch: &Loose) -> usize {
        let mut seen = HashSet::with_hasher(FixedState::default());
        let mut more = 0;
        for (list, block) in &batch.blocks {
            let open = self.open.get(list).and_then(|at| self.blocks.get(*at));
            let follows = open.is_some_and(|(_, open)| open.is_before(block));
            more += usize::from(!(follows && seen.insert(list)));
        }
        more
    }

    /// Adds the batch of the record at this place with this sequence, which has so many bytes.
    pub(super) fn add(&mut self, (index, sequence): (usize, u64), bytes: usize, batch: Loose) {
        if self.members.is_empty() {
            self.first_sequence = sequence;
        }
        self.members.push(index);
        self.bytes += bytes;
        self.span = hull(self.span, batch.span);
        for (list, block) in batch.blocks {
            self.cells += block.cells();
            let open = self.open.get(&list).and_then(|at| self.blocks.get_mut(*at));
            match open {
                Some((_, open)) if open.is_before(&block) => open.extend(block),
                _ => {
                    self.list_bytes += list.len();
                    self.open.insert(list.clone(), self.blocks.len());
                    self.blocks.push((list, block));
                }
            }
        }
    }

    /// Puts what the records have become into their places, if it is less.
    pub(super) fn close(self, places: &mut [Option<Vec<u8>>]) {
        let (first_millis, last_millis) = self.span.unwrap_or_default();
        let blocks = self.blocks.into_iter().map(|(list, block)| {
            let mut columns = Vec::new();
            codec::encode_block(&block.into_block(), &mut columns);
            SpooledBlock {
                series_list: list,
                columns: columns.into(),
            }
        });
        let batch = SpooledBatch {
            blocks: blocks.collect(),
            thinned: true,
            first_millis,
            last_millis,
            first_sequence: self.first_sequence,
        };
        let record = batch.encode_to_vec();
        if record.len() >= self.bytes || record.len() > BATCH_BYTES_MAX {
            return;
        }
        for member in &self.members {
            places[*member] = Some(Vec::new());
        }
        if let Some(last) = self.members.last() {
            places[*last] = Some(record);
        }
    }
}
