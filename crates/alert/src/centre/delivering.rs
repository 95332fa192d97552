//! What becomes of words on their way.

use std::collections::BTreeSet;

use super::Centre;
use super::rows::Key;
use super::saying::must_be_known;
use crate::{Delivery, Incident, Kind, Notification, Status, Target};

/// Least and most time between two attempts, in milliseconds.
const BACKOFF_MILLIS: (i64, i64) = (1_000, 60_000);

/// How long to wait after so many attempts: twice as long each time, less a part that differs from one
/// notification to another, so that they do not all come at once.
fn backoff(id: &str, attempts: u32) -> i64 {
    let (least, most) = BACKOFF_MILLIS;
    let whole = least.saturating_mul(1 << attempts.min(10)).min(most);
    let mut hash: u32 = 0x811c_9dc5;
    for byte in id.bytes().chain(attempts.to_be_bytes()) {
        hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    }
    whole - whole / 2 * i64::from(hash % 1000) / 1000
}

impl Centre {
    /// What is to be sent now. Words of one incident to one target go one after another.
    #[must_use]
    pub fn due(&self, now_millis: i64) -> Vec<Notification> {
        let mut before = BTreeSet::new();
        let mut queued: Vec<&Notification> = self.notifications.values().collect();
        queued.sort_by_key(|it| (it.queued_millis, it.id.len(), it.id.as_str()));
        queued
            .into_iter()
            .filter(|it| before.insert((&it.message.incident, &it.target)))
            .filter(|it| it.next_millis <= now_millis)
            .cloned()
            .collect()
    }

    /// When a word is to be tried next, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn next_attempt(&self) -> Option<i64> {
        self.notifications.values().map(|it| it.next_millis).min()
    }

    /// Takes what came of an attempt.
    pub fn delivered(&mut self, id: &str, delivery: Delivery, now_millis: i64) {
        let Some(mut notification) = self.notifications.remove(id) else {
            return;
        };
        self.dirty.insert(Key::Notification(id.to_owned()));
        notification.attempts = notification.attempts.saturating_add(1);
        match delivery {
            Delivery::Accepted { provider_id } => {
                notification.status = Status::Accepted {
                    at_millis: now_millis,
                    provider_id,
                };
                self.finish(&notification, now_millis);
            }
            Delivery::Refused { reason } => self.fail(notification, reason, now_millis),
            Delivery::Retry { reason, after } => {
                self.try_again(notification, reason, after, now_millis);
            }
        }
    }

    fn try_again(
        &mut self,
        mut notification: Notification,
        reason: String,
        after: Option<std::time::Duration>,
        now_millis: i64,
    ) {
        let timing = &self.routes.timing;
        let age = now_millis - notification.queued_millis;
        let patience = if self.another(&notification).is_some() {
            timing.give_up
        } else {
            timing.lifetime
        };
        if age >= patience {
            self.fail(notification, reason, now_millis);
            return;
        }
        let wait = backoff(&notification.id, notification.attempts);
        let asked = after.map_or(0, super::saying::millis).min(timing.lifetime);
        notification.next_millis = now_millis + wait.max(asked);
        self.notifications
            .insert(notification.id.clone(), notification);
    }

    /// Gives a word up, and takes the next way if it must arrive.
    fn fail(&mut self, mut notification: Notification, reason: String, now_millis: i64) {
        let next = self.another(&notification);
        let concerned = self.concerned(&notification);
        notification.status = Status::Failed {
            at_millis: now_millis,
            reason,
        };
        self.finish(&notification, now_millis);
        let note = match &next {
            Some(way) => format!("{} {} is told instead", way.channel.as_str(), way.address),
            None => "there is no other way to tell it".to_owned(),
        };
        for id in &concerned {
            self.with_incident(id, |_, incident| {
                incident.note(now_millis, note.clone());
                let new = next.iter().filter(|way| !incident.told.contains(way));
                let new: Vec<Target> = new.cloned().collect();
                incident.told.extend(new);
            });
        }
        if let Some(target) = next {
            self.tell_instead(&notification, concerned, target, now_millis);
        }
    }

    /// Says to another what one did not take.
    fn tell_instead(
        &mut self,
        failed: &Notification,
        concerned: Vec<String>,
        target: Target,
        now_millis: i64,
    ) {
        let mut message = failed.message.clone();
        let incident = message.incident.clone();
        let numbered = self.with_incident(&incident, |_, incident| {
            incident.words += 1;
            format!("{}/{}", incident.id, incident.words)
        });
        if let Some(id) = numbered {
            self.queue(id, target, message, now_millis);
            return;
        }
        let id = self.other_id("digest");
        message.incident.clone_from(&id);
        self.queue(id.clone(), target, message, now_millis);
        if let Some(notification) = self.notifications.get_mut(&id) {
            notification.stands_for = concerned;
        }
    }

    /// The incidents that are not over and of which someone has to know by a word.
    fn concerned(&self, notification: &Notification) -> Vec<String> {
        let message = &notification.message;
        let own = must_be_known(&message.kind).then_some(&message.incident);
        let all = own.into_iter().chain(&notification.stands_for);
        all.filter(|id| self.incidents.get(*id).is_some_and(Incident::is_open))
            .cloned()
            .collect()
    }

    /// Another way to tell what must be known: the first by which not all that it concerns was told.
    fn another(&self, notification: &Notification) -> Option<Target> {
        self.concerned(notification).iter().find_map(|id| {
            let incident = self.incidents.get(id)?;
            let level = self.routes.of_level(incident.level);
            let mut ways = self.routes.fallback.iter().chain(&level);
            ways.find(|way| !incident.told.contains(way)).cloned()
        })
    }

    /// Notes the end of a word; its row is kept, and it is not thought of any more.
    fn finish(&mut self, notification: &Notification, now_millis: i64) {
        let target = &notification.target;
        let way = format!("{} {}", target.channel.as_str(), target.address);
        let what = match &notification.status {
            Status::Queued => return,
            Status::Accepted { .. } => format!("{way} took {}", notification.id),
            Status::Failed { reason, .. } => {
                format!("{way} did not take {}: {reason}", notification.id)
            }
        };
        let id = notification.message.incident.clone();
        self.with_incident(&id, |_, incident| incident.note(now_millis, what));
        self.finished_row(notification);
    }

    /// Takes back what waits to say that nobody has acknowledged.
    pub(super) fn withdraw(&mut self, incident: &str, why: &str, now_millis: i64) {
        let waiting = self.notifications.values().filter(|it| {
            it.message.incident == incident
                && matches!(it.message.kind, Kind::Escalate { .. } | Kind::Remind)
        });
        let waiting: Vec<String> = waiting.map(|it| it.id.clone()).collect();
        for id in waiting {
            if let Some(mut notification) = self.notifications.remove(&id) {
                notification.status = Status::Failed {
                    at_millis: now_millis,
                    reason: format!("taken back: {why}"),
                };
                self.dirty.insert(Key::Notification(id));
                self.finished_row(&notification);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_become_rarer_and_spread() {
        let waits = |id: &str| (1..12).map(|n| backoff(id, n)).collect::<Vec<_>>();
        for (attempts, wait) in (1..).zip(waits("a/1")) {
            let whole = (1000 << attempts.min(10)).min(60_000);
            assert!(wait > whole / 2 - 1 && wait <= whole, "{attempts}: {wait}");
        }
        assert_ne!(waits("a/1"), waits("a/2"));
    }
}
