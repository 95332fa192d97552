//! A coordinator in this process with one agent's data, and the barest HTTP client there is, which
//! shows what really goes over the wire.

use std::collections::BTreeMap;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use coordinator::Config;
use coordinator::run::{Running, start};
use daemon::clock::{Clock, SharedClock};
use daemon::shutdown::Shutdown;
use daemon::units::HumanDuration;
use series::{Block, Column, Labels, MetricKind, Rows};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use wire::proto;
use wire::proto::ingest_service_client::IngestServiceClient;
use wire::proto::sync_request::Message as ToCoordinator;
use wire::proto::sync_response::Message as ToAgent;

/// The time on the coordinator's clock: 2023-11-14T22:13:20Z.
pub(super) const NOW_MILLIS: i64 = 1_700_000_000_000;

/// A clock that stands until it is moved.
#[derive(Debug)]
struct Standing {
    now_millis: AtomicI64,
}

impl Clock for Standing {
    fn wall_millis(&self) -> i64 {
        self.now_millis.load(Ordering::Relaxed)
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

/// A coordinator that runs, and an agent that is connected to it.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) running: Running,
    clock: Arc<Standing>,
    shutdown: Shutdown,
    agent: mpsc::Sender<proto::SyncRequest>,
    folder: TempDir,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) code: u16,
    pub(super) headers: BTreeMap<String, Vec<String>>,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// The values of a header in one line.
    pub(super) fn header(&self, name: &str) -> String {
        self.headers
            .get(name)
            .map_or(String::new(), |values| values.join(", "))
    }

    /// The body as text, unpacked if it is packed.
    pub(super) fn text(&self) -> String {
        if self.header("content-encoding") == "gzip" {
            let mut text = String::new();
            let mut decoder = flate2::read::GzDecoder::new(self.body.as_slice());
            decoder.read_to_string(&mut text).unwrap();
            return text;
        }
        String::from_utf8(self.body.clone()).unwrap()
    }
}

impl Server {
    /// One with the default limits.
    pub(super) async fn start() -> Self {
        Self::start_with(|_| ()).await
    }

    /// One with other limits.
    pub(super) async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), NOW_MILLIS, change).await
    }

    /// Ends it and starts it again at another time, with the data that it has and the same once more,
    /// of that time.
    pub(super) async fn restart_at(self, now_millis: i64) -> Self {
        let Self {
            running,
            shutdown,
            agent,
            folder,
            clock: _,
        } = self;
        drop(agent);
        shutdown.join(Duration::from_secs(20)).await.unwrap();
        drop(running);
        Self::start_in(folder, now_millis, |_| ()).await
    }

    async fn start_in(folder: TempDir, now_millis: i64, change: impl FnOnce(&mut Config)) -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut config = Config {
            data_dir: folder.path().to_owned(),
            grpc_listen: any,
            http_listen: any,
            ..Config::default()
        };
        config.store.retention = HumanDuration::from_secs(7 * 86_400);
        change(&mut config);
        let shutdown = Shutdown::new();
        let clock = Arc::new(Standing {
            now_millis: AtomicI64::new(now_millis),
        });
        let shared: SharedClock = Arc::<Standing>::clone(&clock);
        let running = start(config, shared, &shutdown).await.unwrap();
        let agent = feed(running.grpc, now_millis).await;
        Self {
            running,
            clock,
            shutdown,
            agent,
            folder,
        }
    }

    /// Moves its clock.
    pub(super) fn advance(&self, millis: i64) {
        self.clock.now_millis.fetch_add(millis, Ordering::Relaxed);
    }

    /// Where it listens, as clients want it.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.running.http)
    }

    /// Asks by GET.
    pub(super) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, "", "").await
    }

    /// Asks by POST with a form.
    pub(super) async fn post(&self, path: &str, form: &str) -> Answer {
        let kind = "Content-Type: application/x-www-form-urlencoded; charset=utf-8\r\n";
        self.send("POST", path, kind, form).await
    }

    /// Asks on a connection of its own; each line of `headers` ends in CR LF.
    pub(super) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &str,
        body: impl AsRef<[u8]>,
    ) -> Answer {
        let mut stream = TcpStream::connect(self.running.http).await.unwrap();
        let body = body.as_ref();
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
             Content-Length: {length}\r\n{headers}\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        // A server that refuses a body may close before it has read all of it.
        drop(stream.write_all(body).await);
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        let end = bytes.windows(4).position(|at| at == b"\r\n\r\n").unwrap();
        let body = bytes.split_off(end + 4);
        let head = String::from_utf8(bytes).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let code = lines.next().unwrap().split(' ').nth(1).unwrap();
        let mut headers: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for line in lines {
            let (name, value) = line.split_once(": ").unwrap();
            let values = headers.entry(name.to_ascii_lowercase()).or_default();
            values.push(value.to_owned());
        }
        Answer {
            code: code.parse().unwrap(),
            headers,
            body,
        }
    }

    /// Ends the agent's stream and waits until the coordinator has seen it.
    pub(super) async fn disconnect(&mut self) {
        let (gone, _) = mpsc::channel(1);
        self.agent = gone;
        while self.running.metrics.streams.get() != Some(0.0) {
            tokio::task::yield_now().await;
        }
    }

    /// Ends it; what it started must end too.
    pub(super) async fn end(self) {
        drop(self.agent);
        self.shutdown.join(Duration::from_secs(20)).await.unwrap();
    }
}

