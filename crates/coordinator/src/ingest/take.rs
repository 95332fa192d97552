//! What comes on the bulk lane and must become durable: batches, and words of their loss.

use std::num::NonZeroU64;
use std::sync::Arc;

use store::{Arrival, ArrivedBlock, Mark, SeriesId};
use tonic::Status;
use wire::ingest::{Batch, Loss};
use wire::proto;

use super::future::{Future, lead_millis};
use super::left_out::LeftOut;
use super::stream::{About, Pending, Stream};
use super::{Breach, draining};
use crate::fleet::Received;
use crate::losses;
use crate::metrics::Refused;

/// Why an agent of before has skipped sequences: it does not say.
const MISSING: &str = "missing";

impl Stream<'_> {
    /// Checks a batch and hands it to the writer. A block that cannot be used, and samples of the future,
    /// are left out and counted; the rest of the batch is taken.
    pub(super) async fn take(&mut self, batch: proto::Batch) -> Result<Pending, Status> {
        let arrived = self.ingest.clock.monotonic();
        let batch = Batch::try_from(batch)
            .map_err(|error| self.wrong(Breach::Message, &error.to_string()))?;
        let sequence = batch.sequence.get();
        if let Some(clocks) = batch.clocks {
            let was_set = self.skew.note(&clocks, self.ingest.clock.wall_millis());
            let offset_millis = self.skew.offset_millis();
            self.connection.clock_offset(offset_millis);
            if was_set {
                let agent = &self.hello.agent_id;
                tracing::warn!(%agent, offset_millis, "the clock of an agent was set");
            }
        }
        let mut received = Received {
            batches: 1,
            ..Received::default()
        };
        let mut cells_left = series::limits::BLOCK_SAMPLES_MAX;
        let mut left_out = LeftOut::default();
        let mut blocks = Vec::with_capacity(batch.blocks.len());
        for block in batch.blocks {
            received.bytes += block.columns.len() as u64;
            match self.check(block, cells_left, &mut left_out) {
                Ok(block) if block.block.times.is_empty() || block.series.is_empty() => {}
                Ok(block) => {
                    let newest = block.block.times.last().copied();
                    received.newest_sample_millis = received.newest_sample_millis.max(newest);
                    received.samples += block.block.sample_count() as u64;
                    let cells = block.block.times.len() * block.block.columns.len();
                    cells_left = cells_left.saturating_sub(cells);
                    blocks.push(block);
                }
                Err((why, reason)) => {
                    self.ingest.metrics.refused(why).inc();
                    let agent = &self.hello.agent_id;
                    tracing::error!(%agent, sequence, reason, "a block of a batch was refused");
                    left_out.refusal = Some(reason);
                }
            }
        }
        self.ingest.metrics.received_bytes.add(received.bytes);
        (received.future, received.homeless) = (left_out.future.samples, left_out.homeless);
        self.tell_of_future(sequence, left_out.future);
        let refusal = left_out.refusal().filter(|_| blocks.is_empty());
        let arrival = Arrival {
            mark: Some(self.mark(batch.first_sequence.get(), sequence)),
            note: self.note_of_batch(&left_out, batch.thinned, &blocks),
            generation: self.generation,
            blocks,
            samples: store::Samples::default(),
        };
        let about = About::Batch { sequence, refusal };
        self.submit(arrival, about, received, arrived).await
    }

    /// What is to be noted of a batch that is not here as its agent made it.
    fn note_of_batch(
        &self,
        left_out: &LeftOut,
        is_thinned: bool,
        blocks: &[ArrivedBlock],
    ) -> Option<store::Note> {
        let reason = left_out.reason(!blocks.is_empty());
        let reason = reason.or_else(|| is_thinned.then_some(losses::THINNED))?;
        self.ingest.metrics.lost(reason).inc();
        let (offset, now) = (self.skew.offset_millis(), self.ingest.clock.wall_millis());
        let span = left_out.span(offset, now).or_else(|| span_of(blocks));
        let (agent, epoch) = (&self.hello.agent_id, self.hello.epoch.get());
        Some(losses::note_of_batch(agent, epoch, reason, span, now))
    }

    /// Hands on the word of a loss.
    pub(super) async fn lose(&mut self, loss: proto::Loss) -> Result<Pending, Status> {
        let loss = Loss::try_from(loss)
            .map_err(|error| self.wrong(Breach::Message, &error.to_string()))?;
        self.settle_lost(loss.sequences.into_inner(), &loss.reason, loss.span)
            .await
    }

    /// The same of what an agent of before has skipped: it sends in order and says nothing of losses.
    pub(super) async fn lose_skipped(&mut self, sequence: u64) -> Result<Option<Pending>, Status> {
        let before = match &mut self.in_order {
            Some(last) => last.replace(sequence),
            None => None,
        };
        let first = before.unwrap_or(sequence).saturating_add(1);
        if first >= sequence {
            return Ok(None);
        }
        let mut pending = self
            .settle_lost((first, sequence - 1), MISSING, None)
            .await?;
        pending.about = About::Nothing;
        Ok(Some(pending))
    }

    /// Hands sequences that will never come to the writer.
    pub(super) async fn settle_lost(
        &self,
        (first, last): (u64, u64),
        reason: &str,
        span: Option<(i64, i64)>,
    ) -> Result<Pending, Status> {
        let settled = self.settled();
        let batches = settled
            .missing(first, last)
            .map(|(first, last)| last - first + 1);
        let batches = batches.sum();
        if batches > 0 {
            self.ingest.metrics.lost(reason).add(batches);
            tracing::error!(
                agent = %self.hello.agent_id,
                first,
                last,
                reason,
                batches,
                "batches of an agent are lost"
            );
        }
        let arrival = Arrival {
            mark: Some(self.mark(first, last)),
            note: Some(self.note(reason, span)),
            generation: self.generation,
            ..Arrival::default()
        };
        let arrived = self.ingest.clock.monotonic();
        let about = About::Loss { first, last };
        self.submit(arrival, about, Received::default(), arrived)
            .await
    }

    fn note(&self, reason: &str, span: Option<(i64, i64)>) -> store::Note {
        let now = self.ingest.clock.wall_millis();
        let (agent, epoch) = (&self.hello.agent_id, self.hello.epoch.get());
        losses::note(agent, epoch, reason, span, now)
    }

    fn mark(&self, first: u64, last: u64) -> (String, Mark) {
        let mark = Mark {
            epoch: self.hello.epoch.get(),
            first,
            last,
            base: self.hello.oldest_sequence.map_or(first, NonZeroU64::get),
        };
        (self.hello.agent_id.as_str().to_owned(), mark)
    }

    async fn submit(
        &self,
        arrival: Arrival,
        about: About,
        received: Received,
        arrived: std::time::Duration,
    ) -> Result<Pending, Status> {
        let share = usize::try_from(received.samples).unwrap_or(usize::MAX);
        let share = u32::try_from(share.min(super::DECODED_SAMPLES_MAX)).unwrap_or(u32::MAX);
        let decoded = Arc::clone(&self.ingest.decoded)
            .acquire_many_owned(share)
            .await;
        let decoded = decoded.map_err(|_closed| draining())?;
        let verdict = self.ingest.writer.submit_in(Some(decoded), arrival).await;
        Ok(Pending {
            about,
            arrived,
            verdict: verdict.map_err(|_stopped| draining())?,
            received,
        })
    }

    fn check(
        &self,
        block: wire::ingest::Block,
        cells_max: usize,
        left_out: &mut LeftOut,
    ) -> Result<ArrivedBlock, (Refused, String)> {
        let mut decoded = codec::decode_block_within(&block.columns, cells_max)
            .map_err(|error| (Refused::Damaged, error.to_string()))?;
        let series: Option<Vec<Option<SeriesId>>> = block
            .series_refs
            .iter()
            .map(|number| self.dictionary.get(usize::try_from(*number).ok()?).copied())
            .collect();
        let unknown = |reason: &str| (Refused::UnknownSeries, reason.to_owned());
        let mut series = series.ok_or_else(|| unknown("names a series that was not defined"))?;
        if series.len() != decoded.columns.len() {
            return Err(unknown("names more or fewer series than it has columns"));
        }
        let is_cut = self.check_times(&mut decoded, &mut left_out.future)?;
        left_out.note_homeless(&series, &decoded);
        if is_cut {
            for (id, column) in series.iter_mut().zip(&decoded.columns) {
                *id = id.filter(|_| !column.values.is_empty());
            }
        }
        Ok(arrived(&series, block.columns, decoded, is_cut))
    }

    /// Cuts off what is of the future, and says whether there was such a thing.
    fn check_times(
        &self,
        block: &mut series::Block,
        future: &mut Future,
    ) -> Result<bool, (Refused, String)> {
        let now = self.ingest.clock.wall_millis();
        let (oldest, newest, lead) = {
            let config = self.ingest.config.borrow();
            let (oldest, newest) = config.sample_times(now);
            let future_max = config.ingest.future_max.as_duration();
            (
                oldest,
                newest,
                lead_millis(self.skew.offset_millis(), future_max),
            )
        };
        if let Some(first) = block.times.first().filter(|first| **first < oldest) {
            let reason = format!("holds a sample at {first}, before {oldest}");
            return Err((Refused::TimeOutOfRange, reason));
        }
        Ok(future.cut(block, newest.saturating_add(lead)))
    }

    /// Logs samples of the future, once a stream: they come with every batch.
    fn tell_of_future(&mut self, sequence: u64, future: Future) {
        if future.samples == 0 || std::mem::replace(&mut self.is_future_told, true) {
            return;
        }
        tracing::error!(
            agent = %self.hello.agent_id,
            sequence,
            samples = future.samples,
            offset_millis = self.skew.offset_millis(),
            "samples of the future are left out: the clock of the node or of a target is wrong"
        );
    }
}

/// The first and the last time in some blocks.
fn span_of(blocks: &[ArrivedBlock]) -> Option<(i64, i64)> {
    let times = blocks.iter().map(|block| &block.block.times);
    let first = times.clone().filter_map(|times| times.first()).min()?;
    let last = times.filter_map(|times| times.last()).max()?;
    Some((*first, *last))
}

/// A block without the columns of series that were refused when they were defined, or have nothing left.
fn arrived(
    series: &[Option<SeriesId>],
    received: bytes::Bytes,
    mut block: series::Block,
    is_cut: bool,
) -> ArrivedBlock {
    let known: Vec<SeriesId> = series.iter().copied().flatten().collect();
    if known.len() == series.len() && !is_cut {
        return ArrivedBlock {
            series: known,
            received,
            block,
        };
    }
    let mut is_known = series.iter().map(Option::is_some);
    block.columns.retain(|_| is_known.next().unwrap_or(false));
    let mut encoded = Vec::new();
    codec::encode_block(&block, &mut encoded);
    ArrivedBlock {
        series: known,
        received: encoded.into(),
        block,
    }
}
