//! From a configuration to senders: everything is checked before anything is sent.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use reqwest::Url;

use super::{Error, Senders};
use crate::address;
use crate::config::{Config, PagerDutyConfig, PhoneConfig, SlackConfig, WebhookConfig};
use crate::http::{self, Http};
use crate::secret::{Secret, Source};
use crate::send::email::Server;
use crate::templates::Templates;

/// Longest file of a template.
const TEMPLATE_BYTES_MAX: u64 = 256 * 1024;
/// Most names in one table: hooks, services, channels, templates.
const NAMES_MAX: usize = 1000;
/// Characters of an integration key of PagerDuty.
const ROUTING_KEY_CHARS: usize = 32;
/// Characters of a Twilio account after its `AC`.
const ACCOUNT_DIGITS: usize = 32;

pub(super) fn fault(key: impl Into<String>, fault: impl Into<String>) -> Error {
    Error::Key {
        key: key.into(),
        fault: fault.into(),
    }
}

pub(super) fn open(config: Config) -> Result<Senders, Error> {
    check_counts(&config)?;
    if let Some(url) = &config.external_url {
        web_url("notify.external_url", url)?;
    }
    if let Some(slack) = &config.slack {
        check_slack(slack)?;
    }
    if let Some(pagerduty) = &config.pagerduty {
        check_pagerduty(pagerduty)?;
    }
    if let Some(phone) = &config.phone {
        check_phone(phone)?;
    }
    for (name, webhook) in &config.webhook {
        check_webhook(name, webhook)?;
    }
    for (name, alertmanager) in &config.alertmanager {
        let key = format!("notify.alertmanager.{name}");
        alerts_url(&key, &alertmanager.url)?;
        read_if(
            &format!("{key}.bearer_file"),
            alertmanager.bearer_file.as_ref(),
        )?;
    }
    let authorities = match &config.ca_file {
        Some(path) => http::authorities(path)?,
        None => Vec::new(),
    };
    let mail = match &config.email {
        Some(email) => {
            let server = Server::new(email, &authorities)
                .map_err(|(key, text)| fault(format!("notify.email.{key}"), text))?;
            read_if("notify.email.password_file", email.password_file.as_ref())?;
            Some(server)
        }
        None => None,
    };
    let needs_http = config.slack.is_some()
        || config.pagerduty.is_some()
        || config.phone.is_some()
        || !config.webhook.is_empty()
        || !config.alertmanager.is_empty();
    let http = needs_http.then(|| Http::new(authorities)).transpose()?;
    let templates = templates(&config)?;
    Ok(Senders {
        config,
        http,
        mail,
        templates,
    })
}

fn check_counts(config: &Config) -> Result<(), Error> {
    let slack = config
        .slack
        .as_ref()
        .map_or(0, |slack| slack.webhooks.len());
    let pagerduty = config.pagerduty.as_ref().map_or(0, |p| p.services.len());
    for (key, count) in [
        ("notify.slack.webhooks", slack),
        ("notify.pagerduty.services", pagerduty),
        ("notify.webhook", config.webhook.len()),
        ("notify.alertmanager", config.alertmanager.len()),
        ("notify.templates", config.templates.len()),
    ] {
        if count > NAMES_MAX {
            return Err(fault(
                key,
                format!("{count} names, {NAMES_MAX} is the most"),
            ));
        }
    }
    Ok(())
}

fn read_if(key: &str, source: Option<&Source>) -> Result<Option<Secret>, Error> {
    Ok(source.map(|source| source.read(key)).transpose()?)
}

fn check_slack(slack: &SlackConfig) -> Result<(), Error> {
    provider_url("notify.slack.api_url", &slack.api_url)?;
    read_if("notify.slack.token_file", slack.token_file.as_ref())?;
    for (channel, source) in &slack.webhooks {
        let key = format!("notify.slack.webhooks.{channel:?}");
        let target = alert::Target {
            channel: spec::Channel::Slack,
            address: channel.clone(),
        };
        address::check(&target).map_err(|error| fault(&key, error.to_string()))?;
        secret_url(&key, &source.read(&key)?)?;
    }
    Ok(())
}

fn check_pagerduty(pagerduty: &PagerDutyConfig) -> Result<(), Error> {
    provider_url("notify.pagerduty.url", &pagerduty.url)?;
    for (service, source) in &pagerduty.services {
        let key = format!("notify.pagerduty.services.{service}");
        routing_key(&key, &source.read(&key)?)?;
    }
    Ok(())
}

