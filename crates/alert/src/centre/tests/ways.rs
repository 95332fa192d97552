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
