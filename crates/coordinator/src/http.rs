//! HTTP: health, metrics, and questions by the HTTP API of Prometheus, so that what can read one
//! can read us.
//!
//! Each request goes `params` → `ask`, `listing` or `status` → `reply`, or ends in
//! `failed`. Envelope, codes, words and the writing of numbers are those of Prometheus; an answer
//! known to lack something says `"isPartial":true` besides its warnings.

mod admin;
mod alerts;
mod ask;
mod failed;
mod guard;
mod json;
mod listing;
mod outside;
mod params;
mod reply;
mod runbooks;
mod serve;
mod status;
mod timed;
mod write;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use daemon::clock::SharedClock;
use daemon::metrics::{TEXT_CONTENT_TYPE, render_text};
use daemon::shutdown::Shutdown;
use store::Store;
use tokio::sync::watch;

use crate::access::{Access, Need};
use crate::alerting::Office;
use crate::config::Config;
use crate::families::Families;
use crate::fleet::FleetApi;
use crate::metrics::Metrics;
use crate::query::Questions;

pub(crate) use serve::serve;
pub use write::RemoteWrite;

/// Reads alerts of other programs, as they are posted, for a fuzzer.
///
/// # Errors
/// Why they are none.
#[doc(hidden)]
pub fn read_outside(
    body: &[u8],
    now_millis: i64,
) -> Result<(Vec<alert::centre::OutsideAlert>, Vec<String>), String> {
    outside::read(body, now_millis)
}

/// What the pages tell about.
#[derive(Clone)]
pub struct Http {
    /// Who may see what.
    pub access: Access,
    /// The store, which may have stopped taking anything in.
    pub store: Arc<Store>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Whether the process is draining.
    pub shutdown: Shutdown,
    /// Who answers questions.
    pub questions: Questions,
    /// The agents.
    pub fleet: FleetApi,
    /// The configuration as it is now.
    pub config: watch::Receiver<Arc<Config>>,
    /// The time of a question that names none.
    pub clock: SharedClock,
    /// What metrics mean.
    pub families: Families,
    /// What is known of alerts.
    pub office: Office,
    /// Who takes remote writes.
    pub write: RemoteWrite,
}

impl std::fmt::Debug for Http {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Http").finish_non_exhaustive()
    }
}

impl Http {
    /// All pages. Whether the process lives and is ready is told to everyone, and so is what to do about an alert,
    /// which is the same in every copy of the program; the rest is guarded.
    pub fn router(self) -> Router {
        let guarded = |need, pages: Router<Self>| {
            let state = (self.access.clone(), need);
            pages.layer(from_fn_with_state(state, guard::guard))
        };
        let read = Router::new()
            .route("/", get(index))
            .route("/metrics", get(metrics))
            .nest("/api/v1", api());
        let operate = Router::new()
            .route("/-/flush", post(admin::flush))
            .route("/-/compact", post(admin::compact));
        let write = Router::new().route(
            "/api/v1/write",
            post(write::write).layer(DefaultBodyLimit::max(write::BODY_BYTES_MAX)),
        );
        let outside = Router::new().route(
            "/api/v2/alerts",
            post(outside::alerts).layer(DefaultBodyLimit::max(outside::BODY_BYTES_MAX)),
        );
        Router::new()
            .route("/-/healthy", get(healthy))
            .route("/-/ready", get(ready))
            .route("/runbooks", get(runbooks::list))
            .route("/runbooks/{name}", get(runbooks::page))
            .merge(guarded(Need::Read, read))
            .merge(guarded(Need::Operate, operate))
            .merge(guarded(Need::RemoteWrite, write.merge(outside)))
            .fallback(not_found)
            .method_not_allowed_fallback(method_not_allowed)
            .with_state(self)
    }
}

/// The HTTP API of Prometheus.
fn api() -> Router<Http> {
    Router::new()
        .route("/query", get(ask::query).post(ask::query))
        .route("/query_range", get(ask::query_range).post(ask::query_range))
        .route(
            "/format_query",
            get(ask::format_query).post(ask::format_query),
        )
        .route("/series", get(listing::series).post(listing::series))
        .route("/labels", get(listing::labels).post(listing::labels))
        .route("/label/{name}/values", get(listing::values))
        .route("/metadata", get(listing::metadata))
        .route("/rules", get(alerts::rules))
        .route("/alerts", get(alerts::alerts))
        .route("/targets", get(status::targets))
        .route("/status/buildinfo", get(status::build_info))
        .route("/status/runtimeinfo", get(status::runtime_info))
        .route("/status/flags", get(status::flags))
        .route("/status/tsdb", get(status::tsdb))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn(reply::finish))
}

async fn not_found() -> Response {
    (StatusCode::NOT_FOUND, "404 page not found\n").into_response()
}

async fn method_not_allowed() -> Response {
    (StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed\n").into_response()
}

/// For whoever opens the address to see what answers there; some clients ask it for a sign of life.
async fn index() -> &'static str {
    "Vedette coordinator\n\n\
     /metrics      its own metrics\n\
     /-/healthy    whether it works\n\
     /-/ready      whether it takes work\n\
     /-/flush      POST: writes the samples in memory as chunks\n\
     /-/compact    POST: merges all small runs of chunks\n\
     /runbooks     what to do about alerts\n\
     /api/v1       the HTTP API of Prometheus, and its remote write\n\
     /api/v2/alerts  POST: takes alerts as Alertmanager does\n"
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
