use series::{Labels, MatchOp, Matcher, MetricKind};

use super::Index;
use crate::SeriesId;

fn index() -> Index {
    let mut index = Index::default();
    for (id, (name, pairs)) in [
        ("up", [("job", "a"), ("zone", "")]),
        ("up", [("job", "b"), ("zone", "x")]),
        ("load", [("job", "a"), ("zone", "y")]),
    ]
    .into_iter()
    .enumerate()
    {
        let labels = Labels::with_name(name, &pairs).unwrap();
        let id = SeriesId(u32::try_from(id).unwrap());
        index.insert(id, &labels, MetricKind::Gauge);
    }
    index
}

fn select(matchers: &[(&str, MatchOp, &str)]) -> Vec<u32> {
    let matchers: Vec<Matcher> = matchers
        .iter()
        .map(|(name, op, value)| Matcher::new(name, *op, value).unwrap())
        .collect();
    index().select(&matchers).iter().collect()
}

#[test]
fn each_operator_selects_as_prometheus_does() {
    use MatchOp::{Equal, NotEqual, NotRegex, Regex};
    assert_eq!(select(&[("__name__", Equal, "up")]), [0, 1]);
    assert_eq!(
        select(&[("__name__", Equal, "up"), ("job", NotEqual, "b")]),
        [0]
    );
    assert_eq!(select(&[("zone", Equal, "")]), [0]);
    assert_eq!(select(&[("zone", NotEqual, "")]), [1, 2]);
    assert_eq!(select(&[("zone", Regex, "x|y")]), [1, 2]);
    assert_eq!(select(&[("zone", Regex, "x|")]), [0, 1]);
    assert_eq!(select(&[("zone", Regex, "[x-z]")]), [1, 2]);
    assert_eq!(select(&[("__name__", Regex, "lo.*")]), [2]);
    assert_eq!(select(&[("__name__", Regex, "(?i)UP|lo.+")]), [0, 1, 2]);
    assert_eq!(select(&[("zone", NotRegex, "x")]), [0, 2]);
    assert_eq!(select(&[("none", Equal, "1")]), [0_u32; 0]);
    assert_eq!(select(&[("none", NotEqual, "1")]), [0, 1, 2]);
    assert_eq!(select(&[]), [0, 1, 2]);
}

#[test]
fn a_series_gives_its_labels_back() {
    let index = index();
    for id in 0..3 {
        let labels = index.labels(SeriesId(id)).unwrap();
        assert_eq!(index.find(&labels), Some(SeriesId(id)));
    }
    assert_eq!(
        index.labels(SeriesId(1)).unwrap(),
        Labels::with_name("up", &[("job", "b"), ("zone", "x")]).unwrap()
    );
    assert!(index.labels(SeriesId(3)).is_none());
}

#[test]
fn a_removed_series_leaves_no_trace() {
    let mut index = index();
    let again = Labels::with_name("load", &[("job", "a"), ("zone", "y")]).unwrap();
    index.remove(SeriesId(2));
    assert_eq!(index.find(&again), None);
    assert!(index.values("zone").all(|(value, _)| value != "y"));
    assert!(index.values("__name__").all(|(value, _)| value != "load"));
    index.reserve(SeriesId(9));
    index.insert(SeriesId(5), &again, MetricKind::Counter);
    assert_eq!(index.find(&again), Some(SeriesId(5)));
    assert_eq!(index.kind(SeriesId(5)), Some(MetricKind::Counter));
    index.remove(SeriesId(5));
    assert_eq!(index.len(), 2);
    assert_eq!(index.next_id(), Some(SeriesId(10)));
}
