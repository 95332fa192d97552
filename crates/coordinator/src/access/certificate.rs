//! What a client certificate says of its holder.

use std::sync::Arc;

use wire::ingest::AgentId;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::Role;

/// Organizations of this form say the holder's role, as in `vedette:viewer`; without one it is an agent.
const ROLE_PREFIX: &str = "vedette:";

/// A verified client certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The subject's common name: for an agent, its id.
    pub name: Arc<str>,
    /// Its serial number in hexadecimal, lower case, without colons.
    pub serial: String,
    /// What its holder is allowed.
    pub role: Role,
    /// The end of its time, in seconds since the Unix epoch.
    pub not_after_seconds: i64,
}

/// Why a certificate names no caller.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// It is not X.509.
    #[error("the certificate does not decode")]
    Undecodable,
    /// Its subject is not usable.
    #[error("the certificate's common name is not a name: 1 to 128 of A-Z a-z 0-9 . _ : -")]
    Name,
    /// Its organization is a role that there is not.
    #[error("the certificate's organization {0:?} is no role")]
    Role(String),
}

impl Certificate {
    /// Reads a certificate in DER whose chain was verified.
    ///
    /// # Errors
    /// When it names no caller.
    pub fn read(der: &[u8]) -> Result<Self, CertificateError> {
        let (_, certificate) =
            X509Certificate::from_der(der).map_err(|_source| CertificateError::Undecodable)?;
        let subject = certificate.subject();
        let name = subject.iter_common_name().next();
        let name = name.and_then(|name| name.as_str().ok());
        let name = AgentId::try_from(name.unwrap_or_default().to_owned());
        let name = name.map_err(|_source| CertificateError::Name)?;
        let mut role = Role::Agent;
        for organization in subject.iter_organization() {
            let text = organization.as_str().unwrap_or_default();
            if let Some(named) = text.strip_prefix(ROLE_PREFIX) {
                let known = Role::ALL.into_iter().find(|role| role.as_str() == named);
                role = known.ok_or_else(|| CertificateError::Role(text.to_owned()))?;
            }
        }
        Ok(Self {
            name: name.as_str().into(),
            serial: certificate
                .tbs_certificate
                .raw_serial_as_string()
                .replace(':', "")
                .to_lowercase(),
            role,
            not_after_seconds: certificate.validity().not_after.timestamp(),
        })
    }
}
