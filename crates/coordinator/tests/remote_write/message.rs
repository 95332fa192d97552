//! Remote-write messages as senders write them, and as none should.

/// The versions of the protocol.
pub(super) const VERSIONS: [Version; 2] = [Version::V1, Version::V2];

/// A version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// `prometheus.WriteRequest`.
    V1,
    /// `io.prometheus.write.v2.Request`.
    V2,
}

impl Version {
    /// The headers that its senders send.
    pub(super) const fn headers(self) -> &'static str {
        match self {
            Self::V1 => {
                "Content-Type: application/x-protobuf\r\nContent-Encoding: snappy\r\n\
                 X-Prometheus-Remote-Write-Version: 0.1.0\r\nUser-Agent: test\r\n"
            }
            Self::V2 => {
                "Content-Type: application/x-protobuf;proto=io.prometheus.write.v2.Request\r\n\
                 Content-Encoding: snappy\r\nX-Prometheus-Remote-Write-Version: 2.0.0\r\n\
                 User-Agent: test\r\n"
            }
        }
    }
}

/// A protobuf message that is written field by field.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields(pub(super) Vec<u8>);

impl Fields {
    fn number(&mut self, mut value: u64) {
        while value > 0x7f {
            self.0.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.0.push(value.to_le_bytes()[0]);
    }

    /// A number.
    pub(super) fn varint(mut self, field: u64, value: u64) -> Self {
        self.number(field << 3);
        self.number(value);
        self
    }

    /// A double.
    pub(super) fn double(mut self, field: u64, value: f64) -> Self {
        self.number(field << 3 | 1);
        self.0.extend(value.to_bits().to_le_bytes());
        self
    }

    /// A text or an inner message.
    pub(super) fn bytes(mut self, field: u64, bytes: impl AsRef<[u8]>) -> Self {
        self.number(field << 3 | 2);
        self.number(bytes.as_ref().len() as u64);
        self.0.extend_from_slice(bytes.as_ref());
        self
    }

    fn packed(self, field: u64, values: &[u64]) -> Self {
        let mut run = Self::default();
        values.iter().for_each(|value| run.number(*value));
        self.bytes(field, run)
    }
}

impl AsRef<[u8]> for Fields {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// One series as a sender has it.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    /// Names and values in this order.
    pub(super) labels: Vec<(Vec<u8>, Vec<u8>)>,
    /// Times and values in this order.
    pub(super) samples: Vec<(i64, f64)>,
    /// How many native histograms are with it.
    pub(super) histograms: usize,
    /// How many exemplars are with it.
    pub(super) exemplars: usize,
    /// Version 2's number of its kind.
    pub(super) kind: u64,
    /// References of version 2 that are added to those of the labels.
    pub(super) references: Vec<u64>,
}

impl Sent {
    /// Labels in this order, and samples as time and value.
    pub(super) fn new(labels: &[(&str, &str)], samples: &[(i64, f64)]) -> Self {
        let owned = |text: &str| text.as_bytes().to_vec();
        let labels = labels.iter();
        Self {
            labels: labels.map(|(n, v)| (owned(n), owned(v))).collect(),
            samples: samples.to_vec(),
            histograms: 0,
            exemplars: 0,
            kind: 0,
            references: Vec::new(),
        }
    }

    /// With another label, of any bytes.
    pub(super) fn label(mut self, name: &[u8], value: &[u8]) -> Self {
        self.labels.push((name.to_vec(), value.to_vec()));
        self
    }

    fn samples(&self, series: Fields) -> Fields {
        let samples = self.samples.iter();
        samples.fold(series, |series, (time, value)| {
            let sample = Fields::default().double(1, *value);
            series.bytes(2, sample.varint(2, time.cast_unsigned()))
        })
    }
}

/// A histogram of a count and a sum, and an exemplar of a value and a time, as far as anyone reads.
fn extra() -> Fields {
    Fields::default().double(2, 1.0).varint(3, 1)
}

/// The message of these series, not packed.
pub(super) fn message(version: Version, sent: &[Sent]) -> Fields {
    match version {
        Version::V1 => message_1(sent),
        Version::V2 => message_2(sent),
    }
}

fn message_1(sent: &[Sent]) -> Fields {
    let mut message = Fields::default();
    for it in sent {
        let labels = it.labels.iter();
        let labels = labels.fold(Fields::default(), |series, (name, value)| {
            series.bytes(1, Fields::default().bytes(1, name).bytes(2, value))
        });
        let mut series = it.samples(labels);
        for _ in 0..it.exemplars {
            series = series.bytes(3, extra());
        }
        for _ in 0..it.histograms {
            series = series.bytes(4, extra());
        }
        message = message.bytes(1, series);
    }
    message
}

fn message_2(sent: &[Sent]) -> Fields {
    let mut symbols: Vec<&[u8]> = vec![b""];
    let mut all = Vec::new();
    for it in sent {
        let mut references = Vec::new();
        for text in it.labels.iter().flat_map(|(name, value)| [name, value]) {
            let known = symbols.iter().position(|symbol| symbol == text);
            references.push(known.unwrap_or(symbols.len()) as u64);
            if known.is_none() {
                symbols.push(text);
            }
        }
        references.extend(&it.references);
        let mut series = it.samples(Fields::default().packed(1, &references));
        for _ in 0..it.histograms {
            series = series.bytes(3, extra());
        }
        for _ in 0..it.exemplars {
            series = series.bytes(4, extra());
        }
        all.push(series.bytes(5, Fields::default().varint(1, it.kind).varint(3, 0)));
    }
    let symbols = symbols.iter();
    let message = symbols.fold(Fields::default(), |all, text| all.bytes(4, text));
    all.iter().fold(message, |all, series| all.bytes(5, series))
}

/// As a snappy block.
pub(super) fn pack(message: impl AsRef<[u8]>) -> Vec<u8> {
    snap::raw::Encoder::new()
        .compress_vec(message.as_ref())
        .unwrap()
}
