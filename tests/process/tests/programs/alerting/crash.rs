//! A coordinator that is killed while it escalates tells what it would have told, under the same ids.

use std::collections::{BTreeMap, BTreeSet};

use process_tests::chance::{Chance, SEED};
use process_tests::coordinator::Coordinator;
use serde_json::Value;
use tokio::time::sleep;

use super::receivers::{Mood, Receivers, Word};
use super::{apply, has_entry, incident, incident_when, incidents, is_told, ladder, outside, over};

/// How often it is killed.
const KILLS: usize = 20;
/// Incidents that are escalated, each of a region of its own.
const REGIONS: [&str; 3] = ["east", "north", "west"];

/// What the coordinator says it told: id, kind, channel, address and status.
type Told = BTreeSet<(String, String, String, String, String)>;

/// Numbers depend on when it was killed; the letters before ids are drawn.
fn normal(text: &str, prefix: &str) -> String {
    let text = text.replace(prefix, "");
    let mut normal = String::new();
    for c in text.chars() {
        match c {
            '0'..='9' if normal.ends_with('#') => {}
            '0'..='9' => normal.push('#'),
            c => normal.push(c),
        }
    }
    normal
}

/// What providers got: each word by what makes it one, with its different bodies and how often it came.
fn got(words: &[Word], prefix: &str) -> BTreeMap<String, (BTreeSet<String>, usize)> {
    let mut got: BTreeMap<String, (BTreeSet<String>, usize)> = BTreeMap::new();
    for word in words {
        let (text, key) = (normal(&word.text, prefix), word.key.replace(prefix, ""));
        // The ids of mails are hashes of drawn ones, and its bodies have drawn boundaries.
        let (key, body) = match word.channel {
            "email" => (String::new(), word.key.clone()),
            _ => (key, word.body.clone()),
        };
        let what = format!("{} {} {key} {text}", word.way(), word.kind);
        let known = got.entry(what).or_default();
        known.0.insert(body);
        known.1 += 1;
    }
    got
}

/// Posts until it is taken, as Prometheus does.
async fn post_at_last(coordinator: &Coordinator, alerts: &[Value]) {
    while !matches!(super::try_post(coordinator, alerts).await, Some((200, _))) {
        sleep(std::time::Duration::from_millis(50)).await;
    }
}

/// One run from the first alert until all is over; with chance it is killed again and again.
async fn run(mut chance: Option<Chance>) -> Option<(Told, Vec<Word>, String)> {
    let receivers = Receivers::start().await?;
    for provider in ["pagerduty", "twilio", "webhook"] {
        receivers.mood(provider, Mood::Slow);
    }
    let more = "repeats = 1\nresolve_after = \"1s\"\nfallback = [\"webhook:bridge\"]";
    let mut coordinator = Coordinator::start(&receivers.config(more)).await;
    apply(&coordinator, &[ladder(&receivers.folder())]).await;
    let alerts = REGIONS.map(|region| outside("SystemDown", "critical", &[("region", region)]));
    let mut kills = 0;
    for (number, alert) in (1..).zip(&alerts) {
        post_at_last(&coordinator, std::slice::from_ref(alert)).await;
        if let Some(chance) = &mut chance {
            while kills < KILLS * number / alerts.len() {
                sleep(chance.millis(0, 900)).await;
                coordinator.kill().await;
                coordinator.restart().await;
                kills += 1;
            }
        }
    }
    let mut ids = Vec::new();
    for it in incidents(&coordinator).await {
        incident_when(&coordinator, &it.id, "the end of the ladder", |it| {
            has_entry(it, "nobody is left") && is_told(it)
        })
        .await;
        ids.push(it.id);
    }
    post_at_last(&coordinator, &alerts.each_ref().map(over)).await;
    let mut told = Told::new();
    let prefix = ids[0].split('-').next().unwrap().to_owned() + "-";
    for id in &ids {
        incident_when(&coordinator, id, "its end", |it| {
            it.incident
                .as_ref()
                .is_some_and(|it| it.standing == "resolved")
                && is_told(it)
        })
        .await;
        for it in incident(&coordinator, id).await.notifications {
            let id = it.id.replace(&prefix, "");
            told.insert((id, it.kind, it.channel, it.address, it.status));
        }
    }
    receivers.check();
    let count = told.len();
    let words = receivers
        .wait("all that was told", |words| words.len() >= count)
        .await;
    assert!(chance.is_none() || kills == KILLS);
    Some((told, words, prefix))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_at_any_moment_of_an_escalation_neither_skips_nor_repeats_a_word() {
    let chance = Chance::from_environment();
    println!("{SEED}={}", chance.seed());
    let (Some(expected), Some(killed)) = tokio::join!(run(None), run(Some(chance))) else {
        return;
    };
    assert_eq!(expected.0.len(), REGIONS.len() * 15, "{:#?}", expected.0);
    assert_eq!(killed.0, expected.0);
    let (got_expected, got_killed) = (got(&expected.1, &expected.2), got(&killed.1, &killed.2));
    let names = |got: &BTreeMap<String, _>| got.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&got_killed), names(&got_expected));
    let mut again = 0;
    for (what, (bodies, times)) in &got_killed {
        let (_, once) = &got_expected[what];
        // Whatever came more often than it would have was the very same word.
        assert!(
            bodies.len() <= *once && times >= once,
            "{what}: {bodies:#?}"
        );
        again += times - once;
    }
    println!(
        "{} words in {KILLS} lives and the last, {again} of them sent again",
        expected.1.len()
    );
}
