use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use series::is_stale;

use super::*;
use crate::collect::scrape::target::Target;
use crate::collect::scrape::text::{Format, Limits, Refusals, Sink as _, read_page};

fn target() -> Target {
    Target::new("h:1", "j").unwrap()
}

fn take(cache: &mut SeriesCache, target: &Target, page: &str) -> (RoundEnd, Refusals) {
    let mut round = cache.begin(target);
    let read = read_page(
        page.as_bytes(),
        Format::Text,
        &Limits::default(),
        &mut round,
    );
    let mut end = round.end();
    cache.settle(&mut end, &read.families);
    (end, read.refusals)
}

fn bits(samples: &[Sample]) -> Vec<(String, u64, Option<Timestamp>)> {
    samples
        .iter()
        .map(|sample| (sample.labels.to_string(), sample.value.to_bits(), sample.at))
        .collect()
}

/// Lines out of few series, written in several ways, and some that are malformed.
fn any_page() -> impl Strategy<Value = String> {
    let series = prop_oneof![
        "[abc]",
        "[abc]\\{\\}",
        "[ab] ?\\{x=\"[12]\"(,y=\"[12]\")?,?\\}",
        "[ab]\\{y=\"[12]\",x=\"[12]\"\\}",
        "[ab]\\{job=\"[12]\"\\}",
        "up",
        "a\\{x=\"1",
        "# TYPE a gauge",
    ];
    let line = (series, "( [0-9]| 1 [0-9]|[0-9]| x)")
        .prop_map(|(series, value)| format!("{series}{value}\n"));
    proptest::collection::vec(line, 0..12).prop_map(|lines| lines.concat())
}

proptest! {
    /// What the cache knows must never show: each page reads as if it were the first, and what
    /// ended is told by comparing it with the page before.
    #[test]
    fn a_page_reads_the_same_whatever_came_before(
        pages in proptest::collection::vec(any_page(), 1..8),
        repeats in proptest::collection::vec(1..3_usize, 8),
    ) {
        let target = target();
        let mut cache = SeriesCache::default();
        let mut before: BTreeMap<String, Option<Timestamp>> = BTreeMap::new();
        for (page, repeats) in pages.iter().zip(repeats) {
            for _ in 0..repeats {
                let (got, refusals) = take(&mut cache, &target, page);
                let (fresh, expected_refusals) = take(&mut SeriesCache::default(), &target, page);
                prop_assert_eq!(bits(&got.samples[..got.kept]), bits(&fresh.samples));
                prop_assert_eq!(refusals, expected_refusals);

                let now: BTreeMap<String, Option<Timestamp>> = fresh
                    .samples
                    .iter()
                    .map(|sample| (sample.labels.to_string(), sample.at))
                    .collect();
                let markers = &got.samples[got.kept..];
                prop_assert!(markers.iter().all(|m| is_stale(m.value) && m.at.is_none()));
                let ended: BTreeSet<String> =
                    markers.iter().map(|marker| marker.labels.to_string()).collect();
                prop_assert_eq!(ended.len(), markers.len());
                let expected: BTreeSet<String> = before
                    .iter()
                    .filter(|(labels, at)| at.is_none() && !now.contains_key(*labels))
                    .map(|(labels, _)| labels.clone())
                    .collect();
                prop_assert_eq!(ended, expected);
                let added = now.keys().filter(|labels| !before.contains_key(*labels)).count();
                prop_assert_eq!(got.series_added, added);
                prop_assert_eq!(cache.len(), now.len());
                before = now;
            }
        }
    }
}

#[test]
fn an_unchanged_page_is_recognised_without_a_look_up() {
    let target = target();
    let page = "a 1\nb{x=\"1\"} 2\nb{x=\"2\"} 3\n";
    let mut cache = SeriesCache::default();
    take(&mut cache, &target, page);
    let keys: Vec<usize> = cache.lines.iter().map(|line| line.key.len()).collect();
    let mut round = cache.begin(&target);
    for (line, length) in page.lines().zip(keys) {
        assert_eq!(round.foresee(line.as_bytes()), Some(length));
        let series = &line.as_bytes()[..length];
        round.sample(series, true, 1.0, None).unwrap();
    }
}

