//! The rows that the centre is kept in.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Centre, Counters, Wait};
use crate::silence::Conditions;
use crate::{Alert, Held, Incident, Notification, Silence, Status, Target};

/// What a row is of. The letters are what keys begin with; never reused for anything else.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Alert(String),
    Counters,
    Incident(String),
    Notification(String),
    Reader(Target),
    Silence(String),
}

/// What the keys of notifications begin with that are taken or given up; they are only listed.
const HISTORY: u8 = b'h';

/// A row to be written, or to be removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its key.
    pub key: Vec<u8>,
    /// What it holds; none removes it.
    pub value: Option<Vec<u8>>,
}

/// A row that cannot be read. It is left where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damaged {
    /// Its key.
    pub key: Vec<u8>,
    /// Why.
    pub reason: String,
}

fn key(letter: u8, rest: &str) -> Vec<u8> {
    let mut key = vec![letter, b'/'];
    key.extend_from_slice(rest.as_bytes());
    key
}

impl Key {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Alert(fingerprint) => key(b'a', fingerprint),
            Self::Counters => key(b'c', ""),
            Self::Incident(id) => key(b'i', id),
            Self::Notification(id) => key(b'n', id),
            Self::Reader(target) => key(
                b'r',
                &format!("{} {}", target.channel.as_str(), target.address),
            ),
            Self::Silence(id) => key(b's', id),
        }
    }
}

fn row(key: Vec<u8>, value: Option<&impl Serialize>) -> Change {
    // Our own types have no maps but with texts as keys, and no number that JSON does not know but NaN, which
    // becomes null.
    let value = value.map(|value| serde_json::to_vec(value).unwrap_or_default());
    Change { key, value }
}

impl Centre {
    /// What keys of rows begin with that are read at start; what is not among them need not be given.
    pub const PREFIXES: [&'static [u8]; 6] = [b"a/", b"c/", b"i/", b"n/", b"r/", b"s/"];

    /// What the keys of the notifications of an incident begin with that are taken or given up.
    #[must_use]
    pub fn history_of(incident: &str) -> Vec<u8> {
        key(HISTORY, &format!("{incident}/"))
    }

    /// The key of a notification that is taken or given up.
    #[must_use]
    pub fn history_key(id: &str) -> Vec<u8> {
        key(HISTORY, id)
    }

    /// The rows that have changed since they were asked for last. Write all or none, before anything is
    /// done that follows from them.
    pub fn changes(&mut self) -> Vec<Change> {
        let mut changes = std::mem::take(&mut self.finished);
        for dirty in std::mem::take(&mut self.dirty) {
            let key = dirty.bytes();
            changes.push(match &dirty {
                Key::Alert(id) => row(key, self.alerts.get(id)),
                Key::Counters => row(key, Some(&self.counters)),
                Key::Incident(id) => row(key, self.incidents.get(id)),
                Key::Notification(id) => row(key, self.notifications.get(id)),
                Key::Reader(target) => row(key, self.readers.get(target)),
                Key::Silence(id) => row(key, self.silences.get(id).map(|(silence, _)| silence)),
            });
        }
        changes
    }

    /// Keeps the row of a notification that is taken or given up.
    pub(super) fn finished_row(&mut self, notification: &Notification) {
        let key = key(HISTORY, &notification.id);
        self.finished.push(row(key, Some(notification)));
    }

    /// Lets the rows of the notifications of an incident go.
    pub(super) fn drop_history(&mut self, incident: &Incident) {
        for word in 1..=incident.words {
            self.drop_history_of(&format!("{}/{word}", incident.id));
        }
    }

    /// Lets the row of a notification go.
    pub(super) fn drop_history_of(&mut self, id: &str) {
        self.finished.push(Change {
            key: key(HISTORY, id),
            value: None,
        });
    }

    /// Takes the rows of another life. Give all before anything else.
    pub fn restore(&mut self, rows: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>) -> Vec<Damaged> {
        let mut damaged = Vec::new();
        for (key, value) in rows {
            if let Err(reason) = self.restore_row(&key, &value) {
                damaged.push(Damaged { key, reason });
            }
        }
        self.restore_rest();
        damaged
    }

    fn restore_row(&mut self, key: &[u8], value: &[u8]) -> Result<(), String> {
        // Under another key it would never be written again, nor removed.
        let own = |of: Key| {
            let is_own = of.bytes() == key;
            is_own.then_some(()).ok_or("it is of another key")
        };
        match key.first() {
            Some(b'a') => {
                let alert: Alert = read(value)?;
                own(Key::Alert(alert.fingerprint.clone()))?;
                self.alerts.insert(alert.fingerprint.clone(), alert);
            }
            Some(b'c') => self.counters = read::<Counters>(value)?,
            Some(b'i') => {
                let incident: Incident = read(value)?;
                own(Key::Incident(incident.id.clone()))?;
                self.incidents.insert(incident.id.clone(), incident);
            }
            Some(b'n') => {
                let notification: Notification = read(value)?;
                own(Key::Notification(notification.id.clone()))?;
                if notification.status == Status::Queued {
                    self.notifications
                        .insert(notification.id.clone(), notification);
                }
            }
            Some(b'r') => {
                let reader: super::saying::Reader = read(value)?;
                own(Key::Reader(reader.target.clone()))?;
                self.readers.insert(reader.target.clone(), reader);
            }
            Some(b's') => {
                let silence: Silence = read(value)?;
                own(Key::Silence(silence.id.clone()))?;
                let conditions =
                    Conditions::new(&silence.conditions).map_err(|error| error.to_string())?;
                self.silences
                    .insert(silence.id.clone(), (silence, conditions));
            }
            _ => return Err("nothing is known by such a key".to_owned()),
        }
        Ok(())
    }

    /// What follows from the rows.
    fn restore_rest(&mut self) {
        let mut joined: Vec<(i64, String, String)> = Vec::new();
        for alert in self.alerts.values() {
            let fingerprint = alert.fingerprint.clone();
            if let Some(expires) = alert.outside_until() {
                self.waits
                    .insert((expires, Wait::Expire, fingerprint.clone()));
            }
            if alert.firing {
                for inhibitor in &mut self.inhibitors {
                    inhibitor.add(alert);
                }
            }
            if let Some(Held::Parent {
                fingerprint: source,
            }) = &alert.held
            {
                let parent = self.alerts.get(source);
                if !parent.is_some_and(|parent| parent.firing) {
                    let over = parent.and_then(|parent| parent.ends_millis).unwrap_or(0);
                    let until = over + self.routes.timing.release;
                    self.waits
                        .insert((until, Wait::Release, fingerprint.clone()));
                }
            }
            let Some(id) = &alert.incident else { continue };
            let members = self.members.entry(id.clone()).or_default();
            members.add(alert);
            let incident = self.incidents.get(id);
            if let Some(resolved) = incident.and_then(|it| it.resolved_millis) {
                let until = resolved + self.routes.timing.reopen;
                self.waits.insert((until, Wait::Forget, fingerprint));
            } else {
                let at = alert.joined.as_ref().map_or(0, |join| join.at_millis);
                joined.push((at, id.clone(), fingerprint));
            }
        }
        joined.sort();
        let join_millis = self.routes.timing.join;
        for (at, incident, fingerprint) in joined {
            let alert = &self.alerts[&fingerprint];
            self.joints.add(alert, &incident, join_millis, at);
        }
    }
}

fn read<T: DeserializeOwned>(value: &[u8]) -> Result<T, String> {
    serde_json::from_slice(value).map_err(|error| error.to_string())
}
