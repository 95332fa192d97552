//! Everything between a rule and a person, as one state machine.
//!
//! [`Centre`] takes what rules find, what people say and what providers answer, each with the time it
//! is. Whatever it decides is in its rows ([`Centre::changes`]) before anyone acts on it: write them,
//! then send what [`Centre::due`] gives. Opened again from its rows it goes on where it was, so that a
//! crash at any point neither skips nor repeats a word; a notification that was under way is sent again under
//! its old id.
//!
//! Nothing in here is random and no clock is read: the same inputs give the same words, which is what
//! a backtest counts on.

mod commands;
mod delivering;
mod holding;
mod joining;
mod members;
mod records;
mod rows;
mod saying;
mod taking;
#[cfg(test)]
mod tests;
mod ticking;

use std::collections::{BTreeMap, BTreeSet, HashMap};

pub use commands::{Command, CommandError};
pub use records::Record;
pub use rows::{Change, Damaged};
pub use taking::OutsideAlert;

use crate::silence::Conditions;
use crate::{Alert, Incident, Notification, Routes, Silence, Target};
use holding::Inhibitor;
use joining::Joints;
use members::Members;
use rows::Key;
use saying::Reader;
use serde::{Deserialize, Serialize};

/// Most alerts that fire at a time; what comes beyond is counted and not taken.
pub const ALERTS_MAX: usize = 200_000;
/// Most incidents kept; beyond it the oldest that are over go before their time.
pub const INCIDENTS_MAX: usize = 20_000;
/// Most silences at a time.
pub const SILENCES_MAX: usize = 10_000;

/// What numbers the next.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Counters {
    incidents: u64,
    silences: u64,
    others: u64,
}

/// Something that an alert waits for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Wait {
    /// What explained it is over for some time.
    Release,
    /// Nobody says it any more.
    Expire,
    /// Its incident is over and is not opened again.
    Forget,
}

/// From a rule to a person.
#[derive(Debug)]
pub struct Centre {
    routes: Routes,
    /// What the ids of incidents begin with, so that those of two centres differ.
    prefix: String,
    counters: Counters,
    alerts: BTreeMap<String, Alert>,
    incidents: BTreeMap<String, Incident>,
    silences: BTreeMap<String, (Silence, Conditions)>,
    /// Those that are neither taken nor given up.
    notifications: BTreeMap<String, Notification>,
    readers: BTreeMap<Target, Reader>,
    refused: u64,
    // What follows from the rows.
    members: HashMap<String, Members>,
    waits: BTreeSet<(i64, Wait, String)>,
    joints: Joints,
    inhibitors: Vec<Inhibitor>,
    // What is to be written.
    dirty: BTreeSet<Key>,
    finished: Vec<Change>,
}

impl Centre {
    /// One that knows of nothing yet.
    ///
    /// # Errors
    /// When a condition of the routes cannot be used.
    pub fn new(prefix: &str, routes: Routes) -> Result<Self, crate::ConditionError> {
        let inhibitors = Inhibitor::all(&routes)?;
        Ok(Self {
            routes,
            prefix: prefix.to_owned(),
            counters: Counters::default(),
            alerts: BTreeMap::new(),
            incidents: BTreeMap::new(),
            silences: BTreeMap::new(),
            notifications: BTreeMap::new(),
            readers: BTreeMap::new(),
            refused: 0,
            members: HashMap::new(),
            waits: BTreeSet::new(),
            joints: Joints::default(),
            inhibitors,
            dirty: BTreeSet::new(),
            finished: Vec::new(),
        })
    }

    /// Goes on by other routes; what was said is said. Whatever nobody was told of, because no policy told it
    /// or nobody had an address, is told by the new ones.
    ///
    /// # Errors
    /// When a condition of the routes cannot be used; then the old ones hold.
    pub fn reroute(
        &mut self,
        routes: Routes,
        now_millis: i64,
    ) -> Result<(), crate::ConditionError> {
        let mut inhibitors = Inhibitor::all(&routes)?;
        for alert in self.alerts.values().filter(|alert| alert.firing) {
            for inhibitor in &mut inhibitors {
                inhibitor.add(alert);
            }
        }
        self.inhibitors = inhibitors;
        self.routes = routes;
        self.tell_untold(now_millis);
        Ok(())
    }

    /// The routes it goes by.
    #[must_use]
    pub fn routes(&self) -> &Routes {
        &self.routes
    }

    /// The alerts that fire, and those whose incident is not long over.
    pub fn alerts(&self) -> impl Iterator<Item = &Alert> {
        self.alerts.values()
    }

    /// All incidents that are kept.
    pub fn incidents(&self) -> impl DoubleEndedIterator<Item = &Incident> {
        self.incidents.values()
    }

    /// One incident.
    #[must_use]
    pub fn incident(&self, id: &str) -> Option<&Incident> {
        self.incidents.get(id)
    }

    /// The alerts of an incident that are kept; see [`Incident::let_go`].
    pub fn alerts_of(&self, incident: &str) -> impl Iterator<Item = &Alert> {
        let members = self.members.get(incident).into_iter();
        let members = members.flat_map(Members::all);
        members.filter_map(|fingerprint| self.alerts.get(fingerprint))
    }

    /// All silences that are not over.
    pub fn silences(&self) -> impl Iterator<Item = &Silence> {
        self.silences.values().map(|(silence, _)| silence)
    }

    /// The notifications that are neither taken nor given up.
    pub fn queued(&self) -> impl Iterator<Item = &Notification> {
        self.notifications.values()
    }

    /// How many alerts were not taken because there were too many.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Lets `work` change an incident and the centre.
    fn with_incident<T>(
        &mut self,
        id: &str,
        work: impl FnOnce(&mut Self, &mut Incident) -> T,
    ) -> Option<T> {
        let (id, mut incident) = self.incidents.remove_entry(id)?;
        let done = work(self, &mut incident);
        self.dirty.insert(Key::Incident(id.clone()));
        self.incidents.insert(id, incident);
        Some(done)
    }

    /// The alerts of an incident that fire.
    fn firing_of(&self, incident: &str) -> impl Iterator<Item = &Alert> {
        let members = self.members.get(incident).into_iter();
        let members = members.flat_map(Members::firing);
        members.filter_map(|fingerprint| self.alerts.get(fingerprint))
    }
}
