//! Why a query has no answer.

use crate::parse::ParseError;
use crate::source::SourceError;

/// Why a query has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is not an expression.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// The times asked for are not usable, or are too many.
    #[error("{message}")]
    Request {
        /// What is wrong with them.
        message: String,
    },
    /// A limit of the engine was reached while evaluating.
    #[error(
        "query processing would load too many {what} into memory in query execution: more than {max}"
    )]
    Limit {
        /// What there is too much of.
        what: &'static str,
        /// The bound.
        max: u64,
    },
    /// The asker is gone or its deadline has passed.
    #[error("the query was cancelled")]
    Cancelled,
    /// The source could not be read.
    #[error("reading the series of the query")]
    Source(#[source] SourceError),
    /// The expression cannot be evaluated over this data.
    #[error("{message}")]
    Execution {
        /// In Prometheus' words where it has words for it.
        message: String,
    },
}

/// The `errorType` of the Prometheus HTTP API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorType {
    /// `bad_data`: the request is wrong.
    BadData,
    /// `execution`: the query failed.
    Execution,
    /// `canceled`: the query was stopped.
    Canceled,
    /// `internal`: the store failed.
    Internal,
}

impl ErrorType {
    /// As the API writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadData => "bad_data",
            Self::Execution => "execution",
            Self::Canceled => "canceled",
            Self::Internal => "internal",
        }
    }
}

impl Error {
    pub(crate) fn execution(message: impl Into<String>) -> Self {
        Self::Execution {
            message: message.into(),
        }
    }

    /// The API's word for it. A caller that cancels because of a deadline answers `timeout`
    /// instead of `canceled`: only it knows why it cancelled.
    #[must_use]
    pub const fn error_type(&self) -> ErrorType {
        match self {
            Self::Parse(_) | Self::Request { .. } => ErrorType::BadData,
            Self::Limit { .. } | Self::Execution { .. } => ErrorType::Execution,
            Self::Source(SourceError::Limit { .. }) => ErrorType::Execution,
            Self::Cancelled | Self::Source(SourceError::Cancelled) => ErrorType::Canceled,
            Self::Source(SourceError::Read(_) | SourceError::NotInMemory) => ErrorType::Internal,
        }
    }

    /// Whether the same query may succeed a little later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Source(SourceError::Read(_) | SourceError::NotInMemory) => true,
            Self::Parse(_)
            | Self::Request { .. }
            | Self::Limit { .. }
            | Self::Cancelled
            | Self::Source(SourceError::Limit { .. } | SourceError::Cancelled)
            | Self::Execution { .. } => false,
        }
    }
}

impl From<SourceError> for Error {
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::Cancelled => Self::Cancelled,
            other => Self::Source(other),
        }
    }
}
