//! The levels of the specification, from its own documents to its recipients.

use std::path::{Path, PathBuf};

use process_tests::coordinator::Coordinator;
use process_tests::prometheus::write;
use process_tests::{SOON, ask, now_millis, within};
use tokio::time::{Duration, Instant, sleep};

use super::receivers::{Receivers, Word};
use super::{apply, incident, incident_when, incidents};

/// The documents, in the order they are applied.
const DOCUMENTS: [&str; 4] = [
    "multi_level_alerting",
    "system_health_monitoring",
    "model_performance_monitoring",
    "monitoring_best_practices",
];

/// A rule for one condition of each level, and a region: what is in one region is one incident. Its metric is
/// 1 while something is wrong.
const RULES: [(&str, &str, &str); 4] = [
    ("SystemDown", "system_down", "east"),
    ("ErrorsHigh", "high_error_rate", "north"),
    ("ResourcesUsed", "resource_usage_high", "west"),
    ("MaintenanceDue", "maintenance_required", "south"),
];

/// Who is told of each level first, in the words of the document.
const FIRST: [&[&str]; 4] = [
    &[
        "email ml-team@company.com [CRITICAL] SystemDown at east",
        "email oncall@company.com [CRITICAL] SystemDown at east",
        "pagerduty ml-monitoring-service SystemDown at east",
        "phone +4930100 critical alert: SystemDown at east",
        "sms +4930101 [CRITICAL] SystemDown at east",
    ],
    &[
        "email ml-team@company.com [HIGH] ErrorsHigh at north",
        "email oncall@company.com [HIGH] ErrorsHigh at north",
        "slack #ml-alerts [HIGH] ErrorsHigh at north",
        "slack #oncall [HIGH] ErrorsHigh at north",
    ],
    &[
        "email ml-team@company.com [MEDIUM] ResourcesUsed at west",
        "email oncall@company.com [MEDIUM] ResourcesUsed at west",
        "slack #ml-alerts [MEDIUM] ResourcesUsed at west",
        "slack #oncall [MEDIUM] ResourcesUsed at west",
    ],
    &[
        "email ml-team@company.com [DIGEST] one thing that could wait",
        "email oncall@company.com [DIGEST] one thing that could wait",
    ],
];

/// The documents with seconds in the place of minutes where people are waited for; nothing where they are
/// not there.
fn documents(into: &Path) -> Option<Vec<PathBuf>> {
    let shared = std::env::var_os("VEDETTE_SHARED").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")),
        PathBuf::from,
    );
    let folder = shared.join("spec");
    if !folder.is_dir() {
        println!(
            "not checked: {} is not there (set VEDETTE_SHARED)",
            folder.display()
        );
        return None;
    }
    let copies = DOCUMENTS.map(|name| {
        let file = format!("{name}.yaml");
        let mut text = std::fs::read_to_string(folder.join(&file)).unwrap();
        for (minutes, seconds) in [("5m", "3s"), ("15m", "5s"), ("1h", "7s")] {
            for key in ["timeout", "response_time"] {
                text = text.replace(
                    &format!("{key}: {minutes}\n"),
                    &format!("{key}: {seconds}\n"),
                );
            }
        }
        let copy = into.join(file);
        std::fs::write(&copy, text).unwrap();
        copy
    });
    Some(copies.into())
}

fn rules(into: &Path) -> PathBuf {
    let mut text = "groups:\n- name: test\n  interval: 1s\n  rules:\n".to_owned();
    for (name, condition, _) in RULES {
        text.push_str(&format!(
            "  - alert: {name}\n    expr: is_wrong{{what=\"{name}\"}} == 1\n    condition: {condition}\n    \
             runbook: https://wiki.example/{name}\n    annotations: {{summary: '{name} at {{{{ $labels.region }}}}'}}\n"
        ));
    }
    let path = into.join("rules.yml");
    std::fs::write(&path, text).unwrap();
    path
}

