//! One stream of the bulk lane, from hello to its end.

use std::sync::Arc;
use std::time::Duration;

use series::{Family, Labels, MetricKind};
use store::{Arrival, ArrivedBlock, Mark, Outcome, SeriesId};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot, watch};
use tonic::{Status, Streaming};
use wire::ingest::{Batch, Hello};
use wire::proto;
use wire::proto::sync_request::Message;
use wire::proto::sync_response::Message as Answer;

use super::{Ingest, Opener, checked_hello, draining};
use crate::config::Config;
use crate::fleet::{Connection, Received};
use crate::metrics::Refused;
use crate::status::ToStatus;
use crate::writer::Verdict;

type Answers = mpsc::Sender<Result<proto::SyncResponse, Status>>;

/// Batches of one stream that may wait for the writer. More would only grow memory: the agent's
/// window bounds their bytes, this their number.
const IN_FLIGHT_MAX: usize = 64;
/// Most metrics that one message may say something of.
const FAMILIES_MAX: usize = 10_000;
/// How long an agent is told to wait while the writer is behind, and how often it is told.
const SLOW_DOWN: Duration = Duration::from_millis(500);

/// A stream whose agent is known.
pub(super) struct Stream<'a> {
    ingest: &'a Ingest,
    opener: Opener,
    hello: Hello,
    connection: Arc<Connection>,
    /// The series of this stream's numbers; none for those that the index had no room for.
    dictionary: Vec<Option<SeriesId>>,
    /// [`store::Store::generation`] that the dictionary belongs to.
    generation: u64,
    /// The sequence that came last, or is durable since an earlier stream; none for an epoch that is
    /// new here.
    last_sequence: Option<u64>,
    /// When the agent was last told to wait.
    slowed_at: Option<Duration>,
    /// The configuration as it is now, and whether it has changed since the agent was told.
    config: watch::Receiver<Arc<Config>>,
}

/// A batch that is with the writer. They are answered in the order in which they came.
struct Pending {
    sequence: u64,
    arrived: Duration,
    verdict: oneshot::Receiver<Verdict>,
    /// What it adds to the node's account when it is taken.
    received: Received,
    /// Why nothing of it could be used; it is then with the writer only to move the mark.
    refusal: Option<String>,
    /// Its share of [`super::DECODED_SAMPLES_MAX`].
    _decoded: OwnedSemaphorePermit,
}

/// Takes the hello and answers it.
pub(super) async fn open<'a>(
    ingest: &'a Ingest,
    first: proto::SyncRequest,
    opener: Opener,
    answers: &Answers,
) -> Result<Stream<'a>, Status> {
    let hello = match first.message {
        Some(Message::Hello(hello)) => checked_hello(Some(hello)),
        _ => checked_hello(None),
    };
    let hello = hello.inspect_err(|_| ingest.metrics.protocol_errors.inc())?;
    opener.may_be(&ingest.access, hello.agent_id.as_str(), "ingest.hello")?;
    let address = opener.address.to_string();
    let connection = Arc::new(ingest.fleet.connect(&hello, address));
    let mark = ingest.store.mark(hello.agent_id.as_str());
    let known = mark.epoch == hello.epoch.get();
    let mut config = ingest.config.clone();
    config.mark_unchanged();
    let welcome = proto::Welcome {
        last_durable_sequence: if known { mark.sequence } else { 0 },
        settings: Some(settings(ingest)),
        version: daemon::version::VERSION.to_owned(),
        wall_millis: ingest.clock.wall_millis(),
    };
    tracing::info!(
        agent = %hello.agent_id,
        epoch = hello.epoch,
        durable = welcome.last_durable_sequence,
        version = hello.version,
        "agent connected"
    );
    send(answers, Answer::Welcome(welcome)).await?;
    Ok(Stream {
        ingest,
        opener,
        hello,
        connection,
        dictionary: Vec::new(),
        generation: ingest.store.generation(),
        last_sequence: known.then_some(mark.sequence),
        slowed_at: None,
        config,
    })
}

fn settings(ingest: &Ingest) -> proto::Settings {
    let config = ingest.config.borrow();
    let every = config
        .ingest
        .sync_interval
        .map_or(Duration::ZERO, |every| every.as_duration());
    proto::Settings {
        window_bytes: config.ingest.window.as_u64(),
        sync_interval_millis: u64::try_from(every.as_millis()).unwrap_or(u64::MAX),
    }
}

