//! What those on duty do: `ack`, `resolve`, `verdict`, `incident`, `silence`, `notify`.

use std::time::Duration;

use anyhow::bail;
use wire::proto;

use crate::alerts;
use crate::args::alerting::{
    AckArgs, IncidentCommand, NoteArgs, NotifyCommand, SilenceCommand, VerdictArgs,
};
use crate::client::Coordinator;
use crate::output;
use crate::times::now_millis;

fn done(text: &str) -> anyhow::Result<()> {
    Ok(output::print(&format!("{text}\n"))?)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// `ack`
pub(crate) async fn acknowledge(at: &Coordinator, args: AckArgs) -> anyhow::Result<()> {
    let mut client = at.duty();
    let id = args.about.incident;
    let request = at.request(proto::AcknowledgeIncidentRequest {
        id: id.clone(),
        for_millis: args.hold.map_or(0, millis),
        note: args.about.note,
    });
    at.ask(client.acknowledge_incident(request)).await?;
    done(&format!("{id} is acknowledged"))
}

/// `resolve`
pub(crate) async fn resolve(at: &Coordinator, args: NoteArgs) -> anyhow::Result<()> {
    let mut client = at.duty();
    let id = args.incident;
    let request = at.request(proto::ResolveIncidentRequest {
        id: id.clone(),
        note: args.note,
    });
    at.ask(client.resolve_incident(request)).await?;
    done(&format!("{id} is resolved"))
}

/// `verdict`
pub(crate) async fn judge(at: &Coordinator, args: VerdictArgs) -> anyhow::Result<()> {
    let mut client = at.duty();
    let id = args.about.incident;
    let verdict = args.verdict.as_str();
    let request = at.request(proto::JudgeIncidentRequest {
        id: id.clone(),
        verdict: verdict.to_owned(),
        note: args.about.note,
    });
    at.ask(client.judge_incident(request)).await?;
    done(&format!("{id}: {verdict}"))
}

/// `incident`
pub(crate) async fn incident(at: &Coordinator, command: IncidentCommand) -> anyhow::Result<()> {
    let mut client = at.duty();
    match command {
        IncidentCommand::Assign { incident, to } => {
            let text = format!("{incident} is {to}'s");
            let request = at.request(proto::AssignIncidentRequest { id: incident, to });
            at.ask(client.assign_incident(request)).await?;
            done(&text)
        }
        IncidentCommand::Reopen { incident } => {
            let text = format!("{incident} is open");
            let request = at.request(proto::ReopenIncidentRequest { id: incident });
            at.ask(client.reopen_incident(request)).await?;
            done(&text)
        }
        IncidentCommand::Escalate { incident } => {
            let text = format!("{incident} is escalated");
            let request = at.request(proto::EscalateIncidentRequest { id: incident });
            at.ask(client.escalate_incident(request)).await?;
            done(&text)
        }
        IncidentCommand::Merge { from, into } => {
            let text = format!("{from} is part of {into}");
            let request = at.request(proto::MergeIncidentsRequest { from, into });
            at.ask(client.merge_incidents(request)).await?;
            done(&text)
        }
        IncidentCommand::Split { incident, alerts } => {
            let request = at.request(proto::SplitIncidentRequest {
                id: incident,
                fingerprints: alerts,
            });
            let new = at.ask(client.split_incident(request)).await?.into_inner();
            done(&new.id)
        }
    }
}

/// `silence`
pub(crate) async fn silence(at: &Coordinator, command: SilenceCommand) -> anyhow::Result<()> {
    let mut client = at.duty();
    match command {
        SilenceCommand::Add {
            conditions,
            hold,
            start,
            maintenance,
            comment,
        } => {
            let now = now_millis();
            let starts = start.map_or(now, |start| start.resolve(now));
            let request = at.request(proto::CreateSilenceRequest {
                conditions,
                starts_millis: start.map_or(0, |_| starts),
                ends_millis: starts.saturating_add(millis(hold)),
                maintenance,
                comment,
            });
            let made = at.ask(client.create_silence(request)).await?.into_inner();
            done(&made.id)
        }
        SilenceCommand::End { id } => {
            let text = format!("{id} is over");
            let request = at.request(proto::ExpireSilenceRequest { id });
            at.ask(client.expire_silence(request)).await?;
            done(&text)
        }
        SilenceCommand::List { format } => alerts::silences(at, format).await,
    }
}

/// `notify`
pub(crate) async fn notify(at: &Coordinator, command: NotifyCommand) -> anyhow::Result<()> {
    let NotifyCommand::Test {
        channel,
        address,
        preview,
    } = command;
    let mut client = at.duty();
    let request = at.request(proto::TestNotificationRequest {
        channel,
        address,
        preview,
    });
    let answer = at
        .ask(client.test_notification(request))
        .await?
        .into_inner();
    if preview {
        return done(&answer.outcome);
    }
    if !answer.accepted {
        bail!("it was not taken: {}", answer.outcome);
    }
    done(&format!("taken: {}", answer.outcome))
}
