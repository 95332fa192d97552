//! Scraper and guard together: whoever has heard of a series hears of its end, and sums stay right.

use std::collections::BTreeMap;

use daemon::clock::SystemClock;
use proptest::prelude::*;
use series::{Timestamp, is_stale};

use super::*;
use crate::collect::scrape::fetch::{Error, Fetched, Fetcher};
use crate::collect::scrape::scraper::Answer;
use crate::collect::scrape::{
    Format, Limits, REPORT_NAMES, Scraper, StatsHandle, Target as ScrapeTarget,
};

const BOUNDS: Bounds = Bounds {
    series_per_metric_max: 8,
    series_per_target_max: 12,
};

/// Pages that a counter may be missing and is still known.
const GONE_PAGES: usize = 3;

/// How an answer comes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Whole,
    CutShort,
    Failed,
}

/// A page: its series in their order, each with its value.
type Page = Vec<(u32, f64)>;

/// Even series are gauges, odd ones counters.
const fn is_counter(id: u32) -> bool {
    id % 2 == 1
}

/// A target that is read again and again, and what a receiver makes of it.
struct World {
    scraper: Scraper,
    guard: Guard,
    bounds: Bounds,
    /// The last value of each series that has not ended.
    alive: BTreeMap<String, f64>,
}

impl World {
    fn new(bounds: Bounds) -> Self {
        // An error means that another test has installed one.
        drop(rustls::crypto::ring::default_provider().install_default());
        let target = Arc::new(ScrapeTarget::new("h:1", "j").unwrap());
        Self {
            scraper: Scraper::new(
                target,
                Fetcher::new(1 << 20).unwrap(),
                SystemClock::shared(),
                Limits::default(),
                StatsHandle::default(),
            ),
            guard: Guard::new(bounds),
            bounds,
            alive: BTreeMap::new(),
        }
    }

    /// Reads a page, each side by its part of the bounds.
    fn read(&mut self, page: &Page, way: Way, (scraper, guard): (usize, usize)) {
        let known = self.bounds.divided(scraper).series_per_metric_max;
        self.scraper.know_at_most(known);
        let scrape = self.scraper.read(answer(page, way));
        let mut gathered = Gathered {
            source: "t".into(),
            labels: [].into(),
            at: scrape.at,
            snapshot: scrape.snapshot,
            unknown: scrape.unknown,
            divisor: Some(guard),
        };
        self.guard.divide(guard);
        self.guard.apply(&mut gathered, Duration::ZERO);
        for sample in gathered.snapshot.samples {
            if REPORT_NAMES.contains(&sample.labels.metric_name()) {
                continue;
            }
            let labels = sample.labels.to_string();
            if is_stale(sample.value) {
                let was = self.alive.remove(&labels);
                assert!(was.is_some(), "{labels} was not said");
            } else {
                self.alive.insert(labels, sample.value);
            }
        }
    }

    /// The values of one metric with a place of their own.
    fn placed(&self, metric: &str) -> Vec<f64> {
        let of = |labels: &str| labels.starts_with(metric) && !labels.contains(FOLDED);
        let alive = self.alive.iter().filter(|(labels, _)| of(labels));
        alive.map(|(_, value)| *value).collect()
    }

    fn fold(&self, metric: &str) -> Option<f64> {
        let of = |labels: &str| labels.starts_with(metric) && labels.contains(FOLDED);
        let mut alive = self.alive.iter().filter(|(labels, _)| of(labels));
        alive.next().map(|(_, value)| *value)
    }
}

fn answer(page: &Page, way: Way) -> Answer {
    let line = |(id, value): &(u32, f64)| match is_counter(*id) {
        true => format!("c_total{{id=\"{id}\"}} {value}\n"),
        false => format!("g{{id=\"{id}\"}} {value}\n"),
    };
    let of = |counters: bool| {
        let lines = page
            .iter()
            .filter(move |(id, _)| is_counter(*id) == counters);
        lines.map(line).collect::<String>()
    };
    let mut body = format!(
        "# TYPE g gauge\n{}# TYPE c counter\n{}",
        of(false),
        of(true)
    );
    // Without its end such a page is cut short.
    if way == Way::Whole {
        body.push_str("# EOF\n");
    }
    let fetched = match way {
        Way::Failed => Err(Error::Timeout {
            url: String::new(),
            timeout: Duration::ZERO,
        }),
        Way::Whole | Way::CutShort => Ok(Fetched {
            format: Format::OpenMetrics,
            body: body.into_bytes(),
        }),
    };
    Answer {
        at: Timestamp::from_millis(0),
        duration: Duration::ZERO,
        fetched,
    }
}

