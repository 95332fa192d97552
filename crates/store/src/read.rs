//! Reading: the samples of a selector in a time range, from head and chunks.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use foldhash::fast::FixedState;
use roaring::RoaringBitmap;
use series::{Labels, Matcher, TimeRange};

use crate::chunk::{self, ChunkHead};
use crate::engine::Family;
use crate::flush::times_checksum;
use crate::head::{self, Head, Piece};
use crate::open::engine_error;
use crate::{Error, SeriesId, Store, keys, reading};

/// Watches a read and may end it.
pub trait Meter {
    /// So many series will be read. `false` ends the read with [`Error::Stopped`].
    fn series(&self, count: u64) -> bool;
    /// So many samples will be decoded next. `false` ends the read with [`Error::Stopped`].
    fn samples(&self, count: u64) -> bool;
}

/// One series that was found. Series of one target share their times.
#[derive(Clone, Debug)]
pub struct Selected {
    /// What names it.
    pub labels: Arc<Labels>,
    /// Milliseconds since the Unix epoch, strictly ascending, inside the range.
    pub times: Arc<[i64]>,
    /// As many values as times.
    pub values: Arc<[f64]>,
}

/// What a selector found.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Series with at least one sample in the range, in order of id.
    pub series: Vec<Selected>,
    /// Chunks that could not be read, each by where it lies and what is wrong. The rest is there.
    pub damaged: Vec<String>,
}

/// State of one read: time columns that were read already, and those that were joined.
struct Reader<'a> {
    store: &'a Store,
    range: TimeRange,
    /// The partitions that may hold something of the range, and their series.
    partitions: Vec<(u32, RoaringBitmap)>,
    frozen: Option<Arc<Head>>,
    times: HashMap<(u32, u64), Option<Arc<[i64]>>, FixedState>,
    joined: HashMap<Vec<usize>, (usize, Arc<[i64]>), FixedState>,
    damaged: Vec<String>,
}

impl Store {
    /// The samples inside `range` of all series that pass every matcher.
    ///
    /// # Errors
    /// When the engine fails as a whole or `meter` ends the read. A damaged chunk is no error: it
    /// is left out and said in the selection.
    pub fn select(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        meter: &dyn Meter,
    ) -> Result<Selection, Error> {
        let mut ids = reading(&self.index).select(matchers);
        ids &= self.present(range);
        if !meter.series(ids.len()) {
            return Err(Error::Stopped);
        }
        // Heads before chunks: a flush moves samples from the one to the other, and what is seen
        // twice is merged, while what is missed is gone.
        let (active, frozen) = self.head_pieces(&ids, range);
        let mut reader = Reader {
            store: self,
            range,
            partitions: self.partitions_of(range),
            frozen,
            times: HashMap::default(),
            joined: HashMap::default(),
            damaged: Vec::new(),
        };
        let mut series = Vec::new();
        for id in ids.iter().map(SeriesId) {
            let pieces = active.get(&id).map_or(&[][..], Vec::as_slice);
            let Some((times, values)) = reader.read(id, pieces, meter)? else {
                continue;
            };
            let Some(labels) = reading(&self.index)
                .get(id)
                .map(|entry| Arc::clone(&entry.labels))
            else {
                continue;
            };
            series.push(Selected {
                labels,
                times,
                values,
            });
        }
        Ok(Selection {
            series,
            damaged: reader.damaged,
        })
    }

    /// The series that have something in a day that `range` touches, or in a head.
    pub(crate) fn present(&self, range: TimeRange) -> RoaringBitmap {
        let heads = reading(&self.heads);
        let mut present = heads.active.ids.clone();
        if let Some(frozen) = &heads.frozen {
            present |= &frozen.ids;
        }
        drop(heads);
        for (_, series) in self.partitions_of(range) {
            present |= series;
        }
        present
    }

