//! The fifteen documents of the specification, from the shared folder: they load verbatim, and each of
//! their settings has exactly one account.

#![expect(clippy::panic, reason = "a helper fails its test by panicking")]
#![expect(clippy::print_stdout, reason = "a skipped test says so")]

use std::collections::BTreeSet;
use std::path::PathBuf;

use spec::{Effect, Kind, Text};

/// The documents, each with the count of its settings.
const DOCUMENTS: [(&str, usize); 15] = [
    ("anomaly_detection", 25),
    ("automated_response", 24),
    ("cost_monitoring", 20),
    ("custom_monitoring", 36),
    ("distributed_monitoring", 23),
    ("drift_monitoring", 21),
    ("logging_tracing", 26),
    ("metrics_collection", 44),
    ("model_performance_monitoring", 23),
    ("monitoring_best_practices", 23),
    ("multi_level_alerting", 36),
    ("optimize_monitoring_performance", 15),
    ("performance_anomaly_detection", 24),
    ("predictive_monitoring", 25),
    ("system_health_monitoring", 39),
];

/// The documents that are put in force.
const BUILT: [&str; 4] = [
    "model_performance_monitoring",
    "system_health_monitoring",
    "multi_level_alerting",
    "monitoring_best_practices",
];

/// Names and texts of the documents; none where the folder is not there.
fn documents() -> Vec<(String, String)> {
    let shared = std::env::var_os("VEDETTE_SHARED").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")),
        PathBuf::from,
    );
    let folder = shared.join("spec");
    if !folder.is_dir() {
        println!(
            "skipped: {} is not there (set VEDETTE_SHARED)",
            folder.display()
        );
        return Vec::new();
    }
    let read = |(name, _)| {
        let text = std::fs::read_to_string(folder.join(format!("{name}.yaml")));
        (
            String::from(name),
            text.expect("a document of the shared folder"),
        )
    };
    DOCUMENTS.into_iter().map(read).collect()
}

/// The paths of all leaves, by a reader that is not ours.
fn leaves(value: &serde_json::Value, path: &str, found: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(entries) => {
            for (key, value) in entries {
                let below = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                leaves(value, &below, found);
            }
        }
        serde_json::Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                leaves(item, &format!("{path}[{at}]"), found);
            }
        }
        _ => found.push(path.to_owned()),
    }
}

fn load(texts: &[(String, String)]) -> spec::Plan {
    let texts: Vec<Text<'_>> = texts
        .iter()
        .map(|(name, body)| Text { name, body })
        .collect();
    spec::load(&texts).unwrap_or_else(|problems| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        panic!("{}", lines.join("\n"))
    })
}

#[test]
fn each_document_loads_by_itself_is_known_by_its_keys_and_accounts_for_every_leaf() {
    let mut total = 0;
    for (name, body) in documents() {
        let plan = load(&[(name.clone(), body.clone())]);
        let count = DOCUMENTS
            .iter()
            .find(|(known, _)| *known == name)
            .unwrap()
            .1;
        let value: serde_json::Value = serde_saphyr::from_str(&body).unwrap();
        let mut expected = Vec::new();
        leaves(&value, "", &mut expected);
        expected.sort();
        let mut paths: Vec<String> = plan.accounts.iter().map(|it| it.path.clone()).collect();
        paths.sort();
        assert_eq!(paths, expected, "{name}");
        assert_eq!(paths.len(), count, "{name}");
        for account in &plan.accounts {
            assert_eq!(account.document.as_str(), name);
            assert!(account.place.line > 0);
            let (Effect::InForce(text) | Effect::NotBuilt(text)) = &account.effect;
            assert!(!text.is_empty(), "{}", account.path);
        }
        total += count;
    }
    assert!(total == 404 || total == 0, "{total}");
}

#[test]
fn all_documents_load_together_in_one_text_or_as_json() {
    let documents = documents();
    if documents.is_empty() {
        return;
    }
    let apart = load(&documents);
    assert_eq!(apart.accounts.len(), 404);
    let whole: Vec<&str> = documents.iter().map(|(_, body)| body.as_str()).collect();
    let whole = load(&[("all".to_owned(), whole.join("\n---\n"))]);
    assert_eq!(whole.policy, apart.policy);
    assert_eq!(whole.rules.len(), apart.rules.len());
    let json = documents.iter().map(|(name, body)| {
        let value: serde_json::Value = serde_saphyr::from_str(body).unwrap();
        (name.clone(), value.to_string())
    });
    let json = load(&json.collect::<Vec<_>>());
    assert_eq!(json.policy, apart.policy);
    let names = |plan: &spec::Plan| -> BTreeSet<String> {
        plan.rules
            .iter()
            .map(|rule| format!("{} {}", rule.name, rule.expr))
            .collect()
    };
    assert_eq!(names(&json), names(&apart));
}

#[test]
fn the_four_documents_of_alerting_are_in_force_but_for_what_is_named() {
    let documents: Vec<_> = documents()
        .into_iter()
        .filter(|(name, _)| BUILT.contains(&name.as_str()))
        .collect();
    if documents.is_empty() {
        return;
    }
    let plan = load(&documents);
    let refused: Vec<&str> = plan
        .not_built()
        .map(|account| account.path.as_str())
        .collect();
    expect_test::expect![[r#"
        [
            "data_collection.real_time_processing",
            "dashboards.keep_it_simple",
            "dashboards.focus_on_actionable_metrics",
            "dashboards.use_appropriate_visualizations",
            "dashboards.maintain_consistency",
            "documentation.update_regularly",
            "health_checks.health_checks.model_loading.frequency",
            "health_checks.health_checks.model_loading.timeout",
            "health_checks.health_checks.prediction_quality.frequency",
            "health_checks.health_checks.prediction_quality.sample_size",
            "health_checks.health_checks.resource_availability.frequency",
            "health_checks.health_checks.network_connectivity.frequency",
        ]
    "#]]
    .assert_debug_eq(&refused);
    // None of them is a setting of alerting.
    assert!(plan.not_built().all(|account| {
        account.document != Kind::MultiLevelAlerting && !account.path.contains("alert")
    }));
}
