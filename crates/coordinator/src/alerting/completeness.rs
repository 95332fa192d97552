//! Which part of what should be known is known.

use series::Timestamp;

use super::rules::{Rules, Slot, lock};

/// A node that nobody heard of for so long is not expected any more.
pub(super) const EXPECTED_MILLIS: i64 = 86_400_000;

/// Which part of the nodes that are expected has told all until `looks_at`; of each, when it was last heard of, and the
/// time of its newest sample. All where none is expected.
pub(super) fn part(nodes: impl Iterator<Item = (i64, i64)>, looks_at: i64, interval: i64) -> f64 {
    let (mut all, mut told) = (0_u32, 0_u32);
    for (_, newest) in nodes.filter(|(heard, _)| *heard > looks_at - EXPECTED_MILLIS) {
        all += 1;
        told += u32::from(newest >= looks_at - interval);
    }
    if all == 0 {
        return 1.0;
    }
    f64::from(told) / f64::from(all)
}

impl Rules {
    /// Which part of the nodes that should be there has said all until the time that rules look at.
    pub(super) fn completeness(&self, slot: &Slot, at: Timestamp) -> f64 {
        let (offset, interval) = {
            let group = lock(&slot.group);
            if !group.asks_completeness() {
                return 1.0;
            }
            (group.query_offset_millis(), group.interval_millis())
        };
        let nodes = self.parts.fleet.list();
        let nodes = nodes
            .iter()
            .map(|node| (node.last_message_millis, node.newest_sample_millis));
        part(nodes, at.as_millis() - offset, interval)
    }
}
