//! The urgent lane: events, each durable before it is confirmed, and alerts at the desk before that.

use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};
use tonic::{Status, Streaming};
use wire::ingest::{Event, Hello};
use wire::proto;
use wire::proto::urgent_request::Message;

use super::keeping::QUOTA_WAIT_MAX;
use super::quota::BURST;
use super::{Answers, Breach, Ingest, Opener, draining};
use crate::rate::Rate;
use crate::status::ToStatus;

/// An alert that was found so long ago was kept while its agent was cut off: its end may follow it.
const LATE_MILLIS: i64 = 10_000;
/// How long it is waited for what follows an alert that is late, and in all.
const FOLLOWS_WITHIN: Duration = Duration::from_millis(300);
const FOLLOW_WITHIN: Duration = Duration::from_secs(2);
/// Most events that are looked at together: what an agent sends without an answer.
const TOGETHER_MAX: usize = 256;

/// Whether the event says that an alert fires, which a later one of these says is over. Nobody is called
/// for that any more; both are kept as events.
fn is_over_by(event: &Event, later: &[Event]) -> bool {
    let Some(alert) = &event.alert else {
        return false;
    };
    let mut same = later.iter().filter_map(|event| event.alert.as_ref());
    alert.to == "firing" && same.any(|it| it.labels == alert.labels && it.to != "firing")
}

impl Ingest {
    pub(super) async fn run_urgent(
        &self,
        opener: Opener,
        incoming: &mut Streaming<proto::UrgentRequest>,
        answers: &Answers<proto::UrgentResponse>,
    ) -> Result<(), Status> {
        let hello = match self.first(incoming).await?.message {
            Some(Message::Hello(hello)) => self.checked_hello(Some(hello))?,
            _ => self.checked_hello(None)?,
        };
        opener.may_be(self, hello.agent_id.as_str(), "ingest.hello")?;
        let refused = self.access.until_refused(&opener.caller);
        tokio::pin!(refused);
        // Until then nothing is read, because of the agent's quota.
        let mut reads_from = Instant::now();
        loop {
            let message = tokio::select! {
                () = self.shutdown.draining() => return Err(draining()),
                refusal = &mut refused => {
                    self.access.refused(opener.address, &"ingest", &refusal);
                    return Err(refusal.to_status());
                }
                () = sleep_until(reads_from), if reads_from > Instant::now() => continue,
                message = incoming.message(), if reads_from <= Instant::now() => self.heard(message)?,
            };
            let Some(message) = message else {
                return Ok(());
            };
            let event = self.event_of(message, &hello)?;
            let is_late = event.alert.as_ref().is_some_and(|alert| {
                alert.at_millis < self.clock.wall_millis().saturating_sub(LATE_MILLIS)
            });
            let mut events = vec![event];
            let ended = if is_late {
                self.gather(incoming, &hello, &mut events).await
            } else {
                Ok(())
            };
            for at in 0..events.len() {
                let (event, later) = (events[at].clone(), events.get(at + 1..));
                let is_over = is_over_by(&event, later.unwrap_or_default());
                let id = self.take_event(&hello, event, is_over).await?;
                let message = Some(proto::urgent_response::Message::RecordedEventId(id));
                answers.send(proto::UrgentResponse { message }).await?;
            }
            ended?;
            reads_from = self.keep_to_event_quota(&hello, events.len() as u64);
        }
    }

    /// Takes events from the agent's quota, and gives from when on more may come. The agent is told nothing:
    /// it keeps what is not answered.
    fn keep_to_event_quota(&self, hello: &Hello, events: u64) -> Instant {
        let rate = Rate {
            per_second: self.config.borrow().ingest.events_per_second_max,
            burst: BURST,
        };
        let wait = self.fleet.charge_events(&hello.agent_id, events, rate);
        if !wait.is_zero() {
            self.metrics.over_quota.inc();
        }
        Instant::now() + wait.min(QUOTA_WAIT_MAX)
    }

    /// Makes an event durable, and gives its id. An alert goes to the desk first: if we end in between, it
    /// comes again, and the desk knows it.
    async fn take_event(
        &self,
        hello: &Hello,
        mut event: Event,
        is_over: bool,
    ) -> Result<String, Status> {
        let id = event.id.clone();
        tracing::info!(
            agent = %hello.agent_id,
            kind = event.kind,
            severity = event.severity,
            summary = event.summary,
            "event"
        );
        let now = self.clock.wall_millis();
        let alert = event.alert.take();
        if let (Some(alert), Some(outposts), false) = (alert, &self.outposts, is_over) {
            let (events, agent, asked) =
                (self.events.clone(), hello.agent_id.clone(), event.clone());
            let known = daemon::blocking::spawn(move || events.knows(&agent, &asked, now)).await;
            let known = known.map_err(|_source| Status::internal("panicked"))?;
            if !known.map_err(|error| error.to_status())? {
                let taken = outposts.found(hello.agent_id.as_str(), alert).await;
                taken.map_err(|error| Status::unavailable(daemon::chain(&error)))?;
            }
        }
        let (events, agent) = (self.events.clone(), hello.agent_id.clone());
        let recorded = daemon::blocking::spawn(move || events.record(&agent, event, now));
        let recorded = recorded
            .await
            .map_err(|_source| Status::internal("panicked"))?;
        if recorded.map_err(|error| error.to_status())? {
            self.metrics.events.inc();
        }
        Ok(id)
    }

    /// Takes what has come, and comes at once. What ends the stream is given when the rest was taken.
    async fn gather(
        &self,
        incoming: &mut Streaming<proto::UrgentRequest>,
        hello: &Hello,
        events: &mut Vec<Event>,
    ) -> Result<(), Status> {
        let end = Instant::now() + FOLLOW_WITHIN;
        while events.len() < TOGETHER_MAX {
            let wait = (Instant::now() + FOLLOWS_WITHIN).min(end);
            match timeout_at(wait, incoming.message()).await {
                Ok(message) => match self.heard(message)? {
                    Some(message) => events.push(self.event_of(message, hello)?),
                    None => return Ok(()),
                },
                Err(_elapsed) => return Ok(()),
            }
        }
        Ok(())
    }

    fn event_of(&self, message: proto::UrgentRequest, hello: &Hello) -> Result<Event, Status> {
        event_of(message, hello).map_err(|status| self.breach(Breach::Message, status))
    }
}

fn event_of(message: proto::UrgentRequest, hello: &Hello) -> Result<Event, Status> {
    let Some(Message::Event(event)) = message.message else {
        return Err(Status::invalid_argument("an event was expected"));
    };
    let event = Event::try_from(event).map_err(|error| error.to_status())?;
    // An agent speaks of its own node alone.
    let is_own = |alert: &wire::transition::AlertTransition| {
        alert.labels.get(alert::rules::NODE).map(String::as_str) == Some(hello.agent_id.as_str())
    };
    if event.alert.as_ref().is_some_and(|alert| !is_own(alert)) {
        return Err(Status::invalid_argument(
            "event.alert is of another node than the agent's",
        ));
    }
    Ok(event)
}
