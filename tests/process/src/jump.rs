//! A target whose value jumps when it is told to, and which knows when that was first seen.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::now_millis;

/// The metric: 0, and 2 after the jump. Its label `id` says which jump.
pub const METRIC: &str = "jump_height";

#[derive(Debug, Default)]
struct Height {
    id: u64,
    is_up: bool,
    /// When a page first said so, in milliseconds since the Unix epoch.
    seen_millis: Option<i64>,
}

type Shared = Arc<Mutex<Height>>;

/// The target; it ends with its handle.
#[derive(Debug)]
pub struct Jump {
    address: SocketAddr,
    height: Shared,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for Jump {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Jump {
    /// One on a free port, down.
    ///
    /// # Panics
    /// When no port can be had.
    pub async fn serve() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let height = Shared::default();
        let router = Router::new()
            .route("/metrics", get(page))
            .with_state(Arc::clone(&height));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            address,
            height,
            server,
        }
    }

    /// Where it is, without a path.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The `scrape` setting of an agent for it, in TOML.
    #[must_use]
    pub fn setting(&self) -> String {
        format!("scrape = [\"http://{}/metrics\"]", self.address)
    }

    fn set(&self, id: u64, is_up: bool) {
        let mut height = self.height.lock().unwrap_or_else(PoisonError::into_inner);
        *height = Height {
            id,
            is_up,
            seen_millis: None,
        };
    }

    /// Goes up, as the jump of this id.
    pub fn up(&self, id: u64) {
        self.set(id, true);
    }

    /// Comes down again.
    pub fn down(&self, id: u64) {
        self.set(id, false);
    }

    /// When a page first said what is so now, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn seen_millis(&self) -> Option<i64> {
        self.height
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .seen_millis
    }
}

async fn page(State(height): State<Shared>) -> String {
    let mut height = height.lock().unwrap_or_else(PoisonError::into_inner);
    let now = now_millis();
    height.seen_millis.get_or_insert(now);
    let value = if height.is_up { 2 } else { 0 };
    let id = height.id;
    format!("# TYPE {METRIC} gauge\n{METRIC}{{id=\"{id}\"}} {value}\n")
}
