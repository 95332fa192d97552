//! Which rules agents run, and who has the word on an alert.
//!
//! The centre evaluates every rule. Of an alert whose rule an agent runs, the agent has the word: what the
//! centre finds of it is passed over ([`Edge::passes`]), but for what was active here before the agent took
//! over, which the centre sees to its end. Whom the agent says to fire fires until the agent says otherwise.
//! What each agent runs and what fires by it is kept over restarts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use alert::centre::Change;
use alert::rules::NODE;
use alert::{Alert, State, Transition, fingerprint};
use serde::{Deserialize, Serialize};
use store::Store;
use tokio::sync::watch;
use wire::transition::{EdgeRules, RulesRun};

use super::desk::SPACE;

/// What keys of rows begin with that hold what an agent runs. Never reused for anything else.
const PREFIX: &[u8] = b"o/";
/// Agents whose rows are read at the start.
const AGENTS_MAX: usize = 1_000_000;
/// How long what fired at the edge waits for the centre to find it too, when the centre takes a rule back.
/// Its data are later by the sync interval and `alerting.query_offset`.
pub(super) const GRACE_MILLIS: i64 = 300_000;
/// Ends of alerts that are remembered of one agent.
const ENDED_MAX: usize = 1000;

/// The rules for agents as they are now.
#[derive(Clone, Debug, Default)]
pub struct InForce {
    /// As they are said to agents.
    pub rules: EdgeRules,
    /// The rules, each as `group/rule`.
    pub paths: BTreeSet<String>,
}

/// An alert that an agent says to fire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Firing {
    rule: String,
    /// Since when, by the agent's clock.
    at_millis: i64,
    /// When that was heard, by the clock of the centre.
    #[serde(default)]
    heard_millis: i64,
}

/// The end of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ended {
    /// When, by the agent's clock.
    at_millis: i64,
    /// When that was heard, by the clock of the centre.
    heard_millis: i64,
}

/// What an agent found.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Found {
    /// In our words; nothing in it is later than the centre's now.
    pub(super) transition: Transition,
    /// When, by the agent's clock as it is, which only its own times are compared with.
    pub(super) agent_millis: i64,
}

/// What an agent runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Owner {
    version: String,
    /// The rules, and since when.
    rules: BTreeMap<String, i64>,
    /// What fires by it, by [`name`].
    firing: BTreeMap<String, Firing>,
    /// Rules that the centre took back, and when.
    left: BTreeMap<String, i64>,
    /// What is over, by [`name`].
    #[serde(skip)]
    ended: BTreeMap<String, Ended>,
}

/// What comes of an agent's word on all its rules.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// What fires and was not known to.
    pub(super) firing: Vec<Transition>,
    /// What is over and was not known to be, by [`name`].
    pub(super) over: BTreeSet<String>,
    /// Rules that the centre has the word on again.
    pub(super) left: BTreeSet<String>,
    /// What is to be kept.
    pub(super) rows: Vec<Change>,
}

/// A handle to what agents run. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Edge {
    in_force: Arc<watch::Sender<Arc<InForce>>>,
    owners: Arc<Mutex<BTreeMap<String, Owner>>>,
}

fn node(labels: &BTreeMap<String, String>) -> Option<&str> {
    labels.get(NODE).map(String::as_str)
}

/// What an alert of a rule is kept by: two rules may find the same.
pub(super) fn name(fingerprint: &str, rule: &str) -> String {
    format!("{fingerprint} {rule}")
}

/// What an alert that was found is kept by.
pub(super) fn name_of(found: &Transition) -> String {
    name(&fingerprint(&found.labels), &found.rule)
}

impl Owner {
    /// Compares a list of what fires with what is known to. What was heard since the list was made counts
    /// more than it; that is seen by the agent's clock, and long afterwards, should that have been put back,
    /// by ours.
    fn compare(&mut self, run: &RulesRun, firing: Vec<Found>, now_millis: i64, taken: &mut Taken) {
        let is_newer = |at_millis: i64, heard_millis: i64| {
            at_millis >= run.wall_millis && heard_millis >= now_millis - GRACE_MILLIS
        };
        let mut said = BTreeSet::new();
        for found in firing {
            let name = name_of(&found.transition);
            let ended = self.ended.get(&name);
            let is_over = ended.is_some_and(|it| is_newer(it.at_millis, it.heard_millis));
            if is_over || !self.rules.contains_key(&found.transition.rule) {
                continue;
            }
            said.insert(name.clone());
            let firing = Firing {
                rule: found.transition.rule.clone(),
                at_millis: found.agent_millis,
                heard_millis: now_millis,
            };
            if self.firing.insert(name, firing).is_none() {
                taken.firing.push(found.transition);
            }
        }
        let rules = &self.rules;
        let is_over = |name: &String, firing: &Firing| {
            run.firing_is_whole
                && rules.contains_key(&firing.rule)
                && !said.contains(name)
                // One that began in the millisecond of the list was in it.
                && !is_newer(firing.at_millis - 1, firing.heard_millis)
        };
        let over = self.firing.iter().filter(|(name, it)| is_over(name, it));
        taken.over = over.map(|(name, _)| name.clone()).collect();
        self.firing
            .retain(|name, it| !taken.over.contains(name) && rules.contains_key(&it.rule));
    }

