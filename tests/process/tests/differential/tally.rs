//! What all questions came to.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use process_tests::prometheus::When;

use crate::compare::Answer;
use crate::sets::{Class, Question};
use crate::versions::{COUNTERS, DIFFERENCES, Difference};

/// What the questions of one class came to.
#[derive(Debug, Default)]
struct Counts {
    expressions: usize,
    asked: usize,
    agreeing: usize,
    refused: usize,
    differing: usize,
    answering: usize,
}

/// What all questions came to.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Questions whose answers differ, and nobody knows why.
    pub(crate) unexplained: usize,
    /// Expressions that are formatted in another way.
    pub(crate) misformatted: usize,
    formatted: usize,
    classes: BTreeMap<(&'static str, Class), Counts>,
    expressions: BTreeSet<String>,
    answering: BTreeSet<String>,
    /// What differs, since when, and how often.
    reasons: BTreeMap<&'static str, (&'static str, usize)>,
}

impl Tally {
    /// Counts an expression formatted by both, and prints it when they differ.
    pub(crate) fn format(
        &mut self,
        expression: &str,
        expected: Option<String>,
        found: Option<String>,
    ) {
        let (Some(expected), Some(found)) = (expected, found) else {
            return;
        };
        self.formatted += 1;
        // 2.42 writes large numbers with an exponent, does not indent subqueries and forgets `group_left`
        // after `ignoring ()`.
        let lines = expected.lines().map(str::trim_start);
        let same = lines.eq(found.lines().map(str::trim_start));
        if !same && !expected.contains("e+") && !expression.contains("ignoring ()") {
            self.misformatted += 1;
            println!("{expression} is formatted as\n{found}\nand by Prometheus as\n{expected}");
        }
    }

    /// Counts two answers to a question that are alike.
    pub(crate) fn agree(&mut self, question: &Question, expected: &Answer, found: &Answer) {
        let says_something = expected.says_something() || found.says_something();
        let counts = self.asked(question, says_something);
        match found {
            Answer::Refused { .. } => counts.refused += 1,
            Answer::Given { .. } => counts.agreeing += 1,
        }
    }

    /// Counts two answers that differ, and prints in what when nobody knows why.
    pub(crate) fn differ(
        &mut self,
        question: &Question,
        when: When,
        what: &str,
        reason: Option<&'static Difference>,
    ) {
        let counts = self.asked(question, true);
        if let Some(reason) = reason {
            counts.differing += 1;
            let seen = self.reasons.entry(reason.what).or_insert((reason.since, 0));
            seen.1 += 1;
        } else {
            self.unexplained += 1;
            let Question {
                set, expression, ..
            } = question;
            println!("{set} {when:?}: {expression}\n    {what}");
        }
    }

    fn asked(&mut self, question: &Question, says_something: bool) -> &mut Counts {
        let expression = &question.expression;
        let counts = self.classes.entry((question.set, question.class));
        let counts = counts.or_default();
        counts.asked += 1;
        counts.expressions += usize::from(self.expressions.insert(expression.clone()));
        if says_something {
            counts.answering += 1;
            self.answering.insert(expression.clone());
        }
        counts
    }

    /// How many different expressions were asked.
    pub(crate) fn expressions(&self) -> usize {
        self.expressions.len()
    }

    /// How many of them were answered with some value.
    pub(crate) fn answering(&self) -> usize {
        self.answering.len()
    }

    /// Differences that are known and never seen.
    pub(crate) fn needless(&self) -> Vec<&'static str> {
        let all = DIFFERENCES.iter().chain([&COUNTERS]);
        all.map(|difference| difference.what)
            .filter(|what| !self.reasons.contains_key(what))
            .collect()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((set, class), counts) in &self.classes {
            writeln!(
                to,
                "{set}, {class:?}: {} expressions asked {} times: {} agree, {} refused by both, {} \
                 differ by version, {} say something",
                counts.expressions,
                counts.asked,
                counts.agreeing,
                counts.refused,
                counts.differing,
                counts.answering
            )?;
        }
        for (what, (since, count)) in &self.reasons {
            writeln!(to, "{count} differ, changed {since}: {what}")?;
        }
        let (all, answering) = (self.expressions(), self.answering());
        let formatted = self.formatted;
        writeln!(
            to,
            "{all} expressions, {answering} of them say something, {formatted} formatted by both"
        )
    }
}
