//! Names of the coordinator's own metrics, all of them.

mod of_store;

use std::sync::Arc;

use daemon::metrics::{
    Counter, Gauge, Histogram, MetricFamily, MetricKind, Registry, process_families,
};
use store::Store;

use crate::access::Refusal;
use crate::fleet::Fleet;
use crate::ingest::Breach;
use crate::join::{Denied, Way};
use crate::losses;
use crate::net::Limit;

/// Why a batch was not taken in. Everything dropped is counted with one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Its columns do not decode.
    Damaged,
    /// It names series that its stream did not define, or not as many as it has columns.
    UnknownSeries,
    /// A sample lies before what is kept.
    TimeOutOfRange,
}

impl Refused {
    /// All reasons.
    pub const ALL: [Self; 3] = [Self::Damaged, Self::UnknownSeries, Self::TimeOutOfRange];

    /// The value of the label `reason`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Damaged => "damaged",
            Self::UnknownSeries => "unknown_series",
            Self::TimeOutOfRange => "time_out_of_range",
        }
    }
}

/// Handles to all counters, gauges and histograms.
#[derive(Debug)]
pub struct Metrics {
    /// Where they are gathered.
    pub registry: Registry,
    /// Streams of agents that are open now.
    pub streams: Gauge,
    /// Bytes of definitions and batches received.
    pub received_bytes: Counter,
    /// Batches taken in.
    pub batches: Counter,
    /// Samples taken in.
    pub samples: Counter,
    /// Batches that had been taken in before.
    pub duplicates: Counter,
    /// Batches refused, by [`Refused`].
    pub refused: [Counter; 3],
    /// Batches that never came and never will, by [`losses::REASONS`].
    pub lost: [Counter; losses::REASONS.len()],
    /// Samples of agents that were left out because their time has not come.
    pub future_samples: Counter,
    /// Samples of agents that were left out because their series were refused.
    pub homeless_samples: Counter,
    /// Times that an agent was told to wait.
    pub slowed: Counter,
    /// Times that an agent had to wait because it sent more than its quota.
    pub over_quota: Counter,
    /// Streams that became too old.
    pub moved: Counter,
    /// Streams ended because the agent did not read their answers.
    pub unread_streams: Counter,
    /// Streams ended because of what the agent said, by [`Breach`].
    pub protocol_errors: [Counter; Breach::ALL.len()],
    /// Events recorded.
    pub events: Counter,
    /// From a batch's arrival to its acknowledgement.
    pub acknowledge_seconds: Histogram,
    /// One commit of the writer, sync included.
    pub commit_seconds: Histogram,
    /// Commits of the writer; batches over commits is the size of a group.
    pub commits: Counter,
    /// One flush of the head.
    pub flush_seconds: Histogram,
    /// One compaction.
    pub compaction_seconds: Histogram,
    /// Remote-write requests taken in, in whole or in part.
    pub write_requests: Counter,
    /// Remote-write requests of which nothing was taken in.
    pub write_failures: Counter,
    /// Samples of remote write that were refused.
    pub write_refused_samples: [Counter; remote::Reason::ALL.len()],
    /// Words of losses that cannot be read.
    pub unreadable_losses: Gauge,
    /// Words of losses that were dropped because there were too many of their agents.
    pub dropped_losses: Counter,
    /// Flushes, compactions and retentions that failed.
    pub upkeep_failures: Counter,
    /// Queries answered, from receipt to the last series.
    pub query_seconds: Histogram,
    /// Queries that failed.
    pub query_failures: Counter,
    /// Keys in the configuration that mean nothing.
    pub config_unknown_keys: Gauge,
    /// Callers who were not let in, by [`Refusal`].
    pub access_refused: [Counter; Refusal::REASONS.len()],
    /// Certificates issued to agents, by [`Way`].
    pub certificates_issued: [Counter; Way::ALL.len()],
    /// Certificates that were asked for and not issued, by [`Denied`].
    pub certificates_refused: [Counter; Denied::REASONS.len()],
    /// Entries of the audit log that were not written.
    pub audit_left_out: Counter,
    /// Connections that ended before they said anything that could be understood.
    pub handshake_failures: Counter,
    /// Connections that a limit ended or held up, by [`Limit`].
    pub limited_connections: [Counter; Limit::ALL.len()],
}

const VALID: &str = "the names are constants and a test builds them all";

