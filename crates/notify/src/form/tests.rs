use std::collections::BTreeMap;

use alert::{Kind, Notification, Status, Target};
use expect_test::expect;
use lettre::message::Mailbox;
use proptest::prelude::*;
use serde_json::{Value, json};
use spec::Channel;

use super::*;
use crate::example;
use crate::templates::Templates;
use crate::words::Words;

fn notification(id: &str, kind: Kind) -> Notification {
    Notification {
        id: id.to_owned(),
        target: Target {
            channel: Channel::Email,
            address: "oncall@company.com".to_owned(),
        },
        message: example::message(kind, 12),
        status: Status::Queued,
        attempts: 0,
        queued_millis: 0,
        next_millis: 0,
        stands_for: Vec::new(),
    }
}

fn mail(notification: &Notification) -> String {
    let templates = Templates::new([]).unwrap();
    let words = Words::new(&notification.message, Some("https://v.example/{incident}"));
    let mut rendering = templates.say(Channel::Email, None, &words);
    let parts = email::parts(&mut rendering);
    let from: Mailbox = "Vedette <vedette@example.com>".parse().unwrap();
    let to = Mailbox::new(None, notification.target.address.parse().unwrap());
    let message = email::mail(parts, notification, &from, to).unwrap();
    String::from_utf8(message.formatted()).unwrap()
}

