//! The stock rules, and those of documents, over series with the labels that agents send: what is held when
//! data stay away, and what explains what.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper fails its test by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use alert::rules::{Group, Kind, RuleFile, Settings, backtest};
use alert::{Centre, Delivery, Held, Inhibition, Routes, State, Target, Timing, Transition};
use query::Engine;
use query::testing::{MemorySource, Point, labels, points};
use series::Timestamp;
use spec::{Channel, Level, Plan};

const MINUTE: i64 = 60_000;

/// What an agent with labels of its own adds to every series. `job` and `instance` are those of what it read.
fn place(node: &str) -> String {
    format!("region=\"eu\",cluster=\"c1\",rack=\"r7\",node=\"{node}\"")
}

/// One node with everything wrong with it: `@H` are the labels of its own collectors, `@G` of a GPU, `@S` of a
/// server that is read.
const ALL_WRONG: &str = r#"
node_cpu_seconds_total{mode="idle",cpu="0",@H} 0+0x120
node_memory_MemAvailable_bytes{@H} 1x120
node_memory_MemTotal_bytes{@H} 100x120
node_filesystem_avail_bytes{mountpoint="/",fstype="ext4",device="sda",@H} 300-2x120
node_filesystem_size_bytes{mountpoint="/",fstype="ext4",device="sda",@H} 10000x120
node_filesystem_readonly{mountpoint="/",fstype="ext4",device="sda",@H} 0x10 1x110
node_vmstat_oom_kill{@H} 0+1x120
node_md_degraded{device="md0",@H} 1x120
node_edac_uncorrectable_errors_total{controller="mc0",@H} 0+1x120
node_network_receive_errs_total{device="eth0",@H} 0+600x120
node_network_transmit_errs_total{device="eth0",@H} 0+600x120
node_network_receive_packets_total{device="eth0",@H} 0+6000x120
node_network_transmit_packets_total{device="eth0",@H} 0+6000x120
node_network_receive_bytes_total{device="eth0",@H} 0+6e9x120
node_network_transmit_bytes_total{device="eth0",@H} 0+6e9x120
vedette_gpu_lost{@G} 1x120
vedette_gpu_xid_class_errors_total{class="replace",@G} 0+1x120
vedette_agent_gpu_driver_unresponsive_seconds{@H} 90x120
DCGM_FI_DEV_GPU_TEMP{@G} 92x120
DCGM_FI_DEV_SLOWDOWN_TEMP{@G} 90x120
DCGM_FI_DEV_GPU_UTIL{@G} 100x120
DCGM_FI_DEV_FB_USED{@G} 100x120
DCGM_FI_DEV_FB_FREE{@G} 1x120
DCGM_FI_DEV_THERMAL_VIOLATION{@G} 0+6e10x120
DCGM_FI_DEV_ECC_DBE_VOL_TOTAL{@G} 0+1x120
DCGM_FI_DEV_ROW_REMAP_PENDING{@G} 1x120
DCGM_FI_DEV_ROW_REMAP_FAILURE{@G} 1x120
vedette_gpu_nvlink_up{link="0",@G} 1x10 0x110
vllm:num_requests_running{model_name="m",@S} 5x120
vllm:generation_tokens_total{model_name="m",@S} 0x120
vllm:request_success_total{model_name="m",finished_reason="error",@S} 0+60x120
vllm:request_success_total{model_name="m",finished_reason="stop",@S} 0+60x120
vllm:time_to_first_token_seconds_bucket{model_name="m",le="10",@S} 0x120
vllm:time_to_first_token_seconds_bucket{model_name="m",le="20",@S} 0+60x120
vllm:time_to_first_token_seconds_bucket{model_name="m",le="+Inf",@S} 0+60x120
vllm:e2e_request_latency_seconds_bucket{model_name="m",le="10",@S} 0x120
vllm:e2e_request_latency_seconds_bucket{model_name="m",le="20",@S} 0+60x120
vllm:e2e_request_latency_seconds_bucket{model_name="m",le="+Inf",@S} 0+60x120
vllm:num_requests_waiting{model_name="m",@S} 100x120
vllm:kv_cache_usage_perc{model_name="m",@S} 0.99x120
vllm:num_preemptions_total{model_name="m",@S} 0+60x120
up{model_name="m",gpu="0",@S} 0x120
vedette_agent_connected{@H} 1x60
vedette_agent_budget_used_ratio{resource="disk",@H} 0.9x120
vedette_agent_collector_up{collector="gpu",@H} 1x10 0x110
vedette_agent_throttle_level{@H} 5x120
"#;

