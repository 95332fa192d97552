//! Which alerts belong together, and why.

use std::collections::{BTreeSet, HashMap};

use spec::Level;

use super::Centre;
use super::rows::Key;
use crate::{Alert, Incident, Join};

/// Labels that keep incidents of one rule apart.
const APART: [&str; 6] = [
    "region",
    "cluster",
    "namespace",
    "service",
    "model_name",
    "model",
];
/// Labels whose shared value joins alerts of different rules, the narrowest first.
const SHARED: [&str; 3] = ["node", "model_name", "model"];
/// So many nodes of a region in one incident make it one of the region.
const REGION_NODES: usize = 3;

/// Where an incident can be joined.
#[derive(Debug)]
struct Joint {
    incident: String,
    /// When the last alert joined here.
    at_millis: i64,
}

/// What alerts are joined by. It follows from the alerts of open incidents.
#[derive(Debug, Default)]
pub(super) struct Joints {
    by: HashMap<String, Joint>,
    nodes: HashMap<(String, String), BTreeSet<String>>,
}

impl Joints {
    /// What is said to be the same in an alert and others, the surest first.
    fn of(alert: &Alert) -> Vec<String> {
        let mut joints = Vec::new();
        let mut rule = format!("rule {}", alert.name());
        for name in APART {
            if let Some(value) = alert.labels.get(name) {
                rule.push_str(&format!(" in {name} {value}"));
            }
        }
        joints.push(rule);
        for name in SHARED {
            if let Some(value) = alert.labels.get(name) {
                joints.push(format!("{name} {value}"));
            }
        }
        if let Some(region) = alert.labels.get("region") {
            joints.push(format!("region {region}"));
        }
        joints
    }

    /// The incidents that an alert may join, and by what.
    fn find(&self, alert: &Alert, join_millis: i64, now_millis: i64) -> Vec<(String, String)> {
        let joints = Self::of(alert).into_iter().filter_map(|name| {
            let joint = self.by.get(&name)?;
            let near = now_millis - joint.at_millis <= join_millis;
            near.then(|| (joint.incident.clone(), name))
        });
        joints.collect()
    }

    /// What joined one incident joins another.
    pub(super) fn redirect(&mut self, from: &str, into: &str) {
        for joint in self.by.values_mut().filter(|it| it.incident == from) {
            into.clone_into(&mut joint.incident);
        }
        self.nodes.retain(|(id, _), _| id != from);
    }

    /// Notes that an alert belongs to an incident. Where another can be joined no more this one is joined.
    pub(super) fn add(&mut self, alert: &Alert, incident: &str, join_millis: i64, at_millis: i64) {
        for name in Self::of(alert) {
            if name.starts_with("region ") && !self.is_of_region(alert, incident) {
                continue;
            }
            let joint = self.by.entry(name).or_insert_with(|| Joint {
                incident: incident.to_owned(),
                at_millis,
            });
            if at_millis - joint.at_millis > join_millis {
                incident.clone_into(&mut joint.incident);
            }
            if joint.incident == incident {
                joint.at_millis = joint.at_millis.max(at_millis);
            }
        }
    }

    fn is_of_region(&mut self, alert: &Alert, incident: &str) -> bool {
        let (Some(region), Some(node)) = (alert.labels.get("region"), alert.labels.get("node"))
        else {
            // One without a node is of the region as a whole.
            return alert.labels.contains_key("region") && !alert.labels.contains_key("node");
        };
        let nodes = self
            .nodes
            .entry((incident.to_owned(), region.clone()))
            .or_default();
        if nodes.len() < REGION_NODES {
            nodes.insert(node.clone());
        }
        nodes.len() >= REGION_NODES
    }

    /// Nothing joins an incident any more.
    pub(super) fn drop_incident(&mut self, incident: &str) {
        self.by.retain(|_, joint| joint.incident != incident);
        self.nodes.retain(|(id, _), _| id != incident);
    }
}

impl Centre {
    /// Puts an alert into the incident it belongs to; a new one if there is none.
    pub(super) fn join(&mut self, fingerprint: &str, now_millis: i64) {
        let alert = &self.alerts[fingerprint];
        let before = alert.incident.clone();
        if before.is_some_and(|id| self.comes_back(fingerprint, &id, now_millis)) {
            return;
        }
        let alert = &self.alerts[fingerprint];
        let join_millis = self.routes.timing.join;
        let mut found = self.joints.find(alert, join_millis, now_millis);
        found.retain(|(id, _)| self.incidents.get(id).is_some_and(Incident::is_open));
        // One that people know of, else the oldest: ids are numbered.
        let best = found.iter().min_by_key(|(id, _)| {
            (
                self.incidents[id].told_level.is_none(),
                id.len(),
                id.as_str(),
            )
        });
        let Some((id, reason)) = best.cloned() else {
            let id = self.open(fingerprint, now_millis);
            self.enter(fingerprint, &id, "nothing: it was the first", now_millis);
            return;
        };
        self.enter(fingerprint, &id, &reason, now_millis);
        for (other, _) in found {
            self.absorb(&other, &id, now_millis);
        }
    }

