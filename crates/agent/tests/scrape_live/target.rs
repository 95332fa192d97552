//! One scraper against a real HTTP server.

use std::sync::Arc;
use std::time::Duration;

use crate::server::{Answer, HandClock, Server, install_tls_provider};
use agent::collect::scrape::fetch::Fetcher;
use agent::collect::scrape::{Error, FailureReason, Limits, Reason, Scrape, Scraper, Target};
use agent::collect::scrape::{REPORT_NAMES, StatsHandle};
use daemon::clock::SharedClock;
use series::{Timestamp, is_stale};

struct Rig {
    server: Server,
    clock: Arc<HandClock>,
    stats: StatsHandle,
    scraper: Scraper,
}

async fn rig_with(body_bytes_max: usize, adjust: impl FnOnce(Target) -> Target) -> Rig {
    install_tls_provider();
    let clock = Arc::new(HandClock::default());
    let server = Server::start(Arc::clone(&clock)).await;
    let target = Target::new(&server.address(), "vllm")
        .unwrap()
        .with_labels([("instance", "node-1")])
        .unwrap();
    let stats = StatsHandle::default();
    let clock_of_scraper: SharedClock = Arc::<HandClock>::clone(&clock);
    let scraper = Scraper::new(
        Arc::new(adjust(target)),
        Fetcher::new(body_bytes_max).unwrap(),
        clock_of_scraper,
        Limits::default(),
        stats.clone(),
    );
    Rig {
        server,
        clock,
        stats,
        scraper,
    }
}

async fn rig() -> Rig {
    rig_with(1 << 20, |target| target).await
}

impl Rig {
    async fn scrape(&mut self, answer: Answer) -> Scrape {
        self.server.answer(answer);
        self.scraper.scrape().await
    }
}

/// The samples but for the report: `series value`, stale markers as `stale`.
fn said(scrape: &Scrape) -> Vec<String> {
    let samples = scrape.snapshot.samples.iter();
    samples
        .filter(|sample| !REPORT_NAMES.contains(&sample.labels.metric_name()))
        .map(|sample| {
            let at = sample.at.map_or(String::new(), |at| format!(" @{at}"));
            if is_stale(sample.value) {
                format!("{} stale{at}", sample.labels)
            } else {
                format!("{} {}{at}", sample.labels, sample.value)
            }
        })
        .collect()
}

