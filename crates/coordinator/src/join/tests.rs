//! Who gets a certificate, and what it says.

use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};

use daemon::clock::Clock;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};
use store::engine::memory::Memory;
use tempfile::TempDir;
use tonic::Code;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::*;
use crate::access::{Audit, Certificate, Files, Role};
use crate::events::Events;

/// Within the time of the authorities that rcgen makes by default.
const NOW: i64 = 1_800_000_000;

struct Hand(AtomicI64);

impl Clock for Hand {
    fn wall_millis(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.wall_millis().cast_unsigned())
    }
}

/// An authority, signed by another or by itself: its certificate in PEM, and what signs by it.
fn authority(name: &str, by: Option<&Issuer<'_, KeyPair>>) -> (String, Issuer<'static, KeyPair>) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let certificate = match by {
        Some(issuer) => params.signed_by(&key, issuer),
        None => params.self_signed(&key),
    };
    (certificate.unwrap().pem(), Issuer::new(params, key))
}

/// Writes an authority's files; `known` is what the coordinator knows of authorities.
fn files(folder: &Path, cert: &str, key: &KeyPair, known: &str) -> AuthorityFiles {
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    AuthorityFiles {
        cert: write("authority.pem", cert),
        key: write("authority.key", &key.serialize_pem()),
        client_ca: write("known.pem", known),
    }
}

struct World {
    join: Join,
    clock: Arc<Hand>,
    metrics: Arc<Metrics>,
    folder: TempDir,
}

fn world() -> World {
    let folder = tempfile::tempdir().unwrap();
    let (cert, issuer) = authority("root", None);
    let files = files(folder.path(), &cert, issuer.key(), &cert);
    let revoked = folder.path().join("revoked");
    std::fs::write(&revoked, "lost\n").unwrap();
    let clock = Arc::new(Hand(AtomicI64::new(NOW * 1000)));
    let shared: SharedClock = Arc::clone(&clock) as SharedClock;
    let metrics = Metrics::new();
    let (store, _) = Store::open(Box::new(Memory::default())).unwrap();
    let store = Arc::new(store);
    let (audit, _writing) = Audit::new(Arc::clone(&store), Arc::clone(&metrics));
    let in_force = Files {
        tokens: None,
        revoked: Some(revoked),
        certificates: true,
    };
    let rates = crate::access::Rates::new(0, 0);
    let (counted, time) = (Arc::clone(&metrics), Arc::clone(&shared));
    let access = Access::open(in_force, rates, audit, counted, time);
    let events = Events::new(Arc::clone(&store));
    let parts = Parts {
        authority: Some(Authority::read(&files, NOW).unwrap()),
        access: access.unwrap(),
        fleet: Fleet::open(Arc::clone(&store), events, Arc::clone(&shared)).unwrap(),
        store,
        config: watch::channel(Arc::new(Config::default())).1,
        metrics: Arc::clone(&metrics),
        clock: shared,
    };
    World {
        join: Join::open(parts).unwrap(),
        clock,
        metrics,
        folder,
    }
}

fn peer(address: &str, certificate: Option<Certificate>) -> Peer {
    Peer {
        address: address.parse().unwrap(),
        certificate: certificate.map(Arc::new),
    }
}

fn request<T>(peer: Peer, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.extensions_mut().insert(peer);
    request
}

