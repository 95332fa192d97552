//! What one agent may take: its quota, and the age of its stream.

use std::time::Duration;

use process_tests::agent::{Agent, NO_COLLECTORS};
use process_tests::ask::{channel, node};
use process_tests::coordinator::Coordinator;
use process_tests::lane::{Stream, batch, definitions, hello};
use process_tests::now_millis;
use tokio::time::Instant;
use wire::proto::sync_response::Message as Answer;

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