/// The report values in the order of [`REPORT_NAMES`].
fn report(scrape: &Scrape) -> Vec<f64> {
    let value = |name| {
        let series = format!(r#"{name}{{instance="node-1",job="vllm"}}"#);
        let mut found = scrape.snapshot.samples.iter();
        found
            .find(|sample| sample.labels.to_string() == series)
            .unwrap()
            .value
    };
    REPORT_NAMES.into_iter().map(value).collect()
}

#[tokio::test]
async fn a_page_is_read_and_labelled_and_reported_on() {
    let mut rig = rig().await;
    rig.clock.set_wall(1_000_000);
    let page = "# HELP r Running.\n# TYPE r gauge\nr{m=\"x\",job=\"mine\"} 1\nbad\nr 2 5\n";
    let scrape = rig.scrape(Answer::text(page).taking(700)).await;
    assert_eq!(
        said(&scrape),
        [
            r#"r{exported_job="mine",instance="node-1",job="vllm",m="x"} 1"#,
            r#"r{instance="node-1",job="vllm"} 2 @0.005"#
        ]
    );
    assert_eq!(
        scrape.at,
        Timestamp::from_millis(1_000_000),
        "the start, not the end"
    );
    assert_eq!(scrape.duration, Duration::from_millis(700));
    assert_eq!(report(&scrape), [1.0, 0.7, 2.0, 2.0, 2.0]);
    assert!(scrape.failure.is_none());
    assert_eq!(scrape.refusals.count, 1);
    assert_eq!(scrape.refusals.first[0].line, 4);
    assert_eq!(scrape.snapshot.families[0].help, "Running.");
    let again = rig.scrape(Answer::text(page)).await;
    assert_eq!(report(&again)[4], 0.0, "no series is new");
    let stats = rig.stats.read();
    assert_eq!((stats.done, stats.lines_refused), (2, 2));
    assert_eq!(stats.page_bytes, 2 * page.len() as u64);
}

#[tokio::test]
async fn it_asks_as_prometheus_asks_on_one_connection() {
    let mut rig = rig().await;
    for _ in 0..5 {
        rig.scrape(Answer::text("a 1\n")).await;
    }
    let seen = rig.server.seen();
    let header = |name: &str| seen.headers.get(name).unwrap().to_str().unwrap().to_owned();
    assert_eq!(
        header("accept"),
        "application/openmetrics-text;version=1.0.0,\
         application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
    );
    assert_eq!(header("accept-encoding"), "gzip");
    assert_eq!(header("x-prometheus-scrape-timeout-seconds"), "10");
    assert_eq!((seen.requests, seen.connections), (5, 1));
}

#[tokio::test]
async fn honoured_labels_stay() {
    let mut rig = rig_with(1 << 20, |target| target.with_honor_labels(true)).await;
    let scrape = rig.scrape(Answer::text("r{job=\"mine\"} 1\n")).await;
    assert_eq!(said(&scrape), [r#"r{instance="node-1",job="mine"} 1"#]);
}

#[tokio::test]
async fn open_metrics_is_told_by_its_content_type() {
    let mut rig = rig().await;
    let page = "# TYPE a counter\na_total 1 1.5 # {t=\"x\"} 1\n# EOF\n";
    let scrape = rig.scrape(Answer::open_metrics(page)).await;
    assert_eq!(
        said(&scrape),
        [r#"a_total{instance="node-1",job="vllm"} 1 @1.500"#]
    );
    assert_eq!(scrape.refusals.count, 0);
    let cut = rig
        .scrape(Answer::open_metrics("# TYPE a counter\na_total 12"))
        .await;
    assert!(
        matches!(cut.failure, Some(Error::CutShort { .. })),
        "{:?}",
        cut.failure
    );
    assert_eq!(report(&cut)[0], 0.0);
    assert_eq!(rig.stats.read().failed_for(FailureReason::CutShort), 1);
}

#[tokio::test]
async fn gzip_is_read_and_a_bomb_is_cut() {
    let mut rig = rig().await;
    let scrape = rig.scrape(Answer::text("a 1\n").gzipped()).await;
    assert_eq!(said(&scrape), [r#"a{instance="node-1",job="vllm"} 1"#]);
    // 64 MiB of comments in some 64 KiB; the bound of this rig is 1 MiB.
    let bomb = Answer::text(&"# aaaaaaaaaaaaa\n".repeat(4 << 20)).gzipped();
    assert!(bomb.body.len() < 1 << 20);
    let scrape = rig.scrape(bomb).await;
    assert!(matches!(
        scrape.failure,
        Some(Error::TooLarge { max: 1_048_576, .. })
    ));
    let scrape = rig.scrape(Answer::text(&"# a\n".repeat(1 << 19))).await;
    assert!(matches!(scrape.failure, Some(Error::TooLarge { .. })));
    assert_eq!(rig.stats.read().failed_for(FailureReason::TooLarge), 2);
    let mut broken = Answer::text(&"a 1\n".repeat(1000)).gzipped();
    broken.body.truncate(20);
    let scrape = rig.scrape(broken).await;
    assert!(
        matches!(scrape.failure, Some(Error::Body { .. })),
        "{:?}",
        scrape.failure
    );
}

#[tokio::test]
async fn a_slow_target_is_given_up() {
    let short = Duration::from_millis(100);
    let mut rig = rig_with(1 << 20, |target| target.with_times(short, short).unwrap()).await;
    let scrape = rig.scrape(Answer::text("a 1\n").never()).await;
    assert!(
        matches!(scrape.failure, Some(Error::Timeout { .. })),
        "{:?}",
        scrape.failure
    );
    assert!(scrape.failure.unwrap().is_retryable());
    let scrape = rig.scrape(Answer::text("a 1\n").stalling_body()).await;
    assert!(
        matches!(scrape.failure, Some(Error::Timeout { .. })),
        "{:?}",
        scrape.failure
    );
    let scrape = rig.scrape(Answer::text("a 1\n")).await;
    assert_eq!(report(&scrape)[0], 1.0);
}

#[tokio::test]
async fn what_is_no_page_is_a_failure_with_its_reason() {
    let mut rig = rig().await;
    let scrape = rig.scrape(Answer::text("a 1\n").with_status(500)).await;
    assert!(matches!(
        scrape.failure,
        Some(Error::Status { status: 500, .. })
    ));
    let scrape = rig.scrape(Answer::text("<html>\n<body>\n")).await;
    assert!(matches!(scrape.failure, Some(Error::NotMetrics { .. })));
    assert_eq!(scrape.refusals.count, 2);
    let scrape = rig.scrape(Answer::text("")).await;
    assert!(scrape.failure.is_none(), "an empty page is a page");
    let scrape = rig.scrape(Answer::redirect("/moved")).await;
    assert_eq!(said(&scrape), [r#"moved{instance="node-1",job="vllm"} 1"#]);
    let scrape = rig.scrape(Answer::redirect("/metrics")).await;
    assert!(
        matches!(scrape.failure, Some(Error::Redirects { .. })),
        "{:?}",
        scrape.failure
    );
    assert_eq!(report(&scrape), [0.0, 0.0, 0.0, 0.0, 0.0]);
}

#[tokio::test]
async fn a_target_that_does_not_listen_is_down() {
    install_tls_provider();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let mut scraper = Scraper::new(
        Arc::new(Target::new(&address, "vllm").unwrap()),
        Fetcher::new(1 << 20).unwrap(),
        Arc::new(HandClock::default()),
        Limits::default(),
        StatsHandle::default(),
    );
    let scrape = scraper.scrape().await;
    assert!(
        matches!(scrape.failure, Some(Error::Connect { .. })),
        "{:?}",
        scrape.failure
    );
    let up = &scrape.snapshot.samples[0];
    assert_eq!(
        up.labels.to_string(),
        format!(r#"up{{instance="{address}",job="vllm"}}"#)
    );
    assert_eq!(
        (up.value, scrape.snapshot.samples.len()),
        (0.0, REPORT_NAMES.len())
    );
}

#[tokio::test]
async fn series_that_end_are_marked_stale_once() {
    let mut rig = rig().await;
    let labels = r#"{instance="node-1",job="vllm"}"#;
    rig.scrape(Answer::text("a 1\nb 2\nc 3 5000\n")).await;
    let scrape = rig.scrape(Answer::text("b 2\n")).await;
    assert_eq!(
        said(&scrape),
        [format!("b{labels} 2"), format!("a{labels} stale")],
        "c has a time of its own and gets no marker"
    );
    assert_eq!(report(&scrape)[2..], [1.0, 1.0, 0.0]);
    let scrape = rig.scrape(Answer::text("a 1\nb 2\n")).await;
    assert_eq!(
        said(&scrape),
        [format!("a{labels} 1"), format!("b{labels} 2")]
    );
    assert_eq!(report(&scrape)[4], 1.0);
    let scrape = rig.scrape(Answer::text("").with_status(503)).await;
    let mut stale = said(&scrape);
    stale.sort();
    assert_eq!(
        stale,
        [format!("a{labels} stale"), format!("b{labels} stale")]
    );
    assert_eq!(report(&scrape)[0], 0.0);
    let scrape = rig.scrape(Answer::text("").with_status(503)).await;
    assert_eq!(said(&scrape), [""; 0], "once is enough");
}

#[tokio::test]
async fn a_page_that_is_none_still_ends_the_series_before_it() {
    let mut rig = rig().await;
    let stale = [r#"a{instance="node-1",job="vllm"} stale"#];
    rig.scrape(Answer::text("a 1\n")).await;
    assert_eq!(said(&rig.scrape(Answer::text("<html>\n")).await), stale);
    rig.scrape(Answer::text("a 1\n")).await;
    assert_eq!(
        said(&rig.scrape(Answer::open_metrics("# TYPE a gauge\n")).await),
        stale
    );
}

#[tokio::test]
async fn one_series_written_two_ways_is_one_series() {
    let mut rig = rig().await;
    let labels = r#"{instance="node-1",job="vllm",x="1",y="2"}"#;
    rig.scrape(Answer::text("a{x=\"1\",y=\"2\"} 1\n")).await;
    let scrape = rig.scrape(Answer::text("a{y=\"2\",x=\"1\"} 2\n")).await;
    assert_eq!(said(&scrape), [format!("a{labels} 2")], "it did not end");
    assert_eq!(report(&scrape)[4], 0.0);
    let scrape = rig
        .scrape(Answer::text(
            "a{x=\"1\",y=\"2\"} 3\na{y=\"2\",x=\"1\"} 4\na{y=\"2\",x=\"1\"} 5 9\n",
        ))
        .await;
    assert_eq!(
        said(&scrape),
        [format!("a{labels} 3"), format!("a{labels} 5 @0.009")]
    );
    assert_eq!(scrape.refusals.first[0].reason, Reason::Duplicate);
    assert_eq!(report(&scrape)[2..], [3.0, 2.0, 0.0]);
}

#[tokio::test]
async fn a_known_name_does_not_hide_the_labels_after_it() {
    let mut rig = rig().await;
    rig.scrape(Answer::text("a 1\nb{x=\"1\"} 2\n")).await;
    let scrape = rig
        .scrape(Answer::text(
            "a {x=\"1\"} 3\nb{x=\"1\"}4\nab 5\na{} 6\na\t7\n",
        ))
        .await;
    let plain = r#"{instance="node-1",job="vllm"}"#;
    let x = r#"{instance="node-1",job="vllm",x="1"}"#;
    assert_eq!(
        said(&scrape),
        [
            format!("a{x} 3"),
            format!("b{x} 4"),
            format!("ab{plain} 5"),
            format!("a{plain} 6")
        ]
    );
    assert_eq!(scrape.refusals.first[0].reason, Reason::Duplicate);
}

#[tokio::test]
async fn the_report_series_cannot_be_scraped() {
    let mut rig = rig().await;
    let scrape = rig.scrape(Answer::text("up 7\nup{x=\"1\"} 8\n")).await;
    assert_eq!(scrape.refusals.first[0].reason, Reason::Reserved);
    assert_eq!(report(&scrape)[0], 1.0);
    let others = scrape
        .snapshot
        .samples
        .iter()
        .filter(|sample| sample.labels.get("x") == "1");
    assert_eq!(others.count(), 1);
}

#[tokio::test]
async fn a_target_that_is_removed_ends_all_its_series() {
    let mut rig = rig().await;
    assert!(rig.scraper.end().is_none(), "nothing was said yet");
    rig.scrape(Answer::text("a 1\nb 2 7\n")).await;
    rig.clock.set_wall(42);
    let end = rig.scraper.end().unwrap();
    assert_eq!(end.at, Timestamp::from_millis(42));
    assert_eq!(said(&end), [r#"a{instance="node-1",job="vllm"} stale"#]);
    assert!(report(&end).into_iter().all(is_stale));
    assert!(rig.scraper.end().is_none());
}

#[tokio::test]
async fn pages_that_change_are_followed_line_by_line() {
    // Lines come, go, and change places; the samples must be those of a fresh reading each time.
    let mut rig = rig().await;
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut before: Vec<String> = Vec::new();
    for _ in 0..60 {
        let mut names: Vec<String> = Vec::new();
        for at in 0..12 {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            if !seed.is_multiple_of(5) {
                let place = usize::try_from(seed >> 40).unwrap() % (names.len() + 1);
                let name = if at % 3 == 0 {
                    format!("n{at}")
                } else {
                    format!("n{{l=\"{at}\"}}")
                };
                names.insert(
                    if seed.is_multiple_of(7) {
                        place
                    } else {
                        names.len()
                    },
                    name,
                );
            }
        }
        let page: String = names
            .iter()
            .map(|name| format!("{name} {}\n", name.len()))
            .collect();
        let scrape = rig.scrape(Answer::text(&page)).await;
        let plain = |text: &str| {
            text.replace(r#"instance="node-1",job="vllm","#, "")
                .replace(r#"{instance="node-1",job="vllm"}"#, "")
        };
        let mut expected: Vec<String> = names
            .iter()
            .map(|name| format!("{name} {}", name.len()))
            .collect();
        expected.extend(
            before
                .iter()
                .filter(|name| !names.contains(name))
                .map(|name| format!("{name} stale")),
        );
        let mut got: Vec<String> = said(&scrape).iter().map(|text| plain(text)).collect();
        assert_eq!(got[..names.len()], expected[..names.len()]);
        got.sort();
        expected.sort();
        assert_eq!(got, expected);
        before = names;
    }
}
