//! Reading a vLLM page: the text alone, and a whole scrape after the first.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use agent::collect::scrape::fetch::{Fetched, Fetcher};
use agent::collect::scrape::scraper::Answer;
use agent::collect::scrape::text::parse;
use agent::collect::scrape::{Format, Limits, Scraper, StatsHandle, Target};
use criterion::{BatchSize, Criterion, Throughput};
use daemon::clock::SystemClock;
use series::Timestamp;

/// A page captured from a real server where the shared folder has one, else a simulated one. The
/// name says which, because their numbers do not compare.
fn page() -> (&'static str, Vec<u8>) {
    let shared = std::env::var_os("VEDETTE_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared"),
        PathBuf::from,
    );
    match std::fs::read(shared.join("data/prom_captures/vllm/vllm_metrics.txt")) {
        Ok(page) => ("captured vLLM page", page),
        Err(_) => (
            "simulated vLLM page",
            benches::load::vllm_page().into_bytes(),
        ),
    }
}

fn scrape(criterion: &mut Criterion) {
    let (name, body) = page();
    let limits = Limits::default();
    let samples = parse(&body, Format::Text, &limits).snapshot.samples.len();
    let mut group = criterion.benchmark_group(format!("scrape/{name}, {samples} samples"));
    group.throughput(Throughput::Elements(samples as u64));
    group.bench_function("parse", |bencher| {
        bencher.iter(|| parse(&body, Format::Text, &limits));
    });
    let target = Target::new("127.0.0.1:8000", "vllm").expect("a plain address");
    let fetcher = Fetcher::new(1 << 26).expect("main has installed a TLS provider");
    let clock = SystemClock::shared();
    let stats = StatsHandle::default();
    let mut scraper = Scraper::new(Arc::new(target), fetcher, clock, limits, stats);
    let mut at = Timestamp::default();
    group.bench_function("scrape of known series", |bencher| {
        bencher.iter_batched(
            || {
                at = at + Duration::from_secs(5);
                let (format, body) = (Format::Text, body.clone());
                Answer {
                    at,
                    duration: Duration::ZERO,
                    fetched: Ok(Fetched { format, body }),
                }
            },
            |answer| scraper.read(answer),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

fn main() {
    rustls::crypto::ring::default_provider()
        .install_default()
        .expect("nothing has installed another one");
    let mut criterion = benches::criterion();
    scrape(&mut criterion);
    criterion.final_summary();
}
