use std::path::Path;
use std::time::Duration;

use alert::State;
use daemon::metrics::Counter;
use series::{Labels, Snapshot, Timestamp};

use super::files::Files;
use super::tap::{Fresh, Tap};
use super::watch::{Found, Remembered, Watch};
use super::*;
use crate::batch::Gathered;

const SECOND: Duration = Duration::from_secs(1);
const START: i64 = 1_000_000;

fn given(rules: &str) -> EdgeRules {
    EdgeRules {
        version: rules.len().to_string(),
        files: vec![(
            "f".to_owned(),
            format!("groups: [{{name: g, rules: [{rules}]}}]"),
        )],
        lookback_millis: 300_000,
        ..EdgeRules::default()
    }
}

fn watch(rules: &str) -> Watch {
    let mut watch = Watch::new(SECOND, 10_000);
    watch.replace(&given(rules)).unwrap();
    watch
}

/// A round in which `t` of each target has this value.
fn fresh(second: u32, values: &[f64]) -> Fresh {
    let at = START + 1000 * i64::from(second);
    let samples = values.iter().zip(0..).map(|(value, target)| {
        let instance = i32::to_string(&target);
        let labels = [("instance", instance.as_str()), ("node", "n1")];
        let labels = Arc::new(Labels::with_name("t", &labels).unwrap());
        (labels, at, *value)
    });
    Fresh {
        at_millis: at,
        samples: samples.collect(),
        follows_gap: false,
        behind_millis: None,
    }
}

/// A second of such a round.
fn second(watch: &mut Watch, second: u32, values: &[f64]) -> Found {
    watch.step(vec![fresh(second, values)], SECOND * (second + 100))
}

fn shown(found: &Found) -> String {
    let shown = found.transitions.iter().map(|it| {
        let (instance, to) = (&it.labels["instance"], it.to.as_str());
        format!("{instance} {to} {}", it.at_millis - START)
    });
    shown.collect::<Vec<_>>().join(", ")
}

#[test]
fn a_sample_over_the_threshold_fires_at_once() {
    let mut watch = watch("{alert: A, expr: t > 1, level: high}");
    assert_eq!(watch.running(), Vec::<String>::new());
    assert_eq!(shown(&second(&mut watch, 0, &[0.0, 0.0])), "");
    assert_eq!(watch.running(), ["g/A"]);
    assert_eq!(shown(&second(&mut watch, 1, &[2.0, 0.0])), "0 firing 1000");
    let (firing, is_whole) = watch.firing();
    assert_eq!((firing.len(), is_whole), (1, true));
    assert_eq!(firing[0].sample_millis, Some(START + 1000));
    // Nothing ends before every target has spoken.
    assert_eq!(shown(&second(&mut watch, 2, &[0.0, 0.0])), "");
    assert_eq!(
        shown(&second(&mut watch, 6, &[0.0, 3.0])),
        "0 inactive 6000, 1 firing 6000"
    );
}

#[test]
fn what_is_pending_is_nobody_elses_business() {
    let mut watch = watch("{alert: A, expr: t > 1, for: 3s}");
    let found = second(&mut watch, 0, &[2.0]);
    assert!(found.transitions.is_empty() && found.is_changed);
    assert_eq!(shown(&second(&mut watch, 2, &[2.0])), "");
    assert_eq!(shown(&second(&mut watch, 3, &[2.0])), "0 firing 3000");
    assert_eq!(watch.firing().0[0].from, State::Pending);
}

#[test]
fn a_rule_with_a_window_runs_when_it_is_filled() {
    let mut watch = watch("{alert: A, expr: 'sum_over_time(t[5s]) > 9'}");
    for at in 0..5 {
        assert_eq!(shown(&second(&mut watch, at, &[9.0])), "", "{at}");
        assert!(watch.running().is_empty());
    }
    assert_eq!(shown(&second(&mut watch, 5, &[9.0])), "0 firing 5000");
    assert_eq!(watch.running(), ["g/A"]);
    // The same again goes on; another has to fill its own.
    let rules = "{alert: A, expr: 'sum_over_time(t[5s]) > 9'}";
    watch.replace(&given(rules)).unwrap();
    assert_eq!(watch.running(), ["g/A"]);
    watch.replace(&given(&rules.replace("5s", "8s"))).unwrap();
    assert!(watch.running().is_empty());
    assert_eq!(watch.firing().0.len(), 1);
}

#[test]
fn a_restart_neither_forgets_nor_repeats() {
    let rules = "{alert: A, expr: t > 1}, {alert: B, expr: t > 1, for: 5s}";
    let mut before = watch(rules);
    assert_eq!(shown(&second(&mut before, 0, &[2.0])), "0 firing 0");
    let folder = tempfile::tempdir().unwrap();
    let files = Files::open(folder.path().join("rules")).unwrap();
    files.keep_rules(given(rules)).unwrap();
    files.keep_remembered(&before.remembered()).unwrap();
    let mut after = Watch::new(SECOND, 10_000);
    after.replace(&files.rules().unwrap()).unwrap();
    after.restore(files.remembered().unwrap());
    assert_eq!(after.firing(), before.firing());
    // What the agent says of itself comes before the first page.
    assert_eq!(shown(&second(&mut after, 3, &[])), "");
    assert_eq!(shown(&second(&mut after, 4, &[2.0])), "");
    assert_eq!(shown(&second(&mut after, 5, &[2.0])), "0 firing 5000");
    assert_eq!(after.firing().0.len(), 2);
}

