//! Model performance.

use std::time::Duration;

use spec::{Action, Bad, Channel, Level, Origin};

use super::levels::LEVELS;
use super::{account, effect, has, load, plan, refused, rule, wrong};

pub(super) const MODEL: &str = "
monitoring_config:
  model_name: image-classifier
  metrics: [accuracy, precision, recall, f1_score, latency, throughput, error_rate]
  thresholds:
    accuracy: 0.95
    latency: 100
    error_rate: 0.01
    throughput: 1000
  alert_channels: [email, slack, pagerduty]
  monitoring_interval: 1m
data_collection:
  data_collection:
    sampling_rate: 1.0
    storage: time_series_db
    retention: 90d
  real_time_processing: true
alerting_config:
  alerting:
    threshold_alerts: true
    trend_alerts: true
    anomaly_alerts: true
";

#[test]
fn monitoring_config_model_name() {
    let plan = plan(&[MODEL]);
    for rule in plan
        .rules
        .iter()
        .filter(|rule| rule.group.starts_with("model:"))
    {
        assert_eq!(rule.labels["model"], "image-classifier", "{}", rule.name);
        assert!(rule.expr.contains("image-classifier"), "{}", rule.expr);
    }
    let other = MODEL.replace("image-classifier", "mine\\\"}");
    assert!(
        rule(&super::plan(&[&other]), "AccuracyLow")
            .expr
            .contains(r#"model="mine"#)
    );
}

#[test]
fn monitoring_config_metrics() {
    let plan = plan(&[MODEL]);
    for name in [
        "accuracy",
        "precision",
        "recall",
        "f1_score",
        "latency",
        "throughput",
        "error_rate",
    ] {
        let rule = rule(&plan, &format!("model:{name}"));
        assert_eq!(rule.action, Action::Record);
        let missed = plan.rules.iter().any(|rule| {
            rule.name == "WatchedMetricMissing"
                && rule.labels["metric"] == name
                && rule.level == Some(Level::Low)
        });
        assert!(missed, "{name}");
    }
    let resolved = account(&plan, "monitoring_config.metrics[0]")
        .resolved
        .clone()
        .unwrap();
    assert_eq!(
        resolved.query,
        r#"avg(model_accuracy{model="image-classifier"})"#
    );
    assert_eq!((resolved.bad, resolved.origin), (Bad::Low, Origin::Pushed));
}

#[test]
fn monitoring_config_thresholds_accuracy_is_a_floor() {
    let plan = plan(&[MODEL]);
    let rule = rule(&plan, "AccuracyLow");
    assert_eq!(
        rule.expr,
        r#"(avg(model_accuracy{model="image-classifier"})) < 0.95"#
    );
    assert_eq!(
        rule.clear_when.as_deref(),
        Some(r#"(avg(model_accuracy{model="image-classifier"})) > 0.955"#)
    );
    assert_eq!(rule.hold, Duration::from_secs(300));
    assert_eq!(rule.condition.as_deref(), Some("performance_degradation"));
    assert_eq!(rule.level, Some(Level::High));
    assert_eq!(rule.path, "monitoring_config.thresholds.accuracy");
}

#[test]
fn monitoring_config_thresholds_latency_is_a_ceiling_in_milliseconds() {
    let rule = rule(&plan(&[MODEL]), "LatencyHigh").clone();
    assert!(rule.expr.ends_with(") > 0.1"), "{}", rule.expr);
    assert!(
        rule.expr
            .contains(r#"vllm:e2e_request_latency_seconds_bucket{model_name="image-classifier"}"#)
    );
    assert_eq!(rule.labels["signal"], "latency");
    assert_eq!(
        rule.annotations["summary"],
        "latency of image-classifier is above 100 ms"
    );
}

#[test]
fn monitoring_config_thresholds_error_rate_is_a_ceiling() {
    // That of all servers is a stock rule, and stays.
    let plan = plan(&[MODEL]);
    let mut rules = plan
        .rules
        .iter()
        .filter(|rule| rule.name == "ErrorRateHigh");
    let rule = rules
        .find(|rule| rule.labels.contains_key("model"))
        .unwrap();
    assert!(rule.expr.ends_with(") > 0.01"), "{}", rule.expr);
}

#[test]
fn monitoring_config_thresholds_throughput_is_a_floor() {
    let rule = rule(&plan(&[MODEL]), "ThroughputLow").clone();
    assert!(rule.expr.ends_with(") < 1000"), "{}", rule.expr);
}

#[test]
fn monitoring_config_alert_channels() {
    use Channel::{Email, Pagerduty, Slack};
    let alone = plan(&[MODEL]);
    assert_eq!(
        alone.policy.levels[&Level::High].channels,
        [Email, Slack, Pagerduty]
    );
    assert_eq!(alone.policy.levels[&Level::Low].channels, [Email, Slack]);
    // Where levels are said, they say which channel is for which.
    let both = plan(&[MODEL, LEVELS]);
    assert_eq!(both.policy.levels[&Level::High].channels, [Slack, Email]);
    let told = effect(&both, "monitoring_config.alert_channels[2]");
    assert!(
        told.ends_with("where their level says so: critical"),
        "{told}"
    );
    let sms = MODEL.replace("[email, slack, pagerduty]", "[email, sms]");
    assert!(wrong(&[&sms, LEVELS]).contains("no level there is told by sms"));
}

#[test]
fn monitoring_config_monitoring_interval() {
    let plan = plan(&[&MODEL.replace("monitoring_interval: 1m", "monitoring_interval: 30s")]);
    assert_eq!(
        rule(&plan, "AccuracyLow").interval,
        Some(Duration::from_secs(30))
    );
    assert!(plan.rule_file().contains("interval: 30s"));
}

#[test]
fn alerting_threshold_alerts() {
    let off = plan(&[&MODEL.replace("threshold_alerts: true", "threshold_alerts: false")]);
    assert!(!has(&off, "AccuracyLow") && has(&off, "model:accuracy") && has(&off, "AccuracyFalls"));
    let told = effect(&off, "monitoring_config.thresholds.accuracy");
    assert!(told.contains("alerts nobody"), "{told}");
}

#[test]
fn alerting_trend_alerts() {
    let on = plan(&[MODEL]);
    let rule = rule(&on, "AccuracyFalls");
    assert!(
        rule.expr.contains("[7d]") && rule.expr.ends_with("> 0.02"),
        "{}",
        rule.expr
    );
    assert_eq!(rule.condition.as_deref(), Some("trend_changes"));
    assert!(has(&on, "LatencyRises"));
    let off = plan(&[&MODEL.replace("trend_alerts: true", "trend_alerts: false")]);
    assert!(!has(&off, "AccuracyFalls") && has(&off, "AccuracyUnusual"));
}

#[test]
fn alerting_anomaly_alerts() {
    let on = plan(&[MODEL]);
    let rule = rule(&on, "LatencyUnusual");
    assert!(
        rule.expr.contains("[1d]") && rule.expr.ends_with("> 3.5"),
        "{}",
        rule.expr
    );
    let off = plan(&[&MODEL.replace("anomaly_alerts: true", "anomaly_alerts: false")]);
    assert!(!has(&off, "LatencyUnusual") && has(&off, "LatencyRises"));
}

#[test]
fn data_collection_retention() {
    let plan = plan(&[MODEL]);
    let day = Duration::from_secs(86_400);
    assert_eq!(plan.retention_min, Some(90 * day));
    assert_eq!(plan.retention_fault(90 * day), None);
    let fault = plan.retention_fault(30 * day).unwrap();
    assert!(
        fault.contains("asks for 90d, and store.retention is 30d"),
        "{fault}"
    );
}

#[test]
fn data_collection_sampling_rate_storage_and_real_time_processing() {
    let as_it_is = plan(&[MODEL]);
    effect(&as_it_is, "data_collection.data_collection.sampling_rate");
    effect(&as_it_is, "data_collection.data_collection.storage");
    refused(&as_it_is, "data_collection.real_time_processing");
    let other = MODEL
        .replace("1.0", "0.5")
        .replace("time_series_db", "influxdb");
    let other = plan(&[&other]);
    refused(&other, "data_collection.data_collection.sampling_rate");
    refused(&other, "data_collection.data_collection.storage");
}

#[test]
fn two_models_stand_beside_each_other_and_one_twice_contradicts_itself() {
    let other = MODEL.replace("image-classifier", "other");
    let plan = plan(&[MODEL, &other]);
    assert_eq!(
        plan.rules
            .iter()
            .filter(|rule| rule.name == "AccuracyLow")
            .count(),
        2
    );
    let problem = wrong(&[MODEL, &MODEL.replace("accuracy: 0.95", "accuracy: 0.9")]);
    assert!(
        problem.starts_with("2.yaml:6:15: monitoring_config.thresholds.accuracy"),
        "{problem}"
    );
    assert!(
        problem.contains("contradicts monitoring_config.thresholds.accuracy (1.yaml:6)"),
        "{problem}"
    );
    assert!(load(&[MODEL, MODEL]).is_ok());
}

#[test]
fn bindings_say_what_a_name_is() {
    let bindings = "
bindings:
  accuracy: {query: 'my_accuracy{model=\"$model\"}', unit: percent}
  tea_cups: {query: cups, unit: count, bad: low}
";
    let model = MODEL.replace("accuracy: 0.95", "accuracy: 95\n    tea_cups: 3");
    let plan = plan(&[&model, bindings]);
    assert_eq!(
        rule(&plan, "AccuracyLow").expr,
        r#"(my_accuracy{model="image-classifier"}) < 0.95"#
    );
    assert_eq!(rule(&plan, "TeaCupsLow").expr, "(cups) < 3");
    let resolved = account(&plan, "monitoring_config.metrics[0]")
        .resolved
        .clone()
        .unwrap();
    assert_eq!(resolved.origin, Origin::Given);
    assert!(wrong(&["bindings: {a: {query: b, unit: persent}}"]).contains("did you mean"));
}
