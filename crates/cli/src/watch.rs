//! The fleet at one moment, and what of it changes: what `top` and `demo` show.

use std::cmp::Ordering;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use clap::ValueEnum;
use tokio::time::Instant;
use wire::proto::{GetSummaryRequest, GetSummaryResponse, InstantRequest, ListNodesRequest, Node};

use crate::answer::{self, Answer, Question};
use crate::client::{AskError, Coordinator};
use crate::times::now_millis;

/// The label that names the agent on every series it sent.
pub(crate) const NODE_LABEL: &str = "node";

/// Over how long samples per second are measured. Agents send once a minute, so a shorter time
/// would show their rhythm and not their rate.
const RATE_WINDOW: Duration = Duration::from_secs(90);

/// What the nodes are sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sort {
    /// By name
    #[default]
    Name,
    /// Those whose data are oldest first
    Freshness,
    /// Most series first
    Series,
    /// Busiest processors first
    Cpu,
    /// Fullest memory first
    Memory,
    /// Busiest GPUs first
    Gpu,
    /// Most running requests first
    Running,
    /// Most waiting requests first
    Waiting,
}

/// One node at one moment. What no series says is missing, not 0.
#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    pub(crate) node: Node,
    /// Age of the newest sample in milliseconds.
    pub(crate) freshness_millis: Option<i64>,
    /// Shares of 1.
    pub(crate) cpu: Option<f64>,
    pub(crate) memory: Option<f64>,
    pub(crate) gpu: Option<f64>,
    /// Requests.
    pub(crate) running: Option<f64>,
    pub(crate) waiting: Option<f64>,
}

/// The fleet at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    pub(crate) at_millis: i64,
    pub(crate) summary: GetSummaryResponse,
    /// Samples taken in each second, lately; missing until two looks have been had.
    pub(crate) samples_per_second: Option<f64>,
    pub(crate) rows: Vec<Row>,
}

/// Samples taken in over time.
#[derive(Debug, Default)]
struct Rate {
    seen: VecDeque<(Duration, u64)>,
}

impl Rate {
    /// Notes a total and returns what it grew by each second over the window.
    fn note(&mut self, at: Duration, total: u64) -> Option<f64> {
        // A total that went back is that of another life of the coordinator.
        if self.seen.back().is_some_and(|(_, last)| *last > total) {
            self.seen.clear();
        }
        self.seen.push_back((at, total));
        while self.seen.len() > 2 && self.seen[1].0 + RATE_WINDOW <= at {
            self.seen.pop_front();
        }
        let (first_at, first) = *self.seen.front()?;
        let seconds = (at - first_at).as_secs_f64();
        (seconds > 0.0).then(|| (total - first) as f64 / seconds)
    }
}

/// Looks at the fleet again and again.
#[derive(Debug)]
pub(crate) struct Watcher {
    coordinator: Coordinator,
    /// The range of `rate()`, in PromQL.
    window: &'static str,
    started: Instant,
    rate: Rate,
}

impl Watcher {
    /// A watcher that asks for rates over `window`, which must span a few collections.
    pub(crate) fn new(coordinator: Coordinator, window: &'static str) -> Self {
        Self {
            coordinator,
            window,
            started: Instant::now(),
            rate: Rate::default(),
        }
    }

    /// The fleet now.
    pub(crate) async fn look(&mut self) -> Result<View, AskError> {
        let (mut fleet, mut again) = (self.coordinator.fleet(), self.coordinator.fleet());
        let summary = fleet.get_summary(self.coordinator.request(GetSummaryRequest {}));
        let nodes = again.list_nodes(self.coordinator.request(ListNodesRequest {}));
        let (summary, nodes) =
            tokio::join!(self.coordinator.ask(summary), self.coordinator.ask(nodes));
        let (summary, nodes) = (summary?.into_inner(), nodes?.into_inner().nodes);
        let at_millis = now_millis();
        let samples_per_second = self
            .rate
            .note(self.started.elapsed(), summary.samples_total);
        let mut rows: Vec<Row> = nodes
            .into_iter()
            .map(|node| Row {
                freshness_millis: crate::fleet::since(node.newest_sample_millis, at_millis),
                node,
                ..Row::default()
            })
            .collect();
        self.measure(&mut rows).await;
        Ok(View {
            at_millis,
            summary,
            samples_per_second,
            rows,
        })
    }

