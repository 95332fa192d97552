//! Who is let in: certificates, tokens, roles, revocation, and what the audit log says of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use process_tests::agent::Agent;
use process_tests::coordinator::{Coordinator, ask_over};
use process_tests::{SOON, now_millis, process, within};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use series::{Labels, MetricKind};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use wire::client::{Connection, Credentials, Token, connect};
use wire::proto;
use wire::proto::InstantRequest;
use wire::proto::ingest_service_client::IngestServiceClient;
use wire::proto::query_service_client::QueryServiceClient;
use wire::proto::sync_request::Message;

const REFUSED: &str = "vedette_coordinator_access_refused_total";

/// An authority of `vedette ca`, in a folder of its own.
pub(crate) struct Authority(TempDir);

impl Authority {
    async fn new() -> Self {
        let authority = Self(tempfile::tempdir().unwrap());
        authority.ca(&["init"]).await;
        authority
    }

    pub(crate) async fn ca(&self, arguments: &[&str]) {
        let folder = self.0.path().display().to_string();
        let all = [&["ca"], arguments, &["--dir", &folder]].concat();
        let done = process::run("vedette", &all).await;
        assert!(done.status.success(), "{done:?}");
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    /// What the holder of a certificate shows to a coordinator of this authority.
    pub(crate) fn credentials(&self, name: Option<&str>) -> Credentials {
        Credentials {
            ca: Some(self.path("ca.pem")),
            cert: name.map(|name| self.path(&format!("{name}.pem"))),
            key: name.map(|name| self.path(&format!("{name}.key"))),
            token: None,
            pem: None,
        }
    }
}

/// Tests ask again and again until a credential counts; no coordinator here minds.
pub(crate) const PATIENT: &str = "failures_per_second_max = 0\n";

/// A coordinator that speaks TLS and asks who calls.
pub(crate) struct World {
    pub(crate) authority: Authority,
    pub(crate) coordinator: Coordinator,
    tokens: PathBuf,
    pub(crate) revoked: PathBuf,
}

async fn world() -> World {
    world_with(|_| PATIENT.to_owned()).await
}

/// The same, with more settings.
pub(crate) async fn world_with(more: impl FnOnce(&Authority) -> String) -> World {
    let authority = Authority::new().await;
    let host = ["issue", "coordinator", "--host", "127.0.0.1"];
    authority.ca(&host).await;
    let (tokens, revoked) = (authority.path("tokens.toml"), authority.path("revoked"));
    std::fs::write(&tokens, "").unwrap();
    std::fs::write(&revoked, "").unwrap();
    let show = |path: &Path| path.display().to_string();
    let config = format!(
        "[tls]\ncert = \"{}\"\nkey = \"{}\"\nclient_ca = \"{}\"\nrevoked = \"{}\"\n\
         [access]\ntokens = \"{}\"\n{}",
        show(&authority.path("coordinator.pem")),
        show(&authority.path("coordinator.key")),
        show(&authority.path("ca.pem")),
        show(&revoked),
        show(&tokens),
        more(&authority),
    );
    World {
        coordinator: Coordinator::start(&config).await,
        authority,
        tokens,
        revoked,
    }
}

impl World {
    pub(crate) fn connect(&self, credentials: &Credentials) -> Connection {
        let url = self.coordinator.url();
        connect(&url, credentials, |endpoint| endpoint.timeout(SOON)).unwrap()
    }

    pub(crate) fn as_holder(&self, name: &str) -> Connection {
        self.connect(&self.authority.credentials(Some(name)))
    }

    /// Makes a token and waits until the coordinator takes it.
    pub(crate) async fn token(&self, role: &str) -> String {
        let file = self.tokens.display().to_string();
        let arguments = ["token", "add", role, "--role", role, "--tokens", &file];
        let made = process::run("vedette-coordinator", &arguments).await;
        assert!(made.status.success(), "{made:?}");
        let secret = String::from_utf8(made.stdout).unwrap().trim().to_owned();
        within(SOON, "the token in force", || async {
            let (code, _) = self.http("GET", "/", Some(&secret)).await;
            (![401, 429].contains(&code)).then_some(())
        })
        .await;
        secret
    }

