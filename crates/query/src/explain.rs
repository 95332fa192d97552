//! How an answer came about: each part of the expression in the order it was evaluated, and what was read
//! for it.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

use rollup::Tier;
use series::{Matcher, TimeRange, Timestamp};

use crate::parse::{Expr, print};
use crate::source::Budget;

/// Time since some moment that stays the same.
pub type Clock = Arc<dyn Fn() -> Duration + Send + Sync>;

/// Longest text of a node, in bytes.
const TEXT_BYTES_MAX: usize = 200;
/// Most nodes and most reads that are kept; an expression of 64 KiB can have more.
const KEPT_MAX: usize = 1000;

/// In the place of an index: the node is past the bound.
const NOT_KEPT: usize = usize::MAX;

/// One part of an expression. The parts of a part come after it, one deeper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanNode {
    /// 0 for the whole expression.
    pub depth: usize,
    /// Its text on one line, cut when it is long.
    pub expression: String,
    /// Series that it came to; 1 for a scalar or a text.
    pub series: u64,
    /// How long it took, its parts and reads included.
    pub took: Duration,
    /// What was read for it, its parts left out.
    pub reads: Vec<PlanRead>,
}

/// What was read for one selector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanRead {
    /// Which series.
    pub selector: String,
    /// Windows of this tier; samples when there is none.
    pub tier: Option<Tier>,
    /// The first millisecond.
    pub start: Timestamp,
    /// The last millisecond.
    pub end: Timestamp,
    /// Series that were found; none when [`PlanRead::again`].
    pub series: u64,
    /// Samples or windows that were read; none when [`PlanRead::again`].
    pub points: u64,
    /// How long reading took, without what was made of each series as it came.
    pub took: Duration,
    /// Whether another part had read the same, so that nothing was read.
    pub again: bool,
}

/// Follows one evaluation.
pub(crate) struct Trace {
    clock: Clock,
    nodes: RefCell<Vec<PlanNode>>,
    /// Indices of the nodes that are being evaluated, the innermost last.
    open: RefCell<Vec<usize>>,
    /// All that reading took.
    read: Cell<Duration>,
}

impl Trace {
    pub(crate) fn new(clock: Clock) -> Self {
        Self {
            clock,
            nodes: RefCell::default(),
            open: RefCell::default(),
            read: Cell::default(),
        }
    }

    pub(crate) fn now(&self) -> Duration {
        (self.clock)()
    }

    /// Begins a node.
    pub(crate) fn enter(&self, expr: &Expr) -> Duration {
        let mut nodes = self.nodes.borrow_mut();
        let mut open = self.open.borrow_mut();
        let at = nodes.len();
        if at >= KEPT_MAX {
            open.push(NOT_KEPT);
            return self.now();
        }
        let mut expression = expr.to_string();
        if expression.len() > TEXT_BYTES_MAX {
            expression.truncate(expression.floor_char_boundary(TEXT_BYTES_MAX));
            expression.push('…');
        }
        nodes.push(PlanNode {
            depth: open.len(),
            expression,
            series: 0,
            took: Duration::ZERO,
            reads: Vec::new(),
        });
        open.push(at);
        self.now()
    }

    /// Ends the innermost node, which began at `started`.
    pub(crate) fn leave(&self, started: Duration, series: u64) {
        let at = self.open.borrow_mut().pop();
        let mut nodes = self.nodes.borrow_mut();
        if let Some(node) = at.and_then(|at| nodes.get_mut(at)) {
            node.series = series;
            node.took = self.now().saturating_sub(started);
        }
    }

    /// Keeps a read of the innermost node.
    fn keep(&self, read: PlanRead) {
        self.read.set(self.read.get() + read.took);
        let at = self.open.borrow().last().copied();
        let mut nodes = self.nodes.borrow_mut();
        if let Some(node) = at.and_then(|at| nodes.get_mut(at))
            && node.reads.len() < KEPT_MAX
        {
            node.reads.push(read);
        }
    }

    /// Begins to read.
    pub(crate) fn reading<'t>(&'t self, budget: &'t Budget) -> Reading<'t> {
        Reading {
            trace: self,
            budget,
            began: self.now(),
            visits: Cell::default(),
            before: (budget.series(), budget.samples()),
        }
    }

    /// How long all reading took.
    pub(crate) fn read_for(&self) -> Duration {
        self.read.get()
    }

    /// The nodes, the whole expression first.
    pub(crate) fn into_nodes(self) -> Vec<PlanNode> {
        self.nodes.into_inner()
    }
}

/// A read that is being traced.
pub(crate) struct Reading<'t> {
    trace: &'t Trace,
    budget: &'t Budget,
    began: Duration,
    visits: Cell<Duration>,
    /// Series and samples that had been charged.
    before: (u64, u64),
}

impl Reading<'_> {
    /// Does with a series what is not reading.
    pub(crate) fn visit<T>(&self, visit: impl FnOnce() -> T) -> T {
        let began = self.trace.now();
        let made = visit();
        let took = self.trace.now().saturating_sub(began);
        self.visits.set(self.visits.get() + took);
        made
    }

    /// Ends it. `windows` are those that were read, if it read windows.
    pub(crate) fn end(self, matchers: &[Matcher], range: TimeRange, windows: Option<(Tier, u64)>) {
        let took = self.trace.now().saturating_sub(self.began);
        self.trace.keep(PlanRead {
            selector: print::selector(matchers),
            tier: windows.map(|(tier, _)| tier),
            start: range.start_inclusive,
            end: range.end_inclusive,
            series: self.budget.series() - self.before.0,
            points: match windows {
                Some((_, count)) => count,
                None => self.budget.samples() - self.before.1,
            },
            took: took.saturating_sub(self.visits.get()),
            again: false,
        });
    }

    /// Ends it, having found everything in what was read before.
    pub(crate) fn end_again(self, matchers: &[Matcher], range: TimeRange, tier: Option<Tier>) {
        self.trace.keep(PlanRead {
            selector: print::selector(matchers),
            tier,
            start: range.start_inclusive,
            end: range.end_inclusive,
            series: 0,
            points: 0,
            took: Duration::ZERO,
            again: true,
        });
    }
}
