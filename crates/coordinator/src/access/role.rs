//! Roles, and what asks for them.

use serde::{Deserialize, Serialize};

/// What a caller is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Asks questions.
    Viewer,
    /// Also tells the coordinator to do what it would do in its time, and reads the audit log.
    Operator,
    /// Everything, but for speaking as an agent of another name.
    Admin,
    /// Speaks as the agent of its own name, and nothing else.
    Agent,
    /// Writes series of any name by remote write, and nothing else: a Prometheus or a collector.
    Writer,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 5] = [
        Self::Viewer,
        Self::Operator,
        Self::Admin,
        Self::Agent,
        Self::Writer,
    ];

    /// As it is written in files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
            Self::Agent => "agent",
            Self::Writer => "writer",
        }
    }

    /// Whether the role is enough.
    #[must_use]
    pub const fn may(self, need: Need) -> bool {
        match need {
            Need::Read => matches!(self, Self::Viewer | Self::Operator | Self::Admin),
            Need::Operate => matches!(self, Self::Operator | Self::Admin),
            Need::SpeakAsAgent => matches!(self, Self::Agent),
            Need::RemoteWrite => matches!(self, Self::Writer | Self::Admin),
            Need::Administer => matches!(self, Self::Admin),
        }
    }
}

/// What a service or page asks of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Questions.
    Read,
    /// What changes the state of the coordinator, and the audit log.
    Operate,
    /// The lanes of agents.
    SpeakAsAgent,
    /// Remote write.
    RemoteWrite,
    /// What lets others in.
    Administer,
}

impl Need {
    /// Who has it, in words.
    pub(super) const fn roles(self) -> &'static str {
        match self {
            Self::Read => "viewer, operator or admin",
            Self::Operate => "operator or admin",
            Self::SpeakAsAgent => "agent",
            Self::RemoteWrite => "writer or admin",
            Self::Administer => "admin",
        }
    }
}
