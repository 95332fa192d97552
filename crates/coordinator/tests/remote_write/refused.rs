//! What is not taken in: requests as a whole, and parts of them.

use std::fmt::Write;

use daemon::units::ByteSize;
use expect_test::expect;

use super::message::{Fields, Sent, VERSIONS, Version, message, pack};
use super::server::{NOW_MILLIS, Server};
use super::{PATH, metric, new_series, only, read, said, samples, write, written};

const FAILURES: &str = "vedette_coordinator_write_failures_total";
const SAMPLES: &str = "vedette_coordinator_samples_total";
const REFUSED: &str = "vedette_coordinator_write_refused_samples_total";
const REFUSED_SERIES: &str = "vedette_coordinator_refused_series_total{reason=\"memory\"}";
const DAY: i64 = 86_400_000;

fn good(name: &str) -> Sent {
    Sent::new(&[("__name__", name)], &[(NOW_MILLIS, 1.0)])
}

#[tokio::test]
async fn what_is_of_another_type_or_encoding_is_415() {
    let server = Server::start().await;
    let body = pack(message(Version::V1, &[good("a")]));
    let mut all = String::new();
    let mut failures = 0;
    for (content_type, encoding) in [
        ("application/json", "snappy"),
        (
            "application/x-protobuf;proto=io.prometheus.write.v3.Request",
            "snappy",
        ),
        ("application/x-protobuf", "zstd"),
        ("application/x-protobuf", "gzip"),
        ("application/x-protobuf", ""),
        ("", "snappy"),
    ] {
        let mut headers = String::new();
        for (name, value) in [("Type", content_type), ("Encoding", encoding)] {
            if !value.is_empty() {
                write!(headers, "Content-{name}: {value}\r\n").unwrap();
            }
        }
        let answer = server.send("POST", PATH, &headers, &body).await;
        failures += 1;
        writeln!(all, "{}", said(&answer)).unwrap();
        assert_eq!(metric(&server, FAILURES).await, failures);
    }
    expect![[r#"
        415 0/0/0 content type "application/json" is not taken, application/x-protobuf is
        415 0/0/0 message "io.prometheus.write.v3.Request" is not taken, prometheus.WriteRequest and io.prometheus.write.v2.Request are
        415 0/0/0 content encoding "zstd" is not taken, snappy is (its block format)
        415 0/0/0 content encoding "gzip" is not taken, snappy is (its block format)
        415 0/0/0 content encoding "" is not taken, snappy is (its block format)
        415 0/0/0 content type "" is not taken, application/x-protobuf is
    "#]].assert_eq(&all);
    assert_eq!(new_series(&server).await, 0);
    let answer = server.send("GET", PATH, "", "").await;
    assert_eq!(
        (answer.code, answer.header("allow")),
        (405, "POST".to_owned())
    );
    server.end().await;
}

/// Bodies that are damaged behind a good series, and what is wrong with them.
fn damaged() -> Vec<(&'static str, Vec<u8>)> {
    let whole = message(Version::V1, &[good("a"), good("b")]).0;
    let packed = pack(&whole);
    let cut = |bytes: &[u8]| bytes.split_last().unwrap().1.to_vec();
    let behind = |fields: &[u8]| pack([whole.as_slice(), fields].concat());
    let mut flipped = packed.clone();
    flipped[1] ^= 3;
    vec![
        ("no body", Vec::new()),
        ("not packed", whole.clone()),
        ("snappy's other format", b"\xff\x06\x00\x00sNaPpY".to_vec()),
        ("a block cut short", cut(&packed)),
        ("a block with more behind it", [&*packed, b"x"].concat()),
        ("a block with a flipped bit", flipped),
        (
            "a block that claims too much",
            vec![0xff, 0xff, 0xff, 0x0f, 0],
        ),
        ("a message cut short", pack(cut(&whole))),
        ("a length past the end", behind(&[0x0a, 0x7f])),
        (
            "a number without an end",
            behind(b"\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
        ),
        ("a wire type that is none", behind(&[0x0f])),
        (
            "a sample that is a number",
            behind(&Fields::default().bytes(1, Fields::default().varint(2, 7)).0),
        ),
    ]
}

#[tokio::test]
async fn a_damaged_body_is_400_and_nothing_of_it_is_taken() {
    let server = Server::start().await;
    let before = metric(&server, SAMPLES).await;
    let mut all = String::new();
    let mut failures = 0;
    for (what, body) in damaged() {
        let answer = server.send("POST", PATH, Version::V1.headers(), body).await;
        failures += 1;
        writeln!(all, "{what}: {}", said(&answer)).unwrap();
    }
    for (what, end) in [
        ("a cut series of version 2", &[0x2a, 0x02, 0x0a][..]),
        ("cut references", &[0x2a, 0x03, 0x0a, 0x01, 0x80]),
    ] {
        let whole = message(Version::V2, &[good("a")]).0;
        let body = pack([whole.as_slice(), end].concat());
        let answer = server.send("POST", PATH, Version::V2.headers(), body).await;
        failures += 1;
        writeln!(all, "{what}: {}", said(&answer)).unwrap();
    }
    expect![[r#"
        no body: 400 0/0/0 the snappy block is damaged: it has no length
        not packed: 400 0/0/0 the snappy block is damaged: an element is not valid
        snappy's other format: 400 0/0/0 the snappy block is damaged: it claims more than it can hold
        a block cut short: 400 0/0/0 the snappy block is damaged: an element is not valid
        a block with more behind it: 400 0/0/0 the snappy block is damaged: an element is not valid
        a block with a flipped bit: 400 0/0/0 the snappy block is damaged: an element is not valid
        a block that claims too much: 400 0/0/0 the snappy block is damaged: it claims more than it can hold
        a message cut short: 400 0/0/0 the message ends inside a field
        a length past the end: 400 0/0/0 the message ends inside a field
        a number without an end: 400 0/0/0 a varint does not end after ten bytes
        a wire type that is none: 400 0/0/0 field 1 has wire type 7
        a sample that is a number: 400 0/0/0 field 2 has wire type 0
        a cut series of version 2: 400 0/0/0 the message ends inside a field
        cut references: 400 0/0/0 the message ends inside a field
    "#]].assert_eq(&all);
    assert_eq!(metric(&server, FAILURES).await, failures);
    assert_eq!(metric(&server, SAMPLES).await, before);
    assert_eq!(new_series(&server).await, 0);
    server.end().await;
}

#[tokio::test]
async fn a_body_that_is_too_large_is_413_and_counted() {
    let server = Server::start().await;
    let mut all = String::new();
    let mut failures = 0;
    let too_many = Fields::default().bytes(1, [0x12, 0x00].repeat((1 << 20) + 1));
    for (what, body) in [
        ("16 MiB and a byte", vec![0; (16 << 20) + 1]),
        (
            "64 MiB and a byte when unpacked",
            pack(vec![0; (64 << 20) + 1]),
        ),
        ("a sample too many", pack(too_many)),
    ] {
        let answer = server.send("POST", PATH, Version::V1.headers(), body).await;
        failures += 1;
        writeln!(all, "{what}: {}", said(&answer)).unwrap();
        assert_eq!(metric(&server, FAILURES).await, failures, "{what}");
    }
    expect![[r#"
        16 MiB and a byte: 413 0/0/0 Failed to buffer the request body: length limit exceeded
        64 MiB and a byte when unpacked: 413 0/0/0 the message has 67108865 bytes, more than 67108864
        a sample too many: 413 0/0/0 more than 1048576 samples
    "#]].assert_eq(&all);
    written(&server, Version::V1, &[good("a")]).await;
    server.end().await;
}

/// Series of which every sample is refused, and the word for why in metrics.
fn bad(version: Version) -> Vec<(&'static str, Sent)> {
    let two = [(NOW_MILLIS - 1000, 1.0), (NOW_MILLIS, 2.0)];
    let of = |labels: &[(&str, &str)]| Sent::new(labels, &two);
    let at = |times: [i64; 2]| Sent::new(&[("__name__", "late")], &times.map(|time| (time, 1.0)));
    let long = "v".repeat(4097);
    let many = (0..64).fold(of(&[("__name__", "many")]), |sent, index| {
        sent.label(format!("l{index:02}").as_bytes(), b"v")
    });
    let mut all = vec![
        ("no_name", of(&[("job", "x")])),
        ("no_name", of(&[])),
        ("no_name", of(&[("__name__", ""), ("job", "x")])),
        ("bad_name", of(&[("__name__", "1a")])),
        ("bad_name", of(&[("__name__", "a"), ("b-c", "x")])),
        ("bad_name", of(&[("__name__", "a"), ("", "x")])),
        (
            "duplicate",
            of(&[("__name__", "a"), ("b", "x"), ("b", "x")]),
        ),
        ("duplicate", of(&[("__name__", "a"), ("__name__", "b")])),
        ("too_long", of(&[("__name__", "a"), ("b", &long)])),
        ("too_many_labels", many),
        ("not_utf8", of(&[("__name__", "a")]).label(b"b", b"\xff")),
        ("not_utf8", of(&[("__name__", "a")]).label(b"\xc3", b"x")),
        ("bad_time", at([NOW_MILLIS + 600_001, i64::MAX])),
        ("bad_time", at([NOW_MILLIS - 7 * DAY - 1, 0])),
        ("bad_time", at([-1, i64::MIN])),
    ];
    if version == Version::V2 {
        let referring = |references: &[u64]| Sent {
            references: references.to_vec(),
            ..of(&[("__name__", "a")])
        };
        all.push(("bad_reference", referring(&[0])));
        all.push(("bad_reference", referring(&[1, 1 << 20])));
    }
    all
}

#[tokio::test]
async fn a_bad_series_costs_only_itself_and_is_counted_by_its_reason() {
    for version in VERSIONS {
        let server = Server::start().await;
        let mut all = String::new();
        let mut times = Vec::new();
        for (index, (reason, bad)) in (0..).zip(bad(version)) {
            let name = format!("{REFUSED}{{reason=\"{reason}\"}}");
            let before = metric(&server, &name).await;
            let time = NOW_MILLIS - 1000 * index;
            let good = |name| Sent::new(&[("__name__", name)], &[(time, 1.0)]);
            let answer = write(&server, version, &[good("first"), bad, good("last")]).await;
            assert_eq!(metric(&server, &name).await, before + 2);
            let text = said(&answer);
            writeln!(all, "{}", text.chars().take(160).collect::<String>()).unwrap();
            times.push((time, 1.0));
        }
        match version {
            Version::V1 => expect![[r#"
                400 2/0/0 samples refused: 2, 2 without a metric name; the first: {job="x"}
                400 2/0/0 samples refused: 2, 2 without a metric name; the first: {}
                400 2/0/0 samples refused: 2, 2 without a metric name; the first: {job="x"}
                400 2/0/0 samples refused: 2, 2 with a bad name; the first: label name "1a" is not valid
                400 2/0/0 samples refused: 2, 2 with a bad name; the first: label name "b-c" is not valid
                400 2/0/0 samples refused: 2, 2 with a bad name; the first: label name "" is not valid
                400 2/0/0 samples refused: 2, 2 with a label twice; the first: label name "b" is given twice
                400 2/0/0 samples refused: 2, 2 with a label twice; the first: label name "__name__" is given twice
                400 2/0/0 samples refused: 2, 2 with labels that are too long; the first: a label value has 4097 bytes, more than 4096
                400 2/0/0 samples refused: 2, 2 with too many labels; the first: 65 labels, more than 64
                400 2/0/0 samples refused: 2, 2 with labels that are no UTF-8; the first: label "b"="�" is not UTF-8
                400 2/0/0 samples refused: 2, 2 with labels that are no UTF-8; the first: label "�"="x" is not UTF-8
                400 2/0/0 samples refused: 2, 2 with a time that is not kept; the first: samples outside 1699395200000 to 1700000600000 (milliseconds)
                400 2/0/0 samples refused: 2, 2 with a time that is not kept; the first: samples outside 1699395200000 to 1700000600000 (milliseconds)
                400 2/0/0 samples refused: 2, 2 with a time that is not kept; the first: samples outside 1699395200000 to 1700000600000 (milliseconds)
            "#]].assert_eq(&all),
            Version::V2 => expect![[r#"
                400 2/0/0 samples refused: 2, 2 without a metric name; the first: {job="x"}
                400 2/0/0 samples refused: 2, 2 without a metric name; the first: {}
                400 2/0/0 samples refused: 2, 2 without a metric name; the first: {job="x"}
                400 2/0/0 samples refused: 2, 2 with a bad name; the first: label name "1a" is not valid
                400 2/0/0 samples refused: 2, 2 with a bad name; the first: label name "b-c" is not valid
                400 2/0/0 samples refused: 2, 2 with a bad name; the first: label name "" is not valid
                400 2/0/0 samples refused: 2, 2 with a label twice; the first: label name "b" is given twice
                400 2/0/0 samples refused: 2, 2 with a label twice; the first: label name "__name__" is given twice
                400 2/0/0 samples refused: 2, 2 with labels that are too long; the first: a label value has 4097 bytes, more than 4096
                400 2/0/0 samples refused: 2, 2 with too many labels; the first: 130 references, more than 128
                400 2/0/0 samples refused: 2, 2 with labels that are no UTF-8; the first: label "b"="�" is not UTF-8
                400 2/0/0 samples refused: 2, 2 with labels that are no UTF-8; the first: label "�"="x" is not UTF-8
                400 2/0/0 samples refused: 2, 2 with a time that is not kept; the first: samples outside 1699395200000 to 1700000600000 (milliseconds)
                400 2/0/0 samples refused: 2, 2 with a time that is not kept; the first: samples outside 1699395200000 to 1700000600000 (milliseconds)
                400 2/0/0 samples refused: 2, 2 with a time that is not kept; the first: samples outside 1699395200000 to 1700000600000 (milliseconds)
                400 2/0/0 samples refused: 2, 2 with references to no symbol; the first: 3 references, no pairs
                400 2/0/0 samples refused: 2, 2 with references to no symbol; the first: reference 1048576, of 5 symbols
            "#]].assert_eq(&all),
        }
        for name in ["first", "last"] {
            assert_eq!(only(&server, name).await, samples(&times));
        }
        assert_eq!(
            read(&server, "{__name__=~'.+',__name__!~'first|last',node=''}")
                .await
                .len(),
            0
        );
        assert_eq!(metric(&server, FAILURES).await, 0);
        server.end().await;
    }
}

#[tokio::test]
async fn all_reasons_of_one_request_are_said_together() {
    let server = Server::start().await;
    let all: Vec<Sent> = bad(Version::V2).into_iter().map(|(_, bad)| bad).collect();
    let answer = write(&server, Version::V2, &all).await;
    expect![[r#"400 0/0/0 samples refused: 34, 6 without a metric name, 6 with a bad name, 4 with a label twice, 2 with labels that are too long, 2 with too many labels, 4 with labels that are no UTF-8, 4 with references to no symbol, 6 with a time that is not kept; the first: {job="x"}"#]].assert_eq(&said(&answer));
    server.end().await;
}

#[tokio::test]
async fn the_times_that_are_kept_end_where_the_settings_say() {
    let server = Server::start().await;
    let kept = [(NOW_MILLIS - 7 * DAY, 1.0), (NOW_MILLIS + 600_000, 4.0)];
    let all = [
        (NOW_MILLIS - 7 * DAY - 1, 0.0),
        kept[0],
        kept[1],
        (NOW_MILLIS + 600_001, 5.0),
    ];
    for (version, name) in VERSIONS.into_iter().zip(["one", "two"]) {
        let answer = write(&server, version, &[Sent::new(&[("__name__", name)], &all)]).await;
        let expected = "400 2/0/0 samples refused: 2, 2 with a time that is not kept; the first: \
                        samples outside 1699395200000 to 1700000600000 (milliseconds)";
        assert_eq!(said(&answer), expected);
        assert_eq!(only(&server, name).await, samples(&kept));
    }
    server.end().await;
}

#[tokio::test]
async fn without_room_new_series_are_refused_and_known_ones_go_on() {
    let server = Server::start_with(|config| config.store.memory = ByteSize::kib(512)).await;
    let known = |time| Sent::new(&[("__name__", "known")], &[(time, 1.0)]);
    written(&server, Version::V1, &[known(NOW_MILLIS - 1000)]).await;
    let mut sent = Vec::new();
    for index in 0..10_000 {
        let id = index.to_string();
        sent.push(Sent::new(
            &[("__name__", "many"), ("id", &id)],
            &[(NOW_MILLIS, 1.0)],
        ));
    }
    let answer = write(&server, Version::V1, &sent).await;
    let refused = metric(&server, REFUSED_SERIES).await;
    let taken = new_series(&server).await - 1;
    assert_eq!(
        (refused + taken, taken > 0, refused > 0),
        (10_000, true, true)
    );
    let text = format!(
        "400 {taken}/0/0 samples refused: {refused}, {refused} of series for which there is no room"
    );
    assert_eq!(said(&answer), text);
    let name = format!("{REFUSED}{{reason=\"no_room\"}}");
    assert_eq!(metric(&server, &name).await, refused);
    assert_eq!(read(&server, "many").await.len() as u64, taken);

    // They come again with every request, in either version, and with known ones around them.
    for version in VERSIONS {
        let new = Sent::new(
            &[("__name__", "new")],
            &[(NOW_MILLIS, 1.0), (NOW_MILLIS - 1, 1.0)],
        );
        let all = [known(NOW_MILLIS - 2), new, known(NOW_MILLIS)];
        let answer = write(&server, version, &all).await;
        let expected = "400 2/0/0 samples refused: 2, 2 of series for which there is no room";
        assert_eq!(said(&answer), expected);
    }
    assert_eq!(metric(&server, REFUSED_SERIES).await, refused + 2);
    let times = [NOW_MILLIS - 1000, NOW_MILLIS - 2, NOW_MILLIS];
    assert_eq!(
        only(&server, "known").await,
        samples(&times.map(|time| (time, 1.0)))
    );
    assert_eq!(read(&server, "new").await.len(), 0);
    server.end().await;
}
