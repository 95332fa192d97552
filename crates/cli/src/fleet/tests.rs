use expect_test::expect;
use wire::proto::Event;

use super::*;

const NOW: i64 = 1_700_000_100_000;

fn nodes_for_tests() -> Vec<Node> {
    let present = Node {
        agent_id: "sim-1".to_owned(),
        labels: [("zone", "b"), ("region", "eu")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        version: "0.1.0".to_owned(),
        address: "127.0.0.1:5000".to_owned(),
        connected: true,
        first_seen_millis: NOW - 7_200_000,
        connected_since_millis: NOW - 3_600_000,
        last_message_millis: NOW - 500,
        newest_sample_millis: NOW - 2500,
        last_durable_sequence: 17,
        series: 398,
        samples_total: 1_234_567,
        batches_total: 60,
        bytes_total: 1_500_000,
        clock_offset_millis: -12,
        missing_batches: 3,
        future_samples_total: 0,
    };
    let gone = Node {
        agent_id: "b".to_owned(),
        version: "0.1.0".to_owned(),
        last_message_millis: NOW - 90_000,
        ..Node::default()
    };
    vec![present, gone]
}

#[test]
fn nodes_are_shown_with_what_is_missing_as_missing() {
    expect![[r#"
        NODE   STATE      SINCE  FRESH  SERIES  SAMPLES  B/SAMPLE   SKEW  VERSION  LABELS
        sim-1  connected  1h00m   2.5s     398    1.23M      1.22  -12ms  0.1.0    region=eu,zone=b
        b      gone       1m30s      -       0        0         -    0ms  0.1.0    -
    "#]]
    .assert_eq(&nodes_table(&nodes_for_tests(), NOW));
    expect![[r#"
        no node has ever been seen: start an agent with `vedette-agent`
    "#]]
    .assert_eq(&nodes_table(&[], NOW));
    let gone = node_json(&nodes_for_tests()[1], NOW);
    assert_eq!(gone["freshness_millis"], Value::Null);
    assert_eq!(gone["bytes_per_sample"], Value::Null);
    assert_eq!(gone["newest_sample"], Value::Null);
    assert_eq!(
        node_json(&nodes_for_tests()[0], NOW)["freshness_millis"],
        2500
    );
}

#[test]
fn events_are_lines_even_when_their_words_are_not() {
    let event = RecordedEvent {
        agent_id: "sim-1".to_owned(),
        event: Some(Event {
            id: "e1".to_owned(),
            at_millis: NOW,
            kind: "gpu_xid".to_owned(),
            severity: "critical".to_owned(),
            summary: "GPU 3 fell\noff the bus".to_owned(),
            labels: [("xid".to_owned(), "79".to_owned())].into(),
            alert: None,
        }),
        recorded_millis: NOW + 20,
    };
    expect![[r#"
        TIME (UTC)           NODE   SEVERITY  KIND     SUMMARY                 LABELS
        2023-11-14 22:15:00  sim-1  critical  gpu_xid  GPU 3 fell off the bus  xid=79
    "#]]
    .assert_eq(&events_table(std::slice::from_ref(&event)));
    expect![[r#"
        {
          "agent_id": "sim-1",
          "at": "2023-11-14T22:15:00Z",
          "id": "e1",
          "kind": "gpu_xid",
          "labels": {
            "xid": "79"
          },
          "recorded": "2023-11-14T22:15:00.02Z",
          "severity": "critical",
          "summary": "GPU 3 fell\noff the bus"
        }
    "#]]
    .assert_eq(&pretty(&event_json(&event)).unwrap());
    assert_eq!(events_table(&[]), "no events\n");
}

#[test]
fn the_summary_says_what_a_sample_costs() {
    let summary = GetSummaryResponse {
        version: "0.1.0".to_owned(),
        started_millis: NOW - 65_000,
        nodes: 9,
        nodes_connected: 8,
        series: 3600,
        samples_total: 100_000,
        bytes_total: 130_000,
        head_samples: 100_000,
        chunk_samples_total: 0,
        chunk_bytes_total: 0,
        disk_bytes: 5_000_000,
    };
    expect![[r#"
        coordinator          0.1.0, running for 1m05s
        nodes                8 of 9 connected
        series               3600
        samples taken in     100k
        samples in the head  100k
        on the wire          1.30 B/sample
        in chunks            -
        on disk              4.77 MiB
    "#]]
    .assert_eq(&summary_table(&summary, NOW));
    assert_eq!(
        summary_json(&summary)["chunk_bytes_per_sample"],
        Value::Null
    );
}
