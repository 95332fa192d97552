//! How agents come by certificates: tokens, renewal, revocation, and what a crash leaves.

use std::time::Duration;

use process_tests::{SOON, within};
use rcgen::{CertificateParams, KeyPair};
use tonic::{Code, Status};
use wire::client::{Connection, Credentials};
use wire::proto::join_service_client::JoinServiceClient;
use wire::proto::{IssuedCertificate, JoinRequest, RenewRequest};

use crate::access::{Authority, World, greeted, world_with};

const ISSUED: &str = "vedette_coordinator_certificates_issued_total{way=\"join\"}";
const REFUSED: &str = "vedette_coordinator_certificates_refused_total";

/// Time between two looks that the coordinator counts.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// A coordinator that issues certificates which count so long.
async fn issuing(lifetime: &str) -> World {
    world_with(|authority: &Authority| {
        let show = |file: &str| authority.path(file).display().to_string();
        let (cert, key) = (show("ca.pem"), show("ca.key"));
        format!(
            "[join]\nauthority_cert = \"{cert}\"\nauthority_key = \"{key}\"\n\
             certificate_lifetime = \"{lifetime}\"\n"
        )
    })
    .await
}

/// A join token, made as an administrator makes it.
async fn join_token(world: &World, admin: &str, arguments: &[&str]) -> String {
    let made = world
        .vedette(admin, &[&["token", "join"], arguments].concat())
        .await;
    assert!(made.status.success(), "{made:?}");
    let token = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    assert!(token.starts_with("vdj_"), "{token}");
    let said = String::from_utf8(made.stderr).unwrap();
    assert!(
        said.contains("good once") && !said.contains(&token),
        "{said}"
    );
    token
}

fn request(key: &KeyPair) -> Vec<u8> {
    let params = CertificateParams::default();
    params.serialize_request(key).unwrap().der().to_vec()
}

async fn join(
    world: &World,
    name: &str,
    token: &str,
    key: &KeyPair,
) -> Result<IssuedCertificate, Status> {
    let stranger = world.connect(&world.authority.credentials(None));
    let asked = JoinRequest {
        agent_id: name.to_owned(),
        token: token.to_owned(),
        certificate_request: request(key),
    };
    let joined = JoinServiceClient::new(stranger).join(asked).await?;
    Ok(joined.into_inner().issued.unwrap())
}

async fn renew(connection: Connection) -> Result<IssuedCertificate, Status> {
    let asked = RenewRequest {
        certificate_request: request(&KeyPair::generate().unwrap()),
    };
    let renewed = JoinServiceClient::new(connection).renew(asked).await?;
    Ok(renewed.into_inner().issued.unwrap())
}

