//! A Prometheus and a vmagent of the test's own, which send to coordinators; and questions by the
//! HTTP API that Prometheus and a coordinator share.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::process::Stdio;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::coordinator::get;
use crate::process::{Process, foreign};
use crate::{SOON, within};

/// The samples of each series: the bits of their values by their times in milliseconds.
pub type Series = BTreeMap<String, BTreeMap<i64, u64>>;

/// A program of others in a folder of its own.
fn start(name: &str, config: &str, arguments: &[String]) -> Option<(TempDir, Process)> {
    let program = foreign(name)?;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.yml"), config).unwrap();
    let mut command = Command::new(program);
    command
        .args(arguments)
        .current_dir(folder.path())
        .env_clear()
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let process = Process::start(name, command, &folder.path().join("log"));
    Some((folder, process))
}

/// A Prometheus.
#[derive(Debug)]
pub struct Prometheus {
    _folder: TempDir,
    process: Process,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Prometheus {
    /// Starts one with this configuration (YAML) and waits until it is ready; nothing when there is
    /// no `prometheus` on the PATH. It takes remote writes too.
    pub async fn start(config: &str) -> Option<Self> {
        let arguments = [
            "--config.file=config.yml",
            "--storage.tsdb.path=data",
            "--web.listen-address=127.0.0.1:0",
            "--web.enable-remote-write-receiver",
        ];
        let (folder, process) = start("prometheus", config, &arguments.map(str::to_owned))?;
        let address = within(SOON, "the port of Prometheus", || async {
            let log = process.log();
            let (_, told) = log.split_once("msg=\"Listening on\" address=")?;
            told.split_once('\n')?.0.trim().parse().ok()
        });
        let address = address.await;
        within(SOON, "Prometheus to be ready", || async {
            get(address, "/-/ready")
                .await
                .filter(|(code, _)| *code == 200)
        })
        .await;
        Some(Self {
            _folder: folder,
            process,
            address,
        })
    }

    /// The sum of one of its own metrics over all labels.
    ///
    /// # Panics
    /// When the page cannot be read.
    pub async fn metric(&self, name: &str) -> f64 {
        let (code, page) = get(self.address, "/metrics").await.unwrap();
        assert_eq!(code, 200, "{page}");
        let values = page.lines().filter_map(|line| {
            let labels = line.strip_prefix(name)?;
            let is_whole = labels.starts_with(['{', ' ']);
            let value = labels.rsplit_once(' ')?.1;
            is_whole.then(|| value.parse::<f64>().unwrap())
        });
        values.sum()
    }

    /// What it logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Ends it by SIGTERM.
    pub async fn terminate(self) {
        self.process.terminate().await;
    }
}

/// An Alertmanager.
#[derive(Debug)]
pub struct Alertmanager {
    _folder: TempDir,
    _process: Process,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Alertmanager {
    /// Starts one with this configuration (YAML) and waits until it is ready; nothing when there is no
    /// `prometheus-alertmanager` on the PATH that runs.
    ///
    /// # Panics
    /// When no port can be had.
    pub async fn start(config: &str) -> Option<Self> {
        // It does not say which port it has, so it gets one that was free a moment ago.
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let arguments = [
            "--config.file=config.yml".to_owned(),
            "--storage.path=data".to_owned(),
            "--cluster.listen-address=".to_owned(),
            format!("--web.listen-address={address}"),
        ];
        let (folder, mut process) = start("prometheus-alertmanager", config, &arguments)?;
        loop {
            let ready = get(address, "/-/ready").await;
            if ready.is_some_and(|(code, _)| code == 200) {
                return Some(Self {
                    _folder: folder,
                    _process: process,
                    address,
                });
            }
            // Debian's wants its templates where the package has them, not only unpacked.
            if process.ended().is_some() {
                return None;
            }
            tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        }
    }
}

/// A vmagent.
#[derive(Debug)]
pub struct VmAgent {
    _folder: TempDir,
    process: Process,
}

impl VmAgent {
    /// Starts one that scrapes what this configuration (YAML) says and writes to each of these URLs;
    /// nothing when there is no `vmagent` on the PATH. What it writes to is as it is by itself.
    #[must_use]
    pub fn start(config: &str, urls: &[String]) -> Option<Self> {
        let mut arguments = [
            "-promscrape.config=config.yml",
            "-httpListenAddr=127.0.0.1:0",
            "-remoteWrite.tmpDataPath=data",
            "-remoteWrite.flushInterval=200ms",
            // Prometheus takes no sample that is older than one it has.
            "-remoteWrite.queues=1",
        ]
        .map(str::to_owned)
        .to_vec();
        arguments.extend(urls.iter().map(|url| format!("-remoteWrite.url={url}")));
        let (folder, process) = start("vmagent", config, &arguments)?;
        Some(Self {
            _folder: folder,
            process,
        })
    }

