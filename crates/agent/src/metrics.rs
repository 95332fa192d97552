//! Names of the agent's own metrics, all of them. They are samples like any other.

use std::sync::Arc;

use daemon::metrics::{
    Counter, Gauge, Histogram, MetricFamily, MetricKind as Kind, Registry, process_families,
};
use series::{MetricKind, Snapshot};

use crate::batch::Dropped;
use crate::budget::controller::Resource;
use crate::collect::scrape::{FailureReason, SkipReason, StatsHandle};
use crate::guard::GuardStats;
use crate::pace::{Class, Pace};

/// Handles to the counters of one collector.
#[derive(Clone, Debug)]
pub struct CollectorMetrics {
    /// 1 while it reads, 0 while what it reads is not there or fails.
    pub up: Gauge,
    /// How long one round takes.
    pub seconds: Histogram,
    /// Rounds left out because the one before was not done.
    pub skipped: Counter,
    /// Rounds that failed.
    pub failures: Counter,
}

/// Events dropped because too many were handed in at once, by severity.
#[derive(Clone, Debug)]
pub struct QueueDropped {
    /// They only inform.
    pub info: Counter,
    /// They warn.
    pub warning: Counter,
    /// They are critical.
    pub critical: Counter,
}

/// Events dropped, by reason.
#[derive(Clone, Debug)]
pub struct EventsDropped {
    /// Too many were handed in at once.
    pub queue: QueueDropped,
    /// There was no room to keep them.
    pub full: Counter,
    /// What they were kept in is damaged or missing.
    pub damaged: Counter,
    /// The coordinator refused them.
    pub refused: Counter,
}

impl EventsDropped {
    fn new(registry: &Registry) -> Self {
        let name = "vedette_agent_events_dropped_total";
        let help =
            "Events dropped, by reason; those that found no place in the queue by severity too.";
        let counter = |labels: &[_]| registry.counter(name, help, labels).expect(VALID);
        let [full, damaged, refused] =
            ["full", "damaged", "refused"].map(|reason| counter(&[("reason", reason)]));
        let [info, warning, critical] = ["info", "warning", "critical"]
            .map(|severity| counter(&[("reason", "queue"), ("severity", severity)]));
        Self {
            queue: QueueDropped {
                info,
                warning,
                critical,
            },
            full,
            damaged,
            refused,
        }
    }
}

/// What the budget tells of itself.
#[derive(Debug)]
pub struct BudgetMetrics {
    /// The level of self-throttling.
    pub level: Gauge,
    /// Whether memory is tight.
    pub tight: Gauge,
    /// 1 for what the level is because of, in the order of [`Resource::ALL`].
    pub reason: [Gauge; Resource::ALL.len()],
    /// The share of each cap that is used, in the order of [`Resource::ALL`].
    pub used: [Gauge; Resource::ALL.len()],
    /// The share of the spool's bound that is used.
    pub disk: Gauge,
}

impl BudgetMetrics {
    fn new(registry: &Registry) -> Self {
        let gauge = |name, help, labels: &[_]| registry.gauge(name, help, labels).expect(VALID);
        let used = |resource| {
            let help = "Of each cap of the agent on itself, the share in use.";
            let labels = [("resource", resource)];
            gauge("vedette_agent_budget_used_ratio", help, &labels)
        };
        let reason = |resource: Resource| {
            let help = "What the agent spares because of.";
            let labels = [("resource", resource.as_str())];
            let gauge = gauge("vedette_agent_throttle_reason", help, &labels);
            gauge.set(0.0);
            gauge
        };
        let help = "How much the agent spares to keep its budget, 0 for nothing.";
        let level = gauge("vedette_agent_throttle_level", help, &[]);
        level.set(0.0);
        let help = "1 while more memory is used than may be, so that nothing is kept that is not needed now.";
        let tight = gauge("vedette_agent_memory_tight", help, &[]);
        tight.set(0.0);
        Self {
            level,
            tight,
            reason: Resource::ALL.map(reason),
            used: Resource::ALL.map(|resource| used(resource.as_str())),
            disk: used("disk"),
        }
    }
}

/// What is told of the agent's certificate.
#[derive(Debug)]
pub struct CertificateMetrics {
    /// Its end, in seconds since the Unix epoch; missing where there is none.
    pub expiry: Gauge,
    /// Attempts to get one, the first or the next, that failed.
    pub failures: Counter,
}

