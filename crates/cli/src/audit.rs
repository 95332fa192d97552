//! `vedette audit`.

use serde_json::{Value, json};
use wire::proto::{AuditEntry, ListAuditRequest};

use crate::args::{AuditArgs, ListFormat};
use crate::client::Coordinator;
use crate::output::{self, NOTHING};
use crate::times::{self, now_millis, show_time};

/// Prints what was done and what was refused.
pub(crate) async fn run(coordinator: &Coordinator, args: &AuditArgs) -> anyhow::Result<()> {
    let mut client = coordinator.admin();
    let request = coordinator.request(ListAuditRequest {
        since_millis: args.since.map_or(0, |since| since.resolve(now_millis())),
        limit: args.limit,
    });
    let answer = coordinator.ask(client.list_audit(request)).await?;
    let entries = answer.into_inner().entries;
    output::print(&match args.format {
        ListFormat::Table => table(&entries),
        ListFormat::Json => {
            let entries: Value = entries.iter().map(entry_json).collect();
            serde_json::to_string_pretty(&entries)? + "\n"
        }
    })?;
    Ok(())
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
