//! What anybody who may ask questions may see of alerts.

use std::pin::Pin;

use alert::Centre;
use tokio::sync::broadcast::error::RecvError;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use wire::proto;
use wire::proto::alert_service_server::AlertService;

use super::desk::DeskError;
use super::office::{Office, OfficeError};
use super::{backtest, show};
use crate::status::ToStatus;

/// Alerts of a listing that says no number, and the most.
const ALERTS: (usize, usize) = (1000, 10_000);
/// Incidents of a listing that says no number, and the most.
const INCIDENTS: (usize, usize) = (100, 1000);
/// Notifications shown of one incident.
const NOTIFICATIONS_MAX: usize = 1000;
/// Alerts shown of one incident.
const ALERTS_OF_INCIDENT_MAX: usize = 5000;
/// Changes that may wait for a watcher.
const WATCH_MAX: usize = 64;

impl ToStatus for DeskError {
    fn to_status(&self) -> Status {
        use alert::centre::CommandError;
        let text = daemon::chain(self);
        match self {
            Self::Command(CommandError::Unknown { .. }) => Status::not_found(text),
            Self::Command(CommandError::Standing { .. } | CommandError::Ladder(_)) => {
                Status::failed_precondition(text)
            }
            Self::Command(CommandError::TooMany) => Status::resource_exhausted(text),
            Self::Command(CommandError::Condition(_) | CommandError::Time(_)) | Self::Routes(_) => {
                Status::invalid_argument(text)
            }
            Self::Store(error) => error.to_status(),
            Self::Stopped => Status::unavailable(text),
        }
    }
}

impl ToStatus for OfficeError {
    fn to_status(&self) -> Status {
        let text = daemon::chain(self);
        match self {
            Self::Book(_) | Self::Senders(_) => Status::invalid_argument(text),
            Self::Desk(error) => error.to_status(),
            Self::Missing(_) => Status::failed_precondition(text),
            Self::Panicked => Status::internal(text),
        }
    }
}

/// The gRPC face of what is known of alerts.
#[derive(Clone, Debug)]
pub struct AlertApi {
    /// Who knows.
    pub office: Office,
}

fn limit(asked: u32, (usual, most): (usize, usize)) -> usize {
    match usize::try_from(asked) {
        Ok(0) => usual,
        asked => asked.unwrap_or(most).min(most),
    }
}

impl AlertApi {
    async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Centre) -> T + Send + 'static,
    ) -> Result<T, Status> {
        self.office
            .desk
            .look(look)
            .await
            .map_err(|error| error.to_status())
    }
}

#[tonic::async_trait]
impl AlertService for AlertApi {
    async fn list_rules(
        &self,
        _: Request<proto::ListRulesRequest>,
    ) -> Result<Response<proto::ListRulesResponse>, Status> {
        let slots = self.office.rules.slots();
        let agents = self.office.outposts.edge.runners();
        // A group is locked while it is evaluated.
        let list = move || {
            let groups = slots.iter().map(|slot| show::group(slot));
            groups
                .map(|group| show::with_agents(group, &agents))
                .collect()
        };
        let groups = tokio::task::spawn_blocking(list)
            .await
            .map_err(|_source| Status::internal("the listing panicked"))?;
        Ok(Response::new(proto::ListRulesResponse { groups }))
    }

    async fn backtest(
        &self,
        request: Request<proto::BacktestRequest>,
    ) -> Result<Response<proto::BacktestResponse>, Status> {
        let answer = backtest::run(&self.office, request.into_inner()).await?;
        Ok(Response::new(answer))
    }

    async fn get_specification(
        &self,
        _: Request<proto::GetSpecificationRequest>,
    ) -> Result<Response<proto::GetSpecificationResponse>, Status> {
        let applied = self.office.applied().await;
        let documents = applied.documents.into_iter();
        Ok(Response::new(proto::GetSpecificationResponse {
            documents: documents
                .map(|it| proto::SpecificationDocument {
                    name: it.name,
                    text: it.text,
                })
                .collect(),
            applied_millis: applied.at_millis,
            applied_by: applied.by,
        }))
    }

    async fn list_alerts(
        &self,
        request: Request<proto::ListAlertsRequest>,
    ) -> Result<Response<proto::ListAlertsResponse>, Status> {
        let request = request.into_inner();
        let limit = limit(request.limit, ALERTS);
        let listed = self.look(move |centre| {
            let wanted = |alert: &&alert::Alert| {
                request.incident.is_empty()
                    || alert.incident.as_deref() == Some(request.incident.as_str())
            };
            let total = centre.alerts().filter(wanted).count() as u64;
            let alerts = centre.alerts().filter(wanted).take(limit);
            proto::ListAlertsResponse {
                alerts: alerts.map(show::alert).collect(),
                total,
            }
        });
        Ok(Response::new(listed.await?))
    }

