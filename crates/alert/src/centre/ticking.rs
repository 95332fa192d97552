//! What time alone brings about.

use spec::Escalation;

use super::rows::Key;
use super::saying::{Reader, millis};
use super::{Centre, Wait};
use crate::{Alert, Incident, Kind, Standing, Target};

impl Centre {
    /// Does what has become due. What was due earlier is done first; each word bears the time at which it
    /// is really said.
    pub fn tick(&mut self, now_millis: i64) {
        self.end_silences(now_millis);
        while let Some((_, wait, fingerprint)) = self.next_wait(now_millis) {
            match wait {
                Wait::Release => self.release(&fingerprint, now_millis),
                Wait::Expire => self.expire(&fingerprint, now_millis),
                Wait::Forget => self.forget_quiet(&fingerprint),
            }
        }
        while let Some(id) = self.next_incident(now_millis) {
            self.with_incident(&id, |centre, incident| centre.advance(incident, now_millis));
        }
        self.send_digests(now_millis);
        self.drop_old(now_millis);
    }

    /// When something becomes due next, sending aside; in milliseconds since the Unix epoch.
    #[must_use]
    pub fn next_due(&self) -> Option<i64> {
        let incidents = self.incidents.values().filter_map(|it| it.dues.first());
        let waits = self.waits.first().map(|(at, ..)| *at);
        let silences = self
            .silences
            .values()
            .map(|(silence, _)| silence.ends_millis);
        let digests = self.readers.values().filter_map(Reader::due_millis);
        incidents.chain(waits).chain(silences).chain(digests).min()
    }

    fn next_wait(&mut self, now_millis: i64) -> Option<(i64, Wait, String)> {
        if self.waits.first()?.0 > now_millis {
            return None;
        }
        self.waits.pop_first()
    }

    fn next_incident(&self, now_millis: i64) -> Option<String> {
        let dues = self
            .incidents
            .values()
            .filter_map(|incident| Some((incident.dues.first()?, incident.id.as_str())));
        let (due, id) = dues.min()?;
        (due <= now_millis).then(|| id.to_owned())
    }

    /// An alert of another program that was not said again.
    fn expire(&mut self, fingerprint: &str, now_millis: i64) {
        let expires = self.alerts.get(fingerprint).and_then(Alert::outside_until);
        if expires.is_some_and(|at| at <= now_millis) {
            self.is_over(fingerprint, "", now_millis);
        }
    }

    /// An alert whose incident is over, and that did not fire again.
    fn forget_quiet(&mut self, fingerprint: &str) {
        let over = self.alerts.get(fingerprint).is_some_and(|alert| {
            let incident = alert
                .incident
                .as_ref()
                .and_then(|id| self.incidents.get(id));
            !alert.firing && !incident.is_some_and(Incident::is_open)
        });
        if over {
            self.forget(fingerprint);
        }
    }

    /// Does the first thing that is due of an incident.
    fn advance(&mut self, incident: &mut Incident, now_millis: i64) {
        let Some(first) = incident.dues.first() else {
            return;
        };
        if incident.dues.resolve == Some(first) {
            self.resolve(incident, None, now_millis);
            return;
        }
        // All of it is silenced: what is to be said waits for the end of that.
        incident.dues.silenced = self.silenced_until(&incident.id, now_millis);
        if incident.dues.silenced.is_none() {
            self.speak(incident, now_millis);
        }
    }

    /// Says the first thing that is due of an incident.
    fn speak(&mut self, incident: &mut Incident, now_millis: i64) {
        let dues = &mut incident.dues;
        let first = dues.first();
        if dues.word == first {
            self.first_word(incident, now_millis);
        } else if dues.acknowledged == first {
            dues.acknowledged = None;
            incident.acknowledgement = None;
            incident.standing = Standing::Open;
            incident.overdue = false;
            incident.dues.escalate = Some(now_millis);
            incident.note(now_millis, "the acknowledgement ran out".to_owned());
        } else if dues.escalate == first {
            dues.escalate = None;
            self.escalate(incident, now_millis);
        } else {
            dues.update = None;
            dues.repeat = None;
            let told = incident.told.clone();
            let told = told
                .into_iter()
                .filter(|target| !is_spoken(target))
                .collect();
            self.say(incident, &Kind::Update, told, now_millis);
        }
    }

    /// When a silence over all that fires of an incident ends.
    fn silenced_until(&self, incident: &str, now_millis: i64) -> Option<i64> {
        if !self.is_silenced(incident, now_millis) {
            return None;
        }
        let on = self
            .silences
            .values()
            .filter(|(it, _)| it.is_on(now_millis));
        on.map(|(silence, _)| silence.ends_millis).min()
    }

