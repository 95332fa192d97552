//! The series of one stream and their numbers.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use foldhash::fast::FixedState;
use series::{Labels, MetricKind};
use wire::proto::SeriesDefinitions;

/// Bytes of names in one message of definitions, before compression.
const DEFINITION_BYTES_MAX: usize = 1024 * 1024;
/// Lists of names whose numbers are remembered. A node has about as many as targets.
const LISTS_MAX: usize = 1024;
/// Bytes of them, with their numbers: where series come and go, each batch has lists of its own.
const LISTS_BYTES_MAX: usize = 4 << 20;

/// Batches after which it is looked how many of the numbers are still in use. Far more than one
/// interval brings, so that a series said in each interval is never taken for gone.
const LOOK_EVERY: u32 = 64;
/// Numbers out of use that are worth nothing: forgetting them costs a new stream.
const IDLE_MIN: usize = 10_000;
/// Both while memory is tight.
const TIGHT: (u32, usize) = (8, 1000);

/// Gives series their numbers on one stream. A number stays given for the stream's life, so with
/// series that come and go it [outgrows](Self::outgrown) its use.
#[derive(Debug, Default)]
pub(super) struct Dictionary {
    numbers: HashMap<Labels, u32, FixedState>,
    /// Numbers of whole lists by their bytes: an unchanged target costs one lookup.
    lists: HashMap<Bytes, Arc<[u32]>, FixedState>,
    lists_bytes: usize,
    /// Whether a number was used since the last look.
    used: Vec<bool>,
    batches: u32,
}

impl Dictionary {
    /// The next number to be given.
    pub(super) fn next(&self) -> u32 {
        u32::try_from(self.numbers.len()).unwrap_or(u32::MAX)
    }

    /// The numbers of the series in an encoded list, and what has to be said before they are used.
    pub(super) fn number(
        &mut self,
        list: &Bytes,
    ) -> Result<(Arc<[u32]>, Vec<SeriesDefinitions>), codec::Error> {
        if let Some(known) = self.lists.get(list) {
            for number in known.iter() {
                mark(&mut self.used, *number);
            }
            return Ok((Arc::clone(known), Vec::new()));
        }
        let first_new = self.next();
        let mut fresh: Vec<(Labels, MetricKind)> = Vec::new();
        let mut numbers = Vec::new();
        for (labels, kind) in codec::decode_labels_list(list)? {
            let next = self.next();
            let number = *self.numbers.entry(labels.clone()).or_insert(next);
            if number == next {
                fresh.push((labels, kind));
            }
            mark(&mut self.used, number);
            numbers.push(number);
        }
        let numbers: Arc<[u32]> = numbers.into();
        let bytes = list.len() + size_of_val(&*numbers);
        if self.lists.len() >= LISTS_MAX || self.lists_bytes + bytes > LISTS_BYTES_MAX {
            self.lists.clear();
            self.lists_bytes = 0;
        }
        self.lists_bytes += bytes;
        // What came may be a part of something larger, which it would keep.
        self.lists
            .insert(Bytes::copy_from_slice(list), Arc::clone(&numbers));
        Ok((numbers, definitions(first_new, &fresh)))
    }

    /// Takes note of the end of a batch; tells whether so few of the numbers are still in use that
    /// a new stream with a new dictionary is better; while memory is tight it is so sooner.
    pub(super) fn outgrown(&mut self, is_tight: bool) -> bool {
        let (look_every, idle_min) = if is_tight {
            TIGHT
        } else {
            (LOOK_EVERY, IDLE_MIN)
        };
        self.batches += 1;
        if self.batches < look_every {
            return false;
        }
        self.batches = 0;
        let used = self.used.iter().filter(|used| **used).count();
        self.used.fill(false);
        let idle = self.numbers.len() - used.min(self.numbers.len());
        idle > used && idle >= idle_min
    }
}

/// Notes the use of a number; numbers are given in order, so that there is never a large gap.
fn mark(used: &mut Vec<bool>, number: u32) {
    let Ok(index) = usize::try_from(number) else {
        return;
    };
    if used.len() <= index {
        used.resize(index + 1, false);
    }
    used[index] = true;
}

