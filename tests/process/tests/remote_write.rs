//! Senders that were written for others, unchanged, write to a coordinator that is killed again and
//! again: what it answers is what Prometheus answers, to the bit. A test whose sender is not on the
//! PATH (`make setup` puts it there) says so and passes.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::float_cmp,
    reason = "a helper fails its test by panicking; what a run came to is printed; counts are exact"
)]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;

use process_tests::coordinator::{Coordinator, get};
use process_tests::prometheus::{Prometheus, Series, VmAgent, answer};
use process_tests::targets::{SCRAPE, Target, Targets, VALUE};
use process_tests::{SOON, now_millis, within};
use serde_json::Value;

/// Everything that was scraped from the targets.
const ALL: &str = "{job=\"targets\"}";
/// How often the coordinator is killed.
const KILLS: u64 = 4;
/// Pages that are scraped before each kill, while the coordinator is down, and after the last.
const PAGES: usize = 12;
const TARGETS: [Target; 2] = [
    Target {
        name: "steady",
        series: 300,
        churns: false,
    },
    Target {
        name: "churning",
        series: 100,
        churns: true,
    },
];

/// Scrapes of the targets, in YAML.
fn scrapes(targets: &Targets) -> String {
    let addresses: Vec<String> = targets.each().map(|(_, instance)| instance).collect();
    format!(
        "global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}\n\
         scrape_configs: [{{job_name: targets, static_configs: [{{targets: {addresses:?}}}]}}]\n"
    )
}

/// Waits until so many more pages were scraped.
async fn pages(targets: &Targets, count: usize) {
    let end = targets.served().len() + count;
    within(SOON, "scrapes", || async {
        (targets.served().len() >= end).then_some(())
    })
    .await;
}

/// Kills the coordinator again and again while samples come, without and with a while in which
/// nobody answers. What it had answered before is still there each time.
async fn kill(coordinator: &mut Coordinator, targets: &Targets) {
    for round in 0..KILLS {
        pages(targets, PAGES).await;
        let before = now_millis();
        let expression = format!("{ALL}[1h]");
        let found = answer(coordinator.http, &expression, before).await.unwrap();
        coordinator.kill().await;
        if round % 2 == 0 {
            pages(targets, PAGES).await;
        }
        coordinator.restart().await;
        let now = answer(coordinator.http, &expression, before).await.unwrap();
        for (series, samples) in found {
            let kept = now
                .get(&series)
                .unwrap_or_else(|| panic!("{series} is gone"));
            for (time, value) in samples {
                assert_eq!(kept.get(&time), Some(&value), "{series} at {time}");
            }
        }
    }
    pages(targets, PAGES).await;
}

/// The number of samples.
fn count(series: &Series) -> usize {
    series.values().map(|samples| samples.len()).sum()
}

/// Waits until both have the same samples up to a time, and checks that they answer alike.
async fn alike(prometheus: SocketAddr, coordinator: &Coordinator, end: i64) -> Series {
    let all = format!("{ALL}[1h]");
    let samples = within(SOON, "both to have the same samples", || async {
        let expected = answer(prometheus, &all, end).await?;
        let found = answer(coordinator.http, &all, end).await?;
        (found == expected).then_some(found)
    })
    .await;
    // Series that ended are gone from the moment in which they did, though the look-back finds them.
    let times: BTreeSet<i64> = samples.values().flat_map(BTreeMap::keys).copied().collect();
    let mut found_before = 0;
    for time in times.into_iter().step_by(2) {
        let expected = answer(prometheus, ALL, time).await;
        let found = answer(coordinator.http, ALL, time).await;
        assert_eq!(found, expected, "at {time}");
        found_before = found.map_or(0, |series| series.len());
    }
    assert!(
        found_before > 0 && found_before < samples.len(),
        "no series was seen to end"
    );
    samples
}

