//! One stream of the bulk lane, from hello to its end.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use series::Sequences;
use store::{Outcome, SeriesId};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};
use tonic::{Status, Streaming};
use wire::Message as _;
use wire::ingest::Hello;
use wire::proto;
use wire::proto::sync_request::Message;
use wire::proto::sync_response::Message as Answer;

use super::keeping::Age;
use super::rules::rules_changed;
use super::skew::Skew;
use super::{Breach, Ingest, Opener, draining};
use crate::alerting::InForce;
use crate::config::Config;
use crate::fleet::{Connection, Received};
use crate::losses;
use crate::status::ToStatus;
use crate::writer::{Load, Verdict};

pub(super) type Answers = super::Answers<proto::SyncResponse>;

/// Batches of one stream that may wait for the writer. More would only grow memory: the agent's
/// window bounds their bytes, this their number.
const IN_FLIGHT_MAX: usize = 64;
/// What the word of a loss takes of an agent's quota, in samples: it is a row for good.
const LOSS_COSTS: u64 = 1000;
/// How long an agent is told to wait while the writer is behind, and how often it is told.
const SLOW_DOWN: Duration = Duration::from_millis(500);

/// A stream whose agent is known.
pub(super) struct Stream<'a> {
    pub(super) ingest: &'a Ingest,
    pub(super) opener: Opener,
    pub(super) hello: Hello,
    /// Its size.
    hello_bytes: u64,
    pub(super) connection: Arc<Connection>,
    /// The series of this stream's numbers; none for those that the index had no room for.
    pub(super) dictionary: Vec<Option<SeriesId>>,
    /// [`store::Store::generation`] that the dictionary belongs to.
    pub(super) generation: u64,
    /// For an agent of before, the sequence that came last, or is settled since an earlier stream.
    pub(super) in_order: Option<Option<u64>>,
    /// How far the agent's clock is off.
    pub(super) skew: Skew,
    /// Whether it was logged that samples of the future come.
    pub(super) is_future_told: bool,
    /// Whether it was logged that series were refused.
    pub(super) is_refused_told: bool,
    /// When the agent was last told to wait.
    slowed_at: Option<Duration>,
    /// The configuration as it is now, and whether it has changed since the agent was told.
    pub(super) config: watch::Receiver<Arc<Config>>,
    /// The rules for agents as they are now, and whether they have changed since the agent was told; none
    /// for an agent that runs none.
    pub(super) rules: Option<watch::Receiver<Arc<InForce>>>,
}

/// What is with the writer. They are answered in the order in which they came.
pub(super) struct Pending {
    pub(super) about: About,
    pub(super) arrived: Duration,
    pub(super) verdict: oneshot::Receiver<Verdict>,
    /// What it adds to the node's account when it is taken.
    pub(super) received: Received,
}

/// What is to be answered.
pub(super) enum About {
    /// A batch.
    Batch {
        sequence: u64,
        /// Why nothing of it could be used; it is then with the writer only to be settled.
        refusal: Option<String>,
    },
    /// A loss.
    Loss { first: u64, last: u64 },
    /// What the agent did not say and waits for no answer of.
    Nothing,
}

/// Takes the hello and answers it.
pub(super) async fn open<'a>(
    ingest: &'a Ingest,
    first: proto::SyncRequest,
    opener: Opener,
    answers: &Answers,
) -> Result<Stream<'a>, Status> {
    let hello_bytes = first.encoded_len() as u64;
    let hello = match first.message {
        Some(Message::Hello(hello)) => ingest.checked_hello(Some(hello))?,
        _ => ingest.checked_hello(None)?,
    };
    opener.may_be(ingest, hello.agent_id.as_str(), "ingest.hello")?;
    let address = opener.address.to_string();
    let connection = Arc::new(ingest.fleet.connect(&hello, address));
    let config = ingest.config.clone();
    let mut skew = Skew::default();
    skew.note_wall(hello.wall_millis, ingest.clock.wall_millis());
    let mut stream = Stream {
        ingest,
        opener,
        hello,
        hello_bytes,
        connection,
        dictionary: Vec::new(),
        generation: ingest.store.generation(),
        in_order: None,
        skew,
        is_future_told: false,
        is_refused_told: false,
        slowed_at: None,
        config,
        rules: None,
    };
    stream.config.mark_unchanged();
    stream.settle_forgotten().await?;
    let settled = stream.settled();
    if stream.hello.oldest_sequence.is_none() {
        let last = settled.last();
        stream.in_order = Some((last > 0).then_some(last));
    }
    let beyond = settled.beyond().iter();
    let welcome = proto::Welcome {
        last_durable_sequence: stream
            .in_order
            .flatten()
            .unwrap_or_else(|| settled.through()),
        durable_beyond: beyond
            .map(|&(first, last)| proto::SequenceRange { first, last })
            .collect(),
        takes_holes: true,
        settings: Some(settings(ingest)),
        version: daemon::version::VERSION.to_owned(),
        wall_millis: ingest.clock.wall_millis(),
        gives_rules: ingest.outposts.is_some(),
    };
    tracing::info!(
        agent = %stream.hello.agent_id,
        epoch = stream.hello.epoch,
        durable = welcome.last_durable_sequence,
        version = stream.hello.version,
        "agent connected"
    );
    send(answers, Answer::Welcome(welcome)).await?;
    stream.begin_rules(answers).await?;
    Ok(stream)
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

