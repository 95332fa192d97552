//! Stand-ins for servers that the simulated fleet does not play: pages with the names, labels and
//! types of SGLang, Triton and TGI, and numbers of our own. Whatever counts goes up by its number
//! with each scrape.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

const SGLANG: &str = include_str!("pages/sglang.txt");
const TRITON: &str = include_str!("pages/triton.txt");
const TGI: &str = include_str!("pages/tgi.txt");

/// The servers, until this is dropped.
pub(crate) struct Servers {
    addresses: Vec<SocketAddr>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Servers {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Servers {
    /// Serves each page on a free port.
    pub(crate) async fn start() -> Self {
        let mut servers = Self {
            addresses: Vec::new(),
            tasks: Vec::new(),
        };
        for page in [SGLANG, TRITON, TGI] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            servers.addresses.push(listener.local_addr().unwrap());
            let scrapes = Arc::new(AtomicU32::new(0));
            let router = Router::new().route("/metrics", get(serve));
            let router = router.with_state((page, scrapes));
            let server = async move { axum::serve(listener, router).await.unwrap() };
            servers.tasks.push(tokio::spawn(server));
        }
        servers
    }

    /// Their URLs.
    pub(crate) fn urls(&self) -> impl Iterator<Item = String> {
        self.addresses
            .iter()
            .map(|address| format!("http://{address}/metrics"))
    }
}

async fn serve(State((page, scrapes)): State<(&'static str, Arc<AtomicU32>)>) -> String {
    at(page, scrapes.fetch_add(1, Ordering::SeqCst) + 1)
}

/// A page as it is at the scrape of this number.
fn at(page: &str, scrape: u32) -> String {
    let mut counts = false;
    let mut all = String::new();
    for line in page.lines() {
        if line.starts_with("# TYPE ") {
            counts = !line.ends_with(" gauge");
        }
        let sample = line.rsplit_once(' ').filter(|_| !line.starts_with('#'));
        match sample {
            Some((series, step)) if counts => {
                let step: f64 = step.parse().unwrap();
                all.push_str(&format!("{series} {}", step * f64::from(scrape)));
            }
            _ => all.push_str(line),
        }
        all.push('\n');
    }
    all
}

/// The names of a page's families.
fn families(page: &str) -> BTreeSet<&str> {
    let types = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types.filter_map(|line| line.split(' ').next()).collect()
}

#[test]
fn counters_move_and_gauges_stay() {
    let page = "# TYPE a counter\na{b=\"c d\"} 2\n# TYPE e gauge\ne 5\n";
    let moved = "# TYPE a counter\na{b=\"c d\"} 6\n# TYPE e gauge\ne 5\n";
    assert_eq!(at(page, 3), moved);
}

#[test]
fn the_pages_say_nothing_that_the_servers_do_not_say() {
    let root = std::env::var_os("VEDETTE_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        Into::into,
    );
    for (page, captured) in [
        (SGLANG, "sglang/production_metrics_example.txt"),
        (TRITON, "triton/triton_metrics_first_part.txt"),
        (TGI, "other/tgi_metrics_reference.md"),
    ] {
        let path = root.join("data/prom_captures").join(captured);
        let Ok(text) = std::fs::read_to_string(&path) else {
            println!(
                "skipped: {} is not there (set VEDETTE_SHARED)",
                path.display()
            );
            continue;
        };
        let known: BTreeSet<&str> = text
            .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'))
            .collect();
        let strange: Vec<_> = families(page).difference(&known).copied().collect();
        assert!(strange.is_empty(), "{captured} has no {strange:?}");
    }
}
