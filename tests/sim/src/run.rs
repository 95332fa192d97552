//! One run, from its plan to its verdict.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, UNIX_EPOCH};

use coordinator::events::LISTING_MAX;
use coordinator::ingest::DECODED_SAMPLES_MAX;
use store::Store;
use turmoil::Sim;

use crate::agent_node::AgentNode;
use crate::chance::Chance;
use crate::clock::NodeClock;
use crate::coordinator_node::{self, CoordinatorNode};
use crate::disk::NodeDisk;
use crate::engine::SimEngine;
use crate::faults::Faults;
use crate::ledger::{Ledger, name_of};
use crate::mutant::Mutant;
use crate::plan::Plan;
use crate::trace;

/// How long it may take until all is drained once nothing is broken any more.
const DRAIN_WITHIN: Duration = Duration::from_secs(1800);
/// How often log and store are compared.
const COMPARE_EVERY: u64 = 20;

/// A run that goes on.
pub(crate) struct Run<'a> {
    pub(crate) sim: Sim<'a>,
    pub(crate) plan: Rc<Plan>,
    pub(crate) agents: Vec<Rc<AgentNode>>,
    pub(crate) coordinator: Rc<CoordinatorNode>,
    pub(crate) faults: Faults,
    ledger: Rc<RefCell<Ledger>>,
    quiet: Rc<Cell<bool>>,
    seconds: u64,
}

/// Runs a seed.
///
/// # Errors
/// What was found wrong, and when.
pub(crate) fn run(seed: u64, mutant: Option<Mutant>) -> Result<String, String> {
    let plan = Plan::of(seed);
    trace::say(&format!("{plan:?}"));
    let mut work = Chance::new(seed, "work");
    let longest = plan.work_millis_max;
    daemon::blocking::simulate(move || {
        let most = if work.likely(50_000) {
            longest * 8
        } else {
            longest
        };
        work.millis(0, most)
    });
    let mut run = Run::new(seed, plan, mutant);
    run.go().map_err(|what| {
        let at = run.sim.elapsed().as_secs_f64();
        format!("after {at:.1} s of {} s: {what}", run.plan.lasts.as_secs())
    })
}

