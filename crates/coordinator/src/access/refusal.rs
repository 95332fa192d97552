//! Why someone is not let in.

use std::sync::Arc;
use std::time::Duration;

use super::{Need, Role};

/// Why a caller is not let in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nothing was shown.
    #[error("a client certificate or a bearer token is needed")]
    NoCredential,
    /// No such token.
    #[error("the token is not known; it may have been removed")]
    UnknownToken,
    /// Its time is over.
    #[error("the credential of {0:?} has expired")]
    Expired(Arc<str>),
    /// It was taken back.
    #[error("the certificate of {0:?} has been revoked")]
    Revoked(Arc<str>),
    /// It is for something else.
    #[error("{name:?} has the role {}, and this needs {}", role.as_str(), need.roles())]
    Role {
        /// Who.
        name: Arc<str>,
        /// With what role.
        role: Role,
        /// What for.
        need: Need,
    },
    /// It speaks for another.
    #[error("{name:?} may not speak or write as {other:?}")]
    Foreign {
        /// Who.
        name: Arc<str>,
        /// As whom.
        other: String,
    },
    /// It asks too often.
    #[error("more requests than access.requests_per_second_max; ask again later")]
    TooOften {
        /// Who; empty where no one is asked.
        name: Arc<str>,
        /// After which time it may ask again.
        again: Duration,
    },
    /// Its host has shown too many credentials that are none.
    #[error("more failed attempts than access.failures_per_second_max; try again later")]
    TooManyFailures {
        /// After which time it may try again.
        again: Duration,
    },
}

impl Refusal {
    /// Values of the label `reason`, in the order of [`Refusal::index`].
    pub const REASONS: [&'static str; 8] = [
        "no_credential",
        "unknown_token",
        "expired",
        "revoked",
        "role",
        "foreign_identity",
        "too_often",
        "too_many_failures",
    ];

    /// The place of its reason.
    #[must_use]
    pub const fn index(&self) -> usize {
        match self {
            Self::NoCredential => 0,
            Self::UnknownToken => 1,
            Self::Expired(_) => 2,
            Self::Revoked(_) => 3,
            Self::Role { .. } => 4,
            Self::Foreign { .. } => 5,
            Self::TooOften { .. } => 6,
            Self::TooManyFailures { .. } => 7,
        }
    }

    /// Whether it is not known who calls, against that who calls may not.
    #[must_use]
    pub const fn is_unauthenticated(&self) -> bool {
        match self {
            Self::NoCredential | Self::UnknownToken | Self::Expired(_) | Self::Revoked(_) => true,
            Self::Role { .. }
            | Self::Foreign { .. }
            | Self::TooOften { .. }
            | Self::TooManyFailures { .. } => false,
        }
    }

    /// After which time the same call may be let in, if it was one too many.
    #[must_use]
    pub const fn again(&self) -> Option<Duration> {
        match self {
            Self::TooOften { again, .. } | Self::TooManyFailures { again } => Some(*again),
            Self::NoCredential
            | Self::UnknownToken
            | Self::Expired(_)
            | Self::Revoked(_)
            | Self::Role { .. }
            | Self::Foreign { .. } => None,
        }
    }

    /// Who it was, as far as it is known.
    #[must_use]
    pub fn who(&self) -> &str {
        match self {
            Self::NoCredential | Self::UnknownToken | Self::TooManyFailures { .. } => "",
            Self::Expired(name)
            | Self::Revoked(name)
            | Self::Role { name, .. }
            | Self::Foreign { name, .. }
            | Self::TooOften { name, .. } => name,
        }
    }
}
