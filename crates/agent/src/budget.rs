//! What the agent may use of its node, and that it keeps to it.
//!
//! Every [`MEASURED_EVERY`] it is measured what share of each cap is used; [`controller`] decides on a
//! level, [`crate::pace`] is what a level does. Events never wait for it. The disk needs no level: the
//! spool has its bound, and here is only told how much of it is used.

pub mod cgroup;
pub mod controller;
pub mod meter;

use std::sync::Arc;
use std::time::Duration;

use daemon::clock::SharedClock;
use daemon::metrics::{Usage, usage};
use daemon::shutdown::Shutdown;
use tokio::time::{MissedTickBehavior, interval};

use crate::config::Config;
use crate::metrics::Metrics;
use crate::pace::Pace;
use crate::urgent::{Happened, Urgent};
use cgroup::Allowed;
use controller::{Change, Controller, Resource, Used};
use meter::{Caps, Meter, Reading};

/// Time between two measurements.
pub const MEASURED_EVERY: Duration = Duration::from_secs(5);

/// The share of its cap below which memory is no longer tight.
const EASY_BELOW: f64 = 0.8;

/// The caps of the configuration, lowered to what the cgroup allows.
#[must_use]
pub fn caps(config: &Config, allowed: Allowed) -> Caps {
    let budget = &config.budget;
    let lowered = |resource: Resource, cap: f64, allowed: Option<f64>| {
        let cap = (cap > 0.0).then_some(cap);
        match (cap, allowed) {
            (Some(cap), Some(allowed)) if allowed < cap => {
                let resource = resource.as_str();
                tracing::info!(
                    resource,
                    configured = cap,
                    used = allowed,
                    "the cgroup allows less than the budget: nine tenths of its limit are the cap"
                );
                Some(allowed)
            }
            (cap, _) => cap,
        }
    };
    Caps {
        cpu: lowered(Resource::Cpu, budget.cpu, allowed.cpu),
        memory: lowered(Resource::Memory, bytes(budget.memory), allowed.memory),
        bytes_per_minute: lowered(
            Resource::BytesPerMinute,
            bytes(budget.bytes_per_minute),
            None,
        ),
    }
}

#[expect(clippy::cast_precision_loss, reason = "bytes stay below 2^53")]
fn bytes(size: daemon::units::ByteSize) -> f64 {
    size.as_u64() as f64
}

/// Keeps the agent to its budget.
pub struct Keeper {
    meter: Meter,
    controller: Controller,
    pace: Pace,
    spool_bytes_max: f64,
    metrics: Arc<Metrics>,
    urgent: Urgent,
    clock: SharedClock,
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeper")
            .field("meter", &self.meter)
            .field("controller", &self.controller)
            .finish_non_exhaustive()
    }
}

impl Keeper {
    /// A keeper that sets `pace`.
    #[must_use]
    pub fn new(
        config: &Config,
        pace: Pace,
        metrics: &Arc<Metrics>,
        urgent: Urgent,
        clock: &SharedClock,
    ) -> Self {
        let caps = caps(config, Allowed::of_this_process());
        metrics.watch_pace(pace.clone());
        Self {
            meter: Meter::new(
                caps,
                config.collect_interval.as_duration(),
                config.sync_interval.as_duration(),
            ),
            controller: Controller::default(),
            pace,
            spool_bytes_max: bytes(config.spool.bytes_max),
            metrics: Arc::clone(metrics),
            urgent,
            clock: Arc::clone(clock),
        }
    }

    /// Measures until the drain.
    pub async fn run(mut self, shutdown: Shutdown) {
        let mut ticks = interval(MEASURED_EVERY);
        // A measurement that comes late is one of a longer time.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.draining() => return,
                _ = ticks.tick() => self.measure(usage()),
            }
        }
    }

    fn measure(&mut self, usage: Option<Usage>) {
        let used = self.meter.take(Reading {
            at: self.clock.monotonic(),
            cpu_seconds: usage.map(|usage| usage.cpu_seconds),
            memory: usage.map(|usage| usage.resident_bytes),
            sent_bytes: self.metrics.sent_bytes.get(),
            defined_bytes: self.metrics.defined_bytes.get(),
            samples: (
                self.metrics.gathered_samples.get(),
                self.metrics.spooled_samples.get(),
            ),
            batches: (
                self.metrics.sent_batches.get(),
                self.metrics.spooled_batches.get(),
            ),
        });
        self.look_at_memory(used[Resource::Memory as usize]);
        let change = self.controller.measure(used);
        let level = self.controller.level();
        // Which sources are heavy may have changed.
        self.pace.set(level);
        self.tell(used);
        if let Some(change) = change {
            self.meter.begin_anew(self.pace.heavy_turns());
            self.change(change, used);
        }
    }

    /// Keeps nothing that is not needed as soon as memory is over its cap, until it is well under it.
    fn look_at_memory(&self, used: Used) {
        let is_tight = match used.share() {
            Some(share) if share > 1.0 => true,
            Some(share) if share > EASY_BELOW => return,
            _ => false,
        };
        self.pace.be_tight(is_tight);
        self.metrics.budget.tight.set(f64::from(u8::from(is_tight)));
    }

    fn tell(&self, used: [Used; Resource::ALL.len()]) {
        let budget = &self.metrics.budget;
        for (gauge, used) in budget.used.iter().zip(used) {
            gauge.set(used.share().unwrap_or(f64::NAN));
        }
        let disk = self.metrics.spool_bytes.get();
        let disk = disk.map_or(f64::NAN, |bytes| bytes / self.spool_bytes_max);
        budget.disk.set(disk);
    }

    fn change(&self, change: Change, used: [Used; Resource::ALL.len()]) {
        let Change { from, to, reason } = change;
        let budget = &self.metrics.budget;
        budget.level.set(f64::from(to));
        for (gauge, resource) in budget.reason.iter().zip(Resource::ALL) {
            let is_reason = to > 0 && resource == reason;
            gauge.set(f64::from(u8::from(is_reason)));
        }
        let [cpu, memory, bytes_per_minute] = used.map(Used::share);
        let resource = reason.as_str();
        if to < from {
            tracing::warn!(
                from,
                to,
                cpu,
                memory,
                bytes_per_minute,
                "there is room in the budget: the agent spares less"
            );
            return;
        }
        tracing::warn!(
            from,
            to,
            resource,
            cpu,
            memory,
            bytes_per_minute,
            "the agent is over its budget: it reads less often, and from level 4 on in less detail"
        );
        if from == 0 {
            let share = used[reason as usize].share().unwrap_or_default() * 100.0;
            let summary = format!(
                "the agent uses {share:.0} % of its {resource} budget and reads less often"
            );
            let happened = Happened::new("agent_throttled", "warning", summary)
                .label("resource", resource)
                .label("level", &to.to_string());
            self.urgent.send(happened);
        }
    }
}

#[cfg(test)]
mod tests;
