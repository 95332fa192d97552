//! What people do to incidents.

use super::world::{MINUTE, SECOND, World, alert};
use super::{sent, words};
use crate::centre::Command;
use spec::Level;

fn down(node: &str) -> crate::Transition {
    alert("SystemDown", Level::Critical, &[("node", node)])
}

fn resolve(incident: &str) -> Command {
    Command::Resolve {
        incident: incident.to_owned(),
        note: String::new(),
    }
}

fn reopen(incident: &str) -> Command {
    Command::Reopen {
        incident: incident.to_owned(),
    }
}

fn is_open(world: &World, incident: &str) -> bool {
    world.centre.incident(incident).unwrap().is_open()
}

#[test]
fn an_incident_that_is_reopened_holds_what_fires_still() {
    let mut world = World::new();
    world.fire(&[down("a"), down("b")]);
    let id = world.only_incident();
    world.run_until(MINUTE);
    world.command(resolve(&id));
    world.run_until(2 * MINUTE);
    assert_eq!(world.centre.alerts_of(&id).count(), 0);
    world.clear(&[down("b")]);
    world.command(reopen(&id));
    assert_eq!(world.centre.alerts_of(&id).count(), 1);
    world.run_until(4 * MINUTE);
    assert!(is_open(&world, &id), "something fires");
    world.fire(&[down("c")]);
    assert_eq!(world.centre.alerts_of(&id).count(), 2, "it can be joined");
    world.clear(&[down("a"), down("c")]);
    world.run_until(6 * MINUTE);
    assert!(!is_open(&world, &id));
}

#[test]
fn an_incident_that_is_reopened_though_nothing_fires_is_soon_over() {
    let mut world = World::new();
    world.fire(&[down("a")]);
    let id = world.only_incident();
    world.command(resolve(&id));
    world.clear(&[down("a")]);
    world.command(reopen(&id));
    assert!(is_open(&world, &id));
    world.run_until(2 * MINUTE);
    assert!(!is_open(&world, &id));
}

#[test]
fn the_time_an_incident_was_over_before_it_was_reopened_does_not_count() {
    let mut world = World::new();
    world.fire(&[down("a")]);
    let id = world.only_incident();
    world.run_until(MINUTE);
    world.command(resolve(&id));
    world.run_until(101 * MINUTE);
    world.command(reopen(&id));
    world.run_until(103 * MINUTE);
    world.command(Command::Acknowledge {
        incident: id.clone(),
        for_millis: None,
        note: String::new(),
    });
    world.run_until(104 * MINUTE);
    world.command(resolve(&id));
    let incident = world.centre.incident(&id).unwrap();
    assert_eq!(incident.to_acknowledge_millis(), Some(3 * MINUTE));
    assert_eq!(incident.to_resolve_millis(), Some(4 * MINUTE));
}

#[test]
fn one_that_an_incident_is_given_to_is_told_and_named() {
    let mut world = World::new();
    world.fire(&[alert("Slow", Level::Medium, &[("model_name", "m")])]);
    world.run_until(MINUTE);
    let id = world.only_incident();
    world.command(Command::Assign {
        incident: id,
        to: "manager".to_owned(),
    });
    let last = world.sent.values().last().unwrap();
    assert_eq!(
        words(&world).pop(),
        Some(sent(MINUTE, "trigger", "phone +4930200"))
    );
    assert_eq!(last.1.message.assignee.as_deref(), Some("manager"));
}

fn quiet_pair(world: &mut World) -> (String, String) {
    let slow = |model| alert("Slow", Level::Critical, &[("model_name", model)]);
    world.fire(&[slow("m")]);
    world.fire(&[slow("n")]);
    let ids: Vec<_> = world.centre.incidents().map(|it| it.id.clone()).collect();
    world.run_until(SECOND);
    world.clear(&[slow("m"), slow("n")]);
    (ids[0].clone(), ids[1].clone())
}

#[test]
fn two_quiet_incidents_that_are_merged_are_over() {
    let mut world = World::new();
    let (from, into) = quiet_pair(&mut world);
    world.run_until(10 * SECOND);
    world.command(Command::Merge {
        from,
        into: into.clone(),
    });
    world.run_until(2 * MINUTE);
    assert!(!is_open(&world, &into));
}

#[test]
fn what_belonged_to_a_merged_incident_belongs_to_the_other() {
    let mut world = World::new();
    let slow = |node| {
        alert(
            "Slow",
            Level::Critical,
            &[("model_name", "m"), ("node", node)],
        )
    };
    world.fire(&[alert("Slow", Level::Critical, &[("model_name", "n")])]);
    let into = world.only_incident();
    world.fire(&[slow("a")]);
    let from = world.centre.incidents().last().unwrap().id.clone();
    assert_ne!(from, into);
    world.command(Command::Merge {
        from,
        into: into.clone(),
    });
    world.fire(&[slow("b")]);
    assert_eq!(world.centre.alerts_of(&into).count(), 3);
}

#[test]
fn what_is_acknowledged_and_escalated_by_hand_does_not_climb_on() {
    let mut world = World::new();
    world.fire(&[down("a")]);
    let id = world.only_incident();
    world.command(Command::Acknowledge {
        incident: id.clone(),
        for_millis: Some(100 * MINUTE),
        note: String::new(),
    });
    world.run_until(MINUTE);
    world.command(Command::Escalate { incident: id });
    world.run_until(99 * MINUTE);
    assert_eq!(
        words(&world).split_off(6),
        [sent(MINUTE, "escalate level_2", "phone +4930200")]
    );
    world.run_until(100 * MINUTE);
    let last = words(&world).pop();
    assert_eq!(
        last,
        Some(sent(100 * MINUTE, "escalate level_3", "phone +4930300"))
    );
}
