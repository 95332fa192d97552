//! The fleet over gRPC.

use std::sync::Arc;

use tonic::{Request, Response, Status};
use wire::ingest::AgentId;
use wire::proto;
use wire::proto::fleet_service_server::FleetService;

use super::Fleet;
use crate::coverage::{self, Knowledge, MINUTES_MAX, Stretch};
use crate::events::LISTING_MAX;
use crate::losses::Lost;
use crate::status::ToStatus;

/// The gRPC face of [`Fleet`].
#[derive(Clone, Debug)]
pub struct FleetApi(pub Fleet);

#[tonic::async_trait]
impl FleetService for FleetApi {
    async fn list_nodes(
        &self,
        _: Request<proto::ListNodesRequest>,
    ) -> Result<Response<proto::ListNodesResponse>, Status> {
        Ok(Response::new(proto::ListNodesResponse {
            nodes: self.0.list(),
        }))
    }

    async fn get_summary(
        &self,
        _: Request<proto::GetSummaryRequest>,
    ) -> Result<Response<proto::GetSummaryResponse>, Status> {
        Ok(Response::new(self.0.summary()))
    }

    async fn list_events(
        &self,
        request: Request<proto::ListEventsRequest>,
    ) -> Result<Response<proto::ListEventsResponse>, Status> {
        let request = request.into_inner();
        let limit = match request.limit {
            0 => 100,
            limit => usize::try_from(limit).unwrap_or(LISTING_MAX),
        };
        let events = self.0.events.clone();
        let listed = tokio::task::spawn_blocking(move || {
            let agent = Some(request.agent_id.as_str()).filter(|agent| !agent.is_empty());
            events.list(agent, request.since_millis, limit)
        });
        let listed = listed
            .await
            .map_err(|_source| Status::internal("the listing panicked"))?;
        let events = listed.map_err(|error| error.to_status())?;
        let events = events
            .into_iter()
            .map(|event| proto::RecordedEvent {
                agent_id: event.agent_id,
                recorded_millis: event.recorded_millis,
                event: Some(proto::Event {
                    id: event.id,
                    at_millis: event.at_millis,
                    kind: event.kind,
                    severity: event.severity,
                    summary: event.summary,
                    labels: event.labels,
                    alert: None,
                }),
            })
            .collect();
        Ok(Response::new(proto::ListEventsResponse { events }))
    }

    async fn get_coverage(
        &self,
        request: Request<proto::GetCoverageRequest>,
    ) -> Result<Response<proto::GetCoverageResponse>, Status> {
        let request = request.into_inner();
        let agent = AgentId::try_from(request.agent_id).map_err(|error| error.to_status())?;
        if !self.0.lock().nodes.contains_key(&agent) {
            return Err(Status::not_found(format!("no agent {agent} was ever seen")));
        }
        let (start, end) = (request.start_millis, request.end_millis);
        if start > end || end.saturating_sub(start) >= MINUTES_MAX * 60_000 {
            return Err(Status::invalid_argument(
                "the range must not run backwards and have 31 days at most",
            ));
        }
        let store = Arc::clone(&self.0.store);
        let settled = store.settled(agent.as_str()).sequences;
        let work = move || coverage::of(&store, &agent, start, end);
        let coverage = tokio::task::spawn_blocking(work)
            .await
            .map_err(|_source| Status::internal("the reading panicked"))?;
        let coverage = coverage.map_err(|error| error.to_status())?;
        let missing = settled.missing(1, settled.last());
        Ok(Response::new(proto::GetCoverageResponse {
            stretches: coverage.stretches.into_iter().map(stretch).collect(),
            missing: missing
                .map(|(first, last)| proto::SequenceRange { first, last })
                .collect(),
            losses: coverage.losses.into_iter().map(declared).collect(),
        }))
    }
}

fn stretch(stretch: Stretch) -> proto::Stretch {
    let (knowledge, reason) = match stretch.knowledge {
        Knowledge::Known => (proto::Knowledge::Known, String::new()),
        Knowledge::Unknown => (proto::Knowledge::Unknown, String::new()),
        Knowledge::Thinned => (proto::Knowledge::Thinned, String::new()),
        Knowledge::Lost(reason) => (proto::Knowledge::Lost, reason),
    };
    proto::Stretch {
        start_millis: stretch.start_millis,
        end_millis: stretch.end_millis,
        knowledge: knowledge.into(),
        reason,
    }
}

fn declared(lost: Lost) -> proto::DeclaredLoss {
    let (first_millis, last_millis) = lost.span.unwrap_or_default();
    proto::DeclaredLoss {
        epoch: lost.epoch,
        sequences: Some(proto::SequenceRange {
            first: lost.first,
            last: lost.last,
        }),
        reason: lost.reason,
        first_millis,
        last_millis,
        declared_millis: lost.declared_millis,
    }
}
