//! The agent between collecting and spooling: taking in snapshots, and cutting a batch.

use std::sync::Arc;

use agent::batch::{Batcher, Gathered};
use benches::load::{ROWS, Round, SERIES, rounds};
use criterion::{BatchSize, Criterion, Throughput};
use series::Timestamp;

/// The rounds of one minute as they come from a collector, `minute` minutes later.
fn gathered(rounds: &[Round], labels: &Arc<[(String, String)]>, minute: i64) -> Vec<Gathered> {
    let of = |round: &Round| Gathered {
        divisor: None,
        unknown: Vec::new(),
        source: Arc::from("vllm"),
        labels: Arc::clone(labels),
        at: Timestamp::from_millis(round.at.as_millis() + minute * 60_000),
        snapshot: round.snapshot.clone(),
    };
    rounds.iter().map(of).collect()
}

fn batch(criterion: &mut Criterion) {
    let rounds = rounds(0, ROWS);
    let labels: Arc<[(String, String)]> = [("job".to_owned(), "vllm".to_owned())].into();
    let mut batcher = Batcher::new(vec![("node".to_owned(), "sim-1".to_owned())]);
    // The first minute meets every series for the first time; what is measured is the others.
    gathered(&rounds, &labels, 0)
        .into_iter()
        .for_each(|round| batcher.push(round));
    batcher.cut();
    let mut minute = 0;

    let mut group = criterion.benchmark_group("batch/12 snapshots of 500");
    group.throughput(Throughput::Elements((ROWS * SERIES) as u64));
    group.bench_function("push and cut", |bencher| {
        bencher.iter_batched(
            || {
                minute += 1;
                gathered(&rounds, &labels, minute)
            },
            |gathered| {
                gathered.into_iter().for_each(|round| batcher.push(round));
                batcher.cut()
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();

    let mut group = criterion.benchmark_group("batch/a new source of 500 series");
    group.throughput(Throughput::Elements(SERIES as u64));
    group.bench_function("push and cut", |bencher| {
        bencher.iter_batched(
            || (Batcher::new(Vec::new()), gathered(&rounds[..1], &labels, 0)),
            |(mut batcher, gathered)| {
                gathered.into_iter().for_each(|round| batcher.push(round));
                (batcher.cut(), batcher)
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

fn main() {
    let mut criterion = benches::criterion();
    batch(&mut criterion);
    criterion.final_summary();
}
