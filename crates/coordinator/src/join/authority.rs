//! The authority that signs certificates of agents.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair,
    KeyUsagePurpose, SerialNumber, date_time_ymd,
};
use ring::rand::{SecureRandom as _, SystemRandom};
use rustls::pki_types::{CertificateDer, UnixTime};
use wire::ingest::AgentId;
use wire::join::CHAIN_MAX;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::request::PublicKey;
use crate::net::{self, TlsError};

/// A certificate counts from so long before it was issued, for clocks that are behind; a tenth of its
/// time at most, so that what has passed of its time still says how old it is.
const BACKDATED: Duration = Duration::from_secs(300);
const BACKDATED_SHARE: u32 = 10;
/// Random bytes of a serial number; CAs of the web must have eight at least.
const SERIAL_BYTES: usize = 16;

/// Where the authority lies, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorityFiles {
    /// Its certificate, and those between it and an authority of `tls.client_ca`.
    pub cert: PathBuf,
    /// The key of it.
    pub key: PathBuf,
    /// The authorities of callers.
    pub client_ca: PathBuf,
}

/// Why the authority cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The key cannot be read.
    #[error("reading {} (join.authority_key)", path.display())]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A file of certificates cannot be read.
    #[error(transparent)]
    Files(#[from] TlsError),
    /// There are more certificates than agents take.
    #[error("{} (join.authority_cert) holds more than 3 certificates", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// The certificate or the key is of no kind that can sign.
    #[error("the certificate and key of join.authority_cert and join.authority_key cannot be used")]
    Unusable(#[source] rcgen::Error),
    /// What it signs would not be let in.
    #[error(
        "what join.authority_key signs would not be let in: the key is not that of \
         join.authority_cert, or tls.client_ca does not know it"
    )]
    Foreign(#[source] rustls::Error),
    /// Its certificate does not decode.
    #[error("the certificate of join.authority_cert does not decode")]
    Undecodable,
    /// The time of the authority itself is over.
    #[error("the authority of join.authority_cert has expired")]
    Expired,
    /// The system has no randomness.
    #[error("the system gives no randomness for a serial number")]
    Random,
}

/// A certificate that was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Signed {
    /// It, and what lies between it and an authority of `tls.client_ca`, in DER.
    pub(super) chain: Vec<Vec<u8>>,
    /// Its serial number as revocations name it.
    pub(super) serial: String,
    /// The end of its time, in seconds since the Unix epoch.
    pub(super) not_after_seconds: i64,
}

/// The authority that signs certificates of agents.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// What is handed out behind each certificate.
    pub(super) between: Vec<Vec<u8>>,
    not_after_seconds: i64,
}

impl Authority {
    /// Reads an authority and tries it: what it signs has to be let in here.
    ///
    /// # Errors
    /// When it cannot be used.
    pub fn read(files: &AuthorityFiles, now_seconds: i64) -> Result<Self, AuthorityError> {
        let certificates = net::certificates("join.authority_cert", &files.cert)?;
        if certificates.len() >= CHAIN_MAX {
            let path = files.cert.clone();
            return Err(AuthorityError::TooLong { path });
        }
        let key = read_key(&files.key)?;
        let own = certificates.first().ok_or(AuthorityError::Undecodable)?;
        let not_after_seconds = decoded(own)?.validity().not_after.timestamp();
        let issuer = Issuer::from_ca_cert_der(own, key).map_err(AuthorityError::Unusable)?;
        let mut between = Vec::new();
        for certificate in &certificates {
            let decoded = decoded(certificate)?;
            // Who verifies has the root already, or it is no root to them.
            if decoded.subject() != decoded.issuer() {
                between.push(certificate.to_vec());
            }
        }
        let authority = Self {
            issuer,
            between,
            not_after_seconds,
        };
        authority.prove(&files.client_ca, now_seconds)?;
        Ok(authority)
    }

    /// Signs a certificate for a key that is thrown away, and verifies it as a handshake does.
    fn prove(&self, client_ca: &Path, now_seconds: i64) -> Result<(), AuthorityError> {
        let key = KeyPair::generate().map_err(AuthorityError::Unusable)?;
        let params = self.params("trial", BACKDATED, now_seconds)?;
        let signed = params.signed_by(&key, &self.issuer);
        let signed = signed.map_err(AuthorityError::Unusable)?;
        let verifier = net::verifier(client_ca)?;
        let between = self
            .between
            .iter()
            .map(|der| CertificateDer::from(&der[..]));
        let between: Vec<_> = between.collect();
        let now = Duration::from_secs(now_seconds.max(0).cast_unsigned());
        let now = UnixTime::since_unix_epoch(now);
        let verified = verifier.verify_client_cert(signed.der(), &between, now);
        verified.map(drop).map_err(AuthorityError::Foreign)
    }

    /// Signs a certificate for an agent of this name.
    pub(super) fn sign(
        &self,
        name: &AgentId,
        key: &PublicKey,
        lifetime: Duration,
        now_seconds: i64,
    ) -> Result<Signed, AuthorityError> {
        let mut params = self.params(name.as_str(), lifetime, now_seconds)?;
        let serial = serial()?;
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        let signed = params.signed_by(&key.0, &self.issuer);
        let signed = signed.map_err(AuthorityError::Unusable)?;
        let chain = std::iter::once(signed.der().to_vec()).chain(self.between.iter().cloned());
        Ok(Signed {
            chain: chain.collect(),
            serial: serial.iter().map(|byte| format!("{byte:02x}")).collect(),
            not_after_seconds: self.end(lifetime, now_seconds),
        })
    }

    /// No certificate outlives who signed it.
    fn end(&self, lifetime: Duration, now_seconds: i64) -> i64 {
        let lifetime = i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX);
        let end = now_seconds.saturating_add(lifetime);
        end.min(self.not_after_seconds)
    }

    /// All that a certificate says but for its serial number: nothing of it comes from the request.
    fn params(
        &self,
        name: &str,
        lifetime: Duration,
        now_seconds: i64,
    ) -> Result<CertificateParams, AuthorityError> {
        let end = self.end(lifetime, now_seconds);
        if end <= now_seconds {
            return Err(AuthorityError::Expired);
        }
        let backdated = BACKDATED.min(lifetime / BACKDATED_SHARE);
        let at = |seconds: i64| {
            let since = Duration::from_secs(seconds.max(0).cast_unsigned());
            date_time_ymd(1970, 1, 1) + since
        };
        let mut params = CertificateParams::new(Vec::new()).map_err(AuthorityError::Unusable)?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.not_before = at(now_seconds) - backdated;
        params.not_after = at(end);
        Ok(params)
    }
}

fn decoded<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, AuthorityError> {
    let decoded = X509Certificate::from_der(der);
    let (_, decoded) = decoded.map_err(|_source| AuthorityError::Undecodable)?;
    Ok(decoded)
}

fn read_key(path: &Path) -> Result<KeyPair, AuthorityError> {
    let text = std::fs::read_to_string(path).map_err(|source| AuthorityError::KeyFile {
        path: path.to_owned(),
        source,
    })?;
    KeyPair::from_pem(&text).map_err(AuthorityError::Unusable)
}

fn serial() -> Result<[u8; SERIAL_BYTES], AuthorityError> {
    let mut serial = [0; SERIAL_BYTES];
    let filled = SystemRandom::new().fill(&mut serial);
    filled.map_err(|_unspecified| AuthorityError::Random)?;
    // A number above 0 of always the same length, so that it is written in one way.
    serial[0] = serial[0] & 0x3f | 0x40;
    Ok(serial)
}