/// Series and their values at 60 s, 30 s and 0 s before now.
fn data() -> Vec<(Labels, MetricKind, [f64; 3])> {
    use MetricKind::{Counter, Gauge, Histogram, Summary};
    let series = |name: &str, labels: &[(&str, &str)], kind, values| {
        let labels = [labels, &[("node", "n1")]].concat();
        (Labels::with_name(name, &labels).unwrap(), kind, values)
    };
    let odd = |kind: &str, value: f64| series("odd", &[("kind", kind)], Gauge, [0.0, 1.0, value]);
    let part = |name: &str, label, values| series(name, &[label], Histogram, values);
    let summary = |name: &str, label, values| series(name, &[label], Summary, values);
    vec![
        series(
            "up",
            &[("job", "vllm"), ("instance", "a:1")],
            Gauge,
            [1.0, 1.0, 1.0],
        ),
        series(
            "up",
            &[("job", "node"), ("instance", "b:1")],
            Gauge,
            [1.0, 0.0, 1.0],
        ),
        series(
            "requests_total",
            &[("code", "200")],
            Counter,
            [10.0, 20.0, 30.5],
        ),
        odd("nan", f64::NAN),
        odd("inf", f64::INFINITY),
        odd("-inf", f64::NEG_INFINITY),
        odd("tiny", -1.5e-7),
        odd("huge", 1e21),
        odd("say \"hi\"\n\\", 0.1),
        part("wait_seconds_bucket", ("le", "0.1"), [1.0, 2.0, 3.0]),
        part("wait_seconds_bucket", ("le", "+Inf"), [2.0, 4.0, 6.0]),
        part("wait_seconds_sum", ("le", ""), [0.3, 0.6, 0.9]),
        part("wait_seconds_count", ("le", ""), [2.0, 4.0, 6.0]),
        summary("size_bytes", ("quantile", "0.5"), [7.0, 7.0, 7.0]),
        summary("size_bytes_sum", ("quantile", ""), [70.0, 140.0, 210.0]),
        summary("size_bytes_count", ("quantile", ""), [10.0, 20.0, 30.0]),
    ]
}

/// Sends the data as an agent does and returns when it is durable. The stream stays open.
async fn feed(grpc: SocketAddr, now_millis: i64) -> mpsc::Sender<proto::SyncRequest> {
    let data = data();
    let (labels, kinds): (Vec<_>, Vec<_>) = data
        .iter()
        .map(|(labels, kind, _)| (labels.clone(), *kind))
        .unzip();
    let mut list = Vec::new();
    codec::encode_labels_list(&labels, &kinds, &mut list);
    let column = |values: &[f64; 3]| Column {
        rows: Rows::All,
        values: values[..].into(),
    };
    let block = Block {
        times: vec![now_millis - 60_000, now_millis - 30_000, now_millis],
        columns: data.iter().map(|(_, _, values)| column(values)).collect(),
    };
    let mut columns = Vec::new();
    codec::encode_block(&block, &mut columns);
    let hello = proto::Hello {
        protocol: wire::PROTOCOL,
        agent_id: "n1".to_owned(),
        epoch: now_millis.unsigned_abs(),
        labels: [("region".to_owned(), "eu".to_owned())].into(),
        version: "test".to_owned(),
        wall_millis: now_millis,
        oldest_sequence: 1,
        ..proto::Hello::default()
    };
    let definitions = proto::SeriesDefinitions {
        families: vec![proto::MetricFamily {
            name: "wait_seconds".to_owned(),
            help: "How long requests \"wait\".".to_owned(),
            unit: "seconds".to_owned(),
        }],
        first_ref: 0,
        list: list.into(),
    };
    let batch = proto::Batch {
        sequence: 1,
        blocks: vec![proto::Block {
            series_refs: (0..u32::try_from(data.len()).unwrap()).collect(),
            columns: columns.into(),
        }],
        ..proto::Batch::default()
    };
    let (sender, requests) = mpsc::channel(8);
    for message in [
        ToCoordinator::Hello(hello),
        ToCoordinator::Definitions(definitions),
        ToCoordinator::Batch(batch),
    ] {
        let message = Some(message);
        sender.send(proto::SyncRequest { message }).await.unwrap();
    }
    let mut client = IngestServiceClient::connect(format!("http://{grpc}"))
        .await
        .unwrap();
    let answers = client.sync(ReceiverStream::new(requests)).await.unwrap();
    let mut answers = answers.into_inner();
    while let Some(answer) = answers.message().await.unwrap() {
        if let Some(ToAgent::Acknowledgement(_)) = answer.message {
            // Held open by a task: dropping the answers would end the stream.
            tokio::spawn(async move { while let Ok(Some(_)) = answers.message().await {} });
            return sender;
        }
    }
    panic!("the coordinator ended the stream");
}
