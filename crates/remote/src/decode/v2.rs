//! Version 2: `io.prometheus.write.v2.Request`.
//!
//! ```text
//! Request    { repeated string symbols = 4; repeated TimeSeries timeseries = 5; }
//! TimeSeries { repeated uint32 labels_refs = 1; repeated Sample samples = 2;
//!              repeated Histogram histograms = 3; repeated Exemplar exemplars = 4;
//!              Metadata metadata = 5; }
//! Sample     { double value = 1; int64 timestamp = 2; int64 start_timestamp = 3; }
//! Metadata   { MetricType type = 1; uint32 help_ref = 3; uint32 unit_ref = 4; }
//! ```
//!
//! A reference means another text in every message, so the bytes of a series say nothing by
//! themselves. Each symbol is digested once, and a series is the digest of those of its references
//! and of its kind: one whose kind changes is another one here, and its receiver hears of it.

use series::labels::METRIC_NAME;
use series::{Labels, MetricKind};

use super::{Pairs, Reading, SAMPLE, family_of};
use crate::decoded::{Refusal, Symbols, Trait};
use crate::digest::PARTS_MAX;
use crate::fields::{Fields, Value};
use crate::{Error, Reason, SYMBOLS_MAX};

/// Field 5 of a request with bytes: a series.
const SERIES: u8 = 0x2a;
/// Field 1 of a series with bytes: its references, packed.
const REFERENCES: u8 = 0x0a;

pub(super) fn decode<Id: Copy>(raw: &[u8], reading: &mut Reading<'_, Id>) -> Result<(), Error> {
    let mut symbols = std::mem::take(&mut reading.out.symbols);
    let result =
        read_symbols(raw, reading, &mut symbols).and_then(|()| read_series(raw, reading, &symbols));
    reading.out.symbols = symbols;
    result
}

/// Protobuf lets fields come in any order, so symbols may stand behind the series that need them.
fn read_symbols<Id: Copy>(
    raw: &[u8],
    reading: &Reading<'_, Id>,
    symbols: &mut Symbols,
) -> Result<(), Error> {
    let key = reading.memory.key();
    let mut fields = Fields::new(raw);
    while let Some(field) = fields.next()? {
        if field.number != 4 {
            continue;
        }
        let text = field.bytes()?;
        if symbols.digests.len() >= SYMBOLS_MAX {
            return Err(Error::TooMany {
                what: "symbols",
                max: SYMBOLS_MAX,
            });
        }
        let end = raw.len() - fields.rest().len();
        symbols.digests.push(key.text(text));
        symbols.places.push(end - text.len()..end);
    }
    Ok(())
}

fn read_series<Id: Copy>(
    raw: &[u8],
    reading: &mut Reading<'_, Id>,
    symbols: &Symbols,
) -> Result<(), Error> {
    let mut fields = Fields::new(raw);
    loop {
        while let Some(message) = fields.tagged(SERIES)? {
            series(raw, message, reading, symbols)?;
        }
        let Some(field) = fields.next()? else {
            return Ok(());
        };
        if field.number == 5 {
            series(raw, field.bytes()?, reading, symbols)?;
        }
    }
}

fn series<Id: Copy>(
    raw: &[u8],
    message: &[u8],
    reading: &mut Reading<'_, Id>,
    symbols: &Symbols,
) -> Result<(), Error> {
    let from = reading.out.times.len();
    let mut said = Metadata::default();
    let mut sequence = reading.memory.key().sequence();
    // The last reference that points to nothing.
    let mut bad = None;
    let mut push = |reference: u64| {
        let digest = symbols.digest(reference);
        if digest.is_none() {
            bad = Some(reference);
        }
        sequence.push(digest.unwrap_or_default());
    };
    let mut fields = Fields::new(message);
    // The order in which everyone writes them.
    if let Some(run) = fields.tagged(REFERENCES)? {
        each(run, &mut push)?;
    }
    while let Some(message) = fields.tagged(SAMPLE)? {
        reading.sample(message)?;
    }
    while let Some(field) = fields.next()? {
        match (field.number, field.value) {
            (1, Value::Bytes(run)) => each(run, &mut push)?,
            (1, _) => push(field.varint()?),
            (2, _) => reading.sample(field.bytes()?)?,
            (3, _) => {
                field.bytes()?;
                reading.out.skipped.histograms += 1;
            }
            (4, _) => {
                field.bytes()?;
                reading.out.skipped.exemplars += 1;
            }
            (5, _) => said = metadata_in(field.bytes()?)?,
            _ => {}
        }
    }
    if let Some(refusal) = refusal(sequence.count(), bad, symbols) {
        reading.out.refuse(from, refusal);
        return Ok(());
    }
    let met = Trait {
        digest: sequence.end(said.kind.code()),
        length: Trait::UNBOUND,
    };
    match reading.guessed() {
        Some(entry) if entry.digest == met.digest && entry.length == met.length => {
            reading.is_guess(entry);
            Ok(())
        }
        _ => {
            let unknown = reading.out.traits.len();
            reading.is(from, met, said.kind, || build(raw, message, symbols))?;
            if reading.out.traits.len() > unknown {
                describe(raw, &said, reading, symbols);
            }
            Ok(())
        }
    }
}

