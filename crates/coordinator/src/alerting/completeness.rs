//! Which part of what should be known is known.

use alert::rules::{Alerting, Kind};
use series::Timestamp;

use super::rules::{Rules, Slot, lock};

/// A node that nobody heard of for so long is not expected any more.
const EXPECTED_MILLIS: i64 = 86_400_000;

impl Rules {
    /// Which part of the nodes that should be there has said all until the time that rules look at.
    pub(super) fn completeness(&self, slot: &Slot, at: Timestamp) -> f64 {
        let (asks, interval) = {
            let group = lock(&slot.group);
            let asks = group.rules().any(|rule| {
                matches!(&rule.kind, Kind::Alerting(alerting) if asks_completeness(alerting))
            });
            (asks, group.interval_millis())
        };
        if !asks {
            return 1.0;
        }
        let offset = self.parts.config.borrow().alerting.query_offset;
        let looks_at = at.as_millis() - series::time::duration_millis(offset.as_duration());
        let nodes = self.parts.fleet.list();
        let expected = nodes
            .iter()
            .filter(|node| node.last_message_millis > looks_at - EXPECTED_MILLIS);
        let (mut all, mut told) = (0_u32, 0_u32);
        for node in expected {
            all += 1;
            told += u32::from(node.newest_sample_millis >= looks_at - interval);
        }
        if all == 0 {
            return 1.0;
        }
        f64::from(told) / f64::from(all)
    }
}

fn asks_completeness(alerting: &Alerting) -> bool {
    alerting.min_complete.is_some()
}
