//! What agents find by their rules, on its way to the desk.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use alert::rules::{EdgeRules, NODE, RuleFile};
use alert::{Alert, Centre, State, Transition};
use daemon::clock::SharedClock;
use daemon::shutdown::Shutdown;
use spec::Level;
use wire::transition::{AlertTransition, RulesRun};

use super::AlertingMetrics;
use super::desk::{Desk, DeskError};
use super::edge::{Edge, Found, InForce, name, name_of};
use super::office::Ground;
use super::rules::Rules;
use crate::config::Config;
use crate::fleet::Fleet;

/// How often it is looked for what neither an agent nor the centre ends.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// An agent that nobody heard of for so long does not come back: what fires by it has been seen, and
/// `AgentSilent` tells of the node.
const GONE_MILLIS: i64 = 86_400_000;

/// What agents find, and who else has the word. Cheap to clone.
#[derive(Clone)]
pub struct Outposts {
    pub(super) edge: Edge,
    pub(super) desk: Desk,
    pub(super) rules: Rules,
    pub(super) fleet: Fleet,
    pub(super) metrics: Arc<AlertingMetrics>,
    pub(super) clock: SharedClock,
}

impl std::fmt::Debug for Outposts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outposts").finish_non_exhaustive()
    }
}

/// What an agent found, in our words. What it says of the future is of now.
fn found(found: AlertTransition, now_millis: i64) -> Found {
    let state = |word: &str| match word {
        "firing" => State::Firing,
        "pending" => State::Pending,
        _ => State::Inactive,
    };
    let agent_millis = found.at_millis;
    let transition = Transition {
        at_millis: agent_millis.min(now_millis),
        rule: found.rule,
        labels: found.labels,
        annotations: found.annotations,
        level: found.level.parse().unwrap_or(Level::Medium),
        from: state(&found.from),
        to: state(&found.to),
        value: found.value,
        active_millis: found.active_millis.min(now_millis),
        sample_millis: found.sample_millis,
    };
    Found {
        transition,
        agent_millis,
    }
}

/// The end of an alert that fires by a rule.
fn end_of(alert: &Alert, rule: &str, now_millis: i64) -> Transition {
    Transition {
        at_millis: now_millis,
        rule: rule.to_owned(),
        labels: alert.labels.clone(),
        annotations: alert.annotations.clone(),
        level: alert.level,
        from: State::Firing,
        to: State::Inactive,
        value: alert.value,
        active_millis: alert.starts_millis,
        sample_millis: None,
    }
}

/// The ends of those alerts of rules that fire.
fn ends(centre: &Centre, over: impl Fn(&Alert, &str) -> bool, now_millis: i64) -> Vec<Transition> {
    let mut ends = Vec::new();
    for alert in centre.alerts() {
        let rules = alert.rules().filter(|rule| !rule.is_empty());
        let rules = rules.filter(|rule| over(alert, rule));
        ends.extend(rules.map(|rule| end_of(alert, rule, now_millis)));
    }
    ends
}

impl Outposts {
    /// The rules for agents, as they are and will be.
    #[must_use]
    pub fn in_force(&self) -> tokio::sync::watch::Receiver<Arc<InForce>> {
        self.edge.in_force()
    }

    /// Puts these rules for agents in the place of those before; `centre` are all.
    pub(super) fn give(&self, edge: EdgeRules, centre: &[RuleFile], config: &Config) {
        let EdgeRules { files, paths } = edge;
        let files: Vec<(String, String)> = files
            .into_iter()
            .map(|file| (file.name, file.text))
            .collect();
        let lookback = config.query.lookback.as_duration();
        let mut rules = wire::transition::EdgeRules {
            version: String::new(),
            files,
            external_url: config.alerting.external_url.clone(),
            external_labels: config.alerting.external_labels.clone(),
            lookback_millis: series::time::duration_millis(lookback),
        };
        let of = format!("{rules:?}");
        rules.version = alert::fingerprint(&BTreeMap::from([("rules".to_owned(), of)]));
        let groups = centre.iter().flat_map(|file| &file.groups);
        let all = groups.flat_map(|group| {
            let rules = group.rules.iter();
            rules.map(move |rule| format!("{}/{}", group.name, rule.name))
        });
        self.metrics.edge_rules.set_count(paths.len());
        let in_force = InForce { rules, paths };
        self.edge
            .put(in_force, &all.collect(), self.clock.wall_millis());
        self.metrics.edge_agents.set_count(self.edge.current());
    }

