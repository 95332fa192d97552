//! Numbers of a block: their size classes, Rice parameters and orders of differences.

use crate::bytes::zigzag;
use crate::ints::ORDER_MAX;
use crate::range::{Bit, Decoder, Encoder};

/// Numbers by their size class (bits up to the highest set one) and the bits below that one.
#[derive(Debug)]
pub(super) struct Numbers<const CONTEXTS: usize> {
    class: [[Bit; 16]; CONTEXTS],
    /// Classes from [`ESCAPE`] on.
    large: [Bit; 64],
    /// The highest bit below the leading one; it is 0 more often than not.
    next: [Bit; 65],
}

/// In the four-bit tree of classes: a large one follows.
const ESCAPE: usize = 15;

impl<const CONTEXTS: usize> Numbers<CONTEXTS> {
    pub(super) const fn new() -> Self {
        Self {
            class: [[Bit::NEW; 16]; CONTEXTS],
            large: [Bit::NEW; 64],
            next: [Bit::NEW; 65],
        }
    }

    pub(super) fn put(&mut self, encoder: &mut Encoder, context: usize, value: u64) -> usize {
        let class = 64 - value.leading_zeros() as usize;
        encoder.tree(&mut self.class[context], 4, class.min(ESCAPE));
        if class >= ESCAPE {
            encoder.tree(&mut self.large, 6, class - ESCAPE);
        }
        if class >= 2 {
            let low_bits = class - 2;
            encoder.bit(&mut self.next[class], value >> low_bits & 1 == 1);
            encoder.plain(value, bits(low_bits));
        }
        class
    }

    pub(super) fn take(&mut self, decoder: &mut Decoder<'_>, context: usize) -> (u64, usize) {
        let mut class = decoder.tree(&mut self.class[context], 4);
        if class == ESCAPE {
            class = (class + decoder.tree(&mut self.large, 6)).min(64);
        }
        if class < 2 {
            return (class as u64, class);
        }
        let low_bits = class - 2;
        let next = decoder.bit(&mut self.next[class]);
        (
            2 << low_bits | u64::from(next) << low_bits | decoder.plain(bits(low_bits)),
            class,
        )
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a class is at most 64")]
pub(super) const fn bits(class: usize) -> u32 {
    class as u32
}

/// The largest Rice parameter.
pub(super) const LOW_BITS_MAX: usize = 62;

/// The Rice parameter that makes a group shortest; 0 if it is so small that the range code does
/// better than whole bits can.
pub(super) fn rice_low_bits(group: &[i64]) -> usize {
    let cost = |low_bits: usize| -> u64 {
        let quotients = group
            .iter()
            .map(|&residual| (zigzag(residual) >> low_bits).min(24 + 64));
        quotients.sum::<u64>() + (group.len() * low_bits) as u64
    };
    let sum: u128 = group
        .iter()
        .map(|&residual| u128::from(zigzag(residual)))
        .sum();
    let mean = sum / group.len().max(1) as u128;
    let guess = (127_usize.saturating_sub(mean.leading_zeros() as usize)).min(LOW_BITS_MAX - 1);
    let candidates = guess.saturating_sub(2)..=guess + 1;
    candidates
        .min_by_key(|&low_bits| cost(low_bits))
        .unwrap_or(guess)
}

/// What foretells the size of a small residual: the sizes of the two before it in its column.
#[derive(Default)]
pub(super) struct SmallContext {
    last: usize,
    before: usize,
}

pub(super) const SMALL_CONTEXTS: usize = 16;

impl SmallContext {
    pub(super) const fn index(&self) -> usize {
        4 * self.last + self.before
    }

    pub(super) fn then(&mut self, class: usize) {
        self.before = self.last;
        self.last = class.min(3);
    }
}

/// The order of differences whose numbers, heads included, have the fewest bits.
pub(super) fn best_order(integers: &[i64]) -> u8 {
    let cost = |integer: i64| u64::from(64 - zigzag(integer).leading_zeros());
    let (mut last, mut last_step) = (0_i64, 0_i64);
    let mut costs = [0_u64; 3];
    for (index, &integer) in integers.iter().enumerate() {
        let step = integer.wrapping_sub(last);
        let bend = step.wrapping_sub(last_step);
        costs[0] += cost(integer);
        costs[1] += cost(step);
        costs[2] += cost(if index < 2 { step } else { bend });
        (last, last_step) = (integer, step);
    }
    // When it is all the same, the common order is cheapest to name.
    let mut best = 1;
    for order in [0, ORDER_MAX] {
        if costs[usize::from(order)] < costs[usize::from(best)] {
            best = order;
        }
    }
    best
}