async fn send(answers: &Answers, message: Answer) -> Result<(), Status> {
    let response = proto::SyncResponse {
        message: Some(message),
    };
    answers
        .send(Ok(response))
        .await
        .map_err(|_gone| Status::cancelled("the agent is gone"))
}

impl Stream<'_> {
    /// Reads batches and answers them until the agent ends the stream.
    pub(super) async fn run(
        mut self,
        incoming: Streaming<proto::SyncRequest>,
        answers: &Answers,
    ) -> Result<(), Status> {
        let metrics = &self.ingest.metrics;
        metrics.streams.add(1.0);
        let (pending, waiting) = mpsc::channel(IN_FLIGHT_MAX);
        let ingest = self.ingest;
        let account = Arc::clone(&self.connection);
        let superseded = account.superseded().clone();
        let hard = ingest.shutdown.hard_token();
        let opener = self.opener.clone();
        let refused = ingest.access.until_refused(&opener.caller);
        let ended = {
            let reads = self.read(incoming, pending, answers);
            let acknowledges = acknowledge(ingest, &account, waiting, answers);
            let both = async {
                // Reading ends first; what is under way by then is still answered.
                let (read, answered) = tokio::join!(reads, acknowledges);
                answered.and(read)
            };
            // An agent that does not take its answers holds up neither its successor nor the end.
            tokio::select! {
                ended = both => ended,
                () = superseded.cancelled() => Err(taken_over()),
                refusal = refused => {
                    ingest.access.refused(opener.address, &"ingest", &refusal);
                    Err(refusal.to_status())
                }
                () = hard.cancelled() => Err(draining()),
            }
        };
        metrics.streams.add(-1.0);
        tracing::info!(agent = %self.hello.agent_id, "agent's stream ended");
        ended
    }

    async fn read(
        &mut self,
        mut incoming: Streaming<proto::SyncRequest>,
        pending: mpsc::Sender<Pending>,
        answers: &Answers,
    ) -> Result<(), Status> {
        loop {
            let message = tokio::select! {
                () = self.ingest.shutdown.draining() => return Err(draining()),
                () = self.connection.superseded().cancelled() => {
                    return Err(taken_over());
                }
                () = pending.closed() => return Ok(()),
                Ok(()) = self.config.changed() => {
                    let settings = settings(self.ingest);
                    send(answers, Answer::Settings(settings)).await?;
                    continue;
                }
                message = incoming.message() => message?,
            };
            let Some(message) = message else {
                return Ok(());
            };
            match message.message {
                Some(Message::Definitions(definitions)) => {
                    self.define(&definitions)?;
                    self.note(definitions.families).await?;
                }
                Some(Message::Batch(batch)) => {
                    let answer = self.take(batch).await?;
                    if pending.send(answer).await.is_err() {
                        return Ok(());
                    }
                    self.slow_down(answers).await?;
                }
                Some(Message::Hello(_)) => return Err(self.wrong("a second hello")),
                None => return Err(self.wrong("an empty message")),
            }
        }
    }

    fn wrong(&self, what: &str) -> Status {
        self.ingest.metrics.protocol_errors.inc();
        Status::invalid_argument(format!("{what} in the stream of {}", self.hello.agent_id))
    }

    fn define(&mut self, definitions: &proto::SeriesDefinitions) -> Result<(), Status> {
        let list: Vec<(Labels, MetricKind)> = codec::decode_labels_list(&definitions.list)
            .map_err(|error| self.wrong(&format!("definitions that do not decode ({error})")))?;
        for (labels, _) in &list {
            let (access, what) = (&self.ingest.access, "ingest.series");
            self.opener.may_be(access, labels.get("node"), what)?;
        }
        if usize::try_from(definitions.first_ref).ok() != Some(self.dictionary.len()) {
            return Err(self.wrong("definitions that leave a gap"));
        }
        let max = self.ingest.config.borrow().ingest.series_per_stream_max;
        if self.dictionary.len() + list.len() > max as usize {
            self.ingest.metrics.protocol_errors.inc();
            return Err(Status::resource_exhausted(format!(
                "more than {max} series on the stream of {}; raise ingest.series_per_stream_max or \
                 give the agent fewer targets",
                self.hello.agent_id
            )));
        }
        let bytes = definitions.list.len() as u64;
        self.ingest.metrics.received_bytes.add(bytes);
        let series = list.len() as u64;
        self.connection.received(Received {
            bytes,
            series,
            ..Received::default()
        });
        let defined = self
            .ingest
            .store
            .define(&list)
            .map_err(|error| error.to_status())?;
        self.dictionary.extend(defined.ids);
        Ok(())
    }

    /// Takes note of what metrics mean.
    async fn note(&self, said: Vec<proto::MetricFamily>) -> Result<(), Status> {
        if said.len() > FAMILIES_MAX {
            return Err(self.wrong(&format!("more than {FAMILIES_MAX} families in one message")));
        }
        if said.is_empty() {
            return Ok(());
        }
        let families = self.ingest.families.clone();
        let noted = daemon::blocking::spawn(move || {
            families.note(said.into_iter().map(|family| Family {
                name: family.name,
                help: family.help,
                unit: family.unit,
                ..Family::default()
            }))
        });
        let noted = noted
            .await
            .map_err(|_source| Status::internal("noting families panicked"))?;
        noted.map_err(|error| error.to_status())
    }

    /// Checks a batch and hands it to the writer. A block that cannot be used is left out and
    /// counted; the rest of the batch, from other targets, is taken.
    async fn take(&mut self, batch: proto::Batch) -> Result<Pending, Status> {
        let arrived = self.ingest.clock.monotonic();
        let batch = Batch::try_from(batch).map_err(|error| self.wrong(&error.to_string()))?;
        let sequence = batch.sequence.get();
        self.note_gap(sequence);
        let mut received = Received {
            batches: 1,
            ..Received::default()
        };
        let mut cells_left = series::limits::BLOCK_SAMPLES_MAX;
        let mut refusal = None;
        let mut blocks = Vec::with_capacity(batch.blocks.len());
        for block in batch.blocks {
            received.bytes += block.columns.len() as u64;
            match self.check(block, cells_left) {
                Ok(block) => {
                    let newest = block.block.times.last().copied();
                    received.newest_sample_millis = received.newest_sample_millis.max(newest);
                    received.samples += block.block.sample_count() as u64;
                    let cells = block.block.times.len() * block.block.columns.len();
                    cells_left = cells_left.saturating_sub(cells);
                    blocks.push(block);
                }
                Err((why, reason)) => {
                    self.ingest.metrics.refused(why).inc();
                    let agent = &self.hello.agent_id;
                    tracing::error!(%agent, sequence, reason, "a block of a batch was refused");
                    refusal = Some(reason);
                }
            }
        }
        self.ingest.metrics.received_bytes.add(received.bytes);
        let share = usize::try_from(received.samples).unwrap_or(usize::MAX);
        let share = u32::try_from(share.min(super::DECODED_SAMPLES_MAX)).unwrap_or(u32::MAX);
        let decoded = Arc::clone(&self.ingest.decoded)
            .acquire_many_owned(share)
            .await;
        let decoded = decoded.map_err(|_closed| draining())?;
        let refusal = refusal.filter(|_| blocks.is_empty());
        let arrival = Arrival {
            mark: Some((
                self.hello.agent_id.as_str().to_owned(),
                Mark {
                    epoch: self.hello.epoch.get(),
                    sequence,
                },
            )),
            generation: self.generation,
            blocks,
            samples: store::Samples::default(),
        };
        let verdict = self.ingest.writer.submit(arrival).await;
        Ok(Pending {
            sequence,
            arrived,
            verdict: verdict.map_err(|_stopped| draining())?,
            received,
            refusal,
            _decoded: decoded,
        })
    }

    /// Counts the sequences that the agent skipped: it lost them, and they will not come.
    fn note_gap(&mut self, sequence: u64) {
        let Some(last) = self.last_sequence.replace(sequence) else {
            return;
        };
        let missing = sequence.saturating_sub(last.saturating_add(1));
        if missing > 0 {
            self.ingest.metrics.missing.add(missing);
            tracing::error!(
                agent = %self.hello.agent_id,
                first = last + 1,
                last = sequence - 1,
                "the agent lost batches before it sent them"
            );
        }
    }

    /// Tells the agent to wait while the writer is behind, before its queue is full and the stream
    /// is not read at all.
    async fn slow_down(&mut self, answers: &Answers) -> Result<(), Status> {
        let now = self.ingest.clock.monotonic();
        let told = self
            .slowed_at
            .is_some_and(|at| now.saturating_sub(at) < SLOW_DOWN);
        if told || !self.ingest.writer.is_busy() {
            return Ok(());
        }
        self.slowed_at = Some(now);
        self.ingest.metrics.slowed.inc();
        let slow = proto::SlowDown {
            wait_millis: u64::try_from(SLOW_DOWN.as_millis()).unwrap_or(u64::MAX),
            reason: "the coordinator's writer is behind".to_owned(),
        };
        send(answers, Answer::SlowDown(slow)).await
    }

    fn check(
        &self,
        block: wire::ingest::Block,
        cells_max: usize,
    ) -> Result<ArrivedBlock, (Refused, String)> {
        let decoded = codec::decode_block_within(&block.columns, cells_max)
            .map_err(|error| (Refused::Damaged, error.to_string()))?;
        let series: Option<Vec<Option<SeriesId>>> = block
            .series_refs
            .iter()
            .map(|number| self.dictionary.get(usize::try_from(*number).ok()?).copied())
            .collect();
        let unknown = |reason: &str| (Refused::UnknownSeries, reason.to_owned());
        let series = series.ok_or_else(|| unknown("names a series that was not defined"))?;
        if series.len() != decoded.columns.len() {
            return Err(unknown("names more or fewer series than it has columns"));
        }
        self.check_times(&decoded.times)?;
        Ok(arrived(&series, block.columns, decoded))
    }

    fn check_times(&self, times: &[i64]) -> Result<(), (Refused, String)> {
        let (Some(&first), Some(&last)) = (times.first(), times.last()) else {
            return Ok(());
        };
        let now = self.ingest.clock.wall_millis();
        let (oldest, newest) = self.ingest.config.borrow().sample_times(now);
        if first < oldest || last > newest {
            let reason =
                format!("holds a sample at {first} or {last}, outside {oldest} to {newest}");
            return Err((Refused::TimeOutOfRange, reason));
        }
        Ok(())
    }
}

