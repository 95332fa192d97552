//! From a message to samples.

mod v1;
mod v2;

use series::labels::METRIC_NAME;
use series::{Family, Labels, LabelsBuilder, MetricKind};

use crate::decoded::{Link, Refusal, Trait};
use crate::fields::Fields;
use crate::memory::{Entry, NONE};
use crate::{Decoded, Error, Memory, Reason, SAMPLES_MAX, Version};

/// Field 2 of a series with bytes, in both versions: a sample.
const SAMPLE: u8 = 0x12;

/// Reads a message. Afterwards `out` holds the samples of the series that `memory` knows, the series
/// that it does not know with their samples, and counts of all else.
///
/// # Errors
/// When `raw` is not a message of this version, or is too large. Nothing of it is in `out` then.
pub fn decode<Id: Copy>(
    version: Version,
    raw: &[u8],
    memory: &Memory<Id>,
    out: &mut Decoded<Id>,
) -> Result<(), Error> {
    out.clear();
    out.generation = memory.generation();
    let result = match version {
        Version::V1 => v1::decode(raw, &mut Reading::new(memory, out)),
        Version::V2 => v2::decode(raw, &mut Reading::new(memory, out)),
    };
    if result.is_err() {
        out.clear();
    }
    result
}

/// A message on its way: what is known, what was found, and where the sender's order stands.
#[derive(Debug)]
struct Reading<'a, Id> {
    memory: &'a Memory<Id>,
    out: &'a mut Decoded<Id>,
    /// The series before.
    last: Link,
    /// The place of what followed it last time.
    guess: u32,
}

/// Where the samples of a series end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Nothing but samples and what is stepped over was there.
    Clean,
    /// There are labels among or behind the samples.
    Labels,
}

impl<'a, Id: Copy> Reading<'a, Id> {
    const fn new(memory: &'a Memory<Id>, out: &'a mut Decoded<Id>) -> Self {
        Self {
            memory,
            out,
            last: Link::Start,
            guess: NONE,
        }
    }

    fn guessed(&self) -> Option<&'a Entry<Id>> {
        self.memory.at(self.guess)
    }

    /// The samples without an id yet are those of the entry that was foreseen.
    #[inline]
    fn is_guess(&mut self, entry: &Entry<Id>) {
        // Nearly always it is one, and `resize` is no small function.
        for _ in self.out.ids.len()..self.out.times.len() {
            self.out.ids.push(entry.id);
        }
        self.out.met.foreseen += 1;
        self.last = Link::Known(self.guess);
        self.guess = entry.next();
    }

    /// The samples from `from` on are those of a series that was not foreseen.
    fn is(
        &mut self,
        from: usize,
        met: Trait,
        kind: MetricKind,
        build: impl FnOnce() -> Result<Result<Labels, Refusal>, Error>,
    ) -> Result<(), Error> {
        if let Some((place, entry)) = self.memory.find(met) {
            self.out.ids.resize(self.out.times.len(), entry.id);
            self.out.met.found += 1;
            match self.last {
                Link::Start => {}
                Link::Known(last) => self.memory.follow(last, place),
                Link::Unknown(_) => self.out.links.push((self.last, Link::Known(place))),
            }
            self.last = Link::Known(place);
            self.guess = entry.next();
            return Ok(());
        }
        // A series without samples needs no id.
        if self.out.times.len() == from {
            return Ok(());
        }
        self.out.met.unknown += 1;
        if let Some(index) = self.out.put_aside(from, met, kind, build)? {
            let here = Link::Unknown(index);
            self.out.links.push((self.last, here));
            self.last = here;
            self.guess = NONE;
        }
        Ok(())
    }

    /// Reads one sample, field 2 of a series in both versions. Version 2's time of the start is
    /// stepped over.
    #[inline]
    fn sample(&mut self, message: &[u8]) -> Result<(), Error> {
        match usual_sample(message) {
            Some((time, value)) => self.push(time, value),
            None => self.unusual_sample(message),
        }
    }

    fn unusual_sample(&mut self, message: &[u8]) -> Result<(), Error> {
        let (mut time, mut value) = (0, 0.0);
        let mut fields = Fields::new(message);
        while let Some(field) = fields.next()? {
            match field.number {
                1 => value = field.double()?,
                2 => time = field.varint()?.cast_signed(),
                _ => {}
            }
        }
        self.push(time, value)
    }

    #[inline]
    fn push(&mut self, time: i64, value: f64) -> Result<(), Error> {
        if self.out.samples_read() >= SAMPLES_MAX {
            return Err(Error::TooMany {
                what: "samples",
                max: SAMPLES_MAX,
            });
        }
        self.out.times.push(time);
        self.out.values.push(value);
        Ok(())
    }
}

/// A sample that is written as everyone writes it: its value (left out when zero), then its time,
/// which takes six bytes from 1971 to 2109.
#[inline]
fn usual_sample(message: &[u8]) -> Option<(i64, f64)> {
    let bits = match *message {
        [0x09, a, b, c, d, e, f, g, h, 0x10, _, _, _, _, _, _] => {
            u64::from_le_bytes([a, b, c, d, e, f, g, h])
        }
        [0x10, _, _, _, _, _, _] => 0,
        _ => return None,
    };
    let [.., a, b, c, d, e, f] = *message else {
        return None;
    };
    let time = u64::from_le_bytes([a, b, c, d, e, f, 0, 0]);
    // Five bytes that say that another one follows, and one that says that it is the last.
    if time & 0x8080_8080_8080 != 0x0080_8080_8080 {
        return None;
    }
    // Groups of seven bits move together: two become one of 14, and three of those one of 42.
    let pairs = time & 0x007f_007f_007f | (time & 0x7f00_7f00_7f00) >> 1;
    let time = pairs & 0x3fff | (pairs & 0x3fff_0000) >> 2 | (pairs & 0x3fff_0000_0000) >> 4;
    Some((time.cast_signed(), f64::from_bits(bits)))
}

/// What is said of a metric; nothing when the texts are not UTF-8.
fn family_of(kind: MetricKind, name: &[u8], help: &[u8], unit: &[u8]) -> Option<Family> {
    let text = |bytes: &[u8]| str::from_utf8(bytes).ok().map(str::to_owned);
    Some(Family {
        name: text(name)?,
        kind,
        help: text(help)?,
        unit: text(unit)?,
    })
}

/// Labels as they are being read, up to the first thing that is wrong with them.
#[derive(Debug, Default)]
struct Pairs {
    builder: LabelsBuilder,
    bad: Option<Refusal>,
}

impl Pairs {
    /// Adds a pair. One without a value is no label, whatever its name.
    fn push(&mut self, name: &[u8], value: &[u8]) {
        if let (Ok(name), Ok(value)) = (str::from_utf8(name), str::from_utf8(value)) {
            self.builder.push(name, value);
        } else if self.bad.is_none() {
            let [name, value] = [name, value].map(String::from_utf8_lossy);
            self.bad = Some(Refusal {
                reason: Reason::NotUtf8,
                what: format!("label {name:?}={value:?} is not UTF-8"),
            });
        }
    }

    fn build(self) -> Result<Labels, Refusal> {
        if let Some(bad) = self.bad {
            return Err(bad);
        }
        let labels = self.builder.build().map_err(|error| Refusal {
            reason: Reason::of(&error),
            what: error.to_string(),
        })?;
        if labels.get(METRIC_NAME).is_empty() {
            return Err(Refusal {
                reason: Reason::NoName,
                what: labels.to_string(),
            });
        }
        Ok(labels)
    }
}

#[cfg(test)]
mod tests;
