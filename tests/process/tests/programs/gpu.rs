//! GPUs as a stand-in for the driver's library tells them: what cannot wait, and what hangs.

use process_tests::ask::{channel, events, millis, single};
use process_tests::coordinator::Coordinator;
use process_tests::gpus::Gpus;
use process_tests::{SOON, now_millis, within};

/// A fault is known to the coordinator so many milliseconds after it happened.
const URGENT_MILLIS: i64 = 2000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gpu_that_falls_off_the_bus_is_known_within_2_seconds() {
    let coordinator = Coordinator::start("").await;
    // The driver speaks of it 3 s after it was opened, and from then on of nothing else.
    let gpus = Gpus::new("after 3000 xid 3 79\nafter 3000 set 3 every GPU_IS_LOST").await;
    let before = now_millis();
    let _agent = gpus.agent("falling", &coordinator, "");
    let channel = channel(&coordinator);
    let fault = within(SOON, "the fault", || async {
        let events = events(&channel, "falling").await;
        let is_fault = |kind: &str| kind == "gpu_xid";
        events
            .into_iter()
            .find(|one| one.event.as_ref().is_some_and(|e| is_fault(&e.kind)))
    })
    .await;
    let events = events(&channel, "falling").await;
    let of_kind = |kind: &str| {
        let kinds = events.iter().filter_map(|one| one.event.as_ref());
        kinds.filter(|event| event.kind == kind).count()
    };
    assert_eq!(
        (of_kind("gpu_xid"), of_kind("agent_started")),
        (1, 1),
        "{events:?}"
    );
    let event = fault.event.unwrap();
    assert_eq!(
        (event.labels["xid"].as_str(), event.labels["gpu"].as_str()),
        ("79", "3")
    );
    assert_eq!(event.severity, "critical");
    assert!(event.summary.contains("XID 79"), "{event:?}");
    // It happened 3 s after the agent opened the driver, which it did after it was started.
    assert!(event.at_millis >= before + 3000, "{event:?}");
    let took = fault.recorded_millis - event.at_millis;
    assert!(
        (0..=URGENT_MILLIS).contains(&took),
        "recorded {took} ms after it was seen"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_driver_that_hangs_does_not_slow_the_host_collector() {
    let coordinator = Coordinator::start("").await;
    // The power of the third GPU is never told, from the second round on.
    let story = "on nvmlDeviceGetPowerUsage 11 hang nvmlDeviceGetPowerUsage release";
    let gpus = Gpus::new(story).await;
    let _agent = gpus.agent("hanging", &coordinator, "deadline = \"1s\"");
    let channel = channel(&coordinator);
    let unresponsive = "vedette_agent_gpu_driver_unresponsive_seconds";
    let is_stuck = format!("{unresponsive}{{node=\"hanging\"}} > 12");
    let newest = "timestamp(node_load1{node=\"hanging\"})";
    let at = within(SOON, "a driver that does not answer", || async {
        single(&channel, &is_stuck, now_millis()).await?;
        single(&channel, newest, now_millis()).await
    })
    .await;
    // Ten seconds in which the driver was silent throughout, and their samples of the host. One is
    // granted to a machine that is too busy.
    let at = millis(at);
    let silent = single(&channel, &format!("min_over_time({unresponsive}[10s])"), at).await;
    assert!(silent > Some(0.0), "{silent:?}");
    let samples = single(&channel, "count_over_time(node_load1[10s])", at).await;
    assert!(
        samples >= Some(9.0),
        "{samples:?} samples of the host in 10 s"
    );
    // And it comes back by itself.
    std::fs::write(gpus.path("release"), "").unwrap();
    within(SOON, "the driver to answer again", || async {
        let found = single(&channel, unresponsive, now_millis()).await?;
        (found == 0.0).then_some(())
    })
    .await;
}
