//! What goes wrong while a run goes on, and when it is mended.

use std::time::Duration;

use daemon::shutdown::Reason;

use crate::chance::Chance;
use crate::plan::Fault;
use crate::run::Run;
use crate::{coordinator_node, ledger, trace};

/// Something that happens later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Later {
    RepairLink(usize),
    ReleaseLink(usize),
    CrashAgent(usize, bool),
    StartAgent(usize),
    CrashCoordinator(bool),
    StartCoordinator,
    EmptyDisk(usize),
    EmptyEngine,
}

/// The faults of a run.
#[derive(Debug)]
pub(crate) struct Faults {
    chance: Chance,
    later: Vec<(Duration, Later)>,
    agents_down: Vec<bool>,
    coordinator_down: bool,
    held: Vec<bool>,
}

impl Faults {
    pub(crate) fn new(seed: u64, agents: usize) -> Self {
        Self {
            chance: Chance::new(seed, "faults"),
            later: Vec::new(),
            agents_down: vec![false; agents],
            coordinator_down: false,
            held: vec![false; agents],
        }
    }

    /// Whether nothing is broken and nothing will happen.
    pub(crate) fn is_over(&self) -> bool {
        self.later.is_empty() && !self.coordinator_down && !self.agents_down.contains(&true)
    }
}

