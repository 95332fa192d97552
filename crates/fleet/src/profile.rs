//! What kinds of server the fleet has: which model they serve, how fast, for whom.

/// One kind of server. Speeds are round figures of the size that such a server shows.
#[derive(Clone, Copy, Debug)]
pub struct Profile {
    /// Value of the label `model_name`.
    pub model_name: &'static str,
    /// The GPU, as NVML names it.
    pub gpu_name: &'static str,
    /// Memory of one GPU, in MiB.
    pub gpu_memory_mib: u32,
    /// Power limit of one GPU, in watts.
    pub gpu_power_watts: f64,
    /// Blocks of KV cache, of [`BLOCK_TOKENS`] tokens each.
    pub kv_blocks: u32,
    /// What an engine step costs before any token, in seconds: reading the weights once.
    pub step_seconds: f64,
    /// What one token of prefill adds to a step, in seconds.
    pub prefill_token_seconds: f64,
    /// What one more sequence in decode adds to a step, in seconds.
    pub sequence_seconds: f64,
    /// What one token of context in decode adds to a step, in seconds: reading its keys and values.
    pub context_token_seconds: f64,
    /// Requests that arrive in a second, on the mean of a day without bursts.
    pub requests_per_second: f64,
    /// Share of requests that ask for code (long prompt, short answer) and not for conversation.
    pub code_share: f64,
}

/// Tokens in one block of the KV cache: vLLM's default.
pub const BLOCK_TOKENS: u32 = 16;

/// Sequences that run at the same time at most: vLLM's `--max-num-seqs`.
pub const SEQUENCES_MAX: usize = 256;

/// Tokens that one step works on at most: vLLM's `--max-num-batched-tokens`.
pub const STEP_TOKENS_MAX: u32 = 2048;

/// Longest prompt with its answer, in tokens: vLLM's `--max-model-len`.
pub const MODEL_TOKENS_MAX: u32 = 16_384;

/// The kinds of server in the fleet, dealt out in turn.
pub const PROFILES: [Profile; 3] = [
    Profile {
        model_name: "meta-llama/Llama-3.3-70B-Instruct",
        gpu_name: "NVIDIA H100 80GB HBM3",
        gpu_memory_mib: 81_559,
        gpu_power_watts: 700.0,
        kv_blocks: 27_000,
        step_seconds: 0.017,
        prefill_token_seconds: 85e-6,
        sequence_seconds: 25e-6,
        context_token_seconds: 40e-9,
        requests_per_second: 4.0,
        code_share: 0.2,
    },
    Profile {
        model_name: "Qwen/Qwen2.5-32B-Instruct",
        gpu_name: "NVIDIA A100-SXM4-80GB",
        gpu_memory_mib: 81_920,
        gpu_power_watts: 400.0,
        kv_blocks: 18_000,
        step_seconds: 0.013,
        prefill_token_seconds: 60e-6,
        sequence_seconds: 20e-6,
        context_token_seconds: 30e-9,
        requests_per_second: 6.0,
        code_share: 0.5,
    },
    Profile {
        model_name: "meta-llama/Llama-3.1-8B-Instruct",
        gpu_name: "NVIDIA L40S",
        gpu_memory_mib: 46_068,
        gpu_power_watts: 350.0,
        kv_blocks: 10_000,
        step_seconds: 0.009,
        prefill_token_seconds: 22e-6,
        sequence_seconds: 15e-6,
        context_token_seconds: 20e-9,
        requests_per_second: 7.0,
        code_share: 0.1,
    },
];
