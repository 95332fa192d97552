//! Everybody who is told: providers that check strictly what they get, and misbehave when they are told to.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Response, Uri};
use process_tests::{SOON, within};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use super::checks;

const PAGERDUTY_KEY: &str = "0123456789abcdef0123456789abcdef";
const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";

/// One word that a provider got and took.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Word {
    /// `pagerduty`, `slack`, `phone`, `sms`, `webhook` or `email`.
    pub(crate) channel: &'static str,
    /// Whom it was for, as the specification names them.
    pub(crate) to: String,
    /// What PagerDuty was told to do, or the word's kind to the webhook; else nothing.
    pub(crate) kind: String,
    /// By which the provider may tell that it was sent before; nothing where it has no such thing.
    pub(crate) key: String,
    /// What a person reads or hears.
    pub(crate) text: String,
    /// All of it.
    pub(crate) body: String,
}

impl Word {
    /// Channel and receiver.
    pub(crate) fn way(&self) -> String {
        format!("{} {}", self.channel, self.to)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// How a provider behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// It takes what is right.
    Well,
    /// It answers 500.
    Fails,
    /// It takes what is right, and answers a little later.
    Slow,
    /// It answers nothing, and takes nothing.
    Hangs,
}

#[derive(Debug, Default)]
struct Heard {
    words: Vec<Word>,
    faults: Vec<String>,
    attempts: BTreeMap<&'static str, usize>,
    moods: BTreeMap<&'static str, Mood>,
}

type Shared = Arc<Mutex<Heard>>;

/// Everybody. They end with the test.
pub(crate) struct Receivers {
    heard: Shared,
    providers: BTreeMap<&'static str, (SocketAddr, Option<JoinHandle<()>>)>,
    mail: (u16, Child),
    secrets: TempDir,
}

/// The HTTP providers; phone and text messages are one.
const PROVIDERS: [&str; 4] = ["pagerduty", "slack", "twilio", "webhook"];

impl Receivers {
    /// Starts them; nothing where there is no server of mail to be had.
    pub(crate) async fn start() -> Option<Self> {
        let heard = Shared::default();
        let mut receivers = Self {
            mail: mail(Arc::clone(&heard)).await?,
            providers: BTreeMap::new(),
            heard,
            secrets: tempfile::tempdir().unwrap(),
        };
        for provider in PROVIDERS {
            receivers.up(provider).await;
        }
        Some(receivers)
    }

    /// Starts a provider, where it was before.
    pub(crate) async fn up(&mut self, provider: &'static str) {
        let before = self.providers.get(provider).map(|(address, _)| *address);
        let at = before.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)));
        let listener = within(SOON, "the provider's port", || async {
            TcpListener::bind(at).await.ok()
        })
        .await;
        let address = listener.local_addr().unwrap();
        let router = Router::new()
            .fallback(answer)
            .with_state((provider, Arc::clone(&self.heard)));
        let task = tokio::spawn(async move { drop(axum::serve(listener, router).await) });
        self.providers.insert(provider, (address, Some(task)));
    }

    /// Ends a provider: connections are refused from now on.
    pub(crate) async fn down(&mut self, provider: &'static str) {
        let task = self.providers.get_mut(provider).and_then(|it| it.1.take());
        let task = task.unwrap();
        task.abort();
        drop(task.await);
    }

    pub(crate) fn mood(&self, provider: &'static str, mood: Mood) {
        self.heard.lock().unwrap().moods.insert(provider, mood);
    }

    /// What was taken so far.
    pub(crate) fn words(&self) -> Vec<Word> {
        self.heard.lock().unwrap().words.clone()
    }

    /// How often a provider was asked.
    pub(crate) fn attempts(&self, provider: &'static str) -> usize {
        let heard = self.heard.lock().unwrap();
        heard.attempts.get(provider).copied().unwrap_or(0)
    }

    /// Waits for words.
    pub(crate) async fn wait(&self, what: &str, is_there: impl Fn(&[Word]) -> bool) -> Vec<Word> {
        let end = tokio::time::Instant::now() + 2 * SOON;
        loop {
            let words = self.words();
            if is_there(&words) {
                return words;
            }
            assert!(
                tokio::time::Instant::now() < end,
                "waited in vain for {what}: {:#?}",
                words.iter().map(short).collect::<Vec<_>>()
            );
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }

    /// Nothing was sent that a provider would have refused.
    pub(crate) fn check(&self) {
        assert_eq!(self.heard.lock().unwrap().faults, [""; 0]);
    }

    fn secret(&self, name: &str, text: &str) -> String {
        let path = self.secrets.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.secrets.path().to_owned()
    }

    fn url(&self, provider: &str) -> String {
        format!("http://{}", self.providers[provider].0)
    }

    /// The configuration of alerting, in which all of them are. `more` are keys of `[alerting]`.
    pub(crate) fn config(&self, more: &str) -> String {
        let port = self.mail.0;
        let slack = self.url("slack");
        format!(
            "[alerting]\ninterval = \"1s\"\nquery_offset = \"0s\"\nstock_rules = false\n{more}\n\
             [alerting.addresses]\nphone = [\"+4930100\"]\n\
             [notify]\nexternal_url = \"https://vedette.example/i/{{incident}}\"\n\
             [notify.email]\nserver = \"127.0.0.1\"\nport = {port}\ntls = \"none\"\n\
             from = \"Vedette <vedette@example.com>\"\n\
             [notify.slack.webhooks]\n\"#ml-alerts\" = \"{}\"\n\"#oncall\" = \"{}\"\n\
             [notify.pagerduty]\nurl = \"{}/v2/enqueue\"\n\
             [notify.pagerduty.services]\nml-monitoring-service = \"{}\"\n\
             [notify.phone]\naccount_sid = \"{ACCOUNT}\"\ntoken_file = \"{}\"\n\
             from = \"+15005550006\"\nurl = \"{}\"\n\
             [notify.webhook.bridge]\nurl = \"{}/bridge\"\n\
             [receivers]\noncall = [\"sms:+4930101\"]\nmanager = [\"phone:+4930200\"]\n\
             emergency = [\"phone:+4930300\", \"sms:+4930300\"]\n",
            self.secret("ml-alerts", &format!("{slack}/hooks/ml-alerts")),
            self.secret("oncall", &format!("{slack}/hooks/oncall")),
            self.url("pagerduty"),
            self.secret("pagerduty", PAGERDUTY_KEY),
            self.secret("twilio", "hush"),
            self.url("twilio"),
            self.url("webhook"),
        )
    }
}