/// Puts a certificate beside its authority, where its holder shows it from.
fn keep(world: &World, name: &str, key: &KeyPair, issued: &IssuedCertificate) -> Credentials {
    let path = |end: &str| world.authority.path(&format!("{name}.{end}"));
    let chain = pem::Pem::new("CERTIFICATE", &issued.chain[0][..]);
    std::fs::write(path("pem"), pem::encode(&chain)).unwrap();
    std::fs::write(path("key"), key.serialize_pem()).unwrap();
    world.authority.credentials(Some(name))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_brings_one_certificate_to_its_own_name_in_its_time() {
    let mut world = issuing("1h").await;
    let admin = world.token("admin").await;
    let token = join_token(&world, &admin, &["node-1"]).await;
    let short = join_token(&world, &admin, &["node-3", "--ttl", "1s"]).await;
    let [key, other] = [(); 2].map(|()| KeyPair::generate().unwrap());
    let refused = join(&world, "node-1", "vdj_0", &key).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    let refused = join(&world, "node-2", &token, &key).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    // As another, which uses it up at no time.
    within(SOON, "the token's end", || async {
        tokio::time::sleep(LOOK_EVERY).await;
        let refused = join(&world, "node-4", &short, &key).await.unwrap_err();
        refused.message().contains("expired").then_some(())
    })
    .await;
    let refused = join(&world, "node-3", &short, &key).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);

    let issued = join(&world, "node-1", &token, &key).await.unwrap();
    assert!((1..=3_600_000).contains(&issued.lasts_millis));
    // Used up before its certificate was handed out: a crash gives it no second life.
    world.coordinator.kill().await;
    world.coordinator.restart().await;
    let refused = join(&world, "node-1", &token, &other).await.unwrap_err();
    assert!(refused.message().contains("used before"), "{refused:?}");
    // But who was answered may ask again: the answer may have been lost.
    join(&world, "node-1", &token, &key).await.unwrap();
    let used = format!("{REFUSED}{{reason=\"used\"}}");
    assert_eq!(world.metric(&admin, &used).await, 1.0);
    assert_eq!(world.metric(&admin, ISSUED).await, 1.0);

    // What it got lets it in as itself.
    let credentials = keep(&world, "node-1", &key, &issued);
    greeted(world.connect(&credentials), "node-1")
        .await
        .unwrap();
    let as_other = greeted(world.connect(&credentials), "node-2").await;
    assert_eq!(as_other.unwrap_err().code(), Code::PermissionDenied);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_renews_its_own_name_until_it_is_revoked() {
    let world = issuing("1h").await;
    let admin = world.token("admin").await;
    let stranger = world.connect(&world.authority.credentials(None));
    let refused = renew(stranger).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    world
        .authority
        .ca(&["issue", "anna", "--role", "admin"])
        .await;
    let refused = renew(world.as_holder("anna")).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);

    let token = join_token(&world, &admin, &["--any"]).await;
    let key = KeyPair::generate().unwrap();
    let issued = join(&world, "node-1", &token, &key).await.unwrap();
    let credentials = keep(&world, "node-1", &key, &issued);
    renew(world.connect(&credentials)).await.unwrap();
    std::fs::write(&world.revoked, "node-1\n").unwrap();
    within(SOON, "the revocation in force", || async {
        tokio::time::sleep(LOOK_EVERY).await;
        let refused = renew(world.connect(&credentials)).await.err()?;
        (refused.code() == Code::Unauthenticated).then_some(())
    })
    .await;
    let again = join_token(&world, &admin, &["node-1"]).await;
    let refused = join(&world, "node-1", &again, &key).await.unwrap_err();
    assert!(refused.message().contains("revoked"), "{refused:?}");

    let operator = world.token("operator").await;
    let denied = world.vedette(&operator, &["token", "join", "node-2"]).await;
    assert!(!denied.status.success());
    let said = String::from_utf8(denied.stderr).unwrap();
    assert!(said.contains("this needs admin"), "{said}");
    let listed = ["audit", "--format", "json"];
    let listed = within(SOON, "the audit log", || async {
        let output = world.vedette(&operator, &listed).await;
        let entries: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let entries = entries.as_array().unwrap().iter();
        let short = entries.map(|entry| {
            let text = |key: &str| entry[key].as_str().unwrap().to_owned();
            (text("who"), text("action"), text("outcome"))
        });
        let short: Vec<_> = short.collect();
        let is_last = |(_, action, _): &(String, String, String)| action == "join tokens";
        short.iter().any(is_last).then_some(short)
    })
    .await;
    for (who, action, outcome) in [
        ("admin", "join_token.made", "done"),
        ("node-1", "join_token.used", "done"),
        ("node-1", "certificate.issued", "done"),
        ("node-1", "certificate.renewed", "done"),
        ("node-1", "certificate.renew", "refused"),
        ("", "certificate.join", "refused"),
        ("operator", "join tokens", "refused"),
    ] {
        let entry = (who.to_owned(), action.to_owned(), outcome.to_owned());
        assert!(listed.contains(&entry), "{entry:?} is not in {listed:?}");
    }
}
