//! One stream of the bulk lane, from its welcome to its end.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tonic::Streaming;
use wire::Message as _;
use wire::proto;
use wire::proto::sync_request::Message;
use wire::proto::sync_response::Message as Answer;

use super::dictionary::Dictionary;
use super::{ANSWER_WITHIN, Bulk, Ended};

/// Window until the coordinator says another.
const WINDOW_BYTES: u64 = 4 << 20;

/// Of the bytes of batches, how many more may tell what metrics mean: one in so many. A node's few
/// hundred texts weigh as much as some minutes of its samples; so they take half an hour.
const TELLING_SHARE: u64 = 8;
/// Most bytes of one such message.
const TELLING_BYTES_MAX: u64 = 256 * 1024;

/// A batch that is sent and not yet acknowledged.
struct InFlight {
    sequence: u64,
    bytes: u64,
    sent: Duration,
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
    in_flight: VecDeque<InFlight>,
    in_flight_bytes: u64,
    window_bytes: u64,
    /// The next sequence to read from the spool.
    next: u64,
    /// When the coordinator answered last, or something first had to wait for its answer.
    heard: Instant,
    /// Nothing more is sent: the stream ends when all is acknowledged.
    outgrown: bool,
    /// Set when the stream has been of use.
    useful: &'a mut bool,
}

/// Why a record of the spool does not decode.
type Undecodable = Box<dyn std::error::Error + Send + Sync>;

impl<'a> Stream<'a> {
    /// A stream that begins after `durable`. It sets `useful` when the coordinator has taken
    /// something.
    pub(super) fn new(
        sync: &'a Bulk,
        requests: mpsc::Sender<proto::SyncRequest>,
        durable: u64,
        useful: &'a mut bool,
    ) -> Self {
        Self {
            sync,
            requests,
            dictionary: Dictionary::default(),
            told: 0,
            telling_bytes: 0,
            in_flight: VecDeque::new(),
            in_flight_bytes: 0,
            window_bytes: WINDOW_BYTES,
            next: durable.saturating_add(1),
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
            let all_sent = self.sync.outbox.is_closed() && self.in_flight.is_empty();
            if all_sent && self.sync.outbox.pending() == 0 {
                return Ok(());
            }
            if self.outgrown && self.in_flight.is_empty() {
                return Err(Ended::Outgrown);
            }
            tokio::select! {
                answer = answers.message() => self.answered(answer?).await?,
                () = self.sync.outbox.fresh().notified(), if !more => {}
                () = sleep_until(self.heard + ANSWER_WITHIN), if !self.in_flight.is_empty() => {
                    return Err(Ended::Silent(ANSWER_WITHIN));
                }
            }
        }
    }

    /// Sends from the spool until the window is full or the spool is empty; `true` when the window
    /// is what stopped it. Answers are read meanwhile, so that neither side waits for the other.
    async fn send_what_fits(
        &mut self,
        answers: &mut Streaming<proto::SyncResponse>,
    ) -> Result<bool, Ended> {
        loop {
            let room = self.window_bytes.saturating_sub(self.in_flight_bytes);
            if room == 0 || self.outgrown {
                return Ok(true);
            }
            let room = usize::try_from(room).unwrap_or(usize::MAX);
            let records = self.sync.outbox.read_from(self.next, room).await?;
            if records.is_empty() {
                return Ok(false);
            }
            for (sequence, record) in records {
                self.send(sequence, &record, answers).await?;
                self.next = sequence + 1;
                if self.outgrown {
                    break;
                }
            }
        }
    }

    async fn send(
        &mut self,
        sequence: u64,
        record: &[u8],
        answers: &mut Streaming<proto::SyncResponse>,
    ) -> Result<(), Ended> {
        let bytes = record.len() as u64;
        let mut definitions = Vec::new();
        let blocks = self.numbered(record, &mut definitions);
        let metrics = &self.sync.metrics;
        // Numbers that were given are said even if the rest of the record does not decode: those
        // given next follow on them.
        for definition in definitions {
            metrics.sent_bytes.add(definition.encoded_len() as u64);
            self.request(Message::Definitions(definition), answers)
                .await?;
        }
        self.tell(answers).await?;
        let blocks = match blocks {
            Ok(blocks) => blocks,
            Err(error) => return self.pass_over(sequence, error).await,
        };
        let batch = proto::Batch { sequence, blocks };
        let sent_bytes = batch.encoded_len() as u64;
        metrics.sent_bytes.add(sent_bytes);
        metrics.sent_batches.inc();
        self.telling_bytes = TELLING_BYTES_MAX.min(self.telling_bytes + sent_bytes / TELLING_SHARE);
        self.request(Message::Batch(batch), answers).await?;
        if self.in_flight.is_empty() {
            self.heard = Instant::now();
        }
        let sent = self.sync.identity.clock.monotonic();
        self.in_flight.push_back(InFlight {
            sequence,
            bytes,
            sent,
        });
        self.in_flight_bytes += bytes;
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

    /// The blocks of a record with their series as numbers, and what has to be defined first.
    fn numbered(
        &mut self,
        record: &[u8],
        definitions: &mut Vec<proto::SeriesDefinitions>,
    ) -> Result<Vec<proto::Block>, Undecodable> {
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
        Ok(blocks)
    }

    /// Leaves out a record that no stream can send. It is acknowledged with those before it.
    async fn pass_over(&mut self, sequence: u64, error: Undecodable) -> Result<(), Ended> {
        self.sync.metrics.undecodable.inc();
        tracing::error!(
            sequence,
            error = crate::chain(error.as_ref()),
            "a record of the spool does not decode and is passed over"
        );
        if self.in_flight.is_empty() {
            self.sync.outbox.acknowledge(sequence).await?;
        }
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
                self.acknowledged(acknowledgement.through_sequence).await
            }
            Some(Answer::Refusal(refusal)) => {
                self.sync.metrics.refused.inc();
                tracing::error!(
                    sequence = refusal.sequence,
                    reason = refusal.reason,
                    "the coordinator refused a batch for good"
                );
                self.acknowledged(refusal.sequence).await
            }
            Some(Answer::Settings(settings)) => {
                self.settle(&settings);
                Ok(())
            }
            Some(Answer::SlowDown(slow)) => {
                tracing::warn!(
                    millis = slow.wait_millis,
                    reason = slow.reason,
                    "told to wait"
                );
                tokio::time::sleep(Duration::from_millis(slow.wait_millis.min(60_000))).await;
                Ok(())
            }
            Some(Answer::Welcome(_)) => Err(Ended::Protocol("welcome twice")),
            None => Err(Ended::Protocol("an empty message")),
        }
    }

    async fn acknowledged(&mut self, sequence: u64) -> Result<(), Ended> {
        if sequence >= self.next {
            return Err(Ended::Protocol("that it has what was not sent"));
        }
        *self.useful = true;
        let now = self.sync.identity.clock.monotonic();
        while let Some(first) = self
            .in_flight
            .front()
            .filter(|batch| batch.sequence <= sequence)
        {
            self.sync
                .metrics
                .acknowledge_seconds
                .record(now.saturating_sub(first.sent));
            self.sync.metrics.acknowledged.inc();
            self.in_flight_bytes = self.in_flight_bytes.saturating_sub(first.bytes);
            self.in_flight.pop_front();
        }
        // With nothing in flight, what lies between this and the next to send was passed over.
        let through = if self.in_flight.is_empty() {
            self.next - 1
        } else {
            sequence
        };
        Ok(self.sync.outbox.acknowledge(through).await?)
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
