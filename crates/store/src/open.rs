//! Opening: the index from its rows, the head from the journal.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
use std::sync::{Arc, Mutex, RwLock};

use roaring::RoaringBitmap;
use series::MetricKind;

use crate::engine::{Batch, Durability, Engine, Family};
use crate::head::{self, Head};
use crate::index::Index;
use crate::{Counters, Error, Heads, Journal, Mark, SeriesId, Staged, Store, journal, keys};

/// The newest format that this program writes and knows.
const FORMAT: u8 = 1;

/// What opening found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Series in the index.
    pub series: u64,
    /// Batches put back from the journal into the head.
    pub batches: u64,
    /// Their samples.
    pub samples: u64,
    /// Rows that could not be read, each said by where it lies and what is wrong. None is deleted.
    pub damaged: Vec<String>,
}

impl Store {
    /// Opens what the engine holds, or starts anew when it holds nothing.
    ///
    /// # Errors
    /// When the engine cannot be read or was written by a later version.
    pub fn open(engine: Box<dyn Engine>) -> Result<(Self, Recovery), Error> {
        check_version(&*engine)?;
        let mut recovery = Recovery::default();
        let index = read_index(&*engine, &mut recovery)?;
        let partitions = read_partitions(&*engine, &mut recovery)?;
        let marks = read_marks(&*engine)?;
        let flushed = read_number(&*engine, keys::FLUSHED)?;
        let flushes = u32::try_from(read_number(&*engine, keys::FLUSHES)?).unwrap_or(u32::MAX);
        let head = replay(&*engine, flushed, &index, &mut recovery)?;
        recovery.series = index.len() as u64;
        let journal = Journal {
            next_position: head.position_end,
        };
        let store = Self {
            engine,
            poisoned: AtomicBool::new(false),
            flushes: AtomicU32::new(flushes),
            generation: AtomicU64::new(0),
            counters: Counters::default(),
            flushing: Mutex::new(()),
            journal: Mutex::new(journal),
            marks: Mutex::new(marks),
            index: RwLock::new(index),
            staged: Mutex::new(Staged::default()),
            heads: RwLock::new(Heads {
                active: head,
                frozen: None,
            }),
            partitions: RwLock::new(partitions),
        };
        Ok((store, recovery))
    }
}

pub(crate) fn engine_error(
    doing: &'static str,
) -> impl FnOnce(crate::engine::EngineError) -> Error {
    move |source| Error::Engine { doing, source }
}

fn check_version(engine: &dyn Engine) -> Result<(), Error> {
    let found = engine
        .get(Family::Meta, keys::VERSION)
        .map_err(engine_error("reading the version"))?;
    match found.as_deref() {
        Some([found, ..]) if *found > FORMAT => Err(Error::Version {
            found: *found,
            known: FORMAT,
        }),
        Some([_, ..]) => Ok(()),
        Some([]) | None => {
            let mut batch = Batch::default();
            batch.put(Family::Meta, keys::VERSION, [FORMAT]);
            engine
                .write(batch, Durability::Synced)
                .map_err(engine_error("writing the version"))
        }
    }
}

fn read_number(engine: &dyn Engine, key: &[u8]) -> Result<u64, Error> {
    let row = engine
        .get(Family::Meta, key)
        .map_err(engine_error("reading a counter"))?;
    Ok(row
        .and_then(|row| row.try_into().ok())
        .map_or(0, u64::from_be_bytes))
}

fn read_index(engine: &dyn Engine, recovery: &mut Recovery) -> Result<Index, Error> {
    let mut index = Index::default();
    engine
        .scan(Family::Series, &[], &[0xff; 5], &mut |key, row| {
            let id = key.try_into().map(u32::from_be_bytes).map(SeriesId);
            if let Ok(id) = id {
                index.reserve(id);
            }
            let entry = row
                .split_first()
                .map(|(kind, labels)| (*kind, codec::decode_labels(labels)));
            match (id, entry) {
                (Ok(id), Some((kind, Ok(labels)))) => {
                    index.insert(id, Arc::new(labels), MetricKind::from_code(kind));
                }
                _ => recovery
                    .damaged
                    .push(format!("series row {key:02x?}: does not decode")),
            }
            ControlFlow::Continue(())
        })
        .map_err(engine_error("reading the series"))?;
    Ok(index)
}