    /// An alert showed that two incidents are one. If nobody was told of the other yet, nobody need know.
    fn absorb(&mut self, other: &str, into: &str, now_millis: i64) {
        let untold = self
            .incidents
            .get(other)
            .is_some_and(|it| it.told_level.is_none());
        if other == into || !untold {
            return;
        }
        self.joints.redirect(other, into);
        for fingerprint in self.members_of(other) {
            let joined = self
                .alerts
                .get_mut(&fingerprint)
                .and_then(|it| it.joined.take());
            let reason = joined.map_or_else(String::new, |join| join.reason);
            self.enter(&fingerprint, into, &reason, now_millis);
        }
        self.members.remove(other);
        let gone = self.incidents.remove(other);
        let let_go = gone.map_or(0, |incident| incident.let_go);
        self.with_incident(into, |_, incident| incident.let_go += let_go);
        self.dirty.insert(Key::Incident(other.to_owned()));
    }

    /// An alert fires again that was in an incident. `false` when that is over for good.
    fn comes_back(&mut self, fingerprint: &str, id: &str, now_millis: i64) -> bool {
        let Some(incident) = self.incidents.get(id) else {
            return false;
        };
        let reopen = self.routes.timing.reopen;
        let since = incident.resolved_millis.unwrap_or(now_millis);
        let by_hand = incident.resolved_by.is_some() || incident.merged_into.is_some();
        if !incident.is_open() && (by_hand || now_millis - since > reopen) {
            self.leave(fingerprint);
            return false;
        }
        let level = self.alerts[fingerprint].level;
        if incident.is_open() {
            self.with_incident(id, |_, incident| {
                incident.dues.resolve = None;
                incident.dues.silenced = None;
            });
        } else {
            let why = format!("{} fires again", self.alerts[fingerprint].title());
            self.reopen(id, &why, now_millis);
        }
        if self.incidents[id].level < level {
            self.raise(id, level, now_millis);
        }
        self.joins_at(fingerprint, id, now_millis);
        true
    }

    /// Notes when an alert joined its incident, for those that come after it.
    fn joins_at(&mut self, fingerprint: &str, id: &str, now_millis: i64) {
        let Some(alert) = self.alerts.get_mut(fingerprint) else {
            return;
        };
        if let Some(join) = &mut alert.joined {
            join.at_millis = now_millis;
        }
        let join_millis = self.routes.timing.join;
        self.joints.add(alert, id, join_millis, now_millis);
    }

    /// An alert that has been over for so long that an incident of its own would not be opened again by it
    /// does not belong to the open one any more: what fires now is told as new.
    pub(super) fn leave_if_long_over(&mut self, fingerprint: &str, now_millis: i64) {
        let Some(alert) = self.alerts.get(fingerprint).filter(|it| !it.firing) else {
            return;
        };
        let reopen = self.routes.timing.reopen;
        let long_over = alert.ends_millis.is_some_and(|at| now_millis - at > reopen);
        let incident = alert
            .incident
            .as_ref()
            .and_then(|id| self.incidents.get(id));
        let open = incident.filter(|it| long_over && it.is_open());
        if let Some(id) = open.map(|it| it.id.clone()) {
            self.leave(fingerprint);
            self.with_incident(&id, |_, incident| incident.let_go += 1);
        }
    }

    /// Opens an incident for an alert.
    pub(super) fn open(&mut self, fingerprint: &str, now_millis: i64) -> String {
        self.counters.incidents += 1;
        self.dirty.insert(Key::Counters);
        let id = format!("{}{}", self.prefix, self.counters.incidents);
        let alert = &self.alerts[fingerprint];
        let (title, level) = (alert.title(), alert.level);
        let mut incident = Incident::new(id.clone(), title, level, now_millis);
        incident.note(now_millis, format!("opened by {}", incident.title));
        let wait = self.routes.timing.wait.get(&level).copied().unwrap_or(0);
        incident.dues.word = Some(now_millis + wait);
        self.incidents.insert(id.clone(), incident);
        self.dirty.insert(Key::Incident(id.clone()));
        self.bound_incidents();
        id
    }

