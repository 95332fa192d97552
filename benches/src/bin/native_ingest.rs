//! `bench-native-ingest`: what a coordinator spends on a sample that agents send, from the socket to
//! compacted chunks.
//!
//! ```text
//! cargo build --release --locked -p coordinator
//! cargo build --release --locked -p benches --bin bench-native-ingest
//! taskset -c 1 "$CARGO_TARGET_DIR"/release/bench-native-ingest --load medium.rw
//! ```
//!
//! The load is one of the bench kit's. It is packed before the clock starts; then every node is a
//! stream of its own. The coordinator runs on core 0.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use benches::footprint::process::Usage;
use benches::recorded::{Sender, senders};
use clap::Parser;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tokio_stream::wrappers::ReceiverStream;
use wire::proto;
use wire::proto::ingest_service_client::IngestServiceClient;
use wire::proto::sync_request::Message as ToCoordinator;
use wire::proto::sync_response::Message as ToAgent;

/// Batches of one stream that may wait for their acknowledgement.
const UNDER_WAY: usize = 16;
/// How long the coordinator may take to listen.
const LISTEN_WITHIN: Duration = Duration::from_secs(10);

/// Measures native ingest.
#[derive(Debug, Parser)]
#[command(name = "bench-native-ingest")]
struct Arguments {
    /// A load of the bench kit: the file that its make_load.py writes.
    #[arg(long)]
    load: PathBuf,
    /// How often an agent sends, in seconds.
    #[arg(long, default_value_t = 60)]
    sync: u32,
    /// The coordinator [default: the release build].
    #[arg(long)]
    coordinator: Option<PathBuf>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let senders = senders(&arguments.load, i64::from(arguments.sync) * 1000)?;
    let program = arguments.coordinator.unwrap_or_else(|| {
        let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
        Path::new(&target).join("release/vedette-coordinator")
    });
    let folder = tempfile::tempdir_in(program.parent().context("a program without a folder")?)?;
    let mut child = Command::new("taskset")
        .args(["-c", "0"])
        .arg(&program)
        .arg("--data-dir")
        .arg(folder.path())
        .args([
            "--grpc-listen",
            "127.0.0.1:0",
            "--http-listen",
            "127.0.0.1:0",
        ])
        .kill_on_drop(true)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .with_context(|| format!("starting {}", program.display()))?;
    let (grpc, http) = listening(&mut child, folder.path()).await?;
    let pid = child.id().context("the coordinator ended")?;
    let before = Usage::of(pid)?;
    let started = Instant::now();
    let samples: u64 = senders.iter().map(|sender| sender.samples).sum();
    let nodes = senders.len();
    let streams = senders.into_iter().map(|sender| send(grpc, sender));
    let streams: Vec<_> = streams.map(tokio::spawn).collect();
    let mut bytes = 0;
    for stream in streams {
        bytes += stream.await??;
    }
    let took = started.elapsed();
    let ingested = Usage::of(pid)?;
    post(http, "/-/compact").await?;
    let compacted = Usage::of(pid)?;
    child.kill().await?;
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    let each = |cost: f64| cost / samples as f64;
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    let bytes = bytes as f64;
    report(&[
        ("samples", format!("{samples} of {nodes} nodes")),
        ("bytes a sample in messages", format!("{:.3}", each(bytes))),
        ("wall time", format!("{:.2} s", took.as_secs_f64())),
        (
            "CPU µs a sample, until the last acknowledgement",
            format!(
                "{:.4}",
                each((ingested.cpu_seconds - before.cpu_seconds) * 1e6)
            ),
        ),
        (
            "CPU µs a sample, with the last flush and all merges",
            format!(
                "{:.4}",
                each((compacted.cpu_seconds - before.cpu_seconds) * 1e6)
            ),
        ),
        (
            "peak RSS",
            format!("{} MiB", compacted.resident_peak_kib >> 10),
        ),
    ]);
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the result")]
fn report(rows: &[(&str, String)]) {
    for (name, value) in rows {
        println!("| {name} | {value} |");
    }
}

async fn listening(child: &mut Child, folder: &Path) -> Result<(SocketAddr, SocketAddr)> {
    let deadline = Instant::now() + LISTEN_WITHIN;
    loop {
        if let Some(status) = child.try_wait()? {
            bail!("the coordinator ended with {status}");
        }
        if let Ok(told) = std::fs::read(folder.join("listen.json")) {
            let told: serde_json::Value = serde_json::from_slice(&told)?;
            let address = |name: &str| -> Result<SocketAddr> {
                Ok(told[name].as_str().context("listen.json")?.parse()?)
            };
            return Ok((address("grpc")?, address("http")?));
        }
        ensure!(Instant::now() < deadline, "the coordinator does not listen");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Sends all of one node and waits until it is durable; gives the bytes of its messages.
async fn send(grpc: SocketAddr, sender: Sender) -> Result<usize> {
    let hello = proto::Hello {
        protocol: wire::PROTOCOL,
        agent_id: sender.node,
        epoch: 1,
        version: "bench".to_owned(),
        oldest_sequence: 1,
        ..proto::Hello::default()
    };
    let definitions = proto::SeriesDefinitions {
        families: Vec::new(),
        first_ref: 0,
        list: sender.definitions.into(),
    };
    let mut bytes = definitions.list.len();
    let last = sender.batches.last().map_or(0, |batch| batch.sequence);
    let (requests, queue) = mpsc::channel(UNDER_WAY);
    let message = |message| proto::SyncRequest {
        message: Some(message),
    };
    requests.send(message(ToCoordinator::Hello(hello))).await?;
    let defined = message(ToCoordinator::Definitions(definitions));
    requests.send(defined).await?;
    let mut client = IngestServiceClient::connect(format!("http://{grpc}")).await?;
    let mut answers = client.sync(ReceiverStream::new(queue)).await?.into_inner();
    let mut batches = sender.batches.into_iter();
    let (mut sent, mut durable) = (0, 0);
    while durable < last {
        while sent < durable + UNDER_WAY as u64
            && let Some(batch) = batches.next()
        {
            sent = batch.sequence;
            let blocks = batch.blocks.iter();
            // About what protobuf makes of it: the numbers of series are one or two bytes each.
            bytes += blocks
                .map(|block| block.columns.len() + 2 * block.series_refs.len())
                .sum::<usize>();
            requests.send(message(ToCoordinator::Batch(batch))).await?;
        }
        let answer = answers.message().await?.context("the stream ended")?;
        match answer.message {
            Some(ToAgent::Acknowledgement(it)) => durable = it.through_sequence,
            Some(ToAgent::Refusal(refusal)) => bail!("refused: {refusal:?}"),
            _ => {}
        }
    }
    Ok(bytes)
}

async fn post(http: SocketAddr, path: &str) -> Result<()> {
    let mut stream = TcpStream::connect(http).await?;
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: {http}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    ensure!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    Ok(())
}
