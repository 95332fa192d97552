//! Rules at the edge: at once when connected, also when cut off, and never twice.

use std::time::Duration;

use process_tests::agent::{Agent, NO_COLLECTORS};
use process_tests::ask::{channel, events, vedette};
use process_tests::coordinator::Coordinator;
use process_tests::hook::{Call, Hook};
use process_tests::jump::{Jump, METRIC};
use process_tests::proxy::{Network, Proxy};
use process_tests::{SOON, now_millis, within};
use tempfile::TempDir;

/// Collection of the agents here.
const COLLECT: Duration = Duration::from_secs(1);
/// From the sample to the call, on a machine that does other things besides.
const LATENCY_MAX: i64 = 5000;

struct World {
    coordinator: Coordinator,
    proxy: Proxy,
    hook: Hook,
    jump: Jump,
    agent: Agent,
    _rules: TempDir,
}

async fn coordinator(hook: &Hook) -> (Coordinator, TempDir) {
    let rules = tempfile::tempdir().unwrap();
    let text = format!(
        "groups:\n- name: g\n  interval: 1s\n  rules:\n  - alert: Jumped\n    expr: {METRIC} > 1\n    \
         level: critical\n    annotations: {{summary: 'it is up'}}\n"
    );
    std::fs::write(rules.path().join("rules.yml"), text).unwrap();
    let coordinator = Coordinator::start(&hook.setting(rules.path())).await;
    Hook::apply(&coordinator).await;
    (coordinator, rules)
}

fn agent(name: &str, coordinator: &str, jump: &Jump) -> Agent {
    let config = format!(
        "collect_interval = \"1s\"\nsync_interval = \"2s\"\n{}\n{NO_COLLECTORS}[labels]\nregion = \
         \"{name}\"\n",
        jump.setting()
    );
    Agent::start(name, coordinator, &config)
}

/// Waits until so many agents run the rules.
async fn runs(coordinator: &Coordinator, agents: f64) {
    within(SOON, "agents to run the rules", || async {
        let metric = coordinator.metric("vedette_coordinator_edge_agents").await;
        (metric == Some(agents)).then_some(())
    })
    .await;
}

async fn world() -> World {
    let hook = Hook::serve().await;
    let (coordinator, rules) = coordinator(&hook).await;
    let proxy = Proxy::to(coordinator.grpc).await;
    let jump = Jump::serve().await;
    let agent = agent("edge", &proxy.url(), &jump);
    runs(&coordinator, 1.0).await;
    World {
        coordinator,
        proxy,
        hook,
        jump,
        agent,
        _rules: rules,
    }
}

impl World {
    /// Waits until the agent keeps an event that nobody has recorded; gives how long after the sample.
    async fn fires_cut_off(&self) -> i64 {
        let before = kept(&self.agent);
        self.jump.up(1);
        within(SOON, "the alert to fire on the node", || async {
            (kept(&self.agent) > before).then_some(())
        })
        .await;
        now_millis() - self.jump.seen_millis().unwrap()
    }

    /// After all is connected again: one incident with the true beginning, and one call.
    async fn one_incident(&self, began: i64) {
        let call = within(SOON, "the call", || async { first(&self.hook, "1") }).await;
        assert_eq!(call.kind(), "trigger");
        let way = channel(&self.coordinator);
        within(SOON, "the event", || async {
            let events = events(&way, "edge").await;
            let mut kinds = events.iter().filter_map(|it| it.event.as_ref());
            kinds.find(|it| it.kind == "alert_firing").map(drop)
        })
        .await;
        // Longer than the centre takes to find it as well: its samples come within two seconds.
        tokio::time::sleep(Duration::from_secs(8)).await;
        let calls = self.hook.calls();
        assert_eq!(calls.len(), 1, "{calls:?}");
        let text = vedette(
            &self.coordinator,
            &["incidents", "--all", "--format", "json"],
        )
        .await;
        let incidents: serde_json::Value = serde_json::from_str(&text).unwrap();
        let incidents = incidents.as_array().unwrap_or_else(|| panic!("{text}"));
        assert_eq!(incidents.len(), 1, "{text}");
        let starts = parsed(&calls[0].payload["alerts"][0]["startsAt"]);
        assert!((began..began + 3000).contains(&starts), "{starts} {began}");
        self.jump.down(1);
        within(SOON, "the end", || async {
            let calls = self.hook.calls();
            calls.into_iter().find(|call| call.kind() == "resolve")
        })
        .await;
        let triggers = self.hook.calls();
        let triggers = triggers.iter().filter(|call| call.kind() == "trigger");
        assert_eq!(triggers.count(), 1);
    }
}

