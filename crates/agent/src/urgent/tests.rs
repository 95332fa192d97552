//! Each event arrives, and arrives once.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use daemon::clock::SystemClock;
use spool::{Config, Disk, MemoryDisk, Spool};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};
use wire::client::{Connection, Credentials, connect};
use wire::ingest::AgentId;
use wire::proto;
use wire::proto::ingest_service_server::{IngestService, IngestServiceServer};
use wire::proto::urgent_request::Message as Said;
use wire::proto::urgent_response::Message as Answer;

use super::kept::Cursor;
use super::*;
use crate::outbox::Outbox;
use crate::sync::Identity;
use crate::way::Way;

type Answers<T> = ReceiverStream<Result<T, Status>>;

/// Records events once by their id, while it is not away.
#[derive(Clone, Default)]
struct Fake(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    away: bool,
    /// Records so many more events without saying so.
    silent: usize,
    /// How often each event came, by its id.
    times: BTreeMap<String, usize>,
    /// What happened, in the order in which it was recorded first.
    summaries: Vec<String>,
}

#[tonic::async_trait]
impl IngestService for Fake {
    type SyncStream = Answers<proto::SyncResponse>;
    type UrgentStream = Answers<proto::UrgentResponse>;

    async fn sync(
        &self,
        _: Request<Streaming<proto::SyncRequest>>,
    ) -> Result<Response<Self::SyncStream>, Status> {
        Err(Status::unimplemented("not asked for"))
    }

    async fn urgent(
        &self,
        request: Request<Streaming<proto::UrgentRequest>>,
    ) -> Result<Response<Self::UrgentStream>, Status> {
        if self.0.lock().unwrap().away {
            return Err(Status::unavailable("away"));
        }
        let mut incoming = request.into_inner();
        let (answers, outgoing) = mpsc::channel(16);
        let fake = self.clone();
        tokio::spawn(async move {
            while let Ok(Some(message)) = incoming.message().await {
                let Some(Said::Event(event)) = message.message else {
                    continue;
                };
                let id = event.id.clone();
                if !fake.record(event) {
                    return;
                }
                let message = Some(Answer::RecordedEventId(id));
                drop(answers.send(Ok(proto::UrgentResponse { message })).await);
            }
        });
        Ok(Response::new(ReceiverStream::new(outgoing)))
    }
}

impl Fake {
    /// `false` when nothing is to be said of it.
    fn record(&self, event: proto::Event) -> bool {
        let mut state = self.0.lock().unwrap();
        if state.away {
            return false;
        }
        let times = state.times.entry(event.id).or_default();
        *times += 1;
        if *times == 1 {
            state.summaries.push(event.summary);
        }
        let says = state.silent == 0;
        state.silent = state.silent.saturating_sub(1);
        says
    }

    fn go_away(&self, away: bool) {
        self.0.lock().unwrap().away = away;
    }

