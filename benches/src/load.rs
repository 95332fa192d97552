//! What an inference node says, simulated: the pages of its vLLM server and its DCGM exporter.

use std::collections::HashMap;

use agent::collect::scrape::text::{Format, Limits, parse};
use fleet::node::{Node, Settings};
use fleet::rng::Rng;
use series::{Block, Column, Labels, LabelsBuilder, MetricKind, Rows, Snapshot, Timestamp, Values};

/// Series of one node, as many as `node_exporter` shows on a small machine.
pub const SERIES: usize = 500;
/// Rows of a block: a minute at five seconds.
pub const ROWS: usize = 12;
/// Seconds between two rows.
pub const EVERY_SECONDS: u32 = 5;

/// The date of the first row: 2026-01-05T09:00:00Z, a Monday with daytime load.
pub const START_MILLIS: i64 = 1_767_603_600_000;
/// How long the node has been running by then, so that all its counters have moved.
const WARM_SECONDS: u32 = 900;

/// What one node said at one instant.
#[derive(Clone, Debug)]
pub struct Round {
    /// When, a few milliseconds off the grid as in life.
    pub at: Timestamp,
    /// [`SERIES`] samples.
    pub snapshot: Snapshot,
}

fn node(index: usize) -> Node {
    let settings = Settings {
        seed: 1,
        load: 1.0,
        gpus: 8,
        unix_seconds: Timestamp::from_millis(START_MILLIS).as_secs_f64() - f64::from(WARM_SECONDS),
    };
    Node::new(index, &settings)
}

/// The vLLM page of a node that has been running for a while.
#[must_use]
pub fn vllm_page() -> String {
    let mut node = node(0);
    node.advance(f64::from(WARM_SECONDS));
    node.vllm_page()
}

/// `count` rounds of the node with this index.
///
/// # Panics
/// When the simulated pages hold fewer than [`SERIES`] samples, which would be a change of the
/// simulation that these benches must follow.
#[must_use]
pub fn rounds(index: usize, count: usize) -> Vec<Round> {
    let mut node = node(index);
    let mut jitter = Rng::new(2, index as u64);
    let mut rounds: Vec<Round> = Vec::with_capacity(count);
    for round in 0..u32::try_from(count).unwrap_or(u32::MAX) {
        let seconds = f64::from(round * EVERY_SECONDS);
        node.advance(f64::from(WARM_SECONDS) + seconds);
        let page = node.vllm_page() + &node.dcgm_page();
        let mut snapshot = parse(page.as_bytes(), Format::Text, &Limits::default()).snapshot;
        assert!(snapshot.samples.len() >= SERIES, "the pages are too short");
        // A series that is new in between would push another one out.
        match rounds.first() {
            None => snapshot.samples.truncate(SERIES),
            Some(first) => keep(&mut snapshot, &first.snapshot),
        }
        let late = Timestamp::from_secs_f64(seconds + jitter.between(0.0, 0.006));
        rounds.push(Round {
            at: Timestamp::from_millis(START_MILLIS + late.as_millis()),
            snapshot,
        });
    }
    rounds
}

/// Leaves the samples whose series are in `first`.
fn keep(snapshot: &mut Snapshot, first: &Snapshot) {
    let known: std::collections::HashSet<&Labels> =
        first.samples.iter().map(|sample| &sample.labels).collect();
    snapshot
        .samples
        .retain(|sample| known.contains(&sample.labels));
}

/// A block with the series of its columns.
#[derive(Clone, Debug)]
pub struct NamedBlock {
    /// The series, in column order.
    pub series: Vec<(Labels, MetricKind)>,
    /// The columns.
    pub block: Block,
}

impl NamedBlock {
    /// The columns of these rounds, each series with the further label `node`.
    ///
    /// # Panics
    /// When a series cannot take that label: those of the simulation can.
    #[must_use]
    pub fn of(rounds: &[Round], node: &str) -> Self {
        let first = rounds.first().map(|round| &round.snapshot.samples[..]);
        let names = first.unwrap_or_default();
        let columns_of: HashMap<&Labels, usize> = names
            .iter()
            .enumerate()
            .map(|(at, sample)| (&sample.labels, at))
            .collect();
        let mut flags = vec![vec![false; rounds.len()]; names.len()];
        let mut values = vec![Values::new(); names.len()];
        for (row, round) in rounds.iter().enumerate() {
            for sample in &round.snapshot.samples {
                let Some(&column) = columns_of.get(&sample.labels) else {
                    continue;
                };
                flags[column][row] = true;
                values[column].push(sample.value);
            }
        }
        let columns = flags.iter().zip(values).map(|(flags, values)| Column {
            rows: Rows::from_flags(flags),
            values,
        });
        let series = names.iter().map(|sample| {
            let mut builder = LabelsBuilder::from_labels(&sample.labels);
            builder.set("node", node);
            let labels = builder.build().expect("a short label more is no problem");
            let kind = if sample.labels.metric_name().ends_with("_total") {
                MetricKind::Counter
            } else {
                MetricKind::Gauge
            };
            (labels, kind)
        });
        Self {
            series: series.collect(),
            block: Block {
                times: rounds.iter().map(|round| round.at.as_millis()).collect(),
                columns: columns.collect(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_of_a_node_is_a_valid_block_that_moves_and_is_the_same_every_time() {
        let minute = rounds(0, ROWS);
        let named = NamedBlock::of(&minute, "sim-1");
        named.block.validate().unwrap();
        assert_eq!(named.series.len(), SERIES);
        assert_eq!(named.block.sample_count(), SERIES * ROWS);
        let moving = named.block.columns.iter().filter(|column| {
            let values = &column.values;
            values
                .windows(2)
                .any(|pair| !series::same_bits(pair[0], pair[1]))
        });
        assert!(moving.count() > SERIES / 10);
        assert_eq!(named.block, NamedBlock::of(&rounds(0, ROWS), "sim-1").block);
    }
}
