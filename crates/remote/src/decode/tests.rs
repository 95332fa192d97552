use std::hash::RandomState;

use proptest::prelude::*;
use series::STALE_NAN;

use super::*;
use crate::testing::{Message, Registry, Sent, encode};
use crate::{Refused, SYMBOLS_MAX, Skipped};

mod properties;

const VERSIONS: [Version; 2] = [Version::V1, Version::V2];
const TIME: i64 = 1_700_000_000_123;

fn memory() -> Memory<u32> {
    Memory::new(1000, &RandomState::new())
}

/// What a message holds to one who knows nothing, and then to one who has seen it.
fn received(version: Version, raw: &[u8]) -> Result<Received, Error> {
    let (mut memory, mut registry) = (memory(), Registry::default());
    let mut out = Decoded::default();
    let mut rows = registry.receive(version, raw, &mut memory, &mut out)?;
    rows.sort();
    let received = Received {
        rows,
        refused: out.refused().clone(),
        skipped: *out.skipped(),
    };
    let mut again = registry.receive(version, raw, &mut memory, &mut out)?;
    again.sort();
    assert_eq!(again, received.rows);
    assert_eq!(*out.refused(), received.refused);
    assert_eq!(*out.skipped(), received.skipped);
    assert!(out.met().unknown == 0 || !out.refused().is_empty());
    Ok(received)
}

#[derive(Debug)]
struct Received {
    rows: Vec<(String, i64, u64)>,
    refused: Refused,
    skipped: Skipped,
}

impl Received {
    fn series(&self) -> Vec<&str> {
        self.rows.iter().map(|(series, ..)| &**series).collect()
    }
}

fn up() -> Message {
    Message::default().label("__name__", "up").label("job", "a")
}

fn request(series: &[Message]) -> Vec<u8> {
    let message = Message::default();
    series
        .iter()
        .fold(message, |message, series| message.bytes(1, series))
        .0
}

/// A request of version 2 with these symbols.
fn request_v2(symbols: &[&str], series: &[Message]) -> Vec<u8> {
    let message = Message::default();
    let message = symbols.iter().fold(message, |all, text| all.bytes(4, text));
    series
        .iter()
        .fold(message, |message, series| message.bytes(5, series))
        .0
}

#[test]
fn values_and_times_come_through_to_the_bit() {
    let values = [
        STALE_NAN,
        f64::NAN,
        f64::from_bits(0xfff8_0000_dead_beef),
        0.0,
        -0.0,
        f64::INFINITY,
        f64::from_bits(1),
        0.1,
    ];
    let times = [
        0,
        1,
        -1,
        i64::MIN,
        i64::MAX,
        TIME,
        (1 << 35) - 1,
        1 << 35,
        (1 << 42) - 1,
        1 << 42,
    ];
    for version in VERSIONS {
        for time in times {
            // One to a series is read on another way than several.
            for count in [1, values.len()] {
                for chunk in values.chunks(count) {
                    let samples: Vec<_> = chunk.iter().map(|value| (time, *value)).collect();
                    let sent = [Sent::new(&[("__name__", "up")], &samples)];
                    let mut expected: Vec<_> = chunk
                        .iter()
                        .map(|value| ("up unknown".to_owned(), time, value.to_bits()))
                        .collect();
                    expected.sort();
                    let received = received(version, &encode(version, &sent)).unwrap();
                    assert_eq!(received.rows, expected);
                }
            }
        }
    }
}

#[test]
fn a_sample_may_be_written_in_odd_ways() {
    let odd = [
        Message::default().varint(2, 7).double(1, 2.0),
        Message::default().varint(9, 1).double(1, 2.0).varint(2, 7),
        Message::default()
            .double(1, 9.0)
            .double(1, 2.0)
            .varint(2, 7),
        Message::default().double(1, 2.0).varint(2, 7).varint(3, 5),
    ];
    for sample in odd {
        let raw = request(&[up().bytes(2, &sample)]);
        let rows = received(Version::V1, &raw).unwrap().rows;
        assert_eq!(
            rows,
            [("up{job=\"a\"} unknown".to_owned(), 7, 2.0_f64.to_bits())]
        );
        let series = Message::default().packed(1, &[1, 2]).bytes(2, &sample);
        let raw = request_v2(&["", "__name__", "up"], &[series]);
        let rows = received(Version::V2, &raw).unwrap().rows;
        assert_eq!(rows, [("up unknown".to_owned(), 7, 2.0_f64.to_bits())]);
    }
    // A length that takes two bytes where one is enough.
    let mut message = up();
    message.0.extend([0x12, 0x82, 0x00, 0x10, 0x07]);
    let rows = received(Version::V1, &request(&[message])).unwrap().rows;
    assert_eq!(rows, [("up{job=\"a\"} unknown".to_owned(), 7, 0)]);
}

