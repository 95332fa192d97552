//! A binary range coder with adaptive probabilities, as in LZMA (Martin, "Range encoding", 1979;
//! Pavlov, LZMA specification), and a stream of plain bits beside it.
//!
//! It spends no bytes on tables, which is what a block of a few kilobytes needs: pco and zstd
//! would pay for theirs in every block.

use crate::Error;

/// The chance that a bit is 0, in 1/65536, learnt from the bits seen: quickly at first, then with
/// the weight 1/32 for each new one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bit {
    zero: u16,
    rate: u8,
}

/// The slowest rate: each new bit moves the chance by this power of one half.
const RATE_MAX: u8 = 5;

impl Bit {
    pub(crate) const NEW: Self = Self {
        zero: 1 << 15,
        rate: 1,
    };

    /// All zero bytes: what stands where a model is yet to be made.
    pub(crate) const ZERO: Self = Self { zero: 0, rate: 0 };

    /// In 1/65536, never 0 and never 1.
    #[inline]
    fn chance(self) -> u64 {
        u64::from(self.zero | 32)
    }

    /// Without a branch, which a random bit would mislead half of the time.
    #[inline]
    fn learn(&mut self, bit: bool) {
        let down = self.zero >> self.rate;
        let up = (u16::MAX - self.zero) >> self.rate;
        self.zero = if bit {
            self.zero - down
        } else {
            self.zero + up
        };
        self.rate += u8::from(self.rate < RATE_MAX);
    }
}

/// Below this, four bytes are certain and leave. With a range of 64 bits that is seldom, which keeps
/// the loop over bits free of branches that cannot be foretold.
const RANGE_MIN: u64 = 1 << 32;

/// Writes both streams.
#[derive(Debug)]
pub(crate) struct Encoder {
    low: u64,
    range: u64,
    coded: Vec<u8>,
    plain: Vec<u8>,
    pending: u64,
    pending_bits: u32,
}

impl Encoder {
    pub(crate) fn new() -> Self {
        Self {
            low: 0,
            range: u64::MAX,
            coded: Vec::new(),
            plain: Vec::new(),
            pending: 0,
            pending_bits: 0,
        }
    }

    pub(crate) fn bit(&mut self, model: &mut Bit, bit: bool) {
        let bound = (self.range >> 16) * model.chance();
        if bit {
            self.add(bound);
            self.range -= bound;
        } else {
            self.range = bound;
        }
        model.learn(bit);
        if self.range < RANGE_MIN {
            self.range <<= 32;
            self.shift();
        }
    }

    /// Raises the low end; a carry goes into the bytes already written.
    fn add(&mut self, amount: u64) {
        let carry;
        (self.low, carry) = self.low.overflowing_add(amount);
        if carry {
            for byte in self.coded.iter_mut().rev() {
                *byte = byte.wrapping_add(1);
                if *byte != 0 {
                    break;
                }
            }
        }
    }

    fn shift(&mut self) {
        let [top @ .., _, _, _, _] = self.low.to_be_bytes();
        self.coded.extend_from_slice(&top);
        self.low <<= 32;
    }

    /// The lowest `bits` bits of `value`, highest first, each in the context of those before it.
    /// `models` has 2^`bits` entries.
    pub(crate) fn tree(&mut self, models: &mut [Bit], bits: u32, value: usize) {
        let mut node = 1;
        for shift in (0..bits).rev() {
            let bit = value >> shift & 1;
            self.bit(&mut models[node], bit == 1);
            node = 2 * node + bit;
        }
    }

    /// The lowest `bits` bits of `value`, up to 63, as they are.
    pub(crate) fn plain(&mut self, value: u64, bits: u32) {
        let value = value & ((1 << bits) - 1);
        self.pending |= value << self.pending_bits;
        let free = 64 - self.pending_bits;
        if bits < free {
            self.pending_bits += bits;
            return;
        }
        self.plain.extend_from_slice(&self.pending.to_le_bytes());
        self.pending = value.checked_shr(free).unwrap_or_default();
        self.pending_bits = bits - free;
    }

    /// Ends both streams: (range-coded bytes, plain bits). Zeros at the end of the coded stream are
    /// left out; the decoder reads zeros past it.
    pub(crate) fn finish(mut self) -> (Vec<u8>, Vec<u8>) {
        // Any number in [low, low + range) will do, so take one that ends with zeros.
        self.add(self.range / 2);
        let keep = self.range.leading_zeros() + 2;
        self.low &= u64::MAX.checked_shl(64 - keep).unwrap_or(u64::MAX);
        self.shift();
        self.shift();
        let end = self
            .coded
            .iter()
            .rposition(|&byte| byte != 0)
            .map_or(0, |last| last + 1);
        self.coded.truncate(end);
        let bytes = self.pending.to_le_bytes();
        self.plain
            .extend_from_slice(&bytes[..self.pending_bits.div_ceil(8) as usize]);
        (self.coded, self.plain)
    }
}

/// A quotient of this many ones is followed by the number itself.
const RICE_QUOTIENT_MAX: u32 = 24;

impl Encoder {
    /// A Rice code in the plain bits: `value >> low_bits` in unary, then the low bits.
    pub(crate) fn rice(&mut self, value: u64, low_bits: u32) {
        match u32::try_from(value >> low_bits) {
            Ok(quotient @ 0..RICE_QUOTIENT_MAX) => {
                self.plain((1 << quotient) - 1, quotient + 1);
                self.plain(value, low_bits);
            }
            _ => {
                self.plain(u64::MAX, RICE_QUOTIENT_MAX);
                self.plain(value, 32);
                self.plain(value >> 32, 32);
            }
        }
    }
}

