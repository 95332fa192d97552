//! What best practices change about every rule.

use std::time::Duration;

use super::Compiler;
use crate::document::{Document, Leaf};
use crate::{Fatigue, Kind};

/// Habits, with the defaults where no document says otherwise.
#[derive(Clone, Debug)]
pub(crate) struct Practices {
    /// Alerts on what users feel are on.
    pub(crate) symptoms: bool,
    /// Alerts on causes page nobody; where it was asked for, with its spot.
    pub(crate) causes_quiet: Option<String>,
    /// A threshold has to be passed for a while, and is left with a margin.
    pub(crate) thresholds: bool,
    /// What is over has to stay over, and little things are gathered.
    pub(crate) fatigue: bool,
    /// Alerts say what their metric is.
    pub(crate) document: bool,
    /// Alerts say where their threshold comes from.
    pub(crate) explain: bool,
    /// Alerts without a runbook are refused.
    pub(crate) runbooks: bool,
    /// The golden signals whose stock rules are on; none for all.
    pub(crate) signals: Option<Vec<String>>,
}

impl Default for Practices {
    fn default() -> Self {
        Self {
            symptoms: true,
            causes_quiet: None,
            thresholds: true,
            fatigue: true,
            document: true,
            explain: true,
            runbooks: false,
            signals: None,
        }
    }
}

impl Practices {
    /// How loud it may become.
    pub(crate) fn limits(&self) -> Option<Fatigue> {
        self.fatigue.then(Fatigue::default)
    }

    /// For how long a condition holds before it is told.
    pub(crate) fn hold(&self, usual: Duration) -> Duration {
        if self.thresholds {
            usual
        } else {
            Duration::ZERO
        }
    }

    /// For how long it has to be over before that is told.
    pub(crate) fn clear_for(&self) -> Option<Duration> {
        self.fatigue.then_some(Duration::from_secs(300))
    }
}

impl Compiler<'_> {
    /// Reads the habits; they count for all documents.
    pub(super) fn practices(&mut self) {
        let documents = self.documents;
        for document in documents {
            if document.kind != Kind::MonitoringBestPractices {
                continue;
            }
            for leaf in document
                .below("alerting")
                .chain(document.below("documentation"))
            {
                self.habit(document, leaf);
            }
            let signals: Vec<String> = document
                .list("metric_selection.golden_signals")
                .map(|leaf| leaf.given.clone())
                .collect();
            if !signals.is_empty() {
                self.practices.signals = Some(signals);
            }
        }
    }

    fn habit(&mut self, document: &Document, leaf: &Leaf) {
        self.same_elsewhere(document, leaf);
        let on = leaf.flag();
        let practices = &mut self.practices;
        let what = match leaf.name() {
            "alert_on_symptoms" => {
                practices.symptoms = on;
                if on {
                    "what users feel (latency, traffic, errors, queues) alerts by rules that are on without being asked for"
                } else {
                    "rules on what users feel that nobody has asked for are left out"
                }
            }
            "avoid_alerting_on_causes" => {
                practices.causes_quiet = on.then(|| document.spot(leaf));
                if on {
                    "alerts on processors, memory, disks, GPUs and network are medium at most, and page or call nobody"
                } else {
                    "alerts on causes keep their level, and page where it says so"
                }
            }
            "use_appropriate_thresholds" => {
                practices.thresholds = on;
                if on {
                    "a threshold has to be passed for five minutes, and an alert is over only a tenth behind it"
                } else {
                    "a threshold counts at once, and an alert is over as soon as it is no longer passed"
                }
            }
            "implement_alert_fatigue_prevention" => {
                practices.fatigue = on;
                if on {
                    "an alert has to be over for five minutes; low ones are gathered into one word an hour; nobody gets more than 20 words an hour, the critical apart"
                } else {
                    "an alert is over at once, and each is told by itself"
                }
            }
            "document_metrics" => {
                practices.document = on;
                if on {
                    "each alert says what its metric is, and the query"
                } else {
                    "alerts do not say what their metric is"
                }
            }
            "explain_thresholds" => {
                practices.explain = on;
                if on {
                    "each alert says which setting its threshold comes from, and when it is over"
                } else {
                    "alerts do not explain their thresholds"
                }
            }
            "maintain_runbooks" => {
                practices.runbooks = on;
                if on {
                    "each alert has a runbook; a rule without one is refused"
                } else {
                    "a rule may lack a runbook"
                }
            }
            _ => return,
        };
        self.in_force(leaf, what);
    }

    /// The same switch in another document has to say the same.
    pub(super) fn same_elsewhere(&mut self, document: &Document, leaf: &Leaf) {
        let other = self
            .documents
            .iter()
            .filter(|other| other.kind == document.kind)
            .filter_map(|other| Some((other, other.at(&leaf.path)?)))
            .find(|(_, other)| other.id < leaf.id && other.setting != leaf.setting);
        if let Some((other, at)) = other {
            let spot = other.spot(at);
            self.conflict((document, leaf), spot, "one setting has two values");
        }
    }
}
