//! HTTP/1.1 over accepted connections.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::sync::mpsc;
use tower::Service as _;

use super::timed::Timed;
use crate::metrics::Metrics;
use crate::net::{Connection, Limit};

/// How long a request's head may take to come; also how long a connection may lie idle.
const HEAD_WITHIN: Duration = Duration::from_secs(75);
/// How long a request may take to come and be answered. Questions have a shorter deadline of their own.
const ANSWER_WITHIN: Duration = Duration::from_secs(600);

/// Serves until `draining`, and then until every answer that was begun is sent.
pub(crate) async fn serve(
    mut connections: mpsc::Receiver<Connection>,
    router: Router,
    metrics: Arc<Metrics>,
    draining: impl Future<Output = ()>,
) {
    let open = GracefulShutdown::new();
    let mut server = http1::Builder::new();
    server
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN);
    tokio::pin!(draining);
    loop {
        let connection = tokio::select! {
            () = &mut draining => break,
            connection = connections.recv() => connection,
        };
        let Some(connection) = connection else { break };
        let (peer, heard) = (connection.peer().clone(), connection.heard());
        let (router, metrics) = (router.clone(), Arc::clone(&metrics));
        let asked = heard.clone();
        let counters = Arc::clone(&metrics);
        let service = service_fn(move |request: Request<Incoming>| {
            let mut request =
                request.map(|body| Body::new(Timed::new(body, Arc::clone(&counters))));
            request.extensions_mut().insert(peer.clone());
            let (answered, asked) = (answer(router.clone(), request), asked.clone());
            async move {
                let answered = answered.await;
                asked.forget();
                answered
            }
        });
        let served = server.serve_connection(TokioIo::new(connection), service);
        let served = open.watch(served);
        drop(tokio::spawn(async move {
            // How it ended is between the client and its network, unless we ended it. One that lay idle said
            // nothing since its last answer.
            if let Err(error) = served.await
                && error.is_timeout()
                && heard.is_any()
            {
                metrics.limited(Limit::Head).inc();
            }
        }));
    }
    drop(connections);
    open.shutdown().await;
}

async fn answer(mut router: Router, request: Request) -> Result<Response, Infallible> {
    match tokio::time::timeout(ANSWER_WITHIN, router.call(request)).await {
        Ok(answered) => answered,
        Err(_elapsed) => {
            Ok((StatusCode::REQUEST_TIMEOUT, "the request took too long\n").into_response())
        }
    }
}
