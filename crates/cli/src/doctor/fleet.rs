//! What the coordinator knows: whether it serves, which versions run, clocks, nodes.

use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use wire::proto::{GetSummaryRequest, ListNodesRequest, Node};

use super::Finding;
use crate::client::Coordinator;
use crate::fleet::{STALE_MILLIS, state};
use crate::times::{now_millis, show_length};

/// The version of this program.
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// A clock that is further off makes samples hard to compare. The time a message was under way
/// counts into the offset, so less says nothing.
const SKEW_WARN_MILLIS: u64 = 1000;
/// A clock that is further off spoils rules and rates.
const SKEW_FAIL_MILLIS: u64 = 60_000;
/// Most names said in one finding.
const NAMES_MAX: usize = 8;

/// Everything that is to be asked of the coordinator.
pub(super) async fn check(coordinator: &Coordinator) -> Vec<Finding> {
    let mut findings = vec![health(coordinator).await];
    if findings[0].level == super::Level::Fail {
        return findings;
    }
    let mut client = coordinator.fleet();
    let summary = client.get_summary(coordinator.request(GetSummaryRequest {}));
    let version = match coordinator.ask(summary).await {
        Ok(summary) => summary.into_inner().version,
        Err(error) => {
            let mend = "look into the coordinator's log";
            findings.push(Finding::fail("coordinator", error.to_string(), mend));
            return findings;
        }
    };
    let nodes = client.list_nodes(coordinator.request(ListNodesRequest {}));
    let nodes = match coordinator.ask(nodes).await {
        Ok(nodes) => nodes.into_inner().nodes,
        Err(error) => {
            let mend = "look into the coordinator's log";
            findings.push(Finding::fail("nodes", error.to_string(), mend));
            return findings;
        }
    };
    findings.push(versions(&version, &nodes));
    findings.push(clocks(&nodes));
    findings.extend(futures(&nodes));
    findings.extend(freshness(&nodes, now_millis()));
    findings
}

async fn health(coordinator: &Coordinator) -> Finding {
    let check = "coordinator";
    let mut client = HealthClient::new(coordinator.way());
    let request = coordinator.request(HealthCheckRequest::default());
    match coordinator.ask(client.check(request)).await {
        Ok(answer) if answer.get_ref().status() == ServingStatus::Serving => {
            Finding::ok(check, format!("serves at {}", coordinator.url()))
        }
        Ok(_) => Finding::fail(
            check,
            format!(
                "answers at {} but says that it does not serve",
                coordinator.url()
            ),
            "it may still be starting, or be stopping: ask again, then look into its log",
        ),
        Err(error) if error.unreachable => Finding::fail(
            check,
            format!("nobody answers at {}", coordinator.url()),
            "start it with `vedette-coordinator`, name another with --coordinator, and look \
             whether a firewall stands between",
        ),
        Err(error) => Finding::fail(
            check,
            error.to_string(),
            "look whether it is a coordinator that listens there, and into its log",
        ),
    }
}

