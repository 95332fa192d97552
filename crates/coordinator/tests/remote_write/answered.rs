//! What is taken in, and how questions answer it.

use std::fmt::Write;

use expect_test::expect;
use tonic::transport::Endpoint;
use wire::proto::query_response::Message;
use wire::proto::query_service_client::QueryServiceClient;
use wire::proto::{InstantRequest, ResultSeries};

use super::message::{Fields, Sent, VERSIONS, Version, message, pack};
use super::server::{NOW_MILLIS, Server};
use super::{PATH, ask, only, read, said, samples, write, written};

/// What is hardest to get through, and other NaNs than everyone's.
const ODD: [f64; 14] = [
    0.0,
    -0.0,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::NAN,
    f64::from_bits(0x7ff8_0000_0000_0001),
    f64::from_bits(0xfff8_dead_beef_0000),
    f64::from_bits(0x7ff0_0000_0000_0001),
    f64::MAX,
    f64::MIN_POSITIVE,
    f64::from_bits(1),
    0.1,
    1e21,
    -1.5e-7,
];

/// Values of all kinds, odd ones first: SplitMix64 of the index.
fn values(count: u64) -> Vec<f64> {
    let any = (0..count).map(|index| {
        let bits = index.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        f64::from_bits(bits ^ (bits >> 27))
    });
    let kept = any.filter(|value| !series::is_stale(*value));
    ODD.into_iter().chain(kept).collect()
}

/// The series of a selector by gRPC, whose values are not texts.
async fn asked_by_grpc(server: &Server, expression: &str) -> Vec<ResultSeries> {
    let endpoint = Endpoint::from_shared(format!("http://{}", server.running.grpc)).unwrap();
    let mut client = QueryServiceClient::new(endpoint.connect().await.unwrap());
    let request = InstantRequest {
        explain: false,
        expression: expression.to_owned(),
        time_millis: NOW_MILLIS,
    };
    let mut answer = client.instant(request).await.unwrap().into_inner();
    let mut series = Vec::new();
    while let Some(part) = answer.message().await.unwrap() {
        if let Some(Message::Portion(portion)) = part.message {
            series.extend(portion.series);
        }
    }
    series
}

#[tokio::test]
async fn what_is_written_is_answered_to_the_bit() {
    let server = Server::start().await;
    for (version, name) in VERSIONS.into_iter().zip(["one", "two"]) {
        let values = values(1000);
        let times = (0..).map(|index| NOW_MILLIS - 250 * index);
        let mut sent: Vec<(i64, f64)> = times.zip(values).collect();
        sent.reverse();
        let series = Sent::new(&[("__name__", name), ("a", "é\"\n\\")], &sent);
        let answer = write(&server, version, &[series]).await;
        assert_eq!(said(&answer), "204 1014/0/0");

        let found = read(&server, name).await;
        let labels = serde_json::json!({ "__name__": name, "a": "é\"\n\\" }).to_string();
        assert_eq!(found, [(labels, samples(&sent))].into());

        let series = asked_by_grpc(&server, &format!("{name}[1h]")).await;
        let (times, values): (Vec<i64>, Vec<u64>) = sent
            .iter()
            .map(|(time, value)| (*time, value.to_bits()))
            .unzip();
        assert_eq!(series[0].times_millis, times);
        let bits = series[0].values.iter().map(|value| value.to_bits());
        assert_eq!(bits.collect::<Vec<_>>(), values);
    }
    server.end().await;
}

#[tokio::test]
async fn a_stale_marker_ends_a_series() {
    let server = Server::start().await;
    for (version, name) in VERSIONS.into_iter().zip(["one", "two"]) {
        let labels = [("__name__", name)];
        let marked = [
            (NOW_MILLIS - 30_000, 1.0),
            (NOW_MILLIS - 20_000, series::STALE_NAN),
        ];
        let answer = write(&server, version, &[Sent::new(&labels, &marked)]).await;
        assert_eq!(said(&answer), "204 2/0/0");
        assert_eq!(ask(&server, name, NOW_MILLIS - 20_001).await.len(), 1);
        assert_eq!(ask(&server, name, NOW_MILLIS - 20_000).await.len(), 0);
        assert_eq!(only(&server, name).await, samples(&marked[..1]));
        // It may come back.
        let again = [(NOW_MILLIS - 10_000, 2.0)];
        written(&server, version, &[Sent::new(&labels, &again)]).await;
        assert_eq!(ask(&server, name, NOW_MILLIS - 10_001).await.len(), 0);
        assert_eq!(ask(&server, name, NOW_MILLIS - 10_000).await.len(), 1);
    }
    server.end().await;
}

