//! Any message keeps the limits of every channel.

use std::collections::BTreeMap;

use alert::{AlertLine, Kind, Message};
use notify::{Config, Manner, Senders};
use proptest::prelude::*;
use serde_json::{Value, json};
use spec::{Channel, Level};

use crate::checks;

/// Texts that break things: marks of every format, control characters, wide characters, long ones.
fn text(chars_max: usize) -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        3 => "[a-zA-Z0-9 _./:-]{0,40}",
        2 => "\\PC{0,20}",
        1 => any::<String>(),
        1 => prop::sample::select(vec![
            "&", "<", ">", "<!channel>", "&amp", "]]>", "</Say>", "{{ 7 * 7 }}", "{% raw %}", "\r\nBcc: a@b.c\r\n",
            "\u{0}\u{7}\u{1b}[0m", "\u{2028}", "\u{fffe}", "😀", "\u{202e}", "\"'\\", ".\r\n", "é",
        ]).prop_map(str::to_owned),
    ];
    (prop::collection::vec(piece, 0..6), 1..=chars_max).prop_map(|(pieces, times)| {
        let text = pieces.concat();
        let times = times / text.chars().count().max(1) + 1;
        text.repeat(times)
    })
}

fn labels(most: usize) -> impl Strategy<Value = BTreeMap<String, String>> {
    prop_oneof![
        4 => prop::collection::btree_map("[a-z_]{1,12}", text(60), 0..8),
        1 => prop::collection::btree_map(text(200), text(6000), 0..most),
    ]
}

fn alert() -> impl Strategy<Value = AlertLine> {
    (
        labels(70),
        labels(20),
        any::<bool>(),
        any::<i64>(),
        any::<Option<i64>>(),
        any::<f64>(),
    )
        .prop_map(
            |(labels, annotations, firing, starts_millis, ends_millis, value)| AlertLine {
                labels,
                annotations,
                firing,
                starts_millis,
                ends_millis,
                value,
                fingerprint: "00000000000000aa".to_owned(),
            },
        )
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Kind::Trigger),
        Just(Kind::Update),
        Just(Kind::Remind),
        text(400).prop_map(|rung| Kind::Escalate { rung }),
        text(400).prop_map(|by| Kind::Acknowledge { by }),
        Just(Kind::Resolve),
        Just(Kind::Test),
    ]
}

fn alerts() -> impl Strategy<Value = Vec<AlertLine>> {
    prop_oneof![
        2 => prop::collection::vec(alert(), 0..4),
        1 => (alert(), 0..=50_usize).prop_map(|(alert, times)| vec![alert; times]),
    ]
}

fn message() -> impl Strategy<Value = Message> {
    let texts = (
        "[a-zA-Z0-9-]{1,40}|\\PC{1,300}",
        text(3000),
        prop::option::of(text(4000).prop_map(|text| format!("https://runbook.example/{text}"))),
    );
    let numbers = (
        any::<i64>(),
        any::<i64>(),
        any::<u16>(),
        any::<Option<i64>>(),
    );
    let maps = (labels(70), labels(10), labels(10));
    (
        kind(),
        prop::sample::select(Level::ALL.to_vec()),
        texts,
        numbers,
        alerts(),
        maps,
    )
        .prop_map(|(kind, level, texts, numbers, alerts, maps)| Message {
            kind,
            incident: texts.0,
            level,
            title: texts.1,
            opened_millis: numbers.0,
            reopened: 0,
            assignee: None,
            at_millis: numbers.1,
            alerts_total: alerts.len() + usize::from(numbers.2),
            alerts,
            common_labels: maps.0,
            common_annotations: maps.1,
            group_labels: maps.2,
            runbook: texts.2,
            suppressed_total: usize::from(numbers.2),
            sample_millis: numbers.3,
        })
}

fn senders() -> Senders {
    Senders::open(Config {
        external_url: Some("https://vedette.example/{incident}".to_owned()),
        ..Config::default()
    })
    .unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_message_keeps_the_limits(message in message()) {
        let senders = senders();
        let said = |channel| senders.preview(&message, channel, &Manner::default());
        let json = |channel| serde_json::from_str::<Value>(&said(channel)).unwrap();
        prop_assert_eq!(checks::pagerduty(&json(Channel::Pagerduty), false), Ok(()));
        prop_assert_eq!(checks::slack(&json(Channel::Slack)), Ok(()));
        prop_assert_eq!(checks::webhook(&json(Channel::Webhook)), Ok(()));
        prop_assert_eq!(checks::alerts(&json(Channel::Alertmanager)), Ok(()));
        prop_assert_eq!(checks::twiml(&said(Channel::Phone)), Ok(()));
        prop_assert_eq!(checks::sms(&said(Channel::Sms)), Ok(()));
        let mail = said(Channel::Email);
        let (subject, _) = mail.split_once("\n\n").unwrap();
        prop_assert!(subject.lines().count() == 1 && subject.chars().count() <= 209);
    }
}

/// The checks of these tests find what is wrong.
#[test]
fn the_checks_check() {
    let section = |text: &str| {
        let block = json!({"type": "section", "text": {"type": "mrkdwn", "text": text}});
        checks::slack(&json!({"text": "t", "blocks": [block]}))
    };
    assert_eq!(section("a &amp; b <https://x|y>"), Ok(()));
    for wrong in ["a & b", "<!channel>", "a > b", "", &"a".repeat(3001)] {
        assert!(section(wrong).is_err(), "{wrong}");
    }
    let blocks = vec![json!({"type": "divider"}); 51];
    assert!(checks::slack(&json!({"text": "t", "blocks": blocks})).is_err());
    let said = |text: &str| {
        checks::twiml(&format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response><Say loop=\"2\">{text}</Say></Response>"
        ))
    };
    assert_eq!(said("a &amp; b"), Ok(()));
    for wrong in [
        "a & b",
        "</Say>",
        "\u{7}",
        "\u{fffe}",
        " ",
        &"a".repeat(4000),
    ] {
        assert!(said(wrong).is_err(), "{wrong}");
    }
    assert!(checks::webhook(&json!({"version": "4"})).is_err());
    assert!(checks::alerts(&json!([])).is_err());
    assert!(checks::sms(&"a".repeat(161)).is_err());
}
