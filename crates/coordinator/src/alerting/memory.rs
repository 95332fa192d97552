//! What groups of rules remember, over reloads and restarts.

use std::collections::BTreeMap;
use std::sync::Arc;

use alert::centre::Change;
use alert::rules::{Group, GroupSpec, GroupState};
use alert::{State, Transition};
use series::{Labels, Timestamp};

use super::desk::{DeskError, SPACE};
use super::rules::{Rules, Slot, lock};

/// What keys of rows begin with that hold what groups remember. Never reused for anything else.
const PREFIX: &[u8] = b"e/";
/// Groups whose rows are read at the start.
const GROUPS_MAX: usize = 1_000_000;

impl Rules {
    /// Gives groups what those remember that they stand in for, and ends those that are gone.
    pub(super) async fn take_over(&self, groups: &mut [Group], old: &[Arc<Slot>]) -> Vec<Change> {
        let now = Timestamp::from_millis(self.parts.clock.wall_millis());
        let old = old.iter().map(|slot| (slot.key.clone(), slot.take()));
        let mut old: BTreeMap<Vec<u8>, Group> = old.collect();
        let mut ended = Vec::new();
        let mut rows = Vec::new();
        for group in groups {
            let key = key(group);
            if let Some(old) = old.remove(&key) {
                ended.push(group.take_over(old, now));
                rows.push(row(key, group));
            }
        }
        for (key, group) in old {
            ended.push(group.end(now));
            rows.push(Change { key, value: None });
        }
        for ended in ended {
            if let Err(error) = self.parts.recorder.record(&ended.recorded).await {
                tracing::error!(error, "the end of series of rules could not be written");
            }
        }
        rows
    }

    /// Gives groups back what they remembered in an earlier life; the rows of those that are gone are to be
    /// removed. Those that are at work are left alone.
    pub(super) fn restore(
        &self,
        groups: &mut [Group],
        at_work: &[Arc<Slot>],
    ) -> Result<Vec<Change>, DeskError> {
        let store = &self.parts.store;
        let rows = store.scan_state_under(SPACE, PREFIX, GROUPS_MAX)?;
        let mut rows: BTreeMap<Vec<u8>, Vec<u8>> =
            rows.into_iter().map(|row| (row.key, row.value)).collect();
        for slot in at_work {
            rows.remove(&slot.key);
        }
        for group in groups {
            if let Some(row) = rows.remove(&key(group)) {
                remember(group, &row);
            }
        }
        let gone = rows.into_keys();
        Ok(gone.map(|key| Change { key, value: None }).collect())
    }
}

/// The row of a group.
pub(super) fn key(group: &Group) -> Vec<u8> {
    let mut key = PREFIX.to_vec();
    key.extend_from_slice(group.file().as_bytes());
    key.push(0);
    key.extend_from_slice(group.name().as_bytes());
    key
}

/// The row of what a group remembers.
pub(super) fn row(key: Vec<u8>, group: &Group) -> Change {
    Change {
        key,
        // Our own types have only texts as keys.
        value: Some(serde_json::to_vec(&group.export()).unwrap_or_default()),
    }
}

/// Gives a group back what it remembered.
fn remember(group: &mut Group, row: &[u8]) {
    let name = group.name().to_owned();
    match serde_json::from_slice::<GroupState>(row) {
        Ok(state) => {
            let left_out = group.restore(state);
            if left_out > 0 {
                tracing::info!(group = name, left_out, "alerts of rules that are gone");
            }
        }
        Err(error) => {
            let error: &dyn std::error::Error = &error;
            tracing::error!(
                group = name,
                error,
                "what the group remembered cannot be read; it begins anew"
            );
        }
    }
}

impl Slot {
    /// Its group, which is at work no more.
    fn take(&self) -> Group {
        let mut group = lock(&self.group);
        let nothing = GroupSpec {
            file: String::new(),
            name: String::new(),
            interval_millis: None,
            query_offset_millis: None,
            limit: 0,
            rules: Vec::new(),
        };
        let nothing = Group::new(nothing, &Arc::default());
        std::mem::replace(&mut group, nothing)
    }
}

/// The alerts of a group that fire, as if each began to now.
pub(super) fn firing(group: &Group) -> Vec<Transition> {
    let names: Vec<&str> = group.rules().map(|rule| rule.name.as_str()).collect();
    let alerts = group.alerts().filter(|alert| alert.state == State::Firing);
    let pairs = |labels: &Labels| {
        let pairs = labels.iter();
        pairs
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    };
    alerts
        .map(|alert| Transition {
            at_millis: alert.fired_millis.unwrap_or(alert.active_millis),
            rule: format!("{}/{}", group.name(), names.get(alert.rule).unwrap_or(&"")),
            labels: pairs(alert.labels),
            annotations: alert.annotations.clone(),
            level: alert.level,
            from: State::Inactive,
            to: State::Firing,
            value: alert.value,
            active_millis: alert.active_millis,
            sample_millis: None,
        })
        .collect()
}
