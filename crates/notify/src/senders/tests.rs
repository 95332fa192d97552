use std::collections::BTreeMap;

use alert::{Kind, Target};
use spec::{Channel, IncidentPolicy, Policy};

use super::*;
use crate::example;

fn secret(text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    std::fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

const MAIL: &str = "[email]\nserver = 'smtp.example.com'\nfrom = 'vedette@example.com'\n";
const PHONE: &str = "[phone]\naccount_sid = 'AC0123456789abcdef0123456789abcdef'\nfrom = '+4930123456'\ntoken_file = 'env:PATH'\n";

/// A configuration with one key changed.
fn with(text: &str, key: &str, value: &str) -> String {
    let rest = text.lines().filter(|line| !line.starts_with(key));
    let mut changed: String = rest.map(|line| format!("{line}\n")).collect();
    changed.push_str(&format!("{key} = {value}\n"));
    changed
}

fn open(text: &str) -> Result<Senders, Error> {
    Senders::open(toml::from_str(text).unwrap())
}

fn refused(text: &str, told: &str) {
    let error = open(text).unwrap_err().to_string();
    assert!(
        error.starts_with(&format!("notify.{told}")),
        "{error}, not {told}"
    );
    assert!(!error.contains("hush"), "{error}");
}

#[test]
fn mail_and_telephone_that_cannot_be_used_are_refused_by_the_key() {
    for (text, told) in [
        (with(MAIL, "server", "''"), "email.server: must name"),
        (
            with(MAIL, "from", "'me'"),
            "email.from: \"me\" is no mail address",
        ),
        (with(MAIL, "port", "0"), "email.port: 0 is no port"),
        (
            with(MAIL, "tls", "'none'"),
            "email.tls: \"none\" is for this machine only",
        ),
        (
            with(MAIL, "username", "'me'"),
            "email.username: username and password_file belong",
        ),
        (
            with(PHONE, "from", "'0123'"),
            "phone.from: \"0123\" is no number",
        ),
        (
            with(PHONE, "account_sid", "'AC1'"),
            "phone.account_sid: an account is",
        ),
        (
            with(PHONE, "url", "'http://api.twilio.com'"),
            "phone.url: must begin with https://",
        ),
        (
            "[phone]\naccount_sid = 'AC0123456789abcdef0123456789abcdef'\nfrom = '+4930123456'"
                .to_owned(),
            "phone.token_file: must name",
        ),
    ] {
        refused(&text, told);
    }
}

#[test]
fn hooks_that_cannot_be_used_are_refused_by_the_key() {
    let (_folder, hush) = secret("hush");
    let webhook = |line: &str| format!("[webhook.bridge]\n{line}\n");
    for (text, told) in [
        (webhook(""), "webhook.bridge: needs url or url_file"),
        (
            webhook("url = 'ftp://bridge'"),
            "webhook.bridge.url: an address of the web begins",
        ),
        (
            webhook("url = 'https://me:hush@bridge'"),
            "webhook.bridge.url: a name and password",
        ),
        (
            webhook(&format!("url_file = '{hush}'")),
            "webhook.bridge.url_file: the file holds no address",
        ),
        (
            format!("[slack.webhooks]\nml-alerts = '{hush}'"),
            "slack.webhooks.\"ml-alerts\": \"ml-alerts\" is no channel of Slack",
        ),
        (
            format!("[pagerduty.services]\nml = '{hush}'"),
            "pagerduty.services.ml: an integration key of Events API v2 has 32 characters, this has 4",
        ),
        (
            "[alertmanager.central]".to_owned(),
            "alertmanager.central.url: \"/api/v2/alerts\" is no",
        ),
        (
            "external_url = 'vedette'".to_owned(),
            "external_url: \"vedette\" is no address",
        ),
    ] {
        refused(&text, told);
    }
}

#[test]
fn files_that_are_not_there_are_named() {
    for (text, told) in [
        (
            "[slack]\ntoken_file = '/no/such'",
            "reading the secret notify.slack.token_file in /no/such",
        ),
        (
            "ca_file = '/no/such'",
            "reading the authorities in /no/such, which notify.ca_file names",
        ),
        (
            "[templates]\nalert_sms_template = '/no/such'",
            "reading the template alert_sms_template in /no/such",
        ),
    ] {
        assert_eq!(open(text).unwrap_err().to_string(), told);
    }
}

#[test]
fn nothing_configured_reaches_nobody_and_says_what_to_add() {
    let senders = Senders::open(Config::default()).unwrap();
    for (channel, address, told) in [
        (
            Channel::Email,
            "a@b.example",
            "add [notify.email] with server and from",
        ),
        (
            Channel::Slack,
            "#ml-alerts",
            "add \"#ml-alerts\" to [notify.slack.webhooks], or token_file to [notify.slack]",
        ),
        (
            Channel::Pagerduty,
            "ml",
            "add ml to [notify.pagerduty.services] with the file of its key",
        ),
        (
            Channel::Phone,
            "+4912345678",
            "add [notify.phone] with account_sid, token_file and from",
        ),
        (
            Channel::Webhook,
            "bridge",
            "add [notify.webhook.bridge] with url",
        ),
        (
            Channel::Alertmanager,
            "central",
            "add [notify.alertmanager.central] with url",
        ),
    ] {
        let target = Target {
            channel,
            address: address.to_owned(),
        };
        let missing = senders.can(&target).unwrap_err();
        assert_eq!(
            missing,
            format!("{}:{address} cannot be reached: {told}", channel.as_str())
        );
    }
}

#[test]
fn a_policy_is_held_against_the_configuration() {
    let mut policy = Policy {
        levels: BTreeMap::new(),
        conditions: BTreeMap::new(),
        ladder: Vec::new(),
        incidents: IncidentPolicy::default(),
        addresses: one_channel(Channel::Email, vec!["oncall@company.com".to_owned()]),
        templates: one_channel(Channel::Email, "alert_email_template".to_owned()),
        pagerduty_urgency: Some("high".to_owned()),
    };
    let senders = open(MAIL).unwrap();
    assert_eq!(senders.missing(&policy), Vec::<String>::new());
    let manner = Manner::of(&policy, Channel::Email);
    assert_eq!(manner.template.as_deref(), Some("alert_email_template"));
    assert_eq!(manner.urgency, None);
    assert_eq!(
        Manner::of(&policy, Channel::Pagerduty).urgency.as_deref(),
        Some("high")
    );

    policy
        .addresses
        .insert(Channel::Sms, vec!["+4912345678".to_owned()]);
    policy.templates.insert(Channel::Slack, "other".to_owned());
    let missing = senders.missing(&policy);
    assert_eq!(missing.len(), 2, "{missing:?}");
}

fn one_channel<T>(channel: Channel, value: T) -> BTreeMap<Channel, T> {
    BTreeMap::from([(channel, value)])
}

#[test]
fn what_would_be_sent_can_be_read() {
    let senders = Senders::open(Config::default()).unwrap();
    let message = example::message(Kind::Resolve, 12);
    for (channel, part) in [
        (
            Channel::Email,
            "Subject: [RESOLVED] vllm is down on 3 nodes\n\n",
        ),
        (Channel::Slack, "\"type\": \"header\""),
        (Channel::Pagerduty, "\"event_action\": \"resolve\""),
        (
            Channel::Phone,
            "Resolved: vllm is down on 3 nodes. It took 12 min.",
        ),
        (Channel::Sms, "[RESOLVED] vllm is down"),
        (Channel::Webhook, "\"status\": \"resolved\""),
        (
            Channel::Alertmanager,
            "\"endsAt\": \"2025-11-27T10:12:00Z\"",
        ),
    ] {
        let text = senders.preview(&message, channel, &Manner::default());
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
}
