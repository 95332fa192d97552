//! vLLM's metrics page: names, labels, types, help and order as its version 0.2x has them.
//!
//! Left out is what a server only shows when it is told to: `LoRA`, speculative decoding, sampled
//! KV blocks, estimated FLOPs.

use crate::engine::{Engine, Stats};
use crate::histogram::Histogram;
use crate::page::{Page, python_float};

/// The page of `engine`.
pub(super) fn page(engine: &Engine, started_unix_seconds: f64) -> String {
    let mut page = Page::default();
    process(&mut page, engine.stats(), started_unix_seconds);
    let labels = Labels {
        model: format!("model_name=\"{}\"", engine.profile().model_name),
    };
    scheduler(&mut page, &labels, engine);
    counters(&mut page, &labels, engine.stats());
    histograms(&mut page, &labels, engine.stats());
    cache_config(&mut page, engine);
    page.into_text()
}

/// The labels that all of vLLM's own series have. Labels are sorted by name, so what else there
/// is stands before, between or after these two.
struct Labels {
    model: String,
}

const ENGINE: &str = "engine=\"0\"";

impl Labels {
    fn plain(&self) -> String {
        format!("{ENGINE},{}", self.model)
    }

    /// With a label whose name comes after `model_name`.
    fn and(&self, name: &str, value: &str) -> String {
        format!("{ENGINE},{},{name}=\"{value}\"", self.model)
    }
}

/// What the Python client says of its own process.
fn process(page: &mut Page, stats: &Stats, started_unix_seconds: f64) {
    page.single(
        "python_info",
        "gauge",
        "Python platform information",
        "implementation=\"CPython\",major=\"3\",minor=\"12\",patchlevel=\"11\",version=\"3.12.11\"",
        1.0,
    );
    page.single(
        "process_start_time_seconds",
        "gauge",
        "Start time of the process since unix epoch in seconds.",
        "",
        started_unix_seconds,
    );
    page.single(
        "process_cpu_seconds_total",
        "counter",
        "Total user and system CPU time spent in seconds.",
        "",
        stats.cpu_seconds,
    );
}

fn scheduler(page: &mut Page, labels: &Labels, engine: &Engine) {
    let gauge = |page: &mut Page, name, help, value| {
        page.single(name, "gauge", help, &labels.plain(), value);
    };
    gauge(
        page,
        "vllm:num_requests_running",
        "Number of requests in model execution batches.",
        engine.running() as f64,
    );
    gauge(
        page,
        "vllm:num_requests_waiting",
        "Number of requests waiting to be processed.",
        engine.waiting() as f64,
    );
    let name = "vllm:num_requests_waiting_by_reason";
    page.family(name, "gauge", "Number of waiting requests by reason.");
    for (reason, count) in [("capacity", engine.waiting()), ("deferred", 0)] {
        let labels = labels.and("reason", reason);
        page.sample(name, &labels, &python_float(count as f64));
    }
    let name = "vllm:engine_sleep_state";
    page.family(
        name,
        "gauge",
        "Engine sleep state; awake = 0 means engine is sleeping; awake = 1 means engine is awake; \
         weights_offloaded = 1 means sleep level 1; discard_all = 1 means sleep level 2.",
    );
    for (state, value) in [
        ("awake", "1.0"),
        ("weights_offloaded", "0.0"),
        ("discard_all", "0.0"),
    ] {
        page.sample(name, &labels.and("sleep_state", state), value);
    }
    gauge(
        page,
        "vllm:kv_cache_usage_perc",
        "KV-cache usage. 1 means 100 percent usage.",
        engine.kv_usage(),
    );
}

fn counters(page: &mut Page, labels: &Labels, stats: &Stats) {
    let counters = [
        (
            "vllm:prefix_cache_queries_total",
            "Prefix cache queries, in terms of number of queried tokens.",
            stats.cache_queries,
        ),
        (
            "vllm:prefix_cache_hits_total",
            "Prefix cache hits, in terms of number of cached tokens.",
            stats.cache_hits,
        ),
        (
            "vllm:external_prefix_cache_queries_total",
            "External prefix cache queries from KV connector cross-instance cache sharing, in \
             terms of number of queried tokens.",
            0,
        ),
        (
            "vllm:external_prefix_cache_hits_total",
            "External prefix cache hits from KV connector cross-instance cache sharing, in terms \
             of number of cached tokens.",
            0,
        ),
        (
            "vllm:mm_cache_queries_total",
            "Multi-modal cache queries, in terms of number of queried items.",
            0,
        ),
        (
            "vllm:mm_cache_hits_total",
            "Multi-modal cache hits, in terms of number of cached items.",
            0,
        ),
        (
            "vllm:num_preemptions_total",
            "Cumulative number of preemption from the engine.",
            stats.preemptions,
        ),
        (
            "vllm:prompt_tokens_total",
            "Number of prefill tokens processed.",
            stats.prompt_tokens,
        ),
        (
            "vllm:prompt_tokens_cached_total",
            "Number of cached prompt tokens (local + external).",
            stats.prompt_tokens_cached,
        ),
        (
            "vllm:prompt_tokens_recomputed_total",
            "Number of cached tokens recomputed for forward pass.",
            0,
        ),
        (
            "vllm:generation_tokens_total",
            "Number of generation tokens processed.",
            stats.generation_tokens,
        ),
    ];
    for (name, help, value) in counters {
        page.single(name, "counter", help, &labels.plain(), value as f64);
    }
    by_source(page, labels, stats);
    by_reason(page, stats, labels);
}

