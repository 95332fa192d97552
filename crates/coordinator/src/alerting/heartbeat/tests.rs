use std::sync::atomic::{AtomicI64, AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use daemon::clock::{Clock, SharedClock};
use daemon::shutdown::Shutdown;
use serde_json::Value;
use store::Store;
use store::engine::memory::Memory;
use tokio::sync::{Notify, watch};

use super::super::office::Ground;
use super::*;
use crate::config::Config;
use crate::events::Events;
use crate::fleet::Fleet;
use crate::metrics::Metrics;
use crate::writer::Writer;

const NOW: i64 = 1_700_000_000_000;
const MINUTE: i64 = 60_000;

/// A clock that the test moves.
#[derive(Debug, Default)]
struct Moved(AtomicI64);

impl Clock for Moved {
    fn wall_millis(&self) -> i64 {
        NOW + self.0.load(Ordering::Relaxed)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed).unsigned_abs())
    }
}

/// Alerting with one rule besides those of this configuration.
async fn office(config: &str, clock: &Arc<Moved>, shutdown: &Shutdown) -> Office {
    let folder = tempfile::tempdir().unwrap();
    let rules = folder.path().join("r.yml");
    let text = "groups: [{name: mine, interval: 1m, rules: [{alert: A, expr: vector(0) > 1}]}]";
    std::fs::write(&rules, text).unwrap();
    let mut config: Config = toml::from_str(config).unwrap();
    config.alerting.rules = vec![rules];
    let (store, _) = Store::open(Box::new(Memory::default())).unwrap();
    let store = Arc::new(store);
    let metrics = Metrics::new();
    let shared: SharedClock = Arc::<Moved>::clone(clock);
    let (_sender, config) = watch::channel(Arc::new(config));
    let writer = Writer::start(
        Arc::clone(&store),
        Arc::clone(&metrics),
        Arc::clone(&shared),
        shutdown,
        config.clone(),
        Arc::new(Notify::new()),
    );
    let events = Events::new(Arc::clone(&store));
    let ground = Ground {
        fleet: Fleet::open(Arc::clone(&store), events, Arc::clone(&shared)).unwrap(),
        store,
        writer,
        config,
        registry: metrics.registry.clone(),
        clock: shared,
        shutdown: shutdown.clone(),
    };
    Office::start(ground).await.unwrap()
}

/// Work that blocks is done on the test's own thread: a runtime whose time stands waits for all others.
fn on_this_thread() {
    daemon::blocking::simulate(|| Duration::from_millis(2));
}

#[tokio::test(start_paused = true)]
async fn a_group_that_is_three_intervals_late_is_sick_and_no_sooner() {
    on_this_thread();
    let (clock, shutdown) = (Arc::<Moved>::default(), Shutdown::new());
    let office = office("alerting = {stock_rules = false}", &clock, &shutdown).await;
    assert_eq!(sick(&office).await, None);
    // Whoever evaluates looks at the clock again after some seconds of the runtime's, which stands.
    clock.0.store(3 * MINUTE, Ordering::Relaxed);
    assert_eq!(sick(&office).await, None);
    clock.0.store(3 * MINUTE + 1000, Ordering::Relaxed);
    let why = sick(&office).await.unwrap();
    assert_eq!(why, "the rules of mine are not evaluated");
    // It is evaluated again, late or not.
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(sick(&office).await, None);
}

#[tokio::test(start_paused = true)]
async fn without_a_desk_there_is_no_sign_of_life() {
    on_this_thread();
    let (clock, shutdown) = (Arc::<Moved>::default(), Shutdown::new());
    let office = office("alerting = {stock_rules = false}", &clock, &shutdown).await;
    // What writes goes on for as long as there is an office, and is not waited for.
    assert!(shutdown.join(Duration::from_secs(1)).await.is_err());
    assert_eq!(sick(&office).await.unwrap(), "the desk does not answer");
}

/// Who waits for the heartbeat: what it answers, and what it got.
#[derive(Clone, Default)]
struct Waiting {
    code: Arc<AtomicU16>,
    got: Arc<Mutex<Vec<Value>>>,
}

async fn hear(State(waiting): State<Waiting>, body: axum::Json<Value>) -> StatusCode {
    waiting.got.lock().unwrap().push(body.0);
    StatusCode::from_u16(waiting.code.load(Ordering::Relaxed)).unwrap()
}

#[tokio::test]
async fn a_beat_is_the_watchdog_alert_and_fails_when_it_is_not_taken() {
    let waiting = Waiting::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/", post(hear));
    let serve = axum::serve(listener, router.with_state(waiting.clone()));
    let serving = tokio::spawn(async move { serve.await.unwrap() });
    let (clock, shutdown) = (Arc::<Moved>::default(), Shutdown::new());
    let config = format!("[notify.webhook.guard]\nurl = \"http://{address}/\"");
    let office = office(&config, &clock, &shutdown).await;
    waiting.code.store(200, Ordering::Relaxed);
    beat(&office, "webhook:guard", NOW).await.unwrap();
    let got = waiting.got.lock().unwrap().clone();
    assert_eq!(got.len(), 1);
    let alert = &got[0]["alerts"][0];
    assert_eq!(alert["labels"]["alertname"], NAME);
    assert_eq!(alert["status"], "firing");
    for code in [500, 400] {
        waiting.code.store(code, Ordering::Relaxed);
        let why = beat(&office, "webhook:guard", NOW).await.unwrap_err();
        assert!(why.contains(&code.to_string()), "{why}");
    }
    let why = beat(&office, "pigeon:guard", NOW).await.unwrap_err();
    assert!(why.starts_with("alerting.heartbeat: "), "{why}");
    assert!(beat(&office, "webhook:nobody", NOW).await.is_err());
    serving.abort();
    drop(office);
    shutdown.join(Duration::from_secs(20)).await.unwrap();
}
