//! How long an incident can be joined.

use super::words;
use super::world::{MINUTE, SECOND, World, alert};
use crate::centre::Command;
use spec::Level;

const WEEK: i64 = 7 * 24 * 60 * MINUTE;

fn down(node: &str) -> crate::Transition {
    alert("SystemDown", Level::Critical, &[("node", node)])
}

fn triggers_since(world: &World, since: i64) -> usize {
    let words = words(world).into_iter();
    words
        .filter(|(at, kind, _)| *at >= since && kind == "trigger")
        .count()
}

#[test]
fn a_failure_three_weeks_later_is_an_incident_of_its_own() {
    let mut world = World::new();
    world.fire(&[down("a")]);
    world.run_until(MINUTE);
    let first = world.only_incident();
    world.command(Command::Acknowledge {
        incident: first.clone(),
        for_millis: Some(8 * WEEK),
        note: String::new(),
    });
    world.run_until(5 * MINUTE);
    world.fire(&[down("b")]);
    assert_eq!(world.only_incident(), first, "within ten minutes it joins");
    world.run_until(3 * WEEK);
    world.fire(&[down("c")]);
    world.fire(&[down("d")]);
    world.run_until(3 * WEEK + SECOND);
    assert_eq!(triggers_since(&world, 3 * WEEK), 5);
    let incidents: Vec<_> = world.centre.incidents().map(|it| &it.id).collect();
    assert_eq!(incidents.len(), 2, "d joins c: {incidents:?}");
    assert_eq!(world.centre.alerts_of(incidents[1]).count(), 2);
}

#[test]
fn one_that_fires_again_weeks_later_is_told_though_its_incident_is_open() {
    let mut world = World::new();
    world.fire(&[down("a"), down("b")]);
    world.run_until(MINUTE);
    let first = world.only_incident();
    world.command(Command::Acknowledge {
        incident: first.clone(),
        for_millis: Some(8 * WEEK),
        note: String::new(),
    });
    world.clear(&[down("b")]);
    world.run_until(5 * MINUTE);
    world.fire(&[down("b")]);
    world.clear(&[down("b")]);
    assert_eq!(world.only_incident(), first, "soon again is the same");
    world.run_until(3 * WEEK);
    world.fire(&[down("b")]);
    assert_eq!(triggers_since(&world, 3 * WEEK), 5);
    assert_eq!(world.centre.incidents().count(), 2);
    assert_eq!(world.centre.alerts_of(&first).count(), 1);
}
