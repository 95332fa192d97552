//! The bulk lane: batches of the spool to the coordinator, in order, again until acknowledged.

mod dictionary;
mod lanes;
mod refused;
mod sending;
mod stream;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use daemon::backoff::Backoff;
use daemon::clock::SharedClock;
use daemon::shutdown::Shutdown;
use series::Sequences;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use wire::ingest::AgentId;
use wire::proto;
use wire::proto::ingest_service_client::IngestServiceClient;
use wire::proto::sync_request::Message;
use wire::proto::sync_response::Message as Answer;

use crate::families::Families;
use crate::metrics::Metrics;
use crate::outbox::Outbox;
use crate::pace::Pace;
use crate::rules::Link;
use crate::way::Way;
use lanes::Lanes;
use refused::Suspicion;
use stream::Stream;

/// The first wait after a failure, and the longest.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(30));
/// How long the coordinator may take to welcome us.
pub(crate) const WELCOME_WITHIN: Duration = Duration::from_secs(10);
/// How long the coordinator may be silent while something waits for its answer. Far more than a
/// busy writer takes; a proxy that has lost its other side takes for ever.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(60);

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
            oldest_sequence: self.outbox.oldest(),
            ..proto::Hello::default()
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
    #[error(
        "the stream or its certificate is old, or most of its series are gone; a new one begins"
    )]
    Outgrown,
    #[error("a batch was sent by itself, and another stream begins")]
    Tried,
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
    pub way: Way,
    /// The spool.
    pub outbox: Outbox,
    /// What metrics mean.
    pub families: Families,
    /// Where the coordinator's wish for the sync interval is put; none for our own.
    pub interval: watch::Sender<Option<Duration>>,
    /// Whether memory is tight.
    pub pace: Pace,
    /// Rules to and fro.
    pub rules: Link,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

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
        let mut way = self.way.clone();
        let mut suspicion = Suspicion::default();
        loop {
            way.mark_seen();
            self.metrics.connects.inc();
            let mut useful = false;
            let ended = tokio::select! {
                () = &mut drained => return,
                ended = self.speak(&mut useful, &mut suspicion) => ended,
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
                Err(error @ (Ended::Outgrown | Ended::NewEpoch | Ended::Tried)) => {
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
                // What failed by one certificate may not by another.
                () = way.changed() => backoff.reset(),
            }
        }
    }

    /// One stream from hello to its end. `Ok` when the outbox is closed and empty.
    async fn speak(&self, useful: &mut bool, suspicion: &mut Suspicion) -> Result<(), Ended> {
        let mut way = self.way.clone();
        let connection = way.connection().await;
        let (requests, outgoing) = mpsc::channel(4);
        let hello = Message::Hello(proto::Hello {
            runs_rules: self.rules.is_on(),
            rules_version: self.rules.said().run.version.clone(),
            ..self.identity.hello()
        });
        let first = proto::SyncRequest {
            message: Some(hello),
        };
        requests
            .send(first)
            .await
            .map_err(|_closed| Ended::Closed)?;
        let mut client =
            IngestServiceClient::new(connection).max_decoding_message_size(wire::MESSAGE_BYTES_MAX);
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
        let settled = settled(&welcome)?;
        self.know_settled(&settled).await?;
        if self.outbox.pending() == 0 {
            *useful = true;
        }
        let lanes = if welcome.takes_holes {
            Lanes::new(settled, self.outbox.next())
        } else {
            Lanes::in_order(settled)
        };
        let mut stream = Stream::new(self, way, requests, lanes, (useful, suspicion));
        stream.in_order = !welcome.takes_holes;
        stream.gives_rules = welcome.gives_rules && self.rules.is_on();
        if let Some(settings) = welcome.settings {
            stream.settle(&settings);
        }
        stream.run(&mut answers).await
    }

    /// Takes note of what the coordinator has. When that is more than this spool gave out, its
    /// numbers mean something else there, and those that it would give out next would be taken for
    /// batches sent again: it begins a new epoch.
    async fn know_settled(&self, settled: &Sequences) -> Result<(), Ended> {
        let (durable, last) = (settled.last(), self.outbox.next().saturating_sub(1));
        if durable <= last {
            return match settled.through() {
                0 => Ok(()),
                through => Ok(self.outbox.acknowledge(through).await?),
            };
        }
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

/// What the coordinator says it has settled.
fn settled(welcome: &proto::Welcome) -> Result<Sequences, Ended> {
    let beyond = welcome.durable_beyond.iter();
    let beyond = beyond.map(|range| (range.first, range.last)).collect();
    Sequences::from_parts(welcome.last_durable_sequence, beyond)
        .ok_or(Ended::Protocol("that it has ranges that are none"))
}

#[cfg(test)]
mod tests;
