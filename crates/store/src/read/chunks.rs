//! The pieces that chunks have of some series: out of the cache where they were unpacked, else from disk.

use std::sync::Arc;

use series::TimeRange;

use super::{Columns, Meter, touches};
use crate::chunk::Chunk;
use crate::columns::{self, ChunkPlace, Unpacked};
use crate::engine::Family;
use crate::flush::PART_ROWS;
use crate::groups::GroupId;
use crate::head::Piece;
use crate::runs::Run;
use crate::{Error, SeriesId, Store, keys};

/// What a read collects.
pub(super) struct Found<'a> {
    /// For each column the pieces found so far.
    pub(super) pieces: &'a mut [Vec<Piece>],
    /// What could not be read.
    pub(super) damaged: &'a mut Vec<String>,
}

/// What is read of a chunk.
struct Wanted<'a> {
    place: ChunkPlace,
    columns: &'a Columns,
    range: TimeRange,
    meter: &'a dyn Meter,
}

impl Wanted<'_> {
    /// Takes what the chunk costs from the budget.
    fn charge(&self, rows: usize) -> Result<(), Error> {
        let cells = rows.saturating_mul(self.columns.len()) as u64;
        if self.meter.samples(cells) {
            Ok(())
        } else {
            Err(Error::Stopped)
        }
    }
}

impl Store {
    /// Adds the pieces that one run has of some series.
    pub(super) fn chunks(
        &self,
        (partition, run, group): (u32, &Run, GroupId),
        columns: &Columns,
        range: TimeRange,
        meter: &dyn Meter,
        found: &mut Found<'_>,
    ) -> Result<(), Error> {
        for part in 0..=u16::MAX {
            let place = ChunkPlace {
                partition,
                number: run.number,
                level: run.level,
                group,
                part,
            };
            let wanted = Wanted {
                place,
                columns,
                range,
                meter,
            };
            match self.chunk(&wanted, found)? {
                Some(rows) if rows >= PART_ROWS => {}
                _ => return Ok(()),
            }
        }
        Ok(())
    }

    /// Adds the pieces that one chunk has, and gives its rows; `None` when there is no such chunk.
    fn chunk(&self, wanted: &Wanted<'_>, found: &mut Found<'_>) -> Result<Option<usize>, Error> {
        let mut packed: Vec<usize> = Vec::new();
        let kept = self.columns.chunk(wanted.place);
        if let Some(chunk) = &kept {
            if !touches(&chunk.times, wanted.range) {
                return Ok(Some(chunk.times.len()));
            }
            wanted.charge(chunk.times.len())?;
            let columns = wanted.columns.iter().zip(&mut *found.pieces);
            for (index, ((column, _), pieces)) in columns.enumerate() {
                match chunk.column(*column) {
                    Some(column) => pieces.extend(piece(&chunk.times, column)),
                    None => packed.push(index),
                }
            }
        } else {
            packed.extend(0..wanted.columns.len());
        }
        let hits = wanted.columns.len() - packed.len();
        self.columns.count(hits, packed.len());
        match &kept {
            Some(chunk) if packed.is_empty() => Ok(Some(chunk.times.len())),
            _ => self.packed_chunk(wanted, kept.as_ref(), &packed, found),
        }
    }

    /// Reads some columns of a chunk from disk. What is kept of it was charged before.
    fn packed_chunk(
        &self,
        wanted: &Wanted<'_>,
        kept: Option<&Arc<Unpacked>>,
        packed: &[usize],
        found: &mut Found<'_>,
    ) -> Result<Option<usize>, Error> {
        let ChunkPlace {
            partition,
            number,
            level,
            group,
            part,
        } = wanted.place;
        if !wanted.meter.disk() {
            return Err(Error::Stopped);
        }
        let key = keys::chunk(partition, number, level, group, part);
        let mut rows = 0;
        let mut problems = Vec::new();
        let mut charged = Ok(());
        let read = self.engine.read(Family::Runs, &key, &mut |record| {
            let chunk = match Chunk::parse(&key, record) {
                Ok(chunk) => chunk,
                Err(problem) => {
                    // How many parts follow is not known; there may be one.
                    rows = PART_ROWS;
                    return problems.push(problem.to_owned());
                }
            };
            rows = chunk.rows;
            let touches = chunk.first_millis <= wanted.range.end_inclusive.as_millis()
                && chunk.last_millis >= wanted.range.start_inclusive.as_millis();
            if !touches {
                return;
            }
            if kept.is_none() {
                charged = wanted.charge(rows);
            }
            if charged.is_ok() {
                let columns = packed.iter().map(|&index| (index, wanted.columns[index]));
                let place = (wanted.place, kept.cloned());
                problems.extend(self.unpack(&chunk, place, columns, found.pieces));
            }
        });
        let is_there = match read {
            Ok(is_there) => is_there,
            Err(error) => {
                problems.push(format!("it cannot be read: {}", error.source));
                true
            }
        };
        found.damaged.extend(problems.into_iter().map(|problem| {
            format!(
                "chunk of group {group} in day {partition}, run {number} at level {level}, part \
                 {part}: {problem}"
            )
        }));
        charged?;
        Ok(is_there.then_some(rows))
    }

    /// Adds the pieces of some columns of a chunk and keeps them; gives what is wrong with some.
    fn unpack(
        &self,
        chunk: &Chunk<'_>,
        (place, kept): (ChunkPlace, Option<Arc<Unpacked>>),
        wanted: impl Iterator<Item = (usize, (u16, SeriesId))>,
        pieces: &mut [Vec<Piece>],
    ) -> Vec<String> {
        let unpacked = match (kept, chunk.times()) {
            (Some(kept), _) => kept,
            (None, Ok(times)) => Arc::new(Unpacked::new(times, chunk.columns())),
            (None, Err(problem)) => return vec![problem.to_owned()],
        };
        let mut problems = Vec::new();
        for (index, (column, id)) in wanted {
            match chunk.column(usize::from(column)) {
                Ok(found) => {
                    let found = found.map(|column| (column.rows, column.values.as_slice().into()));
                    pieces[index].extend(piece(&unpacked.times, &found));
                    unpacked.put(column, found);
                }
                Err(problem) => problems.push(format!("series {}: {problem}", id.0)),
            }
        }
        self.columns.put_chunk(place, unpacked);
        problems
    }
}

fn piece(times: &Arc<[i64]>, column: &columns::Column) -> Option<Piece> {
    let (rows, values) = column.as_ref()?;
    Some(Piece {
        times: Arc::clone(times),
        rows: rows.clone(),
        values: values.clone(),
    })
}