fn source(lines: &str) -> MemorySource {
    let mut source = MemorySource::default();
    for line in lines.lines().filter(|line| !line.is_empty()) {
        let line = line
            .replace(
                "@H",
                &format!("job=\"node\",instance=\"n1\",{}", place("n1")),
            )
            .replace(
                "@G",
                &format!(
                    "job=\"gpu\",instance=\"n1\",UUID=\"GPU-1\",gpu=\"0\",{}",
                    place("n1")
                ),
            )
            .replace(
                "@S",
                &format!("job=\"vllm\",instance=\"n1:8000\",{}", place("n1")),
            );
        let (labels, rest) = labels(&line).unwrap_or_else(|why| panic!("{line}: {why}"));
        for (minute, point) in (0_i64..).zip(points(rest).unwrap()) {
            if let Point::Float(value) = point {
                source.push(&labels, Timestamp::from_millis(minute * MINUTE), value);
            }
        }
    }
    source
}

fn plan(document: &str) -> Plan {
    let text = spec::Text {
        name: "d",
        body: document,
    };
    let texts = if document.is_empty() {
        &[][..]
    } else {
        &[text]
    };
    spec::load(texts).unwrap_or_else(|problems| panic!("{problems:?}"))
}

/// Thresholds on all that a document may name, each on the side that `ALL_WRONG` is on.
fn thresholds() -> String {
    let metrics = spec::metrics().filter(|metric| metric.origin == spec::Origin::Collected);
    let (mut names, mut thresholds) = (Vec::new(), Vec::new());
    for metric in metrics {
        let value = if metric.bad == spec::Bad::High {
            "0.01"
        } else {
            "1000"
        };
        thresholds.push(format!("{}: {value}", metric.name));
        names.push(metric.name);
    }
    format!(
        "monitoring_config: {{metrics: [{}], thresholds: {{{}}}}}",
        names.join(", "),
        thresholds.join(", ")
    )
}

fn groups(plan: &Plan) -> (Vec<Group>, BTreeSet<(String, String)>) {
    let file = RuleFile::parse("specification", &plan.rule_file());
    let file = file.unwrap_or_else(|errors| panic!("{errors:?}"));
    let mut pairs = BTreeSet::new();
    for rule in file.groups.iter().flat_map(|group| &group.rules) {
        if let Kind::Alerting(alerting) = &rule.kind {
            let parents = alerting.depends_on.iter();
            pairs.extend(parents.map(|parent| (rule.name.clone(), parent.clone())));
        }
    }
    let settings = Arc::new(Settings::default());
    let groups = file.groups.into_iter();
    (
        groups.map(|group| Group::new(group, &settings)).collect(),
        pairs,
    )
}

fn run(plan: &Plan, source: &MemorySource, minutes: i64) -> Vec<Transition> {
    let span = (
        Timestamp::from_millis(0),
        Timestamp::from_millis(minutes * MINUTE),
    );
    let engine = Engine::default();
    let mut groups = groups(plan).0;
    let found = backtest(&mut groups, source, &engine, span, &|_, _| 1.0, u64::MAX).unwrap();
    assert_eq!(found.failures_total, 0, "{:?}", found.failures);
    found.transitions
}

fn routes(plan: &Plan, inhibitions: Vec<Inhibition>) -> Routes {
    let mut policy = plan.policy.clone();
    for (level, of_level) in &mut policy.levels {
        if *level >= Level::High {
            of_level.channels = vec![Channel::Pagerduty];
        }
    }
    policy
        .addresses
        .insert(Channel::Pagerduty, vec!["team".to_owned()]);
    Routes {
        policy,
        receivers: BTreeMap::new(),
        fallback: Vec::<Target>::new(),
        inhibitions,
        timing: Timing::default(),
        spare_readers: false,
        digests: BTreeMap::new(),
    }
}

