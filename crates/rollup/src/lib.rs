//! Samples into windows, windows into larger windows.
//!
//! A [`Window`] keeps of some samples what can be merged without the samples: count, sum, least,
//! greatest and sum of squares; mean and standard deviation follow. Windows stand on the grid of
//! their [`Tier`] and are open on the left and closed on the right, as the ranges of PromQL are: the
//! window that ends at 12:00 of tier 1h holds the samples that `x[1h]` means at 12:00.
//!
//! It reads no clock and keeps nothing.

mod tier;
mod window;

pub use tier::Tier;
pub use window::Window;

/// The windows of samples in order of time, each under the millisecond that it ends at, ascending.
/// Stale markers are no samples. Windows without a sample are left out.
#[must_use]
pub fn roll(times: &[i64], values: &[f64], tier: Tier) -> Vec<(i64, Window)> {
    let mut windows: Vec<(i64, Window)> = Vec::new();
    for (&time, &value) in times.iter().zip(values) {
        if series::is_stale(value) {
            continue;
        }
        match windows.last_mut() {
            // Spares a division.
            Some((end, window)) if time <= *end && time > end.saturating_sub(tier.millis()) => {
                window.add(value);
            }
            _ => windows.push((tier.end_of(time), Window::of(value))),
        }
    }
    windows
}

/// Merges windows, in order of time, into those of a tier that is a multiple of theirs.
#[must_use]
pub fn merge(windows: &[(i64, Window)], tier: Tier) -> Vec<(i64, Window)> {
    let mut merged: Vec<(i64, Window)> = Vec::new();
    for &(time, window) in windows {
        let end = tier.end_of(time);
        match merged.last_mut() {
            Some((last, whole)) if *last == end => whole.merge(window),
            _ => merged.push((end, window)),
        }
    }
    merged
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these sums are exact")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_window_holds_what_a_range_of_promql_means() {
        let hour = 3_600_000;
        let windows = roll(&[hour, hour + 1, 2 * hour], &[1.0, 2.0, 4.0], Tier::Hour);
        let ends: Vec<i64> = windows.iter().map(|(end, _)| *end).collect();
        assert_eq!(ends, [hour, 2 * hour]);
        assert_eq!((windows[1].1.count, windows[1].1.sum()), (2, 6.0));
        assert_eq!(windows[1].1.sum_of_squares(), 20.0);
    }

    #[test]
    fn stale_markers_are_no_samples() {
        assert_eq!(roll(&[5], &[series::STALE_NAN], Tier::Minute), []);
        let windows = roll(&[1, 2, 3], &[1.0, series::STALE_NAN, 3.0], Tier::Minute);
        assert_eq!((windows.len(), windows[0].1.count), (1, 2));
    }

    proptest! {
        #[test]
        fn small_windows_merge_into_what_the_samples_give(
            steps in prop::collection::vec((1_i64..90_000, -1000_i32..1000), 1..400)
        ) {
            let mut now = 0;
            let (times, values): (Vec<i64>, Vec<f64>) = steps
                .into_iter()
                .map(|(step, value)| {
                    now += step;
                    (now, f64::from(value) / 4.0)
                })
                .unzip();
            for (small, large) in [
                (Tier::Minute, Tier::FiveMinutes),
                (Tier::FiveMinutes, Tier::Hour),
                (Tier::Minute, Tier::Day),
            ] {
                let merged = merge(&roll(&times, &values, small), large);
                prop_assert_eq!(merged, roll(&times, &values, large));
            }
        }
    }
}