#[test]
fn labels_behind_and_among_samples_are_labels() {
    let name = |message: Message| message.label("__name__", "up");
    let job = |message: Message| message.label("job", "a");
    let tagged = |mut message: Message| {
        // The tag of field 1 in two bytes.
        message.0.extend([0x8a, 0x00, 2, 0x0a, 0x00]);
        message
    };
    let start = Message::default;
    let all = [
        job(name(start())).sample(TIME, 1.0),
        name(start().sample(TIME, 1.0)).label("job", "a"),
        job(name(start()).sample(TIME, 1.0)),
        tagged(job(name(start())).sample(TIME, 1.0)),
        job(name(tagged(start()))).sample(TIME, 1.0),
    ];
    let raw = request(&all);
    let rows = received(Version::V1, &raw).unwrap().rows;
    let row = ("up{job=\"a\"} unknown".to_owned(), TIME, 1.0_f64.to_bits());
    assert_eq!(rows, vec![row; 5]);
    // Labels that follow a known run of labels make another series.
    let raw = request(&[
        job(name(start())).sample(TIME, 1.0),
        job(name(start())).sample(TIME, 1.0),
        job(name(start())).sample(TIME, 2.0).label("x", "1"),
        job(name(start())).label("x", "2").sample(TIME, 3.0),
        name(start()).sample(TIME, 4.0),
    ]);
    assert_eq!(
        received(Version::V1, &raw).unwrap().series(),
        [
            "up unknown",
            "up{job=\"a\",x=\"1\"} unknown",
            "up{job=\"a\",x=\"2\"} unknown",
            "up{job=\"a\"} unknown",
            "up{job=\"a\"} unknown",
        ]
    );
}

#[test]
fn labels_are_sorted_and_empty_ones_are_none() {
    for version in VERSIONS {
        let sent = [Sent::new(
            &[
                ("z", "1"),
                ("empty", ""),
                ("a", "2"),
                ("__name__", "up"),
                ("", ""),
            ],
            &[(TIME, 1.0)],
        )];
        let received = received(version, &encode(version, &sent)).unwrap();
        assert_eq!(received.series(), ["up{a=\"2\",z=\"1\"} unknown"]);
    }
}

#[test]
fn a_bad_series_costs_only_itself() {
    let long = "x".repeat(series::limits::LABEL_VALUE_BYTES_MAX + 1);
    let many: Vec<String> = (0..65).map(|index| format!("l{index}")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|name| (&**name, "1")).collect();
    for (labels, reason, words) in [
        (&[("job", "a")][..], Reason::NoName, "{job=\"a\"}"),
        (&[], Reason::NoName, "{}"),
        (&[("__name__", "")], Reason::NoName, "{}"),
        (
            &[("__name__", "up"), ("a.b", "1")],
            Reason::BadName,
            "label name \"a.b\" is not valid",
        ),
        (
            &[("__name__", "0up")],
            Reason::BadName,
            "label name \"0up\" is not valid",
        ),
        (
            &[("__name__", "up"), ("", "1")],
            Reason::BadName,
            "label name \"\" is not valid",
        ),
        (
            &[("__name__", "up"), ("a", "1"), ("a", "1")],
            Reason::Duplicate,
            "label name \"a\" is given twice",
        ),
        (
            &[("__name__", "up"), ("a", &long)],
            Reason::TooLong,
            "a label value has 4097 bytes, more than 4096",
        ),
    ] {
        check_refusal(labels, reason, words);
    }
    for version in VERSIONS {
        let sent = [Sent::new(&many, &[(TIME, 1.0)])];
        let refused = received(version, &encode(version, &sent)).map(|received| received.refused);
        assert_eq!(refused.unwrap().samples_for(Reason::TooManyLabels), 1);
    }
}

