//! One stream of the bulk lane, from its welcome to its end.

use std::collections::VecDeque;
use std::time::Duration;

use spool::Loss;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tonic::Streaming;
use wire::proto;
use wire::proto::sync_response::Message as Answer;

use super::dictionary::Dictionary;
use super::lanes::{Lane, Lanes};
use super::refused::Suspicion;
use super::{ANSWER_WITHIN, Bulk, Ended};
use crate::way::Way;

/// Window until the coordinator says another.
const WINDOW_BYTES: u64 = 4 << 20;

/// What is sent and not yet answered.
pub(super) struct InFlight {
    pub(super) what: Sent,
    pub(super) bytes: u64,
    pub(super) at: Duration,
}

/// What was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// A batch, with the first and the last sequence that it stands for.
    Batch(Lane, u64, u64),
    Loss(Loss),
    /// Records that cannot be sent; the spool does not count them as lost.
    Unsendable(u64, u64),
}

/// One stream to the coordinator.
pub(super) struct Stream<'a> {
    pub(super) sync: &'a Bulk,
    way: Way,
    pub(super) requests: mpsc::Sender<proto::SyncRequest>,
    pub(super) dictionary: Dictionary,
    /// Where to go on telling what metrics mean.
    pub(super) told: u64,
    /// Bytes that telling it may take by now.
    pub(super) telling_bytes: u64,
    pub(super) lanes: Lanes,
    /// Whether the coordinator is one of before: it takes batches in order, answers several at once, and
    /// knows no losses.
    pub(super) in_order: bool,
    /// Whether the coordinator gives rules and takes our word on them; and which word it has.
    pub(super) gives_rules: bool,
    pub(super) rules_told: Option<u64>,
    /// What the spool was told that it may forget.
    pub(super) forgotten: u64,
    pub(super) in_flight: VecDeque<InFlight>,
    pub(super) in_flight_bytes: u64,
    /// Of these, what was missed.
    pub(super) backfill_bytes: u64,
    pub(super) window_bytes: u64,
    /// Until when all has to wait that is no answer to the coordinator, and until when what was missed.
    pub(super) bulk_from: Instant,
    pub(super) backfill_from: Instant,
    /// When the coordinator answered last, or something first had to wait for its answer.
    pub(super) heard: Instant,
    /// Nothing more is sent: the stream ends when all is acknowledged, and another begins.
    pub(super) outgrown: bool,
    /// Set when the stream has been of use.
    pub(super) useful: &'a mut bool,
    /// The batch that is being sent, by the first and the last sequence that it stands for.
    pub(super) sending: Option<(u64, u64)>,
    /// The batch that may be what ended a stream before, and whether it is what this one is for.
    pub(super) suspicion: &'a mut Suspicion,
    pub(super) is_trial: bool,
}

impl<'a> Stream<'a> {
    /// A stream that sends what `lanes` say. It sets `useful` when the coordinator has taken something.
    pub(super) fn new(
        sync: &'a Bulk,
        way: Way,
        requests: mpsc::Sender<proto::SyncRequest>,
        lanes: Lanes,
        (useful, suspicion): (&'a mut bool, &'a mut Suspicion),
    ) -> Self {
        Self {
            sync,
            way,
            requests,
            dictionary: Dictionary::default(),
            told: 0,
            telling_bytes: 0,
            lanes,
            in_order: false,
            gives_rules: false,
            rules_told: None,
            forgotten: 0,
            in_flight: VecDeque::new(),
            in_flight_bytes: 0,
            backfill_bytes: 0,
            window_bytes: WINDOW_BYTES,
            bulk_from: Instant::now(),
            backfill_from: Instant::now(),
            heard: Instant::now(),
            outgrown: false,
            useful,
            sending: None,
            suspicion,
            is_trial: false,
        }
    }

    /// Runs until the outbox is closed and empty.
    pub(super) async fn run(
        &mut self,
        answers: &mut Streaming<proto::SyncResponse>,
    ) -> Result<(), Ended> {
        let ended = self.converse(answers).await;
        if let Err(Ended::Status(status)) = &ended {
            self.note_end(status);
        }
        ended
    }

