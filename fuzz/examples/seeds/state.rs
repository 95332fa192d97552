//! Rows that a coordinator keeps beside samples.

use std::collections::BTreeMap;
use std::sync::Arc;

use alert::centre::Command;
use alert::silence::Condition;
use alert::{Centre, State, Transition};
use coordinator::access::{Entry, Outcome};
use coordinator::events::Events;
use coordinator::families::Families;
use coordinator::fleet::Fleet;
use coordinator::losses;
use daemon::clock::{SharedClock, SystemClock};
use fuzz::{Draft, routes};
use series::{Family, MetricKind};
use spec::Level;
use store::engine::memory::Memory;
use store::{Arrival, Mark, Store};
use wire::ingest::{AgentId, Event, Hello};
use wire::proto;

use crate::Seeds;

const NOW_MILLIS: i64 = 1_800_000_000_000;

/// The rows of a centre: as they are when two alerts fire and one is silenced, and when that is said.
pub(crate) fn centre() -> Seeds {
    let mut centre = Centre::new("abcd", routes()).expect("its conditions are good");
    let silence = Command::Silence {
        conditions: vec![Condition {
            name: "node".to_owned(),
            op: "=~".to_owned(),
            value: "b|c".to_owned(),
        }],
        starts_millis: NOW_MILLIS,
        ends_millis: NOW_MILLIS + 3_600_000,
        maintenance: false,
        comment: String::new(),
    };
    let silenced = centre.command("someone", silence, NOW_MILLIS);
    silenced.expect("it is one");
    let mut rows = BTreeMap::new();
    let mut seeds = Seeds::new();
    let alerts = [
        ("NodeDown", Level::Critical, "a"),
        ("ErrorsHigh", Level::High, "a"),
        ("DiskFull", Level::Low, "b"),
    ];
    for (step, (name, level, node)) in (0..).zip(alerts) {
        let now = NOW_MILLIS + step * 60_000;
        centre.take(vec![firing(name, level, node, now)], now);
        centre.tick(now);
        for change in centre.changes() {
            match change.value {
                Some(value) => rows.insert(change.key, value),
                None => rows.remove(&change.key),
            };
        }
        let pieces = rows.iter().fold(Draft::default(), |draft, (key, value)| {
            draft.piece(key).piece(value)
        });
        seeds.push(pieces.done());
    }
    seeds
}

fn firing(name: &str, level: Level, node: &str, at_millis: i64) -> Transition {
    let labels = [("alertname", name), ("node", node)];
    Transition {
        at_millis,
        rule: format!("seeds/{name}"),
        labels: labels
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        annotations: BTreeMap::new(),
        level,
        from: State::Inactive,
        to: State::Firing,
        value: 1.0,
        active_millis: at_millis,
        sample_millis: None,
    }
}

/// The rows of a coordinator that has seen a node, an event, a family and losses.
pub(crate) fn rows() -> Seeds {
    let (store, _) = Store::open(Box::new(Memory::default())).expect("memory does not fail");
    let store = Arc::new(store);
    let agent = AgentId::try_from("node-1".to_owned()).expect("it is a name");
    let events = Events::new(Arc::clone(&store));
    let event = proto::Event {
        id: "e-1".to_owned(),
        kind: "gpu_xid".to_owned(),
        severity: "warning".to_owned(),
        at_millis: 7_200_000,
        ..proto::Event::default()
    };
    let event = Event::try_from(event).expect("it is one");
    let recorded = events.record(&agent, event, 3_600_000);
    recorded.expect("memory does not fail");
    let families = Families::open(Arc::clone(&store)).expect("memory does not fail");
    let family = Family {
        name: "a_total".to_owned(),
        kind: MetricKind::Counter,
        help: "h".to_owned(),
        unit: String::new(),
    };
    families.note([family]).expect("memory does not fail");
    let arrivals =
        [(1, 4, None), (9, 9, Some((60_000, 120_000)))].map(|(first, last, span)| Arrival {
            mark: Some((
                agent.as_str().to_owned(),
                Mark {
                    epoch: 7,
                    first,
                    last,
                    base: 1,
                },
            )),
            note: Some(losses::note(&agent, 7, losses::FORGOTTEN, span, NOW_MILLIS)),
            ..Arrival::default()
        });
    store.commit(arrivals.into()).expect("memory does not fail");
    let clock: SharedClock = Arc::new(SystemClock::new());
    let fleet = Fleet::open(Arc::clone(&store), events, clock).expect("memory does not fail");
    let hello = proto::Hello {
        protocol: wire::PROTOCOL,
        agent_id: agent.as_str().to_owned(),
        epoch: 7,
        labels: [("region".to_owned(), "eu".to_owned())].into(),
        ..proto::Hello::default()
    };
    let hello = Hello::try_from(hello).expect("it is one");
    drop(fleet.connect(&hello, "127.0.0.1:1".to_owned()));
    fleet.keep().expect("memory does not fail");
    let audit = Entry {
        at_millis: NOW_MILLIS,
        who: "someone".to_owned(),
        address: "127.0.0.1:1".to_owned(),
        action: "a".to_owned(),
        outcome: Outcome::Done,
        detail: "d".to_owned(),
    };
    let audit = serde_json::to_vec(&audit).expect("it can be written");
    let token = serde_json::json!({
        "agent_id": null, "made_by": "someone", "made_millis": 1, "expires_millis": 2, "used": null,
    });
    let mut draft = Draft::default();
    for (number, space) in (0..).zip(1_u8..=6) {
        let rows = store.scan_state(space, &[], 100);
        for row in rows.expect("memory does not fail") {
            draft = draft.bytes([number]).piece(row.key).piece(row.value);
        }
    }
    draft = draft.bytes([3]).piece([0; 16]).piece(audit);
    draft = draft.bytes([6]).piece([0; 40]).piece(token.to_string());
    let owner = serde_json::json!({ "version": "v", "rules": { "g/r": 1 }, "left": { "g/s": 2 } });
    draft = draft.bytes([7]).piece("o/node-1").piece(owner.to_string());
    vec![draft.done()]
}