/// Reads both streams. Past their ends it reads zeros; [`Decoder::finish`] says if it did.
#[derive(Debug)]
pub(crate) struct Decoder<'a> {
    range: u64,
    code: u64,
    coded: &'a [u8],
    plain: &'a [u8],
    plain_bits_read: usize,
}

impl<'a> Decoder<'a> {
    pub(crate) fn new(coded: &'a [u8], plain: &'a [u8]) -> Self {
        let mut decoder = Self {
            range: u64::MAX,
            code: 0,
            coded,
            plain,
            plain_bits_read: 0,
        };
        decoder.code = decoder.next() << 32;
        decoder.code |= decoder.next();
        decoder
    }

    fn next(&mut self) -> u64 {
        if let Some((word, rest)) = self.coded.split_first_chunk() {
            self.coded = rest;
            return u32::from_be_bytes(*word).into();
        }
        let mut word = [0; 4];
        word.iter_mut()
            .zip(self.coded)
            .for_each(|(to, from)| *to = *from);
        self.coded = &[];
        u32::from_be_bytes(word).into()
    }

    #[inline]
    pub(crate) fn bit(&mut self, model: &mut Bit) -> bool {
        let bound = (self.range >> 16) * model.chance();
        let bit = self.code >= bound;
        self.code -= if bit { bound } else { 0 };
        self.range = if bit { self.range - bound } else { bound };
        model.learn(bit);
        if self.range < RANGE_MIN {
            self.range <<= 32;
            self.code = self.code << 32 | self.next();
        }
        bit
    }

    /// The inverse of [`Encoder::tree`]: a number below 2^`bits`.
    #[inline]
    pub(crate) fn tree(&mut self, models: &mut [Bit], bits: u32) -> usize {
        let mut node = 1;
        for _ in 0..bits {
            node = 2 * node + usize::from(self.bit(&mut models[node]));
        }
        node - (1 << bits)
    }

    /// The inverse of [`Encoder::plain`].
    #[inline]
    pub(crate) fn plain(&mut self, bits: u32) -> u64 {
        let word = self.peek();
        self.plain_bits_read += bits as usize;
        word & ((1 << bits) - 1)
    }

    /// The inverse of [`Encoder::rice`].
    #[inline]
    pub(crate) fn rice(&mut self, low_bits: u32) -> u64 {
        let word = self.peek();
        let quotient = word.trailing_ones();
        if quotient >= RICE_QUOTIENT_MAX {
            self.plain_bits_read += RICE_QUOTIENT_MAX as usize;
            return self.plain(32) | self.plain(32) << 32;
        }
        self.plain_bits_read += quotient as usize + 1;
        let low = if quotient + low_bits < 64 {
            self.plain_bits_read += low_bits as usize;
            (word >> quotient >> 1) & ((1 << low_bits) - 1)
        } else {
            self.plain(low_bits)
        };
        u64::from(quotient) << low_bits | low
    }

    /// The next 64 plain bits, zeros past the end.
    #[inline]
    fn peek(&self) -> u64 {
        let (byte, skip) = (self.plain_bits_read / 8, self.plain_bits_read % 8);
        let rest = self.plain.get(byte..).unwrap_or_default();
        let word = if let Some(word) = rest.first_chunk::<16>() {
            u128::from_le_bytes(*word)
        } else {
            let mut word = [0; 16];
            word.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
            u128::from_le_bytes(word)
        };
        let [word, _] = halves(word >> skip);
        word
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// When coded bytes are left over, or plain bits are left over or were missing.
    pub(crate) fn finish(self, what: &'static str) -> Result<(), Error> {
        let plain = self.plain_bits_read.div_ceil(8);
        if plain > self.plain.len() {
            return Err(Error::Truncated { what });
        }
        match self.coded.len() + self.plain.len() - plain {
            0 => Ok(()),
            bytes => Err(Error::Trailing { what, bytes }),
        }
    }
}

#[inline]
#[expect(
    clippy::cast_possible_truncation,
    reason = "splitting is what it is for"
)]
const fn halves(word: u128) -> [u64; 2] {
    [word as u64, (word >> 64) as u64]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bits_come_back(steps in prop::collection::vec((0_usize..4, 0_u32..64, any::<u64>()), 0..2000)) {
            let mut encoder = Encoder::new();
            let mut models = [Bit::NEW; 64];
            for &(step, bits, value) in &steps {
                match step {
                    0 => encoder.bit(&mut models[0], value % 97 == 0),
                    1 => encoder.tree(&mut models, 5, usize::from(value.to_le_bytes()[0] % 32)),
                    2 => encoder.rice(value, bits),
                    _ => encoder.plain(value, bits),
                }
            }
            let (coded, plain) = encoder.finish();
            let mut decoder = Decoder::new(&coded, &plain);
            let mut models = [Bit::NEW; 64];
            for (step, bits, value) in steps {
                match step {
                    0 => prop_assert_eq!(decoder.bit(&mut models[0]), value % 97 == 0),
                    1 => prop_assert_eq!(decoder.tree(&mut models, 5), usize::from(value.to_le_bytes()[0] % 32)),
                    2 => prop_assert_eq!(decoder.rice(bits), value),
                    _ => prop_assert_eq!(decoder.plain(bits), value & ((1 << bits) - 1)),
                }
            }
            prop_assert!(decoder.finish("a test").is_ok());
        }
    }

    #[test]
    fn a_thousand_equal_bits_cost_a_few_bytes() {
        let mut encoder = Encoder::new();
        let mut model = Bit::NEW;
        for _ in 0..1000 {
            encoder.bit(&mut model, true);
        }
        let (coded, plain) = encoder.finish();
        assert!(coded.len() < 8 && plain.is_empty());
    }
}