#[test]
fn what_is_said_to_fire_and_nothing_would_end_is_left_out() {
    let rules = "{alert: A, expr: t > 1}, {alert: B, expr: t > 1, for: 5s}";
    let mut before = watch(rules);
    second(&mut before, 0, &[2.0, 2.0]);
    let mut said = before.remembered();
    assert_eq!(said.firing.len(), 2);
    // One of a rule that only is pending, and one of an instance that nobody knows.
    let mut pending = said.firing[0].clone();
    pending.rule = "g/B".to_owned();
    said.firing.push(pending);
    said.firing[1]
        .labels
        .insert("instance".to_owned(), "9".to_owned());
    let mut after = watch(rules);
    after.restore(said);
    assert_eq!(after.firing().0, before.firing().0[..1]);
}

#[test]
fn what_is_damaged_is_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rules");
    let files = Files::open(path.clone()).unwrap();
    assert!(files.rules().is_none() && files.remembered().is_none());
    files.keep_rules(given("{alert: A, expr: t > 1}")).unwrap();
    files.keep_remembered(&Remembered::default()).unwrap();
    let damage = |file: &Path| {
        let mut bytes = std::fs::read(file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(file, bytes).unwrap();
    };
    damage(&path.join("rules"));
    assert!(files.rules().is_none() && path.join("rules.unusable").is_file());
    assert!(files.remembered().is_some());
    std::fs::write(path.join("alerts"), "VDALERT1").unwrap();
    assert!(files.remembered().is_none() && path.join("alerts.unusable").is_file());
}

#[test]
fn rules_whose_series_do_not_fit_are_left_to_the_coordinator() {
    let mut watch = Watch::new(SECOND, 100);
    let rules =
        "{alert: A, expr: 't{instance!=\"0\"} > 1'}, {alert: B, expr: 't{instance=\"0\"} > 1'}";
    watch.replace(&given(rules)).unwrap();
    let found = second(&mut watch, 0, &[2.0; 20]);
    assert_eq!(found.unfit, ["g/A"]);
    assert_eq!(watch.running(), ["g/B"]);
    assert!(watch.reads().any_of.len() == 1 && watch.counts().2 == 1);
    assert_eq!(shown(&second(&mut watch, 1, &[2.0; 20])), "");
    assert_eq!(watch.firing().0.len(), 1);
}

#[test]
fn rules_that_cannot_be_used_leave_those_before() {
    let mut watch = watch("{alert: A, expr: t > 1}");
    let version = watch.version().to_owned();
    assert!(watch.replace(&given("{alert: A, expr: t >}")).is_err());
    second(&mut watch, 0, &[2.0]);
    assert_eq!(
        (watch.version(), watch.running().len()),
        (version.as_str(), 1)
    );
    watch.replace(&given("")).unwrap();
    assert_eq!((watch.running().len(), watch.firing().0.len()), (0, 0));
}

#[tokio::test]
async fn the_tap_gives_series_as_they_are_stored() {
    let watch = watch("{alert: A, expr: 't{region=\"eu\"} > 1'}");
    let (_reads, read) = tokio::sync::watch::channel(Arc::new(watch.reads()));
    let (out, _in) = tokio::sync::mpsc::channel(1);
    let own = [("node", "n1"), ("region", "eu")];
    let own = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let mut tap = Tap::new(own.to_vec(), read, out, Counter::default());
    let mut snapshot = Snapshot::default();
    snapshot.push("t", &[("node", "other"), ("x", "y")], 2.0);
    snapshot.push("u", &[], 2.0);
    let gathered = Gathered {
        divisor: None,
        unknown: Vec::new(),
        source: Arc::from("test"),
        labels: [("job".to_owned(), "test".to_owned())].into(),
        at: Timestamp::from_millis(7),
        snapshot,
    };
    for _ in 0..2 {
        let fresh = tap.take(&gathered).unwrap();
        let (labels, at, value) = &fresh.samples[0];
        assert_eq!(
            (labels.to_string().as_str(), *at, fresh.samples.len()),
            ("t{job=\"test\",node=\"n1\",region=\"eu\",x=\"y\"}", 7, 1)
        );
        assert!(*value > 1.0);
    }
}

/// The same second after rounds that were skipped, of which some source's have been since then.
fn after_a_gap(watch: &mut Watch, at: u32, values: &[f64], behind: Option<u32>) -> Found {
    let fresh = Fresh {
        follows_gap: true,
        behind_millis: behind.map(|since| START + 1000 * i64::from(since)),
        ..fresh(at, values)
    };
    watch.step(vec![fresh], SECOND * (at + 100))
}

