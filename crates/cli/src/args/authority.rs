//! Arguments of `vedette ca`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Subcommand, ValueEnum};

use crate::times;

/// What an authority is asked to do.
#[derive(Debug, Subcommand)]
pub(crate) enum CaCommand {
    /// Make an authority: ca.pem and ca.key
    Init {
        /// Where it lies.
        #[arg(long, default_value = "vedette-ca", value_name = "DIR")]
        dir: PathBuf,
        /// How long it counts, in whole days.
        #[arg(long, default_value = "10y", value_parser = times::positive_duration)]
        lifetime: Duration,
    },
    /// Issue a certificate, or renew it: NAME.pem and NAME.key
    Issue {
        /// Who it is for; for an agent its id.
        name: String,
        /// Where the authority lies.
        #[arg(long, default_value = "vedette-ca", value_name = "DIR")]
        dir: PathBuf,
        /// What its holder is allowed.
        #[arg(long, value_enum, default_value_t)]
        role: CertificateRole,
        /// Host name or address that a coordinator is reached by; may be given more than once.
        #[arg(long, value_name = "HOST")]
        host: Vec<String>,
        /// How long it counts, in whole days.
        #[arg(long, default_value = "90d", value_parser = times::positive_duration)]
        lifetime: Duration,
    },
    /// Take a certificate back: a line in DIR/revoked, which is tls.revoked of the coordinator
    Revoke {
        /// Whose it is, or its serial number in hexadecimal.
        name: String,
        /// Where the authority lies.
        #[arg(long, default_value = "vedette-ca", value_name = "DIR")]
        dir: PathBuf,
        /// Why; it is kept beside the name.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
}

/// What the holder of a certificate is allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum CertificateRole {
    /// Speaks as the agent of its own name
    #[default]
    Agent,
    /// Asks questions
    Viewer,
    /// Also flushes, compacts and reads the audit log
    Operator,
    /// Everything, but for speaking as an agent
    Admin,
    /// Remote write
    Writer,
}

impl CertificateRole {
    /// As certificates say it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
            Self::Writer => "writer",
        }
    }
}
