//! Best practices.

use std::time::Duration;

use spec::{Action, Channel, Level};

use super::health::HEALTH;
use super::levels::LEVELS;
use super::{effect, has, plan, refused, rule, wrong};

const PRACTICES: &str = "
metric_selection:
  golden_signals: [latency, traffic, errors, saturation]
  business_metrics: [revenue, user_satisfaction, conversion]
  technical_metrics: [cpu, memory, disk, network]
alerting:
  alert_on_symptoms: true
  avoid_alerting_on_causes: true
  use_appropriate_thresholds: true
  implement_alert_fatigue_prevention: true
dashboards:
  keep_it_simple: true
  focus_on_actionable_metrics: true
  use_appropriate_visualizations: true
  maintain_consistency: true
documentation:
  document_metrics: true
  explain_thresholds: true
  maintain_runbooks: true
  update_regularly: true
";

fn without(switch: &str) -> String {
    PRACTICES.replace(&format!("{switch}: true"), &format!("{switch}: false"))
}

#[test]
fn metric_selection_golden_signals() {
    let all = plan(&[PRACTICES]);
    for (signal, name) in [
        ("latency", "TimeToFirstTokenHigh"),
        ("traffic", "TrafficStopped"),
        ("errors", "TargetDown"),
        ("saturation", "QueueLengthHigh"),
    ] {
        assert!(has(&all, name), "{name}");
        let left_out = plan(&[&format!("metric_selection: {{golden_signals: [{signal}]}}")]);
        assert!(has(&left_out, name), "{name}");
        let signals = left_out
            .rules
            .iter()
            .filter_map(|rule| rule.labels.get("signal"));
        assert!(signals.into_iter().all(|known| known == signal));
    }
    let told = effect(&all, "metric_selection.golden_signals[1]");
    assert!(told.contains("TrafficStopped"), "{told}");
}

#[test]
fn metric_selection_business_metrics() {
    let plan = plan(&[PRACTICES]);
    for name in ["revenue", "user_satisfaction", "conversion_rate"] {
        assert_eq!(rule(&plan, &format!("fleet:{name}")).action, Action::Record);
    }
}

#[test]
fn metric_selection_technical_metrics() {
    let plan = plan(&[PRACTICES]);
    for name in ["cpu_usage", "memory_usage", "disk_usage", "network_io"] {
        assert_eq!(rule(&plan, &format!("fleet:{name}")).action, Action::Record);
        let missed = |rule: &&spec::PlannedRule| {
            rule.name == "WatchedMetricMissing" && rule.labels["metric"] == name
        };
        assert_eq!(plan.rules.iter().filter(missed).count(), 1, "{name}");
    }
}

#[test]
fn alerting_alert_on_symptoms() {
    assert!(has(&plan(&[PRACTICES]), "EngineHung"));
    let off = plan(&[&without("alert_on_symptoms"), HEALTH]);
    assert!(!has(&off, "EngineHung") && has(&off, "ResponseTimeHigh"));
}

#[test]
fn alerting_avoid_alerting_on_causes() {
    let quiet = plan(&[PRACTICES, HEALTH]);
    for rule in quiet.rules.iter().filter(|rule| rule.is_cause()) {
        assert!(rule.level <= Some(Level::Medium), "{}", rule.name);
    }
    assert!(
        !quiet.policy.levels[&Level::Medium]
            .channels
            .contains(&Channel::Pagerduty)
    );
    let loud = plan(&[&without("avoid_alerting_on_causes"), HEALTH]);
    assert_eq!(rule(&loud, "MemoryErrors").level, Some(Level::High));
    assert!(
        loud.policy.levels[&Level::Medium]
            .channels
            .contains(&Channel::Pagerduty)
    );
    // Levels that make causes loud contradict it; both are named.
    let levels = LEVELS
        .replace("[trend_changes, resource_usage_high]", "[trend_changes]")
        .replace(
            "[performance_degradation,",
            "[resource_usage_high, performance_degradation,",
        );
    let problem = wrong(&[&levels, PRACTICES]);
    assert!(problem.starts_with("1.yaml:10:"), "{problem}");
    assert!(
        problem.contains("alert_levels.high.conditions[0]"),
        "{problem}"
    );
    assert!(
        problem.contains("alerting.avoid_alerting_on_causes (2.yaml:8)"),
        "{problem}"
    );
    let levels = LEVELS.replace(
        "15m\n      channels: [slack, email]",
        "15m\n      channels: [slack, phone]",
    );
    assert!(wrong(&[&levels, PRACTICES]).contains("are to wake nobody"));
}

#[test]
fn alerting_use_appropriate_thresholds() {
    let on = plan(&[PRACTICES, HEALTH]);
    let off = plan(&[&without("use_appropriate_thresholds"), HEALTH]);
    let (on, off) = (
        rule(&on, "ResponseTimeHigh"),
        rule(&off, "ResponseTimeHigh"),
    );
    assert_eq!(
        (on.hold, off.hold),
        (Duration::from_secs(300), Duration::ZERO)
    );
    assert!(on.clear_when.is_some() && off.clear_when.is_none());
}

#[test]
fn alerting_implement_alert_fatigue_prevention() {
    let on = plan(&[PRACTICES, HEALTH]);
    let limits = on.fatigue.clone().unwrap();
    assert_eq!(limits.digest[&Level::Low], Duration::from_secs(3600));
    assert_eq!(limits.words_per_hour_max, 20);
    assert_eq!(
        rule(&on, "ResponseTimeHigh").clear_for,
        Some(Duration::from_secs(300))
    );
    let off = plan(&[&without("implement_alert_fatigue_prevention"), HEALTH]);
    assert_eq!(off.fatigue, None);
    assert!(off.rules.iter().all(|rule| rule.clear_for.is_none()));
}

#[test]
fn dashboards_are_refused_by_name() {
    let plan = plan(&[PRACTICES]);
    for name in [
        "keep_it_simple",
        "focus_on_actionable_metrics",
        "use_appropriate_visualizations",
        "maintain_consistency",
    ] {
        refused(&plan, &format!("dashboards.{name}"));
    }
}

#[test]
fn documentation_document_metrics() {
    let on = plan(&[PRACTICES, HEALTH]);
    assert!(rule(&on, "CpuUsageHigh").annotations["metric"].contains("node_cpu_seconds_total"));
    let off = plan(&[&without("document_metrics"), HEALTH]);
    assert!(
        !rule(&off, "CpuUsageHigh")
            .annotations
            .contains_key("metric")
    );
}

#[test]
fn documentation_explain_thresholds() {
    let on = plan(&[PRACTICES, HEALTH]);
    let told = &rule(&on, "CpuUsageHigh").annotations["threshold"];
    assert!(told.contains("80% is the ceiling that system_monitoring.infrastructure_metrics.cpu_usage.threshold (2.yaml:4) sets"), "{told}");
    let off = plan(&[&without("explain_thresholds"), HEALTH]);
    assert!(
        !rule(&off, "CpuUsageHigh")
            .annotations
            .contains_key("threshold")
    );
}

#[test]
fn documentation_maintain_runbooks() {
    let on = plan(&[PRACTICES, HEALTH]);
    assert!(on.requires_runbooks);
    let alerts = on.rules.iter().filter(|rule| rule.action == Action::Alert);
    assert!(alerts.into_iter().all(|rule| rule.runbook.is_some()));
    assert!(!plan(&[&without("maintain_runbooks")]).requires_runbooks);
}

#[test]
fn documentation_update_regularly_is_refused_by_name() {
    refused(&plan(&[PRACTICES]), "documentation.update_regularly");
}
