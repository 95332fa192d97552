//! Who is there, since when, and how fresh their data is.

mod api;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use daemon::clock::SharedClock;
use serde::{Deserialize, Serialize};
use store::{StateRow, Store};
use tokio_util::sync::CancellationToken;
use wire::ingest::{AgentId, Hello};
use wire::proto;

use crate::events::Events;
use crate::ingest::quota::{Quota, Rates};
use crate::rate::{Bucket, Rate};

pub use api::FleetApi;

/// State space of nodes. Never reused for anything else.
const SPACE: u8 = 1;

/// What is kept of a node over restarts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Kept {
    labels: BTreeMap<String, String>,
    version: String,
    address: String,
    first_seen_millis: i64,
    connected_since_millis: i64,
    last_message_millis: i64,
    newest_sample_millis: i64,
    clock_offset_millis: i64,
}

#[derive(Debug, Default)]
struct Node {
    kept: Kept,
    /// Token of the stream that is open, and its number.
    stream: Option<(u64, CancellationToken)>,
    series: u64,
    samples: u64,
    batches: u64,
    bytes: u64,
    future: u64,
    /// Kept over streams, so that a new one is no way around it.
    quota: Quota,
    /// The same, of events.
    events: Bucket,
    /// Whether `kept` has changed since it was written.
    dirty: bool,
}

impl Node {
    /// All but what the store knows.
    fn describe(&self, agent: &AgentId) -> proto::Node {
        let kept = self.kept.clone();
        proto::Node {
            agent_id: agent.as_str().to_owned(),
            labels: kept.labels,
            version: kept.version,
            address: kept.address,
            connected: self.stream.is_some(),
            first_seen_millis: kept.first_seen_millis,
            connected_since_millis: kept.connected_since_millis,
            last_message_millis: kept.last_message_millis,
            newest_sample_millis: kept.newest_sample_millis,
            series: self.series,
            samples_total: self.samples,
            batches_total: self.batches,
            bytes_total: self.bytes,
            clock_offset_millis: kept.clock_offset_millis,
            future_samples_total: self.future,
            ..proto::Node::default()
        }
    }
}

#[derive(Debug, Default)]
struct State {
    nodes: BTreeMap<AgentId, Node>,
    streams_so_far: u64,
    /// Events of those who have sent nothing else yet.
    strangers: Bucket,
}

/// All nodes that were ever seen. Cheap to clone.
#[derive(Clone)]
pub struct Fleet {
    state: Arc<Mutex<State>>,
    store: Arc<Store>,
    events: Events,
    clock: SharedClock,
    started_millis: i64,
}

impl std::fmt::Debug for Fleet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fleet").finish_non_exhaustive()
    }
}

/// One open stream of a node. Dropping it marks the node as not connected.
#[derive(Debug)]
pub struct Connection {
    fleet: Fleet,
    agent: AgentId,
    number: u64,
    superseded: CancellationToken,
}

/// What a batch adds to a node's account.
#[derive(Clone, Copy, Debug, Default)]
pub struct Received {
    /// Batches.
    pub batches: u64,
    /// Samples.
    pub samples: u64,
    /// Bytes.
    pub bytes: u64,
    /// Series defined.
    pub series: u64,
    /// Samples that were left out because their time has not come.
    pub future: u64,
    /// Samples that were left out because their series were refused.
    pub homeless: u64,
    /// Time of the newest sample, if there is one.
    pub newest_sample_millis: Option<i64>,
}

