//! One stream of the bulk lane, from its welcome to its end.

use std::collections::VecDeque;
use std::time::Duration;

use spool::Loss;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tonic::Streaming;
use wire::Message as _;
use wire::proto;
use wire::proto::sync_request::Message;
use wire::proto::sync_response::Message as Answer;

use super::dictionary::Dictionary;
use super::lanes::{Lane, Lanes};
use super::{ANSWER_WITHIN, Bulk, Ended};

/// Window until the coordinator says another.
const WINDOW_BYTES: u64 = 4 << 20;

/// Of the bytes of batches, how many more may tell what metrics mean: one in so many. A node's few
/// hundred texts weigh as much as some minutes of its samples; so they take half an hour.
const TELLING_SHARE: u64 = 8;
/// Most bytes of one such message.
const TELLING_BYTES_MAX: u64 = 256 * 1024;

/// Of the window, how much may be what was missed: there is always room for what is new.
const BACKFILL_SHARE: u64 = 2;
/// Most bytes of what was missed that go before it is looked whether there is something new.
const BACKFILL_BYTES_AT_ONCE: u64 = 256 * 1024;
/// Most losses that are under way.
const LOSSES_MAX: usize = 16;

/// What is sent and not yet answered.
struct InFlight {
    what: Sent,
    bytes: u64,
    at: Duration,
}

/// What was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    Batch(Lane, u64),
    Loss(Loss),
    /// One record does not decode; the spool does not count it as lost.
    Undecodable(u64),
}

/// One stream to the coordinator.
pub(super) struct Stream<'a> {
    sync: &'a Bulk,
    requests: mpsc::Sender<proto::SyncRequest>,
    dictionary: Dictionary,
    /// Where to go on telling what metrics mean.
    told: u64,
    /// Bytes that telling it may take by now.
    telling_bytes: u64,
    lanes: Lanes,
    /// What the spool was told that it may forget.
    forgotten: u64,
    in_flight: VecDeque<InFlight>,
    in_flight_bytes: u64,
    /// Of these, what was missed.
    backfill_bytes: u64,
    window_bytes: u64,
    /// Until when what was missed has to wait.
    backfill_from: Instant,
    /// When the coordinator answered last, or something first had to wait for its answer.
    heard: Instant,
    /// Nothing more is sent: the stream ends when all is acknowledged, and another begins.
    outgrown: bool,
    /// Set when the stream has been of use.
    useful: &'a mut bool,
}

/// Why a record of the spool does not decode.
type Undecodable = Box<dyn std::error::Error + Send + Sync>;

impl<'a> Stream<'a> {
    /// A stream that sends what `lanes` say. It sets `useful` when the coordinator has taken something.
    pub(super) fn new(
        sync: &'a Bulk,
        requests: mpsc::Sender<proto::SyncRequest>,
        lanes: Lanes,
        useful: &'a mut bool,
    ) -> Self {
        Self {
            sync,
            requests,
            dictionary: Dictionary::default(),
            told: 0,
            telling_bytes: 0,
            lanes,
            forgotten: 0,
            in_flight: VecDeque::new(),
            in_flight_bytes: 0,
            backfill_bytes: 0,
            window_bytes: WINDOW_BYTES,
            backfill_from: Instant::now(),
            heard: Instant::now(),
            outgrown: false,
            useful,
        }
    }

    /// Runs until the outbox is closed and empty.
    pub(super) async fn run(
        &mut self,
        answers: &mut Streaming<proto::SyncResponse>,
    ) -> Result<(), Ended> {
        loop {
            let more = self.send_what_fits(answers).await?;
            let outbox = &self.sync.outbox;
            let all_sent = outbox.is_closed() && self.in_flight.is_empty();
            if all_sent && outbox.pending() == 0 && outbox.losses().is_empty() {
                return Ok(());
            }
            if self.outgrown && self.in_flight.is_empty() {
                return Err(Ended::Outgrown);
            }
            let waits = self.backfill_from > Instant::now() && self.lanes.backfill().is_some();
            tokio::select! {
                answer = answers.message() => self.answered(answer?).await?,
                () = self.sync.outbox.fresh().notified(), if !more => {}
                () = sleep_until(self.backfill_from), if waits => {}
                () = sleep_until(self.heard + ANSWER_WITHIN), if !self.in_flight.is_empty() => {
                    return Err(Ended::Silent(ANSWER_WITHIN));
                }
            }
        }
    }

