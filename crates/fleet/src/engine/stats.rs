//! What an engine counts, in the terms of vLLM's own metrics.

use super::Sequence;
use crate::histogram::{Histogram, one_two_five};
use crate::profile::MODEL_TOKENS_MAX;
use crate::workload::Finish;

/// vLLM's bounds of time to first token, in seconds.
const FIRST_TOKEN_BOUNDS: [f64; 22] = [
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
    20.0, 40.0, 80.0, 160.0, 640.0, 2560.0,
];
/// vLLM's bounds of the time between tokens, in seconds.
const TOKEN_BOUNDS: [f64; 19] = [
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0,
    40.0, 80.0,
];
/// vLLM's bounds of the phases of a request, in seconds.
const REQUEST_BOUNDS: [f64; 21] = [
    0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0,
    480.0, 960.0, 1920.0, 7680.0,
];
/// vLLM's bounds of tokens in a step.
const STEP_BOUNDS: [f64; 13] = [
    1.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0, 16_384.0,
];
/// vLLM's bounds of the parameter `n`.
const N_BOUNDS: [f64; 5] = [1.0, 2.0, 5.0, 10.0, 20.0];

/// Counters and histograms of one engine since its start.
#[derive(Clone, Debug)]
#[expect(
    missing_docs,
    reason = "named as the metrics are, which `page` explains"
)]
pub struct Stats {
    pub preemptions: u64,
    pub prompt_tokens: u64,
    pub prompt_tokens_cached: u64,
    pub generation_tokens: u64,
    pub cache_queries: u64,
    pub cache_hits: u64,
    pub finished_stop: u64,
    pub finished_length: u64,
    pub finished_abort: u64,
    pub cpu_seconds: f64,
    pub time_to_first_token: Histogram,
    pub inter_token_latency: Histogram,
    pub request_time_per_output_token: Histogram,
    pub e2e_request_latency: Histogram,
    pub request_queue_time: Histogram,
    pub request_inference_time: Histogram,
    pub request_prefill_time: Histogram,
    pub request_decode_time: Histogram,
    pub request_prompt_tokens: Histogram,
    pub request_generation_tokens: Histogram,
    pub request_max_num_generation_tokens: Histogram,
    pub request_params_max_tokens: Histogram,
    pub request_params_n: Histogram,
    pub request_prefill_kv_computed_tokens: Histogram,
    pub iteration_tokens: Histogram,
}

impl Stats {
    /// Nothing counted yet.
    pub(super) fn new() -> Self {
        let tokens = || Histogram::new(&one_two_five(MODEL_TOKENS_MAX));
        let phase = || Histogram::new(&REQUEST_BOUNDS);
        Self {
            preemptions: 0,
            prompt_tokens: 0,
            prompt_tokens_cached: 0,
            generation_tokens: 0,
            cache_queries: 0,
            cache_hits: 0,
            finished_stop: 0,
            finished_length: 0,
            finished_abort: 0,
            // Loading the weights takes about so much.
            cpu_seconds: 45.0,
            time_to_first_token: Histogram::new(&FIRST_TOKEN_BOUNDS),
            inter_token_latency: Histogram::new(&TOKEN_BOUNDS),
            request_time_per_output_token: Histogram::new(&TOKEN_BOUNDS),
            e2e_request_latency: phase(),
            request_queue_time: phase(),
            request_inference_time: phase(),
            request_prefill_time: phase(),
            request_decode_time: phase(),
            request_prompt_tokens: tokens(),
            request_generation_tokens: tokens(),
            request_max_num_generation_tokens: tokens(),
            request_params_max_tokens: tokens(),
            request_params_n: Histogram::new(&N_BOUNDS),
            request_prefill_kv_computed_tokens: tokens(),
            iteration_tokens: Histogram::new(&STEP_BOUNDS),
        }
    }

    /// Counts one generated token of `sequence` at time `now`; returns whether it was the first,
    /// which is when vLLM counts the prompt.
    pub(super) fn token(&mut self, sequence: &mut Sequence, now: f64) -> bool {
        let first = sequence.first_token_at.is_none();
        let request = &sequence.request;
        if first {
            sequence.first_token_at = Some(now);
            self.time_to_first_token.observe(now - request.arrival);
            self.prompt_tokens += u64::from(request.prompt_tokens);
            self.prompt_tokens_cached += u64::from(request.cached_tokens);
        } else {
            self.inter_token_latency
                .observe(now - sequence.last_token_at);
        }
        sequence.last_token_at = now;
        sequence.generated += 1;
        sequence.target += 1;
        self.generation_tokens += 1;
        first
    }

    /// Counts a request that is done. Its phases are vLLM's: queued until first scheduled,
    /// prefill until the first token, decode until the last.
    pub(super) fn finished(&mut self, sequence: &Sequence) {
        let request = &sequence.request;
        let scheduled = sequence.scheduled_at.unwrap_or(request.arrival);
        let first = sequence.first_token_at.unwrap_or(scheduled);
        let last = sequence.last_token_at;
        match request.finish {
            Finish::Stop => self.finished_stop += 1,
            Finish::Length => self.finished_length += 1,
            Finish::Abort => self.finished_abort += 1,
        }
        self.e2e_request_latency.observe(last - request.arrival);
        self.request_queue_time.observe(scheduled - request.arrival);
        self.request_prefill_time.observe(first - scheduled);
        self.request_inference_time.observe(last - scheduled);
        self.request_decode_time.observe(last - first);
        let after_first = f64::from(sequence.generated.saturating_sub(1)).max(1.0);
        self.request_time_per_output_token
            .observe((last - first) / after_first);
        let generated = f64::from(sequence.generated);
        self.request_prompt_tokens
            .observe(f64::from(request.prompt_tokens));
        self.request_generation_tokens.observe(generated);
        self.request_max_num_generation_tokens.observe(generated);
        self.request_params_max_tokens
            .observe(f64::from(request.max_tokens));
        self.request_params_n.observe(1.0);
        self.request_prefill_kv_computed_tokens
            .observe(f64::from(request.prompt_tokens - request.cached_tokens));
    }

    /// Counts a step that took in so many prompts' tokens and generated so many.
    pub(super) fn step(&mut self, prompt_tokens: u64, generated: u64) {
        self.iteration_tokens
            .observe((prompt_tokens + generated) as f64);
    }
}
