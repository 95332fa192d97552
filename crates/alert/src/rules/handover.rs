//! Rules that change while they run: what stays goes on, what is gone ends.

use std::collections::BTreeMap;

use series::{STALE_NAN, Timestamp};

use super::evaluated::{Evaluated, Recorded};
use super::group::{Group, Live};
use super::rule::Kind;
use crate::{State, Transition};

impl Group {
    /// Takes over what the group remembers that this one stands in for, rule by rule of the same name, and
    /// ends what belongs to rules that are no longer there.
    pub fn take_over(&mut self, old: Self, at: Timestamp) -> Evaluated {
        let mut ended = Evaluated::default();
        let ids = self.rules.iter().map(|live| live.id.clone());
        let places: BTreeMap<String, usize> = ids.zip(0..).collect();
        self.evaluated_millis = old.evaluated_millis;
        let offset = old.query_offset_millis;
        let settings = old.settings;
        for mut live in old.rules {
            let place = places.get(&live.id).copied();
            let new = place.and_then(|place| self.rules.get_mut(place));
            match new {
                Some(new) if new.rule.is_alerting() == live.rule.is_alerting() => {
                    new.alerts = live.alerts;
                    new.alerts.forget_known();
                    new.records = live.records;
                }
                _ => live.end(&settings.conditions, at, offset, &mut ended),
            }
        }
        ended
    }

    /// Ends all its alerts and series: the group is gone.
    #[must_use]
    pub fn end(self, at: Timestamp) -> Evaluated {
        let mut ended = Evaluated::default();
        let (offset, settings) = (self.query_offset_millis, self.settings);
        for mut live in self.rules {
            live.end(&settings.conditions, at, offset, &mut ended);
        }
        ended
    }
}

impl Live {
    fn end(
        &mut self,
        conditions: &BTreeMap<String, spec::Level>,
        at: Timestamp,
        offset: i64,
        into: &mut Evaluated,
    ) {
        into.is_changed = true;
        let looked_at = at.saturating_add_millis(-offset);
        let mut recorded = Vec::new();
        // What cannot be recorded was not: labels were checked when the alert came up.
        let checked = self.alerts.record(looked_at, &mut recorded);
        recorded.truncate(if checked.is_ok() { recorded.len() } else { 0 });
        let last = self.records.series().into_iter().cloned();
        into.recorded.extend(
            recorded
                .into_iter()
                .map(|sample| sample.labels)
                .chain(last.map(std::sync::Arc::new))
                .map(|labels| Recorded {
                    labels,
                    at: looked_at,
                    value: STALE_NAN,
                }),
        );
        let Kind::Alerting(alerting) = &self.rule.kind else {
            return;
        };
        for (labels, instance) in &self.alerts.by_labels {
            if !instance.life.is_active() {
                continue;
            }
            into.transitions.push(Transition {
                at_millis: at.as_millis(),
                rule: self.path.clone(),
                labels: super::ask::named(labels),
                annotations: instance.annotations.clone(),
                level: alerting.level_of(labels, conditions),
                from: instance.life.state,
                to: State::Inactive,
                value: instance.value,
                active_millis: instance.life.active_millis,
                sample_millis: None,
            });
        }
    }
}
