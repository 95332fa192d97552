//! PagerDuty's Events API v2.

use alert::Kind;
use notify::{Config, Manner, PagerDutyConfig};
use serde_json::{Value, json};
use spec::{Channel, Level};

use crate::provider::{Provider, Reply};
use crate::{NOW, Secrets, accepted, checks, kinds, map, notification, open, refused, retry, send};

const KEY: &str = "0123456789abcdef0123456789abcdef";

async fn provider() -> Provider {
    Provider::start(|request| {
        assert_eq!(request.path, "/v2/enqueue");
        assert_eq!(request.header("content-type"), "application/json");
        let event = request.json();
        match checks::pagerduty(&event, true) {
            Ok(()) => Reply::new(
                202,
                json!({
                    "status": "success",
                    "message": "Event processed",
                    "dedup_key": event["dedup_key"],
                })
                .to_string(),
            ),
            Err(fault) => Reply::new(
                400,
                json!({"status": "invalid event", "errors": [fault]}).to_string(),
            ),
        }
    })
    .await
}

fn config(provider: &Provider, secrets: &Secrets) -> Config {
    Config {
        external_url: Some("https://vedette.example/i/{incident}".to_owned()),
        pagerduty: Some(PagerDutyConfig {
            services: map("ml-monitoring-service", secrets.keep("key", KEY)),
            url: format!("{}/v2/enqueue", provider.url),
        }),
        ..Config::default()
    }
}

fn event(kind: Kind) -> alert::Notification {
    notification(Channel::Pagerduty, "ml-monitoring-service", kind)
}

#[tokio::test]
async fn every_kind_is_an_event_of_the_same_incident() {
    let (provider, secrets) = (provider().await, Secrets::new());
    let senders = open(config(&provider, &secrets));
    for kind in kinds() {
        let action = match kind {
            Kind::Acknowledge { .. } => "acknowledge",
            Kind::Resolve => "resolve",
            _ => "trigger",
        };
        let sent = send(&senders, &event(kind)).await;
        assert_eq!(sent, accepted(Some("20251127-001")));
        let event = provider.last().json();
        assert_eq!(event["event_action"], action);
        assert_eq!(event["dedup_key"], "20251127-001");
        assert_eq!(event["routing_key"], KEY);
    }
    let payload = &provider.last().json()["payload"];
    assert_eq!(payload["severity"], "info", "a test wakes nobody");
}

