//! The forms and limits that the providers document, as strictly as they may be read.

use serde_json::{Map, Value};

type Check = Result<(), String>;

fn ensure(holds: bool, fault: impl FnOnce() -> String) -> Check {
    if holds { Ok(()) } else { Err(fault()) }
}

fn object<'a>(value: &'a Value, at: &str) -> Result<&'a Map<String, Value>, String> {
    value
        .as_object()
        .ok_or_else(|| format!("{at} is no object"))
}

fn text<'a>(value: &'a Value, at: &str) -> Result<&'a str, String> {
    value
        .as_str()
        .ok_or_else(|| format!("{at} is no text: {value}"))
}

/// Slack and PagerDuty are written in languages that count so.
fn units(text: &str) -> usize {
    text.encode_utf16().count()
}

fn bounded(value: &Value, at: &str, least: usize, most: usize) -> Check {
    let count = units(text(value, at)?);
    ensure((least..=most).contains(&count), || {
        format!("{at} has {count} characters, {least} to {most} are right")
    })
}

fn only(fields: &Map<String, Value>, known: &[&str], at: &str) -> Check {
    match fields.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(format!("{at} has an unknown field {key}")),
        None => Ok(()),
    }
}

/// An event for `https://events.pagerduty.com/v2/enqueue`; `with_key` where it is as sent.
pub(crate) fn pagerduty(event: &Value, with_key: bool) -> Check {
    let fields = object(event, "the event")?;
    only(
        fields,
        &[
            "routing_key",
            "event_action",
            "dedup_key",
            "client",
            "client_url",
            "payload",
            "links",
        ],
        "the event",
    )?;
    ensure(event.to_string().len() <= 512 * 1000, || {
        "more than 512 KB".to_owned()
    })?;
    if with_key {
        bounded(&event["routing_key"], "routing_key", 32, 32)?;
    }
    bounded(&event["dedup_key"], "dedup_key", 1, 255)?;
    let action = text(&event["event_action"], "event_action")?;
    ensure(
        ["trigger", "acknowledge", "resolve"].contains(&action),
        || format!("event_action is {action}"),
    )?;
    let payload = &event["payload"];
    only(
        object(payload, "payload")?,
        &[
            "summary",
            "source",
            "severity",
            "timestamp",
            "component",
            "group",
            "class",
            "custom_details",
        ],
        "payload",
    )?;
    ensure(
        text(&payload["summary"], "summary")?.chars().count() <= 1024,
        || "summary is too long".to_owned(),
    )?;
    ensure(!text(&payload["summary"], "summary")?.is_empty(), || {
        "no summary".to_owned()
    })?;
    bounded(&payload["source"], "source", 1, 2048)?;
    let severity = text(&payload["severity"], "severity")?;
    ensure(
        ["critical", "error", "warning", "info"].contains(&severity),
        || format!("severity is {severity}"),
    )?;
    time(&payload["timestamp"], "timestamp")?;
    object(&payload["custom_details"], "custom_details")?;
    for link in event["links"].as_array().ok_or("links is no list")? {
        only(object(link, "a link")?, &["href", "text"], "a link")?;
        web(&link["href"], "href")?;
    }
    if let Some(url) = fields.get("client_url") {
        web(url, "client_url")?;
    }
    Ok(())
}

fn web(value: &Value, at: &str) -> Check {
    let url = text(value, at)?;
    ensure(
        url.starts_with("https://") || url.starts_with("http://"),
        || format!("{at} is {url}"),
    )
}

fn time(value: &Value, at: &str) -> Check {
    let time = text(value, at)?;
    time.parse::<jiff::Timestamp>()
        .map(|_| ())
        .map_err(|error| format!("{at} is {time}: {error}"))
}

/// A message of Slack with blocks.
pub(crate) fn slack(message: &Value) -> Check {
    only(
        object(message, "the message")?,
        &[
            "text",
            "blocks",
            "channel",
            "thread_ts",
            "reply_broadcast",
            "unfurl_links",
            "unfurl_media",
        ],
        "the message",
    )?;
    bounded(&message["text"], "text", 1, 4000)?;
    let blocks = message["blocks"].as_array().ok_or("blocks is no list")?;
    ensure((1..=50).contains(&blocks.len()), || {
        format!("{} blocks", blocks.len())
    })?;
    let mut total = units(text(&message["text"], "text")?);
    mrkdwn(text(&message["text"], "text")?)?;
    for block in blocks {
        let fields = object(block, "a block")?;
        match text(&block["type"], "type")? {
            "header" => {
                only(fields, &["type", "text"], "a header")?;
                only(
                    object(&block["text"], "text")?,
                    &["type", "text", "emoji"],
                    "text",
                )?;
                ensure(block["text"]["type"] == "plain_text", || {
                    "a header with marks".to_owned()
                })?;
                bounded(&block["text"]["text"], "a header", 1, 150)?;
                total += units(text(&block["text"]["text"], "a header")?);
            }
            "section" => {
                only(fields, &["type", "text"], "a section")?;
                total += marked(&block["text"], "a section", 3000)?;
            }
            "context" => {
                only(fields, &["type", "elements"], "a context")?;
                let elements = block["elements"].as_array().ok_or("elements is no list")?;
                ensure((1..=10).contains(&elements.len()), || {
                    "too many elements".to_owned()
                })?;
                for element in elements {
                    total += marked(element, "an element", 3000)?;
                }
            }
            other => return Err(format!("a block of type {other}")),
        }
    }
    ensure(total <= 13_000, || format!("{total} characters in all"))
}

