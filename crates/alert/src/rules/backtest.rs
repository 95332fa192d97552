//! What rules would have said: the same evaluator over a span of the past, on a clock of its own.

use std::collections::BTreeSet;

use query::overlay::{Added, Overlay};
use query::{Engine, SeriesSource};
use series::{Labels, Timestamp};

use super::alerting::{ALERTS, ALERTS_FOR_STATE};
use super::annotate::ALERT_NAME;
use super::evaluated::{Failure, Held};
use super::group::Group;
use super::rule::Kind;
use crate::Transition;

/// Most failures and most held rules that are kept one by one; the rest is counted.
const KEPT_MAX: usize = 1000;
/// Most samples that are recorded, at 16 bytes and their place each.
const RECORDED_MAX: usize = 10_000_000;

/// What a backtest gave.
#[derive(Debug, Default)]
pub struct Backtest {
    /// What would have changed, in order of time; at the same time in the order of the groups.
    pub transitions: Vec<Transition>,
    /// Evaluations of a rule.
    pub evaluations: u64,
    /// Those that failed.
    pub failures_total: u64,
    /// The first of them, with their times.
    pub failures: Vec<(Timestamp, Failure)>,
    /// Those of which something was not known.
    pub held_total: u64,
    /// The first of them, with their times.
    pub held: Vec<(Timestamp, Held)>,
}

/// Why there is no backtest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BacktestError {
    /// It would take too long.
    #[error(
        "{evaluations} evaluations of rules, more than {max}; ask for a shorter time or fewer rules"
    )]
    TooLong {
        /// How many evaluations it would take.
        evaluations: u64,
        /// The bound.
        max: u64,
    },
    /// It records too much.
    #[error(
        "the rules record more than {RECORDED_MAX} samples; ask for a shorter time or fewer rules"
    )]
    TooMuch,
}

impl BacktestError {
    /// Whether the same may succeed later: less must be asked for first.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::TooLong { .. } | Self::TooMuch => false,
        }
    }
}

/// Evaluates groups at their slots from `from` to `to`, both inside. What they record is seen by the
/// evaluations after, in the place of what the source holds of these series from `from` on. Groups should
/// be new, or hold the state that they had then. `completeness` gives that of the data for a group at a time.
///
/// # Errors
/// When it would take more than `evaluations_max` evaluations of rules, or records too much.
pub fn backtest(
    groups: &mut [Group],
    source: &dyn SeriesSource,
    engine: &Engine,
    (from, to): (Timestamp, Timestamp),
    completeness: &dyn Fn(&Group, Timestamp) -> f64,
    evaluations_max: u64,
) -> Result<Backtest, BacktestError> {
    check_length(groups, from, to, evaluations_max)?;
    let mut found = Backtest::default();
    let mut added = Added::default();
    let recorded = recorded_names(groups);
    let hides = |labels: &Labels| recorded.hold(labels);
    let before = from.saturating_add_millis(-1);
    let mut slots: BTreeSet<(Timestamp, usize)> = groups
        .iter()
        .enumerate()
        .map(|(index, group)| (group.slot_after(before), index))
        .filter(|(at, _)| *at <= to)
        .collect();
    while let Some((at, index)) = slots.pop_first() {
        let Some(group) = groups.get_mut(index) else {
            continue;
        };
        let overlay = Overlay::new(source, &added).hiding(from, &hides);
        let complete = completeness(group, at);
        let evaluated = group.evaluate(&overlay, engine, at, complete);
        for sample in &evaluated.recorded {
            added.push(&sample.labels, sample.at, sample.value);
        }
        if added.len() > RECORDED_MAX {
            return Err(BacktestError::TooMuch);
        }
        found.evaluations += u64::try_from(group.rules.len()).unwrap_or(u64::MAX);
        found.transitions.extend(evaluated.transitions);
        found.failures_total += u64::try_from(evaluated.failures.len()).unwrap_or(u64::MAX);
        let room = KEPT_MAX.saturating_sub(found.failures.len());
        let failures = evaluated.failures.into_iter().take(room);
        found.failures.extend(failures.map(|failure| (at, failure)));
        found.held_total += u64::try_from(evaluated.held.len()).unwrap_or(u64::MAX);
        let room = KEPT_MAX.saturating_sub(found.held.len());
        let held = evaluated.held.into_iter().take(room);
        found.held.extend(held.map(|held| (at, held)));
        let next = group.slot_after(at);
        if next <= to {
            slots.insert((next, index));
        }
    }
    Ok(found)
}

fn check_length(
    groups: &[Group],
    from: Timestamp,
    to: Timestamp,
    max: u64,
) -> Result<(), BacktestError> {
    let evaluations = groups
        .iter()
        .map(|group| {
            let slots = to.millis_since(from).max(0) / group.interval_millis() + 1;
            let slots = u64::try_from(slots).unwrap_or(u64::MAX);
            slots.saturating_mul(u64::try_from(group.rules.len()).unwrap_or(u64::MAX))
        })
        .fold(0, u64::saturating_add);
    if evaluations > max {
        return Err(BacktestError::TooLong { evaluations, max });
    }
    Ok(())
}

/// The series that groups record.
struct RecordedNames {
    metrics: BTreeSet<String>,
    alerts: BTreeSet<String>,
}

fn recorded_names(groups: &[Group]) -> RecordedNames {
    let rules = || groups.iter().flat_map(Group::rules);
    let names = |is_alert: bool| {
        let of_kind = move |kind: &Kind| matches!(kind, Kind::Alerting(_)) == is_alert;
        rules()
            .filter(move |rule| of_kind(&rule.kind))
            .map(|rule| rule.name.clone())
            .collect()
    };
    RecordedNames {
        metrics: names(false),
        alerts: names(true),
    }
}

impl RecordedNames {
    fn hold(&self, labels: &Labels) -> bool {
        match labels.metric_name() {
            ALERTS | ALERTS_FOR_STATE => self.alerts.contains(labels.get(ALERT_NAME)),
            name => self.metrics.contains(name),
        }
    }
}
