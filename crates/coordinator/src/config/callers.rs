//! Certificates, who is let in, and who signs for agents.

use std::path::PathBuf;
use std::time::Duration;

use daemon::units::HumanDuration;
use serde::{Deserialize, Serialize};

use super::ConfigError;

/// Certificates, all in PEM. A file that is renewed is taken into use within seconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TlsConfig {
    /// The coordinator's chain, its own certificate first. Without it both ports speak plain text.
    pub cert: Option<PathBuf>,
    /// The key of it.
    pub key: Option<PathBuf>,
    /// The authority for certificates of callers: with it every caller needs one, or a token.
    pub client_ca: Option<PathBuf>,
    /// Names and serials of callers' certificates that are taken back.
    pub revoked: Option<PathBuf>,
}

/// Who is let in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AccessConfig {
    /// Digests of bearer tokens: with it every caller needs one, or a certificate.
    pub tokens: Option<PathBuf>,
    /// Whether it may listen beyond this machine without TLS or without asking who calls.
    pub insecure: bool,
    /// Requests of one caller in a second, on the average of ten; 0 for no bound.
    pub requests_per_second_max: u64,
    /// Failed attempts of one host in a second, on the average of four; 0 for no bound.
    pub failures_per_second_max: u64,
    /// Connections of one host to one port; 0 for no bound.
    pub connections_per_host_max: usize,
}

impl Default for AccessConfig {
    fn default() -> Self {
        Self {
            tokens: None,
            insecure: false,
            requests_per_second_max: 500,
            failures_per_second_max: 5,
            connections_per_host_max: 10_000,
        }
    }
}

/// The authority that signs certificates of agents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct JoinConfig {
    /// Its certificate, which `tls.client_ca` has to know. Without it agents bring theirs along.
    pub authority_cert: Option<PathBuf>,
    /// The key of it.
    pub authority_key: Option<PathBuf>,
    /// How long a certificate counts.
    pub certificate_lifetime: HumanDuration,
}

impl Default for JoinConfig {
    fn default() -> Self {
        Self {
            authority_cert: None,
            authority_key: None,
            certificate_lifetime: HumanDuration::from_secs(86_400),
        }
    }
}

impl JoinConfig {
    pub(super) fn validate(&self, tls: &TlsConfig) -> Result<(), ConfigError> {
        let wrong = |path, problem| Err(ConfigError { path, problem });
        match (&self.authority_cert, &self.authority_key) {
            (Some(_), None) => {
                return wrong(
                    "join.authority_key",
                    "is missing beside join.authority_cert",
                );
            }
            (None, Some(_)) => {
                return wrong(
                    "join.authority_cert",
                    "is missing beside join.authority_key",
                );
            }
            (Some(_), Some(_)) if tls.client_ca.is_none() => {
                return wrong("join.authority_cert", "needs tls.client_ca");
            }
            _ => {}
        }
        let lifetime = self.certificate_lifetime.as_duration();
        if lifetime < Duration::from_secs(5) {
            return wrong("join.certificate_lifetime", "is under \"5s\"");
        }
        if lifetime > Duration::from_secs(366 * 86_400) {
            return wrong("join.certificate_lifetime", "is over \"366d\"");
        }
        Ok(())
    }
}
