//! What of the samples gathered goes to the rules.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use foldhash::fast::FixedState;
use series::{Labels, Matcher};
use tokio::sync::{mpsc, watch};

use crate::batch::{Gathered, complete};
use crate::cutter::OWN;

/// Series of a source that are remembered beyond twice those that it said last.
const SPARE: usize = 64;

/// What the rules read.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    /// The metrics; none when some rule reads any.
    pub(super) names: Option<HashSet<String>>,
    /// What the series pass: one of these.
    pub(super) any_of: Vec<Vec<Matcher>>,
}

impl Reads {
    fn may_have(&self, name: &str) -> bool {
        self.names.as_ref().is_none_or(|names| names.contains(name))
    }

    fn has(&self, labels: &Labels) -> bool {
        self.any_of.iter().any(|all| passes(all, labels))
    }
}

/// Whether labels pass every matcher.
pub(super) fn passes(matchers: &[Matcher], labels: &Labels) -> bool {
    let mut all = matchers.iter();
    all.all(|matcher| matcher.matches(labels.get(matcher.name())))
}

/// What came from one source, of what rules read.
#[derive(Debug)]
pub(crate) struct Fresh {
    /// When it was read, in milliseconds since the Unix epoch.
    pub(crate) at_millis: i64,
    /// Series, times and values.
    pub(crate) samples: Vec<(Arc<Labels>, i64, f64)>,
}

/// A series as its source says it: as it is stored, if rules read it, and when it was said last.
type Known = (Option<Arc<Labels>>, u64);

/// Takes what rules read.
pub(crate) struct Tap {
    /// Labels that every series gets.
    labels: Vec<(String, String)>,
    reads: watch::Receiver<Arc<Reads>>,
    out: mpsc::Sender<Fresh>,
    sources: HashMap<Arc<str>, HashMap<Labels, Known, FixedState>>,
    round: u64,
}

impl Tap {
    pub(super) fn new(
        labels: Vec<(String, String)>,
        reads: watch::Receiver<Arc<Reads>>,
        out: mpsc::Sender<Fresh>,
    ) -> Self {
        Self {
            labels,
            reads,
            out,
            sources: HashMap::new(),
            round: 0,
        }
    }

    /// What of this goes to the rules.
    pub(crate) fn take(&mut self, gathered: &Gathered) -> Option<Fresh> {
        if self.reads.has_changed().unwrap_or(false) {
            self.sources.clear();
        }
        let reads = Arc::clone(&self.reads.borrow_and_update());
        if reads.any_of.is_empty() {
            return None;
        }
        self.round += 1;
        let source = Arc::clone(&gathered.source);
        let known = self.sources.entry(source).or_default();
        let mut samples = Vec::new();
        let mut said = 0;
        for sample in &gathered.snapshot.samples {
            if !reads.may_have(sample.labels.metric_name()) {
                continue;
            }
            said += 1;
            let labels = if let Some((labels, last)) = known.get_mut(&sample.labels) {
                *last = self.round;
                labels.clone()
            } else {
                let stored = complete(&sample.labels, &gathered.labels, &self.labels).ok();
                let stored = stored.filter(|labels| reads.has(labels)).map(Arc::new);
                known.insert(sample.labels.clone(), (stored.clone(), self.round));
                stored
            };
            if let Some(labels) = labels {
                let at = sample.at.unwrap_or(gathered.at).as_millis();
                samples.push((labels, at, sample.value));
            }
        }
        if known.len() > 2 * said + SPARE {
            let round = self.round;
            known.retain(|_, (_, last)| *last == round);
        }
        // What the agent says of itself comes each round: by it the rules know that time goes on.
        let is_beat = &*gathered.source == OWN;
        (is_beat || !samples.is_empty()).then(|| Fresh {
            at_millis: gathered.at.as_millis(),
            samples,
        })
    }

    /// Hands it on; waits while the rules have more than enough to do.
    pub(crate) async fn send(&self, fresh: Fresh) {
        // They end when the process does.
        drop(self.out.send(fresh).await);
    }
}
