//! How long to wait before the next try: exponential, jittered, bounded.
//!
//! Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015, the variant
//! "full jitter". One change: the delay is drawn from `min..=ceiling` and not from `0..=ceiling`,
//! so that a peer that refuses at once is never asked again at once.

use std::time::Duration;

/// Why a back-off was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A back-off that may be zero is a busy loop.
    #[error("the shortest delay of a back-off is zero")]
    ZeroMin,
    /// The bounds are the wrong way round.
    #[error("the longest delay of a back-off ({max:?}) is less than the shortest ({min:?})")]
    MaxBelowMin {
        /// The shortest delay.
        min: Duration,
        /// The longest delay.
        max: Duration,
    },
}

impl Error {
    /// Whether the same bounds may be accepted later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::ZeroMin | Self::MaxBelowMin { .. } => false,
        }
    }
}

/// A row of delays. After `n` failures the delay is drawn evenly from `min` to the lesser of
/// `max` and `min · 2ⁿ`, where the first failure is `n = 1`.
///
/// The draws depend on the seed alone, so a simulation replays; two processes must be given
/// different seeds or they will knock together.
#[derive(Clone, Debug)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    ceiling: Duration,
    failures: u32,
    random: SplitMix64,
}

impl Backoff {
    /// A back-off between two bounds, both inclusive.
    ///
    /// # Errors
    /// When `min` is zero or `max` is less than `min`.
    pub fn new(min: Duration, max: Duration, seed: u64) -> Result<Self, Error> {
        if min.is_zero() {
            return Err(Error::ZeroMin);
        }
        if max < min {
            return Err(Error::MaxBelowMin { min, max });
        }
        Ok(Self {
            min,
            max,
            ceiling: min,
            failures: 0,
            random: SplitMix64(seed),
        })
    }

    /// Counts one more failure and says how long to wait before the next try.
    pub fn next_delay(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        self.ceiling = self.ceiling.saturating_mul(2).min(self.max);
        let spread = u64::try_from((self.ceiling - self.min).as_nanos()).unwrap_or(u64::MAX);
        self.min + Duration::from_nanos(self.random.up_to_inclusive(spread))
    }

    /// Forgets the failures: the next delay is among the short ones again. The draws go on.
    pub fn reset(&mut self) {
        self.failures = 0;
        self.ceiling = self.min;
    }

    /// Failures since the start or the last reset.
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.failures
    }
}

/// A small random generator; nothing secret depends on it. Source: G. Steele, D. Lea, C. Flood,
/// "Fast splittable pseudorandom number generators", OOPSLA 2014, with the constants of S. Vigna.
#[derive(Clone, Debug)]
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Evenly from `0..=max`, by the high half of a product (the bias is below `max / 2⁶⁴`).
    fn up_to_inclusive(&mut self, max: u64) -> u64 {
        let product = u128::from(self.next()) * (u128::from(max) + 1);
        u64::try_from(product >> 64).unwrap_or(max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MIN: Duration = Duration::from_millis(100);
    const MAX: Duration = Duration::from_secs(5);

    #[test]
    fn the_generator_gives_the_published_numbers() {
        // The first outputs of Vigna's splitmix64.c for the seed 1234567.
        let mut random = SplitMix64(1_234_567);
        assert_eq!(
            [random.next(), random.next(), random.next()],
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423
            ]
        );
    }

    #[test]
    fn bounds_that_make_no_sense_are_refused() {
        assert_eq!(
            Backoff::new(Duration::ZERO, MAX, 1).unwrap_err(),
            Error::ZeroMin
        );
        assert!(matches!(
            Backoff::new(MAX, MIN, 1).unwrap_err(),
            Error::MaxBelowMin { .. }
        ));
    }

    #[test]
    fn equal_seeds_give_equal_delays_and_others_do_not() {
        let row = |seed| {
            let mut backoff = Backoff::new(MIN, MAX, seed).unwrap();
            (0..20).map(|_| backoff.next_delay()).collect::<Vec<_>>()
        };
        assert_eq!(row(7), row(7));
        assert_ne!(row(7), row(8));
    }

    #[test]
    fn the_ceiling_doubles_up_to_the_maximum_and_falls_back_on_reset() {
        let mut longest = [Duration::ZERO; 10];
        for seed in 0..2000 {
            let mut backoff = Backoff::new(MIN, MAX, seed).unwrap();
            for slot in &mut longest {
                *slot = backoff.next_delay().max(*slot);
            }
            assert_eq!(backoff.failures(), 10);
            backoff.reset();
            assert!(backoff.next_delay() <= MIN * 2);
            assert_eq!(backoff.failures(), 1);
        }
        let ceilings = [200, 400, 800, 1600, 3200, 5000, 5000, 5000, 5000, 5000];
        for (seen, ceiling) in longest.iter().zip(ceilings.map(Duration::from_millis)) {
            assert!(*seen <= ceiling && *seen > ceiling.mul_f64(0.98));
        }
    }

    proptest! {
        #[test]
        fn every_delay_lies_within_the_bounds(
            seed: u64, min in 1_u64..u64::MAX, extra: u64, rounds in 1_usize..100
        ) {
            let min = Duration::from_nanos(min);
            let max = min + Duration::from_nanos(extra);
            let mut backoff = Backoff::new(min, max, seed).unwrap();
            for _ in 0..rounds {
                let delay = backoff.next_delay();
                prop_assert!(delay >= min && delay <= max);
            }
        }
    }
}
