//! What is kept of the samples of a window.

/// What is kept of some samples, at least one.
///
/// Sums are kept with the part that rounding took from them, so that small samples beside large ones
/// count.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// How many.
    pub count: u64,
    /// The least; NaN only if all are NaN.
    pub min: f64,
    /// The greatest; NaN only if all are NaN.
    pub max: f64,
    sum: Sum,
    sum_of_squares: Sum,
}

impl PartialEq for Window {
    /// By what can be asked of it; NaN equals NaN.
    fn eq(&self, other: &Self) -> bool {
        let same = |a: f64, b: f64| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan());
        self.count == other.count
            && same(self.min, other.min)
            && same(self.max, other.max)
            && same(self.sum(), other.sum())
            && same(self.sum_of_squares(), other.sum_of_squares())
    }
}

impl Window {
    /// Of one sample.
    #[inline]
    #[must_use]
    pub fn of(value: f64) -> Self {
        Self::from_parts(1, value, value * value, value, value)
    }

    /// From what was kept of a window before.
    #[must_use]
    pub const fn from_parts(count: u64, sum: f64, sum_of_squares: f64, min: f64, max: f64) -> Self {
        Self {
            count,
            min,
            max,
            sum: Sum(sum, 0.0),
            sum_of_squares: Sum(sum_of_squares, 0.0),
        }
    }

    /// Takes a sample in.
    #[inline]
    pub fn add(&mut self, value: f64) {
        self.count += 1;
        self.bound(value, value);
        self.sum.add(value);
        self.sum_of_squares.add(value * value);
    }

    /// Takes all that another holds in. The two must have no sample in common.
    pub fn merge(&mut self, other: Self) {
        self.count += other.count;
        self.bound(other.min, other.max);
        self.sum.merge(other.sum);
        self.sum_of_squares.merge(other.sum_of_squares);
    }

    #[inline]
    fn bound(&mut self, min: f64, max: f64) {
        if min < self.min || self.min.is_nan() {
            self.min = min;
        }
        if max > self.max || self.max.is_nan() {
            self.max = max;
        }
    }

    /// The sum of the samples.
    #[must_use]
    pub fn sum(&self) -> f64 {
        self.sum.value()
    }

    /// The sum of the squares of the samples.
    #[must_use]
    pub fn sum_of_squares(&self) -> f64 {
        self.sum_of_squares.value()
    }

    /// The mean of the samples.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a count is far below 2^53")]
    pub fn mean(&self) -> f64 {
        self.sum() / self.count as f64
    }

    /// The standard deviation of the samples as a whole population. It is the difference of two large
    /// numbers where the mean is large and the deviation is not.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a count is far below 2^53")]
    pub fn standard_deviation(&self) -> f64 {
        let mean = self.mean();
        let variance = self.sum_of_squares() / self.count as f64 - mean * mean;
        if variance < 0.0 { 0.0 } else { variance.sqrt() }
    }
}

/// A sum, and what rounding took from it: Knuth's `TwoSum`, which needs no branch (The Art of Computer
/// Programming, volume 2, 4.2.2).
#[derive(Clone, Copy, Debug)]
struct Sum(f64, f64);

impl Sum {
    #[inline]
    fn add(&mut self, value: f64) {
        let sum = self.0 + value;
        let taken = sum - self.0;
        self.1 += (self.0 - (sum - taken)) + (value - taken);
        self.0 = sum;
    }

    fn merge(&mut self, other: Self) {
        self.add(other.0);
        self.1 += other.1;
    }

    fn value(self) -> f64 {
        // A sum that left the finite numbers does not come back, and what was lost on the way is no
        // number either.
        if self.1.is_finite() {
            self.0 + self.1
        } else {
            self.0
        }
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these sums are exact")]
mod tests {
    use super::*;

    #[test]
    fn what_follows_from_a_window() {
        let mut window = Window::of(2.0);
        for value in [4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0] {
            window.add(value);
        }
        assert_eq!((window.min, window.max, window.mean()), (2.0, 9.0, 5.0));
        assert_eq!(window.standard_deviation(), 2.0);
    }

    #[test]
    fn small_samples_beside_large_ones_count() {
        let mut window = Window::of(1e16);
        window.add(1.0);
        window.add(-1e16);
        assert_eq!(window.sum(), 1.0);
    }

    #[test]
    fn nan_and_infinity_show_where_they_must() {
        let mut window = Window::of(f64::NAN);
        window.add(3.0);
        assert_eq!((window.min, window.max), (3.0, 3.0));
        assert!(window.sum().is_nan());
        let mut window = Window::of(f64::INFINITY);
        window.add(1.0);
        assert_eq!(window.sum(), f64::INFINITY);
    }
}
