//! System health: thresholds by metric, with or without an alert.

use super::Compiler;
use super::metric::INTERVAL;
use super::model::threshold_name;
use crate::document::Document;

impl Compiler<'_> {
    pub(super) fn health(&mut self, document: &Document) {
        for part in [
            "infrastructure_metrics",
            "application_metrics",
            "business_metrics",
        ] {
            let path = format!("system_monitoring.{part}");
            for name in document.names(&path) {
                self.health_metric(document, &path, name);
            }
        }
    }

    fn health_metric(&mut self, document: &Document, path: &str, name: &str) {
        let Some(leaf) = document.at(&format!("{path}.{name}.threshold")) else {
            return;
        };
        let at = (document, leaf);
        let group = ("system_health", Some(INTERVAL));
        let Some(subject) = self.subject(name, None, at, group) else {
            return;
        };
        let Some(threshold) = self.bound(document, leaf, &subject) else {
            return;
        };
        let alert = document.at(&format!("{path}.{name}.alert"));
        self.record(&subject, at);
        if alert.is_some_and(|leaf| !leaf.flag()) {
            let way = if threshold.op == ">" {
                "above"
            } else {
                "below"
            };
            let what = format!(
                "{way} {} is bad; it is shown, and alerts nobody",
                threshold.shown
            );
            self.in_force(leaf, what);
        } else {
            self.threshold(&subject, threshold_name(&subject), &threshold, at);
        }
        if let Some(leaf) = alert {
            let what = if leaf.flag() {
                format!("{} alerts", threshold_name(&subject))
            } else {
                "it is watched and shown, and alerts nobody".to_owned()
            };
            self.in_force(leaf, what);
        }
    }
}
