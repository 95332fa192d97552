use super::*;
use crate::example;

#[test]
fn every_kind_has_its_words() {
    let said = |kind: Kind, minutes: i64| {
        let words = Words::new(&example::message(kind, minutes), None);
        format!("{} / {}", words.headline, words.lead)
    };
    let title = "vllm is down on 3 nodes";
    for (kind, minutes, expected) in [
        (
            Kind::Trigger,
            0,
            format!("[CRITICAL] {title} / opened at 2025-11-27 10:00:00 UTC"),
        ),
        (
            Kind::Update,
            25,
            format!("[CRITICAL] update: {title} / still open after 25 min"),
        ),
        (
            Kind::Remind,
            5,
            format!(
                "[CRITICAL] reminder: {title} / not acknowledged for 5 min: please acknowledge"
            ),
        ),
        (
            Kind::Escalate {
                rung: "manager".to_owned(),
            },
            5,
            format!("[CRITICAL] escalated: {title} / not acknowledged for 5 min: manager is told"),
        ),
        (
            Kind::Acknowledge {
                by: "ada".to_owned(),
            },
            3,
            format!("[ACKNOWLEDGED] {title} / acknowledged by ada after 3 min"),
        ),
        (
            Kind::Resolve,
            12,
            format!("[RESOLVED] {title} / resolved after 12 min"),
        ),
        (
            Kind::Test,
            0,
            format!("[TEST] {title} / this is a test: nothing happened"),
        ),
    ] {
        assert_eq!(said(kind, minutes), expected);
    }
}

#[test]
fn what_all_share_is_not_said_of_each() {
    let words = Words::new(&example::message(Kind::Trigger, 0), None);
    let own: Vec<_> = words.alerts[0].own.keys().collect();
    assert_eq!(own, ["node"]);
    assert_eq!(words.alerts[0].name, "SystemDown");
    assert_eq!(words.alerts[0].summary, "vllm does not answer on gpu-0");
}

#[test]
fn numbers_have_six_digits() {
    for (value, said) in [
        (0.0, "0"),
        (1.0, "1"),
        (0.1 + 0.2, "0.3"),
        (1234.56789, "1234.57"),
        (123_456_789.5, "123456790"),
        (0.000_012, "1.20000e-5"),
        (1e300, "1.00000e300"),
        (f64::NAN, "NaN"),
        (f64::NEG_INFINITY, "-inf"),
    ] {
        assert_eq!(number(value), said);
    }
}

#[test]
fn a_link_is_of_the_web_or_none() {
    let message = example::message(Kind::Trigger, 0);
    let url = |external: &str| incident_url(&message, Some(external));
    assert_eq!(
        url("https://grafana.example/d/x?var-incident={incident}").as_deref(),
        Some("https://grafana.example/d/x?var-incident=20251127-001")
    );
    assert_eq!(url("javascript:alert(1)"), None);
    assert_eq!(url("https://a/<b"), None);
}

#[test]
fn a_word_says_whose_the_incident_is() {
    let mut message = example::message(Kind::Update, 4);
    message.assignee = Some("anna".to_owned());
    let words = Words::new(&message, None);
    assert_eq!(words.lead, "still open after 4 min; assigned to anna");
    assert_eq!(words.assignee.as_deref(), Some("anna"));
}