impl Run<'_> {
    fn new(seed: u64, plan: Plan, mutant: Option<Mutant>) -> Self {
        let plan = Rc::new(plan);
        let mut sim = turmoil::Builder::new()
            .epoch(UNIX_EPOCH)
            .rng_seed(Chance::new(seed, "network").next())
            .tick_duration(plan.tick)
            .min_message_latency(plan.latency.0)
            .max_message_latency(plan.latency.1)
            .fail_rate(share(plan.breaks))
            .repair_rate(0.2)
            .tcp_capacity(1024)
            .enable_random_order()
            .simulation_duration(Duration::from_secs(86_400))
            .build();
        let quiet = Rc::new(Cell::new(false));
        let ledger = Rc::new(RefCell::new(Ledger::new(plan.agents, plan.thins)));
        let coordinator = Rc::new(CoordinatorNode {
            engine: SimEngine::new(seed, mutant),
            clock: NodeClock::shared(),
            plan: Rc::clone(&plan),
            up: RefCell::default(),
            mutant,
        });
        let node = Rc::clone(&coordinator);
        sim.host(coordinator_node::NAME, move || Rc::clone(&node).live());
        let agents: Vec<_> = (0..plan.agents)
            .map(|index| AgentNode::new(index, seed, NodeDisk::new(mutant), &plan, &ledger, &quiet))
            .collect();
        for agent in &agents {
            let node = Rc::clone(agent);
            sim.host(name_of(agent.index), move || Rc::clone(&node).live());
        }
        Self {
            sim,
            faults: Faults::new(seed, plan.agents),
            plan,
            agents,
            coordinator,
            ledger,
            quiet,
            seconds: 0,
        }
    }

    fn go(&mut self) -> Result<String, String> {
        while self.sim.elapsed() < self.plan.lasts {
            self.second()?;
            self.draw_faults();
        }
        // What is broken is mended in its time, and then everything has to arrive.
        while !self.faults.is_over() {
            self.second()?;
        }
        trace::say("nothing is broken any more");
        self.sim.set_fail_rate(0.0);
        self.mend_all();
        self.quiet.set(true);
        let mended = self.sim.elapsed();
        while let Err(what) = self.is_drained() {
            if self.sim.elapsed() > mended + DRAIN_WITHIN {
                return Err(format!("not drained: {what}"));
            }
            self.second()?;
        }
        self.compare(true)?;
        self.check_end()?;
        self.reopen()?;
        let (batches, lost, refused) = self.ledger.borrow().counts();
        let seconds = self.sim.elapsed().as_secs();
        Ok(format!(
            "{seconds} s, {batches} batches, {lost} lost, {refused} refused"
        ))
    }

    /// One second, and what must hold after it.
    fn second(&mut self) -> Result<(), String> {
        let until = self.sim.elapsed() + Duration::from_secs(1);
        while self.sim.elapsed() < until {
            self.sim
                .step()
                .map_err(|error| format!("a node failed: {error}"))?;
        }
        self.seconds += 1;
        trace::set_now(self.sim.elapsed());
        for fact in trace::take_facts() {
            self.ledger.borrow_mut().heard(&fact);
        }
        self.ledger.borrow().check()?;
        self.coordinator.check_budget()?;
        for agent in &self.agents {
            let (bytes, max) = (agent.disk.segment_bytes(), self.plan.spool_bytes_max);
            // After a failed sync the records in doubt may lie in two files.
            if bytes > max + self.plan.segment_bytes {
                let name = name_of(agent.index);
                return Err(format!(
                    "the spool of {name} has {bytes} bytes, and may have {max}"
                ));
            }
        }
        self.do_later();
        if self.seconds.is_multiple_of(COMPARE_EVERY) {
            self.compare(false)?;
        }
        Ok(())
    }

    fn mend_all(&mut self) {
        self.coordinator.engine.heal();
        for agent in &self.agents {
            agent.disk.set_room(None);
            agent.disk.fail_syncs(0);
            self.sim
                .repair(name_of(agent.index), coordinator_node::NAME);
        }
    }

    /// Compares log and store, if the coordinator is up.
    fn compare(&self, drained: bool) -> Result<(), String> {
        let up = self.coordinator.up.borrow();
        let Some(up) = &*up else {
            return Ok(());
        };
        self.ledger.borrow().compare(&up.store, drained)?;
        let events = up.events.list(None, i64::MIN, LISTING_MAX);
        let events = events.map_err(|error| daemon::chain(&error))?;
        let events: Vec<String> = events.into_iter().map(|event| event.summary).collect();
        trace::say(&format!(
            "compared; {} bytes on disk",
            self.coordinator.disk_bytes()
        ));
        self.ledger.borrow().compare_events(&events, drained)
    }

    fn is_drained(&self) -> Result<(), String> {
        for agent in &self.agents {
            let name = name_of(agent.index);
            let outbox = agent.outbox.borrow();
            let pending = outbox.as_ref().map(agent::outbox::Outbox::pending);
            if pending != Some(0) || !agent.is_cut.get() {
                return Err(format!("{name} has {pending:?} batches"));
            }
        }
        if self.coordinator.up.borrow().is_none() {
            return Err("the coordinator is not up".to_owned());
        }
        self.compare(true)
    }

    /// What was lost and refused must have a reason, and what was damaged must still be there.
    fn check_end(&self) -> Result<(), String> {
        let ledger = self.ledger.borrow();
        for agent in &self.agents {
            let name = name_of(agent.index);
            let aside = agent.disk.set_aside_count();
            let (damaged, missing) = ledger.damaged_and_missing(agent.index);
            // A file that is damaged costs its rest once, whatever else happens: its good beginning stays.
            if aside < damaged {
                return Err(format!(
                    "{name} has lost batches to damage {damaged} times and set {aside} files aside"
                ));
            }
            if damaged + missing > 0 && !agent.disk.is_rotten() {
                return Err(format!(
                    "{name} says that {damaged} files are damaged and {missing} missing: none is"
                ));
            }
        }
        let clocks = self.agents.iter().map(|agent| &agent.clock);
        let mut clocks = clocks.chain([&self.coordinator.clock]);
        let (_, _, refused) = ledger.counts();
        if refused > 0 && clocks.all(|clock| clock.jumps() == 0) {
            return Err(format!(
                "{refused} batches were refused, and every clock is right"
            ));
        }
        let up = self.coordinator.up.borrow();
        let free = up.as_ref().map(|up| up.decoded.available_permits());
        if free != Some(DECODED_SAMPLES_MAX) {
            return Err(format!(
                "{free:?} samples may be decoded, not {DECODED_SAMPLES_MAX}"
            ));
        }
        Ok(())
    }

    /// What is there after one more power loss, after a flush and after compaction.
    fn reopen(&mut self) -> Result<(), String> {
        self.crash_coordinator(true);
        let failed = |error: store::Error| daemon::chain(&error);
        let opened = Store::open(Box::new(self.coordinator.engine.clone()));
        let (store, _) = opened.map_err(failed)?;
        let compare = |when: &str| {
            let compared = self.ledger.borrow().compare(&store, true);
            compared.map_err(|what| format!("{when}, {what}"))
        };
        compare("opened again")?;
        store.flush().map_err(failed)?;
        compare("flushed")?;
        store.compact_all().map_err(failed)?;
        compare("compacted")
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a millionth more or less is as good"
)]
fn share(millionths: u64) -> f64 {
    millionths as f64 / 1e6
}
