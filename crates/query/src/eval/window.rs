//! Windows that slide over samples: what range vectors are made of.

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use foldhash::fast::FixedState;
use series::{Floats, Labels};

use super::grid::present;
use super::select::Fresh;
use super::{Column, Context, Placed, Steps, rate};
use crate::answer::Series;
use crate::ast::{Kind, Subquery};
use crate::error::Error;
use crate::parse::Expr;
use crate::source::Values;

/// The window that slides over each series of a range vector.
pub(crate) struct Frame {
    pub(super) range: i64,
    placed: Placed,
    steps: Steps,
    shared: RefCell<HashMap<usize, Rc<Places>, FixedState>>,
}

/// Where the windows lie in one time column, which many series may share.
pub(super) struct Places {
    times: Arc<[i64]>,
    /// For each step the first sample inside and the first after the window.
    pub(super) bounds: Vec<(u32, u32)>,
    /// What counters need to know of the times.
    extents: OnceCell<Vec<rate::Extent>>,
    /// Whether windows overlap so little that looking at each sample of each anew costs less than to
    /// slide.
    pub(super) overlap_little: bool,
}

/// Looks at a sample, many at a time, that cost what one step of a slide does.
const LOOKS_MAX: u64 = 16;

/// Most time columns whose windows are kept.
pub(super) const PLACES_MAX: usize = 256;

/// The samples of one series, stale markers left out.
pub(super) struct Samples {
    pub(super) labels: Arc<Labels>,
    pub(super) drop_name: bool,
    pub(super) times: Arc<[i64]>,
    pub(super) values: Arc<[f64]>,
}

/// The same before its pieces are joined.
pub(super) struct Pieces {
    pub(super) labels: Arc<Labels>,
    pub(super) drop_name: bool,
    pub(super) times: Arc<[i64]>,
    pub(super) values: Floats,
}

/// What one step sees of one series: the samples `low..high`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window<'s> {
    all_times: &'s [i64],
    all_values: &'s [f64],
    /// Index of the first sample inside.
    pub(super) low: usize,
    /// Index after the last sample inside.
    pub(super) high: usize,
    /// The time of evaluation.
    pub(super) at: i64,
    /// The index of the step.
    pub(super) step: usize,
}

impl<'s> Window<'s> {
    pub(super) fn times(&self) -> &'s [i64] {
        &self.all_times[self.low..self.high]
    }

    pub(super) fn values(&self) -> &'s [f64] {
        &self.all_values[self.low..self.high]
    }
}

/// Computes one step's value from its window. It may keep state: windows only move forward.
pub(super) type Slide<'s> = Box<dyn FnMut(&Window<'_>) -> Result<Option<f64>, Error> + 's>;

impl Frame {
    /// A window that is open at its start and `range` milliseconds long.
    pub(super) fn new(range: i64, placed: Placed, steps: &Steps) -> Self {
        Self {
            range,
            placed,
            steps: *steps,
            shared: RefCell::default(),
        }
    }

    /// Where the windows lie in `times`; found once for all series that share them.
    pub(super) fn places(
        &self,
        context: &Context<'_>,
        times: &Arc<[i64]>,
    ) -> Result<Rc<Places>, Error> {
        let address = times.as_ptr().addr();
        let mut shared = self.shared.borrow_mut();
        // The column is held, so its address is its own.
        if let Some(places) = shared
            .get(&address)
            .filter(|it| Arc::ptr_eq(&it.times, times))
        {
            return Ok(Rc::clone(places));
        }
        let mut bounds = Vec::with_capacity(self.steps.count);
        let (mut low, mut high) = (0, 0);
        for at in self.steps.iter() {
            let end = self.placed.time(at);
            let start = end.saturating_sub(self.range);
            while times.get(high).is_some_and(|time| *time <= end) {
                high += 1;
            }
            while low < high && times[low] <= start {
                low += 1;
            }
            bounds.push((index(low)?, index(high)?));
        }
        context.check()?;
        let looks = bounds.iter().map(|(low, high)| u64::from(high - low));
        let overlap_little = looks.sum::<u64>() <= LOOKS_MAX * times.len() as u64;
        let places = Rc::new(Places {
            times: Arc::clone(times),
            bounds,
            extents: OnceCell::new(),
            overlap_little,
        });
        if shared.len() >= PLACES_MAX {
            shared.clear();
        }
        shared.insert(address, Rc::clone(&places));
        Ok(places)
    }

