//! The documents whose part of the system is not built yet. They are read and checked whole, and each of
//! their settings is refused by name.

use super::{Kind, Section, section};
use crate::shape::Of::{Baseline, Bool, Length, LengthOr, Share, Text, Word};
use crate::shape::Shape::{Each, Later, List, Map, Maps, One};
use crate::shape::{Field, NUMBER, RATIO, Shape, may, must};

/// How often, in words.
const OFTEN: Shape = One(LengthOr(&[
    "real_time",
    "continuous",
    "hourly",
    "daily",
    "weekly",
]));
const POSITIVE: Shape = One(crate::shape::Of::Number(0.0, f64::MAX));

macro_rules! switches {
    ($($key:literal)*) => { &[$(may($key, One(Bool))),*] };
}

/// A section, all of which waits.
const fn waits(
    kind: Kind,
    key: &'static str,
    missing: &'static str,
    shape: &'static Shape,
) -> Section {
    section(kind, key, Later(missing, shape))
}

const DRIFT: &str = "drift is not detected yet";
const COST: &str = "costs are not reckoned yet";
const ANOMALY: &str = "there is no detector of anomalies by document yet";
const PREDICTION: &str = "nothing is predicted yet";
const DISTRIBUTED: &str =
    "agents and coordinators are set up by their own configuration files, not by a document yet";
const CUSTOM: &str =
    "metrics made of others by a document, and dashboards of them, are not built yet";
const COLLECTION: &str =
    "what is collected is set in the agents' own configuration, not by a document yet";
const LOGS: &str = "logs and traces are not taken in yet";
const OPTIMIZE: &str =
    "what monitoring may cost is set by the agents' budget, not by a document yet";

const DRIFTS: &[Field] = &[
    may(
        "data_drift",
        Map(&[
            may(
                "methods",
                List(Word(&["ks_test", "chi_square", "wasserstein", "psi"])),
            ),
            may("features", List(Text)),
            may("frequency", OFTEN),
            may("threshold", One(RATIO)),
        ]),
    ),
    may(
        "performance_drift",
        Map(&[
            may("metrics", List(Text)),
            may("window_size", One(Length)),
            may("detection_method", One(Text)),
            may("threshold", One(RATIO)),
        ]),
    ),
    may(
        "concept_drift",
        Map(&[
            may("detection_method", One(Text)),
            may("window_size", One(Length)),
            may("threshold", One(RATIO)),
        ]),
    ),
];

const BUDGETS: Shape = Each(&Map(&[must("budget", POSITIVE), may("alert", One(Bool))]));
const DERIVED: Shape = Each(&Map(&[
    must("calculation", One(Text)),
    may("threshold", One(NUMBER)),
    may("alert", One(Bool)),
]));
const THRESHOLDS: Shape = Each(&Map(&[
    must("threshold", One(NUMBER)),
    may("alert", One(Bool)),
]));
const PREDICTORS: Shape = Each(&Map(&[
    may("model_type", One(Text)),
    may("prediction_horizon", One(Length)),
    may("features", List(Text)),
    may("target", One(Text)),
]));

const DETECTIONS: Shape = Map(&[
    may(
        "statistical_detection",
        Map(&[
            may("methods", List(Text)),
            may("window_size", One(Length)),
            may("sensitivity", One(RATIO)),
        ]),
    ),
    may(
        "ml_based_detection",
        Map(&[
            may("models", List(Text)),
            may("training_data", One(Length)),
            may("update_frequency", OFTEN),
        ]),
    ),
    may(
        "threshold_detection",
        Map(switches!("static_thresholds" "dynamic_thresholds" "adaptive_thresholds")),
    ),
]);

const NODES: Shape = Map(&[
    may(
        "coordinator",
        Map(&[
            may("role", One(Text)),
            may("location", One(Text)),
            may("responsibilities", List(Text)),
        ]),
    ),
    may(
        "edge_nodes",
        Maps(&Map(&[
            must("location", One(Text)),
            may("services", List(Text)),
            may("monitoring", List(Text)),
        ])),
    ),
]);

const LOG_LEVELS: Shape = Each(&Map(&[
    may("enabled", One(Bool)),
    may("retention", One(Length)),
    may("sampling", One(RATIO)),
]));

