//! What rules and other programs say.

use std::collections::BTreeMap;

use spec::Level;

use super::rows::Key;
use super::{ALERTS_MAX, Centre, Wait};
use crate::{Alert, Held, State, Transition, fingerprint};

/// The alert that alerts are refused.
const REFUSED: &str = "AlertsRefused";
/// How long it fires after the last one that was.
const REFUSED_MILLIS: i64 = 600_000;

/// An alert as another program says it.
#[derive(Clone, Debug, PartialEq)]
pub struct OutsideAlert {
    /// What names it, `alertname` among them.
    pub labels: BTreeMap<String, String>,
    /// What is said of it.
    pub annotations: BTreeMap<String, String>,
    /// Since when it fires, in milliseconds since the Unix epoch.
    pub starts_millis: i64,
    /// When it is over: in the past when it is, else unless it is said again.
    pub ends_millis: i64,
}

impl Centre {
    /// Takes what one evaluation found. Whatever of it belongs together becomes one word.
    pub fn take(&mut self, transitions: Vec<Transition>, now_millis: i64) {
        let mut firing = Vec::new();
        let mut over = Vec::new();
        for transition in transitions {
            if transition.to == State::Firing {
                firing.push(Alert::of(transition));
            } else if transition.from == State::Firing {
                over.push((fingerprint(&transition.labels), transition.rule));
            }
        }
        self.take_alerts(firing, over, now_millis);
    }

    /// Takes what another program says.
    pub fn take_outside(&mut self, alerts: Vec<OutsideAlert>, now_millis: i64) {
        let mut firing = Vec::new();
        let mut over = Vec::new();
        for said in alerts {
            let fingerprint = fingerprint(&said.labels);
            if said.ends_millis <= now_millis {
                over.push((fingerprint, String::new()));
                continue;
            }
            let severity = said.labels.get("severity").map_or("", String::as_str);
            firing.push(Alert {
                fingerprint,
                rule: String::new(),
                level: Level::of_severity(severity).unwrap_or(Level::Medium),
                labels: said.labels,
                annotations: said.annotations,
                firing: true,
                starts_millis: said.starts_millis.min(now_millis),
                ends_millis: None,
                value: f64::NAN,
                sample_millis: None,
                expires_millis: Some(said.ends_millis),
                incident: None,
                joined: None,
                held: None,
                fires: vec![now_millis],
                flapping: false,
                also: Vec::new(),
            });
        }
        self.take_alerts(firing, over, now_millis);
    }

    /// Makes of the rules' alerts exactly these, and those that `holds` says to fire by a rule: after a
    /// restart, or when the rules have changed.
    pub fn settle(
        &mut self,
        firing: Vec<Transition>,
        holds: &dyn Fn(&Alert, &str) -> bool,
        now_millis: i64,
    ) {
        let firing: Vec<Alert> = firing.into_iter().map(Alert::of).collect();
        let known: std::collections::BTreeSet<(&str, &str)> = firing
            .iter()
            .map(|alert| (alert.fingerprint.as_str(), alert.rule.as_str()))
            .collect();
        let mut over = Vec::new();
        for alert in self.alerts.values().filter(|alert| alert.firing) {
            let mut gone = alert.rules().filter(|rule| {
                !rule.is_empty() && !known.contains(&(alert.fingerprint.as_str(), *rule))
            });
            let gone = gone.by_ref().filter(|rule| !holds(alert, rule));
            over.extend(gone.map(|rule| (alert.fingerprint.clone(), rule.to_owned())));
        }
        self.take_alerts(firing, over, now_millis);
    }

    /// That alerts are refused is an alert itself, for which there is always room.
    fn tell_refused(&mut self, now_millis: i64) {
        let labels = [("alertname", REFUSED), ("severity", "critical")];
        let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let summary = format!("alerts are refused: {ALERTS_MAX} are known, and more begin to fire");
        let said = OutsideAlert {
            labels: labels.into(),
            annotations: BTreeMap::from([("summary".to_owned(), summary)]),
            starts_millis: now_millis,
            ends_millis: now_millis + REFUSED_MILLIS,
        };
        self.take_outside(vec![said], now_millis);
    }

