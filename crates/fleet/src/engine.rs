//! One engine: continuous batching over a paged KV cache, step by step, as vLLM does it.
//!
//! A step takes a token from every sequence in decode and fills what is left of its budget with
//! prefill; it lasts as long as its work. When the cache is full, the sequence that came last is
//! preempted: it gives up its blocks, goes back to the front of the queue and prefills anew.

mod stats;

use std::collections::VecDeque;

pub use stats::Stats;

use crate::gpu::Gpus;
use crate::profile::{BLOCK_TOKENS, Profile, SEQUENCES_MAX, STEP_TOKENS_MAX};
use crate::rng::Rng;
use crate::workload::{Arrivals, Request};

/// A request in the engine.
#[derive(Clone, Debug)]
struct Sequence {
    request: Request,
    /// Tokens whose keys and values are in the cache.
    computed: u32,
    /// Tokens that must be in the cache before the next one can be generated.
    target: u32,
    generated: u32,
    blocks: u32,
    scheduled_at: Option<f64>,
    first_token_at: Option<f64>,
    last_token_at: f64,
}

impl Sequence {
    fn new(request: Request) -> Self {
        Self {
            computed: 0,
            target: request.prompt_tokens,
            generated: 0,
            blocks: 0,
            scheduled_at: None,
            first_token_at: None,
            last_token_at: request.arrival,
            request,
        }
    }

    /// Blocks wanted beyond those held, to hold `tokens` more.
    fn blocks_for(&self, tokens: u32) -> u32 {
        (self.computed + tokens)
            .div_ceil(BLOCK_TOKENS)
            .saturating_sub(self.blocks)
    }

    /// Tokens that the next step should work on, if the budget allows.
    fn wants(&self) -> u32 {
        self.target - self.computed
    }
}

/// A step that is under way.
#[derive(Clone, Debug)]
struct Step {
    ends_at: f64,
    /// How many of its tokens each running sequence gets, in the order of `Engine::running`.
    tokens: Vec<u32>,
}

/// One simulated engine.
#[derive(Clone, Debug)]
pub struct Engine {
    profile: Profile,
    rng: Rng,
    arrivals: Arrivals,
    next: Request,
    waiting: VecDeque<Sequence>,
    running: Vec<Sequence>,
    free_blocks: u32,
    step: Option<Step>,
    /// The simulation's time in seconds: the end of the last step, or of the idle time after it.
    now: f64,
    stats: Stats,
    gpus: Gpus,
}

impl Engine {
    /// An idle engine at time 0 in front of these arrivals.
    #[must_use]
    pub fn new(profile: &Profile, mut arrivals: Arrivals, gpus: Gpus, rng: Rng) -> Self {
        let next = arrivals.next_request();
        Self {
            profile: *profile,
            rng,
            arrivals,
            next,
            waiting: VecDeque::new(),
            running: Vec::new(),
            free_blocks: profile.kv_blocks,
            step: None,
            now: 0.0,
            stats: Stats::new(),
            gpus,
        }
    }

    /// Lets the engine work until `until`, in seconds since the start. What is asked for in one
    /// go or in many comes to the same.
    pub fn advance(&mut self, until: f64) {
        loop {
            if self.step.is_none() {
                self.take_arrivals(self.now);
                self.begin_step();
            }
            match self.step.take() {
                Some(step) if step.ends_at <= until => self.end_step(&step),
                Some(step) => {
                    self.step = Some(step);
                    break;
                }
                None => {
                    let idle_until = self.next.arrival.min(until);
                    if idle_until <= self.now {
                        break;
                    }
                    self.gpus.idle(idle_until - self.now);
                    self.now = idle_until;
                }
            }
        }
        self.take_arrivals(until);
    }

    /// Moves everything that arrived by `until` into the queue.
    fn take_arrivals(&mut self, until: f64) {
        while self.next.arrival <= until {
            self.waiting.push_back(Sequence::new(self.next));
            self.next = self.arrivals.next_request();
        }
    }

    /// Chooses the work of the next step, if there is any.
    fn begin_step(&mut self) {
        let mut budget = STEP_TOKENS_MAX;
        let mut tokens = Vec::with_capacity(self.running.len());
        let mut preempted = false;
        while tokens.len() < self.running.len() {
            let at = tokens.len();
            let take = self.running[at].wants().min(budget);
            preempted |= self.make_room(at, take);
            if let Some(sequence) = self.running.get_mut(at) {
                let blocks = sequence.blocks_for(take);
                sequence.blocks += blocks;
                self.free_blocks -= blocks;
                budget -= take;
                tokens.push(take);
            }
        }
        // After a preemption nobody is let in: the room is needed by those who run.
        if !preempted {
            self.admit(budget, &mut tokens);
        }
        if tokens.is_empty() {
            return;
        }
        let (seconds, prefill_share) = self.duration(&tokens);
        self.gpus.plan(prefill_share);
        self.step = Some(Step {
            ends_at: self.now + seconds,
            tokens,
        });
    }

