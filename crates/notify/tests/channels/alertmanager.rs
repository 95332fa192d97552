//! A real Alertmanager: it takes our alerts, and its webhooks look like ours.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use alert::Kind;
use notify::{AlertmanagerConfig, Config, WebhookConfig};
use serde_json::Value;
use spec::Channel;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::provider::{Provider, Reply};
use crate::{Secrets, accepted, map, notification, open, send};

/// How long Alertmanager may take for anything: it groups for a tenth of a second.
const SOON: Duration = Duration::from_secs(30);

/// Where Debian's Alertmanager reads its templates, and starts with no other.
const TEMPLATES: &str = "/usr/share/prometheus/alertmanager";

/// Alertmanager. Unpacked and not installed, it is given empty templates in a mount namespace: hooks use
/// none.
fn command() -> Command {
    const PROGRAM: &str = "prometheus-alertmanager";
    if Path::new(TEMPLATES).is_dir() {
        return Command::new(PROGRAM);
    }
    let script = format!(
        "mount -t tmpfs tmpfs /usr/share && mkdir -p {TEMPLATES} && \
         touch {TEMPLATES}/default.tmpl {TEMPLATES}/email.tmpl && exec {PROGRAM} \"$@\""
    );
    let mut command = Command::new("unshare");
    command
        .args(["--user", "--map-root-user", "--mount", "sh", "-c"])
        .args([script.as_str(), "sh"]);
    command
}

/// An Alertmanager that tells a hook of everything; it ends with the test.
struct Alertmanager {
    url: String,
    _process: Child,
}

impl Alertmanager {
    /// Starts one; nothing where there is none.
    async fn start(hook: &str, secrets: &Secrets) -> Option<Self> {
        let config = format!(
            "route: {{receiver: hook, group_by: [alertname], group_wait: 100ms, group_interval: 1s}}\n\
             receivers: [{{name: hook, webhook_configs: [{{url: \"{hook}\", send_resolved: true}}]}}]\n"
        );
        secrets.keep("alertmanager.yml", &config);
        let started = command()
            .arg(format!(
                "--config.file={}",
                secrets.path("alertmanager.yml").display()
            ))
            .arg(format!("--storage.path={}", secrets.path("data").display()))
            .args([
                "--web.listen-address=127.0.0.1:0",
                "--cluster.listen-address=",
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn();
        let Ok(mut process) = started else {
            println!(
                "not checked: Alertmanager; there is no prometheus-alertmanager and no unshare (make setup)"
            );
            return None;
        };
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let address = tokio::time::timeout(SOON, async {
            let mut log = String::new();
            while let Some(line) = lines.next_line().await.unwrap() {
                if let Some((_, address)) = line.split_once("\"Listening on\" address=") {
                    return Ok(address.trim().to_owned());
                }
                log.push_str(&line);
                log.push('\n');
            }
            Err(log)
        });
        let address = match address.await.unwrap() {
            Ok(address) => address,
            Err(log) => {
                assert!(!log.contains("Starting Alertmanager"), "it ended:\n{log}");
                println!("not checked: Alertmanager; it cannot be started here:\n{log}");
                return None;
            }
        };
        // Its log must be read, or it stops when the pipe is full.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Some(Self {
            url: format!("http://{address}"),
            _process: process,
        })
    }
}

/// A payload in outline: keys, and the types of their values; of a list, its first entry.
fn outline(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| (key.clone(), outline(value)))
            .collect(),
        Value::Array(list) => list.first().map(outline).into_iter().collect(),
        Value::String(_) => "text".into(),
        Value::Number(_) => "number".into(),
        Value::Bool(_) => "bool".into(),
        Value::Null => Value::Null,
    }
}

#[tokio::test]
async fn a_real_alertmanager_takes_our_alerts_and_its_webhooks_look_like_ours() {
    let (told, mut hear) = tokio::sync::mpsc::unbounded_channel();
    let theirs = Provider::start(move |request| {
        // Where the test has heard enough, nobody listens.
        drop(told.send(request.json()));
        Reply::new(200, "")
    })
    .await;
    let secrets = Secrets::new();
    let Some(alertmanager) = Alertmanager::start(&theirs.url, &secrets).await else {
        return;
    };
    let ours = Provider::start(|_| Reply::new(200, "")).await;
    let senders = open(Config {
        external_url: Some("https://vedette.example/{incident}".to_owned()),
        alertmanager: map(
            "real",
            AlertmanagerConfig {
                url: alertmanager.url.clone(),
                bearer_file: None,
            },
        ),
        webhook: map(
            "hook",
            WebhookConfig {
                url: Some(ours.url.clone()),
                ..WebhookConfig::default()
            },
        ),
        ..Config::default()
    });
    // Alertmanager compares with its own clock: an alert that has ended long ago is no news to it.
    let now = jiff::Timestamp::now().as_millisecond();
    for kind in [Kind::Trigger, Kind::Resolve] {
        let status = if kind == Kind::Resolve {
            "resolved"
        } else {
            "firing"
        };
        let mut word = notification(Channel::Alertmanager, "real", kind);
        let shift = now - word.message.at_millis;
        word.message.at_millis += shift;
        word.message.opened_millis += shift;
        for alert in &mut word.message.alerts {
            alert.starts_millis += shift;
            alert.ends_millis = alert.ends_millis.map(|ends| ends + shift);
        }
        assert_eq!(send(&senders, &word).await, accepted(None));
        let their = tokio::time::timeout(SOON, hear.recv())
            .await
            .unwrap()
            .unwrap();

        word.target.channel = Channel::Webhook;
        word.target.address = "hook".to_owned();
        assert_eq!(send(&senders, &word).await, accepted(None));
        let mut our = ours.last().json();
        let about = our.as_object_mut().unwrap().remove("vedette").unwrap();
        assert_eq!(about["incident"], "20251127-001");

        assert_eq!(their["status"], status, "{their:#}");
        assert_eq!(our["status"], status);
        assert_eq!(their["alerts"].as_array().unwrap().len(), 3);
        assert_eq!(our["commonLabels"], their["commonLabels"]);
        assert_eq!(our["groupLabels"], their["groupLabels"]);
        let mut outlines = [outline(&our), outline(&their)];
        for outline in &mut outlines {
            // What all share is told by each in its own way: it says the incident of ours, and we what
            // the message says.
            outline["commonAnnotations"] = Value::Null;
            outline["alerts"][0]["annotations"] = Value::Null;
        }
        let [our, their] = outlines;
        assert_eq!(our, their, "left: ours, right: Alertmanager's");
    }
}
