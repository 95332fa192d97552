//! Opening: index, groups and days from their rows, the head from the journal.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
use std::sync::{Arc, Mutex, RwLock};

use roaring::RoaringBitmap;
use series::Sequences;

use crate::columns::Columns;
use crate::compact::Leftovers;
use crate::engine::{Batch, Durability, Engine, Family};
use crate::groups::{self, Groups};
use crate::head::Head;
use crate::index::Index;
use crate::runs::{Day, Days, RUN_NUMBER_MAX};
use crate::{
    Counters, Error, Heads, Journal, SeriesId, Settled, Staged, Store, cold, journal, keys, locked,
    reading, upgrade, writing,
};

/// The newest format that this program writes and knows.
const FORMAT: u8 = 2;
/// No journal row lies at or past this: at a million batches a second it is 292,000 years away. What
/// claims one is damaged, and must not be what the next position is counted from.
const POSITION_MAX: u64 = u64::MAX / 2;

/// What opening found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Series in the index.
    pub series: u64,
    /// Batches put back from the journal into the head.
    pub batches: u64,
    /// Their samples.
    pub samples: u64,
    /// Samples that were rewritten from an earlier format.
    pub upgraded_samples: u64,
    /// Rows that could not be read, each said by where it lies and what is wrong. None is deleted.
    pub damaged: Vec<String>,
}

impl Store {
    /// Opens what the engine holds, or starts anew when it holds nothing.
    ///
    /// # Errors
    /// When the engine cannot be read or was written by a later version.
    pub fn open(engine: Box<dyn Engine>) -> Result<(Self, Recovery), Error> {
        let found = version(&*engine)?;
        let is_old = found == Some(upgrade::FROM);
        if is_old {
            upgrade::begin(&*engine)?;
        }
        let mut recovery = Recovery::default();
        let days = read_days(&*engine, &mut recovery)?;
        let index = read_index(&*engine, &cold::hot_of(&days), &mut recovery)?;
        let groups = read_groups(&*engine, &index, &mut recovery)?;
        let marks = read_marks(&*engine)?;
        // From the start if it cannot be told: what is read again is the same again.
        let flushed = read_number(&*engine, keys::FLUSHED)?;
        let flushed = Some(flushed).filter(|position| *position < POSITION_MAX);
        let flushed = flushed.unwrap_or(0);
        let flushes = read_number(&*engine, keys::FLUSHES)?;
        let flushes = u32::try_from(flushes)
            .ok()
            .filter(|it| *it <= RUN_NUMBER_MAX);
        // A flush with the number of a run takes its place, so a row that is damaged must not lead
        // to one.
        let runs = days.values().flat_map(|day| &day.runs);
        let newest = runs.map(|run| run.number).max().unwrap_or(0);
        let flushes = flushes.unwrap_or(0).max(newest);
        recovery.series = index.len() + index.cold().len();
        let active = Head {
            position_end: flushed,
            ..Head::default()
        };
        let store = Self {
            engine,
            poisoned: AtomicBool::new(false),
            flushes: AtomicU32::new(flushes),
            generation: AtomicU64::new(0),
            columns: Columns::new(),
            spare: crate::read::Spare::new(),
            index_bytes_max: AtomicU64::new(0),
            counters: Counters::default(),
            flushing: Mutex::new(()),
            compacting: Mutex::new(Leftovers::default()),
            journal: Mutex::new(Journal {
                next_position: flushed,
                notes: crate::notes::Notes::default(),
            }),
            changing_days: Mutex::new(()),
            marks: Mutex::new(marks),
            index: RwLock::new(index),
            staged: Mutex::new(Staged::default()),
            groups: RwLock::new(groups),
            heads: RwLock::new(Heads {
                active,
                frozen: None,
            }),
            days: RwLock::new(days),
        };
        if is_old {
            store.upgrade(&mut recovery)?;
        }
        if found != Some(FORMAT) {
            store.write_version()?;
        }
        if is_old {
            store.drop_old()?;
        }
        store.replay(&mut recovery)?;
        store.set_temperature()?;
        store.sweep()?;
        Ok((store, recovery))
    }

