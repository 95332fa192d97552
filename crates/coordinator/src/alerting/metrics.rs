//! The metrics of alerting.

use std::time::Duration;

use alert::{Centre, Delivery, Kind, Notification, Standing};
use daemon::metrics::{Counter, Gauge, Histogram, Registry};
use spec::Channel;

const OUTCOMES: [&str; 3] = ["accepted", "retry", "refused"];
const STANDINGS: [Standing; 2] = [Standing::Open, Standing::Acknowledged];
const VALID: &str = "the names are constants and a test builds them all";

/// Counters, gauges and histograms of alerting.
#[derive(Debug)]
pub struct AlertingMetrics {
    notifications: [[Counter; OUTCOMES.len()]; Channel::ALL.len()],
    latency: Histogram,
    incidents: [Gauge; STANDINGS.len()],
    firing: Gauge,
    refused: Counter,
    queued: Gauge,
    /// One evaluation of a group of rules.
    pub evaluation_seconds: Histogram,
    /// Alerts of other programs that were no alerts.
    pub invalid: Counter,
    /// Rules that could not be evaluated.
    pub evaluation_failures: Counter,
    /// Evaluations left out because the one before was not done in time.
    pub missed: Counter,
    /// Rules in force.
    pub rules: Gauge,
    /// Heartbeats that were taken.
    pub heartbeats: Counter,
    /// Heartbeats that were not taken, or left out because something does not work.
    pub heartbeat_failures: Counter,
    /// Of these, those for agents.
    pub edge_rules: Gauge,
    /// Agents that run the rules in force.
    pub edge_agents: Gauge,
    /// What agents found by their rules.
    pub edge_transitions: Counter,
}

impl AlertingMetrics {
    /// Registers everything.
    #[must_use]
    pub fn new(registry: &Registry) -> Self {
        let gauge = |name, help| registry.gauge(name, help, &[]).expect(VALID);
        let counter = |name, help| registry.counter(name, help, &[]).expect(VALID);
        let histogram = |name, help| registry.histogram(name, help, &[]).expect(VALID);
        let incidents = STANDINGS.map(|standing| {
            let help = "Incidents that are not over.";
            let labels = [("standing", standing.as_str())];
            registry
                .gauge("vedette_coordinator_incidents", help, &labels)
                .expect(VALID)
        });
        Self {
            notifications: notifications(registry),
            incidents,
            latency: histogram(
                "vedette_coordinator_notification_latency_seconds",
                "From the sample that made a rule fire to the provider that took the first word of it.",
            ),
            firing: gauge("vedette_coordinator_alerts_firing", "Alerts that fire."),
            refused: counter(
                "vedette_coordinator_alerts_refused_total",
                "Alerts not taken because there were too many.",
            ),
            queued: gauge(
                "vedette_coordinator_notifications_queued",
                "Notifications that are neither taken nor given up.",
            ),
            evaluation_seconds: histogram(
                "vedette_coordinator_rule_group_seconds",
                "One evaluation of a group of rules.",
            ),
            invalid: counter(
                "vedette_coordinator_alerts_invalid_total",
                "Alerts that other programs posted and that could not be read.",
            ),
            evaluation_failures: counter(
                "vedette_coordinator_rule_failures_total",
                "Evaluations of rules that failed; the state of their alerts is held meanwhile.",
            ),
            missed: counter(
                "vedette_coordinator_rule_group_missed_total",
                "Evaluations of groups left out because the one before was not done in time.",
            ),
            heartbeats: counter(
                "vedette_coordinator_heartbeats_total",
                "Heartbeats that were taken.",
            ),
            heartbeat_failures: counter(
                "vedette_coordinator_heartbeat_failures_total",
                "Heartbeats that were not taken, or left out because alerting does not work.",
            ),
            rules: gauge("vedette_coordinator_rules", "Rules in force."),
            edge_rules: gauge(
                "vedette_coordinator_edge_rules",
                "Rules in force that agents run over their own samples.",
            ),
            edge_agents: gauge(
                "vedette_coordinator_edge_agents",
                "Agents that run the rules in force.",
            ),
            edge_transitions: counter(
                "vedette_coordinator_edge_transitions_total",
                "Alerts that began or ceased to fire by rules that agents run.",
            ),
        }
    }

    /// Counts an attempt.
    pub(super) fn delivered(&self, notification: &Notification, delivery: &Delivery, now: i64) {
        let channels = Channel::ALL.iter().zip(&self.notifications);
        let mut channels = channels.filter(|(it, _)| **it == notification.target.channel);
        let outcome = match delivery {
            Delivery::Accepted { .. } => 0,
            Delivery::Retry { .. } => 1,
            Delivery::Refused { .. } => 2,
        };
        if let Some((_, counters)) = channels.next() {
            counters[outcome].inc();
        }
        let message = &notification.message;
        if let (Kind::Trigger, Delivery::Accepted { .. }, Some(sample)) =
            (&message.kind, delivery, message.sample_millis)
        {
            let millis = now.saturating_sub(sample).max(0).cast_unsigned();
            self.latency.record(Duration::from_millis(millis));
        }
    }

    /// Shows what there is.
    pub(super) fn show(&self, centre: &Centre) {
        for (standing, gauge) in STANDINGS.iter().zip(&self.incidents) {
            let incidents = centre.incidents().filter(|it| it.standing == *standing);
            gauge.set_count(incidents.count());
        }
        self.firing
            .set_count(centre.alerts().filter(|alert| alert.firing).count());
        let before = self.refused.get();
        self.refused.add(centre.refused().saturating_sub(before));
        self.queued.set_count(centre.queued().count());
    }
}

/// Attempts, by channel and what came of them.
fn notifications(registry: &Registry) -> [[Counter; OUTCOMES.len()]; Channel::ALL.len()] {
    Channel::ALL.map(|channel| {
        OUTCOMES.map(|outcome| {
            let help = "Attempts to hand a notification to its provider, by what came of them.";
            let labels = [("channel", channel.as_str()), ("outcome", outcome)];
            registry
                .counter("vedette_coordinator_notifications_total", help, &labels)
                .expect(VALID)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_them_have_names_that_can_be_used() {
        let registry = Registry::new();
        let metrics = AlertingMetrics::new(&registry);
        metrics.refused.add(2);
        let page = daemon::metrics::render_text(&registry.gather());
        let line = "vedette_coordinator_alerts_refused_total 2";
        assert!(page.contains(line), "{page}");
    }
}
