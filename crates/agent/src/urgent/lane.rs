//! The lane: from where events are kept to the coordinator.

use std::collections::VecDeque;
use std::sync::Arc;

use daemon::shutdown::Shutdown;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};
use wire::client::Connection;
use wire::ingest::{Event, Hello};
use wire::proto;
use wire::proto::ingest_service_client::IngestServiceClient;
use wire::proto::urgent_request::Message;

use super::Kept;
use super::kept::{Cursor, Place};
use crate::metrics::Metrics;
use crate::sync::{ANSWER_WITHIN, Identity, WELCOME_WITHIN, backoff};
use crate::way::Way;

/// Events that are sent and not answered.
const IN_FLIGHT_MAX: usize = 256;
/// Events that are kept with one sync.
const TOGETHER_MAX: usize = 64;

/// Keeps events and brings them to the coordinator, over reconnects, until the drain.
pub struct Lane {
    /// Who speaks.
    pub identity: Identity,
    /// How to get there.
    pub way: Way,
    /// The events as they are handed in.
    pub events: mpsc::Receiver<Event>,
    /// Where they are kept until they are recorded.
    pub kept: Kept,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

impl std::fmt::Debug for Lane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lane").finish_non_exhaustive()
    }
}

impl Lane {
    /// Runs until the drain. What was handed in by then is kept.
    pub async fn run(self, shutdown: Shutdown) {
        let speaker = Speaker {
            identity: self.identity,
            way: self.way,
            kept: self.kept.clone(),
            metrics: self.metrics,
        };
        tokio::join!(
            keep_all(self.events, self.kept, &shutdown),
            speaker.run(&shutdown)
        );
    }
}

async fn keep_all(mut events: mpsc::Receiver<Event>, kept: Kept, shutdown: &Shutdown) {
    let mut handed_in = Vec::new();
    loop {
        tokio::select! {
            () = shutdown.draining() => break,
            count = events.recv_many(&mut handed_in, TOGETHER_MAX) => {
                if count == 0 {
                    return;
                }
            }
        }
        kept.keep(std::mem::take(&mut handed_in)).await;
    }
    events.close();
    while let Ok(event) = events.try_recv() {
        handed_in.push(event);
    }
    kept.keep(handed_in).await;
}

/// One side of the streams.
struct Speaker {
    identity: Identity,
    way: Way,
    kept: Kept,
    metrics: Arc<Metrics>,
}

/// What is under way on one stream.
#[derive(Default)]
struct UnderWay {
    cursor: Cursor,
    /// Read and not yet sent; the first is an event.
    to_send: VecDeque<(Place, Option<proto::Event>)>,
    /// Sent and not yet answered, in order; none for those that were answered and what is no event.
    in_flight: VecDeque<(Place, Option<proto::Event>)>,
}

impl UnderWay {
    /// Takes out the next event to send.
    fn next(&mut self) -> Option<(Place, proto::Event)> {
        let (place, event) = self.to_send.pop_front()?;
        Some((place, event?))
    }

    /// Passes over what is no event. Gives the places before the first that waits for its answer.
    fn settled(&mut self) -> Vec<Place> {
        while let Some(none) = self.to_send.pop_front_if(|(_, event)| event.is_none()) {
            self.in_flight.push_back(none);
        }
        let done = self
            .in_flight
            .iter()
            .take_while(|(_, event)| event.is_none());
        let count = done.count();
        self.in_flight
            .drain(..count)
            .map(|(place, _)| place)
            .collect()
    }

    fn waits(&self) -> bool {
        self.in_flight.iter().any(|(_, event)| event.is_some())
    }
}

/// A stream that stands.
struct Opened {
    requests: mpsc::Sender<proto::UrgentRequest>,
    answers: Streaming<proto::UrgentResponse>,
    /// Whether what was said of ourselves is sound, so that a refusal is not of it.
    hello_is_sound: bool,
}

impl Speaker {
    async fn run(self, shutdown: &Shutdown) {
        let mut backoff = backoff(self.identity.outbox.epoch() ^ 1);
        let mut way = self.way.clone();
        loop {
            way.mark_seen();
            let mut useful = false;
            let ended = tokio::select! {
                () = shutdown.draining() => return,
                ended = self.speak(&mut useful) => ended,
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
                () = way.changed() => backoff.reset(),
            }
        }
    }

