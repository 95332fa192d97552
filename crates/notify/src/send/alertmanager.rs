//! An Alertmanager: 200 is taken, 400 never will be.

use alert::Delivery;
use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};

use crate::http::{Http, Judge};
use crate::secret::Secret;

/// Posts a list of alerts.
pub(crate) async fn send(
    http: &Http,
    url: Url,
    name: &str,
    bearer: Option<&Secret>,
    body: Vec<u8>,
    now_millis: i64,
) -> Delivery {
    let secret_key = format!("notify.alertmanager.{name}.bearer_file");
    let secret = bearer.map(Secret::reveal).unwrap_or_default();
    let judge = Judge {
        who: "the Alertmanager",
        secret_key: &secret_key,
        secrets: &[secret],
    };
    let mut headers = HeaderMap::new();
    if bearer.is_some() {
        match HeaderValue::from_str(&format!("Bearer {secret}")) {
            Ok(mut value) => {
                value.set_sensitive(true);
                headers.insert(AUTHORIZATION, value);
            }
            Err(_) => return judge.not_let_in("the token is none"),
        }
    }
    match http
        .post(url, "application/json", headers, body, now_millis)
        .await
    {
        Ok(answer) if (200..300).contains(&answer.status) => {
            Delivery::Accepted { provider_id: None }
        }
        Ok(answer) => judge.failure(&answer),
        Err(delivery) => delivery,
    }
}
