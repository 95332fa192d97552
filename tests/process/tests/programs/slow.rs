//! Clients that say as little as they can for as long as they may.

use std::net::SocketAddr;
use std::time::Duration;

use process_tests::agent::{Agent, NO_COLLECTORS};
use process_tests::coordinator::{Coordinator, get};
use process_tests::within;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

const EACH: usize = 200;
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
    assert!(good.account().last_acknowledged() > acknowledged + 30);
    assert_eq!(good.account().complaints, Vec::<String>::new());
}
