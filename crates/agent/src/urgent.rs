//! What cannot wait: events, on a stream of their own, sent again until recorded.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use daemon::clock::SharedClock;
use daemon::shutdown::Shutdown;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};
use wire::client::Connection;
use wire::ingest::{EVENT_SUMMARY_BYTES_MAX, Event, Hello};
use wire::proto;
use wire::proto::ingest_service_client::IngestServiceClient;

use crate::collect::gpu::{GpuEvents, xid};
use crate::metrics::Metrics;
use crate::sync::{ANSWER_WITHIN, Identity, WELCOME_WITHIN, backoff};

/// Events that may wait. A node with more to say has said enough.
const WAITING_MAX: usize = 1000;

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
    numbers: Arc<AtomicU64>,
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
    let numbers = Arc::default();
    (
        Urgent {
            queue,
            metrics: Arc::clone(metrics),
            clock,
            numbers,
        },
        events,
    )
}

impl Urgent {
    /// Hands an event in; dropped and counted when too many wait.
    pub fn send(&self, happened: Happened) {
        let now = self.clock.wall_millis();
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let event = Event {
            id: format!("{now}-{number}"),
            at_millis: happened.at_millis.unwrap_or(now),
            kind: happened.kind.to_owned(),
            severity: happened.severity.to_owned(),
            summary: happened.summary,
            labels: happened.labels,
        };
        if self.queue.try_send(event).is_err() {
            self.metrics.events_dropped.inc();
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

/// Brings events to the coordinator, over reconnects, until the drain.
pub struct Lane {
    /// Who speaks.
    pub identity: Identity,
    /// How to get there.
    pub connection: Connection,
    /// The events.
    pub events: mpsc::Receiver<Event>,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

impl std::fmt::Debug for Lane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lane").finish_non_exhaustive()
    }
}

impl Lane {
    /// Runs until the drain.
    pub async fn run(mut self, shutdown: Shutdown) {
        let mut unrecorded = VecDeque::new();
        let mut backoff = backoff(self.identity.outbox.epoch() ^ 1);
        loop {
            let mut useful = false;
            let ended = tokio::select! {
                () = shutdown.draining() => return,
                ended = self.speak(&mut unrecorded, &mut useful) => ended,
            };
            if let Err(status) = ended {
                tracing::debug!(status = status.message(), "urgent lane ended");
            }
            if useful {
                backoff.reset();
            }
            tokio::select! {
                () = shutdown.draining() => return,
                () = tokio::time::sleep(backoff.next_delay()) => {}
            }
        }
    }

    /// One stream. `useful` is set when the number of events that wait has become smaller.
    async fn speak(
        &mut self,
        unrecorded: &mut VecDeque<Event>,
        useful: &mut bool,
    ) -> Result<(), Status> {
        use proto::urgent_request::Message;
        let (requests, outgoing) = mpsc::channel(16);
        let request = |message| proto::UrgentRequest {
            message: Some(message),
        };
        let hello = self.identity.hello();
        let hello_is_sound = Hello::try_from(hello.clone()).is_ok();
        requests
            .send(request(Message::Hello(hello)))
            .await
            .map_err(|_closed| Status::unavailable("the stream is closed"))?;
        let mut client = IngestServiceClient::new(self.connection.clone());
        let opened = client.urgent(ReceiverStream::new(outgoing));
        let mut answers = tokio::time::timeout(WELCOME_WITHIN, opened)
            .await
            .map_err(|_elapsed| Status::deadline_exceeded("no answer"))??
            .into_inner();
        // How many of the unrecorded, those of streams before this one included, are sent on it.
        let mut sent = 0;
        let mut takes_more = true;
        let mut heard = Instant::now();
        loop {
            let room = unrecorded.len() < WAITING_MAX;
            tokio::select! {
                recorded = next_recorded(&mut answers) => {
                    let id = match recorded {
                        Ok(Some(id)) => id,
                        Ok(None) => return Ok(()),
                        Err(status) => {
                            // Events are answered in order, so it is the first without an answer.
                            if status.code() == Code::InvalidArgument && hello_is_sound && sent > 0 {
                                *useful |= self.refused(unrecorded, &status);
                            }
                            return Err(status);
                        }
                    };
                    heard = Instant::now();
                    if let Some(index) = unrecorded.iter().position(|event| event.id == id) {
                        unrecorded.remove(index);
                        sent -= usize::from(index < sent);
                        self.metrics.events.inc();
                        *useful = true;
                    }
                }
                permit = requests.reserve(), if takes_more && sent < unrecorded.len() => {
                    match permit {
                        Ok(permit) => {
                            if sent == 0 {
                                heard = Instant::now();
                            }
                            let event = unrecorded[sent].clone();
                            permit.send(request(Message::Event(event.into())));
                            sent += 1;
                        }
                        // The stream has ended; the answers say why.
                        Err(_closed) => {
                            takes_more = false;
                            heard = Instant::now();
                        }
                    }
                }
                Some(event) = self.events.recv(), if room => unrecorded.push_back(event),
                () = sleep_until(heard + ANSWER_WITHIN), if sent > 0 || !takes_more => {
                    return Err(Status::deadline_exceeded("no answer"));
                }
            }
        }
    }

    /// Drops the first event, which the coordinator will not take however often it is sent.
    fn refused(&self, unrecorded: &mut VecDeque<Event>, status: &Status) -> bool {
        let Some(event) = unrecorded.pop_front() else {
            return false;
        };
        self.metrics.events_dropped.inc();
        tracing::error!(
            id = event.id,
            kind = event.kind,
            summary = event.summary,
            reason = status.message(),
            "the coordinator refused an event for good"
        );
        true
    }
}

async fn next_recorded(
    answers: &mut Streaming<proto::UrgentResponse>,
) -> Result<Option<String>, Status> {
    use proto::urgent_response::Message;
    let answer = answers.message().await?;
    Ok(answer.map(|answer| match answer.message {
        Some(Message::RecordedEventId(id)) => id,
        None => String::new(),
    }))
}
