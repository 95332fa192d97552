//! The default bindings. What is collected is named as agents name it; what users push has a convention:
//! `model_NAME` with a label `model` for what a model is worth, `business_NAME` for what the business is.

use super::{Bad, Binding, Origin, Role};
use crate::Unit;

/// One row of the table below.
struct Row {
    name: &'static str,
    about: &'static str,
    unit: Unit,
    bad: Bad,
    role: Role,
    signal: &'static str,
    condition: &'static str,
    by: &'static [&'static str],
    trend: f64,
    runbook: &'static str,
    query: &'static str,
}

const DEGRADED: &str = "performance_degradation";
const RESOURCES: &str = "resource_usage_high";
/// Where a node is, as agents say it: what explains an alert shares all of these that it has.
const NODE: &[&str] = &["region", "cluster", "node"];
const SERVER: &[&str] = &["region", "cluster", "node", "instance"];

const fn cause(
    name: &'static str,
    unit: Unit,
    runbook: &'static str,
    about: &'static str,
    query: &'static str,
) -> Row {
    Row {
        name,
        about,
        unit,
        bad: Bad::High,
        role: Role::Cause,
        signal: "",
        condition: RESOURCES,
        by: NODE,
        trend: 0.2,
        runbook,
        query,
    }
}

static CAUSES: &[Row] = &[
    cause(
        "cpu_usage",
        Unit::Percent,
        "CpuUsageHigh",
        "the busy share of a node's processors, over five minutes",
        r#"1 - avg by (region, cluster, node) (rate(node_cpu_seconds_total{mode="idle"}[5m]))"#,
    ),
    cause(
        "memory_usage",
        Unit::Percent,
        "MemoryUsageHigh",
        "the share of a node's memory that is not available",
        "1 - sum by (region, cluster, node) (node_memory_MemAvailable_bytes) / sum by (region, cluster, node) (node_memory_MemTotal_bytes)",
    ),
    cause(
        "gpu_usage",
        Unit::Percent,
        "GpuUsageHigh",
        "the share of time that a GPU is busy",
        "max by (region, cluster, node, gpu) (DCGM_FI_DEV_GPU_UTIL) / 100",
    ),
    cause(
        "gpu_memory_usage",
        Unit::Percent,
        "GpuUsageHigh",
        "the share of a GPU's memory in use",
        "max by (region, cluster, node, gpu) (DCGM_FI_DEV_FB_USED / (DCGM_FI_DEV_FB_USED + DCGM_FI_DEV_FB_FREE))",
    ),
    cause(
        "gpu_temperature",
        Unit::Celsius,
        "GpuHot",
        "the temperature of a GPU",
        "max by (region, cluster, node, gpu) (DCGM_FI_DEV_GPU_TEMP)",
    ),
    cause(
        "disk_usage",
        Unit::Percent,
        "DiskUsageHigh",
        "the full share of a file system",
        r#"max by (region, cluster, node, mountpoint) (1 - node_filesystem_avail_bytes{fstype!~"tmpfs|ramfs|overlay|squashfs"} / node_filesystem_size_bytes{fstype!~"tmpfs|ramfs|overlay|squashfs"})"#,
    ),
    cause(
        "network_io",
        Unit::MegabytesPerSecond,
        "NetworkIoHigh",
        "what a node receives and sends over its network devices, over five minutes",
        r#"sum by (region, cluster, node) (rate(node_network_receive_bytes_total{device!~"lo|veth.*|docker.*|br-.*|cali.*|cni.*|flannel.*"}[5m])) + sum by (region, cluster, node) (rate(node_network_transmit_bytes_total{device!~"lo|veth.*|docker.*|br-.*|cali.*|cni.*|flannel.*"}[5m]))"#,
    ),
];

