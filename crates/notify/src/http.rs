//! One bounded HTTP request to a provider, and what its answer means.

use std::error::Error as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use alert::Delivery;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, Url};
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls_platform_verifier::Verifier;

use crate::bounds;
use crate::when;

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a request may take in all. Providers answer within a second; the next channel waits for us.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Largest answer that is read. Those that mean something have some hundred bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Why no client could be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There are no authorities to trust, or ours cannot be used.
    #[error(
        "loading the authorities that certificates are checked with; install ca-certificates, or name a file in notify.ca_file"
    )]
    Roots(#[source] rustls::Error),
    /// The file of authorities cannot be read.
    #[error("reading the authorities in {path}, which notify.ca_file names")]
    CaFile {
        /// The file.
        path: String,
        /// What is wrong.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// The client refused its own settings.
    #[error("building the client for HTTP")]
    Build(#[source] reqwest::Error),
}

impl Error {
    /// Never: the system or the configuration must be mended.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Roots(_) | Self::CaFile { .. } | Self::Build(_) => false,
        }
    }
}

/// Sends requests; clones share their connections.
#[derive(Clone, Debug)]
pub(crate) struct Http {
    client: Client,
}

/// What a provider said.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) body: String,
}

/// The authorities in a file.
pub(crate) fn authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let failed = |source| Error::CaFile {
        path: path.display().to_string(),
        source,
    };
    let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(failed)?;
    if certificates.is_empty() {
        return Err(failed(rustls::pki_types::pem::Error::NoItemsFound));
    }
    Ok(certificates)
}

impl Http {
    /// A client that trusts the system's authorities and these.
    pub(crate) fn new(authorities: Vec<CertificateDer<'static>>) -> Result<Self, Error> {
        // Named, not taken from the process: a library does not choose for its program.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = Verifier::new_with_extra_roots(authorities, Arc::clone(&provider))
            .map_err(Error::Roots)?;
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(Error::Roots)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        let client = Client::builder()
            .user_agent(concat!("vedette/", env!("CARGO_PKG_VERSION")))
            .tls_backend_preconfigured(tls)
            // What follows a redirect carries our secrets to somewhere else.
            .redirect(Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .build()
            .map_err(Error::Build)?;
        Ok(Self { client })
    }

    /// Posts `body`; what went wrong on the way may go right later.
    pub(crate) async fn post(
        &self,
        url: Url,
        content_type: &'static str,
        mut headers: HeaderMap,
        body: Vec<u8>,
        now_millis: i64,
    ) -> Result<Answer, Delivery> {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        let request = self.client.post(url).headers(headers).body(body);
        let response = request.send().await.map_err(failed)?;
        let status = response.status().as_u16();
        let retry_after = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| when::retry_after(value, now_millis));
        let body = match read(response).await {
            Ok(body) => body,
            // What it says is lost, what it means is not.
            Err(_) if status >= 300 => String::new(),
            Err(error) => return Err(failed(error)),
        };
        Ok(Answer {
            status,
            retry_after,
            body,
        })
    }
}

/// Reads as much of an answer as means anything, and lets go of the rest.
async fn read(mut response: Response) -> Result<String, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await? {
        let room = ANSWER_BYTES_MAX.saturating_sub(body.len());
        body.extend(piece.iter().take(room));
        if room <= piece.len() {
            break;
        }
    }
    Ok(String::from_utf8_lossy(&body).into_owned())
}

/// What went wrong on the way, without the address: it may be a secret.
fn failed(error: reqwest::Error) -> Delivery {
    let error = error.without_url();
    let mut reason = if error.is_timeout() {
        "no answer in time".to_owned()
    } else {
        error.to_string()
    };
    let mut source = error.source();
    while let Some(cause) = source {
        reason.push_str(": ");
        reason.push_str(&cause.to_string());
        source = cause.source();
    }
    retry(bounds::excerpt(&reason, &[]), None)
}

pub(crate) fn retry(reason: String, after: Option<Duration>) -> Delivery {
    Delivery::Retry { reason, after }
}

pub(crate) fn refused(reason: String) -> Delivery {
    Delivery::Refused { reason }
}

/// What to say of an answer, and whose it is.
pub(crate) struct Judge<'a> {
    /// Who answered: `PagerDuty`.
    pub(crate) who: &'a str,
    /// The key of the secret to look at when we are not let in.
    pub(crate) secret_key: &'a str,
    /// What must not be in any reason.
    pub(crate) secrets: &'a [&'a str],
}

impl Judge<'_> {
    /// What an answer means that is no success.
    pub(crate) fn failure(&self, answer: &Answer) -> Delivery {
        let reason = self.reason(answer);
        match answer.status {
            408 | 425 | 429 | 500.. => retry(reason, answer.retry_after),
            401 | 403 => self.not_let_in(&reason),
            300..=399 => refused(format!(
                "{reason}; redirects are not followed: configure the address it leads to"
            )),
            _ => refused(reason),
        }
    }

    /// An answer that says that our secret is wrong.
    pub(crate) fn not_let_in(&self, reason: &str) -> Delivery {
        refused(format!("{reason}; look at {}", self.secret_key))
    }

    /// An answer in a few words.
    pub(crate) fn reason(&self, answer: &Answer) -> String {
        let said = bounds::excerpt(&answer.body, self.secrets);
        let colon = if said.is_empty() { "" } else { ": " };
        format!("{} answered {}{colon}{said}", self.who, answer.status)
    }
}
