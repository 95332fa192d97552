//! Expressions by chance, over the names and labels of a set.
//!
//! Left out is what no two versions need agree on: a comparison, a rounding or a rank of values that
//! were computed, where the last digit decides.

use std::collections::BTreeSet;

use process_tests::chance::Chance;

use crate::catalog::{Catalog, Metric};
use crate::sets::Clock;

const WINDOWS: [&str; 8] = ["45s", "1m", "90s", "2m", "5m", "10m", "15m", "30m"];
const QUANTILES: [&str; 7] = ["0", "0.05", "0.5", "0.9", "0.99", "1", "-1"];
const COMPARE: [&str; 6] = ["==", "!=", ">", "<", ">=", "<="];

/// So many different expressions, each kind of expression as often as any other.
pub(crate) fn generate(
    chance: &mut Chance,
    catalog: &Catalog,
    clock: Clock,
    count: usize,
) -> BTreeSet<String> {
    let mut writer = Writer {
        chance,
        catalog,
        clock,
    };
    let kinds = [
        Writer::selector_placed,
        Writer::of_counter,
        Writer::of_gauge,
        Writer::aggregated,
        Writer::aggregated,
        Writer::arithmetic,
        Writer::compared,
        Writer::joined,
        Writer::set_operation,
        Writer::elementwise,
        Writer::relabelled,
        Writer::subquery,
        Writer::of_histogram,
        Writer::of_time,
        Writer::absent,
    ];
    let mut expressions = BTreeSet::new();
    for kind in kinds.iter().cycle() {
        if expressions.len() == count {
            break;
        }
        expressions.insert(kind(&mut writer));
    }
    expressions
}

struct Writer<'a> {
    chance: &'a mut Chance,
    catalog: &'a Catalog,
    clock: Clock,
}

