//! The documents that are put in force.

use super::{Kind, Section, section};
use crate::shape::Of::{Bool, Length, LengthOr, Number, Text, Trigger, Whole, Word};
use crate::shape::Shape::{Each, Later, List, Map, One};
use crate::shape::{Field, NUMBER, Of, RATIO, Shape, may, must};

const SIGNALS: &[&str] = &["latency", "traffic", "errors", "saturation"];

/// A level of multi-level alerting.
const LEVEL: Shape = Map(&[
    may("conditions", List(Text)),
    must("response_time", One(LengthOr(&["immediate"]))),
    must("channels", List(Of::Channel)),
    may("escalation", One(Word(&["automatic", "manual", "none"]))),
]);

/// A threshold of system health, by metric.
const THRESHOLDS: Shape = Each(&Map(&[
    must("threshold", One(NUMBER)),
    may("alert", One(Bool)),
]));

/// Switches by their names.
macro_rules! switches {
    ($($key:literal)*) => { &[$(may($key, One(Bool))),*] };
}

const MODEL: &[Field] = &[
    may("model_name", One(Text)),
    may("metrics", List(Text)),
    may("thresholds", Each(&One(NUMBER))),
    may("alert_channels", List(Of::Channel)),
    may("monitoring_interval", One(LengthOr(&["real_time"]))),
];

const COLLECTION: &[Field] = &[
    may(
        "data_collection",
        Map(&[
            may(
                "sampling_rate",
                Later(
                    "a share of the samples cannot be left out yet; all are kept",
                    &One(RATIO),
                ),
            ),
            may(
                "storage",
                Later(
                    "samples are kept in the coordinator's own store, and no other is written to yet",
                    &One(Text),
                ),
            ),
            may("retention", One(Length)),
        ]),
    ),
    may(
        "real_time_processing",
        Later(
            "rules look at what is stored, once an interval; samples are not looked at as they arrive",
            &One(Bool),
        ),
    ),
];

const HEALTH_CHECKS: Shape = Later(
    "nothing probes models, predictions, resources or the network on its own yet",
    &Map(&[
        may(
            "model_loading",
            Map(&[may("frequency", One(Length)), may("timeout", One(Length))]),
        ),
        may(
            "prediction_quality",
            Map(&[
                may("frequency", One(Length)),
                may("sample_size", One(Whole(1, 1_000_000))),
            ]),
        ),
        may(
            "resource_availability",
            Map(&[may("frequency", One(Length)), may("timeout", One(Length))]),
        ),
        may(
            "network_connectivity",
            Map(&[may("frequency", One(Length)), may("timeout", One(Length))]),
        ),
    ]),
);

const LADDER: Shape = Each(&Map(&[
    must("timeout", One(Length)),
    must("notify", List(Text)),
]));

const CHANNELS: &[Field] = &[
    may(
        "email",
        Map(&[may("recipients", List(Text)), may("template", One(Text))]),
    ),
    may(
        "slack",
        Map(&[may("channels", List(Text)), may("template", One(Text))]),
    ),
    may(
        "pagerduty",
        Map(&[
            may("service_id", One(Text)),
            may("urgency", One(Word(&["high", "low"]))),
            may("template", One(Text)),
        ]),
    ),
    may(
        "phone",
        Map(&[may("numbers", List(Text)), may("template", One(Text))]),
    ),
    may(
        "sms",
        Map(&[may("numbers", List(Text)), may("template", One(Text))]),
    ),
    may(
        "webhook",
        Map(&[may("names", List(Text)), may("template", One(Text))]),
    ),
    may(
        "alertmanager",
        Map(&[may("names", List(Text)), may("template", One(Text))]),
    ),
];

const RESPONSE: Shape = Map(&[
    must("triggers", List(Trigger)),
    may(
        "actions",
        Later(
            "nothing acts on alerts yet; the trigger alerts",
            &List(Text),
        ),
    ),
    may(
        "cooldown",
        Later(
            "nothing acts on alerts yet, so that nothing cools down",
            &One(Length),
        ),
    ),
]);