/// New series as messages, each within its bound.
fn definitions(mut first_ref: u32, mut fresh: &[(Labels, MetricKind)]) -> Vec<SeriesDefinitions> {
    let mut messages = Vec::new();
    while !fresh.is_empty() {
        let mut bytes = 0;
        let fits = fresh.iter().take_while(|(labels, _)| {
            bytes += labels.text_bytes();
            bytes <= DEFINITION_BYTES_MAX
        });
        let (now, rest) = fresh.split_at(fits.count().max(1));
        let labels: Vec<Labels> = now.iter().map(|(labels, _)| labels.clone()).collect();
        let kinds: Vec<MetricKind> = now.iter().map(|(_, kind)| *kind).collect();
        let mut list = Vec::new();
        codec::encode_labels_list(&labels, &kinds, &mut list);
        messages.push(SeriesDefinitions {
            first_ref,
            list: list.into(),
            families: Vec::new(),
        });
        first_ref = first_ref.saturating_add(u32::try_from(now.len()).unwrap_or(u32::MAX));
        fresh = rest;
    }
    messages
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(names: &[&str]) -> Bytes {
        let labels: Vec<Labels> = names
            .iter()
            .map(|name| Labels::with_name(name, &[]).unwrap())
            .collect();
        let mut bytes = Vec::new();
        codec::encode_labels_list(&labels, &vec![MetricKind::Gauge; names.len()], &mut bytes);
        bytes.into()
    }

    #[test]
    fn each_series_is_defined_once() {
        let mut dictionary = Dictionary::default();
        let (numbers, said) = dictionary.number(&list(&["a", "b"])).unwrap();
        assert_eq!(
            (&*numbers, said.len(), said[0].first_ref),
            (&[0, 1][..], 1, 0)
        );
        let (numbers, said) = dictionary.number(&list(&["b", "c"])).unwrap();
        assert_eq!(
            (&*numbers, said.len(), said[0].first_ref),
            (&[1, 2][..], 1, 2)
        );
        let (numbers, said) = dictionary.number(&list(&["a", "b"])).unwrap();
        assert_eq!((&*numbers, said.len()), (&[0, 1][..], 0));
    }

    #[test]
    fn it_outgrows_its_use_when_most_series_have_gone() {
        let names: Vec<String> = (0..30_000).map(|index| format!("m{index}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let looks = |dictionary: &mut Dictionary, list: &Bytes| {
            (0..LOOK_EVERY).any(|_| {
                dictionary.number(list).unwrap();
                dictionary.outgrown(false)
            })
        };
        let (all, half, few) = (list(&names), list(&names[..15_000]), list(&names[..14_999]));
        let mut dictionary = Dictionary::default();
        assert!(!looks(&mut dictionary, &all));
        assert!(!looks(&mut dictionary, &half), "as many in use as idle");
        assert!(looks(&mut dictionary, &few));

        let mut dictionary = Dictionary::default();
        assert!(!looks(&mut dictionary, &list(&names[..9_999])));
        assert!(!looks(&mut dictionary, &list(&["m1"])), "too few to matter");
        let mut tight = (0..TIGHT.0).map(|_| dictionary.outgrown(true));
        assert!(tight.any(|outgrown| outgrown), "but while memory is tight");
    }

    #[test]
    fn lists_that_differ_each_time_are_remembered_within_a_bound() {
        let mut dictionary = Dictionary::default();
        for first in 0..600 {
            let names: Vec<String> = (first..first + 2000).map(|it| format!("m{it}")).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            dictionary.number(&list(&names)).unwrap();
            assert!(dictionary.lists_bytes <= LISTS_BYTES_MAX);
        }
        assert!(dictionary.lists.len() < 600);
    }

    #[test]
    fn many_long_names_are_said_in_parts() {
        let value = "x".repeat(4000);
        let fresh: Vec<_> = (0..1000)
            .map(|index| {
                let labels = [("a", value.as_str()), ("b", &format!("{index}"))];
                (Labels::with_name("m", &labels).unwrap(), MetricKind::Gauge)
            })
            .collect();
        let messages = definitions(7, &fresh);
        assert!(messages.len() > 3);
        let mut next = 7;
        for message in messages {
            assert_eq!(message.first_ref, next);
            next += u32::try_from(codec::decode_labels_list(&message.list).unwrap().len()).unwrap();
        }
        assert_eq!(next, 1007);
    }
}
