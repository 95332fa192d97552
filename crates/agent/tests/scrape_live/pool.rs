//! A pool of targets against real servers, on the real clock.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::server::{Answer, HandClock, Server, install_tls_provider};
use agent::collect::scrape::pool::TargetsFile;
use agent::collect::scrape::targets_file::Defaults;
use agent::collect::scrape::{PoolConfig, Scrape, ScrapePool, SkipReason, StatsHandle, Target};
use daemon::clock::SystemClock;
use series::is_stale;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

const INTERVAL: Duration = Duration::from_millis(100);

/// Longer than anything here takes; only a failing test waits so long.
const PATIENCE: Duration = Duration::from_secs(30);

struct Rig {
    scrapes: mpsc::Receiver<Scrape>,
    stats: StatsHandle,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

fn start(targets: Vec<Target>, file: Option<&Path>, room: usize) -> Rig {
    install_tls_provider();
    let (out, scrapes) = mpsc::channel(room);
    let config = PoolConfig {
        targets,
        targets_file: file.map(|path| TargetsFile {
            path: path.to_owned(),
            poll_interval: Duration::from_millis(10),
            defaults: Defaults {
                job: "file".to_owned(),
                interval: INTERVAL,
                timeout: INTERVAL,
                honor_labels: false,
            },
        }),
        ..PoolConfig::default()
    };
    let pool = ScrapePool::new(config, SystemClock::shared(), out).unwrap();
    let stats = pool.stats();
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(pool.run(shutdown.clone()));
    Rig {
        scrapes,
        stats,
        shutdown,
        task,
    }
}

impl Rig {
    /// The next scrape that `wanted` says yes to.
    async fn next(&mut self, wanted: impl Fn(&Scrape) -> bool) -> Scrape {
        let search = async {
            loop {
                let scrape = self.scrapes.recv().await.unwrap();
                if wanted(&scrape) {
                    return scrape;
                }
            }
        };
        timeout(PATIENCE, search).await.unwrap()
    }

    async fn until(&self, holds: impl Fn(&StatsHandle) -> bool) {
        let wait = async {
            while !holds(&self.stats) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, wait).await.unwrap();
    }

    /// Stops the pool, and returns what it had still sent.
    async fn stop(mut self) -> Vec<Scrape> {
        self.shutdown.cancel();
        timeout(PATIENCE, self.task).await.unwrap().unwrap();
        let mut rest = Vec::new();
        while let Some(scrape) = self.scrapes.recv().await {
            rest.push(scrape);
        }
        rest
    }
}

async fn server(page: &str) -> Server {
    let server = Server::start(Arc::new(HandClock::default())).await;
    server.answer(Answer::text(page));
    server
}

fn target(server: &Server, job: &str) -> Target {
    let target = Target::new(&server.address(), job).unwrap();
    target.with_times(INTERVAL, INTERVAL).unwrap()
}

fn job(scrape: &Scrape) -> &str {
    scrape.target.labels().get("job")
}

fn all_stale(scrape: &Scrape) -> bool {
    scrape
        .snapshot
        .samples
        .iter()
        .all(|sample| is_stale(sample.value))
}

#[tokio::test]
async fn each_target_is_read_at_its_interval_until_shutdown() {
    let (one, two) = (server("a 1\n").await, server("b 2\n").await);
    let mut rig = start(vec![target(&one, "one"), target(&two, "two")], None, 100);
    let mut times = Vec::new();
    for _ in 0..4 {
        times.push(rig.next(|scrape| job(scrape) == "one").await.at.as_millis());
    }
    rig.next(|scrape| job(scrape) == "two").await;
    assert!(times.windows(2).all(|pair| pair[0] < pair[1]), "{times:?}");
    // Four turns span three intervals; a timer never fires early by more than its resolution.
    assert!(times[3] - times[0] >= 290, "{times:?}");
    assert_eq!(rig.stats.read().targets, 2);
    let stats = rig.stats.clone();
    let rest = rig.stop().await;
    assert!(!rest.iter().any(all_stale), "a shutdown ends no series");
    assert_eq!(stats.read().targets, 0);
    assert!(one.seen().connections == 1 && two.seen().connections == 1);
}

#[tokio::test]
async fn a_consumer_that_does_not_read_costs_scrapes_and_not_memory() {
    let server = server("a 1\n").await;
    let mut rig = start(vec![target(&server, "one")], None, 2);
    rig.until(|stats| stats.read().skipped_for(SkipReason::ChannelFull) >= 3)
        .await;
    let stats = rig.stats.read();
    assert_eq!(stats.done, 2, "only what there was room for was read");
    assert_eq!(server.seen().requests, 2, "and only that was asked for");
    rig.next(|_| true).await;
    rig.until(|stats| stats.read().done >= 3).await;
    rig.stop().await;
}

#[tokio::test]
async fn the_targets_file_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("targets.json");
    let (one, two) = (server("a 1\n").await, server("b 2\n").await);
    let list = |servers: &[&Server]| {
        let groups: Vec<_> = servers
            .iter()
            .map(|server| serde_json::json!({"targets": [server.address()], "labels": {"k": "v"}}))
            .collect();
        serde_json::to_vec(&groups).unwrap()
    };
    // Rename over it, as careful writers do.
    let put = |bytes: &[u8]| {
        let fresh = folder.path().join("fresh");
        std::fs::write(&fresh, bytes).unwrap();
        std::fs::rename(&fresh, &path).unwrap();
    };
    let by = |server: &Server| {
        let address = server.address();
        move |scrape: &Scrape| scrape.target.labels().get("instance") == address
    };