impl Metrics {
    /// Registers everything.
    #[must_use]
    #[expect(clippy::too_many_lines, reason = "a list of names and what they mean")]
    pub fn new() -> Arc<Self> {
        let registry = Registry::new();
        let counter = |name, help| registry.counter(name, help, &[]).expect(VALID);
        let gauge = |name, help| registry.gauge(name, help, &[]).expect(VALID);
        let histogram = |name, help| registry.histogram(name, help, &[]).expect(VALID);
        let refused = Refused::ALL.map(|reason| {
            let help = "Batches refused, by reason.";
            let labels = [("reason", reason.as_str())];
            registry
                .counter("vedette_coordinator_refused_batches_total", help, &labels)
                .expect(VALID)
        });
        let lost = losses::REASONS.map(|reason| {
            let help = "Batches that agents made and that will never come, by reason; of thinned ones, refused_part, series_refused and those with samples of the future a part has come.";
            let labels = [("reason", reason)];
            registry
                .counter("vedette_coordinator_lost_batches_total", help, &labels)
                .expect(VALID)
        });
        let write_refused_samples = remote::Reason::ALL.map(|reason| {
            let help = "Samples of remote write that were refused, by reason.";
            let labels = [("reason", reason.as_str())];
            registry
                .counter(
                    "vedette_coordinator_write_refused_samples_total",
                    help,
                    &labels,
                )
                .expect(VALID)
        });
        let access_refused = Refusal::REASONS.map(|reason| {
            let help = "Calls that were not let in, by reason.";
            let labels = [("reason", reason)];
            registry
                .counter("vedette_coordinator_access_refused_total", help, &labels)
                .expect(VALID)
        });
        let certificates_issued = Way::ALL.map(|way| {
            let help = "Certificates issued to agents: for a token, or for the certificate before.";
            let name = "vedette_coordinator_certificates_issued_total";
            registry.counter(name, help, &[("way", way)]).expect(VALID)
        });
        let certificates_refused = Denied::REASONS.map(|reason| {
            let help = "Certificates that were asked for and not issued, by reason.";
            let name = "vedette_coordinator_certificates_refused_total";
            let labels = [("reason", reason)];
            registry.counter(name, help, &labels).expect(VALID)
        });
        let limited_connections = Limit::ALL.map(|limit| {
            let help = "Connections that were ended because their handshake, or a head or body on them, came too slowly; and times that others had to wait because there were too many (connections) or too many handshakes under way (handshakes).";
            let labels = [("reason", limit.as_str())];
            registry
                .counter("vedette_coordinator_limited_connections_total", help, &labels)
                .expect(VALID)
        });
        let protocol_errors = Breach::ALL.map(|breach| {
            let help = "Streams ended because of what the agent said, or did not say, by reason.";
            let name = "vedette_coordinator_protocol_errors_total";
            let labels = [("reason", breach.as_str())];
            registry.counter(name, help, &labels).expect(VALID)
        });
        let metrics = Self {
            access_refused,
            certificates_issued,
            certificates_refused,
            limited_connections,
            audit_left_out: counter(
                "vedette_coordinator_audit_left_out_total",
                "Entries of the audit log that were not written.",
            ),
            handshake_failures: counter(
                "vedette_coordinator_handshake_failures_total",
                "Connections that ended, or said nothing, before they could be understood.",
            ),
            streams: gauge(
                "vedette_coordinator_streams",
                "Agent streams that are open.",
            ),
            received_bytes: counter(
                "vedette_coordinator_received_bytes_total",
                "Bytes of definitions and batches received.",
            ),
            batches: counter("vedette_coordinator_batches_total", "Batches taken in."),
            samples: counter("vedette_coordinator_samples_total", "Samples taken in."),
            duplicates: counter(
                "vedette_coordinator_duplicate_batches_total",
                "Batches that had been taken in before.",
            ),
            refused,
            lost,
            future_samples: counter(
                "vedette_coordinator_future_samples_total",
                "Samples of agents that were left out because they are later than ingest.future_max allows.",
            ),
            homeless_samples: counter(
                "vedette_coordinator_refused_series_samples_total",
                "Samples of agents that were left out because their series were refused when they were defined.",
            ),
            over_quota: counter(
                "vedette_coordinator_over_quota_total",
                "Times that an agent had to wait because it sent more than its quota.",
            ),
            moved: counter(
                "vedette_coordinator_moved_streams_total",
                "Streams whose agents were asked to open another.",
            ),
            slowed: counter(
                "vedette_coordinator_slowed_total",
                "Times that an agent was told to wait.",
            ),
            unread_streams: counter(
                "vedette_coordinator_unread_streams_total",
                "Streams ended because their agent read no answer for a minute.",
            ),
            protocol_errors,
            events: counter("vedette_coordinator_events_total", "Events recorded."),
            acknowledge_seconds: histogram(
                "vedette_coordinator_acknowledge_seconds",
                "From the arrival of a batch to its acknowledgement.",
            ),
            commit_seconds: histogram(
                "vedette_coordinator_commit_seconds",
                "One commit of the writer, sync included.",
            ),
            commits: counter(
                "vedette_coordinator_commits_total",
                "Commits of the writer.",
            ),
            flush_seconds: histogram(
                "vedette_coordinator_flush_seconds",
                "One flush of the head into chunks.",
            ),
            compaction_seconds: histogram(
                "vedette_coordinator_compaction_seconds",
                "One merge of small runs of chunks into a large one.",
            ),
            write_requests: counter(
                "vedette_coordinator_write_requests_total",
                "Remote-write requests taken in, in whole or in part.",
            ),
            write_failures: counter(
                "vedette_coordinator_write_failures_total",
                "Remote-write requests of which nothing was taken in.",
            ),
            write_refused_samples,
            unreadable_losses: gauge(
                "vedette_coordinator_unreadable_losses",
                "Words of losses that cannot be read, when they were last looked through.",
            ),
            dropped_losses: counter(
                "vedette_coordinator_dropped_losses_total",
                "Words of losses that were dropped because there were more than 10000 of their agent.",
            ),
            upkeep_failures: counter(
                "vedette_coordinator_upkeep_failures_total",
                "Flushes, compactions and retentions that failed.",
            ),
            query_seconds: histogram(
                "vedette_coordinator_query_seconds",
                "Queries answered, from receipt to the evaluated answer.",
            ),
            query_failures: counter(
                "vedette_coordinator_query_failures_total",
                "Queries that failed.",
            ),
            config_unknown_keys: gauge(
                "vedette_coordinator_config_unknown_keys",
                "Keys in the configuration that mean nothing.",
            ),
            registry,
        };
        metrics.streams.set(0.0);
        metrics.unreadable_losses.set(0.0);
        metrics.registry.collector(process_families);
        metrics
            .registry
            .collector(|| vec![daemon::version::BuildInfo::current().family()]);
        Arc::new(metrics)
    }

