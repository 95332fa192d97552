use std::collections::BTreeSet;

use alert::State;
use spec::Level;

use super::*;

const MINUTE: i64 = 60_000;

/// Transitions of one alert of a rule, at these minutes: it fires, is over, fires...
fn transitions(rule: &str, minutes: &[i64]) -> Vec<Transition> {
    let states = [State::Inactive, State::Firing].into_iter().cycle();
    let steps = states.zip(minutes);
    let one = |(from, minute): (State, &i64)| Transition {
        at_millis: minute * MINUTE,
        rule: format!("g/{rule}"),
        labels: [("alertname".to_owned(), rule.to_owned())].into(),
        annotations: BTreeMap::new(),
        level: Level::Critical,
        from,
        to: if from == State::Firing {
            State::Inactive
        } else {
            State::Firing
        },
        value: 1.0,
        active_millis: minute * MINUTE,
        sample_millis: None,
    };
    steps.map(one).collect()
}

/// What would have been of transitions within an hour.
fn rehearsal(mut transitions: Vec<Transition>) -> Rehearsal {
    transitions.sort_by_key(|it| it.at_millis);
    let book = Book::read(&crate::Config::default(), &[]).unwrap();
    rehearse(&transitions, book.routes, 60 * MINUTE).unwrap()
}

/// Incidents of rules from and to these minutes, as they were judged.
fn judged(all: &[(&str, i64, i64, Verdict)]) -> Vec<Incident> {
    let mut incidents = Vec::new();
    for (rule, from, to, verdict) in all {
        let mut one = rehearsal(transitions(rule, &[*from, *to]))
            .incidents
            .remove(0);
        one.resolved_millis = Some(to * MINUTE);
        one.verdict = Some((
            *verdict,
            alert::Said {
                by: "a person".to_owned(),
                at_millis: 0,
                note: String::new(),
            },
        ));
        incidents.push(one);
    }
    incidents
}

#[test]
fn precision_and_recall_are_against_incidents_that_people_have_judged() {
    use Verdict::{False, True};
    let would_be = rehearsal(
        [
            transitions("Hot", &[2, 5]),
            transitions("Full", &[10, 12]),
            transitions("Slow", &[30, 32]),
        ]
        .concat(),
    );
    assert_eq!(would_be.incidents.len(), 3);
    for (was, precision, recall) in [
        (&[][..], None, None),
        (&[("Hot", 1, 4, True)], Some(1.0), Some(1.0)),
        // Another time, and another rule.
        (
            &[("Hot", 20, 25, True), ("Cold", 2, 5, True)],
            None,
            Some(0.0),
        ),
        (
            &[("Hot", 1, 4, True), ("Full", 11, 20, False)],
            Some(0.5),
            Some(1.0),
        ),
        (&[("Full", 11, 20, False)], Some(0.0), None),
        (
            &[
                ("Hot", 1, 4, True),
                ("Cold", 2, 5, True),
                ("Slow", 31, 40, True),
            ],
            Some(1.0),
            Some(2.0 / 3.0),
        ),
    ] {
        assert_eq!(
            against(&would_be, &judged(was)),
            (precision, recall),
            "{was:?}"
        );
    }
    // One that is not over yet is the same as one at any time after.
    let mut open = judged(&[("Full", 1, 4, True)]);
    open[0].resolved_millis = None;
    assert_eq!(against(&would_be, &open), (Some(1.0), Some(1.0)));
}

#[test]
fn the_time_that_alerts_fire_counts_to_the_end() {
    let found = [transitions("A", &[1, 3, 10]), transitions("B", &[2, 3])].concat();
    let seconds = firing_seconds(&found, 12 * MINUTE);
    assert!((seconds - 300.0).abs() < 1e-9, "{seconds}");
}

#[test]
fn what_was_held_is_told_once_with_the_reason() {
    use alert::rules::{Held, Why};
    let held = |minute: i64, why: Why| {
        let rule = "g/R".to_owned();
        (Timestamp::from_millis(minute * MINUTE), Held { rule, why })
    };
    let few = Why::Incomplete {
        is: 0.5,
        least: 0.9,
    };
    let mut found = Backtest {
        held: vec![held(1, few), held(2, few), held(2, Why::Partial)],
        ..Backtest::default()
    };
    assert_eq!(
        troubles(&found),
        [
            "from 1970-01-01T00:01:00Z on: g/R held: 50% of the nodes have told, 90% are asked for",
            "from 1970-01-01T00:02:00Z on: g/R held: the answer is known to lack something",
        ]
    );
    let many = (0..30).map(|alerts| held(3, Why::Missing { alerts }));
    found.held = many.collect();
    let told = troubles(&found);
    let unlike: BTreeSet<&String> = told.iter().collect();
    assert_eq!(
        (told.len(), unlike.len()),
        (TROUBLES_MAX + 1, TROUBLES_MAX + 1)
    );
    assert_eq!(told[TROUBLES_MAX], "10 more that are not named");
}
