use std::hash::RandomState;

use super::*;
use crate::testing::{Sent, encode};
use crate::{Memory, Version, decode};

/// A message of three new series, the middle one in two places.
fn three() -> Decoded<u32> {
    let sent = [
        Sent::new(&[("__name__", "a")], &[(1, 1.0)]),
        Sent::new(&[("__name__", "b")], &[(1, 2.0), (2, 3.0)]),
        Sent::new(&[("__name__", "c")], &[(1, 4.0)]),
        Sent::new(&[("__name__", "b")], &[(3, 5.0)]),
    ];
    let raw = encode(Version::V1, &sent);
    let memory = Memory::new(10, &RandomState::new());
    let mut decoded = Decoded::default();
    decode(Version::V1, &raw, &memory, &mut decoded).unwrap();
    decoded
}

#[test]
fn an_unknown_series_is_there_once_and_has_all_its_samples() {
    let mut decoded = three();
    assert!(decoded.has_unknown() && decoded.samples().ids.is_empty());
    assert_eq!(decoded.met().unknown, 4);
    let unknown: Vec<String> = decoded
        .take_unknown()
        .iter()
        .map(|(labels, _)| labels.to_string())
        .collect();
    assert_eq!(unknown, ["a", "b", "c"]);
    decoded.settle([Some(10), Some(11), Some(12)]);
    let samples = decoded.samples();
    assert_eq!(samples.ids, [10, 11, 11, 12, 11]);
    assert_eq!(samples.times, [1, 1, 2, 1, 3]);
    assert_eq!(samples.values, [1.0, 2.0, 3.0, 4.0, 5.0]);
    assert!(!decoded.has_unknown() && decoded.refused().is_empty());
}

#[test]
fn a_series_without_an_outcome_is_refused_and_counted() {
    let mut decoded = three();
    decoded.settle([Some(10), None]);
    assert_eq!(decoded.samples().ids, [10]);
    assert_eq!(decoded.refused().samples_for(Reason::NoRoom), 4);
    // Settled once is settled.
    decoded.settle([Some(1), Some(2), Some(3)]);
    assert_eq!(decoded.samples().ids, [10]);
}
