//! Nothing acknowledged is lost by `kill -9` of either side, and nothing is counted twice.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use process_tests::agent::{Account, Agent, NO_COLLECTORS};
use process_tests::ask::{channel, instant, label, node, single};
use process_tests::chance::{Chance, SEED};
use process_tests::coordinator::Coordinator;
use process_tests::targets::{SCRAPE, Served, Target, Targets, VALUE};
use process_tests::{now_millis, within};
use tonic::transport::Channel;
use wire::proto::ResultSeries;

const AGENT: &str = "survivor";
/// How often each side is killed.
const KILLS: u32 = 20;
/// Places where series come and go that are looked at.
const LOOKS_MAX: usize = 8;
const TARGETS: [Target; 3] = [
    Target {
        name: "steady",
        series: 300,
        churns: false,
    },
    Target {
        name: "second",
        series: 200,
        churns: false,
    },
    Target {
        name: "churning",
        series: 250,
        churns: true,
    },
];

/// Says how to run the same kills again, if the test fails.
struct Replay(u64);

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!(
                "to replay: {SEED}={} cargo test -p process-tests survival",
                self.0
            );
        }
    }
}

/// Both sides and what is known of them.
struct World {
    coordinator: Coordinator,
    agent: Agent,
    targets: Targets,
    channel: Channel,
    chance: Chance,
    /// The highest sequence that the coordinator ever said is durable.
    durable: u64,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_kill_9_of_either_side_exactly_once() {
    let chance = Chance::from_environment();
    let _replay = Replay(chance.seed());
    println!("{SEED}={}", chance.seed());
    let mut world = World::start(chance).await;
    for _ in 0..KILLS {
        world.round().await;
    }
    world.drain().await;
    let account = world.agent.account();
    let stored = world.check(&account).await;
    // The same when all of it has to be read back from disk.
    assert_eq!(world.coordinator.terminate().await, Some(0));
    world.coordinator.restart().await;
    assert_eq!(world.check(&account).await, stored);
}

impl World {
    async fn start(chance: Chance) -> Self {
        let coordinator = Coordinator::start("").await;
        let targets = Targets::serve(&TARGETS).await;
        let config = format!(
            "collect_interval = \"200ms\"\nsync_interval = \"1s\"\ndrain_timeout = \"60s\"\n{}\n\
             {NO_COLLECTORS}",
            targets.setting()
        );
        Self {
            agent: Agent::start(AGENT, &coordinator.url(), &config),
            channel: channel(&coordinator),
            coordinator,
            targets,
            chance,
            durable: 0,
        }
    }

    /// Kills each side once, in any order, and now and then the second before the first is back.
    async fn round(&mut self) {
        let agent_first = self.chance.once_in(2);
        let overlap = self.chance.once_in(3);
        self.moment().await;
        self.kill(agent_first).await;
        self.pause(0, 400).await;
        if !overlap {
            self.restart(agent_first).await;
            self.moment().await;
        }
        self.kill(!agent_first).await;
        self.pause(0, 400).await;
        if overlap {
            self.restart(agent_first).await;
            self.pause(0, 400).await;
        }
        self.restart(!agent_first).await;
        self.nothing_acknowledged_is_forgotten().await;
    }

    async fn pause(&mut self, least: u64, most: u64) {
        tokio::time::sleep(self.chance.millis(least, most)).await;
    }

