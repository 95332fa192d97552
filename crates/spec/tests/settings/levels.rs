//! Levels, channels, addresses, incidents.

use std::time::Duration;

use spec::{Channel, Escalation, Level, NeedKind};

use super::{effect, load, plan, rule, wrong};

/// Levels as the specification has them, with places to change.
pub(super) const LEVELS: &str = "
alerting_config:
  alert_levels:
    critical:
      conditions: [system_down, data_loss, security_breach]
      response_time: immediate
      channels: [pagerduty, phone, email]
      escalation: automatic
    high:
      conditions: [performance_degradation, high_error_rate]
      response_time: 5m
      channels: [slack, email]
      escalation: manual
    medium:
      conditions: [trend_changes, resource_usage_high]
      response_time: 15m
      channels: [slack, email]
      escalation: none
    low:
      conditions: [informational, maintenance_required]
      response_time: 1h
      channels: [email]
      escalation: none
  notification_channels:
    email:
      recipients: [oncall@company.com, ml-team@company.com]
      template: alert_email_template
    slack:
      channels: ['#ml-alerts', '#oncall']
      template: alert_slack_template
    pagerduty:
      service_id: ml-monitoring-service
      urgency: high
incident_management:
  incident_management:
    auto_creation: true
    escalation_rules: true
    resolution_tracking: true
";

#[test]
fn alert_levels_response_time() {
    let plan = plan(&[LEVELS]);
    let within = |level| plan.policy.levels[&level].response_within;
    assert_eq!(within(Level::Critical), Duration::ZERO);
    assert_eq!(within(Level::High), Duration::from_secs(300));
    assert_eq!(within(Level::Medium), Duration::from_secs(900));
    assert_eq!(within(Level::Low), Duration::from_secs(3600));
    let told = effect(&plan, "alerting_config.alert_levels.high.response_time");
    assert!(told.contains("within 5m"), "{told}");
}

#[test]
fn alert_levels_channels() {
    use Channel::{Email, Pagerduty, Phone, Slack};
    let plan = plan(&[LEVELS]);
    let channels = |level| plan.policy.levels[&level].channels.clone();
    assert_eq!(channels(Level::Critical), [Pagerduty, Phone, Email]);
    assert_eq!(channels(Level::High), [Slack, Email]);
    assert_eq!(channels(Level::Medium), [Slack, Email]);
    assert_eq!(channels(Level::Low), [Email]);
}

#[test]
fn alert_levels_critical_escalation_automatic() {
    let plan = plan(&[LEVELS]);
    assert_eq!(
        plan.policy.levels[&Level::Critical].escalation,
        Escalation::Automatic
    );
    let told = effect(&plan, "alerting_config.alert_levels.critical.escalation");
    assert!(told.contains("by the clock"), "{told}");
}

#[test]
fn alert_levels_high_escalation_manual() {
    let plan = plan(&[LEVELS]);
    assert_eq!(
        plan.policy.levels[&Level::High].escalation,
        Escalation::Manual
    );
}

#[test]
fn alert_levels_medium_and_low_escalation_none() {
    let plan = plan(&[LEVELS]);
    assert_eq!(
        plan.policy.levels[&Level::Medium].escalation,
        Escalation::None
    );
    assert_eq!(plan.policy.levels[&Level::Low].escalation, Escalation::None);
}

#[test]
fn alert_levels_conditions_give_rules_their_level() {
    let plan = plan(&[LEVELS]);
    for (name, level) in [
        ("AgentSilent", Level::Critical),
        ("DataLost", Level::Critical),
        ("CredentialsRefused", Level::Critical),
        ("QueueLengthHigh", Level::High),
        ("ErrorRateHigh", Level::High),
        ("CpuUsageHigh", Level::Medium),
        ("DataThinned", Level::Low),
        ("GpuRowsWaitForReset", Level::Low),
    ] {
        assert_eq!(rule(&plan, name).level, Some(level), "{name}");
        assert_eq!(
            rule(&plan, name).labels["severity"],
            level.as_str(),
            "{name}"
        );
    }
    let moved = LEVELS
        .replace("[trend_changes, resource_usage_high]", "[trend_changes]")
        .replace(
            "[performance_degradation,",
            "[resource_usage_high, performance_degradation,",
        );
    let plan = super::plan(&[&moved]);
    assert_eq!(rule(&plan, "CpuUsageHigh").level, Some(Level::High));
}

#[test]
fn alert_levels_conditions_name_their_rules() {
    let plan = plan(&[LEVELS]);
    let told = effect(&plan, "alerting_config.alert_levels.high.conditions[1]");
    assert!(told.contains("ErrorRateHigh"), "{told}");
    let own = LEVELS.replace("[informational,", "[blue_moon, informational,");
    let plan = super::plan(&[&own]);
    let told = effect(&plan, "alerting_config.alert_levels.low.conditions[0]");
    assert!(told.contains("rules of yours may"), "{told}");
}

