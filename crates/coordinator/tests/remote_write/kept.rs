//! What was answered as written stays: after a crash, a flush and a compaction.

use std::path::Path;

use expect_test::expect;
use serde_json::Value;

use super::message::{Sent, VERSIONS, Version};
use super::server::{NOW_MILLIS, Server};
use super::{new_series, read, written};

/// Copies a folder and what is in it: what a crash of the machine at this moment would leave, when
/// nothing is being written.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Ten series with a sample for each second of a minute, which ends at `end`.
fn minute(end: i64, version: Version) -> Vec<Sent> {
    let of = |id: i32| {
        let samples: Vec<(i64, f64)> = (0..60)
            .map(|second| (end - 1000 * i64::from(second), f64::from(second * id) / 7.0))
            .collect();
        let (version, id) = (format!("{version:?}"), id.to_string());
        Sent::new(
            &[("__name__", "s"), ("id", &id), ("version", &version)],
            &samples,
        )
    };
    (0..10).map(of).collect()
}

#[tokio::test]
async fn what_was_answered_as_written_is_there_after_a_crash() {
    let mut folder = None;
    let server = Server::start_with(|config| folder = Some(config.data_dir.clone())).await;
    let folder = folder.unwrap();
    // Some in chunks, some in the journal, and some of both versions in each.
    for (step, flush) in (0..).zip([true, false, true, false, false]) {
        for version in VERSIONS {
            written(
                &server,
                version,
                &minute(NOW_MILLIS - 60_000 * step, version),
            )
            .await;
        }
        if flush {
            assert_eq!(server.post("/-/flush", "").await.code, 200);
        }
        let found = read(&server, "{__name__=~'.+'}").await;
        let crashed = Server::start_with(|config| copy(&folder, &config.data_dir)).await;
        assert_eq!(read(&crashed, "{__name__=~'.+'}").await, found);
        assert_eq!(new_series(&crashed).await, 20);
        // It knows them again.
        for version in VERSIONS {
            written(&crashed, version, &minute(NOW_MILLIS, version)).await;
        }
        assert_eq!(new_series(&crashed).await, 20);
        crashed.end().await;
    }
    server.end().await;
}

/// Answers to questions of all kinds.
async fn answers(server: &Server) -> Vec<String> {
    let mut all = Vec::new();
    for path in [
        "query?query=s",
        "query?query=s[1h]",
        "query?query=up[1h]",
        "query?query=odd",
        "query?query=sum by (version)(s)&time=1699999950",
        "query?query=rate(requests_total[2m])",
        "query?query=quantile_over_time(0.9,s[10m])",
        "query?query=count_over_time(s[1h])&time=1700000100",
        "query_range?query=s&start=1699999000&end=1700000000&step=7",
        "query_range?query=avg_over_time(s[5m])&start=1699996400&end=1700000000&step=60",
        "series?match[]=s",
        "labels",
        "label/id/values",
        "metadata",
    ] {
        let answer = server
            .get(&format!("/api/v1/{}", path.replace(' ', "%20")))
            .await;
        assert_eq!(answer.code, 200, "{path}: {}", answer.text());
        all.push(format!("{path}: {}", answer.text()));
    }
    all
}

/// Posts and gives the numbers that came back.
async fn work(server: &Server, path: &str) -> Value {
    let answer = server.post(path, "").await;
    assert_eq!(answer.code, 200, "{}", answer.text());
    assert_eq!(answer.header("content-type"), "application/json");
    serde_json::from_slice(&answer.body).unwrap()
}

#[tokio::test]
async fn a_flush_and_a_compaction_change_no_answer() {
    let server = Server::start().await;
    let send = async |step: i64| {
        for version in VERSIONS {
            written(
                &server,
                version,
                &minute(NOW_MILLIS - 60_000 * step, version),
            )
            .await;
        }
    };
    send(0).await;
    let before = answers(&server).await;
    // Two minutes of twenty series, and what the agent sent.
    let flushed = work(&server, "/-/flush").await;
    assert_eq!(flushed["samples"], 1200 + 48);
    assert!(flushed["chunks"].as_u64() > Some(0) && flushed["bytes"].as_u64() > Some(0));
    assert_eq!(answers(&server).await, before);

    send(1).await;
    // Once more the same, which the chunks hold already.
    send(0).await;
    let before = answers(&server).await;
    work(&server, "/-/flush").await;
    assert_eq!(answers(&server).await, before);
    let compacted = work(&server, "/-/compact").await;
    assert_eq!(
        (&compacted["runs"], &compacted["samples"]),
        (&2.into(), &(2400 + 48).into())
    );
    assert_eq!(compacted["damaged_runs"], 0);
    assert!(compacted["bytes_before"].as_u64() > compacted["bytes_after"].as_u64());
    assert_eq!(answers(&server).await, before);

    // With nothing to do, nothing is done; a compaction flushes first.
    let nothing = work(&server, "/-/flush").await;
    expect![[r#"{"bytes":0,"chunks":0,"samples":0}"#]].assert_eq(&nothing.to_string());
    work(&server, "/-/compact").await;
    assert_eq!(answers(&server).await, before);
    send(2).await;
    let before = answers(&server).await;
    work(&server, "/-/compact").await;
    assert_eq!(answers(&server).await, before);
    let again = work(&server, "/-/flush").await;
    assert_eq!(again, nothing);

    let answer = server.get("/-/flush").await;
    assert_eq!(
        (answer.code, answer.header("allow")),
        (405, "POST".to_owned())
    );
    server.end().await;
}
