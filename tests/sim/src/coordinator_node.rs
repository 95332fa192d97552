//! The machine of the coordinator: its own ingest, writer and upkeep on a simulated engine.

use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use coordinator::Config;
use coordinator::access::{Access, Audit, Files, Guard, Need, Peer, Rates};
use coordinator::events::Events;
use coordinator::families::Families;
use coordinator::fleet::Fleet;
use coordinator::ingest::{DECODED_SAMPLES_MAX, Ingest};
use coordinator::metrics::Metrics;
use coordinator::upkeep::Upkeep;
use coordinator::writer::Writer;
use daemon::clock::SharedClock;
use daemon::shutdown::Shutdown;
use daemon::{ByteSize, HumanDuration};
use store::engine::Engine as _;
use store::{Mark, Store};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio::time::sleep;
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::server::Connected;
use turmoil::net::{TcpListener, TcpStream};
use wire::proto::ingest_service_server::IngestServiceServer;

use crate::clock::NodeClock;
use crate::engine::SimEngine;
use crate::ledger::name_of;
use crate::mutant::Mutant;
use crate::plan::Plan;

/// Its name on the network.
pub(crate) const NAME: &str = "coordinator";
/// Where it listens.
pub(crate) const PORT: u16 = 7700;

/// How long a program that did not start waits before it is started again.
const AGAIN: Duration = Duration::from_secs(5);

/// A coordinator that is up.
#[derive(Clone)]
pub(crate) struct Up {
    pub(crate) store: Arc<Store>,
    pub(crate) events: Events,
    pub(crate) decoded: Arc<Semaphore>,
    pub(crate) config: Arc<Config>,
    pub(crate) shutdown: Shutdown,
}

/// The machine of the coordinator.
pub(crate) struct CoordinatorNode {
    pub(crate) engine: SimEngine,
    pub(crate) clock: Arc<NodeClock>,
    pub(crate) plan: Rc<Plan>,
    /// The coordinator that runs now.
    pub(crate) up: RefCell<Option<Up>>,
    pub(crate) mutant: Option<Mutant>,
}

impl CoordinatorNode {
    fn config(&self) -> Config {
        let mut config = Config::default();
        config.store.memory = ByteSize::bytes(self.plan.memory_bytes);
        config.store.flush_interval = HumanDuration::from_millis(millis(self.plan.flush_every));
        config.ingest.window = ByteSize::bytes(self.plan.window_bytes);
        config
    }

    /// One life of the coordinator.
    pub(crate) async fn live(self: Rc<Self>) -> turmoil::Result {
        let store = self.open().await;
        let config = Arc::new(self.config());
        let clock: SharedClock = Arc::<NodeClock>::clone(&self.clock);
        let shutdown = Shutdown::new();
        let metrics = Metrics::new();
        let (_sender, receiver) = watch::channel(Arc::clone(&config));
        let (audit, writing) = Audit::new(Arc::clone(&store), Arc::clone(&metrics));
        drop(shutdown.spawn("audit", writing.run()));
        let access = Access::open(
            Files::default(),
            Rates::default(),
            audit,
            Arc::clone(&metrics),
            Arc::clone(&clock),
        )?;
        let events = Events::new(Arc::clone(&store));
        let fleet = Fleet::open(Arc::clone(&store), events.clone(), Arc::clone(&clock))?;
        let full = Arc::new(Notify::new());
        let writer = Writer::start(
            Arc::clone(&store),
            Arc::clone(&metrics),
            Arc::clone(&clock),
            &shutdown,
            receiver.clone(),
            Arc::clone(&full),
        );
        let decoded = Arc::new(Semaphore::new(DECODED_SAMPLES_MAX));
        let ingest = Ingest {
            access: access.clone(),
            store: Arc::clone(&store),
            writer,
            fleet: fleet.clone(),
            events: events.clone(),
            families: Families::open(Arc::clone(&store))?,
            config: receiver.clone(),
            metrics: Arc::clone(&metrics),
            clock: Arc::clone(&clock),
            shutdown: shutdown.clone(),
            outposts: None,
            decoded: Arc::clone(&decoded),
        };
        let upkeep = Upkeep {
            store: Arc::clone(&store),
            fleet,
            events: events.clone(),
            config: receiver,
            metrics,
            clock,
            full,
        };
        drop(shutdown.spawn_essential("upkeep", upkeep.run(shutdown.clone())));
        self.up.replace(Some(Up {
            store: Arc::clone(&store),
            events,
            decoded,
            config,
            shutdown,
        }));
        let forgets = self.forget_marks(&store);
        tokio::select! {
            biased;
            served = serve(ingest, access) => served,
            () = forgets => Ok(()),
        }
    }

