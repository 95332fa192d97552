//! Why there is no certificate.

use daemon::chain;
use tonic::{Code, Status};
use wire::ingest::ProtocolError;

use super::authority::AuthorityError;
use super::request::RequestError;

/// Why who asks for a certificate gets none.
#[derive(Debug, thiserror::Error)]
pub enum Denied {
    /// There is no authority here.
    #[error("this coordinator issues no certificates: join.authority_cert is not set")]
    NoAuthority,
    /// It, or all together, asked too often.
    #[error("certificates are asked for too often; try again later")]
    TooOften,
    /// What was asked is malformed.
    #[error(transparent)]
    Malformed(#[from] ProtocolError),
    /// The certificate request cannot be taken.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// No such token.
    #[error("the join token is not known")]
    UnknownToken,
    /// The token was used.
    #[error("the join token was used before")]
    Used,
    /// Its time is over.
    #[error("the join token has expired")]
    Expired,
    /// It is good for another name.
    #[error("the join token is not for {0:?}")]
    OtherName(String),
    /// It is good for new names alone.
    #[error("{0:?} is known already; a join token of its own is needed")]
    KnownName(String),
    /// The name was taken back.
    #[error("{0:?} has been revoked")]
    Revoked(String),
    /// The authority cannot sign.
    #[error("signing the certificate")]
    Authority(#[from] AuthorityError),
    /// The store failed.
    #[error("using up the join token")]
    Store(#[from] store::Error),
    /// Our own fault.
    #[error("the work panicked")]
    Panicked,
}

impl Denied {
    /// Values of the label `reason`, in the order of [`Denied::index`].
    pub const REASONS: [&'static str; 11] = [
        "no_authority",
        "too_often",
        "malformed",
        "bad_request",
        "unknown_token",
        "used",
        "expired",
        "other_name",
        "known_name",
        "revoked",
        "failed",
    ];

    /// The place of its reason.
    #[must_use]
    pub const fn index(&self) -> usize {
        match self {
            Self::NoAuthority => 0,
            Self::TooOften => 1,
            Self::Malformed(_) => 2,
            Self::Request(_) => 3,
            Self::UnknownToken => 4,
            Self::Used => 5,
            Self::Expired => 6,
            Self::OtherName(_) => 7,
            Self::KnownName(_) => 8,
            Self::Revoked(_) => 9,
            Self::Authority(_) | Self::Store(_) | Self::Panicked => 10,
        }
    }

    /// As a gRPC status.
    #[must_use]
    pub fn to_status(&self) -> Status {
        let code = match self {
            Self::NoAuthority | Self::Authority(_) => Code::FailedPrecondition,
            Self::TooOften => Code::ResourceExhausted,
            Self::Malformed(_) | Self::Request(_) => Code::InvalidArgument,
            Self::UnknownToken | Self::Used | Self::Expired => Code::Unauthenticated,
            Self::OtherName(_) | Self::KnownName(_) | Self::Revoked(_) => Code::PermissionDenied,
            Self::Store(_) => Code::Unavailable,
            Self::Panicked => Code::Internal,
        };
        Status::new(code, chain(self))
    }
}

#[cfg(test)]
impl PartialEq for Denied {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}
