//! Providers that fail: the next way is told, nothing is lost, and nothing is said twice under another id.

use std::collections::BTreeMap;
use std::time::Duration;

use process_tests::coordinator::Coordinator;
use process_tests::{SOON, within};
use serde_json::Value;
use wire::proto;

use super::receivers::{Mood, Receivers, Word};
use super::{apply, has_entry, incident_when, incidents, is_told, ladder, outside, over, post};

/// Incidents at a time, two words of each to a provider that hangs: more than are ever under way.
const PAGES: usize = 100;

const MORE: &str = "give_up_after = \"2s\"\nresolve_after = \"1s\"\nrepeats = 1\n\
                    fallback = [\"webhook:bridge\"]";

async fn world() -> Option<(Receivers, Coordinator)> {
    let receivers = Receivers::start().await?;
    let coordinator = Coordinator::start(&receivers.config(MORE)).await;
    apply(&coordinator, &[ladder(&receivers.folder())]).await;
    Some((receivers, coordinator))
}

async fn only_incident(coordinator: &Coordinator) -> String {
    within(SOON, "the incident", || async {
        let incidents = incidents(coordinator).await;
        assert!(incidents.len() < 2, "{incidents:#?}");
        incidents.into_iter().next().map(|it| it.id)
    })
    .await
}

fn of<'a>(words: &'a [Word], channel: &'a str) -> impl Iterator<Item = &'a Word> {
    words.iter().filter(move |word| word.channel == channel)
}

/// How far words of a kind came, by channel.
fn outcomes(it: &proto::GetIncidentResponse, kind: &str) -> BTreeMap<String, Vec<String>> {
    let mut outcomes: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for word in it.notifications.iter().filter(|it| it.kind == kind) {
        let of_channel = outcomes.entry(word.channel.clone()).or_default();
        of_channel.push(word.status.clone());
        of_channel.sort();
    }
    outcomes
}

/// Ends an alert and waits until its incident is over and all was told.
async fn end(coordinator: &Coordinator, alert: &Value, id: &str) -> proto::GetIncidentResponse {
    post(coordinator, &[over(alert)]).await;
    incident_when(coordinator, id, "its end", |it| {
        it.incident
            .as_ref()
            .is_some_and(|it| it.standing == "resolved")
            && is_told(it)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_refuses_connections_is_passed_by_and_told_the_rest_when_it_is_back() {
    let Some((mut receivers, coordinator)) = world().await else {
        return;
    };
    receivers.down("pagerduty").await;
    let alert = outside("SystemDown", "critical", &[("region", "east")]);
    post(&coordinator, std::slice::from_ref(&alert)).await;
    let id = only_incident(&coordinator).await;
    let found = incident_when(&coordinator, &id, "the next way", |it| {
        has_entry(it, "webhook bridge took")
    })
    .await;
    assert!(has_entry(&found, "webhook bridge is told instead"));
    let first = outcomes(&found, "trigger");
    assert_eq!(first["pagerduty"], ["failed"]);
    assert_eq!(first["webhook"], ["accepted"]);
    assert_eq!(first["email"], ["accepted", "accepted"]);
    receivers.up("pagerduty").await;
    let found = end(&coordinator, &alert, &id).await;
    assert_eq!(outcomes(&found, "resolve")["pagerduty"], ["accepted"]);
    let words = receivers
        .wait("the end at PagerDuty", |words| {
            of(words, "pagerduty").count() == 1
        })
        .await;
    let hook: Vec<&str> = of(&words, "webhook").map(|it| it.kind.as_str()).collect();
    assert_eq!(hook, ["trigger", "resolve"]);
    receivers.check();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_answers_500_for_a_while_gets_each_word_once() {
    let Some((receivers, coordinator)) = world().await else {
        return;
    };
    receivers.mood("slack", Mood::Fails);
    receivers.mood("pagerduty", Mood::Fails);
    let alert = outside("ErrorsHigh", "high", &[("model_name", "m")]);
    post(&coordinator, std::slice::from_ref(&alert)).await;
    let id = only_incident(&coordinator).await;
    // One channel of two finds another way; for the other there is none, and it is tried on.
    incident_when(&coordinator, &id, "the next way", |it| {
        has_entry(it, "webhook bridge took")
    })
    .await;
    let before = receivers.attempts("slack");
    within(SOON, "more attempts", || async {
        (receivers.attempts("slack") > before + 2).then_some(())
    })
    .await;
    receivers.mood("slack", Mood::Well);
    let found = end(&coordinator, &alert, &id).await;
    assert_eq!(
        outcomes(&found, "trigger")["slack"],
        ["accepted", "failed"],
        "{:#?}",
        found.notifications
    );
    let words = receivers.words();
    let triggers = of(&words, "slack").filter(|it| it.text.starts_with("[HIGH] ErrorsHigh"));
    assert_eq!(triggers.count(), 1);
    let keys: Vec<&str> = of(&words, "webhook").map(|it| it.key.as_str()).collect();
    let mut once = keys.clone();
    once.dedup();
    assert_eq!(keys, once);
    receivers.check();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_never_answers_holds_up_nobody_else() {
    let Some((receivers, coordinator)) = world().await else {
        return;
    };
    receivers.mood("twilio", Mood::Hangs);
    let regions: Vec<String> = (0..PAGES).map(|n| format!("r{n}")).collect();
    let many: Vec<Value> = regions
        .iter()
        .map(|region| outside("SystemDown", "critical", &[("region", region)]))
        .collect();
    let started = tokio::time::Instant::now();
    post(&coordinator, &many).await;
    let words = receivers
        .wait("the pages", |words| of(words, "pagerduty").count() == PAGES)
        .await;
    // A request to Twilio takes a quarter of a minute until it is given up.
    assert!(
        started.elapsed() < Duration::from_secs(10),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(of(&words, "phone").count() + of(&words, "sms").count(), 0);
    assert!(receivers.attempts("twilio") > 0);
    receivers.check();
}
