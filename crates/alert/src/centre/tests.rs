//! From an alert to people under a virtual clock: the levels of the specification, crashes at every
//! step, a site that is lost.

mod hands;
mod joins;
mod limits;
mod rules;
mod silences;
mod ways;
mod world;

use crate::centre::{Centre, Command};
use crate::{Delivery, Kind, Standing, Verdict};
use spec::{Channel, Level};
use world::{MINUTE, SECOND, World, alert, routes};

fn words(world: &World) -> Vec<(i64, String, String)> {
    world.sent_words()
}

fn sent(at: i64, kind: &str, to: &str) -> (i64, String, String) {
    (at, kind.to_owned(), to.to_owned())
}

#[test]
fn alert_levels_critical_is_paged_at_once_and_climbs_the_ladder() {
    let mut world = World::new();
    world.fire(&[alert("SystemDown", Level::Critical, &[("node", "a")])]);
    world.run_until(200 * MINUTE);
    let first = [
        sent(0, "trigger", "email ml-team@company.com"),
        sent(0, "trigger", "email oncall@company.com"),
        sent(0, "trigger", "pagerduty ml-monitoring-service"),
        sent(0, "trigger", "phone +4930100"),
        sent(0, "trigger", "sms +4930100"),
    ];
    let manager = |at| sent(at, "escalate level_2", "phone +4930200");
    let emergency = |at| sent(at, "escalate level_3", "phone +4930300");
    let mut expected = first.to_vec();
    expected.extend([
        manager(5 * MINUTE),
        emergency(20 * MINUTE),
        emergency(80 * MINUTE),
        emergency(140 * MINUTE),
        emergency(200 * MINUTE),
    ]);
    assert_eq!(words(&world), expected);
}

#[test]
fn alert_levels_high_is_told_and_those_told_are_reminded_once() {
    let mut world = World::new();
    world.fire(&[alert("ErrorsHigh", Level::High, &[("model_name", "m")])]);
    world.run_until(100 * MINUTE);
    let targets = [
        "email ml-team@company.com",
        "email oncall@company.com",
        "slack #ml-alerts",
        "slack #oncall",
    ];
    let told = targets.map(|target| sent(5 * SECOND, "trigger", target));
    let reminded = targets.map(|target| sent(5 * SECOND + 5 * MINUTE, "remind", target));
    assert_eq!(words(&world), [told, reminded].concat());
    assert!(world.centre.incidents().all(|incident| incident.overdue));
}

#[test]
fn alert_levels_medium_is_told_once_and_low_comes_in_a_digest() {
    let mut world = World::new();
    world.fire(&[alert("CpuHigh", Level::Medium, &[("node", "a")])]);
    world.fire(&[alert("CertificateOld", Level::Low, &[("node", "b")])]);
    world.run_until(3 * 60 * MINUTE);
    let targets = [
        "email ml-team@company.com",
        "email oncall@company.com",
        "slack #ml-alerts",
        "slack #oncall",
    ];
    let mut expected = targets.map(|to| sent(30 * SECOND, "trigger", to)).to_vec();
    let hour = 60 * MINUTE + 30 * SECOND;
    expected.extend(targets[..2].iter().map(|to| sent(hour, "digest 1", to)));
    assert_eq!(words(&world), expected);
    let overdue: Vec<bool> = world.centre.incidents().map(|it| it.overdue).collect();
    assert_eq!(overdue, [true, true], "that nobody answered can be seen");
}

