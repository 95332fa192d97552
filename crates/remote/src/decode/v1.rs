//! Version 1: `prometheus.WriteRequest`.
//!
//! ```text
//! WriteRequest { repeated TimeSeries timeseries = 1; repeated MetricMetadata metadata = 3; }
//! TimeSeries   { repeated Label labels = 1; repeated Sample samples = 2;
//!                repeated Exemplar exemplars = 3; repeated Histogram histograms = 4; }
//! MetricMetadata { MetricType type = 1; string metric_family_name = 2; string help = 4; string unit = 5; }
//! Label        { string name = 1; string value = 2; }
//! Sample       { double value = 1; int64 timestamp = 2; }
//! ```

use series::{Family, Labels, MetricKind};

use super::{End, Pairs, Reading, SAMPLE, family_of, usual_sample};
use crate::decoded::{Refusal, Trait};
use crate::digest::TEXT_BYTES_MAX;
use crate::fields::Fields;
use crate::memory::Entry;
use crate::{Error, Reason};

/// Field 1 with bytes: a series of a message, and a label of a series.
const FIRST: u8 = 0x0a;

pub(super) fn decode<Id: Copy>(raw: &[u8], reading: &mut Reading<'_, Id>) -> Result<(), Error> {
    let mut fields = Fields::new(raw);
    loop {
        while let Some(message) = fields.tagged(FIRST)? {
            series(message, reading)?;
        }
        let Some(field) = fields.next()? else {
            return Ok(());
        };
        match field.number {
            1 => series(field.bytes()?, reading)?,
            3 => {
                if let Some(family) = family(field.bytes()?)? {
                    reading.out.push_family(family);
                }
            }
            _ => {}
        }
    }
}

/// What is said of a metric; nothing when its texts are none.
fn family(message: &[u8]) -> Result<Option<Family>, Error> {
    let mut kind = MetricKind::Unknown;
    let [mut name, mut help, mut unit]: [&[u8]; 3] = [&[]; 3];
    let mut fields = Fields::new(message);
    while let Some(field) = fields.next()? {
        match field.number {
            1 => kind = MetricKind::from_code(u8::try_from(field.varint()?).unwrap_or_default()),
            2 => name = field.bytes()?,
            4 => help = field.bytes()?,
            5 => unit = field.bytes()?,
            _ => {}
        }
    }
    Ok(family_of(kind, name, help, unit))
}

#[inline]
fn series<Id: Copy>(message: &[u8], reading: &mut Reading<'_, Id>) -> Result<(), Error> {
    let from = reading.out.times.len();
    if let Some((entry, rest)) = foreseen(message, reading) {
        if let Some((time, value)) = only_sample(rest) {
            reading.push(time, value)?;
            reading.is_guess(entry);
            return Ok(());
        }
        let skipped = reading.out.skipped;
        if samples(rest, reading)? == End::Clean {
            reading.is_guess(entry);
            return Ok(());
        }
        reading.out.truncate(from);
        reading.out.skipped = skipped;
    }
    unforeseen(message, reading)
}

/// The entry that is expected here, if this series begins with its labels and goes on with something
/// else than a label; and that something.
///
/// Labels that were learned are whole fields, so bytes that are equal to them are the same fields.
#[inline]
fn foreseen<'a, 'm, Id: Copy>(
    message: &'a [u8],
    reading: &Reading<'m, Id>,
) -> Option<(&'m Entry<Id>, &'a [u8])> {
    let entry = reading.guessed()?;
    let (labels, rest) = message.split_at_checked(entry.length as usize)?;
    let goes_on = rest.first() == Some(&FIRST);
    (!goes_on && reading.memory.key().text(labels) == entry.digest).then_some((entry, rest))
}

/// The sample, when it is the only thing there and written as usual.
#[inline]
fn only_sample(rest: &[u8]) -> Option<(i64, f64)> {
    match rest {
        // A length of one byte, because the usual samples are short.
        [SAMPLE, length, message @ ..] if usize::from(*length) == message.len() => {
            usual_sample(message)
        }
        _ => None,
    }
}

/// A series that did not come where it was expected, or is written in an odd way.
fn unforeseen<Id: Copy>(message: &[u8], reading: &mut Reading<'_, Id>) -> Result<(), Error> {
    let from = reading.out.times.len();
    let skipped = reading.out.skipped;
    let mut fields = Fields::new(message);
    while fields.tagged(FIRST)?.is_some() {}
    let rest = fields.rest();
    let labels = &message[..message.len() - rest.len()];
    if samples(rest, reading)? == End::Clean {
        return identify(labels, from, reading);
    }
    reading.out.truncate(from);
    reading.out.skipped = skipped;
    // Labels stand among or behind the samples: they are put together as if they did not.
    let mut scattered = std::mem::take(&mut reading.out.scattered);
    scattered.clear();
    let mut fields = Fields::new(message);
    loop {
        let before = fields.rest();
        let Some(field) = fields.next()? else {
            break;
        };
        if field.number == 1 {
            field.bytes()?;
            scattered.extend_from_slice(&before[..before.len() - fields.rest().len()]);
        }
    }
    samples(message, reading)?;
    let result = identify(&scattered, from, reading);
    reading.out.scattered = scattered;
    result
}

/// Reads samples and counts what is not kept.
fn samples<Id: Copy>(rest: &[u8], reading: &mut Reading<'_, Id>) -> Result<End, Error> {
    let mut end = End::Clean;
    let mut fields = Fields::new(rest);
    while let Some(field) = fields.next()? {
        match field.number {
            1 => {
                field.bytes()?;
                end = End::Labels;
            }
            2 => reading.sample(field.bytes()?)?,
            3 => {
                field.bytes()?;
                reading.out.skipped.exemplars += 1;
            }
            4 => {
                field.bytes()?;
                reading.out.skipped.histograms += 1;
            }
            _ => {}
        }
    }
    Ok(end)
}

/// Finds or puts aside the series of the samples from `from` on.
fn identify<Id: Copy>(
    labels: &[u8],
    from: usize,
    reading: &mut Reading<'_, Id>,
) -> Result<(), Error> {
    if labels.len() > TEXT_BYTES_MAX {
        let refusal = Refusal {
            reason: Reason::TooLong,
            what: format!(
                "labels of {} bytes, more than {TEXT_BYTES_MAX}",
                labels.len()
            ),
        };
        reading.out.refuse(from, refusal);
        return Ok(());
    }
    let met = Trait {
        digest: reading.memory.key().text(labels),
        length: u32::try_from(labels.len()).unwrap_or(Trait::UNBOUND),
    };
    reading.is(from, met, MetricKind::Unknown, || build(labels))
}

/// The labels in a run of label fields.
fn build(labels: &[u8]) -> Result<Result<Labels, Refusal>, Error> {
    let mut pairs = Pairs::default();
    let mut fields = Fields::new(labels);
    while let Some(label) = fields.next()? {
        let mut parts = Fields::new(label.bytes()?);
        let (mut name, mut value): (&[u8], &[u8]) = (&[], &[]);
        while let Some(part) = parts.next()? {
            match part.number {
                1 => name = part.bytes()?,
                2 => value = part.bytes()?,
                _ => {}
            }
        }
        pairs.push(name, value);
    }
    Ok(pairs.build())
}
