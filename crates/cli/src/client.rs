//! The connection to the coordinator, and what to say when it fails.

use std::error::Error as _;
use std::fmt;
use std::future::Future;
use std::time::Duration;

use tonic::{Code, Request, Status};
use wire::client::{Connection as Way, Credentials, Token};
use wire::proto::admin_service_client::AdminServiceClient;
use wire::proto::alert_service_client::AlertServiceClient;
use wire::proto::duty_service_client::DutyServiceClient;
use wire::proto::fleet_service_client::FleetServiceClient;
use wire::proto::join_token_service_client::JoinTokenServiceClient;
use wire::proto::query_service_client::QueryServiceClient;

use crate::args::Connection;

/// Longest wait for a connection to stand; a coordinator that is there answers sooner.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Variable that may hold the token itself.
const TOKEN: &str = "VEDETTE_TOKEN";

/// Largest list of nodes or events that is taken: ten thousand nodes with all their labels.
const FLEET_BYTES_MAX: usize = 64 << 20;

/// The coordinator that questions go to.
#[derive(Clone, Debug)]
pub(crate) struct Coordinator {
    url: String,
    timeout: Duration,
    way: Way,
}

impl Coordinator {
    /// Prepares a connection; it is made with the first question, and again whenever it is lost.
    pub(crate) fn new(connection: &Connection) -> anyhow::Result<Self> {
        let url = if connection.coordinator.contains("://") {
            connection.coordinator.clone()
        } else {
            format!("http://{}", connection.coordinator)
        };
        let token = match &connection.token_file {
            Some(path) => Some(Token::read(path)?),
            None => std::env::var(TOKEN).ok().map(|text| Token::new(&text)),
        };
        let credentials = Credentials {
            ca: connection.ca.clone(),
            cert: connection.cert.clone(),
            key: connection.key.clone(),
            token,
            pem: None,
        };
        let within = CONNECT_TIMEOUT.min(connection.timeout);
        let way = wire::client::connect(&url, &credentials, |endpoint| {
            endpoint.connect_timeout(within).tcp_nodelay(true)
        })?;
        Ok(Self {
            url,
            timeout: connection.timeout,
            way,
        })
    }

    /// Where the coordinator is.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The connection itself, for services that are not ours.
    pub(crate) fn way(&self) -> Way {
        self.way.clone()
    }

    /// Questions in PromQL.
    pub(crate) fn query(&self) -> QueryServiceClient<Way> {
        QueryServiceClient::new(self.way()).max_decoding_message_size(wire::MESSAGE_BYTES_MAX)
    }

    /// Questions about nodes.
    pub(crate) fn fleet(&self) -> FleetServiceClient<Way> {
        FleetServiceClient::new(self.way()).max_decoding_message_size(FLEET_BYTES_MAX)
    }

    /// What operators see.
    pub(crate) fn admin(&self) -> AdminServiceClient<Way> {
        AdminServiceClient::new(self.way()).max_decoding_message_size(wire::MESSAGE_BYTES_MAX)
    }

    /// What is known of alerts.
    pub(crate) fn alerts(&self) -> AlertServiceClient<Way> {
        AlertServiceClient::new(self.way()).max_decoding_message_size(FLEET_BYTES_MAX)
    }

    /// What those on duty do.
    pub(crate) fn duty(&self) -> DutyServiceClient<Way> {
        DutyServiceClient::new(self.way()).max_decoding_message_size(wire::MESSAGE_BYTES_MAX)
    }

    /// What lets agents in.
    pub(crate) fn join_tokens(&self) -> JoinTokenServiceClient<Way> {
        JoinTokenServiceClient::new(self.way())
    }

    /// A request that tells the coordinator how long we wait.
    pub(crate) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self.timeout);
        request
    }

    /// Waits for an answer for as long as `--timeout` says.
    pub(crate) async fn ask<T>(
        &self,
        question: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, AskError> {
        match tokio::time::timeout(self.timeout, question).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(status)) => Err(self.error(&status)),
            Err(_elapsed) => Err(self.too_slow()),
        }
    }

    /// Waits for the next of a stream, for as long as it takes.
    pub(crate) async fn hear<T>(
        &self,
        next: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, AskError> {
        next.await.map_err(|status| self.error(&status))
    }

    fn too_slow(&self) -> AskError {
        AskError {
            unreachable: false,
            text: format!(
                "the coordinator at {} did not answer within {}s: ask for less, or raise --timeout",
                self.url,
                self.timeout.as_secs_f64()
            ),
        }
    }

    /// What a failed call means to the one who asked.
    fn error(&self, status: &Status) -> AskError {
        let url = &self.url;
        let message = status.message();
        // A status with a source was made on our side: the call never got through.
        let unreachable = status.code() == Code::Unavailable && status.source().is_some();
        let text = match status.code() {
            Code::Unavailable if unreachable => format!(
                "no coordinator answers at {url}: is it running? start one with \
                 `vedette-coordinator`, or name another with --coordinator"
            ),
            Code::Unavailable => format!("the coordinator at {url} is not ready: {message}"),
            Code::DeadlineExceeded => return self.too_slow(),
            Code::Cancelled if message.contains("Timeout") => return self.too_slow(),
            Code::Unauthenticated => format!(
                "the coordinator at {url} does not know who is asking: {message}; give --token-file \
                 or --cert and --key"
            ),
            Code::PermissionDenied => format!("the coordinator at {url} refuses: {message}"),
            Code::InvalidArgument
            | Code::NotFound
            | Code::FailedPrecondition
            | Code::ResourceExhausted => message.to_owned(),
            Code::Unimplemented => format!(
                "the coordinator at {url} does not know this question: is it an older version, or \
                 something else?"
            ),
            code => format!("the coordinator at {url} failed: {message} ({code:?})"),
        };
        AskError { unreachable, text }
    }
}

/// Why there is no answer, in words that say what to do.
#[derive(Debug)]
pub(crate) struct AskError {
    /// Whether nobody was there at all.
    pub(crate) unreachable: bool,
    text: String,
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for AskError {}