    async fn open(&self, connection: Connection) -> Result<Opened, Status> {
        let (requests, outgoing) = mpsc::channel(16);
        let hello = self.identity.hello();
        let hello_is_sound = Hello::try_from(hello.clone()).is_ok();
        requests
            .send(request(Message::Hello(hello)))
            .await
            .map_err(|_closed| Status::unavailable("the stream is closed"))?;
        let mut client = IngestServiceClient::new(connection);
        let opened = client.urgent(ReceiverStream::new(outgoing));
        let answers = tokio::time::timeout(WELCOME_WITHIN, opened)
            .await
            .map_err(|_elapsed| Status::deadline_exceeded("no answer"))??
            .into_inner();
        Ok(Opened {
            requests,
            answers,
            hello_is_sound,
        })
    }

    /// One stream. `useful` is set when the number of events that wait has become smaller.
    async fn speak(&self, useful: &mut bool) -> Result<(), Status> {
        let mut way = self.way.clone();
        let connection = way.connection().await;
        let Opened {
            requests,
            mut answers,
            hello_is_sound,
        } = self.open(connection).await?;
        let mut under_way = UnderWay::default();
        let mut takes_more = true;
        let mut may_read = true;
        let mut is_moving = false;
        let mut heard = Instant::now();
        loop {
            let waits = under_way.waits();
            if is_moving && !waits && under_way.to_send.is_empty() {
                // It did what it was for.
                *useful = true;
                return Ok(());
            }
            let reads = under_way.to_send.is_empty()
                && under_way.in_flight.len() < IN_FLIGHT_MAX
                && !is_moving;
            tokio::select! {
                recorded = next_recorded(&mut answers) => {
                    let id = match recorded {
                        Ok(Some(id)) => id,
                        Ok(None) => return Ok(()),
                        Err(status) => {
                            // Events are answered in order, so it is the first without an answer.
                            if status.code() == Code::InvalidArgument && hello_is_sound {
                                *useful |= self.refused(under_way, &status).await;
                            }
                            return Err(status);
                        }
                    };
                    heard = Instant::now();
                    *useful |= self.recorded(&mut under_way, &id).await;
                }
                (events, cursor) = self.kept.read(under_way.cursor), if may_read && reads => {
                    may_read = !events.is_empty();
                    under_way.cursor = cursor;
                    under_way.to_send.extend(events);
                    self.settle(&mut under_way).await;
                }
                () = way.changed(), if !is_moving => is_moving = true,
                () = self.kept.fresh().notified(), if !may_read => may_read = true,
                permit = requests.reserve(), if takes_more && !under_way.to_send.is_empty() => {
                    let Ok(permit) = permit else {
                        // The stream has ended; the answers say why.
                        takes_more = false;
                        heard = Instant::now();
                        continue;
                    };
                    if !waits {
                        heard = Instant::now();
                    }
                    if let Some((place, event)) = under_way.next() {
                        permit.send(request(Message::Event(event.clone())));
                        under_way.in_flight.push_back((place, Some(event)));
                        self.settle(&mut under_way).await;
                    }
                }
                () = sleep_until(heard + ANSWER_WITHIN), if waits || !takes_more => {
                    return Err(Status::deadline_exceeded("no answer"));
                }
            }
        }
    }

    async fn settle(&self, under_way: &mut UnderWay) {
        let settled = under_way.settled();
        if !settled.is_empty() {
            self.kept.done_with(settled).await;
        }
    }

    /// An event is durable: it need not be kept.
    async fn recorded(&self, under_way: &mut UnderWay, id: &str) -> bool {
        let is_it =
            |event: &Option<proto::Event>| event.as_ref().is_some_and(|event| event.id == id);
        let Some((_, event)) = under_way
            .in_flight
            .iter_mut()
            .find(|(_, event)| is_it(event))
        else {
            return false;
        };
        *event = None;
        self.metrics.events.inc();
        self.settle(under_way).await;
        true
    }

    /// Drops the first event, which the coordinator will not take however often it is sent.
    async fn refused(&self, mut under_way: UnderWay, status: &Status) -> bool {
        let mut waiting = under_way.in_flight.iter_mut();
        let Some(event) = waiting.find_map(|(_, event)| event.take()) else {
            return false;
        };
        self.metrics.events_dropped.refused.inc();
        tracing::error!(
            id = event.id,
            kind = event.kind,
            summary = event.summary,
            reason = status.message(),
            "the coordinator refused an event for good"
        );
        self.settle(&mut under_way).await;
        true
    }
}

fn request(message: Message) -> proto::UrgentRequest {
    proto::UrgentRequest {
        message: Some(message),
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
