//! What a seed decides before a run begins.

use std::time::Duration;

use crate::chance::Chance;

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing passes between an agent and the coordinator for a while; what was under way is lost.
    Partition,
    /// Nothing passes one way.
    OneWay,
    /// Everything between the two waits and comes later, after what was said on newer connections.
    Hold,
    /// An agent is killed and starts again.
    KillAgent,
    /// An agent's machine loses power in the middle of its work.
    PowerOfAgent,
    /// The coordinator is killed and starts again.
    KillCoordinator,
    /// The coordinator's machine loses power.
    PowerOfCoordinator,
    /// An agent's disk is full for a while.
    FullDisk,
    /// An agent's disk says no to a sync.
    FailedSync,
    /// A bit of an agent's disk flips, or a sector cannot be read any more.
    Rot,
    /// An agent sends everything over two connections for a while, each batch twice.
    Twin,
    /// The coordinator is asked to end, drains, and starts again.
    Drain,
    /// A date jumps, of an agent or of the coordinator.
    Jump,
    /// The coordinator's disk is full: a write fails, and nothing more is taken in until a restart.
    FullEngine,
}

impl Fault {
    pub(crate) const ALL: [Self; 14] = [
        Self::Partition,
        Self::OneWay,
        Self::Hold,
        Self::KillAgent,
        Self::PowerOfAgent,
        Self::KillCoordinator,
        Self::PowerOfCoordinator,
        Self::FullDisk,
        Self::FailedSync,
        Self::Rot,
        Self::Twin,
        Self::Drain,
        Self::Jump,
        Self::FullEngine,
    ];
}

/// One run, but for what is drawn while it goes on.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// How many agents there are.
    pub(crate) agents: usize,
    /// How long faults come.
    pub(crate) lasts: Duration,
    /// Messages arrive at multiples of this.
    pub(crate) tick: Duration,
    /// The least and the longest time that a message takes.
    pub(crate) latency: (Duration, Duration),
    /// How often, in messages, the network breaks by itself; in millionths.
    pub(crate) breaks: u64,
    /// Longest time that work on a disk takes, in milliseconds.
    pub(crate) work_millis_max: u64,
    /// How often an agent collects.
    pub(crate) collect_every: Duration,
    /// Collections to a batch.
    pub(crate) collections: u64,
    /// Series of each of an agent's two sources.
    pub(crate) series: u64,
    /// Bound of a spool.
    pub(crate) spool_bytes_max: u64,
    /// Bound of a segment.
    pub(crate) segment_bytes: u64,
    /// Whether full spools are thinned.
    pub(crate) thins: bool,
    /// How often the coordinator writes its head as chunks.
    pub(crate) flush_every: Duration,
    /// Memory for the coordinator's index and head.
    pub(crate) memory_bytes: u64,
    /// Bytes that an agent may have under way.
    pub(crate) window_bytes: u64,
    /// How likely each fault is in a second, in millionths.
    pub(crate) rates: [u64; Fault::ALL.len()],
}

impl Plan {
    /// The plan of a seed.
    pub(crate) fn of(seed: u64) -> Self {
        let chance = &mut Chance::new(seed, "plan");
        let tick = Duration::from_millis(40 << chance.below(3));
        let segment_bytes = chance.scaled(2048, 3);
        Self {
            agents: 3 + chance.index(3),
            lasts: if chance.below(24) == 0 {
                Duration::from_secs(3600)
            } else {
                chance.seconds(120, 720)
            },
            tick,
            latency: (Duration::ZERO, tick * 4 / (1 << chance.below(3))),
            breaks: if chance.likely(300_000) {
                chance.below(2_000)
            } else {
                0
            },
            work_millis_max: chance.scaled(1, 10),
            collect_every: chance.seconds(1, 5),
            collections: 1 + chance.below(4),
            series: 1 + chance.below(6),
            spool_bytes_max: segment_bytes * (2 + chance.below(6)),
            segment_bytes,
            flush_every: chance.seconds(5, 120),
            memory_bytes: chance.scaled(4 << 20, 3),
            window_bytes: chance.scaled(1024, 10),
            rates: rates(chance),
            thins: chance.likely(500_000),
        }
    }

    /// How likely a fault is in a second, in millionths.
    pub(crate) fn rate(&self, fault: Fault) -> u64 {
        let index = Fault::ALL.iter().position(|it| *it == fault);
        index
            .and_then(|index| self.rates.get(index))
            .copied()
            .unwrap_or(0)
    }
}

/// One seed in eight is calm; in others half of the faults come, at most one each ten seconds. A disk that
/// has failed a sync is never full: what a spool then loses, its format says ("Not covered").
fn rates(chance: &mut Chance) -> [u64; Fault::ALL.len()] {
    let wild = chance.scaled(3_000, 5);
    if chance.below(8) == 0 {
        return [0; Fault::ALL.len()];
    }
    let spared = if chance.likely(500_000) {
        Fault::FailedSync
    } else {
        Fault::FullDisk
    };
    Fault::ALL.map(|fault| {
        let comes = chance.likely(500_000) && fault != spared;
        if comes { chance.below(wild) } else { 0 }
    })
}