/// Both versions refuse these labels, and take what stands around them.
fn check_refusal(labels: &[(&str, &str)], reason: Reason, words: &str) {
    let samples = [(TIME, 1.0), (TIME + 1, 2.0)];
    for version in VERSIONS {
        let sent = [
            Sent::new(&[("__name__", "before")], &samples),
            Sent::new(labels, &samples),
            Sent::new(labels, &[]),
            Sent::new(&[("__name__", "behind")], &samples),
        ];
        let (mut memory, mut registry) = (memory(), Registry::default());
        let mut out = Decoded::default();
        for _ in 0..3 {
            let raw = encode(version, &sent);
            let rows = registry
                .receive(version, &raw, &mut memory, &mut out)
                .unwrap();
            let series: Vec<&str> = rows.iter().map(|(series, ..)| &**series).collect();
            let [before, behind] = ["before unknown", "behind unknown"];
            assert_eq!(series, [before, before, behind, behind]);
            assert_eq!(out.refused().samples(), 2);
            assert_eq!(out.refused().samples_for(reason), 2, "{words}");
            let text = out.refused().to_string();
            assert!(text.ends_with(&format!("; the first: {words}")), "{text}");
        }
    }
}

#[test]
fn labels_that_are_no_utf8_are_refused() {
    let label = Message::default().bytes(1, "a").bytes(2, [0xff]);
    let raw = request(&[
        up().bytes(1, label).sample(TIME, 1.0),
        up().sample(TIME, 2.0),
    ]);
    let mut out = Decoded::default();
    decode(Version::V1, &raw, &memory(), &mut out).unwrap();
    assert_eq!(out.refused().samples_for(Reason::NotUtf8), 1);
    assert_eq!(out.take_unknown().len(), 1);

    let series = Message::default().packed(1, &[0, 1, 2, 3]);
    let raw = Message::default()
        .bytes(4, "__name__")
        .bytes(4, "up")
        .bytes(4, [0xc0, 0x80])
        .bytes(4, "x")
        .bytes(5, series.sample(TIME, 1.0));
    decode(Version::V2, &raw.0, &memory(), &mut out).unwrap();
    let text = out.refused().to_string();
    assert!(
        text.ends_with("label \"\u{fffd}\u{fffd}\"=\"x\" is not UTF-8"),
        "{text}"
    );
}

#[test]
fn labels_that_no_series_can_have_are_not_even_digested() {
    let label = Message::default().bytes(9, vec![0; 70_000]);
    let raw = request(&[
        up().bytes(1, label).sample(TIME, 1.0),
        up().sample(TIME, 2.0),
    ]);
    let received = received(Version::V1, &raw).unwrap();
    assert_eq!(received.refused.samples_for(Reason::TooLong), 1);
    assert_eq!(received.rows.len(), 1);
    // Long labels that a series may have are known the next time as any others.
    let value = "v".repeat(4000);
    let labels: Vec<String> = ["a", "b", "c", "d", "e", "f", "g"]
        .map(str::to_owned)
        .into();
    let labels = labels.iter().map(|name| (&**name, &*value));
    let labels: Vec<_> = labels.chain([("__name__", "up")]).collect();
    for version in VERSIONS {
        let sent = [Sent::new(&labels, &[(TIME, 1.0)])];
        let received = super::tests::received(version, &encode(version, &sent)).unwrap();
        assert_eq!(received.rows.len(), 1);
    }
}

#[test]
fn references_that_point_to_nothing_are_refused() {
    let symbols = ["", "__name__", "up", "job", "a"];
    for (references, words) in [
        (&[1, 2, 3][..], "3 references, no pairs"),
        (&[1, 5], "reference 5, of 5 symbols"),
        (&[1, 1 << 32 | 2], "reference 4294967298, of 5 symbols"),
        (
            &[u64::MAX, 2],
            "reference 18446744073709551615, of 5 symbols",
        ),
    ] {
        let good = Message::default().packed(1, &[1, 2]).sample(TIME, 1.0);
        let bad = Message::default().packed(1, references).sample(TIME, 1.0);
        let raw = request_v2(&symbols, &[good.clone(), bad, good]);
        let received = received(Version::V2, &raw).unwrap();
        assert_eq!(received.rows.len(), 2);
        assert_eq!(received.refused.samples_for(Reason::BadReference), 1);
        let text = received.refused.to_string();
        assert!(text.ends_with(words), "{text}");
    }
}

#[test]
fn version_2_takes_its_fields_in_any_order() {
    let metadata = Message::default().varint(4, 0).varint(1, 1).varint(3, 0);
    let series = Message::default()
        .bytes(5, metadata)
        .varint(1, 0)
        .sample(TIME, 1.0)
        .varint(6, 3)
        .packed(1, &[1, 2])
        .packed(1, &[])
        .varint(1, 3);
    let raw = Message::default()
        .bytes(4, "__name__")
        .bytes(5, series)
        .varint(77, 1)
        .bytes(4, "up")
        .bytes(4, "job")
        .bytes(4, "a");
    let received = received(Version::V2, &raw.0).unwrap();
    assert_eq!(received.series(), ["up{job=\"a\"} counter"]);
}

