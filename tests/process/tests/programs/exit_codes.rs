//! Exit codes: 2 for what asking again will not help, 1 for what failed.

use process_tests::agent::{Agent, NO_COLLECTORS};
use process_tests::coordinator::Coordinator;
use process_tests::process::run;
use process_tests::targets::{TARGET, Targets};
use process_tests::{SOON, within};

/// Runs a program and holds its exit code and what it says on standard error to what is right.
async fn check(program: &str, arguments: &[&str], code: i32, says: &[&str]) {
    let output = run(program, arguments).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        output.status.code(),
        Some(code),
        "{program} {arguments:?}: {said}"
    );
    for part in says {
        assert!(
            said.contains(part),
            "{program} {arguments:?} does not say {part:?}: {said}"
        );
    }
}

#[tokio::test]
async fn wrong_usage_is_2() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("some.toml");
    let file = file.to_str().unwrap();
    for program in ["vedette-agent", "vedette-coordinator"] {
        check(program, &["--no-such-flag"], 2, &["--no-such-flag"]).await;
        check(
            program,
            &["--config", "/nowhere/some.toml"],
            2,
            &["/nowhere/some.toml"],
        )
        .await;
        std::fs::write(file, "[log\n").unwrap();
        check(program, &["--config", file], 2, &["some.toml:1"]).await;
        // Not even a good start: the key is not there, but a rollback must not stop a fleet.
        std::fs::write(file, "[log]\nfiltre = \"info\"\n").unwrap();
        let says = ["log.filtre", "did you mean `log.filter`?", "some.toml:2"];
        check(program, &["check-config", "--config", file], 2, &says).await;
        std::fs::write(file, "drain_timeout = \"fast\"\n").unwrap();
        let says = ["drain_timeout", "fast", "some.toml:1"];
        check(program, &["--config", file], 2, &says).await;
        std::fs::write(file, "drain_timeout = \"5s\"\n").unwrap();
        check(program, &["check-config", "--config", file], 0, &[]).await;
    }
    std::fs::write(file, "sync_interval = \"5ms\"\ncollect_interval = \"1s\"\n").unwrap();
    check("vedette-agent", &["--config", file], 2, &["sync_interval"]).await;
    check(
        "vedette-agent",
        &["--agent-id", "not a name"],
        2,
        &["agent_id"],
    )
    .await;
    std::fs::write(file, "[store]\nretention = \"1h\"\n").unwrap();
    let says = ["store.retention"];
    check("vedette-coordinator", &["--config", file], 2, &says).await;
    check(
        "vedette-coordinator",
        &["check-config", "--config", file],
        2,
        &says,
    )
    .await;
    check(
        "vedette-coordinator",
        &["--grpc-listen", "nowhere"],
        2,
        &["nowhere"],
    )
    .await;
}

#[tokio::test]
async fn what_failed_is_1() {
    let coordinator = Coordinator::start("").await;
    let folder = tempfile::tempdir().unwrap();
    let mine = folder.path().join("data");
    let (mine, grpc) = (mine.to_str().unwrap(), coordinator.grpc.to_string());
    let free = "127.0.0.1:0";
    let arguments = [
        "--data-dir",
        mine,
        "--grpc-listen",
        &grpc,
        "--http-listen",
        free,
    ];
    let says = ["grpc_listen", &grpc, "is it in use?"];
    check("vedette-coordinator", &arguments, 1, &says).await;
    let theirs = coordinator.data_dir();
    let theirs = theirs.to_str().unwrap();
    let arguments = [
        "--data-dir",
        theirs,
        "--grpc-listen",
        free,
        "--http-listen",
        free,
    ];
    let says = [theirs, "is another coordinator running on it?"];
    check("vedette-coordinator", &arguments, 1, &says).await;
    // A folder that cannot be made: below a file.
    let below = coordinator.config_file().join("data");
    let arguments = ["--data-dir", below.to_str().unwrap(), "--grpc-listen", free];
    check(
        "vedette-coordinator",
        &arguments,
        1,
        &["making the data folder"],
    )
    .await;
    // Nobody was disturbed by any of this.
    assert_eq!(
        coordinator.metric("vedette_coordinator_streams").await,
        Some(0.0)
    );
}

#[tokio::test]
async fn two_agents_do_not_share_a_spool() {
    let targets = Targets::serve(&[TARGET]).await;
    let config = format!(
        "collect_interval = \"1s\"\n{}\n{NO_COLLECTORS}",
        targets.setting()
    );
    // Nobody listens there; an agent goes on collecting all the same.
    let mut first = Agent::start("first", "http://127.0.0.1:9", &config);
    within(SOON, "the first to be up", || async {
        targets.served().first().copied()
    })
    .await;
    let arguments: Vec<&str> = first.arguments().iter().map(String::as_str).collect();
    check(
        "vedette-agent",
        &arguments,
        1,
        &["is another agent running on it?"],
    )
    .await;
    first.kill().await;
}
