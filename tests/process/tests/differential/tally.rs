//! What all questions came to.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use process_tests::prometheus::When;

use crate::compare::Answer;
use crate::sets::{Class, Question};
use crate::versions::{self, DIFFERENCES};

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
    classes: BTreeMap<(&'static str, Class), Counts>,
    expressions: BTreeSet<String>,
    answering: BTreeSet<String>,
    reasons: BTreeMap<usize, usize>,
}

impl Tally {
    /// Counts two answers to a question, and prints what differs for no known reason.
    pub(crate) fn count(
        &mut self,
        question: &Question,
        when: When,
        expected: &Answer,
        found: &Answer,
        differs: Option<String>,
    ) {
        let expression = &question.expression;
        let counts = self.classes.entry((question.set, question.class));
        let counts = counts.or_default();
        counts.asked += 1;
        counts.expressions += usize::from(self.expressions.insert(expression.clone()));
        if expected.says_something() || found.says_something() {
            counts.answering += 1;
            self.answering.insert(expression.clone());
        }
        let Some(what) = differs else {
            match found {
                Answer::Refused { .. } => counts.refused += 1,
                Answer::Given { .. } => counts.agreeing += 1,
            }
            return;
        };
        if let Some(reason) = versions::reason(expression, expected, found) {
            counts.differing += 1;
            *self.reasons.entry(reason).or_default() += 1;
        } else {
            self.unexplained += 1;
            println!("{} {when:?}: {expression}\n    {what}", question.set);
        }
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
        let all = DIFFERENCES.iter().enumerate();
        all.filter(|(index, _)| !self.reasons.contains_key(index))
            .map(|(_, difference)| difference.what)
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
        for (index, count) in &self.reasons {
            let difference = &DIFFERENCES[*index];
            writeln!(
                to,
                "{count} differ, changed {}: {}",
                difference.since, difference.what
            )?;
        }
        let (all, answering) = (self.expressions(), self.answering());
        writeln!(to, "{all} expressions, {answering} of them say something")
    }
}
