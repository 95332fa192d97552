//! The metrics that best practices choose.

use super::Compiler;
use super::metric::INTERVAL;
use crate::document::Document;

impl Compiler<'_> {
    /// Chosen metrics are kept, shown, and missed when they stay away. Signals are accounted for when it is
    /// known which stock rules they put on.
    pub(super) fn selection(&mut self, document: &Document) {
        for list in ["business_metrics", "technical_metrics"] {
            let path = format!("metric_selection.{list}");
            for leaf in document.list(&path) {
                let at = (document, leaf);
                let group = ("selection", Some(INTERVAL));
                if let Some(subject) = self.subject(&leaf.given, None, at, group) {
                    self.record(&subject, at);
                    self.must_come(&subject, at);
                }
            }
        }
    }
}