    /// The counter of a reason.
    #[must_use]
    pub fn refused(&self, reason: Refused) -> &Counter {
        match reason {
            Refused::Damaged => &self.refused[0],
            Refused::UnknownSeries => &self.refused[1],
            Refused::TimeOutOfRange => &self.refused[2],
        }
    }

    /// The counter of streams that ended so.
    #[must_use]
    pub fn breach(&self, breach: Breach) -> &Counter {
        &self.protocol_errors[breach as usize]
    }

    /// The counter of connections that a limit ended or held up.
    #[must_use]
    pub fn limited(&self, limit: Limit) -> &Counter {
        &self.limited_connections[limit as usize]
    }

    /// The counter of batches lost for one of [`losses::REASONS`].
    #[must_use]
    pub fn lost(&self, reason: &str) -> &Counter {
        let at = losses::REASONS.iter().position(|known| *known == reason);
        &self.lost[at.unwrap_or(0)]
    }

    /// Tells what the fleet says of itself.
    pub fn watch_fleet(&self, fleet: &Fleet) {
        let fleet = fleet.clone();
        self.registry.collector(move || {
            let offset = fleet.clock_offset();
            vec![
                MetricFamily::new(
                    "vedette_coordinator_clock_offset_seconds",
                    "How far the clock of a connected agent is off ours at most, ahead or behind.",
                    MetricKind::Gauge,
                )
                .with(&[], offset.as_secs_f64()),
            ]
        });
    }

    /// Adds what the store knows of itself.
    pub fn watch_store(&self, store: &Arc<Store>) {
        let store = Arc::clone(store);
        self.registry.collector(move || of_store::all(&store));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_names_are_valid_and_reasons_have_their_counter() {
        let metrics = Metrics::new();
        for (index, breach) in Breach::ALL.into_iter().enumerate() {
            metrics.breach(breach).inc();
            assert_eq!(metrics.protocol_errors[index].get(), 1);
        }
        for (index, reason) in Refused::ALL.into_iter().enumerate() {
            metrics.refused(reason).inc();
            assert_eq!(metrics.refused[index].get(), 1);
        }
        let page = daemon::metrics::render_text(&metrics.registry.gather());
        assert!(page.contains("vedette_coordinator_refused_batches_total{reason=\"damaged\"} 1"));
    }
}
