//! Words: what they hold, and whom they go to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use spec::{Channel, Escalation, Level};

use super::Centre;
use super::rows::Key;
use crate::{Alert, AlertLine, Climb, Incident, Kind, Message, Notification, Status, Target};

/// Most incidents that a digest lists; the rest is a number.
const DIGEST_MAX: usize = Message::ALERTS_MAX;

/// Most notifications of no incident that are kept once they are taken or given up: digests and tests.
const OTHERS_MAX: u64 = 10_000;

/// Someone who is told things.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Reader {
    /// Who.
    pub(super) target: Target,
    /// When they were told something, of late.
    recent: Vec<i64>,
    /// What is held together for them.
    digest: Option<Digest>,
}

impl Reader {
    fn new(target: Target) -> Self {
        Self {
            target,
            recent: Vec::new(),
            digest: None,
        }
    }

    /// When they are to get their digest, in milliseconds since the Unix epoch.
    pub(super) fn due_millis(&self) -> Option<i64> {
        Some(self.digest.as_ref()?.due_millis)
    }
}

/// Words that are held together for one reader.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Digest {
    /// When it goes out, in milliseconds since the Unix epoch.
    due_millis: i64,
    /// The worst level in it.
    level: Level,
    /// How many words are in it.
    total: usize,
    /// A line for each, at most [`DIGEST_MAX`].
    lines: Vec<AlertLine>,
    /// Incidents of which someone has to know by it.
    #[serde(default)]
    stands_for: Vec<String>,
}

/// The pairs that all of some maps have.
fn common<'a>(
    mut all: impl Iterator<Item = &'a BTreeMap<String, String>>,
) -> BTreeMap<String, String> {
    let mut common = all.next().cloned().unwrap_or_default();
    for map in all {
        common.retain(|name, value| map.get(name) == Some(value));
    }
    common
}

impl Centre {
    /// What is said of an incident.
    pub(super) fn message(&self, incident: &Incident, kind: Kind, now_millis: i64) -> Message {
        let mut alerts: Vec<&Alert> = self.alerts_of(&incident.id).collect();
        alerts.sort_by_key(|alert| {
            let level = std::cmp::Reverse(alert.level);
            (
                !alert.firing,
                level,
                alert.starts_millis,
                alert.fingerprint.as_str(),
            )
        });
        let common_labels = common(alerts.iter().map(|alert| &alert.labels));
        let common_annotations = common(alerts.iter().map(|alert| &alert.annotations));
        let group_labels = common_labels.iter().filter(|(name, _)| {
            matches!(
                name.as_str(),
                "alertname" | "region" | "cluster" | "node" | "model_name"
            )
        });
        let runbook = alerts.iter().find_map(|alert| {
            let named = alert.annotations.get("runbook_url");
            named.or_else(|| alert.annotations.get("runbook"))
        });
        Message {
            kind,
            incident: incident.id.clone(),
            level: incident.level,
            title: incident.title.clone(),
            opened_millis: incident.opened_millis,
            reopened: incident.reopened,
            assignee: incident.assignee.clone(),
            at_millis: now_millis,
            alerts_total: alerts.len() + incident.let_go,
            sample_millis: alerts.iter().filter_map(|alert| alert.sample_millis).max(),
            group_labels: group_labels
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
            runbook: runbook.cloned(),
            suppressed_total: self.explained_by(&incident.id),
            common_labels,
            common_annotations,
            alerts: alerts
                .into_iter()
                .take(Message::ALERTS_MAX)
                .map(Alert::line)
                .collect(),
        }
    }

    /// The first word of a level: to those it concerns as a new incident, to those who know of the incident
    /// as an update.
    pub(super) fn first_word(&mut self, incident: &mut Incident, now_millis: i64) {
        incident.dues.word = None;
        incident.dues.update = None;
        incident.told_level = Some(incident.level);
        let mut targets = self.routes.of_level(incident.level);
        self.begin_escalation(incident, &mut targets, now_millis);
        targets.sort();
        targets.dedup();
        let (known, new): (Vec<_>, Vec<_>) = targets
            .into_iter()
            .partition(|target| incident.told.contains(target));
        let mut known: Vec<Target> = known;
        known.extend(incident.told.iter().cloned());
        known.sort();
        known.dedup();
        self.say(incident, &Kind::Update, known, now_millis);
        self.say(incident, &Kind::Trigger, new, now_millis);
    }

