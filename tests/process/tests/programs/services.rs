//! What the coordinator's gRPC port serves, and the commands that ask it.

use process_tests::agent::Agent;
use process_tests::ask::{channel, node, vedette};
use process_tests::coordinator::Coordinator;
use process_tests::{SOON, within};
use serde_json::Value;
use tokio_stream::StreamExt as _;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

const SERVICES: [&str; 3] = [
    "vedette.v1.FleetService",
    "vedette.v1.IngestService",
    "vedette.v1.QueryService",
];

fn about(service: &str) -> HealthCheckRequest {
    HealthCheckRequest {
        service: service.to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_service_says_that_it_serves_until_the_drain() {
    let mut coordinator = Coordinator::start("").await;
    let mut client = HealthClient::new(channel(&coordinator));
    let mut watches = Vec::new();
    for service in SERVICES.into_iter().chain([""]) {
        let answer = client.check(about(service)).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{service}");
        let mut watch = client.watch(about(service)).await.unwrap().into_inner();
        let first = watch.message().await.unwrap().unwrap();
        assert_eq!(first.status(), ServingStatus::Serving, "{service}");
        watches.push((service, watch));
    }
    let unknown = client
        .check(about("vedette.v1.NoService"))
        .await
        .unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    // Whoever watches does not hold up the end, and hears of it.
    assert_eq!(coordinator.terminate().await, Some(0));
    for (service, mut watch) in watches {
        let mut last = None;
        while let Ok(Some(change)) = watch.message().await {
            last = Some(change.status());
        }
        assert_eq!(last, Some(ServingStatus::NotServing), "{service:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reflection_tells_the_whole_contract() {
    let coordinator = Coordinator::start("").await;
    let mut client = ServerReflectionClient::new(channel(&coordinator));
    let mut questions = vec![MessageRequest::ListServices(String::new())];
    questions.extend(SERVICES.map(|name| MessageRequest::FileContainingSymbol(name.to_owned())));
    let requests = questions
        .into_iter()
        .map(|question| ServerReflectionRequest {
            host: String::new(),
            message_request: Some(question),
        });
    let requests: Vec<_> = requests.collect();
    let answers = client
        .server_reflection_info(tokio_stream::iter(requests))
        .await
        .unwrap();
    let answers: Vec<_> = answers.into_inner().collect().await;
    let mut files = 0;
    for answer in answers {
        match answer.unwrap().message_response.unwrap() {
            MessageResponse::ListServicesResponse(list) => {
                let names: Vec<String> = list.service.into_iter().map(|one| one.name).collect();
                for name in SERVICES.into_iter().chain(["grpc.health.v1.Health"]) {
                    assert!(
                        names.iter().any(|known| known == name),
                        "{name} not in {names:?}"
                    );
                }
            }
            MessageResponse::FileDescriptorResponse(file) => {
                assert!(!file.file_descriptor_proto.is_empty());
                files += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(files, SERVICES.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_shows_nodes_events_and_a_healthy_fleet() {
    let coordinator = Coordinator::start("").await;
    let config = "collect_interval = \"1s\"\nsync_interval = \"1s\"\n[labels]\nrack = \"r7\"\n";
    let agent = Agent::start("shown", &coordinator.url(), config);
    let channel = channel(&coordinator);
    within(SOON, "batches", || async {
        let node = node(&channel, "shown").await.unwrap()?;
        (node.batches_total >= 2).then_some(())
    })
    .await;
    let nodes = vedette(&coordinator, &["nodes", "--format", "json"]).await;
    let nodes: Value = serde_json::from_str(&nodes).unwrap();
    assert_eq!(nodes.as_array().unwrap().len(), 1, "{nodes}");
    assert_eq!(
        (&nodes[0]["id"], &nodes[0]["labels"]["rack"]),
        (&"shown".into(), &"r7".into())
    );
    let events = vedette(
        &coordinator,
        &["events", "--agent", "shown", "--format", "json"],
    )
    .await;
    let events: Value = serde_json::from_str(&events).unwrap();
    assert_eq!(events[0]["kind"], "agent_started", "{events}");
    let nobody = vedette(
        &coordinator,
        &["events", "--agent", "nobody", "--format", "json"],
    )
    .await;
    assert_eq!(
        serde_json::from_str::<Value>(&nobody).unwrap(),
        Value::Array(Vec::new())
    );
    let summary = vedette(&coordinator, &["summary"]).await;
    assert!(summary.contains("1 of 1 connected"), "{summary}");
    let data_dir = coordinator.data_dir();
    let words = [
        "doctor",
        "--format",
        "json",
        "--data-dir",
        data_dir.to_str().unwrap(),
    ];
    let findings: Value = serde_json::from_str(&vedette(&coordinator, &words).await).unwrap();
    let findings = findings.as_array().unwrap();
    assert!(findings.len() > 3, "{findings:?}");
    assert!(
        findings.iter().all(|finding| finding["level"] != "fail"),
        "{findings:?}"
    );
    assert_eq!(agent.account().complaints, Vec::<String>::new());
}
