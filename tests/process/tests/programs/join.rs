//! How agents come by certificates: tokens, renewal, revocation, and what a crash leaves.

use std::time::Duration;

use process_tests::agent::{Agent, NO_COLLECTORS};
use process_tests::ask::number;
use process_tests::{SOON, now_millis, within};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tonic::{Code, Status};
use wire::client::{Connection, Credentials, Pem};
use wire::proto::join_service_client::JoinServiceClient;
use wire::proto::{IssuedCertificate, JoinRequest, RenewRequest};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::access::{Authority, PATIENT, World, greeted, world_with};

const ISSUED: &str = "vedette_coordinator_certificates_issued_total{way=\"join\"}";
const RENEWED: &str = "vedette_coordinator_certificates_issued_total{way=\"renew\"}";
const REFUSED: &str = "vedette_coordinator_certificates_refused_total";

/// Time between two looks that the coordinator counts.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// A coordinator that issues certificates which count so long.
async fn issuing(lifetime: &str) -> World {
    world_with(|authority: &Authority| {
        let show = |file: &str| authority.path(file).display().to_string();
        let (cert, key) = (show("ca.pem"), show("ca.key"));
        format!(
            "{PATIENT}[join]\nauthority_cert = \"{cert}\"\nauthority_key = \"{key}\"\n\
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

/// What an agent that joins is told, besides its token.
fn joining(world: &World, token: &str) -> String {
    let file = world.authority.path("join.token");
    std::fs::write(&file, token).unwrap();
    format!(
        "collect_interval = \"200ms\"\nsync_interval = \"1s\"\n{NO_COLLECTORS}\
         [tls]\nca = \"{}\"\njoin_token_file = \"{}\"\n",
        world.authority.path("ca.pem").display(),
        file.display()
    )
}

/// Waits until so much more of an agent is acknowledged.
async fn acknowledges_more(agent: &Agent, more: u64) {
    let before = agent.account().last_acknowledged();
    within(SOON, "batches acknowledged", || async {
        (agent.account().last_acknowledged() >= before + more).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_joins_and_renews_while_data_flows_and_the_coordinator_crashes() {
    let mut world = issuing("15s").await;
    let admin = world.token("admin").await;
    let token = join_token(&world, &admin, &["node-1"]).await;
    let config = joining(&world, &token);
    let mut agent = Agent::start("node-1", &world.coordinator.url(), &config);
    acknowledges_more(&agent, 2).await;
    let renewals = async |world: &World| world.metric(&admin, RENEWED).await;
    within(SOON, "a renewal", || async {
        (renewals(&world).await >= 1.0).then_some(())
    })
    .await;
    let expired = "vedette_coordinator_access_refused_total{reason=\"expired\"}";
    assert_eq!(world.metric(&admin, expired).await, 0.0);
    world.coordinator.kill().await;
    world.coordinator.restart().await;
    within(SOON, "a renewal after the crash", || async {
        (renewals(&world).await >= 1.0).then_some(())
    })
    .await;
    // Its token is used up: what it has on disk lets it in.
    assert_eq!(agent.terminate().await, Some(0));
    agent.restart();
    acknowledges_more(&agent, 2).await;
    assert_eq!(world.metric(&admin, ISSUED).await, 0.0);
    assert_eq!(agent.terminate().await, Some(0));

    let account = agent.account();
    assert!(account.complaints.is_empty(), "{:?}", account.complaints);
    assert!(account.spooled_again.is_empty());
    assert_eq!(account.last_acknowledged(), account.last_spooled());
    assert_eq!(account.spooled.len() as u64, account.last_spooled());
    // Nothing is missing and nothing is there twice.
    let spooled: u64 = account.spooled.values().map(|(samples, _)| samples).sum();
    let all = "sum(count_over_time({node=\"node-1\"}[1h]))";
    assert_eq!(value(&world, &admin, all).await, spooled as f64);
    let expiry = "max_over_time(vedette_agent_certificate_expiry_timestamp_seconds[1h])";
    let end = value(&world, &admin, expiry).await;
    let now = (now_millis() / 1000) as f64;
    assert!((now - 60.0..now + 60.0).contains(&end), "{end} {now}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_whose_certificate_is_over_joins_again() {
    let world = issuing("5s").await;
    let admin = world.token("admin").await;
    let token = join_token(&world, &admin, &["node-1"]).await;
    let config = joining(&world, &token);
    let mut agent = Agent::start("node-1", &world.coordinator.url(), &config);
    acknowledges_more(&agent, 1).await;
    assert_eq!(agent.terminate().await, Some(0));
    let kept = std::fs::read_to_string(agent.state_dir().join("identity.pem")).unwrap();
    let credentials = Credentials {
        pem: Some(Pem::new(kept)),
        ..world.authority.credentials(None)
    };
    within(SOON, "the certificate's end", || async {
        tokio::time::sleep(LOOK_EVERY).await;
        let refused = renew(world.connect(&credentials)).await.err()?;
        (refused.code() != Code::ResourceExhausted).then_some(())
    })
    .await;
    agent.restart();
    let used = format!("{REFUSED}{{reason=\"used\"}}");
    within(SOON, "the refusal", || async {
        (world.metric(&admin, &used).await >= 1.0).then_some(())
    })
    .await;
    let again = join_token(&world, &admin, &["node-1"]).await;
    std::fs::write(world.authority.path("join.token"), again).unwrap();
    acknowledges_more(&agent, 1).await;
    // Without a token it says what to do.
    assert_eq!(agent.terminate().await, Some(0));
    std::fs::remove_file(world.authority.path("join.token")).unwrap();
    std::fs::remove_file(agent.state_dir().join("identity.pem")).unwrap();
    agent.restart();
    within(SOON, "what to do", || async {
        let complaints = agent.account().complaints;
        let said = |it: &String| it.contains("vedette token join node-1");
        complaints.iter().any(said).then_some(())
    })
    .await;
}

/// The single value of an answer.
async fn value(world: &World, token: &str, expression: &str) -> f64 {
    let asked = ["query", "--format", "json", expression];
    let output = world.vedette(token, &asked).await;
    assert!(output.status.success(), "{output:?}");
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    number(&answer["result"][0]["value"][1])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_is_refused_keeps_what_it_reads_until_it_has_a_token() {
    let world = issuing("1h").await;
    let admin = world.token("admin").await;
    let others = join_token(&world, &admin, &["node-2"]).await;
    let config = joining(&world, &others);
    let agent = Agent::start("node-1", &world.coordinator.url(), &config);
    let refused = format!("{REFUSED}{{reason=\"other_name\"}}");
    within(SOON, "the refusal", || async {
        (world.metric(&admin, &refused).await >= 1.0).then_some(())
    })
    .await;
    assert_eq!(agent.account().last_acknowledged(), 0);
    let own = join_token(&world, &admin, &["node-1"]).await;
    std::fs::write(world.authority.path("join.token"), own).unwrap();
    acknowledges_more(&agent, 1).await;
    let complaints = agent.account().complaints;
    assert_eq!(complaints.len(), 1, "{complaints:?}");
    assert!(complaints[0].contains("there is no certificate that counts"));
    let log = agent.process().log();
    assert!(!log.contains("vdj_") && !log.contains("PRIVATE"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_that_are_brought_along_are_followed() {
    let world = issuing("1h").await;
    world.authority.ca(&["issue", "node-1"]).await;
    let show = |file: &str| world.authority.path(file).display().to_string();
    let config = format!(
        "collect_interval = \"200ms\"\nsync_interval = \"1s\"\n{NO_COLLECTORS}\
         [tls]\nca = \"{}\"\ncert = \"{}\"\nkey = \"{}\"\n",
        show("ca.pem"),
        show("node-1.pem"),
        show("node-1.key"),
    );
    let agent = Agent::start("node-1", &world.coordinator.url(), &config);
    acknowledges_more(&agent, 1).await;
    // The first is taken back by its number; the agent goes on by the second.
    for end in ["pem", "key"] {
        let path = |name: &str| world.authority.path(&format!("{name}.{end}"));
        std::fs::copy(path("node-1"), path("first")).unwrap();
    }
    let first = world.authority.credentials(Some("first"));
    let der = CertificateDer::from_pem_file(world.authority.path("first.pem")).unwrap();
    world.authority.ca(&["issue", "node-1"]).await;
    std::fs::write(&world.revoked, format!("{}\n", serial(&der))).unwrap();
    within(SOON, "the revocation in force", || async {
        tokio::time::sleep(LOOK_EVERY).await;
        let refused = renew(world.connect(&first)).await.err()?;
        (refused.code() == Code::Unauthenticated).then_some(())
    })
    .await;
    acknowledges_more(&agent, 3).await;
}

/// The serial number of a certificate as revocations name it.
fn serial(der: &[u8]) -> String {
    let (_, certificate) = X509Certificate::from_der(der).unwrap();
    let serial = certificate.tbs_certificate.raw_serial_as_string();
    serial.replace(':', "")
}
