//! What the demo shows: the fleet, a few questions with their answers, where to go on.

use std::time::Duration;

use super::plan::{HOST_ID, Listens};
use crate::fleet::ratio;
use crate::number;
use crate::output::or_nothing;
use crate::screen::{self, Shown, Tone};
use crate::watch::{NODE_LABEL, View, Watcher};

/// How an answer is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Share,
    Seconds,
    Number,
}

/// One question and what came back.
#[derive(Clone, Debug)]
struct Asked {
    words: &'static str,
    unit: Unit,
    expression: String,
    answer: Result<Option<f64>, String>,
}

/// The demo's questions.
#[derive(Clone, Debug, Default)]
pub(super) struct Questions {
    asked: Vec<Asked>,
}

impl Questions {
    /// Asks all of them.
    pub(super) async fn ask(watcher: &Watcher) -> Self {
        let host = format!("{NODE_LABEL}=\"{HOST_ID}\"");
        let questions = [
            (
                "processors of this host, busy",
                Unit::Share,
                format!("1 - avg(rate(node_cpu_seconds_total{{mode=\"idle\",{host}}}[1m]))"),
            ),
            (
                "memory of this host, in use",
                Unit::Share,
                format!(
                    "1 - sum(node_memory_MemAvailable_bytes{{{host}}}) / \
                     sum(node_memory_MemTotal_bytes{{{host}}})"
                ),
            ),
            (
                "tokens the fleet generates a second",
                Unit::Number,
                "sum(rate(vllm:generation_tokens_total[1m]))".to_owned(),
            ),
            (
                "time to first token, 95 of 100 below",
                Unit::Seconds,
                "histogram_quantile(0.95, sum by (le) \
                 (rate(vllm:time_to_first_token_seconds_bucket[1m])))"
                    .to_owned(),
            ),
            (
                "requests running",
                Unit::Number,
                "sum(vllm:num_requests_running)".to_owned(),
            ),
            (
                "requests waiting",
                Unit::Number,
                "sum(vllm:num_requests_waiting)".to_owned(),
            ),
        ];
        let mut asked = Vec::new();
        for (words, unit, expression) in questions {
            let answer = watcher.ask(expression.clone()).await;
            asked.push(Asked {
                words,
                unit,
                expression,
                answer: answer
                    .map(|answer| answer.single().filter(|value| !value.is_nan()))
                    .map_err(|error| error.to_string()),
            });
        }
        Self { asked }
    }

    /// Whether every question has an answer.
    pub(super) fn all_answered(&self) -> bool {
        !self.asked.is_empty()
            && self
                .asked
                .iter()
                .all(|asked| matches!(asked.answer, Ok(Some(_))))
    }

    fn lines(&self) -> Vec<Shown> {
        let mut lines = Vec::new();
        for asked in &self.asked {
            let (tone, answer) = match &asked.answer {
                Ok(Some(value)) => (Tone::Plain, asked.unit.show(*value)),
                Ok(None) => (Tone::Plain, "not yet".to_owned()),
                Err(problem) => (Tone::Bad, problem.clone()),
            };
            let text = format!("{:<37} {answer:>9}   {}", asked.words, asked.expression);
            lines.push(Shown::new(tone, text));
        }
        lines
    }
}

impl Unit {
    fn show(self, value: f64) -> String {
        match self {
            Self::Share => number::percent(value),
            Self::Seconds => format!("{value:.3} s"),
            Self::Number => number::count(value),
        }
    }
}

/// The demo at one moment.
#[derive(Clone, Debug)]
pub(super) struct State {
    wanted: usize,
    listens: Listens,
    pub(super) view: View,
    pub(super) questions: Questions,
    /// Lines at level ERROR in all logs.
    pub(super) errors: u64,
    pub(super) elapsed: Duration,
    pub(super) problem: Option<String>,
}

impl State {
    /// Before the first look. `wanted` is how many nodes there should be.
    pub(super) fn new(wanted: usize, listens: Listens) -> Self {
        Self {
            wanted,
            listens,
            view: View::default(),
            questions: Questions::default(),
            errors: 0,
            elapsed: Duration::ZERO,
            problem: None,
        }
    }

    /// Nodes that are connected and have sent samples.
    fn nodes_there(&self) -> usize {
        let there = |row: &&crate::watch::Row| row.node.connected && row.node.samples_total > 0;
        self.view.rows.iter().filter(there).count()
    }

    /// Whether all is as it should be: every node there, with samples, and a coordinator that
    /// answers.
    pub(super) fn is_good(&self) -> bool {
        self.nodes_there() == self.wanted && self.problem.is_none()
    }

    /// One line for a log.
    pub(super) fn progress(&self) -> String {
        let summary = &self.view.summary;
        format!(
            "{:>4}s  {} of {} nodes  {} series  {} samples  {} errors",
            self.elapsed.as_secs(),
            self.nodes_there(),
            self.wanted,
            summary.series,
            summary.samples_total,
            self.errors,
        )
    }

