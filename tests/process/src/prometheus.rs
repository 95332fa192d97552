//! A Prometheus and a vmagent of the test's own, which send to coordinators; and questions by the
//! HTTP API that Prometheus and a coordinator share.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::process::Stdio;

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use crate::coordinator::get;
use crate::process::{Process, foreign};
use crate::{SOON, ask, within};

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

/// Asks an expression at a time; nothing when there is no answer.
///
/// # Panics
/// When the answer is an error or none that Prometheus would give.
pub async fn answer(address: SocketAddr, expression: &str, time_millis: i64) -> Option<Series> {
    let mut path = "/api/v1/query?query=".to_owned();
    for byte in expression.bytes() {
        write!(path, "%{byte:02X}").unwrap();
    }
    let (seconds, millis) = (time_millis / 1000, time_millis % 1000);
    write!(path, "&time={seconds}.{millis:03}").unwrap();
    let (code, body) = get(address, &path).await?;
    assert_eq!(code, 200, "{expression}: {body}");
    let answer: Value = serde_json::from_str(&body).unwrap();
    let series = answer["data"]["result"].as_array().unwrap().iter();
    let series = series.map(|series| {
        let points = series["values"].as_array().cloned();
        let points = points.unwrap_or_else(|| vec![series["value"].clone()]);
        let samples = points.iter().map(|point| {
            let time = ask::millis(point[0].as_f64().unwrap());
            (time, ask::number(&point[1]).to_bits())
        });
        (series["metric"].to_string(), samples.collect())
    });
    Some(series.collect())
}
