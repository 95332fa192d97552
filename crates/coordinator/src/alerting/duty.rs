//! What those on duty do.

use std::time::Duration;

use alert::centre::Command;
use alert::{Condition, Message, Target, Verdict};
use daemon::clock::SharedClock;
use spec::Channel;
use tonic::{Request, Response, Status};
use wire::proto;
use wire::proto::duty_service_server::DutyService;

use super::book::Document;
use super::office::Office;
use crate::access::{Access, Caller, Peer};
use crate::status::ToStatus as _;

/// How long to wait for what comes of a trial, and how often to look.
const OUTCOME_WITHIN: Duration = Duration::from_secs(15);
const OUTCOME_EVERY: Duration = Duration::from_millis(100);
/// Longest note, comment or name that is taken.
const TEXT_MAX: usize = 4096;

/// The gRPC face of the desk for those on duty.
#[derive(Clone)]
pub struct DutyApi {
    /// Who does it.
    pub office: Office,
    /// Where it is noted who wanted it.
    pub access: Access,
    /// What time it is.
    pub clock: SharedClock,
}

impl std::fmt::Debug for DutyApi {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DutyApi").finish_non_exhaustive()
    }
}

/// Who asks, from where, and what for.
struct Asked<T> {
    caller: Caller,
    peer: Peer,
    wanted: T,
}

fn asked<T>(request: Request<T>) -> Result<Asked<T>, Status> {
    let known = |what| Status::internal(format!("the call has no {what}"));
    let caller = request.extensions().get::<Caller>().cloned();
    let peer = request.extensions().get::<Peer>().cloned();
    Ok(Asked {
        caller: caller.ok_or_else(|| known("caller"))?,
        peer: peer.ok_or_else(|| known("peer"))?,
        wanted: request.into_inner(),
    })
}

fn short(text: String, what: &str) -> Result<String, Status> {
    if text.len() > TEXT_MAX {
        let problem = format!("the {what} is longer than {TEXT_MAX} bytes");
        return Err(Status::invalid_argument(problem));
    }
    Ok(text)
}

impl DutyApi {
    /// Does what a caller wants, and notes it.
    async fn act<T>(
        &self,
        asked: &Asked<T>,
        action: &str,
        detail: String,
        command: Command,
    ) -> Result<String, Status> {
        let name = asked.caller.name();
        let by = if name.is_empty() { "someone" } else { name };
        let done = self.office.desk.act(by, command).await;
        let done = done.map_err(|error| error.to_status())?;
        self.access
            .did(&asked.caller, asked.peer.address, action, detail);
        Ok(done)
    }
}

#[tonic::async_trait]
impl DutyService for DutyApi {
    async fn acknowledge_incident(
        &self,
        request: Request<proto::AcknowledgeIncidentRequest>,
    ) -> Result<Response<proto::AcknowledgeIncidentResponse>, Status> {
        let asked = asked(request)?;
        let wanted = &asked.wanted;
        let command = Command::Acknowledge {
            incident: wanted.id.clone(),
            for_millis: Some(wanted.for_millis).filter(|for_| *for_ != 0),
            note: short(wanted.note.clone(), "note")?,
        };
        let detail = wanted.id.clone();
        self.act(&asked, "incident.acknowledge", detail, command)
            .await?;
        Ok(Response::new(proto::AcknowledgeIncidentResponse {}))
    }

    async fn assign_incident(
        &self,
        request: Request<proto::AssignIncidentRequest>,
    ) -> Result<Response<proto::AssignIncidentResponse>, Status> {
        let asked = asked(request)?;
        let command = Command::Assign {
            incident: asked.wanted.id.clone(),
            to: short(asked.wanted.to.clone(), "name")?,
        };
        let detail = format!("{} to {}", asked.wanted.id, asked.wanted.to);
        self.act(&asked, "incident.assign", detail, command).await?;
        Ok(Response::new(proto::AssignIncidentResponse {}))
    }