    /// Takes what an agent found: it is durable when this returns.
    ///
    /// # Errors
    /// When it could not be made durable.
    pub async fn found(&self, agent: &str, found: AlertTransition) -> Result<(), DeskError> {
        let now = self.clock.wall_millis();
        let found = self::found(found, now);
        let (edge, agent) = (self.edge.clone(), agent.to_owned());
        let metrics = Arc::clone(&self.metrics);
        let find = move |_: &Centre| {
            let Some(rows) = edge.found(&agent, &found, now) else {
                let rule = found.transition.rule;
                tracing::info!(agent, rule, "an alert of a rule that is gone");
                return (Vec::new(), Vec::new());
            };
            metrics.edge_transitions.inc();
            (vec![found.transition], rows)
        };
        self.desk.take_found(find).await
    }

    /// Takes an agent's word on what it runs and what fires by it.
    ///
    /// # Errors
    /// When it could not be made durable.
    pub async fn run(&self, agent: &str, mut run: RulesRun) -> Result<(), DeskError> {
        let now = self.clock.wall_millis();
        if !run.refusal.is_empty() {
            let reason = run.refusal.as_str();
            tracing::warn!(
                agent,
                reason,
                "an agent does not run the rules; the centre does"
            );
        }
        let of_agent = |labels: &BTreeMap<String, String>, agent: &str| {
            labels.get(NODE).is_some_and(|node| node == agent)
        };
        let own = std::mem::take(&mut run.firing).into_iter();
        let own = own.filter(|it| of_agent(&it.labels, agent));
        let firing: Vec<Found> = own.map(|it| found(it, now)).collect();
        let central = if self.edge.would_leave(agent, &run) {
            self.rules.firing().await
        } else {
            Vec::new()
        };
        let (edge, agent) = (self.edge.clone(), agent.to_owned());
        // At the desk, so that nothing the agent says by another way comes between what is decided here and
        // what is done.
        let find = move |centre: &Centre| {
            let taken = edge.run(&agent, &run, firing, now);
            let mut transitions = taken.firing;
            let central = central.into_iter();
            transitions.extend(
                central.filter(|it| taken.left.contains(&it.rule) && of_agent(&it.labels, &agent)),
            );
            let over = |it: &Alert, rule: &str| taken.over.contains(&name(&it.fingerprint, rule));
            if !taken.over.is_empty() {
                transitions.extend(ends(centre, over, now));
            }
            (transitions, taken.rows)
        };
        let taken = self.desk.take_found(find).await;
        self.metrics.edge_agents.set_count(self.edge.current());
        taken
    }

    /// What agents find, beside the rules of the centre.
    pub(super) fn over(
        (edge, metrics): (Edge, Arc<AlertingMetrics>),
        rules: &Rules,
        ground: &Ground,
    ) -> Self {
        Self {
            edge,
            desk: rules.desk().clone(),
            rules: rules.clone(),
            fleet: ground.fleet.clone(),
            metrics,
            clock: Arc::clone(&ground.clock),
        }
    }

    /// Starts the task that looks after all of it.
    pub(super) fn begin(&self, shutdown: &Shutdown) {
        let watch = self.clone().watch_over(shutdown.clone());
        drop(shutdown.spawn("rules at the edge", watch));
    }

    /// Ends what nobody else would end, and says what no agent says, until the drain.
    async fn watch_over(self, shutdown: Shutdown) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = shutdown.draining() => return,
            }
            if let Err(error) = self.look().await {
                let error = daemon::chain(&error);
                tracing::error!(error, "looking after rules at the edge");
            }
        }
    }

    async fn look(&self) -> Result<(), DeskError> {
        let now = self.clock.wall_millis();
        let heard: BTreeMap<String, i64> = self
            .fleet
            .list()
            .into_iter()
            .map(|node| (node.agent_id, node.last_message_millis))
            .collect();
        for agent in self.edge.agents() {
            let last = heard.get(&agent).copied().unwrap_or(0);
            if last < now - GONE_MILLIS {
                tracing::warn!(
                    agent,
                    "an agent is gone; the centre has the word on its rules"
                );
                self.run(&agent, RulesRun::default()).await?;
            }
        }
        let central = self.rules.firing().await;
        let edge = self.edge.clone();
        let find = move |centre: &Centre| {
            let (left, rows) = edge.take_left(now);
            let mut transitions: Vec<Transition> = Vec::new();
            if !left.is_empty() {
                let known = central.iter();
                let known: BTreeSet<String> = known.map(name_of).collect();
                let over = |it: &Alert, rule: &str| {
                    let agent = it.labels.get(NODE).cloned().unwrap_or_default();
                    left.contains(&(agent, rule.to_owned()))
                        && !known.contains(&name(&it.fingerprint, rule))
                };
                transitions.extend(ends(centre, over, now));
            }
            // What others write under an agent's name no agent sees: the centre says it, late.
            let silent = central.into_iter();
            transitions.extend(silent.filter(|it| edge.is_silent_on(it, now)));
            (transitions, rows)
        };
        self.desk.take_found(find).await
    }
}
