//! The door of the pages.

use std::fmt;

use axum::Json;
use axum::extract::{Extension, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::access::{Access, Need, Peer, Refusal};

/// Longest path that the audit log is told.
const PATH_BYTES_MAX: usize = 100;

/// Lets in who may see a page, and tells the page who it is: a [`Caller`](crate::access::Caller) among the
/// request's extensions.
pub(super) async fn guard(
    State((access, need)): State<(Access, Need)>,
    Extension(peer): Extension<Peer>,
    mut request: Request,
    next: Next,
) -> Response {
    let action = Action(request.method(), request.uri().path());
    let header = request.headers().get(header::AUTHORIZATION);
    // A header that is not text is no token that we gave out.
    let header = header.map(|value| value.to_str().unwrap_or_default());
    match access.judge(&peer, header, need, &action) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(refusal) => refused(&refusal),
    }
}

struct Action<'a>(&'a Method, &'a str);

impl fmt::Display for Action<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.1.floor_char_boundary(PATH_BYTES_MAX);
        write!(f, "{} {}", self.0, self.1.get(..end).unwrap_or_default())
    }
}

fn refused(refusal: &Refusal) -> Response {
    let (status, kind) = if refusal.again().is_some() {
        (StatusCode::TOO_MANY_REQUESTS, "too_many_requests")
    } else if refusal.is_unauthenticated() {
        (StatusCode::UNAUTHORIZED, "unauthorized")
    } else {
        (StatusCode::FORBIDDEN, "forbidden")
    };
    let text = refusal.to_string();
    let body = json!({"status": "error", "errorType": kind, "error": text});
    let mut response = (status, Json(body)).into_response();
    if status == StatusCode::UNAUTHORIZED {
        let how = HeaderValue::from_static("Bearer");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, how);
    }
    if let Some(again) = refusal.again() {
        // The header knows whole seconds only.
        let seconds = again.as_millis().div_ceil(1000);
        let seconds = HeaderValue::from(u64::try_from(seconds).unwrap_or(u64::MAX));
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    response
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn who_asks_too_often_is_told_when_to_ask_again() {
        let again = Duration::from_millis(1200);
        let response = refused(&Refusal::TooManyFailures { again });
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(response.headers()[header::RETRY_AFTER], "2");
        assert!(!response.headers().contains_key(header::WWW_AUTHENTICATE));
    }
}