    /// What it logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Ends it by SIGTERM, when it sends what it has, and gives its exit code.
    pub async fn terminate(self) -> Option<i32> {
        self.process.terminate().await
    }
}

/// When an expression is asked, in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug)]
pub enum When {
    /// At one time.
    At(i64),
    /// From a time to another, both included.
    Range {
        /// The first time.
        start: i64,
        /// No time is later.
        end: i64,
        /// Milliseconds from one time to the next.
        step: i64,
    },
}

/// Milliseconds as the API takes seconds.
fn seconds(millis: i64) -> String {
    format!("{}.{:03}", millis / 1000, millis % 1000)
}

/// Asks an expression and gives the status of the answer and its JSON; nothing when there is none.
///
/// # Panics
/// When the answer is no JSON.
pub async fn ask(address: SocketAddr, expression: &str, when: When) -> Option<(u16, Value)> {
    let (page, times) = match when {
        When::At(time) => ("query", format!("time={}", seconds(time))),
        When::Range { start, end, step } => {
            let [start, end, step] = [start, end, step].map(seconds);
            (
                "query_range",
                format!("start={start}&end={end}&step={step}"),
            )
        }
    };
    page_about(address, &format!("{page}?{times}&"), expression).await
}

/// Asks for an expression as it is to be read by people; nothing when it cannot be read, or when there
/// is no answer.
///
/// # Panics
/// When the answer is no JSON.
pub async fn formatted(address: SocketAddr, expression: &str) -> Option<String> {
    let (_, answer) = page_about(address, "format_query?", expression).await?;
    answer["data"].as_str().map(str::to_owned)
}

async fn page_about(address: SocketAddr, page: &str, expression: &str) -> Option<(u16, Value)> {
    let mut path = format!("/api/v1/{page}query=");
    for byte in expression.bytes() {
        write!(path, "%{byte:02X}").unwrap();
    }
    let (code, body) = get(address, &path).await?;
    let answer = serde_json::from_str(&body);
    let answer = answer.unwrap_or_else(|error| panic!("{expression}: {error}: {body}"));
    Some((code, answer))
}

/// Asks an expression at a time; nothing when there is no answer.
///
/// # Panics
/// When the answer is an error or none that Prometheus would give.
pub async fn answer(address: SocketAddr, expression: &str, time_millis: i64) -> Option<Series> {
    let (code, answer) = ask(address, expression, When::At(time_millis)).await?;
    assert_eq!(code, 200, "{expression}: {answer}");
    let series = answer["data"]["result"].as_array().unwrap().iter();
    let series = series.map(|series| {
        let points = series["values"].as_array().cloned();
        let points = points.unwrap_or_else(|| vec![series["value"].clone()]);
        let samples = points.iter().map(|point| {
            let time = crate::ask::millis(point[0].as_f64().unwrap());
            (time, crate::ask::number(&point[1]).to_bits())
        });
        (series["metric"].to_string(), samples.collect())
    });
    Some(series.collect())
}

/// Sends a remote write (version 1.0, a snappy block) and gives the status and text of the answer.
///
/// # Panics
/// When there is no answer.
pub async fn write(address: SocketAddr, body: &[u8]) -> (u16, String) {
    let mut connection = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /api/v1/write HTTP/1.0\r\nhost: {address}\r\nconnection: close\r\n\
         content-type: application/x-protobuf\r\ncontent-encoding: snappy\r\n\
         x-prometheus-remote-write-version: 0.1.0\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    connection.write_all(body).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    let (head, text) = answer.split_once("\r\n\r\n").unwrap();
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    (code.unwrap_or_default(), text.to_owned())
}
