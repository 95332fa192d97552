//! What becomes of words on their way.

use std::collections::BTreeSet;

use super::Centre;
use super::rows::Key;
use crate::{Delivery, Kind, Notification, Status, Target};

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
        let another = self.must_arrive(&notification) && self.another(&notification).is_some();
        let patience = if another {
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
        let next = self
            .must_arrive(&notification)
            .then(|| self.another(&notification));
        notification.status = Status::Failed {
            at_millis: now_millis,
            reason,
        };
        let message = notification.message.clone();
        let must = self.must_arrive(&notification);
        self.finish(&notification, now_millis);
        let id = message.incident.clone();
        self.with_incident(&id, |centre, incident| match next.flatten() {
            Some(target) => {
                let way = format!("{} {}", target.channel.as_str(), target.address);
                incident.note(now_millis, format!("{way} is told instead"));
                incident.told.push(target.clone());
                incident.words += 1;
                let id = format!("{}/{}", incident.id, incident.words);
                centre.queue(id, target, message, now_millis);
            }
            None if must => {
                incident.note(now_millis, "there is no other way to tell it".to_owned());
            }
            None => {}
        });
    }

    /// Whether someone has to know, rather than might like to.
    fn must_arrive(&self, notification: &Notification) -> bool {
        let known = self.incidents.get(&notification.message.incident);
        known.is_some_and(crate::Incident::is_open)
            && matches!(
                notification.message.kind,
                Kind::Trigger | Kind::Escalate { .. } | Kind::Remind
            )
    }

    /// Another way to tell it: the first that was not told of the incident.
    fn another(&self, notification: &Notification) -> Option<Target> {
        let incident = self.incidents.get(&notification.message.incident)?;
        let level = self.routes.of_level(incident.level);
        let mut ways = self.routes.fallback.iter().chain(&level);
        ways.find(|way| !incident.told.contains(way)).cloned()
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
