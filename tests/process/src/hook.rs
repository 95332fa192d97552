//! Somebody who is called: a webhook that takes everything and remembers when.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::ask::vedette;
use crate::coordinator::Coordinator;
use crate::now_millis;

/// A call.
#[derive(Clone, Debug)]
pub struct Call {
    /// When it was taken, in milliseconds since the Unix epoch.
    pub at_millis: i64,
    /// What was said, in Alertmanager's form.
    pub payload: Value,
}

impl Call {
    /// The kind of word, such as `trigger`; Alertmanager says none.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.payload["vedette"]["kind"].as_str().unwrap_or_default()
    }

    /// Whether it tells of a firing alert that bears this label.
    #[must_use]
    pub fn fires(&self, name: &str, value: &str) -> bool {
        let alerts = self.payload["alerts"].as_array();
        let mut alerts = alerts.into_iter().flatten();
        alerts.any(|alert| alert["status"] == "firing" && alert["labels"][name] == value)
    }
}

type Calls = Arc<Mutex<Vec<Call>>>;

/// A webhook; it ends with its handle.
#[derive(Debug)]
pub struct Hook {
    address: SocketAddr,
    calls: Calls,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for Hook {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Hook {
    /// One on a free port.
    ///
    /// # Panics
    /// When no port can be had.
    pub async fn serve() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let calls = Calls::default();
        let router = Router::new()
            .route("/", post(take))
            .with_state(Arc::clone(&calls));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            address,
            calls,
            server,
        }
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Settings of a coordinator that calls it for everything, and has these rules and no others.
    #[must_use]
    pub fn setting(&self, rules: &std::path::Path) -> String {
        format!(
            "[alerting]\nstock_rules = false\nrules = [{:?}]\nresolve_after = \"0s\"\n\
             [alerting.addresses]\nwebhook = [\"hook\"]\n[notify.webhook.hook]\nurl = {:?}\n",
            rules.display().to_string(),
            self.url()
        )
    }

    /// Has a coordinator call it for everything.
    ///
    /// # Panics
    /// When it does not take that.
    pub async fn apply(coordinator: &Coordinator) {
        let levels = ["critical", "high", "medium", "low"].map(|level| {
            format!(
                "    {level}:\n      response_time: immediate\n      \
                 channels: [webhook]\n      escalation: none\n"
            )
        });
        let text = format!("alerting_config:\n  alert_levels:\n{}", levels.concat());
        let file = tempfile::NamedTempFile::with_suffix(".yaml").unwrap();
        std::fs::write(file.path(), text).unwrap();
        let path = file.path().display().to_string();
        vedette(coordinator, &["apply", &path]).await;
    }

    /// All calls so far.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.calls
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

async fn take(State(calls): State<Calls>, body: String) {
    let call = Call {
        at_millis: now_millis(),
        payload: serde_json::from_str(&body).unwrap_or_default(),
    };
    calls
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(call);
}
