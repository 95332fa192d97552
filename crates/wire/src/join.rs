//! The contract of certificates, checked: what may be asked and what may be answered.

use std::time::Duration;

use crate::ingest::{AgentId, ProtocolError};
use crate::proto;

/// Longest certificate request. One of P-384 with all that a tool may ask for beside takes half a KiB.
pub const CERTIFICATE_REQUEST_BYTES_MAX: usize = 4096;
/// Longest token of any kind.
pub const TOKEN_BYTES_MAX: usize = 256;
/// How long a token is good when it is not said.
pub const TOKEN_LIFETIME_DEFAULT: Duration = Duration::from_secs(3600);
/// How long a token may be good: one that lies about for longer is a key under the mat.
pub const TOKEN_LIFETIME_MAX: Duration = Duration::from_secs(30 * 86_400);
/// Most certificates of a chain: an agent's and three authorities.
pub const CHAIN_MAX: usize = 4;
/// Longest certificate of a chain.
pub const CERTIFICATE_BYTES_MAX: usize = 16 * 1024;
/// Longest time that a certificate is said to last.
const LASTS_MAX: Duration = Duration::from_secs(20 * 366 * 86_400);

fn invalid(field: &'static str, problem: &'static str) -> ProtocolError {
    ProtocolError::Invalid { field, problem }
}

/// A checked [`proto::JoinRequest`].
#[derive(Clone, PartialEq, Eq)]
pub struct JoinRequest {
    /// The name that the certificate is to have.
    pub agent_id: AgentId,
    /// The token.
    pub token: String,
    /// The certificate request; what it holds is checked when it is decoded.
    pub certificate_request: CertificateRequest,
}

impl std::fmt::Debug for JoinRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JoinRequest")
            .field("agent_id", &self.agent_id)
            .finish_non_exhaustive()
    }
}

impl TryFrom<proto::JoinRequest> for JoinRequest {
    type Error = ProtocolError;
    fn try_from(request: proto::JoinRequest) -> Result<Self, ProtocolError> {
        if request.token.is_empty() {
            return Err(ProtocolError::Missing { field: "token" });
        }
        if request.token.len() > TOKEN_BYTES_MAX {
            return Err(invalid("token", "is longer than 256 bytes"));
        }
        Ok(Self {
            agent_id: request.agent_id.try_into()?,
            token: request.token,
            certificate_request: request.certificate_request.try_into()?,
        })
    }
}

/// A certificate request in DER, of a length that is worth a look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateRequest(Vec<u8>);

impl CertificateRequest {
    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl TryFrom<Vec<u8>> for CertificateRequest {
    type Error = ProtocolError;
    fn try_from(der: Vec<u8>) -> Result<Self, ProtocolError> {
        let field = "certificate_request";
        match der.len() {
            0 => Err(ProtocolError::Missing { field }),
            1..=CERTIFICATE_REQUEST_BYTES_MAX => Ok(Self(der)),
            _ => Err(invalid(field, "is longer than 4 KiB")),
        }
    }
}

/// A checked [`proto::CreateJoinTokenRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateJoinToken {
    /// Whose certificate it is good for; none for any name that is not known yet.
    pub agent_id: Option<AgentId>,
    /// How long it is good.
    pub lifetime: Duration,
}

impl TryFrom<proto::CreateJoinTokenRequest> for CreateJoinToken {
    type Error = ProtocolError;
    fn try_from(request: proto::CreateJoinTokenRequest) -> Result<Self, ProtocolError> {
        let agent_id = Some(request.agent_id).filter(|id| !id.is_empty());
        let lifetime = match Duration::from_millis(request.lifetime_millis) {
            Duration::ZERO => TOKEN_LIFETIME_DEFAULT,
            lifetime if lifetime < Duration::from_secs(1) => {
                return Err(invalid("lifetime_millis", "is under a second"));
            }
            lifetime if lifetime > TOKEN_LIFETIME_MAX => {
                return Err(invalid("lifetime_millis", "is over 30 days"));
            }
            lifetime => lifetime,
        };
        Ok(Self {
            agent_id: agent_id.map(AgentId::try_from).transpose()?,
            lifetime,
        })
    }
}

/// A checked [`proto::IssuedCertificate`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// The certificate and what has signed it, in DER.
    pub chain: Vec<Vec<u8>>,
    /// The time that is left of it.
    pub lasts: Duration,
}

impl TryFrom<Option<proto::IssuedCertificate>> for Issued {
    type Error = ProtocolError;
    fn try_from(issued: Option<proto::IssuedCertificate>) -> Result<Self, ProtocolError> {
        let issued = issued.ok_or(ProtocolError::Missing { field: "issued" })?;
        let chain = issued.chain;
        if chain.is_empty() {
            return Err(ProtocolError::Missing {
                field: "issued.chain",
            });
        }
        if chain.len() > CHAIN_MAX || chain.iter().any(|der| der.len() > CERTIFICATE_BYTES_MAX) {
            return Err(invalid(
                "issued.chain",
                "is more than 4 certificates of 16 KiB",
            ));
        }
        Ok(Self {
            chain,
            lasts: Duration::from_millis(issued.lasts_millis).min(LASTS_MAX),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_taken_is_refused_with_its_field() {
        let good = proto::JoinRequest {
            agent_id: "node-7".to_owned(),
            token: "vdj_00".to_owned(),
            certificate_request: vec![0x30],
        };
        let refused = |change: fn(&mut proto::JoinRequest)| {
            let mut request = good.clone();
            change(&mut request);
            JoinRequest::try_from(request).unwrap_err().to_string()
        };
        let taken = JoinRequest::try_from(good.clone()).unwrap();
        assert!(!format!("{taken:?}").contains("vdj_"));
        assert!(refused(|it| it.agent_id = "a b".to_owned()).starts_with("agent_id"));
        assert!(refused(|it| it.token.clear()).starts_with("token is missing"));
        assert!(refused(|it| it.token = "x".repeat(257)).starts_with("token is longer"));
        assert!(refused(|it| it.certificate_request.clear()).contains("is missing"));
        assert!(refused(|it| it.certificate_request = vec![0; 4097]).contains("longer than 4 KiB"));
    }

    #[test]
    fn a_token_is_good_for_an_hour_or_as_long_as_was_said() {
        let create = |agent_id: &str, lifetime_millis| {
            let agent_id = agent_id.to_owned();
            let request = proto::CreateJoinTokenRequest {
                agent_id,
                lifetime_millis,
            };
            CreateJoinToken::try_from(request)
        };
        let any = create("", 0).unwrap();
        assert_eq!((any.agent_id, any.lifetime), (None, TOKEN_LIFETIME_DEFAULT));
        assert_eq!(create("a", 1000).unwrap().lifetime, Duration::from_secs(1));
        assert!(create("a", 999).is_err() && create("a", u64::MAX).is_err());
        assert!(create("a b", 0).is_err());
    }

    #[test]
    fn an_answer_has_a_chain_that_is_no_flood() {
        let answer = |chain: Vec<Vec<u8>>| {
            let issued = proto::IssuedCertificate {
                chain,
                lasts_millis: u64::MAX,
            };
            Issued::try_from(Some(issued))
        };
        assert_eq!(answer(vec![vec![1]]).unwrap().lasts, LASTS_MAX);
        assert!(Issued::try_from(None).is_err() && answer(vec![]).is_err());
        assert!(answer(vec![vec![1]; 5]).is_err() && answer(vec![vec![1; 20_000]]).is_err());
    }
}
