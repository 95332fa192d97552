//! One life of a coordinator's alerting, from its start until it is killed.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use coordinator::Config;
use coordinator::alerting::{AlertApi, Ground, Office};
use coordinator::events::Events;
use coordinator::fleet::Fleet;
use coordinator::metrics::Metrics;
use coordinator::writer::Writer;
use daemon::clock::{Clock, SharedClock};
use daemon::shutdown::Shutdown;
use series::MetricKind;
use store::engine::memory::Memory;
use store::engine::{Batch, Durability, Engine, EngineError, Family, Found, Ingest, Visit};
use store::{Arrival, Outcome, Samples, Store};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tonic::Request;
use wire::proto;
use wire::proto::alert_service_server::AlertService as _;

use crate::load::{Load, Sample};

/// An engine that outlives those that use it.
#[derive(Clone, Debug, Default)]
pub(crate) struct SharedEngine(Arc<Memory>);

impl Engine for SharedEngine {
    fn write(&self, batch: Batch, durability: Durability) -> Result<(), EngineError> {
        self.0.write(batch, durability)
    }

    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        self.0.get(family, key)
    }

    fn read(&self, family: Family, key: &[u8], found: &mut Found<'_>) -> Result<bool, EngineError> {
        self.0.read(family, key, found)
    }

    fn ingest(&self, family: Family) -> Result<Box<dyn Ingest + '_>, EngineError> {
        self.0.ingest(family)
    }

    fn drop_ingested(&self, family: Family, start: &[u8], end: &[u8]) -> Result<(), EngineError> {
        self.0.drop_ingested(family, start, end)
    }

    fn settle(&self) -> Result<(), EngineError> {
        self.0.settle()
    }

    fn scan(
        &self,
        family: Family,
        start: &[u8],
        end: &[u8],
        visit: &mut Visit<'_>,
    ) -> Result<(), EngineError> {
        self.0.scan(family, start, end, visit)
    }

    fn drop_range(&self, family: Family, start: &[u8], end: &[u8]) -> Result<(), EngineError> {
        self.0.drop_range(family, start, end)
    }

    fn disk_bytes(&self) -> u64 {
        self.0.disk_bytes()
    }

    fn family_bytes(&self, family: Family) -> u64 {
        self.0.family_bytes(family)
    }
}

/// The runtime's own clock, which stands while anything runs, with a date.
#[derive(Debug)]
struct Virtual {
    base: i64,
    started: Instant,
}

impl Clock for Virtual {
    fn wall_millis(&self) -> i64 {
        self.base + i64::try_from(self.monotonic().as_millis()).unwrap()
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }
}

/// One life.
pub(crate) struct Life {
    pub(crate) engine: SharedEngine,
    pub(crate) rules: PathBuf,
    pub(crate) from: i64,
    pub(crate) until: i64,
}

impl Life {
    /// Lives it. All tasks end where they are. Gives the transitions of a backtest, if one is asked for.
    pub(crate) fn run(self, load: &mut Load, backtest: Option<(i64, i64)>) -> Vec<String> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(self.live(load, backtest))
    }

    async fn live(self, load: &mut Load, backtest: Option<(i64, i64)>) -> Vec<String> {
        let started = Instant::now();
        let clock: SharedClock = Arc::new(Virtual {
            base: self.from,
            started,
        });
        let at = |millis: i64| {
            let since = u64::try_from(millis - self.from).unwrap_or(0);
            started + Duration::from_millis(since)
        };
        let (store, _) = Store::open(Box::new(self.engine.clone())).unwrap();
        let store = Arc::new(store);
        let mut config = Config::default();
        config.alerting.stock_rules = false;
        config.alerting.rules = vec![self.rules];
        let (_sender, config) = watch::channel(Arc::new(config));
        let metrics = Metrics::new();
        let shutdown = Shutdown::new();
        let writer = Writer::start(
            Arc::clone(&store),
            Arc::clone(&metrics),
            Arc::clone(&clock),
            &shutdown,
            config.clone(),
            Arc::new(Notify::new()),
        );
        let events = Events::new(Arc::clone(&store));
        let office = Office::start(Ground {
            store: Arc::clone(&store),
            writer: writer.clone(),
            fleet: Fleet::open(Arc::clone(&store), events, Arc::clone(&clock)).unwrap(),
            config,
            registry: metrics.registry.clone(),
            clock,
            shutdown,
        })
        .await
        .unwrap();
        for (comes, samples) in load.until(self.until) {
            tokio::time::sleep_until(at(comes)).await;
            write(&store, &writer, &samples).await;
        }
        tokio::time::sleep_until(at(self.until)).await;
        // Whatever can go on at this moment has gone on.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        match backtest {
            Some(span) => backtested(office, span).await,
            None => Vec::new(),
        }
    }
}

async fn write(store: &Store, writer: &Writer, samples: &[Sample]) {
    let list = samples.iter();
    let list = list.map(|it| (it.labels.clone(), MetricKind::Gauge));
    let generation = store.generation();
    let ids = store.define(&list.collect::<Vec<_>>()).unwrap().ids;
    let mut arrived = Samples::default();
    for (sample, id) in samples.iter().zip(ids) {
        arrived.series.push(id.unwrap().number());
        arrived.times.push(sample.time);
        arrived.values.push(sample.value);
    }
    let arrival = Arrival {
        generation,
        samples: arrived,
        ..Arrival::default()
    };
    let verdict = writer.submit(arrival).await.unwrap().await.unwrap();
    assert_eq!(verdict.unwrap(), Outcome::Taken);
}

async fn backtested(office: Office, (start_millis, end_millis): (i64, i64)) -> Vec<String> {
    let request = proto::BacktestRequest {
        start_millis,
        end_millis,
        transitions: true,
        ..proto::BacktestRequest::default()
    };
    let answer = AlertApi { office }.backtest(Request::new(request)).await;
    let mut runs = answer.unwrap().into_inner().runs;
    let run = runs.pop().unwrap();
    assert_eq!(run.failures, 0);
    run.transitions
}