/// A length-delimited field of protobuf.
fn field(number: u8, bytes: &[u8], into: &mut Vec<u8>) {
    into.push(number << 3 | 2);
    let mut length = bytes.len();
    while length >= 0x80 {
        into.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
        length >>= 7;
    }
    into.push(u8::try_from(length).unwrap());
    into.extend(bytes);
}

fn varint(number: u8, mut value: u64, into: &mut Vec<u8>) {
    into.push(number << 3);
    while value >= 0x80 {
        into.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
        value >>= 7;
    }
    into.push(u8::try_from(value).unwrap());
}

/// Writes the value of `is_wrong` for each rule, as Prometheus does.
async fn say(coordinator: &Coordinator, value: f64) {
    let mut request = Vec::new();
    for (name, _, region) in RULES {
        let mut series = Vec::new();
        for (label, text) in [("__name__", "is_wrong"), ("region", region), ("what", name)] {
            let mut pair = Vec::new();
            field(1, label.as_bytes(), &mut pair);
            field(2, text.as_bytes(), &mut pair);
            field(1, &pair, &mut series);
        }
        let mut sample = vec![1 << 3 | 1];
        sample.extend(value.to_le_bytes());
        varint(2, now_millis().unsigned_abs(), &mut sample);
        field(2, &sample, &mut series);
        field(1, &series, &mut request);
    }
    let body = snap::raw::Encoder::new().compress_vec(&request).unwrap();
    let (code, text) = write(coordinator.http, &body).await;
    assert_eq!(code, 204, "{text}");
}

/// Who got a word of this beginning.
fn who<'a>(words: &'a [Word], text: &str) -> impl Iterator<Item = &'a Word> {
    let text = text.to_owned();
    words.iter().filter(move |word| word.text.contains(&text))
}

