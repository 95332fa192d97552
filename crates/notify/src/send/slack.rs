//! Slack: an incoming webhook answers 200 `ok`, the API 200 with `ok` true or a word for what is wrong.

use alert::Delivery;
use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use serde_json::{Value, json};

use crate::http::{Answer, Http, Judge, refused, retry};
use crate::secret::Secret;

/// What the API says that may pass.
const PASSING: [&str; 7] = [
    "ratelimited",
    "rate_limited",
    "message_limit_exceeded",
    "internal_error",
    "fatal_error",
    "service_unavailable",
    "request_timeout",
];

/// What the API says where the token is wrong.
const TOKEN: [&str; 9] = [
    "invalid_auth",
    "not_authed",
    "account_inactive",
    "token_revoked",
    "token_expired",
    "missing_scope",
    "no_permission",
    "not_allowed_token_type",
    "access_denied",
];

/// What the API says where there is no such thread any more.
const THREAD: [&str; 3] = [
    "thread_not_found",
    "invalid_thread_ts",
    "cannot_reply_to_message",
];

/// Where a message goes.
pub(crate) struct Place<'a> {
    pub(crate) channel: &'a str,
    /// The `ts` of the incident's first message.
    pub(crate) thread: Option<&'a str>,
}

/// Posts to the webhook of a channel.
pub(crate) async fn webhook(
    http: &Http,
    url: Url,
    channel: &str,
    body: &Value,
    now_millis: i64,
) -> Delivery {
    let secret = url.to_string();
    let body = body.to_string().into_bytes();
    let answer = match http
        .post(url, "application/json", HeaderMap::new(), body, now_millis)
        .await
    {
        Ok(answer) => answer,
        Err(delivery) => return delivery,
    };
    let secret_key = format!("notify.slack.webhooks.{channel:?}");
    let judge = Judge {
        who: "Slack",
        secret_key: &secret_key,
        secrets: &[&secret],
    };
    match answer.status {
        200 if answer.body.trim() == "ok" => Delivery::Accepted { provider_id: None },
        // A proxy or a page in between: nobody in the channel has read anything.
        200 => refused(format!(
            "{}; a webhook of Slack answers \"ok\": look at {secret_key}",
            judge.reason(&answer)
        )),
        // The hook was removed, or its channel.
        404 | 410 => judge.not_let_in(&judge.reason(&answer)),
        _ => judge.failure(&answer),
    }
}

/// Posts by the token.
pub(crate) async fn api(
    http: &Http,
    url: Url,
    token: &Secret,
    to: &Place<'_>,
    mut body: Value,
    now_millis: i64,
) -> Delivery {
    let judge = Judge {
        who: "Slack",
        secret_key: "notify.slack.token_file",
        secrets: &[token.reveal()],
    };
    let mut headers = HeaderMap::new();
    match HeaderValue::from_str(&format!("Bearer {}", token.reveal())) {
        Ok(mut value) => {
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        Err(_) => return judge.not_let_in("the token is none"),
    }
    body["channel"] = json!(to.channel);
    // Links in alerts lead to pages of ours; Slack need not read them.
    body["unfurl_links"] = json!(false);
    body["unfurl_media"] = json!(false);
    if let Some(ts) = to.thread {
        body["thread_ts"] = json!(ts);
    }
    let content_type = "application/json; charset=utf-8";
    loop {
        let bytes = body.to_string().into_bytes();
        let answer = match http
            .post(
                url.clone(),
                content_type,
                headers.clone(),
                bytes,
                now_millis,
            )
            .await
        {
            Ok(answer) => answer,
            Err(delivery) => return delivery,
        };
        let is_threaded = body.get("thread_ts").is_some();
        if is_threaded && THREAD.contains(&word(&answer).unwrap_or_default().as_str()) {
            // Its first message was deleted: better beside a thread than nowhere.
            if let Some(fields) = body.as_object_mut() {
                fields.remove("thread_ts");
                fields.remove("reply_broadcast");
            }
            continue;
        }
        return judged(&judge, &answer, to.channel);
    }
}

/// The API's word for what is wrong.
fn word(answer: &Answer) -> Option<String> {
    let said = serde_json::from_str::<Value>(&answer.body).ok()?;
    said["error"].as_str().map(str::to_owned)
}

fn judged(judge: &Judge<'_>, answer: &Answer, channel: &str) -> Delivery {
    if answer.status != 200 {
        return judge.failure(answer);
    }
    let Ok(said) = serde_json::from_str::<Value>(&answer.body) else {
        return refused(format!(
            "{}; this is not Slack's API: look at notify.slack.api_url",
            judge.reason(answer)
        ));
    };
    if said["ok"] == json!(true) {
        return Delivery::Accepted {
            provider_id: said["ts"].as_str().map(str::to_owned),
        };
    }
    let word = said["error"].as_str().unwrap_or("no reason");
    let reason = format!(
        "Slack refused: {}",
        crate::bounds::excerpt(word, judge.secrets)
    );
    if PASSING.contains(&word) {
        retry(reason, answer.retry_after)
    } else if TOKEN.contains(&word) {
        judge.not_let_in(&reason)
    } else if word == "not_in_channel" || word == "channel_not_found" {
        refused(format!("{reason}; invite the bot to {channel}"))
    } else {
        refused(reason)
    }
}
