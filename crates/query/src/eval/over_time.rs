//! Functions of range vectors.

use std::collections::VecDeque;

use super::kahan::{Mean, Variance};
use super::steps::seconds;
use super::window::{Places, Samples, Slide, Window};
use super::{Column, Context, Grid, Steps, quantile, rate, regression};
use crate::error::Error;
use crate::notes::Level;
use crate::parse::Expr;
use crate::parse::functions::Id;

impl Context<'_> {
    pub(super) fn range_call(&self, id: Id, args: &[Expr], steps: &Steps) -> Result<Grid, Error> {
        if let Some(rolled) = self.rolled(id, args, steps)?
            && let Some(grid) = self.rolled_call(id, &rolled, steps)?
        {
            return Ok(grid);
        }
        let (range_arg, others): (&Expr, Vec<&Expr>) = if id == Id::QuantileOverTime {
            (&args[1], vec![&args[0]])
        } else {
            (&args[0], args[1..].iter().collect())
        };
        let mut params: Vec<Column> = Vec::with_capacity(others.len());
        for other in &others {
            params.push(self.scalar(other, steps)?);
        }
        match id {
            Id::QuantileOverTime => self.note_quantiles(&params[0], others[0].at),
            Id::DoubleExponentialSmoothing => check_factors(&params)?,
            _ => {}
        }
        let frame = self.frame(range_arg, steps)?;
        let keeps_name = matches!(id, Id::LastOverTime | Id::FirstOverTime);
        let mut grid = Grid::default();
        if let Some(kind) = rate::Kind::of(id) {
            self.each_pieces(range_arg, &frame, &mut |pieces| {
                let mut column = self.column(steps)?;
                let places = frame.places(self, &pieces.times)?;
                let extents = frame.extents(&places);
                let how = (kind, frame.range);
                rate::extrapolated(&pieces.values, &places, extents, how, &mut column);
                grid.push(pieces.labels, true, column);
                Ok(())
            })?;
            grid.sort();
            if kind.counter {
                for row in &grid.rows {
                    self.note_counter(row.labels.metric_name(), range_arg.at);
                }
            }
            return Ok(grid);
        }
        self.each_samples(range_arg, &frame, &mut |samples| {
            let places = frame.places(self, &samples.times)?;
            let function = function(id, &samples, &places, &params);
            let column = frame.column(self, &samples, &places, function)?;
            let drop_name = !keeps_name || samples.drop_name;
            grid.push(samples.labels, drop_name, column);
            Ok(())
        })?;
        grid.sort();
        Ok(grid)
    }

    /// Warns of quantiles outside of 0 to 1.
    pub(super) fn note_quantiles(&self, quantiles: &[f64], at: usize) {
        for q in quantiles.iter().filter(|q| !(0.0..=1.0).contains(*q)) {
            let text = format!(
                "quantile value should be between 0 and 1, got {}",
                super::aggregate::go_float(*q)
            );
            self.notes.add(Level::Warning, at, text);
        }
    }

    fn note_counter(&self, name: &str, at: usize) {
        let counts = ["_total", "_sum", "_count", "_bucket"];
        if !name.is_empty() && !counts.iter().any(|suffix| name.ends_with(suffix)) {
            let text = format!(
                "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: \
                 {name:?}"
            );
            self.notes.add(Level::Info, at, text);
        }
    }
}

fn check_factors(params: &[Column]) -> Result<(), Error> {
    for (column, (what, short)) in params.iter().zip([("smoothing", "sf"), ("trend", "tf")]) {
        if let Some(factor) = column
            .iter()
            .find(|factor| !(**factor > 0.0 && **factor < 1.0))
        {
            return Err(Error::execution(format!(
                "invalid {what} factor. Expected: 0 < {short} < 1, got: {factor:.6}"
            )));
        }
    }
    Ok(())
}

/// The function for one series.
fn function<'s>(
    id: Id,
    samples: &'s Samples,
    places: &'s Places,
    params: &'s [Column],
) -> Slide<'s> {
    match id {
        Id::Irate => rate::last_two(true),
        Id::Idelta => rate::last_two(false),
        Id::Resets => rate::neighbours(samples, |before, after| after < before),
        Id::Changes => rate::neighbours(samples, changed),
        Id::MinOverTime if places.overlap_little => {
            Box::new(|window| Ok(scan::<false>(window.values())))
        }
        Id::MaxOverTime if places.overlap_little => {
            Box::new(|window| Ok(scan::<true>(window.values())))
        }
        Id::MinOverTime => extreme(|new, kept| new < kept, Give::Value),
        Id::MaxOverTime => extreme(|new, kept| new > kept, Give::Value),
        Id::TsOfMinOverTime => extreme(|new, kept| new <= kept, Give::Time),
        Id::TsOfMaxOverTime => extreme(|new, kept| new >= kept, Give::Time),
        Id::Deriv => Box::new(|window| Ok(trend(window, window.times().first(), |slope, _| slope))),
        Id::PredictLinear => Box::new(|window| {
            let ahead = params[0][window.step];
            Ok(trend(window, Some(&window.at), |slope, value| {
                slope * ahead + value
            }))
        }),
        Id::DoubleExponentialSmoothing => Box::new(|window| {
            let (smoothing, trend) = (params[0][window.step], params[1][window.step]);
            Ok(regression::smooth(window.values(), smoothing, trend))
        }),
        Id::QuantileOverTime => {
            let mut scratch = Vec::new();
            Box::new(move |window| {
                scratch.clear();
                scratch.extend_from_slice(window.values());
                Ok(Some(quantile::quantile(
                    params[0][window.step],
                    &mut scratch,
                )))
            })
        }
        _ => Box::new(move |window| plain(id, window).map(Some)),
    }
}