/// The incident that a rule opened.
async fn opened(coordinator: &Coordinator, rule: &str) -> String {
    within(2 * SOON, rule, || async {
        let all = incidents(coordinator).await;
        let it = all
            .into_iter()
            .find(|it| it.rules.iter().any(|it| it == rule));
        it.map(|it| it.id)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_level_reaches_its_people_by_its_ways() {
    let Some(receivers) = Receivers::start().await else {
        return;
    };
    let folder = receivers.folder();
    let Some(documents) = documents(&folder) else {
        return;
    };
    let more = format!(
        "rules = [\"{}\"]\nrepeats = 1\nresolve_after = \"1s\"\nupdate_interval = \"60s\"",
        rules(&folder).display()
    );
    let coordinator = Coordinator::start(&receivers.config(&more)).await;
    let said = apply(&coordinator, &documents).await;
    assert!(!said.contains("missing"), "{said}");
    let shown = ask::vedette(&coordinator, &["apply", "--show"]).await;
    assert!(shown.contains("ml-monitoring-service"), "{shown}");
    let listed = ask::vedette(&coordinator, &["rules"]).await;
    for rule in ["AccuracyLow", "CpuUsageHigh", "ErrorRateHigh", "SystemDown"] {
        assert!(listed.contains(rule), "{rule}: {listed}");
    }

    // Samples come for as long as it is wrong.
    let end = Instant::now() + Duration::from_secs(35);
    let wrong = async {
        while Instant::now() < end {
            say(&coordinator, 1.0).await;
            sleep(Duration::from_millis(500)).await;
        }
    };
    wrong.await;
    let words = receivers
        .wait("the first words of all levels", |words| {
            FIRST
                .iter()
                .flat_map(|it| *it)
                .all(|line| is_there(words, line))
        })
        .await;
    check_first(&words);
    check_ladder(&coordinator, &receivers).await;
    check_reminders(&coordinator).await;

    say(&coordinator, 0.0).await;
    for (rule, ..) in RULES {
        let id = opened(&coordinator, rule).await;
        incident_when(&coordinator, &id, "its end", |it| {
            it.incident
                .as_ref()
                .is_some_and(|it| it.standing == "resolved")
        })
        .await;
    }
    let words = receivers
        .wait("the ends", |words| {
            who(words, "[RESOLVED] SystemDown at east").count() == 4
        })
        .await;
    let page = words.iter().filter(|word| word.kind == "resolve");
    assert_eq!(page.count(), 1);
    let calls = words.iter().filter(|word| word.channel == "phone");
    assert_eq!(
        calls.count(),
        4,
        "nobody is called up to hear that it is over"
    );
    receivers.check();
}

/// Whether someone got the words of a line: channel, address, and what they begin with or hold.
fn is_there(words: &[Word], line: &str) -> bool {
    let mut parts = line.splitn(3, ' ');
    let (channel, to, text) = (parts.next(), parts.next(), parts.next());
    let mut words = words.iter();
    words.any(|it| {
        Some(it.channel) == channel && Some(it.to.as_str()) == to && it.text.contains(text.unwrap())
    })
}

/// Nobody was told of a level but those it names.
fn check_first(words: &[Word]) {
    for ((rule, _, region), lines) in RULES.iter().zip(FIRST).take(3) {
        for word in who(words, &format!("{rule} at {region}")) {
            let is_named = lines.iter().any(|line| line.starts_with(&word.way()));
            let is_ladder = word.text.contains("level_");
            let is_urgent = word.channel == "phone" || word.channel == "sms";
            assert!(is_named || is_ladder || is_urgent, "{word:?}");
        }
    }
    assert!(
        who(words, "MaintenanceDue").all(|word| word.channel == "email"),
        "low is told by mail alone"
    );
    let page = words
        .iter()
        .find(|word| word.channel == "pagerduty")
        .unwrap();
    let page = page.json();
    assert_eq!(page["payload"]["severity"], "critical");
    assert_eq!(page["payload"]["class"], "SystemDown");
    assert_eq!(page["payload"]["group"], "east");
}

/// Critical climbs: on call at once, the manager, then the emergency twice.
async fn check_ladder(coordinator: &Coordinator, receivers: &Receivers) {
    let id = opened(coordinator, "SystemDown").await;
    let found = incident_when(coordinator, &id, "the end of the ladder", |it| {
        super::has_entry(it, "nobody is left") && super::is_told(it)
    })
    .await;
    let climbed: Vec<String> = found
        .notifications
        .iter()
        .filter(|it| it.kind == "escalate")
        .map(|it| format!("{} {}", it.channel, it.address))
        .collect();
    let emergency = ["phone +4930300", "sms +4930300"];
    let ladder = [&["phone +4930200"][..], &emergency, &emergency].concat();
    assert_eq!(climbed, ladder);
    let times: Vec<i64> = found
        .notifications
        .iter()
        .filter(|it| it.channel == "phone")
        .map(|it| it.queued_millis - found.incident.as_ref().unwrap().opened_millis)
        .collect();
    for (time, least) in times.iter().zip([0, 3000, 8000, 15_000]) {
        assert!(*time >= least, "{times:?}");
    }
    let words = receivers.words();
    let called = |text: &str| {
        words
            .iter()
            .any(|it| it.channel == "phone" && it.text.contains(text))
    };
    assert!(called("level_2 is told") && called("level_3 is told"));
}

/// High is told once more to those who were told; medium is only overdue.
async fn check_reminders(coordinator: &Coordinator) {
    let kinds = async |rule: &str| {
        let id = opened(coordinator, rule).await;
        let found = incident(coordinator, &id).await;
        let reminders = found.notifications.iter().filter(|it| it.kind == "remind");
        (reminders.count(), found.incident.unwrap())
    };
    let (reminders, high) = kinds("ErrorsHigh").await;
    assert_eq!(
        (reminders, high.level.as_str(), high.overdue),
        (4, "high", true)
    );
    let id = opened(coordinator, "ResourcesUsed").await;
    incident_when(coordinator, &id, "the time to answer to pass", |it| {
        it.incident.as_ref().is_some_and(|it| it.overdue)
    })
    .await;
    let (reminders, medium) = kinds("ResourcesUsed").await;
    assert_eq!((reminders, medium.level.as_str()), (0, "medium"));
    let (reminders, low) = kinds("MaintenanceDue").await;
    assert_eq!((reminders, low.level.as_str()), (0, "low"));
}