    /// What the times of each window say to counters.
    pub(super) fn extents<'p>(&self, places: &'p Places) -> &'p [rate::Extent] {
        places.extents.get_or_init(|| {
            let windows = places.bounds.iter().zip(self.steps.iter());
            let extents = windows.map(|((low, high), at)| {
                let end = self.placed.time(at);
                let times = places.times.get(*low as usize..*high as usize);
                rate::extent(
                    times.unwrap_or_default(),
                    end.saturating_sub(self.range),
                    end,
                )
            });
            extents.collect()
        })
    }

    /// The window of each step, in order.
    pub(super) fn windows<'s>(
        &'s self,
        samples: &'s Samples,
        places: &'s Places,
    ) -> impl Iterator<Item = Window<'s>> {
        let bounds = places.bounds.iter().zip(self.steps.iter()).enumerate();
        bounds.map(|(step, (&(low, high), at))| Window {
            all_times: &samples.times,
            all_values: &samples.values,
            low: low as usize,
            high: high as usize,
            at,
            step,
        })
    }

    /// The value of `function` at each step.
    pub(super) fn column(
        &self,
        context: &Context<'_>,
        samples: &Samples,
        places: &Places,
        mut function: Slide<'_>,
    ) -> Result<Column, Error> {
        let mut column = context.column(&self.steps)?;
        for (window, cell) in self.windows(samples, places).zip(&mut column) {
            // One series with long windows can take long, so each window asks.
            context.check()?;
            if window.low < window.high
                && let Some(value) = function(&window)?
            {
                *cell = value;
            }
        }
        Ok(column)
    }
}

/// Samples of one series are held in memory, so 32 bits count them.
fn index(at: usize) -> Result<u32, Error> {
    u32::try_from(at).map_err(|_too_many| Error::execution("a series has too many samples"))
}

impl Context<'_> {
    /// The window of an expression that the parser has checked to be a range vector.
    pub(crate) fn frame(&self, expr: &Expr, steps: &Steps) -> Result<Frame, Error> {
        let (range, shift) = match &expr.unwrapped().kind {
            Kind::Range { selector, range } => (range, &selector.shift),
            Kind::Subquery(subquery) => (&subquery.range, &subquery.shift),
            _ => return Err(Error::execution("expected a range vector")),
        };
        let range = self.millis_above_zero(range)?;
        Ok(Frame::new(range, self.placed(shift)?, steps))
    }

    /// Hands each series of such an expression to `visit`, one after another and in no order.
    pub(super) fn each_samples(
        &self,
        expr: &Expr,
        frame: &Frame,
        visit: &mut dyn FnMut(Samples) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.each_pieces(expr, frame, &mut |pieces| {
            visit(Samples {
                labels: pieces.labels,
                drop_name: pieces.drop_name,
                times: pieces.times,
                values: pieces.values.whole(),
            })
        })
    }

    /// As [`Context::each_samples`], for functions that look at few samples of a window.
    pub(super) fn each_pieces(
        &self,
        expr: &Expr,
        frame: &Frame,
        visit: &mut dyn FnMut(Pieces) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if frame.steps.count == 0 {
            return Ok(());
        }
        match &expr.unwrapped().kind {
            Kind::Range { selector, .. } => {
                let Frame {
                    placed,
                    range,
                    steps,
                    ..
                } = frame;
                let mut fresh = Fresh::default();
                self.each_raw(&selector.matchers, placed, *range, steps, &mut |raw| {
                    self.check()?;
                    let (times, values) = fresh.of(raw);
                    visit(Pieces {
                        labels: Arc::clone(&raw.labels),
                        drop_name: false,
                        times,
                        values,
                    })
                })
            }
            Kind::Subquery(subquery) => self.each_of_subquery(subquery, &frame.steps, visit),
            _ => Err(Error::execution("expected a range vector")),
        }
    }

    fn each_of_subquery(
        &self,
        subquery: &Subquery,
        steps: &Steps,
        visit: &mut dyn FnMut(Pieces) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let inner = self.subquery_steps(subquery, steps)?;
        let whole: Arc<[i64]> = inner.iter().collect();
        for row in self.grid(&subquery.expr, &inner)?.collapsed()?.rows {
            self.check()?;
            self.hold(row.values.len())?;
            let (times, values) = if row.values.iter().all(|value| present(*value)) {
                (Arc::clone(&whole), Floats::from(row.values))
            } else {
                let points = inner.iter().zip(row.values);
                let (times, values): (Vec<i64>, Vec<f64>) =
                    points.filter(|(_, value)| present(*value)).unzip();
                (times.into(), Floats::from(values))
            };
            visit(Pieces {
                labels: row.labels,
                drop_name: row.drop_name,
                times,
                values,
            })?;
        }
        Ok(())
    }

    /// The samples of the only window themselves, as an instant query of a range vector answers.
    pub(super) fn matrix(&self, expr: &Expr, steps: &Steps) -> Result<Vec<Series>, Error> {
        let frame = self.frame(expr, steps)?;
        let mut matrix = Vec::new();
        self.each_samples(expr, &frame, &mut |samples| {
            self.check()?;
            let labels = if samples.drop_name {
                super::labels::without_metadata(&samples.labels)?
            } else {
                Arc::clone(&samples.labels)
            };
            let places = frame.places(self, &samples.times)?;
            for window in frame
                .windows(&samples, &places)
                .filter(|it| it.low < it.high)
            {
                matrix.push(Series {
                    labels: Labels::clone(&labels),
                    times: window.times().to_vec(),
                    values: Values::Float(window.values().into()),
                });
            }
            Ok(())
        })?;
        matrix.sort_by(|a, b| a.labels.cmp(&b.labels));
        if matrix
            .windows(2)
            .any(|pair| pair[0].labels == pair[1].labels)
        {
            return Err(Error::execution(
                "vector cannot contain metrics with the same labelset",
            ));
        }
        Ok(matrix)
    }
}
