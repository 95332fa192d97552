//! The GPUs under an engine: busy, hot and hungry as its steps make them.

use crate::profile::Profile;
use crate::rng::Rng;

/// How fast the shown utilisation follows, in seconds: about DCGM's own averaging.
const UTILISATION_SECONDS: f64 = 1.0;
/// How fast a heat sink warms, in seconds.
const WARMING_SECONDS: f64 = 40.0;
/// Power of an idle GPU with the weights loaded, as a share of its limit.
const IDLE_POWER: f64 = 0.16;
/// How long the GPUs wait in each step while the scheduler chooses and samples, in seconds.
const HOST_SECONDS: f64 = 0.002_5;
/// Inlet air, in °C.
const AIR_CELSIUS: f64 = 27.0;
/// How much a GPU at its power limit is above the air, in °C.
const FULL_RISE_CELSIUS: f64 = 48.0;
/// Share of memory that vLLM takes: its `--gpu-memory-utilization`.
const MEMORY_SHARE: f64 = 0.9;
/// Share of memory that the driver keeps to itself.
const RESERVED_SHARE: f64 = 0.0075;

/// One GPU's own state.
#[derive(Clone, Debug)]
struct Gpu {
    uuid: String,
    /// What this one draws compared with the mean of its kind.
    appetite: f64,
    /// How much hotter its place in the chassis is, in °C.
    place_celsius: f64,
    celsius: f64,
    energy_joules: f64,
}

/// What one GPU shows at this moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// Share of time with work, 0 to 1.
    pub utilisation: f64,
    /// Share of cycles in which the tensor cores work, 0 to 1.
    pub tensor_active: f64,
    /// Share of cycles in which memory moves data, 0 to 1.
    pub memory_active: f64,
    /// Power draw in watts.
    pub power_watts: f64,
    /// Energy since boot in joules.
    pub energy_joules: f64,
    /// Temperature of the chip in °C.
    pub celsius: f64,
    /// Temperature of the memory in °C.
    pub memory_celsius: f64,
    /// Clock of the multiprocessors in MHz.
    pub clock_mhz: f64,
    /// Memory in use, in MiB.
    pub used_mib: f64,
    /// Memory left, in MiB.
    pub free_mib: f64,
    /// Memory kept by the driver, in MiB.
    pub reserved_mib: f64,
}

/// The GPUs of one node. The model is split over all of them, so they work in step.
#[derive(Clone, Debug)]
pub struct Gpus {
    power_limit_watts: f64,
    memory_mib: f64,
    gpus: Vec<Gpu>,
    /// Share of the planned step that is prefill.
    prefill_share: f64,
    utilisation: f64,
    tensor: f64,
    memory: f64,
    power_share: f64,
}

impl Gpus {
    /// `count` idle GPUs of the kind that `profile` names.
    #[must_use]
    pub fn new(profile: &Profile, count: usize, mut rng: Rng) -> Self {
        let gpus = (0..count)
            .map(|slot| {
                let place_celsius = 2.5 * (slot % 4) as f64 + rng.between(-1.0, 1.0);
                Gpu {
                    uuid: uuid(&mut rng),
                    appetite: rng.between(0.97, 1.03),
                    place_celsius,
                    celsius: AIR_CELSIUS + place_celsius + IDLE_POWER * FULL_RISE_CELSIUS,
                    energy_joules: rng.between(1e8, 9e8).floor(),
                }
            })
            .collect();
        Self {
            power_limit_watts: profile.gpu_power_watts,
            memory_mib: f64::from(profile.gpu_memory_mib),
            gpus,
            prefill_share: 0.0,
            utilisation: 0.0,
            tensor: 0.0,
            memory: 0.0,
            power_share: IDLE_POWER,
        }
    }

    /// Says what kind of step comes next.
    pub(crate) fn plan(&mut self, prefill_share: f64) {
        self.prefill_share = prefill_share;
    }

    /// A step has run for `seconds`. Prefill computes, decode moves memory.
    pub(crate) fn busy(&mut self, seconds: f64) {
        let prefill = self.prefill_share;
        let tensor = 0.06 + 0.62 * prefill;
        let memory = 0.78 - 0.4 * prefill;
        let busy = 1.0 - (HOST_SECONDS / seconds).min(1.0);
        self.pass(seconds, busy, tensor, memory, 0.5 + 0.45 * prefill);
    }

