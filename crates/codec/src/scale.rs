//! Floats that are decimal numbers in disguise, as integers times a power of ten.
//!
//! Exporters print decimals: 1234.56 is the double nearest to it, and 123456 / 10² gives that very
//! double back, since an IEEE division of two exact numbers is correctly rounded. Integers compress
//! far better than mantissas. The same observation carries ALP (Afroozeh, Kuffó, Boncz: "ALP:
//! Adaptive Lossless floating-Point Compression", SIGMOD 2023); this is its simplest form.

/// 10^0 to 10^18; all exact in an `f64`, which holds powers of ten up to 10^22.
const POWERS: [f64; 19] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18,
];

/// The greatest exponent in use.
#[expect(clippy::cast_possible_truncation, reason = "a table of 19")]
pub(crate) const EXPONENT_MAX: u8 = POWERS.len() as u8 - 1;

/// Integers up to this size are exact in an `f64`.
const INTEGER_MAX: f64 = 9_007_199_254_740_992.0;

/// A column as integers of one decimal exponent, but for a few values.
#[derive(Debug, PartialEq)]
pub(crate) struct Scaled {
    /// Each value is its integer over 10 to this.
    pub(crate) exponent: u8,
    /// One for each value; where a value is an exception, the integer before it again.
    pub(crate) integers: Vec<i64>,
    /// Values that are no such integer, by index: NaN, infinities, −0, long mantissas.
    pub(crate) exceptions: Vec<(usize, f64)>,
}

/// The integer that gives `value` back to the bit when divided by the power, if there is one.
#[inline]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "the bound is checked first, and the result is compared with the input"
)]
fn integer_of(value: f64, power: f64) -> Option<i64> {
    let scaled = (value * power).round_ties_even();
    if scaled.abs() > INTEGER_MAX {
        return None;
    }
    let integer = scaled as i64;
    (integer as f64 / power)
        .to_bits()
        .eq(&value.to_bits())
        .then_some(integer)
}

/// 1.5 · 2^52: added to a smaller float it leaves the nearest integer in the lowest bits.
const ROUNDER: f64 = 6_755_399_441_055_744.0;

/// The integers of a column in which every value is one under `power`, and less than 2^51. The loop
/// has no branch, so that it is done two and more values at a time.
#[inline]
fn integers_of_all(values: &[f64], power: f64) -> Option<Vec<i64>> {
    let mut differences = 0_u64;
    let integers = values
        .iter()
        .map(|&value| {
            let rounded = value * power + ROUNDER;
            let back = (rounded - ROUNDER) / power;
            differences |= back.to_bits() ^ value.to_bits();
            // Another exponent: too large for this, infinite or NaN.
            differences |= (rounded.to_bits() ^ ROUNDER.to_bits()) >> 52;
            (rounded.to_bits().cast_signed()).wrapping_sub(ROUNDER.to_bits().cast_signed())
        })
        .collect();
    (differences == 0).then_some(integers)
}

/// The least exponent that makes integers of the first, the middle and the last value, so likely
/// that of all.
fn likely_exponent(values: &[f64]) -> u8 {
    let ends = [values.first(), values.get(values.len() / 2), values.last()];
    ends.into_iter().flatten().fold(0, |least, &value| {
        (least..=EXPONENT_MAX)
            .find(|&exponent| integer_of(value, POWERS[usize::from(exponent)]).is_some())
            .unwrap_or(least)
    })
}

/// Finds the least exponent that makes integers of all values but at most `exceptions_max`.
pub(crate) fn scale(values: &[f64], exceptions_max: usize) -> Option<Scaled> {
    let mut exponent = likely_exponent(values);
    if let Some(integers) = integers_of_all(values, POWERS[usize::from(exponent)]) {
        return Some(Scaled {
            exponent,
            integers,
            exceptions: Vec::new(),
        });
    }
    exponent = 0;
    let mut integers = Vec::with_capacity(values.len());
    'again: loop {
        integers.clear();
        let mut exceptions = Vec::new();
        let mut last = 0;
        let power = POWERS[usize::from(exponent)];
        for (index, &value) in values.iter().enumerate() {
            if let Some(integer) = integer_of(value, power) {
                last = integer;
            } else {
                let finer = (exponent + 1..=EXPONENT_MAX).find(|&finer| {
                    value.is_finite() && integer_of(value, POWERS[usize::from(finer)]).is_some()
                });
                if let Some(finer) = finer {
                    exponent = finer;
                    continue 'again;
                }
                if exceptions.len() == exceptions_max {
                    return None;
                }
                exceptions.push((index, value));
            }
            integers.push(last);
        }
        return Some(Scaled {
            exponent,
            integers,
            exceptions,
        });
    }
}

/// The values of integers; `None` when the exponent is out of range.
#[expect(
    clippy::cast_precision_loss,
    reason = "an encoder writes no integer above 2^53; damaged input may come out as any number"
)]
pub(crate) fn unscale<V: FromIterator<f64>>(integers: &[i64], exponent: u8) -> Option<V> {
    let power = *POWERS.get(usize::from(exponent))?;
    if exponent == 0 {
        return Some(integers.iter().map(|&integer| integer as f64).collect());
    }
    Some(
        integers
            .iter()
            .map(|&integer| integer as f64 / power)
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_become_integers() {
        let scaled = scale(&[1.0, 0.25, 1234.5], 0).unwrap();
        assert_eq!(
            (scaled.exponent, scaled.integers),
            (2, vec![100, 25, 123_450])
        );
        assert!(scale(&[0.1 + 0.2], 0).is_none());
        assert!(scale(&[-0.0], 0).is_none());
        assert!(scale(&[1e300], 0).is_none());
    }

    #[test]
    fn a_few_exceptions_are_set_apart() {
        let scaled = scale(&[1.5, f64::NAN, 2.5], 1).unwrap();
        assert_eq!(scaled.integers, [15, 15, 25]);
        assert_eq!(scaled.exceptions.len(), 1);
        assert!(scale(&[1.5, f64::NAN, f64::INFINITY], 1).is_none());
    }
}
