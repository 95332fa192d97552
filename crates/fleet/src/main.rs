//! `vedette-fleet`: simulated inference servers behind real HTTP.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use clap::Parser;
use fleet::node::{Node, Settings};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Simulated vLLM servers for demos, load and tests.
///
/// Each node serves `/metrics` (a vLLM server), `/gpu/metrics` (a DCGM exporter) and `/health`.
#[derive(Debug, Parser)]
#[command(name = "vedette-fleet", version)]
struct Args {
    /// How many nodes.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=2000))]
    nodes: u16,
    /// Address of the first node; the others take the ports that follow. With port 0 each node
    /// takes a free port.
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// The same seed gives the same requests.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many times the usual load arrives; from about 1.5 on, servers are overloaded.
    #[arg(long, default_value_t = 1.0, value_parser = positive)]
    load: f64,
    /// GPUs in each node.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(0..=16))]
    gpus: u16,
    /// Seconds that the servers have been at work before the first question.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(0..=86_400))]
    warm_up: u32,
    /// Write the nodes to this file too, as Prometheus reads them (`file_sd_configs`).
    #[arg(long, value_name = "FILE")]
    targets_file: Option<PathBuf>,
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value <= 100.0 => Ok(value),
        _ => Err("write a number above 0, at most 100".to_owned()),
    }
}

/// How far the simulation is: its beginning and a clock that only goes forward.
#[derive(Clone, Copy, Debug)]
struct Clock {
    started: Instant,
    warm_up_seconds: f64,
}

impl Clock {
    fn seconds(&self) -> f64 {
        self.warm_up_seconds + self.started.elapsed().as_secs_f64()
    }
}

/// One node as its HTTP server holds it.
#[derive(Clone)]
struct Served {
    node: Arc<Mutex<Node>>,
    clock: Clock,
}

impl Served {
    /// Brings the node up to now and asks it something.
    fn at_now<T>(&self, ask: impl FnOnce(&Node) -> T) -> T {
        // A node is never left half changed, so one that a panic let go is still good.
        let mut node = self.node.lock().unwrap_or_else(PoisonError::into_inner);
        node.advance(self.clock.seconds());
        ask(&node)
    }
}

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

async fn vllm(State(served): State<Served>) -> impl IntoResponse {
    ([(CONTENT_TYPE, TEXT)], served.at_now(Node::vllm_page))
}

async fn dcgm(State(served): State<Served>) -> impl IntoResponse {
    ([(CONTENT_TYPE, TEXT)], served.at_now(Node::dcgm_page))
}

fn router(served: Served) -> Router {
    Router::new()
        .route("/metrics", get(vllm))
        .route("/gpu/metrics", get(dcgm))
        .route("/health", get(|| async {}))
        .with_state(served)
}

/// The address of the node with this index.
fn address(first: SocketAddr, index: u16) -> anyhow::Result<SocketAddr> {
    if first.port() == 0 {
        return Ok(first);
    }
    let port = first.port().checked_add(index).with_context(|| {
        format!(
            "there is no port left for node {}: choose a lower first port",
            index + 1
        )
    })?;
    Ok(SocketAddr::new(first.ip(), port))
}

/// The nodes as Prometheus' file-based discovery reads them.
fn targets(nodes: &[(String, SocketAddr)]) -> serde_json::Value {
    let entry = |name: &String, address: &SocketAddr, job: &str, path: &str| {
        serde_json::json!({
            "targets": [address.to_string()],
            "labels": {"job": job, "node": name, "__metrics_path__": path},
        })
    };
    nodes
        .iter()
        .flat_map(|(name, address)| {
            [
                entry(name, address, "vllm", "/metrics"),
                entry(name, address, "dcgm", "/gpu/metrics"),
            ]
        })
        .collect()
}

/// Writes the whole file beside its place and moves it there, so that nobody reads half of it.
fn write_targets(path: &Path, nodes: &[(String, SocketAddr)]) -> anyhow::Result<()> {
    let partial = path.with_extension("partial");
    let text = serde_json::to_vec_pretty(&targets(nodes))?;
    std::fs::write(&partial, text).with_context(|| format!("writing {}", partial.display()))?;
    std::fs::rename(&partial, path).with_context(|| format!("writing {}", path.display()))
}

