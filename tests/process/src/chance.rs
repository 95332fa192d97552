//! Chance that can be replayed.

use std::time::Duration;

/// Names the variable that sets the seed.
pub const SEED: &str = "VEDETTE_TEST_SEED";

/// Numbers from a seed: SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number
/// generators", 2014).
#[derive(Clone, Debug)]
pub struct Chance {
    seed: u64,
    state: u64,
}

impl Chance {
    /// From the environment, or else from the clock.
    ///
    /// # Panics
    /// When the variable holds no number.
    #[must_use]
    pub fn from_environment() -> Self {
        let seed = match std::env::var(SEED) {
            Ok(text) => text
                .parse()
                .unwrap_or_else(|_| panic!("{SEED}={text} is no number")),
            Err(_) => crate::now_millis().unsigned_abs(),
        };
        Self::from_seed(seed)
    }

    /// From a seed.
    #[must_use]
    pub const fn from_seed(seed: u64) -> Self {
        Self { seed, state: seed }
    }

    /// Where the numbers began.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.state)
    }

    /// A number under `bound`, which is not 0.
    pub fn under(&mut self, bound: u64) -> u64 {
        self.draw() % bound
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.under(times) == 0
    }

    /// A time from `least` to under `most`, in milliseconds.
    pub fn millis(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(least + self.under(most - least))
    }
}

/// SplitMix64's finaliser: spreads every bit over all others.
#[must_use]
pub const fn mix(bits: u64) -> u64 {
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
