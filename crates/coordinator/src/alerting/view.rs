//! The rules in force and the alerts they see, to be shown.

use std::collections::{BTreeMap, HashSet};

use alert::State;
use daemon::blocking;
use wire::proto;

use super::office::Office;
use super::rules::{Rules, Slot, lock};
use super::show;

/// An alert of a rule that is pending or fires.
#[derive(Clone, Debug)]
pub struct ActiveAlert {
    /// The rule's place in its group; none of it where no rule here sees it.
    pub rule: usize,
    /// What names it, `alertname` among them.
    pub labels: BTreeMap<String, String>,
    /// What is said of it.
    pub annotations: BTreeMap<String, String>,
    /// `pending` or `firing`.
    pub state: &'static str,
    /// Since when it is active, in milliseconds since the Unix epoch.
    pub active_millis: i64,
    /// The value that its condition was last seen to hold with.
    pub value: f64,
}

impl Office {
    /// The alerts that fire and are not among those of `groups`: an agent has found them by itself, or another program
    /// has said them. None when the desk does not answer any more.
    pub async fn other_alerts(&self, groups: &[RuleGroupView]) -> Option<Vec<ActiveAlert>> {
        let known = groups.iter().flat_map(|view| &view.alerts);
        let known: HashSet<String> = known.map(|it| alert::fingerprint(&it.labels)).collect();
        let look = self.desk.look(move |centre| {
            let alerts = centre.alerts().filter(|alert| alert.firing);
            let others = alerts.filter(|alert| !known.contains(&alert.fingerprint));
            let others = others.map(|alert| ActiveAlert {
                rule: usize::MAX,
                labels: alert.labels.clone(),
                annotations: alert.annotations.clone(),
                state: State::Firing.as_str(),
                active_millis: alert.starts_millis,
                value: alert.value,
            });
            others.collect()
        });
        look.await.ok()
    }
}

/// A group of rules with what it sees.
#[derive(Clone, Debug)]
pub struct RuleGroupView {
    /// The group.
    pub group: proto::RuleGroup,
    /// Since when it is at work, in milliseconds since the Unix epoch.
    pub since_millis: i64,
    /// Its alerts.
    pub alerts: Vec<ActiveAlert>,
}

impl Rules {
    /// The rules in force with what they see. None after a defect of ours.
    pub async fn view(&self) -> Option<Vec<RuleGroupView>> {
        let slots = self.slots();
        // A group is locked while it is evaluated.
        let view = move || slots.iter().map(|slot| of(slot)).collect();
        blocking::spawn(view).await.ok()
    }
}

fn of(slot: &Slot) -> RuleGroupView {
    let group = show::group(slot);
    let guard = lock(&slot.group);
    let active = guard
        .alerts()
        .filter(|alert| alert.state != State::Inactive);
    let alerts = active.map(|alert| ActiveAlert {
        rule: alert.rule,
        labels: alert
            .labels
            .iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        annotations: alert.annotations.clone(),
        state: alert.state.as_str(),
        active_millis: alert.active_millis,
        value: alert.value,
    });
    RuleGroupView {
        alerts: alerts.collect(),
        since_millis: slot.since_millis,
        group,
    }
}
