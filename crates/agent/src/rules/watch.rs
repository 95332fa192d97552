//! The rules at work: what they remember, and when each is due.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use alert::rules::{Group, GroupSpec, GroupState, Read, RuleFile, Settings};
use alert::{State, Transition, fingerprint};
use query::{Engine, Options};
use series::{Labels, Timestamp};
use wire::transition::{EdgeRules, FIRING_MAX, RULES_MAX};

use super::ring::{Readers, Ring};
use super::tap::{Fresh, Reads, passes};

/// A rule that reads several sources is evaluated so often in a collect interval at most.
const PARTS: u32 = 4;
/// Rounds after which every source has spoken.
const ROUNDS: u32 = 2;
/// The same where the interval is short and a target slow.
const SPEAKS_WITHIN: Duration = Duration::from_secs(5);
/// How often a rule is evaluated of which nothing is active and nothing new is known.
const IDLE_EVERY: Duration = Duration::from_secs(15);
/// How often it is looked for series that are gone.
const TIDY_EVERY_MILLIS: i64 = 60_000;
/// Time that goes back by so much was set back; less is one source that is later than another.
const BACK_MILLIS: i64 = 10_000;
/// Bounds of one evaluation.
const SERIES_MAX: u64 = 100_000;
const SAMPLES_MAX: u64 = 5_000_000;

/// One rule. Rules at the edge read nothing that others record, so each is evaluated by itself.
struct Running {
    /// What it is known by over changes.
    key: String,
    /// `group/rule`.
    path: String,
    /// A hash of what it was made of, to know whether it has changed.
    text: String,
    group: Group,
    reads: Vec<Read>,
    /// Its longest window, in milliseconds.
    window_millis: i64,
    /// From when on its series are kept.
    began_millis: Option<i64>,
    /// Whether there are new samples that it reads.
    is_fresh: bool,
    /// Whether it may have alerts that are active.
    is_active: bool,
    /// Whether its series do not fit.
    is_unfit: bool,
    evaluated: Option<Duration>,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// What began or ceased to fire.
    pub(super) transitions: Vec<Transition>,
    /// Whether what rules remember has changed.
    pub(super) is_changed: bool,
    /// Evaluations of rules.
    pub(super) evaluations: u64,
    /// Rules that failed, and why.
    pub(super) failures: Vec<String>,
    /// Rules whose series do not fit, of late.
    pub(super) unfit: Vec<String>,
}

/// The rules at work.
pub(super) struct Watch {
    version: String,
    rules: Vec<Running>,
    ring: Ring,
    engine: Engine,
    /// What fires, by fingerprint, with its transition to firing.
    firing: BTreeMap<String, Transition>,
    every: Duration,
    at_millis: i64,
    /// When the first samples came, by the clock that is never set.
    began: Option<Duration>,
    tidied_millis: i64,
    /// Since when rounds of some source have been skipped of which none has come since.
    behind_millis: Option<i64>,
}

/// What is kept over restarts.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub(super) struct Remembered {
    /// By rule.
    pub(super) rules: BTreeMap<String, GroupState>,
    /// What fires.
    pub(super) firing: Vec<Transition>,
}

/// Rules as they are read, one in each group.
fn read(given: &EdgeRules) -> Result<Vec<(String, GroupSpec)>, String> {
    let mut rules = Vec::new();
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    for (name, text) in &given.files {
        let file = RuleFile::parse(name, text);
        let file =
            file.map_err(|errors| errors.first().map(ToString::to_string).unwrap_or_default())?;
        for group in file.groups {
            for rule in group.rules {
                let key = format!("{name}\n{}/{}", group.name, rule.name);
                let same = seen.entry(key.clone()).or_default();
                *same += 1;
                let spec = GroupSpec {
                    file: group.file.clone(),
                    name: group.name.clone(),
                    interval_millis: None,
                    query_offset_millis: None,
                    limit: group.limit,
                    rules: vec![rule],
                };
                rules.push((format!("{key}#{same}"), spec));
            }
        }
    }
    if rules.len() > RULES_MAX {
        return Err(format!("there are more than {RULES_MAX}"));
    }
    Ok(rules)
}