impl Fleet {
    /// The nodes that `store` remembers.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn open(
        store: Arc<Store>,
        events: Events,
        clock: SharedClock,
    ) -> Result<Self, store::Error> {
        let mut state = State::default();
        for row in store.scan_state(SPACE, &[], usize::MAX)? {
            let agent = String::from_utf8(row.key)
                .ok()
                .and_then(|id| AgentId::try_from(id).ok());
            let kept = serde_json::from_slice(&row.value);
            match (agent, kept) {
                (Some(agent), Ok(kept)) => {
                    state.nodes.insert(
                        agent,
                        Node {
                            kept,
                            ..Node::default()
                        },
                    );
                }
                _ => tracing::warn!("a node's row cannot be read and is left where it is"),
            }
        }
        let started_millis = clock.wall_millis();
        Ok(Self {
            state: Arc::new(Mutex::new(state)),
            store,
            events,
            clock,
            started_millis,
        })
    }

    /// Whether an agent of this name was ever seen.
    #[must_use]
    pub fn knows(&self, agent: &AgentId) -> bool {
        self.lock().nodes.contains_key(agent)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a node's stream began. A stream of the same node that is still open is ended:
    /// its agent has come back by another way and does not know of it any more.
    #[must_use]
    pub fn connect(&self, hello: &Hello, address: String) -> Connection {
        let now = self.clock.wall_millis();
        let superseded = CancellationToken::new();
        let mut state = self.lock();
        state.streams_so_far += 1;
        let number = state.streams_so_far;
        let node = state.nodes.entry(hello.agent_id.clone()).or_default();
        if let Some((_, before)) = node.stream.replace((number, superseded.clone())) {
            before.cancel();
        }
        if node.kept.first_seen_millis == 0 {
            node.kept.first_seen_millis = now;
        }
        node.kept.labels.clone_from(&hello.labels);
        node.kept.version.clone_from(&hello.version);
        node.kept.address = address;
        node.kept.connected_since_millis = now;
        node.kept.last_message_millis = now;
        node.kept.clock_offset_millis = hello.wall_millis.saturating_sub(now);
        node.series = 0;
        node.dirty = true;
        drop(state);
        Connection {
            fleet: self.clone(),
            agent: hello.agent_id.clone(),
            number,
            superseded,
        }
    }

    /// Writes what has changed of all nodes since the last time, with one sync. What a crash takes
    /// before that is only when a node was last seen.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn keep(&self) -> Result<(), store::Error> {
        let mut rows = Vec::new();
        for (agent, node) in &mut self.lock().nodes {
            if std::mem::take(&mut node.dirty) {
                let value = serde_json::to_vec(&node.kept).unwrap_or_default();
                let key = agent.as_str().as_bytes().to_vec();
                rows.push(StateRow { key, value });
            }
        }
        if rows.is_empty() {
            return Ok(());
        }
        self.store.put_state(SPACE, rows)
    }

    /// Takes events from an agent's quota. Gives how long no more of them should be taken. Agents that
    /// have never opened a stream of the bulk lane share one: their names may be made up.
    #[must_use]
    pub(crate) fn charge_events(&self, agent: &AgentId, events: u64, rate: Rate) -> Duration {
        let now = self.clock.monotonic();
        let mut state = self.lock();
        let State {
            nodes, strangers, ..
        } = &mut *state;
        let bucket = nodes.get_mut(agent).map_or(strangers, |it| &mut it.events);
        bucket.charge(now, events, rate)
    }

    /// The agents that were ever seen.
    pub(crate) fn agents(&self) -> Vec<AgentId> {
        self.lock().nodes.keys().cloned().collect()
    }

    /// How far the clock of a connected agent is off ours at most, ahead or behind.
    pub(crate) fn clock_offset(&self) -> Duration {
        let state = self.lock();
        let connected = state.nodes.values().filter(|node| node.stream.is_some());
        let offsets = connected.map(|node| node.kept.clock_offset_millis.unsigned_abs());
        Duration::from_millis(offsets.max().unwrap_or(0))
    }

    pub(crate) fn list(&self) -> Vec<proto::Node> {
        let mut nodes: Vec<proto::Node> = {
            let state = self.lock();
            let nodes = state.nodes.iter();
            nodes.map(|(agent, node)| node.describe(agent)).collect()
        };
        // The store is asked when no stream waits for the nodes: there are many of both.
        for node in &mut nodes {
            let settled = self.store.settled(&node.agent_id).sequences;
            node.last_durable_sequence = settled.through();
            let missing = settled.missing(1, settled.last());
            node.missing_batches = missing.map(|(first, last)| last - first + 1).sum();
        }
        nodes
    }

    fn summary(&self) -> proto::GetSummaryResponse {
        let statistics = self.store.statistics();
        let state = self.lock();
        let nodes = state.nodes.values();
        proto::GetSummaryResponse {
            version: daemon::version::VERSION.to_owned(),
            started_millis: self.started_millis,
            nodes: state.nodes.len() as u64,
            nodes_connected: nodes.clone().filter(|node| node.stream.is_some()).count() as u64,
            series: statistics.series,
            samples_total: statistics.samples_total,
            bytes_total: nodes.map(|node| node.bytes).sum(),
            head_samples: statistics.head_samples,
            chunk_samples_total: statistics.chunk_samples,
            chunk_bytes_total: statistics.chunk_bytes,
            disk_bytes: statistics.disk_bytes,
        }
    }
}

impl Connection {
    /// Adds to the node's account.
    pub fn received(&self, received: Received) {
        let now = self.fleet.clock.wall_millis();
        let mut state = self.fleet.lock();
        if let Some(node) = state.nodes.get_mut(&self.agent) {
            node.kept.last_message_millis = now;
            node.dirty = true;
            node.batches += received.batches;
            node.samples += received.samples;
            node.bytes += received.bytes;
            node.series += received.series;
            node.future += received.future;
            if let Some(newest) = received.newest_sample_millis {
                node.kept.newest_sample_millis = node.kept.newest_sample_millis.max(newest);
            }
        }
    }

    /// Takes samples and bytes from the node's quota. Gives how long nothing more should be taken, and
    /// which bound says so.
    #[must_use]
    pub(crate) fn charge(
        &self,
        sent: (u64, u64),
        rates: Rates,
    ) -> Option<(Duration, &'static str)> {
        let now = self.fleet.clock.monotonic();
        let mut state = self.fleet.lock();
        let node = state.nodes.get_mut(&self.agent)?;
        node.quota.charge(now, sent, rates)
    }

    /// Takes note of how far the agent's clock is off ours.
    pub fn clock_offset(&self, offset_millis: i64) {
        if let Some(node) = self.fleet.lock().nodes.get_mut(&self.agent) {
            node.kept.clock_offset_millis = offset_millis;
        }
    }

    /// Done when another stream of the same agent has taken over.
    #[must_use]
    pub fn superseded(&self) -> &CancellationToken {
        &self.superseded
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut state = self.fleet.lock();
        let Some(node) = state.nodes.get_mut(&self.agent) else {
            return;
        };
        if node
            .stream
            .as_ref()
            .is_none_or(|(number, _)| *number != self.number)
        {
            return;
        }
        node.stream = None;
        node.dirty = true;
    }
}
