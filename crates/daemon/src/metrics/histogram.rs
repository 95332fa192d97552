//! A histogram of times with bounded error and fixed memory.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{LabelPairs, MetricSample, float_of};

/// Upper bounds of the buckets that are exposed, as the text of the label `le` in seconds and in
/// microseconds; `+Inf` follows. They go from what a disk write takes to what a person waits.
pub const BUCKETS: [(&str, u64); 19] = [
    ("0.0001", 100),
    ("0.00025", 250),
    ("0.0005", 500),
    ("0.001", 1_000),
    ("0.0025", 2_500),
    ("0.005", 5_000),
    ("0.01", 10_000),
    ("0.025", 25_000),
    ("0.05", 50_000),
    ("0.1", 100_000),
    ("0.25", 250_000),
    ("0.5", 500_000),
    ("1.0", 1_000_000),
    ("2.5", 2_500_000),
    ("5.0", 5_000_000),
    ("10.0", 10_000_000),
    ("30.0", 30_000_000),
    ("60.0", 60_000_000),
    ("300.0", 300_000_000),
];

/// The longest time that is told apart; longer ones are recorded as this long.
pub const LONGEST: Duration = Duration::from_secs(3600);

/// Decimal figures that are kept: a time is told apart from one that differs by 1 %.
pub const SIGNIFICANT_FIGURES: u8 = 2;

const LONGEST_MICROS: u64 = 3_600_000_000;

/// How long something took, many times. Clones share it.
///
/// It is an HDR histogram (G. Tene) of microseconds from 1 µs to [`LONGEST`] with
/// [`SIGNIFICANT_FIGURES`]: 26 KiB, and it never grows. The buckets that are exposed are sums of its
/// slots: a slot counts under a bound when the bound lies within it, so a value that is up to 1 %
/// above a bound may count under that bound. Sum and count are exact.
#[derive(Clone)]
pub struct Histogram(Arc<Mutex<State>>);

struct State {
    micros: hdrhistogram::Histogram<u64>,
    /// Exact sum of what was recorded; 2¹²⁸ ns is never reached.
    sum_nanos: u128,
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Histogram")
            .field("count", &self.count())
            .finish_non_exhaustive()
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

impl Histogram {
    /// An empty histogram that belongs to no registry.
    #[must_use]
    pub fn new() -> Self {
        let micros =
            hdrhistogram::Histogram::new_with_bounds(1, LONGEST_MICROS, SIGNIFICANT_FIGURES)
                .expect("constant bounds of at least 1 and twice it, and 2 of at most 5 figures");
        Self(Arc::new(Mutex::new(State {
            micros,
            sum_nanos: 0,
        })))
    }

    /// Records one time.
    pub fn record(&self, time: Duration) {
        self.record_n(time, 1);
    }

    /// Records the same time for `count` things, such as all rows of one batch.
    pub fn record_n(&self, time: Duration, count: u64) {
        if count == 0 {
            return;
        }
        // Rounded to the nearest microsecond; below half of one it is recorded as 0, which HDR keeps.
        let micros = time.as_nanos().saturating_add(500) / 1000;
        let micros =
            u64::try_from(micros).map_or(LONGEST_MICROS, |micros| micros.min(LONGEST_MICROS));
        let mut state = self.lock();
        state.micros.saturating_record_n(micros, count);
        state.sum_nanos = state
            .sum_nanos
            .saturating_add(time.as_nanos().saturating_mul(u128::from(count)));
    }

    /// Records one time in seconds and says whether it was one: NaN and what is less than zero
    /// are not recorded, what is too large for a [`Duration`] is recorded as [`LONGEST`].
    pub fn record_seconds(&self, seconds: f64) -> bool {
        match Duration::try_from_secs_f64(seconds) {
            Ok(time) => self.record(time),
            Err(_too_large) if seconds > 0.0 => self.record(LONGEST),
            Err(_not_a_time) => return false,
        }
        true
    }

    /// How many times were recorded.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.lock().micros.len()
    }

    /// The time that the share `quantile` (0 to 1) of all recorded times does not exceed, within
    /// 1 %. `None` when nothing was recorded.
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> Option<Duration> {
        let state = self.lock();
        (!state.micros.is_empty())
            .then(|| Duration::from_micros(state.micros.value_at_quantile(quantile)))
    }

    /// Adds buckets, sum and count to the samples of a family. All come from one look.
    pub(super) fn sample(&self, labels: &LabelPairs, out: &mut Vec<MetricSample>) {
        let (counts, count, sum_nanos) = {
            let state = self.lock();
            (
                cumulative(&state.micros),
                state.micros.len(),
                state.sum_nanos,
            )
        };
        let bounds = BUCKETS.iter().map(|(le, _)| *le).zip(counts);
        for (le, below) in bounds.chain([("+Inf", count)]) {
            let mut labels = labels.clone();
            let at = labels.partition_point(|(name, _)| *name < "le");
            labels.insert(at, ("le", le.to_owned()));
            out.push(MetricSample {
                suffix: "_bucket",
                labels,
                value: float_of(below),
            });
        }
        out.push(MetricSample {
            suffix: "_sum",
            labels: labels.clone(),
            value: seconds_of(sum_nanos),
        });
        out.push(MetricSample {
            suffix: "_count",
            labels: labels.clone(),
            value: float_of(count),
        });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Recording does not panic half way, so what a poisoned lock guards is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// For each of [`BUCKETS`], how many recordings lie in slots that begin at or below its bound.
fn cumulative(micros: &hdrhistogram::Histogram<u64>) -> [u64; BUCKETS.len()] {
    let mut counts = [0; BUCKETS.len()];
    for slot in micros.iter_recorded() {
        let begin = micros.lowest_equivalent(slot.value_iterated_to());
        let first = BUCKETS.partition_point(|(_, bound)| *bound < begin);
        if let Some(count) = counts.get_mut(first) {
            *count = slot.count_at_value().saturating_add(*count);
        }
    }
    let mut below = 0;
    counts.map(|count| {
        below = count.saturating_add(below);
        below
    })
}

/// Nanoseconds as seconds, for a sample value.
#[expect(
    clippy::cast_precision_loss,
    reason = "a sum of times as a float is rounded by the format anyway"
)]
fn seconds_of(nanos: u128) -> f64 {
    nanos as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_is_what_is_documented_and_does_not_grow() {
        let histogram = Histogram::new();
        let bytes = || histogram.lock().micros.distinct_values() * size_of::<u64>();
        assert_eq!(bytes(), 26 * 1024);
        histogram.record(Duration::MAX);
        histogram.record_n(Duration::ZERO, 5);
        assert_eq!(bytes(), 26 * 1024);
        // Within the stated error of the longest time, which has a slot like any other.
        let longest = histogram.quantile(1.0).unwrap();
        assert!(longest >= LONGEST && longest <= LONGEST.mul_f64(1.01));
        // More than can be counted stops at what can be, and nothing overflows.
        histogram.record_n(Duration::from_millis(1), u64::MAX);
        assert_eq!(histogram.count(), u64::MAX);
        let mut samples = Vec::new();
        histogram.sample(&LabelPairs::new(), &mut samples);
        assert!(samples.is_sorted_by(|a, b| a.suffix != b.suffix || a.value <= b.value));
    }
}
