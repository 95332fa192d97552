//! What one agent may take: its quota, and the age of its stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use process_tests::agent::{Agent, NO_COLLECTORS};
use process_tests::ask::{channel, events, node, single};
use process_tests::coordinator::Coordinator;
use process_tests::lane::{Stream, batch, definitions, hello};
use process_tests::{now_millis, within};
use tokio::time::{Instant, sleep};
use tonic::transport::Channel;
use wire::proto::ingest_service_client::IngestServiceClient;
use wire::proto::sync_request::Message;
use wire::proto::sync_response::Message as Answer;
use wire::proto::{self, MetricFamily};

const SERIES: u32 = 300;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sends_more_than_its_quota_waits_also_on_a_new_stream_and_nobody_else_does() {
    // Ten seconds' worth may come at once: 200 of 300 samples. The rest takes five seconds.
    let coordinator = Coordinator::start("[ingest]\nsamples_per_second_max = 20\n").await;
    let way = channel(&coordinator);
    let now = now_millis();
    let all: Vec<u32> = (0..SERIES).collect();
    let greedy = || async {
        let (stream, _) = Stream::welcomed(&way, hello("greedy")).await;
        stream.say(definitions(0, SERIES)).await;
        stream
    };
    let mut first = greedy().await;
    let began = Instant::now();
    first.say(batch(1, &all, now)).await;
    let mut wait = None;
    for _ in 0..2 {
        match first.answer().await.unwrap() {
            Answer::SlowDown(slow) => wait = Some(slow),
            Answer::Acknowledgement(it) => assert_eq!(it.sequence, 1),
            other => panic!("{other:?}"),
        }
    }
    let wait = wait.expect("to be told to wait");
    assert!(
        wait.reason.contains("ingest.samples_per_second_max"),
        "{wait:?}"
    );
    assert!((4000..=5000).contains(&wait.wait_millis), "{wait:?}");
    // Another agent is answered meanwhile.
    let (mut modest, _) = Stream::welcomed(&way, hello("modest")).await;
    modest.say(definitions(0, SERIES)).await;
    modest.say(batch(1, &[0], now)).await;
    assert_eq!(modest.acknowledged(1).await, 1);
    assert!(
        began.elapsed() < Duration::from_secs(3),
        "{:?}",
        began.elapsed()
    );
    // What comes too early is read when it is time.
    first.say(batch(2, &[0], now + 1)).await;
    loop {
        match first.answer().await.unwrap() {
            Answer::SlowDown(_) => {}
            Answer::Acknowledgement(it) => break assert_eq!(it.sequence, 2),
            other => panic!("{other:?}"),
        }
    }
    assert!(
        began.elapsed() > Duration::from_secs(4),
        "{:?}",
        began.elapsed()
    );
    // A new stream is no way around it.
    first.say(batch(3, &all, now + 2)).await;
    while !matches!(first.answer().await.unwrap(), Answer::Acknowledgement(it) if it.sequence == 3)
    {
    }
    let mut second = greedy().await;
    second.say(batch(4, &[0], now + 3)).await;
    match second.answer().await.unwrap() {
        Answer::SlowDown(slow) => assert!(slow.wait_millis > 1000, "{slow:?}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_whose_stream_has_become_old_opens_another_and_loses_nothing() {
    let coordinator = Coordinator::start("[ingest]\nstream_age_max = \"1s\"\n").await;
    let way = channel(&coordinator);
    let config = format!("collect_interval = \"200ms\"\nsync_interval = \"1s\"\n{NO_COLLECTORS}");
    let mut agent = Agent::start("mover", &coordinator.url(), &config);
    let moved = "vedette_coordinator_moved_streams_total";
    coordinator.metric_reaches(moved, 3.0).await;
    assert_eq!(agent.terminate().await, Some(0));
    let account = agent.account();
    assert_eq!(account.complaints, Vec::<String>::new());
    let durable = node(&way, "mover").await.unwrap().unwrap();
    assert_eq!(durable.last_durable_sequence, account.last_spooled());
    assert_eq!(durable.missing_batches, 0);
}

/// What of the bytes of definitions does not fit into the ten seconds' worth that may come at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_batch_takes_of_the_quota_of_bytes_too() {
    let coordinator = Coordinator::start("[ingest]\nbytes_per_second_max = \"1KiB\"\n").await;
    let way = channel(&coordinator);
    let (mut stream, _) = Stream::welcomed(&way, hello("talker")).await;
    let family = |number: u32| MetricFamily {
        name: format!("family_{number}"),
        help: "x".repeat(200),
        ..MetricFamily::default()
    };
    let Message::Definitions(mut definitions) = definitions(0, 1) else {
        unreachable!("they were made just now");
    };
    definitions.families = (0..100).map(family).collect();
    stream.say(Message::Definitions(definitions)).await;
    match stream.answer().await.unwrap() {
        Answer::SlowDown(slow) => {
            assert!(
                slow.reason.contains("ingest.bytes_per_second_max"),
                "{slow:?}"
            );
            assert!(slow.wait_millis > 5000, "{slow:?}");
        }
        other => panic!("{other:?}"),
    }
}

const EVENTS: usize = 80;

/// How long it takes until events of an agent are all recorded.
async fn told(way: &Channel, agent: &str, count: usize) -> Duration {
    use proto::urgent_request::Message;
    // Until then it is a stranger.
    let (_bulk, _) = Stream::welcomed(way, hello(agent)).await;
    let event = |number: usize| {
        Message::Event(proto::Event {
            id: number.to_string(),
            at_millis: now_millis(),
            kind: "gpu_xid".to_owned(),
            severity: "info".to_owned(),
            ..proto::Event::default()
        })
    };
    let events = std::iter::once(Message::Hello(hello(agent))).chain((0..count).map(event));
    let events = events.map(|message| proto::UrgentRequest {
        message: Some(message),
    });
    let events = tokio_stream::iter(events.collect::<Vec<_>>());
    let began = Instant::now();
    let mut client = IngestServiceClient::new(way.clone());
    let mut answers = client.urgent(events).await.unwrap().into_inner();
    for _ in 0..count {
        let answer = tokio::time::timeout(process_tests::SOON, answers.message());
        assert!(answer.await.unwrap().unwrap().is_some());
    }
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_tells_too_many_events_is_slowed_down_loses_none_and_holds_up_nobody() {
    // Fifty may come at once; the last of thirty more has to wait for some six seconds.
    let coordinator = Coordinator::start("[ingest]\nevents_per_second_max = 5\n").await;
    let way = channel(&coordinator);
    let (loud, quiet) = tokio::join!(told(&way, "loud", EVENTS), told(&way, "quiet", 5));
    assert!(loud > Duration::from_secs(4), "{loud:?}");
    assert!(quiet < Duration::from_secs(3), "{quiet:?}");
    assert_eq!(events(&way, "loud").await.len(), EVENTS);
    let over = coordinator.metric("vedette_coordinator_over_quota_total");
    assert!(over.await.unwrap() >= 1.0);
}

const MANY: u64 = 20_000;
/// Between what a debug build takes with nothing to do, some 35 MiB, and what it takes of such a target, 60 and
/// more.
const MEMORY_MAX_MIB: f64 = 46.0;
/// Three measurements for each of two levels, and then what it takes to let go.
const SETTLES_WITHIN: Duration = Duration::from_secs(120);
const STAYS: usize = 20;
/// What a page takes beside that while it is read and folded: its text, and labels for each of its series. It is
/// free again within a second.
const PAGE_MIB: f64 = 12.0;

/// A target that says series of new names on each page.
async fn renames(State(pages): State<Arc<AtomicU64>>) -> String {
    let first = pages.fetch_add(1, Ordering::Relaxed) * MANY;
    let lines = (first..first + MANY).map(|id| format!("flooding{{id=\"{id}\"}} 1\n"));
    std::iter::once("# TYPE flooding gauge\n".to_owned())
        .chain(lines)
        .collect()
}

fn resident_mib(agent: &Agent) -> f64 {
    let pid = agent.process().pid();
    let statm = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap();
    let pages: f64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096.0 / f64::from(1 << 20)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_of_a_target_that_is_too_large_settles_under_its_memory_and_sums_stay_right() {
    // A thousand new series a second, for as long as it takes: by default some are refused after two minutes.
    let config = "[ingest]\nseries_per_agent_max = 1000000\n";
    let coordinator = Coordinator::start(config).await;
    let way = channel(&coordinator);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap();
    let router = Router::new()
        .route("/metrics", get(renames))
        .with_state(Arc::default());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let config = format!(
        "collect_interval = \"1s\"\nsync_interval = \"1s\"\nscrape = [\"http://{target}/metrics\"]\n\
         {NO_COLLECTORS}[budget]\ncpu = 0.0\nbytes_per_minute = \"0B\"\nmemory = \"{MEMORY_MAX_MIB}MiB\"\n"
    );
    let agent = Agent::start("flooded", &coordinator.url(), &config);
    let began = Instant::now();
    let mut seen = Vec::new();
    let (middle, most) = loop {
        sleep(Duration::from_secs(1)).await;
        seen.push(resident_mib(&agent));
        let mut last = seen.iter().rev().take(STAYS).copied().collect::<Vec<_>>();
        last.sort_by(f64::total_cmp);
        let (middle, most) = (last[last.len() / 2], last[last.len() - 1]);
        let was_over = seen.iter().any(|it| *it > MEMORY_MAX_MIB);
        let is_late = seen.len() >= 3 * STAYS;
        if was_over && is_late && middle <= MEMORY_MAX_MIB && most <= MEMORY_MAX_MIB + PAGE_MIB {
            break (middle, most);
        }
        assert!(began.elapsed() < SETTLES_WITHIN, "{seen:?}");
    };
    println!(
        "after {:?} {middle:.0} MiB, at most {most:.0}, of {MEMORY_MAX_MIB}",
        began.elapsed()
    );
    within(process_tests::SOON, "the sum of a page", || async {
        let sum = single(&way, "sum(flooding)", now_millis()).await;
        (sum == Some(MANY as f64)).then_some(())
    })
    .await;
    assert_eq!(agent.account().complaints, Vec::<String>::new());
}