    /// The pieces of the active head that belong to `ids` and touch `range`, and the head that is
    /// being flushed.
    fn head_pieces(
        &self,
        ids: &RoaringBitmap,
        range: TimeRange,
    ) -> (HashMap<SeriesId, Vec<Piece>, FixedState>, Option<Arc<Head>>) {
        let heads = reading(&self.heads);
        let touching = |id| {
            let pieces = heads.active.pieces(id).iter();
            pieces
                .filter(|piece| overlaps(piece, range))
                .cloned()
                .collect()
        };
        let active = (ids & &heads.active.ids)
            .iter()
            .map(|id| (SeriesId(id), touching(SeriesId(id))))
            .collect();
        (active, heads.frozen.clone())
    }

    /// The partitions that `range` touches, with the series that have chunks there.
    pub(crate) fn partitions_of(&self, range: TimeRange) -> Vec<(u32, RoaringBitmap)> {
        if range.is_empty() {
            return Vec::new();
        }
        let first = keys::partition_of(range.start_inclusive.as_millis());
        let last = keys::partition_of(range.end_inclusive.as_millis());
        reading(&self.partitions)
            .range(first..=last)
            .map(|(number, ids)| (*number, ids.clone()))
            .collect()
    }
}

type Columns = (Arc<[i64]>, Arc<[f64]>);

