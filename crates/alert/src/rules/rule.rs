//! A rule that was checked.

use std::collections::BTreeMap;

use query::Expr;
use series::Labels;
use spec::Level;

use super::comparison;
use super::life::Timing;
use crate::template::Template;

/// Most alerts of one rule where its group sets no limit, so that a rule over everything cannot fill the
/// memory.
pub const ALERTS_MAX: usize = 100_000;

/// For how many milliseconds an element that is gone counts as firing with `missing: fire`: a day, after
/// which somebody has seen it or it is not coming back.
pub const MISSING_FIRES_MAX: i64 = 86_400_000;

/// A rule: an expression, and what becomes of its answer.
#[derive(Debug)]
pub struct Rule {
    /// The name of the alert or of the series recorded.
    pub name: String,
    /// The line of its file, counting from 1.
    pub line: u64,
    /// The expression as it was written.
    pub text: String,
    /// The labels that it adds, those of its group included.
    pub labels: Vec<(String, Template)>,
    /// What becomes of the answer.
    pub kind: Kind,
    pub(super) expr: Expr,
}

/// What becomes of the answer of a rule.
#[derive(Debug)]
pub enum Kind {
    /// It is recorded.
    Recording,
    /// Each element is an alert.
    Alerting(Box<Alerting>),
}

/// What an alerting rule says beside its expression.
#[derive(Debug)]
pub struct Alerting {
    /// What is said of an alert.
    pub annotations: Vec<(String, Template)>,
    /// When it fires and when it is over.
    pub timing: Timing,
    /// How bad it is, where it says so itself.
    pub level: Option<Level>,
    /// A word that gives the level by policy.
    pub condition: Option<String>,
    /// What an element without data means, where it says so.
    pub missing: Option<Missing>,
    /// The least completeness of data with which it is evaluated.
    pub min_complete: Option<f64>,
    /// Names of alerts that explain it.
    pub depends_on: Vec<String>,
    /// The expression that ends an alert, as it was written.
    pub clear_when: Option<String>,
    pub(super) clear: Option<Expr>,
    /// Whether agents are to run it, where it says so itself.
    pub edge: Option<bool>,
}

/// What an element without data means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Nothing: the alert stays where it is, for [`super::HOLD_MAX_MILLIS`] at most.
    Hold,
    /// The condition holds.
    Fire,
    /// The condition does not hold.
    Clear,
}

impl Alerting {
    /// How bad an alert with these labels is.
    #[must_use]
    pub fn level_of(&self, labels: &Labels, conditions: &BTreeMap<String, Level>) -> Level {
        let by_condition = || conditions.get(self.condition.as_ref()?).copied();
        self.level
            .or_else(by_condition)
            .or_else(|| Level::of_severity(labels.get("severity")))
            .unwrap_or(Level::Medium)
    }

    /// Whether the labels of an alert can be told by its element alone.
    pub(super) fn has_plain_labels(labels: &[(String, Template)]) -> bool {
        !labels
            .iter()
            .any(|(_, template)| template.uses_value() || template.uses_queries())
    }
}

impl Rule {
    /// Whether it is an alert whose expression compares with a number.
    #[must_use]
    pub fn has_threshold(&self) -> bool {
        self.is_alerting() && comparison::split(&self.expr).is_some()
    }

    /// Makes it compare with another number. Where it has a `clear_when`, that moves by as much, so that the
    /// band between the two stays as wide as it was.
    ///
    /// # Errors
    /// Why that cannot be.
    pub fn set_threshold(&mut self, number: f64) -> Result<(), String> {
        let name = &self.name;
        let no_number = |what: &str| format!("{what} of {name} is no comparison with a number");
        let Kind::Alerting(alerting) = &mut self.kind else {
            return Err(format!("{name} is no alert"));
        };
        let before = comparison::split(&self.expr).ok_or_else(|| no_number("the expression"))?;
        let text = before.with(number);
        let expr = parsed(&text)?;
        if let Some(clear) = &alerting.clear {
            let why = || {
                format!(
                    "{}, and would have to move with it",
                    no_number("clear_when")
                )
            };
            let clear = comparison::split(clear).ok_or_else(why)?;
            let clear = clear.with(tidy(clear.number + (number - before.number)));
            alerting.clear = Some(parsed(&clear)?);
            alerting.clear_when = Some(clear);
        }
        self.expr = expr;
        self.text = text;
        Ok(())
    }

    /// Makes its condition have to hold for so many milliseconds; `false` for a recording rule.
    pub fn set_for(&mut self, millis: i64) -> bool {
        let Kind::Alerting(alerting) = &mut self.kind else {
            return false;
        };
        alerting.timing.hold_millis = millis.max(0);
        true
    }

    /// Whether it is not evaluated where data are not complete enough.
    #[must_use]
    pub fn asks_completeness(&self) -> bool {
        matches!(&self.kind, Kind::Alerting(alerting) if alerting.min_complete.is_some())
    }

    /// Whether it makes alerts.
    #[must_use]
    pub fn is_alerting(&self) -> bool {
        matches!(self.kind, Kind::Alerting(_))
    }
}

fn parsed(text: &str) -> Result<Expr, String> {
    query::parse(text).map_err(|error| format!("{text}: {error}"))
}

/// A number as people would have written it: 0.8, where sums of floats give 0.7999999999999999.
fn tidy(number: f64) -> f64 {
    format!("{number:.12e}").parse().unwrap_or(number)
}

#[cfg(test)]
mod tests {
    use super::Kind;
    use crate::rules::RuleFile;

    #[test]
    fn other_thresholds_and_times_can_be_tried() {
        let text = "groups: [{name: g, rules: [{alert: A, expr: 'sum by (n) (x) > 2', for: 1m},\
                    {alert: B, expr: '5 < x'}, {record: r, expr: 'x * 2'}]}]";
        let mut file = RuleFile::parse("f", text).unwrap();
        let rules = &mut file.groups[0].rules;
        let has: Vec<bool> = rules.iter().map(|it| it.has_threshold()).collect();
        let set = rules.iter_mut().map(|it| it.set_threshold(0.5).is_ok());
        assert_eq!(set.collect::<Vec<_>>(), [true, true, false]);
        assert_eq!(has, [true, true, false]);
        assert_eq!(rules[0].text, "(sum by (n) (x)) > 0.5");
        assert_eq!(rules[1].text, "0.5 < (x)");
        assert!(rules[0].set_for(300_000) && !rules[2].set_for(1));
    }

    #[test]
    fn what_ends_an_alert_moves_with_its_threshold_or_nothing_moves() {
        let text = "groups: [{name: g, rules: [\
                    {alert: A, expr: 'x > 0.95', clear_when: 'x < 0.85'},\
                    {alert: B, expr: 'x > 2', clear_when: 'y'}]}]";
        let mut file = RuleFile::parse("f", text).unwrap();
        let rules = &mut file.groups[0].rules;
        rules[0].set_threshold(0.9).unwrap();
        let Kind::Alerting(alerting) = &rules[0].kind else {
            panic!("an alert");
        };
        assert_eq!(alerting.clear_when.as_deref(), Some("(x) < 0.8"));
        let why = rules[1].set_threshold(3.0).unwrap_err();
        assert!(why.contains("clear_when of B"), "{why}");
        assert_eq!(rules[1].text, "x > 2");
    }
}
