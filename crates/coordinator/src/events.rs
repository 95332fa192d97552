//! What happened on the nodes, once each, durable before it is confirmed.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use store::{StateRow, Store};
use wire::ingest::{AgentId, Event};

/// State space of events. Never reused for anything else.
const SPACE: u8 = 2;
/// State space of when events from the future were recorded first. Never reused for anything else.
const FIRST_SPACE: u8 = 6;

/// Most events of one listing.
pub const LISTING_MAX: usize = 1000;
/// Most rows one listing looks at when it filters by agent.
const SCAN_MAX: usize = 100_000;

/// An event as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// Who sent it.
    pub agent_id: String,
    /// When it was recorded, in milliseconds since the Unix epoch.
    pub recorded_millis: i64,
    /// Its id.
    pub id: String,
    /// When it was seen.
    pub at_millis: i64,
    /// What kind it is.
    pub kind: String,
    /// How bad.
    pub severity: String,
    /// What happened.
    pub summary: String,
    /// Details.
    pub labels: BTreeMap<String, String>,
}

/// The events of all nodes.
#[derive(Clone, Debug)]
pub struct Events {
    store: Arc<Store>,
}

/// Key of an event: newest first, and the same for the same event sent again.
fn key(at_millis: i64, agent: &str, id: &str) -> Vec<u8> {
    let mut key = first_key_at(at_millis).to_vec();
    key.extend_from_slice(agent.as_bytes());
    key.push(0);
    key.extend_from_slice(id.as_bytes());
    key
}

fn first_key_at(at_millis: i64) -> [u8; 8] {
    (u64::MAX - (at_millis.cast_unsigned() ^ (1 << 63))).to_be_bytes()
}

impl Events {
    /// Events in `store`.
    #[must_use]
    pub fn new(store: Arc<Store>) -> Self {
        Self { store }
    }

    /// Makes an event durable. `false` when it was recorded before. An event from the future is
    /// recorded as of now, so that it does not stand before all others for ever.
    ///
    /// # Errors
    /// When the store fails.
    pub fn record(
        &self,
        agent: &AgentId,
        event: Event,
        now_millis: i64,
    ) -> Result<bool, store::Error> {
        let Some(at_millis) = self.kept_at(agent, &event, now_millis)? else {
            return Ok(false);
        };
        let key = key(at_millis, agent.as_str(), &event.id);
        let recorded = Recorded {
            agent_id: agent.as_str().to_owned(),
            recorded_millis: now_millis,
            id: event.id,
            at_millis,
            kind: event.kind,
            severity: event.severity,
            summary: event.summary,
            labels: event.labels,
        };
        let value = serde_json::to_vec(&recorded).unwrap_or_default();
        self.store.put_state(SPACE, vec![StateRow { key, value }])?;
        Ok(true)
    }

    /// Whether an event was recorded before.
    ///
    /// # Errors
    /// When the store fails.
    pub fn knows(
        &self,
        agent: &AgentId,
        event: &Event,
        now_millis: i64,
    ) -> Result<bool, store::Error> {
        Ok(self.kept_at(agent, event, now_millis)?.is_none())
    }

    /// When an event is to be recorded as of: its own time or, for one from the future, that at which it
    /// came first; none if it is recorded. Our clock may have jumped since, so each is looked for under
    /// both.
    fn kept_at(
        &self,
        agent: &AgentId,
        event: &Event,
        now_millis: i64,
    ) -> Result<Option<i64>, store::Error> {
        let own = key(event.at_millis, agent.as_str(), &event.id);
        if self.store.get_state(SPACE, &own)?.is_some() {
            return Ok(None);
        }
        let first = self.store.get_state(FIRST_SPACE, &own)?;
        if let Some(first) = first.and_then(|row| row.try_into().ok()) {
            let first = i64::from_be_bytes(first);
            let key = key(first, agent.as_str(), &event.id);
            let recorded = self.store.get_state(SPACE, &key)?;
            return Ok(recorded.is_none().then_some(first));
        }
        if event.at_millis > now_millis {
            let value = now_millis.to_be_bytes().to_vec();
            let row = StateRow { key: own, value };
            self.store.put_state(FIRST_SPACE, vec![row])?;
        }
        Ok(Some(event.at_millis.min(now_millis)))
    }

