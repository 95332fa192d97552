//! Several rules that find the same thing.

use super::world::{MINUTE, World, alert};
use crate::Transition;
use crate::centre::OutsideAlert;
use spec::Level;

/// The same alert by a rule of its own for each level.
fn by(level: Level) -> Transition {
    Transition {
        rule: format!("disks/{level}"),
        ..alert("DiskFull", level, &[("node", "a")])
    }
}

fn firing(world: &World) -> Vec<(&str, Level)> {
    let alerts = world.centre.alerts().filter(|alert| alert.firing);
    alerts.map(|it| (it.rule.as_str(), it.level)).collect()
}

#[test]
fn what_is_over_by_one_rule_fires_by_the_other() {
    let mut world = World::new();
    world.fire(&[by(Level::Medium)]);
    world.run_until(MINUTE);
    world.fire(&[by(Level::Critical)]);
    assert_eq!(firing(&world), [("disks/critical", Level::Critical)]);
    let id = world.only_incident();
    assert_eq!(world.centre.incident(&id).unwrap().level, Level::Critical);
    world.fire(&[by(Level::Medium)]);
    assert_eq!(firing(&world), [("disks/critical", Level::Critical)]);
    world.clear(&[by(Level::Critical)]);
    assert_eq!(firing(&world), [("disks/medium", Level::Medium)]);
    world.run_until(10 * MINUTE);
    assert!(world.centre.incident(&id).unwrap().is_open());
    world.clear(&[by(Level::Critical)]);
    assert_eq!(firing(&world).len(), 1);
    world.clear(&[by(Level::Medium)]);
    assert_eq!(firing(&world), []);
    world.run_until(12 * MINUTE);
    assert!(!world.centre.incident(&id).unwrap().is_open());
}

#[test]
fn a_milder_rule_that_is_over_leaves_the_alert_to_the_other() {
    let mut world = World::new();
    world.fire(&[by(Level::Critical), by(Level::Medium)]);
    world.clear(&[by(Level::Medium)]);
    assert_eq!(firing(&world), [("disks/critical", Level::Critical)]);
    world.clear(&[by(Level::Critical)]);
    assert_eq!(firing(&world), []);
}

#[test]
fn one_that_was_not_worth_a_word_is_told_when_a_worse_rule_finds_it() {
    let mut routes = super::routes();
    routes.policy.levels.remove(&Level::Medium);
    let mut world = World::with(routes);
    world.fire(&[by(Level::Medium)]);
    assert_eq!(world.centre.incidents().count(), 0);
    world.fire(&[by(Level::Critical)]);
    world.only_incident();
    assert_eq!(super::words(&world).len(), 5);
}

#[test]
fn another_program_does_not_end_what_a_rule_finds() {
    let mut world = World::new();
    world.fire(&[by(Level::Critical)]);
    let said = |ends_millis| OutsideAlert {
        labels: by(Level::Critical).labels,
        annotations: std::collections::BTreeMap::new(),
        starts_millis: 0,
        ends_millis,
    };
    world.outside(vec![said(5 * MINUTE)]);
    world.clear(&[by(Level::Critical)]);
    assert_eq!(firing(&world), [("", Level::Medium)]);
    world.fire(&[by(Level::Critical)]);
    world.run_until(6 * MINUTE);
    assert_eq!(firing(&world), [("disks/critical", Level::Critical)]);
    world.clear(&[by(Level::Critical)]);
    assert_eq!(firing(&world), []);
}

#[test]
fn settling_ends_an_alert_by_the_rule_that_is_gone() {
    let mut world = World::new();
    world.fire(&[by(Level::Critical), by(Level::Medium)]);
    let holds = |_: &crate::Alert, rule: &str| rule == "disks/medium";
    world.centre.settle(Vec::new(), &holds, world.now);
    assert_eq!(firing(&world), [("disks/medium", Level::Medium)]);
    world.centre.settle(Vec::new(), &|_, _| false, world.now);
    assert_eq!(firing(&world), []);
}
