//! A slow collector costs only itself.

use std::sync::mpsc::{Receiver, channel};

use daemon::clock::SystemClock;

use super::*;
use crate::metrics::Metrics;

/// Waits for leave before each answer.
struct Gated {
    name: &'static str,
    leave: Receiver<()>,
}

impl Collector for Gated {
    fn name(&self) -> &'static str {
        self.name
    }
    fn collect(&mut self, _: Timestamp) -> Result<Snapshot, Error> {
        self.leave.recv().unwrap_or_default();
        let mut snapshot = Snapshot::default();
        snapshot.push("up", &[], 1.0);
        Ok(snapshot)
    }
}

#[tokio::test]
async fn a_hanging_collector_is_skipped_and_the_other_keeps_its_pace() {
    let (out, mut gathered) = mpsc::channel(64);
    let metrics = Metrics::new();
    let (urgent, _events) = crate::urgent::queue(&metrics, SystemClock::shared());
    let schedule = Schedule {
        every: Duration::from_millis(5),
        out,
        urgent,
        pace: Pace::default(),
        clock: SystemClock::shared(),
        shutdown: Shutdown::new(),
    };
    let (hangs, leave) = channel();
    let slow = metrics.collector("slow");
    schedule
        .start(
            Gated {
                name: "slow",
                leave,
            },
            [].into(),
            slow.clone(),
        )
        .unwrap();
    let (free, leave) = channel();
    drop(free);
    schedule
        .start(
            Gated {
                name: "fast",
                leave,
            },
            [].into(),
            metrics.collector("fast"),
        )
        .unwrap();
    for _ in 0..10 {
        assert_eq!(&*gathered.recv().await.unwrap().source, "fast");
    }
    assert!(slow.skipped.get() > 0);
    hangs.send(()).unwrap();
    while &*gathered.recv().await.unwrap().source != "slow" {}
}

#[tokio::test]
async fn a_collector_that_does_not_answer_is_down_until_it_does() {
    let (out, mut gathered) = mpsc::channel(64);
    let metrics = Metrics::new();
    let (urgent, mut events) = crate::urgent::queue(&metrics, SystemClock::shared());
    let schedule = Schedule {
        every: Duration::from_secs(1),
        out,
        urgent,
        pace: Pace::default(),
        clock: SystemClock::shared(),
        shutdown: Shutdown::new(),
    };
    let (free, leave) = channel();
    let name = "stuck";
    let stuck = metrics.collector(name);
    let gated = Gated { name, leave };
    schedule.start(gated, [].into(), stuck.clone()).unwrap();
    let event = events.recv().await.unwrap();
    assert_eq!(event.kind, "collector_down");
    assert_eq!(event.summary, "collector stuck: does not answer");
    assert_eq!((stuck.up.get(), stuck.skipped.get()), (Some(0.0), 3));
    free.send(()).unwrap();
    assert_eq!(&*gathered.recv().await.unwrap().source, name);
    // That it was down is said once.
    assert_eq!(events.recv().await.unwrap().kind, "collector_up");
    assert_eq!(stuck.up.get(), Some(1.0));
}
