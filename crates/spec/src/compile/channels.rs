//! Whom channels reach, and who is told when nobody answers.

use super::Compiler;
use super::levels::WAKING;
use crate::document::{Document, Leaf};
use crate::shape::Setting;
use crate::{Channel, Need, NeedKind, Rung, duration};

impl Compiler<'_> {
    /// Whom channels reach, and with what words.
    pub(super) fn channels(&mut self, document: &Document) {
        for leaf in document.below("alerting_config.notification_channels") {
            let Some(word) = leaf.path.split('.').nth(2) else {
                continue;
            };
            let Some(channel) = Channel::from_word(word) else {
                continue;
            };
            match leaf.name() {
                "template" => {
                    self.same_elsewhere(document, leaf);
                    self.levels.templates.insert(channel, leaf.given.clone());
                    self.need(
                        document,
                        leaf,
                        NeedKind::Template(channel, leaf.given.clone()),
                    );
                    self.in_force(leaf, format!("words by {word} are made by this template"));
                }
                "urgency" => {
                    self.same_elsewhere(document, leaf);
                    self.levels.urgency = Some(leaf.given.clone());
                    let what = if leaf.given == "high" {
                        "PagerDuty is told at least an error"
                    } else {
                        "PagerDuty is told at most a warning"
                    };
                    self.in_force(leaf, what);
                }
                _ => self.address(document, leaf, channel),
            }
        }
    }

    fn address(&mut self, document: &Document, leaf: &Leaf, channel: Channel) {
        let address = leaf.given.as_str();
        let digits = |text: &str| text.len() >= 7 && text.chars().all(|it| it.is_ascii_digit());
        let why = match channel {
            Channel::Email => {
                let good = address.split_once('@').is_some_and(|(name, host)| {
                    !name.is_empty() && !host.is_empty() && !host.contains('@')
                }) && !address.contains(char::is_whitespace);
                (!good).then_some("a mail address is NAME@HOST")
            }
            Channel::Slack => {
                let good = address.starts_with('#') && address.len() > 1;
                (!good).then_some("a channel of Slack begins with # (in quotes, since YAML takes # for a comment)")
            }
            Channel::Phone | Channel::Sms => {
                let good = address.strip_prefix('+').is_some_and(digits);
                (!good).then_some("a number is written as +4930123456, in quotes")
            }
            _ => None,
        };
        if let Some(why) = why {
            let problem = document.bad_value(leaf, why);
            self.problems.push(problem);
            return;
        }
        let known = self.levels.addresses.entry(channel).or_default();
        if known.iter().any(|known| known == address) {
            self.twice(document, leaf, true);
            return;
        }
        known.push(address.to_owned());
        if matches!(
            channel,
            Channel::Pagerduty | Channel::Webhook | Channel::Alertmanager
        ) {
            self.need(
                document,
                leaf,
                NeedKind::Service(channel, address.to_owned()),
            );
        }
        self.in_force(
            leaf,
            format!("what goes by {} goes there", channel.as_str()),
        );
    }

    /// Takes note of something that the coordinator's configuration has to have.
    fn need(&mut self, document: &Document, leaf: &Leaf, kind: NeedKind) {
        self.needs.push(Need {
            kind,
            path: document.spot(leaf),
        });
    }

    /// A document's own list of channels.
    pub(super) fn channel_list(&mut self, document: &Document, path: &str) {
        let mut list = Vec::new();
        for leaf in document.list(path) {
            let Setting::Channel(channel) = leaf.setting else {
                continue;
            };
            self.twice(document, leaf, list.contains(&channel));
            list.push(channel);
            let word = channel.as_str();
            if !self.levels.are_given() {
                let quiet = if WAKING.contains(&channel) {
                    "; what is low wakes nobody"
                } else {
                    ""
                };
                self.in_force(leaf, format!("alerts are told by {word}{quiet}"));
                continue;
            }
            let told: Vec<&str> = self
                .levels
                .levels
                .iter()
                .rev()
                .filter(|(_, policy)| policy.channels.contains(&channel))
                .map(|(level, _)| level.as_str())
                .collect();
            if told.is_empty() {
                let other = "alerting_config.alert_levels".to_owned();
                let why = format!("no level there is told by {word}");
                self.conflict((document, leaf), other, &why);
            } else {
                let what = format!(
                    "alerts are told by {word} where their level says so: {}",
                    told.join(", ")
                );
                self.in_force(leaf, what);
            }
        }
        let Some(first) = document.list(path).next() else {
            return;
        };
        let sorted = |list: &[Channel]| {
            let mut list = list.to_vec();
            list.sort_unstable();
            list
        };
        let other = self
            .levels
            .lists
            .iter()
            .find(|(other, _)| sorted(other) != sorted(&list));
        let other = other.map(|(_, spot)| spot.clone());
        if let (Some(other), false) = (other, self.levels.are_given()) {
            let why =
                "there is one list of channels for all; a document multi_level_alerting says more";
            self.conflict((document, first), other, why);
        }
        self.levels.lists.push((list, document.spot(first)));
    }

    /// The ladder of escalation.
    pub(super) fn ladder(&mut self, document: &Document) {
        const PATH: &str = "alerting.alerting.escalation";
        let mut ladder: Vec<(u32, Rung)> = Vec::new();
        for name in document.names(PATH) {
            let path = format!("{PATH}.{name}");
            let Some(timeout) = document.at(&format!("{path}.timeout")) else {
                continue;
            };
            let Some(number) = name.strip_prefix("level_").and_then(|it| it.parse().ok()) else {
                let problem =
                    document.bad_value(timeout, "rungs are called level_1, level_2 and so on");
                self.problems.push(problem);
                continue;
            };
            let length = timeout.length().unwrap_or_default();
            let shown = duration::show(length);
            self.in_force(
                timeout,
                format!("{name} has {shown} to acknowledge before the next rung is told"),
            );
            let mut notify = Vec::new();
            for leaf in document.list(&format!("{path}.notify")) {
                self.need(document, leaf, NeedKind::Receiver(leaf.given.clone()));
                self.in_force(
                    leaf,
                    format!("the receiver {} is told on this rung", leaf.given),
                );
                notify.push(leaf.given.clone());
            }
            ladder.push((
                number,
                Rung {
                    name: name.to_owned(),
                    timeout: length,
                    notify,
                },
            ));
        }
        ladder.sort_by_key(|(number, _)| *number);
        let ladder: Vec<Rung> = ladder.into_iter().map(|(_, rung)| rung).collect();
        let Some(first) = document.below(PATH).next() else {
            return;
        };
        let spot = document.spot(first);
        match self.levels.ladder_spot.clone() {
            Some(other) if self.levels.ladder != ladder => {
                self.conflict((document, first), other, "there is one ladder for all");
            }
            _ => {
                self.levels.ladder = ladder;
                self.levels.ladder_spot = Some(spot);
            }
        }
    }
}