impl CertificateMetrics {
    fn new(registry: &Registry) -> Self {
        let name = "vedette_agent_certificate_expiry_timestamp_seconds";
        let expiry = registry.gauge(name, "The end of the agent's certificate.", &[]);
        let name = "vedette_agent_certificate_failures_total";
        let help = "Attempts to get a certificate that failed.";
        Self {
            expiry: expiry.expect(VALID),
            failures: registry.counter(name, help, &[]).expect(VALID),
        }
    }
}

/// Handles to everything else.
#[derive(Debug)]
pub struct Metrics {
    /// Where they are gathered.
    pub registry: Registry,
    /// Samples gathered, after the guard.
    pub gathered_samples: Counter,
    /// Samples put into the spool.
    pub spooled_samples: Counter,
    /// Batches put into the spool.
    pub spooled_batches: Counter,
    /// Bytes of the spool, those set aside as damaged included.
    pub spool_bytes: Gauge,
    /// Batches in the spool that are not acknowledged.
    pub spool_pending: Gauge,
    /// Batches lost by the spool (damage, overflow).
    pub spool_lost: Counter,
    /// Files of the spool that were set aside because they are damaged.
    pub spool_damaged: Counter,
    /// Those that were removed after that, because they had more than their share of the disk.
    pub spool_damaged_removed: Counter,
    /// Times that the spool could not take a batch in.
    pub spool_failures: Counter,
    /// Batches that wait in memory because the disk does not take them.
    pub spool_waiting: Gauge,
    /// Batches thinned to about one sample a minute because there was no room.
    pub thinned_batches: Counter,
    /// Segments of the spool looked at for that.
    pub thinned_segments: Counter,
    /// Bytes that thinning has saved.
    pub thinned_bytes: Counter,
    /// Bytes of definitions and batches sent.
    pub sent_bytes: Counter,
    /// Of the bytes sent, those of definitions.
    pub defined_bytes: Counter,
    /// Batches sent, those sent again included.
    pub sent_batches: Counter,
    /// Batches acknowledged.
    pub acknowledged: Counter,
    /// Batches that the coordinator refused for good.
    pub refused: Counter,
    /// Batches of the spool that do not decode, and are passed over.
    pub undecodable: Counter,
    /// From sending a batch to its acknowledgement.
    pub acknowledge_seconds: Histogram,
    /// 1 while the stream to the coordinator stands.
    pub connected: Gauge,
    /// Connections begun.
    pub connects: Counter,
    /// Events recorded by the coordinator.
    pub events: Counter,
    /// Events dropped, by reason.
    pub events_dropped: EventsDropped,
    /// Events that are not recorded.
    pub events_pending: Gauge,
    /// Samples dropped while gathering: over the limit, said twice, bad labels.
    pub dropped: [Counter; 3],
    /// The certificate.
    pub certificate: CertificateMetrics,
    /// Keys in the configuration that mean nothing.
    pub config_unknown_keys: Gauge,
    /// The budget.
    pub budget: BudgetMetrics,
}

const VALID: &str = "the names are constants and a test builds them all";

