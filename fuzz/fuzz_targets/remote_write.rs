//! Decoding remote write of both versions, two bodies in a row: what a memory recognises is what
//! reading without one finds.
#![no_main]

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use fuzz::{Input, MIB, within};
use libfuzzer_sys::fuzz_target;
use remote::{Decoded, Memory, Reason, Version};
use series::{Labels, MetricKind};

/// Bytes that a message may need, besides 300 for each of its own: its tables grow by doubling, and
/// a series of two bytes is some vectors.
const BYTES_MAX: usize = MIB;

fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    let head = input.u8();
    let version = |bit: u8| {
        if head & bit == 0 {
            Version::V1
        } else {
            Version::V2
        }
    };
    // So few, for most, that the memory starts over now and then.
    let entries_max = 1 << (head >> 3);
    let mut receiver = Receiver::new(entries_max);
    let first = input.piece();
    let second = input.rest();
    // The third time all is known, and in its usual order.
    for (version, body) in [
        (version(1), first),
        (version(2), second),
        (version(2), second),
    ] {
        let known = receiver.receive(version, body);
        assert_eq!(known, Receiver::new(1).receive(version, body));
    }
    let is_clean = receiver.decoded.refused().is_empty();
    if is_clean && entries_max > data.len() {
        assert_eq!(receiver.decoded.met().unknown, 0);
    }
});

/// What came of a message: series, time and bits of the value, in order; and refusals by reason.
type Received = Option<(Vec<(Labels, i64, u64)>, Vec<u64>)>;

/// Gives out ids and keeps whose they are, as a store does.
struct Receiver {
    series: Vec<(Labels, MetricKind)>,
    memory: Memory<u32>,
    decoded: Decoded<u32>,
}

impl Receiver {
    fn new(entries_max: usize) -> Self {
        // The same each time, so that a crash comes again.
        let random = BuildHasherDefault::<DefaultHasher>::default();
        assert_eq!(random.hash_one(1), random.hash_one(1));
        Self {
            series: Vec::new(),
            memory: Memory::new(entries_max, &random),
            decoded: Decoded::default(),
        }
    }

    fn id(&mut self, series: (Labels, MetricKind)) -> Option<u32> {
        let found = self.series.iter().position(|known| known.0 == series.0);
        let index = found.unwrap_or_else(|| {
            self.series.push(series);
            self.series.len() - 1
        });
        u32::try_from(index).ok()
    }

    fn receive(&mut self, version: Version, body: &[u8]) -> Received {
        let (memory, decoded) = (&self.memory, &mut self.decoded);
        within(300 * body.len() + BYTES_MAX, || {
            remote::decode(version, body, memory, decoded)
        })
        .ok()?;
        if self.decoded.has_unknown() {
            let unknown = self.decoded.take_unknown();
            let ids: Vec<_> = unknown.into_iter().map(|series| self.id(series)).collect();
            self.decoded.settle(ids);
            self.memory.learn(&self.decoded);
        }
        let samples = self.decoded.samples();
        assert_eq!(samples.ids.len(), samples.times.len());
        assert_eq!(samples.ids.len(), samples.values.len());
        let mut rows = Vec::with_capacity(samples.ids.len());
        for ((id, time), value) in samples.ids.iter().zip(samples.times).zip(samples.values) {
            let series = usize::try_from(*id).ok().and_then(|id| self.series.get(id));
            let (labels, _) = series.expect("ids are those that were given");
            rows.push((labels.clone(), *time, value.to_bits()));
        }
        rows.sort();
        let refused = self.decoded.refused();
        let reasons = Reason::ALL.map(|reason| refused.samples_for(reason));
        Some((rows, reasons.to_vec()))
    }
}