/// A word in one line.
pub(crate) fn short(word: &Word) -> String {
    format!("{} {} {} {}", word.way(), word.kind, word.key, word.text)
}

async fn answer(
    State((provider, heard)): State<(&'static str, Shared)>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let mood = {
        let mut heard = heard.lock().unwrap();
        *heard.attempts.entry(provider).or_default() += 1;
        heard.moods.get(provider).copied().unwrap_or(Mood::Well)
    };
    // A connection that stays would be answered after its provider went.
    let reply = |status: u16, text: String| {
        let reply = Response::builder().status(status);
        let reply = reply.header("connection", "close");
        reply.body(Body::from(text)).unwrap()
    };
    match mood {
        Mood::Fails => return reply(500, "not now".to_owned()),
        Mood::Hangs => std::future::pending().await,
        Mood::Well | Mood::Slow => {}
    }
    let read = match provider {
        "pagerduty" => pagerduty(&uri, &body),
        "slack" => slack(&uri, &body),
        "twilio" => twilio(&uri, &headers, &body),
        _ => webhook(&headers, &body),
    };
    let answered = match read {
        Ok((word, answer)) => {
            heard.lock().unwrap().words.push(word);
            reply(answer.0, answer.1)
        }
        Err(fault) => {
            let text = String::from_utf8_lossy(&body);
            let told = format!("{provider}: {fault}: {text}");
            heard.lock().unwrap().faults.push(told);
            reply(400, fault)
        }
    };
    if mood == Mood::Slow {
        tokio::time::sleep(std::time::Duration::from_millis(150)).await;
    }
    answered
}

type Read = Result<(Word, (u16, String)), String>;