    /// Frees blocks for `take` more tokens of the sequence at `at`, preempting from the back, at
    /// last itself. Returns whether anything was preempted.
    fn make_room(&mut self, at: usize, take: u32) -> bool {
        let mut preempted = false;
        while at < self.running.len() && self.running[at].blocks_for(take) > self.free_blocks {
            let Some(mut sequence) = self.running.pop() else {
                break;
            };
            self.free_blocks += sequence.blocks;
            sequence.blocks = 0;
            sequence.computed = 0;
            sequence.target = sequence.request.prompt_tokens + sequence.generated;
            self.waiting.push_front(sequence);
            self.stats.preemptions += 1;
            preempted = true;
        }
        preempted
    }

    /// Lets waiting sequences in, first come first served, while budget, places and blocks last.
    fn admit(&mut self, mut budget: u32, tokens: &mut Vec<u32>) {
        while budget > 0 && self.running.len() < SEQUENCES_MAX {
            let Some(sequence) = self.waiting.front_mut() else {
                break;
            };
            let cached = sequence.request.cached_tokens;
            let take = (sequence.target - cached).min(budget);
            if (cached + take).div_ceil(BLOCK_TOKENS) > self.free_blocks {
                break;
            }
            if sequence.scheduled_at.is_none() {
                sequence.scheduled_at = Some(self.now);
                self.stats.cache_queries += u64::from(sequence.request.prompt_tokens);
                self.stats.cache_hits += u64::from(cached);
            }
            sequence.computed = cached;
            sequence.blocks = sequence.blocks_for(take);
            self.free_blocks -= sequence.blocks;
            budget -= take;
            tokens.push(take);
            if let Some(sequence) = self.waiting.pop_front() {
                self.running.push(sequence);
            }
        }
    }

    /// How long the step lasts, in seconds, and how much of that is prefill.
    fn duration(&mut self, tokens: &[u32]) -> (f64, f64) {
        let (mut prefill, mut context, mut decodes) = (0, 0_u64, 0_u32);
        for (sequence, take) in self.running.iter().zip(tokens) {
            if sequence.generated > 0 && sequence.wants() == 1 {
                decodes += 1;
                context += u64::from(sequence.computed);
            } else {
                prefill += take;
            }
        }
        let profile = &self.profile;
        let prefill_seconds = f64::from(prefill) * profile.prefill_token_seconds;
        let decode_seconds = f64::from(decodes) * profile.sequence_seconds
            + context as f64 * profile.context_token_seconds;
        let seconds = profile.step_seconds + prefill_seconds + decode_seconds;
        let noise = self.rng.between(0.96, 1.06);
        (seconds * noise, prefill_seconds / seconds)
    }

    /// Does what the step was for: new tokens, first tokens, finished requests.
    fn end_step(&mut self, step: &Step) {
        self.gpus.busy(step.ends_at - self.now);
        self.now = step.ends_at;
        self.stats.cpu_seconds += 0.004 + 0.05 * self.profile.step_seconds;
        let (mut prompt_tokens, mut generated) = (0_u64, 0_u64);
        let mut kept = Vec::with_capacity(self.running.len());
        for (mut sequence, take) in std::mem::take(&mut self.running)
            .into_iter()
            .zip(&step.tokens)
        {
            sequence.computed += take;
            if sequence.computed == sequence.target {
                generated += 1;
                if self.stats.token(&mut sequence, self.now) {
                    prompt_tokens += u64::from(sequence.request.prompt_tokens);
                }
            }
            if sequence.generated == sequence.request.output_tokens {
                self.free_blocks += sequence.blocks;
                self.stats.finished(&sequence);
            } else {
                kept.push(sequence);
            }
        }
        self.running = kept;
        self.stats.step(prompt_tokens, generated);
    }

    /// Requests in the running batch.
    #[must_use]
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// Requests in the queue.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Share of the KV cache in use, 0 to 1.
    #[must_use]
    pub fn kv_usage(&self) -> f64 {
        1.0 - f64::from(self.free_blocks) / f64::from(self.profile.kv_blocks)
    }

    /// Everything counted so far.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// The kind of server this is.
    #[must_use]
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// The GPUs it runs on.
    #[must_use]
    pub fn gpus(&self) -> &Gpus {
        &self.gpus
    }
}

#[cfg(test)]
mod tests;
