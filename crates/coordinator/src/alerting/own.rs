//! The coordinator's own metrics, kept as series, so that rules can watch it too.

use std::sync::Arc;

use alert::rules::Recorded;
use daemon::metrics::MetricFamily;
use series::labels::METRIC_NAME;
use series::{LabelsBuilder, Timestamp};

use super::office::Ground;
use super::recorder::Recorder;

/// What the label `job` says.
const JOB: &str = "vedette-coordinator";
/// How often to look again whether it is wanted.
const LOOK_EVERY: std::time::Duration = std::time::Duration::from_secs(30);

/// Keeps them until the drain.
pub(super) async fn run(ground: Ground, recorder: Recorder) {
    loop {
        let config = Arc::clone(&ground.config.borrow());
        let every = config.alerting.own_metrics_interval.as_duration();
        let wait = if every.is_zero() { LOOK_EVERY } else { every };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = ground.shutdown.draining() => return,
        }
        if every.is_zero() {
            continue;
        }
        let at = Timestamp::from_millis(ground.clock.wall_millis());
        let families = ground.registry.gather();
        let samples = samples(&families, &config.http_listen.to_string(), at);
        if let Err(error) = recorder.record(&samples).await {
            tracing::warn!(error, "own metrics could not be kept");
        }
    }
}

fn samples(families: &[MetricFamily], instance: &str, at: Timestamp) -> Vec<Recorded> {
    let all = families
        .iter()
        .flat_map(|family| family.samples.iter().map(move |sample| (family, sample)));
    let recorded = all.filter_map(|(family, sample)| {
        let mut labels = LabelsBuilder::default();
        labels.push(METRIC_NAME, &format!("{}{}", family.name, sample.suffix));
        labels.push("job", JOB);
        labels.push("instance", instance);
        for (name, value) in &sample.labels {
            labels.push(name, value);
        }
        Some(Recorded {
            // Our own names are valid.
            labels: Arc::new(labels.build().ok()?),
            at,
            value: sample.value,
        })
    });
    recorded.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use daemon::metrics::MetricKind;

    #[test]
    fn families_become_series_with_their_place() {
        let family = MetricFamily::new("x_total", "X.", MetricKind::Counter);
        let family = family.with(&[("reason", "late")], 3.0);
        let samples = samples(&[family], "host:1", Timestamp::from_millis(5));
        assert_eq!(samples.len(), 1);
        let labels = &samples[0].labels;
        assert_eq!(labels.metric_name(), "x_total");
        assert_eq!(labels.get("job"), JOB);
        assert_eq!(labels.get("instance"), "host:1");
        assert_eq!(labels.get("reason"), "late");
        assert_eq!(samples[0].value.to_bits(), 3.0_f64.to_bits());
    }
}
