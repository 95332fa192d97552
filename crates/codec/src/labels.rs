//! Label sets: one as a database row, many as a dictionary.

use std::collections::HashMap;

use series::limits::{BLOCK_COLUMNS_MAX, LABELS_BYTES_MAX, LABELS_PER_SERIES_MAX};
use series::{Labels, LabelsBuilder, MetricKind};

use crate::bytes::{Reader, put_varint};
use crate::{Error, compress, decompress};

const WHAT: &str = "a label set";
const LIST: &str = "a dictionary of label sets";
const MAGIC: [u8; 4] = *b"VDTL";
const VERSION: u8 = 1;
/// Magic, version, length of the zstd frame.
const HEAD_BYTES: usize = 9;

/// Most bytes of a label set: its text, a byte for their number, and at most three for each length.
const SET_BYTES_MAX: usize = LABELS_BYTES_MAX + 1 + 2 * 3 * LABELS_PER_SERIES_MAX;

/// Above 9 a dictionary shrinks by less than a hundredth and takes several times as long.
const ZSTD_LEVEL: i32 = 9;

/// Most bytes of an unpacked dictionary, before its text is multiplied out.
const UNPACKED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Most bytes of names and values in one dictionary when each label set has its own copy: a
/// kibibyte for each of [`BLOCK_COLUMNS_MAX`] series.
const TEXT_BYTES_MAX: usize = 128 * 1024 * 1024;

/// Most different names and values in one dictionary: sixteen new ones for each of
/// [`BLOCK_COLUMNS_MAX`] series.
const TEXTS_MAX: usize = 2 * 1024 * 1024;

/// Appends one label set: the number of pairs, then each name and value with its length.
pub fn encode_labels(labels: &Labels, out: &mut Vec<u8>) {
    put_varint(out, labels.len() as u64);
    for (name, value) in labels.iter() {
        for text in [name, value] {
            put_varint(out, text.len() as u64);
            out.extend_from_slice(text.as_bytes());
        }
    }
}

/// Reads what [`encode_labels`] wrote, which must be all of `bytes`. It allocates at most a few
/// times [`LABELS_BYTES_MAX`].
///
/// # Errors
/// When bytes are missing or left over, or when the set breaks a rule of [`Labels`].
pub fn decode_labels(bytes: &[u8]) -> Result<Labels, Error> {
    // Before the pieces are copied: each may be as long as all together.
    if bytes.len() > SET_BYTES_MAX {
        return Err(Error::TooLarge {
            what: "the length of a label set",
            got: bytes.len() as u64,
            max: SET_BYTES_MAX as u64,
        });
    }
    let mut reader = Reader::new(bytes, WHAT);
    let mut builder = LabelsBuilder::default();
    for _ in 0..reader.count("the number of labels", LABELS_PER_SERIES_MAX)? {
        let name = take_text(&mut reader)?;
        let value = take_text(&mut reader)?;
        builder.push(name, value);
    }
    reader.finish()?;
    builder
        .build()
        .map_err(|source| Error::Labels { index: 0, source })
}

fn take_text<'a>(reader: &mut Reader<'a>) -> Result<&'a str, Error> {
    let length = reader.count("the length of a label", LABELS_BYTES_MAX)?;
    std::str::from_utf8(reader.bytes(length)?).map_err(|_source| Error::Invalid {
        what: "a label that is not UTF-8",
    })
}

/// Appends a dictionary: label sets with the kinds of their metrics, in the order given, which need
/// not be sorted but is smaller when it is. A kind that is missing is [`MetricKind::Unknown`].
///
/// What is decoded is bounded: at most [`BLOCK_COLUMNS_MAX`] sets with 128 MiB of text, 2 Mi of
/// them different. A caller with more splits them.
pub fn encode_labels_list(list: &[Labels], kinds: &[MetricKind], out: &mut Vec<u8>) {
    let mut texts = Texts::default();
    let mut sets = Vec::new();
    let mut before: &[(u64, u64)] = &[];
    let numbered: Vec<Vec<(u64, u64)>> = list
        .iter()
        .map(|labels| {
            labels
                .iter()
                .map(|(name, value)| (texts.number(name), texts.number(value)))
                .collect()
        })
        .collect();
    // A text's first use is written as 0, so the numbers follow from the order of first use.
    let mut known = 0;
    let mut put_number = |number: u64, sets: &mut Vec<u8>| {
        if number == known {
            known += 1;
            sets.push(0);
        } else {
            put_varint(sets, number + 1);
        }
    };
    for (index, pairs) in numbered.iter().enumerate() {
        sets.push(kinds.get(index).copied().unwrap_or_default().code());
        let same = before.iter().zip(pairs).take_while(|(a, b)| a == b).count();
        put_varint(&mut sets, same as u64);
        put_varint(&mut sets, (pairs.len() - same) as u64);
        for &(name, value) in pairs.iter().skip(same) {
            put_number(name, &mut sets);
            put_number(value, &mut sets);
        }
        before = pairs;
    }
    let mut plain = Vec::new();
    put_varint(&mut plain, list.len() as u64);
    put_varint(&mut plain, texts.count);
    put_varint(&mut plain, texts.bytes.len() as u64);
    plain.extend_from_slice(&texts.bytes);
    plain.extend_from_slice(&sets);

    let mut frame = Vec::new();
    compress(&plain, ZSTD_LEVEL, &mut frame);
    let start = out.len();
    out.extend_from_slice(&MAGIC);
    out.push(VERSION);
    // 131 072 sets of 32 KiB are 4 GiB at the very worst, before compression.
    out.extend_from_slice(&u32::try_from(frame.len()).unwrap_or(u32::MAX).to_le_bytes());
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(out.get(start..).unwrap_or_default());
    hasher.update(&frame);
    out.extend_from_slice(&hasher.finalize().to_le_bytes());
    out.extend_from_slice(&frame);
}