/// A mail without the boundary, which is different each time.
fn headers(mail: &str) -> String {
    let (headers, _) = mail.split_once("\r\n\r\n").unwrap();
    headers
        .lines()
        .filter(|line| !line.trim_start().starts_with("boundary="))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn an_incident_is_one_thread_of_mail() {
    expect![[r#"
        From: Vedette <vedette@example.com>
        To: oncall@company.com
        Date: Thu, 27 Nov 2025 10:12:00 +0000
        Subject: [CRITICAL] vllm is down on 3 nodes
        Auto-Submitted: auto-generated
        Message-ID: <incident.20251127-001.1ff65b7ec37e0d2e@example.com>
        MIME-Version: 1.0
        Content-Type: multipart/alternative;"#]]
    .assert_eq(&headers(&mail(&notification("n-1", Kind::Trigger))));
    expect![[r#"
        From: Vedette <vedette@example.com>
        To: oncall@company.com
        Date: Thu, 27 Nov 2025 10:12:00 +0000
        Subject: [RESOLVED] vllm is down on 3 nodes
        Auto-Submitted: auto-generated
        Message-ID: <word.n-2@example.com>
        In-Reply-To: <incident.20251127-001.1ff65b7ec37e0d2e@example.com>
        References: <incident.20251127-001.1ff65b7ec37e0d2e@example.com>
        MIME-Version: 1.0
        Content-Type: multipart/alternative;"#]]
    .assert_eq(&headers(&mail(&notification("n-2", Kind::Resolve))));
}

#[test]
fn a_mail_that_an_incident_is_open_again_is_a_mail_of_its_own() {
    let mut again = notification("n-3", Kind::Trigger);
    again.message.reopened = 1;
    let text = headers(&mail(&again));
    assert!(
        text.contains("Message-ID: <word.n-3@example.com>"),
        "{text}"
    );
    assert!(
        text.contains("References: <incident.20251127-001."),
        "{text}"
    );
}

#[test]
fn a_mail_says_it_in_text_and_in_html() {
    let text = mail(&notification("n-1", Kind::Trigger));
    for part in [
        "Content-Type: text/plain; charset=utf-8",
        "Content-Type: text/html; charset=utf-8",
        "[CRITICAL] vllm is down on 3 nodes",
        "What to do: https://runbooks.example/system-down",
        "vllm does not answer on gpu-2",
        "2 more alerts belong to this",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
}

#[test]
fn ids_that_may_not_stand_in_a_header_are_hashed() {
    let mut bad = notification("a\r\nBcc: x@y.z", Kind::Update);
    bad.message.incident = "i >".repeat(200);
    let text = headers(&mail(&bad));
    assert!(!text.contains("Bcc"), "{text}");
    assert!(text.lines().all(|line| line.len() <= 200), "{text}");
}

#[test]
fn slack_is_cut_where_nothing_is_torn_and_says_how_much() {
    let templates = Templates::new([]).unwrap();
    let mut message = example::message(Kind::Trigger, 0);
    message.title = "&".repeat(400);
    let alert = message.alerts[0].clone();
    message.alerts = vec![alert; 50];
    for alert in &mut message.alerts {
        alert.annotations = [("summary".to_owned(), "<".repeat(400))].into();
    }
    message.alerts_total = 70;
    let words = Words::new(&message, None);
    let body = slack::message(&words, &mut templates.say(Channel::Slack, None, &words));
    let blocks = body["blocks"].as_array().unwrap();
    let total: usize = body.to_string().chars().count();
    assert!(total < 14_500, "{total}");
    let shown = blocks.len() - 4;
    let rest = blocks[blocks.len() - 2]["text"]["text"].as_str().unwrap();
    assert_eq!(rest, format!("... and {} more alerts.", 70 - shown));
    assert!(shown > 3);
}

#[test]
fn pagerduty_keeps_incidents_apart_that_begin_alike() {
    assert_eq!(pagerduty::dedup_key("i-1"), "i-1");
    let (a, b) = ("é".repeat(300) + "a", "é".repeat(300) + "b");
    let (a, b) = (pagerduty::dedup_key(&a), pagerduty::dedup_key(&b));
    assert!(a != b && a.len() <= 255 && b.len() <= 255);
}

#[test]
fn twiml_is_escaped_and_fits() {
    let templates = Templates::new([]).unwrap();
    let mut message = example::message(Kind::Trigger, 0);
    message.title = "'".repeat(5000);
    let words = Words::new(&message, None);
    let xml = twilio::twiml(&mut templates.say(Channel::Phone, None, &words));
    assert!(xml.chars().count() <= twilio::TWIML_CHARS_MAX);
    assert!(xml.contains("&apos;&apos;") && xml.ends_with("</Say></Response>"));
    assert_eq!(
        twilio::escape_xml("a<b>&\"'\u{0}"),
        "a&lt;b&gt;&amp;&quot;&apos; "
    );
}

#[test]
fn a_long_title_leaves_room_in_a_text_message() {
    let templates = Templates::new([]).unwrap();
    let mut message = example::message(Kind::Remind, 5);
    message.title = "a very long title ".repeat(20);
    let words = Words::new(&message, None);
    let sms = twilio::sms(&words, &mut templates.say(Channel::Sms, None, &words));
    assert!(sms.chars().count() <= twilio::SMS_CHARS_PREFERRED, "{sms}");
    assert!(
        sms.starts_with("[CRITICAL] reminder: a very long title"),
        "{sms}"
    );
    assert!(
        sms.ends_with("please acknowledge, 3 alerts (20251127-001)"),
        "{sms}"
    );
}

#[test]
fn a_signature_is_what_others_compute() {
    // python3: hmac.new(b"key", b"1764238320.{}", "sha256").hexdigest()
    assert_eq!(
        webhook::signature("key", 1_764_238_320_999, b"{}"),
        "t=1764238320,v1=a9e758b9f132b2f4448b7c98bf4c6e13e4e107e6edfb2249ac3e373249c6bf46"
    );
}

#[test]
fn the_webhooks_payload_is_alertmanagers() {
    let mut message = example::message(Kind::Trigger, 12);
    message.alerts.truncate(1);
    message.alerts[0]
        .labels
        .insert("a.b".to_owned(), "c".to_owned());
    let body = webhook::body(&message, "bridge", Some("https://v.example"));
    let payload: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(payload["truncatedAlerts"], 2);
    assert_eq!(
        payload["alerts"][0],
        json!({
            "status": "firing",
            "labels": {"a_b": "c", "alertname": "SystemDown", "node": "gpu-0", "service": "vllm", "severity": "critical"},
            "annotations": {"summary": "vllm does not answer on gpu-0"},
            "startsAt": "2025-11-27T10:00:00Z",
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "https://v.example",
            "fingerprint": "00000000000000a0",
        })
    );
    assert_eq!(payload["vedette"]["kind"], "trigger");
}

#[test]
fn an_alertmanager_hears_the_end_of_what_somebody_says_is_over() {
    let mut message = notification("t/2", Kind::Resolve).message;
    message.alerts[0].firing = true;
    message.alerts[0].ends_millis = None;
    let external = [("site", "west"), ("alertname", "no")];
    let external = external.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let body = super::alertmanager::body(&message, None, &external.into());
    let alerts: Value = serde_json::from_slice(&body).unwrap();
    let ends = crate::when::rfc3339(message.at_millis);
    assert_eq!(alerts[0]["endsAt"], ends.as_str());
    assert_eq!(alerts[0]["labels"]["site"], "west");
    assert_ne!(alerts[0]["labels"]["alertname"], "no");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever stands in a message, its mail has our headers and no others, and no line too long.
    #[test]
    fn any_mail_is_mime(
        title in any::<String>(),
        value in any::<String>(),
        id in any::<String>(),
        incident in any::<String>(),
        times in 1_usize..2000,
        at_millis in any::<i64>(),
    ) {
        let mut notification = notification(&id, Kind::Update);
        let message = &mut notification.message;
        message.title = title;
        message.incident = incident;
        message.at_millis = at_millis;
        message.common_labels = BTreeMap::from([("a".to_owned(), value.repeat(times % 50))]);
        message.alerts[0].annotations = BTreeMap::from([("summary".to_owned(), value.repeat(times))]);
        let mail = mail(&notification);
        prop_assert!(mail.lines().all(|line| line.len() <= 998 && !line.contains('\r')));
        let (headers, _) = mail.split_once("\r\n\r\n").unwrap();
        let names: Vec<&str> = headers
            .lines()
            .filter(|line| !line.starts_with([' ', '\t']))
            .map(|line| line.split_once(':').map_or(line, |(name, _)| name))
            .collect();
        prop_assert_eq!(names, [
            "From", "To", "Date", "Subject", "Auto-Submitted", "Message-ID", "In-Reply-To",
            "References", "MIME-Version", "Content-Type",
        ]);
        prop_assert!(headers.is_ascii());
    }
}
