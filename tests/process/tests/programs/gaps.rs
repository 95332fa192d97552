//! What of a node is there, what is missing, what is lost: the coordinator keeps account of it over
//! `kill -9`, and `vedette gaps` shows it.

use process_tests::ask::{channel, node, single};
use process_tests::coordinator::Coordinator;
use process_tests::lane::{Stream, batch, definitions, hello, raw_batch};
use process_tests::now_millis;
use process_tests::process::run;
use series::{Block, Column, Labels, MetricKind, Rows};
use tonic::Code;
use tonic::transport::Channel;
use wire::proto::sync_request::Message;
use wire::proto::sync_response::Message as Answer;
use wire::proto::{Hello, Loss, SequenceRange, SeriesDefinitions, Welcome};

const AGENT: &str = "gappy";
const MINUTE: i64 = 60_000;

fn range(first: u64, last: u64) -> SequenceRange {
    SequenceRange { first, last }
}

async fn stream(channel: &Channel, hello: Hello) -> (Stream, Welcome) {
    let (stream, welcome) = Stream::welcomed(channel, hello).await;
    stream.say(definitions(0, 1)).await;
    (stream, welcome)
}

async fn lose(stream: &mut Stream, first: u64, last: u64, span: (i64, i64)) {
    let loss = Loss {
        first_sequence: first,
        last_sequence: last,
        reason: "full".to_owned(),
        first_millis: span.0,
        last_millis: span.1,
    };
    stream.say(Message::Loss(loss)).await;
    match stream.answer().await {
        Ok(Answer::LossRecorded(it)) => {
            assert_eq!((it.first_sequence, it.last_sequence), (first, last));
        }
        other => panic!("{other:?}"),
    }
}

async fn gaps(coordinator: &Coordinator) -> serde_json::Value {
    gaps_of(coordinator, AGENT).await
}

