//! Rules at the edge: run over the node's own samples as they come, connected or cut off.
//!
//! - `tap` takes from what is gathered the series that rules read, with the labels under which they are
//!   stored;
//! - `ring` keeps as much of them as the rules look back;
//! - `watch` evaluates the rules and knows what fires;
//! - `files` keeps rules and states in the state folder;
//! - `task` is all of it together.
//!
//! What begins or ceases to fire goes over the urgent lane, on disk first. A rule with a window runs when the
//! window is filled: until then the coordinator has the word, and is told so. So it is with a rule whose series
//! do not fit the memory for it. After a start nothing ends before every source has spoken.
//!
//! Gathering never waits for rules. What comes while they have more than enough to do is skipped, which is a gap and
//! no value:
//! - a rule without a window goes on with the newest sample that came, as between two rounds, and the time of a
//!   `for` runs on: a value that was other only in what was skipped is not seen;
//! - a rule with a window is the coordinator's, which has every sample, until its window is filled without a gap;
//! - a series whose end was skipped has ended at the next round that comes;
//! - once a source has been skipped for half of the time for which samples count, nothing ends or is missing until
//!   it speaks again.

mod files;
mod metrics;
mod ring;
mod tap;
mod task;
mod watch;

use std::sync::Arc;

use tokio::sync::watch as channel;
use wire::proto;
use wire::transition::EdgeRules;

pub(crate) use tap::Tap;
pub(crate) use task::{Ground, start};

/// What the coordinator is to be told of the rules.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said {
    /// Another when the version or the rules that run are others.
    pub(crate) revision: u64,
    /// The word.
    pub(crate) run: proto::RulesRun,
}

/// Takes up rules and what they remember from the two files of the state folder, and evaluates them once over
/// nothing, for a fuzzer: how many rules there are and alerts that fire, if the files can be used.
#[doc(hidden)]
#[must_use]
pub fn take_up(rules: &[u8], alerts: &[u8]) -> Option<(usize, usize)> {
    let rules = files::rules_of(rules)?;
    let mut watch = watch::Watch::new(std::time::Duration::from_secs(1), 10_000);
    watch.replace(&rules).ok()?;
    watch.restore(files::remembered_of(alerts)?);
    let fresh = tap::Fresh {
        at_millis: 1_000_000_000_000,
        samples: Vec::new(),
        follows_gap: false,
        behind_millis: None,
    };
    watch.step(vec![fresh], std::time::Duration::ZERO);
    let (firing, rules, _) = watch.counts();
    Some((rules, firing))
}

/// Between the stream to the coordinator and the rules. That of an agent without rules is the default.
#[derive(Clone, Debug, Default)]
pub struct Link(Option<Ends>);

#[derive(Clone, Debug)]
struct Ends {
    given: Arc<channel::Sender<Option<Arc<EdgeRules>>>>,
    said: channel::Receiver<Arc<Said>>,
}

impl Link {
    /// Whether rules are run.
    pub(crate) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// What is to be told now.
    pub(crate) fn said(&self) -> Arc<Said> {
        let said = self.0.as_ref().map(|ends| Arc::clone(&ends.said.borrow()));
        said.unwrap_or_default()
    }

    /// Done when there is another revision to be told.
    pub(crate) async fn changed(&mut self, told: u64) {
        if let Some(ends) = &mut self.0
            && ends.said.wait_for(|it| it.revision != told).await.is_ok()
        {
            return;
        }
        std::future::pending::<()>().await;
    }

    /// Takes the rules that the coordinator gives.
    pub(crate) fn give(&self, rules: proto::EdgeRules) {
        let Some(ends) = &self.0 else {
            return;
        };
        match EdgeRules::try_from(rules) {
            Ok(rules) => {
                ends.given.send_replace(Some(Arc::new(rules)));
            }
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::error!(error, "rules of the coordinator cannot be used");
            }
        }
    }
}

#[cfg(test)]
mod tests;