#[test]
fn an_acknowledgement_stops_the_ladder_until_it_runs_out() {
    let mut world = World::new();
    world.fire(&[alert("SystemDown", Level::Critical, &[("node", "a")])]);
    world.run_until(MINUTE);
    let id = world.only_incident();
    world.command(Command::Acknowledge {
        incident: id.clone(),
        for_millis: Some(30 * MINUTE),
        note: String::new(),
    });
    world.run_until(30 * MINUTE);
    let after = |world: &World| words(world).split_off(5);
    assert_eq!(
        after(&world),
        [sent(
            MINUTE,
            "acknowledge",
            "pagerduty ml-monitoring-service"
        )]
    );
    world.run_until(32 * MINUTE);
    assert_eq!(
        after(&world)[1..],
        [sent(31 * MINUTE, "escalate level_2", "phone +4930200")]
    );
    world.clear(&[alert("SystemDown", Level::Critical, &[("node", "a")])]);
    world.run_until(40 * MINUTE);
    let last: Vec<_> = after(&world).split_off(2);
    assert!(last.iter().all(|(at, kind, to)| {
        (*at, kind.as_str()) == (33 * MINUTE, "resolve") && !to.starts_with("phone")
    }));
    assert_eq!(last.len(), 4, "{last:?}");
    let incident = world.centre.incident(&id).unwrap();
    assert_eq!(incident.standing, Standing::Resolved);
    assert_eq!(incident.to_acknowledge_millis(), Some(MINUTE));
    assert_eq!(incident.to_resolve_millis(), Some(33 * MINUTE));
}

/// A run with all that can happen in it.
fn long_run(crash_at: Option<usize>) -> (Vec<String>, World) {
    let mut world = World::new();
    world.crash_at = crash_at;
    world.refuse("phone +4930100");
    world.fire(&[alert("SystemDown", Level::Critical, &[("node", "a")])]);
    world.run_until(2 * MINUTE);
    world.fire(&[alert("CpuHigh", Level::Medium, &[("node", "a")])]);
    world.run_until(21 * MINUTE);
    let id = world.only_incident();
    world.command(Command::Acknowledge {
        incident: id,
        for_millis: Some(10 * MINUTE),
        note: "looking".to_owned(),
    });
    world.run_until(40 * MINUTE);
    world.clear(&[
        alert("SystemDown", Level::Critical, &[("node", "a")]),
        alert("CpuHigh", Level::Medium, &[("node", "a")]),
    ]);
    world.run_until(42 * MINUTE);
    world.fire(&[alert("SystemDown", Level::Critical, &[("node", "a")])]);
    world.run_until(120 * MINUTE);
    let sent = world.sent.values().map(|(at, it)| {
        format!(
            "{at} {} {} {} {} {}",
            it.id,
            it.target.channel.as_str(),
            it.target.address,
            serde_json::to_string(&it.message.kind).unwrap(),
            it.message.alerts_total
        )
    });
    (sent.collect(), world)
}

#[test]
fn a_crash_at_any_step_neither_skips_nor_repeats_a_word() {
    let (expected, world) = long_run(None);
    assert!(expected.len() > 15, "{expected:#?}");
    let steps = world.steps;
    assert!(steps > 60, "{steps}");
    for at in 0..steps {
        let (sent, world) = long_run(Some(at));
        assert!(world.crashed, "step {at} of {steps}");
        assert_eq!(sent, expected, "crash at step {at} of {steps}");
        assert!(world.repeated <= world.under_way_at_crash, "crash at {at}");
    }
}

#[test]
fn a_lost_site_is_one_incident_and_one_page_with_a_list() {
    let mut world = World::new();
    let alerts: Vec<_> = (0..5000)
        .map(|n| {
            let node = format!("eu-{}", n / 10);
            let rule = format!("Rule{}", n % 10);
            alert(&rule, Level::Critical, &[("region", "eu"), ("node", &node)])
        })
        .collect();
    for part in alerts.chunks(1000) {
        world.fire(part);
    }
    world.run_until(4 * MINUTE);
    let id = world.only_incident();
    let pages = words(&world)
        .into_iter()
        .filter(|(_, kind, _)| kind == "trigger");
    assert_eq!(pages.count(), 5, "one for each way the level has");
    assert_eq!(words(&world).len(), 5);
    world.run_until(5 * MINUTE);
    let update = world
        .sent
        .values()
        .find(|(_, it)| it.message.kind == Kind::Update);
    let (_, update) = update.unwrap();
    assert_eq!(update.message.alerts_total, 5000);
    assert_eq!(update.message.alerts.len(), 50);
    assert_eq!(world.centre.alerts_of(&id).count(), 5000);
    let reasons: std::collections::BTreeSet<_> = world
        .centre
        .alerts_of(&id)
        .filter_map(|alert| Some(alert.joined.as_ref()?.reason.split(' ').next()?.to_owned()))
        .collect();
    assert!(
        reasons.contains("rule") && reasons.contains("node"),
        "{reasons:?}"
    );
}

