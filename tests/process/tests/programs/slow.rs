//! Clients that say as little as they can for as long as they may.

use std::net::SocketAddr;
use std::time::Duration;

use process_tests::agent::{Agent, NO_COLLECTORS};
use process_tests::ask::{channel, deaf_channel, node};
use process_tests::coordinator::{Coordinator, get};
use process_tests::lane::{Stream, batch, definitions, hello};
use process_tests::{now_millis, within};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use wire::proto::sync_request::Message;

const EACH: usize = 200;
const BODIES: usize = 20;
const LIMITED: &str = "vedette_coordinator_limited_connections_total";
/// A request's head may take 75 s to come.
const HEAD_MAX: Duration = Duration::from_secs(90);
/// What each of them may cost.
const KIB_EACH_MAX: f64 = 64.0;

/// Says a byte now and then of a head that never ends; how long it was borne.
async fn dribbles(address: SocketAddr) -> Duration {
    let began = Instant::now();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let (mut read, mut write) = stream.split();
    let writes = async {
        for byte in b"GET /metrics HTTP/1.1\r\nx: "
            .iter()
            .chain([b'y'; 1000].iter())
        {
            if write.write_all(&[*byte]).await.is_err() {
                return;
            }
            sleep(Duration::from_millis(500)).await;
        }
    };
    let mut buffer = [0; 512];
    let reads = async { while !matches!(read.read(&mut buffer).await, Ok(0) | Err(_)) {} };
    drop(timeout(HEAD_MAX, async { tokio::join!(reads, writes) }).await);
    began.elapsed()
}

/// Says a byte now and then of a body that never ends; what it was answered.
async fn dribbles_a_body(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let (mut read, mut write) = stream.split();
    let writes = async {
        let head =
            b"POST /api/v1/write HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\n\
            content-encoding: snappy\r\ncontent-length: 10000\r\n\r\n";
        write.write_all(head).await.unwrap();
        while write.write_all(b"y").await.is_ok() {
            sleep(Duration::from_millis(500)).await;
        }
    };
    let mut answer = Vec::new();
    let reads = read.read_to_end(&mut answer);
    let ended = timeout(HEAD_MAX, async {
        tokio::select! {
            () = writes => {}
            _ = reads => {}
        }
    });
    ended.await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// Begins HTTP/2 or nothing at all, and is silent.
async fn is_silent(address: SocketAddr, says: &'static [u8]) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(says).await.unwrap();
    sleep(HEAD_MAX).await;
}

async fn resident_kib(coordinator: &Coordinator) -> f64 {
    let bytes = coordinator.metric("process_resident_memory_bytes").await;
    bytes.unwrap() / 1024.0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_dribbles_is_cut_off_costs_little_and_holds_up_nobody() {
    let coordinator = Coordinator::start("").await;
    let config = format!("collect_interval = \"1s\"\nsync_interval = \"1s\"\n{NO_COLLECTORS}");
    let good = Agent::start("good", &coordinator.url(), &config);
    within(process_tests::SOON, "a first batch", || async {
        (good.account().last_acknowledged() > 1).then_some(())
    })
    .await;
    let before = resident_kib(&coordinator).await;
    let mut slow = JoinSet::new();
    for _ in 0..EACH {
        slow.spawn(dribbles(coordinator.http));
    }
    let mut bodies = JoinSet::new();
    for _ in 0..BODIES {
        bodies.spawn(dribbles_a_body(coordinator.http));
    }
    let mut silent = JoinSet::new();
    for says in [b"".as_slice(), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00"] {
        for _ in 0..EACH {
            silent.spawn(is_silent(coordinator.grpc, says));
        }
    }
    sleep(Duration::from_secs(5)).await;
    let during = resident_kib(&coordinator).await;
    let each = (during - before) / (3 * EACH) as f64;
    println!(
        "{before:.0} KiB, with {} slow clients {during:.0} KiB: {each:.1} KiB each",
        3 * EACH
    );
    assert!(each < KIB_EACH_MAX, "{each} KiB each");
    let acknowledged = good.account().last_acknowledged();
    let asked = Instant::now();
    let (code, _) = get(coordinator.http, "/-/ready").await.unwrap();
    assert_eq!(code, 200);
    assert!(
        asked.elapsed() < Duration::from_secs(2),
        "{:?}",
        asked.elapsed()
    );
    let mut longest = Duration::ZERO;
    while let Some(borne) = slow.join_next().await {
        longest = longest.max(borne.unwrap());
    }
    println!("the longest was borne for {longest:?}");
    assert!(longest < HEAD_MAX, "{longest:?}");
    while let Some(answer) = bodies.join_next().await {
        let answer = answer.unwrap();
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        assert!(answer.contains("the body took longer"), "{answer}");
    }
    for (reason, count) in [("head", EACH), ("body", BODIES), ("handshake", EACH)] {
        let metric = format!("{LIMITED}{{reason=\"{reason}\"}}");
        let counted = coordinator.metric(&metric).await;
        assert_eq!(counted, Some(count as f64), "{reason}");
    }
    assert!(good.account().last_acknowledged() > acknowledged + 30);
    assert_eq!(good.account().complaints, Vec::<String>::new());
}

/// A connection to `to` from another address of this machine.
async fn from_elsewhere(to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    socket.connect(to).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_with_all_its_connections_gets_no_more_and_others_do() {
    let coordinator = Coordinator::start("[access]\nconnections_per_host_max = 5\n").await;
    let mut held = Vec::new();
    for _ in 0..5 {
        let mut stream = from_elsewhere(coordinator.http).await;
        stream
            .write_all(b"GET /-/ready HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
        held.push(stream);
    }
    let mut beyond = from_elsewhere(coordinator.http).await;
    assert!(matches!(beyond.read(&mut [0; 1]).await, Ok(0) | Err(_)));
    let metric = format!("{LIMITED}{{reason=\"host\"}}");
    assert_eq!(coordinator.metric(&metric).await, Some(1.0));
    held.pop();
    within(process_tests::SOON, "a place again", || async {
        let mut stream = from_elsewhere(coordinator.http).await;
        let asked = b"GET /-/ready HTTP/1.1\r\nhost: x\r\n\r\n";
        stream.write_all(asked).await.ok()?;
        (stream.read(&mut [0; 1]).await.ok()? == 1).then_some(())
    })
    .await;
}

/// Answers and batches that may wait for an agent that reads nothing, and more.
const DEAF_BATCHES: u64 = 300;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_reads_no_answers_is_cut_off_and_what_it_sent_is_kept() {
    let coordinator = Coordinator::start("").await;
    let (deaf, way) = (deaf_channel(&coordinator), channel(&coordinator));
    let stream = Stream::silent(&deaf).await;
    let says = async {
        stream.say(Message::Hello(hello("deaf"))).await;
        stream.say(definitions(0, 1)).await;
        for sequence in 1..=DEAF_BATCHES {
            stream.say(batch(sequence, &[0], now_millis())).await;
        }
    };
    let cut = async {
        within(Duration::from_secs(90), "the end of the stream", || async {
            let unread = coordinator.metric("vedette_coordinator_unread_streams_total");
            (unread.await == Some(1.0)).then_some(())
        })
        .await;
    };
    let (_, ()) = tokio::join!(timeout(Duration::from_secs(90), says), cut);
    let node = node(&way, "deaf").await.unwrap().unwrap();
    assert!(!node.connected, "{node:?}");
    assert!(node.last_durable_sequence >= 64, "{node:?}");
}
