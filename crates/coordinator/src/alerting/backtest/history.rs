//! Which minutes of which nodes are known.

use store::Store;
use tonic::Status;
use wire::ingest::AgentId;

use crate::alerting::completeness::{EXPECTED_MILLIS, part};
use crate::coverage::{self, Knowledge, MINUTES_MAX, Stretch};
use crate::losses::Lost;
use crate::status::ToStatus as _;

/// Most stretches that are named.
const NAMED_MAX: usize = 50;
/// Most nodes that are looked at where no rule asks how complete data are: a node's word of each minute of a week is
/// ten thousand samples.
const NODES_MAX: usize = 1000;
/// Longest time before the end that is looked at: 400 days, longer than samples are kept. A question that begins at
/// the beginning of time costs no more.
const SPAN_MAX: i64 = 400 * 86_400_000;
const MINUTE: i64 = 60_000;

/// What is known of a node.
struct Node {
    agent: AgentId,
    /// Ascending, from a day before the span on.
    stretches: Vec<Stretch>,
    losses: Vec<Lost>,
}

/// What is known of the nodes over a span of time.
pub(super) struct History {
    nodes: Vec<Node>,
    start_millis: i64,
    end_millis: i64,
    /// Nodes that were not looked at.
    left_out: usize,
}

impl History {
    /// Reads it. With `all` every node is looked at; `goes_on` is asked before each.
    pub(super) fn read(
        store: &Store,
        agents: Vec<AgentId>,
        (start_millis, end_millis): (i64, i64),
        all: bool,
        goes_on: &dyn Fn() -> Result<(), Status>,
    ) -> Result<Self, Status> {
        let start_millis = start_millis.max(end_millis.saturating_sub(SPAN_MAX));
        let max = if all { usize::MAX } else { NODES_MAX };
        let left_out = agents.len().saturating_sub(max);
        let mut nodes = Vec::new();
        for agent in agents.into_iter().take(max) {
            goes_on()?;
            let first = start_millis.saturating_sub(EXPECTED_MILLIS);
            let read = node(store, agent, first, end_millis);
            nodes.push(read.map_err(|error| error.to_status())?);
        }
        Ok(Self {
            nodes,
            start_millis,
            end_millis,
            left_out,
        })
    }

    /// Which part of the nodes that were heard of within a day had told all until `looks_at`, as of `at`. What came
    /// later than it was taken counts as if it had come at once.
    pub(super) fn completeness(&self, looks_at: i64, interval: i64, at: i64) -> f64 {
        let newest = |node: &Node| {
            let before = node.stretches.partition_point(|it| it.start_millis <= at);
            let known = node.stretches.iter().take(before).rev();
            let mut known = known.filter(|it| is_known(it));
            known.next().map(|it| it.end_millis.min(at))
        };
        let heard = self.nodes.iter().filter_map(newest);
        part(heard.map(|newest| (newest, newest)), looks_at, interval)
    }

    /// What is missing, in words. Of a node that was not there yet nothing is: the time before its first word, where it
    /// was not heard of for a day before.
    pub(super) fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        let mut more = 0;
        let mut say = |text: String| {
            if missing.len() < NAMED_MAX {
                missing.push(text);
            } else {
                more += 1;
            }
        };
        for node in &self.nodes {
            let agent = &node.agent;
            for lost in &node.losses {
                let Some((first, last)) = lost.span else {
                    continue;
                };
                if first <= self.end_millis && last >= self.start_millis {
                    let (first, last) = (shown(first), shown(last));
                    say(format!(
                        "{agent}: {first} to {last} was lost: {}",
                        lost.reason
                    ));
                }
            }
            let there = node.stretches.iter().skip_while(|it| !is_known(it));
            for stretch in there.filter(|it| it.end_millis > self.start_millis) {
                let what = match stretch.knowledge {
                    Knowledge::Unknown => "nothing is known",
                    Knowledge::Thinned => "about a sample a minute is there",
                    Knowledge::Known | Knowledge::Lost(_) => continue,
                };
                let first = shown(stretch.start_millis.max(self.start_millis));
                let last = shown(stretch.end_millis);
                say(format!("{agent}: {first} to {last}: {what}"));
            }
        }
        if more > 0 {
            missing.push(format!("{more} more stretches that are not named"));
        }
        if self.left_out > 0 {
            let (looked, left) = (self.nodes.len(), self.left_out);
            missing.push(format!(
                "{left} nodes were not looked at, only the first {looked}"
            ));
        }
        missing
    }
}