fn trend(window: &Window<'_>, origin: Option<&i64>, give: impl Fn(f64, f64) -> f64) -> Option<f64> {
    if window.values().len() < 2 {
        return None;
    }
    let (slope, value) = regression::line(window.times(), window.values(), *origin?);
    Some(give(slope, value))
}

/// The functions that only look at what is in the window, which is not empty.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
fn plain(id: Id, window: &Window<'_>) -> Result<f64, Error> {
    let (times, values) = (window.times(), window.values());
    let last = values.len() - 1;
    Ok(match id {
        Id::SumOverTime => rate::sum(values),
        Id::AvgOverTime => {
            let mut mean = Mean::of(values[0]);
            values[1..].iter().for_each(|value| mean.add(*value));
            mean.value()
        }
        Id::CountOverTime => values.len() as f64,
        Id::LastOverTime => values[last],
        Id::FirstOverTime => values[0],
        Id::TsOfLastOverTime => seconds(times[last]),
        Id::TsOfFirstOverTime => seconds(times[0]),
        Id::PresentOverTime => 1.0,
        Id::StdvarOverTime => variance(values),
        Id::StddevOverTime => variance(values).sqrt(),
        Id::MadOverTime => quantile::median_absolute_deviation(&mut values.to_vec()),
        _ => {
            return Err(Error::execution(format!(
                "{id:?} is not a function of a range vector"
            )));
        }
    })
}

fn variance(values: &[f64]) -> f64 {
    let mut variance = Variance::default();
    values.iter().for_each(|value| variance.add(*value));
    variance.value()
}

#[expect(
    clippy::float_cmp,
    reason = "any difference of the bits that count is a change"
)]
fn changed(before: f64, after: f64) -> bool {
    before != after && !(before.is_nan() && after.is_nan())
}

/// The least or, if `GREATEST`, the greatest of a few; NaN only if there is nothing else.
fn scan<const GREATEST: bool>(values: &[f64]) -> Option<f64> {
    const LANES: usize = 8;
    let beats = |new: f64, kept: f64| if GREATEST { new > kept } else { new < kept };
    let worst = if GREATEST {
        f64::NEG_INFINITY
    } else {
        f64::INFINITY
    };
    let mut lanes = [worst; LANES];
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for (kept, new) in lanes.iter_mut().zip(chunk) {
            *kept = if beats(*new, *kept) { *new } else { *kept };
        }
    }
    let all = lanes.iter().chain(rest);
    let best = all.fold(
        worst,
        |kept, new| if beats(*new, kept) { *new } else { kept },
    );
    // What lanes cannot tell: nothing but NaN, and which of the zeros came first.
    if best.is_finite() && best.abs() > 0.0 {
        return Some(best);
    }
    values.iter().copied().reduce(|kept, new| {
        if beats(new, kept) || kept.is_nan() {
            new
        } else {
            kept
        }
    })
}

/// What of the extreme sample is asked for.
#[derive(Clone, Copy)]
enum Give {
    Value,
    Time,
}

/// The least or greatest of each window, by a queue of the samples that may still become it: a
/// sample leaves when it slides out or when a later one `beats` it. NaN is beaten by anything and
/// is the answer only where there is nothing else.
fn extreme(beats: impl Fn(f64, f64) -> bool + 'static, give: Give) -> Slide<'static> {
    let mut candidates: VecDeque<(usize, i64, f64)> = VecDeque::new();
    let mut seen = 0;
    Box::new(move |window| {
        seen = seen.max(window.low);
        while seen < window.high {
            let index = seen - window.low;
            let (time, value) = (window.times()[index], window.values()[index]);
            // Of equals the first stays in front unless a later one beats its equal.
            while candidates
                .back()
                .is_some_and(|(_, _, kept)| kept.is_nan() || beats(value, *kept))
            {
                candidates.pop_back();
            }
            candidates.push_back((seen, time, value));
            seen += 1;
        }
        while candidates
            .front()
            .is_some_and(|(index, ..)| *index < window.low)
        {
            candidates.pop_front();
        }
        // A NaN behind a number never gets in front of it but by the number sliding out.
        Ok(candidates.front().map(|(_, time, value)| match give {
            Give::Value => *value,
            Give::Time => seconds(*time),
        }))
    })
}