fn read_partitions(
    engine: &dyn Engine,
    recovery: &mut Recovery,
) -> Result<BTreeMap<u32, RoaringBitmap>, Error> {
    let mut partitions = BTreeMap::new();
    engine
        .scan(Family::Partitions, &[], &[0xff; 5], &mut |key, row| {
            let number = key.try_into().map(u32::from_be_bytes);
            match (number, RoaringBitmap::deserialize_from(row)) {
                (Ok(number), Ok(ids)) => {
                    partitions.insert(number, ids);
                }
                _ => recovery
                    .damaged
                    .push(format!("partition row {key:02x?}: does not decode")),
            }
            ControlFlow::Continue(())
        })
        .map_err(engine_error("reading the partitions"))?;
    Ok(partitions)
}

fn read_marks(engine: &dyn Engine) -> Result<HashMap<String, Mark>, Error> {
    let mut marks = HashMap::new();
    engine
        .scan(
            Family::Meta,
            keys::MARKS_START,
            keys::MARKS_END,
            &mut |key, row| {
                let agent = key
                    .strip_prefix(keys::MARKS_START)
                    .map(String::from_utf8_lossy);
                if let (Some(agent), Some(mark)) = (agent, decode_mark(row)) {
                    marks.insert(agent.into_owned(), mark);
                }
                ControlFlow::Continue(())
            },
        )
        .map_err(engine_error("reading the high-water marks"))?;
    Ok(marks)
}

/// A mark as its row: epoch and sequence, big-endian.
pub(crate) fn encode_mark(mark: Mark) -> Vec<u8> {
    [mark.epoch.to_be_bytes(), mark.sequence.to_be_bytes()].concat()
}

fn decode_mark(row: &[u8]) -> Option<Mark> {
    let (epoch, rest) = row.split_first_chunk::<8>()?;
    let sequence = rest.first_chunk::<8>()?;
    Some(Mark {
        epoch: u64::from_be_bytes(*epoch),
        sequence: u64::from_be_bytes(*sequence),
    })
}

/// Puts the journal from `flushed` on back into a head. A record that cannot be used is set aside
/// before the next flush drops it with the others.
fn replay(
    engine: &dyn Engine,
    flushed: u64,
    index: &Index,
    recovery: &mut Recovery,
) -> Result<Head, Error> {
    let mut head = Head {
        position_end: flushed,
        ..Head::default()
    };
    let mut aside = Batch::default();
    engine
        .scan(
            Family::Journal,
            &keys::journal(flushed),
            &[0xff; 9],
            &mut |key, row| {
                let position = key.try_into().map_or(head.position_end, u64::from_be_bytes);
                head.position_end = position.saturating_add(1);
                match replay_record(&mut head, row, index) {
                    Ok(()) => recovery.batches += 1,
                    Err(problem) => {
                        let what = format!("journal row {position}: {problem}; set aside");
                        recovery.damaged.push(what);
                        aside.put(Family::State, keys::state(keys::SET_ASIDE, key), row);
                    }
                }
                ControlFlow::Continue(())
            },
        )
        .map_err(engine_error("replaying the journal"))?;
    if !aside.ops.is_empty() {
        let written = engine.write(aside, Durability::Synced);
        written.map_err(engine_error("setting damaged journal rows aside"))?;
    }
    recovery.samples = head.samples;
    Ok(head)
}

/// Puts one record into the head; what of it can be used is used, and the error names the rest.
fn replay_record(head: &mut Head, row: &[u8], index: &Index) -> Result<(), String> {
    let blocks = journal::decode(row).ok_or("its checksum does not match")?;
    let mut problem = Ok(());
    for block in blocks {
        let known = block.series.iter().all(|id| index.get(*id).is_some());
        match codec::decode_block(&block.columns) {
            Ok(columns) if known && columns.columns.len() == block.series.len() => {
                head.push(head::pieces_of(&block.series, columns));
            }
            Ok(_) => problem = Err("it names unknown series".to_owned()),
            Err(error) => problem = Err(error.to_string()),
        }
    }
    problem
}
