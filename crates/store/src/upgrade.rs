//! Reads what format 1 wrote: one chunk for each series and flush, time columns in rows of their own.
//!
//! Version is written last, so an upgrade that was cut short begins again from the old rows, which are
//! dropped only after it.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use series::limits::BLOCK_ROWS_MAX;
use series::{Block, Column};

use crate::chunk::checksum;
use crate::engine::{Batch, Durability, Engine, Family};
use crate::open::engine_error;
use crate::{Error, Recovery, SeriesId, Store, keys, reading, writing};

/// The format that this reads.
pub(crate) const FROM: u8 = 1;
/// The head is written when it holds so many bytes.
const HEAD_BYTES_MAX: usize = 64 << 20;
/// Version `u8`, rows `u32`, number of the time column `u64`, last time `i64`.
const HEAD_BYTES: usize = 1 + 4 + 8 + 8;
const KEY_BYTES: usize = 4 + 4 + 8 + 4;

/// Chunks of one partition that share a time column: by flush and number of the column, each by
/// series and the first time as it is in the key.
type Shared = BTreeMap<(u32, u64), Vec<(SeriesId, u64)>>;

/// Drops what an upgrade wrote that was cut short.
pub(crate) fn begin(engine: &dyn Engine) -> Result<(), Error> {
    let doing = || engine_error("beginning to upgrade the database");
    let mut batch = Batch::default();
    for family in [Family::Groups, Family::Days] {
        batch.delete_range(family, [], [0xff; 5]);
    }
    engine.write(batch, Durability::Synced).map_err(doing())?;
    for family in [Family::Runs, Family::Windows] {
        engine
            .drop_ingested(family, &[], &[0xff; 16])
            .map_err(doing())?;
    }
    Ok(())
}

impl Store {
    /// Writes the chunks of format 1 as runs.
    pub(crate) fn upgrade(&self, recovery: &mut Recovery) -> Result<(), Error> {
        let mut partitions: Vec<u32> = Vec::new();
        self.engine
            .scan(Family::OldPartitions, &[], &[0xff; 5], &mut |key, _| {
                partitions.extend(key.try_into().map(u32::from_be_bytes));
                ControlFlow::Continue(())
            })
            .map_err(engine_error("upgrading the database"))?;
        for partition in partitions {
            for ((flush, times), chunks) in self.shared(partition, recovery)? {
                let block = self.block(partition, flush, times, &chunks, recovery)?;
                recovery.upgraded_samples += block.1.sample_count() as u64;
                let mut stretches = Vec::new();
                writing(&self.groups).place_columns(&block.0, &mut stretches);
                let head_bytes = {
                    let groups = reading(&self.groups);
                    let active = &mut writing(&self.heads).active;
                    active.push_block(&groups, &stretches, &block.1);
                    active.bytes
                };
                if head_bytes > HEAD_BYTES_MAX {
                    self.flush_with_groups()?;
                }
            }
            self.flush_with_groups()?;
        }
        Ok(())
    }

    fn flush_with_groups(&self) -> Result<(), Error> {
        let mut batch = Batch::default();
        self.put_staged(&mut batch);
        self.engine
            .write(batch, Durability::Synced)
            .map_err(engine_error("upgrading the database"))?;
        self.flush()?;
        Ok(())
    }

    /// Drops the rows of format 1.
    pub(crate) fn drop_old(&self) -> Result<(), Error> {
        for family in Family::OLD {
            self.engine
                .drop_range(family, &[], &[0xff; KEY_BYTES + 1])
                .map_err(engine_error("dropping the rows of an old format"))?;
        }
        Ok(())
    }

    fn shared(&self, partition: u32, recovery: &mut Recovery) -> Result<Shared, Error> {
        let mut shared = Shared::new();
        let (start, end) = (
            keys::partition(partition),
            keys::partition(partition.saturating_add(1)),
        );
        self.engine
            .scan(Family::OldChunks, &start, &end, &mut |key, record| {
                match (parse_key(key), parse_head(record)) {
                    (Some((id, first, flush)), Some((_, times))) => {
                        shared.entry((flush, times)).or_default().push((id, first));
                    }
                    _ => recovery
                        .damaged
                        .push(format!("chunk {key:02x?} of format 1: not its key or head")),
                }
                ControlFlow::Continue(())
            })
            .map_err(engine_error("upgrading the database"))?;
        Ok(shared)
    }

