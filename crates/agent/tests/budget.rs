//! The program with a target that suddenly says a hundred times as much, before a coordinator that
//! counts what comes.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper fails its test by panicking"
)]

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::routing::get;
use daemon::clock::{Clock, SystemClock};
use series::{Labels, Sequences, is_stale};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};
use wire::proto::ingest_service_server::{IngestService, IngestServiceServer};
use wire::proto::sync_request::Message;
use wire::proto::sync_response::Message as Answer;
use wire::proto::{self, urgent_request, urgent_response};

/// A fault is known to the coordinator so many milliseconds after it was seen.
const URGENT_MILLIS: i64 = 2000;
/// Longer than anything here takes; only a failing test waits so long.
const PATIENCE: Duration = Duration::from_secs(120);

type Answers<T> = ReceiverStream<Result<T, Status>>;

/// Takes everything and keeps the newest.
#[derive(Clone, Default)]
struct Coordinator(Arc<Mutex<Taken>>);

#[derive(Default)]
struct Taken {
    settled: Sequences,
    series: Vec<Labels>,
    /// The last value of each series that has not ended.
    last: HashMap<u32, f64>,
    /// Kind, and milliseconds from when it was seen until it was here.
    events: Vec<(String, i64)>,
}

#[tonic::async_trait]
impl IngestService for Coordinator {
    type SyncStream = Answers<proto::SyncResponse>;
    type UrgentStream = Answers<proto::UrgentResponse>;

