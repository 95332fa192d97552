//! The bulk lane: batches of the spool to the coordinator, in order, again until acknowledged.

mod dictionary;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use daemon::backoff::Backoff;
use daemon::clock::SharedClock;
use daemon::shutdown::Shutdown;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};
use wire::Message as _;
use wire::ingest::AgentId;
use wire::proto;
use wire::proto::ingest_service_client::IngestServiceClient;
use wire::proto::sync_request::Message;
use wire::proto::sync_response::Message as Answer;

use crate::metrics::Metrics;
use crate::outbox::Outbox;
use dictionary::Dictionary;

/// The first wait after a failure, and the longest.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(30));
/// How long the coordinator may take to welcome us.
pub(crate) const WELCOME_WITHIN: Duration = Duration::from_secs(10);
/// How long the coordinator may be silent while something waits for its answer. Far more than a
/// busy writer takes; a proxy that has lost its other side takes for ever.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// Window until the coordinator says another.
const WINDOW_BYTES: u64 = 4 << 20;

/// Back-off of this agent's connections. The seed spreads agents that fail together.
pub(crate) fn backoff(seed: u64) -> Backoff {
    Backoff::new(RETRY.0, RETRY.1, seed).expect("the constants are in order")
}

/// Who this agent is, as it says on every stream.
#[derive(Clone)]
pub struct Identity {
    /// Its name.
    pub agent_id: AgentId,
    /// Its spool, whose epoch is said with the name.
    pub outbox: Outbox,
    /// What it says of its node.
    pub labels: BTreeMap<String, String>,
    /// The clock.
    pub clock: SharedClock,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity")
            .field("agent_id", &self.agent_id)
            .finish_non_exhaustive()
    }
}