    /// The chunks that share a time column, as one block. What cannot be read is set aside.
    fn block(
        &self,
        partition: u32,
        flush: u32,
        number: u64,
        chunks: &[(SeriesId, u64)],
        recovery: &mut Recovery,
    ) -> Result<(Vec<SeriesId>, Block), Error> {
        let upgrading = || engine_error("upgrading the database");
        let key = times_key(partition, number);
        let row = self
            .engine
            .get(Family::OldTimes, &key)
            .map_err(upgrading())?;
        let times = row.as_deref().and_then(|row| parse_times(&key, row));
        let mut block = Block {
            times: times.unwrap_or_default(),
            columns: Vec::with_capacity(chunks.len()),
        };
        let mut series = Vec::with_capacity(chunks.len());
        let mut aside = Batch::default();
        for (id, first) in chunks {
            let key = chunk_key(partition, id.0, *first, flush);
            let row = self
                .engine
                .get(Family::OldChunks, &key)
                .map_err(upgrading())?;
            let Some(record) = row else { continue };
            match parse_column(&key, &record, block.times.len()) {
                Some(column) if reading(&self.index).contains(*id) => {
                    series.push(*id);
                    block.columns.push(column);
                }
                _ => {
                    let what = format!("chunk {key:02x?} of format 1: does not decode; set aside");
                    recovery.damaged.push(what);
                    aside.put(Family::State, keys::state(keys::SET_ASIDE, &key), record);
                }
            }
        }
        if !aside.ops.is_empty() {
            let written = self.engine.write(aside, Durability::Synced);
            written.map_err(upgrading())?;
        }
        Ok((series, block))
    }
}

/// Key of a time column.
pub(crate) fn times_key(partition: u32, number: u64) -> Vec<u8> {
    [&partition.to_be_bytes()[..], &number.to_be_bytes()].concat()
}

/// Key of a chunk; `first` is its first time with the sign bit flipped.
pub(crate) fn chunk_key(partition: u32, id: u32, first: u64, flush: u32) -> Vec<u8> {
    let (partition, id) = (partition.to_be_bytes(), id.to_be_bytes());
    [
        &partition[..],
        &id,
        &first.to_be_bytes(),
        &flush.to_be_bytes(),
    ]
    .concat()
}

fn parse_key(key: &[u8]) -> Option<(SeriesId, u64, u32)> {
    let (_partition, rest) = key.split_first_chunk::<4>()?;
    let (id, rest) = rest.split_first_chunk::<4>()?;
    let (first, rest) = rest.split_first_chunk::<8>()?;
    let flush: [u8; 4] = rest.try_into().ok()?;
    let id = SeriesId(u32::from_be_bytes(*id));
    Some((id, u64::from_be_bytes(*first), u32::from_be_bytes(flush)))
}

/// Rows and number of the time column.
fn parse_head(record: &[u8]) -> Option<(usize, u64)> {
    let (&version, rest) = record.split_first()?;
    let (rows, rest) = rest.split_first_chunk::<4>()?;
    let (times, _) = rest.split_first_chunk::<8>()?;
    let rows = u32::from_le_bytes(*rows) as usize;
    (version == FROM && rows <= BLOCK_ROWS_MAX).then_some((rows, u64::from_le_bytes(*times)))
}

/// The column of a record under its key, if it has as many rows as its times.
pub(crate) fn parse_column(key: &[u8], record: &[u8], times: usize) -> Option<Column> {
    let (rows, _) = parse_head(record)?;
    let (body, stored) = record.split_last_chunk::<4>()?;
    if checksum(&[key, body]) != u32::from_le_bytes(*stored) || rows != times {
        return None;
    }
    codec::decode_column(body.get(HEAD_BYTES..)?, rows).ok()
}

