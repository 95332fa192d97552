//! What lies under every channel: TLS, and providers that say nothing.

use std::sync::Arc;

use alert::Kind;
use notify::{Config, EmailConfig, EmailTls, WebhookConfig};
use spec::Channel;
use tokio::net::TcpListener;

use crate::provider::{Provider, Reply};
use crate::{Secrets, accepted, map, notification, open, retry, send};

fn to(url: &str) -> Config {
    Config {
        webhook: map(
            "bridge",
            WebhookConfig {
                url: Some(url.to_owned()),
                ..WebhookConfig::default()
            },
        ),
        ..Config::default()
    }
}

#[tokio::test]
async fn an_authority_of_ones_own_is_trusted_and_no_other() {
    let secrets = Secrets::new();
    secrets.certify();
    let (certificate, key) = (secrets.path("cert"), secrets.path("key"));
    let provider = Provider::start_tls(&certificate, &key, |_| Reply::new(200, "")).await;
    let word = notification(Channel::Webhook, "bridge", Kind::Trigger);

    let mut trusting = to(&provider.url);
    trusting.ca_file = Some(secrets.path("ca"));
    let trusting = open(trusting);
    assert_eq!(send(&trusting, &word).await, accepted(None));

    let other = Secrets::new();
    other.certify();
    let mut suspicious = to(&provider.url);
    suspicious.ca_file = Some(other.path("ca"));
    let (reason, _) = retry(send(&open(suspicious), &word).await);
    assert!(reason.contains("certificate"), "{reason}");
    assert_eq!(provider.count(), 1);
}

#[tokio::test]
async fn many_are_sent_at_a_time_by_tasks_of_their_own() {
    let provider = Provider::start(|_| Reply::new(200, "")).await;
    let senders = Arc::new(open(to(&provider.url)));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let senders = Arc::clone(&senders);
        let word = notification(Channel::Webhook, "bridge", Kind::Trigger);
        tasks.spawn(async move { send(&senders, &word).await });
    }
    for delivery in tasks.join_all().await {
        assert_eq!(delivery, accepted(None));
    }
    assert_eq!(provider.count(), 20);
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_is_tried_again() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    let senders = open(to(&format!("http://{address}/")));
    let word = notification(Channel::Webhook, "bridge", Kind::Trigger);
    let (reason, _) = retry(send(&senders, &word).await);
    assert!(reason.starts_with("no answer in time"), "{reason}");

    let senders = open(Config {
        email: Some(EmailConfig {
            server: "127.0.0.1".to_owned(),
            port: Some(address.port()),
            tls: EmailTls::None,
            from: "vedette@example.com".to_owned(),
            ..EmailConfig::default()
        }),
        ..Config::default()
    });
    let word = notification(Channel::Email, "a@b.example", Kind::Trigger);
    let (reason, _) = retry(send(&senders, &word).await);
    assert!(reason.starts_with("the mail server"), "{reason}");
}