    fn take_alerts(&mut self, firing: Vec<Alert>, over: Vec<(String, String)>, now_millis: i64) {
        let refused = self.refused;
        let mut begun = Vec::new();
        if self.alerts.len() + firing.len() > ALERTS_MAX {
            self.make_room(firing.len());
        }
        for alert in firing {
            let fingerprint = alert.fingerprint.clone();
            if self.fires(alert, now_millis) {
                begun.push(fingerprint);
            }
        }
        // What explains others first, then the worst: the incident is named after it.
        begun.sort_by_cached_key(|fingerprint| {
            let alert = &self.alerts[fingerprint];
            let explains = self.inhibitors.iter().any(|one| one.explains(alert));
            (
                !explains,
                std::cmp::Reverse(alert.level),
                fingerprint.clone(),
            )
        });
        for fingerprint in &begun {
            self.place(fingerprint, now_millis);
        }
        for (fingerprint, rule) in over {
            self.is_over(&fingerprint, &rule, now_millis);
        }
        if self.refused > refused {
            self.tell_refused(now_millis);
        }
        self.tick(now_millis);
    }

    /// Notes an alert that fires. `true` when it is to be found a place: it did not fire before, or was not
    /// bad enough for one.
    fn fires(&mut self, said: Alert, now_millis: i64) -> bool {
        let fingerprint = said.fingerprint.clone();
        let known = self.alerts.contains_key(&fingerprint);
        let most = ALERTS_MAX + usize::from(said.name() == REFUSED);
        if !known && self.alerts.len() >= most {
            self.refused += 1;
            return false;
        }
        self.leave_if_long_over(&fingerprint, now_millis);
        let (mut begins, mut worse) = (true, false);
        if let Some(alert) = self.alerts.get_mut(&fingerprint) {
            let seen = |alert: &Alert| {
                let rules = alert.also.iter().map(|also| also.rule.clone());
                (alert.firing, alert.level, rules.collect::<Vec<_>>())
            };
            let before = seen(alert);
            worse = alert.held == Some(Held::Policy);
            let incident = alert.incident.as_ref();
            let mut members = incident.and_then(|id| self.members.get_mut(id));
            if let Some(members) = &mut members {
                members.remove(alert);
            }
            let waited = alert.outside_until();
            begins = alert.renew(said);
            if let Some(members) = members {
                members.add(alert);
            }
            if let Some(at) = waited {
                let wait = (at, Wait::Expire, fingerprint.clone());
                self.waits.remove(&wait);
            }
            worse &= alert.level > before.1;
            // Said again with nothing new: not worth a row, but for the time it is good for.
            if seen(alert) != before || alert.outside_until().is_some() {
                self.dirty.insert(Key::Alert(fingerprint.clone()));
            }
        } else {
            self.alerts.insert(fingerprint.clone(), said);
        }
        if let Some(expires) = self.alerts[&fingerprint].outside_until() {
            self.wait(expires, Wait::Expire, &fingerprint);
        }
        let level = self.alerts[&fingerprint].level;
        if !begins {
            self.worsens(&fingerprint, level, now_millis);
            return worse;
        }
        self.dirty.insert(Key::Alert(fingerprint.clone()));
        self.watch_flapping(&fingerprint, now_millis);
        let alert = &self.alerts[&fingerprint];
        for inhibitor in &mut self.inhibitors {
            inhibitor.add(alert);
        }
        true
    }

    /// An alert that fires already may have become worse than its incident.
    fn worsens(&mut self, fingerprint: &str, level: Level, now_millis: i64) {
        let Some(id) = self.alerts[fingerprint].incident.clone() else {
            return;
        };
        if self.incidents.get(&id).is_some_and(|it| it.level < level) {
            self.raise(&id, level, now_millis);
        }
    }

    fn watch_flapping(&mut self, fingerprint: &str, now_millis: i64) {
        let timing = &self.routes.timing;
        let (flaps, since) = (timing.flaps, now_millis - timing.flap_window);
        let Some(alert) = self.alerts.get_mut(fingerprint) else {
            return;
        };
        let fires = alert.fires.iter().filter(|at| **at > since).count();
        let flapping = fires >= flaps;
        let begins = flapping && !alert.flapping;
        alert.flapping = flapping;
        let (id, title) = (alert.incident.clone(), alert.title());
        if let (true, Some(id)) = (begins, id) {
            let what = format!("{title} comes and goes: {fires} times of late");
            self.with_incident(&id, |_, incident| incident.note(now_millis, what));
        }
    }

