//! Who may do what, and until when.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};

use daemon::clock::Clock;
use expect_test::expect;
use store::Store;
use store::engine::memory::Memory;
use wire::ingest::AgentId;

use super::*;

const NOW: i64 = 1_800_000_000;
/// A hundred requests and twenty failures at once.
const RATES: Rates = Rates::new(10, 5);

#[derive(Debug)]
struct Hand(AtomicI64);

impl Clock for Hand {
    fn wall_millis(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

struct World {
    access: Access,
    clock: Arc<Hand>,
    secrets: HashMap<Role, String>,
    _writing: audit::Writing,
    _folder: tempfile::TempDir,
}

/// A world with a token of each role, named like it, that of the viewer ending at `NOW + 100`; and with
/// an authority for certificates of which `lost` is revoked.
fn world() -> World {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.toml");
    let secrets = Role::ALL.map(|role| {
        let new = NewToken {
            name: AgentId::try_from(role.as_str().to_owned()).unwrap(),
            role,
            expires_seconds: (role == Role::Viewer).then_some(NOW + 100),
        };
        let secret = Tokens::add(&path, &new).unwrap();
        (role, format!("Bearer {}", secret.expose()))
    });
    let revoked = folder.path().join("revoked");
    std::fs::write(&revoked, "# gone\nlost # the disk was sold\n0abc\n").unwrap();
    let clock = Arc::new(Hand(AtomicI64::new(NOW * 1000)));
    let metrics = Metrics::new();
    let (store, _) = Store::open(Box::new(Memory::default())).unwrap();
    let (audit, writing) = Audit::new(Arc::new(store), Arc::clone(&metrics));
    let files = Files {
        tokens: Some(path),
        revoked: Some(revoked),
        certificates: true,
    };
    let shared: SharedClock = Arc::clone(&clock) as SharedClock;
    World {
        access: Access::open(files, RATES, audit, metrics, shared).unwrap(),
        clock,
        secrets: secrets.into(),
        _writing: writing,
        _folder: folder,
    }
}

fn peer(certificate: Option<(&str, &str, Role)>) -> Peer {
    Peer {
        address: "10.0.0.1:5".parse().unwrap(),
        certificate: certificate.map(|(name, serial, role)| {
            Arc::new(Certificate {
                name: name.into(),
                serial: serial.to_owned(),
                role,
                not_after_seconds: NOW + 50,
            })
        }),
    }
}

const NEEDS: [Need; 5] = [
    Need::Read,
    Need::Operate,
    Need::SpeakAsAgent,
    Need::RemoteWrite,
    Need::Administer,
];

#[test]
fn each_role_may_do_its_own_and_no_more() {
    let world = world();
    let table: String = Role::ALL
        .iter()
        .map(|role| {
            let may = NEEDS.map(|need| {
                let header = Some(world.secrets[role].as_str());
                let judged = world.access.judge(&peer(None), header, need, &"test");
                if judged.is_ok() { "yes" } else { "no" }
            });
            format!("{:10}{}\n", role.as_str(), may.join(" "))
        })
        .collect();
    expect![[r"
        viewer    yes no no no no
        operator  yes yes no no no
        admin     yes yes no yes yes
        agent     no no yes no no
        writer    no no no yes no
    "]]
    .assert_eq(&table);
}

#[test]
fn whoever_is_not_let_in_is_told_why_and_counted() {
    let world = world();
    let ask = |peer: &Peer, header: Option<&str>, need| {
        let judged = world.access.judge(peer, header, need, &"test");
        judged.map(|caller| caller.name().to_owned())
    };
    let agent = |name, serial| peer(Some((name, serial, Role::Agent)));
    let speak = Need::SpeakAsAgent;
    assert_eq!(
        ask(&agent("node-1", "01"), None, speak),
        Ok("node-1".to_owned())
    );
    assert_eq!(ask(&peer(None), None, speak), Err(Refusal::NoCredential));
    for wrong in ["Bearer vdt_0", "Basic dXNlcg==", "", "Bearer"] {
        let refused = ask(&peer(None), Some(wrong), Need::Read);
        assert_eq!(refused, Err(Refusal::UnknownToken), "{wrong}");
    }
    for (name, serial) in [("lost", "02"), ("other", "0abc")] {
        let refused = ask(&agent(name, serial), None, speak);
        assert_eq!(refused, Err(Refusal::Revoked(name.into())));
    }
    let refused = ask(&agent("node-1", "01"), None, Need::Read).unwrap_err();
    assert!(!refused.is_unauthenticated());
    assert_eq!(
        refused.to_string(),
        "\"node-1\" has the role agent, and this needs viewer, operator or admin"
    );
    let counted = world.access.0.metrics.access_refused.each_ref();
    let counted = counted.map(daemon::metrics::Counter::get);
    assert_eq!(counted, [1, 4, 0, 2, 1, 0, 0, 0]);
}

#[test]
fn who_asks_or_fails_too_often_is_told_so_and_nobody_else() {
    let world = world();
    let ask = |role: Role, need| {
        let header = Some(world.secrets[&role].as_str());
        let judged = world.access.judge(&peer(None), header, need, &"test");
        judged.map_err(|refusal| refusal.index()).err()
    };
    let fail = || {
        let judged = world.access.judge(&peer(None), None, Need::Read, &"test");
        judged.unwrap_err()
    };
    for _ in 0..100 {
        assert_eq!(ask(Role::Viewer, Need::Read), None);
    }
    for _ in 0..20 {
        assert_eq!(fail(), Refusal::NoCredential);
    }
    let again = Duration::from_millis(100);
    let name = "viewer".into();
    let often = Refusal::TooOften { name, again };
    assert_eq!(ask(Role::Viewer, Need::Read), Some(often.index()));
    assert_eq!(ask(Role::Viewer, Need::RemoteWrite), Some(often.index()));
    let failed = fail();
    assert_eq!(failed.again(), Some(Duration::from_millis(200)));
    assert!(!failed.is_unauthenticated());
    // The address is the same; it is theirs that failed.
    assert_eq!(ask(Role::Admin, Need::Read), None);
    // Agents and senders of samples are held back elsewhere.
    for _ in 0..200 {
        assert_eq!(ask(Role::Agent, Need::SpeakAsAgent), None);
        assert_eq!(ask(Role::Writer, Need::RemoteWrite), None);
    }
}

#[tokio::test]
async fn a_caller_is_let_go_when_its_credential_ends() {
    let world = world();
    let viewer = Some(world.secrets[&Role::Viewer].as_str());
    let viewer = world.access.judge(&peer(None), viewer, Need::Read, &"test");
    let agent = peer(Some(("node-1", "01", Role::Agent)));
    let agent = world
        .access
        .judge(&agent, None, Need::SpeakAsAgent, &"test");
    let (viewer, agent) = (viewer.unwrap(), agent.unwrap());
    world.clock.0.store((NOW + 50) * 1000, Ordering::Relaxed);
    let refused = world.access.until_refused(&agent).await;
    assert_eq!(refused, Refusal::Expired("node-1".into()));
    let waits = world.access.until_refused(&viewer);
    assert!(
        tokio::time::timeout(Duration::from_millis(50), waits)
            .await
            .is_err()
    );
    world.access.put_in_force(InForce::default());
    let refused = world.access.until_refused(&viewer).await;
    assert_eq!(refused, Refusal::UnknownToken);
}

#[test]
fn a_certificate_of_vedette_ca_says_who_its_holder_is() {
    let der = include_bytes!("../../../../tests/golden/coordinator/client-certificate.der");
    let certificate = Certificate::read(der).unwrap();
    assert_eq!(
        (&*certificate.name, certificate.role),
        ("node-7", Role::Viewer)
    );
    assert!(certificate.serial.starts_with("32b689"));
    assert_eq!(certificate.not_after_seconds, 1_803_600_000);
    for cut in 0..der.len() {
        assert!(matches!(
            Certificate::read(&der[..cut]),
            Err(CertificateError::Undecodable)
        ));
    }
}
