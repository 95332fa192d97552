//! A centre with rows that outlive it, and providers that take what they are given.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::centre::{Centre, Command, OutsideAlert};
use crate::{Delivery, Kind, Notification, Routes, State, Target, Timing, Transition};
use spec::{Channel, Escalation, IncidentPolicy, Level, LevelPolicy, Policy, Rung};

pub(super) const SECOND: i64 = 1000;
pub(super) const MINUTE: i64 = 60 * SECOND;

/// The policy of the specification's multi_level_alerting and system_health_monitoring.
pub(super) fn routes() -> Routes {
    let level = |minutes: u64, channels: &[Channel], escalation| LevelPolicy {
        response_within: Duration::from_secs(60 * minutes),
        channels: channels.to_vec(),
        escalation,
    };
    use Channel::{Email, Pagerduty, Phone, Slack, Sms, Webhook};
    let rung = |name: &str, minutes: u64, receiver: &str| Rung {
        name: name.to_owned(),
        timeout: Duration::from_secs(60 * minutes),
        notify: vec![receiver.to_owned()],
    };
    let target = |channel, address: &str| Target {
        channel,
        address: address.to_owned(),
    };
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    Routes {
        policy: Policy {
            levels: BTreeMap::from([
                (
                    Level::Critical,
                    level(0, &[Pagerduty, Phone, Email], Escalation::Automatic),
                ),
                (Level::High, level(5, &[Slack, Email], Escalation::Manual)),
                (Level::Medium, level(15, &[Slack, Email], Escalation::None)),
                (Level::Low, level(60, &[Email], Escalation::None)),
            ]),
            conditions: BTreeMap::new(),
            ladder: vec![
                rung("level_1", 5, "oncall"),
                rung("level_2", 15, "manager"),
                rung("level_3", 60, "emergency"),
            ],
            incidents: IncidentPolicy::default(),
            addresses: BTreeMap::from([
                (Email, texts(&["oncall@company.com", "ml-team@company.com"])),
                (Slack, texts(&["#ml-alerts", "#oncall"])),
                (Pagerduty, texts(&["ml-monitoring-service"])),
                (Phone, texts(&["+4930100"])),
            ]),
            templates: BTreeMap::new(),
            pagerduty_urgency: None,
        },
        receivers: BTreeMap::from([
            ("oncall".to_owned(), vec![target(Sms, "+4930100")]),
            ("manager".to_owned(), vec![target(Phone, "+4930200")]),
            ("emergency".to_owned(), vec![target(Phone, "+4930300")]),
        ]),
        fallback: vec![target(Webhook, "spare")],
        inhibitions: Vec::new(),
        timing: Timing::default(),
        spare_readers: true,
        digests: BTreeMap::from([(Level::Low, 60 * MINUTE)]),
    }
}

/// A transition to firing.
pub(super) fn alert(name: &str, level: Level, labels: &[(&str, &str)]) -> Transition {
    let mut all: BTreeMap<String, String> = labels
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    all.insert("alertname".to_owned(), name.to_owned());
    Transition {
        at_millis: 0,
        rule: format!("test/{name}"),
        labels: all,
        annotations: BTreeMap::new(),
        level,
        from: State::Inactive,
        to: State::Firing,
        value: 1.0,
        active_millis: 0,
        sample_millis: None,
    }
}

enum Input {
    Routes(Box<Routes>),
    Transitions(Vec<Transition>),
    Outside(Vec<OutsideAlert>),
    Command(Command),
    Time,
    Delivered(String, Delivery),
}

/// A world with one centre in it.
pub(super) struct World {
    pub(super) now: i64,
    pub(super) centre: Centre,
    routes: Routes,
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
    /// What providers took, once for each id, with when they took it first; in the order taken.
    pub(super) sent: BTreeMap<(usize, String), (i64, Notification)>,
    ids: BTreeSet<String>,
    refusing: BTreeSet<String>,
    failing: BTreeSet<String>,
    /// Points at which it could have crashed.
    pub(super) steps: usize,
    /// The point at which it does.
    pub(super) crash_at: Option<usize>,
    pub(super) crashed: bool,
    /// Words that providers got twice.
    pub(super) repeated: usize,
    pub(super) under_way_at_crash: usize,
}

fn way(target: &Target) -> String {
    format!("{} {}", target.channel.as_str(), target.address)
}

impl World {
    pub(super) fn new() -> Self {
        Self::with(routes())
    }

    pub(super) fn with(routes: Routes) -> Self {
        Self {
            now: 0,
            centre: Centre::new("t", routes.clone()).unwrap(),
            routes,
            rows: BTreeMap::new(),
            sent: BTreeMap::new(),
            ids: BTreeSet::new(),
            refusing: BTreeSet::new(),
            failing: BTreeSet::new(),
            steps: 0,
            crash_at: None,
            crashed: false,
            repeated: 0,
            under_way_at_crash: 0,
        }
    }

    /// A target that does not take anything.
    pub(super) fn refuse(&mut self, way: &str) {
        self.refusing.insert(way.to_owned());
    }

    /// A target that cannot take anything just now.
    pub(super) fn retry(&mut self, way: &str) {
        self.failing.insert(way.to_owned());
    }

    pub(super) fn fire(&mut self, alerts: &[Transition]) {
        self.transitions(alerts, State::Inactive, State::Firing);
    }