    async fn list_incidents(
        &self,
        request: Request<proto::ListIncidentsRequest>,
    ) -> Result<Response<proto::ListIncidentsResponse>, Status> {
        let request = request.into_inner();
        let limit = limit(request.limit, INCIDENTS);
        let listed = self.look(move |centre| {
            let wanted = centre.incidents().filter(|it| {
                (request.all || it.is_open()) && it.opened_millis >= request.since_millis
            });
            let mut wanted: Vec<_> = wanted.collect();
            wanted.sort_by_key(|it| std::cmp::Reverse((it.opened_millis, it.id.len(), &it.id)));
            let incidents = wanted.into_iter().take(limit);
            proto::ListIncidentsResponse {
                incidents: incidents.map(|it| show::incident(centre, it)).collect(),
            }
        });
        Ok(Response::new(listed.await?))
    }

    async fn get_incident(
        &self,
        request: Request<proto::GetIncidentRequest>,
    ) -> Result<Response<proto::GetIncidentResponse>, Status> {
        let id = request.into_inner().id;
        let (asked, desk) = (id.clone(), self.office.desk.clone());
        let found = self.look(move |centre| {
            let incident = centre.incident(&asked)?;
            let queued = centre.queued();
            let queued = queued.filter(|it| it.message.incident == asked);
            let mut alerts = show::alerts_of(centre, incident);
            alerts.truncate(ALERTS_OF_INCIDENT_MAX);
            Some(proto::GetIncidentResponse {
                incident: Some(show::incident(centre, incident)),
                alerts,
                timeline: show::timeline(incident),
                notifications: queued.map(show::notification).collect(),
            })
        });
        let mut found = found
            .await?
            .ok_or_else(|| Status::not_found(format!("there is no incident {id:?}")))?;
        let history = tokio::task::spawn_blocking(move || desk.history(&id, NOTIFICATIONS_MAX));
        let history = history
            .await
            .map_err(|_source| Status::internal("the listing panicked"))?
            .map_err(|error| error.to_status())?;
        let history = history.iter().map(show::notification);
        found.notifications.extend(history);
        found
            .notifications
            .sort_by_key(|it| (it.queued_millis, it.id.len(), it.id.clone()));
        Ok(Response::new(found))
    }

    type WatchIncidentsStream =
        Pin<Box<dyn Stream<Item = Result<proto::WatchIncidentsResponse, Status>> + Send>>;

    async fn watch_incidents(
        &self,
        _: Request<proto::WatchIncidentsRequest>,
    ) -> Result<Response<Self::WatchIncidentsStream>, Status> {
        // What changes while those that are open are read comes twice, not never.
        let changed = self.office.desk.watch();
        let (sender, receiver) = tokio::sync::mpsc::channel(WATCH_MAX);
        let api = self.clone();
        tokio::spawn(async move {
            let failed = api.watch(changed, &sender).await.err();
            if let Some(status) = failed {
                // The watcher may be gone, or behind; then it sees the end of the stream alone.
                drop(sender.try_send(Err(status)));
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn list_silences(
        &self,
        _: Request<proto::ListSilencesRequest>,
    ) -> Result<Response<proto::ListSilencesResponse>, Status> {
        let silences = self.look(|centre| centre.silences().map(show::silence).collect());
        Ok(Response::new(proto::ListSilencesResponse {
            silences: silences.await?,
        }))
    }

    async fn list_records(
        &self,
        request: Request<proto::ListRecordsRequest>,
    ) -> Result<Response<proto::ListRecordsResponse>, Status> {
        let since = request.into_inner().since_millis;
        let records = self.look(move |centre| {
            let records = centre.records(since).into_iter();
            records
                .map(|(rule, record)| show::record(rule, &record))
                .collect()
        });
        Ok(Response::new(proto::ListRecordsResponse {
            records: records.await?,
        }))
    }
}

type Watcher = tokio::sync::mpsc::Sender<Result<proto::WatchIncidentsResponse, Status>>;

impl AlertApi {
    async fn watch(
        &self,
        mut changed: tokio::sync::broadcast::Receiver<String>,
        watcher: &Watcher,
    ) -> Result<(), Status> {
        let open = self.look(|centre| {
            let open = centre.incidents().filter(|it| it.is_open());
            open.map(|it| it.id.clone()).collect::<Vec<_>>()
        });
        let mut wanted = open.await?;
        loop {
            for id in wanted {
                let look =
                    move |centre: &Centre| Some(show::incident(centre, centre.incident(&id)?));
                let Some(incident) = self.look(look).await? else {
                    continue;
                };
                let said = proto::WatchIncidentsResponse {
                    incident: Some(incident),
                };
                let sent = tokio::select! {
                    sent = watcher.send(Ok(said)) => sent,
                    () = self.office.desk.draining() => {
                        return Err(Status::unavailable("shutting down"));
                    }
                };
                if sent.is_err() {
                    return Ok(());
                }
            }
            wanted = tokio::select! {
                changed = changed.recv() => match changed {
                    Ok(id) => vec![id],
                    Err(RecvError::Closed) => return Err(Status::unavailable("shutting down")),
                    Err(RecvError::Lagged(missed)) => {
                        return Err(Status::resource_exhausted(format!(
                            "{missed} changes were missed; watch again"
                        )));
                    }
                },
                () = watcher.closed() => return Ok(()),
                () = self.office.desk.draining() => {
                    return Err(Status::unavailable("shutting down"));
                }
            };
        }
    }
}
