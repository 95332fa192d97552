//! One stream of the bulk lane, from hello to its end.

use std::time::Duration;

use series::{Labels, MetricKind};
use store::{Arrival, ArrivedBlock, Mark, Outcome, SeriesId};
use tokio::sync::{mpsc, oneshot};
use tonic::{Status, Streaming};
use wire::ingest::{Batch, Hello};
use wire::proto;
use wire::proto::sync_request::Message;

use super::{Ingest, checked_hello, draining};
use crate::fleet::{Connection, Received};
use crate::metrics::Refused;
use crate::status::ToStatus;
use crate::writer::Verdict;

type Answers = mpsc::Sender<Result<proto::SyncResponse, Status>>;

/// Batches of one stream that may wait for the writer. More would only grow memory: the agent's
/// window bounds their bytes, this their number.
const IN_FLIGHT_MAX: usize = 64;
/// How long an agent is told to wait while the writer is behind, and how often it is told.
const SLOW_DOWN: Duration = Duration::from_millis(500);

/// A stream whose agent is known.
pub(super) struct Stream<'a> {
    ingest: &'a Ingest,
    hello: Hello,
    connection: Connection,
    /// The series of this stream's numbers.
    dictionary: Vec<SeriesId>,
    /// [`store::Store::generation`] that the dictionary belongs to.
    generation: u64,
    /// The sequence that came last, or is durable since an earlier stream.
    last_sequence: u64,
    /// When the agent was last told to wait.
    slowed_at: Option<Duration>,
}

/// What to answer to a batch, in the order in which the batches came.
enum Pending {
    Verdict {
        sequence: u64,
        arrived: Duration,
        verdict: oneshot::Receiver<Verdict>,
    },
    Refused {
        sequence: u64,
        reason: String,
    },
}