    fn begin_escalation(
        &self,
        incident: &mut Incident,
        targets: &mut Vec<Target>,
        now_millis: i64,
    ) {
        let Some(level) = self.routes.policy.levels.get(&incident.level) else {
            return;
        };
        let acknowledged = incident.acknowledgement.is_some();
        if !self.routes.policy.incidents.escalation_rules || acknowledged {
            return;
        }
        let within = millis(level.response_within);
        let wait = match (level.escalation, self.routes.policy.ladder.first()) {
            (Escalation::Automatic, Some(rung)) if incident.climb == Climb::default() => {
                targets.extend(self.routes.of_rung(0));
                incident.climb.rungs = 1;
                millis(rung.timeout)
            }
            (Escalation::Automatic, Some(_)) => return,
            (Escalation::Automatic, None) => within.max(self.routes.timing.remind),
            (Escalation::Manual | Escalation::None, _) => within,
        };
        let due = incident.dues.escalate.unwrap_or(i64::MAX);
        incident.dues.escalate = Some(due.min(now_millis + wait));
    }

    /// Says one thing to several.
    pub(super) fn say(
        &mut self,
        incident: &mut Incident,
        kind: &Kind,
        targets: Vec<Target>,
        now_millis: i64,
    ) {
        if targets.is_empty() {
            return;
        }
        let message = self.message(incident, kind.clone(), now_millis);
        incident.dues.repeat = Some(now_millis + self.routes.timing.repeat);
        for target in targets {
            if !incident.told.contains(&target) {
                incident.told.push(target.clone());
            }
            if let Some(due) = self.held_together(&message, &target, now_millis) {
                self.put_together(&message, &target, due);
                continue;
            }
            incident.words += 1;
            let id = format!("{}/{}", incident.id, incident.words);
            self.queue(id, target, message.clone(), now_millis);
        }
    }

    /// Puts a word in the queue.
    pub(super) fn queue(&mut self, id: String, target: Target, message: Message, now: i64) {
        let since = now - self.routes.timing.rate_window;
        let reader = self.reader(&target);
        reader.recent.retain(|at| *at > since);
        reader.recent.push(now);
        self.dirty.insert(Key::Notification(id.clone()));
        self.notifications.insert(
            id.clone(),
            Notification {
                id,
                target,
                message,
                status: Status::Queued,
                attempts: 0,
                queued_millis: now,
                next_millis: now,
                stands_for: Vec::new(),
            },
        );
    }

    fn reader(&mut self, target: &Target) -> &mut Reader {
        self.dirty.insert(Key::Reader(target.clone()));
        let reader = self.readers.entry(target.clone());
        reader.or_insert_with(|| Reader::new(target.clone()))
    }

    /// Until when a word is held to go out with others; none when it goes by itself.
    fn held_together(&self, message: &Message, target: &Target, now_millis: i64) -> Option<i64> {
        if message.level == Level::Critical
            || matches!(message.kind, Kind::Escalate { .. } | Kind::Test)
        {
            return None;
        }
        let timing = &self.routes.timing;
        // Nobody wants to be called up for what can wait, nor has to read what programs are told.
        let written = matches!(target.channel, Channel::Email | Channel::Slack);
        if let Some(hold) = self.routes.digests.get(&message.level).filter(|_| written) {
            return Some(now_millis + hold);
        }
        if is_for_a_program(message, target) {
            return None;
        }
        if !self.routes.spare_readers {
            return None;
        }
        let since = now_millis - timing.rate_window;
        let recent = &self.readers.get(target)?.recent;
        let recent: Vec<i64> = recent.iter().copied().filter(|at| *at > since).collect();
        let first = recent.first()?;
        (recent.len() >= timing.rate_max).then(|| first + timing.rate_window)
    }

