//! A row of bars for a row of numbers.

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Draws values over time into `width` characters: each shows the mean of what falls into it,
/// from the lowest to the highest of them; where there is no value, there is a gap.
pub(crate) fn draw(
    times: &[i64],
    values: &[f64],
    (start, end): (i64, i64),
    width: usize,
) -> String {
    let mut sums = vec![(0.0, 0_u32); width];
    // The end is inside, so the last slot takes it too.
    let span = i128::from(end) - i128::from(start) + 1;
    for (time, value) in times.iter().zip(values) {
        let offset = i128::from(*time) - i128::from(start);
        let at = (offset * width as i128).div_euclid(span.max(1));
        let slot = usize::try_from(at).ok().and_then(|at| sums.get_mut(at));
        if let (Some(slot), true) = (slot, value.is_finite()) {
            slot.0 += value;
            slot.1 += 1;
        }
    }
    let means: Vec<Option<f64>> = sums
        .iter()
        .map(|(sum, count)| (*count > 0).then(|| sum / f64::from(*count)))
        .collect();
    let known = || means.iter().flatten().copied();
    let low = known().fold(f64::INFINITY, f64::min);
    let high = known().fold(f64::NEG_INFINITY, f64::max);
    means
        .iter()
        .map(|mean| mean.map_or(' ', |mean| BARS[level(mean, low, high)]))
        .collect()
}

/// Which of the bars: the middle one when all values are the same.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "between 0 and 7 by construction"
)]
fn level(value: f64, low: f64, high: f64) -> usize {
    // Halves, because the distance of two floats may be more than a float holds.
    let share = (value / 2.0 - low / 2.0) / (high / 2.0 - low / 2.0);
    if share.is_finite() {
        (share * 7.0).round().clamp(0.0, 7.0) as usize
    } else {
        3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(values: &[(i64, f64)], width: usize, expected: &str) {
        let (times, values): (Vec<i64>, Vec<f64>) = values.iter().copied().unzip();
        assert_eq!(draw(&times, &values, (0, 70), width), expected);
    }

    #[test]
    fn values_become_bars() {
        let rising: Vec<(i64, f64)> = (0..8_i32)
            .map(|n| (i64::from(n) * 10, f64::from(n)))
            .collect();
        check(&rising, 8, "▁▂▃▄▅▆▇█");
        check(&rising, 4, "▁▃▆█");
    }

    #[test]
    fn what_is_missing_is_a_gap_and_not_a_zero() {
        check(&[(0, 1.0), (70, 5.0)], 4, "▁  █");
        check(&[(0, 1.0), (30, f64::NAN), (70, 5.0)], 4, "▁  █");
        check(&[], 3, "   ");
    }

    #[test]
    fn the_same_value_is_drawn_in_the_middle() {
        check(&[(0, 2.0), (70, 2.0)], 2, "▄▄");
        check(&[(0, f64::MAX), (70, -f64::MAX)], 2, "█▁");
    }

    #[test]
    fn what_lies_outside_the_range_is_left_out() {
        assert_eq!(draw(&[-5, 999], &[1.0, 1.0], (0, 70), 2), "  ");
        assert_eq!(draw(&[0], &[1.0], (0, i64::MAX), 1), "▄");
    }
}