    async fn converse(
        &mut self,
        answers: &mut Streaming<proto::SyncResponse>,
    ) -> Result<(), Ended> {
        self.try_suspect(answers).await?;
        let mut rules = self.sync.rules.clone();
        loop {
            self.tell_rules(answers).await?;
            let more = self.send_what_fits(answers).await?;
            let outbox = &self.sync.outbox;
            let all_sent = outbox.is_closed() && self.in_flight.is_empty();
            let all_told = self.in_order || outbox.losses().is_empty();
            if all_sent && outbox.pending() == 0 && all_told {
                return Ok(());
            }
            if self.outgrown && self.in_flight.is_empty() {
                return Err(Ended::Outgrown);
            }
            let (has_to_wait, bulk_from) = (self.has_to_wait(), self.bulk_from);
            let waits = self.backfill_from > Instant::now() && self.lanes.backfill().is_some();
            tokio::select! {
                answer = answers.message() => self.answered(answer?).await?,
                // With another certificate: what is under way is answered here, the rest goes there.
                () = self.way.changed(), if !self.outgrown => self.outgrown = true,
                () = rules.changed(self.rules_told.unwrap_or_default()), if self.gives_rules => {}
                () = self.sync.outbox.fresh().notified(), if !more => {}
                () = sleep_until(bulk_from), if has_to_wait => {}
                () = sleep_until(self.backfill_from), if waits => {}
                () = sleep_until(self.heard + ANSWER_WITHIN), if !self.in_flight.is_empty() => {
                    return Err(Ended::Silent(ANSWER_WITHIN));
                }
            }
        }
    }

    pub(super) async fn answered(
        &mut self,
        answer: Option<proto::SyncResponse>,
    ) -> Result<(), Ended> {
        let answer = answer.ok_or(Ended::Closed)?;
        let done = self.act_on(answer).await;
        // The time that the coordinator told us to wait is not its silence.
        self.heard = Instant::now().max(self.bulk_from);
        done
    }

    async fn act_on(&mut self, answer: proto::SyncResponse) -> Result<(), Ended> {
        match answer.message {
            Some(Answer::Acknowledgement(acknowledgement)) => {
                self.sync.metrics.acknowledged.inc();
                let through = acknowledgement.through_sequence;
                if self.in_order {
                    return self.all_answered(through).await;
                }
                self.batch_answered(acknowledgement.sequence, through).await
            }
            Some(Answer::Refusal(refusal)) => {
                self.sync.metrics.refused.inc();
                tracing::error!(
                    sequence = refusal.sequence,
                    reason = refusal.reason,
                    "the coordinator refused a batch for good"
                );
                self.batch_answered(refusal.sequence, 0).await
            }
            Some(Answer::LossRecorded(recorded)) => {
                let range = (recorded.first_sequence, recorded.last_sequence);
                self.loss_recorded(range).await
            }
            Some(Answer::Settings(settings)) => {
                self.settle(&settings);
                Ok(())
            }
            Some(Answer::Move(moved)) => {
                tracing::info!(reason = moved.reason, "asked to open another stream");
                self.outgrown = true;
                Ok(())
            }
            Some(Answer::Rules(rules)) => {
                self.sync.rules.give(rules);
                Ok(())
            }
            Some(Answer::SlowDown(slow)) => {
                self.slow_down(&slow);
                Ok(())
            }
            Some(Answer::Welcome(_)) => Err(Ended::Protocol("welcome twice")),
            None => Err(Ended::Protocol("an empty message")),
        }
    }

    /// Nothing of the bulk is sent for a while; answers, certificates and rules do not wait.
    fn slow_down(&mut self, slow: &proto::SlowDown) {
        let wait = Duration::from_millis(slow.wait_millis.min(60_000));
        let backfill_only = slow.backfill_only;
        let reason = &slow.reason;
        tracing::warn!(
            wait_millis = slow.wait_millis,
            backfill_only,
            reason,
            "told to wait"
        );
        let until = Instant::now() + wait;
        self.backfill_from = self.backfill_from.max(until);
        if !backfill_only {
            self.bulk_from = self.bulk_from.max(until);
        }
    }

