//! Why a request has no answer, in the words and codes of the Prometheus API.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use query::ErrorType;

use super::json::Json;
use crate::query::Failure;
use daemon::chain;

/// Longest text of an error: it may hold what was asked, and that may be long.
const ERROR_BYTES_MAX: usize = 16 << 10;

/// The `errorType` of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The request is wrong.
    BadData,
    /// The query failed or is over a limit.
    Execution,
    /// The query was stopped.
    Canceled,
    /// The query took too long.
    Timeout,
    /// A failure of ours.
    Internal,
    /// Not now.
    Unavailable,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::BadData => "bad_data",
            Self::Execution => "execution",
            Self::Canceled => "canceled",
            Self::Timeout => "timeout",
            Self::Internal => "internal",
            Self::Unavailable => "unavailable",
        }
    }

    const fn code(self) -> StatusCode {
        match self {
            Self::BadData => StatusCode::BAD_REQUEST,
            Self::Execution => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Canceled | Self::Timeout | Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// The answer to a request that has none.
#[derive(Debug)]
pub(super) struct Failed {
    kind: Kind,
    message: String,
}

impl Failed {
    /// A failure of this kind.
    pub(super) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    /// The request is wrong.
    pub(super) fn bad_data(message: impl Into<String>) -> Self {
        Self::new(Kind::BadData, message)
    }

    /// A parameter is wrong.
    pub(super) fn parameter(name: &str, why: impl std::fmt::Display) -> Self {
        Self::bad_data(format!("invalid parameter {name:?}: {why}"))
    }
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Self {
        let kind = match &failure {
            Failure::Query(query::Error::Parse(error)) => return Self::parameter("query", error),
            Failure::Query(error) => match error.error_type() {
                ErrorType::BadData => Kind::BadData,
                ErrorType::Execution => Kind::Execution,
                ErrorType::Canceled => Kind::Canceled,
                ErrorType::Internal => Kind::Internal,
            },
            Failure::NotASelector { .. } => Kind::BadData,
            Failure::Timeout { .. } => Kind::Timeout,
            Failure::ShuttingDown => Kind::Unavailable,
            Failure::Read(_) | Failure::Panicked { .. } => Kind::Internal,
        };
        Self::new(kind, chain(&failure))
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let mut message = self.message;
        if message.len() > ERROR_BYTES_MAX {
            message.truncate(message.floor_char_boundary(ERROR_BYTES_MAX));
            message.push('…');
        }
        // Escapes make a byte six at most, so this always has room.
        let mut json = Json::new(8 * ERROR_BYTES_MAX);
        json.object(|json| {
            json.key("status").string("error");
            json.key("errorType").string(self.kind.as_str());
            json.key("error").string(&message);
        });
        let body = json.finish().unwrap_or_default();
        let kind = [(header::CONTENT_TYPE, "application/json")];
        (self.kind.code(), kind, body).into_response()
    }
}