    /// Nothing has run for `seconds`.
    pub(crate) fn idle(&mut self, seconds: f64) {
        self.pass(seconds, 0.0, 0.0, 0.0, IDLE_POWER);
    }

    fn pass(&mut self, seconds: f64, busy: f64, tensor: f64, memory: f64, power: f64) {
        let follow = 1.0 - (-seconds / UTILISATION_SECONDS).exp();
        self.utilisation += (busy - self.utilisation) * follow;
        self.tensor += (tensor - self.tensor) * follow;
        self.memory += (memory - self.memory) * follow;
        self.power_share += (power - self.power_share) * follow;
        let warm = 1.0 - (-seconds / WARMING_SECONDS).exp();
        for gpu in &mut self.gpus {
            let share = power * gpu.appetite;
            let ends = AIR_CELSIUS + gpu.place_celsius + FULL_RISE_CELSIUS * share;
            gpu.celsius += (ends - gpu.celsius) * warm;
            gpu.energy_joules += share * self.power_limit_watts * seconds;
        }
    }

    /// Share of time with work, lately, 0 to 1.
    #[must_use]
    pub fn utilisation(&self) -> f64 {
        self.utilisation
    }

    /// Each GPU's identity and what it shows.
    pub fn readings(&self) -> impl Iterator<Item = (&str, Reading)> {
        self.gpus
            .iter()
            .map(|gpu| (gpu.uuid.as_str(), self.reading(gpu)))
    }

    fn reading(&self, gpu: &Gpu) -> Reading {
        let power_watts =
            (self.power_share * gpu.appetite * self.power_limit_watts).min(self.power_limit_watts);
        let used_mib = (self.memory_mib * MEMORY_SHARE).floor();
        let reserved_mib = (self.memory_mib * RESERVED_SHARE).floor();
        Reading {
            utilisation: self.utilisation,
            tensor_active: self.tensor,
            memory_active: self.memory,
            power_watts,
            energy_joules: gpu.energy_joules,
            celsius: gpu.celsius,
            memory_celsius: gpu.celsius + 9.0 * self.memory,
            clock_mhz: 1980.0 - 15.0 * (30.0 * (self.power_share - 0.7).max(0.0)).floor(),
            used_mib,
            free_mib: self.memory_mib - used_mib - reserved_mib,
            reserved_mib,
        }
    }
}

/// A random identity in NVIDIA's form.
fn uuid(rng: &mut Rng) -> String {
    let (high, low) = (rng.next_u64(), rng.next_u64());
    format!(
        "GPU-{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xffff,
        low >> 48,
        low & 0xffff_ffff_ffff
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::PROFILES;

    #[test]
    fn work_warms_and_rest_cools_within_the_limits() {
        let mut gpus = Gpus::new(&PROFILES[0], 4, Rng::new(1, 1));
        let cold: Vec<Reading> = gpus.readings().map(|(_, reading)| reading).collect();
        gpus.plan(1.0);
        gpus.busy(300.0);
        for ((_, hot), cold) in gpus.readings().zip(&cold) {
            assert!(hot.celsius > cold.celsius + 20.0 && hot.celsius < 90.0);
            assert!(hot.power_watts > 600.0 && hot.power_watts <= 700.0);
            assert!(hot.energy_joules > cold.energy_joules + 150_000.0);
            assert!(hot.utilisation > 0.99 && hot.tensor_active > 0.6);
        }
        gpus.idle(300.0);
        for ((_, rested), cold) in gpus.readings().zip(&cold) {
            assert!((rested.celsius - cold.celsius).abs() < 1.0);
            assert!(rested.power_watts < 130.0);
        }
    }

    #[test]
    fn memory_adds_up_and_identities_differ() {
        let gpus = Gpus::new(&PROFILES[2], 4, Rng::new(1, 1));
        let mut uuids: Vec<&str> = gpus.readings().map(|(uuid, _)| uuid).collect();
        for (uuid, reading) in gpus.readings() {
            assert_eq!(uuid.len(), 40);
            let sum = reading.used_mib + reading.free_mib + reading.reserved_mib;
            assert!((sum - 46_068.0).abs() < 1e-9);
        }
        uuids.dedup();
        assert_eq!(uuids.len(), 4);
    }
}