fn is_known(stretch: &Stretch) -> bool {
    matches!(stretch.knowledge, Knowledge::Known | Knowledge::Thinned)
}

/// What is known of a node, a month at a time. The minute that is not over yet is not told of.
fn node(store: &Store, agent: AgentId, start: i64, end: i64) -> Result<Node, store::Error> {
    let end = end.div_euclid(MINUTE) * MINUTE;
    let mut stretches: Vec<Stretch> = Vec::new();
    let mut losses = Vec::new();
    let mut from = start;
    while from < end {
        let to = end.min(from.saturating_add(MINUTES_MAX * MINUTE));
        let read = coverage::of(store, &agent, from, to - 1)?;
        losses = read.losses;
        for stretch in read.stretches {
            match stretches.last_mut() {
                Some(last) if last.knowledge == stretch.knowledge => {
                    last.end_millis = stretch.end_millis;
                }
                _ => stretches.push(stretch),
            }
        }
        from = to;
    }
    Ok(Node {
        agent,
        stretches,
        losses,
    })
}

/// A time as people read it.
pub(super) fn shown(millis: i64) -> String {
    jiff::Timestamp::from_millisecond(millis)
        .map_or_else(|_| millis.to_string(), |at| at.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;

    fn stretch(from: i64, to: i64, knowledge: Knowledge) -> Stretch {
        Stretch {
            start_millis: from,
            end_millis: to,
            knowledge,
        }
    }

    fn history(nodes: Vec<(&str, Vec<Stretch>)>) -> History {
        let nodes = nodes.into_iter().map(|(agent, stretches)| Node {
            agent: AgentId::try_from(agent.to_owned()).unwrap(),
            stretches,
            losses: Vec::new(),
        });
        History {
            nodes: nodes.collect(),
            start_millis: DAY,
            end_millis: DAY + 10 * HOUR,
            left_out: 0,
        }
    }

    /// One that is always there, one that was away for two hours, one that came in the middle, one long gone.
    fn four() -> History {
        use Knowledge::{Known, Unknown};
        let end = DAY + 10 * HOUR;
        history(vec![
            ("always", vec![stretch(0, end, Known)]),
            (
                "away",
                vec![
                    stretch(0, DAY + 2 * HOUR, Known),
                    stretch(DAY + 2 * HOUR, DAY + 4 * HOUR, Unknown),
                    stretch(DAY + 4 * HOUR, end, Known),
                ],
            ),
            (
                "new",
                vec![
                    stretch(0, DAY + 5 * HOUR, Unknown),
                    stretch(DAY + 5 * HOUR, end, Known),
                ],
            ),
            ("gone", vec![stretch(0, end, Unknown)]),
        ])
    }

    #[test]
    fn completeness_is_that_of_the_nodes_that_were_there_then() {
        let history = four();
        let at = |at: i64| history.completeness(at - 75_000, MINUTE, at);
        let is = |hours: i64, expected: f64| {
            let found = at(DAY + hours * HOUR);
            assert!((found - expected).abs() < 1e-9, "{hours} h: {found}");
        };
        is(1, 1.0);
        is(3, 0.5);
        is(6, 1.0);
    }

    #[test]
    fn stretches_in_which_a_node_is_unknown_are_told_and_a_list_that_is_cut_says_so() {
        let missing = four().missing();
        assert_eq!(
            missing,
            ["away: 1970-01-02T02:00:00Z to 1970-01-02T04:00:00Z: nothing is known"]
        );
        let on_and_off = (0..70_i64).map(|n| {
            let knowledge = if n % 2 == 0 {
                Knowledge::Known
            } else {
                Knowledge::Thinned
            };
            stretch(DAY + n * MINUTE, DAY + (n + 1) * MINUTE, knowledge)
        });
        let on_and_off: Vec<Stretch> = on_and_off.collect();
        let mut history = history(vec![("a", on_and_off.clone()), ("b", on_and_off)]);
        history.left_out = 3;
        let missing = history.missing();
        assert_eq!(missing.len(), NAMED_MAX + 2);
        assert_eq!(missing[NAMED_MAX], "20 more stretches that are not named");
        assert!(missing[NAMED_MAX + 1].starts_with("3 nodes were not looked at"));
    }
}
