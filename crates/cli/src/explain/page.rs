//! The page for people. No line is wider than 100 columns, unless a word is.

use spec::{Account, Action, Effect, NeedKind, Origin, Plan, Resolved};

use super::count;

const WIDTH: usize = 100;

/// Each setting and what it does, by document; then what is refused, and what the coordinator has to have.
pub(super) fn page(plan: &Plan) -> String {
    let mut page = String::new();
    let mut accounts = plan.accounts.as_slice();
    while let Some(first) = accounts.first() {
        let same = |account: &&Account| {
            account.source == first.source && account.document == first.document
        };
        let length = accounts.iter().take_while(same).count();
        let (document, rest) = accounts.split_at(length);
        header(&mut page, document);
        for account in document {
            setting(&mut page, account);
        }
        page.push('\n');
        accounts = rest;
    }
    refused(&mut page, plan);
    needs(&mut page, plan);
    summary(&mut page, plan);
    page
}

fn header(page: &mut String, document: &[Account]) {
    let Some(first) = document.first() else {
        return;
    };
    let settings = count(document.len(), "setting", "settings");
    let line = format!("{} ({}): {settings}", first.document.as_str(), first.source);
    wrap(page, "", "", &line);
}

fn setting(page: &mut String, account: &Account) {
    let Account {
        path,
        value,
        effect,
        resolved,
        place,
        ..
    } = account;
    wrap(
        page,
        "  ",
        "    ",
        &format!("{path} = {value}  (line {})", place.line),
    );
    match effect {
        Effect::InForce(what) => {
            for what in what.split("; ") {
                wrap(page, "      ", "        ", what);
            }
        }
        Effect::NotBuilt(missing) => {
            wrap(page, "      ", "        ", &format!("NOT BUILT: {missing}"));
        }
    }
    if let Some(resolved) = resolved {
        reads(page, resolved);
    }
}

fn reads(page: &mut String, resolved: &Resolved) {
    let origin = match resolved.origin {
        Origin::Collected => "agents collect it",
        Origin::Pushed => "you push it, or expose it to be scraped",
        Origin::Given => "by a binding of yours",
    };
    let (unit, bound) = (resolved.unit.as_str(), resolved.bad.bound());
    let line = format!(
        "{}: in {unit}, a threshold is a {bound}; {origin}",
        resolved.metric
    );
    wrap(page, "      ", "        ", &line);
    wrap(
        page,
        "      ",
        "        ",
        &format!("query: {}", resolved.query),
    );
}

fn refused(page: &mut String, plan: &Plan) {
    let refused: Vec<&Account> = plan.not_built().collect();
    if refused.is_empty() {
        return;
    }
    let settings = count(refused.len(), "setting is", "settings are");
    wrap(page, "", "", &format!("{settings} refused as not built:"));
    for account in refused {
        let Effect::NotBuilt(missing) = &account.effect else {
            continue;
        };
        wrap(
            page,
            "  ",
            "      ",
            &format!("{}: {missing}", account.path),
        );
    }
    page.push('\n');
}

fn needs(page: &mut String, plan: &Plan) {
    if plan.needs.is_empty() {
        return;
    }
    wrap(page, "", "", "The coordinator's configuration has to have:");
    for need in &plan.needs {
        let what = match &need.kind {
            NeedKind::Receiver(name) => format!("a receiver named {name}"),
            NeedKind::Addresses(channel) => format!("addresses for {}", channel.as_str()),
            NeedKind::Service(channel, name) => {
                format!("the secret of {name} for {}", channel.as_str())
            }
            NeedKind::Template(channel, name) => {
                format!("a template {name} for {}", channel.as_str())
            }
        };
        wrap(page, "  ", "      ", &format!("{what}: {}", need.path));
    }
    page.push('\n');
}

fn summary(page: &mut String, plan: &Plan) {
    let alerts = plan
        .rules
        .iter()
        .filter(|rule| rule.action == Action::Alert)
        .count();
    let stock = plan
        .rules
        .iter()
        .filter(|rule| rule.path.starts_with("deploy/rules/"))
        .count();
    let line = format!(
        "{}, {} in force; {alerts} rules that alert ({stock} of them on without being asked for), {} that record",
        count(plan.accounts.len(), "setting", "settings"),
        plan.accounts.len() - plan.not_built().count(),
        plan.rules.len() - alerts,
    );
    wrap(page, "", "", &line);
}

/// Writes a text, broken between words; what begins a line is `first`, then `next`.
fn wrap(page: &mut String, first: &str, next: &str, text: &str) {
    let mut line = first.to_owned();
    let mut is_empty = true;
    for word in text.split(' ') {
        let space = usize::from(!is_empty);
        if !is_empty && line.chars().count() + space + word.chars().count() > WIDTH {
            page.push_str(line.trim_end());
            page.push('\n');
            line = next.to_owned();
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    page.push_str(line.trim_end());
    page.push('\n');
}