#[test]
fn ending_all_forgets_all() {
    let target = target();
    let mut cache = SeriesCache::default();
    take(&mut cache, &target, "a 1\nb 2 3\n");
    assert_eq!(cache.end_all().len(), 1, "b has a time of its own");
    assert!(cache.is_empty() && cache.end_all().is_empty());
    let (again, _) = take(&mut cache, &target, "a 1\n");
    assert_eq!((again.series_added, again.samples.len()), (1, 1));
}

/// Lines of series that differ by their id.
fn ids(metric: &str, ids: std::ops::Range<u32>) -> String {
    ids.map(|id| format!("{metric}{{id=\"{id}\"}} 1\n"))
        .collect()
}

/// The unknown samples of a page, its stale markers, and the series that are new.
fn said(end: &RoundEnd) -> (usize, usize, usize) {
    let stale = end.samples.iter().filter(|sample| is_stale(sample.value));
    let stale = stale.count();
    assert_eq!(end.samples.len() + end.unknown.len(), end.kept + stale);
    (end.unknown.len(), stale, end.series_added)
}

#[test]
fn what_is_beyond_the_bound_of_its_metric_is_unknown() {
    let target = target();
    let mut cache = SeriesCache::default();
    let page = |range: std::ops::Range<u32>| ids("a", range) + "b 2\n";
    cache.know_at_most(3);
    let (end, _) = take(&mut cache, &target, &page(0..10));
    assert_eq!((said(&end), cache.len()), ((7, 0, 4), 4));
    let again = take(&mut cache, &target, &page(0..10)).0;
    assert_eq!(bits(&again.samples), bits(&end.samples));
    assert_eq!(said(&again), (7, 0, 0));
    // Who was there first stays, and who is gone makes room, for a gauge that was there too.
    let (end, _) = take(&mut cache, &target, &page(1..10));
    assert_eq!((said(&end), cache.len()), ((6, 1, 1), 4));
    let (end, _) = take(&mut cache, &target, &page(1..10));
    assert_eq!((said(&end), cache.len()), ((6, 0, 0), 4));
    // Fewer are known from now on: those forgotten are unknown at once and get no marker, but who is gone does.
    cache.know_at_most(1);
    let (end, _) = take(&mut cache, &target, &page(2..10));
    assert_eq!((said(&end), cache.len()), ((7, 1, 0), 2));
    let (end, refusals) = take(&mut cache, &target, &(page(2..4) + "a{id=\"3\"} 1\n"));
    assert_eq!((said(&end), refusals.count), ((1, 0, 0), 1));
    cache.know_at_most(usize::MAX);
    let (end, _) = take(&mut cache, &target, &page(1..10));
    assert_eq!((said(&end), cache.len()), ((0, 0, 8), 10));
}

#[test]
fn room_of_counters_is_for_new_ones() {
    let target = target();
    let mut cache = SeriesCache::default();
    cache.know_at_most(3);
    take(&mut cache, &target, &ids("a_total", 0..5));
    // 0 is gone; 3 and 4 are in a sum and stay there.
    let (end, _) = take(&mut cache, &target, &ids("a_total", 1..5));
    assert_eq!((said(&end), cache.len()), ((2, 1, 0), 2));
    let (end, _) = take(&mut cache, &target, &ids("a_total", 1..6));
    assert_eq!((said(&end), cache.len()), ((2, 0, 1), 3));
    let (end, _) = take(&mut cache, &target, &ids("a_total", 2..7));
    assert_eq!((said(&end), cache.len()), ((2, 1, 1), 3));
}

#[test]
fn a_failed_page_ends_what_is_said_and_forgets_nothing() {
    let target = target();
    let mut cache = SeriesCache::default();
    cache.know_at_most(3);
    take(&mut cache, &target, &ids("a", 5..10));
    assert_eq!((cache.silence().len(), cache.silence().len()), (3, 0));
    // In another order: those that were known still are.
    let page = ids("a", 0..2) + &ids("a", 6..10);
    let (end, _) = take(&mut cache, &target, &page);
    let known: Vec<_> = end
        .samples
        .iter()
        .map(|it| it.labels.get("id").to_owned())
        .collect();
    assert_eq!(
        (known, said(&end)),
        (vec!["6".into(), "7".into(), "0".into()], (3, 0, 3))
    );
}
