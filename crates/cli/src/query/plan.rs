//! How an answer came about, as a table.

use std::fmt::Write as _;
use std::time::Duration;

use wire::proto::{PlanNode, PlanRead};

use crate::answer::Answer;
use crate::number;
use crate::output;
use crate::times;

/// A line for each part of the expression and for each read, and one for the stages.
pub(super) fn render(answer: &Answer) -> String {
    let mut table = output::table(&["PART", ">SERIES", ">POINTS", ">TIME"]);
    for node in &answer.plan {
        let PlanNode {
            depth, expression, ..
        } = node;
        let indent = "  ".repeat(usize::try_from(*depth).unwrap_or(0));
        table.add_row([
            format!("{indent}{expression}"),
            node.series.to_string(),
            String::new(),
            took(node.duration_micros),
        ]);
        for read in &node.reads {
            table.add_row(row(&indent, read));
        }
    }
    let mut text = output::table_text(&table);
    let stages = answer.statistics.iter().flat_map(|it| &it.stages);
    let stages: Vec<String> = stages
        .map(|stage| format!("{} {}", stage.stage, took(stage.duration_micros)))
        .collect();
    // Writing to a string does not fail.
    writeln!(text, "{}", stages.join(", ")).unwrap_or(());
    text
}

fn row(indent: &str, read: &PlanRead) -> [String; 4] {
    let what = match read.tier.as_str() {
        "" => "samples".to_owned(),
        tier => format!("windows of {tier}"),
    };
    let (start, end) = (
        times::rfc3339(read.start_millis),
        times::rfc3339(read.end_millis),
    );
    let selector = &read.selector;
    let line = format!("{indent}  ← {what} of {selector} from {start} to {end}");
    if read.again {
        return [
            format!("{line}, read above"),
            String::new(),
            String::new(),
            String::new(),
        ];
    }
    #[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
    let points = number::count(read.points as f64);
    [
        line,
        read.series.to_string(),
        points,
        took(read.duration_micros),
    ]
}

fn took(micros: u64) -> String {
    if micros == 0 {
        return "0".to_owned();
    }
    format!("{:.1?}", Duration::from_micros(micros))
}