fn parse_times(key: &[u8], row: &[u8]) -> Option<Vec<i64>> {
    let (stored, body) = row.split_first_chunk::<4>()?;
    if checksum(&[key, body]) != u32::from_le_bytes(*stored) {
        return None;
    }
    codec::decode_times(body, BLOCK_ROWS_MAX).ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use series::{Labels, MatchOp, Matcher, Rows, TimeRange};

    use super::*;
    use crate::engine::memory::Memory;
    use crate::tests::Free;

    const MINUTE: i64 = 60_000;
    const DAY: i64 = keys::PARTITION_MILLIS;

    fn put_series(batch: &mut Batch, id: u32, name: &str) {
        let labels = Labels::with_name(name, &[]).unwrap();
        let mut row = vec![series::MetricKind::Gauge.code()];
        codec::encode_labels(&labels, &mut row);
        batch.put(Family::Series, keys::series(id), row);
    }

    fn put_times(batch: &mut Batch, partition: u32, number: u64, times: &[i64]) {
        let key = times_key(partition, number);
        let mut body = Vec::new();
        codec::encode_times(times, &mut body);
        let row = [&checksum(&[&key, &body]).to_le_bytes()[..], &body].concat();
        batch.put(Family::OldTimes, key, row);
    }

    fn put_chunk(
        batch: &mut Batch,
        (partition, id, flush): (u32, u32, u32),
        number: u64,
        times: &[i64],
        values: &[f64],
    ) {
        let first = times[0].cast_unsigned() ^ (1 << 63);
        let key = chunk_key(partition, id, first, flush);
        let rows = u32::try_from(times.len()).unwrap();
        let mut record = vec![FROM];
        record.extend_from_slice(&rows.to_le_bytes());
        record.extend_from_slice(&number.to_le_bytes());
        record.extend_from_slice(&times.last().unwrap().to_le_bytes());
        let column = Column {
            rows: Rows::All,
            values: values[..].into(),
        };
        codec::encode_column(&column, times.len(), codec::Effort::Dense, &mut record);
        let sum = checksum(&[&key, &record]);
        record.extend_from_slice(&sum.to_le_bytes());
        batch.put(Family::OldChunks, key, record);
    }

    /// What format 1 wrote: two series that share their times in two flushes and two days.
    fn old() -> Arc<Memory> {
        let engine = Arc::new(Memory::default());
        let mut batch = Batch::default();
        batch.put(Family::Meta, keys::VERSION, [FROM]);
        batch.put(Family::Meta, keys::FLUSHES, 2_u64.to_be_bytes());
        batch.put(Family::Meta, keys::FLUSHED, 9_u64.to_be_bytes());
        put_series(&mut batch, 0, "a");
        put_series(&mut batch, 1, "b");
        let first = [DAY + MINUTE, DAY + 2 * MINUTE];
        // Late: the second flush has another value for the second minute.
        let second = [DAY + 2 * MINUTE, DAY + 3 * MINUTE];
        let third = [2 * DAY];
        for (partition, flush, number, times, value) in [
            (1, 0, 0_u64, &first[..], 1.0),
            (1, 1, 1 << 32, &second[..], 2.0),
            (2, 1, (1 << 32) + 1, &third[..], 3.0),
        ] {
            put_times(&mut batch, partition, number, times);
            for id in 0..2 {
                let values = vec![value + f64::from(id) * 10.0; times.len()];
                put_chunk(&mut batch, (partition, id, flush), number, times, &values);
            }
            batch.put(Family::OldPartitions, keys::partition(partition), [0]);
        }
        engine.write(batch, Durability::Synced).unwrap();
        engine
    }

    fn samples(store: &Store, name: &str) -> Vec<(i64, f64)> {
        let matcher = Matcher::new(series::labels::METRIC_NAME, MatchOp::Equal, name).unwrap();
        let selected = store.select(&[matcher], TimeRange::ALL, &Free).unwrap();
        assert!(selected.damaged.is_empty());
        let pairs = selected
            .series
            .iter()
            .flat_map(|it| it.times.iter().zip(it.values.iter()));
        pairs.map(|(time, value)| (*time, value)).collect()
    }

    #[test]
    fn what_format_1_wrote_is_read_and_then_dropped() {
        let engine = old();
        let (store, recovery) = Store::open(Box::new(Arc::clone(&engine))).unwrap();
        assert_eq!((recovery.upgraded_samples, recovery.damaged), (10, vec![]));
        let expected = |base: f64| {
            [
                (DAY + MINUTE, base + 1.0),
                (DAY + 2 * MINUTE, base + 2.0),
                (DAY + 3 * MINUTE, base + 2.0),
                (2 * DAY, base + 3.0),
            ]
        };
        assert_eq!(samples(&store, "a"), expected(0.0));
        assert_eq!(samples(&store, "b"), expected(10.0));
        assert_eq!(store.statistics().groups, 1);
        for family in Family::OLD {
            let mut rows = 0;
            let count = &mut |_: &[u8], _: &[u8]| {
                rows += 1;
                ControlFlow::Continue(())
            };
            engine.scan(family, &[], &[0xff; 32], count).unwrap();
            assert_eq!(rows, 0);
        }
        drop(store);
        let (store, recovery) = Store::open(Box::new(engine)).unwrap();
        assert_eq!(recovery.upgraded_samples, 0);
        assert_eq!(samples(&store, "b"), expected(10.0));
    }

    #[test]
    fn a_damaged_chunk_of_format_1_is_named_and_set_aside() {
        let engine = old();
        let mut damaged = Batch::default();
        engine
            .scan(Family::OldChunks, &[], &[0xff; 32], &mut |key, record| {
                let mut record = record.to_vec();
                record[HEAD_BYTES] ^= 1;
                damaged.put(Family::OldChunks, key, record);
                ControlFlow::Break(())
            })
            .unwrap();
        engine.write(damaged, Durability::Synced).unwrap();
        let (store, recovery) = Store::open(Box::new(engine)).unwrap();
        assert_eq!(recovery.damaged.len(), 1);
        assert_eq!(recovery.upgraded_samples, 8);
        assert_eq!(samples(&store, "b").len(), 4);
        assert!(samples(&store, "a").len() < 4);
    }
}
