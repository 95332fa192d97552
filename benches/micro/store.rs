//! The store: making batches durable, turning them into chunks, reading them back.

use std::cell::RefCell;

use benches::load::{NamedBlock, ROWS, rounds};
use bytes::Bytes;
use criterion::measurement::WallTime;
use criterion::{BatchSize, BenchmarkGroup, Criterion, Throughput};
use series::{MatchOp, Matcher, TimeRange};
use store::engine::Engine;
use store::engine::memory::Memory;
use store::engine::rocks::{Rocks, RocksConfig};
use store::{Arrival, ArrivedBlock, Mark, Meter, Samples, SeriesId, Store};
use tempfile::TempDir;

/// Commits into one store before a fresh one takes its place, so that the head stays of a size.
const COMMITS_PER_STORE: u64 = 500;
/// Minutes that a flush turns into chunks.
const FLUSH_MINUTES: usize = 20;

/// A store in memory, or on the disk that the build lies on: a folder for temporary files is often
/// in memory, where a sync costs nothing.
struct Opened {
    store: Store,
    // Dropped after the store.
    _folder: Option<TempDir>,
}

#[derive(Clone, Copy)]
enum On {
    Memory,
    Disk,
}

impl On {
    fn open(self) -> Opened {
        let (engine, folder): (Box<dyn Engine>, _) = match self {
            Self::Memory => (Box::new(Memory::default()), None),
            Self::Disk => {
                let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR"))
                    .expect("the folder of the build can be written to");
                let rocks = Rocks::open(folder.path(), RocksConfig::default())
                    .expect("a database in an empty folder");
                (Box::new(rocks), Some(folder))
            }
        };
        let (store, _) = Store::open(engine).expect("an empty database opens");
        Opened {
            store,
            _folder: folder,
        }
    }
}

/// What one node sends: its block of a minute, sent again and again under later times.
struct Sender {
    agent: String,
    named: NamedBlock,
    received: Bytes,
}

impl Sender {
    fn new(agent: String, named: NamedBlock) -> Self {
        let mut received = Vec::new();
        codec::encode_block(&named.block, &mut received);
        Self {
            agent,
            named,
            received: received.into(),
        }
    }

    fn define(&self, store: &Store) -> Vec<SeriesId> {
        let defined = store.define(&self.named.series);
        let ids = defined
            .expect("there are ids for a few thousand series")
            .ids;
        ids.into_iter().flatten().collect()
    }

    /// The batch of minute `minute`, from 1 on.
    fn arrival(&self, store: &Store, ids: &[SeriesId], minute: u64) -> Arrival {
        let mut block = self.named.block.clone();
        let later = i64::try_from(minute).unwrap_or(i64::MAX) * 60_000;
        block.times.iter_mut().for_each(|time| *time += later);
        Arrival {
            mark: Some((
                self.agent.clone(),
                Mark {
                    epoch: 1,
                    first: minute,
                    last: minute,
                    base: 1,
                },
            )),
            note: None,
            generation: store.generation(),
            blocks: vec![ArrivedBlock {
                series: ids.to_vec(),
                received: self.received.clone(),
                block,
            }],
            samples: Samples::default(),
        }
    }
}

/// `count` nodes of four kinds.
fn senders(count: usize) -> Vec<Sender> {
    let kinds: Vec<_> = (0..4).map(|index| rounds(index, ROWS)).collect();
    (0..count)
        .map(|index| {
            let agent = format!("sim-{}", index + 1);
            let named = NamedBlock::of(&kinds[index % kinds.len()], &agent);
            Sender::new(agent, named)
        })
        .collect()
}

