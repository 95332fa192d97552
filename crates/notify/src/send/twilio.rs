//! Twilio: 201 with a `sid` is taken; an error has a code of its own.

use alert::Delivery;
use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use serde_json::Value;

use crate::http::{Http, Judge, refused, retry};
use crate::secret::Secret;

/// Whose account it is.
pub(crate) struct Account<'a> {
    pub(crate) sid: &'a str,
    pub(crate) token: Secret,
}

/// Posts a form of fields.
pub(crate) async fn send(
    http: &Http,
    url: Url,
    account: &Account<'_>,
    fields: &[(&str, &str)],
    now_millis: i64,
) -> Delivery {
    let token = account.token.reveal();
    let judge = Judge {
        who: "Twilio",
        secret_key: "notify.phone.token_file and notify.phone.account_sid",
        secrets: &[token],
    };
    let mut headers = HeaderMap::new();
    match HeaderValue::from_str(&basic(account.sid, token)) {
        Ok(mut value) => {
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        Err(_) => return judge.not_let_in("the token is none"),
    }
    let content_type = "application/x-www-form-urlencoded";
    let body = encoded(&url, fields).into_bytes();
    let answer = match http
        .post(url, content_type, headers, body, now_millis)
        .await
    {
        Ok(answer) => answer,
        Err(delivery) => return delivery,
    };
    let said = serde_json::from_str::<Value>(&answer.body).unwrap_or_default();
    if (200..300).contains(&answer.status) {
        // Taken is what has a sid; anything else came from somebody in between.
        return said["sid"].as_str().map_or_else(
            || {
                refused(format!(
                    "{} without a sid: look at notify.phone.url",
                    judge.reason(&answer)
                ))
            },
            |sid| Delivery::Accepted {
                provider_id: Some(sid.to_owned()),
            },
        );
    }
    let Some(code) = said["code"].as_u64() else {
        return judge.failure(&answer);
    };
    let text = crate::bounds::excerpt(said["message"].as_str().unwrap_or_default(), &[token]);
    let reason = format!("Twilio answered {}, code {code}: {text}", answer.status);
    match (answer.status, code) {
        // Too many requests, or too many calls at a time.
        (408 | 429 | 500.., _) | (_, 20429) => retry(reason, answer.retry_after),
        (401 | 403, _) | (_, 20003) => judge.not_let_in(&reason),
        _ => refused(reason),
    }
}

/// Fields as a form.
fn encoded(url: &Url, fields: &[(&str, &str)]) -> String {
    let mut form = url.clone();
    form.query_pairs_mut().clear().extend_pairs(fields);
    form.query().unwrap_or_default().to_owned()
}

/// `Basic` with user and password.
fn basic(user: &str, password: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::from("Basic ");
    for three in format!("{user}:{password}").as_bytes().chunks(3) {
        let bits = three
            .iter()
            .fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte))
            << (8 * (3 - three.len()));
        for place in 0..4 {
            let digit = DIGITS[bits >> (18 - 6 * place) & 63];
            text.push(if place <= three.len() {
                char::from(digit)
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_password_are_said_in_base64() {
        for (user, password, said) in [
            (
                "Aladdin",
                "open sesame",
                "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
            ),
            ("a", "b", "Basic YTpi"),
            ("a", "bc", "Basic YTpiYw=="),
            ("a", "", "Basic YTo="),
        ] {
            assert_eq!(basic(user, password), said);
        }
    }

    #[test]
    fn a_form_keeps_plus_and_ampersand() {
        let url = Url::parse("https://api.twilio.com/x?y=z").unwrap();
        assert_eq!(
            encoded(&url, &[("To", "+49 1"), ("Body", "a&b=c\n")]),
            "To=%2B49+1&Body=a%26b%3Dc%0A"
        );
    }
}