    /// Puts an alert into an incident.
    pub(super) fn enter(&mut self, fingerprint: &str, id: &str, reason: &str, now_millis: i64) {
        let Some(alert) = self.alerts.get_mut(fingerprint) else {
            return;
        };
        alert.incident = Some(id.to_owned());
        alert.held = None;
        alert.joined = Some(Join {
            reason: reason.to_owned(),
            at_millis: now_millis,
        });
        self.dirty.insert(Key::Alert(fingerprint.to_owned()));
        let alert = &self.alerts[fingerprint];
        let (title, name, level) = (alert.title(), alert.name().to_owned(), alert.level);
        let firing = alert.firing;
        let join_millis = self.routes.timing.join;
        self.joints.add(alert, id, join_millis, now_millis);
        let members = self.members.entry(id.to_owned()).or_default();
        members.add(alert);
        let first = members.len() == 1;
        let update = self.routes.timing.update;
        self.with_incident(id, |_, incident| {
            incident.rules.insert(name);
            if firing {
                incident.dues.resolve = None;
                // What joins may not be silenced.
                incident.dues.silenced = None;
            }
            if !first {
                incident.note(now_millis, format!("{title} joined by {reason}"));
            }
            if incident.told_level.is_some() && incident.dues.update.is_none() {
                incident.dues.update = Some(now_millis + update);
            }
        });
        if firing && self.incidents[id].level < level {
            self.raise(id, level, now_millis);
        }
    }

    /// Whether an alert belongs to an incident.
    pub(super) fn is_of(&self, fingerprint: &str, incident: &str) -> bool {
        let alert = self.alerts.get(fingerprint);
        alert.is_some_and(|alert| alert.incident.as_deref() == Some(incident))
    }

    /// Takes an alert out of its incident.
    pub(super) fn leave(&mut self, fingerprint: &str) {
        let Some(alert) = self.alerts.get_mut(fingerprint) else {
            return;
        };
        if let Some(members) = alert
            .incident
            .take()
            .and_then(|id| self.members.get_mut(&id))
        {
            members.remove(alert);
        }
        alert.joined = None;
        self.dirty.insert(Key::Alert(fingerprint.to_owned()));
    }

    /// An incident is worse than it was said to be: those of the new level are told at once.
    pub(super) fn raise(&mut self, id: &str, level: Level, now_millis: i64) {
        let wait = self.routes.timing.wait.get(&level).copied().unwrap_or(0);
        self.with_incident(id, |_, incident| {
            incident.note(now_millis, format!("{level}, which was {}", incident.level));
            incident.level = level;
            let word = incident.dues.word.unwrap_or(i64::MAX);
            incident.dues.word = Some(word.min(now_millis + wait));
        });
    }

    /// Opens an incident again.
    pub(super) fn reopen(&mut self, id: &str, why: &str, now_millis: i64) {
        let wait = self.incidents.get(id).map(|incident| incident.level);
        let wait = wait.and_then(|level| self.routes.timing.wait.get(&level).copied());
        self.with_incident(id, |_, incident| {
            incident.note(now_millis, format!("opened again: {why}"));
            incident.standing = crate::Standing::Open;
            incident.reopened += 1;
            let over = incident.resolved_millis.take();
            incident.paused_millis += over.map_or(0, |over| now_millis - over);
            incident.resolved_by = None;
            incident.acknowledgement = None;
            incident.verdict = None;
            incident.lines.clear();
            incident.told.clear();
            incident.told_level = None;
            incident.climb = crate::Climb::default();
            incident.overdue = false;
            incident.dues = crate::Dues {
                word: Some(now_millis + wait.unwrap_or(0)),
                ..crate::Dues::default()
            };
        });
    }

    /// Keeps the number of incidents bounded: the oldest that are over go first.
    fn bound_incidents(&mut self) {
        if self.incidents.len() <= super::INCIDENTS_MAX {
            return;
        }
        let over = self.incidents.values().filter(|it| !it.is_open());
        let oldest = over.min_by_key(|it| (it.resolved_millis, it.opened_millis));
        if let Some(id) = oldest.map(|it| it.id.clone()) {
            self.drop_incident(&id);
        }
    }

    /// Lets go of an incident that is over.
    pub(super) fn drop_incident(&mut self, id: &str) {
        if let Some(incident) = self.incidents.remove(id) {
            self.drop_history(&incident);
        }
        self.dirty.insert(Key::Incident(id.to_owned()));
        let members = self.members_of(id);
        self.members.remove(id);
        for fingerprint in members {
            if let Some(alert) = self.alerts.get_mut(&fingerprint) {
                alert.incident = None;
                self.dirty.insert(Key::Alert(fingerprint));
            }
        }
    }
}
