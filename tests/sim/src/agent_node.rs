//! A node with an agent: the agent's own spool, outbox and lanes, and something to collect.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::pending;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use agent::batch::{Batcher, Gathered};
use agent::families::Families;
use agent::metrics::Metrics;
use agent::outbox::Outbox;
use agent::sync::{Bulk, Identity};
use agent::urgent::{Happened, Kept, Lane, Urgent, queue};
use agent::way::Way;
use daemon::clock::{Clock as _, SharedClock};
use daemon::shutdown::Shutdown;
use hyper_util::rt::TokioIo;
use series::{Snapshot, Timestamp};
use spool::Spool;
use tokio::sync::watch;
use tokio::time::sleep;
use tonic::codegen::http::Uri;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Endpoint;
use turmoil::net::TcpStream;
use wire::client::{Bearer, Connection};
use wire::ingest::AgentId;

use crate::chance::Chance;
use crate::clock::NodeClock;
use crate::coordinator_node;
use crate::disk::NodeDisk;
use crate::ledger::{Ledger, name_of};
use crate::plan::Plan;

/// How long a program that did not start waits before it is started again.
const AGAIN: Duration = Duration::from_secs(5);

/// A node with an agent.
#[derive(Debug)]
pub(crate) struct AgentNode {
    pub(crate) index: usize,
    pub(crate) disk: NodeDisk,
    /// Where events are kept: a disk that is always sound.
    events: NodeDisk,
    pub(crate) clock: Arc<NodeClock>,
    /// The agent that runs now.
    pub(crate) outbox: RefCell<Option<Outbox>>,
    /// Set when everything is to be sent twice for a while.
    pub(crate) twin: Cell<bool>,
    /// Set when nothing more is to be collected.
    pub(crate) quiet: Rc<Cell<bool>>,
    /// Whether all that was collected has been put into the spool.
    pub(crate) is_cut: Cell<bool>,
    pub(crate) ledger: Rc<RefCell<Ledger>>,
    pub(crate) plan: Rc<Plan>,
    pub(crate) chance: RefCell<Chance>,
    lives: Cell<u64>,
    /// What the next sample says; no two say the same.
    value: Cell<u32>,
}

impl AgentNode {
    pub(crate) fn new(
        index: usize,
        seed: u64,
        disk: NodeDisk,
        plan: &Rc<Plan>,
        ledger: &Rc<RefCell<Ledger>>,
        quiet: &Rc<Cell<bool>>,
    ) -> Rc<Self> {
        Rc::new(Self {
            index,
            disk,
            events: NodeDisk::new(None),
            clock: NodeClock::shared(),
            outbox: RefCell::default(),
            twin: Cell::default(),
            quiet: Rc::clone(quiet),
            is_cut: Cell::default(),
            ledger: Rc::clone(ledger),
            plan: Rc::clone(plan),
            chance: RefCell::new(Chance::new(seed, &name_of(index))),
            lives: Cell::default(),
            value: Cell::default(),
        })
    }

    /// One life of the agent.
    pub(crate) async fn live(self: Rc<Self>) -> turmoil::Result {
        self.is_cut.set(false);
        self.lives.set(self.lives.get() + 1);
        let spool = self.open().await;
        let metrics = Metrics::new();
        let outbox = Outbox::new(spool, Arc::clone(&metrics)).thinning(self.plan.thins);
        self.outbox.replace(Some(outbox.clone()));
        let clock: SharedClock = Arc::<NodeClock>::clone(&self.clock);
        let identity = Identity {
            agent_id: AgentId::try_from(name_of(self.index))?,
            outbox: outbox.clone(),
            labels: BTreeMap::new(),
            clock: Arc::clone(&clock),
        };
        let way = Way::fixed(connection());
        let families = Families::default();
        let shutdown = Shutdown::new();
        let (urgent, events) = queue(&metrics, clock);
        let lane = Lane {
            identity: identity.clone(),
            way: way.clone(),
            events,
            kept: self.kept(&metrics)?,
            metrics: Arc::clone(&metrics),
        };
        drop(shutdown.spawn("urgent lane", lane.run(shutdown.clone())));
        let bulk = Bulk {
            identity,
            way,
            outbox: outbox.clone(),
            families: families.clone(),
            interval: watch::channel(None).0,
            pace: agent::pace::Pace::default(),
            rules: agent::rules::Link::default(),
            metrics: Arc::clone(&metrics),
        };
        let twins = Rc::clone(&self).send_twice(&bulk);
        drop(shutdown.spawn("sync", bulk.run(shutdown.clone(), Duration::ZERO)));
        self.happened(&urgent, "agent_started");
        let collects = async {
            self.collect(&outbox, &metrics, &urgent, families).await;
            self.is_cut.set(true);
            // The lanes go on; the queue of events must not look closed.
            pending::<()>().await;
        };
        tokio::join!(collects, twins);
        drop((shutdown, urgent));
        Ok(())
    }