#[test]
fn a_kind_that_changes_is_told() {
    let mut sent = [Sent::new(&[("__name__", "up")], &[(TIME, 1.0)])];
    let (mut memory, mut registry) = (memory(), Registry::default());
    let mut out = Decoded::default();
    for (kind, unknown) in MetricKind::ALL
        .into_iter()
        .map(|kind| (kind, 1))
        .chain([(MetricKind::Gauge, 0), (MetricKind::Unknown, 0)])
    {
        sent[0].kind = kind;
        let raw = encode(Version::V2, &sent);
        let rows = registry.receive(Version::V2, &raw, &mut memory, &mut out);
        assert_eq!(rows.unwrap()[0].0, format!("up {}", kind.as_str()));
        assert_eq!(out.met().unknown, unknown, "{kind:?}");
    }
    // Kinds that a later version may have.
    let series = |kind| {
        let metadata = Message::default().varint(1, kind);
        let series = Message::default().packed(1, &[0, 1]).sample(TIME, 1.0);
        request_v2(&["__name__", "up"], &[series.bytes(5, metadata)])
    };
    for kind in [8, 255, 256, u64::MAX] {
        let received = received(Version::V2, &series(kind)).unwrap();
        assert_eq!(received.series(), ["up unknown"]);
    }
}

#[test]
fn what_is_not_kept_is_counted_once() {
    let histogram = up().bytes(4, Message::default().varint(15, 7));
    let raw = Message::default()
        .bytes(1, histogram)
        .bytes(1, up().sample(TIME, 1.0).bytes(3, "").bytes(3, ""))
        .bytes(1, up().bytes(3, "").sample(TIME, 1.0).label("x", "1"))
        .bytes(3, Message::default().varint(1, 2))
        .varint(50, 3);
    let received_1 = received(Version::V1, &raw.0).unwrap();
    assert_eq!(received_1.rows.len(), 2);
    assert_eq!(
        received_1.skipped,
        Skipped {
            histograms: 1,
            exemplars: 3,
        }
    );
    let start = || Message::default().packed(1, &[0, 1]);
    let raw = request_v2(
        &["__name__", "up"],
        &[
            start().bytes(3, ""),
            start().sample(TIME, 1.0).bytes(4, ""),
            start().bytes(4, "").bytes(4, "").sample(TIME, 1.0),
        ],
    );
    let received_2 = received(Version::V2, &raw).unwrap();
    assert_eq!(received_2.rows.len(), 2);
    assert_eq!(
        received_2.skipped,
        Skipped {
            histograms: 1,
            exemplars: 3,
        }
    );
}

#[test]
fn what_is_said_of_metrics_is_kept() {
    let family = |name: &str, kind, help: &str, unit: &str| Family {
        name: name.to_owned(),
        kind,
        help: help.to_owned(),
        unit: unit.to_owned(),
    };
    let (mut memory, mut registry) = (memory(), Registry::default());
    let mut out = Decoded::default();
    let said = |kind: u64, name: &str, help: &[u8]| {
        let said = Message::default().varint(1, kind).bytes(2, name);
        said.bytes(4, help).bytes(5, "seconds")
    };
    let raw = Message::default()
        .bytes(3, said(3, "wait_seconds", b"Waiting."))
        .bytes(1, up().sample(TIME, 1.0))
        .bytes(3, said(77, "odd", b"\xff"))
        .bytes(3, Message::default());
    drop(registry.receive(Version::V1, &raw.0, &mut memory, &mut out));
    let waiting = family("wait_seconds", MetricKind::Histogram, "Waiting.", "seconds");
    assert_eq!(out.take_families(), [waiting.clone(), Family::default()]);

    // Version 2 says it with each series; it is kept when the series is new.
    let metadata = |help, unit| {
        Message::default()
            .varint(1, 3)
            .varint(3, help)
            .varint(4, unit)
    };
    let series = |name, metadata| {
        let series = Message::default().packed(1, &[1, name]).sample(TIME, 1.0);
        series.bytes(5, metadata)
    };
    let symbols = [
        "",
        "__name__",
        "wait_seconds_bucket",
        "Waiting.",
        "seconds",
        "wait_seconds_sum",
        "a",
    ];
    let known = series(2, metadata(3, 4));
    let raw = request_v2(
        &symbols,
        &[known, series(5, metadata(99, 4)), series(6, metadata(0, 0))],
    );
    drop(registry.receive(Version::V2, &raw, &mut memory, &mut out));
    let no_help = family("wait_seconds", MetricKind::Histogram, "", "seconds");
    assert_eq!(out.take_families(), [waiting, no_help]);
    drop(registry.receive(Version::V2, &raw, &mut memory, &mut out));
    assert_eq!(out.take_families(), []);
    let raw = (0..=crate::FAMILIES_MAX)
        .fold(Message::default(), |raw, _| raw.bytes(3, said(1, "a", b"")));
    drop(registry.receive(Version::V1, &raw.0, &mut memory, &mut out));
    assert_eq!(out.take_families().len(), crate::FAMILIES_MAX);
}

