//! Rules of documents and stock rules, evaluated over series as servers and agents tell them.

use query::{Engine, Options, testing};

use super::super::load;
use super::texts;

const DOCUMENT: &str = "
monitoring_config:
  model_name: m
  metrics: [accuracy, latency, throughput, error_rate]
  thresholds: {accuracy: 0.95, latency: 100, error_rate: 0.01, throughput: 10}
alerting_config:
  alerting: {threshold_alerts: true, trend_alerts: true, anomaly_alerts: true}
---
system_monitoring:
  infrastructure_metrics:
    cpu_usage: {threshold: 80}
    disk_usage: {threshold: 85}
    network_io: {threshold: 1000}
  application_metrics:
    throughput: {threshold: 100}
    queue_length: {threshold: 100}
";

/// What the rule `name` of one model, or of all where `model` is false, finds after `load`.
fn check(name: &str, model: bool, load_series: &str, at: &str, expected: &str) {
    let plan = load(&texts(&[DOCUMENT])).unwrap();
    let mut rules = plan.rules.iter().filter(|rule| rule.name == name);
    let rule = rules
        .find(|rule| rule.labels.contains_key("model") == model)
        .unwrap();
    let script = format!(
        "load 1m\n{load_series}\n\neval instant at {at} {}\n{expected}\n",
        rule.expr
    );
    let report = testing::run(&Engine::new(Options::default()), &script);
    assert!(
        report.misses.is_empty() && report.passed == 1,
        "{name}: {report:#?}"
    );
}

#[test]
fn thresholds_find_what_is_past_them() {
    check(
        "AccuracyLow",
        true,
        "model_accuracy{model=\"m\"} 0.94x10\nmodel_accuracy{model=\"n\"} 0.1x10",
        "10m",
        "  {} 0.94",
    );
    check(
        "AccuracyLow",
        true,
        "model_accuracy{model=\"m\"} 0.96x10\nmodel_accuracy{model=\"n\"} 0.1x10",
        "10m",
        "",
    );
    check(
        "CpuUsageHigh",
        false,
        "node_cpu_seconds_total{node=\"a\",cpu=\"0\",mode=\"idle\"} 0+6x10\nnode_cpu_seconds_total{node=\"b\",cpu=\"0\",mode=\"idle\"} 0+30x10",
        "10m",
        "  {node=\"a\"} 0.9",
    );
    check(
        "DiskUsageHigh",
        false,
        "node_filesystem_avail_bytes{node=\"a\",mountpoint=\"/\",fstype=\"ext4\"} 10x10\nnode_filesystem_size_bytes{node=\"a\",mountpoint=\"/\",fstype=\"ext4\"} 100x10",
        "10m",
        "  {node=\"a\", mountpoint=\"/\"} 0.9",
    );
    check(
        "NetworkIoHigh",
        false,
        "node_network_receive_bytes_total{node=\"a\",device=\"eth0\"} 0+60e9x10\nnode_network_transmit_bytes_total{node=\"a\",device=\"eth0\"} 0+30e9x10\nnode_network_receive_bytes_total{node=\"a\",device=\"lo\"} 0+60e9x10",
        "10m",
        "  {node=\"a\"} 1.5e9",
    );
}

