//! What cannot wait: events, on a stream of their own, sent again until recorded.
//!
//! An event is handed in without waiting, [kept](Kept) on disk with one sync, and then sent, so that it
//! outlives a cut and the end of the process. The coordinator knows it again by its id.

mod kept;
mod lane;

use std::collections::BTreeMap;
use std::sync::Arc;

use daemon::clock::SharedClock;
use daemon::shutdown::Shutdown;
use tokio::sync::mpsc;
use wire::ingest::{EVENT_SUMMARY_BYTES_MAX, Event};

use crate::collect::gpu::{GpuEvents, xid};
use crate::metrics::Metrics;

pub use kept::Kept;
pub use lane::Lane;

/// Events that may be handed in and not yet kept. A node with more to say has said enough.
const WAITING_MAX: usize = 1000;
/// Of these places, the last quarter is kept from what only informs, and its half from what only warns: a
/// fault behind a thousand notes is told, however slow the disk is.
const KEPT_FROM_INFO: usize = WAITING_MAX / 4;
const KEPT_FROM_WARNINGS: usize = WAITING_MAX / 8;

/// Something that happened, before it has an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happened {
    at_millis: Option<i64>,
    kind: &'static str,
    severity: &'static str,
    summary: String,
    labels: BTreeMap<String, String>,
}

impl Happened {
    /// An event of now.
    #[must_use]
    pub fn new(kind: &'static str, severity: &'static str, mut summary: String) -> Self {
        let mut end = summary.len().min(EVENT_SUMMARY_BYTES_MAX);
        while !summary.is_char_boundary(end) {
            end -= 1;
        }
        summary.truncate(end);
        Self {
            at_millis: None,
            kind,
            severity,
            summary,
            labels: BTreeMap::new(),
        }
    }

    /// With a time of its own.
    #[must_use]
    pub fn at(mut self, millis: i64) -> Self {
        self.at_millis = Some(millis);
        self
    }

    /// With a detail.
    #[must_use]
    pub fn label(mut self, name: &str, value: &str) -> Self {
        self.labels.insert(name.to_owned(), value.to_owned());
        self
    }
}

/// Where events are handed in. Never waits.
#[derive(Clone)]
pub struct Urgent {
    queue: mpsc::Sender<Event>,
    metrics: Arc<Metrics>,
    clock: SharedClock,
}

impl std::fmt::Debug for Urgent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Urgent").finish_non_exhaustive()
    }
}

/// A queue of events: where they are handed in, and where the lane takes them out.
#[must_use]
pub fn queue(metrics: &Arc<Metrics>, clock: SharedClock) -> (Urgent, mpsc::Receiver<Event>) {
    let (queue, events) = mpsc::channel(WAITING_MAX);
    let metrics = Arc::clone(metrics);
    let urgent = Urgent {
        queue,
        metrics,
        clock,
    };
    (urgent, events)
}

impl Urgent {
    /// Hands an event in; dropped and counted when too many wait for one of its severity.
    pub fn send(&self, happened: Happened) {
        let event = Event {
            // It gets one when it is kept.
            id: String::new(),
            at_millis: happened
                .at_millis
                .unwrap_or_else(|| self.clock.wall_millis()),
            kind: happened.kind.to_owned(),
            severity: happened.severity.to_owned(),
            summary: happened.summary,
            labels: happened.labels,
            alert: None,
        };
        let dropped = &self.metrics.events_dropped.queue;
        let (kept_from, dropped) = match happened.severity {
            "critical" => (0, &dropped.critical),
            "warning" => (KEPT_FROM_WARNINGS, &dropped.warning),
            _ => (KEPT_FROM_INFO, &dropped.info),
        };
        // Who else looks at the same moment takes a place too many at most.
        let has_place = self.queue.capacity() > kept_from;
        if !has_place || self.queue.try_send(event).is_err() {
            dropped.inc();
        }
    }

    /// Hands in the faults of the GPUs as they are seen, until the drain.
    pub async fn watch_gpus(self, gpus: GpuEvents, shutdown: Shutdown) {
        loop {
            tokio::select! {
                () = shutdown.draining() => return,
                () = gpus.fresh() => {}
            }
            for event in gpus.drain() {
                let known = xid::lookup(event.xid);
                let (severity, meaning) = match known {
                    Some(known) => (severity(known.severity), known.meaning),
                    None => ("warning", "an error that is not in our table"),
                };
                let summary = format!("GPU {}: XID {}: {meaning}", event.gpu, event.xid);
                let happened = Happened::new("gpu_xid", severity, summary)
                    .at(event.at.as_millis())
                    .label("gpu", &event.gpu.to_string())
                    .label("xid", &event.xid.to_string())
                    .label("uuid", &event.uuid)
                    .label("pci_bus_id", &event.pci_bus_id);
                self.send(happened);
            }
        }
    }
}

fn severity(severity: xid::Severity) -> &'static str {
    match severity {
        xid::Severity::Info => "info",
        xid::Severity::Warning => "warning",
        xid::Severity::Critical => "critical",
    }
}

#[cfg(test)]
mod tests;
