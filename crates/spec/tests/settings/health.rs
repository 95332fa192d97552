//! System health.

use std::time::Duration;

use spec::{Action, Channel, Escalation, Level, NeedKind};

use super::levels::LEVELS;
use super::{effect, has, plan, refused, rule, wrong};

pub(super) const HEALTH: &str = "
system_monitoring:
  infrastructure_metrics:
    cpu_usage: {threshold: 80, alert: true}
    memory_usage: {threshold: 85, alert: true}
    gpu_usage: {threshold: 90, alert: true}
    disk_usage: {threshold: 85, alert: true}
    network_io: {threshold: 1000, alert: true}
  application_metrics:
    response_time: {threshold: 100, alert: true}
    error_rate: {threshold: 0.01, alert: true}
    throughput: {threshold: 1000, alert: false}
    queue_length: {threshold: 100, alert: true}
  business_metrics:
    user_satisfaction: {threshold: 0.8, alert: true}
    conversion_rate: {threshold: 0.05, alert: true}
    revenue_impact: {threshold: -0.1, alert: true}
health_checks:
  health_checks:
    model_loading: {frequency: 5m, timeout: 30s}
    prediction_quality: {frequency: 1m, sample_size: 100}
    resource_availability: {frequency: 1m}
    network_connectivity: {frequency: 30s}
alerting:
  alerting:
    channels: [email, slack, pagerduty]
    escalation:
      level_1: {timeout: 5m, notify: [oncall]}
      level_2: {timeout: 15m, notify: [manager]}
      level_3: {timeout: 1h, notify: [emergency]}
";

/// The rule of a metric, its bound and its level.
fn check(name: &str, bound: &str, level: Level) {
    let plan = plan(&[HEALTH]);
    let rule = rule(&plan, name);
    assert!(rule.expr.ends_with(bound), "{}", rule.expr);
    assert_eq!(rule.level, Some(level), "{name}");
    assert_eq!(rule.hold, Duration::from_secs(300));
    assert!(rule.runbook.is_some() && rule.annotations.contains_key("threshold"));
}

#[test]
fn infrastructure_metrics_cpu_usage() {
    check("CpuUsageHigh", " > 0.8", Level::Medium);
    // The stock rule on the same metric has given way: there is one, and it is a cause.
    let plan = plan(&[HEALTH]);
    assert!(rule(&plan, "CpuUsageHigh").is_cause());
    assert_eq!(rule(&plan, "CpuUsageHigh").depends_on, ["AgentSilent"]);
    assert!(
        rule(&plan, "CpuUsageHigh")
            .clear_when
            .as_ref()
            .unwrap()
            .ends_with(" < 0.72")
    );
}

#[test]
fn infrastructure_metrics_memory_usage() {
    check("MemoryUsageHigh", " > 0.85", Level::Medium);
}

#[test]
fn infrastructure_metrics_gpu_usage() {
    check("GpuUsageHigh", " > 0.9", Level::Medium);
}

#[test]
fn infrastructure_metrics_disk_usage() {
    check("DiskUsageHigh", " > 0.85", Level::Medium);
}

#[test]
fn infrastructure_metrics_network_io_is_in_megabytes_a_second() {
    check("NetworkIoHigh", " > 1000000000", Level::Medium);
}

#[test]
fn application_metrics_response_time_is_in_milliseconds() {
    check("ResponseTimeHigh", " > 0.1", Level::High);
}

#[test]
fn application_metrics_error_rate() {
    check("ErrorRateHigh", " > 0.01", Level::High);
}

#[test]
fn application_metrics_throughput_alert_false_watches_and_shows() {
    let plan = plan(&[HEALTH]);
    assert!(!has(&plan, "ThroughputLow"));
    assert_eq!(rule(&plan, "fleet:throughput").action, Action::Record);
    let told = effect(
        &plan,
        "system_monitoring.application_metrics.throughput.alert",
    );
    assert!(told.contains("alerts nobody"), "{told}");
}

#[test]
fn application_metrics_queue_length() {
    check("QueueLengthHigh", " > 100", Level::High);
}

#[test]
fn business_metrics_user_satisfaction_is_a_floor() {
    check("UserSatisfactionLow", " < 0.8", Level::High);
}

