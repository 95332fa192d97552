//! Alerting rules: the alerts of one rule, and an evaluation of them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use series::labels::METRIC_NAME;
use series::{Labels, LabelsBuilder, LabelsError, STALE_NAN, Timestamp};

use super::annotate::{Annotator, without_name};
use super::ask::Element;
use super::comparison;
use super::evaluated::{Recorded, RuleError};
use super::life::{Life, Seen};
use super::rule::{ALERTS_MAX, Alerting, MISSING_FIRES_MAX, Missing};
use crate::{State, Transition};

/// The metric of alerts and their state.
pub(super) const ALERTS: &str = "ALERTS";
/// The metric of the times since when alerts are active.
pub(super) const ALERTS_FOR_STATE: &str = "ALERTS_FOR_STATE";

/// How often it is kept when an element last had data, in milliseconds: not with each evaluation.
const SEEN_KEPT_EVERY: i64 = 3_600_000;

/// One alert.
#[derive(Clone, Debug)]
pub(super) struct Instance {
    pub(super) life: Life,
    /// The labels of its element, without the metric name.
    pub(super) of: Labels,
    pub(super) annotations: BTreeMap<String, String>,
    /// The value its condition was last seen to hold with.
    pub(super) value: f64,
    /// `ALERTS` of its state, and `ALERTS_FOR_STATE`.
    series: Option<[Arc<Labels>; 2]>,
}

impl Instance {
    pub(super) fn new(life: Life, of: Labels, value: f64) -> Self {
        Self {
            life,
            of,
            annotations: BTreeMap::new(),
            value,
            series: None,
        }
    }
}

/// The alerts of one rule.
#[derive(Debug, Default)]
pub(super) struct Alerts {
    pub(super) by_labels: BTreeMap<Arc<Labels>, Instance>,
    /// The labels of alerts by those of their elements, where nothing else decides.
    known: HashMap<Labels, Arc<Labels>>,
    /// The elements that had data, and when last; only where missing ones fire.
    pub(super) last_seen: BTreeMap<Labels, i64>,
}

/// What an evaluation found.
pub(super) struct Outcome {
    pub(super) is_partial: bool,
    /// Alerts of which nothing is known.
    pub(super) unknown: usize,
    pub(super) is_changed: bool,
}

/// What an evaluation gives to.
pub(super) struct Outputs<'a> {
    /// `group/rule`.
    pub(super) rule: &'a str,
    pub(super) limit: usize,
    pub(super) transitions: &'a mut Vec<Transition>,
    pub(super) recorded: &'a mut Vec<Recorded>,
}

/// What the queries of a rule say.
struct Found {
    /// The elements for which the condition holds; a value of none is missing.
    elements: Vec<(Labels, Option<f64>)>,
    /// Elements that have data, where that is asked for.
    present: Option<HashSet<Labels>>,
    /// Elements that end alerts.
    clear: Option<HashSet<Labels>>,
    /// Whether what is remembered of elements that had data must be kept anew.
    is_changed: bool,
    is_partial: bool,
    newest_millis: Option<i64>,
}

/// One that holds: its element, and its value.
type Sighting = (Labels, Option<f64>);

