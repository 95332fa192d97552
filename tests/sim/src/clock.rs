//! The clocks of a node: the simulation's time, and a date that may jump.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use daemon::clock::Clock;

/// When every run begins: 2026-01-01T06:00:00Z.
const START_MILLIS: i64 = 1_767_247_200_000;

/// The clocks of one node.
#[derive(Debug, Default)]
pub(crate) struct NodeClock {
    offset_millis: AtomicI64,
    jumps: AtomicU64,
    /// What time it was last, for who asks while no node is running.
    seen_millis: AtomicU64,
}

impl NodeClock {
    pub(crate) fn shared() -> Arc<Self> {
        Arc::default()
    }

    /// Sets the date wrong by so much.
    pub(crate) fn jump_to(&self, offset_millis: i64) {
        self.offset_millis.store(offset_millis, Ordering::Relaxed);
        self.jumps.fetch_add(1, Ordering::Relaxed);
    }

    /// How often the date has jumped.
    pub(crate) fn jumps(&self) -> u64 {
        self.jumps.load(Ordering::Relaxed)
    }
}

impl Clock for NodeClock {
    fn wall_millis(&self) -> i64 {
        let since = i64::try_from(self.monotonic().as_millis()).unwrap_or(i64::MAX);
        START_MILLIS + since + self.offset_millis.load(Ordering::Relaxed)
    }

    fn monotonic(&self) -> Duration {
        let now = turmoil::sim_elapsed().map(|now| u64::try_from(now.as_millis()).unwrap_or(0));
        let seen = self.seen_millis.load(Ordering::Relaxed);
        let now = now.map_or(seen, |now| now.max(seen));
        self.seen_millis.store(now, Ordering::Relaxed);
        Duration::from_millis(now)
    }
}