    pub(super) fn clear(&mut self, alerts: &[Transition]) {
        self.transitions(alerts, State::Firing, State::Inactive);
    }

    fn transitions(&mut self, alerts: &[Transition], from: State, to: State) {
        let mut alerts = alerts.to_vec();
        for alert in &mut alerts {
            (alert.at_millis, alert.from, alert.to) = (self.now, from, to);
        }
        self.apply(&Input::Transitions(alerts));
        self.send();
    }

    pub(super) fn outside(&mut self, alerts: Vec<OutsideAlert>) {
        self.apply(&Input::Outside(alerts));
        self.send();
    }

    pub(super) fn reroute(&mut self, routes: Routes) {
        self.routes = routes.clone();
        self.apply(&Input::Routes(Box::new(routes)));
        self.send();
    }

    pub(super) fn command(&mut self, command: Command) -> String {
        let done = self.apply(&Input::Command(command));
        self.send();
        done
    }

    /// Lets time pass.
    pub(super) fn run_until(&mut self, end: i64) {
        loop {
            let due = self.centre.next_due();
            let attempt = self.centre.next_attempt();
            let next = due.into_iter().chain(attempt).min();
            let Some(next) = next.filter(|next| *next <= end) else {
                break;
            };
            self.now = self.now.max(next);
            self.apply(&Input::Time);
            self.send();
        }
        self.now = end;
    }

    /// Whether it crashes here; then it begins again from its rows.
    fn crashes(&mut self) -> bool {
        let here = self.crash_at == Some(self.steps);
        self.steps += 1;
        if here {
            self.crashed = true;
            let mut centre = Centre::new("t", self.routes.clone()).unwrap();
            let rows = self.rows.clone().into_iter();
            let known = rows.filter(|(key, _)| {
                Centre::PREFIXES
                    .iter()
                    .any(|prefix| key.starts_with(prefix))
            });
            assert_eq!(centre.restore(known), []);
            self.under_way_at_crash = centre.queued().count();
            self.centre = centre;
        }
        here
    }

    /// Applies an input and writes what follows; after a crash whoever gave it gives it again.
    fn apply(&mut self, input: &Input) -> String {
        loop {
            let now = self.now;
            let done = match input {
                Input::Transitions(alerts) => {
                    self.centre.take(alerts.clone(), now);
                    String::new()
                }
                Input::Routes(routes) => {
                    self.centre.reroute((**routes).clone(), now).unwrap();
                    String::new()
                }
                Input::Outside(alerts) => {
                    self.centre.take_outside(alerts.clone(), now);
                    String::new()
                }
                Input::Command(command) => self.centre.command("me", command.clone(), now).unwrap(),
                Input::Time => {
                    self.centre.tick(now);
                    String::new()
                }
                Input::Delivered(id, delivery) => {
                    self.centre.delivered(id, delivery.clone(), now);
                    String::new()
                }
            };
            if self.crashes() {
                // What a provider answered is not heard again: the word is sent again.
                if matches!(input, Input::Delivered(..)) {
                    return done;
                }
                continue;
            }
            for change in self.centre.changes() {
                match change.value {
                    Some(value) => self.rows.insert(change.key, value),
                    None => self.rows.remove(&change.key),
                };
            }
            self.crashes();
            return done;
        }
    }

    fn send(&mut self) {
        loop {
            let due = self.centre.due(self.now);
            let Some(notification) = due.into_iter().next() else {
                return;
            };
            let way = way(&notification.target);
            let delivery = if self.refusing.contains(&way) {
                Delivery::Refused {
                    reason: "no".to_owned(),
                }
            } else if self.failing.contains(&way) {
                Delivery::Retry {
                    reason: "not now".to_owned(),
                    after: None,
                }
            } else {
                let id = notification.id.clone();
                if self.ids.insert(id.clone()) {
                    let key = (self.sent.len(), id);
                    self.sent.insert(key, (self.now, notification.clone()));
                } else {
                    self.repeated += 1;
                }
                Delivery::Accepted { provider_id: None }
            };
            self.apply(&Input::Delivered(notification.id, delivery));
        }
    }

    /// The id of the only incident there is.
    pub(super) fn only_incident(&self) -> String {
        let all: Vec<_> = self.centre.incidents().map(|it| it.id.clone()).collect();
        assert_eq!(all.len(), 1, "{all:?}");
        all[0].clone()
    }

    /// When what was said to whom, words of one time by kind and target.
    pub(super) fn sent_words(&self) -> Vec<(i64, String, String)> {
        let mut words: Vec<_> = self
            .sent
            .values()
            .map(|(at, it)| (*at, kind(&it.message.kind), way(&it.target)))
            .collect();
        words.sort();
        words
    }
}

fn kind(kind: &Kind) -> String {
    match kind {
        Kind::Trigger => "trigger".to_owned(),
        Kind::Update => "update".to_owned(),
        Kind::Remind => "remind".to_owned(),
        Kind::Escalate { rung } => format!("escalate {rung}"),
        Kind::Acknowledge { .. } => "acknowledge".to_owned(),
        Kind::Resolve => "resolve".to_owned(),
        Kind::Digest { words } => format!("digest {words}"),
        Kind::Test => "test".to_owned(),
    }
}
