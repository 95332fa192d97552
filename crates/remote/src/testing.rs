//! A small encoder of remote write, for tests.

use std::collections::BTreeMap;

use series::{Labels, MetricKind};

use crate::{Decoded, Error, Memory, Version, decode};

/// A message that is being written field by field, in any order and as wrong as a test likes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Message(pub(crate) Vec<u8>);

impl Message {
    fn number(&mut self, mut value: u64) {
        while value > 0x7f {
            self.0.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.0.push(value.to_le_bytes()[0]);
    }

    pub(crate) fn varint(mut self, field: u64, value: u64) -> Self {
        self.number(field << 3);
        self.number(value);
        self
    }

    pub(crate) fn double(mut self, field: u64, value: f64) -> Self {
        self.number(field << 3 | 1);
        self.0.extend(value.to_bits().to_le_bytes());
        self
    }

    pub(crate) fn bytes(mut self, field: u64, bytes: impl AsRef<[u8]>) -> Self {
        self.number(field << 3 | 2);
        self.number(bytes.as_ref().len() as u64);
        self.0.extend_from_slice(bytes.as_ref());
        self
    }

    pub(crate) fn packed(self, field: u64, values: &[u64]) -> Self {
        let mut run = Self::default();
        values.iter().for_each(|value| run.number(*value));
        self.bytes(field, run)
    }

    pub(crate) fn label(self, name: &str, value: &str) -> Self {
        self.bytes(1, Self::default().bytes(1, name).bytes(2, value))
    }

    /// A sample as proto3 writes it: what is zero is left out.
    pub(crate) fn sample(self, time: i64, value: f64) -> Self {
        let mut sample = Self::default();
        if value.to_bits() != 0 {
            sample = sample.double(1, value);
        }
        if time != 0 {
            sample = sample.varint(2, time.cast_unsigned());
        }
        self.bytes(2, sample)
    }
}

impl AsRef<[u8]> for Message {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// One series as a sender has it.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) kind: MetricKind,
    pub(crate) samples: Vec<(i64, f64)>,
}

impl Sent {
    pub(crate) fn new(labels: &[(&str, &str)], samples: &[(i64, f64)]) -> Self {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self {
            labels: labels.iter().map(owned).collect(),
            kind: MetricKind::Unknown,
            samples: samples.to_vec(),
        }
    }
}

/// A message of either version.
pub(crate) fn encode(version: Version, sent: &[Sent]) -> Vec<u8> {
    match version {
        Version::V1 => encode_v1(sent),
        Version::V2 => encode_v2(sent),
    }
}

fn encode_v1(sent: &[Sent]) -> Vec<u8> {
    let mut message = Message::default();
    for series in sent {
        let mut inner = Message::default();
        for (name, value) in &series.labels {
            inner = inner.label(name, value);
        }
        for (time, value) in &series.samples {
            inner = inner.sample(*time, *value);
        }
        message = message.bytes(1, inner);
    }
    message.0
}

fn encode_v2(sent: &[Sent]) -> Vec<u8> {
    let mut symbols = BTreeMap::from([("", 0)]);
    let mut texts = vec![""];
    let mut all = Vec::new();
    for series in sent {
        let mut references = Vec::new();
        for text in series.labels.iter().flat_map(|(name, value)| [name, value]) {
            let next = symbols.len() as u64;
            references.push(*symbols.entry(text).or_insert_with(|| {
                texts.push(text);
                next
            }));
        }
        let mut inner = Message::default().packed(1, &references);
        for (time, value) in &series.samples {
            inner = inner.sample(*time, *value);
        }
        let metadata = Message::default().varint(1, u64::from(series.kind.code()));
        all.push(inner.bytes(5, metadata.varint(3, 0)));
    }
    let message = Message::default();
    let message = texts.iter().fold(message, |all, text| all.bytes(4, text));
    all.iter()
        .fold(message, |message, series| message.bytes(5, series))
        .0
}

/// Gives out ids and keeps whose they are, as a store does.
#[derive(Debug, Default)]
pub(crate) struct Registry(pub(crate) Vec<(Labels, MetricKind)>);

impl Registry {
    fn id(&mut self, series: (Labels, MetricKind)) -> u32 {
        let found = self.0.iter().position(|known| *known == series);
        let index = found.unwrap_or_else(|| {
            self.0.push(series);
            self.0.len() - 1
        });
        u32::try_from(index).unwrap()
    }

    /// Reads a message as a receiver does, and lists what came: series, time, bits of the value.
    pub(crate) fn receive(
        &mut self,
        version: Version,
        raw: &[u8],
        memory: &mut Memory<u32>,
        out: &mut Decoded<u32>,
    ) -> Result<Vec<(String, i64, u64)>, Error> {
        decode(version, raw, memory, out)?;
        if out.has_unknown() {
            let unknown = out.take_unknown();
            let ids: Vec<u32> = unknown.into_iter().map(|series| self.id(series)).collect();
            out.settle(ids.into_iter().map(Some));
            memory.learn(out);
        }
        let samples = out.samples();
        assert_eq!(samples.ids.len(), samples.times.len());
        assert_eq!(samples.ids.len(), samples.values.len());
        let rows = samples.ids.iter().zip(samples.times).zip(samples.values);
        Ok(rows
            .map(|((id, time), value)| {
                let (labels, kind) = &self.0[*id as usize];
                let series = format!("{labels} {}", kind.as_str());
                (series, *time, value.to_bits())
            })
            .collect())
    }
}