#[test]
fn business_metrics_conversion_rate_is_a_floor() {
    check("ConversionRateLow", " < 0.05", Level::High);
}

#[test]
fn business_metrics_revenue_impact_is_a_floor() {
    check("RevenueImpactLow", " < -0.1", Level::High);
}

#[test]
fn alerting_channels() {
    use Channel::{Email, Slack};
    let plan = plan(&[HEALTH]);
    assert_eq!(plan.policy.levels[&Level::Critical].channels.len(), 3);
    assert_eq!(plan.policy.levels[&Level::Low].channels, [Email, Slack]);
    let other = super::model::MODEL.replace("[email, slack, pagerduty]", "[email]");
    assert!(wrong(&[HEALTH, &other]).contains("one list of channels for all"));
}

#[test]
fn alerting_escalation_is_a_ladder() {
    let alone = plan(&[HEALTH]);
    let rungs: Vec<(&str, u64, &str)> = alone
        .policy
        .ladder
        .iter()
        .map(|rung| {
            (
                rung.name.as_str(),
                rung.timeout.as_secs(),
                rung.notify[0].as_str(),
            )
        })
        .collect();
    assert_eq!(
        rungs,
        [
            ("level_1", 300, "oncall"),
            ("level_2", 900, "manager"),
            ("level_3", 3600, "emergency")
        ]
    );
    assert_eq!(
        alone.policy.levels[&Level::High].escalation,
        Escalation::Automatic
    );
    let receiver = NeedKind::Receiver("manager".to_owned());
    assert!(alone.needs.iter().any(|need| need.kind == receiver));
    // The levels of one document go with the ladder of another.
    let both = plan(&[HEALTH, LEVELS]);
    assert_eq!(both.policy.ladder.len(), 3);
    assert_eq!(
        both.policy.levels[&Level::High].escalation,
        Escalation::Manual
    );
    let other = HEALTH.replace("level_1: {timeout: 5m", "level_1: {timeout: 6m");
    assert!(
        super::load(&[HEALTH, &other])
            .unwrap_err()
            .concat()
            .contains("one ladder for all")
    );
    assert!(wrong(&[&HEALTH.replace("level_1:", "first:")]).contains("level_1, level_2"));
}

#[test]
fn health_checks_are_refused_by_name() {
    let plan = plan(&[HEALTH]);
    for path in [
        "model_loading.frequency",
        "model_loading.timeout",
        "prediction_quality.sample_size",
    ] {
        refused(&plan, &format!("health_checks.health_checks.{path}"));
    }
}

#[test]
fn triggers_alert_and_what_is_done_then_is_refused_by_name() {
    let plan = plan(&["
automated_response_config:
  response_actions:
    high_cpu_usage:
      triggers: ['cpu_usage > 80% for 5m']
      actions: [scale_up]
      cooldown: 10m
    high_latency:
      triggers: [response_time > 200ms for 3m, latency > 0.3s for 1m]
    model_drift:
      triggers: [accuracy_drop > 2% for 1h]
"]);
    let cpu = rule(&plan, "HighCpuUsage");
    assert!(cpu.expr.ends_with(" > 0.8"), "{}", cpu.expr);
    assert_eq!(
        (cpu.hold, cpu.level),
        (Duration::from_secs(300), Some(Level::Medium))
    );
    assert!(rule(&plan, "HighLatency").expr.ends_with(" > 0.2"));
    assert!(rule(&plan, "HighLatency2").expr.ends_with(" > 0.3"));
    let drift = rule(&plan, "ModelDrift");
    assert_eq!(
        drift.expr,
        "((avg_over_time(fleet:accuracy[7d]) - fleet:accuracy) and fleet:accuracy offset 1d) > 0.02"
    );
    assert_eq!(drift.hold, Duration::from_secs(3600));
    let path = "automated_response_config.response_actions.high_cpu_usage";
    refused(&plan, &format!("{path}.actions[0]"));
    refused(&plan, &format!("{path}.cooldown"));
    let wrong = wrong(&[
        "automated_response_config: {response_actions: {a: {triggers: [cpu_usage > 80ms for 5m]}}}",
    ]);
    assert!(
        wrong.contains("cpu_usage is in percent, not in milliseconds"),
        "{wrong}"
    );
}