    /// Runs for ever; has a second lane beside the first for a while when it is told to.
    fn send_twice(self: Rc<Self>, bulk: &Bulk) -> impl Future<Output = ()> + use<> {
        let (identity, outbox) = (bulk.identity.clone(), bulk.outbox.clone());
        let (families, metrics) = (bulk.families.clone(), Arc::clone(&bulk.metrics));
        async move {
            loop {
                sleep(Duration::from_secs(1)).await;
                if !self.twin.take() || self.quiet.get() {
                    continue;
                }
                let twin = Bulk {
                    identity: identity.clone(),
                    way: Way::fixed(connection()),
                    outbox: outbox.clone(),
                    families: families.clone(),
                    interval: watch::channel(None).0,
                    pace: agent::pace::Pace::default(),
                    rules: agent::rules::Link::default(),
                    metrics: Arc::clone(&metrics),
                };
                let wait = self.chance.borrow_mut().seconds(1, 30);
                let sent = twin.run(Shutdown::new(), Duration::ZERO);
                drop(tokio::time::timeout(wait, sent).await);
            }
        }
    }

    fn kept(&self, metrics: &Arc<Metrics>) -> Result<Kept, spool::Error> {
        let config = Kept::config(self.clock.wall_millis().max(1).cast_unsigned());
        let (spool, _) = Spool::open(self.events.clone(), config)?;
        Kept::on(spool, config, metrics)
    }

    /// Opens the spool, as often as it takes.
    async fn open(&self) -> Spool {
        loop {
            let config = spool::Config {
                bytes_max: self.plan.spool_bytes_max,
                segment_bytes: self.plan.segment_bytes,
                epoch_if_new: self.clock.wall_millis().max(1).cast_unsigned(),
                reserve_bytes: self.plan.segment_bytes,
                span_of: agent::thin::span_of,
            };
            match Spool::open(self.disk.clone(), config) {
                Ok((spool, _)) => {
                    let next = spool.next_sequence();
                    self.ledger
                        .borrow_mut()
                        .opened(self.index, next, spool.losses());
                    return spool;
                }
                Err(error) => {
                    let error = daemon::chain(&error);
                    tracing::warn!(target: "agent::open", error, "the spool was not opened");
                    sleep(AGAIN).await;
                }
            }
        }
    }

    /// Collects and cuts batches until the run is to end.
    async fn collect(
        &self,
        outbox: &Outbox,
        metrics: &Metrics,
        urgent: &Urgent,
        families: Families,
    ) {
        let node = [("node".to_owned(), name_of(self.index))];
        let mut batcher = Batcher::new(node.to_vec()).telling(families);
        let mut collections = 0;
        while !self.quiet.get() {
            sleep(self.plan.collect_every).await;
            for source in ["a", "b"] {
                batcher.push(self.gathered(source));
            }
            let says = self.chance.borrow_mut().likely(20_000);
            if says {
                self.happened(urgent, "collector_down");
            }
            collections += 1;
            if collections % self.plan.collections == 0 || self.quiet.get() {
                self.put(&mut batcher, outbox, metrics).await;
            }
        }
        // What a full disk did not take waits for the next turn.
        while outbox.waiting() > 0 {
            sleep(self.plan.collect_every).await;
            self.put(&mut batcher, outbox, metrics).await;
        }
    }

    /// What a source says now. A date that has jumped may come twice, so each has series of its own.
    fn gathered(&self, source: &str) -> Gathered {
        let mut snapshot = Snapshot::default();
        let since = format!("{}.{}", self.lives.get(), self.clock.jumps());
        for number in 0..self.plan.series {
            // Now and then one is missing, and comes again.
            if self.chance.borrow_mut().likely(30_000) {
                continue;
            }
            let value = self.value.replace(self.value.get() + 1);
            let labels = [
                ("source", source),
                ("number", &number.to_string()),
                ("since", &since),
            ];
            snapshot.push("measured", &labels, f64::from(value));
        }
        Gathered {
            divisor: None,
            unknown: Vec::new(),
            source: Arc::from(format!("{source} {since}")),
            labels: [].into(),
            at: Timestamp::from_millis(self.clock.wall_millis()),
            snapshot,
        }
    }

    async fn put(&self, batcher: &mut Batcher, outbox: &Outbox, metrics: &Metrics) {
        let records = batcher.cut();
        for record in &records {
            self.ledger.borrow_mut().offer(self.index, record);
        }
        let before = metrics.spooled_batches.get();
        let put = outbox.put(records).await;
        let taken = metrics.spooled_batches.get() - before;
        if let Err(error) = &put {
            let error = daemon::chain(error);
            tracing::warn!(target: "agent::put", error, taken, "not durable");
        }
        self.ledger
            .borrow_mut()
            .took(self.index, taken, put.is_ok());
    }

    fn happened(&self, urgent: &Urgent, kind: &'static str) {
        let value = self.value.replace(self.value.get() + 1);
        let summary = format!("{} {kind} {value}", name_of(self.index));
        self.ledger
            .borrow_mut()
            .happened(self.index, summary.clone());
        urgent.send(Happened::new(kind, "info", summary));
    }
}

/// A connection to the coordinator over the simulated network.
fn connection() -> Connection {
    let endpoint = Endpoint::from_static("http://coordinator");
    let connector = tower::service_fn(|_: Uri| async {
        let address = (coordinator_node::NAME, coordinator_node::PORT);
        Ok::<_, io::Error>(TokioIo::new(TcpStream::connect(address).await?))
    });
    let channel = agent::run::tuned(endpoint).connect_with_connector_lazy(connector);
    InterceptedService::new(channel, Bearer::default())
}