pub(super) async fn send(answers: &Answers, message: Answer) -> Result<(), Status> {
    let response = proto::SyncResponse {
        message: Some(message),
    };
    answers.send(response).await
}

impl Stream<'_> {
    /// What is settled of the agent's epoch; nothing of one that is new here.
    pub(super) fn settled(&self) -> Sequences {
        let settled = self.ingest.store.settled(self.hello.agent_id.as_str());
        if settled.epoch == self.hello.epoch.get() {
            settled.sequences
        } else {
            Sequences::default()
        }
    }

    /// What the agent no longer has and has not declared lost, it was told is durable here. What of it is
    /// not was forgotten here.
    async fn settle_forgotten(&self) -> Result<(), Status> {
        let settled = self.ingest.store.settled(self.hello.agent_id.as_str());
        let oldest = self.hello.oldest_sequence.map_or(1, NonZeroU64::get);
        let last = oldest - 1;
        let is_known = settled.epoch == self.hello.epoch.get();
        let first = settled.sequences.missing(1, last).next();
        let Some((first, _)) = first.filter(|_| is_known) else {
            return Ok(());
        };
        let lost = self.settle_lost((first, last), losses::FORGOTTEN, None);
        let verdict = lost.await?.verdict.await.map_err(|_gone| draining())?;
        verdict.map(drop).map_err(|error| error.to_status())
    }

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
        let hello = self.hello.clone();
        let superseded = account.superseded().clone();
        let hard = ingest.shutdown.hard_token();
        let opener = self.opener.clone();
        let refused = ingest.access.until_refused(&opener.caller);
        let ended = {
            let reads = self.read(incoming, pending, answers);
            let acknowledges = acknowledge(ingest, (&account, &hello), waiting, answers);
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
        let mut age = Age::of(self);
        // Until then nothing is read, because of the agent's quota.
        let mut reads_from = self.keep_to_quota((0, self.hello_bytes), answers).await?;
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
                () = rules_changed(&mut self.rules) => {
                    self.give_rules(answers).await?;
                    continue;
                }
                () = sleep_until(age.ends), if age.is_bounded => {
                    self.grow_old(&mut age, answers).await?;
                    continue;
                }
                () = sleep_until(reads_from), if reads_from > Instant::now() => continue,
                message = incoming.message(), if reads_from <= Instant::now() => {
                    self.ingest.heard(message)?
                }
            };
            let Some(message) = message else {
                return Ok(());
            };
            let bytes = message.encoded_len() as u64;
            let is_backfill = match &message.message {
                Some(Message::Batch(batch)) => Some(batch.backfill),
                _ => None,
            };
            let Some(samples) = self.hear(message, &pending).await? else {
                return Ok(());
            };
            reads_from = self.keep_to_quota((samples, bytes), answers).await?;
            if let Some(is_backfill) = is_backfill {
                self.slow_down(is_backfill, answers).await?;
            }
        }
    }

    /// Takes in a message. Gives what it takes of the agent's quota, in samples; nothing when no more is
    /// answered.
    async fn hear(
        &mut self,
        message: proto::SyncRequest,
        pending: &mpsc::Sender<Pending>,
    ) -> Result<Option<u64>, Status> {
        let (answer, samples) = match message.message {
            Some(Message::Definitions(definitions)) => {
                self.define(&definitions)?;
                self.note_families(definitions.families).await?;
                return Ok(Some(0));
            }
            Some(Message::Batch(batch)) => {
                if let Some(skipped) = self.lose_skipped(batch.sequence).await?
                    && pending.send(skipped).await.is_err()
                {
                    return Ok(None);
                }
                let taken = self.take(batch).await?;
                let Received {
                    samples,
                    future,
                    homeless,
                    ..
                } = taken.received;
                (taken, samples + future + homeless)
            }
            Some(Message::Loss(loss)) => (self.lose(loss).await?, LOSS_COSTS),
            Some(Message::RulesRun(run)) => {
                self.take_run(run).await?;
                return Ok(Some(0));
            }
            Some(Message::Hello(_)) => return Err(self.wrong(Breach::Hello, "a second hello")),
            None => return Err(self.wrong(Breach::Message, "an empty message")),
        };
        let is_awaited = pending.send(answer).await.is_ok();
        Ok(is_awaited.then_some(samples))
    }

    pub(super) fn wrong(&self, breach: Breach, what: &str) -> Status {
        let agent = &self.hello.agent_id;
        let status = Status::invalid_argument(format!("{what} in the stream of {agent}"));
        self.ingest.breach(breach, status)
    }

    /// Tells the agent to wait while the writer is behind, before its queue is full and the stream
    /// is not read at all: first for what was missed, then for all.
    async fn slow_down(&mut self, is_backfill: bool, answers: &Answers) -> Result<(), Status> {
        let now = self.ingest.clock.monotonic();
        let told = self
            .slowed_at
            .is_some_and(|at| now.saturating_sub(at) < SLOW_DOWN);
        let backfill_only = match self.ingest.writer.load() {
            Load::Busy => false,
            Load::Filling if is_backfill => true,
            Load::Filling | Load::Light => return Ok(()),
        };
        if told {
            return Ok(());
        }
        self.slowed_at = Some(now);
        self.ingest.metrics.slowed.inc();
        let slow = proto::SlowDown {
            wait_millis: u64::try_from(SLOW_DOWN.as_millis()).unwrap_or(u64::MAX),
            reason: "the coordinator's writer is behind".to_owned(),
            backfill_only,
        };
        send(answers, Answer::SlowDown(slow)).await
    }
}

