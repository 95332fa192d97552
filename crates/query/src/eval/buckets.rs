//! Quantiles and fractions of classic histograms, as Prometheus estimates them
//! (promql/quantile.go): linear within a bucket.

/// One cumulative bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bucket {
    /// Its upper bound, inside.
    pub(super) bound: f64,
    /// Observations up to the bound.
    pub(super) count: f64,
}

/// How far apart counts may be to count as equal: rates of buckets differ by rounding.
const TOLERANCE: f64 = 1e-12;

/// A quantile, and whether counts had to be raised to be monotonic.
#[derive(Clone, Copy, Debug)]
pub(super) struct Estimate {
    pub(super) value: f64,
    pub(super) raised: bool,
}

/// The `q`-quantile of buckets sorted by bound.
pub(super) fn quantile(q: f64, buckets: &mut Vec<Bucket>) -> Estimate {
    let plain = |value| Estimate {
        value,
        raised: false,
    };
    if q.is_nan() {
        return plain(f64::NAN);
    }
    if q < 0.0 {
        return plain(f64::NEG_INFINITY);
    }
    if q > 1.0 {
        return plain(f64::INFINITY);
    }
    if !complete(buckets) {
        return plain(f64::NAN);
    }
    coalesce(buckets);
    let raised = make_monotonic(buckets);
    Estimate {
        value: interpolate(q, buckets),
        raised,
    }
}

fn interpolate(q: f64, buckets: &[Bucket]) -> f64 {
    let last = buckets.len() - 1;
    let observations = buckets[last].count;
    if last == 0 || observations.abs() <= 0.0 || observations.is_nan() {
        return f64::NAN;
    }
    let mut rank = q * observations;
    let at = buckets[..last].partition_point(|bucket| bucket.count < rank);
    if at == last {
        return buckets[last - 1].bound;
    }
    if at == 0 && buckets[0].bound <= 0.0 {
        return buckets[0].bound;
    }
    let Bucket {
        bound: end,
        mut count,
    } = buckets[at];
    let mut start = 0.0;
    if at > 0 {
        let below = buckets[at - 1];
        start = below.bound;
        count -= below.count;
        rank -= below.count;
    }
    start + (end - start) * (rank / count)
}

/// The share of observations between two values, of buckets sorted by bound.
pub(super) fn fraction(lower: f64, upper: f64, buckets: &mut Vec<Bucket>) -> f64 {
    if !complete(buckets) {
        return f64::NAN;
    }
    coalesce(buckets);
    let total = buckets.last().map_or(0.0, |bucket| bucket.count);
    if total.abs() <= 0.0 || total.is_nan() || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let low = rank_of(lower, buckets).unwrap_or(total).min(total);
    let high = rank_of(upper, buckets).unwrap_or(total).min(total);
    (high - low) / total
}

/// Estimated observations below `value`; `None` above the last finite bound.
fn rank_of(value: f64, buckets: &[Bucket]) -> Option<f64> {
    let mut below = Bucket {
        bound: f64::NEG_INFINITY,
        count: 0.0,
    };
    for (index, bucket) in buckets.iter().enumerate() {
        // The first bucket is taken to begin at zero, unless it ends there or below.
        if index == 0 && bucket.bound > 0.0 {
            below.bound = 0.0;
        }
        if below.bound >= value {
            return Some(below.count);
        }
        if bucket.bound > value {
            if below.bound.is_infinite() {
                return Some(bucket.count);
            }
            let share = (value - below.bound) / (bucket.bound - below.bound);
            return Some(below.count + (bucket.count - below.count) * share);
        }
        below = *bucket;
    }
    None
}

/// Whether the last bucket holds everything.
fn complete(buckets: &[Bucket]) -> bool {
    buckets
        .last()
        .is_some_and(|bucket| bucket.bound.is_infinite() && bucket.bound > 0.0)
}

/// Adds up buckets of equal bounds, which come from labels such as `1` and `1.0`.
#[expect(clippy::float_cmp, reason = "bounds are equal or they are not")]
fn coalesce(buckets: &mut Vec<Bucket>) {
    buckets.dedup_by(|next, kept| {
        let equal = next.bound == kept.bound;
        if equal {
            kept.count += next.count;
        }
        equal
    });
}

/// Raises counts that are below the one before. Differences in the last digits are silent.
fn make_monotonic(buckets: &mut [Bucket]) -> bool {
    let mut raised = false;
    let mut before = buckets[0].count;
    for bucket in &mut buckets[1..] {
        if nearly_equal(before, bucket.count) {
            bucket.count = before;
        } else if bucket.count < before {
            bucket.count = before;
            raised = true;
        } else {
            before = bucket.count;
        }
    }
    raised
}

/// Equal up to [`TOLERANCE`], relative to the values.
#[expect(clippy::float_cmp, reason = "exact equality is the first case")]
fn nearly_equal(a: f64, b: f64) -> bool {
    if a == b {
        return true;
    }
    let sum = a.abs() + b.abs();
    let difference = (a - b).abs();
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < TOLERANCE * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < TOLERANCE
}