fn announce(nodes: &[(String, SocketAddr)]) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    for (name, address) in nodes {
        writeln!(out, "node={name} url=http://{address}/metrics")?;
    }
    out.flush()
}

/// Ends when the process is asked to stop.
async fn stop_asked() -> std::io::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        got = tokio::signal::ctrl_c() => got,
        _ = terminate.recv() => Ok(()),
    }
}

/// Keeps the nodes near now, so that no question has hours to catch up on.
async fn keep_up(fleet: Vec<Served>, stop: CancellationToken) {
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    while stop.run_until_cancelled(tick.tick()).await.is_some() {
        for served in &fleet {
            served.at_now(|_| ());
            // A round over a large fleet must not hold up who asks.
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let warm_up_seconds = f64::from(args.warm_up);
    let unix_seconds = std::time::UNIX_EPOCH
        .elapsed()
        .context("the machine's clock is before 1970")?
        .as_secs_f64();
    let settings = Settings {
        seed: args.seed,
        load: args.load,
        gpus: usize::from(args.gpus),
        unix_seconds: unix_seconds - warm_up_seconds,
    };
    let clock = Clock {
        started: Instant::now(),
        warm_up_seconds,
    };
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    let mut nodes = Vec::new();
    let mut fleet = Vec::new();
    for index in 0..args.nodes {
        let node = Node::new(usize::from(index), &settings);
        let address = address(args.listen, index)?;
        let listener = TcpListener::bind(address).await.with_context(|| {
            format!(
                "cannot listen on {address} for {}: is the port taken?",
                node.name()
            )
        })?;
        nodes.push((node.name().to_owned(), listener.local_addr()?));
        let served = Served {
            node: Arc::new(Mutex::new(node)),
            clock,
        };
        served.at_now(|_| ());
        fleet.push(served.clone());
        let server = axum::serve(listener, router(served))
            .with_graceful_shutdown(stop.clone().cancelled_owned());
        tasks.spawn(async move { server.await });
    }
    if let Some(path) = &args.targets_file {
        write_targets(path, &nodes)?;
    }
    announce(&nodes).context("writing the list of nodes")?;
    let keeper = tokio::spawn(keep_up(fleet, stop.clone()));
    stop_asked().await.context("waiting for a signal")?;
    stop.cancel();
    // Connections that are kept open by the other side must not keep the process.
    let ended = tokio::time::timeout(Duration::from_secs(3), async {
        while let Some(server) = tasks.join_next().await {
            server.context("a server panicked")?.context("serving")?;
        }
        keeper.await.context("the task that keeps time panicked")
    });
    ended.await.unwrap_or(Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_follow_the_first_and_end_at_the_last() {
        let first: SocketAddr = "127.0.0.1:65534".parse().unwrap();
        assert_eq!(address(first, 1).unwrap().port(), 65535);
        assert!(address(first, 2).is_err());
        assert_eq!(
            address("127.0.0.1:0".parse().unwrap(), 7).unwrap().port(),
            0
        );
    }

    #[test]
    fn the_targets_file_is_what_prometheus_reads() {
        let nodes = [("sim-1".to_owned(), "127.0.0.1:9001".parse().unwrap())];
        expect_test::expect![[r#"[{"labels":{"__metrics_path__":"/metrics","job":"vllm","node":"sim-1"},"targets":["127.0.0.1:9001"]},{"labels":{"__metrics_path__":"/gpu/metrics","job":"dcgm","node":"sim-1"},"targets":["127.0.0.1:9001"]}]"#]]
        .assert_eq(&targets(&nodes).to_string());
    }

    #[test]
    fn a_load_must_be_a_positive_number() {
        assert!(positive("0").is_err());
        assert!(positive("nan").is_err());
        assert_eq!(positive("1.5"), Ok(1.5));
    }
}
