//! Webhooks and Alertmanagers that the tests play.

use alert::Kind;
use notify::{AlertmanagerConfig, Config, WebhookConfig};
use ring::hmac;
use serde_json::json;
use spec::Channel;

use crate::provider::{Provider, Reply, Request};
use crate::{NOW, Secrets, accepted, checks, kinds, map, notification, open, refused, retry, send};

const SECRET: &str = "a secret that two know";

/// What a receiver does with a signature.
fn is_signed(request: &Request) -> bool {
    let header = request.header("x-vedette-signature");
    let Some((time, hex)) = header
        .strip_prefix("t=")
        .and_then(|rest| rest.split_once(",v1="))
    else {
        return false;
    };
    let tag: Vec<u8> = hex
        .as_bytes()
        .chunks(2)
        .map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap())
        .collect();
    let signed = [time.as_bytes(), b".", &request.body].concat();
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    time == (NOW / 1000).to_string() && hmac::verify(&key, &signed, &tag).is_ok()
}

#[tokio::test]
async fn a_webhook_gets_a_signed_payload() {
    let secrets = Secrets::new();
    let provider = Provider::start(|request| {
        checks::webhook(&request.json()).unwrap();
        let signed = if is_signed(request) { 204 } else { 403 };
        Reply::new(signed, "")
    })
    .await;
    let senders = open(Config {
        webhook: map(
            "bridge",
            WebhookConfig {
                url_file: Some(secrets.keep("url", &format!("{}/hush?key=hush", provider.url))),
                secret_file: Some(secrets.keep("secret", SECRET)),
                url: None,
            },
        ),
        ..Config::default()
    });
    for kind in kinds() {
        let word = notification(Channel::Webhook, "bridge", kind);
        assert_eq!(send(&senders, &word).await, accepted(None));
        let payload = provider.last().json();
        let resolved = word.message.kind == Kind::Resolve;
        assert_eq!(
            payload["status"],
            if resolved { "resolved" } else { "firing" }
        );
        assert_eq!(payload["alerts"].as_array().unwrap().len(), 3);
        assert_eq!(provider.last().header("idempotency-key"), "n-42");
    }
    let word = notification(Channel::Webhook, "bridge", Kind::Trigger);
    provider.next(Reply::new(500, "").header("retry-after", "3"));
    assert_eq!(retry(send(&senders, &word).await).1, Some(3));
    provider.next(Reply::new(307, "").header("location", "/elsewhere"));
    let reason = refused(send(&senders, &word).await);
    assert!(!reason.contains("hush"), "{reason}");
    secrets.keep("secret", "another");
    assert_eq!(
        refused(send(&senders, &word).await),
        "the webhook answered 403; look at notify.webhook.bridge"
    );
}

#[tokio::test]
async fn an_alertmanager_gets_alerts() {
    let secrets = Secrets::new();
    let provider = Provider::start(|request| {
        assert_eq!(request.path, "/am/api/v2/alerts");
        if request.header("authorization") != "Bearer hush" {
            return Reply::new(401, "Unauthorized");
        }
        checks::alerts(&request.json()).unwrap();
        Reply::new(200, "")
    })
    .await;
    let senders = open(Config {
        alertmanager: map(
            "central",
            AlertmanagerConfig {
                url: format!("{}/am/", provider.url),
                bearer_file: Some(secrets.keep("bearer", "hush")),
            },
        ),
        ..Config::default()
    });
    for kind in kinds() {
        let word = notification(Channel::Alertmanager, "central", kind);
        assert_eq!(send(&senders, &word).await, accepted(None));
    }
    let mut resolve = notification(Channel::Alertmanager, "central", Kind::Resolve);
    send(&senders, &resolve).await;
    assert_eq!(provider.last().json()[0]["endsAt"], "2025-11-27T10:12:00Z");
    resolve.message.alerts.clear();
    send(&senders, &resolve).await;
    assert_eq!(
        provider.last().json()[0]["labels"],
        json!({"alertname": "SystemDown", "incident": "20251127-001", "service": "vllm", "severity": "critical"})
    );
    provider.next(Reply::new(400, "bad"));
    refused(send(&senders, &resolve).await);
    secrets.keep("bearer", "other");
    assert_eq!(
        refused(send(&senders, &resolve).await),
        "the Alertmanager answered 401: Unauthorized; look at notify.alertmanager.central.bearer_file"
    );
}