impl Metrics {
    /// Registers everything but the collectors.
    #[must_use]
    #[expect(clippy::too_many_lines, reason = "a list of names and what they mean")]
    pub fn new() -> Arc<Self> {
        let registry = Registry::new();
        let counter = |name, help| registry.counter(name, help, &[]).expect(VALID);
        let gauge = |name, help| {
            let gauge = registry.gauge(name, help, &[]).expect(VALID);
            gauge.set(0.0);
            gauge
        };
        let dropped = ["over_limit", "duplicate", "bad_labels"].map(|reason| {
            let name = "vedette_agent_dropped_samples_total";
            let help = "Samples dropped while gathering, by reason.";
            let counter = registry.counter(name, help, &[("reason", reason)]);
            counter.expect(VALID)
        });
        let metrics = Self {
            gathered_samples: counter(
                "vedette_agent_gathered_samples_total",
                "Samples gathered, after the guard, stale markers among them.",
            ),
            defined_bytes: counter(
                "vedette_agent_defined_bytes_total",
                "Of the bytes sent, those that say what series there are.",
            ),
            spooled_samples: counter("vedette_agent_spooled_samples_total", "Samples spooled."),
            spooled_batches: counter("vedette_agent_spooled_batches_total", "Batches spooled."),
            spool_bytes: gauge(
                "vedette_agent_spool_bytes",
                "Bytes of the spool and of what was set aside as damaged.",
            ),
            spool_pending: gauge("vedette_agent_spool_pending", "Batches not acknowledged."),
            spool_lost: counter("vedette_agent_spool_lost_total", "Batches the spool lost."),
            spool_damaged: counter(
                "vedette_agent_spool_damaged_segments_total",
                "Files of the spool set aside as damaged.",
            ),
            spool_damaged_removed: counter(
                "vedette_agent_spool_damaged_removed_total",
                "Files set aside as damaged that were removed for room.",
            ),
            spool_failures: counter("vedette_agent_spool_failures_total", "Spool writes failed."),
            spool_waiting: gauge(
                "vedette_agent_spool_waiting",
                "Batches in memory that the disk does not take.",
            ),
            thinned_batches: counter(
                "vedette_agent_spool_thinned_total",
                "Batches of the spool thinned to a sample a minute.",
            ),
            thinned_segments: counter(
                "vedette_agent_spool_thinned_segments_total",
                "Segments of the spool thinned.",
            ),
            thinned_bytes: counter(
                "vedette_agent_spool_thinned_bytes_total",
                "Bytes of the spool saved by thinning.",
            ),
            sent_bytes: counter("vedette_agent_sent_bytes_total", "Bytes sent."),
            sent_batches: counter("vedette_agent_sent_batches_total", "Batches sent."),
            acknowledged: counter("vedette_agent_acknowledged_total", "Batches acknowledged."),
            refused: counter("vedette_agent_refused_total", "Batches refused for good."),
            undecodable: counter(
                "vedette_agent_undecodable_total",
                "Batches of the spool that do not decode.",
            ),
            acknowledge_seconds: registry
                .histogram(
                    "vedette_agent_acknowledge_seconds",
                    "From sending to acknowledgement.",
                    &[],
                )
                .expect(VALID),
            connected: gauge("vedette_agent_connected", "Whether the stream stands."),
            connects: counter("vedette_agent_connects_total", "Connections begun."),
            events: counter("vedette_agent_events_total", "Events recorded."),
            events_dropped: EventsDropped::new(&registry),
            events_pending: gauge("vedette_agent_events_pending", "Events not recorded."),
            dropped,
            certificate: CertificateMetrics::new(&registry),
            budget: BudgetMetrics::new(&registry),
            config_unknown_keys: gauge(
                "vedette_agent_config_unknown_keys",
                "Keys in the configuration that mean nothing.",
            ),
            registry,
        };
        metrics.registry.collector(process_families);
        metrics
            .registry
            .collector(|| vec![daemon::version::BuildInfo::current().family()]);
        Arc::new(metrics)
    }

    /// The counters of the collector `name`.
    #[must_use]
    pub fn collector(&self, name: &'static str) -> CollectorMetrics {
        let labels = [("collector", name)];
        let registry = &self.registry;
        let counter = |name, help| registry.counter(name, help, &labels).expect(VALID);
        CollectorMetrics {
            up: registry
                .gauge(
                    "vedette_agent_collector_up",
                    "Whether the collector reads.",
                    &labels,
                )
                .expect(VALID),
            seconds: registry
                .histogram(
                    "vedette_agent_collector_seconds",
                    "One round of a collector.",
                    &labels,
                )
                .expect(VALID),
            skipped: counter(
                "vedette_agent_collector_skipped_total",
                "Rounds left out because the one before was not done.",
            ),
            failures: counter(
                "vedette_agent_collector_failures_total",
                "Rounds that failed.",
            ),
        }
    }

    /// Adds up what was dropped while gathering.
    pub fn count_dropped(&self, dropped: Dropped) {
        let [over_limit, duplicate, bad_labels] = &self.dropped;
        over_limit.add(dropped.over_limit);
        duplicate.add(dropped.duplicate);
        bad_labels.add(dropped.bad_labels);
    }

