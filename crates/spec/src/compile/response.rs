//! Triggers of automated response: they alert. What is to be done then is not built yet.

use super::Compiler;
use super::metric::{INTERVAL, Threshold, camel};
use crate::document::{Document, Leaf};
use crate::shape::Setting;
use crate::trigger::{Change, Trigger};

impl Compiler<'_> {
    pub(super) fn response(&mut self, document: &Document) {
        const PATH: &str = "automated_response_config.response_actions";
        for name in document.names(PATH) {
            let path = format!("{PATH}.{name}.triggers");
            let leaves: Vec<&Leaf> = document.list(&path).collect();
            for (at, leaf) in leaves.iter().enumerate() {
                let Setting::Trigger(trigger) = &leaf.setting else {
                    continue;
                };
                let mut alert = camel(name);
                if at > 0 {
                    alert.push_str(&(at + 1).to_string());
                }
                self.trigger(document, leaf, trigger, alert);
            }
        }
    }

    fn trigger(&mut self, document: &Document, leaf: &Leaf, trigger: &Trigger, alert: String) {
        let at = (document, leaf);
        let group = ("triggers", Some(INTERVAL));
        let Some(subject) = self.subject(&trigger.metric, None, at, group) else {
            return;
        };
        let own = subject.binding.unit;
        let unit = match (trigger.unit, trigger.change) {
            // A change is a share of the baseline, whatever the metric is in.
            (unit, Some(_)) => unit.unwrap_or(crate::Unit::Ratio),
            (unit, None) => unit.unwrap_or(own),
        };
        let fits = match trigger.change {
            Some(_) => unit.base() == crate::Unit::Ratio,
            None => unit.base() == own.base(),
        };
        if !fits {
            let why = format!(
                "{} is in {}, not in {}",
                trigger.metric,
                own.as_str(),
                unit.as_str()
            );
            let problem = document.bad_value(leaf, why);
            self.problems.push(problem);
            return;
        }
        if let Some(why) = unit.implausible(trigger.value) {
            let problem = document.bad_value(leaf, why);
            self.problems.push(problem);
            return;
        }
        let value = unit.to_base(trigger.value);
        match trigger.change {
            Some(change) => {
                self.record(&subject, at);
                let falls = change == Change::Drop;
                self.changed(&subject, alert, (falls, value), trigger.hold, at);
            }
            None => {
                let threshold = Threshold {
                    op: trigger.op,
                    value,
                    shown: unit.show(trigger.value),
                    hold: Some(trigger.hold),
                };
                self.threshold(&subject, alert, &threshold, at);
            }
        }
    }
}
