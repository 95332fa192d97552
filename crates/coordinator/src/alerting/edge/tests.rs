use store::engine::memory::Memory;

use super::*;

const MINUTE: i64 = 60_000;

fn found(rule: &str, to: State, at_millis: i64, active_millis: i64) -> Transition {
    let labels = [("alertname", rule), ("node", "n1")];
    let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Transition {
        at_millis,
        rule: format!("g/{rule}"),
        labels: labels.into(),
        annotations: BTreeMap::new(),
        level: spec::Level::High,
        from: State::Inactive,
        to,
        value: 1.0,
        active_millis,
        sample_millis: None,
    }
}

/// The same as an agent says it whose clock is right.
fn said(transition: Transition) -> Found {
    let agent_millis = transition.at_millis;
    Found {
        transition,
        agent_millis,
    }
}

fn in_force(rules: &[&str]) -> InForce {
    let paths: BTreeSet<String> = rules.iter().map(|rule| format!("g/{rule}")).collect();
    InForce {
        rules: EdgeRules {
            version: format!("{paths:?}"),
            ..EdgeRules::default()
        },
        paths,
    }
}

fn run(rules: &[&str], wall_millis: i64) -> RulesRun {
    let in_force = in_force(rules);
    RulesRun {
        version: in_force.rules.version,
        rules: in_force.paths,
        firing_is_whole: true,
        wall_millis,
        ..RulesRun::default()
    }
}

fn edge() -> Edge {
    let (store, _) = Store::open(Box::new(Memory::default())).unwrap();
    let edge = Edge::open(&store).unwrap();
    edge.put(in_force(&["A", "B"]), &BTreeSet::new(), 0);
    edge
}

#[test]
fn the_agent_has_the_word_from_when_it_runs_a_rule() {
    let edge = edge();
    let centre = |rule: &str, active: i64| edge.passes(&found(rule, State::Firing, 99, active));
    assert!(centre("A", 50));
    edge.run("n1", &run(&["A"], 10), Vec::new(), 10);
    // What was active before goes on here; what began since is the agent's; other rules are ours.
    assert!(centre("A", 9) && !centre("A", 10) && centre("B", 10));
    // What an agent says to fire the centre does not end.
    let fires = found("A", State::Firing, 20, 20);
    assert!(edge.passes(&found("A", State::Inactive, 30, 5)));
    assert_eq!(edge.found("n1", &said(fires.clone()), 20).unwrap().len(), 1);
    assert!(!edge.passes(&found("A", State::Inactive, 30, 5)));
    assert!(edge.holds(&Alert::of(fires), "g/A"));
    // The same again changes nothing.
    let again = run(&["A"], 40);
    let taken = edge.run(
        "n1",
        &again,
        vec![said(found("A", State::Firing, 20, 20))],
        40,
    );
    assert!(taken.firing.is_empty() && taken.over.is_empty() && taken.left.is_empty());
    assert!(centre("A", 9) && !centre("A", 10));
    assert_eq!(edge.current(), 0);
    edge.run("n1", &run(&["A", "B"], 50), Vec::new(), 50);
    assert_eq!(edge.current(), 1);
}

#[test]
fn a_list_of_what_fires_mends_what_was_missed() {
    let edge = edge();
    let a = found("A", State::Firing, 20, 20);
    let taken = edge.run("n1", &run(&["A", "B"], 30), vec![said(a.clone())], 30);
    assert_eq!(taken.firing, std::slice::from_ref(&a));
    // What the agent has said since the list was made counts more than the list.
    edge.found("n1", &said(found("A", State::Inactive, 41, 20)), 41);
    let late = edge.run("n1", &run(&["A", "B"], 40), vec![said(a)], 42);
    assert!(late.firing.is_empty());
    edge.found("n1", &said(found("B", State::Firing, 50, 50)), 50);
    let late = edge.run("n1", &run(&["A", "B"], 45), Vec::new(), 51);
    assert!(late.over.is_empty());
    let after = edge.run("n1", &run(&["A", "B"], 60), Vec::new(), 61);
    assert_eq!(after.over.len(), 1);
}

#[test]
fn a_rule_that_the_centre_takes_back_is_held_for_a_while() {
    let edge = edge();
    edge.run("n1", &run(&["A", "B"], 10), Vec::new(), 10);
    let fires = found("A", State::Firing, 20, 20);
    edge.found("n1", &said(fires.clone()), 20);
    let taken = edge.run("n1", &run(&["B"], 30), Vec::new(), 30);
    assert_eq!(taken.left.len(), 1);
    assert!(edge.passes(&found("A", State::Firing, 99, 40)));
    assert!(edge.holds(&Alert::of(fires.clone()), "g/A"));
    assert!(edge.take_left(30 + GRACE_MILLIS).0.is_empty());
    let left = edge.take_left(31 + GRACE_MILLIS).0;
    assert_eq!(left.len(), 1);
    assert!(!edge.holds(&Alert::of(fires), "g/A"));
    // A rule that is gone altogether is not waited for.
    edge.put(in_force(&["A"]), &BTreeSet::new(), 99);
    assert!(
        edge.found("n1", &said(found("B", State::Firing, 99, 99)), 99)
            .is_none()
    );
}