const BINDING: Shape = Each(&Map(&[
    must("query", One(Text)),
    may("unit", One(Text)),
    may("bad", One(Word(&["high", "low"]))),
    may("scale", One(Number(1e-12, 1e12))),
]));

pub(super) static SECTIONS: &[Section] = &[
    section(
        Kind::ModelPerformanceMonitoring,
        "monitoring_config",
        Map(MODEL),
    ),
    section(
        Kind::ModelPerformanceMonitoring,
        "data_collection",
        Map(COLLECTION),
    ),
    section(
        Kind::ModelPerformanceMonitoring,
        "alerting_config",
        Map(&[must(
            "alerting",
            Map(switches!("threshold_alerts" "trend_alerts" "anomaly_alerts")),
        )]),
    ),
    section(
        Kind::SystemHealthMonitoring,
        "system_monitoring",
        Map(&[
            may("infrastructure_metrics", THRESHOLDS),
            may("application_metrics", THRESHOLDS),
            may("business_metrics", THRESHOLDS),
        ]),
    ),
    section(
        Kind::SystemHealthMonitoring,
        "health_checks",
        Map(&[must("health_checks", HEALTH_CHECKS)]),
    ),
    section(
        Kind::SystemHealthMonitoring,
        "alerting",
        Map(&[must(
            "alerting",
            Map(&[
                may("channels", List(Of::Channel)),
                may("escalation", LADDER),
            ]),
        )]),
    ),
    section(
        Kind::MultiLevelAlerting,
        "alerting_config",
        Map(&[
            must(
                "alert_levels",
                Map(&[
                    may("critical", LEVEL),
                    may("high", LEVEL),
                    may("medium", LEVEL),
                    may("low", LEVEL),
                ]),
            ),
            may("notification_channels", Map(CHANNELS)),
        ]),
    ),
    section(
        Kind::MultiLevelAlerting,
        "incident_management",
        Map(&[must(
            "incident_management",
            Map(switches!("auto_creation" "escalation_rules" "resolution_tracking")),
        )]),
    ),
    section(
        Kind::MonitoringBestPractices,
        "metric_selection",
        Map(&[
            may("golden_signals", List(Word(SIGNALS))),
            may("business_metrics", List(Text)),
            may("technical_metrics", List(Text)),
        ]),
    ),
    section(
        Kind::MonitoringBestPractices,
        "alerting",
        Map(switches!(
            "alert_on_symptoms" "avoid_alerting_on_causes"
            "use_appropriate_thresholds" "implement_alert_fatigue_prevention"
        )),
    ),
    section(
        Kind::MonitoringBestPractices,
        "dashboards",
        Later(
            "dashboards are made by hand; none is made of a document yet",
            &Map(switches!(
                "keep_it_simple" "focus_on_actionable_metrics"
                "use_appropriate_visualizations" "maintain_consistency"
            )),
        ),
    ),
    section(
        Kind::MonitoringBestPractices,
        "documentation",
        Map(&[
            may("document_metrics", One(Bool)),
            may("explain_thresholds", One(Bool)),
            may("maintain_runbooks", One(Bool)),
            may(
                "update_regularly",
                Later(
                    "nothing knows yet when a runbook was last read again",
                    &One(Bool),
                ),
            ),
        ]),
    ),
    section(
        Kind::AutomatedResponse,
        "automated_response_config",
        Map(&[
            may("response_actions", Each(&RESPONSE)),
            may(
                "safety_checks",
                Later(
                    "nothing acts on alerts yet, so that nothing has to be held back",
                    &Map(&[
                        may("max_scale_up", One(Whole(0, 1000))),
                        may("max_restarts", One(Whole(0, 1000))),
                        may("rollback_safety", One(Bool)),
                        may("human_approval", List(Text)),
                    ]),
                ),
            ),
        ]),
    ),
    section(
        Kind::AutomatedResponse,
        "response_monitoring",
        Map(&[must(
            "response_monitoring",
            Later(
                "nothing acts on alerts yet, so that no act is followed up",
                &Map(switches!(
                    "effectiveness_tracking" "response_time_measurement" "false_positive_tracking"
                )),
            ),
        )]),
    ),
    section(Kind::Bindings, "bindings", BINDING),
];