    /// Sends losses, what is new and then what was missed, until the window is full or the spool is
    /// empty; `true` when the window is what stopped what is new. Answers are read meanwhile, so that
    /// neither side waits for the other.
    async fn send_what_fits(
        &mut self,
        answers: &mut Streaming<proto::SyncResponse>,
    ) -> Result<bool, Ended> {
        loop {
            self.send_losses(answers).await?;
            let room = self.window_bytes.saturating_sub(self.in_flight_bytes);
            if room == 0 || self.outgrown {
                return Ok(true);
            }
            let newest = (self.lanes.live(), u64::MAX);
            if self.send_some(Lane::Live, newest, room, answers).await? {
                continue;
            }
            let share = self.window_bytes / BACKFILL_SHARE;
            let room = room.min(share.saturating_sub(self.backfill_bytes));
            let range = self.lanes.backfill();
            let Some(range) = range.filter(|_| room > 0 && self.backfill_from <= Instant::now())
            else {
                return Ok(false);
            };
            let room = room.min(BACKFILL_BYTES_AT_ONCE);
            if !self.send_some(Lane::Backfill, range, room, answers).await? {
                // There is nothing of it in the spool: it is lost, and that is said.
                self.lanes.passed(Lane::Backfill, range.1);
            }
        }
    }

    /// Sends some records of a range; `false` when there are none.
    async fn send_some(
        &mut self,
        lane: Lane,
        (first, last): (u64, u64),
        room: u64,
        answers: &mut Streaming<proto::SyncResponse>,
    ) -> Result<bool, Ended> {
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        let records = self.sync.outbox.read_from(first, room).await?;
        let mut any = false;
        for (sequence, record) in records {
            if sequence > last || self.outgrown {
                break;
            }
            any = true;
            if !self.lanes.has_passed(sequence) {
                self.send(lane, sequence, &record, answers).await?;
            }
            self.lanes.passed(lane, sequence);
        }
        Ok(any)
    }

    /// Says what is lost.
    async fn send_losses(
        &mut self,
        answers: &mut Streaming<proto::SyncResponse>,
    ) -> Result<(), Ended> {
        for loss in self.sync.outbox.losses() {
            let under_way = self.in_flight.iter().filter_map(|sent| match sent.what {
                Sent::Loss(loss) => Some(loss),
                _ => None,
            });
            if under_way.clone().count() >= LOSSES_MAX {
                return Ok(());
            }
            if under_way.clone().any(|sent| sent == loss) {
                continue;
            }
            let (first_millis, last_millis) = loss.span.unwrap_or_default();
            let message = proto::Loss {
                first_sequence: loss.first,
                last_sequence: loss.last,
                reason: loss.reason.as_str().to_owned(),
                first_millis,
                last_millis,
            };
            self.request(Message::Loss(message), answers).await?;
            self.is_sent(Sent::Loss(loss), 0);
        }
        Ok(())
    }

    fn is_sent(&mut self, what: Sent, bytes: u64) {
        if self.in_flight.is_empty() {
            self.heard = Instant::now();
        }
        self.in_flight.push_back(InFlight {
            what,
            bytes,
            at: self.sync.identity.clock.monotonic(),
        });
        self.in_flight_bytes += bytes;
        if let Sent::Batch(Lane::Backfill, _) = what {
            self.backfill_bytes += bytes;
        }
    }