impl Alerts {
    /// Evaluates the rule. After an error everything is as before.
    pub(super) fn evaluate(
        &mut self,
        alerting: &Alerting,
        with: &Annotator<'_>,
        out: &mut Outputs<'_>,
    ) -> Result<Outcome, RuleError> {
        let at = with.asker.at.as_millis();
        let found = self.find(alerting, with)?;
        let sightings = self.sightings(with, found.elements)?;
        let mut unknown = 0;
        let mut active = 0;
        let mut lives = Vec::with_capacity(self.by_labels.len());
        for (labels, instance) in &self.by_labels {
            let is_clear = found
                .clear
                .as_ref()
                .map(|clear| clear.contains(&instance.of) || clear.contains(&Labels::default()));
            let is_missing = found
                .present
                .as_ref()
                .is_some_and(|present| !present.contains(&instance.of));
            let holds_on = alerting.missing == Some(Missing::Hold) && is_missing;
            let seen = if sightings.contains_key(labels) {
                Seen::Holds
            } else if found.is_partial && is_clear != Some(true) {
                Seen::Unknown
            } else if holds_on && is_clear != Some(true) {
                Seen::Missing
            } else {
                Seen::Not {
                    is_clear: is_clear.unwrap_or(true),
                }
            };
            let life = instance.life.after(seen, at, &alerting.timing);
            let is_active = life.is_some_and(|life| life.is_active());
            active += usize::from(is_active);
            let is_unknown = matches!(seen, Seen::Unknown | Seen::Missing);
            unknown += usize::from(is_unknown && is_active);
            lives.push(life);
        }
        let is_new = |labels: &&Arc<Labels>| !self.by_labels.contains_key(*labels);
        active += sightings.keys().filter(is_new).count();
        let max = if out.limit == 0 {
            ALERTS_MAX
        } else {
            out.limit
        };
        if active > max {
            return Err(RuleError::Limit {
                what: "alerts",
                got: active,
                max,
            });
        }
        let mut step = Step {
            alerting,
            with,
            newest_millis: found.newest_millis,
            out,
            is_changed: found.is_changed,
        };
        step.old(&mut self.by_labels, &sightings, lives)?;
        step.fresh(&mut self.by_labels, sightings)?;
        let is_changed = step.is_changed;
        self.forget();
        self.record(with.asker.looks_at, out.recorded)?;
        Ok(Outcome {
            is_partial: found.is_partial,
            unknown,
            is_changed,
        })
    }

    /// Asks what the rule needs to know.
    fn find(&mut self, alerting: &Alerting, with: &Annotator<'_>) -> Result<Found, RuleError> {
        let rule = with.rule;
        let comparison = alerting
            .missing
            .and_then(|missing| Some((missing, comparison::split(&rule.expr)?)));
        let asked = comparison.as_ref().map_or(&rule.expr, |(_, it)| it.of);
        let answer = with.asker.vector(asked, &rule.text)?;
        let mut found = Found {
            elements: Vec::new(),
            present: None,
            clear: None,
            is_changed: false,
            is_partial: answer.is_partial,
            newest_millis: answer.newest_millis,
        };
        let is_firing = |instance: &Instance| instance.life.state == State::Firing;
        if let (Some(clear), Some(text)) = (&alerting.clear, &alerting.clear_when) {
            let mut ended = HashSet::new();
            if self.by_labels.values().any(is_firing) {
                let answer = with.asker.vector(clear, text)?;
                let elements = answer.elements.iter();
                ended.extend(elements.map(|element| without_name(&element.labels)));
            }
            found.clear = Some(ended);
        }
        let all = |Element { labels, value }| (labels, Some(value));
        let Some((missing, comparison)) = comparison else {
            found.elements = answer.elements.into_iter().map(all).collect();
            return Ok(found);
        };
        let present: HashSet<Labels> = answer
            .elements
            .iter()
            .map(|element| without_name(&element.labels))
            .collect();
        let holding = answer.elements.into_iter();
        found.elements = holding
            .filter(|element| comparison.holds(element.value))
            .map(all)
            .collect();
        if missing == Missing::Fire && !found.is_partial {
            let (gone, is_changed) = self.gone(&present, with.asker.at.as_millis())?;
            found.is_changed = is_changed;
            found.elements.extend(gone.into_iter().map(|it| (it, None)));
        }
        found.present = Some(present);
        Ok(found)
    }

