//! The store as the evaluator sees it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use query::source::{
    Budget, EachSeries, Selected, SeriesSlice, SeriesSource, SourceError, WindowSelection,
    WindowSlice,
};
use rollup::Tier;
use series::{Matcher, TimeRange};
use store::{Meter, Store, WindowSeries};

/// Most damaged chunks that one answer names; the rest are counted.
const DAMAGED_NAMED_MAX: usize = 3;

/// A [`Store`] as a [`SeriesSource`].
#[derive(Clone, Debug)]
pub struct StoreSource {
    /// What is read.
    pub store: Arc<Store>,
    /// Whether a read ends with [`SourceError::NotInMemory`] where it would go to disk.
    pub memory_only: bool,
}

/// Charges what the store reads to a budget and remembers why it stopped.
struct Charged<'a> {
    budget: &'a Budget,
    memory_only: bool,
    stopped: Mutex<Option<SourceError>>,
}

impl<'a> Charged<'a> {
    fn new(source: &StoreSource, budget: &'a Budget) -> Self {
        Self {
            budget,
            memory_only: source.memory_only,
            stopped: Mutex::new(None),
        }
    }

    fn stopped(&self) -> MutexGuard<'_, Option<SourceError>> {
        self.stopped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a read gave, or why it stopped.
    fn outcome<T>(&self, read: Result<T, store::Error>) -> Result<T, SourceError> {
        read.map_err(|error| match error {
            store::Error::Stopped => self.stopped().take().unwrap_or(SourceError::Cancelled),
            error => SourceError::Read(Box::new(error)),
        })
    }

    fn goes_on(&self, charged: Result<(), SourceError>) -> bool {
        match charged {
            Ok(()) => true,
            Err(error) => {
                // The first is what all others come of.
                self.stopped().get_or_insert(error);
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

    fn disk(&self) -> bool {
        let refused = self.memory_only.then_some(SourceError::NotInMemory);
        self.goes_on(refused.map_or(Ok(()), Err))
    }
}

impl SeriesSource for StoreSource {
    fn select_each(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        budget: &Budget,
        each: &mut EachSeries<'_>,
    ) -> Result<Selected, SourceError> {
        let meter = Charged::new(self, budget);
        let read = self
            .store
            .select_each(matchers, range, &meter, &mut |series| {
                let taken = each(SeriesSlice {
                    labels: series.labels,
                    times: series.times,
                    values: series.values,
                });
                if meter.goes_on(taken) {
                    Ok(())
                } else {
                    Err(store::Error::Stopped)
                }
            });
        Ok(said(&meter.outcome(read)?))
    }

    fn tiers(&self) -> &[Tier] {
        &store::KEPT_TIERS
    }

    fn samples_from(&self) -> i64 {
        self.store.samples_from_millis()
    }

    fn windows(
        &self,
        matchers: &[Matcher],
        tier: Tier,
        range: TimeRange,
        budget: &Budget,
    ) -> Result<WindowSelection, SourceError> {
        let meter = Charged::new(self, budget);
        let found = meter.outcome(self.store.windows(matchers, tier, range, &meter))?;
        let slice = |series: WindowSeries| WindowSlice {
            labels: series.labels,
            windows: series.windows,
        };
        Ok(WindowSelection {
            series: found.series.into_iter().map(slice).collect(),
            said: said(&found.damaged),
        })
    }
}

/// What could not be read, as an answer says it.
fn said(damaged: &[String]) -> Selected {
    let named = damaged.iter().take(DAMAGED_NAMED_MAX);
    let mut warnings: Vec<String> = named.map(|what| format!("left out: {what}")).collect();
    if damaged.len() > DAMAGED_NAMED_MAX {
        let more = damaged.len() - DAMAGED_NAMED_MAX;
        warnings.push(format!("left out: {more} more that are damaged"));
    }
    Selected {
        partial: !warnings.is_empty(),
        warnings,
    }
}
