//! Scraper and guard together: whoever has heard of a series hears of its end.

use std::collections::{BTreeMap, BTreeSet};

use daemon::clock::SystemClock;
use proptest::prelude::*;
use series::{Timestamp, is_stale};

use super::*;
use crate::collect::scrape::fetch::{Error, Fetched, Fetcher};
use crate::collect::scrape::scraper::Answer;
use crate::collect::scrape::{
    Format, Limits, REPORT_NAMES, Scrape, Scraper, StatsHandle, Target as ScrapeTarget,
};

const BOUNDS: Bounds = Bounds {
    series_per_metric_max: 8,
    series_per_target_max: 12,
};

/// How an answer comes.
#[derive(Clone, Copy, Debug)]
enum Way {
    Whole,
    CutShort,
    None,
}

/// Which series a page says, how it comes, and by what parts of the bounds the two sides decide.
#[derive(Clone, Copy, Debug)]
struct Turn {
    first: u32,
    series: u32,
    way: Way,
    scraper: usize,
    guard: usize,
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let way = prop_oneof![8 => Just(Way::Whole), 1 => Just(Way::CutShort), 1 => Just(Way::None)];
    let part = || prop_oneof![4 => Just(1_usize), 1 => Just(2), 1 => Just(4)];
    let turn = (0..4_u32, 0..24_u32, way, part(), part(), any::<bool>());
    let turn = turn.prop_map(|(first, series, way, scraper, guard, apart)| Turn {
        first: first * 6,
        series,
        way,
        scraper,
        guard: if apart { guard } else { scraper },
    });
    proptest::collection::vec(turn, 1..16)
}

/// One page in three metrics of one half, a quarter and a quarter of the series, each with the value 1.
fn page(turn: &Turn) -> String {
    let ids = turn.first..turn.first + turn.series;
    let line = |id: u32| match id % 4 {
        0 | 1 => format!("a{{id=\"{id}\"}} 1\n"),
        2 => format!("b{{id=\"{id}\"}} 1\n"),
        _ => format!("c{{id=\"{id}\"}} 1\n"),
    };
    let types = ["a", "b", "c"].map(|name| format!("# TYPE {name} gauge\n"));
    types.into_iter().chain(ids.map(line)).collect()
}

fn answer(turn: &Turn) -> Answer {
    let mut body = page(turn).into_bytes();
    // Without its end such a page is cut short.
    if matches!(turn.way, Way::Whole) {
        body.extend_from_slice(b"# EOF\n");
    }
    let fetched = match turn.way {
        Way::None => Err(Error::Timeout {
            url: String::new(),
            timeout: Duration::ZERO,
        }),
        Way::Whole | Way::CutShort => Ok(Fetched {
            format: Format::OpenMetrics,
            body,
        }),
    };
    Answer {
        at: Timestamp::from_millis(0),
        duration: Duration::ZERO,
        fetched,
    }
}

fn gathered(scrape: Scrape, divisor: usize) -> Gathered {
    Gathered {
        source: "t".into(),
        labels: [].into(),
        at: scrape.at,
        snapshot: scrape.snapshot,
        passing: scrape.passing,
        divisor: Some(divisor),
    }
}

proptest! {
    /// What a receiver holds for alive adds up to the last page, whatever came before it: also when the two sides
    /// do not agree about the bounds.
    #[test]
    fn what_is_alive_is_what_the_last_page_said(turns in turns()) {
        // An error means that another test has installed one.
        drop(rustls::crypto::ring::default_provider().install_default());
        let clock = SystemClock::shared();
        let target = Arc::new(ScrapeTarget::new("h:1", "j").unwrap());
        let fetcher = Fetcher::new(1 << 20).unwrap();
        let stats = StatsHandle::default();
        let mut scraper = Scraper::new(target, fetcher, clock, Limits::default(), stats);
        let mut guard = Guard::new(BOUNDS);
        let mut alive: BTreeMap<String, f64> = BTreeMap::new();
        let mut known = BTreeSet::new();
        for turn in turns {
            scraper.know_at_most(BOUNDS.divided(turn.scraper).series_per_metric_max);
            let scrape = scraper.read(answer(&turn));
            let mut gathered = gathered(scrape, turn.guard);
            guard.divide(turn.guard);
            guard.apply(&mut gathered, Duration::ZERO);
            for sample in gathered.snapshot.samples {
                if REPORT_NAMES.contains(&sample.labels.metric_name()) {
                    continue;
                }
                let labels = sample.labels.to_string();
                if is_stale(sample.value) {
                    prop_assert!(known.contains(&labels), "{labels} was never said");
                    alive.remove(&labels);
                } else {
                    known.insert(labels.clone());
                    alive.insert(labels, sample.value);
                }
            }
            let said = match turn.way {
                Way::Whole => f64::from(turn.series),
                Way::CutShort | Way::None => 0.0,
            };
            prop_assert!((alive.values().sum::<f64>() - said).abs() < 0.5, "{turn:?} {alive:?}");
            let folds = alive.keys().filter(|labels| labels.contains(FOLDED)).count();
            let bound = BOUNDS.divided(turn.guard).series_per_target_max;
            prop_assert!(alive.len() - folds <= bound);
        }
    }
}
