//! Rules that are tried over the past by a person.

use process_tests::coordinator::Coordinator;
use process_tests::process::run;
use serde_json::Value;

const RULES: &str = "groups:
- name: tried
  interval: 1m
  rules:
  - {alert: Warm, expr: vector(5) > 3, clear_when: vector(5) < 2}
  - {alert: Hot, expr: vector(5) > 9, depends_on: [Warm, AgentSilent]}
";

#[tokio::test]
async fn rules_are_tried_over_the_past_with_other_values() {
    let coordinator = Coordinator::start("").await;
    let folder = tempfile::tempdir().unwrap();
    let rules = folder.path().join("rules.yml");
    std::fs::write(&rules, RULES).unwrap();
    let (url, rules) = (coordinator.url(), rules.display().to_string());
    let backtest = |more: &'static [&'static str]| {
        let mut arguments = vec!["--coordinator", &url, "backtest", &rules, "--from", "-10m"];
        arguments.extend(more);
        let arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
        async move {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let done = run("vedette", &arguments).await;
            let said = String::from_utf8(done.stdout).unwrap();
            let failed = String::from_utf8(done.stderr).unwrap();
            (done.status.code(), said, failed)
        }
    };
    let (code, said, failed) = backtest(&[
        "--sweep",
        "Warm:threshold=3|7,Hot:for=1m",
        "--format",
        "json",
    ])
    .await;
    assert_eq!(code, Some(0), "{failed}");
    let answer: Value = serde_json::from_str(&said).unwrap();
    let runs = answer["runs"].as_array().unwrap();
    let found = runs.iter().map(|run| {
        let values = &run["values"];
        (
            values["Warm:threshold"].as_str().unwrap(),
            run["firings"].as_u64().unwrap(),
        )
    });
    assert_eq!(found.collect::<Vec<_>>(), [("3", 1), ("7", 0)]);
    assert_eq!(runs[0]["incidents"], 1);
    assert!(
        runs[0]["precision"].is_null() && runs[0]["failures"] == 0,
        "{said}"
    );
    assert!(
        said.contains("AgentSilent is in force and not among these rules"),
        "{said}"
    );
    let (code, said, failed) = backtest(&["--transitions"]).await;
    assert_eq!(code, Some(0), "{failed}");
    let lines: Vec<&str> = said
        .lines()
        .filter(|line| line.contains(" tried/Warm "))
        .collect();
    assert_eq!(lines.len(), 1, "{said}");
    let (code, said, _) = backtest(&[]).await;
    assert_eq!(code, Some(0));
    assert!(
        said.starts_with("RULES") && said.contains("as they are"),
        "{said}"
    );
    let (code, _, failed) = backtest(&["--sweep", "threshold=1|2"]).await;
    assert!(
        code != Some(0) && failed.contains("2 rules have a threshold"),
        "{failed}"
    );
    let (code, _, failed) = backtest(&["--sweep", "Cold:threshold=1"]).await;
    assert!(
        code != Some(0) && failed.contains("no rule Cold"),
        "{failed}"
    );
}
