//! Silences over incidents that are open, and their end before its time.

use super::world::{MINUTE, SECOND, World, alert};
use super::{sent, words};
use crate::centre::Command;
use spec::Level;

fn silence_node_a(world: &mut World, minutes: i64) -> String {
    world.command(Command::Silence {
        conditions: vec![crate::Condition::parse("node=a").unwrap()],
        starts_millis: world.now,
        ends_millis: world.now + minutes * MINUTE,
        maintenance: false,
        comment: "we know".to_owned(),
    })
}

#[test]
fn a_silence_that_is_ended_early_holds_no_escalation() {
    let mut world = World::new();
    world.fire(&[alert("SystemDown", Level::Critical, &[("node", "a")])]);
    world.run_until(MINUTE);
    let silence = silence_node_a(&mut world, 600);
    world.run_until(10 * MINUTE);
    assert_eq!(words(&world).len(), 5);
    world.command(Command::Unsilence { silence });
    world.run_until(11 * MINUTE);
    assert_eq!(
        words(&world).split_off(5),
        [sent(10 * MINUTE, "escalate level_2", "phone +4930200")]
    );
}

#[test]
fn a_silence_that_is_ended_before_anything_is_due_moves_nothing() {
    let mut world = World::new();
    world.fire(&[alert("SystemDown", Level::Critical, &[("node", "a")])]);
    world.run_until(MINUTE);
    let silence = silence_node_a(&mut world, 600);
    world.run_until(2 * MINUTE);
    world.command(Command::Unsilence { silence });
    world.run_until(6 * MINUTE);
    assert_eq!(
        words(&world).split_off(5),
        [sent(5 * MINUTE, "escalate level_2", "phone +4930200")]
    );
}

#[test]
fn the_first_word_comes_when_a_silence_is_ended_early() {
    let mut world = World::new();
    world.fire(&[alert("ErrorsHigh", Level::High, &[("node", "a")])]);
    let silence = silence_node_a(&mut world, 600);
    world.run_until(MINUTE);
    assert_eq!(words(&world), []);
    world.command(Command::Unsilence { silence });
    let at = words(&world).into_iter().map(|(at, ..)| at);
    assert_eq!(at.collect::<Vec<_>>(), [MINUTE; 4]);
}

#[test]
fn one_that_is_not_silenced_lets_a_silenced_incident_speak() {
    let mut world = World::new();
    world.fire(&[alert("SystemDown", Level::Critical, &[("node", "a")])]);
    world.run_until(MINUTE);
    silence_node_a(&mut world, 600);
    world.run_until(7 * MINUTE);
    assert_eq!(words(&world).len(), 5);
    world.fire(&[alert("SystemDown", Level::Critical, &[("node", "b")])]);
    world.run_until(7 * MINUTE + SECOND);
    assert_eq!(
        words(&world).split_off(5),
        [sent(7 * MINUTE, "escalate level_2", "phone +4930200")]
    );
}
