//! From a sample over a threshold to somebody who is called: Vedette, and Prometheus with Alertmanager
//! where both are on the PATH, side by side.
//!
//! A measurement of some minutes, run by `make bench-alert`.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "it measures, prints, and ends when something is not as it should be"
)]

use std::path::Path;
use std::time::Duration;

use process_tests::agent::Agent;
use process_tests::chance::Chance;
use process_tests::coordinator::Coordinator;
use process_tests::hook::Hook;
use process_tests::jump::{Jump, METRIC};
use process_tests::prometheus::{Alertmanager, Prometheus};
use process_tests::{SOON, within};

/// Starts of Prometheus, and crossings by each.
const LOTS: u64 = 6;
const CROSSINGS: u64 = 10;
/// What the agent may use of a core to run its rules.
const CPU_MAX: f64 = 0.5;

/// One who watches, and the one whom they call.
struct Side {
    name: &'static str,
    jump: Jump,
    hook: Hook,
    took: Vec<i64>,
}

impl Side {
    async fn new(name: &'static str) -> Self {
        Self {
            name,
            jump: Jump::serve().await,
            hook: Hook::serve().await,
            took: Vec::new(),
        }
    }

    async fn is_called(&mut self, id: u64) {
        let id = id.to_string();
        let call = within(SOON, "the call", || async {
            let mut calls = self.hook.calls().into_iter();
            calls.find(|call| call.fires("id", &id))
        });
        let call = call.await;
        self.took
            .push(call.at_millis - self.jump.seen_millis().unwrap());
    }

    fn row(&mut self) -> String {
        self.took.sort_unstable();
        let took = &self.took;
        let at = |percent: usize| took[(took.len() - 1) * percent / 100];
        format!(
            "| {} | {} | {} | {} | {} |",
            self.name,
            took.len(),
            at(50),
            at(99),
            at(100)
        )
    }
}

fn rule(folder: &Path, also: &str) -> String {
    let text = format!(
        "groups:\n- name: g\n  interval: 1s\n  rules:\n  - alert: Jumped\n    expr: {METRIC} > 1\n{also}"
    );
    let file = folder.join("rules.yml");
    std::fs::write(&file, text).unwrap();
    file.display().to_string()
}

async fn vedette(side: &Side, folder: &Path) -> (Coordinator, Agent) {
    rule(folder, "    level: critical\n");
    // With all rules that come with it, and all that the host says.
    let settings = side
        .hook
        .setting(folder)
        .replace("stock_rules = false\n", "");
    let coordinator = Coordinator::start(&settings).await;
    Hook::apply(&coordinator).await;
    let config = format!(
        "collect_interval = \"1s\"\nsync_interval = \"2s\"\n{}\n",
        side.jump.setting()
    );
    let agent = Agent::start("edge", &coordinator.url(), &config);
    coordinator
        .metric_reaches("vedette_coordinator_edge_agents", 1.0)
        .await;
    (coordinator, agent)
}

async fn prometheus(side: &Side, folder: &Path) -> Option<(Prometheus, Alertmanager)> {
    let rules = rule(folder, "");
    let told = Alertmanager::start(&format!(
        "route: {{receiver: hook, group_by: ['...'], group_wait: 0s, group_interval: 1s}}\n\
         receivers: [{{name: hook, webhook_configs: [{{url: {:?}, send_resolved: true}}]}}]\n",
        side.hook.url()
    ))
    .await?;
    let config = format!(
        "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [{rules:?}]\n\
         alerting: {{alertmanagers: [{{static_configs: [{{targets: [{:?}]}}]}}]}}\n\
         scrape_configs: [{{job_name: jump, static_configs: [{{targets: [{:?}]}}]}}]\n",
        told.address.to_string(),
        side.jump.address().to_string()
    );
    Some((Prometheus::start(&config).await?, told))
}

/// Seconds of CPU so far, and MiB in memory.
fn used(pid: u32) -> (f64, f64) {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    let ticks = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    let pages: f64 = fields[21].parse().unwrap();
    (ticks / 100.0, pages * 4096.0 / f64::from(1 << 20))
}

/// Seconds over which an agent is measured, and what share of a core it takes then.
async fn share(agent: &Agent) -> f64 {
    let seconds = 30;
    let before = used(agent.process().pid()).0;
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    (used(agent.process().pid()).0 - before) / seconds as f64
}

/// What an agent takes with its rules and without.
async fn costs(coordinator: &Coordinator, with: &Agent) {
    let jump = Jump::serve().await;
    let config = format!(
        "collect_interval = \"1s\"\nsync_interval = \"2s\"\n{}\n[rules]\nenabled = false\n",
        jump.setting()
    );
    let without = Agent::start("plain", &coordinator.url(), &config);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let (ruled, plain) = tokio::join!(share(with), share(&without));
    let rules = coordinator.metric("vedette_coordinator_edge_rules").await;
    let memory = |agent: &Agent| used(agent.process().pid()).1;
    println!("| an agent | CPU, % of a core | memory, MiB |\n|---|---|---|");
    let rows = [
        (
            format!("with {} rules", rules.unwrap_or_default()),
            ruled,
            with,
        ),
        ("without rules".to_owned(), plain, &without),
    ];
    for (name, cpu, agent) in rows {
        println!("| {name} | {:.2} | {:.1} |", cpu * 100.0, memory(agent));
    }
    assert!(ruled <= CPU_MAX);
}

/// One crossing, until both have called and the call of ours is over.
async fn cross(ours: &mut Side, theirs: &mut Side, id: u64, has_peers: bool) {
    ours.jump.up(id);
    theirs.jump.up(id);
    ours.is_called(id).await;
    if has_peers {
        theirs.is_called(id).await;
    }
    ours.jump.down(id);
    theirs.jump.down(id);
    within(SOON, "the end", || async {
        let calls = ours.hook.calls();
        let ends = calls.iter().filter(|call| call.kind() == "resolve");
        (ends.count() as u64 >= id).then_some(())
    })
    .await;
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let mut chance = Chance::from_environment();
    let folder = tempfile::tempdir().unwrap();
    let mut ours = Side::new("Vedette").await;
    let mut theirs = Side::new("Prometheus and Alertmanager").await;
    let (coordinator, agent) = vedette(&ours, folder.path()).await;
    let mut has_peers = true;
    for lot in 0..LOTS {
        // When Prometheus evaluates after it scrapes follows from the target and the path of the rules.
        theirs.jump = Jump::serve().await;
        let folder = tempfile::tempdir().unwrap();
        let peers = prometheus(&theirs, folder.path()).await;
        has_peers &= peers.is_some();
        // Twice the scrape interval, and some.
        tokio::time::sleep(Duration::from_secs(3)).await;
        for id in lot * CROSSINGS + 1..=(lot + 1) * CROSSINGS {
            tokio::time::sleep(chance.millis(0, 1000)).await;
            cross(&mut ours, &mut theirs, id, has_peers).await;
        }
    }
    println!("| ms from the page to the call | calls | p50 | p99 | most |\n|---|---|---|---|---|");
    println!("{}", ours.row());
    if has_peers {
        println!("{}", theirs.row());
    } else {
        println!("(no prometheus and prometheus-alertmanager on the PATH)");
    }
    costs(&coordinator, &agent).await;
}
