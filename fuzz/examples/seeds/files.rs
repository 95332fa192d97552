//! Files of a spool, and batches in it.

use fuzz::{Draft, seal};
use wire::{Message as _, proto};

use crate::{Seeds, golden};

pub(crate) fn spools() -> Seeds {
    let number = 5_u64.to_le_bytes();
    let states = Draft::default()
        .bytes([0])
        .piece(number)
        .bytes([2])
        .piece(number);
    let loss = [
        &1_u64.to_le_bytes()[..],
        &1_u64.to_le_bytes(),
        &3_u64.to_le_bytes(),
        &number,
    ];
    let states = states
        .bytes([1])
        .piece([&loss.concat()[..], &[2, 0, 0, 0, 0, 0, 0, 0]].concat());
    // The same in version 2, with a span.
    let span = [(-7_i64).to_le_bytes(), 9_i64.to_le_bytes()].concat();
    let spans = Draft::default().bytes([1 + 8]);
    let spans = spans.piece([&loss.concat()[..], &[4, 0, 1, 0, 0, 0, 0, 0], &span].concat());
    // Two segments of three records, the second one after a hole.
    let segment = |first: u8| {
        let head = Draft::default().bytes([5, first, 0x34, 1]);
        head.bytes([2])
            .piece(b"one")
            .bytes([2])
            .piece(b"")
            .bytes([2])
            .piece(b"three")
    };
    let two = segment(6).bytes(segment(12).done());
    let all = states.clone().bytes(two.clone().done());
    let kept = Draft::default()
        .bytes([3, 9])
        .piece(golden("spool/00000000000000000009.seg"));
    let thin = Draft::default()
        .bytes([3, 5])
        .piece(golden("spool-2/00000000000000000005.seg"));
    let thin = thin
        .bytes([4, 1])
        .piece(golden("spool-2/losses"))
        .bytes(kept.clone().done());
    let raw = Draft::default().bytes([4, 0]).piece(golden("spool/epoch"));
    let raw = raw.bytes([4, 1]).piece(golden("spool/losses"));
    let raw = raw.bytes([4, 2]).piece(golden("spool/acknowledged"));
    let raw = raw.bytes(kept.clone().done());
    // A name at the end of all numbers.
    let last = Draft::default()
        .bytes([3, 255])
        .bytes(u64::MAX.to_le_bytes());
    let last = last.piece(seal::segment_head(1, 0, u64::MAX, 1));
    [states, spans, two, all, kept, thin, raw, last]
        .map(Draft::done)
        .to_vec()
}

/// Twelve batches of one block of twelve rows: a gauge, a counter and a histogram.
pub(crate) fn batches() -> Seeds {
    let batches = |columns: &[u8], step: u8| {
        let mut draft = Draft::default().bytes([12]);
        for minute in 0..12_u8 {
            let start = 60_000 * u64::from(minute);
            let count = u8::try_from(columns.len()).expect("seeds are small");
            draft = draft.bytes([0x40, count, 12]);
            draft = draft
                .bytes(start.to_le_bytes())
                .bytes([0])
                .bytes([step; 12]);
            for column in columns {
                draft = draft.bytes([*column]).bytes([1; 12]);
                draft = draft.bytes([minute, 9, 3, 7, minute, 1, 0, 8, 6, 6, minute, 2]);
            }
        }
        draft.done()
    };
    vec![
        batches(&[0x0a, 0x0a, 0x49, 0x8b], 10),
        batches(&[0x0a, 0x08, 0x0d, 0x0e, 0x0f, 0x0c], 10),
        batches(&[0x0a; 7], 200),
    ]
}

/// Rules of an agent and what they remember, one of them firing.
pub(crate) fn rules() -> Seeds {
    let text = "groups: [{name: g, rules: [{alert: A, expr: t > 1, for: 5s}]}]";
    let rules = proto::EdgeRules {
        version: "1".to_owned(),
        files: vec![proto::EdgeRuleFile {
            name: "f".to_owned(),
            text: text.to_owned(),
        }],
        lookback_millis: 300_000,
        ..proto::EdgeRules::default()
    };
    let alerts = r#"{"rules":{"f\ng/A#1":{"alerts":[{"rule":"A","labels":{"alertname":"A","node":"1"},"of":{"node":"1"},
        "annotations":{},"life":{"state":"firing","active_millis":1000000,"fired_millis":1000000,
        "resolved_millis":null,"clear_since_millis":null,"bits":0},"value_bits":4611686018427387904}],
        "last_seen":[],"recorded":[],"evaluated_millis":1000000}},"firing":[{"at_millis":1000000,"rule":"g/A",
        "labels":{"alertname":"A","node":"1"},"annotations":{},"level":"medium","from":"inactive","to":"firing",
        "value":2.0,"active_millis":1000000,"sample_millis":1000000}]}"#;
    let bytes = rules.encode_to_vec();
    let sealed = Draft::default().bytes([0]).piece(&bytes).bytes(alerts);
    let file = seal::state_file(*b"VDRULES1", &bytes);
    let whole = Draft::default().bytes([1]).piece(file);
    let whole = whole.bytes(seal::state_file(*b"VDALERT1", b"{}"));
    [sealed, whole].map(Draft::done).to_vec()
}

/// A key with a certificate for it, as an agent keeps them.
pub(crate) fn identities() -> Seeds {
    let key = rcgen::KeyPair::generate().expect("there is randomness");
    let mut params = rcgen::CertificateParams::default();
    let name = rcgen::DnType::CommonName;
    params.distinguished_name.push(name, "node-1");
    let certificate = params.self_signed(&key).expect("it is a good key");
    let text = key.serialize_pem() + &certificate.pem();
    vec![text.into_bytes()]
}
