//! The head becomes chunks.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use foldhash::fast::FixedState;
use roaring::RoaringBitmap;
use series::limits::BLOCK_ROWS_MAX;
use series::{Column, Rows};

use crate::chunk::{self, ChunkHead};
use crate::engine::{Batch, Durability, Family};
use crate::head::{self, Head, Piece};
use crate::open::engine_error;
use crate::{Error, SeriesId, Store, keys, locked, reading, writing};

/// What a flush wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flushed {
    /// Chunks.
    pub chunks: u64,
    /// Their samples.
    pub samples: u64,
    /// Bytes of chunks and shared time columns with their keys, before the engine's compression.
    pub bytes: u64,
}

/// Time columns written in one flush, so that series that share their times share the column.
#[derive(Default)]
struct SharedTimes {
    numbers: HashMap<(u32, Vec<i64>), u64, FixedState>,
    next: u64,
}

impl Store {
    /// Writes the head as chunks and drops the journal behind it, in one write: a crash leaves
    /// either the journal or the chunks. Commits go on meanwhile.
    ///
    /// # Errors
    /// When the write failed; then the store takes nothing more until it is opened again.
    pub fn flush(&self) -> Result<Flushed, Error> {
        let _one_at_a_time = locked(&self.flushing);
        if self.poisoned.load(Ordering::Acquire) {
            return Err(Error::Poisoned);
        }
        let Some(frozen) = self.freeze() else {
            return Ok(Flushed::default());
        };
        let flush = self.flushes.load(Ordering::Acquire);
        let (mut batch, flushed, touched) = write_chunks(&frozen, flush);
        let mut partitions = reading(&self.partitions).clone();
        for (number, ids) in touched {
            let all = partitions.entry(number).or_default();
            *all |= ids;
            let mut row = Vec::with_capacity(all.serialized_size());
            all.serialize_into(&mut row)
                .expect("memory takes what is written into it");
            batch.put(Family::Partitions, keys::partition(number), row);
        }
        batch.put(
            Family::Meta,
            keys::FLUSHED,
            frozen.position_end.to_be_bytes(),
        );
        batch.put(
            Family::Meta,
            keys::FLUSHES,
            u64::from(flush + 1).to_be_bytes(),
        );
        batch.delete_range(
            Family::Journal,
            keys::journal(0),
            keys::journal(frozen.position_end),
        );
        if let Err(error) = self.engine.write(batch, Durability::Synced) {
            self.poisoned.store(true, Ordering::Release);
            return Err(engine_error("writing chunks")(error));
        }
        self.flushes.store(flush + 1, Ordering::Release);
        self.counters
            .chunk_samples
            .fetch_add(flushed.samples, Ordering::Relaxed);
        self.counters
            .chunk_bytes
            .fetch_add(flushed.bytes, Ordering::Relaxed);
        *writing(&self.partitions) = partitions;
        writing(&self.heads).frozen = None;
        Ok(flushed)
    }

    /// Sets the head aside for a flush. A head that an earlier flush set aside and did not finish
    /// comes first.
    fn freeze(&self) -> Option<Arc<Head>> {
        // The journal lock keeps commits away, so that the head ends at a known position.
        let _no_commits = locked(&self.journal);
        let mut heads = writing(&self.heads);
        if let Some(unfinished) = &heads.frozen {
            return Some(Arc::clone(unfinished));
        }
        if heads.active.series.is_empty() {
            return None;
        }
        let position_end = heads.active.position_end;
        let next = Head {
            position_end,
            ..Head::default()
        };
        let frozen = Arc::new(std::mem::replace(&mut heads.active, next));
        heads.frozen = Some(Arc::clone(&frozen));
        Some(frozen)
    }
}

fn write_chunks(head: &Head, flush: u32) -> (Batch, Flushed, BTreeMap<u32, RoaringBitmap>) {
    let mut batch = Batch::default();
    let mut flushed = Flushed::default();
    let mut touched: BTreeMap<u32, RoaringBitmap> = BTreeMap::new();
    let mut shared = SharedTimes {
        next: u64::from(flush) << 32,
        ..SharedTimes::default()
    };
    // In order of id, so that the engine is handed sorted keys.
    let mut ids: Vec<SeriesId> = head.series.keys().copied().collect();
    ids.sort_unstable();
    for id in ids {
        for (times, values) in columns_of(head.pieces(id)) {
            let (Some(&first), Some(&last)) = (times.first(), times.last()) else {
                continue;
            };
            let partition = keys::partition_of(first);
            let rows = u32::try_from(times.len()).unwrap_or(u32::MAX);
            let number = shared.number(partition, times, &mut batch, &mut flushed);
            let key = keys::chunk(partition, id.0, first, flush);
            let column = Column {
                rows: Rows::All,
                values,
            };
            flushed.samples += column.values.len() as u64;
            flushed.chunks += 1;
            let head = ChunkHead {
                rows,
                times: number,
                last_millis: last,
            };
            let record = chunk::encode(&key, head, &column);
            flushed.bytes += (key.len() + record.len()) as u64;
            batch.put(Family::Chunks, key, record);
            touched.entry(partition).or_default().insert(id.0);
        }
    }
    (batch, flushed, touched)
}

impl SharedTimes {
    /// Number of a time column in its partition; written when it is new.
    fn number(
        &mut self,
        partition: u32,
        times: Vec<i64>,
        batch: &mut Batch,
        flushed: &mut Flushed,
    ) -> u64 {
        let known = (partition, times);
        if let Some(number) = self.numbers.get(&known) {
            return *number;
        }
        let number = self.next;
        self.next += 1;
        let key = keys::times(partition, number);
        let mut body = Vec::new();
        codec::encode_times(&known.1, &mut body);
        let mut row = times_checksum(&key, &body).to_le_bytes().to_vec();
        row.append(&mut body);
        flushed.bytes += (key.len() + row.len()) as u64;
        batch.put(Family::Times, key, row);
        self.numbers.insert(known, number);
        number
    }
}

/// Checksum of a time column under its key.
pub(crate) fn times_checksum(key: &[u8], body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(body);
    hasher.finalize()
}

/// The samples of a series cut into columns that each lie in one partition and within the row
/// bound.
fn columns_of(pieces: &[Piece]) -> Vec<(Vec<i64>, Vec<f64>)> {
    let (times, values) = head::merge(pieces);
    let mut columns = Vec::new();
    let mut start = 0;
    while start < times.len() {
        let partition = keys::partition_of(times[start]);
        let mut end = start + 1;
        while end < times.len()
            && end - start < BLOCK_ROWS_MAX
            && keys::partition_of(times[end]) == partition
        {
            end += 1;
        }
        columns.push((times[start..end].to_vec(), values[start..end].to_vec()));
        start = end;
    }
    columns
}