/// Every text once, in the order of first use, front-coded: how many bytes it shares with the one
/// before it, how many follow, those.
#[derive(Default)]
struct Texts<'a> {
    numbers: HashMap<&'a str, u64>,
    last: &'a str,
    count: u64,
    bytes: Vec<u8>,
}

impl<'a> Texts<'a> {
    fn number(&mut self, text: &'a str) -> u64 {
        if let Some(&number) = self.numbers.get(text) {
            return number;
        }
        let shared = self
            .last
            .bytes()
            .zip(text.bytes())
            .take_while(|(old, new)| old == new)
            .count();
        let rest = text.as_bytes().get(shared..).unwrap_or_default();
        put_varint(&mut self.bytes, shared as u64);
        put_varint(&mut self.bytes, rest.len() as u64);
        self.bytes.extend_from_slice(rest);
        self.last = text;
        self.numbers.insert(text, self.count);
        self.count += 1;
        self.count - 1
    }
}

/// Reads what [`encode_labels_list`] wrote, which must be all of `bytes`. It allocates at most 64 MiB
/// for the unpacked section, 176 MiB for its texts and 160 MiB for the label sets, and in practice
/// a few times their text.
///
/// # Errors
/// When this is no dictionary, when it is of a later version, damaged or beyond its bounds, or
/// when a set breaks a rule of [`Labels`].
pub fn decode_labels_list(bytes: &[u8]) -> Result<Vec<(Labels, MetricKind)>, Error> {
    let plain = unpacked(bytes)?;
    let mut reader = Reader::new(&plain, LIST);
    let set_count = reader.count("the number of label sets", BLOCK_COLUMNS_MAX)?;
    let text_count = reader.count("the number of texts", TEXTS_MAX)?;
    let text_len = reader.count("the length of the texts", plain.len())?;
    let texts = take_texts(reader.bytes(text_len)?, text_count)?;

    let mut list = Vec::with_capacity(set_count.min(plain.len()));
    let mut pairs: Vec<(&str, &str)> = Vec::new();
    let (mut known, mut text_bytes) = (0, 0_usize);
    for index in 0..set_count {
        let kind = MetricKind::from_code(reader.u8()?);
        let same = reader.count("the number of shared labels", pairs.len())?;
        pairs.truncate(same);
        for _ in 0..reader.count("the number of labels", LABELS_PER_SERIES_MAX - same)? {
            let name = take_number(&mut reader, &texts, &mut known)?;
            let value = take_number(&mut reader, &texts, &mut known)?;
            pairs.push((name, value));
        }
        let labels = Labels::new(&pairs).map_err(|source| Error::Labels { index, source })?;
        text_bytes += labels.text_bytes();
        if text_bytes > TEXT_BYTES_MAX {
            return Err(Error::TooLarge {
                what: "the text of a dictionary",
                got: text_bytes as u64,
                max: TEXT_BYTES_MAX as u64,
            });
        }
        list.push((labels, kind));
    }
    reader.finish()?;
    Ok(list)
}

fn take_number<'a>(
    reader: &mut Reader<'_>,
    texts: &'a [String],
    known: &mut usize,
) -> Result<&'a str, Error> {
    let number = match reader.count("the number of a text", texts.len())? {
        0 => {
            *known += 1;
            *known - 1
        }
        number => number - 1,
    };
    texts.get(number).map(String::as_str).ok_or(Error::Invalid {
        what: "the number of a text",
    })
}