/// A time of the payload, in milliseconds since the Unix epoch.
fn parsed(time: &serde_json::Value) -> i64 {
    let mut date = std::process::Command::new("date");
    let date = date.args(["-u", "+%s%3N", "-d", time.as_str().unwrap()]);
    let output = String::from_utf8(date.output().unwrap().stdout).unwrap();
    output.trim().parse().unwrap()
}

/// Bytes of the events that the agent keeps.
fn kept(agent: &Agent) -> u64 {
    let files = std::fs::read_dir(agent.state_dir().join("events")).unwrap();
    let sizes = files.map(|file| file.unwrap().metadata().map_or(0, |it| it.len()));
    sizes.sum()
}

fn first(hook: &Hook, id: &str) -> Option<Call> {
    let mut calls = hook.calls().into_iter();
    calls.find(|call| call.fires("id", id))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_cut_off_fires_and_calls_once_when_it_is_back() {
    let world = world().await;
    let listed = vedette(&world.coordinator, &["rules", "--format", "json"]).await;
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    let rule = &listed[0]["rules"][0];
    assert_eq!(
        (&rule["edge"], &rule["agents"]),
        (&true.into(), &1.into()),
        "{listed}"
    );
    world.proxy.set(Network::Cut);
    tokio::time::sleep(COLLECT).await;
    let began = now_millis();
    let after = world.fires_cut_off().await;
    println!("fired {after} ms after the sample, cut off");
    assert!(after <= 2 * 1000, "{after} ms");
    tokio::time::sleep(COLLECT * 3).await;
    assert!(world.hook.calls().is_empty());
    world.proxy.set(Network::Open);
    world.one_incident(began).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_between_neither_loses_nor_repeats_an_alert() {
    let mut world = world().await;
    world.proxy.set(Network::Cut);
    let began = now_millis();
    world.fires_cut_off().await;
    world.agent.kill().await;
    world.agent.restart();
    // It runs the rules that it has kept, and what fires by them.
    tokio::time::sleep(COLLECT * 3).await;
    world.agent.kill().await;
    world.proxy.set(Network::Open);
    world.agent.restart();
    world.one_incident(began).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fired_and_ended_while_cut_off_calls_nobody() {
    let world = world().await;
    world.proxy.set(Network::Cut);
    world.fires_cut_off().await;
    let before = kept(&world.agent);
    world.jump.down(1);
    within(SOON, "the end on the node", || async {
        (kept(&world.agent) > before).then_some(())
    })
    .await;
    tokio::time::sleep(Duration::from_secs(11)).await;
    world.proxy.set(Network::Open);
    let way = channel(&world.coordinator);
    within(SOON, "both events", || async {
        let events = events(&way, "edge").await;
        let kinds = events.iter().filter_map(|it| it.event.as_ref());
        let alerts = kinds.filter(|it| it.kind.starts_with("alert_"));
        (alerts.count() == 2).then_some(())
    })
    .await;
    tokio::time::sleep(COLLECT * 3).await;
    assert!(world.hook.calls().is_empty(), "{:?}", world.hook.calls());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sample_calls_within_seconds() {
    let hook = Hook::serve().await;
    let (coordinator, _rules) = coordinator(&hook).await;
    let mut agents = Vec::new();
    for number in 0..3 {
        let jump = Jump::serve().await;
        let agent = agent(&format!("edge-{number}"), &coordinator.url(), &jump);
        agents.push((agent, jump));
    }
    runs(&coordinator, 3.0).await;
    let mut took = Vec::new();
    for round in 0..10_u64 {
        for (number, (_, jump)) in (0..).zip(&agents) {
            jump.up(round * 10 + number);
        }
        for (number, (_, jump)) in (0..).zip(&agents) {
            let id = (round * 10 + number).to_string();
            let call = within(SOON, "the call", || async { first(&hook, &id) }).await;
            took.push(call.at_millis - jump.seen_millis().unwrap());
        }
        let ends = hook
            .calls()
            .iter()
            .filter(|it| it.kind() == "resolve")
            .count();
        for (number, (_, jump)) in (0..).zip(&agents) {
            jump.down(round * 10 + number);
        }
        within(SOON, "the ends", || async {
            let calls = hook.calls();
            let resolved = calls.iter().filter(|it| it.kind() == "resolve").count();
            (resolved >= ends + agents.len()).then_some(())
        })
        .await;
    }
    took.sort_unstable();
    let (half, most) = (took[took.len() / 2], took[took.len() * 99 / 100]);
    println!(
        "{} calls, ms after the sample: p50 {half}, p99 {most}",
        took.len()
    );
    assert!(most <= LATENCY_MAX, "{took:?}");
}