fn parse(body: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(body).map_err(|error| error.to_string())
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn pagerduty(uri: &Uri, body: &[u8]) -> Read {
    let event = parse(body)?;
    checks::pagerduty(&event, true)?;
    if uri.path() != "/v2/enqueue" || event["routing_key"] != PAGERDUTY_KEY {
        return Err("the wrong door".to_owned());
    }
    let word = Word {
        channel: "pagerduty",
        to: "ml-monitoring-service".to_owned(),
        kind: text(&event["event_action"]),
        key: text(&event["dedup_key"]),
        text: text(&event["payload"]["summary"]),
        body: event.to_string(),
    };
    let said = json!({"status": "success", "message": "Event processed", "dedup_key": word.key});
    Ok((word, (202, said.to_string())))
}

fn slack(uri: &Uri, body: &[u8]) -> Read {
    let message = parse(body)?;
    checks::slack(&message)?;
    let channel = uri.path().strip_prefix("/hooks/").ok_or("no such hook")?;
    let word = Word {
        channel: "slack",
        to: format!("#{channel}"),
        kind: String::new(),
        key: String::new(),
        text: text(&message["text"]),
        body: message.to_string(),
    };
    Ok((word, (200, "ok".to_owned())))
}

/// The fields of a form.
fn form(body: &[u8]) -> Result<BTreeMap<String, String>, String> {
    let text = std::str::from_utf8(body).map_err(|error| error.to_string())?;
    let decode = |text: &str| -> Result<String, String> {
        let mut bytes = Vec::new();
        let mut rest = text.bytes();
        while let Some(byte) = rest.next() {
            bytes.push(match byte {
                b'+' => b' ',
                b'%' => {
                    let two: Vec<u8> = rest.by_ref().take(2).collect();
                    let two = String::from_utf8(two).map_err(|error| error.to_string())?;
                    u8::from_str_radix(&two, 16).map_err(|error| error.to_string())?
                }
                byte => byte,
            });
        }
        String::from_utf8(bytes).map_err(|error| error.to_string())
    };
    let pairs = text.split('&').map(|pair| {
        let (name, value) = pair.split_once('=').ok_or("a field without a value")?;
        Ok((decode(name)?, decode(value)?))
    });
    pairs.collect()
}

fn twilio(uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Read {
    // The account and `hush` in base64.
    let basic = "Basic QUMwMTIzNDU2Nzg5YWJjZGVmMDEyMzQ1Njc4OWFiY2RlZjpodXNo";
    if headers
        .get("authorization")
        .is_none_or(|it| it.as_bytes() != basic.as_bytes())
    {
        return Err("not let in".to_owned());
    }
    let fields = form(body)?;
    let field = |name: &str| {
        fields
            .get(name)
            .cloned()
            .ok_or_else(|| format!("no {name}"))
    };
    let base = format!("/2010-04-01/Accounts/{ACCOUNT}");
    let (channel, text, sid) = if uri.path() == format!("{base}/Calls.json") {
        let twiml = field("Twiml")?;
        checks::twiml(&twiml)?;
        ("phone", twiml, "CA1")
    } else if uri.path() == format!("{base}/Messages.json") {
        let body = field("Body")?;
        checks::sms(&body)?;
        ("sms", body, "SM1")
    } else {
        return Err(format!("no such page: {}", uri.path()));
    };
    field("From")?;
    let word = Word {
        channel,
        to: field("To")?,
        kind: String::new(),
        key: String::new(),
        text,
        body: String::from_utf8_lossy(body).into_owned(),
    };
    let said = json!({"sid": sid, "status": "queued"});
    Ok((word, (201, said.to_string())))
}

fn webhook(headers: &HeaderMap, body: &[u8]) -> Read {
    let payload = parse(body)?;
    checks::webhook(&payload)?;
    let key = headers.get("idempotency-key").ok_or("no key")?;
    let word = Word {
        channel: "webhook",
        to: text(&payload["receiver"]),
        kind: text(&payload["vedette"]["kind"]),
        key: key.to_str().unwrap_or_default().to_owned(),
        text: text(&payload["vedette"]["title"]),
        body: payload.to_string(),
    };
    Ok((word, (204, String::new())))
}

/// aiosmtpd, and the task that reads what it got; nothing where there is no Python with it.
async fn mail(heard: Shared) -> Option<(u16, Child)> {
    let found = Command::new("python3")
        .args(["-c", "import aiosmtpd.smtp"])
        .stderr(Stdio::null())
        .status()
        .await;
    if !found.is_ok_and(|status| status.success()) {
        println!("not checked; there is no python3 with aiosmtpd (make setup)");
        return None;
    }
    let script =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/notify/tests/channels/smtp.py");
    let mut process = Command::new("python3")
        .arg(script)
        .args(["none", "", ""])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let port = lines.next_line().await.unwrap().unwrap();
    tokio::spawn(async move {
        while let Ok(Some(line)) = lines.next_line().await {
            let mail: Value = serde_json::from_str(&line).unwrap();
            let mut heard = heard.lock().unwrap();
            if mail["defects"] != json!([]) || mail["line"].as_u64() > Some(998) {
                heard.faults.push(format!("mail: {line}"));
            }
            for to in mail["to"].as_array().unwrap() {
                heard.words.push(Word {
                    channel: "email",
                    to: text(to),
                    kind: String::new(),
                    key: text(&mail["headers"]["Message-ID"]),
                    text: text(&mail["headers"]["Subject"]),
                    body: line.clone(),
                });
            }
        }
    });
    Some((port.parse().unwrap(), process))
}