    async fn send(
        &mut self,
        lane: Lane,
        sequence: u64,
        record: &[u8],
        answers: &mut Streaming<proto::SyncResponse>,
    ) -> Result<(), Ended> {
        let bytes = record.len() as u64;
        let mut definitions = Vec::new();
        let numbered = self.numbered(record, &mut definitions);
        let metrics = &self.sync.metrics;
        // Numbers that were given are said even if the rest of the record does not decode: those
        // given next follow on them.
        for definition in definitions {
            metrics.sent_bytes.add(definition.encoded_len() as u64);
            self.request(Message::Definitions(definition), answers)
                .await?;
        }
        self.tell(answers).await?;
        let (blocks, thinned) = match numbered {
            Ok(numbered) => numbered,
            Err(error) => return self.pass_over(sequence, error, answers).await,
        };
        let clock = &self.sync.identity.clock;
        let batch = proto::Batch {
            sequence,
            blocks,
            backfill: lane == Lane::Backfill,
            thinned,
            clocks: Some(proto::Clocks {
                wall_millis: clock.wall_millis(),
                monotonic_millis: u64::try_from(clock.monotonic().as_millis()).unwrap_or(u64::MAX),
            }),
        };
        let sent_bytes = batch.encoded_len() as u64;
        metrics.sent_bytes.add(sent_bytes);
        metrics.sent_batches.inc();
        self.telling_bytes = TELLING_BYTES_MAX.min(self.telling_bytes + sent_bytes / TELLING_SHARE);
        self.request(Message::Batch(batch), answers).await?;
        self.is_sent(Sent::Batch(lane, sequence), bytes);
        self.outgrown |= self.dictionary.outgrown();
        Ok(())
    }

    /// Says what metrics mean, as far as it was not said on this stream, within its share.
    async fn tell(&mut self, answers: &mut Streaming<proto::SyncResponse>) -> Result<(), Ended> {
        let bytes_max = usize::try_from(self.telling_bytes).unwrap_or(usize::MAX);
        let (families, next) = self.sync.families.from(self.told, bytes_max);
        if families.is_empty() {
            return Ok(());
        }
        self.told = next;
        let mut none = Vec::new();
        codec::encode_labels_list(&[], &[], &mut none);
        let definitions = proto::SeriesDefinitions {
            first_ref: self.dictionary.next(),
            list: none.into(),
            families,
        };
        let bytes = definitions.encoded_len() as u64;
        self.telling_bytes = self.telling_bytes.saturating_sub(bytes);
        self.sync.metrics.sent_bytes.add(bytes);
        self.request(Message::Definitions(definitions), answers)
            .await
    }

    /// The blocks of a record with their series as numbers, whether it was thinned, and what has to be
    /// defined first.
    fn numbered(
        &mut self,
        record: &[u8],
        definitions: &mut Vec<proto::SeriesDefinitions>,
    ) -> Result<(Vec<proto::Block>, bool), Undecodable> {
        let spooled = proto::SpooledBatch::decode(record)?;
        let mut blocks = Vec::with_capacity(spooled.blocks.len());
        for block in spooled.blocks {
            let (series_refs, new) = self.dictionary.number(&block.series_list)?;
            definitions.extend(new);
            blocks.push(proto::Block {
                series_refs: series_refs.to_vec(),
                columns: block.columns,
            });
        }
        Ok((blocks, spooled.thinned))
    }

    /// Leaves out a record that no stream can send, and says that it is lost.
    async fn pass_over(
        &mut self,
        sequence: u64,
        error: Undecodable,
        answers: &mut Streaming<proto::SyncResponse>,
    ) -> Result<(), Ended> {
        self.sync.metrics.undecodable.inc();
        tracing::error!(
            sequence,
            error = crate::chain(error.as_ref()),
            "a record of the spool does not decode and is passed over"
        );
        let message = proto::Loss {
            first_sequence: sequence,
            last_sequence: sequence,
            reason: "undecodable".to_owned(),
            ..proto::Loss::default()
        };
        self.request(Message::Loss(message), answers).await?;
        self.is_sent(Sent::Undecodable(sequence), 0);
        Ok(())
    }

