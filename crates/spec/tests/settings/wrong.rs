//! What is wrong is said with path, place, reason and what was probably meant.

use expect_test::{Expect, expect};

use super::levels::LEVELS;
use super::load;

fn check(text: &str, expected: &Expect) {
    let problems = load(&[text]).map(|_| ()).unwrap_err();
    expected.assert_eq(&problems.join("\n"));
}

#[test]
fn slips_of_the_hand() {
    check(
        &LEVELS.replace("response_time: 5m", "resposne_time: 5m"),
        &expect![[r#"
            1.yaml:11:7: alerting_config.alert_levels.high.resposne_time: no setting has this name (did you mean response_time?)
            1.yaml:10:7: alerting_config.alert_levels.high: the setting response_time is missing"#]],
    );
    check(
        &LEVELS.replace("response_time: 5m", "response_time: imediate"),
        &expect![
            "1.yaml:11:22: alerting_config.alert_levels.high.response_time: imediate is out of place here: a length of time such as 5m, or immediate (did you mean immediate?)"
        ],
    );
    check(
        &LEVELS.replace("response_time: 5m", "response_time: 5"),
        &expect![
            "1.yaml:11:22: alerting_config.alert_levels.high.response_time: this should be a length of time such as 5m, or immediate, and it is the number 5"
        ],
    );
    check(
        &LEVELS.replace("phone, email]", "phnoe, email]"),
        &expect![
            "1.yaml:7:29: alerting_config.alert_levels.critical.channels[1]: phnoe is out of place here: a channel is one of pagerduty, phone, sms, slack, email, webhook, alertmanager (did you mean phone?)"
        ],
    );
    check(
        &LEVELS.replace("escalation: manual", "escalation: [manual]"),
        &expect![
            "1.yaml:13:19: alerting_config.alert_levels.high.escalation: this should be one of automatic, manual, none, and it is a list"
        ],
    );
    check(
        &LEVELS.replace("high_error_rate]", "high_eror_rate]"),
        &expect![
            "1.yaml:10:45: alerting_config.alert_levels.high.conditions[1]: high_eror_rate is out of place here: no rule has this condition (did you mean high_error_rate?)"
        ],
    );
    check(
        "monitoring_confg: {model_name: a}",
        &expect![
            "1.yaml:1:1: monitoring_confg: no setting has this name (did you mean monitoring_config?)"
        ],
    );
    check(
        "system_monitoring: {infrastructure_metrics: {cpu_usge: {threshold: 80}}}",
        &expect![
            "1.yaml:1:68: system_monitoring.infrastructure_metrics.cpu_usge.threshold: cpu_usge is out of place here: no metric has this name (did you mean cpu_usage?)"
        ],
    );
}

#[test]
fn values_that_nobody_means() {
    check(
        "system_monitoring: {infrastructure_metrics: {cpu_usage: {threshold: 180}}}",
        &expect![
            "1.yaml:1:69: system_monitoring.infrastructure_metrics.cpu_usage.threshold: 180 is out of place here: cpu_usage is in percent, and percent go from 0 to 100"
        ],
    );
    check(
        "system_monitoring: {infrastructure_metrics: {cpu_usage: {alert: true}}}",
        &expect![
            "1.yaml:1:57: system_monitoring.infrastructure_metrics.cpu_usage: the setting threshold is missing"
        ],
    );
    check(
        "monitoring_config: {thresholds: {latency: fast}}",
        &expect![[
            r#"1.yaml:1:43: monitoring_config.thresholds.latency: this should be a number, and it is the text "fast""#
        ]],
    );
    check(
        "monitoring_config: {thresholds: {accuracy: 95}}",
        &expect![
            "1.yaml:1:44: monitoring_config.thresholds.accuracy: 95 is out of place here: accuracy is in ratio, and a ratio goes from 0 to 1, a change of one from -1 to 1"
        ],
    );
    check(
        "monitoring_config: {metrics: [tea]}",
        &expect![
            "1.yaml:1:31: monitoring_config.metrics[0]: tea is out of place here: no metric has this name (say what it is: bindings: {tea: {query: ..., unit: ..., bad: high}})"
        ],
    );
    check(
        "monitoring_config: {metrics: []}",
        &expect![
            "1.yaml:1:30: monitoring_config.metrics: this is out of place here: it is empty, which says nothing: leave it out"
        ],
    );
    check(
        "monitoring_config: {model_name: }",
        &expect![
            "1.yaml:1:31: monitoring_config.model_name: this should be a text, and it is nothing"
        ],
    );
    check(
        "automated_response_config: {response_actions: {a: {triggers: [cpu_usage is high]}}}",
        &expect![
            "1.yaml:1:63: automated_response_config.response_actions.a.triggers[0]: cpu_usage is high is out of place here: after the metric there should be >, >=, <, <=, == or !="
        ],
    );
}

#[test]
fn texts_that_are_no_documents() {
    check(
        "- a\n- b\n",
        &expect![
            "1.yaml:1:1: this should be a mapping with the settings of a document, and it is a list"
        ],
    );
    check(
        "a: [1\n",
        &expect!["1.yaml:1:4: cannot be read: unclosed bracket '['"],
    );
    check(
        "a: 1\na: 2\n",
        &expect!["1.yaml:2:1: cannot be read: duplicate mapping key: a"],
    );
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(64))]

    #[test]
    fn a_slip_anywhere_is_a_problem_or_a_plan(at in 0_usize..3000, letter in "[\\PC\n]", cut in 0_usize..40) {
        let whole = [LEVELS, super::model::MODEL, super::health::HEALTH].join("---");
        let letters: Vec<char> = whole.chars().collect();
        let at = at.min(letters.len());
        let rest = letters.iter().skip(at + cut);
        let text: String = letters.iter().take(at).copied().chain(letter.chars()).chain(rest.copied()).collect();
        if let Err(problems) = load(&[&text]) {
            proptest::prop_assert!(!problems.is_empty());
        }
    }
}

#[test]
fn a_text_as_large_as_may_be_takes_seconds_at_most() {
    let metrics: Vec<String> = (0..3000).map(|at| format!("m{at}")).collect();
    let bindings: Vec<String> = metrics
        .iter()
        .map(|name| format!("{name}: {{query: up}}"))
        .collect();
    let text = format!(
        "monitoring_config: {{metrics: [{}]}}\nbindings: {{{}}}",
        metrics.join(", "),
        bindings.join(", ")
    );
    let plan = super::plan(&[&text]);
    assert!(plan.rules.len() > 6000);
    let too_many = format!(
        "monitoring_config: {{metrics: [{}]}}",
        "accuracy, ".repeat(30_000)
    );
    assert!(super::wrong(&[&too_many]).contains("cannot be read"));
}