impl Identity {
    pub(crate) fn hello(&self) -> proto::Hello {
        proto::Hello {
            protocol: wire::PROTOCOL,
            agent_id: self.agent_id.as_str().to_owned(),
            epoch: self.outbox.epoch(),
            labels: self.labels.clone(),
            version: daemon::version::VERSION.to_owned(),
            wall_millis: self.clock.wall_millis(),
        }
    }
}

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("the coordinator is not there or ended the stream: {} ({:?})", .0.message(), .0.code())]
    Status(Status),
    #[error(transparent)]
    Outbox(#[from] crate::outbox::Error),
    #[error("the coordinator said {0}")]
    Protocol(&'static str),
    #[error("the coordinator said nothing for {} s", .0.as_secs())]
    Silent(Duration),
    #[error("the coordinator had batches that this spool did not give out")]
    NewEpoch,
    #[error("most series of the stream are gone; a new one forgets them")]
    Outgrown,
    #[error("the coordinator closed the stream")]
    Closed,
}

impl From<Status> for Ended {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

/// The bulk lane.
#[derive(Debug)]
pub struct Bulk {
    /// Who speaks.
    pub identity: Identity,
    /// How to get there.
    pub channel: Channel,
    /// The spool.
    pub outbox: Outbox,
    /// Where the coordinator's wish for the sync interval is put; none for our own.
    pub interval: watch::Sender<Option<Duration>>,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

/// A batch that is sent and not yet acknowledged.
struct InFlight {
    sequence: u64,
    bytes: u64,
    sent: Duration,
}

/// One stream to the coordinator.
struct Stream<'a> {
    sync: &'a Bulk,
    requests: mpsc::Sender<proto::SyncRequest>,
    dictionary: Dictionary,
    in_flight: VecDeque<InFlight>,
    in_flight_bytes: u64,
    window_bytes: u64,
    /// The next sequence to read from the spool.
    next: u64,
    /// When the coordinator answered last, or something first had to wait for its answer.
    heard: Instant,
    /// Nothing more is sent: the stream ends when all is acknowledged.
    outgrown: bool,
    /// Set when the stream has been of use.
    useful: &'a mut bool,
}

/// Why a record of the spool does not decode.
type Undecodable = Box<dyn std::error::Error + Send + Sync>;

impl Bulk {
    /// Runs until the drain, and then until everything is acknowledged or `last_call` is over.
    pub async fn run(self, shutdown: Shutdown, last_call: Duration) {
        let mut backoff = backoff(self.outbox.epoch());
        let drained = async {
            shutdown.draining().await;
            // The last batch is put into the spool during the drain; it is told by then.
            tokio::time::sleep(last_call).await;
        };
        tokio::pin!(drained);
        loop {
            self.metrics.connects.inc();
            let mut useful = false;
            let ended = tokio::select! {
                () = &mut drained => return,
                ended = self.speak(&mut useful) => ended,
            };
            self.metrics.connected.set(0.0);
            match ended {
                Ok(()) => return,
                Err(Ended::Outbox(error)) => {
                    tracing::error!(
                        error = crate::chain(&error),
                        "sending from the spool failed"
                    );
                }
                Err(error @ (Ended::Outgrown | Ended::NewEpoch)) => {
                    tracing::info!(why = crate::chain(&error), "stream ended");
                }
                Err(error) => {
                    tracing::warn!(why = crate::chain(&error), "stream ended");
                }
            }
            // A welcome alone is no progress: what the coordinator cannot take would otherwise be
            // sent again at the shortest wait for ever.
            if useful {
                backoff.reset();
            }
            tokio::select! {
                () = &mut drained => return,
                () = tokio::time::sleep(backoff.next_delay()) => {}
            }
        }
    }

    /// One stream from hello to its end. `Ok` when the outbox is closed and empty.
    async fn speak(&self, useful: &mut bool) -> Result<(), Ended> {
        let (requests, outgoing) = mpsc::channel(4);
        let hello = Message::Hello(self.identity.hello());
        let first = proto::SyncRequest {
            message: Some(hello),
        };
        requests
            .send(first)
            .await
            .map_err(|_closed| Ended::Closed)?;
        let mut client = IngestServiceClient::new(self.channel.clone())
            .max_decoding_message_size(wire::MESSAGE_BYTES_MAX);
        let opened = async {
            let mut answers = client
                .sync(ReceiverStream::new(outgoing))
                .await?
                .into_inner();
            let answer = answers.message().await?;
            Ok::<_, Status>((answer.and_then(|answer| answer.message), answers))
        };
        let (welcome, mut answers) = timeout(WELCOME_WITHIN, opened)
            .await
            .map_err(|_elapsed| Ended::Silent(WELCOME_WITHIN))??;
        let Some(Answer::Welcome(welcome)) = welcome else {
            return Err(Ended::Protocol("something before its welcome"));
        };
        self.metrics.connected.set(1.0);
        tracing::info!(
            durable = welcome.last_durable_sequence,
            pending = self.outbox.pending(),
            version = welcome.version,
            "connected to the coordinator"
        );
        self.know_durable(welcome.last_durable_sequence).await?;
        if self.outbox.pending() == 0 {
            *useful = true;
        }
        let mut stream = Stream {
            sync: self,
            requests,
            dictionary: Dictionary::default(),
            in_flight: VecDeque::new(),
            in_flight_bytes: 0,
            window_bytes: WINDOW_BYTES,
            next: welcome.last_durable_sequence + 1,
            heard: Instant::now(),
            outgrown: false,
            useful,
        };
        if let Some(settings) = welcome.settings {
            stream.settle(&settings);
        }
        stream.run(&mut answers).await
    }

    /// Takes note of what the coordinator has. When that is more than this spool gave out, its
    /// numbers mean something else there, and those that it would give out next would be taken for
    /// batches sent again: it begins a new epoch.
    async fn know_durable(&self, sequence: u64) -> Result<(), Ended> {
        if sequence == 0 {
            return Ok(());
        }
        let error = match self.outbox.acknowledge(sequence).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        let crate::outbox::Error::Spool(spool::Error::NeverGiven { got, last }) = &error else {
            return Err(error.into());
        };
        let (durable, last) = (*got, *last);
        let old = self.outbox.epoch();
        let wish = self.identity.clock.wall_millis().max(1).cast_unsigned();
        let epoch = self.outbox.begin_epoch(wish).await?;
        tracing::error!(
            durable,
            last,
            old,
            epoch,
            pending = self.outbox.pending(),
            "the coordinator has batches that this spool did not give out: the spool was restored \
             from an older state or its end was damaged, and what it held beyond its last batch may \
             be missing; it goes on in a new epoch and sends again what is pending"
        );
        Err(Ended::NewEpoch)
    }
}

impl Stream<'_> {
    async fn run(&mut self, answers: &mut Streaming<proto::SyncResponse>) -> Result<(), Ended> {
        loop {
            let more = self.send_what_fits(answers).await?;
            let all_sent = self.sync.outbox.is_closed() && self.in_flight.is_empty();
            if all_sent && self.sync.outbox.pending() == 0 {
                return Ok(());
            }
            if self.outgrown && self.in_flight.is_empty() {
                return Err(Ended::Outgrown);
            }
            tokio::select! {
                answer = answers.message() => self.answered(answer?).await?,
                () = self.sync.outbox.fresh().notified(), if !more => {}
                () = sleep_until(self.heard + ANSWER_WITHIN), if !self.in_flight.is_empty() => {
                    return Err(Ended::Silent(ANSWER_WITHIN));
                }
            }
        }
    }

    /// Sends from the spool until the window is full or the spool is empty; `true` when the window
    /// is what stopped it. Answers are read meanwhile, so that neither side waits for the other.
    async fn send_what_fits(
        &mut self,
        answers: &mut Streaming<proto::SyncResponse>,
    ) -> Result<bool, Ended> {
        loop {
            let room = self.window_bytes.saturating_sub(self.in_flight_bytes);
            if room == 0 || self.outgrown {
                return Ok(true);
            }
            let room = usize::try_from(room).unwrap_or(usize::MAX);
            let records = self.sync.outbox.read_from(self.next, room).await?;
            if records.is_empty() {
                return Ok(false);
            }
            for (sequence, record) in records {
                self.send(sequence, &record, answers).await?;
                self.next = sequence + 1;
                if self.outgrown {
                    break;
                }
            }
        }
    }

    async fn send(
        &mut self,
        sequence: u64,
        record: &[u8],
        answers: &mut Streaming<proto::SyncResponse>,
    ) -> Result<(), Ended> {
        let bytes = record.len() as u64;
        let mut definitions = Vec::new();
        let blocks = self.numbered(record, &mut definitions);
        let metrics = &self.sync.metrics;
        // Numbers that were given are said even if the rest of the record does not decode: those
        // given next follow on them.
        for definition in definitions {
            metrics.sent_bytes.add(definition.list.len() as u64);
            self.request(Message::Definitions(definition), answers)
                .await?;
        }
        let blocks = match blocks {
            Ok(blocks) => blocks,
            Err(error) => return self.pass_over(sequence, error.as_ref()).await,
        };
        let batch = proto::Batch { sequence, blocks };
        metrics.sent_bytes.add(batch.encoded_len() as u64);
        metrics.sent_batches.inc();
        self.request(Message::Batch(batch), answers).await?;
        if self.in_flight.is_empty() {
            self.heard = Instant::now();
        }
        let sent = self.sync.identity.clock.monotonic();
        self.in_flight.push_back(InFlight {
            sequence,
            bytes,
            sent,
        });
        self.in_flight_bytes += bytes;
        self.outgrown |= self.dictionary.outgrown();
        Ok(())
    }

    /// The blocks of a record with their series as numbers, and what has to be defined first.
    fn numbered(
        &mut self,
        record: &[u8],
        definitions: &mut Vec<proto::SeriesDefinitions>,
    ) -> Result<Vec<proto::Block>, Undecodable> {
        let spooled = proto::SpooledBatch::decode(record)?;
        let mut blocks = Vec::with_capacity(spooled.blocks.len());
        for block in spooled.blocks {
            let (series_refs, new) = self.dictionary.number(&block.series_list)?;
            definitions.extend(new);
            blocks.push(proto::Block {
                series_refs: series_refs.to_vec(),
                columns: block.columns,
            });
        }
        Ok(blocks)
    }

    /// Leaves out a record that no stream can send. It is acknowledged with those before it.
    async fn pass_over(
        &self,
        sequence: u64,
        error: &(dyn std::error::Error + 'static),
    ) -> Result<(), Ended> {
        self.sync.metrics.undecodable.inc();
        tracing::error!(
            sequence,
            error = crate::chain(error),
            "a record of the spool does not decode and is passed over"
        );
        if self.in_flight.is_empty() {
            self.sync.outbox.acknowledge(sequence).await?;
        }
        Ok(())
    }

    /// Sends one message, reading answers while the stream does not take it.
    async fn request(
        &mut self,
        message: Message,
        answers: &mut Streaming<proto::SyncResponse>,
    ) -> Result<(), Ended> {
        let requests = self.requests.clone();
        let began = Instant::now();
        loop {
            tokio::select! {
                permit = requests.reserve() => {
                    let permit = permit.map_err(|_closed| Ended::Closed)?;
                    permit.send(proto::SyncRequest { message: Some(message) });
                    return Ok(());
                }
                answer = answers.message() => self.answered(answer?).await?,
                () = sleep_until(began.max(self.heard) + ANSWER_WITHIN) => {
                    return Err(Ended::Silent(ANSWER_WITHIN));
                }
            }
        }
    }

    async fn answered(&mut self, answer: Option<proto::SyncResponse>) -> Result<(), Ended> {
        let answer = answer.ok_or(Ended::Closed)?;
        let done = self.act_on(answer).await;
        // The time that the coordinator told us to wait is not its silence.
        self.heard = Instant::now();
        done
    }

    async fn act_on(&mut self, answer: proto::SyncResponse) -> Result<(), Ended> {
        match answer.message {
            Some(Answer::Acknowledgement(acknowledgement)) => {
                self.acknowledged(acknowledgement.through_sequence).await
            }
            Some(Answer::Refusal(refusal)) => {
                self.sync.metrics.refused.inc();
                tracing::error!(
                    sequence = refusal.sequence,
                    reason = refusal.reason,
                    "the coordinator refused a batch for good"
                );
                self.acknowledged(refusal.sequence).await
            }
            Some(Answer::Settings(settings)) => {
                self.settle(&settings);
                Ok(())
            }
            Some(Answer::SlowDown(slow)) => {
                tracing::warn!(
                    millis = slow.wait_millis,
                    reason = slow.reason,
                    "told to wait"
                );
                tokio::time::sleep(Duration::from_millis(slow.wait_millis.min(60_000))).await;
                Ok(())
            }
            Some(Answer::Welcome(_)) => Err(Ended::Protocol("welcome twice")),
            None => Err(Ended::Protocol("an empty message")),
        }
    }

    async fn acknowledged(&mut self, sequence: u64) -> Result<(), Ended> {
        if sequence >= self.next {
            return Err(Ended::Protocol("that it has what was not sent"));
        }
        *self.useful = true;
        let now = self.sync.identity.clock.monotonic();
        while let Some(first) = self
            .in_flight
            .front()
            .filter(|batch| batch.sequence <= sequence)
        {
            self.sync
                .metrics
                .acknowledge_seconds
                .record(now.saturating_sub(first.sent));
            self.sync.metrics.acknowledged.inc();
            self.in_flight_bytes = self.in_flight_bytes.saturating_sub(first.bytes);
            self.in_flight.pop_front();
        }
        // With nothing in flight, what lies between this and the next to send was passed over.
        let through = if self.in_flight.is_empty() {
            self.next - 1
        } else {
            sequence
        };
        Ok(self.sync.outbox.acknowledge(through).await?)
    }

    fn settle(&mut self, settings: &proto::Settings) {
        if settings.window_bytes > 0 {
            self.window_bytes = settings.window_bytes;
        }
        let wish = settings.sync_interval_millis;
        let wish = (wish > 0).then(|| Duration::from_millis(wish.clamp(1_000, 3_600_000)));
        self.sync.interval.send_if_modified(|interval| {
            let changed = *interval != wish;
            *interval = wish;
            changed
        });
    }
}

#[cfg(test)]
mod tests;