    /// Fills in what PromQL says of each node. A question that fails leaves its column missing:
    /// the nodes themselves are worth showing.
    async fn measure(&self, rows: &mut [Row]) {
        let by = format!("by ({NODE_LABEL})");
        let window = self.window;
        let cpu = format!("1 - avg {by} (rate(node_cpu_seconds_total{{mode=\"idle\"}}[{window}]))");
        let memory = format!(
            "1 - sum {by} (node_memory_MemAvailable_bytes) / sum {by} (node_memory_MemTotal_bytes)"
        );
        let gpu = format!("avg {by} (DCGM_FI_DEV_GPU_UTIL) / 100");
        let running = format!("sum {by} (vllm:num_requests_running)");
        let waiting = format!("sum {by} (vllm:num_requests_waiting)");
        let (cpu, memory, gpu, running, waiting) = tokio::join!(
            self.by_agent(cpu),
            self.by_agent(memory),
            self.by_agent(gpu),
            self.by_agent(running),
            self.by_agent(waiting),
        );
        for row in rows {
            let id = row.node.agent_id.as_str();
            row.cpu = cpu.get(id).copied();
            row.memory = memory.get(id).copied();
            row.gpu = gpu.get(id).copied();
            row.running = running.get(id).copied();
            row.waiting = waiting.get(id).copied();
        }
    }

    async fn by_agent(&self, expression: String) -> HashMap<String, f64> {
        let Ok(answer) = self.ask(expression).await else {
            return HashMap::new();
        };
        let finite = answer
            .by_label(NODE_LABEL)
            .filter(|(_, value)| value.is_finite());
        finite.map(|(id, value)| (id.to_owned(), value)).collect()
    }

    /// The value of an expression now.
    pub(crate) async fn ask(&self, expression: String) -> Result<Answer, AskError> {
        let request = InstantRequest {
            explain: false,
            expression,
            time_millis: now_millis(),
        };
        answer::ask(&self.coordinator, Question::Instant(request), |_| ()).await
    }
}

/// Sorts nodes; equals, and those of which nothing is known, come last and by name.
pub(crate) fn sort(rows: &mut [Row], by: Sort) {
    rows.sort_by(|a, b| {
        let order = match by {
            Sort::Name => Ordering::Equal,
            // Who has never sent anything is the stalest of all.
            Sort::Freshness => (b.freshness_millis.unwrap_or(i64::MAX))
                .cmp(&a.freshness_millis.unwrap_or(i64::MAX)),
            Sort::Series => b.node.series.cmp(&a.node.series),
            Sort::Cpu => descending(a.cpu, b.cpu),
            Sort::Memory => descending(a.memory, b.memory),
            Sort::Gpu => descending(a.gpu, b.gpu),
            Sort::Running => descending(a.running, b.running),
            Sort::Waiting => descending(a.waiting, b.waiting),
        };
        order.then_with(|| natural(&a.node.agent_id).cmp(&natural(&b.node.agent_id)))
    });
}

fn descending(a: Option<f64>, b: Option<f64>) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) => b.total_cmp(&a),
        (a, b) => b.is_some().cmp(&a.is_some()),
    }
}

/// A key that puts `sim-2` before `sim-10`: what comes before the digits at the end, how many
/// digits, and the digits.
fn natural(name: &str) -> (&str, usize, &str) {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let digits = name.strip_prefix(stem).unwrap_or_default();
    (stem, digits.len(), digits)
}

#[cfg(test)]
mod tests;
