//! HTTP: health and metrics.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use daemon::metrics::{TEXT_CONTENT_TYPE, render_text};
use daemon::shutdown::Shutdown;
use store::Store;

use crate::metrics::Metrics;

/// What the pages tell about.
#[derive(Clone, Debug)]
pub struct Http {
    /// The store, which may have stopped taking anything in.
    pub store: Arc<Store>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Whether the process is draining.
    pub shutdown: Shutdown,
}

impl Http {
    /// All pages.
    pub fn router(self) -> Router {
        Router::new()
            .route("/metrics", get(metrics))
            .route("/-/healthy", get(healthy))
            .route("/-/ready", get(ready))
            .with_state(self)
    }
}

async fn metrics(State(http): State<Http>) -> Response {
    let page = render_text(&http.metrics.registry.gather());
    ([(header::CONTENT_TYPE, TEXT_CONTENT_TYPE)], page).into_response()
}

/// Whether a restart would not help: the process runs and answers.
async fn healthy(State(http): State<Http>) -> Response {
    match http.store.check() {
        Ok(()) => "healthy\n".into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

/// Whether traffic may come.
async fn ready(State(http): State<Http>) -> Response {
    let unready = |why: String| (StatusCode::SERVICE_UNAVAILABLE, why).into_response();
    match http.store.check() {
        Ok(()) if http.shutdown.is_draining() => unready("draining\n".to_owned()),
        Ok(()) => "ready\n".into_response(),
        Err(error) => unready(format!("{error}\n")),
    }
}
