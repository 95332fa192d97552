//! What of the samples gathered goes to the rules.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use daemon::metrics::Counter;
use foldhash::fast::FixedState;
use series::{Labels, Matcher, is_stale};
use tokio::sync::{mpsc, watch};

use crate::batch::{Gathered, complete};
use crate::cutter::OWN;

/// Series of a source that are remembered beyond twice those that it said last.
const SPARE: usize = 64;
/// A source that was skipped last so long ago is gone, and nothing waits for it.
const GONE_MILLIS: i64 = 300_000;
/// Ends of series that are remembered while rounds are skipped; those beyond end when they are too old to
/// be seen.
const ENDED_MAX: usize = 4096;

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
    pub(crate) samples: Vec<ReadSample>,
    /// Whether rounds before it were skipped, of this source or another.
    pub(crate) follows_gap: bool,
    /// Since when rounds of some source have been skipped of which none has come since.
    pub(crate) behind_millis: Option<i64>,
}

/// A series, a time and a value.
type ReadSample = (Arc<Labels>, i64, f64);

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
    /// Rounds skipped.
    skipped: Counter,
    /// Whether any was since one was handed on.
    has_gap: bool,
    /// Sources whose last round was skipped: since when, and when last.
    behind: HashMap<Arc<str>, (i64, i64)>,
    /// Stale markers of rounds that were skipped: nobody says them again.
    ended: Vec<ReadSample>,
}

impl Tap {
    pub(super) fn new(
        labels: Vec<(String, String)>,
        reads: watch::Receiver<Arc<Reads>>,
        out: mpsc::Sender<Fresh>,
        skipped: Counter,
    ) -> Self {
        Self {
            labels,
            reads,
            out,
            sources: HashMap::new(),
            round: 0,
            skipped,
            has_gap: false,
            behind: HashMap::new(),
            ended: Vec::new(),
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
            follows_gap: false,
            behind_millis: None,
        })
    }

    /// Hands it on. While the rules have more than enough to do it is skipped: gathering does not wait for
    /// them.
    pub(crate) fn send(&mut self, source: &Arc<str>, mut fresh: Fresh) {
        // They end when the process does.
        if self.out.is_closed() {
            return;
        }
        // Nobody else takes places.
        if self.out.capacity() == 0 {
            self.skip(source, fresh);
            return;
        }
        if !self.behind.is_empty() {
            let at = fresh.at_millis;
            self.behind.remove(source);
            self.behind
                .retain(|_, (_, last)| at.saturating_sub(*last) < GONE_MILLIS);
        }
        fresh.follows_gap = std::mem::take(&mut self.has_gap);
        fresh.behind_millis = self.behind.values().map(|(first, _)| *first).min();
        // Before what came since: some of them may have come back.
        fresh.samples.splice(0..0, std::mem::take(&mut self.ended));
        drop(self.out.try_send(fresh));
    }

    fn skip(&mut self, source: &Arc<str>, fresh: Fresh) {
        self.skipped.inc();
        if self.behind.is_empty() {
            tracing::warn!("rules take longer than samples come: rounds are skipped for them");
        }
        self.has_gap = true;
        let at = fresh.at_millis;
        let behind = self.behind.entry(Arc::clone(source)).or_insert((at, at));
        behind.1 = at;
        let room = ENDED_MAX.saturating_sub(self.ended.len());
        let ended = fresh.samples.into_iter();
        let ended = ended.filter(|(_, _, value)| is_stale(*value)).take(room);
        self.ended.extend(ended);
    }
}
