//! Thinning: what a batch of the spool says, in about one sample a minute for each series.
//!
//! - A gauge becomes its mean, under its own name, and its least and greatest value, as the series
//!   `<name>:min_1m` and `<name>:max_1m`: named as recording rules are, so that a sum over the name
//!   stays right.
//! - A counter, a part of a histogram or summary and whatever else is there keeps its last value. Where a
//!   counter was reset, the values before and after it are kept too, so that its increase stays right.
//! - A stale marker is kept, and the samples before and after it do not become one.
//! - A mean of values of which one is NaN is NaN; the least and greatest are those of the others, as
//!   in `PromQL`. A mean is rounded to two decimals more than its values have.
//!
//! A sample stands in the last row of its minute, or before the stale marker that ended it. Minutes
//! count from the first row of a block: a batch is cut at some point of a clock's minute, and of each
//! half it would keep one.
//!
//! What takes most of a small batch is the names of its series. So the batches that come one after
//! another become one that says them once, under the sequence of the last, and says from which sequence on;
//! the others are left empty. The coordinator may have some of them already, as they were; what is
//! missing is then sent by that one, and it gets those minutes again as means. Batches that would not
//! take fewer bytes so stay as they are.

mod column;
mod group;

use std::collections::HashMap;

use bytes::Bytes;
use foldhash::fast::FixedState;
use series::{Block, Labels, LabelsBuilder, MetricKind, PARTS};
use spool::{Span, hull};
use wire::Message;
use wire::proto::SpooledBatch;

use column::{Rule, Thin, thin_block};
use group::Group;

/// What becomes one sample.
const MINUTE_MILLIS: u64 = 60_000;
/// Lists of names that are remembered between batches. A node has about as many as targets.
const LISTS_MAX: usize = 256;
/// Ends of the names of the series that a gauge's least and greatest values get.
const ENDS: [&str; 2] = [":min_1m", ":max_1m"];

/// The first and the last time in a batch of the spool.
#[must_use]
pub fn span_of(record: &[u8]) -> Option<Span> {
    span_of_batch(&SpooledBatch::decode(record).ok()?)
}

fn span_of_batch(batch: &SpooledBatch) -> Option<Span> {
    if (batch.first_millis, batch.last_millis) != (0, 0) {
        return Some((batch.first_millis, batch.last_millis));
    }
    // A batch of before it was said.
    let blocks = batch.blocks.iter();
    blocks
        .filter_map(|block| codec::decode_block(&block.columns).ok())
        .map(|block| span_of_block(&block))
        .fold(None, hull)
}

/// The first and the last time of a block.
pub(crate) fn span_of_block(block: &Block) -> Option<Span> {
    Some((*block.times.first()?, *block.times.last()?))
}

/// Thins batches, one after another.
#[derive(Debug, Default)]
pub struct Thinner {
    /// What is known of each list of names.
    lists: HashMap<Bytes, Option<Series>, FixedState>,
}

/// The series of a block.
#[derive(Debug)]
pub(crate) struct Series {
    /// What is to be done with each, in column order.
    rules: Vec<Rule>,
    /// The last value of each in the batch before: a counter may be reset between two.
    last: Vec<f64>,
    /// Their names, and those of the least and greatest values behind them.
    list: Bytes,
}

/// A batch before it is joined with others: each block's list of names and its samples.
struct Loose {
    blocks: Vec<(Bytes, Thin)>,
    span: Option<Span>,
}

impl Thinner {
    /// What is to stand in the place of records that follow one another; none for those that stay as
    /// they are, which are also those that are thin already or do not decode.
    pub fn thin(&mut self, records: &[(u64, &[u8])]) -> Vec<Option<Vec<u8>>> {
        let mut thin = vec![None; records.len()];
        let mut group = Group::default();
        for (index, (sequence, record)) in records.iter().enumerate() {
            let loose = self.loose(record);
            // One that stays ends the group: a batch stands for sequences without a hole.
            if loose.as_ref().is_none_or(|loose| !group.takes(loose)) {
                std::mem::take(&mut group).close(&mut thin);
            }
            if let Some(loose) = loose {
                group.add((index, *sequence), record.len(), loose);
            }
        }
        group.close(&mut thin);
        thin
    }

    fn loose(&mut self, record: &[u8]) -> Option<Loose> {
        let batch = SpooledBatch::decode(record).ok()?;
        if batch.thinned || batch.blocks.is_empty() {
            return None;
        }
        let span = span_of_batch(&batch);
        let blocks = batch.blocks.iter().map(|block| {
            let series = self.series(&block.series_list)?;
            let whole = codec::decode_block(&block.columns).ok()?;
            let fits = whole.columns.len() == series.rules.len();
            fits.then(|| {
                let thin = thin_block(&whole, &series.rules, &mut series.last);
                (series.list.clone(), thin)
            })
        });
        Some(Loose {
            blocks: blocks.collect::<Option<_>>()?,
            span,
        })
    }

    fn series(&mut self, list: &Bytes) -> Option<&mut Series> {
        if !self.lists.contains_key(list) {
            if self.lists.len() >= LISTS_MAX {
                self.lists.clear();
            }
            self.lists.insert(list.clone(), series_of(list));
        }
        self.lists.get_mut(list)?.as_mut()
    }
}

/// What a list of names says; none when it cannot be thinned.
fn series_of(list: &Bytes) -> Option<Series> {
    let list = codec::decode_labels_list(list).ok()?;
    let (mut labels, mut kinds): (Vec<Labels>, Vec<MetricKind>) = list.into_iter().unzip();
    let ends_as_ours = |labels: &Labels| ENDS.iter().any(|end| labels.metric_name().ends_with(end));
    if labels.iter().any(ends_as_ours) {
        // Somebody else's series of that name would be said twice.
        return None;
    }
    let names = labels.iter().zip(&kinds);
    let rules: Vec<Rule> = names
        .map(|(labels, kind)| rule(labels.metric_name(), *kind))
        .collect();
    let gauges: Vec<Labels> = labels
        .iter()
        .zip(&rules)
        .filter(|(_, rule)| **rule == Rule::Mean)
        .map(|(labels, _)| labels.clone())
        .collect();
    for end in ENDS {
        for gauge in &gauges {
            let mut named = LabelsBuilder::from_labels(gauge);
            named.set("__name__", &format!("{}{end}", gauge.metric_name()));
            labels.push(named.build().ok()?);
            kinds.push(MetricKind::Gauge);
        }
    }
    let mut list = Vec::new();
    codec::encode_labels_list(&labels, &kinds, &mut list);
    Some(Series {
        last: vec![f64::NAN; rules.len()],
        rules,
        list: list.into(),
    })
}

fn rule(name: &str, kind: MetricKind) -> Rule {
    let is_part = || PARTS.iter().any(|part| name.ends_with(part));
    match kind {
        MetricKind::Gauge => Rule::Mean,
        MetricKind::Counter => Rule::LastAndResets,
        MetricKind::Histogram | MetricKind::Summary if is_part() => Rule::LastAndResets,
        // What nobody declared counts as a counter if it is named as one: of a gauge every fall would
        // be kept.
        MetricKind::Unknown if is_part() || name.ends_with("_total") => Rule::LastAndResets,
        MetricKind::Histogram
        | MetricKind::Summary
        | MetricKind::Unknown
        | MetricKind::GaugeHistogram
        | MetricKind::Info
        | MetricKind::StateSet => Rule::Last,
    }
}

#[cfg(test)]
mod tests;