    fn put_together(&mut self, message: &Message, target: &Target, due_millis: i64) {
        let digest = self.reader(target).digest.get_or_insert_with(|| Digest {
            due_millis,
            level: message.level,
            total: 0,
            lines: Vec::new(),
            stands_for: Vec::new(),
        });
        digest.due_millis = digest.due_millis.min(due_millis);
        digest.level = digest.level.max(message.level);
        digest.total += 1;
        if digest.lines.len() < DIGEST_MAX {
            digest.lines.push(digest_line(message));
        }
        let known = digest.stands_for.contains(&message.incident);
        let room = digest.stands_for.len() < Notification::STANDS_FOR_MAX;
        if must_be_known(&message.kind) && room && !known {
            digest.stands_for.push(message.incident.clone());
        }
    }

    /// Sends the digests that are due.
    pub(super) fn send_digests(&mut self, now_millis: i64) {
        let due = self.readers.values();
        let due: Vec<Target> = due
            .filter(|reader| reader.due_millis().is_some_and(|due| due <= now_millis))
            .map(|reader| reader.target.clone())
            .collect();
        for target in due {
            let Some(digest) = self.reader(&target).digest.take() else {
                continue;
            };
            let id = self.other_id("digest");
            let message = Message {
                kind: Kind::Digest {
                    words: digest.total,
                },
                incident: id.clone(),
                level: digest.level,
                title: match digest.total {
                    1 => "one thing that could wait".to_owned(),
                    total => format!("{total} things that could wait"),
                },
                opened_millis: now_millis,
                reopened: 0,
                assignee: None,
                at_millis: now_millis,
                alerts: digest.lines,
                alerts_total: digest.total,
                common_labels: BTreeMap::new(),
                common_annotations: BTreeMap::new(),
                group_labels: BTreeMap::new(),
                runbook: None,
                suppressed_total: 0,
                sample_millis: None,
            };
            self.queue(id.clone(), target, message, now_millis);
            if let Some(notification) = self.notifications.get_mut(&id) {
                notification.stands_for = digest.stands_for;
            }
        }
    }

    /// The id of a notification that belongs to no incident.
    pub(super) fn other_id(&mut self, what: &str) -> String {
        self.counters.others += 1;
        self.dirty.insert(Key::Counters);
        let old = self.counters.others.saturating_sub(OTHERS_MAX);
        for what in ["digest", "test"].into_iter().filter(|_| old > 0) {
            self.drop_history_of(&format!("{}{what}-{old}", self.prefix));
        }
        format!("{}{what}-{}", self.prefix, self.counters.others)
    }
}

/// Whether someone has to know what such a word says, rather than might like to.
pub(super) fn must_be_known(kind: &Kind) -> bool {
    matches!(kind, Kind::Trigger | Kind::Escalate { .. } | Kind::Remind)
}

/// Whether a word is for a program, which is not tired by many and is misled by one that is left out.
/// PagerDuty calls people, but for what is seen to or over.
fn is_for_a_program(message: &Message, target: &Target) -> bool {
    match target.channel {
        Channel::Webhook | Channel::Alertmanager => true,
        Channel::Pagerduty => matches!(message.kind, Kind::Acknowledge { .. } | Kind::Resolve),
        Channel::Phone | Channel::Sms | Channel::Slack | Channel::Email => false,
    }
}

/// What a word says, as one line of a digest.
fn digest_line(message: &Message) -> AlertLine {
    let first = message.alerts.first();
    let mut annotations = BTreeMap::from([("summary".to_owned(), message.title.clone())]);
    if let Some(runbook) = &message.runbook {
        annotations.insert("runbook_url".to_owned(), runbook.clone());
    }
    let name = first.and_then(|alert| alert.labels.get("alertname"));
    let labels = [
        ("alertname", name.map_or("", String::as_str)),
        ("incident", &message.incident),
        ("level", message.level.as_str()),
    ];
    AlertLine {
        labels: labels
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        annotations,
        firing: message.kind != Kind::Resolve,
        starts_millis: message.opened_millis,
        ends_millis: (message.kind == Kind::Resolve).then_some(message.at_millis),
        value: first.map_or(f64::NAN, |alert| alert.value),
        fingerprint: crate::fingerprint(&BTreeMap::from([(
            "incident".to_owned(),
            message.incident.clone(),
        )])),
    }
}

/// A duration in milliseconds.
pub(super) fn millis(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}
