//! A load of the bench kit (remote-write bodies in a file) as what agents would send of it: for each
//! node its series, and a batch of blocks for each sync.

use std::collections::{BTreeMap, HashMap};
use std::hash::RandomState;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use remote::{Decoded, Memory, RAW_BYTES_MAX, Version};
use series::{Block, Column, Labels, MetricKind, Rows};
use wire::proto;

/// Length of the body, samples, shard, flags and length before compression.
const HEAD_BYTES: usize = 16;
/// More label sets than any load has.
const SERIES_MAX: usize = 4 << 20;

/// What one agent sends.
#[derive(Debug)]
pub struct Sender {
    /// Its name.
    pub node: String,
    /// The names of its series, encoded.
    pub definitions: Vec<u8>,
    /// One for each sync, oldest first.
    pub batches: Vec<proto::Batch>,
    /// Samples in them.
    pub samples: u64,
}

/// Times and values of one series.
type Samples = (Vec<i64>, Vec<f64>);

/// Reads a load and packs it into batches of `sync_millis`, a sender for each value of the label
/// `node`.
///
/// # Errors
/// When the file is not a load, or not in order of time.
pub fn senders(path: &Path, sync_millis: i64) -> Result<Vec<Sender>> {
    let bytes = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    let mut nodes: BTreeMap<String, Node> = BTreeMap::new();
    // Where each series is kept: its node and its place there.
    let mut places: Vec<(String, usize)> = Vec::new();
    let mut memory = Memory::new(SERIES_MAX, &RandomState::new());
    let (mut buffer, mut decoded) = (Vec::new(), Decoded::<u32>::default());
    let mut rest = bytes.as_slice();
    while let Some((head, after)) = rest.split_first_chunk::<HEAD_BYTES>() {
        let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let (body, after) = after.split_at_checked(length).context("a body is cut")?;
        rest = after;
        let raw = remote::decompress(body, RAW_BYTES_MAX, &mut buffer)?;
        remote::decode(Version::V1, raw, &memory, &mut decoded)?;
        if decoded.has_unknown() {
            let mut ids = Vec::new();
            for (labels, kind) in decoded.take_unknown() {
                let name = labels.get("node").to_owned();
                let node = nodes.entry(name.clone()).or_default();
                ids.push(u32::try_from(places.len()).ok());
                places.push((name, node.series.len()));
                node.series.push((labels, kind));
                node.columns.push(Samples::default());
            }
            decoded.settle(ids);
            memory.learn(&decoded);
        }
        let found = decoded.samples();
        for ((id, time), value) in found.ids.iter().zip(found.times).zip(found.values) {
            let (node, place) = &places[*id as usize];
            let node = nodes.get_mut(node).context("a series without its node")?;
            let (times, values) = &mut node.columns[*place];
            ensure!(times.last().is_none_or(|last| last < time), "out of order");
            times.push(*time);
            values.push(*value);
        }
    }
    let nodes = nodes.into_iter();
    Ok(nodes
        .map(|(name, node)| node.pack(name, sync_millis))
        .collect())
}

#[derive(Default)]
struct Node {
    series: Vec<(Labels, MetricKind)>,
    columns: Vec<Samples>,
}

impl Node {
    fn pack(self, node: String, sync_millis: i64) -> Sender {
        let (labels, kinds): (Vec<_>, Vec<_>) = self.series.into_iter().unzip();
        let mut definitions = Vec::new();
        codec::encode_labels_list(&labels, &kinds, &mut definitions);
        let mut cursors = vec![0; self.columns.len()];
        let ends = self.columns.iter().filter_map(|(times, _)| times.last());
        let last = ends.copied().max().unwrap_or(0) / sync_millis;
        let starts = self.columns.iter().filter_map(|(times, _)| times.first());
        let first = starts.copied().min().unwrap_or(0) / sync_millis;
        let mut batches = Vec::new();
        for sync in first..=last {
            let end = (sync + 1) * sync_millis;
            // What shares its times is one target.
            let mut targets: HashMap<&[i64], (Vec<u32>, Vec<Column>)> = HashMap::new();
            for (place, (times, values)) in self.columns.iter().enumerate() {
                let start = cursors[place];
                let count = times[start..].partition_point(|time| *time < end);
                cursors[place] += count;
                if count == 0 {
                    continue;
                }
                let (refs, columns) = targets.entry(&times[start..start + count]).or_default();
                refs.push(u32::try_from(place).unwrap_or(u32::MAX));
                columns.push(Column {
                    rows: Rows::All,
                    values: values[start..start + count].into(),
                });
            }
            let blocks = targets.into_iter().map(|(times, (series_refs, columns))| {
                let times = times.to_vec();
                let mut bytes = Vec::new();
                codec::encode_block(&Block { times, columns }, &mut bytes);
                proto::Block {
                    series_refs,
                    columns: bytes.into(),
                }
            });
            batches.push(proto::Batch {
                sequence: batches.len() as u64 + 1,
                blocks: blocks.collect(),
                ..proto::Batch::default()
            });
        }
        Sender {
            node,
            definitions,
            batches,
            samples: self
                .columns
                .iter()
                .map(|(times, _)| times.len() as u64)
                .sum(),
        }
    }
}