    fn write_version(&self) -> Result<(), Error> {
        let mut batch = Batch::default();
        batch.put(Family::Meta, keys::VERSION, [FORMAT]);
        self.engine
            .write(batch, Durability::Synced)
            .map_err(engine_error("writing the version"))
    }

    /// Puts the journal from where the head begins back into it. A record that cannot be used is set
    /// aside before the next flush drops it with the others.
    fn replay(&self, recovery: &mut Recovery) -> Result<(), Error> {
        let index = reading(&self.index);
        let mut groups = writing(&self.groups);
        let mut heads = writing(&self.heads);
        let head = &mut heads.active;
        let mut aside = Batch::default();
        self.engine
            .scan(
                Family::Journal,
                &keys::journal(head.position_end),
                &[0xff; 9],
                &mut |key, row| {
                    let position = key.try_into().map_or(head.position_end, u64::from_be_bytes);
                    if position < POSITION_MAX {
                        head.position_end = position + 1;
                    }
                    match replay_record(head, row, &index, &mut groups) {
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
            let written = self.engine.write(aside, Durability::Synced);
            written.map_err(engine_error("setting damaged journal rows aside"))?;
        }
        recovery.samples = head.samples;
        locked(&self.journal).next_position = head.position_end;
        Ok(())
    }
}

pub(crate) fn engine_error(
    doing: &'static str,
) -> impl FnOnce(crate::engine::EngineError) -> Error {
    move |source| Error::Engine { doing, source }
}

/// The version of what the engine holds; none when it holds nothing.
fn version(engine: &dyn Engine) -> Result<Option<u8>, Error> {
    let found = engine
        .get(Family::Meta, keys::VERSION)
        .map_err(engine_error("reading the version"))?;
    match found.as_deref().and_then(<[u8]>::first) {
        Some(&found) if found > FORMAT => Err(Error::Version {
            found,
            known: FORMAT,
        }),
        found => Ok(found.copied()),
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

fn read_index(
    engine: &dyn Engine,
    hot: &RoaringBitmap,
    recovery: &mut Recovery,
) -> Result<Index, Error> {
    let mut index = Index::default();
    engine
        .scan(Family::Series, &[], &[0xff; 5], &mut |key, row| {
            let id = key.try_into().map(u32::from_be_bytes).map(SeriesId);
            match id {
                // Read when they are asked for.
                Ok(id) if !hot.contains(id.0) => index.insert_cold(id),
                Ok(id) => {
                    index.reserve(id);
                    match cold::parse_row(row) {
                        // A label set that another series has taken in the same days.
                        Some((labels, _)) if index.find(&labels).is_some() => index.insert_cold(id),
                        Some((labels, kind)) => index.insert(id, &labels, kind),
                        None => recovery
                            .damaged
                            .push(format!("series row {key:02x?}: does not decode")),
                    }
                }
                Err(_) => recovery
                    .damaged
                    .push(format!("series row {key:02x?}: not its key")),
            }
            ControlFlow::Continue(())
        })
        .map_err(engine_error("reading the series"))?;
    Ok(index)
}

fn read_groups(
    engine: &dyn Engine,
    index: &Index,
    recovery: &mut Recovery,
) -> Result<Groups, Error> {
    let mut groups = Groups::default();
    engine
        .scan(Family::Groups, &[], &[0xff; 5], &mut |key, row| {
            let number = key.try_into().map(u32::from_be_bytes).ok();
            match (number, groups::decode(row)) {
                (Some(number), Some(members)) if number <= groups::NUMBER_MAX => {
                    groups.insert(number, members, |id| index.contains(id));
                }
                (number, _) => {
                    if let Some(number) = number {
                        groups.insert_unreadable(number);
                    }
                    let what = format!("group row {key:02x?}: does not decode");
                    recovery.damaged.push(what);
                }
            }
            ControlFlow::Continue(())
        })
        .map_err(engine_error("reading the groups"))?;
    Ok(groups)
}

/// A row that cannot be read is set aside before the next flush of that day writes another: as long as
/// it is there, nothing of that day is swept away.
fn read_days(engine: &dyn Engine, recovery: &mut Recovery) -> Result<Days, Error> {
    let mut days = Days::new();
    let mut aside = Batch::default();
    engine
        .scan(Family::Days, &[], &[0xff; 5], &mut |key, row| {
            match (key.try_into().map(u32::from_be_bytes), Day::decode(row)) {
                (Ok(number), Some(day)) => {
                    days.insert(number, Arc::new(day));
                }
                _ => {
                    let what = format!("day row {key:02x?}: does not decode; set aside");
                    recovery.damaged.push(what);
                    aside.put(Family::State, keys::state(keys::SET_ASIDE, key), row);
                }
            }
            ControlFlow::Continue(())
        })
        .map_err(engine_error("reading the days"))?;
    if !aside.ops.is_empty() {
        let written = engine.write(aside, Durability::Synced);
        written.map_err(engine_error("setting damaged day rows aside"))?;
    }
    Ok(days)
}

fn read_marks(engine: &dyn Engine) -> Result<HashMap<String, Settled>, Error> {
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

/// What is settled as its row, of big-endian numbers: the epoch, the last sequence before the first
/// hole, then first and last of each range beyond it.
pub(crate) fn encode_mark(settled: &Settled) -> Vec<u8> {
    let Settled { epoch, sequences } = settled;
    let beyond = sequences.beyond().iter();
    let beyond = beyond.flat_map(|(first, last)| [*first, *last]);
    let numbers = [*epoch, sequences.through()].into_iter().chain(beyond);
    numbers.flat_map(u64::to_be_bytes).collect()
}

fn decode_mark(row: &[u8]) -> Option<Settled> {
    let (numbers, rest) = row.as_chunks::<8>();
    let numbers: Vec<u64> = numbers.iter().copied().map(u64::from_be_bytes).collect();
    let ([epoch, through], beyond) = numbers.split_first_chunk::<2>()?;
    let (beyond, odd) = beyond.as_chunks::<2>();
    let beyond = beyond.iter().map(|[first, last]| (*first, *last)).collect();
    (rest.is_empty() && odd.is_empty()).then_some(Settled {
        epoch: *epoch,
        sequences: Sequences::from_parts(*through, beyond)?,
    })
}

/// Puts one record into the head; what of it can be used is used, and the error names the rest.
fn replay_record(
    head: &mut Head,
    row: &[u8],
    index: &Index,
    groups: &mut Groups,
) -> Result<(), String> {
    let (blocks, samples) = journal::decode(row).ok_or("its checksum does not match")?;
    let mut problem = Ok(());
    let mut stretches = Vec::new();
    let unknown = || Err("it names unknown series".to_owned());
    for block in blocks {
        let known = block.series.iter().all(|id| index.contains(*id));
        match codec::decode_block(&block.columns) {
            Ok(columns) if known && columns.columns.len() == block.series.len() => {
                stretches.clear();
                groups.place_columns(&block.series, &mut stretches);
                head.push_block(groups, &stretches, &columns);
            }
            Ok(_) => problem = unknown(),
            Err(error) => problem = Err(error.to_string()),
        }
    }
    let mut ids = samples.series.iter().map(|id| SeriesId(*id));
    if !ids.all(|id| index.contains(id)) {
        return unknown();
    }
    stretches.clear();
    groups.place_samples(&samples, &mut stretches);
    head.push(groups, &stretches, &samples.times, &samples.values);
    head.bytes += row.len();
    problem
}
