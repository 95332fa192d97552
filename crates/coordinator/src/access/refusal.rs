//! Why someone is not let in.

use std::sync::Arc;

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
}

impl Refusal {
    /// Values of the label `reason`, in the order of [`Refusal::index`].
    pub const REASONS: [&'static str; 6] = [
        "no_credential",
        "unknown_token",
        "expired",
        "revoked",
        "role",
        "foreign_identity",
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
        }
    }

    /// Whether it is not known who calls, against that who calls may not.
    #[must_use]
    pub const fn is_unauthenticated(&self) -> bool {
        match self {
            Self::NoCredential | Self::UnknownToken | Self::Expired(_) | Self::Revoked(_) => true,
            Self::Role { .. } | Self::Foreign { .. } => false,
        }
    }

    /// Who it was, as far as it is known.
    #[must_use]
    pub fn who(&self) -> &str {
        match self {
            Self::NoCredential | Self::UnknownToken => "",
            Self::Expired(name)
            | Self::Revoked(name)
            | Self::Role { name, .. }
            | Self::Foreign { name, .. } => name,
        }
    }
}
