//! A coordinator that answers what a test wants.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};
use wire::proto::fleet_service_server::{FleetService, FleetServiceServer};
use wire::proto::query_response::Message;
use wire::proto::query_service_server::{QueryService, QueryServiceServer};
use wire::proto::{
    Event, GetCoverageRequest, GetCoverageResponse, GetSummaryRequest, GetSummaryResponse,
    InstantRequest, Knowledge, Label, LabelNamesRequest, LabelNamesResponse, LabelValuesRequest,
    LabelValuesResponse, ListEventsRequest, ListEventsResponse, ListNodesRequest,
    ListNodesResponse, Node, QueryResponse, QuerySummary, RangeRequest, RecordedEvent,
    ResultSeries, ResultType, SeriesPortion, SeriesRequest, SeriesResponse, Stretch,
};

type Answers<T> = tokio_stream::Iter<std::vec::IntoIter<Result<T, Status>>>;

/// A coordinator that remembers what it was asked.
#[derive(Clone, Default)]
pub(crate) struct Coordinator {
    /// Each question, as one line.
    pub(crate) asked: Arc<Mutex<Vec<String>>>,
    /// Leaves the summary out of each answer, as a broken connection would.
    pub(crate) breaks_off: bool,
    /// Nodes to tell of.
    pub(crate) nodes: Vec<String>,
}

impl Coordinator {
    fn note(&self, what: String) {
        self.asked.lock().unwrap().push(what);
    }

    fn answer(&self, kind: ResultType, points: &[(i64, f64)]) -> Response<Answers<QueryResponse>> {
        let labels = [("__name__", "up"), ("job", "vllm")].map(|(name, value)| Label {
            name: name.to_owned(),
            value: value.to_owned(),
        });
        let series = ResultSeries {
            labels: labels.into(),
            times_millis: points.iter().map(|(time, _)| *time).collect(),
            values: points.iter().map(|(_, value)| *value).collect(),
        };
        let summary = QuerySummary {
            result_type: kind.into(),
            partial: true,
            warnings: vec!["a node is behind".to_owned()],
            ..QuerySummary::default()
        };
        let portion = Message::Portion(SeriesPortion {
            series: vec![series],
        });
        let mut messages = vec![portion];
        if !self.breaks_off {
            messages.push(Message::Summary(summary));
        }
        let messages: Vec<_> = messages
            .into_iter()
            .map(|message| {
                Ok(QueryResponse {
                    message: Some(message),
                })
            })
            .collect();
        Response::new(tokio_stream::iter(messages))
    }
}

#[tonic::async_trait]
impl QueryService for Coordinator {
    type InstantStream = Answers<QueryResponse>;
    type RangeStream = Answers<QueryResponse>;
    type SeriesStream = Answers<SeriesResponse>;

    async fn instant(
        &self,
        request: Request<InstantRequest>,
    ) -> Result<Response<Self::InstantStream>, Status> {
        let timeout = request.metadata().get("grpc-timeout").is_some();
        let request = request.into_inner();
        self.note(format!("{} at {}", request.expression, request.time_millis));
        assert!(timeout, "the coordinator is told how long we wait");
        if request.expression == "up{" {
            return Err(Status::invalid_argument("1:4: the selector is not closed"));
        }
        if request.expression == "slow" {
            std::future::pending::<()>().await;
        }
        Ok(self.answer(ResultType::Vector, &[(1_700_000_000_000, 1.5)]))
    }

    async fn range(
        &self,
        request: Request<RangeRequest>,
    ) -> Result<Response<Self::RangeStream>, Status> {
        let request = request.into_inner();
        let (start, end) = (request.start_millis, request.end_millis);
        self.note(format!("{start}..{end} by {}", request.step_millis));
        Ok(self.answer(ResultType::Matrix, &[(start, 1.0), (end, 2.0)]))
    }

    async fn series(
        &self,
        _: Request<SeriesRequest>,
    ) -> Result<Response<Self::SeriesStream>, Status> {
        Err(Status::unimplemented("not asked here"))
    }

    async fn label_names(
        &self,
        _: Request<LabelNamesRequest>,
    ) -> Result<Response<LabelNamesResponse>, Status> {
        Err(Status::unimplemented("not asked here"))
    }

    async fn label_values(
        &self,
        _: Request<LabelValuesRequest>,
    ) -> Result<Response<LabelValuesResponse>, Status> {
        Err(Status::unimplemented("not asked here"))
    }
}

#[tonic::async_trait]
impl FleetService for Coordinator {
    async fn list_nodes(
        &self,
        _: Request<ListNodesRequest>,
    ) -> Result<Response<ListNodesResponse>, Status> {
        let node = |id: &String| Node {
            agent_id: id.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            connected: true,
            newest_sample_millis: jiff::Timestamp::now().as_millisecond(),
            samples_total: 1000,
            bytes_total: 1500,
            ..Node::default()
        };
        Ok(Response::new(ListNodesResponse {
            nodes: self.nodes.iter().map(node).collect(),
        }))
    }

    async fn get_summary(
        &self,
        _: Request<GetSummaryRequest>,
    ) -> Result<Response<GetSummaryResponse>, Status> {
        Ok(Response::new(GetSummaryResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            nodes: 1,
            nodes_connected: 1,
            series: 42,
            ..GetSummaryResponse::default()
        }))
    }

    async fn get_coverage(
        &self,
        request: Request<GetCoverageRequest>,
    ) -> Result<Response<GetCoverageResponse>, Status> {
        let GetCoverageRequest {
            agent_id,
            start_millis,
            end_millis,
        } = request.into_inner();
        let minutes = (end_millis - start_millis) / 60_000;
        self.note(format!("coverage of {agent_id}, {minutes} min"));
        let stretch = Stretch {
            start_millis,
            end_millis,
            knowledge: Knowledge::Known.into(),
            ..Stretch::default()
        };
        Ok(Response::new(GetCoverageResponse {
            stretches: vec![stretch],
            ..GetCoverageResponse::default()
        }))
    }

    async fn list_events(
        &self,
        request: Request<ListEventsRequest>,
    ) -> Result<Response<ListEventsResponse>, Status> {
        let ListEventsRequest {
            agent_id, limit, ..
        } = request.into_inner();
        self.note(format!("events of {agent_id}, {limit}"));
        let event = RecordedEvent {
            agent_id,
            event: Some(Event {
                kind: "gpu_xid".to_owned(),
                severity: "critical".to_owned(),
                summary: "fell off the bus".to_owned(),
                ..Event::default()
            }),
            recorded_millis: 1,
        };
        Ok(Response::new(ListEventsResponse {
            events: vec![event],
        }))
    }
}

/// Serves on a free port until the test ends.
pub(crate) async fn serve(coordinator: Coordinator) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter
        .set_service_status("", tonic_health::ServingStatus::Serving)
        .await;
    let server = tonic::transport::Server::builder()
        .add_service(health)
        .add_service(QueryServiceServer::new(coordinator.clone()))
        .add_service(FleetServiceServer::new(coordinator))
        .serve_with_incoming(TcpListenerStream::new(listener));
    tokio::spawn(server);
    address
}
