//! The streams of the agents: the bulk lane (`Sync`) and the urgent lane (`Urgent`).

mod answers;
mod breach;
mod define;
mod future;
mod keeping;
mod left_out;
pub(crate) mod quota;
mod rules;
mod skew;
mod stream;
mod take;
mod urgent;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use daemon::clock::SharedClock;
use daemon::shutdown::Shutdown;
use store::Store;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use wire::ingest::Hello;
use wire::proto;
use wire::proto::ingest_service_server::IngestService;

use self::answers::Answers;
pub use self::breach::Breach;
use crate::access::{Access, Caller, Peer, Refusal};
use crate::alerting::Outposts;
use crate::config::Config;
use crate::events::Events;
use crate::families::Families;
use crate::fleet::Fleet;
use crate::metrics::Metrics;
use crate::status::ToStatus;
use crate::writer::Writer;

/// How long a new stream may take to say who it is.
const HELLO_WITHIN: Duration = Duration::from_secs(10);

/// The ingest service.
#[derive(Clone)]
pub struct Ingest {
    /// Who may speak as whom.
    pub access: Access,
    /// Where samples go.
    pub store: Arc<Store>,
    /// The thread that commits.
    pub writer: Writer,
    /// Who is there.
    pub fleet: Fleet,
    /// What happened.
    pub events: Events,
    /// What metrics mean.
    pub families: Families,
    /// The configuration as it is now.
    pub config: watch::Receiver<Arc<Config>>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// The clock.
    pub clock: SharedClock,
    /// The end of the process.
    pub shutdown: Shutdown,
    /// Who takes what agents find by their rules; nobody where there is no alerting.
    pub outposts: Option<Outposts>,
    /// Samples decoded and not yet committed, of all streams together.
    pub decoded: Arc<Semaphore>,
}

/// Samples that may be decoded and not yet committed: 256 MiB. One batch may pass it.
pub const DECODED_SAMPLES_MAX: usize = 32 << 20;

impl std::fmt::Debug for Ingest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ingest").finish_non_exhaustive()
    }
}

/// Who opened a stream.
#[derive(Clone, Debug)]
struct Opener {
    caller: Caller,
    address: SocketAddr,
}

impl Opener {
    fn of<T>(request: &Request<T>) -> Result<Self, Status> {
        let (caller, peer) = (
            request.extensions().get::<Caller>(),
            request.extensions().get::<Peer>(),
        );
        match (caller, peer) {
            (Some(caller), Some(peer)) => Ok(Self {
                caller: caller.clone(),
                address: peer.address,
            }),
            _ => Err(Status::internal("the stream has no caller")),
        }
    }

    /// An agent speaks, and writes series of a node, in its own name alone.
    fn may_be(&self, ingest: &Ingest, name: &str, what: &str) -> Result<(), Status> {
        if !self.caller.is_proven() || self.caller.name() == name {
            return Ok(());
        }
        let refusal = Refusal::Foreign {
            name: self.caller.name().into(),
            other: name.to_owned(),
        };
        ingest.access.refused(self.address, &what, &refusal);
        ingest.metrics.breach(Breach::Foreign).inc();
        Err(refusal.to_status())
    }
}

impl Ingest {
    /// Counts why a stream ends, and gives back what is said of it.
    fn breach(&self, breach: Breach, status: Status) -> Status {
        self.metrics.breach(breach).inc();
        status
    }

    /// What came, if anything did. A message that could not be read is counted.
    fn heard<T>(&self, message: Result<Option<T>, Status>) -> Result<Option<T>, Status> {
        message.inspect_err(|status| {
            if let Some(breach) = Breach::of_unread(status) {
                self.metrics.breach(breach).inc();
            }
        })
    }

    /// Waits for the first message of a stream.
    async fn first<T>(&self, incoming: &mut Streaming<T>) -> Result<T, Status> {
        let (breach, status) = match timeout(HELLO_WITHIN, incoming.message()).await {
            Ok(message) => match self.heard(message)? {
                Some(message) => return Ok(message),
                None => (
                    Breach::Hello,
                    Status::invalid_argument("the stream is empty"),
                ),
            },
            Err(_elapsed) => (
                Breach::Silent,
                Status::deadline_exceeded("no hello within 10 s"),
            ),
        };
        Err(self.breach(breach, status))
    }

    fn checked_hello(&self, hello: Option<proto::Hello>) -> Result<Hello, Status> {
        let missing = || Status::invalid_argument("the first message is no hello");
        let hello = hello.ok_or_else(missing);
        let hello = hello.and_then(|it| Hello::try_from(it).map_err(|error| error.to_status()));
        hello.map_err(|status| self.breach(Breach::Hello, status))
    }
}

#[tonic::async_trait]
impl IngestService for Ingest {
    type SyncStream = ReceiverStream<Result<proto::SyncResponse, Status>>;

    async fn sync(
        &self,
        request: Request<Streaming<proto::SyncRequest>>,
    ) -> Result<Response<Self::SyncStream>, Status> {
        let opener = Opener::of(&request)?;
        let mut incoming = request.into_inner();
        let (answers, outgoing) = Answers::new(self.metrics.unread_streams.clone());
        let ingest = self.clone();
        // The response begins at once: the agent sends its hello only when the stream stands.
        drop(self.shutdown.spawn("ingest stream", async move {
            let opened = match ingest.first(&mut incoming).await {
                Ok(message) => stream::open(&ingest, message, opener, &answers).await,
                Err(status) => Err(status),
            };
            let ended = match opened {
                Ok(stream) => stream.run(incoming, &answers).await,
                Err(status) => Err(status),
            };
            if let Err(status) = ended {
                tracing::warn!(status = %status.message(), code = ?status.code(), "stream ended");
                answers.end(status);
            }
        }));
        Ok(Response::new(ReceiverStream::new(outgoing)))
    }

    type UrgentStream = ReceiverStream<Result<proto::UrgentResponse, Status>>;

    async fn urgent(
        &self,
        request: Request<Streaming<proto::UrgentRequest>>,
    ) -> Result<Response<Self::UrgentStream>, Status> {
        let opener = Opener::of(&request)?;
        let mut incoming = request.into_inner();
        let (answers, outgoing) = Answers::new(self.metrics.unread_streams.clone());
        let ingest = self.clone();
        drop(self.shutdown.spawn("urgent stream", async move {
            if let Err(status) = ingest.run_urgent(opener, &mut incoming, &answers).await {
                answers.end(status);
            }
        }));
        Ok(Response::new(ReceiverStream::new(outgoing)))
    }
}

fn draining() -> Status {
    Status::unavailable("the coordinator is shutting down")
}