#[tokio::test]
async fn all_written_is_204_with_counts_and_no_body() {
    let server = Server::start().await;
    let of = |version, names: &[&str]| {
        let sent = names
            .iter()
            .map(|name| Sent::new(&[("__name__", name)], &[(NOW_MILLIS, 1.0)]));
        message(version, &sent.collect::<Vec<_>>())
    };
    let snappy = "Content-Encoding: snappy\r\nContent-Type: application/x-protobuf";
    let mut all = String::new();
    for (what, headers, message) in [
        ("version 1", "", of(Version::V1, &["a", "b"])),
        (
            "version 1 by name",
            ";proto=prometheus.WriteRequest",
            of(Version::V1, &["a", "b", "c"]),
        ),
        (
            "version 2",
            "; proto=io.prometheus.write.v2.Request",
            of(Version::V2, &["a", "d"]),
        ),
        ("no series", "", Fields::default()),
        // The first request of a sender that tries whether anyone is there.
        (
            "no series of version 2",
            ";proto=io.prometheus.write.v2.Request",
            of(Version::V2, &[]),
        ),
        // Its fields have numbers that version 1 does not use, so the counts give it away.
        ("version 2 said to be 1", "", of(Version::V2, &["e"])),
        (
            "metadata of version 1",
            "",
            of(Version::V1, &["a"]).bytes(
                3,
                Fields::default()
                    .varint(1, 1)
                    .bytes(2, "a")
                    .bytes(4, "A.")
                    .bytes(5, "bytes"),
            ),
        ),
    ] {
        let headers = format!("{snappy}{headers}\r\n");
        let answer = server.send("POST", PATH, &headers, pack(message)).await;
        assert_eq!(answer.body, b"");
        writeln!(all, "{what}: {}", said(&answer)).unwrap();
    }
    expect![[r#"
        version 1: 204 2/0/0
        version 1 by name: 204 3/0/0
        version 2: 204 2/0/0
        no series: 204 0/0/0
        no series of version 2: 204 0/0/0
        version 2 said to be 1: 204 0/0/0
        metadata of version 1: 204 1/0/0
    "#]]
    .assert_eq(&all);
    let found = read(&server, "{__name__=~'[a-e]'}").await;
    expect![[r#"
        {"__name__":"a"}
        {"__name__":"b"}
        {"__name__":"c"}
        {"__name__":"d"}"#]]
    .assert_eq(&found.into_keys().collect::<Vec<_>>().join("\n"));
    let metadata = server.get("/api/v1/metadata?metric=a").await;
    expect![[
        r#"{"status":"success","data":{"a":[{"type":"counter","help":"A.","unit":"bytes"}]}}"#
    ]]
    .assert_eq(&metadata.text());
    server.end().await;
}

#[tokio::test]
async fn histograms_and_exemplars_are_stepped_over_and_said() {
    let server = Server::start().await;
    let mut all = String::new();
    for version in VERSIONS {
        for (histograms, exemplars) in [(0, 0), (0, 2), (3, 0), (3, 2)] {
            let with = |samples| Sent {
                histograms,
                exemplars,
                ..Sent::new(&[("__name__", "with")], samples)
            };
            let plain = Sent::new(&[("__name__", "plain")], &[(NOW_MILLIS, 1.0)]);
            // A series of histograms only, as version 2 has them, and one beside a sample.
            let sent = [with(&[]), plain, with(&[(NOW_MILLIS, 2.0)])];
            let answer = write(&server, version, &sent).await;
            let what = format!("{version:?} {histograms} {exemplars}");
            writeln!(all, "{what}: {}", said(&answer)).unwrap();
        }
    }
    expect![[r#"
        V1 0 0: 204 2/0/0
        V1 0 2: 204 2/0/0
        V1 3 0: 400 2/0/0 native histograms are not kept here: 6
        V1 3 2: 400 2/0/0 native histograms are not kept here: 6
        V2 0 0: 204 2/0/0
        V2 0 2: 400 2/0/0 exemplars are not kept here: 4
        V2 3 0: 400 2/0/0 native histograms are not kept here: 6
        V2 3 2: 400 2/0/0 native histograms are not kept here: 6; exemplars are not kept here: 4
    "#]]
    .assert_eq(&all);
    assert_eq!(only(&server, "plain").await, samples(&[(NOW_MILLIS, 1.0)]));
    assert_eq!(only(&server, "with").await, samples(&[(NOW_MILLIS, 2.0)]));
    server.end().await;
}
