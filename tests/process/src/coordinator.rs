//! A coordinator of the test's own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::process::{Process, command};
use crate::{SOON, within};

/// A coordinator: its folder, and its process while it runs. It keeps its ports over restarts.
#[derive(Debug)]
pub struct Coordinator {
    folder: TempDir,
    /// Where gRPC listens.
    pub grpc: SocketAddr,
    /// Where HTTP listens.
    pub http: SocketAddr,
    process: Option<Process>,
    starts: u32,
    /// Whether it speaks TLS.
    secure: bool,
}

impl Coordinator {
    /// Starts one with this configuration (TOML), on free ports, and waits until it is ready.
    ///
    /// # Panics
    /// When it does not become ready.
    pub async fn start(config: &str) -> Self {
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut coordinator = Self {
            folder: tempfile::tempdir().unwrap(),
            grpc: free,
            http: free,
            process: None,
            starts: 0,
            secure: config.contains("[tls]"),
        };
        coordinator.configure(config);
        coordinator.restart().await;
        coordinator
    }

    /// The URL for agents and the command line.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        format!("{scheme}://{}", self.grpc)
    }

    /// Its data folder.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Its configuration file.
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        self.folder.path().join("coordinator.toml")
    }

    /// Writes another configuration file.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn configure(&self, config: &str) {
        std::fs::write(self.config_file(), config).unwrap();
    }

    /// The arguments it is started with.
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        let path = |path: &Path| path.display().to_string();
        vec![
            "--config".to_owned(),
            path(&self.config_file()),
            "--data-dir".to_owned(),
            path(&self.data_dir()),
            "--grpc-listen".to_owned(),
            self.grpc.to_string(),
            "--http-listen".to_owned(),
            self.http.to_string(),
        ]
    }

    /// Starts it again, on the same ports, and waits until it is ready. A port may be taken for a
    /// moment by a client's connection; then it is tried again.
    ///
    /// # Panics
    /// When it runs, or does not become ready.
    pub async fn restart(&mut self) {
        assert!(self.process.is_none(), "the coordinator runs");
        let deadline = tokio::time::Instant::now() + SOON;
        loop {
            self.starts += 1;
            let told = self.data_dir().join("listen.json");
            drop(std::fs::remove_file(&told));
            let log = self.folder.path().join(format!("log.{}", self.starts));
            let command = command("vedette-coordinator", &self.arguments());
            let mut process = Process::start("vedette-coordinator", command, &log);
            while tokio::time::Instant::now() < deadline {
                if process.ended().is_some() {
                    break;
                }
                if let Some((grpc, http)) = read_listen(&told)
                    // The ports are told when they are served.
                    && (self.secure
                        || get(http, "/-/ready")
                            .await
                            .is_some_and(|(code, _)| code == 200))
                {
                    (self.grpc, self.http) = (grpc, http);
                    self.process = Some(process);
                    return;
                }
                tokio::time::sleep(crate::LOOK_EVERY).await;
            }
            let said = process.log();
            assert!(
                process.ended().is_some() && said.contains("is it in use?"),
                "the coordinator did not become ready: {said}"
            );
            tokio::time::sleep(crate::LOOK_EVERY).await;
        }
    }

    fn process(&self) -> &Process {
        self.process
            .as_ref()
            .unwrap_or_else(|| panic!("the coordinator does not run"))
    }

    fn take(&mut self) -> Process {
        self.process
            .take()
            .unwrap_or_else(|| panic!("the coordinator does not run"))
    }

    /// What the present process logged, for a message of failure.
    #[must_use]
    pub fn log(&self) -> String {
        self.process().log()
    }

    /// Ends it by SIGKILL.
    pub async fn kill(&mut self) {
        self.take().kill().await;
    }

    /// Ends it by SIGTERM and gives its exit code.
    pub async fn terminate(&mut self) -> Option<i32> {
        self.take().terminate().await
    }

    /// Has it read its configuration again.
    pub fn reload(&self) {
        self.process().signal(Signal::HUP);
    }

    /// One of its own metrics, by name and labels as the page writes them.
    ///
    /// # Panics
    /// When the page cannot be read.
    pub async fn metric(&self, name: &str) -> Option<f64> {
        let (code, page) = get(self.http, "/metrics").await.unwrap();
        assert_eq!(code, 200, "{page}");
        page.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
    }

    /// The sum of a metric over all its labels; none while there is no such metric.
    ///
    /// # Panics
    /// When there is no page, or a value is no number.
    pub async fn metric_sum(&self, name: &str) -> Option<f64> {
        let (code, page) = get(self.http, "/metrics").await.unwrap();
        assert_eq!(code, 200, "{page}");
        let of_name = |line: &&str| {
            line.strip_prefix(name)
                .is_some_and(|it| it.starts_with('{'))
        };
        let values = page.lines().filter(of_name);
        let values = values.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap());
        values.reduce(|sum, value| sum + value)
    }

    /// Waits until a metric is at least `least`.
    ///
    /// # Panics
    /// When it does not get there.
    pub async fn metric_reaches(&self, name: &str, least: f64) {
        within(SOON, &format!("{name} ≥ {least}"), || async {
            self.metric(name).await.filter(|value| *value >= least)
        })
        .await;
    }
}

fn read_listen(path: &Path) -> Option<(SocketAddr, SocketAddr)> {
    let told: serde_json::Value = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
    let address = |name| told[name].as_str()?.parse().ok();
    Some((address("grpc")?, address("http")?))
}

/// The status and body of a page; nothing when there is no answer. It is asked by HTTP 1.0, so that
/// no answer comes in pieces with their lengths between them.
pub async fn get(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    ask(address, &format!("GET {path}"), "", "").await
}

/// The same after a form was sent.
pub async fn post(address: SocketAddr, path: &str, form: &str) -> Option<(u16, String)> {
    let head = format!(
        "content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n",
        form.len()
    );
    ask(address, &format!("POST {path}"), &head, form).await
}

async fn ask(address: SocketAddr, what: &str, head: &str, body: &str) -> Option<(u16, String)> {
    let connection = TcpStream::connect(address).await.ok()?;
    ask_over(connection, address, what, head, body).await
}

/// The status and body of a page, over a connection that stands.
pub async fn ask_over(
    mut connection: impl AsyncRead + AsyncWrite + Unpin,
    address: SocketAddr,
    what: &str,
    head: &str,
    body: &str,
) -> Option<(u16, String)> {
    let request =
        format!("{what} HTTP/1.0\r\nhost: {address}\r\nconnection: close\r\n{head}\r\n{body}");
    connection.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let code = head.split(' ').nth(1)?.parse().ok()?;
    Some((code, body.to_owned()))
}
