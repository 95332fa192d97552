//! The dead man's switch: someone outside is told again and again that alerting works, and raises the
//! alarm when it no longer is.

use std::collections::BTreeMap;
use std::time::Duration;

use alert::{AlertLine, Delivery, Kind, Message, Notification, Status, Target};
use spec::Level;

use super::office::Office;

/// How long the desk may take to answer.
const DESK_WITHIN: Duration = Duration::from_secs(10);
/// How many intervals a group may be late.
const LATE_INTERVALS: u64 = 3;
/// What the alert is called, as Prometheus' is in the field.
const NAME: &str = "Watchdog";

/// Beats until the drain.
pub(super) async fn run(office: Office) {
    loop {
        let config = office.config();
        tokio::select! {
            () = tokio::time::sleep(config.alerting.heartbeat_interval.as_duration()) => {}
            () = office.ground.shutdown.draining() => return,
        }
        let config = office.config();
        if config.alerting.heartbeat.is_empty() {
            continue;
        }
        let now = office.ground.clock.wall_millis();
        let beaten = match sick(&office).await {
            Some(why) => Err(why),
            None => beat(&office, &config.alerting.heartbeat, now).await,
        };
        match beaten {
            Ok(()) => office.metrics.heartbeats.inc(),
            Err(why) => {
                office.metrics.heartbeat_failures.inc();
                tracing::warn!(why, "no heartbeat");
            }
        }
    }
}

/// Why alerting does not work, if it does not.
async fn sick(office: &Office) -> Option<String> {
    if let Err(error) = office.store().check() {
        return Some(daemon::chain(&error));
    }
    let looked = office.desk.look(|_| ());
    if !matches!(tokio::time::timeout(DESK_WITHIN, looked).await, Ok(Ok(()))) {
        return Some("the desk does not answer".to_owned());
    }
    let now = office.ground.clock.wall_millis();
    let groups = office.rules.view().await.unwrap_or_default();
    let late = groups.iter().find(|view| {
        let last = view.group.evaluated_millis.max(view.since_millis);
        let patience = LATE_INTERVALS.saturating_mul(view.group.interval_millis);
        now.saturating_sub(last) > i64::try_from(patience).unwrap_or(i64::MAX)
    });
    late.map(|view| format!("the rules of {} are not evaluated", view.group.name))
}

async fn beat(office: &Office, to: &str, now: i64) -> Result<(), String> {
    let target = notify::parse(to).map_err(|error| format!("alerting.heartbeat: {error}"))?;
    let (senders, manner) = office.providers.now(target.channel);
    let notification = notification(target, now);
    match senders.send(&notification, &manner, now).await.delivery {
        Delivery::Accepted { .. } => Ok(()),
        Delivery::Retry { reason, .. } | Delivery::Refused { reason } => Err(reason),
    }
}

fn notification(target: Target, now: i64) -> Notification {
    let labels = [("alertname", NAME), ("severity", "none")];
    let labels: BTreeMap<String, String> = labels
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    let summary = "alerting works; this goes on for as long as it does";
    let line = AlertLine {
        fingerprint: alert::fingerprint(&labels),
        labels: labels.clone(),
        annotations: BTreeMap::from([("summary".to_owned(), summary.to_owned())]),
        firing: true,
        starts_millis: now,
        ends_millis: None,
        value: 1.0,
    };
    Notification {
        id: format!("heartbeat-{now}"),
        target,
        message: Message {
            kind: Kind::Update,
            incident: NAME.to_owned(),
            level: Level::Low,
            title: summary.to_owned(),
            alerts: vec![line],
            alerts_total: 1,
            common_labels: labels,
            ..Message::test(now)
        },
        status: Status::Queued,
        attempts: 0,
        queued_millis: now,
        next_millis: now,
        stands_for: Vec::new(),
    }
}

#[cfg(test)]
mod tests;