#[tokio::test]
async fn an_event_says_where_and_what() {
    let (provider, secrets) = (provider().await, Secrets::new());
    let senders = open(config(&provider, &secrets));
    send(&senders, &event(Kind::Trigger)).await;
    let event = provider.last().json();
    let payload = &event["payload"];
    assert_eq!(payload["summary"], "vllm is down on 3 nodes");
    assert_eq!(payload["source"], "gpu-0");
    assert_eq!(payload["severity"], "critical");
    assert_eq!(payload["component"], "vllm");
    assert_eq!(payload["class"], "SystemDown");
    assert_eq!(
        payload["custom_details"]["alerts"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
    assert_eq!(payload["custom_details"]["alerts_held_back"], 2);
    assert_eq!(
        event["client_url"],
        "https://vedette.example/i/20251127-001"
    );
    assert_eq!(
        event["links"][0]["href"],
        "https://runbooks.example/system-down"
    );
}

#[tokio::test]
async fn the_urgency_of_the_policy_moves_the_severity() {
    let (provider, secrets) = (provider().await, Secrets::new());
    let senders = open(config(&provider, &secrets));
    for (level, urgency, severity) in [
        (Level::Critical, "high", "critical"),
        (Level::High, "high", "error"),
        (Level::Medium, "high", "error"),
        (Level::Low, "high", "error"),
        (Level::Critical, "low", "warning"),
        (Level::High, "low", "warning"),
        (Level::Medium, "low", "warning"),
        (Level::Low, "low", "info"),
        (Level::Medium, "", "warning"),
    ] {
        let mut event = event(Kind::Trigger);
        event.message.level = level;
        let manner = Manner {
            urgency: Some(urgency.to_owned()),
            ..Manner::default()
        };
        senders.send(&event, &manner, NOW).await;
        assert_eq!(
            provider.last().json()["payload"]["severity"],
            severity,
            "{level} {urgency}"
        );
    }
}

#[tokio::test]
async fn answers_mean_what_they_are_documented_to() {
    let (provider, secrets) = (provider().await, Secrets::new());
    let senders = open(config(&provider, &secrets));
    let event = event(Kind::Trigger);

    provider.next(Reply::new(429, "").header("retry-after", "7"));
    let (reason, after) = retry(send(&senders, &event).await);
    assert_eq!(
        (reason.as_str(), after),
        ("PagerDuty answered 429", Some(7))
    );

    for status in [500, 502, 503, 408] {
        provider.next(Reply::new(status, "later"));
        let (reason, after) = retry(send(&senders, &event).await);
        assert_eq!(reason, format!("PagerDuty answered {status}: later"));
        assert_eq!(after, None);
    }

    let body = format!("{{\"errors\":[\"Invalid routing_key {KEY}\"]}}");
    provider.next(Reply::new(400, body));
    let reason = refused(send(&senders, &event).await);
    assert_eq!(
        reason,
        "PagerDuty answered 400: {\"errors\":[\"Invalid routing_key (secret)\"]}; look at notify.pagerduty.services.ml-monitoring-service"
    );

    provider.next(Reply::new(400, "x".repeat(5_000_000)));
    let reason = refused(send(&senders, &event).await);
    assert!(reason.len() < 300, "{reason}");

    provider.next(Reply::new(301, "").header("location", "https://evil.example/"));
    let count = provider.count();
    let reason = refused(send(&senders, &event).await);
    assert!(reason.contains("redirects are not followed"), "{reason}");
    assert_eq!(provider.count(), count + 1);
}

#[tokio::test]
async fn a_changed_key_counts_at_once_and_a_missing_one_is_waited_for() {
    let (provider, secrets) = (provider().await, Secrets::new());
    let senders = open(config(&provider, &secrets));
    let other = KEY.replace('0', "f");
    secrets.keep("key", &other);
    send(&senders, &event(Kind::Trigger)).await;
    assert_eq!(provider.last().json()["routing_key"], other.as_str());
    std::fs::remove_file(secrets.path("key")).unwrap();
    let (reason, _) = retry(send(&senders, &event(Kind::Trigger)).await);
    assert!(
        reason.contains("reading the secret notify.pagerduty.services.ml-monitoring-service"),
        "{reason}"
    );
}

#[tokio::test]
async fn nobody_there_is_tried_again() {
    let secrets = Secrets::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v2/enqueue", listener.local_addr().unwrap());
    drop(listener);
    let senders = open(Config {
        pagerduty: Some(PagerDutyConfig {
            services: map("ml-monitoring-service", secrets.keep("key", KEY)),
            url,
        }),
        ..Config::default()
    });
    let (reason, _) = retry(send(&senders, &event(Kind::Trigger)).await);
    assert!(!reason.contains("127.0.0.1/v2"), "{reason}");
    let missing = refused(
        send(
            &senders,
            &notification(Channel::Pagerduty, "other", Kind::Test),
        )
        .await,
    );
    assert_eq!(
        missing,
        "pagerduty:other cannot be reached: add other to [notify.pagerduty.services] with the file of its key"
    );
}

/// The checks of these tests find what is wrong.
#[test]
fn the_checks_check() {
    let good: Value = json!({
        "event_action": "trigger", "dedup_key": "a", "links": [],
        "payload": {"summary": "s", "source": "s", "severity": "error",
            "timestamp": "2025-11-27T10:00:00Z", "custom_details": {}},
    });
    assert_eq!(checks::pagerduty(&good, false), Ok(()));
    for (pointer, wrong) in [
        ("/dedup_key", json!("a".repeat(256))),
        ("/event_action", json!("open")),
        ("/payload/summary", json!("a".repeat(1025))),
        ("/payload/severity", json!("high")),
        ("/payload/timestamp", json!("now")),
        ("/links", json!([{"href": "file:///x"}])),
    ] {
        let mut event = good.clone();
        *event.pointer_mut(pointer).unwrap() = wrong;
        assert!(checks::pagerduty(&event, false).is_err(), "{pointer}");
    }
}