fn marked(value: &Value, at: &str, most: usize) -> Result<usize, String> {
    only(object(value, at)?, &["type", "text"], at)?;
    ensure(value["type"] == "mrkdwn", || format!("{at} without marks"))?;
    bounded(&value["text"], at, 1, most)?;
    let text = text(&value["text"], at)?;
    mrkdwn(text)?;
    Ok(units(text))
}

/// `&`, `<` and `>` stand only where they mean something, and only for links of ours.
fn mrkdwn(text: &str) -> Check {
    for part in text.split('&').skip(1) {
        ensure(
            ["amp;", "lt;", "gt;"]
                .iter()
                .any(|known| part.starts_with(known)),
            || format!("& stands for itself in {text}"),
        )?;
    }
    for part in text.split('<').skip(1) {
        let link = part.split_once('>').map(|(link, _)| link);
        ensure(
            link.is_some_and(|link| link.starts_with("http") && link.contains('|')),
            || format!("< stands for itself in {text}"),
        )?;
    }
    ensure(
        text.matches('<').count() == text.matches('>').count(),
        || format!("> stands for itself in {text}"),
    )
}

/// A document of TwiML that says something.
pub(crate) fn twiml(xml: &str) -> Check {
    ensure(xml.chars().count() <= 4000, || {
        "more than 4,000 characters".to_owned()
    })?;
    let inner = xml
        .strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response><Say loop=\"2\">")
        .and_then(|rest| rest.strip_suffix("</Say></Response>"))
        .ok_or("no <Response><Say>")?;
    ensure(!inner.trim().is_empty(), || "nothing is said".to_owned())?;
    ensure(!inner.contains(['<', '>']), || {
        "a mark in the text".to_owned()
    })?;
    for part in inner.split('&').skip(1) {
        ensure(
            ["amp;", "lt;", "gt;", "quot;", "apos;"]
                .iter()
                .any(|known| part.starts_with(known)),
            || "an unknown entity".to_owned(),
        )?;
    }
    // What XML 1.0 calls a character.
    ensure(
        inner.chars().all(|c| {
            matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
        }),
        || "a character that XML has not".to_owned(),
    )
}

/// A text message.
pub(crate) fn sms(text: &str) -> Check {
    let count = text.chars().count();
    ensure((1..=160).contains(&count), || format!("{count} characters"))
}

/// Alertmanager's webhook payload, version 4; ours has one field more.
pub(crate) fn webhook(payload: &Value) -> Check {
    let fields = object(payload, "the payload")?;
    let known = [
        "version",
        "groupKey",
        "truncatedAlerts",
        "status",
        "receiver",
        "groupLabels",
        "commonLabels",
        "commonAnnotations",
        "externalURL",
        "alerts",
        "vedette",
    ];
    only(fields, &known, "the payload")?;
    ensure(known.iter().all(|key| fields.contains_key(*key)), || {
        "a field is missing".to_owned()
    })?;
    ensure(payload["version"] == "4", || "version".to_owned())?;
    ensure(payload["truncatedAlerts"].is_u64(), || {
        "truncatedAlerts".to_owned()
    })?;
    let status = text(&payload["status"], "status")?;
    ensure(["firing", "resolved"].contains(&status), || {
        "status".to_owned()
    })?;
    for map in ["groupLabels", "commonLabels", "commonAnnotations"] {
        labels(&payload[map], map)?;
    }
    for alert in payload["alerts"].as_array().ok_or("alerts is no list")? {
        labels(&alert["labels"], "labels")?;
        labels(&alert["annotations"], "annotations")?;
        time(&alert["startsAt"], "startsAt")?;
        time(&alert["endsAt"], "endsAt")?;
        text(&alert["generatorURL"], "generatorURL")?;
        text(&alert["fingerprint"], "fingerprint")?;
    }
    ensure(payload.to_string().len() <= 1024 * 1024, || {
        "more than 1 MiB".to_owned()
    })
}

/// The body of `POST /api/v2/alerts`.
pub(crate) fn alerts(body: &Value) -> Check {
    let list = body.as_array().ok_or("no list")?;
    ensure(!list.is_empty(), || "no alert".to_owned())?;
    for alert in list {
        only(
            object(alert, "an alert")?,
            &[
                "labels",
                "annotations",
                "startsAt",
                "endsAt",
                "generatorURL",
            ],
            "an alert",
        )?;
        labels(&alert["labels"], "labels")?;
        labels(&alert["annotations"], "annotations")?;
        ensure(alert["labels"]["alertname"].is_string(), || {
            "no alertname".to_owned()
        })?;
        time(&alert["startsAt"], "startsAt")?;
        time(&alert["endsAt"], "endsAt")?;
    }
    ensure(body.to_string().len() <= 1024 * 1024, || {
        "more than 1 MiB".to_owned()
    })
}

fn labels(value: &Value, at: &str) -> Check {
    for (name, value) in object(value, at)? {
        let is_name = name
            .chars()
            .enumerate()
            .all(|(at, c)| c == '_' || c.is_ascii_alphabetic() || at > 0 && c.is_ascii_digit());
        ensure(!name.is_empty() && is_name, || {
            format!("{name:?} is no label in {at}")
        })?;
        ensure(!text(value, name)?.is_empty(), || {
            format!("{name} is empty")
        })?;
    }
    Ok(())
}