impl Watch {
    /// One without rules, which keeps so many samples.
    pub(super) fn new(every: Duration, samples_max: usize) -> Self {
        let mut ring = Ring::default();
        ring.samples_max = samples_max;
        Self {
            version: String::new(),
            rules: Vec::new(),
            ring,
            engine: Engine::default(),
            firing: BTreeMap::new(),
            every,
            at_millis: 0,
            began: None,
            tidied_millis: 0,
            behind_millis: None,
        }
    }

    /// Puts these rules in the place of those before. What stays goes on; alerts of rules that are gone are
    /// the coordinator's to end.
    ///
    /// # Errors
    /// Why they cannot be used; then those before go on.
    pub(super) fn replace(&mut self, given: &EdgeRules) -> Result<(), String> {
        let settings = Arc::new(Settings {
            external_labels: given.external_labels.clone(),
            external_url: given.external_url.clone(),
            ..Settings::default()
        });
        let specs = read(given)?;
        let old = std::mem::take(&mut self.rules).into_iter();
        let mut old: BTreeMap<String, Running> = old.map(|it| (it.key.clone(), it)).collect();
        for (key, spec) in specs {
            let name = spec.rules.first().map(|rule| rule.name.clone());
            let path = format!("{}/{}", spec.name, name.unwrap_or_default());
            let text = format!("{:?}", spec.rules);
            let text = fingerprint(&BTreeMap::from([(String::new(), text)]));
            let reads: Vec<Read> = spec
                .rules
                .iter()
                .flat_map(alert::rules::Rule::reads)
                .collect();
            let windows = reads.iter().filter_map(|read| read.window_millis);
            let mut running = Running {
                window_millis: windows.max().unwrap_or(0),
                group: Group::new(spec, &settings),
                began_millis: None,
                is_fresh: true,
                is_active: true,
                is_unfit: false,
                evaluated: None,
                key,
                path,
                text,
                reads,
            };
            if let Some(before) = old.remove(&running.key) {
                if before.text == running.text {
                    running.began_millis = before.began_millis;
                    running.is_unfit = before.is_unfit;
                }
                running.group.restore(before.group.export());
            }
            self.rules.push(running);
        }
        let paths: HashSet<&str> = self.rules.iter().map(|it| it.path.as_str()).collect();
        self.firing.retain(|_, it| paths.contains(it.rule.as_str()));
        self.version.clone_from(&given.version);
        self.ring.lookback_millis = given.lookback_millis;
        self.engine = Engine::new(Options {
            lookback_ms: given.lookback_millis,
            series_max: SERIES_MAX,
            samples_max: SAMPLES_MAX,
            ..Options::default()
        });
        self.retidy();
        Ok(())
    }