fn taken_over() -> Status {
    Status::aborted("another stream of this agent has taken over")
}

/// Answers each batch and loss when its verdict is there.
async fn acknowledge(
    ingest: &Ingest,
    (connection, hello): (&Connection, &Hello),
    mut waiting: mpsc::Receiver<Pending>,
    answers: &Answers,
) -> Result<(), Status> {
    while let Some(pending) = waiting.recv().await {
        let verdict = pending.verdict.await.map_err(|_gone| draining())?;
        match verdict {
            Ok(Outcome::Taken) => {
                connection.received(pending.received);
                ingest.metrics.future_samples.add(pending.received.future);
                ingest
                    .metrics
                    .homeless_samples
                    .add(pending.received.homeless);
            }
            Ok(Outcome::Duplicate) => {}
            Ok(Outcome::StaleSeries) => {
                return Err(Status::aborted(
                    "old series were dropped; open a new stream and define yours again",
                ));
            }
            Ok(Outcome::Scattered) => {
                return Err(Status::failed_precondition(
                    "too many holes in the sequences; send the oldest that are missing first",
                ));
            }
            Err(error) => return Err(error.to_status()),
        }
        let took = ingest.clock.monotonic().saturating_sub(pending.arrived);
        ingest.metrics.acknowledge_seconds.record(took);
        let answer = match pending.about {
            About::Batch {
                sequence,
                refusal: Some(reason),
            } => Answer::Refusal(proto::Refusal { sequence, reason }),
            About::Batch { sequence, .. } => {
                let settled = ingest.store.settled(hello.agent_id.as_str());
                let through = settled.sequences.through();
                let speaks_of_holes = hello.oldest_sequence.is_some();
                Answer::Acknowledgement(proto::Acknowledgement {
                    through_sequence: if speaks_of_holes { through } else { sequence },
                    sequence,
                })
            }
            About::Nothing => continue,
            About::Loss { first, last } => Answer::LossRecorded(proto::LossRecorded {
                first_sequence: first,
                last_sequence: last,
            }),
        };
        send(answers, answer).await?;
    }
    Ok(())
}
