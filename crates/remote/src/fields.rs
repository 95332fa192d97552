//! Protobuf's wire format, read in place.

use crate::Error;

/// Takes field after field from the front of a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

/// One field.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field<'a> {
    /// Its number, from 1 on.
    pub(crate) number: u64,
    /// What it holds.
    pub(crate) value: Value<'a>,
}

/// What a field holds, by its wire type. Groups are refused where they begin: nothing here was ever
/// written with them, and they nest.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32,
}

impl<'a> Fields<'a> {
    pub(crate) const fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// What has not been read.
    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next field, or `None` at the end.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<Field<'a>>, Error> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let number = tag >> 3;
        let [wire, ..] = (tag & 7).to_le_bytes();
        // Protobuf has no number above 2²⁹ − 1.
        if number == 0 || number >= 1 << 29 {
            return Err(Error::WireType {
                field: number,
                wire,
            });
        }
        let value = match wire {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => Value::Bytes(self.bytes()?),
            5 => {
                self.array::<4>()?;
                Value::Fixed32
            }
            _ => {
                return Err(Error::WireType {
                    field: number,
                    wire,
                });
            }
        };
        Ok(Some(Field { number, value }))
    }

    /// The content of the next field if its tag is just `tag`, which is one byte and says that the
    /// field holds bytes.
    #[inline]
    pub(crate) fn tagged(&mut self, tag: u8) -> Result<Option<&'a [u8]>, Error> {
        match self.rest.split_first() {
            Some((first, rest)) if *first == tag => {
                self.rest = rest;
                self.bytes().map(Some)
            }
            _ => Ok(None),
        }
    }

    /// A varint without a tag, as they stand in packed fields; `None` at the end.
    #[inline]
    pub(crate) fn packed(&mut self) -> Result<Option<u64>, Error> {
        if self.rest.is_empty() {
            Ok(None)
        } else {
            self.varint().map(Some)
        }
    }

    #[inline]
    fn bytes(&mut self) -> Result<&'a [u8], Error> {
        let length = self.varint()?;
        let (bytes, rest) = usize::try_from(length)
            .ok()
            .and_then(|length| self.rest.split_at_checked(length))
            .ok_or(Error::Truncated)?;
        self.rest = rest;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (array, rest) = self.rest.split_first_chunk().ok_or(Error::Truncated)?;
        self.rest = rest;
        Ok(*array)
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, Error> {
        match *self.rest {
            [a, ref rest @ ..] if a < 0x80 => {
                self.rest = rest;
                Ok(u64::from(a))
            }
            [a, b, ref rest @ ..] if b < 0x80 => {
                self.rest = rest;
                Ok(u64::from(a & 0x7f) | u64::from(b) << 7)
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, Error> {
        let mut value = 0;
        for (index, byte) in self.rest.iter().enumerate().take(10) {
            if index == 9 && *byte > 1 {
                return Err(Error::Varint);
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if *byte < 0x80 {
                self.rest = &self.rest[index + 1..];
                return Ok(value);
            }
        }
        Err(Error::Truncated)
    }
}

impl<'a> Field<'a> {
    /// Its bytes, if it has some.
    pub(crate) fn bytes(&self) -> Result<&'a [u8], Error> {
        match self.value {
            Value::Bytes(bytes) => Ok(bytes),
            _ => Err(self.wrong()),
        }
    }

    /// Its number, if it holds one.
    pub(crate) fn varint(&self) -> Result<u64, Error> {
        match self.value {
            Value::Varint(value) => Ok(value),
            _ => Err(self.wrong()),
        }
    }

    /// Its eight bytes as a double, if it has them.
    pub(crate) fn double(&self) -> Result<f64, Error> {
        match self.value {
            Value::Fixed64(bits) => Ok(f64::from_bits(bits)),
            _ => Err(self.wrong()),
        }
    }

    fn wrong(&self) -> Error {
        Error::WireType {
            field: self.number,
            wire: match self.value {
                Value::Varint(_) => 0,
                Value::Fixed64(_) => 1,
                Value::Bytes(_) => 2,
                Value::Fixed32 => 5,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(message: &[u8]) -> Result<Vec<(u64, u64)>, Error> {
        let mut fields = Fields::new(message);
        let mut found = Vec::new();
        while let Some(field) = fields.next()? {
            let value = match field.value {
                Value::Varint(value) | Value::Fixed64(value) => value,
                Value::Bytes(bytes) => bytes.len() as u64,
                Value::Fixed32 => 32,
            };
            found.push((field.number, value));
        }
        Ok(found)
    }

    #[test]
    fn every_wire_type_is_read_or_refused() {
        for (message, found) in [
            (&[0x08, 0x96, 0x01][..], Ok(vec![(1, 150)])),
            (
                &[0x09, 1, 0, 0, 0, 0, 0, 0, 0, 0x10, 0],
                Ok(vec![(1, 1), (2, 0)]),
            ),
            (
                &[0x1a, 2, 7, 7, 0x25, 0, 0, 0, 0],
                Ok(vec![(3, 2), (4, 32)]),
            ),
            (&[0x8a, 0x00, 0x00], Ok(vec![(1, 0)])),
            (&[0x0b], Err(Error::WireType { field: 1, wire: 3 })),
            (&[0x0c], Err(Error::WireType { field: 1, wire: 4 })),
            (&[0x0e, 0], Err(Error::WireType { field: 1, wire: 6 })),
            (&[0x02, 0], Err(Error::WireType { field: 0, wire: 2 })),
            (&[0x08], Err(Error::Truncated)),
            (&[0x09, 1, 2, 3], Err(Error::Truncated)),
            (&[0x0a, 0xff, 0x01, 3], Err(Error::Truncated)),
            (&[0x80], Err(Error::Truncated)),
        ] {
            assert_eq!(all(message), found, "{message:?}");
        }
    }

    #[test]
    fn a_varint_has_at_most_64_bits() {
        let mut message = vec![0x08];
        message.extend([0xff; 9]);
        message.push(0x01);
        assert_eq!(all(&message), Ok(vec![(1, u64::MAX)]));
        message[10] = 0x02;
        assert_eq!(all(&message), Err(Error::Varint));
        message[10] = 0x81;
        message.push(0);
        assert_eq!(all(&message), Err(Error::Varint));
    }
}
