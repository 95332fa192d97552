//! Prometheus endpoints whose every value is known: a pure function of the target, the series and
//! the number of the scrape.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::chance::mix;

/// The metric whose value is the number of the scrape, from 1.
pub const SCRAPE: &str = "target_scrape";
/// The metric of all other series, which differ by their label `id`.
pub const VALUE: &str = "target_value";
/// Scrapes after which a churning target replaces series.
pub const CHURN_EVERY: u64 = 5;
/// Series replaced then.
pub const CHURN_SERIES: u64 = 10;

/// What one target shows.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// How many series, [`SCRAPE`] aside.
    pub series: u64,
    /// Whether series come and go.
    pub churns: bool,
}

/// A small one.
pub const TARGET: Target = Target {
    name: "small",
    series: 20,
    churns: false,
};

impl Target {
    /// The ids of its series in the scrape of this number.
    #[must_use]
    pub fn ids(&self, scrape: u64) -> std::ops::Range<u64> {
        let first = match self.churns {
            true => scrape / CHURN_EVERY * CHURN_SERIES,
            false => 0,
        };
        first..first + self.series
    }

    /// The value of a series in a scrape: every second id counts up as counters do, the others
    /// take any finite value, negative and tiny ones too.
    #[must_use]
    pub fn value(&self, id: u64, scrape: u64) -> f64 {
        let salt = self
            .name
            .bytes()
            .fold(0, |salt, byte| mix(salt ^ u64::from(byte)));
        if id.is_multiple_of(2) {
            let step = u32::try_from(mix(salt ^ id) % 1000).unwrap_or(0);
            return f64::from(step) * f64::from(u32::try_from(scrape).unwrap_or(u32::MAX));
        }
        let bits = mix(salt ^ mix(id) ^ scrape);
        let value = f64::from_bits(bits);
        if value.is_finite() {
            value
        } else {
            f64::from_bits(bits >> 2)
        }
    }

    fn page(&self, scrape: u64) -> String {
        let head = format!(
            "# TYPE {SCRAPE} counter\n{SCRAPE} {scrape}\n\
             # HELP {VALUE} One value of \\\\ many.\n# TYPE {VALUE} gauge\n"
        );
        self.ids(scrape).fold(head, |page, id| {
            // The shortest text that reads back as the same bits.
            page + &format!("{VALUE}{{id=\"{id}\"}} {:e}\n", self.value(id, scrape))
        })
    }
}

/// One page that was given out.
#[derive(Clone, Copy, Debug)]
pub struct Served {
    /// The index of the target.
    pub target: usize,
    /// The number of the scrape.
    pub scrape: u64,
    /// When, in milliseconds since the Unix epoch.
    pub at_millis: i64,
    /// The life of the agent then, as [`Targets::begin_life`] counts.
    pub life: u64,
}

#[derive(Debug, Default)]
struct Shared {
    life: AtomicU64,
    served: Mutex<Vec<Served>>,
}

/// What a page is made from.
#[derive(Clone)]
struct Page {
    target: Target,
    index: usize,
    scrapes: Arc<AtomicU64>,
    shared: Arc<Shared>,
}

/// Targets, each served on a port of its own, until this is dropped.
#[derive(Debug)]
pub struct Targets {
    shared: Arc<Shared>,
    targets: Vec<Target>,
    addresses: Vec<SocketAddr>,
    servers: Vec<tokio::task::JoinHandle<()>>,
}

impl Drop for Targets {
    fn drop(&mut self) {
        for server in &self.servers {
            server.abort();
        }
    }
}

impl Targets {
    /// Serves these targets on free ports.
    ///
    /// # Panics
    /// When no port can be had.
    pub async fn serve(targets: &[Target]) -> Self {
        let mut all = Self {
            shared: Arc::default(),
            targets: targets.to_vec(),
            addresses: Vec::new(),
            servers: Vec::new(),
        };
        for (index, target) in targets.iter().enumerate() {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            all.addresses.push(listener.local_addr().unwrap());
            let router = Router::new().route("/metrics", get(page)).with_state(Page {
                target: *target,
                index,
                scrapes: Arc::default(),
                shared: Arc::clone(&all.shared),
            });
            let server = async move { axum::serve(listener, router).await.unwrap() };
            all.servers.push(tokio::spawn(server));
        }
        all
    }

    /// The `scrape` setting of an agent for all of them, in TOML.
    #[must_use]
    pub fn setting(&self) -> String {
        let addresses = self.addresses.iter();
        let urls: Vec<String> = addresses
            .map(|address| format!("\"http://{address}/metrics\""))
            .collect();
        format!("scrape = [{}]", urls.join(", "))
    }

    /// Each target with the label `instance` of its series.
    pub fn each(&self) -> impl Iterator<Item = (&Target, String)> {
        self.targets
            .iter()
            .zip(self.addresses.iter().map(ToString::to_string))
    }

    /// From now on another process scrapes.
    pub fn begin_life(&self) {
        self.shared.life.fetch_add(1, Ordering::SeqCst);
    }

    /// All pages given out so far.
    #[must_use]
    pub fn served(&self) -> Vec<Served> {
        self.shared
            .served
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

async fn page(State(page): State<Page>) -> String {
    let scrape = page.scrapes.fetch_add(1, Ordering::SeqCst) + 1;
    let served = Served {
        target: page.index,
        scrape,
        at_millis: crate::now_millis(),
        life: page.shared.life.load(Ordering::SeqCst),
    };
    page.shared
        .served
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(served);
    page.target.page(scrape)
}