    /// Opens the store, as often as it takes.
    async fn open(&self) -> Arc<Store> {
        loop {
            match Store::open(Box::new(self.engine.clone())) {
                Ok((store, recovery)) => {
                    let (batches, samples) = (recovery.batches, recovery.samples);
                    tracing::info!(target: "coordinator::open", batches, samples, "store opened");
                    for what in recovery.damaged {
                        tracing::error!(target: "coordinator::open", what, "damaged row");
                    }
                    return Arc::new(store);
                }
                Err(error) => {
                    let error = daemon::chain(&error);
                    tracing::warn!(target: "coordinator::open", error, "the store was not opened");
                    self.engine.ended(false);
                    sleep(AGAIN).await;
                }
            }
        }
    }

    /// Runs for ever; a mutant sets the marks of all agents back now and then.
    async fn forget_marks(&self, store: &Store) {
        loop {
            sleep(Duration::from_secs(1)).await;
            if self.mutant != Some(Mutant::ApplyTwice) {
                continue;
            }
            for agent in 0..self.plan.agents {
                // Something of another epoch, which no agent has.
                let mark = Mark {
                    epoch: 1,
                    first: 1,
                    last: 1,
                    base: 1,
                };
                let arrival = store::Arrival {
                    mark: Some((name_of(agent), mark)),
                    generation: store.generation(),
                    ..store::Arrival::default()
                };
                drop(store.commit(vec![arrival]));
            }
        }
    }

    /// What must hold whenever the coordinator is up.
    pub(crate) fn check_budget(&self) -> Result<(), String> {
        let Some(up) = &*self.up.borrow() else {
            return Ok(());
        };
        let (head, index) = (up.store.head_bytes(), up.store.index_bytes());
        let head_max = up.config.store.head_bytes_max(index);
        // The writer flushes past twice the bound, before the next group of batches.
        let group = self.plan.agents as u64 * self.plan.window_bytes.max(64 * 1024) * 4;
        if !self.engine.has_failed() && head > head_max * 3 + group {
            return Err(format!(
                "the head has {head} bytes, and {head_max} are its bound"
            ));
        }
        Ok(())
    }

    /// Bytes on its disk.
    pub(crate) fn disk_bytes(&self) -> u64 {
        self.engine.disk_bytes()
    }
}

async fn serve(ingest: Ingest, access: Access) -> turmoil::Result {
    let listener = TcpListener::bind((IpAddr::V4(Ipv4Addr::UNSPECIFIED), PORT)).await?;
    let (accepted, connections) = mpsc::channel(64);
    drop(tokio::spawn(async move {
        while let Ok((stream, address)) = listener.accept().await {
            let peer = Peer {
                address,
                certificate: None,
            };
            if accepted
                .send(Ok::<_, io::Error>(Wire { stream, peer }))
                .await
                .is_err()
            {
                return;
            }
        }
    }));
    let guard = Guard {
        access,
        need: Need::SpeakAsAgent,
        service: "ingest",
    };
    let service =
        IngestServiceServer::new(ingest).max_decoding_message_size(wire::MESSAGE_BYTES_MAX);
    let mut server = coordinator::run::grpc_server();
    let server = server.add_service(InterceptedService::new(service, guard));
    server
        .serve_with_incoming(ReceiverStream::new(connections))
        .await?;
    Err("the server has ended".into())
}

/// One connection, with its other end.
struct Wire {
    stream: TcpStream,
    peer: Peer,
}

impl Connected for Wire {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
