//! Clients that say what they may not: each is told so, and nobody else notices.

use process_tests::agent::{Agent, NO_COLLECTORS};
use process_tests::ask::{channel, node, single};
use process_tests::coordinator::Coordinator;
use process_tests::lane::{self, Stream, batch, definitions, raw_batch};
use process_tests::{SOON, now_millis, within};
use tonic::Code;
use tonic::transport::Channel;
use wire::proto::ingest_service_client::IngestServiceClient;
use wire::proto::sync_request::Message;
use wire::proto::{self, Hello, SeriesDefinitions};

const PROTOCOL_ERRORS: &str = "vedette_coordinator_protocol_errors_total";

fn hello() -> Hello {
    lane::hello("hostile")
}

async fn breaches(coordinator: &Coordinator, reason: &str) -> f64 {
    let metric = format!("{PROTOCOL_ERRORS}{{reason=\"{reason}\"}}");
    coordinator.metric(&metric).await.unwrap()
}

async fn welcomed(channel: &Channel) -> Stream {
    Stream::welcomed(channel, hello()).await.0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_breaks_the_protocol_is_told_and_nobody_else_notices() {
    let mut coordinator = Coordinator::start("[ingest]\nseries_per_stream_max = 1000\n").await;
    let channel = channel(&coordinator);
    let config = format!("collect_interval = \"1s\"\nsync_interval = \"1s\"\n{NO_COLLECTORS}");
    let good = Agent::start("good", &coordinator.url(), &config);
    let batches = || async {
        let good = node(&channel, "good").await.unwrap();
        good.map_or(0, |node| node.batches_total)
    };
    within(SOON, "a first batch", || async {
        (batches().await > 0).then_some(())
    })
    .await;
    let before = good.account().last_acknowledged();

    wrong_greetings(&channel).await;
    broken_streams(&channel).await;
    for (reason, count) in [
        ("hello", 8.0),
        ("silent", 1.0),
        ("definitions", 3.0),
        ("too_many_series", 1.0),
        ("message", 1.0),
        ("oversized", 1.0),
        ("foreign", 0.0),
    ] {
        assert_eq!(breaches(&coordinator, reason).await, count, "{reason}");
    }
    refused_batches(&coordinator, &channel).await;
    wrong_events(&channel).await;
    assert_eq!(breaches(&coordinator, "hello").await, 9.0);
    assert_eq!(breaches(&coordinator, "message").await, 4.0);
    assert_eq!(breaches(&coordinator, "oversized").await, 2.0);

    within(SOON, "the good agent to go on", || async {
        (good.account().last_acknowledged() >= before + 3).then_some(())
    })
    .await;
    assert_eq!(good.account().complaints, Vec::<String>::new());
    assert_eq!(node(&channel, "not a name").await.unwrap(), None);
    assert_eq!(coordinator.terminate().await, Some(0));
}

/// What is wrong with a greeting.
type Change = fn(&mut Hello);

async fn wrong_greetings(channel: &Channel) {
    let cases: [(Change, Code, &str); 6] = [
        (
            |hello| hello.protocol = 2,
            Code::FailedPrecondition,
            "protocol 2 is not spoken",
        ),
        (
            |hello| hello.agent_id = "not a name".to_owned(),
            Code::InvalidArgument,
            "agent_id",
        ),
        (
            |hello| hello.agent_id.clear(),
            Code::InvalidArgument,
            "agent_id is missing",
        ),
        (
            |hello| hello.epoch = 0,
            Code::InvalidArgument,
            "epoch is missing",
        ),
        (
            |hello| hello.version = "v".repeat(65),
            Code::InvalidArgument,
            "version",
        ),
        (
            |hello| drop(hello.labels.insert("no label".to_owned(), String::new())),
            Code::InvalidArgument,
            "label name",
        ),
    ];
    for (change, code, why) in cases {
        let mut stream = Stream::silent(channel).await;
        let mut hello = hello();
        change(&mut hello);
        stream.say(Message::Hello(hello)).await;
        stream.ended(code, why).await;
    }
    let mut stream = Stream::silent(channel).await;
    stream.say(batch(1, &[], now_millis())).await;
    stream
        .ended(Code::InvalidArgument, "the first message is no hello")
        .await;
    let mut stream = Stream::silent(channel).await;
    stream.ended(Code::DeadlineExceeded, "no hello").await;
}

async fn broken_streams(channel: &Channel) {
    let garbage = Message::Definitions(SeriesDefinitions {
        families: Vec::new(),
        first_ref: 0,
        list: vec![0xff; 100].into(),
    });
    let now = now_millis();
    let cases = [
        (
            vec![definitions(1, 5)],
            Code::InvalidArgument,
            "leave a gap",
        ),
        (
            vec![definitions(0, 5), definitions(4, 5)],
            Code::InvalidArgument,
            "leave a gap",
        ),
        (vec![garbage], Code::InvalidArgument, "do not decode"),
        (
            vec![definitions(0, 1001)],
            Code::ResourceExhausted,
            "ingest.series_per_stream_max",
        ),
        (
            vec![Message::Hello(hello())],
            Code::InvalidArgument,
            "a second hello",
        ),
        (
            vec![batch(0, &[], now)],
            Code::InvalidArgument,
            "batch.sequence is missing",
        ),
        (
            vec![raw_batch(1, &[], vec![0; wire::MESSAGE_BYTES_MAX + 1])],
            Code::OutOfRange,
            "too large",
        ),
    ];
    for (messages, code, why) in cases {
        let mut stream = welcomed(channel).await;
        for message in messages {
            stream.say(message).await;
        }
        stream.ended(code, why).await;
    }
    // Of two streams of one agent the newer stays.
    let mut old = welcomed(channel).await;
    let _new = welcomed(channel).await;
    old.ended(Code::Aborted, "another stream of this agent")
        .await;
}

async fn refused_batches(coordinator: &Coordinator, channel: &Channel) {
    let refused = |reason: &str| {
        let name = format!("vedette_coordinator_refused_batches_total{{reason=\"{reason}\"}}");
        async move { coordinator.metric(&name).await.unwrap() }
    };
    let now = now_millis();
    let hour = 3_600_000;
    let mut stream = welcomed(channel).await;
    stream.say(batch(1, &[0], now)).await;
    stream.refused(1, "was not defined").await;
    stream.say(definitions(0, 3)).await;
    stream.say(batch(2, &[0, 1, 99], now)).await;
    stream.refused(2, "was not defined").await;
    let Message::Batch(two_columns) = batch(3, &[0, 1], now) else {
        unreachable!("it was made just now");
    };
    let columns = two_columns.blocks[0].columns.to_vec();
    stream.say(raw_batch(3, &[0], columns.clone())).await;
    stream.refused(3, "more or fewer series").await;
    assert_eq!(refused("unknown_series").await, 3.0);
    for at in 0..columns.len() {
        let mut damaged = columns.clone();
        damaged[at] ^= 0x10;
        stream.say(raw_batch(4, &[0, 1], damaged)).await;
        stream.refused(4, "").await;
    }
    stream
        .say(raw_batch(4, &[0, 1], columns[..columns.len() / 2].to_vec()))
        .await;
    stream.refused(4, "").await;
    assert_eq!(refused("damaged").await, columns.len() as f64 + 1.0);
    for at in [now + hour, i64::MAX] {
        stream.say(batch(5, &[0], at)).await;
        stream.refused(5, "nothing but samples of the future").await;
    }
    for at in [now - 100 * 24 * hour, i64::MIN] {
        stream.say(batch(5, &[0], at)).await;
        stream.refused(5, "before").await;
    }
    assert_eq!(refused("time_out_of_range").await, 2.0);
    // After all this a good batch on the same stream is taken, once.
    let taken = "vedette_coordinator_duplicate_batches_total";
    let duplicates = coordinator.metric(taken).await.unwrap();
    for _ in 0..3 {
        stream.say(batch(6, &[2], now)).await;
        stream.acknowledged(6).await;
    }
    assert_eq!(coordinator.metric(taken).await, Some(duplicates + 2.0));
    let count = single(channel, "sum(count_over_time(hostile[1h]))", now + 1000).await;
    assert_eq!(
        count,
        Some(1.0),
        "of all that was sent, one sample was good"
    );
    assert_eq!(single(channel, "hostile", now).await, Some(2.0));
}

async fn wrong_events(channel: &Channel) {
    use proto::urgent_request::Message;
    let event = |change: fn(&mut proto::Event)| {
        let mut event = proto::Event {
            id: "1".to_owned(),
            at_millis: now_millis(),
            kind: "gpu_xid".to_owned(),
            severity: "info".to_owned(),
            ..proto::Event::default()
        };
        change(&mut event);
        Message::Event(event)
    };
    let cases = [
        (vec![event(|_| {})], "the first message is no hello"),
        (
            vec![
                Message::Hello(hello()),
                event(|event| event.kind = "party".to_owned()),
            ],
            "event.kind",
        ),
        (
            vec![
                Message::Hello(hello()),
                event(|event| event.summary = "x".repeat(2000)),
            ],
            "event.summary",
        ),
        (
            vec![Message::Hello(hello()), Message::Hello(hello())],
            "an event was expected",
        ),
        (
            vec![
                Message::Hello(hello()),
                event(|event| event.summary = "x".repeat(wire::MESSAGE_BYTES_MAX + 1)),
            ],
            "too large",
        ),
    ];
    for (messages, why) in cases {
        let requests = messages.into_iter().map(|message| proto::UrgentRequest {
            message: Some(message),
        });
        let requests = tokio_stream::iter(requests.collect::<Vec<_>>());
        let mut client = IngestServiceClient::new(channel.clone());
        let mut answers = client.urgent(requests).await.unwrap().into_inner();
        let answer = tokio::time::timeout(SOON, answers.message());
        let status = answer.await.unwrap().unwrap_err();
        let is_large = why == "too large";
        let code = if is_large {
            Code::OutOfRange
        } else {
            Code::InvalidArgument
        };
        assert_eq!(status.code(), code, "{status:?}");
        assert!(
            status.message().contains(why),
            "{status:?} does not say {why:?}"
        );
    }
}