    async fn resolve_incident(
        &self,
        request: Request<proto::ResolveIncidentRequest>,
    ) -> Result<Response<proto::ResolveIncidentResponse>, Status> {
        let asked = asked(request)?;
        let command = Command::Resolve {
            incident: asked.wanted.id.clone(),
            note: short(asked.wanted.note.clone(), "note")?,
        };
        let detail = asked.wanted.id.clone();
        self.act(&asked, "incident.resolve", detail, command)
            .await?;
        Ok(Response::new(proto::ResolveIncidentResponse {}))
    }

    async fn reopen_incident(
        &self,
        request: Request<proto::ReopenIncidentRequest>,
    ) -> Result<Response<proto::ReopenIncidentResponse>, Status> {
        let asked = asked(request)?;
        let incident = asked.wanted.id.clone();
        let command = Command::Reopen {
            incident: incident.clone(),
        };
        self.act(&asked, "incident.reopen", incident, command)
            .await?;
        Ok(Response::new(proto::ReopenIncidentResponse {}))
    }

    async fn escalate_incident(
        &self,
        request: Request<proto::EscalateIncidentRequest>,
    ) -> Result<Response<proto::EscalateIncidentResponse>, Status> {
        let asked = asked(request)?;
        let incident = asked.wanted.id.clone();
        let command = Command::Escalate {
            incident: incident.clone(),
        };
        self.act(&asked, "incident.escalate", incident, command)
            .await?;
        Ok(Response::new(proto::EscalateIncidentResponse {}))
    }

    async fn judge_incident(
        &self,
        request: Request<proto::JudgeIncidentRequest>,
    ) -> Result<Response<proto::JudgeIncidentResponse>, Status> {
        let asked = asked(request)?;
        let wanted = &asked.wanted;
        let verdict = Verdict::ALL
            .into_iter()
            .find(|verdict| verdict.as_str() == wanted.verdict)
            .ok_or_else(|| {
                Status::invalid_argument("a verdict is true, false, expected or duplicate")
            })?;
        let command = Command::Verdict {
            incident: wanted.id.clone(),
            verdict,
            note: short(wanted.note.clone(), "note")?,
        };
        let detail = format!("{}: {}", wanted.id, wanted.verdict);
        self.act(&asked, "incident.judge", detail, command).await?;
        Ok(Response::new(proto::JudgeIncidentResponse {}))
    }

    async fn merge_incidents(
        &self,
        request: Request<proto::MergeIncidentsRequest>,
    ) -> Result<Response<proto::MergeIncidentsResponse>, Status> {
        let asked = asked(request)?;
        let command = Command::Merge {
            from: asked.wanted.from.clone(),
            into: asked.wanted.into.clone(),
        };
        let detail = format!("{} into {}", asked.wanted.from, asked.wanted.into);
        self.act(&asked, "incident.merge", detail, command).await?;
        Ok(Response::new(proto::MergeIncidentsResponse {}))
    }

    async fn split_incident(
        &self,
        request: Request<proto::SplitIncidentRequest>,
    ) -> Result<Response<proto::SplitIncidentResponse>, Status> {
        let asked = asked(request)?;
        let command = Command::Split {
            incident: asked.wanted.id.clone(),
            fingerprints: asked.wanted.fingerprints.clone(),
        };
        let detail = asked.wanted.id.clone();
        let id = self.act(&asked, "incident.split", detail, command).await?;
        Ok(Response::new(proto::SplitIncidentResponse { id }))
    }

    async fn create_silence(
        &self,
        request: Request<proto::CreateSilenceRequest>,
    ) -> Result<Response<proto::CreateSilenceResponse>, Status> {
        let asked = asked(request)?;
        let wanted = &asked.wanted;
        let conditions = wanted.conditions.iter().map(|text| Condition::parse(text));
        let conditions = conditions.collect::<Result<Vec<_>, _>>();
        let conditions = conditions.map_err(|it| Status::invalid_argument(it.to_string()))?;
        let now = self.clock.wall_millis();
        let command = Command::Silence {
            conditions,
            starts_millis: match wanted.starts_millis {
                0 => now,
                starts => starts,
            },
            ends_millis: wanted.ends_millis,
            maintenance: wanted.maintenance,
            comment: short(wanted.comment.clone(), "comment")?,
        };
        let detail = wanted.conditions.join(" ");
        let id = self.act(&asked, "silence.create", detail, command).await?;
        Ok(Response::new(proto::CreateSilenceResponse { id }))
    }