    /// Waits until so many different events were recorded; gives what they say.
    async fn recorded(&self, count: usize) -> Vec<String> {
        let all = async {
            loop {
                let summaries = self.0.lock().unwrap().summaries.clone();
                if summaries.len() >= count {
                    return summaries;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(20), all).await.unwrap()
    }
}

const LIMITS: Config = Config {
    bytes_max: 4096,
    segment_bytes: 1024,
    epoch_if_new: 42,
    reserve_bytes: 0,
    span_of: |_| None,
};

/// A coordinator and the way to it.
async fn coordinator() -> (Fake, Connection) {
    let fake = Fake::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = IngestServiceServer::new(fake.clone());
    let server = Server::builder().add_service(service);
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    let url = format!("http://{address}");
    let connection = connect(&url, &Credentials::default(), |endpoint| endpoint).unwrap();
    (fake, connection)
}

fn kept_on(disk: &MemoryDisk, metrics: &Arc<Metrics>) -> Kept {
    let config = Kept::config(42);
    let (spool, _) = Spool::open(disk.clone(), config).unwrap();
    Kept::on(spool, config, metrics).unwrap()
}

/// An agent's lane on a disk of events.
struct Agent {
    urgent: Urgent,
    running: JoinHandle<()>,
    shutdown: Shutdown,
    metrics: Arc<Metrics>,
}

impl Agent {
    fn start(disk: &MemoryDisk, connection: &Connection) -> Self {
        let metrics = Metrics::new();
        let (spool, _) = Spool::open(MemoryDisk::default(), LIMITS).unwrap();
        let (urgent, events) = queue(&metrics, SystemClock::shared());
        let lane = Lane {
            identity: Identity {
                agent_id: AgentId::try_from("a".to_owned()).unwrap(),
                outbox: Outbox::new(spool, Arc::clone(&metrics)),
                labels: BTreeMap::new(),
                clock: SystemClock::shared(),
            },
            way: Way::fixed(connection.clone()),
            events,
            kept: kept_on(disk, &metrics),
            metrics: Arc::clone(&metrics),
        };
        let shutdown = Shutdown::new();
        let running = tokio::spawn(lane.run(shutdown.clone()));
        Self {
            urgent,
            running,
            shutdown,
            metrics,
        }
    }

    fn say(&self, summary: &str) {
        let happened = Happened::new("gpu_xid", "critical", summary.to_owned());
        self.urgent.send(happened);
    }

    /// Waits until so many events are kept.
    async fn keeps(&self, count: f64) {
        let kept = async {
            while self.metrics.events_pending.get() != Some(count) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(20), kept).await.unwrap();
    }

    async fn kill(self) {
        self.running.abort();
        drop(self.running.await);
    }

    async fn stop(self) {
        self.shutdown.start(daemon::shutdown::Reason::Requested);
        self.running.await.unwrap();
    }
}

#[tokio::test]
async fn events_before_during_and_after_a_cut_and_a_kill_arrive_once_each() {
    let (fake, connection) = coordinator().await;
    let disk = MemoryDisk::default();
    let agent = Agent::start(&disk, &connection);
    agent.say("before");
    fake.recorded(1).await;
    agent.keeps(0.0).await;
    fake.go_away(true);
    agent.say("during 1");
    agent.say("during 2");
    agent.keeps(2.0).await;
    agent.kill().await;
    disk.crash(|| 1);
    let agent = Agent::start(&disk, &connection);
    agent.say("after the kill");
    agent.keeps(3.0).await;
    fake.go_away(false);
    fake.recorded(4).await;
    agent.say("after the cut");
    let all = [
        "before",
        "during 1",
        "during 2",
        "after the kill",
        "after the cut",
    ];
    assert_eq!(fake.recorded(5).await, all);
    agent.keeps(0.0).await;
    agent.stop().await;
}

#[tokio::test]
async fn an_event_whose_recording_was_not_told_is_sent_again_under_its_id() {
    let (fake, connection) = coordinator().await;
    fake.0.lock().unwrap().silent = 1;
    let agent = Agent::start(&MemoryDisk::default(), &connection);
    agent.say("one");
    agent.say("two");
    assert_eq!(fake.recorded(2).await, ["one", "two"]);
    agent.keeps(0.0).await;
    let times: Vec<usize> = fake.0.lock().unwrap().times.values().copied().collect();
    assert_eq!(times, [2, 1]);
    agent.stop().await;
}

#[tokio::test]
async fn what_was_handed_in_before_the_drain_is_kept() {
    let (fake, connection) = coordinator().await;
    fake.go_away(true);
    let disk = MemoryDisk::default();
    let agent = Agent::start(&disk, &connection);
    for at in 0..200 {
        agent.say(&format!("event {at}"));
    }
    agent.stop().await;
    fake.go_away(false);
    let agent = Agent::start(&disk, &connection);
    assert_eq!(fake.recorded(200).await.len(), 200);
    agent.keeps(0.0).await;
    agent.stop().await;
}

fn event(severity: &str, summary: &str) -> Event {
    Event {
        id: String::new(),
        at_millis: 7,
        kind: "gpu_xid".to_owned(),
        severity: severity.to_owned(),
        summary: summary.to_owned(),
        labels: BTreeMap::new(),
        alert: None,
    }
}

/// All that is kept.
async fn all(kept: &Kept) -> Vec<proto::Event> {
    let (mut all, mut cursor) = (Vec::new(), Cursor::default());
    loop {
        let (events, next) = kept.read(cursor).await;
        if events.is_empty() {
            return all;
        }
        all.extend(events.into_iter().filter_map(|(_, event)| event));
        cursor = next;
    }
}

#[tokio::test]
async fn no_id_is_given_twice_over_restarts() {
    let metrics = Metrics::new();
    let disk = MemoryDisk::default();
    let mut ids = std::collections::BTreeSet::new();
    for _ in 0..5 {
        let kept = kept_on(&disk, &metrics);
        kept.keep(vec![event("info", "a"), event("info", "b")])
            .await;
        kept.keep(vec![event("info", "c")]).await;
        ids.extend(all(&kept).await.into_iter().map(|event| event.id));
        // What is recorded and gone does not bring its number back.
        let (events, _) = kept.read(Cursor::default()).await;
        kept.done_with(events.into_iter().map(|(place, _)| place).collect())
            .await;
    }
    assert_eq!(ids.len(), 15);
    assert!(ids.contains("42-1-0"), "{ids:?}");
}

#[tokio::test]
async fn when_there_is_no_room_what_only_informs_goes_first_and_what_is_critical_last() {
    let metrics = Metrics::new();
    let config = Config {
        span_of: Kept::config(1).span_of,
        ..LIMITS
    };
    let (spool, _) = Spool::open(MemoryDisk::default(), config).unwrap();
    let kept = Kept::on(spool, config, &metrics).unwrap();
    let counts = async |kept: &Kept| {
        let all = all(kept).await;
        let of = |severity: &str| {
            all.iter()
                .filter(|event| event.severity == severity)
                .count()
        };
        ["info", "warning", "critical"].map(of)
    };
    let mut said = 0;
    let mut dropped = Vec::new();
    for turn in 0..60 {
        let severity = ["info", "warning", "critical"][turn % 3];
        let summary = format!("number {turn}{}", " and so on".repeat(8));
        kept.keep(vec![event(severity, &summary)]).await;
        said += 1;
        let counts = counts(&kept).await;
        let there: usize = counts.iter().sum();
        assert_eq!(metrics.events_dropped.full.get(), said - there as u64);
        dropped.push(counts);
    }
    let first_without = |at: usize| {
        let gone = dropped
            .iter()
            .zip(1..)
            .find(|(counts, said)| counts[at] < (said + 2 - at) / 3);
        gone.map_or(usize::MAX, |(_, said)| said)
    };
    let (info, warning) = (first_without(0), first_without(1));
    assert!(info < warning && warning <= first_without(2), "{dropped:?}");
    assert!(dropped[59][2] >= 15, "{dropped:?}");
    assert!(
        all(&kept)
            .await
            .iter()
            .any(|event| event.summary.starts_with("number 59"))
    );
}

#[tokio::test]
async fn what_a_full_disk_does_not_take_is_sent_from_memory_and_goes_to_disk_when_it_is_back() {
    let metrics = Metrics::new();
    let disk = MemoryDisk::default();
    let kept = kept_on(&disk, &metrics);
    kept.keep(vec![event("info", "on disk")]).await;
    disk.set_room(Some(10));
    kept.keep(vec![event("info", "in memory"), event("critical", "too")])
        .await;
    let summaries = |events: Vec<proto::Event>| -> Vec<String> {
        events.into_iter().map(|event| event.summary).collect()
    };
    let three = ["on disk", "in memory", "too"];
    assert_eq!(summaries(all(&kept).await), three);
    disk.set_room(None);
    kept.keep(vec![event("info", "later")]).await;
    drop(kept);
    let kept = kept_on(&disk, &metrics);
    let found = summaries(all(&kept).await);
    assert_eq!(found, ["on disk", "later", "in memory", "too"]);
    assert_eq!(metrics.events_dropped.full.get(), 0);
}

#[tokio::test]
async fn a_sync_that_fails_holds_no_event_back() {
    for failures in [1, 2, 3] {
        let metrics = Metrics::new();
        let disk = MemoryDisk::default();
        let kept = kept_on(&disk, &metrics);
        disk.fail_syncs(failures);
        kept.keep(vec![event("critical", "now")]).await;
        let there = all(&kept).await;
        assert!(
            there.iter().any(|event| event.summary == "now"),
            "{failures}"
        );
    }
}

#[tokio::test]
async fn events_that_are_damaged_on_disk_are_counted() {
    let metrics = Metrics::new();
    let mut disk = MemoryDisk::default();
    let kept = kept_on(&disk, &metrics);
    for turn in 0..4 {
        kept.keep(vec![event("info", &format!("number {turn}"))])
            .await;
    }
    drop(kept);
    let names = disk.list().unwrap();
    let name = names.iter().find(|name| name.ends_with(".seg")).unwrap();
    let length = disk.len(name).unwrap();
    disk.damage(name, |bytes| {
        bytes[usize::try_from(length / 2).unwrap()] ^= 1;
    });
    let kept = kept_on(&disk, &metrics);
    let there = all(&kept).await.len() as u64;
    assert!((1..4).contains(&there));
    assert_eq!(metrics.events_dropped.damaged.get(), 4 - there);
}

#[test]
fn what_is_handed_in_too_fast_is_dropped_and_counted() {
    let metrics = Metrics::new();
    let (urgent, mut events) = queue(&metrics, SystemClock::shared());
    let send = |severity, count| {
        for _ in 0..count {
            urgent.send(Happened::new("gpu_xid", severity, String::new()));
        }
    };
    send("info", WAITING_MAX);
    send("warning", WAITING_MAX);
    send("critical", KEPT_FROM_WARNINGS + 3);
    let dropped = &metrics.events_dropped.queue;
    let dropped = [&dropped.info, &dropped.warning, &dropped.critical].map(|it| it.get());
    let warnings = KEPT_FROM_INFO - KEPT_FROM_WARNINGS;
    let expected = [KEPT_FROM_INFO, WAITING_MAX - warnings, 3];
    assert_eq!(dropped, expected.map(|it| it as u64));
    let kept = std::iter::from_fn(|| events.try_recv().ok());
    let critical = kept.filter(|it| it.severity == "critical");
    assert_eq!(critical.count(), KEPT_FROM_WARNINGS);
}
