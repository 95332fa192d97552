//! Rules on their way to an agent, and its word on what it runs.

use std::sync::Arc;

use tokio::sync::watch;
use tonic::Status;
use wire::proto;
use wire::proto::sync_response::Message as Answer;
use wire::transition::RulesRun;

use super::Breach;
use super::stream::{Answers, Stream, send};
use crate::alerting::InForce;

/// Done when the rules for agents have changed; never for an agent that runs none.
pub(super) async fn rules_changed(rules: &mut Option<watch::Receiver<Arc<InForce>>>) {
    if let Some(rules) = rules
        && rules.changed().await.is_ok()
    {
        return;
    }
    std::future::pending::<()>().await;
}

impl Stream<'_> {
    /// Gives the agent the rules, unless it has them. One that runs none has no word on alerts.
    pub(super) async fn begin_rules(&mut self, answers: &Answers) -> Result<(), Status> {
        let Some(outposts) = &self.ingest.outposts else {
            return Ok(());
        };
        if !self.hello.runs_rules {
            return self.take_run(proto::RulesRun::default()).await;
        }
        let mut rules = outposts.in_force();
        let version = rules.borrow_and_update().rules.version.clone();
        self.rules = Some(rules);
        if version == self.hello.rules_version {
            return Ok(());
        }
        self.give_rules(answers).await
    }

    /// Gives the agent the rules as they are now.
    pub(super) async fn give_rules(&mut self, answers: &Answers) -> Result<(), Status> {
        let Some(rules) = &mut self.rules else {
            return Ok(());
        };
        let rules = rules.borrow_and_update().rules.clone();
        send(answers, Answer::Rules(rules.into())).await
    }

    /// Takes the agent's word on what it runs.
    pub(super) async fn take_run(&self, run: proto::RulesRun) -> Result<(), Status> {
        let run = RulesRun::try_from(run)
            .map_err(|error| self.wrong(Breach::Message, &error.to_string()))?;
        let Some(outposts) = &self.ingest.outposts else {
            return Ok(());
        };
        let taken = outposts.run(self.hello.agent_id.as_str(), run).await;
        taken.map_err(|error| Status::unavailable(daemon::chain(&error)))
    }
}