    /// Sends one message, reading answers while the stream does not take it.
    async fn request(
        &mut self,
        message: Message,
        answers: &mut Streaming<proto::SyncResponse>,
    ) -> Result<(), Ended> {
        let requests = self.requests.clone();
        let began = Instant::now();
        loop {
            tokio::select! {
                permit = requests.reserve() => {
                    let permit = permit.map_err(|_closed| Ended::Closed)?;
                    permit.send(proto::SyncRequest { message: Some(message) });
                    return Ok(());
                }
                answer = answers.message() => self.answered(answer?).await?,
                () = sleep_until(began.max(self.heard) + ANSWER_WITHIN) => {
                    return Err(Ended::Silent(ANSWER_WITHIN));
                }
            }
        }
    }

    async fn answered(&mut self, answer: Option<proto::SyncResponse>) -> Result<(), Ended> {
        let answer = answer.ok_or(Ended::Closed)?;
        let done = self.act_on(answer).await;
        // The time that the coordinator told us to wait is not its silence.
        self.heard = Instant::now();
        done
    }

    async fn act_on(&mut self, answer: proto::SyncResponse) -> Result<(), Ended> {
        match answer.message {
            Some(Answer::Acknowledgement(acknowledgement)) => {
                self.sync.metrics.acknowledged.inc();
                let through = acknowledgement.through_sequence;
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
            Some(Answer::SlowDown(slow)) => {
                self.slow_down(&slow).await;
                Ok(())
            }
            Some(Answer::Welcome(_)) => Err(Ended::Protocol("welcome twice")),
            None => Err(Ended::Protocol("an empty message")),
        }
    }

    async fn slow_down(&mut self, slow: &proto::SlowDown) {
        let wait = Duration::from_millis(slow.wait_millis.min(60_000));
        let backfill_only = slow.backfill_only;
        let reason = &slow.reason;
        tracing::warn!(
            wait_millis = slow.wait_millis,
            backfill_only,
            reason,
            "told to wait"
        );
        self.backfill_from = self.backfill_from.max(Instant::now() + wait);
        if !backfill_only {
            tokio::time::sleep(wait).await;
        }
    }

    /// The first that is under way is answered; gives it if it is what `is_meant` says.
    fn first_answered(&mut self, is_meant: impl Fn(Sent) -> bool) -> Result<InFlight, Ended> {
        let first = self.in_flight.pop_front();
        let first = first.filter(|sent| is_meant(sent.what));
        let first = first.ok_or(Ended::Protocol("that it has what was not sent next"))?;
        *self.useful = true;
        self.in_flight_bytes = self.in_flight_bytes.saturating_sub(first.bytes);
        if let Sent::Batch(Lane::Backfill, _) = first.what {
            self.backfill_bytes = self.backfill_bytes.saturating_sub(first.bytes);
        }
        Ok(first)
    }

    async fn batch_answered(&mut self, sequence: u64, through: u64) -> Result<(), Ended> {
        let is_meant = |sent| matches!(sent, Sent::Batch(_, it) if it == sequence);
        let first = self.first_answered(is_meant)?;
        let took = self
            .sync
            .identity
            .clock
            .monotonic()
            .saturating_sub(first.at);
        self.sync.metrics.acknowledge_seconds.record(took);
        self.lanes.settle(1, through);
        self.settled((sequence, sequence)).await
    }

    async fn loss_recorded(&mut self, (first, last): (u64, u64)) -> Result<(), Ended> {
        let is_meant = |sent| match sent {
            Sent::Loss(loss) => (loss.first, loss.last) == (first, last),
            Sent::Undecodable(sequence) => (sequence, sequence) == (first, last),
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
    async fn settled(&mut self, (first, last): (u64, u64)) -> Result<(), Ended> {
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