#[test]
fn what_explains_a_rule_has_no_place_that_the_rule_lacks() {
    let source = source(ALL_WRONG);
    for document in [String::new(), thresholds()] {
        let plan = plan(&document);
        let mut fired: BTreeMap<&str, &Transition> = BTreeMap::new();
        let found = run(&plan, &source, 115);
        for transition in found.iter().filter(|it| it.to == State::Firing) {
            fired.insert(&transition.labels["alertname"], transition);
        }
        let pairs = groups(&plan).1;
        assert!(pairs.len() > 20);
        for (child, parent) in pairs {
            let of = |name: &str| {
                let fired = fired.get(name);
                (*fired.unwrap_or_else(|| panic!("{name} does not fire"))).clone()
            };
            let inhibition = Inhibition::dependency(&parent, &child);
            let mut centre = Centre::new("", routes(&plan, vec![inhibition])).unwrap();
            let (source, target) = (of(&parent), of(&child));
            let (child, named) = (alert::fingerprint(&target.labels), target.labels.clone());
            centre.take(vec![source.clone()], 200 * MINUTE);
            centre.take(vec![target], 200 * MINUTE);
            let held = centre.alerts().find(|it| it.fingerprint == child).unwrap();
            assert!(
                matches!(held.held, Some(Held::Parent { .. })),
                "{named:?} is not explained by {:?}",
                source.labels
            );
        }
    }
}

/// When alerts of a rule began to fire and ended, in minutes.
fn firing(found: &[Transition], rule: &str) -> Vec<(i64, bool)> {
    let of_rule = found.iter().filter(|it| it.labels["alertname"] == rule);
    of_rule
        .filter(|it| it.to == State::Firing || it.from == State::Firing)
        .map(|it| (it.at_millis / MINUTE, it.to == State::Firing))
        .collect()
}

#[test]
fn alerts_whose_data_vanish_are_held_and_end_before_what_explains_them() {
    let document =
        "monitoring_config: {model_name: m, metrics: [accuracy], thresholds: {accuracy: 0.9}}";
    let lines = r#"
node_cpu_seconds_total{mode="idle",cpu="0",@H} 0+0x40
vedette_agent_connected{@H} 1x40
model_accuracy{model="m",@S} 0.5x40
"#;
    let found = run(&plan(document), &source(lines), 480);
    let silent = firing(&found, "AgentSilent");
    assert_eq!(silent.len(), 2, "{silent:?}");
    for rule in ["CpuUsageHigh", "AccuracyLow"] {
        let [(began, true), (ended, false)] = *firing(&found, rule) else {
            panic!("{rule}: {:?}", firing(&found, rule));
        };
        assert!(began < 40, "{rule} {began}");
        assert!(
            ended > 240 && ended < silent[1].0,
            "{rule} {ended} {silent:?}"
        );
    }
    // Data that come back good end it by the rule's own terms.
    let lines = "\nmodel_accuracy{model=\"m\",@S} 0.5x40 _x60 0.99x60";
    let found = run(&plan(document), &source(lines), 150);
    let [(_, true), (ended, false)] = *firing(&found, "AccuracyLow") else {
        panic!("{found:?}");
    };
    assert!((100..=115).contains(&ended), "{ended}");
}

#[test]
fn nodes_of_a_region_that_fall_silent_are_one_incident_and_one_page() {
    let series = |node: usize| {
        let place = place(&format!("n{node}"));
        // One after another, within two minutes.
        let told = 30 + node % 3;
        format!("vedette_agent_connected{{job=\"agent\",instance=\"n{node}\",{place}}} 1x{told}\n")
    };
    let lines: String = (0..12).map(series).collect();
    let plan = plan("");
    let found = run(&plan, &source(&lines), 60);
    let silent = firing(&found, "AgentSilent");
    assert_eq!(silent.len(), 12);
    let mut centre = Centre::new("", routes(&plan, Vec::new())).unwrap();
    let mut pages = Vec::new();
    for now in (0..60 * MINUTE).step_by(1000) {
        let here = found
            .iter()
            .filter(|it| it.at_millis.div_euclid(1000) * 1000 == now);
        centre.take(here.cloned().collect(), now);
        centre.tick(now);
        for word in centre.due(now) {
            let taken = Delivery::Accepted { provider_id: None };
            centre.delivered(&word.id, taken, now);
            if matches!(word.message.kind, alert::Kind::Trigger) {
                pages.push(word);
            }
        }
    }
    assert_eq!(centre.incidents().count(), 1);
    assert_eq!(pages.len(), 1, "{pages:#?}");
    let incident = centre.incidents().next().unwrap();
    assert_eq!(centre.alerts_of(&incident.id).count(), 12);
}
