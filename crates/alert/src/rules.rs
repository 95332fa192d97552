//! Rules: from files of Prometheus' form to transitions of alerts.
//!
//! A [`RuleFile`] is read and checked as a whole, with Prometheus' checks. A [`Group`] evaluates its rules
//! in order against a series source; it is the only evaluator, for live evaluation, backtests and unit
//! tests alike. It reads no clock: the caller hands in the time, which for live evaluation is the group's
//! nominal slot ([`Group::slot_after`]) even when it runs late, so that a backtest of the same time gives
//! the same transitions.
//!
//! A rule that says nothing beyond what Prometheus knows behaves as in Prometheus. Beyond it:
//!
//! - `level` (`critical`, `high`, `medium`, `low`) says how bad it is; else `condition` by the policy's
//!   words, else the label `severity`, else medium.
//! - `clear_when`: while an alert fires it stays, until an element with its labels (those of the element
//!   that it came from, the metric name left out) is in the answer of this expression; an element without
//!   labels stands for all alerts of the rule. Where both expressions hold, the alert stays.
//! - `clear_for`: how long it must have been clear without a break. Without `clear_when` it is
//!   `keep_firing_for` by another name; a rule has one of the two.
//! - `count: {least: 3, of: 5}`: it fires when the condition held in at least 3 of the last 5 evaluations,
//!   and `for` has passed since the first of them. Evaluations that failed or are unknown do not count.
//! - `missing`: what an element without data means. `hold`: the alert stays where it is, and ends when that
//!   has lasted for [`HOLD_MAX_MILLIS`], which is so with `clear_when` too where nothing is said; `clear`: the condition does not hold; `fire`: it holds. The expression must be `EXPR CMP NUMBER`, so that no data
//!   and a false condition can be told apart. With `fire` an element that was seen and is gone counts for
//!   [`MISSING_FIRES_MAX`]; where none was ever seen and there is no data at all, one alert with the rule's
//!   own labels stands for all.
//! - `min_complete: 0.9`: below this completeness of the data the rule is not evaluated. Its alerts stay.
//! - `depends_on`: names of alerts that explain this one; who is told decides what to do with it.
//! - `edge: false`: agents do not run it, though each of its alerts follows from one node's series
//!   ([`edge_rules`]); `edge: true`: they have to, and a rule that they cannot run is refused.
//! - `runbook`: where to read what to do; the annotation `runbook_url` where there is none.
//!
//! A failed query changes nothing, and a partial answer resolves nothing: alerts stay, both are reported,
//! and what is known of the alerts is recorded on as `ALERTS` and `ALERTS_FOR_STATE`.

mod alerting;
mod annotate;
mod ask;
mod backtest;
mod check;
mod comparison;
mod edge;
mod error;
mod evaluated;
mod file;
mod group;
mod handover;
mod life;
mod reads;
mod recording;
mod rule;
mod slots;
mod state;

pub use backtest::{Backtest, BacktestError, backtest};
pub use edge::{
    EDGE_BYTES_MAX, EDGE_RULES_MAX, EdgeFile, EdgeRules, NODE, Read, WINDOW_MAX, edge_rules,
};
pub use error::{LoadError, Problem};
pub use evaluated::{Evaluated, Failure, Held, Recorded, RuleError, Why};
pub use file::{FILE_BYTES_MAX, GROUPS_MAX, GroupSpec, RULES_MAX, RuleFile, check_dependencies};
pub use group::{Group, Settings};
pub use life::{Count, HOLD_MAX_MILLIS, RESOLVED_RETENTION_MILLIS, Timing};
pub use rule::{ALERTS_MAX, Alerting, Kind, MISSING_FIRES_MAX, Missing, Rule};
pub use state::{AlertRow, AlertView, GroupState, RecordedRow, SeenRow};

#[cfg(test)]
mod tests;