async fn gaps_of(coordinator: &Coordinator, agent: &str) -> serde_json::Value {
    let url = coordinator.url();
    let said = run(
        "vedette",
        &["--coordinator", &url, "gaps", agent, "--format", "json"],
    )
    .await;
    assert!(said.status.success(), "{said:?}");
    serde_json::from_slice(&said.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn holes_are_asked_for_and_losses_are_known_to_the_minute_over_kill_9() {
    let mut coordinator = Coordinator::start("").await;
    let now = now_millis();
    let way = channel(&coordinator);
    let (mut first, welcome) = stream(&way, hello(AGENT)).await;
    assert_eq!(
        (welcome.last_durable_sequence, welcome.durable_beyond.len()),
        (0, 0)
    );
    // The newest first, then the oldest; a sequence that came before is not counted again.
    for (sequence, through) in [(8, 0), (1, 1), (2, 2), (8, 2)] {
        let at = now - i64::try_from(sequence).unwrap() * 1000;
        first.say(batch(sequence, &[0], at)).await;
        assert_eq!(first.acknowledged(sequence).await, through);
    }
    let span = (now - 30 * MINUTE, now - 28 * MINUTE);
    lose(&mut first, 3, 4, span).await;
    // Told again, of more: the rest is new.
    lose(&mut first, 3, 5, span).await;
    drop(first);
    coordinator.kill().await;
    coordinator.restart().await;
    let way = channel(&coordinator);
    let (mut second, welcome) = stream(&way, hello(AGENT)).await;
    assert_eq!(welcome.last_durable_sequence, 5);
    assert_eq!(welcome.durable_beyond, [range(8, 8)]);
    let shown = gaps(&coordinator).await;
    assert_eq!(
        shown["missing"],
        serde_json::json!([{"first": 6, "last": 7}])
    );
    let losses = shown["losses"].as_array().unwrap();
    let numbers = |name: &str| {
        losses
            .iter()
            .map(|it| it[name].as_u64())
            .collect::<Vec<_>>()
    };
    assert_eq!(numbers("first_sequence"), [Some(3), Some(5)]);
    assert_eq!(numbers("last_sequence"), [Some(4), Some(5)]);
    let minutes = shown["minutes"].as_array().unwrap();
    let states: Vec<_> = minutes
        .iter()
        .map(|it| it["state"].as_str().unwrap())
        .collect();
    assert_eq!(states, ["unknown", "lost", "unknown"], "{shown}");
    assert_eq!(minutes[1]["reason"], "full");
    second.say(batch(7, &[0], now - 7000)).await;
    assert_eq!(second.acknowledged(7).await, 5);
    second.say(batch(6, &[0], now - 6000)).await;
    assert_eq!(second.acknowledged(6).await, 8);
    let count = single(&way, "count_over_time(hostile[1h])", now).await;
    assert_eq!(count, Some(5.0));
    let lost = "vedette_coordinator_lost_batches_total{reason=\"full\"}";
    assert_eq!(
        coordinator.metric(lost).await,
        Some(0.0),
        "since the restart"
    );
    forgotten(&coordinator, &way).await;
}

/// An agent that was told that something is durable which is not: the store is older than its word.
async fn forgotten(coordinator: &Coordinator, way: &Channel) {
    let later = Hello {
        oldest_sequence: 12,
        ..hello(AGENT)
    };
    let (mut stream, welcome) = stream(way, later).await;
    assert_eq!(welcome.last_durable_sequence, 11);
    let shown = gaps(coordinator).await;
    let last = shown["losses"].as_array().unwrap().last().unwrap();
    assert_eq!(last["reason"], "forgotten");
    assert_eq!(
        (&last["first_sequence"], &last["last_sequence"]),
        (&9.into(), &11.into())
    );
    let lost = "vedette_coordinator_lost_batches_total{reason=\"forgotten\"}";
    assert_eq!(coordinator.metric(lost).await, Some(3.0));
    // A loss of nothing, or for no reason, ends the stream.
    let nonsense = Loss {
        first_sequence: 14,
        last_sequence: 13,
        reason: "full".to_owned(),
        ..Loss::default()
    };
    stream.say(Message::Loss(nonsense)).await;
    stream
        .ended(Code::InvalidArgument, "loss.last_sequence")
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_of_before_is_answered_as_before_and_what_it_skips_is_lost() {
    let mut coordinator = Coordinator::start("").await;
    let now = now_millis();
    let of_before = || Hello {
        oldest_sequence: 0,
        ..hello(AGENT)
    };
    // Its spool has lost what came before its first.
    for (batches, durable) in [([7, 8, 11], 0), ([12, 15, 16], 11)] {
        let way = channel(&coordinator);
        let (mut stream, welcome) = stream(&way, of_before()).await;
        assert_eq!(welcome.last_durable_sequence, durable);
        for sequence in batches {
            let at = now - 1000 * i64::try_from(sequence).unwrap();
            stream.say(batch(sequence, &[0], at)).await;
            assert_eq!(stream.acknowledged(sequence).await, sequence);
        }
        coordinator.kill().await;
        coordinator.restart().await;
    }
    let way = channel(&coordinator);
    drop(stream(&way, of_before()).await);
    let shown = gaps(&coordinator).await;
    assert_eq!(shown["missing"], serde_json::json!([]));
    let losses = shown["losses"].as_array().unwrap();
    let lost: Vec<_> = losses
        .iter()
        .map(|it| (it["first_sequence"].as_u64(), it["last_sequence"].as_u64()))
        .collect();
    assert_eq!(lost, [(Some(9), Some(10)), (Some(13), Some(14))]);
    assert_eq!(losses[0]["reason"], "missing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn samples_of_the_future_are_left_out_and_told_and_the_others_taken() {
    const DAY: i64 = 24 * 60 * MINUTE;
    let coordinator = Coordinator::start("").await;
    let way = channel(&coordinator);
    let now = now_millis();
    let (mut first, _) = stream(&way, hello(AGENT)).await;
    let block = Block {
        times: vec![now - 2000, now - 1000, now + 60 * MINUTE, now + 9999 * DAY],
        columns: vec![Column {
            rows: Rows::All,
            values: [1.0, 2.0, 3.0, 4.0].into_iter().collect(),
        }],
    };
    let mut columns = Vec::new();
    codec::encode_block(&block, &mut columns);
    first.say(raw_batch(1, &[0], columns)).await;
    assert_eq!(first.acknowledged(1).await, 1);
    first.say(batch(2, &[0], now)).await;
    assert_eq!(first.acknowledged(2).await, 2);
    let count = single(&way, "count_over_time(hostile[1h])", now).await;
    assert_eq!(count, Some(3.0));
    let shown = node(&way, AGENT).await.unwrap().unwrap();
    assert_eq!(
        (shown.future_samples_total, shown.newest_sample_millis),
        (2, now)
    );
    let counted = "vedette_coordinator_future_samples_total";
    assert_eq!(coordinator.metric(counted).await, Some(2.0));
    let shown = gaps(&coordinator).await;
    let losses = shown["losses"].as_array().unwrap();
    assert_eq!(losses.len(), 1, "{shown}");
    assert_eq!(losses[0]["reason"], "future");
    assert_eq!(losses[0]["last_sequence"], 1);
    let offset = "vedette_coordinator_clock_offset_seconds";
    assert!(coordinator.metric(offset).await.unwrap() < 60.0);
    // A node whose clock is a day ahead is known to be lost at the time that it really was.
    let ahead = |agent: &str, by: i64| Hello {
        wall_millis: now_millis() + by,
        ..hello(agent)
    };
    let (mut wrong, _) = stream(&way, ahead("wrong", DAY)).await;
    wrong.say(batch(1, &[0], now + DAY - 5 * MINUTE)).await;
    let skew = coordinator.metric(offset).await.unwrap();
    assert!((skew - 86_400.0).abs() < 60.0, "{skew}");
    wrong.refused(1, "nothing but samples of the future").await;
    let shown = gaps_of(&coordinator, "wrong").await;
    let minutes = shown["minutes"].as_array().unwrap();
    let states: Vec<_> = minutes.iter().map(|it| it["state"].as_str()).collect();
    assert_eq!(
        states,
        [Some("unknown"), Some("lost"), Some("unknown")],
        "{shown}"
    );
    assert_eq!(minutes[1]["reason"], "future");
    // One that is a little ahead is followed.
    let (mut early, _) = stream(&way, ahead("early", 15 * MINUTE)).await;
    early.say(batch(1, &[0], now + 15 * MINUTE)).await;
    assert_eq!(early.acknowledged(1).await, 1);
}

/// Definitions of so many series of this agent, and its node's label.
fn own_definitions(agent: &str, first: u32, count: u32) -> Message {
    let labels = |number: u32| {
        let number = number.to_string();
        Labels::with_name("churning", &[("number", &number), ("node", agent)]).unwrap()
    };
    let labels: Vec<Labels> = (first..first + count).map(labels).collect();
    let mut list = Vec::new();
    codec::encode_labels_list(&labels, &vec![MetricKind::Gauge; labels.len()], &mut list);
    Message::Definitions(SeriesDefinitions {
        families: Vec::new(),
        first_ref: 0,
        list: list.into(),
    })
}

fn rows(shown: &serde_json::Value) -> Vec<(String, u64, u64)> {
    let losses = shown["losses"].as_array().unwrap().iter();
    let number = |it: &serde_json::Value, name: &str| it[name].as_u64().unwrap();
    losses
        .map(|it| {
            let reason = it["reason"].as_str().unwrap().to_owned();
            let (first, last) = (number(it, "first_sequence"), number(it, "last_sequence"));
            (reason, first, last)
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn samples_of_refused_series_are_told_as_lost_in_one_row_and_others_have_room() {
    let coordinator = Coordinator::start("[ingest]\nseries_per_agent_max = 10\n").await;
    let way = channel(&coordinator);
    let now = now_millis();
    // A new stream with other names is no way around it.
    for (first, sequences) in [(0, 1..4), (100, 4..7)] {
        let (mut stream, _) = Stream::welcomed(&way, hello("churner")).await;
        stream.say(own_definitions("churner", first, 8)).await;
        for sequence in sequences {
            let at = now - 60_000 + 1000 * i64::try_from(sequence).unwrap();
            stream.say(batch(sequence, &[0, 7], at)).await;
            assert_eq!(stream.acknowledged(sequence).await, sequence);
        }
    }
    // Eight of the first stream and two of the second are here.
    let count = single(&way, "count(count_over_time(churning[1h]))", now).await;
    assert_eq!(count, Some(3.0));
    let refused = "vedette_coordinator_refused_series_total{reason=\"agent\"}";
    assert_eq!(coordinator.metric(refused).await, Some(6.0));
    let samples = "vedette_coordinator_refused_series_samples_total";
    assert_eq!(coordinator.metric(samples).await, Some(3.0));
    let lost = "vedette_coordinator_lost_batches_total{reason=\"series_refused\"}";
    assert_eq!(coordinator.metric(lost).await, Some(3.0));
    let shown = gaps_of(&coordinator, "churner").await;
    let expected = [("series_refused".to_owned(), 4, 6)];
    assert_eq!(rows(&shown), expected, "{shown}");
    // One that has nothing else is told that nothing of it was taken.
    let (mut stream, _) = Stream::welcomed(&way, hello("churner")).await;
    stream.say(own_definitions("churner", 200, 1)).await;
    stream.say(batch(7, &[0], now)).await;
    stream.refused(7, "series that were refused").await;
    // Another agent has all of its own.
    let (mut other, _) = Stream::welcomed(&way, hello("other")).await;
    other.say(own_definitions("other", 0, 8)).await;
    other.say(batch(1, &[0, 7], now)).await;
    other.acknowledged(1).await;
    let shown = gaps_of(&coordinator, "other").await;
    assert_eq!(rows(&shown), [], "{shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_of_which_a_part_was_refused_is_told_as_lost_in_part() {
    let coordinator = Coordinator::start("").await;
    let way = channel(&coordinator);
    let now = now_millis();
    let (mut partly, _) = stream(&way, hello(AGENT)).await;
    for sequence in 1..=20 {
        let at = now - 60_000 + 1000 * i64::try_from(sequence).unwrap();
        let (Message::Batch(mut good), Message::Batch(bad)) =
            (batch(sequence, &[0], at), batch(sequence, &[99], at))
        else {
            unreachable!("they were made just now");
        };
        good.blocks.extend(bad.blocks);
        partly.say(Message::Batch(good)).await;
        assert_eq!(partly.acknowledged(sequence).await, sequence);
    }
    let count = single(&way, "count_over_time(hostile[1h])", now).await;
    assert_eq!(count, Some(20.0));
    let lost = "vedette_coordinator_lost_batches_total{reason=\"refused_part\"}";
    assert_eq!(coordinator.metric(lost).await, Some(20.0));
    let shown = gaps(&coordinator).await;
    let expected = [("refused_part".to_owned(), 1, 20)];
    assert_eq!(rows(&shown), expected, "{shown}");
    assert_ne!(shown["losses"][0]["from"], serde_json::Value::Null);
}
