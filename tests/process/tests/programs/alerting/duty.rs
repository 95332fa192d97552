//! What those on duty do by the command line, who may do it, and what the audit log says of it.

use process_tests::{SOON, within};
use serde_json::Value;

use super::ladder;
use super::receivers::{Receivers, Word};
use crate::access::{World, world_with};

const RULES: &str = "\
groups:
- name: test
  interval: 1s
  rules:
  - {alert: Down, expr: vector(1), level: critical, labels: {region: east}}
  - {alert: Slow, expr: vector(2), level: critical, labels: {region: north}}
  - {alert: Odd, expr: vector(3), level: critical, labels: {region: west}}
";

/// What a command says, as an operator; it must be done.
async fn done(world: &World, token: &str, arguments: &[&str]) -> String {
    let output = world.vedette(token, arguments).await;
    assert!(output.status.success(), "vedette {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

async fn read(world: &World, token: &str, arguments: &[&str]) -> Value {
    let all = [arguments, &["--format", "json"]].concat();
    serde_json::from_str(&done(world, token, &all).await).unwrap()
}

/// The id of the incident of a rule.
async fn incident_of(world: &World, token: &str, rule: &str) -> String {
    within(SOON, rule, || async {
        let all = read(world, token, &["incidents"]).await;
        let mut all = all.as_array().unwrap().iter();
        let it = all.find(|it| it["rules"][0] == rule)?;
        Some(it["id"].as_str().unwrap().to_owned())
    })
    .await
}

/// Nothing that a viewer may not do is done.
async fn check_viewer(world: &World, viewer: &str, id: &str, file: &str) {
    for arguments in [
        &["ack", id][..],
        &["resolve", id],
        &["verdict", id, "--was", "false"],
        &["incident", "assign", id, "--to", "me"],
        &["incident", "reopen", id],
        &["incident", "escalate", id],
        &["incident", "merge", id, id],
        &["incident", "split", id, "0"],
        &[
            "silence",
            "add",
            "region=east",
            "--for",
            "1h",
            "--comment",
            "no",
        ],
        &["silence", "end", "x"],
        &["notify", "test", "email", "oncall@company.com"],
        &["apply", file],
        &["apply", "--dry-run", file],
    ] {
        let output = world.vedette(viewer, arguments).await;
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            !output.status.success() && said.contains("this needs operator or admin"),
            "{arguments:?}: {said}"
        );
    }
    let it = read(world, viewer, &["incidents", id]).await;
    assert_eq!(it["incident"]["standing"], "open");
    assert_eq!(
        read(world, viewer, &["silence", "list"]).await,
        serde_json::json!([])
    );
}

/// Trials of each channel, and what would be sent.
async fn check_trials(world: &World, operator: &str, receivers: &Receivers) {
    for (channel, address) in [
        ("email", "oncall@company.com"),
        ("slack", "#ml-alerts"),
        ("pagerduty", "ml-monitoring-service"),
        ("phone", "+4930100"),
        ("sms", "+4930100"),
        ("webhook", "bridge"),
    ] {
        let is_test = |it: &&Word| {
            let is_test = it.kind == "test" || it.text.to_lowercase().contains("test");
            it.channel == channel && it.to == address && is_test
        };
        let tests = |words: &[Word]| words.iter().filter(is_test).count();
        let shown = ["notify", "test", channel, address, "--preview"];
        let shown = done(world, operator, &shown).await;
        assert!(
            shown.contains("reached") || shown.contains("This is a test"),
            "{shown}"
        );
        assert_eq!(tests(&receivers.words()), 0);
        let said = done(world, operator, &["notify", "test", channel, address]).await;
        assert!(said.starts_with("taken: "), "{said}");
        receivers.wait(channel, |words| tests(words) == 1).await;
    }
    let nobody = ["notify", "test", "slack", "#nowhere"];
    let output = world.vedette(operator, &nobody).await;
    assert!(!output.status.success(), "{output:?}");
}

/// One incident from the first look to the verdict.
async fn check_incident(world: &World, operator: &str, id: &str) {
    let acknowledged = ["ack", id, "--for", "1h", "--note", "looking"];
    done(world, operator, &acknowledged).await;
    done(world, operator, &["incident", "assign", id, "--to", "ada"]).await;
    done(world, operator, &["incident", "escalate", id]).await;
    let it = read(world, operator, &["incidents", id]).await;
    assert_eq!(it["incident"]["standing"], "acknowledged");
    assert_eq!(it["incident"]["acknowledged_by"], "operator");
    assert_eq!(it["incident"]["assignee"], "ada");
    let kinds: Vec<&str> = it["notifications"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["kind"].as_str().unwrap())
        .collect();
    for kind in ["trigger", "acknowledge", "escalate"] {
        assert!(kinds.contains(&kind), "{kind}: {kinds:?}");
    }
    done(world, operator, &["resolve", id, "--note", "mended"]).await;
    done(world, operator, &["verdict", id, "--was", "true"]).await;
    let records = done(world, operator, &["rules", "--record"]).await;
    assert!(
        records
            .lines()
            .any(|it| it.contains("Down") && it.contains("100%")),
        "{records}"
    );
    done(world, operator, &["incident", "reopen", id]).await;
    let page = done(world, operator, &["incidents", id]).await;
    for entry in [
        "acknowledged by operator",
        "resolved by operator",
        "opened again: by operator",
    ] {
        assert!(page.contains(entry), "{entry}: {page}");
    }
}

async fn check_silence(world: &World, operator: &str) {
    let add = [
        "silence",
        "add",
        "region=~\"ea.*\"",
        "--for",
        "1h",
        "--comment",
        "new disks",
    ];
    let id = done(world, operator, &add).await.trim().to_owned();
    let list = read(world, operator, &["silence", "list"]).await;
    assert_eq!(list[0]["id"], id.as_str());
    assert_eq!(list[0]["by"], "operator");
    done(world, operator, &["silence", "end", &id]).await;
    let list = read(world, operator, &["silence", "list"]).await;
    assert_eq!(list, serde_json::json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_on_duty_act_viewers_look_and_the_audit_log_knows() {
    let Some(receivers) = Receivers::start().await else {
        return;
    };
    let rules = receivers.folder().join("rules.yml");
    std::fs::write(&rules, RULES).unwrap();
    let more = format!("rules = [\"{}\"]", rules.display());
    let world = world_with(|_| receivers.config(&more)).await;
    let viewer = world.token("viewer").await;
    let operator = world.token("operator").await;
    let file = ladder(&receivers.folder()).display().to_string();
    // These fire before anybody said who is to be told.
    let id = incident_of(&world, &viewer, "Down").await;
    check_viewer(&world, &viewer, &id, &file).await;
    done(&world, &operator, &["apply", &file]).await;
    receivers
        .wait("the pages", |words| {
            words.iter().filter(|it| it.channel == "pagerduty").count() >= 3
        })
        .await;
    check_trials(&world, &operator, &receivers).await;
    check_incident(&world, &operator, &id).await;
    check_silence(&world, &operator).await;
    let slow = incident_of(&world, &viewer, "Slow").await;
    let odd = incident_of(&world, &viewer, "Odd").await;
    done(&world, &operator, &["incident", "merge", &odd, &slow]).await;
    let alerts = read(&world, &viewer, &["alerts", "--incident", &slow]).await;
    assert_eq!(alerts.as_array().unwrap().len(), 2, "{alerts:#}");
    let print = alerts[0]["fingerprint"].as_str().unwrap();
    let new = done(&world, &operator, &["incident", "split", &slow, print]).await;
    let it = read(&world, &viewer, &["incidents", new.trim()]).await;
    assert_eq!(it["incident"]["alerts_firing"], 1);

    let audit = read(&world, &operator, &["audit"]).await;
    let audit = audit.as_array().unwrap();
    let has = |who: &str, action: &str, outcome: &str| {
        let mut audit = audit.iter();
        audit.any(|it| it["who"] == who && it["action"] == action && it["outcome"] == outcome)
    };
    for action in [
        "specification.apply",
        "notification.test",
        "incident.acknowledge",
        "incident.assign",
        "incident.escalate",
        "incident.resolve",
        "incident.judge",
        "incident.reopen",
        "incident.merge",
        "incident.split",
        "silence.create",
        "silence.expire",
    ] {
        assert!(has("operator", action, "done"), "{action}: {audit:#?}");
        assert!(!has("viewer", action, "done"), "{action}: {audit:#?}");
    }
    assert!(has("viewer", "duty", "refused"), "{audit:#?}");
    receivers.check();
}
