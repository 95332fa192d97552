//! The alerts of one incident.

use std::collections::BTreeSet;

use super::Centre;
use crate::{Alert, Incident};

/// Most alerts kept of an open incident that are over: as many as its page lists. The oldest go first and
/// are a number from then on.
const OVER_MAX: usize = 5000;
/// The fingerprints of the alerts of one incident, those that fire apart.
#[derive(Clone, Debug, Default)]
pub(super) struct Members {
    firing: BTreeSet<String>,
    /// When they were over, and which.
    over: BTreeSet<(i64, String)>,
}

impl Members {
    pub(super) fn add(&mut self, alert: &Alert) {
        let fingerprint = alert.fingerprint.clone();
        if alert.firing {
            self.firing.insert(fingerprint);
        } else {
            let over = alert.ends_millis.unwrap_or(0);
            self.over.insert((over, fingerprint));
        }
    }

    pub(super) fn remove(&mut self, alert: &Alert) {
        if alert.firing {
            self.firing.remove(&alert.fingerprint);
        } else {
            let over = alert.ends_millis.unwrap_or(0);
            self.over.remove(&(over, alert.fingerprint.clone()));
        }
    }

    /// Those that fire.
    pub(super) fn firing(&self) -> impl Iterator<Item = &String> {
        self.firing.iter()
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = &String> {
        let over = self.over.iter().map(|(_, fingerprint)| fingerprint);
        self.firing.iter().chain(over)
    }

    pub(super) fn len(&self) -> usize {
        self.firing.len() + self.over.len()
    }
}

impl Centre {
    /// The fingerprints of the alerts of an incident.
    pub(super) fn members_of(&self, incident: &str) -> Vec<String> {
        let members = self.members.get(incident);
        members.map_or_else(Vec::new, |members| members.all().cloned().collect())
    }

    /// Keeps the number of alerts that are over of an incident bounded.
    pub(super) fn bound_over(&mut self, incident: &str) {
        let over = self.members.get(incident).map_or(0, |it| it.over.len());
        self.let_oldest_go(incident, over.saturating_sub(OVER_MAX));
    }

    /// Makes room for some more alerts: the oldest that are over of incidents that are open go.
    pub(super) fn make_room(&mut self, count: usize) {
        let open = self.members.iter().filter(|(id, _)| {
            let incident = self.incidents.get(*id);
            incident.is_some_and(Incident::is_open)
        });
        let mut oldest: Vec<(i64, String, usize)> = open
            .filter_map(|(id, it)| Some((it.over.first()?.0, id.clone(), it.over.len())))
            .collect();
        oldest.sort();
        let mut left = count;
        for (_, id, over) in oldest {
            let go = over.min(left);
            self.let_oldest_go(&id, go);
            left -= go;
        }
    }

    fn let_oldest_go(&mut self, incident: &str, count: usize) {
        let Some(members) = self.members.get(incident).filter(|_| count > 0) else {
            return;
        };
        let oldest = members.over.iter().take(count);
        let oldest: Vec<String> = oldest.map(|(_, fingerprint)| fingerprint.clone()).collect();
        for fingerprint in &oldest {
            self.forget(fingerprint);
        }
        self.with_incident(incident, |_, incident| incident.let_go += oldest.len());
    }
}
