//! One notification, by the way of its target.

use alert::{Delivery, Kind, Notification};
use lettre::message::Mailbox;
use reqwest::Url;
use serde_json::json;
use spec::Channel;

use super::open::{alerts_url, provider_url, routing_key, secret_url, web_url};
use super::{Error, Manner, Senders, Sent};
use crate::form;
use crate::http::{Http, refused, retry};
use crate::secret::{Secret, Source};
use crate::send;
use crate::send::twilio::Account;
use crate::send::webhook::Hook;
use crate::templates::Rendering;
use crate::words::Words;

/// The version of Twilio's API, which is part of every address.
const TWILIO_VERSION: &str = "2010-04-01";

/// A notification on its way.
struct Task<'a> {
    notification: &'a Notification,
    manner: &'a Manner,
    words: &'a Words,
    now_millis: i64,
}

impl Senders {
    /// Hands a notification to its provider. It takes half a minute at most, and may be repeated: what
    /// was taken and not heard of is sent again under the same id.
    pub async fn send(
        &self,
        notification: &Notification,
        manner: &Manner,
        now_millis: i64,
    ) -> Sent {
        let channel = notification.target.channel;
        if let Err(missing) = self.can(&notification.target) {
            return Sent {
                delivery: refused(missing),
                template_fault: None,
            };
        }
        let words = Words::new(&notification.message, self.config.external_url.as_deref());
        let task = Task {
            notification,
            manner,
            words: &words,
            now_millis,
        };
        let mut rendering = self
            .templates
            .say(channel, manner.template.as_deref(), &words);
        let delivery = match channel {
            Channel::Email => self.email(&task, &mut rendering).await,
            Channel::Slack => self.slack(&task, &mut rendering).await,
            Channel::Pagerduty => self.pagerduty(&task, &mut rendering).await,
            Channel::Phone | Channel::Sms => self.twilio(&task, &mut rendering).await,
            Channel::Webhook => self.webhook(&task).await,
            Channel::Alertmanager => self.alertmanager(&task).await,
        };
        Sent {
            // A step that fails before the provider is spoken to is an answer too.
            delivery: delivery.unwrap_or_else(|delivery| delivery),
            template_fault: rendering.fallback,
        }
    }

    fn http(&self) -> Result<&Http, Delivery> {
        self.http
            .as_ref()
            .ok_or_else(|| refused("nothing that needs HTTP is configured".to_owned()))
    }

    async fn email(
        &self,
        task: &Task<'_>,
        rendering: &mut Rendering<'_>,
    ) -> Result<Delivery, Delivery> {
        let (Some(server), Some(config)) = (&self.mail, &self.config.email) else {
            return Err(refused("mail is not configured".to_owned()));
        };
        let address = &task.notification.target.address;
        let to = address
            .parse()
            .map(|address| Mailbox::new(None, address))
            .map_err(|error| refused(format!("{address:?} is no mail address: {error}")))?;
        let parts = form::email::parts(rendering);
        let mail = form::email::mail(parts, task.notification, &server.from, to)
            .map_err(|error| refused(format!("the mail cannot be written: {error}")))?;
        let password =
            optional("notify.email.password_file", config.password_file.as_ref()).await?;
        Ok(server.send(mail, password.as_ref()).await)
    }

    async fn slack(
        &self,
        task: &Task<'_>,
        rendering: &mut Rendering<'_>,
    ) -> Result<Delivery, Delivery> {
        let http = self.http()?;
        let Some(config) = &self.config.slack else {
            return Err(refused("Slack is not configured".to_owned()));
        };
        let channel = &task.notification.target.address;
        let mut body = form::slack::message(task.words, rendering);
        if let Some(source) = config.webhooks.get(channel) {
            let key = format!("notify.slack.webhooks.{channel:?}");
            let url =
                secret_url(&key, &required(&key, source).await?).map_err(|error| mended(&error))?;
            return Ok(send::slack::webhook(http, url, channel, &body, task.now_millis).await);
        }
        let token = optional("notify.slack.token_file", config.token_file.as_ref()).await?;
        let Some(token) = token else {
            return Err(refused("Slack has no token".to_owned()));
        };
        let url = below("notify.slack.api_url", &config.api_url, "chat.postMessage")?;
        let thread = task.manner.thread.as_deref().filter(|_| {
            // What opens an incident opens its thread.
            task.notification.message.kind != Kind::Trigger
        });
        if thread.is_some()
            && matches!(
                task.notification.message.kind,
                Kind::Escalate { .. } | Kind::Resolve
            )
        {
            // These concern who does not follow the thread.
            body["reply_broadcast"] = json!(true);
        }
        let to = send::slack::Place { channel, thread };
        Ok(send::slack::api(http, url, &token, &to, body, task.now_millis).await)
    }