#[test]
fn what_depends_on_something_lost_is_not_told_of_until_that_is_back() {
    let mut routes = routes();
    routes.inhibitions = vec![crate::Inhibition::dependency("NodeDown", "ServerDown")];
    let mut world = World::with(routes);
    let server = |node| {
        alert(
            "ServerDown",
            Level::Critical,
            &[("node", node), ("model_name", "m")],
        )
    };
    let down = alert("NodeDown", Level::Critical, &[("node", "a")]);
    world.fire(&[server("a"), down.clone(), server("b")]);
    world.run_until(10 * SECOND);
    let held: Vec<_> = world
        .centre
        .alerts()
        .filter(|alert| alert.held.is_some())
        .collect();
    assert_eq!(held.len(), 1);
    assert_eq!(held[0].labels["node"], "a");
    let lists: Vec<_> = world
        .sent
        .values()
        .map(|(_, it)| it.message.suppressed_total)
        .collect();
    assert!(
        lists.contains(&1),
        "the page of the parent says how many it holds back"
    );
    world.clear(&[down]);
    world.run_until(30 * SECOND);
    assert_eq!(
        world
            .centre
            .alerts()
            .filter(|alert| alert.held.is_some())
            .count(),
        1
    );
    world.run_until(90 * SECOND);
    assert_eq!(
        world
            .centre
            .alerts()
            .filter(|alert| alert.held.is_some())
            .count(),
        0
    );
}

#[test]
fn a_silence_holds_new_words_back_and_its_end_lets_them_go() {
    let mut world = World::new();
    let silence = world.command(Command::Silence {
        conditions: vec![crate::Condition::parse("node=a").unwrap()],
        starts_millis: 0,
        ends_millis: 10 * MINUTE,
        maintenance: true,
        comment: "new disk".to_owned(),
    });
    world.fire(&[alert("SystemDown", Level::Critical, &[("node", "a")])]);
    world.run_until(9 * MINUTE);
    assert_eq!(words(&world), []);
    assert_eq!(world.centre.silences().next().unwrap().id, silence);
    world.run_until(10 * MINUTE);
    assert_eq!(words(&world).len(), 5);
    assert_eq!(world.centre.silences().count(), 0);
}

#[test]
fn one_who_cannot_be_reached_is_reached_another_way() {
    let mut world = World::new();
    world.retry("pagerduty ml-monitoring-service");
    world.fire(&[alert("SystemDown", Level::Critical, &[("node", "a")])]);
    world.run_until(MINUTE);
    assert_eq!(words(&world).len(), 4);
    world.run_until(7 * MINUTE);
    let hook = words(&world)
        .into_iter()
        .find(|(.., to)| to == "webhook spare");
    let (at, kind, _) = hook.unwrap();
    assert_eq!(kind, "trigger");
    assert!((5 * MINUTE..7 * MINUTE).contains(&at), "{at}");
}

#[test]
fn what_nobody_was_told_of_is_told_when_new_routes_tell_it() {
    let mut silent = routes();
    silent.policy.levels.remove(&Level::High);
    silent.policy.addresses.clear();
    silent.policy.ladder.clear();
    let mut world = World::with(silent);
    world.fire(&[alert("ErrorsHigh", Level::High, &[("model_name", "m")])]);
    world.fire(&[alert("SystemDown", Level::Critical, &[("node", "a")])]);
    world.run_until(MINUTE);
    assert_eq!(words(&world), []);
    world.reroute(routes());
    world.run_until(MINUTE + 10 * SECOND);
    let told = |at, name: &str| {
        words(&world)
            .iter()
            .filter(|it| it.0 == at && it.1 == name)
            .count()
    };
    assert_eq!(
        (
            told(MINUTE, "trigger"),
            told(MINUTE + 5 * SECOND, "trigger")
        ),
        (5, 4)
    );
    world.reroute(routes());
    world.run_until(2 * MINUTE);
    assert_eq!(words(&world).len(), 9, "what was said is said");
}