#[test]
fn what_the_edge_never_says_the_centre_says_late() {
    let edge = edge();
    edge.run("n1", &run(&["A"], 10), Vec::new(), 10);
    let fires = found("A", State::Firing, MINUTE, MINUTE);
    assert!(!edge.is_silent_on(&fires, 2 * MINUTE));
    assert!(edge.is_silent_on(&fires, 7 * MINUTE));
    edge.found("n1", &said(fires.clone()), MINUTE);
    assert!(!edge.is_silent_on(&fires, 7 * MINUTE));
}

#[test]
fn what_agents_run_outlives_a_restart() {
    let (store, _) = Store::open(Box::new(Memory::default())).unwrap();
    let edge = Edge::open(&store).unwrap();
    edge.put(in_force(&["A"]), &BTreeSet::new(), 0);
    let mut rows = edge.run("n1", &run(&["A"], 10), Vec::new(), 10).rows;
    let fires = found("A", State::Firing, 20, 20);
    rows.extend(edge.found("n1", &said(fires.clone()), 20).unwrap());
    for row in rows {
        store.change_state(SPACE, [(row.key, row.value)]).unwrap();
    }
    let again = Edge::open(&store).unwrap();
    again.put(in_force(&["A"]), &BTreeSet::new(), 0);
    assert!(again.holds(&Alert::of(fires), "g/A"));
    assert!(!again.passes(&found("A", State::Firing, 30, 30)));
}

#[test]
fn times_of_an_agent_whose_clock_is_ahead_are_compared_with_its_own() {
    const AHEAD: i64 = 60 * MINUTE;
    let edge = edge();
    // What the centre takes is cut to its own now; the agent's times are not.
    let say = |to, now: i64| Found {
        transition: found("A", to, now, now),
        agent_millis: now + AHEAD,
    };
    edge.run("n1", &run(&["A"], 10 + AHEAD), Vec::new(), 10);
    edge.found("n1", &say(State::Firing, 50), 50);
    // A list of before, without it.
    let late = edge.run("n1", &run(&["A"], 45 + AHEAD), Vec::new(), 51);
    assert!(late.over.is_empty());
    let fires = say(State::Firing, 50);
    edge.found("n1", &say(State::Inactive, 60), 60);
    // A list of before, with it.
    let late = edge.run("n1", &run(&["A"], 55 + AHEAD), vec![fires.clone()], 61);
    assert!(late.firing.is_empty());
    // Its clock is put right: the list counts again, in the end.
    edge.found("n1", &fires, 70);
    let soon = edge.run("n1", &run(&["A"], 80), Vec::new(), 80);
    assert!(soon.over.is_empty());
    let later = 80 + GRACE_MILLIS;
    let later = edge.run("n1", &run(&["A"], later), Vec::new(), later);
    assert_eq!(later.over.len(), 1);
}

#[test]
fn two_rules_that_find_the_same_are_kept_apart() {
    let edge = edge();
    edge.run("n1", &run(&["A", "B"], 10), Vec::new(), 10);
    let a = found("A", State::Firing, 20, 20);
    let b = Transition {
        rule: "g/B".to_owned(),
        ..a.clone()
    };
    edge.found("n1", &said(a.clone()), 20);
    edge.found("n1", &said(b), 20);
    let over = Transition {
        to: State::Inactive,
        ..a.clone()
    };
    edge.found("n1", &said(over), 30);
    assert!(!edge.holds(&Alert::of(a.clone()), "g/A"));
    assert!(edge.holds(&Alert::of(a), "g/B"));
}

#[test]
fn what_an_earlier_version_kept_by_fingerprint_is_read() {
    let (store, _) = Store::open(Box::new(Memory::default())).unwrap();
    let fires = found("A", State::Firing, 20, 20);
    let row = format!(
        r#"{{"rules":{{"g/A":10}},"firing":{{"{}":{{"rule":"g/A","at_millis":20}}}}}}"#,
        fingerprint(&fires.labels)
    );
    let row = (b"o/n1".to_vec(), Some(row.into_bytes()));
    store.change_state(SPACE, [row]).unwrap();
    let edge = Edge::open(&store).unwrap();
    assert!(edge.holds(&Alert::of(fires), "g/A"));
}
