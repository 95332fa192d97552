//! A site that is lost: five thousand alerts, one incident, one page.

use std::collections::BTreeMap;

use process_tests::coordinator::Coordinator;
use serde_json::Value;

use super::receivers::Receivers;
use super::{apply, incident_when, incidents, is_told, ladder, outside, post};

const ALERTS: usize = 5000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_thousand_alerts_of_a_region_are_one_incident_and_one_page_with_a_list() {
    let Some(receivers) = Receivers::start().await else {
        return;
    };
    let more = "update_interval = \"3s\"\nresolve_after = \"1s\"";
    let coordinator = Coordinator::start(&receivers.config(more)).await;
    apply(&coordinator, &[ladder(&receivers.folder())]).await;
    let alerts: Vec<Value> = (0..ALERTS)
        .map(|n| {
            let (rule, node) = (format!("Rule{}", n % 10), format!("eu-{}", n / 10));
            outside(&rule, "critical", &[("region", "eu"), ("node", &node)])
        })
        .collect();
    for part in alerts.chunks(ALERTS / 2) {
        post(&coordinator, part).await;
    }
    let all = incidents(&coordinator).await;
    assert_eq!(all.len(), 1, "{all:#?}");
    assert_eq!(all[0].alerts_total as usize, ALERTS);
    let id = all[0].id.clone();
    let found = incident_when(&coordinator, &id, "the word on all of them", |it| {
        is_told(it) && it.notifications.iter().any(|it| it.kind == "update")
    })
    .await;
    let mut triggers: BTreeMap<String, usize> = BTreeMap::new();
    for word in found.notifications.iter().filter(|it| it.kind == "trigger") {
        *triggers
            .entry(format!("{} {}", word.channel, word.address))
            .or_default() += 1;
    }
    let once = [
        "email ml-team@company.com",
        "email oncall@company.com",
        "pagerduty ml-monitoring-service",
        "phone +4930100",
        "sms +4930101",
    ];
    assert_eq!(triggers, once.map(|way| (way.to_owned(), 1)).into());
    let words = receivers.words();
    let pages: Vec<Value> = words
        .iter()
        .filter(|word| word.channel == "pagerduty")
        .map(|word| word.json())
        .collect();
    assert!(pages.iter().all(|page| page["dedup_key"] == id.as_str()));
    let details = &pages[0]["payload"]["custom_details"];
    assert_eq!(details["alerts_total"], ALERTS / 2);
    assert_eq!(details["alerts"].as_array().unwrap().len(), 50);
    assert_eq!(details["alerts_left_out"], ALERTS / 2 - 50);
    let last = &pages[pages.len() - 1]["payload"]["custom_details"];
    assert_eq!(last["alerts_total"], ALERTS);
    let first_calls = words.iter().filter(|word| word.way() == "phone +4930100");
    assert_eq!(first_calls.count(), 1);
    receivers.check();
}
