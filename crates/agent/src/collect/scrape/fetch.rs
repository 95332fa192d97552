//! One bounded HTTP request for a page.

use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, Response};

use super::stats::FailureReason;
use super::target::Target;
use super::text::Format;

/// What Prometheus asks for: OpenMetrics first, then text 0.0.4, then anything.
const ACCEPTED: &str = "application/openmetrics-text;version=1.0.0,\
    application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";

/// Tells the target how long we are going to wait, so that it may give up before us.
const TIMEOUT_HEADER: HeaderName = HeaderName::from_static("x-prometheus-scrape-timeout-seconds");

/// Most redirects that are followed; a metrics endpoint has no reason for more.
const REDIRECTS_MAX: usize = 5;

/// Connections kept per host and port: one for each target there, of which there rarely are more.
const IDLE_PER_HOST_MAX: usize = 4;

/// How long an idle connection is kept: longer than the usual intervals, so that the next scrape
/// finds it.
const IDLE_MAX: Duration = Duration::from_secs(300);

/// Largest page by default, after decompression. The largest seen in the field are a few MiB.
pub const BODY_BYTES_MAX_DEFAULT: usize = 64 * 1024 * 1024;

/// The buffer that is set aside before the first byte has come, at most.
const BODY_BYTES_RESERVED_MAX: u64 = 1024 * 1024;

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It took longer than the target's timeout.
    #[error("scraping {url} took longer than {timeout:?}")]
    Timeout {
        /// What was read.
        url: String,
        /// The timeout.
        timeout: Duration,
    },
    /// No connection could be made.
    #[error("connecting to {url}")]
    Connect {
        /// What was read.
        url: String,
        /// What went wrong.
        #[source]
        source: reqwest::Error,
    },
    /// The answer is no success.
    #[error("{url} answered with status {status}")]
    Status {
        /// What was read.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// More redirects than we follow, or in a circle.
    #[error("{url} redirects too often")]
    Redirects {
        /// What was read.
        url: String,
        /// How that showed.
        #[source]
        source: reqwest::Error,
    },
    /// The page is larger than allowed, after decompression.
    #[error("the page of {url} is larger than {max} bytes")]
    TooLarge {
        /// What was read.
        url: String,
        /// The bound.
        max: usize,
    },
    /// The exchange broke off or was not HTTP.
    #[error("reading {url}")]
    Body {
        /// What was read.
        url: String,
        /// What went wrong.
        #[source]
        source: reqwest::Error,
    },
    /// No line of the page is a sample, and some are malformed: it is something else.
    #[error("{url} does not serve metrics")]
    NotMetrics {
        /// What was read.
        url: String,
    },
    /// An OpenMetrics page without its end: its last value may be cut.
    #[error("the page of {url} is cut short")]
    CutShort {
        /// What was read.
        url: String,
    },
}

impl Error {
    /// Whether the next scrape may well succeed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Timeout { .. }
            | Self::Connect { .. }
            | Self::Body { .. }
            | Self::CutShort { .. } => true,
            Self::Status { status, .. } => *status >= 500 || *status == 429,
            Self::Redirects { .. } | Self::TooLarge { .. } | Self::NotMetrics { .. } => false,
        }
    }

    /// Under which reason it is counted.
    #[must_use]
    pub fn reason(&self) -> FailureReason {
        match self {
            Self::Timeout { .. } => FailureReason::Timeout,
            Self::Connect { .. } => FailureReason::Connect,
            Self::Status { .. } => FailureReason::Status,
            Self::Redirects { .. } => FailureReason::Redirects,
            Self::TooLarge { .. } => FailureReason::TooLarge,
            Self::Body { .. } => FailureReason::Body,
            Self::NotMetrics { .. } => FailureReason::NotMetrics,
            Self::CutShort { .. } => FailureReason::CutShort,
        }
    }
}

/// Why no HTTP client could be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The process has not installed a TLS provider.
    #[error("no TLS provider is installed in this process")]
    NoTlsProvider,
    /// The client refused its own settings.
    #[error("building the HTTP client")]
    Build(#[source] reqwest::Error),
}

impl ClientError {
    /// Never: the process must be put together differently.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::NoTlsProvider | Self::Build(_) => false,
        }
    }
}

/// A page as it came.
#[derive(Debug)]
pub struct Fetched {
    /// How it is written.
    pub format: Format,
    /// Its bytes, decompressed.
    pub body: Vec<u8>,
}

/// Fetches pages; cheap to clone, and clones share their connections.
#[derive(Clone, Debug)]
pub struct Fetcher {
    client: Client,
    body_bytes_max: usize,
}

impl Fetcher {
    /// A fetcher of pages up to this size.
    ///
    /// # Errors
    /// When the process has no TLS provider installed: without one no client can be made, even
    /// for plain HTTP.
    pub fn new(body_bytes_max: usize) -> Result<Self, ClientError> {
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            return Err(ClientError::NoTlsProvider);
        }
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static(ACCEPTED));
        let client = Client::builder()
            .user_agent(concat!("vedette-agent/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .redirect(Policy::limited(REDIRECTS_MAX))
            .pool_max_idle_per_host(IDLE_PER_HOST_MAX)
            .pool_idle_timeout(IDLE_MAX)
            // Targets are on this node or beside it; a proxy for the world outside is in the way.
            .no_proxy()
            .build()
            .map_err(ClientError::Build)?;
        Ok(Self {
            client,
            body_bytes_max,
        })
    }

    /// Reads the page of `target` within its timeout.
    ///
    /// # Errors
    /// When there is no complete answer with a status of success within timeout and size.
    pub async fn fetch(&self, target: &Target) -> Result<Fetched, Error> {
        // A request does not fail for a header that cannot be written; digits can.
        let timeout = target.timeout().as_secs_f64().to_string();
        let response = self
            .client
            .get(target.url().clone())
            .header(TIMEOUT_HEADER, timeout)
            .timeout(target.timeout())
            .send()
            .await
            .map_err(|source| failed(target, source))?;
        if !response.status().is_success() {
            return Err(Error::Status {
                url: target.shown_url(),
                status: response.status().as_u16(),
            });
        }
        let content_type = response.headers().get(CONTENT_TYPE);
        let format = Format::of_content_type(content_type.and_then(|value| value.to_str().ok()));
        let body = self.body(target, response).await?;
        Ok(Fetched { format, body })
    }

    /// Reads the body piece by piece, each already decompressed, and stops at the bound.
    async fn body(&self, target: &Target, mut response: Response) -> Result<Vec<u8>, Error> {
        let announced = response.content_length().unwrap_or(0);
        let reserved = announced.min(BODY_BYTES_RESERVED_MAX);
        let mut body = Vec::with_capacity(usize::try_from(reserved).unwrap_or(0));
        while let Some(piece) = response
            .chunk()
            .await
            .map_err(|source| failed(target, source))?
        {
            if piece.len() > self.body_bytes_max.saturating_sub(body.len()) {
                return Err(Error::TooLarge {
                    url: target.shown_url(),
                    max: self.body_bytes_max,
                });
            }
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }
}

fn failed(target: &Target, source: reqwest::Error) -> Error {
    let url = target.shown_url();
    let source = source.without_url();
    if source.is_timeout() {
        Error::Timeout {
            url,
            timeout: target.timeout(),
        }
    } else if source.is_redirect() {
        Error::Redirects { url, source }
    } else if source.is_connect() {
        Error::Connect { url, source }
    } else {
        Error::Body { url, source }
    }
}
