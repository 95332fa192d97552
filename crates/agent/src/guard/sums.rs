//! What kind of sum the series of a metric have.

use series::snapshot::PARTS;
use series::{Family, MetricKind};

/// How series of one metric are summed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sum {
    /// Values of now.
    Gauge,
    /// By what they grew.
    Counter,
    /// The sum would mean nothing.
    None,
}

/// Endings by which a counter is known that nobody declared.
const COUNTER_ENDINGS: [&str; 4] = ["_total", "_bucket", "_sum", "_count"];

impl Sum {
    /// Of the series of this name, which belong to this family.
    pub(crate) fn of(metric: &str, family: Option<&Family>) -> Self {
        let ends = |endings: &[&str]| endings.iter().any(|ending| metric.ends_with(ending));
        // Always 1, and a time.
        if ends(&["_info", "_created"]) {
            return Self::None;
        }
        let counter_if = |is_counter| {
            if is_counter {
                Self::Counter
            } else {
                Self::None
            }
        };
        match family.map_or(MetricKind::Unknown, |family| family.kind) {
            MetricKind::Counter => Self::Counter,
            MetricKind::Gauge | MetricKind::GaugeHistogram => Self::Gauge,
            MetricKind::Histogram => counter_if(ends(&PARTS)),
            MetricKind::Summary => counter_if(ends(&PARTS[1..])),
            MetricKind::Info | MetricKind::StateSet => Self::None,
            MetricKind::Unknown if ends(&COUNTER_ENDINGS) => Self::Counter,
            MetricKind::Unknown => Self::Gauge,
        }
    }
}

/// The share that each of `counts` may have so that all together are at most `whole`: those below it are
/// whole, the others get the same.
pub(super) fn share(mut counts: Vec<usize>, whole: usize) -> usize {
    counts.sort_unstable();
    let (mut rest, mut left) = (whole, counts.len());
    for count in counts {
        let share = rest / left;
        if count > share {
            return share;
        }
        rest -= count;
        left -= 1;
    }
    usize::MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_sum_is_known() {
        let family = |kind| Family {
            kind,
            ..Family::default()
        };
        let of = |metric, kind| Sum::of(metric, Some(&family(kind)));
        assert_eq!(of("latency_bucket", MetricKind::Histogram), Sum::Counter);
        assert_eq!(of("latency", MetricKind::Summary), Sum::None);
        assert_eq!(of("latency_sum", MetricKind::Summary), Sum::Counter);
        assert_eq!(of("latency_created", MetricKind::Histogram), Sum::None);
        assert_eq!(of("build_info", MetricKind::Gauge), Sum::None);
        assert_eq!(of("waiting", MetricKind::Gauge), Sum::Gauge);
        assert_eq!(of("state", MetricKind::StateSet), Sum::None);
        assert_eq!(Sum::of("requests_total", None), Sum::Counter);
        assert_eq!(Sum::of("requests", None), Sum::Gauge);
    }

    #[test]
    fn the_large_share_what_the_small_leave() {
        assert_eq!(share(vec![10, 20, 30], 60), usize::MAX);
        assert_eq!(share(vec![10, 1000, 30], 100), 60);
        assert_eq!(share(vec![1000, 1000], 100), 50);
        assert_eq!(share(vec![1; 10], 5), 0);
        assert_eq!(share(Vec::new(), 5), usize::MAX);
    }
}
