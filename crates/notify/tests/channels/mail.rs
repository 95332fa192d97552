//! Mail, handed to aiosmtpd: a real server of SMTP, which reads what it got with Python's own parser.

use std::path::Path;
use std::process::Stdio;

use alert::{Kind, Notification};
use notify::{Config, EmailConfig, EmailTls, Senders};
use serde_json::Value;
use spec::Channel;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::{Secrets, accepted, kinds, notification, open, refused, retry, send};

/// A server; it ends with the test.
struct Server {
    port: u16,
    lines: Lines<BufReader<ChildStdout>>,
    _process: Child,
}

impl Server {
    /// Starts one; nothing where there is no Python with aiosmtpd.
    async fn start(mode: &str, secrets: &Secrets) -> Option<Self> {
        secrets.certify();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/channels/smtp.py");
        let found = Command::new("python3")
            .args(["-c", "import aiosmtpd.smtp"])
            .stderr(Stdio::null())
            .status()
            .await;
        if !found.is_ok_and(|status| status.success()) {
            println!("not checked: mail; there is no python3 with aiosmtpd (make setup)");
            return None;
        }
        let mut process = Command::new("python3")
            .arg(script)
            .arg(mode)
            .args([secrets.path("cert"), secrets.path("key")])
            .stdout(Stdio::piped())
            // It warns of what the tests mean to try.
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let port = lines.next_line().await.unwrap().unwrap();
        Some(Self {
            port: port.parse().unwrap(),
            lines,
            _process: process,
        })
    }

    /// The next mail that it got.
    async fn mail(&mut self) -> Value {
        let line = self.lines.next_line().await.unwrap().unwrap();
        serde_json::from_str(&line).unwrap()
    }
}

fn config(server: &Server, tls: EmailTls, secrets: &Secrets) -> Config {
    let login = tls != EmailTls::None;
    Config {
        ca_file: Some(secrets.path("ca")),
        email: Some(EmailConfig {
            server: "127.0.0.1".to_owned(),
            port: Some(server.port),
            tls,
            from: "Vedette <vedette@example.com>".to_owned(),
            username: login.then(|| "vedette".to_owned()),
            password_file: login.then(|| secrets.keep("password", "hush")),
            ..EmailConfig::default()
        }),
        ..Config::default()
    }
}

fn to(address: &str, kind: Kind) -> Notification {
    notification(Channel::Email, address, kind)
}

async fn every_kind(senders: &Senders, server: &mut Server, encrypted: bool) {
    for kind in kinds() {
        let is_test = kind == Kind::Test;
        let mut word = to("oncall@company.com", kind);
        word.message.title = "vllm ist aus – \u{1f525} <b> & \r\nBcc: evil@example.com".to_owned();
        assert_eq!(send(senders, &word).await, accepted(Some("4F2A")));
        let mail = server.mail().await;
        assert_eq!(mail["defects"], serde_json::json!([]), "{mail:#}");
        assert_eq!(mail["to"], serde_json::json!(["oncall@company.com"]));
        assert_eq!(mail["from"], "vedette@example.com");
        assert_eq!(mail["encrypted"], encrypted);
        assert_eq!(
            mail["types"],
            serde_json::json!(["multipart/alternative", "text/plain", "text/html"])
        );
        let headers = &mail["headers"];
        assert_eq!(headers["Auto-Submitted"], "auto-generated");
        assert_eq!(headers["Date"], "Thu, 27 Nov 2025 10:12:00 +0000");
        let subject = headers["Subject"].as_str().unwrap();
        assert!(
            subject.ends_with("vllm ist aus – \u{1f525} <b> & Bcc: evil@example.com"),
            "{subject}"
        );
        assert!(headers.get("Bcc").is_none());
        assert!(
            mail["html"]
                .as_str()
                .unwrap()
                .contains("&lt;b&gt; &amp; Bcc")
        );
        assert!(
            mail["text"]
                .as_str()
                .unwrap()
                .contains("\u{1f525} <b> & Bcc")
        );
        assert!(mail["line"].as_u64().unwrap() <= 998);
        let first = headers
            .get("References")
            .unwrap_or_else(|| &headers["Message-ID"]);
        let first = first.as_str().unwrap();
        let begins = if is_test {
            "<word.n-42@"
        } else {
            "<incident.20251127-001."
        };
        assert!(first.starts_with(begins), "{first}");
        assert!(first.ends_with("@example.com>"), "{first}");
    }
}

#[tokio::test]
async fn mail_goes_out_by_starttls_with_a_login() {
    let secrets = Secrets::new();
    let Some(mut server) = Server::start("starttls", &secrets).await else {
        return;
    };
    let senders = open(config(&server, EmailTls::Starttls, &secrets));
    every_kind(&senders, &mut server, true).await;

    let (reason, _) = retry(send(&senders, &to("busy@company.com", Kind::Test)).await);
    assert!(reason.contains("mailbox is busy"), "{reason}");
    let reason = refused(send(&senders, &to("gone@company.com", Kind::Test)).await);
    assert!(reason.contains("no such mailbox"), "{reason}");

    secrets.keep("password", "hushhush");
    let reason = refused(send(&senders, &to("oncall@company.com", Kind::Test)).await);
    assert!(
        reason.ends_with("look at notify.email.username and notify.email.password_file"),
        "{reason}"
    );
    assert!(!reason.contains("hushhush"), "{reason}");
    // Mended, and nobody was told.
    secrets.keep("password", "hush");
    let sent = send(&senders, &to("oncall@company.com", Kind::Test)).await;
    assert_eq!(sent, accepted(Some("4F2A")));
}

#[tokio::test]
async fn mail_goes_out_by_tls_and_to_nobody_with_another_certificate() {
    let secrets = Secrets::new();
    let Some(mut server) = Server::start("tls", &secrets).await else {
        return;
    };
    let mut config = config(&server, EmailTls::Tls, &secrets);
    let senders = open(config.clone());
    // To aiosmtpd only STARTTLS counts as encrypted.
    every_kind(&senders, &mut server, false).await;

    secrets.certify();
    config.ca_file = Some(secrets.path("ca"));
    let (reason, _) = retry(send(&open(config), &to("a@b.example", Kind::Test)).await);
    assert!(reason.contains("certificate"), "{reason}");
}

#[tokio::test]
async fn mail_goes_out_in_the_clear_on_this_machine_and_only_where_that_is_asked_for() {
    let secrets = Secrets::new();
    let Some(mut server) = Server::start("none", &secrets).await else {
        return;
    };
    let config = |tls| config(&server, tls, &secrets);
    let (clear, encrypted) = (open(config(EmailTls::None)), config(EmailTls::Starttls));
    every_kind(&clear, &mut server, false).await;
    // Never in the clear where it was asked to be encrypted, whoever stands in between.
    let reason = refused(send(&open(encrypted), &to("a@b.example", Kind::Test)).await);
    assert!(reason.ends_with("look at notify.email"), "{reason}");
    drop(server);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_tried_again() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let senders = open(Config {
        email: Some(EmailConfig {
            server: "127.0.0.1".to_owned(),
            port: Some(port),
            tls: EmailTls::None,
            from: "vedette@example.com".to_owned(),
            ..EmailConfig::default()
        }),
        ..Config::default()
    });
    let (reason, _) = retry(send(&senders, &to("a@b.example", Kind::Test)).await);
    assert!(reason.starts_with("the mail server: "), "{reason}");
}
