//! One question, two answers: what Debian's Prometheus says of a recording of real node metrics, of
//! the small reference load and of the series that Prometheus' compliance queries are about, a
//! coordinator says too, to 1e-9 of each value. Where they differ, [`versions`] names what another
//! version of Prometheus changed; a difference without a name fails the test, and so does a name
//! without a difference.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a helper fails its test by panicking; what a run came to is printed"
)]

mod catalog;
mod compare;
mod compliance;
mod counters;
mod demo;
mod generate;
mod load;
mod sets;
mod tally;
mod versions;
mod written;

use std::net::SocketAddr;

use process_tests::coordinator::Coordinator;
use process_tests::prometheus::{Prometheus, formatted, write};

use compare::{Answer, difference};
use sets::Set;
use tally::Tally;

/// The data is as old as it was recorded, whatever the clock says.
const CONFIG: &str = "[store]\nretention = \"36500d\"\nwindow_retention = \"36500d\"\n\
                      [ingest]\nfuture_max = \"36500d\"\n";
/// Least number of different expressions where the public data is.
const EXPRESSIONS_MIN: usize = 500;

/// Sends the same bodies to both.
async fn fill(prometheus: SocketAddr, coordinator: SocketAddr, set: &Set) {
    for body in &set.load.bodies {
        for to in [prometheus, coordinator] {
            let (code, text) = write(to, body).await;
            assert!(matches!(code, 200 | 204), "{}: {code} {text}", set.name);
        }
    }
}

/// Asks both the questions of a set, each at one time and over a range of times.
async fn ask(prometheus: SocketAddr, coordinator: SocketAddr, set: &Set, tally: &mut Tally) {
    for question in &set.questions {
        let expression = &question.expression;
        let expected = formatted(prometheus, expression).await;
        let found = formatted(coordinator, expression).await;
        tally.format(expression, expected, found);
        for when in [set.clock.instant(), set.clock.range()] {
            let expected = Answer::ask(prometheus, &question.expression, when);
            let found = Answer::ask(coordinator, &question.expression, when);
            let (expected, found) = tokio::join!(expected, found);
            let Some(what) = difference(&expected, &found) else {
                tally.agree(question, &expected, &found);
                continue;
            };
            let mut reason = versions::reason(&question.expression, &expected, &found);
            if reason.is_none() {
                let asked = (question.expression.as_str(), when);
                let answers = (&expected, &found);
                let servers = (prometheus, coordinator);
                let explained = counters::explain(servers, set.clock, asked, answers).await;
                reason = explained.then_some(&versions::COUNTERS);
            }
            tally.differ(question, when, &what, reason);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_and_a_coordinator_answer_alike() {
    let Some(prometheus) = Prometheus::start("").await else {
        println!("skipped: no prometheus on the PATH (make setup puts it there)");
        return;
    };
    let coordinator = Coordinator::start(CONFIG).await;
    let sets = sets::all().await;
    let mut tally = Tally::default();
    // Prometheus takes no samples that are much older than those it has: sets come in order of time.
    for set in &sets {
        fill(prometheus.address, coordinator.http, set).await;
        ask(prometheus.address, coordinator.http, set, &mut tally).await;
    }
    print!("{tally}");
    assert_eq!(tally.unexplained, 0, "differences without a reason");
    assert_eq!(tally.misformatted, 0, "expressions formatted otherwise");
    let (expressions, answering) = (tally.expressions(), tally.answering());
    assert!(answering * 5 >= expressions * 4, "only {answering}");
    if sets::is_public_data_there() {
        assert!(expressions >= EXPRESSIONS_MIN, "only {expressions}");
    }
    if sets.len() == sets::ALL && !sets::is_seed_set() {
        let needless = tally.needless();
        assert!(needless.is_empty(), "no query needs {needless:?}");
    }
    prometheus.terminate().await;
}
