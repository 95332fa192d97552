//! The fifteen kinds of document, and how one is told from another.

mod built;
mod later;

use serde::{Deserialize, Serialize};

use crate::shape::Shape;
use crate::tree::{Entry, Node};

/// What a document is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Metrics and thresholds of a served model.
    ModelPerformanceMonitoring,
    /// Drift of data, performance and concepts.
    DriftMonitoring,
    /// Thresholds of infrastructure, application and business; the ladder of escalation.
    SystemHealthMonitoring,
    /// Budgets and what a dollar buys.
    CostMonitoring,
    /// Detection of anomalies.
    AnomalyDetection,
    /// A method and a baseline for each metric.
    PerformanceAnomalyDetection,
    /// What is going to happen.
    PredictiveMonitoring,
    /// Roles, synchronisation and tolerance of faults.
    DistributedMonitoring,
    /// Metrics made of others, and dashboards.
    CustomMonitoring,
    /// Levels, channels and incidents.
    MultiLevelAlerting,
    /// Triggers and what is done then.
    AutomatedResponse,
    /// Sources, processing and storage.
    MetricsCollection,
    /// Logs and traces.
    LoggingTracing,
    /// Golden signals and habits.
    MonitoringBestPractices,
    /// What monitoring itself may cost.
    OptimizeMonitoringPerformance,
    /// What metric names stand for; beside any other document.
    Bindings,
}

impl Kind {
    /// Its word: the name of the document.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ModelPerformanceMonitoring => "model_performance_monitoring",
            Self::DriftMonitoring => "drift_monitoring",
            Self::SystemHealthMonitoring => "system_health_monitoring",
            Self::CostMonitoring => "cost_monitoring",
            Self::AnomalyDetection => "anomaly_detection",
            Self::PerformanceAnomalyDetection => "performance_anomaly_detection",
            Self::PredictiveMonitoring => "predictive_monitoring",
            Self::DistributedMonitoring => "distributed_monitoring",
            Self::CustomMonitoring => "custom_monitoring",
            Self::MultiLevelAlerting => "multi_level_alerting",
            Self::AutomatedResponse => "automated_response",
            Self::MetricsCollection => "metrics_collection",
            Self::LoggingTracing => "logging_tracing",
            Self::MonitoringBestPractices => "monitoring_best_practices",
            Self::OptimizeMonitoringPerformance => "optimize_monitoring_performance",
            Self::Bindings => "bindings",
        }
    }
}

/// A key at the top of a document.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Section {
    pub(crate) kind: Kind,
    pub(crate) key: &'static str,
    pub(crate) shape: Shape,
}

pub(crate) const fn section(kind: Kind, key: &'static str, shape: Shape) -> Section {
    Section { kind, key, shape }
}

/// All keys at the top of all documents.
pub(crate) fn sections() -> impl Iterator<Item = &'static Section> {
    built::SECTIONS.iter().chain(later::SECTIONS)
}

/// The section that an entry at the top of `document` is. Two kinds share some keys: the keys inside
/// decide, and where those tell nothing, what stands beside.
pub(crate) fn section_of(entry: &Entry, document: &Node) -> Option<&'static Section> {
    sections()
        .filter(|section| section.key == entry.key)
        .max_by_key(|section| {
            (
                inside(&section.shape, &entry.node),
                beside(section, document),
            )
        })
}

/// How many keys of the value the shape knows, two levels deep.
fn inside(shape: &Shape, node: &Node) -> usize {
    match shape {
        Shape::Later(_, shape) => inside(shape, node),
        Shape::Map(fields) => {
            let known = node.entries().iter().filter_map(|entry| {
                let field = fields.iter().find(|field| field.key == entry.key)?;
                Some(1 + inside(&field.shape, &entry.node))
            });
            known.sum()
        }
        _ => 0,
    }
}

/// How many keys of the same kind the document has.
fn beside(section: &Section, document: &Node) -> usize {
    sections()
        .filter(|other| other.kind == section.kind && document.get(other.key).is_some())
        .count()
}
