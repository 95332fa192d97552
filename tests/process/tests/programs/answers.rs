//! From a host's metrics to an answer on the command line.

use std::sync::Mutex;
use std::time::Duration;

use process_tests::agent::Agent;
use process_tests::ask::{millis, number, vedette_query};
use process_tests::coordinator::{Coordinator, get};
use process_tests::{SOON, now_millis, within};
use serde_json::Value;

/// What was promised: so long after an agent's start its host can be asked about.
const FIRST_ANSWER: Duration = Duration::from_secs(15);
const MEMORY: &str = "node_memory_MemAvailable_bytes";
/// Seconds over which the use of the CPUs is asked for.
const WINDOW: u32 = 20;

/// Ticks in a second, as Linux tells programs on every machine.
const USER_HZ: f64 = 100.0;

/// What the kernel says at one moment.
#[derive(Clone, Copy, Debug)]
struct Reading {
    at_millis: i64,
    /// Bytes of memory that are available.
    available: f64,
    /// Seconds that all cores together spent on anything.
    cpu_seconds: f64,
}

impl Reading {
    fn now() -> Self {
        let memory = std::fs::read_to_string("/proc/meminfo").unwrap();
        let line = memory
            .lines()
            .find(|line| line.starts_with("MemAvailable:"))
            .unwrap();
        let kib: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        let times = std::fs::read_to_string("/proc/stat").unwrap();
        // The eight modes without a guest's, whose time is in that of user and nice.
        let modes = times
            .lines()
            .next()
            .unwrap()
            .split_whitespace()
            .skip(1)
            .take(8);
        let ticks: f64 = modes.map(|mode| mode.parse::<f64>().unwrap()).sum();
        Self {
            at_millis: now_millis(),
            available: kib * 1024.0,
            cpu_seconds: ticks / USER_HZ,
        }
    }
}

/// The CPUs that the kernel counts time for.
fn cores() -> f64 {
    let text = std::fs::read_to_string("/proc/stat").unwrap();
    let is_core = |line: &&str| {
        line.strip_prefix("cpu")
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
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
        .map(|pair| (millis(pair[0].as_f64().unwrap()), number(&pair[1])))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hosts_metrics_are_answered_within_15_seconds() {
    let coordinator = Coordinator::start("").await;
    let config = "collect_interval = \"1s\"\nsync_interval = \"5s\"\n";
    // What the kernel says itself, moment by moment: memory moves while other programs run.
    let readings = Mutex::new(vec![Reading::now()]);
    let read = async {
        loop {
            tokio::time::sleep(Duration::from_millis(50)).await;
            readings.lock().unwrap().push(Reading::now());
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
        // The agent tells what its metrics mean bit by bit.
        within(SOON, "a metric in words", || async {
            let (_, metadata) = get(coordinator.http, "/api/v1/metadata").await.unwrap();
            let metadata: Value = serde_json::from_str(&metadata).unwrap();
            let mut metrics = metadata["data"].as_object().unwrap().values();
            let told = metrics.any(|it| it[0]["help"].as_str() != Some(""));
            told.then_some(())
        })
        .await;
        let stored = samples(&vedette_query(&coordinator, &[&format!("{MEMORY}[1m]")]).await);
        (stored, cpu_used(&coordinator).await)
    };
    let (memory, cpu) = tokio::select! {
        answers = ask => answers,
        () = read => unreachable!("readings go on"),
    };
    let readings = readings.into_inner().unwrap();
    for (at, value) in memory {
        let near = readings
            .iter()
            .filter(|one| (one.at_millis - at).abs() <= 1000);
        let off = near.map(|one| (one.available - value).abs() / one.available);
        let best = off.fold(f64::MAX, f64::min);
        assert!(
            best < 0.05,
            "{value} at {at} is {best} off what the kernel says"
        );
    }
    let nearest = |at: i64| {
        *readings
            .iter()
            .min_by_key(|one| (one.at_millis - at).abs())
            .unwrap()
    };
    let (first, last) = (nearest(cpu.from_millis), nearest(cpu.to_millis));
    let seconds = (last.at_millis - first.at_millis) as f64 / 1000.0;
    let kernel = (last.cpu_seconds - first.cpu_seconds) / seconds;
    let cores = cores();
    println!(
        "of {cores} cores: {} stored, {kernel} by the kernel's own account",
        cpu.used
    );
    // A virtual machine's kernel may not see a part of the time that its host gave to others.
    assert!(
        (cpu.used - kernel).abs() / cores < 0.03,
        "{} or {kernel} of {cores}",
        cpu.used
    );
    assert!(
        (cpu.used / cores - 1.0).abs() < 0.1,
        "{} of {cores} cores",
        cpu.used
    );
}

/// How many cores' worth of time went by from one sample to another.
struct CpuUsed {
    from_millis: i64,
    to_millis: i64,
    used: f64,
}

/// Each core spends a second a second on something, if only on being idle.
async fn cpu_used(coordinator: &Coordinator) -> CpuUsed {
    let idle = "node_cpu_seconds_total{mode=\"idle\",cpu=\"0\"}[2m]";
    let window = i64::from(WINDOW) * 1000;
    let (oldest, newest) = within(SOON, "a window full of samples", || async {
        let stored = samples(&vedette_query(coordinator, &[idle]).await);
        let newest = stored.last()?.0;
        let oldest = stored.iter().rfind(|(at, _)| newest - at >= window)?.0;
        Some((oldest, newest))
    })
    .await;
    // From one sample to another, so that nothing is extrapolated from a busy machine's last turn.
    let millis = newest - oldest + 1;
    let rate = format!("sum(rate(node_cpu_seconds_total{{node=\"host\"}}[{millis}ms]))");
    let at = format!("{}", newest as f64 / 1000.0);
    let answer = vedette_query(coordinator, &["--time", &at, &rate]).await;
    CpuUsed {
        from_millis: oldest,
        to_millis: newest,
        used: number(&answer[0]["value"][1]),
    }
}
