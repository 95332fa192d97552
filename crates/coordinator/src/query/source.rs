//! The store as the evaluator sees it.

use std::cell::RefCell;
use std::sync::Arc;

use query::source::{Budget, Selection, SeriesSlice, SeriesSource, SourceError, Values};
use series::{Matcher, TimeRange};
use store::{Meter, Store};

/// Most damaged chunks that one answer names; the rest are counted.
const DAMAGED_NAMED_MAX: usize = 3;

/// A [`Store`] as a [`SeriesSource`].
#[derive(Clone, Debug)]
pub struct StoreSource(pub Arc<Store>);

/// Charges what the store reads to a budget and remembers why it stopped.
struct Charged<'a> {
    budget: &'a Budget,
    stopped: RefCell<Option<SourceError>>,
}

impl Charged<'_> {
    fn goes_on(&self, charged: Result<(), SourceError>) -> bool {
        match charged {
            Ok(()) => true,
            Err(error) => {
                *self.stopped.borrow_mut() = Some(error);
                false
            }
        }
    }
}

impl Meter for Charged<'_> {
    fn series(&self, count: u64) -> bool {
        self.goes_on(self.budget.charge_series(count))
    }

    fn samples(&self, count: u64) -> bool {
        self.goes_on(self.budget.charge_samples(count))
    }
}

impl SeriesSource for StoreSource {
    fn select(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        budget: &Budget,
    ) -> Result<Selection, SourceError> {
        let meter = Charged {
            budget,
            stopped: RefCell::new(None),
        };
        let found = match self.0.select(matchers, range, &meter) {
            Ok(found) => found,
            Err(store::Error::Stopped) => {
                return Err(meter.stopped.into_inner().unwrap_or(SourceError::Cancelled));
            }
            Err(error) => return Err(SourceError::Read(Box::new(error))),
        };
        let mut warnings: Vec<String> = found
            .damaged
            .iter()
            .take(DAMAGED_NAMED_MAX)
            .map(|what| format!("left out: {what}"))
            .collect();
        if found.damaged.len() > DAMAGED_NAMED_MAX {
            let more = found.damaged.len() - DAMAGED_NAMED_MAX;
            warnings.push(format!("left out: {more} more damaged chunks"));
        }
        let series = found
            .series
            .into_iter()
            .map(|series| SeriesSlice {
                labels: series.labels,
                times: series.times,
                values: Values::Float(series.values),
            })
            .collect();
        Ok(Selection {
            series,
            partial: !warnings.is_empty(),
            warnings,
        })
    }
}
