//! Compensated summation, in the variant of Kahan and Babuška that Neumaier gave (ZAMM 54, 1974).

/// A running sum and what rounding has taken from it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sum {
    pub(super) sum: f64,
    pub(super) lost: f64,
}

impl Sum {
    pub(super) fn of(value: f64) -> Self {
        Self {
            sum: value,
            lost: 0.0,
        }
    }

    #[must_use]
    pub(super) fn plus(self, value: f64) -> Self {
        let sum = self.sum + value;
        // Both are worked out, so that no branch keeps sums from being added many at a time.
        let (of_sum, of_value) = ((self.sum - sum) + value, (value - sum) + self.sum);
        let lost = if self.sum.abs() >= value.abs() {
            self.lost + of_sum
        } else {
            self.lost + of_value
        };
        let lost = if sum.is_infinite() { 0.0 } else { lost };
        Self { sum, lost }
    }

    pub(super) fn total(self) -> f64 {
        self.sum + self.lost
    }
}

/// A mean that survives sums beyond the range of floats: while the sum fits it is the sum divided
/// by the count; from there on it is kept up incrementally.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mean {
    count: f64,
    state: Sum,
    incremental: bool,
}

impl Mean {
    pub(super) fn of(value: f64) -> Self {
        Self {
            count: 1.0,
            state: Sum::of(value),
            incremental: false,
        }
    }

    pub(super) fn add(&mut self, value: f64) {
        self.count += 1.0;
        if !self.incremental {
            let next = self.state.plus(value);
            if !next.sum.is_infinite() {
                self.state = next;
                return;
            }
            self.incremental = true;
            self.state.sum /= self.count - 1.0;
            self.state.lost /= self.count - 1.0;
        }
        let weight = (self.count - 1.0) / self.count;
        self.state = Sum {
            sum: weight * self.state.sum,
            lost: weight * self.state.lost,
        }
        .plus(value / self.count);
    }

    pub(super) fn value(self) -> f64 {
        if self.incremental {
            self.state.total()
        } else {
            self.state.sum / self.count + self.state.lost / self.count
        }
    }
}

/// A population variance, by Welford's method with compensated sums.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Variance {
    count: f64,
    mean: Sum,
    squares: Sum,
}

impl Variance {
    pub(super) fn add(&mut self, value: f64) {
        self.count += 1.0;
        let delta = value - self.mean.total();
        self.mean = self.mean.plus(delta / self.count);
        self.squares = self.squares.plus(delta * (value - self.mean.total()));
    }

    pub(super) fn value(self) -> f64 {
        self.squares.total() / self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_terms_survive_large_ones() {
        let mut sum = Sum::default();
        for value in [1.0, 1e100, 1.0, -1e100] {
            sum = sum.plus(value);
        }
        assert!((sum.total() - 2.0).abs() < f64::EPSILON);
    }

    #[test]
    fn a_mean_outlives_the_overflow_of_its_sum() {
        let mut mean = Mean::of(f64::MAX);
        mean.add(f64::MAX);
        mean.add(f64::MAX);
        assert!((mean.value() / f64::MAX - 1.0).abs() < 1e-15);
    }
}