    let mut rig = start(Vec::new(), Some(&path), 100);
    rig.until(|stats| stats.read().targets_file_errors == 1)
        .await;
    put(&list(&[&one]));
    let scrape = rig.next(by(&one)).await;
    assert_eq!(job(&scrape), "file");
    assert_eq!(scrape.snapshot.samples[0].labels.get("k"), "v");

    put(b"[{\"targets\": [\"broken");
    rig.until(|stats| stats.read().targets_file_errors == 2)
        .await;
    rig.next(by(&one)).await;
    std::fs::remove_file(&path).unwrap();
    rig.until(|stats| stats.read().targets_file_errors == 3)
        .await;
    let scrape = rig.next(by(&one)).await;
    assert!(!all_stale(&scrape), "the old targets stay");
    assert_eq!(rig.stats.read().targets, 1);

    put(&list(&[&two]));
    let end = rig.next(all_stale).await;
    assert!(by(&one)(&end));
    let names: Vec<&str> = end
        .snapshot
        .samples
        .iter()
        .map(|sample| sample.labels.metric_name())
        .collect();
    assert_eq!(
        names,
        [
            "a",
            "up",
            "scrape_duration_seconds",
            "scrape_samples_scraped",
            "scrape_samples_post_metric_relabeling",
            "scrape_series_added"
        ]
    );
    rig.next(by(&two)).await;
    let stats = rig.stats.read();
    assert_eq!(
        (
            stats.targets,
            stats.targets_file_loads,
            stats.targets_file_errors
        ),
        (1, 2, 3)
    );
    rig.stop().await;
}

#[tokio::test]
async fn a_target_that_stays_listed_keeps_its_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("targets.toml");
    let (one, two) = (server("a 1\n").await, server("b 2\n").await);
    let group = |server: &Server| format!("[[group]]\ntargets = [\"{}\"]\n", server.address());
    std::fs::write(&path, group(&one)).unwrap();
    let mut rig = start(Vec::new(), Some(&path), 100);
    rig.next(|_| true).await;
    std::fs::write(&path, group(&one) + &group(&two)).unwrap();
    let address = two.address();
    rig.next(|scrape| scrape.target.labels().get("instance") == address)
        .await;
    let address = one.address();
    let scrape = rig
        .next(|scrape| scrape.target.labels().get("instance") == address)
        .await;
    let added = scrape.snapshot.samples.last().unwrap();
    assert_eq!(added.labels.metric_name(), "scrape_series_added");
    assert_eq!(added.value, 0.0, "its series were known");
    rig.stop().await;
}

#[tokio::test]
async fn a_pool_whose_consumer_is_gone_stops_on_request() {
    let server = server("a 1\n").await;
    let mut rig = start(vec![target(&server, "one")], None, 1);
    rig.next(|_| true).await;
    rig.scrapes.close();
    assert!(rig.stop().await.len() <= 1);
}
