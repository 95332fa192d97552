//! One simulated node: an engine with its GPUs, and the two pages that they serve.

mod dcgm;
mod vllm;

use crate::engine::Engine;
use crate::gpu::Gpus;
use crate::profile::PROFILES;
use crate::rng::Rng;
use crate::workload::Arrivals;

/// What a fleet is made of.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The same seed gives the same fleet.
    pub seed: u64,
    /// How many times the usual load arrives.
    pub load: f64,
    /// GPUs in each node.
    pub gpus: usize,
    /// The date of the simulation's time 0, in seconds since the Unix epoch.
    pub unix_seconds: f64,
}

/// One node of the fleet.
#[derive(Clone, Debug)]
pub struct Node {
    name: String,
    engine: Engine,
    started_unix_seconds: f64,
}

impl Node {
    /// The node with this index (from 0) of a fleet, named `sim-1` and so on.
    #[must_use]
    pub fn new(index: usize, settings: &Settings) -> Self {
        let profile = &PROFILES[index % PROFILES.len()];
        let stream = 4 * index as u64;
        let rng = |part| Rng::new(settings.seed, stream + part);
        let arrivals = Arrivals::new(profile, settings.load, settings.unix_seconds, rng(0));
        let gpus = Gpus::new(profile, settings.gpus, rng(1));
        Self {
            name: format!("sim-{}", index + 1),
            engine: Engine::new(profile, arrivals, gpus, rng(2)),
            started_unix_seconds: settings.unix_seconds,
        }
    }

    /// The name of the node.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Lets the node live until `seconds` after the simulation's time 0.
    pub fn advance(&mut self, seconds: f64) {
        self.engine.advance(seconds);
    }

    /// What vLLM's `/metrics` shows.
    #[must_use]
    pub fn vllm_page(&self) -> String {
        vllm::page(&self.engine, self.started_unix_seconds)
    }

    /// What the DCGM exporter's `/metrics` shows.
    #[must_use]
    pub fn dcgm_page(&self) -> String {
        dcgm::page(&self.name, &self.engine)
    }
}

#[cfg(test)]
mod tests;
