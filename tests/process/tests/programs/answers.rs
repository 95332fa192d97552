//! From a host's metrics to an answer on the command line.

use std::time::Duration;

use process_tests::agent::Agent;
use process_tests::ask::{number, vedette_query};
use process_tests::coordinator::Coordinator;
use process_tests::{SOON, now_millis, within};
use serde_json::Value;

/// What was promised: so long after an agent's start its host can be asked about.
const FIRST_ANSWER: Duration = Duration::from_secs(15);
const MEMORY: &str = "node_memory_MemAvailable_bytes";
/// Seconds over which the use of the CPUs is asked for.
const WINDOW: u32 = 20;

/// Bytes of memory that the kernel says are available.
fn available() -> f64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap();
    let line = text.lines().find(|line| line.starts_with("MemAvailable:")).unwrap();
    let kib: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024.0
}

/// The CPUs that the kernel counts time for.
fn cores() -> f64 {
    let text = std::fs::read_to_string("/proc/stat").unwrap();
    let is_core = |line: &&str| {
        line.strip_prefix("cpu").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    text.lines().filter(is_core).count() as f64
}

/// The samples of the only series of a range: times in milliseconds, and values.
fn samples(series: &[Value]) -> Vec<(i64, f64)> {
    let [series] = series else {
        panic!("one series was expected: {series:?}");
    };
    let pairs = series["values"].as_array().unwrap().iter();
    pairs
        .map(|pair| ((pair[0].as_f64().unwrap() * 1000.0).round() as i64, number(&pair[1])))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hosts_metrics_are_answered_within_15_seconds() {
    let coordinator = Coordinator::start("").await;
    let config = "collect_interval = \"1s\"\nsync_interval = \"5s\"\n";
    // What the kernel says itself, moment by moment: memory moves while other programs run.
    let readings = std::sync::Mutex::new(vec![(now_millis(), available())]);
    let read = async {
        loop {
            tokio::time::sleep(Duration::from_millis(50)).await;
            readings.lock().unwrap().push((now_millis(), available()));
        }
    };
    let ask = async {
        let _agent = Agent::start("host", &coordinator.url(), config);
        let answered = within(FIRST_ANSWER, "an answer", || async {
            let found = vedette_query(&coordinator, &[MEMORY]).await;
            (!found.is_empty()).then_some(found)
        })
        .await;
        assert_eq!(answered[0]["metric"]["node"], "host", "{answered:?}");
        assert!(number(&answered[0]["value"][1]) > 0.0, "{answered:?}");
        let stored = samples(&vedette_query(&coordinator, &[&format!("{MEMORY}[1m]")]).await);
        cpu_time_is_real_time(&coordinator).await;
        stored
    };
    let stored = tokio::select! {
        stored = ask => stored,
        () = read => unreachable!("readings go on"),
    };
    let readings = readings.lock().unwrap();
    for (at, value) in stored {
        let near = readings.iter().filter(|(when, _)| (when - at).abs() <= 1000);
        let best = near.map(|(_, said)| (said - value).abs() / said).fold(f64::MAX, f64::min);
        assert!(best < 0.05, "{value} at {at} is {best} off what the kernel says");
    }
}

/// Each core spends a second a second on something, if only on being idle.
async fn cpu_time_is_real_time(coordinator: &Coordinator) {
    let idle = "node_cpu_seconds_total{mode=\"idle\",cpu=\"0\"}[2m]";
    let newest = within(SOON, "a window full of samples", || async {
        let stored = samples(&vedette_query(coordinator, &[idle]).await);
        let (oldest, newest) = (stored.first()?.0, stored.last()?.0);
        (newest - oldest > i64::from(WINDOW + 2) * 1000).then_some(newest)
    })
    .await;
    let rate = format!("sum(rate(node_cpu_seconds_total{{node=\"host\"}}[{WINDOW}s]))");
    let at = format!("{}", newest as f64 / 1000.0);
    let answer = vedette_query(coordinator, &["--time", &at, &rate]).await;
    let used = number(&answer[0]["value"][1]);
    let cores = cores();
    assert!((used / cores - 1.0).abs() < 0.03, "{used} of {cores} cores");
}
