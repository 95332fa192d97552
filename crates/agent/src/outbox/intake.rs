//! Taking records in: what becomes of old ones when the spool is full, and of new ones when the disk is.

use std::collections::VecDeque;

use spool::{Error, Reason, Span, Spool, hull};

use crate::batch::Record;
use crate::metrics::Metrics;
use crate::thin::Thinner;

/// Most bytes of records that wait in memory for a disk that does not take them: hours of a common
/// node, minutes of the largest. Past it the oldest on disk go if that helps, and else those that
/// waited longest.
const WAITING_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The level of segments whose batches have about one sample a minute.
const LEVEL_MINUTES: u8 = 1;

/// How a put went.
#[derive(Debug, Default)]
pub(super) struct Put {
    /// Records taken in, those that waited included.
    pub(super) taken: u64,
    /// Records that wait in memory.
    pub(super) waiting: u64,
    /// Records lost now, because they were refused or waited for too long.
    pub(super) lost_batches: u64,
    pub(super) lost_samples: u64,
    pub(super) thinned: ThinnedRun,
    /// The first failure.
    pub(super) failure: Option<Error>,
}

/// What was thinned in one put.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ThinnedRun {
    pub(super) segments: u64,
    pub(super) batches: u64,
    pub(super) bytes_saved: u64,
}

/// Records that wait for the disk, oldest first, and what of them could not wait longer.
#[derive(Debug)]
pub(super) struct Intake {
    waiting: VecDeque<Record>,
    bytes: usize,
    bytes_max: usize,
    /// How many went that came before those that wait; they get sequences as soon as the disk takes
    /// a note of it.
    gone: u64,
    gone_span: Option<Span>,
    /// Whether dropping an old segment let the disk take a new record, the last time.
    dropping_helps: bool,
    /// Whether old batches are thinned before they go.
    pub(super) thins: bool,
    thinner: Thinner,
}

impl Default for Intake {
    fn default() -> Self {
        Self {
            waiting: VecDeque::new(),
            bytes: 0,
            bytes_max: WAITING_BYTES_MAX,
            gone: 0,
            gone_span: None,
            dropping_helps: true,
            thins: true,
            thinner: Thinner::default(),
        }
    }
}

impl Intake {
    /// Puts what waited and then `records` into the spool, as far as the disk takes them.
    pub(super) fn put(
        &mut self,
        spool: &mut Spool,
        records: Vec<Record>,
        metrics: &Metrics,
    ) -> Put {
        let mut put = Put::default();
        for record in records {
            self.bytes += record.bytes.len();
            self.waiting.push_back(record);
        }
        let mut trouble = self.store(spool, metrics, &mut put).err();
        while let Some(error) = &trouble
            && self.bytes > self.bytes_max
        {
            let may_drop = self.dropping_helps && matches!(error, Error::DiskFull { .. });
            if may_drop && matches!(spool.drop_oldest(), Ok(true)) {
                self.dropping_helps = false;
                trouble = self.store(spool, metrics, &mut put).err();
            } else {
                self.give_up_one(&mut put);
            }
        }
        // What was taken in is made durable, whatever became of the rest.
        let synced = spool.sync().err();
        put.failure = put.failure.or(trouble).or(synced);
        put.waiting = self.waiting.len() as u64;
        put
    }

    /// Appends what waits until it is all in or the disk takes no more.
    fn store(&mut self, spool: &mut Spool, metrics: &Metrics, put: &mut Put) -> Result<(), Error> {
        spool.skip(self.gone, Reason::Unwritten, self.gone_span)?;
        (self.gone, self.gone_span) = (0, None);
        while let Some(record) = self.waiting.pop_front() {
            match self.append(spool, &record, metrics, put) {
                Ok(sequence) => {
                    metrics.spooled_batches.inc();
                    metrics.spooled_samples.add(record.samples);
                    put.taken += 1;
                    self.dropping_helps = true;
                    tracing::debug!(
                        sequence,
                        samples = record.samples,
                        stale = record.stale,
                        bytes = record.bytes.len(),
                        "spooled"
                    );
                }
                Err(error) if error.is_retryable() => {
                    self.waiting.push_front(record);
                    return Err(error);
                }
                // It is refused for good and does not keep the others out. Its sequence says that it is lost.
                Err(error) => {
                    put.lost_batches += 1;
                    put.lost_samples += record.samples;
                    let skipped = spool.skip(1, Reason::Unwritten, record.span);
                    if skipped.is_err_and(|error| error.is_retryable()) {
                        self.gone += 1;
                        self.gone_span = hull(self.gone_span, record.span);
                    }
                    put.failure.get_or_insert(error);
                }
            }
            self.bytes -= record.bytes.len();
        }
        Ok(())
    }

    /// Appends one record. Where it would cost the oldest segment its place, old segments are thinned
    /// before that, as many as it needs.
    fn append(
        &mut self,
        spool: &mut Spool,
        record: &Record,
        metrics: &Metrics,
        put: &mut Put,
    ) -> Result<u64, Error> {
        while spool.is_full_for(record.bytes.len()) {
            match self.thin_one(spool, metrics, put) {
                Ok(true) => {}
                Ok(false) => break,
                // Where the thinner segment finds no room on disk the record waits.
                Err(error @ Error::DiskFull { .. }) => return Err(error),
                // A segment that the disk does not give back is no reason to keep it.
                Err(_) => break,
            }
        }
        loop {
            match spool.append(&record.bytes) {
                Err(error @ Error::DiskFull { .. }) => {
                    if !matches!(self.thin_one(spool, metrics, put), Ok(true)) {
                        return Err(error);
                    }
                }
                done => return done,
            }
        }
    }

    /// Thins the oldest segment that is not thin; `false` when there is none.
    fn thin_one(
        &mut self,
        spool: &mut Spool,
        metrics: &Metrics,
        put: &mut Put,
    ) -> Result<bool, Error> {
        if !self.thins {
            return Ok(false);
        }
        let thinner = &mut self.thinner;
        let mut thin = |records: &[(u64, &[u8])]| thinner.thin(records);
        let Some(done) = spool.thin_oldest(LEVEL_MINUTES, &mut thin)? else {
            return Ok(false);
        };
        let run = &mut put.thinned;
        run.segments += 1;
        run.batches += done.records;
        run.bytes_saved += done.bytes_saved;
        metrics.thinned_segments.inc();
        metrics.thinned_batches.add(done.records);
        metrics.thinned_bytes.add(done.bytes_saved);
        Ok(true)
    }

    /// Lets go the record that waited longest.
    fn give_up_one(&mut self, put: &mut Put) {
        let Some(record) = self.waiting.pop_front() else {
            self.bytes = 0;
            return;
        };
        self.bytes -= record.bytes.len();
        self.gone += 1;
        self.gone_span = hull(self.gone_span, record.span);
        put.lost_batches += 1;
        put.lost_samples += record.samples;
    }

    /// The same with another bound.
    #[cfg(test)]
    pub(super) fn within(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            ..Self::default()
        }
    }
}
