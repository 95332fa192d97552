//! What keeps an alert from being told of: silences, and alerts that explain it.

use std::collections::{BTreeMap, BTreeSet};

use super::rows::Key;
use super::{Centre, Wait};
use crate::routes::PLACES;
use crate::silence::{ConditionError, Conditions};
use crate::{Alert, Held, Routes};

/// Labels and values by which a source is found.
type Place = Vec<(String, String)>;

/// One inhibition, with the sources that fire.
#[derive(Debug)]
pub(super) struct Inhibitor {
    source: Conditions,
    target: Conditions,
    equal: Vec<String>,
    firing: BTreeMap<Place, BTreeSet<String>>,
}

fn pairs<'a>(alert: &Alert, labels: impl Iterator<Item = &'a str>) -> Place {
    labels
        .filter_map(|name| Some((name.to_owned(), alert.labels.get(name)?.clone())))
        .collect()
}

impl Inhibitor {
    pub(super) fn all(routes: &Routes) -> Result<Vec<Self>, ConditionError> {
        let inhibitions = routes.inhibitions.iter();
        inhibitions
            .map(|inhibition| {
                Ok(Self {
                    source: Conditions::new(&inhibition.source)?,
                    target: Conditions::new(&inhibition.target)?,
                    equal: inhibition.equal.clone(),
                    firing: BTreeMap::new(),
                })
            })
            .collect()
    }

    pub(super) fn explains(&self, alert: &Alert) -> bool {
        self.source.hold(&alert.labels)
    }

    /// Where a source is: the labels that its targets must share.
    fn place(&self, source: &Alert) -> Place {
        if self.equal.is_empty() {
            pairs(source, PLACES.into_iter())
        } else {
            pairs(source, self.equal.iter().map(String::as_str))
        }
    }

    pub(super) fn add(&mut self, alert: &Alert) {
        if self.explains(alert) {
            let sources = self.firing.entry(self.place(alert)).or_default();
            sources.insert(alert.fingerprint.clone());
        }
    }

    pub(super) fn remove(&mut self, alert: &Alert) {
        if self.explains(alert) {
            let place = self.place(alert);
            if let Some(sources) = self.firing.get_mut(&place) {
                sources.remove(&alert.fingerprint);
                if sources.is_empty() {
                    self.firing.remove(&place);
                }
            }
        }
    }

    /// A source that explains `alert`.
    fn source_of(&self, alert: &Alert) -> Option<&String> {
        if self.firing.is_empty() || !self.target.hold(&alert.labels) {
            return None;
        }
        if !self.equal.is_empty() {
            return self.source_at(&self.place(alert), alert);
        }
        // A source names some of the places of its targets; which, is not known: few, so all are tried.
        let all = pairs(alert, PLACES.into_iter());
        (0..1_usize << all.len()).find_map(|some| {
            let chosen = all.iter().enumerate();
            let place: Place = chosen
                .filter(|(at, _)| some >> at & 1 == 1)
                .map(|(_, pair)| pair.clone())
                .collect();
            self.source_at(&place, alert)
        })
    }

    fn source_at(&self, place: &Place, alert: &Alert) -> Option<&String> {
        let sources = self.firing.get(place)?;
        sources.iter().find(|source| **source != alert.fingerprint)
    }
}

impl Centre {
    /// What keeps an alert from being told of.
    pub(super) fn held(&self, alert: &Alert, now_millis: i64) -> Option<Held> {
        if let Some(id) = self.silence_of(alert, now_millis) {
            return Some(Held::Silence { id });
        }
        let source = self
            .inhibitors
            .iter()
            .find_map(|one| one.source_of(alert))?;
        // Two that explain each other would both be held back.
        let back = self.alerts.get(source).and_then(|it| it.held.as_ref());
        if matches!(back, Some(Held::Parent { fingerprint }) if *fingerprint == alert.fingerprint) {
            return None;
        }
        Some(Held::Parent {
            fingerprint: source.clone(),
        })
    }

    /// A silence that is on and covers an alert.
    pub(super) fn silence_of(&self, alert: &Alert, now_millis: i64) -> Option<String> {
        self.silences
            .values()
            .find(|(silence, conditions)| {
                silence.is_on(now_millis) && conditions.hold(&alert.labels)
            })
            .map(|(silence, _)| silence.id.clone())
    }

    /// Whether all that fires of an incident is silenced.
    pub(super) fn is_silenced(&self, incident: &str, now_millis: i64) -> bool {
        let mut firing = self.firing_of(incident).peekable();
        !self.silences.is_empty()
            && firing.peek().is_some()
            && firing.all(|alert| self.silence_of(alert, now_millis).is_some())
    }

    /// What an alert explained is told of in some time, if it fires then still: what was lost comes back
    /// first, and what depended on it soon after.
    pub(super) fn release_children(&mut self, source: &str, now_millis: i64) {
        if self.inhibitors.is_empty() {
            return;
        }
        let until = now_millis + self.routes.timing.release;
        let explained = self.alerts.values().filter(|alert| {
            matches!(&alert.held, Some(Held::Parent { fingerprint }) if fingerprint == source)
        });
        let explained: Vec<String> = explained.map(|alert| alert.fingerprint.clone()).collect();
        for fingerprint in explained {
            self.wait(until, Wait::Release, &fingerprint);
        }
    }

    /// How many alerts are held back because of those of an incident.
    pub(super) fn explained_by(&self, incident: &str) -> usize {
        if self.inhibitors.is_empty() {
            return 0;
        }
        let explained = self.alerts.values().filter(|alert| {
            matches!(&alert.held, Some(Held::Parent { fingerprint }) if self.is_of(fingerprint, incident))
        });
        explained.count()
    }

    /// Looks again at one that was held back.
    pub(super) fn release(&mut self, fingerprint: &str, now_millis: i64) {
        let waits = self.alerts.get(fingerprint).is_some_and(|alert| {
            alert.firing && matches!(alert.held, Some(Held::Parent { .. } | Held::Silence { .. }))
        });
        if waits {
            self.place(fingerprint, now_millis);
        }
    }

    /// Of incidents that are silenced something may be due now.
    fn look_again_at_silenced(&mut self) {
        let silenced = self.incidents.values_mut();
        for incident in silenced.filter(|it| it.dues.silenced.is_some()) {
            incident.dues.silenced = None;
            self.dirty.insert(Key::Incident(incident.id.clone()));
        }
    }

    /// Silences that are over go, and what they held back is looked at again.
    pub(super) fn end_silences(&mut self, now_millis: i64) {
        let over = self.silences.values().map(|(silence, _)| silence);
        let over: Vec<String> = over
            .filter(|silence| silence.ends_millis <= now_millis)
            .map(|silence| silence.id.clone())
            .collect();
        if !over.is_empty() {
            self.look_again_at_silenced();
        }
        for id in over {
            self.silences.remove(&id);
            self.dirty.insert(Key::Silence(id.clone()));
            let held = self
                .alerts
                .values()
                .filter(|alert| matches!(&alert.held, Some(Held::Silence { id: by }) if *by == id));
            let held: Vec<String> = held.map(|alert| alert.fingerprint.clone()).collect();
            for fingerprint in held {
                self.release(&fingerprint, now_millis);
            }
        }
    }
}
