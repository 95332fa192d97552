use expect_test::expect;

use super::*;

const NOW: i64 = 1_700_000_100_000;
const MINUTE: i64 = 60_000;

fn an_alert() -> proto::Alert {
    let labels = [
        ("alertname", "NodeDown"),
        ("node", "eu-7"),
        ("severity", "page"),
    ];
    proto::Alert {
        fingerprint: "00ff00ff00ff00ff".to_owned(),
        labels: labels
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        level: "critical".to_owned(),
        firing: true,
        starts_millis: NOW - 5 * MINUTE,
        incident: "abcd-7".to_owned(),
        joined_by: "node eu-7".to_owned(),
        ..proto::Alert::default()
    }
}

fn an_incident() -> proto::Incident {
    proto::Incident {
        id: "abcd-7".to_owned(),
        standing: "open".to_owned(),
        level: "critical".to_owned(),
        title: "eu-7 is\ndown".to_owned(),
        opened_millis: NOW - 5 * MINUTE,
        alerts_firing: 2,
        alerts_total: 3,
        rungs: 1,
        escalates_millis: NOW + 90_000,
        ..proto::Incident::default()
    }
}

#[test]
fn alerts_are_lines() {
    expect![[r"
        ALERT     LEVEL     STATE     FOR  INCIDENT  HELD  LABELS     FINGERPRINT
        NodeDown  critical  firing  5m00s  abcd-7    -     node=eu-7  00ff00ff00ff00ff
    "]]
    .assert_eq(&alerts_table(&[an_alert()], NOW));
    assert_eq!(alerts_table(&[], NOW), "nothing fires\n");
}

#[test]
fn an_incident_is_a_page() {
    let answer = proto::GetIncidentResponse {
        incident: Some(an_incident()),
        alerts: vec![an_alert()],
        timeline: vec![proto::IncidentEntry {
            at_millis: NOW - 5 * MINUTE,
            what: "opened by eu-7 is down".to_owned(),
        }],
        notifications: vec![proto::Notification {
            channel: "pagerduty".to_owned(),
            address: "ml".to_owned(),
            kind: "trigger".to_owned(),
            status: "accepted".to_owned(),
            provider_id: "dedup".to_owned(),
            attempts: 1,
            queued_millis: NOW - 5 * MINUTE,
            ..proto::Notification::default()
        }],
    };
    expect![[r"
        INCIDENT  LEVEL     STANDING                    AGE  FIRING  ALERTS  TITLE
        abcd-7    critical  open, escalates in 1m30s  5m00s       2       3  eu-7 is down

        Alerts
        ALERT     LEVEL     STATE     FOR  INCIDENT  HELD  LABELS     FINGERPRINT
        NodeDown  critical  firing  5m00s  abcd-7    -     node=eu-7  00ff00ff00ff00ff
        NodeDown 00ff00ff00ff00ff joined by node eu-7

        Told
        TIME (UTC)           KIND     CHANNEL    ADDRESS  STATUS    TRIES  DETAIL
        2023-11-14 22:10:00  trigger  pagerduty  ml       accepted      1  dedup

        History
        2023-11-14 22:10:00  opened by eu-7 is down
    "]]
    .assert_eq(&incident_page(&answer, NOW));
}

#[test]
fn where_an_incident_is_is_said_in_words() {
    let of = |change: fn(&mut proto::Incident)| {
        let mut incident = an_incident();
        change(&mut incident);
        standing(&incident, NOW)
    };
    assert_eq!(of(|_| ()), "open, escalates in 1m30s");
    assert_eq!(
        of(|it| {
            "acknowledged".clone_into(&mut it.standing);
            "ada".clone_into(&mut it.acknowledged_by);
        }),
        "acknowledged by ada"
    );
    assert_eq!(
        of(|it| {
            it.escalates_millis = 0;
            it.overdue = true;
        }),
        "open, overdue"
    );
    assert_eq!(
        of(|it| {
            "resolved".clone_into(&mut it.standing);
            "false".clone_into(&mut it.verdict);
        }),
        "resolved, false"
    );
}

#[test]
fn precision_is_of_what_was_judged() {
    let record = proto::RuleRecord {
        rule: "NodeDown".to_owned(),
        incidents: 5,
        notifications: 20,
        verdicts_true: 3,
        verdicts_false: 1,
        acknowledge_millis: 3 * MINUTE,
        ..proto::RuleRecord::default()
    };
    let unjudged = proto::RuleRecord {
        rule: "Quiet".to_owned(),
        incidents: 1,
        ..proto::RuleRecord::default()
    };
    expect![[r"
        RULE      INCIDENTS  TOLD  TRUE  FALSE  EXPECTED  DUPLICATE  PRECISION  TO ACK  TO RESOLVE
        NodeDown          5    20     3      1         0          0        75%   3m00s           -
        Quiet             1     0     0      0         0          0          -       -           -
    "]]
    .assert_eq(&records_table(&[record, unjudged]));
}
