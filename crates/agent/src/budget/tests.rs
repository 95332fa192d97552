//! From measurements to the pace, the metrics and the event.

use daemon::clock::{Clock, SystemClock};
use daemon::units::ByteSize;

use super::*;
use crate::pace::Class;

/// Each look is five seconds after the one before.
struct Steps(std::sync::atomic::AtomicU32);

impl Clock for Steps {
    fn wall_millis(&self) -> i64 {
        SystemClock::new().wall_millis()
    }

    fn monotonic(&self) -> Duration {
        let step = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        MEASURED_EVERY * step
    }
}

#[test]
fn an_agent_over_its_budget_says_so_once_and_spares() {
    let mut config = Config::default();
    config.budget.memory = ByteSize::mib(100);
    let metrics = Metrics::new();
    let clock: SharedClock = Arc::new(Steps(0.into()));
    let (urgent, mut events) = crate::urgent::queue(&metrics, SystemClock::shared());
    let pace = Pace::default();
    let mut turns = pace.turns(Class::Target);
    turns.said(1000);
    let mut keeper = Keeper::new(&config, pace.clone(), &metrics, urgent, &clock);
    keeper.meter = Meter::new(
        caps(&config, Allowed::default()),
        Duration::from_secs(5),
        Duration::from_secs(60),
    );
    for step in 0..20 {
        keeper.measure(Some(Usage {
            cpu_seconds: f64::from(step),
            resident_bytes: (100.0 + 5.0 * f64::from(step)) * 1024.0 * 1024.0,
        }));
    }
    assert_eq!(pace.level(), 5);
    let every = Duration::from_secs(5);
    let read = (0..160).filter(|_| turns.is_due(every)).count();
    assert_eq!(read, 10);
    let event = events.try_recv().unwrap();
    assert_eq!(
        (event.kind.as_str(), event.severity.as_str()),
        ("agent_throttled", "warning")
    );
    assert!(events.try_recv().is_err(), "it is told once");
    assert!(wire::ingest::EVENT_KINDS.contains(&event.kind.as_str()));
    let snapshot = metrics.snapshot();
    let value = |name: &str, resource: &str| {
        let mut samples = snapshot.samples.iter();
        let found = samples
            .find(|it| it.labels.metric_name() == name && it.labels.get("resource") == resource);
        found.map(|it| it.value)
    };
    assert_eq!(value("vedette_agent_throttle_level", ""), Some(5.0));
    assert_eq!(value("vedette_agent_throttle_reason", "memory"), Some(1.0));
    assert_eq!(value("vedette_agent_throttle_reason", "cpu"), Some(0.0));
    assert_eq!(
        value("vedette_agent_budget_used_ratio", "memory"),
        Some(1.95)
    );
    assert_eq!(value("vedette_agent_budget_used_ratio", "cpu"), Some(0.4));
}

#[test]
fn the_lower_of_budget_and_cgroup_counts_and_0_is_no_cap() {
    let mut config = Config::default();
    let allowed = Allowed {
        cpu: Some(0.45),
        memory: Some(1e12),
    };
    let lowered = caps(&config, allowed);
    assert_eq!(lowered.cpu, Some(0.45));
    assert_eq!(lowered.memory, Some(256.0 * 1024.0 * 1024.0));
    config.budget.cpu = 0.0;
    config.budget.bytes_per_minute = ByteSize::bytes(0);
    let off = caps(&config, allowed);
    assert_eq!((off.cpu, off.bytes_per_minute), (None, None));
}