    /// Goes on for a while: to any moment, or to just after a batch was spooled, when it is on its
    /// way, or to just after one was acknowledged, when nothing may be left to do.
    async fn moment(&mut self) {
        self.pause(200, 1000).await;
        let step = match self.chance.under(3) {
            0 => return,
            1 => "\"spooled\"",
            _ => "\"acknowledged\"",
        };
        let steps = || self.agent.process().log().matches(step).count();
        let before = steps();
        let next = async {
            while steps() == before {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        // Without one, this is any moment too.
        drop(tokio::time::timeout(Duration::from_secs(3), next).await);
        self.pause(0, 12).await;
    }

    async fn kill(&mut self, agent: bool) {
        if agent {
            self.agent.kill().await;
        } else {
            self.coordinator.kill().await;
        }
    }

    async fn restart(&mut self, agent: bool) {
        if agent {
            self.targets.begin_life();
            self.agent.restart();
        } else {
            self.coordinator.restart().await;
        }
    }

    async fn durable(&self) -> Option<u64> {
        Some(
            node(&self.channel, AGENT)
                .await
                .ok()??
                .last_durable_sequence,
        )
    }

    async fn nothing_acknowledged_is_forgotten(&mut self) {
        let acknowledged = self.agent.account().last_acknowledged();
        if acknowledged == 0 {
            return;
        }
        let soon = process_tests::SOON;
        let durable = within(soon, "the agent in the list of nodes", || self.durable()).await;
        assert!(
            durable >= acknowledged,
            "{acknowledged} was acknowledged, {durable} is durable"
        );
        assert!(
            durable >= self.durable,
            "{} was durable, now {durable} is",
            self.durable
        );
        self.durable = durable;
        let lost = self
            .coordinator
            .metric_sum("vedette_coordinator_lost_batches_total")
            .await;
        assert_eq!(lost, Some(0.0), "batches never came");
    }

    /// Waits until both have found each other again, and ends the agent in good order.
    async fn drain(&mut self) {
        within(Duration::from_secs(120), "the spool to empty", || async {
            let spooled = self.agent.account().last_spooled();
            self.durable().await.filter(|durable| *durable == spooled)
        })
        .await;
        assert_eq!(self.agent.terminate().await, Some(0));
        let spooled = self.agent.account().last_spooled();
        assert_eq!(
            self.durable().await,
            Some(spooled),
            "the drain left something"
        );
    }

    /// Holds everything stored against what the agent and the targets know; the number of samples.
    async fn check(&self, account: &Account) -> u64 {
        let unlogged = check_account(account);
        let everything = format!("{{node=\"{AGENT}\"}}[1h]");
        let series = instant(&self.channel, &everything, now_millis())
            .await
            .unwrap();
        let stored: u64 = series.iter().map(|series| series.values.len() as u64).sum();
        let spooled: u64 = account.spooled.values().map(|(samples, _)| samples).sum();
        if unlogged.is_empty() {
            assert_eq!(stored, spooled, "{account:?}");
        } else {
            // Killed after a batch was on disk and before the line that says so: its samples are
            // there, and the account does not say how many.
            println!("batches without a line in the log: {unlogged:?}");
            assert!(stored > spooled, "{stored} stored, {spooled} spooled");
        }
        let served = self.targets.served();
        for (index, (target, instance)) in self.targets.each().enumerate() {
            let served: Vec<&Served> = served.iter().filter(|page| page.target == index).collect();
            let scrapes = check_values(target, &instance, &series, &served);
            println!(
                "{}: {} of {} pages stored",
                target.name,
                scrapes.len(),
                served.len()
            );
            assert!(
                scrapes.len() > served.len() / 4,
                "too few to prove anything"
            );
            if target.churns {
                self.check_gone(target, &instance, &scrapes, &served).await;
            }
        }
        let stale: u64 = account.spooled.values().map(|(_, stale)| stale).sum();
        println!(
            "{stored} samples and {stale} stale markers in {} batches",
            account.spooled.len()
        );
        assert!(stale > 0);
        stored
    }

    /// Where series were replaced from one scrape to the next, the old ones have ended: nothing is
    /// found of them from then on, though the look-back of five minutes would find a sample.
    async fn check_gone(
        &self,
        target: &Target,
        instance: &str,
        scrapes: &BTreeMap<u64, i64>,
        served: &[&Served],
    ) {
        let lives: HashMap<u64, u64> = served.iter().map(|page| (page.scrape, page.life)).collect();
        let replaced = scrapes.iter().filter_map(|(before, at)| {
            let next = before + 1;
            let gone = target.ids(*before).start;
            let is_seen =
                !target.ids(next).contains(&gone) && lives[before] == *lives.get(&next)?;
            is_seen.then_some((gone, *at, *scrapes.get(&next)?))
        });
        let mut looks = 0;
        for (gone, before, after) in replaced.take(LOOKS_MAX) {
            let selector = format!("{VALUE}{{instance=\"{instance}\",id=\"{gone}\"}}");
            assert!(
                single(&self.channel, &selector, before).await.is_some(),
                "{selector}"
            );
            let found = single(&self.channel, &selector, after).await;
            assert_eq!(found, None, "{selector} at {after} did not end");
            looks += 1;
        }
        assert!(looks > 0, "no series was seen to end");
    }
}

/// Checks what the account says of itself; gives the sequences that were spooled and not logged.
fn check_account(account: &Account) -> Vec<u64> {
    assert_eq!(account.complaints, Vec::<String>::new());
    assert_eq!(
        account.spooled_again,
        Vec::<u64>::new(),
        "a spooled batch was lost by a kill"
    );
    let steps = account.acknowledged.windows(2);
    let back: Vec<_> = steps.filter(|pair| pair[1] < pair[0]).collect();
    assert!(back.is_empty(), "acknowledgements went back: {back:?}");
    let last = account.last_spooled();
    assert_eq!(account.last_acknowledged(), last);
    let unlogged: Vec<u64> = (1..=last)
        .filter(|n| !account.spooled.contains_key(n))
        .collect();
    assert!(unlogged.len() <= KILLS as usize, "{unlogged:?}");
    unlogged
}

/// Checks that each stored page is whole, right, and there once; gives their times by scrape.
fn check_values(
    target: &Target,
    instance: &str,
    series: &[ResultSeries],
    served: &[&Served],
) -> BTreeMap<u64, i64> {
    let of_target = |metric: &'static str| {
        series
            .iter()
            .filter(move |series| label(series, "instance") == instance)
            .filter(move |series| label(series, "__name__") == metric)
    };
    let served: HashMap<u64, i64> = served
        .iter()
        .map(|page| (page.scrape, page.at_millis))
        .collect();
    let mut scrapes = BTreeMap::new();
    let mut pages: HashMap<i64, (u64, u64)> = HashMap::new();
    for series in of_target(SCRAPE) {
        for (at, value) in series.times_millis.iter().zip(&series.values) {
            let scrape = served
                .keys()
                .copied()
                .find(|scrape| *scrape as f64 == *value);
            let scrape = scrape.unwrap_or_else(|| panic!("scrape {value} never was"));
            let answered = served[&scrape];
            assert!(
                (*at - 100..at + 5000).contains(&answered),
                "{at} for {answered}"
            );
            let before = scrapes.insert(scrape, *at);
            assert_eq!(before, None, "scrape {scrape} is stored twice");
            pages.insert(*at, (scrape, 0));
        }
    }
    for series in of_target(VALUE) {
        let id: u64 = label(series, "id").parse().unwrap();
        let ascending = series.times_millis.windows(2).all(|pair| pair[0] < pair[1]);
        assert!(ascending, "series {id} has a time twice");
        for (at, value) in series.times_millis.iter().zip(&series.values) {
            let page = pages
                .get_mut(at)
                .unwrap_or_else(|| panic!("{id} at {at} has no page"));
            assert!(
                target.ids(page.0).contains(&id),
                "{id} was not on page {}",
                page.0
            );
            let right = target.value(id, page.0);
            assert_eq!(value.to_bits(), right.to_bits(), "{id} on page {}", page.0);
            page.1 += 1;
        }
    }
    for (scrape, found) in pages.values() {
        assert_eq!(*found, target.series, "page {scrape} is not whole");
    }
    scrapes
}
