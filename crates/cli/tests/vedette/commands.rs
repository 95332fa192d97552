//! Each command against a coordinator that answers what the test wants.

use std::net::SocketAddr;
use std::process::Output;

use crate::coordinator::{Coordinator, serve};

fn coordinator() -> Coordinator {
    Coordinator {
        nodes: vec!["gpu-7".to_owned()],
        ..Coordinator::default()
    }
}

async fn vedette(address: SocketAddr, words: &[&str]) -> Output {
    tokio::process::Command::new(env!("CARGO_BIN_EXE_vedette"))
        .args(words)
        .env("VEDETTE_COORDINATOR", format!("http://{address}"))
        .output()
        .await
        .unwrap()
}

fn out(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn err(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

#[tokio::test]
async fn an_instant_query_prints_the_answer_and_says_what_is_missing_aside() {
    let coordinator = coordinator();
    let address = serve(coordinator.clone()).await;
    let json = ["query", "--time", "1700000000", "--format", "json", "up"];
    let output = vedette(address, &json).await;
    assert!(output.status.success(), "{output:?}");
    expect_test::expect![[r#"
        {"result":[{"metric":{"__name__":"up","job":"vllm"},"value":[1700000000,"1.5"]}],"resultType":"vector"}
    "#]]
    .assert_eq(out(&output));
    expect_test::expect![[r"
        partial: something that belongs into this answer is missing
        warning: a node is behind
    "]]
    .assert_eq(err(&output));
    let asked = coordinator.asked.lock().unwrap().clone();
    assert_eq!(asked, ["up at 1700000000000"]);
}

#[tokio::test]
async fn a_range_query_asks_for_the_whole_range() {
    let coordinator = coordinator();
    let address = serve(coordinator.clone()).await;
    let words = [
        "query", "up", "--start", "100", "--end", "160", "--step", "10s", "--format",
    ];
    let output = vedette(address, &[&words[..], &["csv"]].concat()).await;
    expect_test::expect![[r"
        time,value,__name__,job
        1970-01-01T00:01:40Z,1,up,vllm
        1970-01-01T00:02:40Z,2,up,vllm
    "]]
    .assert_eq(out(&output));
    assert_eq!(
        coordinator.asked.lock().unwrap().clone(),
        ["100000..160000 by 10000"]
    );
    let output = vedette(address, &words[..8]).await;
    assert!(out(&output).contains('█'), "{}", out(&output));
}

#[tokio::test]
async fn a_wrong_expression_fails_with_the_coordinators_words() {
    let address = serve(coordinator()).await;
    let output = vedette(address, &["query", "up{"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(err(&output), "error: 1:4: the selector is not closed\n");
    assert_eq!(out(&output), "");
}

#[tokio::test]
async fn an_answer_without_its_end_is_no_answer() {
    let address = serve(Coordinator {
        breaks_off: true,
        ..coordinator()
    })
    .await;
    let output = vedette(address, &["query", "up"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(out(&output), "");
    assert!(err(&output).contains("broke off"), "{}", err(&output));
}

#[tokio::test]
async fn waiting_has_an_end() {
    let address = serve(coordinator()).await;
    let output = vedette(address, &["query", "slow", "--timeout", "300ms"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(
        err(&output).contains("did not answer within 0.3s"),
        "{}",
        err(&output)
    );
}

#[tokio::test]
async fn without_a_coordinator_it_says_how_to_start_one() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    for words in [
        &["nodes"][..],
        &["query", "up"],
        &["top", "--iterations", "1"],
    ] {
        let output = vedette(address, words).await;
        assert_eq!(output.status.code(), Some(1), "{words:?}");
        let said = err(&output);
        assert!(
            said.contains(&format!("no coordinator answers at http://{address}")),
            "{said}"
        );
        assert!(said.contains("`vedette-coordinator`"), "{said}");
    }
    let output = vedette(address, &["doctor"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(
        out(&output).starts_with("fail  coordinator"),
        "{}",
        out(&output)
    );
}

#[tokio::test]
async fn nodes_events_and_the_summary_are_printed() {
    let coordinator = coordinator();
    let address = serve(coordinator.clone()).await;
    let nodes = vedette(address, &["nodes", "--format", "json"]).await;
    let nodes: serde_json::Value = serde_json::from_slice(&nodes.stdout).unwrap();
    assert_eq!(nodes[0]["id"], "gpu-7");
    assert_eq!(nodes[0]["bytes_per_sample"], 1.5);
    let events = vedette(address, &["events", "--agent", "gpu-7", "--limit", "5"]).await;
    assert!(out(&events).contains("fell off the bus"), "{events:?}");
    let gaps = vedette(address, &["gaps", "gpu-7", "--start", "-2h"]).await;
    assert!(out(&gaps).contains("2h00m  known"), "{gaps:?}");
    assert_eq!(
        coordinator.asked.lock().unwrap().clone(),
        ["events of gpu-7, 5", "coverage of gpu-7, 120 min"]
    );
    let summary = vedette(address, &["summary"]).await;
    assert!(out(&summary).contains("1 of 1 connected"), "{summary:?}");
}

#[tokio::test]
async fn top_prints_as_often_as_asked_when_nobody_watches() {
    let address = serve(coordinator()).await;
    let words = ["top", "--iterations", "3", "--interval", "10ms"];
    let output = vedette(address, &words).await;
    assert!(output.status.success(), "{output:?}");
    assert_eq!(out(&output).matches("gpu-7").count(), 3);
}

#[tokio::test]
async fn doctor_finds_a_healthy_fleet_and_a_missing_directory() {
    let address = serve(coordinator()).await;
    let output = vedette(address, &["doctor"]).await;
    assert!(output.status.success(), "{output:?}");
    assert!(
        out(&output).contains("all 1 are connected and fresh"),
        "{output:?}"
    );
    let words = [
        "doctor",
        "--state-dir",
        "/nowhere/at/all",
        "--format",
        "json",
    ];
    let output = vedette(address, &words).await;
    assert_eq!(output.status.code(), Some(1));
    let findings: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let failed: Vec<_> = findings
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| finding["level"] == "fail")
        .collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0]["check"], "state directory");
}

#[tokio::test]
async fn wrong_usage_has_its_own_code_and_completions_are_scripts() {
    let address = "127.0.0.1:9".parse().unwrap();
    let output = vedette(address, &["query", "--time", "yesterday", "up"]).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("is not a time"), "{}", err(&output));
    for (shell, word) in [
        ("bash", "complete"),
        ("zsh", "#compdef"),
        ("fish", "complete -c"),
    ] {
        let output = vedette(address, &["completions", shell]).await;
        assert!(
            output.status.success() && out(&output).contains(word),
            "{shell}"
        );
    }
    let output = vedette(address, &["--help"]).await;
    assert!(output.status.success() && out(&output).contains("Examples:"));
}
