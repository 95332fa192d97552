//! The rows that a coordinator keeps beside samples: nodes, events, families, audit, losses, join tokens and
//! what agents run. Whatever they hold, they are taken up and added to, and what is added is there.
#![no_main]

use std::sync::{Arc, LazyLock};

use coordinator::Config;
use coordinator::access::{Access, Audit, Files, Rates, Wanted};
use coordinator::alerting::Edge;
use coordinator::events::Events;
use coordinator::families::Families;
use coordinator::fleet::{Fleet, Received};
use coordinator::join::{Join, Parts};
use coordinator::metrics::Metrics;
use coordinator::{coverage, losses};
use daemon::clock::{SharedClock, SystemClock};
use fuzz::{Input, MIB, within};
use libfuzzer_sys::fuzz_target;
use series::{Family, MetricKind};
use store::engine::memory::Memory;
use store::{StateRow, Store};
use tokio::sync::watch;
use wire::ingest::{AgentId, Event, Hello};
use wire::proto;

/// Up to 64 rows of up to 64 KiB each, and a few copies.
const BYTES_MAX: usize = 256 * MIB;
/// State spaces that are read by whoever starts.
const SPACES: [u8; 8] = [1, 2, 3, 4, 5, 6, 7, 10];
const HOUR_MILLIS: i64 = 3_600_000;

/// Counters, the same for all runs.
static METRICS: LazyLock<Arc<Metrics>> = LazyLock::new(Metrics::new);

fuzz_target!(|data: &[u8]| {
    let (store, _) = Store::open(Box::new(Memory::default())).expect("memory does not fail");
    let store = Arc::new(store);
    let mut input = Input::new(data);
    for _ in 0..64 {
        if input.is_empty() {
            break;
        }
        let space = SPACES[usize::from(input.u8()) % SPACES.len()];
        let row = StateRow {
            key: input.piece().to_vec(),
            value: input.piece().to_vec(),
        };
        store
            .put_state(space, vec![row])
            .expect("memory does not fail");
    }
    within(BYTES_MAX, || take_up(&store));
});

fn take_up(store: &Arc<Store>) {
    let agent = AgentId::try_from("node-1".to_owned()).expect("it is a name");
    let clock: SharedClock = Arc::new(SystemClock::new());
    let events = Events::new(Arc::clone(store));
    check_events(&events, &agent);
    check_families(store);
    check_losses(store, &agent);
    let all = Wanted {
        limit: 100,
        ..Wanted::default()
    };
    drop(Audit::list(store, &all).expect("memory does not fail"));
    drop(Edge::open(store).expect("memory does not fail"));
    let open = || Fleet::open(Arc::clone(store), events.clone(), Arc::clone(&clock));
    let fleet = open().expect("memory does not fail");
    let hello = proto::Hello {
        protocol: wire::PROTOCOL,
        agent_id: agent.as_str().to_owned(),
        epoch: 7,
        ..proto::Hello::default()
    };
    let hello = Hello::try_from(hello).expect("it is one");
    let connection = fleet.connect(&hello, "x".to_owned());
    connection.received(Received {
        batches: 1,
        samples: 1,
        ..Received::default()
    });
    connection.clock_offset(1);
    drop(connection);
    fleet.keep().expect("memory does not fail");
    assert!(open().expect("memory does not fail").knows(&agent));
    open_join(store, fleet, clock);
}

fn check_events(events: &Events, agent: &AgentId) {
    let event = proto::Event {
        id: "e-1".to_owned(),
        kind: "gpu_xid".to_owned(),
        severity: "warning".to_owned(),
        at_millis: 2 * HOUR_MILLIS,
        ..proto::Event::default()
    };
    let event = Event::try_from(event).expect("it is one");
    // Our clock may have gone back since it came.
    for now in [3 * HOUR_MILLIS, HOUR_MILLIS] {
        let recorded = events.record(agent, event.clone(), now);
        recorded.expect("memory does not fail");
        assert!(
            events
                .knows(agent, &event, now)
                .expect("memory does not fail")
        );
    }
    let all = events.list(None, i64::MIN, usize::MAX);
    drop(all.expect("memory does not fail"));
    events.retain(HOUR_MILLIS).expect("memory does not fail");
}

fn check_families(store: &Arc<Store>) {
    let open = || Families::open(Arc::clone(store)).expect("memory does not fail");
    let family = Family {
        name: "fresh".to_owned(),
        kind: MetricKind::Counter,
        help: "h".to_owned(),
        unit: "u".to_owned(),
    };
    open().note([family.clone()]).expect("memory does not fail");
    assert_eq!(open().get("fresh"), Some(family));
}

fn check_losses(store: &Store, agent: &AgentId) {
    let list = || losses::list(store, agent).expect("memory does not fail");
    let before = list().len();
    for span in [
        (i64::MIN, i64::MAX),
        (0, HOUR_MILLIS),
        (i64::MAX - 1, i64::MAX),
    ] {
        let known = coverage::of(store, agent, span.0, span.1).expect("memory does not fail");
        assert_eq!(known.losses.len(), before);
        let joined = known.stretches.windows(2);
        assert!(
            joined
                .into_iter()
                .all(|two| two[0].end_millis <= two[1].start_millis)
        );
    }
    let dropped = losses::retain(store, HOUR_MILLIS).expect("memory does not fail");
    let left = list();
    assert!(left.iter().all(|lost| lost.declared_millis >= HOUR_MILLIS));
    assert!(left.len() as u64 + dropped.old + dropped.too_many >= before as u64);
}

fn open_join(store: &Arc<Store>, fleet: Fleet, clock: SharedClock) {
    let (audit, _writing) = Audit::new(Arc::clone(store), Arc::clone(&METRICS));
    let rates = Rates::new(0, 0);
    let counted = Arc::clone(&METRICS);
    let access = Access::open(Files::default(), rates, audit, counted, Arc::clone(&clock));
    let join = Join::open(Parts {
        authority: None,
        access: access.expect("there are no files"),
        fleet,
        store: Arc::clone(store),
        config: watch::channel(Arc::new(Config::default())).1,
        metrics: Arc::clone(&METRICS),
        clock,
    });
    drop(join.expect("memory does not fail"));
}
