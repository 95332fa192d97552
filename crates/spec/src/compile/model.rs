//! Model performance: the metrics and thresholds of one served model.

use std::time::Duration;

use super::Compiler;
use super::metric::{INTERVAL, Subject, Threshold, camel, interval};
use crate::document::{Document, Leaf};
use crate::{Bad, duration};

/// What a document says of its alerts.
struct Wanted<'a> {
    thresholds: Option<&'a Leaf>,
    trends: Option<&'a Leaf>,
    anomalies: Option<&'a Leaf>,
}

impl Compiler<'_> {
    pub(super) fn model(&mut self, document: &Document) {
        let name = document.at("monitoring_config.model_name");
        let model = name.map(|leaf| leaf.given.clone());
        let model = model.as_deref();
        let every = document.at("monitoring_config.monitoring_interval");
        let interval = every.and_then(Leaf::length).map(interval);
        let group = format!("model:{}", model.unwrap_or("all"));
        let group = (group.as_str(), Some(interval.unwrap_or(INTERVAL)));
        let wanted = Wanted {
            thresholds: document.at("alerting_config.alerting.threshold_alerts"),
            trends: document.at("alerting_config.alerting.trend_alerts"),
            anomalies: document.at("alerting_config.alerting.anomaly_alerts"),
        };
        if let (Some(leaf), Some(model)) = (name, model) {
            let what = format!("all of this document is about the series of model {model}");
            self.in_force(leaf, what);
        }
        if let (Some(leaf), Some(interval)) = (every, group.1) {
            let interval = duration::show(interval);
            self.in_force(
                leaf,
                format!("the rules of this document are looked at every {interval}"),
            );
        }
        for leaf in document.list("monitoring_config.metrics") {
            if let Some(subject) = self.subject(&leaf.given, model, (document, leaf), group) {
                self.watch(document, leaf, &subject, &wanted);
            }
        }
        for leaf in document.below("monitoring_config.thresholds") {
            if let Some(subject) = self.subject(leaf.name(), model, (document, leaf), group) {
                self.limit(document, leaf, &subject, wanted.thresholds);
            }
        }
        self.switches(&wanted);
        self.collection(document);
    }

    fn watch(&mut self, document: &Document, leaf: &Leaf, subject: &Subject, wanted: &Wanted<'_>) {
        let at = (document, leaf);
        self.record(subject, at);
        if let Some(switch) = wanted.trends.filter(|leaf| leaf.flag()) {
            self.trend(subject, at);
            self.in_force(
                switch,
                "each metric of this document is held against its mean of seven days",
            );
        }
        if let Some(switch) = wanted.anomalies.filter(|leaf| leaf.flag()) {
            self.unusual(subject, at);
            self.in_force(switch, "each metric of this document is held against its median of a day, in robust deviations");
        }
        self.must_come(subject, at);
    }

    fn limit(
        &mut self,
        document: &Document,
        leaf: &Leaf,
        subject: &Subject,
        switch: Option<&Leaf>,
    ) {
        let at = (document, leaf);
        if switch.is_some_and(|leaf| !leaf.flag()) {
            self.record(subject, at);
            self.in_force(
                leaf,
                "threshold_alerts is false, so that passing it alerts nobody",
            );
            return;
        }
        if let Some(threshold) = self.bound(document, leaf, subject) {
            let name = threshold_name(subject);
            self.threshold(subject, name, &threshold, at);
        }
    }

    /// The number of a setting as a threshold of its metric.
    pub(super) fn bound(
        &mut self,
        document: &Document,
        leaf: &Leaf,
        subject: &Subject,
    ) -> Option<Threshold> {
        let value = leaf.number()?;
        let unit = subject.binding.unit;
        if let Some(why) = unit.implausible(value) {
            let why = format!(
                "{} is in {}, and {why}",
                subject.binding.name,
                unit.as_str()
            );
            let problem = document.bad_value(leaf, why);
            self.problems.push(problem);
            return None;
        }
        Some(Threshold {
            op: match subject.binding.bad {
                Bad::High => ">",
                Bad::Low => "<",
            },
            value: unit.to_base(value),
            shown: unit.show(value),
            hold: None,
        })
    }

    fn switches(&mut self, wanted: &Wanted<'_>) {
        if let Some(leaf) = wanted.thresholds {
            let what = if leaf.flag() {
                "each threshold of this document alerts"
            } else {
                "no threshold of this document alerts; the metrics are kept and shown"
            };
            self.in_force(leaf, what);
        }
        if let Some(leaf) = wanted.trends.filter(|leaf| !leaf.flag()) {
            self.in_force(leaf, "no trend of this document's metrics alerts");
        }
        if let Some(leaf) = wanted.anomalies.filter(|leaf| !leaf.flag()) {
            self.in_force(leaf, "nothing unusual about this document's metrics alerts");
        }
        // With no metrics to hold against anything, the switch is on and finds nothing.
        for leaf in [wanted.trends, wanted.anomalies].into_iter().flatten() {
            if leaf.flag() {
                self.in_force(leaf, "the metrics are those of monitoring_config.metrics");
            }
        }
    }

    fn collection(&mut self, document: &Document) {
        if let Some(leaf) = document.at("data_collection.data_collection.sampling_rate")
            && leaf.number().is_some_and(|rate| rate >= 1.0)
        {
            self.in_force(leaf, "every sample is kept, as agents always do");
        }
        if let Some(leaf) = document.at("data_collection.data_collection.storage")
            && leaf.given == "time_series_db"
        {
            self.in_force(
                leaf,
                "samples are kept in the coordinator's own store of series",
            );
        }
        if let Some(leaf) = document.at("data_collection.data_collection.retention") {
            let asked = leaf.length().unwrap_or(Duration::ZERO);
            if self
                .retention
                .as_ref()
                .is_none_or(|(known, _)| *known < asked)
            {
                self.retention = Some((asked, document.spot(leaf)));
            }
            self.in_force(leaf, "held against the coordinator's store.retention when it is applied: one that is shorter is refused");
        }
    }
}

/// `CpuUsageHigh`, `AccuracyLow`.
pub(super) fn threshold_name(subject: &Subject) -> String {
    let name = camel(&subject.binding.name);
    match subject.binding.bad {
        Bad::High => format!("{name}High"),
        Bad::Low => format!("{name}Low"),
    }
}