#[test]
fn the_wrong_version_finds_nothing() {
    let sent = [Sent::new(&[("__name__", "up")], &[(TIME, 1.0)])];
    for (written, read) in [(Version::V1, Version::V2), (Version::V2, Version::V1)] {
        assert_eq!(received(read, &encode(written, &sent)).unwrap().rows, []);
    }
}

#[test]
fn a_message_that_is_none_is_refused_as_a_whole() {
    let wire = |field, wire| Error::WireType { field, wire };
    let good = up().sample(TIME, 1.0);
    let series = |inner: &[u8]| Message::default().bytes(1, inner).0;
    for (raw, error) in [
        (vec![0x0a], Error::Truncated),
        (vec![0x0a, 5, 0], Error::Truncated),
        (vec![0x0b], wire(1, 3)),
        (vec![0x08, 0], wire(1, 0)),
        (vec![0x18, 0], wire(3, 0)),
        (series(&[0x08, 0]), wire(1, 0)),
        (series(&[0x10, 0]), wire(2, 0)),
        (series(&[0x18, 0]), wire(3, 0)),
        (series(&[0x20, 0]), wire(4, 0)),
        (series(&[0x12, 2, 0x08, 0]), wire(1, 0)),
        (series(&[0x12, 3, 0x12, 1, 0]), wire(2, 2)),
        (series(&[0x12, 1, 0x13]), wire(2, 3)),
        (series(&[0x12, 9, 0x09, 0]), Error::Truncated),
        // Labels that are none, before a sample.
        (series(&[0x0a, 2, 0x08, 0, 0x12, 0]), wire(1, 0)),
        (series(&[0x0a, 1, 0x0a, 0x12, 0]), Error::Truncated),
    ] {
        let raw = [request(std::slice::from_ref(&good)), raw].concat();
        check_error(Version::V1, &raw, &error);
    }
    let series = |inner: &[u8]| Message::default().bytes(5, inner).0;
    for (raw, error) in [
        (vec![0x20, 0], wire(4, 0)),
        (vec![0x28, 0], wire(5, 0)),
        (vec![0x2c], wire(5, 4)),
        (series(&[0x09, 0, 0, 0, 0, 0, 0, 0, 0]), wire(1, 1)),
        (series(&[0x0a, 1, 0x80]), Error::Truncated),
        (series(&[0x10, 0]), wire(2, 0)),
        (series(&[0x28, 0]), wire(5, 0)),
        (series(&[0x2a, 2, 0x0a, 0]), wire(1, 2)),
    ] {
        let good = Message::default().packed(1, &[0, 1]).sample(TIME, 1.0);
        let raw = [request_v2(&["__name__", "up"], &[good]), raw].concat();
        check_error(Version::V2, &raw, &error);
    }
}

fn check_error(version: Version, raw: &[u8], error: &Error) {
    let mut out = Decoded::default();
    let found = decode(version, raw, &memory(), &mut out).unwrap_err();
    assert_eq!(found, *error, "{raw:?}");
    assert!(!found.is_retryable());
    assert!(!out.has_unknown() && out.samples().ids.is_empty());
}

#[test]
fn samples_and_symbols_have_a_bound() {
    for version in VERSIONS {
        let samples = |count| vec![(0, 0.0); count];
        let sent = |count| [Sent::new(&[("__name__", "up")], &samples(count))];
        let raw = encode(version, &sent(SAMPLES_MAX));
        assert_eq!(received(version, &raw).unwrap().rows.len(), SAMPLES_MAX);
        check_error(
            version,
            &encode(version, &sent(SAMPLES_MAX + 1)),
            &Error::TooMany {
                what: "samples",
                max: SAMPLES_MAX,
            },
        );
    }
    let symbols = [0x22, 0x00].repeat(SYMBOLS_MAX + 1);
    decode(
        Version::V2,
        &symbols[2..],
        &memory(),
        &mut Decoded::default(),
    )
    .unwrap();
    check_error(
        Version::V2,
        &symbols,
        &Error::TooMany {
            what: "symbols",
            max: SYMBOLS_MAX,
        },
    );
}