pub(super) static SECTIONS: &[Section] = &[
    waits(
        Kind::DriftMonitoring,
        "drift_config",
        DRIFT,
        &Map(&[
            may("drift_detection", Map(DRIFTS)),
            may(
                "mitigation",
                Map(&[
                    may("automatic_retraining", One(Bool)),
                    may("fallback_model", One(Text)),
                    may("alert_on_drift", One(Bool)),
                ]),
            ),
        ]),
    ),
    waits(
        Kind::DriftMonitoring,
        "drift_analysis",
        DRIFT,
        &Map(&[must(
            "analysis_pipeline",
            Map(&[
                may("data_collection", OFTEN),
                may("drift_analysis", One(Word(&["automated", "manual"]))),
                may("reporting", OFTEN),
            ]),
        )]),
    ),
    waits(
        Kind::CostMonitoring,
        "cost_monitoring",
        COST,
        &Map(&[
            may("cost_metrics", BUDGETS),
            may("efficiency_metrics", THRESHOLDS),
            may(
                "optimization",
                Map(switches!("auto_scaling" "resource_rightsizing" "cost_alerts")),
            ),
        ]),
    ),
    waits(
        Kind::CostMonitoring,
        "cost_optimization",
        COST,
        &Map(&[must(
            "optimization",
            Map(switches!("spot_instances" "reserved_instances" "cost_tracking")),
        )]),
    ),
    waits(
        Kind::AnomalyDetection,
        "anomaly_config",
        ANOMALY,
        &Map(&[
            may("detection_methods", List(Text)),
            may("sensitivity", One(RATIO)),
            may("window_size", One(Length)),
            may("training_period", One(Length)),
        ]),
    ),
    waits(
        Kind::AnomalyDetection,
        "detection_strategies",
        ANOMALY,
        &DETECTIONS,
    ),
    waits(
        Kind::AnomalyDetection,
        "response_actions",
        ANOMALY,
        &Map(&[must(
            "response_actions",
            Map(&[
                may("immediate", List(Text)),
                may("short_term", List(Text)),
                may("long_term", List(Text)),
            ]),
        )]),
    ),
    waits(
        Kind::PerformanceAnomalyDetection,
        "performance_anomaly_config",
        ANOMALY,
        &Map(&[
            may("metrics_to_monitor", List(Text)),
            may(
                "detection_methods",
                Each(&Map(&[
                    must("method", One(Word(&["statistical", "threshold", "trend"]))),
                    may("baseline", One(Baseline)),
                    may("threshold", One(NUMBER)),
                ])),
            ),
            may(
                "alerting",
                Map(&[
                    may("immediate", List(Text)),
                    may("urgent", List(Text)),
                    may("warning", List(Text)),
                ]),
            ),
        ]),
    ),
    waits(
        Kind::PerformanceAnomalyDetection,
        "real_time_processing",
        ANOMALY,
        &Map(&[must(
            "real_time_processing",
            Map(&[
                may("stream_processing", One(Bool)),
                may("window_size", One(Length)),
                may("update_frequency", OFTEN),
            ]),
        )]),
    ),
    waits(
        Kind::PredictiveMonitoring,
        "predictive_config",
        PREDICTION,
        &Map(&[
            may("prediction_models", PREDICTORS),
            may(
                "early_warning",
                Map(&[
                    may("confidence_threshold", One(RATIO)),
                    may("warning_horizon", One(Length)),
                    may("mitigation_actions", List(Text)),
                ]),
            ),
        ]),
    ),
    waits(
        Kind::PredictiveMonitoring,
        "model_management",
        PREDICTION,
        &Map(&[must(
            "model_management",
            Map(&[
                may("retraining_schedule", OFTEN),
                may("performance_evaluation", OFTEN),
                may("model_versioning", One(Bool)),
            ]),
        )]),
    ),
    waits(
        Kind::DistributedMonitoring,
        "distributed_config",
        DISTRIBUTED,
        &Map(&[
            may("monitoring_nodes", NODES),
            may(
                "data_synchronization",
                Map(&[
                    may("sync_frequency", OFTEN),
                    may("data_compression", One(Bool)),
                    may("redundancy", One(Bool)),
                ]),
            ),
            may(
                "fault_tolerance",
                Map(&[
                    may(
                        "node_failure_handling",
                        One(Word(&["automatic", "manual", "none"])),
                    ),
                    may("data_replication", One(Bool)),
                    may("service_discovery", One(Bool)),
                ]),
            ),
        ]),
    ),
    waits(
        Kind::DistributedMonitoring,
        "coordination",
        DISTRIBUTED,
        &Map(&[must(
            "coordination",
            Map(&[
                may("load_balancing", One(Bool)),
                may("failover", One(Bool)),
                may("consistency", One(Word(&["eventual", "strong"]))),
            ]),
        )]),
    ),
    waits(
        Kind::CustomMonitoring,
        "custom_metrics",
        CUSTOM,
        &Map(&[
            may("business_metrics", DERIVED),
            may("technical_metrics", DERIVED),
            may(
                "custom_dashboards",
                Each(&Map(&[
                    must("metrics", List(Text)),
                    may("refresh_rate", OFTEN),
                    may("visualization", One(Text)),
                ])),
            ),
        ]),
    ),
    waits(
        Kind::CustomMonitoring,
        "dashboard_config",
        CUSTOM,
        &Map(&[must(
            "dashboard_config",
            Map(switches!("auto_refresh" "export_capabilities" "sharing_permissions")),
        )]),
    ),
    waits(
        Kind::MetricsCollection,
        "metrics_collection_config",
        COLLECTION,
        &Map(&[
            may(
                "data_sources",
                Each(&Map(&[
                    may("source", One(Text)),
                    may("frequency", OFTEN),
                    may("metrics", List(Text)),
                ])),
            ),
            may("data_processing", PROCESSING),
            may("storage", STORAGE),
        ]),
    ),
    waits(
        Kind::MetricsCollection,
        "data_pipeline",
        COLLECTION,
        &Map(&[must(
            "data_pipeline",
            Map(switches!("stream_processing" "batch_processing" "data_quality_monitoring")),
        )]),
    ),
    waits(
        Kind::LoggingTracing,
        "logging_config",
        LOGS,
        &Map(&[
            may("log_levels", LOG_LEVELS),
            may(
                "structured_logging",
                Map(&[
                    may("format", One(Word(&["json", "text"]))),
                    may("fields", List(Text)),
                    may("correlation", One(Bool)),
                ]),
            ),
            may(
                "distributed_tracing",
                Map(&[
                    may("enabled", One(Bool)),
                    may("sampling_rate", One(RATIO)),
                    may("trace_retention", One(Length)),
                    may("correlation", One(Bool)),
                ]),
            ),
        ]),
    ),
    waits(
        Kind::LoggingTracing,
        "log_analysis",
        LOGS,
        &Map(&[must(
            "log_analysis",
            Map(switches!("pattern_detection" "anomaly_detection" "correlation_analysis")),
        )]),
    ),
    waits(
        Kind::OptimizeMonitoringPerformance,
        "data_optimization",
        OPTIMIZE,
        &Map(&[
            may("sampling", Each(&One(RATIO))),
            may(
                "compression",
                Map(switches!("time_series_data" "log_data" "trace_data")),
            ),
            may("aggregation", Each(&One(Length))),
        ]),
    ),
    waits(
        Kind::OptimizeMonitoringPerformance,
        "system_optimization",
        OPTIMIZE,
        &Map(&[
            may(
                "resource_allocation",
                Map(&[
                    may("monitoring_overhead", One(Share)),
                    may("storage_efficiency", One(Text)),
                    may("network_usage", One(Text)),
                ]),
            ),
            may(
                "scalability",
                Map(switches!("horizontal_scaling" "load_balancing" "auto_scaling")),
            ),
        ]),
    ),
];

const PROCESSING: Shape = Map(&[
    may(
        "aggregation",
        Map(&[
            may("time_windows", List(Length)),
            may("functions", List(Text)),
        ]),
    ),
    may(
        "filtering",
        Map(switches!("remove_outliers" "data_validation" "quality_checks")),
    ),
    may(
        "enrichment",
        Map(switches!("add_metadata" "add_context" "add_labels")),
    ),
]);

const STORAGE: Shape = Map(&[
    may(
        "time_series_db",
        Map(&[
            may("type", One(Text)),
            may("retention", One(Length)),
            may("compression", One(Bool)),
        ]),
    ),
    may(
        "data_warehouse",
        Map(&[
            may("type", One(Text)),
            may("retention", One(Length)),
            may("partitioning", OFTEN),
        ]),
    ),
]);
