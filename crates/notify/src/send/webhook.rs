//! Hooks of anybody: 2xx is taken.

use alert::Delivery;
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use crate::form;
use crate::http::{Http, Judge, refused};
use crate::secret::Secret;

/// By which a receiver tells what it was sent before.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// By which it tells that we have sent it.
const SIGNATURE: HeaderName = HeaderName::from_static("x-vedette-signature");

/// A hook with its secrets.
pub(crate) struct Hook<'a> {
    pub(crate) name: &'a str,
    pub(crate) url: Url,
    pub(crate) secret: Option<Secret>,
}

/// Posts a payload, signed where there is a secret.
pub(crate) async fn send(
    http: &Http,
    hook: Hook<'_>,
    id: &str,
    body: Vec<u8>,
    now_millis: i64,
) -> Delivery {
    let mut headers = HeaderMap::new();
    match HeaderValue::from_str(id) {
        Ok(id) => headers.insert(IDEMPOTENCY_KEY, id),
        Err(_) => return refused("the notification's id is not ASCII".to_owned()),
    };
    let secret = hook.secret.as_ref().map(Secret::reveal).unwrap_or_default();
    if !secret.is_empty()
        && let Ok(signature) =
            HeaderValue::from_str(&form::webhook::signature(secret, now_millis, &body))
    {
        headers.insert(SIGNATURE, signature);
    }
    let url = hook.url.to_string();
    let answer = match http
        .post(hook.url, "application/json", headers, body, now_millis)
        .await
    {
        Ok(answer) => answer,
        Err(delivery) => return delivery,
    };
    if (200..300).contains(&answer.status) {
        return Delivery::Accepted { provider_id: None };
    }
    let secret_key = format!("notify.webhook.{}", hook.name);
    Judge {
        who: "the webhook",
        secret_key: &secret_key,
        secrets: &[&url, secret],
    }
    .failure(&answer)
}
