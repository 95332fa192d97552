//! What is folded, and that its sums are right.

#![expect(
    clippy::float_cmp,
    reason = "small whole numbers, whose sums are exact"
)]

use proptest::prelude::*;
use series::{MetricKind, STALE_NAN, Snapshot, Timestamp, is_stale};

use super::*;

mod pages;

const BOUNDS: Bounds = Bounds {
    series_per_metric_max: 3,
    series_per_target_max: 100,
};

/// One target under a guard.
struct Rig {
    guard: Guard,
    overflows: Vec<Overflow>,
}

impl Rig {
    fn new(bounds: Bounds) -> Self {
        Self {
            guard: Guard::new(bounds),
            overflows: Vec::new(),
        }
    }

    /// What comes out of a page, as text and value.
    fn page(&mut self, snapshot: Snapshot) -> Vec<(String, f64)> {
        let mut gathered = Gathered {
            divisor: None,
            unknown: Vec::new(),
            source: "http://t/metrics {job=\"t\"}".into(),
            labels: [].into(),
            at: Timestamp::from_millis(0),
            snapshot,
        };
        self.overflows = self.guard.apply(&mut gathered, Duration::ZERO);
        let samples = gathered.snapshot.samples.into_iter();
        samples
            .map(|sample| (sample.labels.to_string(), sample.value))
            .collect()
    }

    fn of(&mut self, kind: MetricKind, series: &[(u32, f64)]) -> Vec<(String, f64)> {
        self.page(page(kind, series))
    }
}

/// A page with one metric, `m` or `m_total`, and what the scraper adds.
fn page(kind: MetricKind, series: &[(u32, f64)]) -> Snapshot {
    let mut snapshot = Snapshot::default();
    snapshot.family("m", kind, "");
    for (id, value) in series {
        let id = id.to_string();
        snapshot.push("m", &[("id", id.as_str()), ("job", "t")], *value);
    }
    snapshot.push("up", &[("job", "t")], 1.0);
    snapshot
}

