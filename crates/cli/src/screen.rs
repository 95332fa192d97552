//! The fleet as lines of text, for a terminal and for a file alike.

use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;

use crate::fleet::{ratio, state};
use crate::number;
use crate::output::{self, or_nothing};
use crate::times::{show_length, show_time};
use crate::watch::View;

/// What a line is for, which decides its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// The first line.
    Title,
    /// The head of a table.
    Heading,
    /// Anything else.
    Plain,
    /// Something is wrong.
    Bad,
}

/// One line of a screen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) text: String,
    pub(crate) tone: Tone,
}

impl Shown {
    /// A line in this tone.
    pub(crate) fn new(tone: Tone, text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            tone,
        }
    }

    /// The line with its colours.
    pub(crate) fn line(&self) -> Line<'_> {
        let style = match self.tone {
            Tone::Title => Style::new().add_modifier(Modifier::BOLD),
            Tone::Heading => Style::new().fg(Color::Cyan),
            Tone::Plain => Style::new(),
            Tone::Bad => Style::new().fg(Color::Red),
        };
        Line::styled(self.text.as_str(), style)
    }
}

/// The lines as plain text, each ended.
pub(crate) fn plain(lines: &[Shown]) -> String {
    lines
        .iter()
        .fold(String::new(), |text, line| text + &line.text + "\n")
}

/// Totals and nodes, in the order in which the nodes are.
pub(crate) fn fleet(view: &View) -> Vec<Shown> {
    let mut lines = totals(view);
    lines.push(Shown::new(Tone::Plain, ""));
    lines.extend(nodes(view));
    lines
}

fn totals(view: &View) -> Vec<Shown> {
    let summary = &view.summary;
    let per_sample = |bytes: Option<f64>| or_nothing(bytes.map(|b| format!("{b:.2}")));
    let rate = or_nothing(view.samples_per_second.map(number::count));
    vec![
        Shown::new(
            Tone::Title,
            format!(
                "vedette {}   {} UTC   {} of {} nodes connected",
                summary.version,
                show_time(view.at_millis),
                summary.nodes_connected,
                summary.nodes
            ),
        ),
        Shown::new(
            Tone::Plain,
            format!(
                "{} series   {rate} samples/s   {} samples   {} on disk",
                summary.series,
                number::count(summary.samples_total as f64),
                number::bytes(summary.disk_bytes as f64),
            ),
        ),
        Shown::new(
            Tone::Plain,
            format!(
                "bytes per sample: {} on the wire, {} in chunks on disk",
                per_sample(ratio(summary.bytes_total, summary.samples_total)),
                per_sample(ratio(
                    summary.chunk_bytes_total,
                    summary.chunk_samples_total
                )),
            ),
        ),
    ]
}

fn nodes(view: &View) -> Vec<Shown> {
    let rows = &view.rows;
    if rows.is_empty() {
        let text = "no node has ever been seen: start an agent with `vedette-agent`";
        return vec![Shown::new(Tone::Bad, text)];
    }
    let mut table = output::table(&[
        "NODE",
        "STATE",
        ">FRESH",
        ">SERIES",
        ">B/SAMPLE",
        ">CPU",
        ">MEMORY",
        ">GPU",
        ">RUNNING",
        ">WAITING",
    ]);
    let share = |value: Option<f64>| or_nothing(value.map(number::percent));
    let count = |value: Option<f64>| or_nothing(value.map(number::count));
    for row in rows {
        let node = &row.node;
        let wire = ratio(node.bytes_total, node.samples_total);
        table.add_row([
            node.agent_id.clone(),
            state(node, view.at_millis).to_owned(),
            or_nothing(row.freshness_millis.map(show_length)),
            node.series.to_string(),
            or_nothing(wire.map(|bytes| format!("{bytes:.2}"))),
            share(row.cpu),
            share(row.memory),
            share(row.gpu),
            count(row.running),
            count(row.waiting),
        ]);
    }
    let text = output::table_text(&table);
    let mut lines = text.lines();
    let heading = lines.next().map(|line| Shown::new(Tone::Heading, line));
    let rest = lines.zip(rows).map(|(line, row)| {
        let tone = if state(&row.node, view.at_millis) == "connected" {
            Tone::Plain
        } else {
            Tone::Bad
        };
        Shown::new(tone, line)
    });
    heading.into_iter().chain(rest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::Row;
    use expect_test::expect;
    use wire::proto::{GetSummaryResponse, Node};

    const NOW: i64 = 1_700_000_000_000;

    fn row(id: &str, connected: bool, freshness_millis: Option<i64>) -> Row {
        Row {
            node: Node {
                agent_id: id.to_owned(),
                connected,
                series: 398,
                samples_total: 1000,
                bytes_total: 1234,
                newest_sample_millis: freshness_millis.map_or(0, |age| NOW - age),
                ..Node::default()
            },
            freshness_millis,
            ..Row::default()
        }
    }

    #[test]
    fn the_fleet_is_shown_with_gaps_where_nothing_is_known() {
        let mut busy = row("sim-1", true, Some(2100));
        busy.cpu = Some(0.123);
        busy.waiting = Some(0.0);
        busy.running = Some(1200.0);
        let view = View {
            at_millis: NOW,
            summary: GetSummaryResponse {
                version: "0.1.0".to_owned(),
                nodes: 3,
                nodes_connected: 2,
                series: 1194,
                samples_total: 3000,
                bytes_total: 3702,
                disk_bytes: 1 << 20,
                ..GetSummaryResponse::default()
            },
            samples_per_second: None,
            rows: vec![busy, row("sim-2", true, None), row("sim-3", false, Some(1))],
        };
        let lines = fleet(&view);
        expect![[r#"
            vedette 0.1.0   2023-11-14 22:13:20 UTC   2 of 3 nodes connected
            1194 series   - samples/s   3.00k samples   1.00 MiB on disk
            bytes per sample: 1.23 on the wire, - in chunks on disk

            NODE   STATE      FRESH  SERIES  B/SAMPLE    CPU  MEMORY  GPU  RUNNING  WAITING
            sim-1  connected   2.1s     398      1.23  12.3%       -    -    1.20k        0
            sim-2  stale          -     398      1.23      -       -    -        -        -
            sim-3  gone         1ms     398      1.23      -       -    -        -        -
        "#]]
        .assert_eq(&plain(&lines));
        let tones: Vec<Tone> = lines.iter().skip(4).map(|line| line.tone).collect();
        assert_eq!(tones, [Tone::Heading, Tone::Plain, Tone::Bad, Tone::Bad]);
    }

    #[test]
    fn an_empty_fleet_says_what_to_do() {
        let lines = fleet(&View::default());
        assert!(plain(&lines).contains("vedette-agent"));
    }
}
