//! A histogram as Prometheus clients keep it.

/// Counts of observations by upper bound, with their sum.
#[derive(Clone, Debug)]
pub struct Histogram {
    bounds: Vec<f64>,
    /// One for each bound and one for what lies above; not cumulative.
    counts: Vec<u64>,
    sum: f64,
}

impl Histogram {
    /// An empty histogram with these upper bounds, ascending, `+Inf` left out.
    #[must_use]
    pub fn new(bounds: &[f64]) -> Self {
        Self {
            bounds: bounds.to_vec(),
            counts: vec![0; bounds.len() + 1],
            sum: 0.0,
        }
    }

    /// Counts one value.
    pub fn observe(&mut self, value: f64) {
        let at = self.bounds.partition_point(|bound| *bound < value);
        self.counts[at] += 1;
        self.sum += value;
    }

    /// Each upper bound with the count of values at or below it; the last is `+Inf`.
    pub fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> {
        let bounds = self.bounds.iter().copied().chain([f64::INFINITY]);
        let counts = self.counts.iter().scan(0, |total, count| {
            *total += count;
            Some(*total)
        });
        bounds.zip(counts)
    }

    /// The sum of all values.
    #[must_use]
    pub fn sum(&self) -> f64 {
        self.sum
    }

    /// How many values were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// 1, 2, 5, 10, 20, 50, … up to `max`: how vLLM makes the bounds of its histograms of tokens.
#[must_use]
pub fn one_two_five(max: u32) -> Vec<f64> {
    let mut bounds = Vec::new();
    let mut power = 1_u32;
    loop {
        for mantissa in [1, 2, 5] {
            match power.checked_mul(mantissa) {
                Some(bound) if bound <= max => bounds.push(f64::from(bound)),
                _ => return bounds,
            }
        }
        power = match power.checked_mul(10) {
            Some(power) => power,
            None => return bounds,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_counts_what_equals_it() {
        let mut histogram = Histogram::new(&[1.0, 2.0]);
        for value in [0.5, 1.0, 1.5, 2.5] {
            histogram.observe(value);
        }
        let got: Vec<_> = histogram.cumulative().collect();
        assert_eq!(got, [(1.0, 2), (2.0, 3), (f64::INFINITY, 4)]);
        assert_eq!(histogram.count(), 4);
        assert!((histogram.sum() - 5.5).abs() < 1e-12);
    }

    #[test]
    fn bounds_of_tokens_stop_at_the_maximum() {
        assert_eq!(one_two_five(100), [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0]);
        assert_eq!(one_two_five(99).last(), Some(&50.0));
        assert_eq!(one_two_five(u32::MAX).last(), Some(&2e9));
    }
}