    async fn pagerduty(
        &self,
        task: &Task<'_>,
        rendering: &mut Rendering<'_>,
    ) -> Result<Delivery, Delivery> {
        let http = self.http()?;
        let service = &task.notification.target.address;
        let Some((config, source)) = self
            .config
            .pagerduty
            .as_ref()
            .and_then(|config| Some((config, config.services.get(service)?)))
        else {
            return Err(refused("PagerDuty is not configured".to_owned()));
        };
        let key = format!("notify.pagerduty.services.{service}");
        let secret = required(&key, source).await?;
        routing_key(&key, &secret).map_err(|error| mended(&error))?;
        let url =
            provider_url("notify.pagerduty.url", &config.url).map_err(|error| mended(&error))?;
        let message = &task.notification.message;
        let urgency = task.manner.urgency.as_deref();
        let event = form::pagerduty::event(message, task.words, urgency, rendering);
        Ok(send::pagerduty::send(http, url, service, &secret, event, task.now_millis).await)
    }

    async fn twilio(
        &self,
        task: &Task<'_>,
        rendering: &mut Rendering<'_>,
    ) -> Result<Delivery, Delivery> {
        let http = self.http()?;
        let Some(config) = &self.config.phone else {
            return Err(refused("the telephone is not configured".to_owned()));
        };
        let key = "notify.phone.token_file";
        let Some(token) = optional(key, config.token_file.as_ref()).await? else {
            return Err(refused("the telephone has no token".to_owned()));
        };
        let account = Account {
            sid: &config.account_sid,
            token,
        };
        let is_call = task.notification.target.channel == Channel::Phone;
        let (place, field, text) = if is_call {
            ("Calls.json", "Twiml", form::twilio::twiml(rendering))
        } else {
            (
                "Messages.json",
                "Body",
                form::twilio::sms(task.words, rendering),
            )
        };
        let path = format!("{TWILIO_VERSION}/Accounts/{}/{place}", config.account_sid);
        let url = below("notify.phone.url", &config.url, &path)?;
        let fields = [
            ("To", task.notification.target.address.as_str()),
            ("From", config.from.as_str()),
            (field, text.as_str()),
        ];
        Ok(send::twilio::send(http, url, &account, &fields, task.now_millis).await)
    }

    async fn webhook(&self, task: &Task<'_>) -> Result<Delivery, Delivery> {
        let http = self.http()?;
        let name = &task.notification.target.address;
        let Some(config) = self.config.webhook.get(name) else {
            return Err(refused("the webhook is not configured".to_owned()));
        };
        let key = format!("notify.webhook.{name}");
        let url = match (&config.url, &config.url_file) {
            (Some(url), _) => web_url(&format!("{key}.url"), url),
            (None, Some(source)) => {
                let key = format!("{key}.url_file");
                secret_url(&key, &required(&key, source).await?)
            }
            (None, None) => return Err(refused(format!("{key} has no url"))),
        };
        let hook = Hook {
            name,
            url: url.map_err(|error| mended(&error))?,
            secret: optional(&format!("{key}.secret_file"), config.secret_file.as_ref()).await?,
        };
        let external_url = self.config.external_url.as_deref();
        let body = form::webhook::body(&task.notification.message, name, external_url);
        Ok(send::webhook::send(http, hook, &task.notification.id, body, task.now_millis).await)
    }

    async fn alertmanager(&self, task: &Task<'_>) -> Result<Delivery, Delivery> {
        let http = self.http()?;
        let name = &task.notification.target.address;
        let Some(config) = self.config.alertmanager.get(name) else {
            return Err(refused("the Alertmanager is not configured".to_owned()));
        };
        let key = format!("notify.alertmanager.{name}");
        let url = alerts_url(&key, &config.url).map_err(|error| mended(&error))?;
        let bearer = optional(&format!("{key}.bearer_file"), config.bearer_file.as_ref()).await?;
        let external_url = self.config.external_url.as_deref();
        let body = form::alertmanager::body(
            &task.notification.message,
            external_url,
            &self.config.external_labels,
        );
        let bearer = bearer.as_ref();
        Ok(send::alertmanager::send(http, url, name, bearer, body, task.now_millis).await)
    }
}

/// A secret that must be there. One that cannot be read now may be being replaced.
async fn required(key: &str, source: &Source) -> Result<Secret, Delivery> {
    source.fetch(key).await.map_err(|error| {
        let cause = std::error::Error::source(&error)
            .map(|cause| format!(": {cause}"))
            .unwrap_or_default();
        retry(format!("{error}{cause}"), None)
    })
}

async fn optional(key: &str, source: Option<&Source>) -> Result<Option<Secret>, Delivery> {
    match source {
        Some(source) => required(key, source).await.map(Some),
        None => Ok(None),
    }
}

/// What was right when we opened and is not now is a file that somebody is about to mend.
fn mended(error: &Error) -> Delivery {
    retry(error.to_string(), None)
}

/// An address below a provider's.
fn below(key: &str, base: &str, path: &str) -> Result<Url, Delivery> {
    let text = format!("{}/{path}", base.trim_end_matches('/'));
    provider_url(key, &text).map_err(|error| mended(&error))
}