#[test]
fn notification_channels_email_recipients() {
    let plan = plan(&[LEVELS]);
    let expected = ["oncall@company.com", "ml-team@company.com"];
    assert_eq!(plan.policy.addresses[&Channel::Email], expected);
    assert!(wrong(&[&LEVELS.replace("oncall@company.com", "oncall")]).contains("NAME@HOST"));
}

#[test]
fn notification_channels_slack_channels() {
    let plan = plan(&[LEVELS]);
    assert_eq!(
        plan.policy.addresses[&Channel::Slack],
        ["#ml-alerts", "#oncall"]
    );
    assert!(wrong(&[&LEVELS.replace("'#oncall'", "oncall")]).contains("begins with #"));
}

#[test]
fn notification_channels_template() {
    let plan = plan(&[LEVELS]);
    assert_eq!(
        plan.policy.templates[&Channel::Email],
        "alert_email_template"
    );
    assert_eq!(
        plan.policy.templates[&Channel::Slack],
        "alert_slack_template"
    );
    let need = NeedKind::Template(Channel::Email, "alert_email_template".to_owned());
    assert!(plan.needs.iter().any(|it| it.kind == need));
}

#[test]
fn notification_channels_pagerduty_service_id() {
    let plan = plan(&[LEVELS]);
    assert_eq!(
        plan.policy.addresses[&Channel::Pagerduty],
        ["ml-monitoring-service"]
    );
    let need = NeedKind::Service(Channel::Pagerduty, "ml-monitoring-service".to_owned());
    assert!(plan.needs.iter().any(|it| it.kind == need));
}

#[test]
fn notification_channels_pagerduty_urgency() {
    assert_eq!(
        plan(&[LEVELS]).policy.pagerduty_urgency.as_deref(),
        Some("high")
    );
    let low = plan(&[&LEVELS.replace("urgency: high", "urgency: low")]);
    assert_eq!(low.policy.pagerduty_urgency.as_deref(), Some("low"));
    assert!(
        wrong(&[&LEVELS.replace("urgency: high", "urgency: hgih")]).contains("did you mean high?")
    );
}

#[test]
fn a_channel_without_an_address_is_a_need() {
    let plan = plan(&[LEVELS]);
    let phone = plan
        .needs
        .iter()
        .find(|it| it.kind == NeedKind::Addresses(Channel::Phone));
    assert_eq!(phone.unwrap().path, "the level critical is told by it");
    let with = LEVELS.replace(
        "    pagerduty:\n",
        "    phone: {numbers: ['+4930123456']}\n    pagerduty:\n",
    );
    let plan = super::plan(&[&with]);
    assert_eq!(plan.policy.addresses[&Channel::Phone], ["+4930123456"]);
    assert!(
        plan.needs
            .iter()
            .all(|it| it.kind != NeedKind::Addresses(Channel::Phone))
    );
}

#[test]
fn incident_management_auto_creation() {
    assert!(plan(&[LEVELS]).policy.incidents.auto_creation);
    let off = plan(&[&LEVELS.replace("auto_creation: true", "auto_creation: false")]);
    assert!(!off.policy.incidents.auto_creation);
    let told = effect(
        &off,
        "incident_management.incident_management.auto_creation",
    );
    assert_eq!(told, "only people open incidents");
}

#[test]
fn incident_management_escalation_rules() {
    assert!(plan(&[LEVELS]).policy.incidents.escalation_rules);
    let off = plan(&[&LEVELS.replace("escalation_rules: true", "escalation_rules: false")]);
    assert!(!off.policy.incidents.escalation_rules);
}

#[test]
fn incident_management_resolution_tracking() {
    assert!(plan(&[LEVELS]).policy.incidents.resolution_tracking);
    let off = plan(&[&LEVELS.replace("resolution_tracking: true", "resolution_tracking: false")]);
    assert!(!off.policy.incidents.resolution_tracking);
}

#[test]
fn two_documents_of_levels_that_differ_contradict_each_other() {
    let other = LEVELS.replace("response_time: 5m", "response_time: 6m");
    let problems = load(&[LEVELS, &other]).unwrap_err();
    let first = problems
        .iter()
        .find(|it| it.contains("high.response_time"))
        .unwrap();
    assert!(first.starts_with("2.yaml:11:"), "{first}");
    assert!(
        first.contains("contradicts alerting_config.alert_levels.high.response_time (1.yaml:11)"),
        "{first}"
    );
}

#[test]
fn a_condition_of_two_levels_contradicts_itself() {
    let twice = LEVELS.replace("[informational,", "[informational, data_loss,");
    let problem = wrong(&[&twice]);
    assert!(
        problem.contains("alert_levels.low.conditions[1]"),
        "{problem}"
    );
    assert!(
        problem.contains("alert_levels.critical.conditions"),
        "{problem}"
    );
}
