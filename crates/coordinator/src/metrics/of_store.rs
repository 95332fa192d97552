//! What the store says of itself.

use daemon::metrics::{MetricFamily, MetricKind};
use store::Store;

/// All of it.
pub(super) fn all(store: &Store) -> Vec<MetricFamily> {
    let statistics = store.statistics();
    let family =
        |(name, help, kind, value)| MetricFamily::new(name, help, kind).with(&[], float(value));
    let mut all = families(&statistics).map(family).to_vec();
    let mut files = MetricFamily::new(
        "vedette_coordinator_family_bytes",
        "Bytes of the database's files, by what they hold: windows are the roll-ups.",
        MetricKind::Gauge,
    );
    for (name, bytes) in store.family_bytes() {
        files.push(&[("family", name)], float(bytes));
    }
    all.push(files);
    all.push(refused_series(&statistics));
    all
}

/// Series that were not taken, by why.
fn refused_series(statistics: &store::Statistics) -> MetricFamily {
    let reasons = [
        ("memory", statistics.refused_series_total),
        ("agent", statistics.series_over_bound_total),
    ];
    let mut refused = MetricFamily::new(
        "vedette_coordinator_refused_series_total",
        "New series refused because store.memory has no room for them (memory), or their agent has ingest.series_per_agent_max (agent).",
        MetricKind::Counter,
    );
    for (reason, series) in reasons {
        refused.push(&[("reason", reason)], float(series));
    }
    refused
}

/// What the store says of itself: name, help, kind and value.
#[expect(clippy::too_many_lines, reason = "a list of names and what they mean")]
fn families(statistics: &store::Statistics) -> [(&'static str, &'static str, MetricKind, u64); 14] {
    use MetricKind::{Counter, Gauge};
    [
        (
            "vedette_coordinator_series",
            "Series in the index: those of the head and the newest days.",
            Gauge,
            statistics.series,
        ),
        (
            "vedette_coordinator_cold_series",
            "Series that are only in older days, whose labels are on disk and not in memory.",
            Gauge,
            statistics.cold_series,
        ),
        (
            "vedette_coordinator_head_samples",
            "Samples not yet in chunks.",
            Gauge,
            statistics.head_samples,
        ),
        (
            "vedette_coordinator_head_bytes",
            "Memory of the samples not yet in chunks, and of the journal behind them.",
            Gauge,
            statistics.head_bytes,
        ),
        (
            "vedette_coordinator_index_bytes",
            "Memory of the index of series.",
            Gauge,
            statistics.index_bytes,
        ),
        (
            "vedette_coordinator_groups",
            "Groups of series that share their times.",
            Gauge,
            statistics.groups,
        ),
        (
            "vedette_coordinator_runs",
            "Runs of chunks; a read looks into each that its range touches.",
            Gauge,
            statistics.runs,
        ),
        (
            "vedette_coordinator_chunk_samples",
            "Samples in chunks.",
            Gauge,
            statistics.chunk_samples,
        ),
        (
            "vedette_coordinator_chunk_bytes",
            "Bytes of chunks, keys and times included.",
            Gauge,
            statistics.chunk_bytes,
        ),
        (
            "vedette_coordinator_compacted_samples_total",
            "Samples packed anew by compactions.",
            Counter,
            statistics.compacted_samples_total,
        ),
        (
            "vedette_coordinator_column_cache_bytes",
            "Memory of columns of chunks that queries have unpacked.",
            Gauge,
            statistics.column_cache_bytes,
        ),
        (
            "vedette_coordinator_column_cache_hits_total",
            "Columns of chunks that queries found unpacked.",
            Counter,
            statistics.column_cache_hits_total,
        ),
        (
            "vedette_coordinator_column_cache_misses_total",
            "Columns of chunks that queries had to unpack.",
            Counter,
            statistics.column_cache_misses_total,
        ),
        (
            "vedette_coordinator_disk_bytes",
            "Bytes of the database.",
            Gauge,
            statistics.disk_bytes,
        ),
    ]
}

/// A count as a metric value; exact below 2^53.
#[expect(clippy::cast_precision_loss, reason = "counts stay below 2^53")]
fn float(count: u64) -> f64 {
    count as f64
}
