//! What a stream is kept to: its agent's quota, and an age.

use std::time::Duration;

use tokio::time::Instant;
use tonic::Status;
use wire::proto;
use wire::proto::sync_response::Message as Answer;

use super::quota::Rates;
use super::stream::{Answers, Stream, send};

/// Longest wait for the sake of a quota at a time.
pub(super) const QUOTA_WAIT_MAX: Duration = Duration::from_secs(60);
/// How long an agent that was asked to open another stream may take.
const MOVE_WITHIN: Duration = Duration::from_secs(60);

/// How old the stream may become.
pub(super) struct Age {
    /// Whether there is a bound.
    pub(super) is_bounded: bool,
    /// When it is reached.
    pub(super) ends: Instant,
    /// Whether the agent was asked to open another.
    is_told: bool,
}

impl Age {
    pub(super) fn of(stream: &Stream<'_>) -> Self {
        let most = stream.config.borrow().ingest.stream_age_max.as_duration();
        // Agents that connected together do not come back together: give or take a tenth.
        let epoch = stream.hello.epoch.get() ^ stream.settled().last();
        let share = epoch.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let share = u32::try_from(share).map_or(0.5, f64::from) / f64::from(u32::MAX);
        Self {
            // An agent of before does not know what to make of it.
            is_bounded: !most.is_zero() && stream.in_order.is_none(),
            ends: Instant::now() + most.mul_f64(0.9 + 0.2 * share),
            is_told: false,
        }
    }
}

impl Stream<'_> {
    /// Takes what was sent from the agent's quota; tells it to wait, and gives until when, if it sent more.
    pub(super) async fn keep_to_quota(
        &self,
        sent: (u64, u64),
        answers: &Answers,
    ) -> Result<Instant, Status> {
        let rates = {
            let config = &self.config.borrow().ingest;
            Rates {
                samples: config.samples_per_second_max,
                bytes: config.bytes_per_second_max.as_u64(),
            }
        };
        let now = Instant::now();
        let Some((wait, bound)) = self.connection.charge(sent, rates) else {
            return Ok(now);
        };
        self.ingest.metrics.over_quota.inc();
        let wait = wait.min(QUOTA_WAIT_MAX);
        let slow = proto::SlowDown {
            wait_millis: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
            reason: format!("it sends more than {bound}"),
            backfill_only: false,
        };
        send(answers, Answer::SlowDown(slow)).await?;
        Ok(now + wait)
    }

    /// Asks the agent to open another stream; ends this one if it does not.
    pub(super) async fn grow_old(&self, age: &mut Age, answers: &Answers) -> Result<(), Status> {
        if std::mem::replace(&mut age.is_told, true) {
            return Err(Status::aborted("the stream is too old; open another"));
        }
        age.ends = Instant::now() + MOVE_WITHIN;
        self.ingest.metrics.moved.inc();
        let reason = "ingest.stream_age_max".to_owned();
        send(answers, Answer::Move(proto::Move { reason })).await
    }
}
