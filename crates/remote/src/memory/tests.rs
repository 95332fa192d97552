use std::hash::RandomState;
use std::sync::RwLock;

use super::*;
use crate::testing::{Registry, Sent, encode};
use crate::{Decoded, Met, Version, decode};

const VERSIONS: [Version; 2] = [Version::V1, Version::V2];

fn sent(names: std::ops::Range<u32>) -> Vec<Sent> {
    let one = |index: u32| {
        let node = format!("node-{index}");
        Sent::new(
            &[("__name__", "up"), ("node", &node)],
            &[(1_700_000_000_000, f64::from(index))],
        )
    };
    names.map(one).collect()
}

fn memory(entries_max: usize) -> Memory<u32> {
    Memory::new(entries_max, &RandomState::new())
}

/// How the series of a message are met, after which they are known.
fn met(
    version: Version,
    sent: &[Sent],
    memory: &mut Memory<u32>,
    registry: &mut Registry,
) -> [u64; 3] {
    let mut out = Decoded::default();
    let raw = encode(version, sent);
    let rows = registry.receive(version, &raw, memory, &mut out).unwrap();
    assert_eq!(rows.len(), sent.len());
    let Met {
        foreseen,
        found,
        unknown,
    } = *out.met();
    [foreseen, found, unknown]
}

#[test]
fn an_order_that_repeats_is_foreseen() {
    for version in VERSIONS {
        let (mut memory, mut registry) = (memory(100), Registry::default());
        let all = sent(0..50);
        let mut met = |sent: &[Sent]| met(version, sent, &mut memory, &mut registry);
        assert_eq!(met(&all), [0, 0, 50]);
        // The first has none before it.
        assert_eq!(met(&all), [49, 1, 0]);
        // Another order is found in the table, and foreseen the next time.
        let turned = [&all[30..], &all[..30]].concat();
        assert_eq!(met(&turned), [48, 2, 0]);
        assert_eq!(met(&turned), [49, 1, 0]);
        // New ones in between do not break what they stand between.
        let grown = [&all[..10], &sent(60..63), &all[10..]].concat();
        assert_eq!(met(&grown)[2], 3);
        assert_eq!(met(&grown)[2], 0);
        assert_eq!(met(&grown), [52, 1, 0]);
    }
}

#[test]
fn it_starts_over_when_it_is_full_and_stays_right() {
    for version in VERSIONS {
        let (mut memory, mut registry) = (memory(20), Registry::default());
        for from in 0..40 {
            met(version, &sent(from..from + 7), &mut memory, &mut registry);
            assert!(memory.len() <= 20);
        }
        assert_eq!(registry.0.len(), 46);
        // More in one message than it ever holds.
        met(version, &sent(0..46), &mut memory, &mut registry);
        assert_eq!(memory.len(), 20);
        assert_eq!(registry.0.len(), 46);
        assert_eq!(
            met(version, &sent(0..20), &mut memory, &mut registry),
            [19, 1, 0]
        );
    }
}

#[test]
fn what_was_decoded_before_it_was_emptied_is_not_learned() {
    let mut memory = memory(100);
    let raw = encode(Version::V1, &sent(0..3));
    let mut out = Decoded::default();
    decode(Version::V1, &raw, &memory, &mut out).unwrap();
    out.settle((0..3).map(Some));
    memory.clear();
    memory.learn(&out);
    assert!(memory.is_empty());
    decode(Version::V1, &raw, &memory, &mut out).unwrap();
    out.settle((5..8).map(Some));
    memory.learn(&out);
    decode(Version::V1, &raw, &memory, &mut out).unwrap();
    assert_eq!(out.samples().ids, [5, 6, 7]);
}

#[test]
fn what_two_learn_at_once_is_there_once_with_the_later_id() {
    let mut memory = memory(100);
    let raw = encode(Version::V1, &sent(0..3));
    let mut outs = [Decoded::default(), Decoded::default()];
    for (index, out) in outs.iter_mut().enumerate() {
        decode(Version::V1, &raw, &memory, out).unwrap();
        let first = u32::try_from(index).unwrap() * 10;
        out.settle((first..first + 3).map(Some));
    }
    outs.iter().for_each(|out| memory.learn(out));
    assert_eq!(memory.len(), 3);
    let [out, _] = &mut outs;
    decode(Version::V1, &raw, &memory, out).unwrap();
    assert_eq!(out.samples().ids, [10, 11, 12]);
}

#[test]
fn a_refused_series_is_not_learned() {
    let mut memory = memory(100);
    let raw = encode(Version::V1, &sent(0..3));
    let mut out = Decoded::default();
    decode(Version::V1, &raw, &memory, &mut out).unwrap();
    out.settle([Some(1), None, Some(3)]);
    memory.learn(&out);
    assert_eq!(memory.len(), 2);
    decode(Version::V1, &raw, &memory, &mut out).unwrap();
    assert_eq!(out.samples().ids, [1, 3]);
    assert!(out.has_unknown());
}

#[test]
fn many_threads_share_one() {
    for version in VERSIONS {
        let shared = RwLock::new(memory(60));
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let shared = &shared;
                scope.spawn(move || {
                    let mut out = Decoded::default();
                    for round in 0..50 {
                        let from = (thread * 13 + round * 7) % 50;
                        let raw = encode(version, &sent(from..from + 20));
                        decode(version, &raw, &shared.read().unwrap(), &mut out).unwrap();
                        // The id of a series is the number in its name.
                        let ids: Vec<_> = out
                            .take_unknown()
                            .iter()
                            .map(|(labels, _)| {
                                labels.get("node").strip_prefix("node-")?.parse().ok()
                            })
                            .collect();
                        out.settle(ids);
                        shared.write().unwrap().learn(&out);
                        let mut found = out.samples().ids.to_vec();
                        found.sort_unstable();
                        assert_eq!(found, (from..from + 20).collect::<Vec<_>>());
                    }
                });
            }
        });
    }
}

#[test]
fn its_size_is_known() {
    assert_eq!(size_of::<Entry<u32>>(), 32);
    let (mut memory, mut registry) = (memory(1000), Registry::default());
    met(Version::V1, &sent(0..1000), &mut memory, &mut registry);
    assert!(
        (32_000..80_000).contains(&memory.bytes()),
        "{}",
        memory.bytes()
    );
}