/// A few of the names, and how many more there are.
fn names<'a>(all: impl Iterator<Item = &'a str>) -> String {
    let all: Vec<&str> = all.collect();
    let shown = all
        .iter()
        .take(NAMES_MAX)
        .copied()
        .collect::<Vec<_>>()
        .join(", ");
    match all.len().saturating_sub(NAMES_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn versions(coordinator: &str, nodes: &[Node]) -> Finding {
    let check = "versions";
    let others: Vec<&Node> = nodes
        .iter()
        .filter(|node| node.connected && node.version != coordinator)
        .collect();
    if coordinator != VERSION {
        return Finding::warn(
            check,
            format!("the coordinator is {coordinator}, this program is {VERSION}"),
            "install the same release everywhere, the coordinator first",
        );
    }
    if others.is_empty() {
        return Finding::ok(check, format!("all are {VERSION}"));
    }
    Finding::warn(
        check,
        format!(
            "the coordinator is {coordinator}, but not {}",
            names(others.iter().map(|node| node.agent_id.as_str()))
        ),
        "bring these agents to the coordinator's version",
    )
}

fn clocks(nodes: &[Node]) -> Finding {
    let check = "clocks";
    let connected = || nodes.iter().filter(|node| node.connected);
    let off = |node: &Node| node.clock_offset_millis.unsigned_abs();
    let Some(worst) = connected().max_by_key(|node| off(node)) else {
        return Finding::ok(
            check,
            "no node is connected, so there is nothing to compare",
        );
    };
    let length = show_length(worst.clock_offset_millis);
    if off(worst) < SKEW_WARN_MILLIS {
        return Finding::ok(
            check,
            format!("all within a second; {} most: {length}", worst.agent_id),
        );
    }
    let bad = connected().filter(|node| off(node) >= SKEW_WARN_MILLIS);
    let what = format!(
        "not with the coordinator's: {}; {} most: {length}",
        names(bad.map(|node| node.agent_id.as_str())),
        worst.agent_id
    );
    let mend = "let chrony or systemd-timesyncd keep these clocks (`timedatectl`), and the \
                coordinator's too; an agent measures again when it reconnects";
    if off(worst) < SKEW_FAIL_MILLIS {
        Finding::warn(check, what, mend)
    } else {
        Finding::fail(check, what, mend)
    }
}

/// Nodes of which samples were left out because their time had not come.
fn futures(nodes: &[Node]) -> Option<Finding> {
    let of = || nodes.iter().filter(|node| node.future_samples_total > 0);
    of().next()?;
    let samples: u64 = of().map(|node| node.future_samples_total).sum();
    Some(Finding::fail(
        "clocks",
        format!(
            "{samples} samples are of the future and were left out: {}",
            names(of().map(|node| node.agent_id.as_str()))
        ),
        "look at the clocks of these nodes, and at targets that say times of their own; \
         `vedette gaps NODE` shows what is lost",
    ))
}

fn freshness(nodes: &[Node], now: i64) -> Vec<Finding> {
    let check = "nodes";
    if nodes.is_empty() {
        let mend = "start an agent on each node with `vedette-agent --coordinator URL`";
        return vec![Finding::warn(check, "no node has ever been seen", mend)];
    }
    let mut findings = Vec::new();
    let gone = || nodes.iter().filter(|node| !node.connected);
    if gone().next().is_some() {
        findings.push(Finding::warn(
            check,
            format!(
                "not connected: {}",
                names(gone().map(|node| node.agent_id.as_str()))
            ),
            "look whether the agent runs there (`systemctl status vedette-agent`) and reaches the \
             coordinator",
        ));
    }
    let stale = || nodes.iter().filter(|node| state(node, now) == "stale");
    if stale().next().is_some() {
        findings.push(Finding::warn(
            check,
            format!(
                "connected, but without data for {}: {}",
                show_length(STALE_MILLIS),
                names(stale().map(|node| node.agent_id.as_str()))
            ),
            "look into the agent's log: its collectors may be down, or its clock far off",
        ));
    }
    if findings.is_empty() {
        let what = format!("all {} are connected and fresh", nodes.len());
        findings.push(Finding::ok(check, what));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Level;

    const NOW: i64 = 1_700_000_000_000;

    fn node(id: &str, connected: bool, offset: i64, age: i64) -> Node {
        Node {
            agent_id: id.to_owned(),
            version: VERSION.to_owned(),
            connected,
            clock_offset_millis: offset,
            newest_sample_millis: NOW - age,
            ..Node::default()
        }
    }

    #[test]
    fn clocks_are_judged_by_the_worst_that_is_connected() {
        for (offset, level) in [
            (0, Level::Ok),
            (-999, Level::Ok),
            (-1000, Level::Warn),
            (59_999, Level::Warn),
            (i64::MIN, Level::Fail),
        ] {
            let nodes = [node("a", true, 1, 0), node("b", true, offset, 0)];
            assert_eq!(clocks(&nodes).level, level, "{offset}");
        }
        assert_eq!(clocks(&[node("a", false, 99_999, 0)]).level, Level::Ok);
    }

    #[test]
    fn nodes_with_samples_of_the_future_are_named() {
        let mut nodes = [node("a", true, 0, 0), node("b", true, 0, 0)];
        assert!(futures(&nodes).is_none());
        nodes[1].future_samples_total = 5;
        let found = futures(&nodes).unwrap();
        assert_eq!(found.level, Level::Fail);
        assert!(found.what.starts_with("5 samples"), "{}", found.what);
        assert!(found.what.ends_with(": b"), "{}", found.what);
    }

    #[test]
    fn stale_nodes_and_lost_nodes_are_named() {
        let nodes = [
            node("a", true, 0, 1),
            node("b", false, 0, 1),
            node("c", true, 0, 200_000),
        ];
        let found = freshness(&nodes, NOW);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].what, "not connected: b");
        assert_eq!(found[1].what, "connected, but without data for 2m30s: c");
        assert_eq!(freshness(&nodes[..1], NOW)[0].level, Level::Ok);
        assert_eq!(freshness(&[], NOW)[0].level, Level::Warn);
    }

    #[test]
    fn other_versions_are_named_and_long_lists_cut() {
        let mut nodes: Vec<Node> = (0..10)
            .map(|n| node(&format!("n{n}"), true, 0, 0))
            .collect();
        assert_eq!(versions(VERSION, &nodes).level, Level::Ok);
        for node in &mut nodes {
            node.version = "0.0.9".to_owned();
        }
        let found = versions(VERSION, &nodes);
        assert!(found.what.ends_with("n7 and 2 more"), "{}", found.what);
        assert_eq!(versions("9.9.9", &nodes).level, Level::Warn);
    }
}
