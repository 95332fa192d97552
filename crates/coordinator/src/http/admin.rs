//! What an operator may ask for at once that otherwise happens in its time.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use daemon::chain;
use serde_json::{Value, json};
use store::Store;

use super::Http;
use crate::access::{Caller, Peer};

/// Writes the head as chunks.
pub(super) async fn flush(
    State(http): State<Http>,
    Extension(peer): Extension<Peer>,
    Extension(caller): Extension<Caller>,
) -> Response {
    let did = move || {
        http.access
            .did(&caller, peer.address, "store.flush", String::new());
    };
    work(http.store, did, |store| {
        let flushed = store.flush()?;
        Ok(json!({
            "chunks": flushed.chunks,
            "samples": flushed.samples,
            "bytes": flushed.bytes,
        }))
    })
    .await
}

/// Writes the head as chunks and merges all that is small.
pub(super) async fn compact(
    State(http): State<Http>,
    Extension(peer): Extension<Peer>,
    Extension(caller): Extension<Caller>,
) -> Response {
    let did = move || {
        http.access
            .did(&caller, peer.address, "store.compact", String::new());
    };
    work(http.store, did, |store| {
        store.flush()?;
        let compacted = store.compact_all()?;
        Ok(json!({
            "runs": compacted.runs,
            "samples": compacted.samples,
            "bytes_before": compacted.bytes_before,
            "bytes_after": compacted.bytes_after,
            "damaged_runs": compacted.damaged,
        }))
    })
    .await
}

async fn work(
    store: Arc<Store>,
    did: impl FnOnce(),
    work: impl FnOnce(&Store) -> Result<Value, store::Error> + Send + 'static,
) -> Response {
    let failed = |text: String| (StatusCode::INTERNAL_SERVER_ERROR, text).into_response();
    match tokio::task::spawn_blocking(move || work(&store)).await {
        Ok(Ok(done)) => {
            did();
            Json(done).into_response()
        }
        Ok(Err(error)) => failed(format!("{}\n", chain(&error))),
        Err(_panicked) => failed("the work panicked\n".to_owned()),
    }
}