/// Whether a secret can be an integration key at all.
pub(super) fn routing_key(key: &str, secret: &Secret) -> Result<(), Error> {
    let count = secret.reveal().chars().count();
    if count == ROUTING_KEY_CHARS {
        return Ok(());
    }
    Err(fault(
        key,
        format!(
            "an integration key of Events API v2 has {ROUTING_KEY_CHARS} characters, this has {count}: is it the key of another integration?"
        ),
    ))
}

fn check_phone(phone: &PhoneConfig) -> Result<(), Error> {
    let digits = phone.account_sid.strip_prefix("AC").unwrap_or_default();
    if digits.len() != ACCOUNT_DIGITS || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(fault(
            "notify.phone.account_sid",
            "an account is AC and 32 hexadecimal digits",
        ));
    }
    address::number(&phone.from).map_err(|error| fault("notify.phone.from", error.to_string()))?;
    if phone.token_file.is_none() {
        return Err(fault(
            "notify.phone.token_file",
            "must name the file of the account's auth token",
        ));
    }
    read_if("notify.phone.token_file", phone.token_file.as_ref())?;
    provider_url("notify.phone.url", &phone.url)?;
    Ok(())
}

fn check_webhook(name: &str, webhook: &WebhookConfig) -> Result<(), Error> {
    let key = format!("notify.webhook.{name}");
    match (&webhook.url, &webhook.url_file) {
        (Some(url), None) => {
            web_url(&format!("{key}.url"), url)?;
        }
        (None, Some(source)) => {
            let key = format!("{key}.url_file");
            secret_url(&key, &source.read(&key)?)?;
        }
        _ => return Err(fault(key, "needs url or url_file, and not both")),
    }
    read_if(&format!("{key}.secret_file"), webhook.secret_file.as_ref())?;
    Ok(())
}

/// An address of the web.
pub(super) fn web_url(key: &str, text: &str) -> Result<Url, Error> {
    let url = Url::parse(text)
        .map_err(|error| fault(key, format!("{text:?} is no address of the web: {error}")))?;
    usable(&url).map_err(|text| fault(key, text))?;
    Ok(url)
}

/// An address that is a secret: no error shows it.
pub(super) fn secret_url(key: &str, secret: &Secret) -> Result<Url, Error> {
    let url = Url::parse(secret.reveal()).map_err(|error| {
        fault(
            key,
            format!("the file holds no address of the web: {error}"),
        )
    })?;
    usable(&url).map_err(|text| fault(key, text))?;
    Ok(url)
}

fn usable(url: &Url) -> Result<(), &'static str> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err("an address of the web begins with https:// or http://");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a name and password in an address would be in logs; use the file of a secret");
    }
    Ok(())
}

/// Where a provider is: it is sent our secrets, so that they are encrypted, but to this machine.
pub(super) fn provider_url(key: &str, text: &str) -> Result<Url, Error> {
    let url = web_url(key, text)?;
    let host = url.host_str().unwrap_or_default();
    let is_here = host == "localhost"
        || host
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback());
    if url.scheme() == "https" || is_here {
        return Ok(url);
    }
    Err(fault(
        key,
        "must begin with https://, because secrets are sent there",
    ))
}

/// Where an Alertmanager takes alerts.
pub(super) fn alerts_url(key: &str, text: &str) -> Result<Url, Error> {
    let url = format!("{}/api/v2/alerts", text.trim_end_matches('/'));
    web_url(&format!("{key}.url"), &url)
}

fn templates(config: &Config) -> Result<Templates, Error> {
    let mut texts = BTreeMap::new();
    for (name, path) in &config.templates {
        let text = read_template(path).map_err(|source| Error::TemplateFile {
            name: name.clone(),
            path: path.display().to_string(),
            source,
        })?;
        texts.insert(name.as_str(), text);
    }
    let own = texts.iter().map(|(name, text)| (*name, text.as_str()));
    Ok(Templates::new(own)?)
}

fn read_template(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?
        .take(TEMPLATE_BYTES_MAX + 1)
        .read_to_string(&mut text)?;
    if u64::try_from(text.len()).is_ok_and(|length| length > TEMPLATE_BYTES_MAX) {
        return Err(std::io::Error::other("a template is at most 256 KiB"));
    }
    Ok(text)
}