impl Reader<'_> {
    /// All samples of one series inside the range; `None` when there are none.
    fn read(
        &mut self,
        id: SeriesId,
        active: &[Piece],
        meter: &dyn Meter,
    ) -> Result<Option<Columns>, Error> {
        let mut pieces = self.chunks(id, meter)?;
        let from_heads = self
            .frozen
            .iter()
            .flat_map(|head| head.pieces(id))
            .chain(active);
        let mut samples = 0;
        for piece in from_heads.filter(|piece| overlaps(piece, self.range)) {
            samples += piece.values.len() as u64;
            pieces.push(piece.clone());
        }
        if !meter.samples(samples) {
            return Err(Error::Stopped);
        }
        if head::are_joined(&pieces) {
            return Ok(self.join(&pieces));
        }
        let (times, values) = head::merge(&pieces);
        let (start, end) = cut(&times, self.range);
        Ok((start < end).then(|| (times[start..end].into(), values[start..end].into())))
    }

    /// Joins pieces that follow one another; the joined times are made once for all series that
    /// have the same.
    fn join(&mut self, pieces: &[Piece]) -> Option<Columns> {
        // The pieces hold their time columns for as long as this read lasts, or the cache does, so
        // an address names one column.
        let key: Vec<usize> = pieces
            .iter()
            .map(|piece| piece.times.as_ptr().addr())
            .collect();
        let range = self.range;
        let (start, times) = self.joined.entry(key).or_insert_with(|| {
            let all: Vec<i64> = pieces
                .iter()
                .flat_map(|piece| piece.times.iter().copied())
                .collect();
            let (start, end) = cut(&all, range);
            (start, all.get(start..end).unwrap_or_default().into())
        });
        if times.is_empty() {
            return None;
        }
        let values = pieces.iter().flat_map(|piece| piece.values.iter().copied());
        let values = values.skip(*start).take(times.len()).collect();
        Some((Arc::clone(times), values))
    }

    /// The chunks of a series that touch the range, in the order in which they were written: where
    /// a time comes twice, what was written later wins.
    fn chunks(&mut self, id: SeriesId, meter: &dyn Meter) -> Result<Vec<Piece>, Error> {
        let mut found = Vec::new();
        for (partition, ids) in &self.partitions {
            if ids.contains(id.0) {
                self.scan(*partition, id, meter, &mut found)?;
            }
        }
        let mut pieces = Vec::with_capacity(found.len());
        for (partition, key, row) in found {
            match self.piece(partition, &key, &row)? {
                Ok(piece) => pieces.push((keys::flush_of(&key), piece)),
                Err(problem) => self.damaged.push(format!(
                    "chunk of series {} in partition {partition}, key {key:02x?}: {problem}",
                    id.0
                )),
            }
        }
        pieces.sort_by_key(|(flush, _)| *flush);
        Ok(pieces.into_iter().map(|(_, piece)| piece).collect())
    }

    /// The rows of a series' chunks in one partition that may touch the range.
    fn scan(
        &self,
        partition: u32,
        id: SeriesId,
        meter: &dyn Meter,
        found: &mut Vec<(u32, Vec<u8>, Vec<u8>)>,
    ) -> Result<(), Error> {
        let start = keys::chunks_of(partition, id.0);
        // No chunk that begins after the range is of use.
        let last = self.range.end_inclusive.as_millis().saturating_add(1);
        let end = keys::chunk(partition, id.0, last, 0).min(keys::chunks_after(partition, id.0));
        let mut stopped = false;
        let mut visit = |key: &[u8], row: &[u8]| {
            let head = chunk::head(row);
            let before =
                |head: &ChunkHead| head.last_millis < self.range.start_inclusive.as_millis();
            if head.as_ref().is_some_and(before) {
                return ControlFlow::Continue(());
            }
            // A row without a head is damaged, and said so when it is read.
            if !meter.samples(head.map_or(0, |head| u64::from(head.rows))) {
                stopped = true;
                return ControlFlow::Break(());
            }
            found.push((partition, key.to_vec(), row.to_vec()));
            ControlFlow::Continue(())
        };
        let scanned = self
            .store
            .engine
            .scan(Family::Chunks, &start, &end, &mut visit);
        scanned.map_err(engine_error("reading chunks"))?;
        if stopped { Err(Error::Stopped) } else { Ok(()) }
    }

    fn piece(
        &mut self,
        partition: u32,
        key: &[u8],
        row: &[u8],
    ) -> Result<Result<Piece, &'static str>, Error> {
        let (head, column) = match chunk::decode(key, row) {
            Ok(decoded) => decoded,
            Err(problem) => return Ok(Err(problem)),
        };
        let Some(times) = self.times(partition, head.times, head.rows as usize)? else {
            return Ok(Err("its time column is missing or damaged"));
        };
        Ok(Ok(Piece {
            times,
            rows: column.rows,
            values: column.values.into(),
        }))
    }

    /// A shared time column; `None` when it is missing or damaged.
    fn times(
        &mut self,
        partition: u32,
        number: u64,
        rows: usize,
    ) -> Result<Option<Arc<[i64]>>, Error> {
        if let Some(times) = self.times.get(&(partition, number)) {
            return Ok(times.clone().filter(|times| times.len() == rows));
        }
        let key = keys::times(partition, number);
        let row = self.store.engine.get(Family::Times, &key);
        let row = row.map_err(engine_error("reading a time column"))?;
        let times = row.as_deref().and_then(|row| {
            let (checksum, body) = row.split_first_chunk::<4>()?;
            if times_checksum(&key, body) != u32::from_le_bytes(*checksum) {
                return None;
            }
            codec::decode_times(body, rows).ok().map(Arc::<[i64]>::from)
        });
        self.times.insert((partition, number), times.clone());
        Ok(times.filter(|times| times.len() == rows))
    }
}

fn overlaps(piece: &Piece, range: TimeRange) -> bool {
    match (piece.times.first(), piece.times.last()) {
        (Some(&first), Some(&last)) => {
            first <= range.end_inclusive.as_millis() && last >= range.start_inclusive.as_millis()
        }
        _ => false,
    }
}

/// The indices of the first time inside the range and of the first after it.
fn cut(times: &[i64], range: TimeRange) -> (usize, usize) {
    let start = times.partition_point(|&time| time < range.start_inclusive.as_millis());
    let end = times.partition_point(|&time| time <= range.end_inclusive.as_millis());
    (start, end.max(start))
}
