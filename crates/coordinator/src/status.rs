//! The one place where errors become gRPC codes.

use daemon::chain;
use tonic::{Code, Status};

/// The code and text that an agent or asker sees.
pub trait ToStatus {
    /// As a gRPC status; the text holds the chain of causes.
    fn to_status(&self) -> Status;
}

impl ToStatus for wire::ingest::ProtocolError {
    fn to_status(&self) -> Status {
        let code = match self {
            Self::Version { .. } => Code::FailedPrecondition,
            Self::Missing { .. } | Self::Invalid { .. } => Code::InvalidArgument,
        };
        Status::new(code, chain(self))
    }
}

impl ToStatus for crate::access::Refusal {
    fn to_status(&self) -> Status {
        let code = if self.again().is_some() {
            Code::ResourceExhausted
        } else if self.is_unauthenticated() {
            Code::Unauthenticated
        } else {
            Code::PermissionDenied
        };
        Status::new(code, chain(self))
    }
}

impl ToStatus for store::Error {
    fn to_status(&self) -> Status {
        let code = match self {
            Self::Poisoned | Self::Engine { .. } => Code::Unavailable,
            Self::Version { .. } => Code::FailedPrecondition,
            Self::SeriesExhausted => Code::ResourceExhausted,
            Self::Stopped => Code::Cancelled,
        };
        Status::new(code, chain(self))
    }
}

impl ToStatus for query::Error {
    fn to_status(&self) -> Status {
        use query::source::SourceError;
        let code = match self {
            Self::Parse(_) | Self::Request { .. } => Code::InvalidArgument,
            Self::Limit { .. } | Self::Source(SourceError::Limit { .. }) => Code::ResourceExhausted,
            Self::Cancelled | Self::Source(SourceError::Cancelled) => Code::DeadlineExceeded,
            Self::Source(SourceError::Read(_) | SourceError::NotInMemory) => Code::Unavailable,
            Self::Execution { .. } => Code::FailedPrecondition,
        };
        Status::new(code, chain(self))
    }
}

impl ToStatus for crate::query::Failure {
    fn to_status(&self) -> Status {
        match self {
            Self::Query(error) => error.to_status(),
            Self::NotASelector { .. } => Status::invalid_argument(chain(self)),
            Self::Timeout { .. } => Status::deadline_exceeded(chain(self)),
            Self::ShuttingDown => Status::unavailable(chain(self)),
            Self::Read(_) | Self::Panicked { .. } => Status::internal(chain(self)),
        }
    }
}
