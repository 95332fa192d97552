//! Mail by SMTP: 250 is taken, 4xx may be later, 5xx never will be.

use std::error::Error as _;
use std::time::Duration;

use alert::Delivery;
use lettre::message::Mailbox;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::transport::smtp::response::Response;
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};
use rustls::pki_types::CertificateDer;

use crate::bounds;
use crate::config::{EmailConfig, EmailTls};
use crate::http::{refused, retry};
use crate::secret::Secret;

/// How long one answer of the server may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a mail may take in all.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A server that takes mail.
#[derive(Debug)]
pub(crate) struct Server {
    config: EmailConfig,
    tls: Tls,
    /// Whom mail is from.
    pub(crate) from: Mailbox,
}

impl Server {
    /// A server after its configuration, which trusts the system's authorities and these.
    ///
    /// # Errors
    /// The key that is wrong, and why.
    pub(crate) fn new(
        config: &EmailConfig,
        authorities: &[CertificateDer<'static>],
    ) -> Result<Self, (&'static str, String)> {
        if config.server.trim().is_empty() {
            return Err(("server", "must name the mail server".to_owned()));
        }
        if config.port == Some(0) {
            return Err(("port", "0 is no port of a server".to_owned()));
        }
        let from: Mailbox = config.from.parse().map_err(|error| {
            let fault = format!(
                "{:?} is no mail address such as vedette@example.com: {error}",
                config.from
            );
            ("from", fault)
        })?;
        if config.tls == EmailTls::None && !config.is_loopback() && !config.plaintext {
            let fault = "\"none\" is for this machine only; use \"starttls\" or \"tls\", or set plaintext = true";
            return Err(("tls", fault.to_owned()));
        }
        if config.username.is_some() != config.password_file.is_some() {
            let fault = "username and password_file belong together; set both or neither";
            return Err(("username", fault.to_owned()));
        }
        let tls = match config.tls {
            EmailTls::None => Tls::None,
            EmailTls::Starttls => Tls::Required(parameters(config, authorities)?),
            EmailTls::Tls => Tls::Wrapper(parameters(config, authorities)?),
        };
        Ok(Self {
            config: config.clone(),
            tls,
            from,
        })
    }

    /// Hands a mail to the server.
    pub(crate) async fn send(
        &self,
        message: lettre::Message,
        password: Option<&Secret>,
    ) -> Delivery {
        let mut builder =
            AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&self.config.server)
                .port(self.config.port())
                .tls(self.tls.clone())
                .timeout(Some(ANSWER_TIMEOUT));
        if let (Some(name), Some(password)) = (&self.config.username, password) {
            builder =
                builder.credentials(Credentials::new(name.clone(), password.reveal().to_owned()));
        }
        let transport = builder.build();
        let secret = password.map(Secret::reveal).unwrap_or_default();
        match tokio::time::timeout(TIMEOUT, transport.send(message)).await {
            Err(_) => retry("the mail server took more than 30 s".to_owned(), None),
            Ok(Ok(response)) => Delivery::Accepted {
                provider_id: queue_id(&response),
            },
            Ok(Err(error)) => judged(&error, secret),
        }
    }
}

fn parameters(
    config: &EmailConfig,
    authorities: &[CertificateDer<'static>],
) -> Result<TlsParameters, (&'static str, String)> {
    let mut builder = TlsParameters::builder(config.server.clone());
    for authority in authorities {
        let certificate = Certificate::from_der(authority.to_vec())
            .map_err(|error| ("tls", format!("an authority cannot be used: {error}")))?;
        builder = builder.add_root_certificate(certificate);
    }
    builder
        .build()
        .map_err(|error| ("tls", format!("TLS cannot be used: {error}")))
}

/// What the server calls the mail: `4F2A` of `2.0.0 Ok: queued as 4F2A`, or all that it says.
fn queue_id(response: &Response) -> Option<String> {
    let said: Vec<&str> = response.message().collect();
    let said = bounds::excerpt(&said.join(" "), &[]);
    let id = said
        .split_once("queued as ")
        .and_then(|(_, rest)| rest.split_whitespace().next())
        .map(|id| id.trim_end_matches(['.', ',', ';']).to_owned());
    id.or(Some(said)).filter(|id| !id.is_empty())
}

fn judged(error: &lettre::transport::smtp::Error, secret: &str) -> Delivery {
    let mut reason = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !reason.contains(&cause_text) {
            reason.push_str(": ");
            reason.push_str(&cause_text);
        }
        source = cause.source();
    }
    let reason = format!("the mail server: {}", bounds::excerpt(&reason, &[secret]));
    let code = error.status().map(u16::from);
    match code {
        // 530 authentication required, 534 and 535 not accepted, 538 needs encryption.
        Some(530 | 534 | 535 | 538) => refused(format!(
            "{reason}; look at notify.email.username and notify.email.password_file"
        )),
        _ if error.is_permanent() => refused(reason),
        // What we cannot say ourselves stays so, such as a login that the server does not know of.
        _ if error.is_client() => refused(format!("{reason}; look at notify.email")),
        _ => retry(reason, None),
    }
}
