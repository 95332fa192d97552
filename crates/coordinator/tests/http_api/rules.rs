//! `rules` and `alerts` as Prometheus' clients ask for them, alerts that other programs post, and runbooks.

use std::path::Path;

use serde_json::{Value, json};

use crate::server::Server;

const GPUS: &str = "groups: [{name: gpus, interval: 1s, rules: [\
    {alert: Hot, expr: 'vector(3) > 1', labels: {team: gpu}, annotations: {summary: 'hot'}},\
    {record: 'gpu:load', expr: 'vector(1)', labels: {team: gpu}}]}]";
const NETWORK: &str = "groups: [{name: network, interval: 1h, rules: [\
    {alert: Slow, expr: 'x > 1', for: 5m, labels: {team: net}}]}]";

/// A server with two rule files in `folder`.
async fn server(folder: &Path) -> Server {
    std::fs::write(folder.join("gpus.yml"), GPUS).unwrap();
    std::fs::write(folder.join("network.yml"), NETWORK).unwrap();
    Server::start_with(|config| {
        config.alerting.stock_rules = false;
        config.alerting.rules = vec![folder.to_owned()];
    })
    .await
}

async fn get(server: &Server, path: &str) -> Value {
    serde_json::from_str(&server.get(path).await.text()).unwrap()
}

/// `group: rule rule; group: rule`.
async fn listed(server: &Server, query: &str) -> String {
    let answer = get(server, &format!("/api/v1/rules{query}")).await;
    let groups = answer["data"]["groups"].as_array().unwrap();
    let names = |list: &Value| -> Vec<String> {
        let list = list.as_array().unwrap().iter();
        list.map(|it| it["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let groups = groups.iter().map(|group| {
        let name = group["name"].as_str().unwrap();
        format!("{name}: {}", names(&group["rules"]).join(" "))
    });
    groups.collect::<Vec<_>>().join("; ")
}

#[tokio::test]
async fn rules_are_chosen_by_kind_name_group_file_and_label() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path()).await;
    let file = folder.path().join("network.yml").display().to_string();
    let file = format!("?file[]={}", file.replace('/', "%2F"));
    for (query, expected) in [
        ("", "gpus: Hot gpu:load; network: Slow"),
        ("?type=alert", "gpus: Hot; network: Slow"),
        ("?type=record", "gpus: gpu:load"),
        ("?rule_name[]=Slow", "network: Slow"),
        (
            "?rule_name[]=Slow&rule_name[]=Hot",
            "gpus: Hot; network: Slow",
        ),
        ("?rule_group[]=gpus&type=alert", "gpus: Hot"),
        (&file, "network: Slow"),
        ("?file[]=none.yml", ""),
        ("?match[]=%7Bteam=%22gpu%22%7D", "gpus: Hot gpu:load"),
        (
            "?match[]=%7Bteam=%22gpu%22%7D&match[]=%7Bteam=~%22n.*%22%7D&type=alert",
            "gpus: Hot; network: Slow",
        ),
        ("?match[]=%7Bteam=%22gpu%22,level=%22x%22%7D", ""),
    ] {
        assert_eq!(listed(&server, query).await, expected, "{query}");
    }
    for query in ["?type=both", "?match[]=%7B"] {
        let answer = server.get(&format!("/api/v1/rules{query}")).await;
        assert_eq!(answer.code, 400, "{query}");
        assert!(answer.text().contains("bad_data"), "{query}");
    }
    let slow = &get(&server, "/api/v1/rules?rule_name[]=Slow").await["data"]["groups"][0];
    let rule = &slow["rules"][0];
    let shown = json!([
        slow["interval"],
        rule["type"],
        rule["duration"],
        rule["state"],
        rule["labels"]
    ]);
    let expected = json!([3600, "alerting", 300, "inactive", {"team": "net"}]);
    assert_eq!(shown, expected);
    server.end().await;
}

#[tokio::test]
async fn alerts_of_rules_and_of_other_programs_are_listed_once_each() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path()).await;
    let posted = r#"[{"labels":{"alertname":"Door","service.name":"hall"},"annotations":{"summary":"open"}},
        {"labels":{"":"x"}},{"labels":{"alertname":"Window"}}]"#;
    let kind = "Content-Type: application/json\r\n";
    let answer = server.send("POST", "/api/v2/alerts", kind, posted).await;
    assert_eq!(answer.code, 400);
    assert_eq!(answer.text(), r#""alert 1: \"\" is no name of a label""#);
    let metrics = server.get("/metrics").await.text();
    assert!(metrics.contains("\nvedette_coordinator_alerts_invalid_total 1\n"));
    server.advance(2000);
    // Rules are evaluated when their task sees the time.
    let alerts = loop {
        let answer = get(&server, "/api/v1/alerts").await;
        let alerts = answer["data"]["alerts"].as_array().unwrap().clone();
        if alerts.iter().any(|it| it["labels"]["alertname"] == "Hot") {
            break alerts;
        }
    };
    let names: Vec<&Value> = alerts.iter().map(|it| &it["labels"]["alertname"]).collect();
    assert_eq!(names, ["Hot", "Door", "Window"]);
    assert_eq!(alerts[0]["value"], "3e+00");
    assert_eq!(alerts[1]["labels"]["service.name"], "hall");
    assert_eq!(alerts[1]["state"], "firing");
    assert_eq!(alerts[1]["activeAt"], "2023-11-14T22:13:20Z");
    let rules = get(&server, "/api/v1/rules?rule_name[]=Hot").await;
    let rule = &rules["data"]["groups"][0]["rules"][0];
    assert_eq!(
        (&rule["state"], &rule["alerts"][0]["labels"]["team"]),
        (&json!("firing"), &json!("gpu"))
    );
    let rules = get(&server, "/api/v1/rules?rule_name[]=Hot&exclude_alerts=true").await;
    assert_eq!(rules["data"]["groups"][0]["rules"][0]["alerts"], json!([]));
    server.end().await;
}

#[tokio::test]
async fn runbooks_are_pages_for_programs_and_browsers() {
    let server = Server::start().await;
    let page = server.get("/runbooks/AgentSilent.md").await;
    assert_eq!(
        (page.code, page.header("content-type").as_str()),
        (200, "text/markdown; charset=utf-8")
    );
    assert!(page.text().starts_with("# AgentSilent\n"));
    let accept = "Accept: text/html,application/xhtml+xml;q=0.9\r\n";
    let page = server.send("GET", "/runbooks/DataLost", accept, "").await;
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    assert!(
        page.text()
            .contains("<a href=\"ClocksApart.md\">ClocksApart.md</a>")
    );
    let list = server.send("GET", "/runbooks", accept, "").await.text();
    assert!(list.contains("<a href=\"runbooks/AgentSilent.md\">"));
    assert_eq!(server.get("/runbooks/Nothing").await.code, 404);
    server.end().await;
}
