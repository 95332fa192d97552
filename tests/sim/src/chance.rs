//! Numbers by seed.

use std::time::Duration;

/// A row of numbers that the seed decides. What draws on its own has a row of its own, so that a new draw
/// in one place changes nothing in another. Source: G. Steele, D. Lea, C. Flood, "Fast splittable
/// pseudorandom number generators", OOPSLA 2014.
#[derive(Clone, Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    /// The row of a seed and of what draws from it.
    pub(crate) fn new(seed: u64, of: &str) -> Self {
        let named = of.bytes().fold(seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let mut chance = Self(named);
        chance.next();
        chance
    }

    /// Any number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, or 0.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        let product = u128::from(self.next()) * u128::from(end);
        u64::try_from(product >> 64).unwrap_or(0)
    }

    /// An index of something that is not empty.
    pub(crate) fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap_or(0)
    }

    /// `true` with a probability in millionths.
    pub(crate) fn likely(&mut self, millionths: u64) -> bool {
        self.below(1_000_000) < millionths
    }

    /// A whole number of milliseconds, both ends inside.
    pub(crate) fn millis(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(least + self.below(most - least + 1))
    }

    /// A whole number of seconds, both ends inside.
    pub(crate) fn seconds(&mut self, least: u64, most: u64) -> Duration {
        self.millis(least * 1000, most * 1000)
    }

    /// A bound between two others, small ones as likely as large ones of the next power of two.
    pub(crate) fn scaled(&mut self, least: u64, doublings: u64) -> u64 {
        least << self.below(doublings + 1)
    }
}
