//! What is sent on a stream of the bulk lane, and in which order.

use tokio::time::{Instant, sleep_until};
use tonic::Streaming;
use wire::Message as _;
use wire::proto;
use wire::proto::sync_request::Message;

use super::lanes::Lane;
use super::stream::{InFlight, Sent, Stream};
use super::{ANSWER_WITHIN, Ended};

/// Of the bytes of batches, how many more may tell what metrics mean: one in so many. A node's few
/// hundred texts weigh as much as some minutes of its samples; so they take half an hour.
const TELLING_SHARE: u64 = 8;
/// Most bytes of one such message.
const TELLING_BYTES_MAX: u64 = 256 * 1024;

/// Of the window, how much may be what was missed: there is always room for what is new.
const BACKFILL_SHARE: u64 = 2;
/// Most bytes under way while memory is tight.
const WINDOW_TIGHT_BYTES: u64 = 1 << 20;
/// Most bytes of what was missed that go before it is looked whether there is something new.
const BACKFILL_BYTES_AT_ONCE: u64 = 256 * 1024;
/// Most losses that are under way.
const LOSSES_MAX: usize = 16;

/// Why a record of the spool does not decode.
type Undecodable = Box<dyn std::error::Error + Send + Sync>;

impl Stream<'_> {
    /// Sends losses, what is new and then what was missed, until the window is full or the spool is
    /// empty; `true` when the window, or the coordinator's word, is what stopped what is new. Answers are read meanwhile, so that
    /// neither side waits for the other.
    pub(super) async fn send_what_fits(
        &mut self,
        answers: &mut Streaming<proto::SyncResponse>,
    ) -> Result<bool, Ended> {
        loop {
            if self.has_to_wait() {
                return Ok(true);
            }
            self.send_losses(answers).await?;
            let window_bytes = self.window();
            let room = window_bytes.saturating_sub(self.in_flight_bytes);
            if room == 0 || self.outgrown {
                return Ok(true);
            }
            let newest = (self.lanes.live(), u64::MAX);
            if self.send_some(Lane::Live, newest, room, answers).await? {
                continue;
            }
            let share = window_bytes / BACKFILL_SHARE;
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
            if sequence > last || self.outgrown || (any && self.has_to_wait()) {
                break;
            }
            any = true;
            if self.lanes.has_passed(sequence) {
                self.lanes.passed(lane, sequence);
            } else if record.is_empty() {
                // Another record says it, which may be behind those that were read.
                self.send_joined(lane, sequence, answers).await?;
                break;
            } else {
                self.send(lane, (sequence, sequence), &record, answers)
                    .await?;
                self.lanes.passed(lane, sequence);
            }
        }
        Ok(any)
    }

    /// Sends the record that says what those from `first` on said, before thinning made them one: the next
    /// that is not empty. It is sent even if the coordinator has settled its own sequence, since that may
    /// have been before.
    async fn send_joined(
        &mut self,
        lane: Lane,
        first: u64,
        answers: &mut Streaming<proto::SyncResponse>,
    ) -> Result<(), Ended> {
        let mut next = first;
        loop {
            let records = self.sync.outbox.read_from(next, 1).await?;
            let Some((sequence, record)) = records.into_iter().next() else {
                return self
                    .pass_over(lane, (first, next - 1), "damaged", answers)
                    .await;
            };
            let follows = sequence == next;
            if follows && record.is_empty() {
                next += 1;
                continue;
            }
            let batch = proto::SpooledBatch::decode(record.as_slice());
            let says_it = batch.is_ok_and(|it| (1..=first).contains(&it.first_sequence));
            if !(follows && says_it) {
                return self
                    .pass_over(lane, (first, next - 1), "damaged", answers)
                    .await;
            }
            self.send(lane, (first, sequence), &record, answers).await?;
            self.lanes.passed(lane, sequence);
            return Ok(());
        }
    }

    /// Says what is lost.
    async fn send_losses(
        &mut self,
        answers: &mut Streaming<proto::SyncResponse>,
    ) -> Result<(), Ended> {
        if self.in_order {
            return Ok(());
        }
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

    /// Bytes that may be under way.
    fn window(&self) -> u64 {
        if self.sync.pace.is_tight() {
            self.window_bytes.min(WINDOW_TIGHT_BYTES)
        } else {
            self.window_bytes
        }
    }

    pub(super) fn is_sent(&mut self, what: Sent, bytes: u64) {
        if self.in_flight.is_empty() {
            self.heard = Instant::now();
        }
        self.in_flight.push_back(InFlight {
            what,
            bytes,
            at: self.sync.identity.clock.monotonic(),
        });
        self.in_flight_bytes += bytes;
        if let Sent::Batch(Lane::Backfill, ..) = what {
            self.backfill_bytes += bytes;
        }
    }

    pub(super) async fn send(
        &mut self,
        lane: Lane,
        (first, sequence): (u64, u64),
        record: &[u8],
        answers: &mut Streaming<proto::SyncResponse>,
    ) -> Result<(), Ended> {
        self.sending = Some((first, sequence));
        let bytes = record.len() as u64;
        let mut definitions = Vec::new();
        let numbered = self.numbered(record, &mut definitions);
        let metrics = &self.sync.metrics;
        // Numbers that were given are said even if the rest of the record does not decode: those
        // given next follow on them.
        for definition in definitions {
            let bytes = definition.encoded_len() as u64;
            metrics.sent_bytes.add(bytes);
            metrics.defined_bytes.add(bytes);
            self.request(Message::Definitions(definition), answers)
                .await?;
        }
        self.tell(answers).await?;
        let (blocks, thinned) = match numbered {
            Ok(numbered) => numbered,
            Err(error) => {
                self.sending = None;
                self.sync.metrics.undecodable.inc();
                let error = crate::chain(error.as_ref());
                tracing::error!(sequence, error, "a record of the spool does not decode");
                let range = (first, sequence);
                return self.pass_over(lane, range, "undecodable", answers).await;
            }
        };
        let clock = &self.sync.identity.clock;
        let batch = proto::Batch {
            sequence,
            blocks,
            backfill: lane == Lane::Backfill,
            thinned,
            first_sequence: if first < sequence { first } else { 0 },
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
        self.is_sent(Sent::Batch(lane, first, sequence), bytes);
        self.sending = None;
        let is_tight = self.sync.pace.is_tight();
        self.outgrown |= self.dictionary.outgrown(is_tight);
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

    /// Leaves out records that no stream can send, and says that they are lost.
    async fn pass_over(
        &mut self,
        lane: Lane,
        (first, last): (u64, u64),
        reason: &str,
        answers: &mut Streaming<proto::SyncResponse>,
    ) -> Result<(), Ended> {
        tracing::error!(first, last, reason, "records of the spool are passed over");
        self.lanes.passed(lane, last);
        if self.in_order {
            return match self.in_flight.is_empty() {
                true => self.settled((first, last)).await,
                false => Ok(()),
            };
        }
        let span = self.sync.outbox.span_around(first, last).await;
        let (first_millis, last_millis) = span.unwrap_or_default();
        let message = proto::Loss {
            first_sequence: first,
            last_sequence: last,
            reason: reason.to_owned(),
            first_millis,
            last_millis,
        };
        self.request(Message::Loss(message), answers).await?;
        self.is_sent(Sent::Unsendable(first, last), 0);
        Ok(())
    }

    /// Tells the coordinator which rules run, if it has another word on that.
    pub(super) async fn tell_rules(
        &mut self,
        answers: &mut Streaming<proto::SyncResponse>,
    ) -> Result<(), Ended> {
        let said = self.sync.rules.said();
        if !self.gives_rules || self.rules_told == Some(said.revision) {
            return Ok(());
        }
        self.rules_told = Some(said.revision);
        self.request(Message::RulesRun(said.run.clone()), answers)
            .await
    }

    /// Sends one message, reading answers while the stream does not take it.
    pub(super) async fn request(
        &mut self,
        message: Message,
        answers: &mut Streaming<proto::SyncResponse>,
    ) -> Result<(), Ended> {
        let requests = self.requests.clone();
        let began = Instant::now();
        loop {
            tokio::select! {
                permit = requests.reserve() => {
                    let Ok(permit) = permit else {
                        return self.why_closed(answers).await;
                    };
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
}