fn take_texts(bytes: &[u8], count: usize) -> Result<Vec<String>, Error> {
    let mut reader = Reader::new(bytes, LIST);
    let mut texts: Vec<String> = Vec::new();
    let mut total = 0_usize;
    for _ in 0..count {
        let last = texts.last().map_or("", String::as_str).as_bytes();
        let shared = reader.count("the shared bytes of a text", last.len())?;
        let rest = reader.count("the length of a text", LABELS_BYTES_MAX)?;
        let mut text = last.get(..shared).unwrap_or_default().to_vec();
        text.extend_from_slice(reader.bytes(rest)?);
        total += text.len();
        if text.len() > LABELS_BYTES_MAX || total > TEXT_BYTES_MAX {
            return Err(Error::TooLarge {
                what: "the text of a dictionary",
                got: total as u64,
                max: TEXT_BYTES_MAX as u64,
            });
        }
        texts.push(String::from_utf8(text).map_err(|_source| Error::Invalid {
            what: "a text that is not UTF-8",
        })?);
    }
    reader.finish()?;
    Ok(texts)
}

/// Checks the head and unpacks the rest.
fn unpacked(bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let mut reader = Reader::new(bytes, LIST);
    if reader.array()? != MAGIC {
        return Err(Error::BadMagic { what: LIST });
    }
    let version = reader.u8()?;
    if version != VERSION {
        return Err(Error::UnknownVersion {
            what: LIST,
            version,
        });
    }
    let length = reader.u32()? as usize;
    let stored = reader.u32()?;
    let frame = reader.bytes(length)?;
    reader.finish()?;
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(bytes.get(..HEAD_BYTES).unwrap_or_default());
    hasher.update(frame);
    let computed = hasher.finalize();
    if stored != computed {
        return Err(Error::BadChecksum { stored, computed });
    }
    decompress(frame, UNPACKED_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some_labels() -> Vec<Labels> {
        let mut list = vec![Labels::default()];
        for metric in ["vllm:requests_total", "vllm:tokens_total", "up"] {
            for node in 0..50 {
                let node = format!("node-{node:03}");
                list.push(
                    Labels::with_name(metric, &[("node", &node), ("job", "vllm"), ("ü", "é")])
                        .or_else(|_| Labels::with_name(metric, &[("node", &node), ("e", "é")]))
                        .unwrap(),
                );
            }
        }
        list
    }

    #[test]
    fn a_single_set_comes_back() {
        for labels in some_labels() {
            let mut out = vec![];
            encode_labels(&labels, &mut out);
            assert_eq!(decode_labels(&out).unwrap(), labels);
            assert!(decode_labels(&out[..out.len() - 1]).is_err());
            out.push(0);
            assert!(matches!(
                decode_labels(&out),
                Err(Error::Trailing { bytes: 1, .. })
            ));
        }
    }

    #[test]
    fn the_largest_set_comes_back_and_a_larger_one_is_not_copied() {
        let names: Vec<String> = (0..64).map(|number| format!("{number:_>30}")).collect();
        let value = "v".repeat(LABELS_BYTES_MAX / 64 - 30);
        let pairs: Vec<(&str, &str)> = names
            .iter()
            .map(|name| (name.as_str(), value.as_str()))
            .collect();
        let labels = Labels::new(&pairs).unwrap();
        assert_eq!(labels.text_bytes(), LABELS_BYTES_MAX);
        let mut out = vec![];
        encode_labels(&labels, &mut out);
        assert_eq!(decode_labels(&out).unwrap(), labels);
        let mut out = vec![64];
        for _ in 0..128 {
            put_varint(&mut out, LABELS_BYTES_MAX as u64);
            out.extend_from_slice(&[b'a'; LABELS_BYTES_MAX]);
        }
        assert!(matches!(decode_labels(&out), Err(Error::TooLarge { .. })));
    }

    #[test]
    fn a_dictionary_comes_back_in_its_order() {
        let list = some_labels();
        let kinds: Vec<MetricKind> = MetricKind::ALL
            .into_iter()
            .cycle()
            .take(list.len())
            .collect();
        let mut out = vec![];
        encode_labels_list(&list, &kinds, &mut out);
        let expected: Vec<_> = list.into_iter().zip(kinds).collect();
        assert_eq!(decode_labels_list(&out).unwrap(), expected);
        assert!(out.len() < 600, "{}", out.len());
        for at in 0..out.len() {
            let mut damaged = out.clone();
            damaged[at] ^= 1;
            assert!(decode_labels_list(&damaged).is_err(), "{at}");
        }
    }

    #[test]
    fn a_set_that_breaks_a_rule_is_named() {
        let mut out = vec![];
        put_varint(&mut out, 1);
        for text in ["bad-name", "x"] {
            put_varint(&mut out, text.len() as u64);
            out.extend_from_slice(text.as_bytes());
        }
        assert!(matches!(
            decode_labels(&out),
            Err(Error::Labels { index: 0, .. })
        ));
    }
}