    /// The elements that had data and have none now; one without labels where there never were any. And
    /// whether what is remembered of them must be kept anew: some are new or forgotten, or an hour began.
    fn gone(
        &mut self,
        present: &HashSet<Labels>,
        at: i64,
    ) -> Result<(Vec<Labels>, bool), RuleError> {
        let hour = |at: i64| at.div_euclid(SEEN_KEPT_EVERY);
        let mut is_changed = false;
        for labels in present {
            match self.last_seen.get_mut(labels) {
                Some(seen) => {
                    is_changed |= hour(*seen) != hour(at);
                    *seen = at;
                }
                None => {
                    is_changed = true;
                    self.last_seen.insert(labels.clone(), at);
                }
            }
        }
        let before = self.last_seen.len();
        let is_kept = |seen: i64| at.saturating_sub(seen) <= MISSING_FIRES_MAX;
        self.last_seen.retain(|_, seen| is_kept(*seen));
        is_changed |= self.last_seen.len() != before;
        if self.last_seen.len() > ALERTS_MAX {
            return Err(RuleError::Limit {
                what: "elements",
                got: self.last_seen.len(),
                max: ALERTS_MAX,
            });
        }
        if self.last_seen.is_empty() {
            return Ok((vec![Labels::default()], is_changed));
        }
        let gone = self.last_seen.keys();
        let gone = gone.filter(|it| !present.contains(*it)).cloned();
        Ok((gone.collect(), is_changed))
    }

    /// The labels of the alerts whose condition holds.
    fn sightings(
        &mut self,
        with: &Annotator<'_>,
        elements: Vec<Sighting>,
    ) -> Result<HashMap<Arc<Labels>, Sighting>, RuleError> {
        let is_plain = Alerting::has_plain_labels(&with.rule.labels);
        let mut sightings = HashMap::with_capacity(elements.len());
        for (of, value) in elements {
            let labels = match self.known.get(&of).filter(|_| is_plain) {
                Some(labels) => Arc::clone(labels),
                None => {
                    let labels = with.labels(&of, value.unwrap_or(f64::NAN))?;
                    // Now, while nothing has changed: the series of the alert must be labels too.
                    series_of(&labels, State::Pending)?;
                    Arc::new(labels)
                }
            };
            if sightings.insert(labels, (of, value)).is_some() {
                return Err(RuleError::SameLabels { of: "alert" });
            }
        }
        if is_plain {
            for (labels, (of, _)) in &sightings {
                if !self.known.contains_key(of) {
                    self.known.insert(of.clone(), Arc::clone(labels));
                }
            }
        }
        Ok(sightings)
    }

    /// Forgets what labels follow from elements: the rule may say them anew.
    pub(super) fn forget_known(&mut self) {
        self.known.clear();
    }

    /// Forgets the labels of alerts that are no longer there.
    fn forget(&mut self) {
        if self.known.len() > 2 * self.by_labels.len() {
            let by_labels = &self.by_labels;
            self.known
                .retain(|_, labels| by_labels.contains_key(labels));
        }
    }

    /// Records the alerts as they are.
    pub(super) fn record(
        &mut self,
        at: Timestamp,
        out: &mut Vec<Recorded>,
    ) -> Result<(), LabelsError> {
        for (labels, instance) in &mut self.by_labels {
            if !instance.life.is_active() {
                continue;
            }
            let [state, since] = match &mut instance.series {
                Some(series) => series,
                none => none.insert(series_of(labels, instance.life.state)?),
            };
            let active_millis = instance.life.active_millis;
            #[expect(clippy::cast_precision_loss, reason = "seconds stay far below 2^53")]
            let seconds = active_millis.div_euclid(1000) as f64;
            for (labels, value) in [(state, 1.0), (since, seconds)] {
                out.push(Recorded {
                    labels: Arc::clone(labels),
                    at,
                    value,
                });
            }
        }
        Ok(())
    }
}

/// `ALERTS` of a state, and `ALERTS_FOR_STATE`, of an alert.
fn series_of(labels: &Labels, state: State) -> Result<[Arc<Labels>; 2], LabelsError> {
    let mut of_state = LabelsBuilder::from_labels(labels);
    of_state.set(METRIC_NAME, ALERTS);
    of_state.set("alertstate", state.as_str());
    let mut since = LabelsBuilder::from_labels(labels);
    since.set(METRIC_NAME, ALERTS_FOR_STATE);
    Ok([Arc::new(of_state.build()?), Arc::new(since.build()?)])
}