#[test]
fn verdicts_make_the_precision_of_rules() {
    let mut world = World::new();
    for (n, verdict) in [
        Verdict::True,
        Verdict::False,
        Verdict::True,
        Verdict::Expected,
    ]
    .into_iter()
    .enumerate()
    {
        let one = alert(
            "ErrorsHigh",
            Level::High,
            &[("model_name", &format!("m{n}"))],
        );
        world.fire(std::slice::from_ref(&one));
        world.clear(&[one]);
        world.run_until(world.now + 5 * MINUTE);
        let last = world
            .centre
            .incidents()
            .map(|it| it.id.clone())
            .max()
            .unwrap();
        world.command(Command::Verdict {
            incident: last,
            verdict,
            note: String::new(),
        });
    }
    let records = world.centre.records(0);
    let record = &records["ErrorsHigh"];
    assert_eq!(record.incidents, 4);
    assert_eq!(record.precision(), Some(2.0 / 3.0));
}

#[test]
fn an_alert_that_comes_and_goes_is_one_incident() {
    let mut world = World::new();
    let one = alert("SystemDown", Level::Critical, &[("node", "a")]);
    for _ in 0..8 {
        world.fire(std::slice::from_ref(&one));
        world.run_until(world.now + 2 * MINUTE);
        world.clear(std::slice::from_ref(&one));
        world.run_until(world.now + 2 * MINUTE);
    }
    let id = world.only_incident();
    let incident = world.centre.incident(&id).unwrap();
    // Opened again thrice; then it counts as flapping and stays open.
    assert_eq!(incident.reopened, 3);
    assert!(incident.is_open());
    assert!(
        incident
            .timeline
            .iter()
            .any(|it| it.what.contains("comes and goes"))
    );
    world.run_until(world.now + 20 * MINUTE);
    assert!(!world.centre.incident(&id).unwrap().is_open());
}

#[test]
fn too_many_words_for_one_reader_become_a_digest() {
    let mut routes = routes();
    routes.timing.rate_max = 3;
    let mut world = World::with(routes);
    for n in 0..10 {
        let model = format!("m{n}");
        world.fire(&[alert("ErrorsHigh", Level::High, &[("model_name", &model)])]);
    }
    world.run_until(12 * MINUTE);
    let to_slack: Vec<_> = words(&world)
        .into_iter()
        .filter(|(.., to)| to == "slack #oncall")
        .map(|(at, kind, _)| (at, kind))
        .collect();
    assert_eq!(
        to_slack,
        [
            (5 * SECOND, "trigger".to_owned()),
            (5 * SECOND, "trigger".to_owned()),
            (5 * SECOND, "trigger".to_owned()),
            (5 * SECOND + 10 * MINUTE, "digest 17".to_owned()),
        ],
        "seven that were new, and ten reminders"
    );
}