    /// Notes that an alert is over by one rule.
    pub(super) fn is_over(&mut self, fingerprint: &str, rule: &str, now_millis: i64) {
        let Some(alert) = self.alerts.get_mut(fingerprint) else {
            return;
        };
        if !alert.firing {
            return;
        }
        if !alert.is_over_by(rule) {
            self.dirty.insert(Key::Alert(fingerprint.to_owned()));
            return;
        }
        let incident = alert.incident.as_ref();
        let mut members = incident.and_then(|id| self.members.get_mut(id));
        if let Some(members) = &mut members {
            members.remove(alert);
        }
        alert.firing = false;
        alert.ends_millis = Some(now_millis);
        alert.expires_millis = None;
        if let Some(members) = members {
            members.add(alert);
        }
        let (incident, flapping) = (alert.incident.clone(), alert.flapping);
        self.dirty.insert(Key::Alert(fingerprint.to_owned()));
        let alert = &self.alerts[fingerprint];
        for inhibitor in &mut self.inhibitors {
            inhibitor.remove(alert);
        }
        self.release_children(fingerprint, now_millis);
        let Some(id) = incident else {
            self.forget(fingerprint);
            return;
        };
        if !self
            .incidents
            .get(&id)
            .is_some_and(crate::Incident::is_open)
        {
            // It was held back when it fired again.
            let until = now_millis + self.routes.timing.reopen;
            self.wait(until, Wait::Forget, fingerprint);
            return;
        }
        self.bound_over(&id);
        if self.firing_of(&id).next().is_none() {
            let timing = &self.routes.timing;
            let wait = if flapping {
                timing.resolve_flapping
            } else {
                timing.resolve
            };
            self.with_incident(&id, |_, incident| {
                if incident.is_open() {
                    incident.dues.resolve = Some(now_millis + wait);
                }
            });
        }
    }

    /// Finds an alert its place: held back, or in an incident.
    pub(super) fn place(&mut self, fingerprint: &str, now_millis: i64) {
        let held = self.held(&self.alerts[fingerprint], now_millis);
        let told = self.is_told(self.alerts[fingerprint].level);
        let Some(alert) = self.alerts.get_mut(fingerprint) else {
            return;
        };
        self.dirty.insert(Key::Alert(fingerprint.to_owned()));
        // One whose incident is open stays there, whatever holds back new ones.
        let open = alert
            .incident
            .as_ref()
            .and_then(|id| self.incidents.get(id));
        let is_open = open.is_some_and(crate::Incident::is_open);
        if !is_open && (held.is_some() || !told) {
            alert.held = held.or(Some(Held::Policy));
            return;
        }
        alert.held = None;
        self.join(fingerprint, now_millis);
    }

    /// Looks again at what no policy told of, and at incidents of which nobody could be told.
    pub(super) fn tell_untold(&mut self, now_millis: i64) {
        let waits = |alert: &&Alert| {
            alert.firing && alert.incident.is_none() && alert.held == Some(Held::Policy)
        };
        let waiting: Vec<String> = self
            .alerts
            .values()
            .filter(waits)
            .map(|alert| alert.fingerprint.clone())
            .collect();
        for fingerprint in waiting {
            self.place(&fingerprint, now_millis);
        }
        let untold = self.incidents.values().filter(|incident| {
            incident.is_open() && incident.told.is_empty() && incident.told_level.is_some()
        });
        let untold: Vec<String> = untold.map(|incident| incident.id.clone()).collect();
        for id in untold {
            self.with_incident(&id, |_, incident| incident.dues.word = Some(now_millis));
        }
        self.tick(now_millis);
    }

    /// Whether incidents of a level open by themselves.
    fn is_told(&self, level: Level) -> bool {
        let policy = &self.routes.policy;
        policy.incidents.auto_creation && policy.levels.contains_key(&level)
    }

    pub(super) fn wait(&mut self, until: i64, wait: Wait, fingerprint: &str) {
        self.waits.insert((until, wait, fingerprint.to_owned()));
    }

    /// Lets go of an alert that neither fires nor is in an incident.
    pub(super) fn forget(&mut self, fingerprint: &str) {
        if let Some(alert) = self.alerts.remove(fingerprint) {
            self.dirty.insert(Key::Alert(fingerprint.to_owned()));
            let incident = alert.incident.as_ref();
            if let Some(members) = incident.and_then(|id| self.members.get_mut(id)) {
                members.remove(&alert);
            }
        }
    }
}
