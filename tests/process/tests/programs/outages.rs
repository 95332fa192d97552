//! Everything fails, and then: agent log = content of the coordinator − declared losses, exactly.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use process_tests::agent::{Agent, NO_COLLECTORS};
use process_tests::ask::{channel, coverage, instant, node};
use process_tests::chance::{Chance, SEED};
use process_tests::coordinator::Coordinator;
use process_tests::disk::SmallDisk;
use process_tests::proxy::{Network, Proxy};
use process_tests::targets::{Target, Targets};
use process_tests::{now_millis, within};

const AGENT: &str = "unlucky";
const ROUNDS: u32 = 12;
const TARGETS: [Target; 2] = [
    Target {
        name: "steady",
        series: 200,
        churns: false,
    },
    Target {
        name: "churning",
        series: 100,
        churns: true,
    },
];

struct World {
    coordinator: Coordinator,
    proxy: Proxy,
    agent: Agent,
    disk: SmallDisk,
    chance: Chance,
    damaged: u32,
}

impl World {
    async fn pause(&mut self, least: u64, most: u64) {
        tokio::time::sleep(self.chance.millis(least, most)).await;
    }

    async fn round(&mut self, number: u32) {
        self.pause(300, 1500).await;
        match number % 6 {
            0 => self.network(Network::Cut).await,
            1 => self.network(Network::Frozen).await,
            2 => {
                self.agent.kill().await;
                self.pause(0, 500).await;
                self.agent.restart();
            }
            3 => {
                self.coordinator.kill().await;
                self.pause(0, 2000).await;
                self.coordinator.restart().await;
            }
            4 => {
                self.disk.fill();
                self.pause(1500, 3000).await;
                self.disk.free();
            }
            _ => self.rot().await,
        }
    }

    async fn network(&mut self, network: Network) {
        self.proxy.set(network);
        self.pause(1000, 3000).await;
        self.proxy.set(Network::Open);
    }

    /// What was gathered while cut off is damaged on the disk of a node that is down.
    async fn rot(&mut self) {
        self.proxy.set(Network::Cut);
        self.pause(5500, 6000).await;
        self.agent.kill().await;
        self.damaged += u32::from(damage(&self.spool()));
        self.agent.restart();
        self.pause(500, 1000).await;
        self.proxy.set(Network::Open);
    }

    fn spool(&self) -> PathBuf {
        self.disk.seen_from_here().join("state/spool")
    }
}

/// Flips a bit in the first half of what the newest segment holds that has anything.
fn damage(spool: &std::path::Path) -> bool {
    let files = std::fs::read_dir(spool).unwrap();
    let mut segments: Vec<PathBuf> = files
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "seg"))
        .collect();
    segments.sort();
    let Some(newest) = segments.last() else {
        return false;
    };
    let mut bytes = std::fs::read(newest).unwrap();
    let middle = bytes.len() / 2;
    if middle < 4096 {
        return false;
    }
    bytes[middle] ^= 0x40;
    std::fs::write(newest, bytes).unwrap();
    true
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_the_log_is_stored_or_declared_lost_whatever_failed() {
    let Some(disk) = SmallDisk::new(16 * 1024 * 1024).await else {
        println!("no mount namespace can be had here: not checked");
        return;
    };
    let chance = Chance::from_environment();
    println!("{SEED}={}", chance.seed());
    let coordinator = Coordinator::start("").await;
    let targets = Targets::serve(&TARGETS).await;
    let proxy = Proxy::to(coordinator.grpc).await;
    let config = format!(
        "collect_interval = \"200ms\"\nsync_interval = \"1s\"\ndrain_timeout = \"60s\"\n{}\n\
         [spool]\nbytes_max = \"8MiB\"\n{NO_COLLECTORS}",
        targets.setting()
    );
    let agent = Agent::start_on(&disk, AGENT, &proxy.url(), &config);
    let mut world = World {
        coordinator,
        proxy,
        agent,
        disk,
        chance,
        damaged: 0,
    };
    for number in 0..ROUNDS {
        world.round(number).await;
    }
    assert!(world.damaged > 0, "nothing was damaged");
    drain(&mut world).await;
    check(&world).await;
    world.coordinator.kill().await;
    world.coordinator.restart().await;
    check(&world).await;
}

/// Waits until the coordinator has settled all that was spooled, and ends the agent in good order.
async fn drain(world: &mut World) {
    let way = channel(&world.coordinator);
    within(Duration::from_secs(120), "the spool to empty", || async {
        let spooled = world.agent.account().last_spooled();
        let node = node(&way, AGENT).await.ok()??;
        (node.last_durable_sequence >= spooled).then_some(())
    })
    .await;
    assert_eq!(world.agent.terminate().await, Some(0));
}

async fn check(world: &World) {
    let way = channel(&world.coordinator);
    let account = world.agent.account();
    assert_eq!(account.spooled_again, Vec::<u64>::new());
    let now = now_millis();
    let known = coverage(&way, AGENT, now - 3_600_000, now).await;
    assert_eq!(known.missing, []);
    let ranges = known.losses.iter().filter_map(|loss| loss.sequences);
    let lost: BTreeSet<u64> = ranges.flat_map(|range| range.first..=range.last).collect();
    let reasons: BTreeSet<&str> = known.losses.iter().map(|it| it.reason.as_str()).collect();
    assert_eq!(reasons, BTreeSet::from(["damaged"]), "{:?}", known.losses);
    let last = account.last_spooled();
    let unlogged = (1..=last).filter(|it| !account.spooled.contains_key(it) && !lost.contains(it));
    let unlogged: Vec<u64> = unlogged.collect();
    let spooled = account.spooled.iter().filter(|(it, _)| !lost.contains(it));
    let spooled: u64 = spooled.map(|(_, (samples, _))| samples).sum();
    let everything = format!("{{node=\"{AGENT}\"}}[1h]");
    let series = instant(&way, &everything, now).await.unwrap();
    let stored: u64 = series.iter().map(|series| series.values.len() as u64).sum();
    println!(
        "{stored} samples stored of {last} batches, {} of them declared lost, {unlogged:?} without a \
         line in the log",
        lost.len()
    );
    if unlogged.is_empty() {
        assert_eq!(stored, spooled, "{:?}", known.losses);
    } else {
        assert!(stored > spooled, "{stored} stored, {spooled} spooled");
    }
}