/// A request for much more than an agent gets.
fn greedy(key: &KeyPair) -> Vec<u8> {
    let mut params = CertificateParams::new(vec!["coordinator".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, "anna");
    params
        .distinguished_name
        .push(DnType::OrganizationName, "vedette:admin");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.serialize_request(key).unwrap().der().to_vec()
}

impl World {
    fn token(&self, name: &str) -> String {
        let wanted = CreateJoinToken {
            agent_id: Some(AgentId::try_from(name.to_owned()).unwrap()),
            lifetime: Duration::from_secs(3600),
        };
        let made = (self.join.0.tokens).make(&wanted, "anna", NOW * 1000);
        made.unwrap().0.expose().to_owned()
    }

    async fn join(
        &self,
        address: &str,
        name: &str,
        token: &str,
    ) -> Result<proto::IssuedCertificate, Status> {
        let message = proto::JoinRequest {
            agent_id: name.to_owned(),
            token: token.to_owned(),
            certificate_request: greedy(&KeyPair::generate().unwrap()),
        };
        let request = request(peer(address, None), message);
        let joined = JoinService::join(&self.join, request).await?;
        Ok(joined.into_inner().issued.unwrap())
    }

    async fn renew(&self, certificate: Option<Certificate>) -> Result<Vec<Vec<u8>>, Status> {
        let message = proto::RenewRequest {
            certificate_request: greedy(&KeyPair::generate().unwrap()),
        };
        let request = request(peer("10.0.0.1:1", certificate), message);
        let renewed = self.join.renew(request).await?;
        Ok(renewed.into_inner().issued.unwrap().chain)
    }

    fn refused(&self, reason: &str) -> u64 {
        let at = Denied::REASONS.iter().position(|known| *known == reason);
        self.metrics.certificates_refused[at.unwrap()].get()
    }
}

#[tokio::test]
async fn a_certificate_says_the_name_of_its_token_and_nothing_of_the_request() {
    let world = world();
    let token = world.token("node-1");
    let issued = world.join("10.0.0.1:1", "node-1", &token).await.unwrap();
    assert_eq!(issued.lasts_millis, 86_400_000);
    assert_eq!(issued.chain.len(), 1);
    let read = Certificate::read(&issued.chain[0]).unwrap();
    assert_eq!((&*read.name, read.role), ("node-1", Role::Agent));
    assert_eq!(read.not_after_seconds, NOW + 86_400);
    assert_eq!(read.serial.len(), 32);
    let (_, whole) = X509Certificate::from_der(&issued.chain[0]).unwrap();
    assert_eq!(whole.subject().to_string(), "CN=node-1");
    assert_eq!(whole.validity().not_before.timestamp(), NOW - 300);
    assert!(!whole.is_ca() && whole.subject_alternative_name().unwrap().is_none());
    let uses = whole.extended_key_usage().unwrap().unwrap().value;
    assert!(uses.client_auth && !uses.server_auth && !uses.any);
    let verifier = crate::net::verifier(&world.folder.path().join("known.pem")).unwrap();
    let now = UnixTime::since_unix_epoch(Duration::from_secs(NOW.cast_unsigned()));
    let der = CertificateDer::from(&issued.chain[0][..]);
    verifier.verify_client_cert(&der, &[], now).unwrap();

    let renewed = world.renew(Some(read.clone())).await.unwrap();
    let next = Certificate::read(&renewed[0]).unwrap();
    assert_eq!((&next.name, next.role), (&read.name, read.role));
    assert_ne!(next.serial, read.serial);
    let issued = world.metrics.certificates_issued.each_ref();
    assert_eq!(issued.map(daemon::metrics::Counter::get), [1, 1]);
}

#[tokio::test]
async fn whoever_gets_no_certificate_is_told_why_and_counted() {
    let world = world();
    let (token, lost) = (world.token("node-1"), world.token("lost"));
    let code = async |name: &str, token: &str| {
        let refused = world.join("10.0.0.1:1", name, token).await.unwrap_err();
        refused.code()
    };
    assert_eq!(code("node-1", "vdj_00").await, Code::Unauthenticated);
    assert_eq!(code("node-2", &token).await, Code::PermissionDenied);
    assert_eq!(code("lost", &lost).await, Code::PermissionDenied);
    assert_eq!(code("a b", &token).await, Code::InvalidArgument);
    world.join("10.0.0.1:1", "node-1", &token).await.unwrap();
    assert_eq!(code("node-1", &token).await, Code::Unauthenticated);
    for reason in [
        "unknown_token",
        "other_name",
        "revoked",
        "malformed",
        "used",
    ] {
        assert_eq!(world.refused(reason), 1, "{reason}");
    }

    assert_eq!(
        world.renew(None).await.unwrap_err().code(),
        Code::Unauthenticated
    );
    let with = |name: &str, role| Certificate {
        name: name.into(),
        serial: "01".to_owned(),
        role,
        not_after_seconds: NOW + 50,
    };
    for (certificate, code) in [
        (with("lost", Role::Agent), Code::Unauthenticated),
        (with("anna", Role::Admin), Code::PermissionDenied),
    ] {
        let refused = world.renew(Some(certificate)).await.unwrap_err();
        assert_eq!(refused.code(), code);
    }
    world.clock.0.fetch_add(50_000, Ordering::Relaxed);
    let late = world.renew(Some(with("node-1", Role::Agent))).await;
    assert_eq!(late.unwrap_err().code(), Code::Unauthenticated);
}

#[tokio::test]
async fn who_asks_too_often_is_refused_unheard_and_others_are_not() {
    let world = world();
    let token = world.token("node-1");
    for _ in 0..OF_ADDRESS.burst {
        let refused = world.join("[2001:db8::1]:1", "node-1", "vdj_00").await;
        assert_eq!(refused.unwrap_err().code(), Code::Unauthenticated);
    }
    let refused = world.join("[2001:db8::2]:1", "node-1", &token).await;
    assert_eq!(refused.unwrap_err().code(), Code::ResourceExhausted);
    assert_eq!(world.refused("too_often"), 1);
    world.join("10.0.0.1:1", "node-1", &token).await.unwrap();
}

#[test]
fn an_authority_that_would_not_be_let_in_is_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let read = |cert: &str, key: &KeyPair, known: &str| {
        Authority::read(&files(folder.path(), cert, key, known), NOW)
    };
    let (root, root_issuer) = authority("root", None);
    let (other, other_issuer) = authority("other", None);
    let (between, between_issuer) = authority("between", Some(&root_issuer));
    read(&root, root_issuer.key(), &root).unwrap();
    let chained = read(&between, between_issuer.key(), &root).unwrap();
    assert_eq!(chained.between.len(), 1);
    let chain = format!("{between}{root}");
    let chained = read(&chain, between_issuer.key(), &root).unwrap();
    assert_eq!(chained.between.len(), 1);
    for (cert, key, known) in [
        (&root, other_issuer.key(), &root),
        (&root, root_issuer.key(), &other),
        (&between, between_issuer.key(), &other),
    ] {
        let refused = read(cert, key, known).unwrap_err();
        assert!(matches!(refused, AuthorityError::Foreign(_)), "{refused}");
    }
    let refused = read(&root.repeat(4), root_issuer.key(), &root).unwrap_err();
    assert!(matches!(refused, AuthorityError::TooLong { .. }));
    let der = CertificateDer::from_pem_slice(root.as_bytes()).unwrap();
    let (_, decoded) = X509Certificate::from_der(&der).unwrap();
    let end = decoded.validity().not_after.timestamp();
    let late = files(folder.path(), &root, root_issuer.key(), &root);
    let late = Authority::read(&late, end).unwrap_err();
    assert!(matches!(late, AuthorityError::Expired), "{late}");
}
