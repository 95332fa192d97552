//! Events on disk until the coordinator has recorded them.
//!
//! A spool of its own, small, in which a record is an encoded `Event` of the contract with its id. Where
//! the disk takes nothing there is a second one in memory, from which events are sent as well, and go to
//! disk when it is back.
//!
//! When it is full, the oldest events that only inform go first, then warnings, then what is critical;
//! they are counted, and an empty record stays in their place.

use std::sync::{Arc, Mutex, PoisonError};

use spool::{Config, Error, MemoryDisk, Reason, Span, Spool};
use tokio::sync::Notify;
use wire::Message;
use wire::ingest::Event;
use wire::proto;

use crate::metrics::Metrics;

/// Most bytes of events: some 20,000 of them.
const BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Bytes of one file.
const SEGMENT_BYTES: u64 = 256 * 1024;
/// Events that are read at a time.
const READ_MAX: usize = 64;

/// Severities in the order in which they go; the level of a segment is how many of them are gone.
const SEVERITIES: [&str; 3] = ["info", "warning", "critical"];

/// Where an event lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Which spool.
    shelf: usize,
    sequence: u64,
}

/// Up to where events have been read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cursor([u64; 2]);

/// A handle to the events that are not recorded. Its disk work is done on a blocking thread.
#[derive(Clone)]
pub struct Kept {
    shelves: Arc<Mutex<Shelves>>,
    fresh: Arc<Notify>,
    metrics: Arc<Metrics>,
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kept").finish_non_exhaustive()
    }
}

/// The spools: that on disk, if there is one, and that in memory.
struct Shelves {
    spools: Vec<Spool>,
    /// What begins the ids of this process and of no other: the epoch of the spool, and the first
    /// sequence that no process before had. Each process keeps one event at least, that it started.
    life: String,
    number: u64,
    /// Whether it was said that the disk takes nothing.
    failing: bool,
}

impl Kept {
    /// How the spool of events is to be opened. A new one begins at `epoch_if_new`.
    #[must_use]
    pub fn config(epoch_if_new: u64) -> Config {
        Config {
            bytes_max: BYTES_MAX,
            segment_bytes: SEGMENT_BYTES,
            epoch_if_new,
            reserve_bytes: 0,
            span_of,
        }
    }

    /// Events in `disk`, and where that takes nothing in memory.
    ///
    /// # Errors
    /// When the bounds contradict each other.
    pub fn on(disk: Spool, config: Config, metrics: &Arc<Metrics>) -> Result<Self, Error> {
        let (memory, _) = Spool::open(MemoryDisk::default(), config)?;
        Ok(Self::of(vec![disk, memory], metrics))
    }

    /// Events in memory alone, for a node whose disk cannot be used.
    ///
    /// # Errors
    /// When the bounds contradict each other.
    pub fn in_memory(config: Config, metrics: &Arc<Metrics>) -> Result<Self, Error> {
        let (memory, _) = Spool::open(MemoryDisk::default(), config)?;
        Ok(Self::of(vec![memory], metrics))
    }

    fn of(spools: Vec<Spool>, metrics: &Arc<Metrics>) -> Self {
        let life = spools
            .first()
            .map(|first| (first.epoch(), first.next_sequence()));
        let (epoch, first) = life.unwrap_or_default();
        let shelves = Shelves {
            spools,
            life: format!("{epoch}-{first}"),
            number: 0,
            failing: false,
        };
        let kept = Self {
            shelves: Arc::new(Mutex::new(shelves)),
            fresh: Arc::default(),
            metrics: Arc::clone(metrics),
        };
        let mut shelves = kept.lock();
        shelves.report(&kept.metrics);
        drop(shelves);
        kept
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Shelves> {
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Shelves, &Metrics) -> T + Send + 'static,
    ) -> Option<T> {
        let kept = self.clone();
        let done = daemon::blocking::spawn(move || {
            let mut shelves = kept.lock();
            let done = work(&mut shelves, &kept.metrics);
            shelves.report(&kept.metrics);
            done
        });
        // It fails only when the runtime is ending, or by a bug whose panic is in the log.
        done.await.ok()
    }

    /// Told when there is more to read.
    pub(super) fn fresh(&self) -> &Notify {
        &self.fresh
    }

    /// Gives events their ids and keeps them, with one sync.
    pub(crate) async fn keep(&self, events: Vec<Event>) {
        self.work(move |shelves, metrics| shelves.keep(events, metrics))
            .await;
        self.fresh.notify_one();
    }

    /// The next events from `cursor` on, which goes past them; none for what is no event any more.
    pub(super) async fn read(
        &self,
        mut cursor: Cursor,
    ) -> (Vec<(Place, Option<proto::Event>)>, Cursor) {
        let read = self.work(move |shelves, _| {
            let events = shelves.read(&mut cursor);
            (events, cursor)
        });
        read.await.unwrap_or((Vec::new(), cursor))
    }

    /// Takes note that these and those before them need not be kept.
    pub(super) async fn done_with(&self, places: Vec<Place>) {
        self.work(move |shelves, _| {
            for place in places {
                let Some(spool) = shelves.spools.get_mut(place.shelf) else {
                    continue;
                };
                if let Err(error) = spool.acknowledge_through(place.sequence) {
                    // It is sent again after a restart, and known by its id.
                    tracing::debug!(
                        error = crate::chain(&error),
                        "that an event was recorded is not noted on disk"
                    );
                }
            }
        })
        .await;
    }
}