/// Which series are said, in which order, how the page comes, and by what parts of the bounds the two decide.
#[derive(Clone, Debug)]
struct Turn {
    ids: Vec<u32>,
    way: Way,
    parts: (usize, usize),
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let way = prop_oneof![8 => Just(Way::Whole), 1 => Just(Way::CutShort), 1 => Just(Way::Failed)];
    let part = || prop_oneof![4 => Just(1_usize), 1 => Just(2), 1 => Just(4)];
    let ids = proptest::sample::subsequence((0..32).collect::<Vec<u32>>(), 0..32).prop_shuffle();
    let turn = (ids, way, part(), part(), any::<bool>(), 1..4_usize);
    let turn = turn.prop_map(|(ids, way, scraper, guard, apart, times)| {
        let parts = (scraper, if apart { guard } else { scraper });
        vec![Turn { ids, way, parts }; times]
    });
    proptest::collection::vec(turn, 1..10).prop_map(|turns| turns.concat())
}

proptest! {
    /// Gauges alive add up to the last page, whatever came before it, also when the two sides do not agree about the
    /// bounds. The sum of counters never falls while it is said, and grows by no more than they did.
    #[test]
    fn sums_are_those_of_the_last_page(turns in turns()) {
        let mut world = World::new(BOUNDS);
        let mut last: BTreeMap<u32, (usize, f64)> = BTreeMap::new();
        for (number, turn) in turns.iter().enumerate() {
            let grows = |id: u32| f64::from(id % 5 + 1);
            let value = |id: &u32| match is_counter(*id) {
                true => last.get(id).map_or(0.0, |it| it.1) + grows(*id),
                false => f64::from(*id + 1),
            };
            let page: Page = turn.ids.iter().map(|id| (*id, value(id))).collect();
            let before = world.fold("c_total");
            world.read(&page, turn.way, turn.parts);
            let page = match turn.way {
                Way::Whole => page,
                Way::CutShort | Way::Failed => Vec::new(),
            };
            let gauges: f64 = page.iter().filter(|(id, _)| !is_counter(*id)).map(|it| it.1).sum();
            let said: f64 = world.placed("g{").iter().sum::<f64>() + world.fold("g{").unwrap_or(0.0);
            prop_assert!((said - gauges).abs() < 0.5, "{number}: {said} {:?}", world.alive);
            let counters = page.iter().filter(|(id, _)| is_counter(*id));
            // One that was away for long is new.
            let grown = |(id, value): &(u32, f64)| match last.get(id) {
                Some((before, _)) if number - before <= GONE_PAGES => grows(*id),
                _ => *value,
            };
            let grown: f64 = counters.clone().map(grown).sum();
            if let (Some(before), Some(now)) = (before, world.fold("c_total")) {
                prop_assert!(now >= before && now - before < grown + 0.5, "{number}: {before} {now}");
            }
            last.extend(counters.map(|(id, value)| (*id, (number, *value))));
            let bound = BOUNDS.divided(turn.parts.1).series_per_target_max;
            prop_assert!(world.placed("").len() <= bound);
        }
    }
}

/// Counters come and go; those with a place are as many as there are places, for ever.
#[test]
fn places_do_not_run_out_where_series_come_and_go() {
    let mut world = World::new(BOUNDS);
    let counters = |range: std::ops::Range<u32>| -> Page {
        range.map(|id| (2 * id + 1, f64::from(id))).collect()
    };
    for first in 0..50 {
        world.read(&counters(first..first + 12), Way::Whole, (1, 1));
        assert_eq!(world.placed("c_total").len(), 8, "{first}");
    }
}

#[test]
fn a_failed_page_costs_nobody_a_place() {
    let mut world = World::new(BOUNDS);
    let page: Page = (0..12).map(|id| (2 * id + 1, 10.0)).collect();
    world.read(&page, Way::Whole, (1, 1));
    let before = world.alive.clone();
    world.read(&page, Way::Failed, (1, 1));
    assert!(world.alive.is_empty());
    // The same in another order, and one of those with a place began again.
    let mut page: Page = page.into_iter().rev().collect();
    page.last_mut().unwrap().1 = 3.0;
    world.read(&page, Way::CutShort, (1, 1));
    world.read(&page, Way::Whole, (1, 1));
    assert!(world.alive.keys().eq(before.keys()));
    assert!(world.placed("c_total").contains(&3.0));
}