#[test]
fn servers_of_all_makes_count_together() {
    let load = "vllm:request_success_total{node=\"a\",instance=\"v\",model_name=\"m\",finished_reason=\"stop\"} 0+120x10
sglang:e2e_request_latency_seconds_count{node=\"b\",instance=\"s\",model_name=\"m\"} 0+60x10
nv_inference_request_success{node=\"c\",instance=\"t\",model=\"m\"} 0+60x10
tgi_request_success{node=\"d\",instance=\"g\"} 0+60x10";
    check("ThroughputLow", true, load, "10m", "  {} 4");
    check("ThroughputLow", false, load, "10m", "  {} 5");
    let load =
        "vllm:num_requests_waiting{node=\"a\",instance=\"v\",model_name=\"m\",engine=\"0\"} 70x10
vllm:num_requests_waiting{node=\"a\",instance=\"v\",model_name=\"m\",engine=\"1\"} 80x10
nv_inference_pending_request_count{node=\"c\",instance=\"t\",model=\"m\"} 3x10";
    check(
        "QueueLengthHigh",
        false,
        load,
        "10m",
        "  {node=\"a\", instance=\"v\"} 150",
    );
}

#[test]
fn a_server_that_never_failed_has_an_error_rate_of_zero_and_one_without_the_series_has_none() {
    let ok = "vllm:request_success_total{node=\"a\",instance=\"v\",model_name=\"m\",finished_reason=\"stop\"} 0+98x10";
    check("ErrorRateHigh", true, ok, "10m", "");
    let some = format!(
        "{ok}\nvllm:request_success_total{{node=\"a\",instance=\"v\",model_name=\"m\",finished_reason=\"error\"}} 0+2x10"
    );
    check("ErrorRateHigh", true, &some, "10m", "  {} 0.02");
    let sglang = "sglang:e2e_request_latency_seconds_count{node=\"b\",instance=\"s\",model_name=\"m\"} 0+60x10";
    check("ErrorRateHigh", true, sglang, "10m", "");
}

#[test]
fn a_trend_is_a_way_from_the_mean_of_seven_days() {
    let fell = "model:accuracy{model=\"m\"} 0.95x4000 0.92x100";
    check(
        "AccuracyFalls",
        true,
        fell,
        "4100m",
        "  {model=\"m\"} 0.029268471104608507",
    );
    check(
        "AccuracyFalls",
        true,
        "model:accuracy{model=\"m\"} 0.95x4000 0.94x100",
        "4100m",
        "",
    );
    // Before a day of data there is no baseline.
    check(
        "AccuracyFalls",
        true,
        "model:accuracy{model=\"m\"} 0.95x900 0.5x100",
        "1000m",
        "",
    );
    let rose = "model:latency{model=\"m\"} 1x3999 2x99";
    check(
        "LatencyRises",
        true,
        rose,
        "4099m",
        "  {model=\"m\"} 0.9523809523809523",
    );
    check(
        "LatencyRises",
        true,
        "model:latency{model=\"m\"} 1x3999 0.5x99",
        "4099m",
        "",
    );
}

#[test]
fn what_is_far_from_the_median_of_a_day_is_unusual_in_the_bad_direction() {
    let calm = "model:latency{model=\"m\"} 1x3000";
    check("LatencyUnusual", true, calm, "3000m", "");
    // A series that does not move may move a fiftieth: 1.2 is ten of them away.
    check(
        "LatencyUnusual",
        true,
        "model:latency{model=\"m\"} 1x3000 1.2x10",
        "3010m",
        "  {model=\"m\"} 10",
    );
    check(
        "LatencyUnusual",
        true,
        "model:latency{model=\"m\"} 1x3000 0.2x10",
        "3010m",
        "",
    );
    check(
        "AccuracyUnusual",
        true,
        "model:accuracy{model=\"m\"} 0.9x3000 0.5x10",
        "3010m",
        "  {model=\"m\"} 22.222222",
    );
    // No baseline of zero divides.
    check(
        "ErrorRateUnusual",
        true,
        "model:error_rate{model=\"m\"} 0x3000 0.5x10",
        "3010m",
        "",
    );
}

#[test]
fn the_stock_rules_see_silence_and_a_hung_engine() {
    let load = "vedette_agent_connected{node=\"a\"} 1x60
vedette_agent_connected{node=\"b\"} 1x100";
    check("AgentSilent", false, load, "90m", "  {node=\"a\"} 1");
    let load = "vllm:num_requests_running{node=\"a\",instance=\"v\",model_name=\"m\"} 3x20
vllm:generation_tokens_total{node=\"a\",instance=\"v\",model_name=\"m\"} 0+9x10 90x10
vllm:num_requests_running{node=\"a\",instance=\"w\",model_name=\"m\"} 3x20
vllm:generation_tokens_total{node=\"a\",instance=\"w\",model_name=\"m\"} 0+9x20";
    check(
        "EngineHung",
        false,
        load,
        "20m",
        "  {node=\"a\", instance=\"v\"} 3",
    );
    let load = "vllm:request_success_total{model_name=\"m\"} 0+60x60 3600x30
vllm:request_success_total{model_name=\"n\"} 0+60x90";
    check(
        "TrafficStopped",
        false,
        load,
        "80m",
        "  {model_name=\"m\"} 0",
    );
    let load = "vedette_gpu_xid_class_errors_total{node=\"a\",gpu=\"0\",class=\"replace\"} 0x10 1x5
vedette_gpu_xid_class_errors_total{node=\"a\",gpu=\"0\",class=\"watch\"} 0x10 1x5";
    check(
        "GpuNeedsAct",
        false,
        load,
        "15m",
        "  {node=\"a\", gpu=\"0\", class=\"replace\"} 1",
    );
}