    /// Whether the coordinator has told us to send nothing of the bulk by now.
    pub(super) fn has_to_wait(&self) -> bool {
        self.bulk_from > Instant::now()
    }

    /// The first that is under way is answered; gives it if it is what `is_meant` says.
    fn first_answered(&mut self, is_meant: impl Fn(Sent) -> bool) -> Result<InFlight, Ended> {
        let first = self.in_flight.pop_front();
        let first = first.filter(|sent| is_meant(sent.what));
        let first = first.ok_or(Ended::Protocol("that it has what was not sent next"))?;
        *self.useful = true;
        self.in_flight_bytes = self.in_flight_bytes.saturating_sub(first.bytes);
        if let Sent::Batch(Lane::Backfill, ..) = first.what {
            self.backfill_bytes = self.backfill_bytes.saturating_sub(first.bytes);
        }
        Ok(first)
    }

    async fn batch_answered(&mut self, sequence: u64, through: u64) -> Result<(), Ended> {
        let is_meant = |sent| matches!(sent, Sent::Batch(_, _, it) if it == sequence);
        let answered = self.first_answered(is_meant)?;
        let first = match answered.what {
            Sent::Batch(_, first, _) => first,
            Sent::Loss(_) | Sent::Unsendable(..) => sequence,
        };
        let took = self
            .sync
            .identity
            .clock
            .monotonic()
            .saturating_sub(answered.at);
        self.sync.metrics.acknowledge_seconds.record(took);
        self.lanes.settle(1, through);
        self.settled((first, sequence)).await
    }

    /// A coordinator of before has all up to `through`.
    async fn all_answered(&mut self, through: u64) -> Result<(), Ended> {
        while let Some(&Sent::Batch(_, _, sequence)) = self.in_flight.front().map(|it| &it.what)
            && sequence <= through
        {
            self.batch_answered(sequence, 0).await?;
        }
        // With nothing under way, what lies before the next to send was passed over.
        let through = if self.in_flight.is_empty() {
            self.lanes.before_live()
        } else {
            through.min(self.lanes.before_live())
        };
        self.settled((1, through)).await
    }

    async fn loss_recorded(&mut self, (first, last): (u64, u64)) -> Result<(), Ended> {
        let is_meant = |sent| match sent {
            Sent::Loss(loss) => (loss.first, loss.last) == (first, last),
            Sent::Unsendable(from, to) => (from, to) == (first, last),
            Sent::Batch(..) => false,
        };
        let answered = self.first_answered(is_meant)?;
        if let Sent::Loss(loss) = answered.what {
            self.sync.outbox.loss_told(loss).await?;
        }
        self.settled((first, last)).await
    }

    /// The coordinator has settled these: the spool may forget what lies before the first that it has
    /// not.
    pub(super) async fn settled(&mut self, (first, last): (u64, u64)) -> Result<(), Ended> {
        let through = self.lanes.settle(first, last);
        if through >= self.sync.outbox.next() {
            return Err(Ended::Protocol("that it has what was not sent"));
        }
        if through > self.forgotten {
            self.sync.outbox.acknowledge(through).await?;
            self.forgotten = through;
        }
        Ok(())
    }

    /// Takes what the coordinator wishes.
    pub(super) fn settle(&mut self, settings: &proto::Settings) {
        if settings.window_bytes > 0 {
            self.window_bytes = settings.window_bytes;
        }
        let wish = settings.sync_interval_millis;
        let wish = (wish > 0).then(|| Duration::from_millis(wish.clamp(1_000, 3_600_000)));
        self.sync.interval.send_if_modified(|interval| {
            let changed = *interval != wish;
            *interval = wish;
            changed
        });
    }
}