    /// Gives the rules back what they remember. What is said to fire and is no alert of a rule that fires is left
    /// out: nothing would end it.
    pub(super) fn restore(&mut self, mut remembered: Remembered) {
        for rule in &mut self.rules {
            if let Some(state) = remembered.rules.remove(&rule.key) {
                rule.group.restore(state);
            }
        }
        let mut fires: HashSet<(&str, String)> = HashSet::new();
        for rule in &self.rules {
            let alerts = rule.group.alerts().filter(|it| it.state == State::Firing);
            fires.extend(alerts.map(|it| {
                let labels = it.labels.iter();
                let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned()));
                (rule.path.as_str(), fingerprint(&labels.collect()))
            }));
        }
        let firing = remembered.firing.into_iter();
        let firing = firing.map(|it| (fingerprint(&it.labels), it));
        let firing = firing.filter(|(name, it)| {
            it.to == State::Firing && fires.contains(&(it.rule.as_str(), name.clone()))
        });
        self.firing = firing.collect();
    }

    /// What the rules remember.
    pub(super) fn remembered(&self) -> Remembered {
        let rules = self.rules.iter().filter_map(|rule| {
            let state = rule.group.export();
            (state != GroupState::default()).then(|| (rule.key.clone(), state))
        });
        Remembered {
            rules: rules.collect(),
            firing: self.firing.values().cloned().collect(),
        }
    }

    /// What the rules that fit read.
    pub(super) fn reads(&self) -> Reads {
        let mut names = Some(HashSet::new());
        let mut any_of = Vec::new();
        for read in self.fit().flat_map(|rule| &rule.reads) {
            match (read.metric(), &mut names) {
                (Some(name), Some(names)) => drop(names.insert(name.to_owned())),
                _ => names = None,
            }
            any_of.push(read.matchers.clone());
        }
        Reads { names, any_of }
    }

    fn fit(&self) -> impl Iterator<Item = &Running> {
        self.rules.iter().filter(|rule| !rule.is_unfit)
    }

    /// The rules that run by now.
    pub(super) fn running(&self) -> Vec<String> {
        let running = self.fit().filter(|rule| self.is_filled(rule));
        let held: HashSet<&str> = self
            .rules
            .iter()
            .filter(|rule| rule.is_unfit || !self.is_filled(rule))
            .map(|rule| rule.path.as_str())
            .collect();
        let mut paths: Vec<String> = running.map(|rule| rule.path.clone()).collect();
        // Of two rules by one path the coordinator cannot tell which runs.
        paths.retain(|path| !held.contains(path.as_str()));
        paths.sort_unstable();
        paths.dedup();
        paths
    }

    fn is_filled(&self, rule: &Running) -> bool {
        let began = rule.began_millis;
        began.is_some_and(|began| self.at_millis >= began.saturating_add(rule.window_millis))
    }

    /// What fires, and whether that is all.
    pub(super) fn firing(&self) -> (Vec<Transition>, bool) {
        let some = self.firing.values().take(FIRING_MAX).cloned().collect();
        (some, self.firing.len() <= FIRING_MAX)
    }

    /// How many alerts fire, rules there are, and series are kept.
    pub(super) fn counts(&self) -> (usize, usize, usize) {
        (self.firing.len(), self.rules.len(), self.ring.series())
    }

    /// The version of the rules.
    pub(super) fn version(&self) -> &str {
        &self.version
    }

    fn retidy(&mut self) {
        let rules = &self.rules;
        let readers_of = |labels: &Labels| readers(rules, labels).map(Arc::new);
        self.ring.tidy(self.at_millis, Some(&readers_of));
    }

    /// Takes in samples.
    fn take(&mut self, fresh: Fresh, unfit: &mut Vec<String>) {
        if fresh.at_millis > self.at_millis || fresh.at_millis < self.at_millis - BACK_MILLIS {
            self.at_millis = fresh.at_millis;
        }
        self.behind_millis = fresh.behind_millis;
        for rule in &mut self.rules {
            // A window with a gap in it says too little: it is filled anew.
            if fresh.follows_gap && rule.window_millis > 0 {
                rule.began_millis = None;
            }
            rule.began_millis.get_or_insert(self.at_millis);
        }
        for (labels, at, value) in fresh.samples {
            let readers = match self.ring.readers(&labels) {
                Some(readers) => readers,
                None => match readers(&self.rules, &labels) {
                    Some(readers) => Arc::new(readers),
                    None => continue,
                },
            };
            for rule in &readers.rules {
                if let Some(rule) = self.rules.get_mut(*rule) {
                    rule.is_fresh = true;
                }
            }
            if !self.ring.push(&labels, &readers, (at, value)) {
                self.do_not_fit(&readers, unfit);
            }
        }
    }

    /// There is no room for a series: the rules that read it do not run here, and what they alone read is
    /// let go.
    fn do_not_fit(&mut self, readers: &Readers, unfit: &mut Vec<String>) {
        for rule in &readers.rules {
            if let Some(rule) = self.rules.get_mut(*rule)
                && !std::mem::replace(&mut rule.is_unfit, true)
            {
                unfit.push(rule.path.clone());
                self.firing.retain(|_, it| it.rule != rule.path);
            }
        }
        self.retidy();
    }

    /// Takes in what came and evaluates what is due. `now` is of the clock that is never set.
    pub(super) fn step(&mut self, fresh: Vec<Fresh>, now: Duration) -> Found {
        let mut found = Found::default();
        for fresh in fresh {
            self.take(fresh, &mut found.unfit);
        }
        if self.at_millis == 0 {
            return found;
        }
        let began = *self.began.get_or_insert(now);
        let speaks = self.every.saturating_mul(ROUNDS).max(SPEAKS_WITHIN);
        self.ring.is_partial = now.saturating_sub(began) < speaks || self.is_blind();
        if (self.at_millis - self.tidied_millis).abs() >= TIDY_EVERY_MILLIS {
            self.tidied_millis = self.at_millis;
            self.ring.tidy(self.at_millis, None);
        }
        let at = Timestamp::from_millis(self.at_millis);
        for place in 0..self.rules.len() {
            let due = self.rules.get(place).and_then(|rule| self.due(rule));
            let Some(rule) = self.rules.get_mut(place) else {
                continue;
            };
            if due.is_none_or(|due| due > now) {
                continue;
            }
            let evaluated = rule.group.evaluate(&self.ring, &self.engine, at, 1.0);
            (rule.is_fresh, rule.evaluated) = (false, Some(now));
            // Cheap where nothing is near: most rules have no alerts most of the time.
            rule.is_active = rule.group.alerts().any(|it| it.state != State::Inactive);
            found.evaluations += 1;
            found.is_changed |= evaluated.is_changed;
            let failures = evaluated.failures.iter();
            let failures = failures.map(|it| format!("{}: {}", it.rule, crate::chain(&it.error)));
            found.failures.extend(failures);
            found.transitions.extend(evaluated.transitions);
        }
        // What is pending is nobody else's business.
        let fires = |it: &Transition| it.to == State::Firing || it.from == State::Firing;
        found.transitions.retain(fires);
        for transition in &found.transitions {
            let name = fingerprint(&transition.labels);
            match transition.to {
                State::Firing => drop(self.firing.insert(name, transition.clone())),
                State::Inactive | State::Pending => drop(self.firing.remove(&name)),
            }
        }
        found
    }

    /// Whether rounds of some source have been skipped for so long that what it said last may be too old
    /// to be seen.
    fn is_blind(&self) -> bool {
        let since = self.behind_millis.unwrap_or(i64::MAX);
        self.at_millis.saturating_sub(since) >= self.ring.lookback_millis / 2
    }

    /// When a rule is due; never where it does not run.
    fn due(&self, rule: &Running) -> Option<Duration> {
        if rule.is_unfit || !self.is_filled(rule) {
            return None;
        }
        let Some(last) = rule.evaluated else {
            return Some(Duration::ZERO);
        };
        let wait = match (rule.is_fresh, rule.is_active) {
            (true, _) => self.every / PARTS,
            (false, true) => self.every,
            (false, false) => IDLE_EVERY,
        };
        Some(last + wait)
    }

    /// When the next rule is due that has new samples.
    pub(super) fn next_due(&self) -> Option<Duration> {
        let fresh = self.rules.iter().filter(|rule| rule.is_fresh);
        fresh.filter_map(|rule| self.due(rule)).min()
    }
}

/// Which of the rules that fit read a series; none where none does.
fn readers(rules: &[Running], labels: &Labels) -> Option<Readers> {
    let mut readers = Readers::default();
    for (place, rule) in rules.iter().enumerate().filter(|(_, it)| !it.is_unfit) {
        let reads = rule.reads.iter();
        for read in reads.filter(|read| passes(&read.matchers, labels)) {
            if readers.rules.last() != Some(&place) {
                readers.rules.push(place);
            }
            readers.window_millis = readers.window_millis.max(read.window_millis);
        }
    }
    (!readers.rules.is_empty()).then_some(readers)
}
