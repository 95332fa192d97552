//! What is read of a certificate request: its key, and nothing else.

use rcgen::{
    PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PublicKeyData as _,
    SubjectPublicKeyInfo,
};
use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer as _;

/// Why a certificate request cannot be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// It is not PKCS #10.
    #[error("the certificate request does not decode")]
    Undecodable,
    /// Its key is of a kind that is not taken.
    #[error("the key of the certificate request is not of P-256, P-384 or Ed25519")]
    Key,
    /// Who sent it does not hold the key.
    #[error("the certificate request is not signed by its key")]
    Signature,
}

/// The public key of a certificate request whose signature was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey(pub(super) SubjectPublicKeyInfo);

impl PublicKey {
    /// Reads a certificate request in DER. Its subject and what it asks for are not looked at.
    ///
    /// # Errors
    /// When it is no request, or not one of a key that is taken.
    pub fn read(der: &[u8]) -> Result<Self, RequestError> {
        let (rest, request) =
            X509CertificationRequest::from_der(der).map_err(|_source| RequestError::Undecodable)?;
        if !rest.is_empty() {
            return Err(RequestError::Undecodable);
        }
        let key = request.certification_request_info.subject_pki.raw;
        let key = SubjectPublicKeyInfo::from_der(key).map_err(|_source| RequestError::Key)?;
        let taken = [
            &PKCS_ECDSA_P256_SHA256,
            &PKCS_ECDSA_P384_SHA384,
            &PKCS_ED25519,
        ];
        // Before its signature: that of a long RSA key costs a hundred times as much.
        if !taken.contains(&key.algorithm()) {
            return Err(RequestError::Key);
        }
        let verified = request.verify_signature();
        verified.map_err(|_source| RequestError::Signature)?;
        Ok(Self(key))
    }

    /// What tells it from others.
    pub(super) fn digest(&self) -> [u8; SHA256_OUTPUT_LEN] {
        let mut out = [0; SHA256_OUTPUT_LEN];
        out.copy_from_slice(digest(&SHA256, &self.0.subject_public_key_info()).as_ref());
        out
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, IsCa, KeyPair, SigningKey};

    use super::*;

    fn request(key: &impl SigningKey) -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["admin.example".to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.serialize_request(key).unwrap().der().to_vec()
    }

    #[test]
    fn keys_of_today_are_taken_and_their_digests_tell_them_apart() {
        let mut digests = Vec::new();
        for algorithm in [
            &PKCS_ECDSA_P256_SHA256,
            &PKCS_ECDSA_P384_SHA384,
            &PKCS_ED25519,
        ] {
            let key = KeyPair::generate_for(algorithm).unwrap();
            let read = PublicKey::read(&request(&key)).unwrap();
            assert_eq!(
                read.0.subject_public_key_info(),
                key.subject_public_key_info()
            );
            digests.push(read.digest());
        }
        digests.dedup();
        assert_eq!(digests.len(), 3);
    }

    #[test]
    fn a_request_that_is_cut_or_changed_gives_no_other_key() {
        let good = request(&KeyPair::generate().unwrap());
        let key = PublicKey::read(&good).unwrap();
        for cut in 0..good.len() {
            let refused = PublicKey::read(&good[..cut]);
            assert_eq!(refused, Err(RequestError::Undecodable), "{cut}");
        }
        let longer = [&good[..], &[0]].concat();
        assert_eq!(PublicKey::read(&longer), Err(RequestError::Undecodable));
        for at in 0..good.len() {
            let mut changed = good.clone();
            changed[at] ^= 1;
            // A bit beside what is signed may mean nothing.
            let read = PublicKey::read(&changed);
            assert!(read.is_err() || read == Ok(key.clone()), "{at}");
        }
    }

    #[test]
    fn a_request_of_another_program_is_taken() {
        let der = include_bytes!("../../../../tests/golden/coordinator/certificate-request.der");
        PublicKey::read(der).unwrap();
    }

    #[test]
    fn a_key_of_rsa_is_refused_unseen() {
        let der = include_bytes!("../../../../tests/golden/coordinator/rsa-request.der");
        assert_eq!(PublicKey::read(der), Err(RequestError::Key));
    }
}