/// 95 of 100 requests are answered within it. Triton keeps no histogram by default: there it is the mean.
const LATENCY: &str = r#"histogram_quantile(0.95, sum by (le$and_by) (rate(vllm:e2e_request_latency_seconds_bucket{model_name=~"$model"}[5m]))) or histogram_quantile(0.95, sum by (le$and_by) (rate(sglang:e2e_request_latency_seconds_bucket{model_name=~"$model"}[5m]))) or histogram_quantile(0.95, sum by (le$and_by) (rate(tgi_request_duration_bucket{model_name=~"$model"}[5m]))) or sum by ($by) (rate(nv_inference_request_duration_us{model=~"$model"}[5m])) / sum by ($by) (rate(nv_inference_request_success{model=~"$model"}[5m])) / 1e6"#;
const FIRST_TOKEN: &str = r#"histogram_quantile(0.95, sum by (le$and_by) (rate(vllm:time_to_first_token_seconds_bucket{model_name=~"$model"}[5m]))) or histogram_quantile(0.95, sum by (le$and_by) (rate(sglang:time_to_first_token_seconds_bucket{model_name=~"$model"}[5m])))"#;
const THROUGHPUT: &str = r#"sum by ($by) (rate(vllm:request_success_total{model_name=~"$model"}[5m]) or rate(sglang:e2e_request_latency_seconds_count{model_name=~"$model"}[5m]) or rate(tgi_request_success{model_name=~"$model"}[5m]) or rate(nv_inference_request_success{model=~"$model"}[5m]))"#;
/// `or 0 *` stands for a server that has never failed and so has no series of failures. SGLang counts
/// none; there it is missing, and not 0.
const ERRORS: &str = r#"(sum by ($by) (rate(vllm:request_success_total{finished_reason="error",model_name=~"$model"}[5m])) or 0 * sum by ($by) (rate(vllm:request_success_total{model_name=~"$model"}[5m]))) / sum by ($by) (rate(vllm:request_success_total{model_name=~"$model"}[5m])) or sum by ($by) (rate(nv_inference_request_failure{model=~"$model"}[5m])) / (sum by ($by) (rate(nv_inference_request_failure{model=~"$model"}[5m])) + sum by ($by) (rate(nv_inference_request_success{model=~"$model"}[5m]))) or 1 - sum by ($by) (rate(tgi_request_success{model_name=~"$model"}[5m])) / sum by ($by) (rate(tgi_request_count{model_name=~"$model"}[5m]))"#;
const QUEUE: &str = r#"sum by ($by) (vllm:num_requests_waiting{model_name=~"$model"} or sglang:num_queue_reqs{model_name=~"$model"} or tgi_queue_size{model_name=~"$model"} or nv_inference_pending_request_count{model=~"$model"})"#;
const CACHE: &str = r#"max by ($by) (vllm:kv_cache_usage_perc{model_name=~"$model"} or sglang:token_usage{model_name=~"$model"})"#;

const fn signal(
    name: &'static str,
    signal: &'static str,
    unit: Unit,
    runbook: &'static str,
    about: &'static str,
    query: &'static str,
) -> Row {
    Row {
        name,
        about,
        unit,
        bad: Bad::High,
        role: Role::Symptom,
        signal,
        condition: DEGRADED,
        by: SERVER,
        trend: 0.2,
        runbook,
        query,
    }
}

static SIGNALS: &[Row] = &[
    signal(
        "latency",
        "latency",
        Unit::Milliseconds,
        "LatencyHigh",
        "the time within which 95 of 100 requests are answered, over five minutes; of Triton the mean",
        LATENCY,
    ),
    signal(
        "response_time",
        "latency",
        Unit::Milliseconds,
        "LatencyHigh",
        "the time within which 95 of 100 requests are answered, over five minutes; of Triton the mean",
        LATENCY,
    ),
    signal(
        "time_to_first_token",
        "latency",
        Unit::Milliseconds,
        "LatencyHigh",
        "the time within which 95 of 100 requests have their first token, over five minutes",
        FIRST_TOKEN,
    ),
    Row {
        bad: Bad::Low,
        by: &[],
        ..signal(
            "throughput",
            "traffic",
            Unit::RequestsPerSecond,
            "TrafficLow",
            "requests answered a second, over five minutes",
            THROUGHPUT,
        )
    },
    Row {
        condition: "high_error_rate",
        trend: 0.02,
        ..signal(
            "error_rate",
            "errors",
            Unit::Ratio,
            "ErrorsHigh",
            "the share of requests that fail, over five minutes",
            ERRORS,
        )
    },
    signal(
        "queue_length",
        "saturation",
        Unit::Count,
        "QueueLong",
        "requests that wait in a server",
        QUEUE,
    ),
    signal(
        "kv_cache_usage",
        "saturation",
        Unit::Percent,
        "KvCacheFull",
        "the share of a server's KV cache in use",
        CACHE,
    ),
];