fn by_source(page: &mut Page, labels: &Labels, stats: &Stats) {
    let name = "vllm:prompt_tokens_by_source_total";
    page.family(name, "counter", "Number of prompt tokens by source.");
    for (source, value) in [
        (
            "local_compute",
            stats.prompt_tokens - stats.prompt_tokens_cached,
        ),
        ("local_cache_hit", stats.prompt_tokens_cached),
        ("external_kv_transfer", 0),
    ] {
        let labels = labels.and("source", source);
        page.sample(name, &labels, &python_float(value as f64));
    }
}

fn by_reason(page: &mut Page, stats: &Stats, labels: &Labels) {
    let name = "vllm:request_success_total";
    page.family(name, "counter", "Count of successfully processed requests.");
    for (reason, value) in [
        ("stop", stats.finished_stop),
        ("length", stats.finished_length),
        ("abort", stats.finished_abort),
        ("error", 0),
        ("repetition", 0),
    ] {
        let labels = format!("{ENGINE},finished_reason=\"{reason}\",{}", labels.model);
        page.sample(name, &labels, &python_float(value as f64));
    }
}

/// A histogram of the page: its name, its help and where it is counted.
type Counted = (&'static str, &'static str, fn(&Stats) -> &Histogram);

const HISTOGRAMS: [Counted; 15] = [
    (
        "vllm:request_prompt_tokens",
        "Number of prefill tokens processed.",
        |stats| &stats.request_prompt_tokens,
    ),
    (
        "vllm:request_generation_tokens",
        "Number of generation tokens processed.",
        |stats| &stats.request_generation_tokens,
    ),
    (
        "vllm:iteration_tokens_total",
        "Histogram of number of tokens per engine_step.",
        |stats| &stats.iteration_tokens,
    ),
    (
        "vllm:request_max_num_generation_tokens",
        "Histogram of maximum number of requested generation tokens.",
        |stats| &stats.request_max_num_generation_tokens,
    ),
    (
        "vllm:request_params_n",
        "Histogram of the n request parameter.",
        |stats| &stats.request_params_n,
    ),
    (
        "vllm:request_params_max_tokens",
        "Histogram of the max_tokens request parameter.",
        |stats| &stats.request_params_max_tokens,
    ),
    (
        "vllm:time_to_first_token_seconds",
        "Histogram of time to first token in seconds.",
        |stats| &stats.time_to_first_token,
    ),
    (
        "vllm:inter_token_latency_seconds",
        "Histogram of inter-token latency in seconds.",
        |stats| &stats.inter_token_latency,
    ),
    (
        "vllm:request_time_per_output_token_seconds",
        "Histogram of time_per_output_token_seconds per request.",
        |stats| &stats.request_time_per_output_token,
    ),
    (
        "vllm:e2e_request_latency_seconds",
        "Histogram of e2e request latency in seconds.",
        |stats| &stats.e2e_request_latency,
    ),
    (
        "vllm:request_queue_time_seconds",
        "Histogram of time spent in WAITING phase for request.",
        |stats| &stats.request_queue_time,
    ),
    (
        "vllm:request_inference_time_seconds",
        "Histogram of time spent in RUNNING phase for request.",
        |stats| &stats.request_inference_time,
    ),
    (
        "vllm:request_prefill_time_seconds",
        "Histogram of time spent in PREFILL phase for request.",
        |stats| &stats.request_prefill_time,
    ),
    (
        "vllm:request_decode_time_seconds",
        "Histogram of time spent in DECODE phase for request.",
        |stats| &stats.request_decode_time,
    ),
    (
        "vllm:request_prefill_kv_computed_tokens",
        "Histogram of new KV tokens computed during prefill (excluding cached tokens).",
        |stats| &stats.request_prefill_kv_computed_tokens,
    ),
];

fn histograms(page: &mut Page, labels: &Labels, stats: &Stats) {
    for (name, help, histogram) in HISTOGRAMS {
        page.histogram(name, help, (ENGINE, &labels.model), histogram(stats));
    }
}

fn cache_config(page: &mut Page, engine: &Engine) {
    let labels = format!(
        "block_size=\"{}\",cache_dtype=\"auto\",enable_prefix_caching=\"True\",{ENGINE},\
         gpu_memory_utilization=\"0.9\",num_cpu_blocks=\"None\",num_gpu_blocks=\"{}\",\
         num_gpu_blocks_override=\"None\",sliding_window=\"None\"",
        crate::profile::BLOCK_TOKENS,
        engine.profile().kv_blocks,
    );
    page.single(
        "vllm:cache_config_info",
        "gauge",
        "Information of the LLMEngine CacheConfig",
        &labels,
        1.0,
    );
}