impl Writer<'_> {
    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        let at = self.chance.under(from.len() as u64);
        from[usize::try_from(at).unwrap()]
    }

    fn counter(&mut self) -> Metric {
        self.pick(self.catalog.counters)
    }

    fn gauge(&mut self) -> Metric {
        self.pick(self.catalog.gauges)
    }

    fn matcher(&mut self, label: &str) -> String {
        let values = self.catalog.values.iter().find(|(name, _)| *name == label);
        let values = values.map_or(&["none"][..], |(_, values)| values);
        let (value, other) = (self.pick(values), self.pick(values));
        let start = value.get(..value.len().min(2)).unwrap_or(value);
        match self.chance.under(9) {
            0 | 1 => format!("{label}=\"{value}\""),
            2 => format!("{label}!=\"{value}\""),
            3 => format!("{label}=~\"{value}|{other}\""),
            4 => format!("{label}!~\"{value}\""),
            5 => format!("{label}=~\"{start}.*\""),
            6 => format!("{label}=~'.+'"),
            7 => format!("{label}!~\".*{other}\""),
            _ => "nothing=\"\"".to_owned(),
        }
    }

    /// A selector without a place in time.
    fn selector(&mut self, (name, own): Metric) -> String {
        let mut matchers = Vec::new();
        let labels: Vec<&str> = own.iter().chain(self.catalog.shared).copied().collect();
        for _ in 0..self.chance.under(5).saturating_sub(2) {
            let label = self.pick(&labels);
            matchers.push(self.matcher(label));
        }
        if self.chance.once_in(10) {
            matchers.insert(0, format!("__name__=\"{name}\""));
            return format!("{{{}}}", matchers.join(","));
        }
        match matchers.is_empty() {
            true => name.to_owned(),
            false => format!("{name}{{{}}}", matchers.join(",")),
        }
    }

    /// Where in time a selector looks.
    fn place(&mut self) -> String {
        let offset = self.pick(&["1m", "5m", "10m", "-2m", "1h"]);
        let part = i64::try_from(self.chance.under(14)).unwrap_or(0) + 2;
        let at = self.clock.at(part);
        match self.chance.under(16) {
            0 | 1 => format!(" offset {offset}"),
            2 => format!(" @ {at}"),
            3 => " @ start()".to_owned(),
            4 => " @ end()".to_owned(),
            5 => format!(" @ {at} offset {offset}"),
            _ => String::new(),
        }
    }

    fn placed(&mut self, metric: Metric) -> String {
        let selector = self.selector(metric);
        selector + &self.place()
    }

    fn selector_placed(&mut self) -> String {
        let metric = match self.chance.once_in(3) {
            true => self.counter(),
            false => self.gauge(),
        };
        self.placed(metric)
    }

    /// A selector of a range.
    fn window(&mut self, metric: Metric) -> String {
        let (selector, window) = (self.selector(metric), self.pick(&WINDOWS));
        format!("{selector}[{window}]{}", self.place())
    }

    fn of_counter(&mut self) -> String {
        let counter = self.counter();
        let function = self.pick(&["rate", "rate", "increase", "irate", "resets", "changes"]);
        format!("{function}({})", self.window(counter))
    }

    fn of_gauge(&mut self) -> String {
        let gauge = self.gauge();
        let window = self.window(gauge);
        let function = self.pick(&[
            "avg", "min", "max", "sum", "count", "last", "present", "stddev", "stdvar", "quantile",
            "delta", "idelta", "deriv", "changes", "predict", "smooth",
        ]);
        match function {
            "quantile" => {
                let quantile = self.pick(&QUANTILES);
                format!("quantile_over_time({quantile}, {window})")
            }
            "predict" => format!("predict_linear({window}, {})", self.pick(&["600", "-60"])),
            "smooth" => format!(
                "holt_winters({window}, 0.3, {})",
                self.pick(&["0.1", "0.7"])
            ),
            "delta" | "idelta" | "deriv" | "changes" => format!("{function}({window})"),
            _ => format!("{function}_over_time({window})"),
        }
    }

    /// A vector that other expressions are made of.
    fn vector(&mut self, depth: u32) -> String {
        match self.chance.under(if depth == 0 { 5 } else { 8 }) {
            0 | 1 => self.selector_placed(),
            2 | 3 => self.of_counter(),
            4 => self.of_gauge(),
            5 => self.aggregated(),
            6 => self.subquery(),
            _ => self.elementwise(),
        }
    }

    /// Some labels, with commas.
    fn labels(&mut self) -> String {
        let names: Vec<&str> = self.catalog.values.iter().map(|(name, _)| *name).collect();
        let count = self.chance.under(3);
        let labels: BTreeSet<&str> = (0..count).map(|_| self.pick(&names)).collect();
        labels.into_iter().collect::<Vec<_>>().join(", ")
    }

    fn aggregated(&mut self) -> String {
        let labels = self.labels();
        let group = match self.chance.under(3) {
            0 => String::new(),
            1 => format!(" by ({labels}) "),
            _ => format!(" without ({labels}) "),
        };
        let gauge = self.gauge();
        match self.chance.under(12) {
            0 => format!(
                "quantile{group}({}, {})",
                self.pick(&QUANTILES),
                self.vector(0)
            ),
            1 => format!(
                "topk{group}({}, {})",
                self.pick(&["1", "2", "3"]),
                self.placed(gauge)
            ),
            2 => format!(
                "bottomk{group}({}, {})",
                self.pick(&["1", "2"]),
                self.placed(gauge)
            ),
            3 => format!("count_values{group}(\"value\", {})", self.placed(gauge)),
            4 => format!("group{group}({})", self.vector(1)),
            5 => format!("count{group}({})", self.vector(1)),
            6 => format!("stddev{group}({})", self.placed(gauge)),
            7 => format!("stdvar{group}({})", self.placed(gauge)),
            _ => {
                let by = self.pick(&["sum", "sum", "avg", "min", "max"]);
                format!("{by}{group}({})", self.vector(1))
            }
        }
    }

    fn arithmetic(&mut self) -> String {
        let by = self.pick(&["+", "*", "/", "-", "%", "^", "atan2"]);
        let number = self.pick(&["2", "0.5", "100", "-3", "1e3", "0", "Inf"]);
        let (gauge, counter) = (self.gauge(), self.counter());
        match self.chance.under(4) {
            0 => format!("{} {by} {number}", self.placed(gauge)),
            1 => format!("{number} {by} {}", self.placed(gauge)),
            2 => {
                let (selector, a, b) = (
                    self.selector(counter),
                    self.pick(&WINDOWS),
                    self.pick(&WINDOWS),
                );
                format!("rate({selector}[{a}]) / rate({selector}[{b}])")
            }
            _ => {
                let (labels, by) = (self.labels(), self.pick(&["+", "*", "/"]));
                let (a, b) = (self.vector(0), self.vector(0));
                format!("sum by ({labels}) ({a}) {by} max by ({labels}) ({b})")
            }
        }
    }

    fn compared(&mut self) -> String {
        let (gauge, by) = (self.gauge(), self.pick(&COMPARE));
        let is_bool = self.chance.once_in(2);
        let by = if is_bool {
            format!("{by} bool")
        } else {
            by.to_owned()
        };
        let number = self.pick(&["0", "1", "3", "50", "1e9", "NaN"]);
        let selector = self.selector(gauge);
        match self.chance.under(4) {
            0 => format!("{selector} {by} {number}"),
            1 => format!("{number} {by} {selector}"),
            2 => format!("{selector} {by} {selector} offset 5m"),
            _ => {
                let label = self.pick(self.catalog.shared);
                format!("{selector} {by} on ({label}) group_left max by ({label}) ({selector})")
            }
        }
    }

    /// One side has more series than the other.
    fn joined(&mut self) -> String {
        let (label, metric) = (self.pick(self.catalog.shared), self.gauge());
        let (many, few) = (
            self.selector(metric),
            self.pick(&["sum", "max", "avg", "count"]),
        );
        let by = self.pick(&["+", "*", "/"]);
        match self.chance.under(4) {
            0 => format!("{many} {by} on ({label}) group_left {few} by ({label}) ({many})"),
            1 => format!("{few} by ({label}) ({many}) {by} on ({label}) group_right {many}"),
            2 => {
                let own = metric.1.join(", ");
                format!("{many} {by} ignoring ({own}) group_left {few} without ({own}) ({many})")
            }
            _ => {
                let own = metric.1.first().copied().unwrap_or(label);
                format!("{few} by ({label}) ({many}) {by} on ({label}) group_right ({own}) {many}")
            }
        }
    }

    fn set_operation(&mut self) -> String {
        let by = self.pick(&["and", "or", "unless"]);
        let label = self.pick(self.catalog.shared);
        let matching = match self.chance.under(4) {
            0 => format!(" on ({label})"),
            1 => format!(" ignoring ({label})"),
            _ => String::new(),
        };
        let metric = self.gauge();
        let (a, b) = (self.placed(metric), self.placed(metric));
        match self.chance.under(3) {
            0 => format!("{a} {by}{matching} {}", self.vector(1)),
            1 => format!("{} {by}{matching} {b}", self.of_counter()),
            _ => format!("{a} {by}{matching} {b}"),
        }
    }

    fn elementwise(&mut self) -> String {
        let gauge = self.gauge();
        let selector = self.placed(gauge);
        let function = self.pick(&[
            "abs",
            "ceil",
            "floor",
            "exp",
            "sqrt",
            "ln",
            "log2",
            "log10",
            "round",
            "sgn",
            "sin",
            "cos",
            "tan",
            "atan",
            "sinh",
            "asin",
            "acosh",
            "deg",
            "rad",
            "sort",
            "sort_desc",
            "-",
            "timestamp",
            "to_nearest",
            "clamp",
            "clamp_min",
            "clamp_max",
        ]);
        match function {
            "to_nearest" => format!("round({selector}, {})", self.pick(&["0.1", "5", "1000"])),
            "clamp" => format!("clamp({selector}, 1, {})", self.pick(&["0", "40", "1e9"])),
            "clamp_min" | "clamp_max" => {
                let bound = self.pick(&["0", "2", "1e10"]);
                format!("{function}({}, {bound})", self.vector(0))
            }
            "sort" | "sort_desc" | "-" => format!("{function}({})", self.vector(0)),
            _ => format!("{function}({selector})"),
        }
    }

    fn relabelled(&mut self) -> String {
        let vector = self.vector(1);
        let label = self.pick(self.catalog.shared);
        match self.chance.under(4) {
            0 => format!("label_replace({vector}, \"part\", \"$1\", \"{label}\", \"(.*)[:-].*\")"),
            1 => {
                format!("label_replace({vector}, \"{label}\", \"x-$2\", \"{label}\", \"(.)(.+)\")")
            }
            2 => format!("label_join({vector}, \"all\", \"/\", \"{label}\", \"job\", \"none\")"),
            _ => format!("label_replace({vector}, \"new\", \"it\", \"none\", \"\")"),
        }
    }

    fn subquery(&mut self) -> String {
        let inner = match self.chance.under(3) {
            0 => self.of_counter(),
            1 => self.selector_placed(),
            _ => {
                let (labels, counter) = (self.labels(), self.of_counter());
                format!("sum by ({labels}) ({counter})")
            }
        };
        let function = self.pick(&["max", "min", "avg", "sum", "count", "last", "present"]);
        let (range, step) = (
            self.pick(&["5m", "10m", "20m"]),
            self.pick(&["", "30s", "1m", "2m"]),
        );
        format!(
            "{function}_over_time({inner}[{range}:{step}]{})",
            self.place()
        )
    }

    fn of_histogram(&mut self) -> String {
        if self.catalog.histograms.is_empty() {
            return self.aggregated();
        }
        let (name, own) = self.pick(self.catalog.histograms);
        let (window, quantile) = (self.pick(&WINDOWS), self.pick(&QUANTILES));
        let labels: Vec<&str> = own.iter().chain(self.catalog.shared).copied().collect();
        let (label, other) = (self.pick(&labels), self.pick(&labels));
        let (matcher, place) = (self.matcher(other), self.place());
        let rate = format!("rate({name}_bucket{{{matcher}}}[{window}]{place})");
        match self.chance.under(4) {
            0 => format!("histogram_quantile({quantile}, {rate})"),
            1 => format!("histogram_quantile({quantile}, sum by (le) ({rate}))"),
            2 => format!("histogram_quantile({quantile}, sum by (le, {label}) ({rate}))"),
            _ => format!("rate({name}_sum[{window}]{place}) / rate({name}_count[{window}]{place})"),
        }
    }

    fn of_time(&mut self) -> String {
        let gauge = self.gauge();
        let selector = self.placed(gauge);
        let date = self.pick(&[
            "minute",
            "hour",
            "day_of_week",
            "day_of_month",
            "day_of_year",
            "days_in_month",
            "month",
            "year",
        ]);
        match self.chance.under(6) {
            0 => format!("{date}(timestamp({selector}))"),
            1 => format!("{date}(vector(time() - {}))", self.chance.under(40_000_000)),
            2 => format!("time() - timestamp({selector})"),
            3 => format!("vector(scalar(sum({selector})) * {})", self.chance.under(9)),
            4 => format!("{date}({selector})"),
            _ => format!("scalar({selector}) + time()"),
        }
    }

    fn absent(&mut self) -> String {
        let gauge = self.gauge();
        let label = self.pick(self.catalog.shared);
        let matcher = format!("{label}=\"nowhere\"");
        match self.chance.under(4) {
            0 => format!("absent({}{{{matcher}}})", gauge.0),
            1 => format!(
                "absent_over_time({}{{{matcher}, none=~\"a.*\"}}[5m])",
                gauge.0
            ),
            2 => format!("absent_over_time({})", self.window(gauge)),
            _ => format!("absent({})", self.aggregated()),
        }
    }
}
