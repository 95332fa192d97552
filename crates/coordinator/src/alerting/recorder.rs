//! What rules record, on its way into the store.

use std::sync::Arc;

use alert::rules::Recorded;
use series::{Labels, MetricKind};
use store::{Arrival, Outcome, Samples, Store};

use crate::writer::Writer;

/// How often it is done again because old series were dropped under it.
const ATTEMPTS: usize = 3;

/// Writes what rules record.
#[derive(Clone, Debug)]
pub struct Recorder {
    /// Where series are known.
    pub store: Arc<Store>,
    /// Who writes.
    pub writer: Writer,
}

impl Recorder {
    /// Makes samples durable. It waits while the writer is busy.
    ///
    /// # Errors
    /// Why they are not.
    pub async fn record(&self, recorded: &[Recorded]) -> Result<(), String> {
        if recorded.is_empty() {
            return Ok(());
        }
        for _ in 0..ATTEMPTS {
            let generation = self.store.generation();
            let arrival = self.arrival(recorded, generation)?;
            let verdict = self.writer.submit(arrival).await;
            let verdict = verdict.map_err(|stopped| stopped.to_string())?.await;
            match verdict.map_err(|_gone| "the writer has stopped".to_owned())? {
                Ok(Outcome::Taken | Outcome::Duplicate) => return Ok(()),
                Ok(Outcome::StaleSeries | Outcome::Scattered) => {}
                Err(error) => return Err(daemon::chain(&*error)),
            }
        }
        Err("old series are being dropped".to_owned())
    }

    fn arrival(&self, recorded: &[Recorded], generation: u64) -> Result<Arrival, String> {
        let labels = recorded.iter();
        let labels = labels.map(|it| ((*it.labels).clone(), MetricKind::Gauge));
        let labels: Vec<(Labels, MetricKind)> = labels.collect();
        let defined = self.store.define(&labels);
        let defined = defined.map_err(|error| daemon::chain(&error))?;
        let mut samples = Samples::default();
        // A series for which there is no room has no id; what knows of it counts it.
        for (sample, id) in recorded.iter().zip(defined.ids) {
            let Some(id) = id else { continue };
            samples.series.push(id.number());
            samples.times.push(sample.at.as_millis());
            samples.values.push(sample.value);
        }
        Ok(Arrival {
            generation,
            samples,
            ..Arrival::default()
        })
    }
}
