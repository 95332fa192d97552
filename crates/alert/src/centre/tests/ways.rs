//! Which way a word takes.

use super::world::{MINUTE, World, alert, routes};
use super::{sent, words};
use spec::Level;

#[test]
fn a_first_word_in_a_digest_that_is_refused_goes_another_way() {
    let mut routes = routes();
    routes.digests.insert(Level::Medium, MINUTE);
    let mut world = World::with(routes);
    for to in ["slack #oncall", "slack #ml-alerts"] {
        world.refuse(to);
    }
    for to in ["email ml-team@company.com", "email oncall@company.com"] {
        world.retry(to);
    }
    for model in ["m", "n"] {
        world.fire(&[alert("Slow", Level::Medium, &[("model_name", model)])]);
    }
    world.run_until(2 * MINUTE);
    let at = 30_000 + MINUTE;
    assert_eq!(words(&world), [sent(at, "digest 2", "webhook spare")]);
    let noted = world.centre.incidents().all(|incident| {
        let mut entries = incident.timeline.iter();
        entries.any(|it| it.what == "webhook spare is told instead")
    });
    assert!(noted);
}

#[test]
fn nobody_is_called_more_often_than_they_are_to_be() {
    use spec::Channel;
    let mut routes = routes();
    routes.timing.rate_max = 2;
    let high = routes.policy.levels.get_mut(&Level::High).unwrap();
    high.channels = vec![Channel::Phone, Channel::Pagerduty, Channel::Webhook];
    let hooks = vec!["hook".to_owned()];
    routes.policy.addresses.insert(Channel::Webhook, hooks);
    let mut world = World::with(routes);
    let slow = |n: usize| alert("Slow", Level::High, &[("model_name", &format!("m{n}"))]);
    let all: Vec<_> = (0..5).map(slow).collect();
    world.fire(&all);
    world.run_until(MINUTE);
    let count = |world: &World, kind: &str, to: &str| {
        let words = words(world).into_iter();
        words.filter(|it| it.1 == kind && it.2 == to).count()
    };
    assert_eq!(count(&world, "trigger", "phone +4930100"), 2);
    let pagerduty = "pagerduty ml-monitoring-service";
    assert_eq!(count(&world, "trigger", pagerduty), 2);
    assert_eq!(count(&world, "trigger", "webhook hook"), 5);
    world.clear(&all);
    world.run_until(3 * MINUTE);
    assert_eq!(count(&world, "resolve", pagerduty), 5);
    world.run_until(11 * MINUTE);
    assert_eq!(count(&world, "digest 3", "phone +4930100"), 1);
}

#[test]
fn a_digest_of_what_is_only_nice_to_know_takes_no_other_way() {
    let mut routes = routes();
    routes.digests.insert(Level::Medium, MINUTE);
    let mut world = World::with(routes);
    let slow = alert("Slow", Level::Medium, &[("model_name", "m")]);
    world.fire(std::slice::from_ref(&slow));
    world.run_until(3 * MINUTE);
    let before = words(&world).len();
    for to in ["slack #oncall", "slack #ml-alerts"] {
        world.refuse(to);
    }
    world.clear(&[slow]);
    world.run_until(10 * MINUTE);
    let after = words(&world).split_off(before);
    assert!(
        after.iter().all(|(.., to)| to.starts_with("email")),
        "{after:?}"
    );
    assert_eq!(after.len(), 2);
}
