//! Evaluates 10,000 rules over 100,000 series in memory, minute by minute: `time` it.
//!
//! A tenth of the rules records, half are thresholds on one node's series, the rest looks at all nodes; one
//! in fifty alerts fires. The source finds series by metric name and node, as a store's index does.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Arc;

use alert::rules::{Group, RuleFile, Settings};
use query::source::{Budget, EachSeries, Selected, SeriesSlice, SourceError};
use query::{Engine, SeriesSource};
use series::labels::METRIC_NAME;
use series::{Labels, MatchOp, Matcher, TimeRange, Timestamp};

const NODES: usize = 1000;
const METRICS: usize = 100;
const RULES: usize = 10_000;
const GROUP: usize = 20;
const MINUTES: i64 = 30;

/// Series by metric name, in the order of their nodes; one sample each 15 s over all of the time.
struct Indexed {
    by_name: HashMap<String, Vec<Arc<Labels>>>,
    times: Vec<i64>,
}

impl Indexed {
    fn new() -> Self {
        let mut by_name = HashMap::new();
        for metric in 0..METRICS {
            let name = format!("m{metric}");
            let series = (0..NODES).map(|node| {
                let node = format!("n{node}");
                let labels = Labels::with_name(&name, &[("node", &node), ("region", "eu")]);
                Arc::new(labels.unwrap_or_default())
            });
            by_name.insert(name.clone(), series.collect());
        }
        Self {
            by_name,
            times: (0..MINUTES * 4 + 40).map(|step| step * 15_000).collect(),
        }
    }
}

impl SeriesSource for Indexed {
    fn select_each(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        budget: &Budget,
        each: &mut EachSeries<'_>,
    ) -> Result<Selected, SourceError> {
        let equal = |name: &str| {
            let mut all = matchers.iter();
            all.find(|it| it.name() == name && it.op() == MatchOp::Equal)
                .map(Matcher::value)
        };
        let found = equal(METRIC_NAME).and_then(|name| self.by_name.get(name));
        let Some(all) = found else {
            return Ok(Selected::default());
        };
        let node = equal("node").and_then(|node| node.strip_prefix('n')?.parse::<usize>().ok());
        let series = match node {
            Some(node) => all.get(node..=node).unwrap_or_default(),
            None => all,
        };
        let (first, last) = (
            range.start_inclusive.as_millis(),
            range.end_inclusive.as_millis(),
        );
        let start = self.times.partition_point(|time| *time < first);
        let end = self.times.partition_point(|time| *time <= last);
        let times: Arc<[i64]> = self.times.get(start..end).unwrap_or_default().into();
        for labels in series {
            budget.charge_series(1)?;
            budget.charge_samples(times.len() as u64)?;
            let values: Vec<f64> = times
                .iter()
                .map(|time| (time / 1000 % 977) as f64)
                .collect();
            each(SeriesSlice {
                labels: Arc::clone(labels),
                times: Arc::clone(&times),
                values: values.into(),
            })?;
        }
        Ok(Selected::default())
    }
}

fn rules() -> String {
    let mut text = String::from("groups:\n");
    for rule in 0..RULES {
        if rule % GROUP == 0 {
            text.push_str(&format!("- name: g{}\n  rules:\n", rule / GROUP));
        }
        let (metric, node) = (rule % METRICS, rule * 7 % NODES);
        // One in a hundred of those over all nodes looks at a thousand series.
        let made = match rule % 10 {
            0 => format!(
                "  - record: r{rule}\n    expr: avg_over_time(m{metric}{{node=\"n{node}\"}}[5m])\n"
            ),
            1..=5 => format!(
                "  - alert: A{rule}\n    expr: rate(m{metric}{{node=\"n{node}\"}}[5m]) > {}\n    for: 5m\n",
                if rule % 50 == 1 { 0 } else { 1000 }
            ),
            6..=8 => format!(
                "  - alert: A{rule}\n    expr: m{metric}{{node=\"n{node}\"}} > 2000\n    labels: {{severity: page}}\n    annotations: {{summary: 'at {{{{ $value }}}}'}}\n"
            ),
            _ if rule % 100 == 9 => format!(
                "  - alert: A{rule}\n    expr: sum by (region) (rate(m{metric}[5m])) > 1e9\n"
            ),
            _ => format!(
                "  - alert: A{rule}\n    expr: m{metric}{{node=\"n{node}\"}} < -1\n    missing: hold\n"
            ),
        };
        text.push_str(&made);
    }
    text
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = RuleFile::parse("many", &rules()).map_err(|errors| format!("{errors:?}"))?;
    let settings = Arc::new(Settings::default());
    let mut groups: Vec<Group> = file
        .groups
        .into_iter()
        .map(|spec| Group::new(spec, &settings))
        .collect();
    let (source, engine) = (Indexed::new(), Engine::default());
    let (mut transitions, mut recorded, mut failures) = (0, 0, 0);
    for minute in 0..MINUTES {
        let at = Timestamp::from_millis(600_000 + minute * 60_000);
        for group in &mut groups {
            let evaluated = group.evaluate(&source, &engine, at, 1.0);
            transitions += evaluated.transitions.len();
            recorded += evaluated.recorded.len();
            failures += evaluated.failures.len();
        }
    }
    let mut said = String::new();
    writeln!(
        said,
        "{MINUTES} minutes of {RULES} rules: {transitions} transitions, {recorded} samples recorded, \
         {failures} failures"
    )?;
    std::io::stdout().write_all(said.as_bytes())?;
    Ok(())
}