/// A block without the columns of series that were refused when they were defined.
fn arrived(
    series: &[Option<SeriesId>],
    received: bytes::Bytes,
    mut block: series::Block,
) -> ArrivedBlock {
    let known: Vec<SeriesId> = series.iter().copied().flatten().collect();
    if known.len() == series.len() {
        return ArrivedBlock {
            series: known,
            received,
            block,
        };
    }
    let mut is_known = series.iter().map(Option::is_some);
    block.columns.retain(|_| is_known.next().unwrap_or(false));
    let mut encoded = Vec::new();
    codec::encode_block(&block, &mut encoded);
    ArrivedBlock {
        series: known,
        received: encoded.into(),
        block,
    }
}

fn taken_over() -> Status {
    Status::aborted("another stream of this agent has taken over")
}

/// Answers each batch when its verdict is there.
async fn acknowledge(
    ingest: &Ingest,
    connection: &Connection,
    mut waiting: mpsc::Receiver<Pending>,
    answers: &Answers,
) -> Result<(), Status> {
    while let Some(pending) = waiting.recv().await {
        let verdict = pending.verdict.await.map_err(|_gone| draining())?;
        match verdict {
            Ok(Outcome::Taken) => connection.received(pending.received),
            Ok(Outcome::Duplicate) => {}
            Ok(Outcome::StaleSeries) => {
                return Err(Status::aborted(
                    "old series were dropped; open a new stream and define yours again",
                ));
            }
            Err(error) => return Err(error.to_status()),
        }
        let took = ingest.clock.monotonic().saturating_sub(pending.arrived);
        ingest.metrics.acknowledge_seconds.record(took);
        let sequence = pending.sequence;
        let answer = match pending.refusal {
            Some(reason) => Answer::Refusal(proto::Refusal { sequence, reason }),
            None => Answer::Acknowledgement(proto::Acknowledgement {
                through_sequence: sequence,
            }),
        };
        send(answers, answer).await?;
    }
    Ok(())
}
