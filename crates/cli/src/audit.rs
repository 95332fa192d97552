//! `vedette audit`.

use serde_json::{Value, json};
use wire::proto::{AuditEntry, ListAuditRequest};

use crate::args::{AuditArgs, ListFormat};
use crate::client::Coordinator;
use crate::output::{self, NOTHING};
use crate::times::{self, now_millis, show_time};

/// Most entries asked for at a time.
const PAGE_MAX: u32 = 1000;

/// Prints what was done and what was refused.
pub(crate) async fn run(coordinator: &Coordinator, args: &AuditArgs) -> anyhow::Result<()> {
    let (entries, are_more) = ask(coordinator, args).await?;
    output::print(&match args.format {
        ListFormat::Table => table(&entries),
        ListFormat::Json => {
            let entries: Value = entries.iter().map(entry_json).collect();
            serde_json::to_string_pretty(&entries)? + "\n"
        }
    })?;
    if are_more {
        output::note("there are older entries: a greater --limit shows them, or --until a time");
    }
    Ok(())
}

/// The newest entries, page after page, and whether there are more.
async fn ask(
    coordinator: &Coordinator,
    args: &AuditArgs,
) -> anyhow::Result<(Vec<AuditEntry>, bool)> {
    let mut client = coordinator.admin();
    let now = now_millis();
    let mut wanted = ListAuditRequest {
        since_millis: args.since.map_or(0, |since| since.resolve(now)),
        until_millis: args.until.map_or(0, |until| until.resolve(now)),
        who: args.who.clone().unwrap_or_default(),
        action: args.action.clone().unwrap_or_default(),
        outcome: args.outcome.clone().unwrap_or_default(),
        ..ListAuditRequest::default()
    };
    let limit = usize::try_from(args.limit)?;
    let mut entries = Vec::new();
    loop {
        let left = u32::try_from(limit - entries.len())?;
        wanted.limit = left.min(PAGE_MAX);
        let request = coordinator.request(wanted.clone());
        let page = coordinator
            .ask(client.list_audit(request))
            .await?
            .into_inner();
        // A coordinator that gives more than it was asked for gives no more than is shown.
        entries.extend(page.entries.into_iter().take(limit - entries.len()));
        wanted.page_token = page.next_page_token;
        if wanted.page_token.is_empty() || entries.len() == limit {
            return Ok((entries, !wanted.page_token.is_empty()));
        }
    }
}

fn table(entries: &[AuditEntry]) -> String {
    if entries.is_empty() {
        return "nothing was changed and no one was refused\n".to_owned();
    }
    let mut table = output::table(&["TIME (UTC)", "WHO", "FROM", "ACTION", "OUTCOME", "DETAIL"]);
    let or_nothing = |text: &str| match text {
        "" => NOTHING.to_owned(),
        text => text.replace(['\n', '\r', '\t'], " "),
    };
    for entry in entries {
        table.add_row([
            show_time(entry.at_millis),
            or_nothing(&entry.who),
            or_nothing(&entry.address),
            or_nothing(&entry.action),
            entry.outcome.clone(),
            or_nothing(&entry.detail),
        ]);
    }
    output::table_text(&table)
}

fn entry_json(entry: &AuditEntry) -> Value {
    json!({
        "at": times::rfc3339(entry.at_millis),
        "who": entry.who,
        "address": entry.address,
        "action": entry.action,
        "outcome": entry.outcome,
        "detail": entry.detail,
    })
}
