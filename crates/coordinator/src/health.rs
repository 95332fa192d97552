//! The standard health service of gRPC: Check, List and Watch.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use wire::health::health_check_response::ServingStatus;
use wire::health::health_server::Health as HealthService;
use wire::health::{
    HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse,
};

type Statuses = BTreeMap<String, ServingStatus>;

/// What is known of each service; `""` is the whole server.
#[derive(Clone, Debug)]
pub struct Health(Arc<watch::Sender<Statuses>>);

fn response(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse {
        status: status.into(),
    }
}

impl Health {
    /// All of these services, and the server, are serving.
    #[must_use]
    pub fn serving(services: &[&str]) -> Self {
        let all = std::iter::once(&"").chain(services);
        let statuses = all
            .map(|name| ((*name).to_owned(), ServingStatus::Serving))
            .collect();
        Self(Arc::new(watch::Sender::new(statuses)))
    }

    /// Nothing is serving any more. Whoever watches is told.
    pub fn stop(&self) {
        self.0.send_modify(|statuses| {
            for status in statuses.values_mut() {
                *status = ServingStatus::NotServing;
            }
        });
    }

    fn status(&self, service: &str) -> Option<ServingStatus> {
        self.0.borrow().get(service).copied()
    }
}

#[tonic::async_trait]
impl HealthService for Health {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        match self.status(&request.get_ref().service) {
            Some(status) => Ok(Response::new(response(status))),
            None => Err(Status::not_found("no service of this name")),
        }
    }

    async fn list(
        &self,
        _: Request<HealthListRequest>,
    ) -> Result<Response<HealthListResponse>, Status> {
        let statuses = self.0.borrow();
        let statuses = statuses
            .iter()
            .map(|(name, status)| (name.clone(), response(*status)));
        Ok(Response::new(HealthListResponse {
            statuses: statuses.collect(),
        }))
    }

    type WatchStream = ReceiverStream<Result<HealthCheckResponse, Status>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let service = request.into_inner().service;
        let mut statuses = self.0.subscribe();
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(async move {
            let mut told = None;
            loop {
                let status = statuses.borrow_and_update().get(&service).copied();
                let status = status.unwrap_or(ServingStatus::ServiceUnknown);
                if told != Some(status) && sender.send(Ok(response(status))).await.is_err() {
                    return;
                }
                told = Some(status);
                // Once nothing is served any more the stream ends, or else it would hold up the end
                // of the server.
                if status == ServingStatus::NotServing {
                    return;
                }
                tokio::select! {
                    () = sender.closed() => return,
                    changed = statuses.changed() => if changed.is_err() { return },
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio_stream::StreamExt as _;

    fn ask(service: &str) -> Request<HealthCheckRequest> {
        Request::new(HealthCheckRequest {
            service: service.to_owned(),
        })
    }

    #[tokio::test]
    async fn check_list_and_watch_tell_the_same() {
        let health = Health::serving(&["a.B"]);
        let status = |response: HealthCheckResponse| response.status();
        let checked = health.check(ask("a.B")).await.unwrap().into_inner();
        assert_eq!(status(checked), ServingStatus::Serving);
        assert!(health.check(ask("none")).await.is_err());
        let listed = health
            .list(Request::new(HealthListRequest {}))
            .await
            .unwrap();
        assert_eq!(
            listed.into_inner().statuses.into_keys().collect::<Vec<_>>(),
            ["", "a.B"]
        );
        let mut watched = health.watch(ask("a.B")).await.unwrap().into_inner();
        let mut unknown = health.watch(ask("none")).await.unwrap().into_inner();
        let first = unknown.next().await.unwrap().unwrap();
        assert_eq!(status(first), ServingStatus::ServiceUnknown);
        assert_eq!(
            status(watched.next().await.unwrap().unwrap()),
            ServingStatus::Serving
        );
        health.stop();
        assert_eq!(
            status(watched.next().await.unwrap().unwrap()),
            ServingStatus::NotServing
        );
        assert!(watched.next().await.is_none());
    }
}