/// Keeps what a series that was put aside says of its metric.
fn describe<Id: Copy>(
    raw: &[u8],
    said: &Metadata,
    reading: &mut Reading<'_, Id>,
    symbols: &Symbols,
) {
    // The first symbol is the empty text.
    if said.help == 0 && said.unit == 0 {
        return;
    }
    let text = |reference| symbols.text(raw, reference);
    let series = reading.out.last_unknown();
    let family = series.and_then(|(labels, kind)| {
        let name = kind.metric_of(labels.get(METRIC_NAME)).as_bytes();
        family_of(*kind, name, text(said.help), text(said.unit))
    });
    if let Some(family) = family {
        reading.out.push_family(family);
    }
}

/// Calls `push` with each number of a packed run.
#[inline]
fn each(run: &[u8], push: &mut impl FnMut(u64)) -> Result<(), Error> {
    let mut run = Fields::new(run);
    while let Some(reference) = run.packed()? {
        push(reference);
    }
    Ok(())
}

/// What is wrong with the references of a series, if something is.
fn refusal(count: usize, bad: Option<u64>, symbols: &Symbols) -> Option<Refusal> {
    let (reason, what) = if count > PARTS_MAX {
        let what = format!("{count} references, more than {PARTS_MAX}");
        (Reason::TooManyLabels, what)
    } else if !count.is_multiple_of(2) {
        (
            Reason::BadReference,
            format!("{count} references, no pairs"),
        )
    } else if let Some(reference) = bad {
        let symbols = symbols.places.len();
        let what = format!("reference {reference}, of {symbols} symbols");
        (Reason::BadReference, what)
    } else {
        return None;
    };
    Some(Refusal { reason, what })
}

/// What a `Metadata` says: its kind, whose numbers are those of [`MetricKind::code`], and references.
#[derive(Clone, Copy, Debug, Default)]
struct Metadata {
    kind: MetricKind,
    help: u64,
    unit: u64,
}

fn metadata_in(message: &[u8]) -> Result<Metadata, Error> {
    let mut metadata = Metadata::default();
    let mut fields = Fields::new(message);
    while let Some(field) = fields.next()? {
        match field.number {
            1 => {
                let code = u8::try_from(field.varint()?).unwrap_or_default();
                metadata.kind = MetricKind::from_code(code);
            }
            3 => metadata.help = field.varint()?,
            4 => metadata.unit = field.varint()?,
            _ => {}
        }
    }
    Ok(metadata)
}

/// The labels of a series whose references are pairs.
fn build(raw: &[u8], message: &[u8], symbols: &Symbols) -> Result<Result<Labels, Refusal>, Error> {
    let mut texts = Vec::new();
    let mut push = |reference| texts.push(symbols.text(raw, reference));
    let mut fields = Fields::new(message);
    while let Some(field) = fields.next()? {
        match (field.number, field.value) {
            (1, Value::Bytes(run)) => each(run, &mut push)?,
            (1, _) => push(field.varint()?),
            _ => {}
        }
    }
    let mut pairs = Pairs::default();
    for [name, value] in texts.as_chunks().0 {
        pairs.push(name, value);
    }
    Ok(pairs.build())
}