    /// Events at or after `since_millis`, newest first.
    ///
    /// # Errors
    /// When the store fails.
    pub fn list(
        &self,
        agent: Option<&str>,
        since_millis: i64,
        limit: usize,
    ) -> Result<Vec<Recorded>, store::Error> {
        let looked_at = if agent.is_some() {
            SCAN_MAX
        } else {
            limit.min(LISTING_MAX)
        };
        let rows = self.store.scan_state(SPACE, &[], looked_at)?;
        Ok(rows
            .into_iter()
            .filter_map(|row| serde_json::from_slice::<Recorded>(&row.value).ok())
            .take_while(|event| event.at_millis >= since_millis)
            .filter(|event| agent.is_none_or(|agent| event.agent_id == agent))
            .take(limit.min(LISTING_MAX))
            .collect())
    }

    /// Drops what happened before `oldest_millis`.
    ///
    /// # Errors
    /// When the store fails.
    pub fn retain(&self, oldest_millis: i64) -> Result<(), store::Error> {
        let start = first_key_at(oldest_millis.saturating_sub(1));
        self.store.drop_state(SPACE, &start)?;
        self.store.drop_state(FIRST_SPACE, &start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::engine::memory::Memory;

    fn event(id: &str, at_millis: i64) -> Event {
        Event {
            id: id.to_owned(),
            at_millis,
            kind: "gpu_xid".to_owned(),
            severity: "critical".to_owned(),
            summary: "GPU fell off the bus".to_owned(),
            labels: BTreeMap::new(),
            alert: None,
        }
    }

    #[test]
    fn events_are_recorded_once_and_listed_newest_first() {
        let (store, _) = Store::open(Box::new(Memory::default())).unwrap();
        let events = Events::new(Arc::new(store));
        let agent = |name: &str| AgentId::try_from(name.to_owned()).unwrap();
        assert!(events.record(&agent("a"), event("1", 10), 99).unwrap());
        assert!(!events.record(&agent("a"), event("1", 10), 100).unwrap());
        events.record(&agent("b"), event("1", 20), 99).unwrap();
        events.record(&agent("a"), event("2", 30), 99).unwrap();
        let times = |agent: Option<&str>, since| {
            let list = events.list(agent, since, 9).unwrap();
            list.iter().map(|event| event.at_millis).collect::<Vec<_>>()
        };
        assert_eq!(times(None, 0), [30, 20, 10]);
        assert_eq!(times(Some("a"), 0), [30, 10]);
        assert_eq!(times(None, 20), [30, 20]);
        events.retain(20).unwrap();
        assert_eq!(times(None, 0), [30, 20]);
    }

    #[test]
    fn an_event_from_the_future_that_comes_again_is_the_same() {
        let (store, _) = Store::open(Box::new(Memory::default())).unwrap();
        let events = Events::new(Arc::new(store));
        let agent = AgentId::try_from("a".to_owned()).unwrap();
        assert!(events.record(&agent, event("1", 50), 10).unwrap());
        for now in [20, 5, 50, 60] {
            assert!(!events.record(&agent, event("1", 50), now).unwrap());
        }
        let list = events.list(None, 0, 9).unwrap();
        assert_eq!((list.len(), list[0].at_millis), (1, 10));
        // One whose time had come is no other when our clock goes back.
        assert!(events.record(&agent, event("0", 50), 60).unwrap());
        assert!(!events.record(&agent, event("0", 50), 20).unwrap());
        assert!(events.record(&agent, event("2", 50), 60).unwrap());
        events.retain(51).unwrap();
        assert_eq!(events.list(None, 0, 9).unwrap(), []);
    }
}
