//! A batch at which the coordinator ends the stream, each time that it is sent.
//!
//! What the coordinator can read and not use it refuses by a message, and goes on. What it cannot even take
//! for a batch ends the stream, and would be sent again for ever, with all that waits behind it. So the
//! batch without an answer when a stream was ended for what was said is sent by itself on the next one,
//! before anything else is said there: if that is taken, something else was to blame. If it ends the stream
//! again and again, it is told as lost and passed over.

use tokio::time::{sleep_until, timeout};
use tonic::{Code, Status, Streaming};
use wire::proto;
use wire::proto::sync_request::Message;

use super::lanes::Lane;
use super::stream::{Sent, Stream};
use super::{ANSWER_WITHIN, Ended, WELCOME_WITHIN};

/// How often a batch ends a stream by itself before it is passed over: once might be a coordinator of
/// another version that is about to be replaced.
const TIMES_MAX: u32 = 3;
/// Why it is lost, as the coordinator is told. A reason of its own would be refused by those of before.
pub(super) const REASON: &str = "undecodable";

/// The batch that may be what the coordinator cannot take; kept from one stream to the next.
#[derive(Debug, Default)]
pub(super) struct Suspicion(Option<Suspect>);

#[derive(Clone, Copy, Debug)]
struct Suspect {
    /// The first and the last sequence that it stands for.
    range: (u64, u64),
    /// How often it ended a stream on which there was nothing else.
    times: u32,
}

impl Stream<'_> {
    /// Sends the batch that is suspected, if there is one, and waits for its answer: the stream then ends.
    pub(super) async fn try_suspect(
        &mut self,
        answers: &mut Streaming<proto::SyncResponse>,
    ) -> Result<(), Ended> {
        let Some(Suspect { range, times }) = self.suspicion.0 else {
            return Ok(());
        };
        let records = self.sync.outbox.read_from(range.1, 1).await?;
        let mut records = records.into_iter();
        let record = records.find(|(sequence, it)| *sequence == range.1 && !it.is_empty());
        // By now it may be settled, thinned into another, or lost.
        let Some((_, record)) = record.filter(|_| !self.lanes.has_passed(range.0)) else {
            self.suspicion.0 = None;
            return Ok(());
        };
        self.is_trial = true;
        if times < TIMES_MAX {
            self.send(Lane::Live, range, &record, answers).await?;
        } else {
            self.give_up(range, &record, answers).await?;
        }
        while !self.in_flight.is_empty() {
            tokio::select! {
                answer = answers.message() => self.answered(answer?).await?,
                () = sleep_until(self.heard + ANSWER_WITHIN) => {
                    return Err(Ended::Silent(ANSWER_WITHIN));
                }
            }
        }
        self.suspicion.0 = None;
        // The lanes know nothing of it: another stream begins with what is settled now.
        Err(Ended::Tried)
    }

    /// Says that a batch is lost, which the coordinator does not take.
    async fn give_up(
        &mut self,
        (first, last): (u64, u64),
        record: &[u8],
        answers: &mut Streaming<proto::SyncResponse>,
    ) -> Result<(), Ended> {
        self.sync.metrics.refused.inc();
        tracing::error!(
            first,
            last,
            times = TIMES_MAX,
            "the coordinator ends the stream whenever a batch is sent, which is passed over"
        );
        let (first_millis, last_millis) = crate::thin::span_of(record).unwrap_or_default();
        let message = proto::Loss {
            first_sequence: first,
            last_sequence: last,
            reason: REASON.to_owned(),
            first_millis,
            last_millis,
        };
        self.request(Message::Loss(message), answers).await?;
        self.is_sent(Sent::Unsendable(first, last), 0);
        Ok(())
    }

    /// Takes note of how the stream was ended.
    pub(super) fn note_end(&mut self, status: &Status) {
        // The second is what a message is that is too large.
        let is_refusal = matches!(status.code(), Code::InvalidArgument | Code::OutOfRange);
        // A coordinator of before answers several at once: which it refused is not known.
        if !is_refusal || self.in_order {
            return;
        }
        if self.is_trial {
            if let Some(suspect) = &mut self.suspicion.0 {
                suspect.times += 1;
            }
            return;
        }
        // Answers come in order, so it is the first without one. What precedes a batch is part of it.
        let range = match self.in_flight.front().map(|it| it.what) {
            Some(Sent::Batch(_, first, last)) => Some((first, last)),
            Some(Sent::Loss(_) | Sent::Unsendable(..)) => None,
            None => self.sending,
        };
        self.suspicion.0 = range.map(|range| Suspect { range, times: 0 });
    }

    /// Why the coordinator takes nothing more on this stream: its answers say it.
    pub(super) async fn why_closed(
        &mut self,
        answers: &mut Streaming<proto::SyncResponse>,
    ) -> Result<(), Ended> {
        let all = async {
            loop {
                let answer = answers.message().await?;
                self.answered(answer).await?;
            }
        };
        let why = timeout(WELCOME_WITHIN, all).await;
        why.unwrap_or(Err(Ended::Closed))
    }
}