    async fn sync(
        &self,
        request: Request<Streaming<proto::SyncRequest>>,
    ) -> Result<Response<Self::SyncStream>, Status> {
        let mut incoming = request.into_inner();
        let (answers, outgoing) = mpsc::channel(16);
        let taken = Arc::clone(&self.0);
        tokio::spawn(async move {
            while let Ok(Some(message)) = incoming.message().await {
                let answer = taken.lock().unwrap().take(message.message.unwrap());
                if let Some(answer) = answer {
                    let message = Some(answer);
                    drop(answers.send(Ok(proto::SyncResponse { message })).await);
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(outgoing)))
    }

    async fn urgent(
        &self,
        request: Request<Streaming<proto::UrgentRequest>>,
    ) -> Result<Response<Self::UrgentStream>, Status> {
        let mut incoming = request.into_inner();
        let (answers, outgoing) = mpsc::channel(16);
        let taken = Arc::clone(&self.0);
        tokio::spawn(async move {
            let clock = SystemClock::new();
            while let Ok(Some(message)) = incoming.message().await {
                let Some(urgent_request::Message::Event(event)) = message.message else {
                    continue;
                };
                let took = clock.wall_millis() - event.at_millis;
                taken.lock().unwrap().events.push((event.kind, took));
                let message = Some(urgent_response::Message::RecordedEventId(event.id));
                drop(answers.send(Ok(proto::UrgentResponse { message })).await);
            }
        });
        Ok(Response::new(ReceiverStream::new(outgoing)))
    }
}

impl Taken {
    fn take(&mut self, message: Message) -> Option<Answer> {
        match message {
            Message::Hello(hello) => {
                self.settled = Sequences::up_to(hello.oldest_sequence - 1);
                self.series.clear();
                self.last.clear();
                Some(Answer::Welcome(proto::Welcome {
                    last_durable_sequence: self.settled.through(),
                    ..proto::Welcome::default()
                }))
            }
            Message::Definitions(definitions) => {
                let list = codec::decode_labels_list(&definitions.list).unwrap();
                self.series
                    .extend(list.into_iter().map(|(labels, _)| labels));
                None
            }
            Message::Batch(batch) => {
                for block in &batch.blocks {
                    let columns = codec::decode_block(&block.columns).unwrap().columns;
                    for (number, column) in block.series_refs.iter().zip(columns) {
                        let last = (&column.values).into_iter().last().copied();
                        match last.filter(|value| !is_stale(*value)) {
                            Some(value) => self.last.insert(*number, value),
                            None => self.last.remove(number),
                        };
                    }
                }
                assert!(self.settled.insert(batch.sequence, batch.sequence));
                Some(Answer::Acknowledgement(proto::Acknowledgement {
                    through_sequence: self.settled.through(),
                    sequence: batch.sequence,
                }))
            }
            Message::Loss(_) | Message::RulesRun(_) => None,
        }
    }

    /// The last values of the series of this name.
    fn of(&self, metric: &str) -> Vec<f64> {
        let named = |it: &&Labels| it.metric_name() == metric;
        let numbers = (0..).zip(&self.series);
        let named = numbers.filter(|(_, labels)| named(labels));
        named
            .filter_map(|(number, _)| self.last.get(&number).copied())
            .collect()
    }
}

impl Coordinator {
    async fn start() -> (Self, String) {
        let coordinator = Self::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let service = IngestServiceServer::new(coordinator.clone());
        let server = tonic::transport::Server::builder().add_service(service);
        // It ends with the runtime of its test.
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        (coordinator, url)
    }

    async fn until<T>(&self, what: &str, holds: impl Fn(&Taken) -> Option<T>) -> T {
        let wait = async {
            loop {
                if let Some(found) = holds(&self.0.lock().unwrap()) {
                    return found;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let found = tokio::time::timeout(PATIENCE, wait).await;
        found.unwrap_or_else(|_| panic!("{what} did not come"))
    }
}

/// A target whose gauge `running` has so many series, all of value 2.
async fn target() -> (Arc<AtomicU32>, String) {
    let count = Arc::new(AtomicU32::new(200));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/metrics", listener.local_addr().unwrap());
    let shown = Arc::clone(&count);
    let page = move || async move {
        let line = |id| format!("running{{request=\"{id}\"}} 2\n");
        let lines: String = (0..shown.load(Ordering::Relaxed)).map(line).collect();
        format!("# TYPE running gauge\n{lines}")
    };
    let app = axum::Router::new().route("/metrics", get(page));
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    (count, url)
}

/// The stand-in for the driver's library, and its story.
async fn gpus(folder: &Path, story: &str) -> (PathBuf, PathBuf) {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/nvml");
    std::fs::copy(sources.join("h100.story"), folder.join("h100.story")).unwrap();
    let file = folder.join("test.story");
    std::fs::write(&file, format!("include h100.story\n{story}\n")).unwrap();
    let library = folder.join("libnvidia-ml.so.1");
    let built = Command::new("cc")
        .args(["-std=c11", "-O1", "-shared", "-fPIC", "-pthread"])
        .args(["-Wl,-z,nodelete", "-o"])
        .arg(&library)
        .arg(sources.join("nvml_stand_in.c"))
        .status();
    assert!(built.await.unwrap().success());
    (library, file)
}

async fn agent(folder: &Path, coordinator: &str, target: &str, story: &str) -> Child {
    let (library, story) = gpus(folder, story).await;
    let config = folder.join("agent.toml");
    let text = format!(
        "agent_id = \"n1\"\ncoordinator = \"{coordinator}\"\nstate_dir = \"{}\"\n\
         collect_interval = \"500ms\"\nsync_interval = \"1s\"\nscrape = [\"{target}\"]\n\
         [collectors.gpu]\nlibrary = \"{}\"\n\
         [guard]\nseries_per_metric_max = 1_000\n[budget]\ncpu = 0.001\n",
        folder.join("state").display(),
        library.display()
    );
    std::fs::write(&config, text).unwrap();
    Command::new(env!("CARGO_BIN_EXE_vedette-agent"))
        .arg("--config")
        .arg(config)
        .env("VEDETTE_NVML_STORY", story)
        .stdin(Stdio::null())
        .stderr(std::fs::File::create(folder.join("log")).unwrap())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_times_the_series_stay_bounded_and_a_fault_is_known_within_2_seconds() {
    let folder = tempfile::tempdir().unwrap();
    let (coordinator, url) = Coordinator::start().await;
    let (count, target) = target().await;
    // The fault comes when the agent spares already, which takes three measurements.
    let agent = agent(folder.path(), &url, &target, "after 18000 xid 3 79").await;
    let whole = |taken: &Taken| (taken.of("running").len() == 200).then_some(());
    coordinator.until("the target", whole).await;
    count.store(20_000, Ordering::Relaxed);
    let grown = |taken: &Taken| {
        let running = taken.of("running");
        (running.iter().sum::<f64>() > 30_000.0).then_some(running)
    };
    let running = coordinator.until("the growth", grown).await;
    // A thousand as they are, and the sum of the others.
    assert_eq!(running.len(), 1001);
    assert!((running.iter().sum::<f64>() - 40_000.0).abs() < 1e-6);
    for kind in ["agent_throttled", "gpu_xid"] {
        let of_kind = |taken: &Taken| {
            let mut events = taken.events.iter();
            events.find(|event| event.0 == kind).map(|event| event.1)
        };
        let took = coordinator.until(kind, of_kind).await;
        assert!((0..=URGENT_MILLIS).contains(&took), "{kind} took {took} ms");
    }
    let level = |taken: &Taken| {
        let level = taken.of("vedette_agent_throttle_level");
        level.first().copied().filter(|level| *level > 0.0)
    };
    coordinator.until("the level", level).await;
    let most = coordinator.0.lock().unwrap().of("running").len();
    assert!(most <= 1001, "{most}");
    drop(agent);
}
