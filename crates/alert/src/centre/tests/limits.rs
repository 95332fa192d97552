//! More than there is room for.

use super::world::{MINUTE, SECOND, World, alert};
use crate::centre::{ALERTS_MAX, Centre, OutsideAlert};
use crate::{Kind, State, Transition};
use spec::Level;

fn pod(n: usize) -> Transition {
    alert("PodDown", Level::Medium, &[("pod", &n.to_string())])
}

fn over(mut one: Transition) -> Transition {
    (one.from, one.to) = (State::Firing, State::Inactive);
    one
}

#[test]
fn the_oldest_that_are_over_of_an_open_incident_are_only_counted() {
    let mut centre = Centre::new("t", super::routes()).unwrap();
    let mut now = 0_i64;
    centre.take(vec![pod(0)], now);
    for n in 1..6000 {
        now += SECOND / 100;
        centre.take(vec![pod(n)], now);
        centre.take(vec![over(pod(n))], now);
    }
    assert_eq!(centre.alerts().count(), 5001);
    let incident = centre.incidents().next().unwrap().clone();
    assert_eq!(incident.let_go, 999);
    let firing: Vec<_> = centre.firing_of(&incident.id).collect();
    assert_eq!(firing.len(), 1);
    let message = centre.message(&incident, Kind::Update, now);
    assert_eq!((message.alerts_total, message.alerts.len()), (6000, 50));
    assert!(message.alerts[0].firing);
}

#[test]
fn where_there_is_no_room_left_that_is_said_and_counted() {
    let mut centre = Centre::new("t", super::routes()).unwrap();
    let many: Vec<_> = (0..ALERTS_MAX).map(pod).collect();
    centre.take(many, 0);
    assert_eq!(centre.refused(), 0);
    // What is over makes room.
    centre.take(vec![over(pod(1))], 1);
    centre.take(vec![pod(ALERTS_MAX)], 2);
    assert_eq!(centre.refused(), 0);
    centre.take(vec![pod(ALERTS_MAX + 1), pod(ALERTS_MAX + 2)], 3);
    assert_eq!(centre.refused(), 2);
    let refused = centre.alerts().find(|it| it.name() == "AlertsRefused");
    let id = refused.unwrap().incident.clone().unwrap();
    let due = centre.due(3);
    let told = due.iter().filter(|it| it.message.incident == id);
    assert_eq!(told.count(), 5);
}

#[test]
fn of_tests_and_digests_the_last_are_kept() {
    let mut centre = Centre::new("t", super::routes()).unwrap();
    let target = crate::Target {
        channel: spec::Channel::Webhook,
        address: "hook".to_owned(),
    };
    let mut rows = std::collections::BTreeSet::new();
    for now in 1..10_010 {
        let test = crate::centre::Command::Test {
            target: target.clone(),
        };
        let id = centre.command("me", test, now).unwrap();
        let accepted = crate::Delivery::Accepted { provider_id: None };
        centre.delivered(&id, accepted, now);
        for row in centre.changes() {
            match row.value {
                Some(_) => rows.insert(row.key),
                None => rows.remove(&row.key),
            };
        }
    }
    let kept = rows.iter().filter(|key| key.starts_with(b"h/"));
    assert_eq!(kept.count(), 10_000);
}

#[test]
fn what_is_said_again_and_again_waits_once() {
    let mut world = World::new();
    for n in 0..100 {
        world.run_until(n * SECOND);
        world.outside(vec![OutsideAlert {
            labels: [("alertname".to_owned(), "Theirs".to_owned())].into(),
            annotations: std::collections::BTreeMap::new(),
            starts_millis: 0,
            ends_millis: world.now + 5 * MINUTE,
        }]);
    }
    assert_eq!(world.centre.waits.len(), 1);
}
