//! What is told of the rules.

use std::sync::{Arc, Mutex, PoisonError};

use daemon::metrics::{Counter, Gauge, Histogram, MetricFamily, MetricKind, Registry};

const VALID: &str = "the names are constants and a test builds them all";

/// Counters, gauges and histograms of the rules.
#[derive(Debug)]
pub(super) struct RulesMetrics {
    /// Rules that run.
    pub(super) running: Gauge,
    /// Rules given.
    pub(super) rules: Gauge,
    /// Alerts that fire.
    pub(super) firing: Gauge,
    /// Series kept for them.
    pub(super) series: Gauge,
    /// One round over the rules that are due.
    pub(super) seconds: Histogram,
    /// Evaluations of rules.
    pub(super) evaluations: Counter,
    /// Evaluations that failed.
    pub(super) failures: Counter,
    /// Rules that do not run because their series do not fit.
    pub(super) unfit: Counter,
    /// Rounds of samples that rules did not get.
    pub(super) skipped: Counter,
    version: Arc<Mutex<String>>,
}

impl RulesMetrics {
    /// Registers everything.
    pub(super) fn new(registry: &Registry) -> Self {
        let gauge = |name, help| registry.gauge(name, help, &[]).expect(VALID);
        let counter = |name, help| registry.counter(name, help, &[]).expect(VALID);
        let version: Arc<Mutex<String>> = Arc::default();
        let shown = Arc::clone(&version);
        registry.collector(move || {
            let help = "The version of the rules that the agent was given.";
            let family = MetricFamily::new("vedette_agent_rules_info", help, MetricKind::Gauge);
            let version = shown.lock().unwrap_or_else(PoisonError::into_inner);
            vec![family.with(&[("version", &version)], 1.0)]
        });
        let seconds = registry.histogram(
            "vedette_agent_rules_seconds",
            "One round over the rules that are due.",
            &[],
        );
        Self {
            running: gauge("vedette_agent_rules_running", "Rules that run here."),
            rules: gauge("vedette_agent_rules", "Rules that the agent was given."),
            firing: gauge("vedette_agent_alerts_firing", "Alerts that fire by them."),
            series: gauge("vedette_agent_rules_series", "Series kept for them."),
            seconds: seconds.expect(VALID),
            evaluations: counter("vedette_agent_rule_evaluations_total", "Rules evaluated."),
            failures: counter(
                "vedette_agent_rule_failures_total",
                "Evaluations of rules that failed; their alerts stay as they are.",
            ),
            unfit: counter(
                "vedette_agent_rules_unfit_total",
                "Rules left to the coordinator because their series do not fit rules.memory.",
            ),
            skipped: counter(
                "vedette_agent_rules_skipped_rounds_total",
                "Rounds of samples skipped for rules because those before were not evaluated.",
            ),
            version,
        }
    }

    /// Shows which rules there are.
    pub(super) fn show_version(&self, version: &str) {
        let mut shown = self.version.lock().unwrap_or_else(PoisonError::into_inner);
        version.clone_into(&mut shown);
    }
}