    async fn expire_silence(
        &self,
        request: Request<proto::ExpireSilenceRequest>,
    ) -> Result<Response<proto::ExpireSilenceResponse>, Status> {
        let asked = asked(request)?;
        let silence = asked.wanted.id.clone();
        let command = Command::Unsilence {
            silence: silence.clone(),
        };
        self.act(&asked, "silence.expire", silence, command).await?;
        Ok(Response::new(proto::ExpireSilenceResponse {}))
    }

    async fn test_notification(
        &self,
        request: Request<proto::TestNotificationRequest>,
    ) -> Result<Response<proto::TestNotificationResponse>, Status> {
        let asked = asked(request)?;
        let wanted = &asked.wanted;
        let channel = Channel::from_word(&wanted.channel).ok_or_else(|| {
            Status::invalid_argument(format!("{:?} is no channel", wanted.channel))
        })?;
        let target = Target {
            channel,
            address: wanted.address.clone(),
        };
        let (senders, manner) = self.office.providers.now(channel);
        senders.can(&target).map_err(Status::failed_precondition)?;
        let detail = format!("{} {}", wanted.channel, wanted.address);
        if wanted.preview {
            let message = Message::test(self.clock.wall_millis());
            return Ok(Response::new(proto::TestNotificationResponse {
                outcome: senders.preview(&message, channel, &manner),
                ..proto::TestNotificationResponse::default()
            }));
        }
        let command = Command::Test { target };
        let id = self
            .act(&asked, "notification.test", detail, command)
            .await?;
        let (accepted, outcome) = self.outcome(&id).await?;
        Ok(Response::new(proto::TestNotificationResponse {
            id,
            outcome,
            accepted,
        }))
    }

    async fn apply_specification(
        &self,
        request: Request<proto::ApplySpecificationRequest>,
    ) -> Result<Response<proto::ApplySpecificationResponse>, Status> {
        let asked = asked(request)?;
        let wanted = &asked.wanted;
        let documents = wanted.documents.iter().map(|it| Document {
            name: it.name.clone(),
            text: it.text.clone(),
        });
        let documents: Vec<Document> = documents.collect();
        let names: Vec<&str> = documents.iter().map(|it| it.name.as_str()).collect();
        let detail = names.join(" ");
        let by = asked.caller.name().to_owned();
        let applied = self
            .office
            .apply(documents, &by, wanted.dry_run, wanted.allow_missing)
            .await
            .map_err(|error| error.to_status())?;
        if !wanted.dry_run {
            let address = asked.peer.address;
            self.access
                .did(&asked.caller, address, "specification.apply", detail);
        }
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Ok(Response::new(proto::ApplySpecificationResponse {
            in_force: count(applied.in_force),
            not_built: applied.not_built,
            rules: count(applied.rules),
            missing: applied.missing,
        }))
    }
}

impl DutyApi {
    /// Waits for what comes of a notification, but not for ever.
    async fn outcome(&self, id: &str) -> Result<(bool, String), Status> {
        let end = tokio::time::Instant::now() + OUTCOME_WITHIN;
        loop {
            let (desk, prefix) = (self.office.desk.clone(), id.to_owned());
            let history = tokio::task::spawn_blocking(move || desk.finished(&prefix));
            let history = history
                .await
                .map_err(|_source| Status::internal("the listing panicked"))?
                .map_err(|error| error.to_status())?;
            match history.map(|it| it.status) {
                Some(alert::Status::Accepted { provider_id, .. }) => {
                    return Ok((true, provider_id.unwrap_or_else(|| "accepted".to_owned())));
                }
                Some(alert::Status::Failed { reason, .. }) => return Ok((false, reason)),
                Some(alert::Status::Queued) | None => {}
            }
            if tokio::time::Instant::now() >= end {
                return Ok((
                    false,
                    "the provider has not answered yet; it is tried on".to_owned(),
                ));
            }
            tokio::time::sleep(OUTCOME_EVERY).await;
        }
    }
}