#[test]
fn a_gap_neither_stops_nor_begins_the_time_of_a_for() {
    let mut watch = watch("{alert: A, expr: t > 1, for: 20s}");
    second(&mut watch, 0, &[2.0, 0.0]);
    // Only the agent itself is heard.
    assert_eq!(shown(&after_a_gap(&mut watch, 12, &[], Some(1))), "");
    assert_eq!(shown(&after_a_gap(&mut watch, 19, &[2.0, 2.0], None)), "");
    assert_eq!(
        shown(&after_a_gap(&mut watch, 20, &[2.0, 2.0], None)),
        "0 firing 20000"
    );
    // What came is believed at once, though rounds before it were skipped.
    assert_eq!(
        shown(&after_a_gap(&mut watch, 25, &[0.0, 2.0], None)),
        "0 inactive 25000"
    );
    assert_eq!(
        shown(&after_a_gap(&mut watch, 39, &[0.0, 2.0], None)),
        "1 firing 39000"
    );
}

#[test]
fn a_rule_whose_window_has_a_gap_is_the_coordinators_until_it_is_filled_anew() {
    let rules = "{alert: A, expr: 'count_over_time(t[5s]) < 4'}, {alert: B, expr: t > 9}";
    let mut watch = watch(rules);
    for at in 0..10 {
        assert_eq!(shown(&second(&mut watch, at, &[2.0])), "", "{at}");
    }
    assert_eq!(watch.running(), ["g/A", "g/B"]);
    assert_eq!(shown(&after_a_gap(&mut watch, 14, &[2.0], None)), "");
    assert_eq!(watch.running(), ["g/B"]);
    for at in 15..19 {
        assert_eq!(shown(&second(&mut watch, at, &[2.0])), "", "{at}");
        assert_eq!(watch.running(), ["g/B"]);
    }
    assert_eq!(shown(&second(&mut watch, 19, &[2.0])), "");
    assert_eq!(watch.running(), ["g/A", "g/B"]);
}

#[test]
fn a_source_that_is_skipped_for_long_is_not_missing() {
    let mut watch = watch("{alert: A, expr: t > 1}");
    assert_eq!(shown(&second(&mut watch, 0, &[2.0])), "0 firing 0");
    assert_eq!(shown(&after_a_gap(&mut watch, 200, &[], Some(1))), "");
    assert_eq!(shown(&after_a_gap(&mut watch, 400, &[], Some(1))), "");
    assert_eq!(shown(&second(&mut watch, 401, &[0.0])), "0 inactive 401000");
    // One that says nothing of itself is.
    assert_eq!(shown(&second(&mut watch, 402, &[2.0])), "0 firing 402000");
    assert_eq!(shown(&second(&mut watch, 703, &[])), "0 inactive 703000");
}

#[tokio::test]
async fn rounds_for_which_there_is_no_place_are_skipped_and_counted() {
    let watch = watch("{alert: A, expr: t > 1}");
    let (_reads, read) = tokio::sync::watch::channel(Arc::new(watch.reads()));
    let (out, mut taken) = tokio::sync::mpsc::channel(1);
    let skipped = Counter::default();
    let mut tap = Tap::new(Vec::new(), read, out, skipped.clone());
    let mut say = |source: &str, at: i64, value: f64| {
        let mut snapshot = Snapshot::default();
        snapshot.push("t", &[("instance", source)], value);
        let gathered = Gathered {
            divisor: None,
            unknown: Vec::new(),
            source: Arc::from(source),
            labels: [].into(),
            at: Timestamp::from_millis(at),
            snapshot,
        };
        let fresh = tap.take(&gathered).unwrap();
        tap.send(&gathered.source, fresh);
    };
    let mut next = || {
        let fresh = taken.try_recv().unwrap();
        let times: Vec<_> = fresh.samples.iter().map(|(_, at, _)| *at).collect();
        (times, fresh.follows_gap, fresh.behind_millis)
    };
    say("a", 1, 2.0);
    say("b", 2, 2.0);
    // Its end is in what is skipped, and nobody says it again.
    say("a", 3, series::STALE_NAN);
    say("b", 4, 2.0);
    assert_eq!(skipped.get(), 3);
    assert_eq!(next(), (vec![1], false, None));
    say("a", 5, 2.0);
    assert_eq!(next(), (vec![3, 5], true, Some(2)));
    say("b", 6, 2.0);
    assert_eq!(next(), (vec![6], false, None));
    // One that is gone is not waited for.
    say("a", 7, 2.0);
    say("b", 8, 2.0);
    assert_eq!(next(), (vec![7], false, None));
    say("a", 300_007, 2.0);
    assert_eq!(next(), (vec![300_007], true, Some(8)));
    say("a", 300_008, 2.0);
    assert_eq!(next(), (vec![300_008], false, None));
}
