//! Twilio's calls and text messages.

use std::collections::BTreeMap;

use alert::{Kind, Notification};
use notify::{Config, PhoneConfig};
use serde_json::json;
use spec::Channel;

use crate::provider::{Provider, Reply, Request};
use crate::{Secrets, accepted, checks, kinds, notification, open, refused, retry, send};

const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";
const TOKEN: &str = "hush";
/// `ACCOUNT:TOKEN` in base64.
const BASIC: &str = "Basic QUMwMTIzNDU2Nzg5YWJjZGVmMDEyMzQ1Njc4OWFiY2RlZjpodXNo";

fn fields(request: &Request) -> BTreeMap<String, String> {
    let text = std::str::from_utf8(&request.body).unwrap();
    let url = reqwest::Url::parse(&format!("http://x/?{text}")).unwrap();
    url.query_pairs().into_owned().collect()
}

fn fault(status: u16, code: u32, message: &str) -> Reply {
    let body = json!({
        "code": code,
        "message": message,
        "more_info": format!("https://www.twilio.com/docs/errors/{code}"),
        "status": status,
    });
    Reply::new(status, body.to_string())
}

fn judge(request: &Request) -> Reply {
    if request.header("authorization") != BASIC {
        return fault(401, 20003, "Authenticate");
    }
    assert_eq!(
        request.header("content-type"),
        "application/x-www-form-urlencoded"
    );
    let fields = fields(request);
    let keys: Vec<&str> = fields.keys().map(String::as_str).collect();
    let base = format!("/2010-04-01/Accounts/{ACCOUNT}");
    let (sid, checked) = if request.path == format!("{base}/Calls.json") {
        assert_eq!(keys, ["From", "To", "Twiml"]);
        ("CA1", checks::twiml(&fields["Twiml"]))
    } else {
        assert_eq!(request.path, format!("{base}/Messages.json"));
        assert_eq!(keys, ["Body", "From", "To"]);
        ("SM1", checks::sms(&fields["Body"]))
    };
    if let Err(fault_text) = checked {
        return fault(400, 21602, &fault_text);
    }
    Reply::new(201, json!({"sid": sid, "status": "queued"}).to_string())
}

fn config(provider: &Provider, secrets: &Secrets) -> Config {
    Config {
        phone: Some(PhoneConfig {
            account_sid: ACCOUNT.to_owned(),
            token_file: Some(secrets.keep("token", TOKEN)),
            from: "+15005550006".to_owned(),
            url: provider.url.clone(),
        }),
        ..Config::default()
    }
}

fn call(kind: Kind) -> Notification {
    notification(Channel::Phone, "+4912345678", kind)
}

#[tokio::test]
async fn every_kind_can_be_said_and_written() {
    let (provider, secrets) = (Provider::start(judge).await, Secrets::new());
    let senders = open(config(&provider, &secrets));
    for kind in kinds() {
        assert_eq!(
            send(&senders, &call(kind.clone())).await,
            accepted(Some("CA1"))
        );
        let message = notification(Channel::Sms, "+4912345678", kind);
        assert_eq!(send(&senders, &message).await, accepted(Some("SM1")));
        assert_eq!(fields(&provider.last())["To"], "+4912345678");
    }
    send(
        &senders,
        &notification(Channel::Sms, "+4912345678", Kind::Resolve),
    )
    .await;
    assert_eq!(
        fields(&provider.last())["Body"],
        "[RESOLVED] vllm is down on 3 nodes - resolved after 12 min, 3 alerts (20251127-001)"
    );
    let kind = Kind::Escalate {
        rung: "manager".to_owned(),
    };
    send(&senders, &call(kind)).await;
    assert_eq!(
        fields(&provider.last())["Twiml"],
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response><Say loop=\"2\">This is Vedette. critical alert: vllm is down on 3 nodes. not acknowledged for 12 min: manager is told. 3 alerts.</Say></Response>"
    );
}

#[tokio::test]
async fn answers_mean_what_they_are_documented_to() {
    let (provider, secrets) = (Provider::start(judge).await, Secrets::new());
    let senders = open(config(&provider, &secrets));
    provider.next(fault(
        400,
        21211,
        "The 'To' number +4912345678 is not a valid phone number.",
    ));
    assert_eq!(
        refused(send(&senders, &call(Kind::Trigger)).await),
        "Twilio answered 400, code 21211: The 'To' number +4912345678 is not a valid phone number."
    );
    provider.next(fault(429, 20429, "Too Many Requests").header("retry-after", "2"));
    assert_eq!(retry(send(&senders, &call(Kind::Trigger)).await).1, Some(2));
    provider.next(Reply::new(503, "upstream"));
    retry(send(&senders, &call(Kind::Trigger)).await);
    provider.next(Reply::new(200, "<html>"));
    refused(send(&senders, &call(Kind::Trigger)).await);
    secrets.keep("token", "other");
    assert_eq!(
        refused(send(&senders, &call(Kind::Trigger)).await),
        "Twilio answered 401, code 20003: Authenticate; look at notify.phone.token_file and notify.phone.account_sid"
    );
}