/// Checks that each page is stored whole and once. `is_exact` says that the sender passes on the very
/// values: vmagent's parser may miss the last bit.
fn check_pages(targets: &Targets, samples: &Series, is_exact: bool) {
    let served = targets.served();
    for (index, (target, instance)) in targets.each().enumerate() {
        let mut scrapes: BTreeMap<i64, u64> = BTreeMap::new();
        let mut values: Vec<(u64, &BTreeMap<i64, u64>)> = Vec::new();
        for (labels, samples) in samples {
            let labels: Value = serde_json::from_str(labels).unwrap();
            match labels["__name__"].as_str() {
                _ if labels["instance"] != instance => {}
                Some(SCRAPE) => scrapes.extend(samples),
                Some(VALUE) => {
                    let id = labels["id"].as_str().unwrap();
                    values.push((id.parse().unwrap(), samples));
                }
                _ => {}
            }
        }
        let numbers = served.iter().filter(|page| page.target == index);
        let numbers: HashMap<u64, u64> = numbers
            .map(|page| ((page.scrape as f64).to_bits(), page.scrape))
            .collect();
        let mut pages: HashMap<i64, (u64, u64)> = HashMap::new();
        for (time, scrape) in scrapes {
            pages.insert(time, (numbers[&scrape], 0));
        }
        let once: BTreeSet<u64> = pages.values().map(|(scrape, _)| *scrape).collect();
        assert_eq!(once.len(), pages.len(), "a page is there twice");
        // A scrape that took too long was served and not taken.
        let (stored, served) = (pages.len(), numbers.len());
        println!("{}: {stored} of {served} pages stored", target.name);
        assert!(stored > served / 2, "too few to prove anything");
        for (id, samples) in values {
            for (time, value) in samples {
                let page = pages.get_mut(time);
                let (scrape, found) = page.unwrap_or_else(|| panic!("{id} at {time} has no page"));
                let right = target.value(id, *scrape).to_bits();
                assert!(target.ids(*scrape).contains(&id));
                assert!(!is_exact || *value == right, "{id} on page {scrape}");
                *found += 1;
            }
        }
        for (scrape, found) in pages.values() {
            assert_eq!(*found, target.series, "page {scrape} is not whole");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_loses_nothing_to_a_coordinator_that_is_killed() {
    let mut coordinator = Coordinator::start("").await;
    let targets = Targets::serve(&TARGETS).await;
    let config = format!(
        "{}remote_write:\n\
         - url: http://{}/api/v1/write\n\
         \x20 queue_config: {{batch_send_deadline: 100ms, min_backoff: 30ms, max_backoff: 200ms}}\n\
         \x20 metadata_config: {{send: true, send_interval: 1s}}\n",
        scrapes(&targets),
        coordinator.http
    );
    let Some(prometheus) = Prometheus::start(&config).await else {
        println!("skipped: no prometheus on the PATH (make setup puts it there)");
        return;
    };
    kill(&mut coordinator, &targets).await;
    let end = now_millis();
    // A scrape that began before this moment may be stored a little after it.
    pages(&targets, PAGES).await;
    let samples = alike(prometheus.address, &coordinator, end).await;
    check_pages(&targets, &samples, true);

    let metric = async |name: &str| {
        let name = format!("prometheus_remote_storage_{name}_total");
        prometheus.metric(&name).await
    };
    for name in ["samples_failed", "samples_dropped", "metadata_failed"] {
        assert_eq!(metric(name).await, 0.0, "{name}: {}", prometheus.log());
    }
    let retried = metric("samples_retried").await;
    println!("{} samples, {retried} of them sent again", count(&samples));
    assert!(retried > 0.0 && metric("metadata").await > 0.0);
    let refused = "vedette_coordinator_write_failures_total";
    assert_eq!(coordinator.metric(refused).await, Some(0.0));

    let metadata = format!("/api/v1/metadata?metric={VALUE}");
    let expected = get(prometheus.address, &metadata).await.unwrap();
    assert!(expected.1.contains("\"help\":\"One value"), "{expected:?}");
    assert_eq!(get(coordinator.http, &metadata).await.unwrap(), expected);

    // The same when all of it has to be read back from disk.
    assert_eq!(coordinator.terminate().await, Some(0));
    coordinator.restart().await;
    assert_eq!(alike(prometheus.address, &coordinator, end).await, samples);
    assert_eq!(get(coordinator.http, &metadata).await.unwrap(), expected);
    prometheus.terminate().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vmagent_loses_nothing_to_a_coordinator_that_is_killed() {
    let mut coordinator = Coordinator::start("").await;
    let targets = Targets::serve(&TARGETS).await;
    // Beside the coordinator, it writes to a Prometheus: what arrives there is what should arrive.
    let Some(prometheus) = Prometheus::start("").await else {
        println!("skipped: no prometheus on the PATH (make setup puts it there)");
        return;
    };
    let urls = [coordinator.http, prometheus.address].map(|to| format!("http://{to}/api/v1/write"));
    let Some(vmagent) = VmAgent::start(&scrapes(&targets), &urls) else {
        println!("skipped: no vmagent on the PATH (make setup puts it there)");
        return;
    };
    kill(&mut coordinator, &targets).await;
    let log = vmagent.log();
    assert_eq!(vmagent.terminate().await, Some(0), "{log}");
    let end = now_millis();
    let samples = alike(prometheus.address, &coordinator, end).await;
    check_pages(&targets, &samples, false);
    println!("{} samples", count(&samples));
    let refused = "vedette_coordinator_write_failures_total";
    let refused = coordinator.metric(refused).await;
    // A later vmagent tries its own protocol first; this says that it is not taken.
    assert!(refused <= Some(1.0), "{refused:?}");
    prometheus.terminate().await;
}
