//! Samples as they came, packed in a few nanoseconds each: for a journal that is soon dropped.
//!
//! Senders write one scrape after another, so what stands together shares its time and has numbers
//! that follow one another. Of a value only the bytes that are not zero at its end are kept: most
//! integers and short decimals have five or more of those zeros.

use crate::Error;
use crate::bytes::{Reader, put_signed, put_varint};

const WHAT: &str = "a list of samples";

/// Samples in the order in which they came: three columns of one length.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Samples {
    /// The numbers of their series.
    pub series: Vec<u32>,
    /// Milliseconds since the Unix epoch, in any order.
    pub times: Vec<i64>,
    /// The values.
    pub values: Vec<f64>,
}

/// Appends samples. The three slices must be equally long; what is more is left out.
pub fn encode_samples(series: &[u32], times: &[i64], values: &[f64], out: &mut Vec<u8>) {
    let count = series.len().min(times.len()).min(values.len());
    put_varint(out, count as u64);
    let (mut start, mut last_time, mut next_id) = (0, 0_i64, 0_i64);
    while start < count {
        let time = times[start];
        let first = series[start];
        let mut end = start + 1;
        while end < count
            && times[end] == time
            && Some(series[end]) == series[end - 1].checked_add(1)
        {
            end += 1;
        }
        put_varint(out, (end - start) as u64);
        put_signed(out, time.wrapping_sub(last_time));
        put_signed(out, i64::from(first) - next_id);
        put_values(&values[start..end], out);
        last_time = time;
        next_id = i64::from(series[end - 1]) + 1;
        start = end;
    }
}

/// For each value four bits with the number of its bytes, then those, most significant first.
fn put_values(values: &[f64], out: &mut Vec<u8>) {
    let lengths = out.len();
    let mut at = lengths + values.len().div_ceil(2);
    // A slot of eight bytes past the last value lets each be written whole.
    out.resize(at + 8 * values.len() + 8, 0);
    for (index, value) in values.iter().enumerate() {
        let bits = value.to_bits();
        let zeros = bits.trailing_zeros().min(64) / 8;
        let length = 8 - zeros;
        if let Some(slot) = out.get_mut(at..at + 8) {
            slot.copy_from_slice(&bits.to_be_bytes());
        }
        at += length as usize;
        let [length, ..] = length.to_le_bytes();
        out[lengths + index / 2] |= length << (4 * (index % 2));
    }
    out.truncate(at);
}

/// Reads what [`encode_samples`] wrote, if there are no more than `samples_max`. It allocates 20
/// bytes for each sample and not more than the input can hold: a sample is more than half a byte.
///
/// # Errors
/// When there are more samples, or bytes are missing, left over or damaged.
pub fn decode_samples(bytes: &[u8], samples_max: usize) -> Result<Samples, Error> {
    let mut reader = Reader::new(bytes, WHAT);
    let max = samples_max.min(bytes.len().saturating_mul(2));
    let count = reader.count("the number of samples", max)?;
    let mut samples = Samples {
        series: Vec::with_capacity(count),
        times: Vec::with_capacity(count),
        values: Vec::with_capacity(count),
    };
    let (mut time, mut next_id) = (0_i64, 0_i64);
    while samples.series.len() < count {
        let left = count - samples.series.len();
        let run = reader.count("a run of samples", left)?;
        if run == 0 {
            return Err(Error::Invalid {
                what: "an empty run of samples",
            });
        }
        time = time.wrapping_add(reader.signed()?);
        let first = next_id.wrapping_add(reader.signed()?);
        for step in 0..run as u64 {
            let id = first.wrapping_add(step.cast_signed());
            let id = u32::try_from(id).map_err(|_range| Error::Invalid {
                what: "the number of a series",
            })?;
            samples.series.push(id);
            samples.times.push(time);
        }
        take_values(&mut reader, run, &mut samples.values)?;
        next_id = first.wrapping_add((run as u64).cast_signed());
    }
    reader.finish()?;
    Ok(samples)
}

fn take_values(reader: &mut Reader<'_>, count: usize, values: &mut Vec<f64>) -> Result<(), Error> {
    let lengths = reader.bytes(count.div_ceil(2))?;
    for index in 0..count {
        let length = lengths[index / 2] >> (4 * (index % 2)) & 15;
        if length > 8 {
            return Err(Error::Invalid {
                what: "the length of a value",
            });
        }
        let bytes = reader.bytes(length.into())?;
        let mut whole = [0_u8; 8];
        whole[..bytes.len()].copy_from_slice(bytes);
        values.push(f64::from_bits(u64::from_be_bytes(whole)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_scrape_costs_its_values() {
        let series: Vec<u32> = (7..107).collect();
        let mut out = vec![];
        encode_samples(&series, &[1_795_000_000_000; 100], &[0.0; 100], &mut out);
        assert_eq!(out.len(), 1 + 1 + 6 + 1 + 50);
    }

    proptest! {
        #[test]
        fn samples_come_back(
            list in prop::collection::vec((0_u32..40, prop_oneof![Just(5_i64), any::<i64>()], any::<u64>(), 0_u32..64), 0..200),
            after in prop::collection::vec(any::<u8>(), 0..3),
        ) {
            let series: Vec<u32> = list.iter().map(|sample| sample.0).collect();
            let times: Vec<i64> = list.iter().map(|sample| sample.1).collect();
            let values: Vec<f64> = list.iter().map(|it| f64::from_bits(it.2 >> it.3 << it.3)).collect();
            let mut out = vec![];
            encode_samples(&series, &times, &values, &mut out);
            let read = decode_samples(&out, 200).unwrap();
            prop_assert_eq!(&read.series, &series);
            prop_assert_eq!(&read.times, &times);
            let bits = |values: &[f64]| values.iter().map(|it| it.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(bits(&read.values), bits(&values));
            prop_assert!(list.is_empty() || decode_samples(&out, list.len() - 1).is_err());
            for end in 0..out.len() {
                prop_assert!(decode_samples(&out[..end], 200).is_err());
            }
            out.extend(&after);
            prop_assert_eq!(decode_samples(&out, 200).is_ok(), after.is_empty());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            if let Ok(samples) = decode_samples(&bytes, 1000) {
                prop_assert_eq!(samples.series.len(), samples.values.len());
                prop_assert_eq!(samples.series.len(), samples.times.len());
            }
        }
    }
}