#[test]
fn what_other_programs_say_is_over_when_they_stop_saying_it() {
    let mut world = World::new();
    let outside = |ends_millis| crate::centre::OutsideAlert {
        labels: [("alertname", "Theirs"), ("severity", "critical")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        annotations: std::collections::BTreeMap::new(),
        starts_millis: 0,
        ends_millis,
    };
    world.outside(vec![outside(5 * MINUTE)]);
    world.run_until(3 * MINUTE);
    world.outside(vec![outside(8 * MINUTE)]);
    world.run_until(6 * MINUTE);
    let id = world.only_incident();
    assert!(world.centre.incident(&id).unwrap().is_open());
    world.run_until(10 * MINUTE);
    assert!(!world.centre.incident(&id).unwrap().is_open());
}

#[test]
fn what_cannot_be_done_is_refused_with_the_reason() {
    let mut centre = Centre::new("t", routes()).unwrap();
    let acknowledge = |incident: &str| Command::Acknowledge {
        incident: incident.to_owned(),
        for_millis: None,
        note: String::new(),
    };
    let error = centre.command("me", acknowledge("t9"), 0).unwrap_err();
    assert_eq!(error.to_string(), "there is no incident \"t9\"");
    let target = crate::Target {
        channel: Channel::Email,
        address: "a@b".to_owned(),
    };
    let id = centre.command("me", Command::Test { target }, 0).unwrap();
    let due = centre.due(0);
    assert_eq!((due.len(), due[0].id.as_str()), (1, id.as_str()));
    let accepted = Delivery::Accepted { provider_id: None };
    centre.delivered(&id, accepted, 1);
    assert_eq!(centre.due(2), []);
}

#[test]
fn a_rehearsal_says_what_a_live_run_says() {
    let fire = |at_millis, mut one: crate::Transition| {
        one.at_millis = at_millis;
        one
    };
    let over = |at_millis, one| crate::Transition {
        from: crate::State::Firing,
        to: crate::State::Inactive,
        ..fire(at_millis, one)
    };
    let down = || alert("SystemDown", Level::Critical, &[("node", "a")]);
    let slow = || alert("Slow", Level::High, &[("model_name", "m")]);
    let transitions = [
        fire(MINUTE, down()),
        fire(2 * MINUTE, slow()),
        over(7 * MINUTE, down()),
        over(8 * MINUTE, slow()),
    ];
    let rehearsal = crate::rehearse(&transitions, routes(), 60 * MINUTE).unwrap();
    let mut world = World::new();
    for transition in &transitions {
        world.run_until(transition.at_millis);
        let one = std::slice::from_ref(transition);
        if transition.to == crate::State::Firing {
            world.fire(one);
        } else {
            world.clear(one);
        }
    }
    world.run_until(60 * MINUTE);
    assert_eq!(rehearsal.notifications, world.sent.len() as u64);
    assert_eq!(rehearsal.incidents.len(), world.centre.incidents().count());
    assert_eq!(rehearsal.incidents.len(), 2);
}

#[test]
fn a_silence_over_an_open_incident_holds_its_escalation() {
    let mut world = World::new();
    world.fire(&[alert("SystemDown", Level::Critical, &[("node", "a")])]);
    world.run_until(MINUTE);
    world.command(Command::Silence {
        conditions: vec![crate::Condition::parse("node=a").unwrap()],
        starts_millis: MINUTE,
        ends_millis: 30 * MINUTE,
        maintenance: false,
        comment: "we know".to_owned(),
    });
    world.run_until(29 * MINUTE);
    assert_eq!(words(&world).len(), 5);
    world.run_until(30 * MINUTE);
    assert_eq!(
        words(&world).split_off(5),
        [sent(30 * MINUTE, "escalate level_2", "phone +4930200")]
    );
}

#[test]
fn what_is_not_over_is_said_again_after_hours() {
    let mut world = World::new();
    world.fire(&[alert("CpuHigh", Level::Medium, &[("node", "a")])]);
    world.run_until(9 * 60 * MINUTE);
    let to_slack: Vec<_> = words(&world)
        .into_iter()
        .filter(|(.., to)| to == "slack #oncall")
        .map(|(at, kind, _)| (at, kind))
        .collect();
    let hours = |hours: i64| 30 * SECOND + hours * 60 * MINUTE;
    assert_eq!(
        to_slack,
        [
            (hours(0), "trigger".to_owned()),
            (hours(4), "update".to_owned()),
            (hours(8), "update".to_owned()),
        ]
    );
}

#[test]
fn a_row_under_another_key_is_damaged_and_its_own_is_not() {
    let mut centre = Centre::new("abcd", routes()).unwrap();
    centre.take(
        vec![alert("SystemDown", Level::Critical, &[("node", "a")])],
        0,
    );
    centre.tick(MINUTE);
    let rows = centre.changes().into_iter();
    let rows = rows.filter_map(|row| Some((row.key, row.value?)));
    // There is one row of numbers, and it does not say its key.
    let rows: Vec<_> = rows.filter(|(key, _)| !key.starts_with(b"c")).collect();
    let kinds: Vec<u8> = rows.iter().map(|(key, _)| key[0]).collect();
    assert!(b"ain".iter().all(|kind| kinds.contains(kind)), "{kinds:?}");
    for (key, value) in rows {
        let damaged = |key: &[u8]| {
            let mut centre = Centre::new("abcd", routes()).unwrap();
            centre.restore([(key.to_vec(), value.clone())]).len()
        };
        assert_eq!(damaged(&key), 0);
        assert_eq!(damaged(&[&key[..], b"0"].concat()), 1);
    }
}
