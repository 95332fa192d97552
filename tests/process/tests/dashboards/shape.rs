//! What every dashboard has, so that one looks like another.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::board::{Board, boards, folder, list, text};
use crate::expression::fill;

/// The units in use, as Grafana calls them.
const UNITS: [&str; 14] = [
    "binBps",
    "bytes",
    "celsius",
    "cps",
    "dateTimeFromNow",
    "hertz",
    "ops",
    "percentunit",
    "pps",
    "reqps",
    "s",
    "short",
    "suffix: tok/s",
    "watt",
];

/// The data source is the one that the reader chose.
fn is_chosen(value: &Value) -> bool {
    text(&value["datasource"], "uid") == "${datasource}"
        && text(&value["datasource"], "type") == "prometheus"
}

/// What is wrong with one panel.
fn faults_of_panel(board: &Board, panel: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    let at = format!("{}: {}", board.name, text(panel, "title"));
    let mut fault = |is: bool, what: &str| {
        if is {
            faults.push(format!("{at}: {what}"));
        }
    };
    fault(text(panel, "title").is_empty(), "no title");
    fault(
        !text(panel, "description").ends_with('.'),
        "no description, or not a sentence",
    );
    let unit = text(&panel["fieldConfig"]["defaults"], "unit");
    fault(!UNITS.contains(&unit), "no unit, or one that is not known");
    fault(!is_chosen(panel), "not from the chosen data source");
    let letters: BTreeSet<&str> = list(panel, "targets").map(|t| text(t, "refId")).collect();
    let targets = list(panel, "targets").count();
    fault(targets == 0, "asks nothing");
    fault(letters.len() != targets, "two queries have one letter");
    let variables = board.variables();
    for target in list(panel, "targets") {
        let expression = text(target, "expr");
        if let Err(why) = fill(expression, &variables) {
            fault(true, &why);
        }
        // What is asked at one time looks back a fixed time, because samples come once in a sync.
        let is_fixed = expression
            .match_indices('[')
            .any(|(at, _)| !expression.split_at(at).1.starts_with("[$__rate_interval]"));
        fault(
            is_fixed && target["instant"] != true,
            "a range that is not $__rate_interval",
        );
        fault(
            target["instant"] == target["range"],
            "at one time, or over a range?",
        );
    }
    faults
}

/// The places of elements overlap, or leave the 24 columns.
fn faults_of_places(board: &Board) -> Vec<String> {
    let mut faults = Vec::new();
    let mut taken = BTreeSet::new();
    for element in board.elements() {
        let place = |key: &str| element["gridPos"][key].as_u64().unwrap_or(u64::MAX);
        let (x, y, w, h) = (place("x"), place("y"), place("w"), place("h"));
        let is_outside = x.checked_add(w).is_none_or(|right| right > 24) || h > 40 || y > 1000;
        let is_taken = !is_outside
            && (0..w * h).any(|cell| !taken.insert((x + cell % w.max(1), y + cell / w.max(1))));
        if is_outside || is_taken {
            faults.push(format!("{}: {}: place", board.name, text(element, "title")));
        }
    }
    faults
}

/// What is wrong with a dashboard, all of them known.
fn faults_of_board(board: &Board, uids: &BTreeSet<&str>) -> Vec<String> {
    let mut faults = Vec::new();
    let mut fault = |is: bool, what: &str| {
        if is {
            faults.push(format!("{}: {what}", board.name));
        }
    };
    let json = &board.json;
    fault(
        text(json, "uid") != format!("vedette-{}", board.name),
        "the uid is not that of the file",
    );
    fault(text(json, "title").is_empty(), "no title");
    fault(json["schemaVersion"] != 39, "another schema");
    fault(text(json, "refresh") != "15s", "another refresh");
    fault(
        !list(json, "tags").any(|tag| tag == "vedette"),
        "not tagged, so not linked",
    );
    let first = &json["templating"]["list"][0];
    fault(
        (
            text(first, "name"),
            text(first, "type"),
            text(first, "query"),
        ) != ("datasource", "datasource", "prometheus"),
        "the first variable is not the data source",
    );
    for variable in list(&json["templating"], "list").skip(1) {
        fault(!is_chosen(variable), "a variable of another data source");
    }
    let ids: BTreeSet<_> = board.elements().map(|one| one["id"].as_u64()).collect();
    fault(
        ids.len() != board.elements().count() || ids.contains(&None),
        "ids are missing or come twice",
    );
    let titles: BTreeSet<_> = board.panels().map(|panel| text(panel, "title")).collect();
    fault(
        titles.len() != board.panels().count(),
        "two panels have one title",
    );
    let whole = json.to_string();
    for (at, link) in whole.match_indices("/d/") {
        let rest = whole.split_at(at + link.len()).1;
        let uid = rest.split(['?', '/', '"']).next().unwrap_or_default();
        fault(!uids.contains(uid), "links to a dashboard that is not here");
    }
    faults
}

#[test]
fn every_dashboard_is_whole() {
    let boards = boards();
    let of_all =
        |key: &str| -> BTreeSet<&str> { boards.iter().map(|b| text(&b.json, key)).collect() };
    let (uids, titles) = (of_all("uid"), of_all("title"));
    assert_eq!(boards.len(), 6);
    assert_eq!(uids.len(), boards.len(), "{uids:?}");
    assert_eq!(titles.len(), boards.len(), "{titles:?}");
    let faults: Vec<String> = boards
        .iter()
        .flat_map(|board| {
            let panels = board
                .panels()
                .flat_map(|panel| faults_of_panel(board, panel));
            let mut faults: Vec<String> = panels.collect();
            faults.extend(faults_of_places(board));
            faults.extend(faults_of_board(board, &uids));
            faults
        })
        .collect();
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn a_panel_that_lacks_something_is_named() {
    let target = serde_json::json!({
        "refId": "A", "expr": "rate(a{node=~\"$node\"}[5m])", "instant": false, "range": true
    });
    let panel = serde_json::json!({
        "id": 1, "type": "timeseries", "title": "Made up", "targets": [target.clone(), target],
        "gridPos": {"x": 20, "y": 0, "w": 8, "h": 8},
        "fieldConfig": {"defaults": {"unit": "parsecs"}},
    });
    let board = Board {
        name: "made-up".to_owned(),
        json: serde_json::json!({"uid": "vedette-made", "panels": [panel]}),
    };
    let said = faults_of_panel(&board, board.panels().next().unwrap()).join("\n");
    for part in [
        "no description",
        "no unit",
        "not from the chosen",
        "one letter",
        "$node\"}[5m]) is no variable",
        "not $__rate_interval",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(faults_of_places(&board), ["made-up: Made up: place"]);
    let said = faults_of_board(&board, &BTreeSet::new()).join("\n");
    assert!(
        said.contains("the uid is not") && said.contains("another schema"),
        "{said}"
    );
}

#[test]
fn grafana_is_told_where_dashboards_and_data_are() {
    let read = |file: &str| std::fs::read_to_string(folder().join(file)).unwrap();
    let datasource = read("provisioning/datasources/vedette.yaml");
    for line in [
        "type: prometheus",
        "uid: vedette",
        "url: http://127.0.0.1:7780",
    ] {
        assert!(datasource.contains(line), "{line}");
    }
    let dashboards = read("provisioning/dashboards/vedette.yaml");
    assert!(dashboards.contains("path: /var/lib/grafana/dashboards/vedette"));
}