fn text(samples: &[(String, f64)]) -> String {
    let line = |(name, value): &(String, f64)| match is_stale(*value) {
        true => format!("{name} ended"),
        false => format!("{name} {value}"),
    };
    samples.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn fold_of(samples: &[(String, f64)]) -> Option<f64> {
    let fold = samples.iter().find(|(name, _)| name.contains(FOLDED));
    fold.map(|(_, value)| *value)
        .filter(|value| !is_stale(*value))
}

#[test]
fn what_is_within_the_bounds_passes_as_it_is() {
    let mut rig = Rig::new(BOUNDS);
    let before = page(MetricKind::Gauge, &[(1, 1.0), (2, 2.0), (3, 3.0)]);
    let names = before.samples.iter().map(|it| it.labels.to_string());
    let names: Vec<String> = names.collect();
    let after = rig.page(before);
    assert!(after.iter().map(|(name, _)| name).eq(&names));
    assert_eq!(rig.guard.stats().folded(), 0);
    assert_eq!(rig.overflows, []);
}

#[test]
fn what_is_beyond_is_one_series_with_the_targets_labels() {
    let mut rig = Rig::new(BOUNDS);
    let series: Vec<_> = (1..=5).map(|id| (id, f64::from(id))).collect();
    let said = rig.of(MetricKind::Gauge, &series);
    expect_test::expect![[r#"
        m{id="1",job="t"} 1
        m{id="2",job="t"} 2
        m{id="3",job="t"} 3
        m{job="t",vedette_folded="true"} 9
        up{job="t"} 1"#]]
    .assert_eq(&text(&said));
    let overflow = Overflow {
        metric: "m".to_owned(),
        series: 5,
        folded: 2,
    };
    assert_eq!(rig.overflows, [overflow]);
    let worst = Worst {
        target: "http://t/metrics".to_owned(),
        metric: "m".to_owned(),
        folded: 2,
    };
    assert_eq!(rig.guard.stats().worst(), [worst]);
    rig.of(MetricKind::Gauge, &series);
    assert_eq!(rig.overflows, [], "it is told once");
}

#[test]
fn who_came_first_stays_and_a_place_is_free_when_its_series_is_gone() {
    let mut rig = Rig::new(BOUNDS);
    let gauge = MetricKind::Gauge;
    rig.of(gauge, &[(7, 1.0), (8, 1.0), (9, 1.0)]);
    // Those that come first on the page are new.
    let all: Vec<_> = (1..=9).map(|id| (id, 1.0)).collect();
    let said = rig.of(gauge, &all);
    assert!(text(&said).contains(r#"m{id="9",job="t"} 1"#));
    assert_eq!(fold_of(&said), Some(6.0));
    for _ in 0..10 {
        rig.of(gauge, &[(1, 1.0), (2, 1.0), (8, 1.0), (9, 1.0)]);
    }
    let said = rig.of(gauge, &[(1, 1.0), (2, 1.0), (8, 1.0), (9, 1.0)]);
    assert!(text(&said).contains(r#"m{id="1",job="t"} 1"#));
    assert_eq!(fold_of(&said), Some(1.0));
}

#[test]
fn a_target_that_does_not_answer_ends_its_sums_and_keeps_its_places() {
    let mut rig = Rig::new(BOUNDS);
    let series: Vec<_> = (1..=5).map(|id| (id, 10.0)).collect();
    rig.of(MetricKind::Counter, &series);
    let stale: Vec<_> = (1..=5).map(|id| (id, STALE_NAN)).collect();
    let ended = rig.of(MetricKind::Counter, &stale);
    expect_test::expect![[r#"
        m{id="1",job="t"} ended
        m{id="2",job="t"} ended
        m{id="3",job="t"} ended
        m{job="t",vedette_folded="true"} ended
        up{job="t"} 1"#]]
    .assert_eq(&text(&ended));
    for _ in 0..100 {
        assert_eq!(rig.of(MetricKind::Counter, &[]).len(), 1);
    }
    let series: Vec<_> = (1..=5).map(|id| (id, 11.0)).collect();
    let said = rig.of(MetricKind::Counter, &series);
    assert!(text(&said).contains(r#"m{id="1",job="t"} 11"#));
    assert_eq!(fold_of(&said), Some(22.0));
}

#[test]
fn a_folded_counter_grows_by_what_its_members_grow_and_never_falls() {
    let mut rig = Rig::new(BOUNDS);
    let mut fold = |extra: &[(u32, f64)]| {
        let own = [(1, 1.0), (2, 1.0), (3, 1.0)];
        let all: Vec<_> = own.iter().chain(extra).copied().collect();
        fold_of(&rig.of(MetricKind::Counter, &all))
    };
    assert_eq!(fold(&[(4, 10.0), (5, 5.0)]), Some(15.0));
    assert_eq!(fold(&[(4, 12.0)]), Some(17.0), "one is gone");
    assert_eq!(fold(&[(4, 12.0), (5, 6.0)]), Some(18.0), "and comes back");
    assert_eq!(fold(&[(4, 2.0), (5, 6.0)]), Some(20.0), "one is reset");
    assert_eq!(fold(&[(4, f64::NAN), (5, 6.0)]), Some(20.0));
    assert_eq!(fold(&[(4, 3.0), (5, 6.0)]), Some(21.0));
}

#[test]
fn buckets_are_folded_by_bound_and_what_has_no_sum_is_left_out() {
    let mut rig = Rig::new(Bounds {
        series_per_metric_max: 1,
        ..BOUNDS
    });
    let mut snapshot = Snapshot::default();
    snapshot.family("h", MetricKind::Histogram, "");
    for pod in ["a", "b", "c"] {
        for (bound, count) in [("0.1", 1.0), ("+Inf", 4.0)] {
            snapshot.push("h_bucket", &[("le", bound), ("pod", pod)], count);
        }
        snapshot.push("h_sum", &[("pod", pod)], 2.5);
    }
    snapshot.family("q", MetricKind::Summary, "");
    snapshot.push("q", &[("quantile", "0.5")], 1.0);
    snapshot.push("q", &[("quantile", "0.9")], 2.0);
    snapshot.family("build", MetricKind::Info, "");
    snapshot.push("build_info", &[("version", "1")], 1.0);
    snapshot.push("build_info", &[("version", "2")], 1.0);
    snapshot.push("t", &[("pod", "a")], 1.0);
    snapshot.push("t", &[("pod", "b")], 1.0);
    for timed in &mut snapshot.samples[13..] {
        timed.at = Some(Timestamp::from_millis(7));
    }
    let mut said = rig.page(snapshot);
    said.sort_by(|a, b| a.0.cmp(&b.0));
    expect_test::expect![[r#"
        build_info{version="1"} 1
        h_bucket{le="+Inf",vedette_folded="true"} 12
        h_bucket{le="0.1",pod="a"} 1
        h_bucket{le="0.1",vedette_folded="true"} 2
        h_sum{pod="a"} 2.5
        h_sum{vedette_folded="true"} 5
        q{quantile="0.5"} 1
        t{pod="a"} 1"#]]
    .assert_eq(&text(&said));
    let left_out = LeftOut {
        no_sum: 3,
        no_room: 0,
    };
    assert_eq!(rig.guard.stats().left_out(), left_out);
}

#[test]
fn small_metrics_stay_whole_when_a_large_one_fills_the_target() {
    let mut rig = Rig::new(Bounds {
        series_per_metric_max: 0,
        series_per_target_max: 50,
    });
    let mut snapshot = Snapshot::default();
    for id in 0..1000 {
        snapshot.push("large", &[("id", &id.to_string())], 1.0);
    }
    for id in 0..10 {
        snapshot.push("small", &[("id", &id.to_string())], 1.0);
    }
    let said = rig.page(snapshot);
    let of = |metric: &str| said.iter().filter(|it| it.0.starts_with(metric)).count();
    assert_eq!((of("small"), of("large")), (10, 41));
    assert_eq!(fold_of(&said), Some(960.0));
}

#[test]
fn narrower_bounds_end_what_loses_its_place_and_rates_go_on() {
    let mut rig = Rig::new(Bounds {
        series_per_metric_max: 40,
        ..BOUNDS
    });
    let counters = |grown: f64| (1..=4).map(move |id| (id, f64::from(id) * 100.0 + grown));
    let counters = |grown| counters(grown).collect::<Vec<_>>();
    assert_eq!(fold_of(&rig.of(MetricKind::Counter, &counters(0.0))), None);
    rig.guard.divide(20);
    let said = rig.of(MetricKind::Counter, &counters(1.0));
    expect_test::expect![[r#"
        m{id="1",job="t"} 101
        m{id="2",job="t"} 201
        m{id="3",job="t"} ended
        m{id="4",job="t"} ended
        m{job="t",vedette_folded="true"} 0
        up{job="t"} 1"#]]
    .assert_eq(&text(&said));
    let said = rig.of(MetricKind::Counter, &counters(3.0));
    assert_eq!(fold_of(&said), Some(4.0));
    rig.guard.divide(1);
    let said = rig.of(MetricKind::Counter, &counters(5.0));
    expect_test::expect![[r#"
        m{id="1",job="t"} 105
        m{id="2",job="t"} 205
        m{id="3",job="t"} 305
        m{id="4",job="t"} 405
        m{job="t",vedette_folded="true"} ended
        up{job="t"} 1"#]]
    .assert_eq(&text(&said));
    // It goes on where it was, and so is no reset.
    rig.guard.divide(20);
    let said = rig.of(MetricKind::Counter, &counters(6.0));
    assert_eq!(fold_of(&said), Some(4.0));
}

#[test]
fn a_target_of_nothing_but_names_stays_bounded() {
    let mut rig = Rig::new(Bounds {
        series_per_metric_max: 10,
        series_per_target_max: 100,
    });
    for round in 0..50 {
        let mut snapshot = Snapshot::default();
        for name in 0..5000 {
            let name = format!("m_{round}_{name}");
            snapshot.push(&name, &[("le", "1"), ("id", "1")], 1.0);
        }
        let said = rig.page(snapshot);
        let ends = said.iter().filter(|(_, value)| is_stale(*value)).count();
        assert!(said.len() - ends <= 2100, "{}", said.len());
        assert!(rig.overflows.len() <= WORST_MAX);
    }
    let left_out = rig.guard.stats().left_out();
    assert!(left_out.no_room > 0);
    assert_eq!(rig.guard.stats().worst().len(), WORST_MAX);
}

#[test]
fn a_target_that_is_silent_for_long_is_forgotten() {
    let mut rig = Rig::new(BOUNDS);
    let series: Vec<_> = (1..=5).map(|id| (id, 10.0)).collect();
    rig.of(MetricKind::Counter, &series);
    assert_eq!((rig.guard.members, rig.guard.stats().folded()), (2, 2));
    rig.guard.forget_idle(IDLE_MAX);
    assert_eq!((rig.guard.members, rig.guard.stats().folded()), (0, 0));
    assert!(rig.guard.targets.is_empty());
}

/// Series that come, go, grow and are reset at random.
#[derive(Default)]
struct Model {
    values: HashMap<u32, f64>,
    /// How often each went. It comes back as another, as a program does that was started anew.
    lives: HashMap<u32, u32>,
    /// By how much all counters grew so far, each from zero when it is new.
    grown: f64,
}

impl Model {
    fn turn(&mut self, changes: &[(u32, u8)]) {
        let before = self.values.clone();
        for &(id, change) in changes {
            let life = self.lives.entry(id).or_insert(0);
            let key = id + *life * 100;
            match change {
                0 => {
                    *life += u32::from(self.values.remove(&key).is_some());
                }
                1 => drop(self.values.insert(key, 1.0)),
                change => *self.values.entry(key).or_insert(0.0) += f64::from(change),
            }
        }
        for (key, &now) in &self.values {
            let last = before.get(key).copied().unwrap_or(0.0);
            self.grown += if now >= last { now - last } else { now };
        }
    }
}

proptest! {
    #[test]
    fn sums_are_the_same_before_and_after(
        turns in proptest::collection::vec(
            proptest::collection::vec((0_u32..12, 0_u8..20), 0..12),
            1..40,
        ),
    ) {
        let mut rigs = [Rig::new(BOUNDS), Rig::new(BOUNDS)];
        let mut model = Model::default();
        let mut lasts: HashMap<String, f64> = HashMap::new();
        let mut grown = 0.0;
        let mut fold_before = 0.0;
        for changes in &turns {
            model.turn(changes);
            let mut series: Vec<_> = model.values.iter().map(|(id, value)| (*id, *value)).collect();
            series.sort_by_key(|it| it.0);
            let is_value = |it: &&(String, f64)| it.0.starts_with("m{") && !is_stale(it.1);
            let gauges = rigs[0].of(MetricKind::Gauge, &series);
            let sum: f64 = gauges.iter().filter(is_value).map(|it| it.1).sum();
            prop_assert_eq!(sum, model.values.values().sum::<f64>());
            prop_assert!(gauges.iter().filter(is_value).count() <= 4);
            // Counters grow, as a whole, by what they grew, whoever says it.
            let counters = rigs[1].of(MetricKind::Counter, &series);
            for (name, now) in counters.iter().filter(is_value) {
                let last = lasts.insert(name.clone(), *now).unwrap_or(0.0);
                grown += if *now >= last { now - last } else { *now };
            }
            prop_assert_eq!(grown, model.grown);
            if let Some(fold) = fold_of(&counters) {
                prop_assert!(fold >= fold_before, "{} after {}", fold, fold_before);
                fold_before = fold;
            }
        }
    }

    #[test]
    fn monotone_counters_have_the_same_sum_before_and_after(
        turns in proptest::collection::vec(
            proptest::collection::vec((0_u32..40, 1_u8..20), 0..12),
            1..40,
        ),
    ) {
        let mut rig = Rig::new(BOUNDS);
        let mut values: HashMap<u32, f64> = HashMap::new();
        for changes in &turns {
            for &(id, change) in changes {
                *values.entry(id).or_insert(0.0) += f64::from(change);
            }
            let series: Vec<_> = values.iter().map(|(id, value)| (*id, *value)).collect();
            let said = rig.of(MetricKind::Counter, &series);
            let sum: f64 = said.iter().filter(|it| it.0.starts_with("m{")).map(|it| it.1).sum();
            prop_assert_eq!(sum, values.values().sum::<f64>());
        }
    }
}