    /// Adds what the scrape pool counts.
    pub fn watch_scrapes(&self, stats: StatsHandle) {
        self.registry.collector(move || {
            let stats = stats.read();
            let counter = |name, help| MetricFamily::new(name, help, Kind::Counter);
            let mut failed = counter(
                "vedette_agent_scrapes_failed_total",
                "Scrapes without a page, by reason.",
            );
            for reason in FailureReason::ALL {
                failed.push(
                    &[("reason", reason.as_str())],
                    float(stats.failed_for(reason)),
                );
            }
            let mut skipped = counter(
                "vedette_agent_scrapes_skipped_total",
                "Scrapes not made, by reason.",
            );
            for reason in SkipReason::ALL {
                skipped.push(
                    &[("reason", reason.as_str())],
                    float(stats.skipped_for(reason)),
                );
            }
            let targets = MetricFamily::new(
                "vedette_agent_scrape_targets",
                "Targets being read.",
                Kind::Gauge,
            );
            vec![
                targets.with(&[], float(stats.targets)),
                counter(
                    "vedette_agent_scrapes_total",
                    "Scrapes that brought a page.",
                )
                .with(&[], float(stats.done)),
                failed,
                skipped,
                counter(
                    "vedette_agent_scraped_bytes_total",
                    "Bytes of pages, decompressed.",
                )
                .with(&[], float(stats.page_bytes)),
                counter(
                    "vedette_agent_scrape_lines_refused_total",
                    "Lines of pages refused.",
                )
                .with(&[], float(stats.lines_refused)),
                counter(
                    "vedette_agent_targets_file_errors_total",
                    "Unusable targets files.",
                )
                .with(&[], float(stats.targets_file_errors)),
            ]
        });
    }

    /// Adds the turns that were passed over to keep the budget.
    pub fn watch_pace(&self, pace: Pace) {
        self.registry.collector(move || {
            let mut spared = MetricFamily::new(
                "vedette_agent_throttled_rounds_total",
                "Rounds left out to keep the agent's budget, by what would have been read.",
                Kind::Counter,
            );
            for class in Class::ALL {
                spared.push(&[("class", class.as_str())], float(pace.spared(class)));
            }
            vec![spared]
        });
    }

    /// Adds what the guard folds.
    pub fn watch_guard(&self, stats: GuardStats) {
        self.registry.collector(move || {
            let folded = MetricFamily::new(
                "vedette_agent_folded_series",
                "Series beyond the bounds of their targets, which are folded or left out.",
                Kind::Gauge,
            );
            // The one place where labels come from input: at most ten, and only while there is need.
            let mut worst = MetricFamily::new(
                "vedette_agent_folded_worst_series",
                "The metrics of which most series are folded or left out.",
                Kind::Gauge,
            );
            for it in stats.worst() {
                let labels = [
                    ("target", it.target.as_str()),
                    ("metric", it.metric.as_str()),
                ];
                worst.push(&labels, float(it.folded as u64));
            }
            let left_out = stats.left_out();
            let dropped = MetricFamily::new(
                "vedette_agent_folded_dropped_samples_total",
                "Samples beyond the bounds that could not be folded, by reason.",
                Kind::Counter,
            );
            vec![
                folded.with(&[], float(stats.folded() as u64)),
                worst,
                dropped
                    .with(&[("reason", "no_sum")], float(left_out.no_sum))
                    .with(&[("reason", "no_room")], float(left_out.no_room)),
            ]
        });
    }

    /// Everything as it is now, as samples.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot::default();
        for family in self.registry.gather() {
            let kind = match family.kind {
                Kind::Counter => MetricKind::Counter,
                Kind::Gauge => MetricKind::Gauge,
                Kind::Histogram => MetricKind::Histogram,
                Kind::Info => MetricKind::Info,
            };
            snapshot.family(family.name, kind, family.help);
            for sample in family.samples {
                let name = format!("{}{}", family.name, sample.suffix);
                let labels: Vec<(&str, &str)> = sample
                    .labels
                    .iter()
                    .map(|(name, value)| (*name, value.as_str()))
                    .collect();
                snapshot.push(&name, &labels, sample.value);
            }
        }
        snapshot
    }
}

/// A count as a metric value; exact below 2^53.
#[expect(clippy::cast_precision_loss, reason = "counts stay below 2^53")]
fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_names_are_valid_samples() {
        let metrics = Metrics::new();
        metrics.collector("host").up.set(1.0);
        metrics.watch_scrapes(StatsHandle::default());
        metrics.watch_guard(GuardStats::default());
        metrics.watch_pace(Pace::default());
        let snapshot = metrics.snapshot();
        assert_eq!(snapshot.refused, 0);
        let up = snapshot
            .samples
            .iter()
            .find(|sample| sample.labels.metric_name() == "vedette_agent_collector_up");
        assert_eq!(up.unwrap().labels.get("collector"), "host");
    }
}
