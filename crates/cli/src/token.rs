//! `vedette token`: one-time tokens that let agents in.

use std::time::Duration;

use wire::proto::CreateJoinTokenRequest;

use crate::args::TokenCommand;
use crate::client::Coordinator;
use crate::output;
use crate::times::show_time;

/// Does what was asked. The token alone goes to standard output, so that it can be put into a file unseen.
pub(crate) async fn run(coordinator: &Coordinator, command: &TokenCommand) -> anyhow::Result<()> {
    let TokenCommand::Join { node, any: _, ttl } = command;
    let mut client = coordinator.join_tokens();
    let request = coordinator.request(CreateJoinTokenRequest {
        agent_id: node.clone().unwrap_or_default(),
        lifetime_millis: millis(*ttl),
    });
    let answer = coordinator.ask(client.create_join_token(request)).await?;
    let answer = answer.into_inner();
    output::print(&format!("{}\n", answer.token))?;
    let whom = node.as_deref().unwrap_or("any node that is not known yet");
    output::note(&format!(
        "good once, for {whom}, until {} UTC; the agent reads it from tls.join_token_file",
        show_time(answer.expires_millis)
    ));
    Ok(())
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
