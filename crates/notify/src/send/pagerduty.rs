//! PagerDuty: 202 is taken, 400 never will be, 429 and 5xx may be later.

use alert::Delivery;
use reqwest::Url;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use crate::http::{Http, Judge};
use crate::secret::Secret;

/// Sends an event with the key of its service.
pub(crate) async fn send(
    http: &Http,
    url: Url,
    service: &str,
    key: &Secret,
    mut event: Value,
    now_millis: i64,
) -> Delivery {
    event["routing_key"] = json!(key.reveal());
    let body = event.to_string().into_bytes();
    let answer = match http
        .post(url, "application/json", HeaderMap::new(), body, now_millis)
        .await
    {
        Ok(answer) => answer,
        Err(delivery) => return delivery,
    };
    if (200..300).contains(&answer.status) {
        let dedup_key = serde_json::from_str::<Value>(&answer.body)
            .ok()
            .and_then(|body| body["dedup_key"].as_str().map(str::to_owned))
            .or_else(|| event["dedup_key"].as_str().map(str::to_owned));
        return Delivery::Accepted {
            provider_id: dedup_key,
        };
    }
    let secret_key = format!("notify.pagerduty.services.{service}");
    let judge = Judge {
        who: "PagerDuty",
        secret_key: &secret_key,
        secrets: &[key.reveal()],
    };
    // A key that is none is a bad request there, not one without a right.
    if answer.status == 400 && answer.body.contains("routing_key") {
        return judge.not_let_in(&judge.reason(&answer));
    }
    judge.failure(&answer)
}