const fn quality(name: &'static str, about: &'static str, query: &'static str) -> Row {
    Row {
        name,
        about,
        unit: Unit::Ratio,
        bad: Bad::Low,
        role: Role::Symptom,
        signal: "",
        condition: DEGRADED,
        by: &["model"],
        trend: 0.02,
        runbook: "ModelQualityLow",
        query,
    }
}

const fn business(name: &'static str, unit: Unit, about: &'static str, query: &'static str) -> Row {
    Row {
        unit,
        trend: 0.1,
        runbook: "BusinessMetricLow",
        ..quality(name, about, query)
    }
}

static PUSHED: &[Row] = &[
    quality(
        "accuracy",
        "the share of predictions that were right",
        r#"avg by ($by) (model_accuracy{model=~"$model"})"#,
    ),
    quality(
        "precision",
        "of what was predicted to be so, the share that was",
        r#"avg by ($by) (model_precision{model=~"$model"})"#,
    ),
    quality(
        "recall",
        "of what was so, the share that was predicted",
        r#"avg by ($by) (model_recall{model=~"$model"})"#,
    ),
    quality(
        "f1_score",
        "the harmonic mean of precision and recall",
        r#"avg by ($by) (model_f1_score{model=~"$model"})"#,
    ),
    business(
        "user_satisfaction",
        Unit::Ratio,
        "how satisfied users say they are, 0 to 1",
        r#"avg by ($by) (business_user_satisfaction{model=~"$model"})"#,
    ),
    business(
        "conversion_rate",
        Unit::Ratio,
        "the share of users who do what is hoped for",
        r#"avg by ($by) (business_conversion_rate{model=~"$model"})"#,
    ),
    business(
        "user_engagement",
        Unit::Ratio,
        "the share of users who are active",
        r#"avg by ($by) (business_user_engagement{model=~"$model"})"#,
    ),
    business(
        "revenue",
        Unit::Dollars,
        "revenue",
        r#"sum by ($by) (business_revenue{model=~"$model"})"#,
    ),
    business(
        "revenue_impact",
        Unit::Count,
        "what the model does to revenue: as a share, or in dollars, as it is pushed",
        r#"sum by ($by) (business_revenue_impact{model=~"$model"})"#,
    ),
];

/// All of them.
pub(super) fn all() -> impl Iterator<Item = Binding> {
    let collected = CAUSES.iter().chain(SIGNALS);
    let collected = collected.map(|row| binding(row, Origin::Collected));
    collected.chain(PUSHED.iter().map(|row| binding(row, Origin::Pushed)))
}

fn binding(row: &Row, origin: Origin) -> Binding {
    Binding {
        name: row.name.to_owned(),
        about: row.about.to_owned(),
        query: row.query.to_owned(),
        unit: row.unit,
        bad: row.bad,
        origin,
        role: row.role,
        signal: Some(row.signal.to_owned()).filter(|signal| !signal.is_empty()),
        condition: row.condition.to_owned(),
        by: row.by.iter().map(|label| (*label).to_owned()).collect(),
        trend: row.trend,
        runbook: row.runbook.to_owned(),
    }
}

/// What is taken of a name that only the user knows.
pub(super) fn unknown(name: &str) -> Binding {
    Binding {
        name: name.to_owned(),
        about: "a metric of yours".to_owned(),
        query: String::new(),
        unit: Unit::Count,
        bad: Bad::High,
        origin: Origin::Given,
        role: Role::Symptom,
        signal: None,
        condition: DEGRADED.to_owned(),
        by: Vec::new(),
        trend: 0.2,
        runbook: "CustomMetric".to_owned(),
    }
}