/// Takes the hello and answers it.
pub(super) async fn open<'a>(
    ingest: &'a Ingest,
    first: proto::SyncRequest,
    address: String,
    answers: &Answers,
) -> Result<Stream<'a>, Status> {
    let hello = match first.message {
        Some(Message::Hello(hello)) => checked_hello(Some(hello)),
        _ => checked_hello(None),
    };
    let hello = hello.inspect_err(|_| ingest.metrics.protocol_errors.inc())?;
    let fleet = ingest.fleet.clone();
    let said = hello.clone();
    let connection = tokio::task::spawn_blocking(move || fleet.connect(&said, address)).await;
    let connection = connection
        .map_err(|_source| Status::internal("the connection was not noted"))?
        .map_err(|error| error.to_status())?;
    let mark = ingest.store.mark(hello.agent_id.as_str());
    let known = mark.epoch == hello.epoch.get();
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
    send(answers, proto::sync_response::Message::Welcome(welcome)).await?;
    Ok(Stream {
        ingest,
        hello,
        connection,
        dictionary: Vec::new(),
        generation: ingest.store.generation(),
        last_sequence: if known { mark.sequence } else { 0 },
        slowed_at: None,
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

async fn send(answers: &Answers, message: proto::sync_response::Message) -> Result<(), Status> {
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
        let ended = {
            let reads = self.read(incoming, pending, answers);
            let acknowledges = acknowledge(ingest, waiting, answers);
            // Reading ends first; what is under way by then is still answered.
            let (read, answered) = tokio::join!(reads, acknowledges);
            answered.and(read)
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
        let mut config = self.ingest.config.clone();
        config.mark_unchanged();
        loop {
            let message = tokio::select! {
                () = self.ingest.shutdown.draining() => return Err(draining()),
                () = self.connection.superseded().cancelled() => {
                    return Err(Status::aborted("another stream of this agent has taken over"));
                }
                () = pending.closed() => return Ok(()),
                Ok(()) = config.changed() => {
                    let settings = settings(self.ingest);
                    send(answers, proto::sync_response::Message::Settings(settings)).await?;
                    continue;
                }
                message = incoming.message() => message?,
            };
            let Some(message) = message else {
                return Ok(());
            };
            match message.message {
                Some(Message::Definitions(definitions)) => self.define(&definitions)?,
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
        let ids = self
            .ingest
            .store
            .define(list)
            .map_err(|error| error.to_status())?;
        self.dictionary.extend(ids);
        Ok(())
    }

    /// Checks a batch and hands it to the writer.
    async fn take(&mut self, batch: proto::Batch) -> Result<Pending, Status> {
        let batch = Batch::try_from(batch).map_err(|error| error.to_status())?;
        let sequence = batch.sequence.get();
        self.note_gap(sequence);
        let arrived = self.ingest.clock.monotonic();
        let mut received = Received {
            batches: 1,
            ..Received::default()
        };
        let mut blocks = Vec::with_capacity(batch.blocks.len());
        for block in batch.blocks {
            received.bytes += block.columns.len() as u64;
            match self.check(&block) {
                Ok(block) => {
                    let newest = block.block.times.last().copied();
                    received.newest_sample_millis = received.newest_sample_millis.max(newest);
                    received.samples += block.block.sample_count() as u64;
                    blocks.push(block);
                }
                Err((why, reason)) => {
                    self.ingest.metrics.refused(why).inc();
                    tracing::error!(agent = %self.hello.agent_id, sequence, reason, "batch refused");
                    return Ok(Pending::Refused { sequence, reason });
                }
            }
        }
        self.ingest.metrics.received_bytes.add(received.bytes);
        self.connection.received(received);
        let arrival = Arrival {
            agent: self.hello.agent_id.as_str().to_owned(),
            mark: Mark {
                epoch: self.hello.epoch.get(),
                sequence,
            },
            generation: self.generation,
            blocks,
        };
        let verdict = self
            .ingest
            .writer
            .submit(arrival)
            .await
            .map_err(|_stopped| draining())?;
        Ok(Pending::Verdict {
            sequence,
            arrived,
            verdict,
        })
    }

    /// Counts the sequences that the agent skipped: it lost them, and they will not come.
    fn note_gap(&mut self, sequence: u64) {
        let missing = sequence.saturating_sub(self.last_sequence.saturating_add(1));
        if missing > 0 {
            self.ingest.metrics.missing.add(missing);
            tracing::error!(
                agent = %self.hello.agent_id,
                first = self.last_sequence + 1,
                last = sequence - 1,
                "the agent lost batches before it sent them"
            );
        }
        self.last_sequence = self.last_sequence.max(sequence);
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
        send(answers, proto::sync_response::Message::SlowDown(slow)).await
    }

    fn check(&self, block: &wire::ingest::Block) -> Result<ArrivedBlock, (Refused, String)> {
        let decoded = codec::decode_block(&block.columns)
            .map_err(|error| (Refused::Damaged, error.to_string()))?;
        let series: Option<Vec<SeriesId>> = block
            .series_refs
            .iter()
            .map(|number| self.dictionary.get(usize::try_from(*number).ok()?).copied())
            .collect();
        let unknown = |reason: &str| (Refused::UnknownSeries, reason.to_owned());
        let series = series.ok_or_else(|| unknown("names a series that was not defined"))?;
        if series.len() != decoded.columns.len() {
            return Err(unknown("names more or fewer series than it has columns"));
        }
        let config = self.ingest.config.borrow();
        let now = self.ingest.clock.wall_millis();
        let millis = |duration: Duration| series::time::duration_millis(duration);
        let newest = now.saturating_add(millis(config.ingest.future_max.as_duration()));
        let oldest = now.saturating_sub(millis(config.store.retention.as_duration()));
        let (Some(&first), Some(&last)) = (decoded.times.first(), decoded.times.last()) else {
            return Ok(ArrivedBlock {
                series,
                received: block.columns.to_vec(),
                block: decoded,
            });
        };
        if first < oldest || last > newest {
            let reason =
                format!("holds a sample at {first} or {last}, outside {oldest} to {newest}");
            return Err((Refused::TimeOutOfRange, reason));
        }
        Ok(ArrivedBlock {
            series,
            received: block.columns.to_vec(),
            block: decoded,
        })
    }
}

/// Answers each batch when its verdict is there. Acknowledgements are cumulative, so those that
/// are ready together go out as one.
async fn acknowledge(
    ingest: &Ingest,
    mut waiting: mpsc::Receiver<Pending>,
    answers: &Answers,
) -> Result<(), Status> {
    use proto::sync_response::Message as Answer;
    while let Some(next) = waiting.recv().await {
        match next {
            Pending::Refused { sequence, reason } => {
                send(
                    answers,
                    Answer::Refusal(proto::Refusal { sequence, reason }),
                )
                .await?;
            }
            Pending::Verdict {
                sequence,
                arrived,
                verdict,
            } => {
                let verdict = verdict.await.map_err(|_gone| draining())?;
                match verdict {
                    Ok(Outcome::Taken | Outcome::Duplicate) => {}
                    Ok(Outcome::StaleSeries) => {
                        return Err(Status::aborted(
                            "old series were dropped; open a new stream and define yours again",
                        ));
                    }
                    Err(error) => return Err(error.to_status()),
                }
                let took = ingest.clock.monotonic().saturating_sub(arrived);
                ingest.metrics.acknowledge_seconds.record(took);
                let through = proto::Acknowledgement {
                    through_sequence: sequence,
                };
                send(answers, Answer::Acknowledgement(through)).await?;
            }
        }
    }
    Ok(())
}
