//! PromQL over a thousand series and an hour of steps, from a source that costs next to nothing.

use std::sync::Arc;

use criterion::{Criterion, Throughput};
use query::source::{Budget, EachSeries, Selected, SeriesSlice, SeriesSource, SourceError};
use query::{Engine, Options};
use series::{Labels, Matcher, TimeRange, Timestamp};

const SERIES: usize = 1_000;
const STEPS: i64 = 240;
const STEP_MILLIS: i64 = 15_000;
/// What `[5m]` reads before the first step.
const BEFORE: i64 = 20;

/// Hands out the same series whatever is asked, cut to the range, without copying what lies inside.
struct Prepared {
    series: Vec<SeriesSlice>,
}

impl Prepared {
    /// Counters with the labels of a fleet: 100 nodes, 10 buckets each.
    fn new() -> Self {
        let times: Arc<[i64]> = (-BEFORE..=STEPS).map(|row| row * STEP_MILLIS).collect();
        let mut rng = fleet::rng::Rng::new(3, 0);
        let series = (0..SERIES).map(|index| {
            let (node, bucket) = (format!("node-{}", index / 10), index % 10);
            let le = if bucket == 9 {
                "+Inf".to_owned()
            } else {
                format!("0.{bucket}")
            };
            let labels = Labels::with_name(
                "vllm:time_to_first_token_seconds_bucket",
                &[("node", &node), ("le", &le), ("job", "vllm")],
            );
            let mut count = 0.0;
            let values = times.iter().map(|_| {
                count += (rng.unit() * 20.0 * (bucket + 1) as f64).floor();
                count
            });
            SeriesSlice {
                labels: Arc::new(labels.expect("these are plain labels")),
                times: Arc::clone(&times),
                values: values.collect::<Vec<f64>>().into(),
            }
        });
        Self {
            series: series.collect(),
        }
    }

    fn samples(&self) -> u64 {
        self.series
            .iter()
            .map(|series| series.times.len() as u64)
            .sum()
    }
}

impl SeriesSource for Prepared {
    fn select_each(
        &self,
        _: &[Matcher],
        range: TimeRange,
        budget: &Budget,
        each: &mut EachSeries<'_>,
    ) -> Result<Selected, SourceError> {
        budget.charge_series(self.series.len() as u64)?;
        budget.charge_samples(self.samples())?;
        // The queries here read all there is, so nothing has to be cut away.
        let all = self.series.iter().flat_map(|series| series.times.iter());
        debug_assert!(
            all.copied()
                .all(|time| range.contains(Timestamp::from_millis(time)))
        );
        self.series.iter().cloned().try_for_each(each)?;
        Ok(Selected::default())
    }
}

fn query(criterion: &mut Criterion) {
    let source = Prepared::new();
    let engine = Engine::new(Options::default());
    let mut group = criterion.benchmark_group("query/1000 series x 240 steps");
    group.throughput(Throughput::Elements(source.samples()));
    for text in [
        "vllm:time_to_first_token_seconds_bucket",
        "rate(vllm:time_to_first_token_seconds_bucket[5m])",
        "sum by (le) (rate(vllm:time_to_first_token_seconds_bucket[5m]))",
        "histogram_quantile(0.99, sum by (le) (rate(vllm:time_to_first_token_seconds_bucket[5m])))",
    ] {
        let short = text.replace("vllm:time_to_first_token_seconds_bucket", "x");
        group.bench_function(short, |bencher| {
            bencher.iter(|| {
                let (start, end) = (
                    Timestamp::default(),
                    Timestamp::from_millis(STEPS * STEP_MILLIS),
                );
                engine
                    .range(&source, text, start, end, STEP_MILLIS, &engine.budget())
                    .expect("the query is well formed and within bounds")
            });
        });
    }
    group.finish();
}

fn main() {
    let mut criterion = benches::criterion();
    query(&mut criterion);
    criterion.final_summary();
}
