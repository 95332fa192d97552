//! Slack: incoming webhooks, and `chat.postMessage`.

use alert::Kind;
use notify::{Config, Manner, SlackConfig};
use serde_json::json;
use spec::Channel;

use crate::provider::{Provider, Reply};
use crate::{NOW, Secrets, accepted, checks, kinds, map, notification, open, refused, retry, send};

const TOKEN: &str = "xoxb-17653672481-19874698323-pdFZKVeTuE8sk7oOcBrzbqgy";
const TS: &str = "1764237600.000200";

async fn hook() -> Provider {
    Provider::start(|request| {
        assert_eq!(request.path, "/services/T000/B000/hush");
        match checks::slack(&request.json()) {
            Ok(()) => Reply::new(200, "ok"),
            Err(fault) => Reply::new(400, format!("invalid_blocks {fault}")),
        }
    })
    .await
}

async fn api() -> Provider {
    Provider::start(|request| {
        assert_eq!(request.path, "/api/chat.postMessage");
        assert_eq!(
            request.header("content-type"),
            "application/json; charset=utf-8"
        );
        if request.header("authorization") != format!("Bearer {TOKEN}") {
            return Reply::new(
                200,
                json!({"ok": false, "error": "invalid_auth"}).to_string(),
            );
        }
        let said = match checks::slack(&request.json()) {
            Ok(()) => json!({"ok": true, "channel": "C024BE91L", "ts": TS}),
            Err(fault) => json!({"ok": false, "error": "invalid_blocks", "fault": fault}),
        };
        Reply::new(200, said.to_string())
    })
    .await
}

fn with_hook(provider: &Provider, secrets: &Secrets) -> Config {
    let url = format!("{}/services/T000/B000/hush", provider.url);
    Config {
        slack: Some(SlackConfig {
            webhooks: map("#ml-alerts", secrets.keep("hook", &url)),
            ..SlackConfig::default()
        }),
        ..Config::default()
    }
}

fn with_token(provider: &Provider, secrets: &Secrets) -> Config {
    Config {
        slack: Some(SlackConfig {
            token_file: Some(secrets.keep("token", TOKEN)),
            api_url: format!("{}/api", provider.url),
            ..SlackConfig::default()
        }),
        ..Config::default()
    }
}

fn word(kind: Kind) -> alert::Notification {
    notification(Channel::Slack, "#ml-alerts", kind)
}

#[tokio::test]
async fn a_webhook_takes_every_kind() {
    let (provider, secrets) = (hook().await, Secrets::new());
    let senders = open(with_hook(&provider, &secrets));
    for kind in kinds() {
        assert_eq!(send(&senders, &word(kind)).await, accepted(None));
    }
    send(&senders, &word(Kind::Resolve)).await;
    let message = provider.last().json();
    assert_eq!(
        message["text"],
        "[RESOLVED] vllm is down on 3 nodes - resolved after 12 min"
    );
    assert_eq!(
        message["blocks"][0]["text"]["text"],
        "[RESOLVED] vllm is down on 3 nodes"
    );
    assert!(message.get("channel").is_none());
}

#[tokio::test]
async fn what_a_webhook_answers_is_understood() {
    let (provider, secrets) = (hook().await, Secrets::new());
    let senders = open(with_hook(&provider, &secrets));
    for (status, body) in [
        (400, "invalid_payload"),
        (403, "action_prohibited"),
        (404, "channel_not_found"),
        (404, "no_service"),
        (410, "channel_is_archived"),
        (200, "<html>sign in</html>"),
    ] {
        provider.next(Reply::new(status, body));
        let reason = refused(send(&senders, &word(Kind::Trigger)).await);
        assert!(
            reason.starts_with(&format!("Slack answered {status}: {body}")),
            "{reason}"
        );
        assert!(!reason.contains("hush"), "{reason}");
        assert_eq!(
            reason.contains("look at notify.slack.webhooks.\"#ml-alerts\""),
            status != 400
        );
    }
    provider.next(Reply::new(429, "rate_limited").header("retry-after", "30"));
    let (_, after) = retry(send(&senders, &word(Kind::Trigger)).await);
    assert_eq!(after, Some(30));
    provider.next(Reply::new(500, "rollup_error"));
    retry(send(&senders, &word(Kind::Trigger)).await);
}

#[tokio::test]
async fn the_token_makes_a_thread_of_an_incident() {
    let (provider, secrets) = (api().await, Secrets::new());
    let senders = open(with_token(&provider, &secrets));
    assert_eq!(
        send(&senders, &word(Kind::Trigger)).await,
        accepted(Some(TS))
    );
    let first = provider.last().json();
    assert_eq!(first["channel"], "#ml-alerts");
    assert!(first.get("thread_ts").is_none());

    let in_thread = Manner::default().in_thread(Some(TS.to_owned()));
    for (kind, broadcast) in [(Kind::Update, false), (Kind::Resolve, true)] {
        let sent = senders.send(&word(kind), &in_thread, NOW).await;
        assert_eq!(sent.delivery, accepted(Some(TS)));
        let next = provider.last().json();
        assert_eq!(next["thread_ts"], TS);
        assert_eq!(next.get("reply_broadcast").is_some(), broadcast);
    }

    // Somebody has deleted the first message.
    provider.next(Reply::new(
        200,
        json!({"ok": false, "error": "thread_not_found"}).to_string(),
    ));
    let sent = senders.send(&word(Kind::Resolve), &in_thread, NOW).await;
    assert_eq!(sent.delivery, accepted(Some(TS)));
    assert!(provider.last().json().get("thread_ts").is_none());
}

#[tokio::test]
async fn what_the_api_answers_is_understood() {
    let (provider, secrets) = (api().await, Secrets::new());
    let senders = open(with_token(&provider, &secrets));
    let said = |error: &str| Reply::new(200, json!({"ok": false, "error": error}).to_string());
    for (error, told) in [
        ("invalid_auth", "look at notify.slack.token_file"),
        ("missing_scope", "look at notify.slack.token_file"),
        ("not_in_channel", "invite the bot to #ml-alerts"),
        ("channel_not_found", "invite the bot to #ml-alerts"),
        ("msg_blocks_too_long", "msg_blocks_too_long"),
    ] {
        provider.next(said(error));
        let reason = refused(send(&senders, &word(Kind::Trigger)).await);
        assert!(
            reason.starts_with(&format!("Slack refused: {error}")),
            "{reason}"
        );
        assert!(reason.ends_with(told), "{reason}");
    }
    for error in ["ratelimited", "internal_error", "service_unavailable"] {
        provider.next(said(error));
        retry(send(&senders, &word(Kind::Trigger)).await);
    }
    provider.next(Reply::new(429, "").header("retry-after", "1"));
    assert_eq!(retry(send(&senders, &word(Kind::Trigger)).await).1, Some(1));
    provider.next(Reply::new(200, "<html>"));
    refused(send(&senders, &word(Kind::Trigger)).await);

    secrets.keep("token", "xoxb-old");
    let reason = refused(send(&senders, &word(Kind::Trigger)).await);
    assert_eq!(
        reason,
        "Slack refused: invalid_auth; look at notify.slack.token_file"
    );
    secrets.keep("token", TOKEN);
    assert_eq!(
        send(&senders, &word(Kind::Trigger)).await,
        accepted(Some(TS))
    );
}