/// Takes alerts from what they were to what they are.
struct Step<'s, 'a, 'o> {
    alerting: &'s Alerting,
    with: &'s Annotator<'a>,
    newest_millis: Option<i64>,
    out: &'s mut Outputs<'o>,
    is_changed: bool,
}

impl Step<'_, '_, '_> {
    /// Alerts that were there before, with their lives from now on.
    fn old(
        &mut self,
        by_labels: &mut BTreeMap<Arc<Labels>, Instance>,
        sightings: &HashMap<Arc<Labels>, Sighting>,
        lives: Vec<Option<Life>>,
    ) -> Result<(), RuleError> {
        let mut gone = Vec::new();
        for ((labels, instance), life) in by_labels.iter_mut().zip(lives) {
            let before = instance.life;
            self.is_changed |= life != Some(before);
            instance.life = life.unwrap_or(Life {
                state: State::Inactive,
                ..before
            });
            if let Some((of, value)) = sightings.get(labels) {
                self.seen(instance, of, *value, before.is_active());
            }
            self.changed(labels, instance, before.state)?;
            if life.is_none() {
                gone.push(Arc::clone(labels));
            }
        }
        for labels in gone {
            by_labels.remove(&labels);
        }
        Ok(())
    }

    /// Alerts that were not there before.
    fn fresh(
        &mut self,
        by_labels: &mut BTreeMap<Arc<Labels>, Instance>,
        sightings: HashMap<Arc<Labels>, Sighting>,
    ) -> Result<(), RuleError> {
        let at = self.with.asker.at.as_millis();
        let mut fresh: Vec<(Arc<Labels>, Sighting)> = sightings
            .into_iter()
            .filter(|(labels, _)| !by_labels.contains_key(labels))
            .collect();
        fresh.sort_by(|a, b| a.0.cmp(&b.0));
        for (labels, (of, value)) in fresh {
            let Some(life) = Life::new(at).after(Seen::Holds, at, &self.alerting.timing) else {
                continue;
            };
            let mut instance = Instance::new(life, without_name(&of), f64::NAN);
            self.seen(&mut instance, &of, value, false);
            self.changed(&labels, &mut instance, State::Inactive)?;
            self.is_changed = true;
            by_labels.insert(labels, instance);
        }
        Ok(())
    }

    /// Its condition holds: its value is known, and what is said of it may change.
    fn seen(&mut self, instance: &mut Instance, of: &Labels, value: Option<f64>, was_active: bool) {
        let value = value.unwrap_or(instance.value);
        let is_same = value.to_bits() == instance.value.to_bits();
        instance.value = value;
        self.is_changed |= !is_same;
        let templates = &self.alerting.annotations;
        let is_due = templates
            .iter()
            .any(|(_, template)| template.uses_queries() || (!is_same && template.uses_value()));
        if is_due || !was_active {
            instance.annotations = self.with.annotations(templates, of, value);
        }
    }

    /// Says that a state changed, and ends the series of the one before.
    fn changed(
        &mut self,
        labels: &Arc<Labels>,
        instance: &mut Instance,
        before: State,
    ) -> Result<(), RuleError> {
        let life = &instance.life;
        if life.state == before {
            return Ok(());
        }
        let asker = self.with.asker;
        if before != State::Inactive {
            let [state, since] = match instance.series.take() {
                Some(series) => series,
                None => series_of(labels, before)?,
            };
            let ended = if life.is_active() {
                vec![state]
            } else {
                vec![state, since]
            };
            self.out
                .recorded
                .extend(ended.into_iter().map(|labels| Recorded {
                    labels,
                    at: asker.looks_at,
                    value: STALE_NAN,
                }));
        }
        self.out.transitions.push(Transition {
            at_millis: asker.at.as_millis(),
            rule: self.out.rule.to_owned(),
            labels: super::ask::named(labels),
            annotations: instance.annotations.clone(),
            level: self
                .alerting
                .level_of(labels, &self.with.settings.conditions),
            from: before,
            to: life.state,
            value: instance.value,
            active_millis: life.active_millis,
            sample_millis: self.newest_millis,
        });
        Ok(())
    }
}