    /// Reads what an earlier version kept by the fingerprint alone.
    fn with_names(mut self) -> Self {
        let firing = std::mem::take(&mut self.firing).into_iter();
        self.firing = firing
            .map(|(key, firing)| match key.split_once(' ') {
                Some(_) => (key, firing),
                None => (name(&key, &firing.rule), firing),
            })
            .collect();
        self
    }
}

fn row(agent: &str, owner: &Owner) -> Change {
    Change {
        key: [PREFIX, agent.as_bytes()].concat(),
        // Our own types have only texts as keys.
        value: Some(serde_json::to_vec(owner).unwrap_or_default()),
    }
}

impl Edge {
    /// What `store` remembers.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn open(store: &Store) -> Result<Self, store::Error> {
        let mut owners = BTreeMap::new();
        for row in store.scan_state_under(SPACE, PREFIX, AGENTS_MAX)? {
            let name = row.key.strip_prefix(PREFIX).unwrap_or_default();
            match serde_json::from_slice::<Owner>(&row.value) {
                Ok(owner) => {
                    let agent = String::from_utf8_lossy(name).into_owned();
                    owners.insert(agent, owner.with_names());
                }
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    tracing::error!(error, "what an agent runs cannot be read; it says it again");
                }
            }
        }
        Ok(Self {
            in_force: Arc::new(watch::channel(Arc::default()).0),
            owners: Arc::new(Mutex::new(owners)),
        })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Owner>> {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The rules for agents, as they are and will be.
    #[must_use]
    pub fn in_force(&self) -> watch::Receiver<Arc<InForce>> {
        self.in_force.subscribe()
    }

    /// Puts rules for agents in the place of those before; `all` are those of the centre. Of a rule that
    /// does not go to agents any more the centre has the word, if it has the rule.
    pub(super) fn put(&self, in_force: InForce, all: &BTreeSet<String>, now_millis: i64) {
        for owner in self.lock().values_mut() {
            let gone: Vec<String> = owner
                .rules
                .keys()
                .filter(|rule| !in_force.paths.contains(*rule))
                .cloned()
                .collect();
            for rule in gone {
                owner.rules.remove(&rule);
                if all.contains(&rule) {
                    owner.left.insert(rule.clone(), now_millis);
                }
                owner.firing.retain(|_, firing| firing.rule != rule);
            }
        }
        self.in_force.send_if_modified(|before| {
            let is_new = before.rules.version != in_force.rules.version;
            *before = Arc::new(in_force);
            is_new
        });
    }

    /// Whether what the centre found counts.
    pub(super) fn passes(&self, found: &Transition) -> bool {
        let owners = self.lock();
        let owner = node(&found.labels).and_then(|node| owners.get(node));
        let Some((owner, since)) =
            owner.and_then(|owner| Some((owner, owner.rules.get(&found.rule)?)))
        else {
            return true;
        };
        if found.to == State::Firing {
            return found.active_millis < *since;
        }
        !owner.firing.contains_key(&name_of(found))
    }

    /// Whether an alert that fires by a rule stays, whatever the centre finds.
    pub(super) fn holds(&self, alert: &Alert, rule: &str) -> bool {
        let owners = self.lock();
        let Some(owner) = node(&alert.labels).and_then(|node| owners.get(node)) else {
            return false;
        };
        let name = name(&alert.fingerprint, rule);
        owner.firing.contains_key(&name) || owner.left.contains_key(rule)
    }

    /// Takes note of what an agent found; none when its rule is not in force any more.
    pub(super) fn found(&self, agent: &str, found: &Found, now_millis: i64) -> Option<Vec<Change>> {
        let at_millis = found.agent_millis;
        let found = &found.transition;
        if !self.in_force.borrow().paths.contains(&found.rule) {
            return None;
        }
        let mut owners = self.lock();
        let owner = owners.entry(agent.to_owned()).or_default();
        let name = name_of(found);
        if found.to == State::Firing {
            owner.ended.remove(&name);
            let firing = Firing {
                rule: found.rule.clone(),
                at_millis,
                heard_millis: now_millis,
            };
            owner.firing.insert(name, firing);
        } else {
            owner.firing.remove(&name);
            if owner.ended.len() >= ENDED_MAX {
                owner.ended.clear();
            }
            let ended = Ended {
                at_millis,
                heard_millis: now_millis,
            };
            owner.ended.insert(name, ended);
        }
        // An agent that says it before it has said what it runs will do so; if not, the centre goes on.
        if !owner.rules.contains_key(&found.rule) {
            owner.left.entry(found.rule.clone()).or_insert(now_millis);
        }
        Some(vec![row(agent, owner)])
    }

    /// Takes an agent's word on what it runs and what fires by it.
    pub(super) fn run(
        &self,
        agent: &str,
        run: &RulesRun,
        firing: Vec<Found>,
        now_millis: i64,
    ) -> Taken {
        let paths = Arc::clone(&self.in_force.borrow());
        let mut owners = self.lock();
        if run.rules.is_empty() && !owners.contains_key(agent) {
            return Taken::default();
        }
        let owner = owners.entry(agent.to_owned()).or_default();
        let mut taken = Taken::default();
        let before = std::mem::take(&mut owner.rules);
        for rule in run.rules.iter().filter(|rule| paths.paths.contains(*rule)) {
            let since = before.get(rule).copied().unwrap_or(now_millis);
            owner.rules.insert(rule.clone(), since);
            owner.left.remove(rule);
        }
        for rule in before.into_keys() {
            if !owner.rules.contains_key(&rule) {
                owner.left.insert(rule.clone(), now_millis);
                taken.left.insert(rule);
            }
        }
        owner.version.clone_from(&run.version);
        owner.compare(run, firing, now_millis, &mut taken);
        taken.rows.push(row(agent, owner));
        taken
    }

    /// Whether the edge has the word on an alert of the centre and has said nothing of it of late.
    pub(super) fn is_silent_on(&self, found: &Transition, now_millis: i64) -> bool {
        let owners = self.lock();
        let Some(owner) = node(&found.labels).and_then(|node| owners.get(node)) else {
            return false;
        };
        let name = name_of(found);
        let ended = owner.ended.get(&name);
        let ended = ended.map_or(i64::MIN, |ended| ended.heard_millis);
        owner.rules.contains_key(&found.rule)
            && !owner.firing.contains_key(&name)
            && ended < now_millis - GRACE_MILLIS
            && found.at_millis < now_millis - GRACE_MILLIS
    }

    /// Whether an agent runs rules no more, if its word is taken.
    pub(super) fn would_leave(&self, agent: &str, run: &RulesRun) -> bool {
        let owners = self.lock();
        let runs = owners.get(agent).map(|owner| owner.rules.keys());
        runs.is_some_and(|mut runs| runs.any(|rule| !run.rules.contains(rule)))
    }

    /// Rules that the centre took back long enough ago to know all that fires by them, by agent; they are
    /// forgotten by it.
    pub(super) fn take_left(&self, now_millis: i64) -> (BTreeSet<(String, String)>, Vec<Change>) {
        let (mut left, mut rows) = (BTreeSet::new(), Vec::new());
        for (agent, owner) in self.lock().iter_mut() {
            let is_due = |at: i64| at < now_millis - GRACE_MILLIS;
            let due = owner.left.iter().filter(|(_, at)| is_due(**at));
            let due: Vec<String> = due.map(|(rule, _)| rule.clone()).collect();
            if due.is_empty() {
                continue;
            }
            for rule in due {
                owner.left.remove(&rule);
                owner.firing.retain(|_, firing| firing.rule != rule);
                left.insert((agent.clone(), rule));
            }
            rows.push(row(agent, owner));
        }
        (left, rows)
    }

    /// The agents that run something.
    pub(super) fn agents(&self) -> Vec<String> {
        let owners = self.lock();
        let running = owners.iter().filter(|(_, owner)| !owner.rules.is_empty());
        running.map(|(agent, _)| agent.clone()).collect()
    }

    /// How many agents run the rules in force.
    pub(super) fn current(&self) -> usize {
        let version = self.in_force.borrow().rules.version.clone();
        let owners = self.lock();
        let runs = |owner: &&Owner| owner.version == version && !owner.rules.is_empty();
        owners.values().filter(runs).count()
    }

    /// The rules that agents may run, each as `group/rule`, with how many of them do.
    pub(super) fn runners(&self) -> BTreeMap<String, u32> {
        let in_force = Arc::clone(&self.in_force.borrow());
        let mut runners: BTreeMap<String, u32> = in_force
            .paths
            .iter()
            .map(|path| (path.clone(), 0))
            .collect();
        for rule in self.lock().values().flat_map(|owner| owner.rules.keys()) {
            if let Some(agents) = runners.get_mut(rule) {
                *agents += 1;
            }
        }
        runners
    }
}

#[cfg(test)]
mod tests;
