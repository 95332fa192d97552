//! The data that is asked about, when, and what.

use std::collections::BTreeSet;

use process_tests::chance::{Chance, SEED};
use process_tests::prometheus::When;

use crate::catalog::{self, Catalog};
use crate::generate::generate;
use crate::load::{self, Load};
use crate::{compliance, demo, written};

/// How many sets there are when all data is.
pub(crate) const ALL: usize = 3;
/// The seed of what is generated, unless the environment sets another.
const SEED_DEFAULT: u64 = 2_42;
/// Expressions that are generated for a set.
const GENERATED: usize = 200;
/// Milliseconds from one time of a range query to the next.
const STEP: i64 = 150_000;

/// Where an expression comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    /// Prometheus' compliance tests.
    Compliance,
    /// Chance.
    Generated,
    /// People.
    Written,
}

/// One expression.
#[derive(Debug)]
pub(crate) struct Question {
    /// The set that it is about.
    pub(crate) set: &'static str,
    /// Where it comes from.
    pub(crate) class: Class,
    /// Its text.
    pub(crate) expression: String,
}

/// Series, and questions about them.
#[derive(Debug)]
pub(crate) struct Set {
    /// What it is.
    pub(crate) name: &'static str,
    /// The series.
    pub(crate) load: Load,
    /// When they are asked for.
    pub(crate) clock: Clock,
    /// What is asked.
    pub(crate) questions: Vec<Question>,
}

/// When a set is asked about.
///
/// Prometheus 3 leaves the left edge of a range and of the lookback out, and 2.42 does not. So no
/// sample lies on an edge: ranges, offsets and steps are whole seconds, and the times asked for are
/// as far behind a whole second as no sample is. The steps of subqueries are multiples of five
/// seconds, on which no sample lies either.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    first: i64,
    last: i64,
    behind: i64,
}

impl Clock {
    fn new(times: &BTreeSet<i64>) -> Self {
        let on_steps = times.iter().find(|time| *time % 5000 == 0);
        assert_eq!(on_steps, None, "a sample lies where subqueries look");
        let taken: BTreeSet<i64> = times.iter().map(|time| time % 1000).collect();
        let behind = (337..1000).find(|behind| !taken.contains(behind));
        Self {
            first: *times.first().unwrap(),
            last: *times.last().unwrap(),
            behind: behind.unwrap_or_else(|| panic!("there are samples at all times")),
        }
    }

    /// The time asked for that is next to one.
    fn near(self, time: i64) -> i64 {
        time / 10_000 * 10_000 + self.behind
    }

    /// Seconds at this part of the set in 16, as `@` takes them.
    pub(crate) fn at(self, part: i64) -> String {
        let millis = self.near(self.first + (self.last - self.first) / 16 * part);
        format!("{}.{:03}", millis / 1000, millis % 1000)
    }

    /// One time, where there is much to look back on.
    pub(crate) fn instant(self) -> When {
        When::At(self.near(self.first + (self.last - self.first) / 8 * 7))
    }

    /// The same time in steps of five seconds, as the steps of subqueries are.
    pub(crate) fn closely(self) -> When {
        When::Range {
            start: (self.first - 120_000) / 5000 * 5000,
            end: self.last + 420_000,
            step: 5000,
        }
    }

    /// From before the first sample to where no lookback finds the last.
    pub(crate) fn range(self) -> When {
        When::Range {
            start: self.near(self.first - 120_000),
            end: self.near(self.last + 420_000),
            step: STEP,
        }
    }
}

/// Whether the environment says what is generated.
pub(crate) fn is_seed_set() -> bool {
    std::env::var_os(SEED).is_some()
}

/// Whether the public data is on this machine; then Prometheus' compliance queries must be in it.
pub(crate) fn is_public_data_there() -> bool {
    load::shared().join("data").is_dir()
}

impl Set {
    fn new(name: &'static str, load: Load, catalog: &Catalog, texts: &[&str]) -> Self {
        let clock = Clock::new(&load.times);
        let mut chance = match is_seed_set() {
            true => Chance::from_environment(),
            false => Chance::from_seed(SEED_DEFAULT),
        };
        let mut set = Self {
            name,
            load,
            clock,
            questions: Vec::new(),
        };
        set.ask(Class::Written, texts.iter().map(|&text| text.to_owned()));
        set.ask(
            Class::Generated,
            generate(&mut chance, catalog, clock, GENERATED),
        );
        set
    }

    fn ask(&mut self, class: Class, expressions: impl IntoIterator<Item = String>) {
        let set = self.name;
        let questions = expressions.into_iter().map(|expression| Question {
            set,
            class,
            expression,
        });
        self.questions.extend(questions);
    }
}

/// All sets whose data is there, in the order of their times.
pub(crate) async fn all() -> Vec<Set> {
    let demo = Load::new(demo::bodies());
    let mut demo = Set::new("demo service", demo, &catalog::DEMO, &written::DEMO);
    let queries = load::shared().join("data/prom_compliance/promql-test-queries.yml");
    if is_public_data_there() {
        demo.ask(Class::Compliance, compliance::queries(&queries));
    } else {
        println!(
            "skipped: {} is not there (set VEDETTE_SHARED)",
            queries.display()
        );
    }
    let mut sets = vec![demo];
    if let Some(load) = load::recording() {
        sets.push(Set::new(
            "recording",
            load,
            &catalog::RECORDING,
            &written::RECORDING,
        ));
    }
    if let Some(load) = load::small().await {
        sets.push(Set::new(
            "small load",
            load,
            &catalog::SMALL,
            &written::SMALL,
        ));
    }
    sets.sort_by_key(|set| set.clock.first);
    let ends = sets.iter().zip(sets.iter().skip(1));
    for (set, next) in ends {
        assert!(
            set.clock.last < next.clock.first,
            "{} is in {}",
            next.name,
            set.name
        );
    }
    sets
}
