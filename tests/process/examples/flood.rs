//! One agent that has a hundred times as much to say as before, and fifty that go on as they did.
//!
//! What is measured is what the one does to the others by way of the coordinator. Its node is another
//! machine, so what is of that node (its agent, its target, the client that keeps to no budget) gets the last
//! processor, and the coordinator and the fifty share the rest, in the flood and before.
//!
//! A measurement of five minutes, run by `make bench-flood`.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "it measures, prints, and ends when something is not as it should be"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use process_tests::agent::Agent;
use process_tests::ask::{channel, events, node};
use process_tests::coordinator::Coordinator;
use process_tests::gpus::Gpus;
use process_tests::lane::{Stream, batch, definitions, hello};
use process_tests::{SOON, now_millis, within};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use tokio::runtime::{Builder, Handle};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until};
use tonic::transport::Channel;
use wire::proto::sync_response::Message as Answer;

const OTHERS: u64 = 50;
const OTHERS_SERIES: u32 = 500;
/// How long before and in the flood the others are measured, and how long the flood has to settle: three
/// measurements for each level of the agent's budget.
const MEASURED: Duration = Duration::from_secs(30);
const SETTLES: Duration = Duration::from_secs(120);
const FEW: u64 = 200;
const MANY: u64 = 100 * FEW;
/// Caps of the agent: those of its defaults.
const CPU_MAX: f64 = 0.5;
const RSS_MAX: f64 = 256.0;
const BYTES_A_MINUTE_MAX: f64 = 16.0 * 1024.0 * 1024.0;

async fn page(State(series): State<Arc<AtomicU64>>) -> String {
    let now = now_millis();
    let lines = (0..series.load(Ordering::Relaxed)).map(|id| {
        let value = id.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ now.unsigned_abs();
        format!("flooding{{id=\"{id}\"}} {}\n", value % 1_000_003)
    });
    std::iter::once("# TYPE flooding gauge\n".to_owned())
        .chain(lines)
        .collect()
}

/// An agent that sends a batch each second, and how long each took to be acknowledged.
async fn other(way: Channel, number: u64, took: mpsc::UnboundedSender<Duration>) {
    let (mut stream, _) = Stream::welcomed(&way, hello(&format!("other-{number}"))).await;
    stream.say(definitions(0, OTHERS_SERIES)).await;
    let all: Vec<u32> = (0..OTHERS_SERIES).collect();
    let mut next = Instant::now() + Duration::from_millis(number * 20);
    for sequence in 1.. {
        sleep_until(next).await;
        next += Duration::from_secs(1);
        let began = Instant::now();
        stream.say(batch(sequence, &all, now_millis())).await;
        loop {
            match stream.answer().await {
                Ok(Answer::Acknowledgement(_)) => break,
                Ok(_) => {}
                Err(status) => panic!("other {number}: {status}"),
            }
        }
        if took.send(began.elapsed()).is_err() {
            return;
        }
    }
}

/// Somebody who keeps to no budget: as much as is acknowledged, at once. The coordinator's quota is all
/// that holds it.
async fn greedy(coordinator: Arc<Coordinator>) {
    let way = channel(&coordinator);
    let (mut stream, _) = Stream::welcomed(&way, hello("greedy")).await;
    let all: Vec<u32> = (0..10_000).collect();
    stream.say(definitions(0, 10_000)).await;
    for sequence in 1.. {
        stream.say(batch(sequence, &all, now_millis())).await;
        if stream.answer().await.is_err() {
            return;
        }
    }
}

/// The median and the 99th percentile of what comes in so long, in milliseconds.
async fn measure(took: &mut mpsc::UnboundedReceiver<Duration>, long: Duration) -> (f64, f64) {
    while took.try_recv().is_ok() {}
    sleep(long).await;
    let mut all = Vec::new();
    while let Ok(one) = took.try_recv() {
        all.push(one.as_secs_f64() * 1e3);
    }
    all.sort_by(f64::total_cmp);
    assert!(all.len() as u64 >= OTHERS * 20, "{} batches", all.len());
    (all[all.len() / 2], all[all.len() * 99 / 100])
}

/// Seconds of CPU so far, and MiB in memory.
fn used(pid: u32) -> (f64, f64) {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    let pages: f64 = fields[21].parse().unwrap();
    (ticks / 100.0, pages * 4096.0 / f64::from(1 << 20))
}

/// The processors of this process but the last, and the last; none where there is but one.
fn processors() -> Option<(CpuSet, CpuSet)> {
    let mut rest = sched_getaffinity(None).unwrap();
    let mut last = CpuSet::new();
    let number = (0..CpuSet::MAX_CPU).rfind(|cpu| rest.is_set(*cpu))?;
    last.set(number);
    rest.unset(number);
    (rest.count() > 0).then_some((rest, last))
}

