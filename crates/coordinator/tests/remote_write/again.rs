//! Series that come again: in the next request, from the other version, from an agent, late, twice
//! or out of order.

use expect_test::expect;

use super::message::{Sent, VERSIONS, Version};
use super::server::{NOW_MILLIS, Server};
use super::{metric, new_series, only, read, samples, written};

/// Kind 2 of version 2.
const GAUGE: u64 = 2;

#[tokio::test]
async fn a_series_is_the_same_in_every_request_and_version() {
    let server = Server::start().await;
    let mut expected = Vec::new();
    for step in 0..20_u8 {
        let version = VERSIONS[usize::from(step.is_multiple_of(3))];
        let time = NOW_MILLIS - 60_000 + i64::from(step) * 1000;
        let value = f64::from(step);
        let of = |id: &str| {
            // A label without a value is none, and their order does not matter.
            let labels = match step % 4 {
                0 => vec![("__name__", "s"), ("a", "x"), ("id", id)],
                1 => vec![("id", id), ("a", "x"), ("__name__", "s")],
                2 => vec![("__name__", "s"), ("a", "x"), ("b", ""), ("id", id)],
                _ => vec![("a", "x"), ("__name__", "s"), ("id", id), ("", "")],
            };
            Sent {
                kind: u64::from(step % 3),
                ..Sent::new(&labels, &[(time, value)])
            }
        };
        let mut sent = vec![of("0"), of("1"), of("2")];
        // The order of series neither.
        sent.rotate_left(usize::from(step % 3));
        written(&server, version, &sent).await;
        expected.push((time, value));
    }
    assert_eq!(new_series(&server).await, 3);
    let found = read(&server, "s").await;
    expect![[r#"
        {"__name__":"s","a":"x","id":"0"}
        {"__name__":"s","a":"x","id":"1"}
        {"__name__":"s","a":"x","id":"2"}"#]]
    .assert_eq(
        &found
            .keys()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join("\n"),
    );
    for found in found.values() {
        assert_eq!(*found, samples(&expected));
    }
    server.end().await;
}

#[tokio::test]
async fn a_series_of_an_agent_and_of_remote_write_is_one() {
    let server = Server::start().await;
    let labels = [
        ("__name__", "up"),
        ("instance", "b:1"),
        ("job", "node"),
        ("node", "n1"),
    ];
    for (version, ago, kind) in [
        (Version::V1, 45_000, 0),
        (Version::V2, 15_000, 0),
        (Version::V2, 5000, GAUGE),
    ] {
        let sent = Sent {
            kind,
            ..Sent::new(&labels, &[(NOW_MILLIS - ago, 7.0)])
        };
        written(&server, version, &[sent]).await;
    }
    assert_eq!(new_series(&server).await, 0);
    let expected = [
        (60_000, 1.0),
        (45_000, 7.0),
        (30_000, 0.0),
        (15_000, 7.0),
        (5000, 7.0),
        (0, 1.0),
    ];
    let expected = expected.map(|(ago, value)| (NOW_MILLIS - ago, value));
    assert_eq!(only(&server, "up{job='node'}").await, samples(&expected));
    // What the agent said of its kind stays.
    let metadata = server.get("/api/v1/metadata?metric=up").await;
    expect![[r#"{"status":"success","data":{"up":[{"type":"gauge","help":"","unit":""}]}}"#]]
        .assert_eq(&metadata.text());
    server.end().await;
}

#[tokio::test]
async fn version_2_says_of_which_kind_a_series_is() {
    let server = Server::start().await;
    for (kind, name) in (0..).zip(["none", "c_total", "g", "h", "gh", "s", "i", "ss", "later"]) {
        let sent = Sent {
            kind,
            ..Sent::new(&[("__name__", name)], &[(NOW_MILLIS, 1.0)])
        };
        written(&server, Version::V2, &[sent]).await;
    }
    let metadata = server.get("/api/v1/metadata").await.text();
    let metadata: serde_json::Value = serde_json::from_str(&metadata).unwrap();
    let kind = |name| metadata["data"][name][0]["type"].clone();
    let kinds = ["none", "c_total", "g", "h", "gh", "s", "i", "ss", "later"].map(kind);
    expect![[r#"[String("unknown"), String("counter"), String("gauge"), String("histogram"), String("gaugehistogram"), String("summary"), String("info"), String("stateset"), String("unknown")]"#]].assert_eq(&format!("{kinds:?}"));
    server.end().await;
}

#[tokio::test]
async fn the_value_sent_last_for_a_time_is_the_one_that_counts() {
    for version in VERSIONS {
        let server = Server::start().await;
        let send = async |sent: &[&[(i64, f64)]]| {
            let of = |samples: &&[(i64, f64)]| {
                let samples: Vec<(i64, f64)> = samples
                    .iter()
                    .map(|(second, value)| (NOW_MILLIS + 1000 * second, *value))
                    .collect();
                Sent::new(&[("__name__", "s")], &samples)
            };
            written(&server, version, &sent.iter().map(of).collect::<Vec<_>>()).await;
        };
        // Out of order, one time twice in a row, and the series in two places.
        send(&[
            &[(-10, 1.0), (-30, 2.0), (-10, 3.0)],
            &[(-20, 4.0), (-30, 5.0), (-30, 6.0)],
        ])
        .await;
        let mut expected = vec![(-30, 6.0), (-20, 4.0), (-10, 3.0)];
        let check = async |expected: &[(i64, f64)]| {
            let times = expected.iter();
            let expected: Vec<(i64, f64)> = times
                .map(|(second, value)| (NOW_MILLIS + 1000 * second, *value))
                .collect();
            assert_eq!(only(&server, "s").await, samples(&expected), "{version:?}");
        };
        check(&expected).await;
        // The same once more, as after an answer that was lost.
        send(&[&[(-10, 3.0)]]).await;
        check(&expected).await;
        // Late, for times that are in chunks already: a new one, and one with a value.
        server.post("/-/flush", "").await;
        send(&[&[(-25, 7.0), (-20, 8.0), (-90_000, 9.0)]]).await;
        expected = vec![
            (-90_000, 9.0),
            (-30, 6.0),
            (-25, 7.0),
            (-20, 8.0),
            (-10, 3.0),
        ];
        check(&expected).await;
        server.post("/-/compact", "").await;
        check(&expected).await;
        server.end().await;
    }
}

#[tokio::test]
async fn a_request_may_hold_many_samples_of_a_series() {
    let server = Server::start().await;
    for (version, name) in VERSIONS.into_iter().zip(["one", "two"]) {
        let many: Vec<(i64, f64)> = (0..20_000)
            .map(|index| {
                (
                    NOW_MILLIS - 20_000_000 + 1000 * i64::from(index),
                    f64::from(index).sqrt(),
                )
            })
            .collect();
        let few: Vec<(i64, f64)> = many.iter().copied().step_by(1000).collect();
        let sent = [
            Sent::new(&[("__name__", name), ("id", "few")], &few),
            Sent::new(&[("__name__", name), ("id", "many")], &many),
        ];
        written(&server, version, &sent).await;
        let selector = |id| format!("{name}{{id='{id}'}}");
        assert_eq!(only(&server, &selector("many")).await, samples(&many));
        assert_eq!(only(&server, &selector("few")).await, samples(&few));
    }
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn senders_beside_each_other_get_one_series_for_one_label_set() {
    let server = Server::start().await;
    let (senders, requests, series) = (8_u32, 20_u32, 50);
    let send = async |sender: u32| {
        for request in 0..requests {
            let version = VERSIONS[usize::from(sender.is_multiple_of(2))];
            let ago = i64::from(request * senders + sender);
            // Some new series in each request, and each from all senders at about the same time.
            let sent: Vec<Sent> = (0..series)
                .map(|id| {
                    let id = (request * 5 + id).to_string();
                    let time = NOW_MILLIS - 1000 * ago;
                    Sent::new(
                        &[("__name__", "s"), ("id", &id)],
                        &[(time, f64::from(sender))],
                    )
                })
                .collect();
            written(&server, version, &sent).await;
        }
    };
    tokio::join!(
        send(0),
        send(1),
        send(2),
        send(3),
        send(4),
        send(5),
        send(6),
        send(7)
    );
    let all = u64::from((requests - 1) * 5 + series);
    assert_eq!(new_series(&server).await, all);
    let found = read(&server, "s").await;
    assert_eq!(found.len() as u64, all);
    let count: usize = found.values().map(|samples| samples.len()).sum();
    assert_eq!(count as u64, u64::from(senders * requests * series));
    let taken = metric(&server, "vedette_coordinator_samples_total").await;
    assert_eq!(taken - 48, count as u64);
    server.end().await;
}