/// Commits of one minute of all `senders` in one call, which is one sync.
fn commit(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, on: On, senders: &[Sender]) {
    let samples: usize = senders
        .iter()
        .map(|sender| sender.named.block.sample_count())
        .sum();
    group.throughput(Throughput::Elements(samples as u64));
    group.bench_function(name, |bencher| {
        // Shared by the two closures, which run one after the other.
        let opened = RefCell::new(on.open());
        let mut ids: Vec<Vec<SeriesId>> = Vec::new();
        let mut minute = 0;
        let arrivals = |store: &Store, ids: &[Vec<SeriesId>], minute| -> Vec<Arrival> {
            let pairs = senders.iter().zip(ids);
            pairs
                .map(|(sender, ids)| sender.arrival(store, ids, minute))
                .collect()
        };
        bencher.iter_batched(
            || {
                if minute * senders.len() as u64 >= COMMITS_PER_STORE {
                    *opened.borrow_mut() = on.open();
                    minute = 0;
                }
                let store = &opened.borrow().store;
                if minute == 0 {
                    ids = senders.iter().map(|sender| sender.define(store)).collect();
                    // The first commit also writes the names of all series.
                    minute = 1;
                    let first = store.commit(arrivals(store, &ids, minute));
                    first.expect("the disk takes it");
                }
                minute += 1;
                arrivals(store, &ids, minute)
            },
            |arrivals| {
                let outcomes = opened.borrow().store.commit(arrivals);
                outcomes.expect("the disk takes it")
            },
            BatchSize::PerIteration,
        );
    });
}

fn commits(criterion: &mut Criterion) {
    let senders = senders(50);
    let mut group = criterion.benchmark_group("store/commit of batches 12x500");
    commit(&mut group, "1, memory", On::Memory, &senders[..1]);
    commit(&mut group, "1, RocksDB, synced", On::Disk, &senders[..1]);
    commit(&mut group, "50, RocksDB, synced once", On::Disk, &senders);
    group.finish();
}

/// A store with so many minutes of all `senders` in its head.
fn filled(on: On, senders: &[Sender], minutes: usize) -> Opened {
    let opened = on.open();
    let mut arrivals = Vec::new();
    for sender in senders {
        let ids = sender.define(&opened.store);
        let minutes = 1..=minutes as u64;
        arrivals.extend(minutes.map(|minute| sender.arrival(&opened.store, &ids, minute)));
    }
    opened.store.commit(arrivals).expect("the disk takes it");
    opened
}

fn flush(criterion: &mut Criterion) {
    let senders = senders(4);
    let mut group = criterion.benchmark_group("store/flush of 4 nodes x 500 series x 240 rows");
    group.sample_size(10);
    let samples = filled(On::Memory, &senders, FLUSH_MINUTES)
        .store
        .statistics()
        .head_samples;
    group.throughput(Throughput::Elements(samples));
    for (name, on) in [("memory", On::Memory), ("RocksDB", On::Disk)] {
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || filled(on, &senders, FLUSH_MINUTES),
                |opened| {
                    let flushed = opened.store.flush().expect("the disk takes it");
                    (flushed, opened)
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

/// A read without bounds.
struct Unbounded;

impl Meter for Unbounded {
    fn series(&self, _: u64) -> bool {
        true
    }

    fn samples(&self, _: u64) -> bool {
        true
    }
}

fn select(criterion: &mut Criterion) {
    let senders = senders(100);
    let opened = filled(On::Disk, &senders, FLUSH_MINUTES);
    let equal = |name: &str, value: &str| {
        Matcher::new(name, MatchOp::Equal, value).expect("an equality always compiles")
    };
    let metric = equal(series::labels::METRIC_NAME, "vllm:num_requests_running");
    let questions = [
        ("one series", vec![metric.clone(), equal("node", "sim-7")]),
        ("one metric of 100 nodes", vec![metric]),
    ];
    let mut group = criterion.benchmark_group("store/select of 240 rows among 50000 series");
    for place in ["head", "chunks in RocksDB"] {
        for (name, matchers) in &questions {
            let select = || {
                let selection = opened.store.select(matchers, TimeRange::ALL, &Unbounded);
                selection.expect("the disk can be read")
            };
            let samples: usize = select()
                .series
                .iter()
                .map(|series| series.values.len())
                .sum();
            assert!(samples > 0, "{name} finds nothing");
            group.throughput(Throughput::Elements(samples as u64));
            group.bench_function(format!("{name}, {place}"), |bencher| bencher.iter(select));
        }
        opened.store.flush().expect("the disk takes it");
    }
    group.finish();
}

fn main() {
    let mut criterion = benches::criterion();
    commits(&mut criterion);
    flush(&mut criterion);
    select(&mut criterion);
    criterion.final_summary();
}