impl Run<'_> {
    /// Draws the faults of a second.
    pub(crate) fn draw_faults(&mut self) {
        for fault in Fault::ALL {
            let rate = self.plan.rate(fault);
            if self.faults.chance.likely(rate) {
                self.strike(fault);
            }
        }
    }

    /// Does what is due; a coordinator whose disk has failed is started again.
    pub(crate) fn do_later(&mut self) {
        let now = self.sim.elapsed();
        while let Some(index) = self.faults.later.iter().position(|(due, _)| *due <= now) {
            let (_, later) = self.faults.later.remove(index);
            self.act(later);
        }
        let crash = Later::CrashCoordinator(false);
        let is_planned = self.faults.later.iter().any(|(_, later)| *later == crash);
        if self.coordinator.engine.has_failed() && !self.faults.coordinator_down && !is_planned {
            self.after(1, 30, crash);
        }
    }

    fn after(&mut self, least_seconds: u64, most_seconds: u64, later: Later) {
        let wait = self.faults.chance.seconds(least_seconds, most_seconds);
        self.faults.later.push((self.sim.elapsed() + wait, later));
    }

    fn strike(&mut self, fault: Fault) {
        let agent = self.faults.chance.index(self.agents.len());
        let (name, other) = (ledger::name_of(agent), coordinator_node::NAME);
        trace::say(&format!("fault {fault:?} {name}"));
        match fault {
            Fault::Partition => {
                self.sim.partition(name, other);
                self.after(1, 300, Later::RepairLink(agent));
            }
            Fault::OneWay => {
                if self.faults.chance.likely(500_000) {
                    self.sim.partition_oneway(name, other);
                } else {
                    self.sim.partition_oneway(other, name);
                }
                self.after(1, 120, Later::RepairLink(agent));
            }
            Fault::Hold => {
                self.sim.hold(name, other);
                self.faults.held[agent] = true;
                self.after(1, 90, Later::ReleaseLink(agent));
            }
            Fault::KillAgent => self.after(0, 1, Later::CrashAgent(agent, false)),
            Fault::PowerOfAgent => {
                let calls = self.faults.chance.below(40);
                self.agents[agent].disk.stop_after(calls);
                self.after(0, 10, Later::CrashAgent(agent, true));
            }
            Fault::KillCoordinator => self.after(0, 1, Later::CrashCoordinator(false)),
            Fault::PowerOfCoordinator => {
                let writes = self.faults.chance.below(10);
                self.coordinator.engine.fail_after(writes);
                self.after(0, 5, Later::CrashCoordinator(true));
                self.after(5, 5, Later::EmptyEngine);
            }
            Fault::FullDisk => {
                let room = self.faults.chance.index(8192);
                self.agents[agent].disk.set_room(Some(room));
                self.after(1, 120, Later::EmptyDisk(agent));
            }
            Fault::FailedSync => {
                let count = 1 + self.faults.chance.index(3);
                self.agents[agent].disk.fail_syncs(count);
            }
            Fault::Rot => {
                let count = self.agents.len();
                let mut agents = (agent..agent + count).map(|index| &self.agents[index % count]);
                let rotten = agents.find_map(|it| it.disk.rot(&mut self.faults.chance));
                trace::say(&format!("  {rotten:?}"));
            }
            Fault::Twin => self.agents[agent].twin.set(true),
            Fault::Drain => self.drain_coordinator(),
            Fault::Jump => self.jump(agent),
            Fault::FullEngine => {
                let writes = self.faults.chance.below(10);
                self.coordinator.engine.fail_after(writes);
                self.after(1, 60, Later::EmptyEngine);
            }
        }
    }

    fn drain_coordinator(&mut self) {
        if let Some(up) = &*self.coordinator.up.borrow() {
            up.shutdown.start(Reason::Requested);
        }
        self.after(1, 10, Later::CrashCoordinator(false));
    }

    /// Sets a date wrong, mostly by minutes, or right again.
    fn jump(&mut self, agent: usize) {
        let chance = &mut self.faults.chance;
        let most = [0, 60_000, 300_000, 7_200_000][chance.index(4)];
        let offset = i64::try_from(chance.below(2 * most + 1)).unwrap_or(0);
        let offset = offset - i64::try_from(most).unwrap_or(0);
        let whose = chance.index(4);
        let clock = if whose == 0 {
            &self.coordinator.clock
        } else {
            &self.agents[agent].clock
        };
        clock.jump_to(offset);
        trace::say(&format!("  {offset} ms"));
    }

    fn act(&mut self, later: Later) {
        trace::say(&format!("{later:?}"));
        let other = coordinator_node::NAME;
        match later {
            Later::RepairLink(agent) => self.mend(agent),
            Later::ReleaseLink(agent) => {
                self.faults.held[agent] = false;
                self.sim.release(ledger::name_of(agent), other);
            }
            Later::CrashAgent(agent, power_lost) => self.crash_agent(agent, power_lost),
            Later::StartAgent(agent) => {
                self.faults.agents_down[agent] = false;
                self.agents[agent]
                    .disk
                    .ended(false, &mut self.faults.chance);
                self.mend(agent);
                self.sim.bounce(ledger::name_of(agent));
            }
            Later::CrashCoordinator(power_lost) => {
                self.crash_coordinator(power_lost);
                self.after(0, 40, Later::StartCoordinator);
            }
            Later::StartCoordinator => {
                if std::mem::take(&mut self.faults.coordinator_down) {
                    (0..self.agents.len()).for_each(|agent| self.mend(agent));
                    self.sim.bounce(other);
                }
            }
            Later::EmptyDisk(agent) => self.agents[agent].disk.set_room(None),
            Later::EmptyEngine => self.coordinator.engine.heal(),
        }
    }

    fn mend(&mut self, agent: usize) {
        if !self.faults.held[agent] {
            self.sim
                .repair(ledger::name_of(agent), coordinator_node::NAME);
        }
    }

    fn crash_agent(&mut self, agent: usize, power_lost: bool) {
        if self.faults.agents_down[agent] {
            return;
        }
        let name = ledger::name_of(agent);
        // A machine without power says no goodbye.
        if power_lost && !self.faults.held[agent] {
            self.sim.partition(name.as_str(), coordinator_node::NAME);
        }
        self.sim.crash(name);
        self.faults.agents_down[agent] = true;
        let node = &self.agents[agent];
        node.outbox.replace(None);
        node.disk.ended(power_lost, &mut self.faults.chance);
        self.after(0, 60, Later::StartAgent(agent));
    }

    /// Ends the coordinator where it is.
    pub(crate) fn crash_coordinator(&mut self, power_lost: bool) {
        if self.faults.coordinator_down {
            return;
        }
        for agent in 0..self.agents.len() {
            if power_lost && !self.faults.held[agent] {
                self.sim
                    .partition(ledger::name_of(agent), coordinator_node::NAME);
            }
        }
        self.sim.crash(coordinator_node::NAME);
        self.faults.coordinator_down = true;
        self.coordinator.up.replace(None);
        self.coordinator.engine.ended(power_lost);
    }
}
