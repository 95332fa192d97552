use super::*;

fn row(id: &str, waiting: Option<f64>, freshness_millis: Option<i64>) -> Row {
    Row {
        node: Node {
            agent_id: id.to_owned(),
            ..Node::default()
        },
        freshness_millis,
        waiting,
        ..Row::default()
    }
}

fn order(by: Sort) -> Vec<String> {
    let mut rows = vec![
        row("sim-10", Some(1.0), Some(10)),
        row("host", None, None),
        row("sim-2", Some(7.0), Some(10)),
        row("sim-1", Some(1.0), Some(90)),
    ];
    sort(&mut rows, by);
    rows.into_iter().map(|row| row.node.agent_id).collect()
}

#[test]
fn names_sort_as_people_count() {
    assert_eq!(order(Sort::Name), ["host", "sim-1", "sim-2", "sim-10"]);
}

#[test]
fn what_is_missing_is_not_zero_and_comes_last() {
    assert_eq!(order(Sort::Waiting), ["sim-2", "sim-1", "sim-10", "host"]);
}

#[test]
fn who_never_sent_anything_is_the_stalest() {
    assert_eq!(order(Sort::Freshness), ["host", "sim-1", "sim-2", "sim-10"]);
}

#[test]
fn the_rate_is_over_the_window_and_starts_anew_after_a_restart() {
    let mut rate = Rate::default();
    let mut note = |seconds, total| rate.note(Duration::from_secs(seconds), total);
    assert_eq!(note(0, 0), None);
    assert_eq!(note(10, 1000), Some(100.0));
    assert_eq!(note(100, 1900), Some(10.0));
    // The first look is out of the window by now.
    assert_eq!(note(200, 3900), Some(20.0));
    assert_eq!(note(210, 5), None);
    assert_eq!(note(220, 105), Some(10.0));
}