    /// Nobody has acknowledged in time.
    fn escalate(&mut self, incident: &mut Incident, now_millis: i64) {
        let Some(level) = self.routes.policy.levels.get(&incident.level) else {
            return;
        };
        let was_overdue = std::mem::replace(&mut incident.overdue, true);
        match level.escalation {
            Escalation::None => {
                incident.note(now_millis, "nobody acknowledged it in time".to_owned());
            }
            Escalation::Manual if was_overdue => {}
            Escalation::Manual => {
                let note = "nobody acknowledged it in time; those told are reminded";
                incident.note(now_millis, note.to_owned());
                let told = incident.told.clone();
                self.say(incident, &Kind::Remind, told, now_millis);
            }
            Escalation::Automatic if self.routes.policy.ladder.is_empty() => {
                self.remind_again(incident, now_millis);
            }
            Escalation::Automatic => {
                self.climb(incident, now_millis);
            }
        }
    }

    fn remind_again(&mut self, incident: &mut Incident, now_millis: i64) {
        if incident.climb.repeats >= self.routes.timing.repeats {
            incident.climb.exhausted = true;
            incident.note(now_millis, "nobody answers".to_owned());
            return;
        }
        incident.climb.repeats += 1;
        incident.dues.escalate = Some(now_millis + self.routes.timing.remind);
        incident.note(now_millis, "nobody acknowledged it; told again".to_owned());
        let told = incident.told.clone();
        self.say(incident, &Kind::Remind, told, now_millis);
    }

    /// Tells the next rung, or the last one again. `false` when there is nobody left.
    pub(super) fn climb(&mut self, incident: &mut Incident, now_millis: i64) -> bool {
        let rungs = &self.routes.policy.ladder;
        let next = if incident.climb.rungs < rungs.len() {
            incident.climb.rungs += 1;
            incident.climb.rungs - 1
        } else if incident.climb.repeats < self.routes.timing.repeats && !rungs.is_empty() {
            incident.climb.repeats += 1;
            rungs.len() - 1
        } else {
            incident.climb.exhausted = true;
            incident.note(now_millis, "nobody is left to escalate to".to_owned());
            return false;
        };
        let rung = rungs[next].clone();
        // Someone sees to it: whoever asked for this rung by hand asks for the next too.
        let acknowledged = incident.standing == Standing::Acknowledged;
        incident.dues.escalate = (!acknowledged).then(|| now_millis + millis(rung.timeout));
        incident.note(
            now_millis,
            format!("escalated to {} ({})", rung.name, rung.notify.join(", ")),
        );
        let kind = Kind::Escalate { rung: rung.name };
        let mut targets: Vec<Target> = self.routes.of_rung(next);
        targets.sort();
        targets.dedup();
        self.say(incident, &kind, targets, now_millis);
        true
    }

    /// Ends an incident.
    pub(super) fn resolve(
        &mut self,
        incident: &mut Incident,
        by: Option<crate::Said>,
        now_millis: i64,
    ) {
        incident.note(
            now_millis,
            match &by {
                Some(said) => format!("resolved by {}", said.by),
                None => "over".to_owned(),
            },
        );
        let told = incident.told.clone();
        // Nobody wants to be called up to hear that it is over.
        let told = told
            .into_iter()
            .filter(|target| !is_spoken(target))
            .collect();
        self.say(incident, &Kind::Resolve, told, now_millis);
        let message = self.message(incident, Kind::Resolve, now_millis);
        incident.lines = message.alerts;
        incident.alerts_total = message.alerts_total;
        incident.standing = Standing::Resolved;
        incident.resolved_millis = Some(now_millis);
        let by_hand = by.is_some();
        incident.resolved_by = by;
        incident.acknowledgement = None;
        incident.dues = crate::Dues::default();
        self.withdraw(&incident.id, "it is over", now_millis);
        self.joints.drop_incident(&incident.id);
        self.let_go(&incident.id, by_hand, now_millis);
    }

    /// Lets go of the alerts of an incident that is over.
    fn let_go(&mut self, incident: &str, by_hand: bool, now_millis: i64) {
        let forget = now_millis + self.routes.timing.reopen;
        for fingerprint in self.members_of(incident) {
            let Some(alert) = self.alerts.get_mut(&fingerprint) else {
                continue;
            };
            if !alert.firing {
                if by_hand {
                    self.forget(&fingerprint);
                } else {
                    self.wait(forget, Wait::Forget, &fingerprint);
                }
                continue;
            }
            alert.held = Some(crate::Held::Hand {
                incident: incident.to_owned(),
            });
            self.leave(&fingerprint);
        }
    }

    fn drop_old(&mut self, now_millis: i64) {
        let before = now_millis - self.routes.timing.keep;
        let old = self
            .incidents
            .values()
            .filter(|incident| incident.resolved_millis.is_some_and(|at| at < before));
        let old: Vec<String> = old.map(|incident| incident.id.clone()).collect();
        for id in old {
            self.drop_incident(&id);
            self.dirty.insert(Key::Incident(id));
        }
    }
}

/// Whether a target is called up rather than written to.
fn is_spoken(target: &Target) -> bool {
    target.channel == spec::Channel::Phone
}