/// Keeps this thread, and all that it starts, to processors.
fn keep_to(processors: Option<&CpuSet>) {
    if let Some(processors) = processors {
        sched_setaffinity(None, processors).unwrap();
    }
}

/// A runtime on a thread of its own, for what is of another machine.
fn elsewhere(processors: Option<CpuSet>) -> Handle {
    let (sender, handle) = oneshot::channel();
    std::thread::spawn(move || {
        keep_to(processors.as_ref());
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        sender.send(runtime.handle().clone()).unwrap();
        runtime.block_on(std::future::pending::<()>());
    });
    handle.blocking_recv().unwrap()
}

/// The node of the agent that floods.
struct Node {
    agent: Agent,
    series: Arc<AtomicU64>,
    _gpus: Gpus,
}

impl Node {
    async fn start(coordinator: Arc<Coordinator>) -> Self {
        let series = Arc::new(AtomicU64::new(FEW));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = listener.local_addr().unwrap();
        let router = Router::new()
            .route("/metrics", get(page))
            .with_state(Arc::clone(&series));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        // The fault comes in the middle of what is measured of the flood.
        let fault_after = MEASURED * 3 / 2 + SETTLES;
        let gpus = Gpus::new(&format!("after {} xid 3 79", fault_after.as_millis())).await;
        let config = format!(
            "collect_interval = \"1s\"\nsync_interval = \"1s\"\nscrape = [\"http://{target}/metrics\"]\n"
        );
        let agent = gpus.agent_with("flooder", &coordinator, &config, "");
        Self {
            agent,
            series,
            _gpus: gpus,
        }
    }
}

fn main() {
    let (here, there) = processors().unzip();
    if there.is_none() {
        println!("there is one processor: what the node of the flooder takes of it counts too");
    }
    let there = elsewhere(there);
    keep_to(here.as_ref());
    let runtime = Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(flood(there));
}

async fn flood(there: Handle) {
    let coordinator = Arc::new(Coordinator::start("").await);
    let way = channel(&coordinator);
    let node = there.spawn(Node::start(Arc::clone(&coordinator)));
    let Node {
        agent,
        series,
        _gpus,
    } = node.await.unwrap();
    let (sender, mut took) = mpsc::unbounded_channel();
    for number in 0..OTHERS {
        tokio::spawn(other(way.clone(), number, sender.clone()));
    }
    let calm = measure(&mut took, MEASURED).await;
    series.store(MANY, Ordering::Relaxed);
    sleep(SETTLES).await;
    let before = account(&agent, &way).await;
    let flood = measure(&mut took, MEASURED).await;
    let after = account(&agent, &way).await;
    let greedy = there.spawn(greedy(Arc::clone(&coordinator)));
    let beside_greedy = measure(&mut took, MEASURED).await;
    greedy.abort();
    let seconds = MEASURED.as_secs_f64();
    let (cpu, rss) = ((after.0 - before.0) / seconds, after.1);
    let bytes = (after.2 - before.2) * 60.0 / seconds;
    println!("| of {OTHERS} agents, ms to the acknowledgement | p50 | p99 |\n|---|---|---|");
    for (when, (p50, p99)) in [
        ("before", calm),
        ("in the flood", flood),
        (
            "and with a client beside it that keeps to no budget",
            beside_greedy,
        ),
    ] {
        println!("| {when} | {p50:.1} | {p99:.1} |");
    }
    println!("| the flooder | is | may be |\n|---|---|---|");
    println!("| CPU, of a core | {cpu:.2} | {CPU_MAX} |\n| memory, MiB | {rss:.0} | {RSS_MAX} |");
    println!(
        "| sent a minute, MiB | {:.1} | {:.0} |",
        bytes / 1_048_576.0,
        BYTES_A_MINUTE_MAX / 1_048_576.0
    );
    let fault = within(SOON, "the fault", || async {
        let events = events(&way, "flooder").await;
        let of_kind = |kind: &str| kind == "gpu_xid";
        events
            .into_iter()
            .find(|one| one.event.as_ref().is_some_and(|it| of_kind(&it.kind)))
    })
    .await;
    let late = fault.recorded_millis - fault.event.unwrap().at_millis;
    println!("the fault of a GPU was known after {late} ms");
    assert!((0..=2000).contains(&late), "{late}");
    assert!(cpu <= CPU_MAX * 1.1 && rss <= RSS_MAX && bytes <= BYTES_A_MINUTE_MAX * 1.1);
    assert!(flood.1 <= 2.0 * calm.1, "{flood:?} after {calm:?}");
}

/// CPU and memory of an agent, and what the coordinator had of it.
async fn account(agent: &Agent, way: &Channel) -> (f64, f64, f64) {
    let (cpu, rss) = used(agent.process().pid());
    let node = node(way, "flooder").await.unwrap().unwrap();
    (cpu, rss, node.bytes_total as f64)
}