    /// The whole screen; while it is live, also how to ask more.
    pub(super) fn lines(&self, live: bool) -> Vec<Shown> {
        let plain = |text: String| Shown::new(Tone::Plain, text);
        let summary = &self.view.summary;
        // The database is as old as the coordinator, so its size is that of these samples.
        let disk = ratio(summary.disk_bytes, summary.samples_total);
        let disk = or_nothing(disk.map(|bytes| format!("{bytes:.2}")));
        let mut lines = screen::fleet(&self.view);
        lines.push(plain(String::new()));
        lines.push(plain(format!(
            "{}s of demo, {} errors in the logs, {disk} bytes per sample on disk with the journal",
            self.elapsed.as_secs(),
            self.errors
        )));
        lines.push(plain(String::new()));
        lines.extend(self.questions.lines());
        if let Some(problem) = &self.problem {
            lines.push(Shown::new(Tone::Bad, problem.clone()));
        }
        if live {
            let Listens { grpc, http } = self.listens;
            for text in [
                String::new(),
                format!("ask more:   VEDETTE_COORDINATOR=http://{grpc} vedette query 'up'"),
                format!("or look at the coordinator itself:   curl http://{http}/metrics"),
                "Ctrl-C or q ends the demo and everything in it".to_owned(),
            ] {
                lines.push(Shown::new(Tone::Heading, text));
            }
        }
        lines
    }
}

/// The last lines, when everything has ended.
pub(super) fn verdict(state: &State, failures: usize) -> Vec<Shown> {
    let summary = &state.view.summary;
    let tone = if state.is_good() && failures == 0 {
        Tone::Plain
    } else {
        Tone::Bad
    };
    let line = |text: String| Shown::new(Tone::Plain, text);
    vec![
        line(String::new()),
        Shown::new(
            tone,
            format!(
                "{} of {} nodes, {} samples, {} errors, {failures} programs that ended badly",
                state.nodes_there(),
                state.wanted,
                summary.samples_total,
                state.errors
            ),
        ),
        line("where to go next:".to_owned()),
        line(
            "  vedette-coordinator --data-dir DIR                        start your own".to_owned(),
        ),
        line(
            "  vedette-agent --state-dir DIR --coordinator http://HOST:7700 --scrape URL"
                .to_owned(),
        ),
        line("  vedette top; vedette doctor; vedette query --help".to_owned()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::Row;
    use expect_test::expect;
    use wire::proto::Node;

    fn state(rows: Vec<Row>) -> State {
        let listens = Listens {
            grpc: "127.0.0.1:1234".parse().unwrap(),
            http: "127.0.0.1:1235".parse().unwrap(),
        };
        let mut state = State::new(2, listens);
        state.view.rows = rows;
        state
    }

    fn row(id: &str, connected: bool, samples_total: u64) -> Row {
        Row {
            node: Node {
                agent_id: id.to_owned(),
                connected,
                samples_total,
                ..Node::default()
            },
            ..Row::default()
        }
    }

    #[test]
    fn it_is_good_only_when_every_node_is_there_with_samples() {
        assert!(state(vec![row("a", true, 1), row("b", true, 5)]).is_good());
        assert!(!state(vec![row("a", true, 1)]).is_good());
        assert!(!state(vec![row("a", true, 1), row("b", true, 0)]).is_good());
        assert!(!state(vec![row("a", true, 1), row("b", false, 5)]).is_good());
        let mut silent = state(vec![row("a", true, 1), row("b", true, 5)]);
        silent.problem = Some("gone".to_owned());
        assert!(!silent.is_good());
    }

    #[test]
    fn the_last_lines_say_what_there_was_and_where_to_go() {
        let mut state = state(vec![row("a", true, 1), row("b", true, 5)]);
        state.view.summary.samples_total = 6;
        expect![[r#"

            2 of 2 nodes, 6 samples, 0 errors, 0 programs that ended badly
            where to go next:
              vedette-coordinator --data-dir DIR                        start your own
              vedette-agent --state-dir DIR --coordinator http://HOST:7700 --scrape URL
              vedette top; vedette doctor; vedette query --help
        "#]]
        .assert_eq(&screen::plain(&verdict(&state, 0)));
        expect!["   0s  2 of 2 nodes  0 series  6 samples  0 errors"].assert_eq(&state.progress());
    }

    #[test]
    fn a_question_without_an_answer_is_not_a_zero() {
        let asked = |answer| Asked {
            words: "requests running",
            unit: Unit::Number,
            expression: "x".to_owned(),
            answer,
        };
        let none = Questions {
            asked: vec![asked(Ok(Some(0.0))), asked(Ok(None))],
        };
        assert!(!none.all_answered());
        assert!(none.lines()[1].text.contains("not yet"));
        let all = Questions {
            asked: vec![asked(Ok(Some(0.0)))],
        };
        assert!(all.all_answered());
        assert!(!Questions::default().all_answered());
    }
}
