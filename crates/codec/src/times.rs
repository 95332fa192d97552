//! The time column: kept once for all series of a target.

use crate::bytes::{Reader, put_varint};
use crate::{Effort, Error, ints};

const WHAT: &str = "a time column";

/// Appends `times`, milliseconds that ascend strictly. On the grid they cost a few bytes in all, with
/// ±20 ms of jitter less than a byte each.
pub fn encode_times(times: &[i64], out: &mut Vec<u8>) {
    put_varint(out, times.len() as u64);
    ints::encode(times, Effort::Dense, out);
}

/// Reads what [`encode_times`] wrote; allocates at most eight bytes for each of `rows_max` rows, the
/// same again for a moment, and what pco's tables need, under 8 MiB at their largest.
///
/// # Errors
/// When there are more than `rows_max` times, when they do not ascend, when bytes are missing, left
/// over or damaged.
pub fn decode_times(bytes: &[u8], rows_max: usize) -> Result<Vec<i64>, Error> {
    let mut reader = Reader::new(bytes, WHAT);
    let count = reader.count("the number of times", rows_max)?;
    let times = ints::decode(&mut reader, count)?;
    reader.finish()?;
    if times.windows(2).any(|pair| pair[0] >= pair[1]) {
        return Err(Error::Invalid {
            what: "a time that does not lie after the one before it",
        });
    }
    Ok(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(times: &[i64]) -> usize {
        let mut out = vec![];
        encode_times(times, &mut out);
        assert_eq!(decode_times(&out, times.len()).unwrap(), times);
        out.len()
    }

    #[test]
    fn regular_times_cost_a_few_bytes_and_jitter_less_than_one_each() {
        let regular: Vec<i64> = (0..480)
            .map(|row| 1_795_433_624_230 + 15_000 * row)
            .collect();
        assert!(check(&regular) <= 14);
        let jittered: Vec<i64> = regular
            .iter()
            .zip(0..)
            .map(|(t, i)| t + i * 7919 % 41 - 20)
            .collect();
        assert!(check(&jittered) < 480);
        assert!(check(&jittered[..12]) < 34);
        check(&[]);
        check(&[-5]);
        check(&[i64::MIN, 0, i64::MAX]);
    }

    #[test]
    fn times_out_of_order_or_too_many_are_refused() {
        let mut out = vec![];
        encode_times(&[1, 3, 2], &mut out);
        assert!(matches!(decode_times(&out, 10), Err(Error::Invalid { .. })));
        assert!(matches!(
            decode_times(&out, 2),
            Err(Error::TooLarge { got: 3, max: 2, .. })
        ));
    }
}