    /// Status and body of a page, over TLS.
    async fn http(&self, method: &str, path: &str, token: Option<&str>) -> (u16, String) {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(self.authority.path("ca.pem")).unwrap() {
            roots.add(certificate.unwrap()).unwrap();
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let address = self.coordinator.http;
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::IpAddress(address.ip().into());
        let connector = TlsConnector::from(Arc::new(config));
        let stream = connector.connect(name, stream).await.unwrap();
        let head = token.map(|token| format!("authorization: Bearer {token}\r\n"));
        let head = head.unwrap_or_default();
        let what = format!("{method} {path}");
        ask_over(stream, address, &what, &head, "").await.unwrap()
    }

    pub(crate) async fn metric(&self, token: &str, name: &str) -> f64 {
        let (code, page) = self.http("GET", "/metrics", Some(token)).await;
        assert_eq!(code, 200, "{page}");
        let mut lines = page.lines();
        let found = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        found.unwrap().parse().unwrap()
    }

    /// What `vedette` says, with a token.
    pub(crate) async fn vedette(&self, token: &str, arguments: &[&str]) -> std::process::Output {
        let (url, ca) = (self.coordinator.url(), self.authority.path("ca.pem"));
        let ca = ca.display().to_string();
        let all = [&["--coordinator", &url, "--ca", &ca], arguments].concat();
        let mut command = process::command("vedette", &all);
        command.env("VEDETTE_TOKEN", token);
        let output = tokio::time::timeout(SOON, command.output()).await;
        output.unwrap().unwrap()
    }
}

pub(crate) async fn query(connection: Connection) -> Result<(), Status> {
    let request = InstantRequest {
        expression: "1".to_owned(),
        time_millis: now_millis(),
        explain: false,
    };
    let mut answer = QueryServiceClient::new(connection)
        .instant(request)
        .await?
        .into_inner();
    while answer.message().await?.is_some() {}
    Ok(())
}

/// A stream of the bulk lane that has said hello as `agent`.
pub(crate) async fn greeted(
    connection: Connection,
    agent: &str,
) -> Result<
    (
        mpsc::Sender<proto::SyncRequest>,
        Streaming<proto::SyncResponse>,
    ),
    Status,
> {
    let (requests, outgoing) = mpsc::channel(16);
    let hello = Message::Hello(proto::Hello {
        protocol: wire::PROTOCOL,
        agent_id: agent.to_owned(),
        epoch: 7,
        oldest_sequence: 1,
        version: "0".to_owned(),
        wall_millis: now_millis(),
        ..proto::Hello::default()
    });
    let first = proto::SyncRequest {
        message: Some(hello),
    };
    requests.send(first).await.unwrap();
    let mut client = IngestServiceClient::new(connection);
    let mut answers = client
        .sync(ReceiverStream::new(outgoing))
        .await?
        .into_inner();
    answers.message().await?;
    Ok((requests, answers))
}

/// The definition of one series of a node.
fn definition(first_ref: u32, node: &str) -> proto::SyncRequest {
    let labels = Labels::with_name("up", &[("node", node)]).unwrap();
    let mut list = Vec::new();
    codec::encode_labels_list(&[labels], &[MetricKind::Gauge], &mut list);
    proto::SyncRequest {
        message: Some(Message::Definitions(proto::SeriesDefinitions {
            first_ref,
            list: list.into(),
            families: Vec::new(),
        })),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_credential_nothing_but_health_answers() {
    let world = world().await;
    let stranger = || world.connect(&world.authority.credentials(None));
    let mut health = HealthClient::new(stranger());
    health.check(HealthCheckRequest::default()).await.unwrap();
    for path in ["/-/healthy", "/-/ready"] {
        assert_eq!(world.http("GET", path, None).await.0, 200, "{path}");
    }
    assert_eq!(
        query(stranger()).await.unwrap_err().code(),
        Code::Unauthenticated
    );
    let refused = greeted(stranger(), "node-1").await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    for (method, path) in [
        ("GET", "/"),
        ("GET", "/metrics"),
        ("GET", "/api/v1/query?query=1"),
        ("GET", "/api/v1/no_such_page"),
        ("POST", "/api/v1/write"),
        ("POST", "/-/flush"),
        ("POST", "/-/compact"),
    ] {
        let (code, body) = world.http(method, path, None).await;
        assert_eq!(code, 401, "{path}: {body}");
        assert!(body.contains("token is needed"), "{path}: {body}");
    }
    // A certificate of another authority does not get through the handshake.
    let other = Authority::new().await;
    other.ca(&["issue", "node-1"]).await;
    let foreign = Credentials {
        ca: Some(world.authority.path("ca.pem")),
        ..other.credentials(Some("node-1"))
    };
    query(world.connect(&foreign)).await.unwrap_err();
    let viewer = world.token("viewer").await;
    let failures = "vedette_coordinator_handshake_failures_total";
    assert!(world.metric(&viewer, failures).await >= 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_opens_its_own_doors_and_the_audit_log_shows_the_others() {
    let world = world().await;
    let viewer = world.token("viewer").await;
    let operator = world.token("operator").await;
    let writer = world.token("writer").await;
    let mut as_viewer = world.authority.credentials(None);
    as_viewer.token = Some(Token::new(&viewer));
    query(world.connect(&as_viewer)).await.unwrap();
    assert_eq!(
        world
            .http("GET", "/api/v1/query?query=1", Some(&viewer))
            .await
            .0,
        200
    );
    for path in ["/-/flush", "/-/compact", "/api/v1/write"] {
        assert_eq!(
            world.http("POST", path, Some(&viewer)).await.0,
            403,
            "{path}"
        );
    }
    let spoken = greeted(world.connect(&as_viewer), "viewer").await;
    assert_eq!(spoken.unwrap_err().code(), Code::PermissionDenied);
    assert_eq!(world.http("POST", "/-/flush", Some(&operator)).await.0, 200);
    // Let in, and then told that this is no remote write.
    assert_eq!(
        world.http("POST", "/api/v1/write", Some(&writer)).await.0,
        415
    );
    assert_eq!(world.http("GET", "/metrics", Some(&writer)).await.0, 403);
    // A certificate may carry a role.
    let anna = ["issue", "anna", "--role", "viewer"];
    world.authority.ca(&anna).await;
    query(world.as_holder("anna")).await.unwrap();

    let denied = world.vedette(&viewer, &["audit"]).await;
    assert!(!denied.status.success());
    let said = String::from_utf8(denied.stderr).unwrap();
    assert!(said.contains("this needs operator or admin"), "{said}");
    let audit = within(SOON, "the audit log", || async {
        let output = world
            .vedette(&operator, &["audit", "--format", "json"])
            .await;
        assert!(output.status.success(), "{output:?}");
        let entries: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let entries = entries.as_array().unwrap().iter();
        let short = entries.map(|entry| {
            let text = |key: &str| entry[key].as_str().unwrap().to_owned();
            (text("who"), text("action"), text("outcome"))
        });
        let short: Vec<_> = short.collect();
        short
            .iter()
            .any(|(_, action, _)| action == "admin")
            .then_some(short)
    })
    .await;
    for (who, action, outcome) in [
        ("viewer", "POST /-/flush", "refused"),
        ("viewer", "POST /-/compact", "refused"),
        ("viewer", "POST /api/v1/write", "refused"),
        ("viewer", "ingest", "refused"),
        ("viewer", "admin", "refused"),
        ("writer", "GET /metrics", "refused"),
        ("operator", "store.flush", "done"),
        ("", "access.changed", "done"),
    ] {
        let entry = (who.to_owned(), action.to_owned(), outcome.to_owned());
        assert!(audit.contains(&entry), "{entry:?} is not in {audit:?}");
    }
    audit_gives_what_is_asked_for(&world, &operator).await;
}

async fn audit_gives_what_is_asked_for(world: &World, operator: &str) {
    let narrow = [
        "--who",
        "viewer",
        "--action",
        "POST /-/",
        "--outcome",
        "refused",
    ];
    for (limit, expected) in [("9", 2), ("1", 1)] {
        let more = [
            &["audit", "--format", "json", "--limit", limit][..],
            &narrow,
        ]
        .concat();
        let output = world.vedette(operator, &more).await;
        let entries: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(entries.as_array().unwrap().len(), expected, "{entries}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            said.contains("there are older entries"),
            expected == 1,
            "{said}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_speaks_for_itself_until_it_is_revoked() {
    let world = world().await;
    world.authority.ca(&["issue", "node-1"]).await;
    world.authority.ca(&["issue", "node-2"]).await;
    let viewer = world.token("viewer").await;
    let show = |file: &str| world.authority.path(file).display().to_string();
    let config = format!(
        "collect_interval = \"1s\"\nsync_interval = \"1s\"\n\
         [tls]\nca = \"{}\"\ncert = \"{}\"\nkey = \"{}\"\n",
        show("ca.pem"),
        show("node-1.pem"),
        show("node-1.key"),
    );
    let url = world.coordinator.url();
    let _agent = Agent::start("node-1", &url, &config);
    let asked = ["query", "--format", "json", "count({node=\"node-1\"})"];
    within(SOON, "the agent's series", || async {
        let output = world.vedette(&viewer, &asked).await;
        String::from_utf8_lossy(&output.stdout)
            .contains("value")
            .then_some(())
    })
    .await;

    let refused = greeted(world.as_holder("node-2"), "node-1").await;
    assert_eq!(refused.unwrap_err().code(), Code::PermissionDenied);
    let (requests, mut answers) = greeted(world.as_holder("node-2"), "node-2").await.unwrap();
    requests.send(definition(0, "node-2")).await.unwrap();
    requests.send(definition(1, "node-1")).await.unwrap();
    let ended = answers.message().await.unwrap_err();
    assert_eq!(ended.code(), Code::PermissionDenied, "{ended:?}");
    let foreign = format!("{REFUSED}{{reason=\"foreign_identity\"}}");
    assert!(world.metric(&viewer, &foreign).await >= 2.0);
    let foreign = "vedette_coordinator_protocol_errors_total{reason=\"foreign\"}";
    assert_eq!(world.metric(&viewer, foreign).await, 2.0);

    let streams = "vedette_coordinator_streams";
    assert!(world.metric(&viewer, streams).await >= 1.0);
    std::fs::write(&world.revoked, "node-9").unwrap();
    let revoke = ["revoke", "node-1", "--reason", "the disk was sold"];
    world.authority.ca(&revoke).await;
    let list = std::fs::read_to_string(&world.revoked).unwrap();
    assert!(
        list.starts_with("node-9\nnode-1 # ") && list.ends_with(" the disk was sold\n"),
        "{list}"
    );
    within(SOON, "the revoked agent's end", || async {
        (world.metric(&viewer, streams).await == 0.0).then_some(())
    })
    .await;
    let again = format!("{REFUSED}{{reason=\"revoked\"}}");
    let before = world.metric(&viewer, &again).await;
    within(SOON, "another refusal", || async {
        (world.metric(&viewer, &again).await > before).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beyond_this_machine_it_listens_in_the_open_only_when_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data").display().to_string();
    let open = ["--data-dir", &data, "--grpc-listen", "0.0.0.0:0"];
    let refused = process::run("vedette-coordinator", &open).await;
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(
        said.contains("grpc_listen") && said.contains("--insecure"),
        "{said}"
    );
    let check: Vec<&str> = open
        .iter()
        .copied()
        .chain(["--insecure", "check-config"])
        .collect();
    let good = process::run("vedette-coordinator", &check).await;
    assert!(good.status.success(), "{good:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_too_often_is_refused_for_a_while_and_others_are_not() {
    let world =
        world_with(|_| "requests_per_second_max = 5\nfailures_per_second_max = 20\n".to_owned())
            .await;
    let (often, seldom) = (world.token("viewer").await, world.token("operator").await);
    let as_viewer = || {
        let token = Some(Token::new(&often));
        let stranger = world.authority.credentials(None);
        world.connect(&Credentials { token, ..stranger })
    };
    let way = as_viewer();
    let mut refused = 0;
    for _ in 0..80 {
        if let Err(status) = query(way.clone()).await {
            assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
            refused += 1;
        }
    }
    assert!(refused > 0);
    within(SOON, "a refused page", || async {
        let (code, body) = world
            .http("GET", "/api/v1/query?query=1", Some(&often))
            .await;
        assert!(
            code == 200 || body.contains("requests_per_second_max"),
            "{body}"
        );
        (code == 429).then_some(())
    })
    .await;
    for path in ["/-/healthy", "/-/ready"] {
        assert_eq!(world.http("GET", path, Some(&often)).await.0, 200, "{path}");
    }
    let of = |reason| format!("{REFUSED}{{reason=\"{reason}\"}}");
    let counted = world.metric(&seldom, &of("too_often")).await;
    assert!(counted > f64::from(refused), "{counted}");
    // It is let in again when its time has come.
    within(SOON, "to be let in again", || async {
        query(way.clone()).await.ok()
    })
    .await;
}