impl Shelves {
    fn keep(&mut self, events: Vec<Event>, metrics: &Metrics) {
        let mut records = Vec::with_capacity(events.len());
        for mut event in events {
            event.id = format!("{}-{}", self.life, self.number);
            self.number += 1;
            records.push(proto::Event::from(event).encode_to_vec());
        }
        let last = self.spools.len().saturating_sub(1);
        for (shelf, spool) in self.spools.iter_mut().enumerate() {
            match put(spool, &records, metrics) {
                Ok(()) => {
                    self.failing &= shelf > 0;
                    break;
                }
                Err(error) if shelf < last => {
                    if !std::mem::replace(&mut self.failing, true) {
                        tracing::error!(
                            error = crate::chain(&error),
                            "the disk does not take events; they are kept in memory"
                        );
                    }
                }
                Err(error) => {
                    metrics.events_dropped.full.add(records.len() as u64);
                    tracing::error!(error = crate::chain(&error), "events cannot be kept");
                }
            }
        }
        if !self.failing {
            self.move_to_disk(metrics);
        }
    }

    /// Moves what is in memory to the disk. What of it was sent is known again by its id.
    fn move_to_disk(&mut self, metrics: &Metrics) {
        let [disk, memory] = self.spools.as_mut_slice() else {
            return;
        };
        while memory.pending() > 0 {
            let from = memory.oldest_sequence();
            let Ok(read) = memory.read_from(from, READ_MAX, usize::MAX) else {
                return;
            };
            let Some((last, _)) = read.last() else {
                return;
            };
            let last = *last;
            let records: Vec<Vec<u8>> = read.into_iter().map(|(_, record)| record).collect();
            if put(disk, &records, metrics).is_err() || memory.acknowledge_through(last).is_err() {
                return;
            }
        }
    }

    fn read(&mut self, cursor: &mut Cursor) -> Vec<(Place, Option<proto::Event>)> {
        let mut events = Vec::new();
        for ((shelf, spool), next) in self.spools.iter_mut().enumerate().zip(&mut cursor.0) {
            let records = match spool.read_from(*next, READ_MAX, usize::MAX) {
                Ok(records) => records,
                Err(error) => {
                    tracing::error!(error = crate::chain(&error), "events cannot be read");
                    continue;
                }
            };
            for (sequence, record) in records {
                *next = sequence + 1;
                events.push((Place { shelf, sequence }, event_of(&record)));
            }
        }
        events
    }

    /// Counts what is there and what was lost.
    fn report(&mut self, metrics: &Metrics) {
        let pending: u64 = self.spools.iter().map(Spool::pending).sum();
        let pending = usize::try_from(pending).unwrap_or(usize::MAX);
        metrics.events_pending.set_count(pending);
        for spool in &mut self.spools {
            let losses = spool.losses().to_vec();
            if losses.is_empty() || spool.losses_told(&losses).is_err() {
                continue;
            }
            for loss in losses {
                let count = loss.last - loss.first + 1;
                match loss.reason {
                    // Empty records were counted when they became so.
                    Reason::Full | Reason::Unwritten if loss.span.is_none() => continue,
                    Reason::Full | Reason::Unwritten => metrics.events_dropped.full.add(count),
                    Reason::Damaged | Reason::Missing => metrics.events_dropped.damaged.add(count),
                }
                tracing::error!(
                    count,
                    reason = loss.reason.as_str(),
                    "events were lost before they were sent"
                );
            }
        }
    }
}

/// Puts records into a spool and makes them durable, all or none as far as the caller can tell: those that
/// were put before one that was not are kept twice, and known by their ids.
fn put(spool: &mut Spool, records: &[Vec<u8>], metrics: &Metrics) -> Result<(), Error> {
    for record in records {
        make_room(spool, record.len(), metrics);
        spool.append(record)?;
    }
    // After a failed sync they are written elsewhere by the next.
    spool.sync().or_else(|_| spool.sync())
}

/// Lets go the oldest events of the least severity until there is room for one of so many bytes.
fn make_room(spool: &mut Spool, bytes: usize, metrics: &Metrics) {
    for level in 1..=SEVERITIES.len() {
        let mut without = |records: &[(u64, &[u8])]| {
            let goes = |record: &[u8]| {
                let event = event_of(record)?;
                let rank = SEVERITIES.iter().position(|it| *it == event.severity);
                rank.is_none_or(|rank| rank < level).then(Vec::new)
            };
            records.iter().map(|(_, record)| goes(record)).collect()
        };
        let level = u8::try_from(level).unwrap_or(u8::MAX);
        while spool.is_full_for(bytes) {
            match spool.thin_oldest(level, &mut without) {
                Ok(Some(done)) => metrics.events_dropped.full.add(done.records),
                // What cannot be thinned goes as a whole, and is counted as a loss.
                Ok(None) | Err(_) => break,
            }
        }
    }
}

/// What a record says; none where an event was. Whether it is sound is for the coordinator to say.
fn event_of(record: &[u8]) -> Option<proto::Event> {
    let event = proto::Event::decode(record).ok()?;
    (!event.id.is_empty()).then_some(event)
}

fn span_of(record: &[u8]) -> Option<Span> {
    let at = event_of(record)?.at_millis;
    Some((at, at))
}
