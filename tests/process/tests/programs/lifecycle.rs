//! SIGTERM drains, SIGHUP reloads.

use std::time::Duration;

use process_tests::agent::{Agent, NO_COLLECTORS};
use process_tests::ask::{channel, instant, node};
use process_tests::coordinator::{Coordinator, get};
use process_tests::targets::{SCRAPE, TARGET, Targets};
use process_tests::{SOON, now_millis, within};
use tonic::transport::Channel;
use wire::proto::ListAuditRequest;
use wire::proto::admin_service_client::AdminServiceClient;

/// The pages of the target that are stored, by their numbers.
async fn stored_pages(channel: &Channel) -> Vec<f64> {
    let mut series = instant(channel, &format!("{SCRAPE}[1h]"), now_millis())
        .await
        .unwrap();
    assert!(series.len() < 2, "{series:?}");
    series.pop().map(|series| series.values).unwrap_or_default()
}

/// Waits until the target was read so many times.
async fn read_times(targets: &Targets, times: usize) -> usize {
    within(SOON, "the target to be read", || async {
        let served = targets.served().len();
        (served >= times).then_some(served)
    })
    .await
}

/// The numbers of the pages before the last, which may still have been on its way.
fn all_but_the_last(served: usize) -> Vec<f64> {
    (1..u32::try_from(served).unwrap()).map(f64::from).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_drains_both_and_the_last_samples_are_there() {
    let mut coordinator = Coordinator::start("").await;
    let targets = Targets::serve(&[TARGET]).await;
    // It would sync in an hour: what arrives, the drain has brought.
    let config = format!(
        "collect_interval = \"1s\"\nsync_interval = \"1h\"\ndrain_timeout = \"60s\"\n{}\n\
         {NO_COLLECTORS}",
        targets.setting()
    );
    let mut agent = Agent::start("drained", &coordinator.url(), &config);
    let served = read_times(&targets, 5).await;
    assert_eq!(agent.terminate().await, Some(0));
    let channel = channel(&coordinator);
    let stored = stored_pages(&channel).await;
    assert!(
        stored.starts_with(&all_but_the_last(served)),
        "{served} served, {stored:?} stored"
    );
    assert_eq!(agent.account().complaints, Vec::<String>::new());
    within(SOON, "the stream to end", || async {
        let known = node(&channel, "drained").await.unwrap().unwrap();
        (!known.connected).then_some(())
    })
    .await;
    assert_eq!(coordinator.terminate().await, Some(0));
    coordinator.restart().await;
    assert_eq!(stored_pages(&channel).await, stored);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_drain_cannot_deliver_waits_in_the_spool() {
    let mut coordinator = Coordinator::start("").await;
    coordinator.kill().await;
    let targets = Targets::serve(&[TARGET]).await;
    let config = format!(
        "collect_interval = \"1s\"\nsync_interval = \"1s\"\ndrain_timeout = \"2s\"\n{}\n\
         {NO_COLLECTORS}",
        targets.setting()
    );
    let mut agent = Agent::start("patient", &coordinator.url(), &config);
    let served = read_times(&targets, 5).await;
    assert_eq!(agent.terminate().await, Some(0));
    assert_eq!(agent.account().acknowledged, Vec::<u64>::new());
    coordinator.restart().await;
    agent.restart();
    let (channel, expected) = (channel(&coordinator), all_but_the_last(served));
    within(SOON, "the pages of the first life", || async {
        stored_pages(&channel)
            .await
            .starts_with(&expected)
            .then_some(())
    })
    .await;
}

/// Batches that the coordinator took from the agent.
async fn batches(channel: &Channel) -> u64 {
    let known = node(channel, "paced").await.unwrap();
    known.map_or(0, |node| node.batches_total)
}

async fn five_more_batches(channel: &Channel) {
    let before = batches(channel).await;
    within(SOON, "five more batches", || async {
        (batches(channel).await >= before + 5).then_some(())
    })
    .await;
}

/// Whether no batch comes for a while in which many would at a second each.
async fn is_quiet(channel: &Channel) -> bool {
    let before = batches(channel).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    batches(channel).await == before
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_reaches_the_agents_and_a_broken_file_changes_nothing() {
    let every = |interval: &str| format!("[ingest]\nsync_interval = \"{interval}\"\n");
    let mut coordinator = Coordinator::start(&every("1h")).await;
    let channel = channel(&coordinator);
    let config = format!("collect_interval = \"1s\"\nsync_interval = \"1s\"\n{NO_COLLECTORS}");
    let _agent = Agent::start("paced", &coordinator.url(), &config);
    // The batches that its own interval made before it heard of the other.
    within(SOON, "the agent to keep to an hour", || async {
        let connected = node(&channel, "paced").await.unwrap()?.connected;
        (connected && is_quiet(&channel).await).then_some(())
    })
    .await;
    coordinator.configure(&every("1s"));
    coordinator.reload();
    five_more_batches(&channel).await;
    for broken in [&every("now and then"), &every("1ms"), "[ingest\n"] {
        coordinator.configure(broken);
        coordinator.reload();
        five_more_batches(&channel).await;
        let ready = get(coordinator.http, "/-/ready").await.unwrap();
        assert_eq!(ready, (200, "ready\n".to_owned()), "after {broken:?}");
    }
    // A key of a later version does not stop a reload; it is counted.
    coordinator.configure(&format!("{}later = true\n", every("1h")));
    coordinator.reload();
    coordinator
        .metric_reaches("vedette_coordinator_config_unknown_keys", 1.0)
        .await;
    within(SOON, "the agent to keep to an hour again", || async {
        is_quiet(&channel).await.then_some(())
    })
    .await;
    // The audit log names what each good one has changed.
    let mut admin = AdminServiceClient::new(channel.clone());
    let wanted = ListAuditRequest {
        action: "config.".to_owned(),
        ..ListAuditRequest::default()
    };
    let entries = admin.list_audit(wanted).await.unwrap().into_inner().entries;
    let told = entries.iter().map(|it| (&*it.action, &*it.detail));
    let reloaded = ("config.reloaded", "changed: ingest.sync_interval");
    assert_eq!(told.collect::<Vec<_>>(), [reloaded, reloaded]);
    assert_eq!(coordinator.terminate().await, Some(0));
}
