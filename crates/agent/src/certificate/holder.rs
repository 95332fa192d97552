//! Gets a certificate for a join token, and each other for the one before.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use daemon::backoff::Backoff;
use daemon::blocking;
use daemon::clock::SharedClock;
use daemon::shutdown::Shutdown;
use rcgen::{CertificateParams, KeyPair};
use tokio::time::{sleep, timeout};
use tonic::Status;
use wire::client::{self, Connection, Credentials, Token};
use wire::ingest::{AgentId, ProtocolError};
use wire::join::Issued;
use wire::proto::join_service_client::JoinServiceClient;
use wire::proto::{JoinRequest, RenewRequest};

use super::stored::{Folder, Held, Now, Unusable};
use crate::metrics::Metrics;
use crate::run::tuned;
use crate::way::Signpost;

/// How long the coordinator may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// When a certificate is renewed, in parts of its time: between the two, so that agents that started
/// together do not come together.
const DUE: (f64, f64) = (0.6, 0.7);
/// The first wait after a failure and the longest, while there is no certificate.
const JOIN_AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// The same while there is one, in parts of its time, and the longest that they may come to.
const RENEW_AGAIN: (f64, f64) = (0.01, 0.04);
const RENEW_AGAIN_MAX: Duration = Duration::from_secs(300);

/// Where a join token comes from. It is read when it is needed, because it may come later.
#[derive(Clone, Debug)]
pub(super) struct TokenSource {
    pub(super) file: Option<PathBuf>,
    pub(super) environment: Option<Token>,
}

impl TokenSource {
    fn read(&self) -> Result<Option<Token>, client::Error> {
        match &self.file {
            Some(path) => match Token::read(path) {
                Err(client::Error::File { source, .. })
                    if source.kind() == io::ErrorKind::NotFound =>
                {
                    Ok(self.environment.clone())
                }
                read => read.map(Some),
            },
            None => Ok(self.environment.clone()),
        }
    }
}

/// Why there is no new certificate.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(
        "there is no join token: let an administrator make one by `vedette token join {0}` and put it \
         into the file of tls.join_token_file, which is looked at again and again"
    )]
    NoToken(AgentId),
    #[error("the join token (tls.join_token_file)")]
    Token(#[source] client::Error),
    #[error("the way to the coordinator (coordinator, tls.ca)")]
    Way(#[from] client::Error),
    #[error("the coordinator is not there or refuses: {} ({:?})", .0.message(), .0.code())]
    Refused(Status),
    #[error("the coordinator said nothing for {} s", ANSWER_WITHIN.as_secs())]
    Silent,
    #[error("the coordinator's answer")]
    Answer(#[from] ProtocolError),
    #[error("the coordinator's answer")]
    Unusable(#[from] Unusable),
    #[error("making a key and a request for it")]
    Key(#[from] rcgen::Error),
    #[error("keeping a key in the state folder")]
    Disk(#[from] io::Error),
    #[error("the work panicked")]
    Panicked(#[from] tokio::task::JoinError),
}

/// Who holds the agent's certificate.
pub(super) struct Holder {
    pub(super) agent_id: AgentId,
    pub(super) url: String,
    pub(super) ca: Option<PathBuf>,
    pub(super) token: TokenSource,
    pub(super) folder: Folder,
    pub(super) clock: SharedClock,
    pub(super) seed: u64,
    pub(super) metrics: Arc<Metrics>,
    pub(super) signpost: Signpost,
}

impl Holder {
    /// Runs until the drain.
    pub(super) async fn run(self, shutdown: Shutdown) {
        tokio::select! {
            () = shutdown.draining() => {}
            () = self.hold() => {}
        }
    }

    /// Never ends.
    async fn hold(&self) {
        let (folder, agent_id, now) = (self.folder.clone(), self.agent_id.clone(), self.now());
        let loaded = blocking::spawn(move || folder.load(&agent_id, now)).await;
        let mut held = loaded.ok().flatten();
        // One that is over is not shown to anyone but who may renew it.
        let counts = |held: &&Held| !held.left(self.clock.monotonic()).is_zero();
        if let Some(held) = held.as_ref().filter(counts) {
            match self.connect(Some(held)).await {
                Ok(connection) => self.show(held, connection),
                Err(error) => {
                    tracing::error!(error = crate::chain(&error), "the certificate is not used");
                }
            }
        }
        loop {
            if let Some(held) = &held {
                sleep(self.until_due(held)).await;
            }
            held = Some(self.next(held.as_ref()).await);
        }
    }

    fn now(&self) -> Now {
        Now {
            wall_seconds: self.clock.wall_millis() / 1000,
            monotonic: self.clock.monotonic(),
        }
    }

    fn until_due(&self, held: &Held) -> Duration {
        let (early, late) = (held.whole.mul_f64(DUE.0), held.whole.mul_f64(DUE.1));
        let seed = self.seed ^ held.not_after_seconds.cast_unsigned();
        // One draw between the two.
        let due = Backoff::new(early, late, seed).map_or(early, |mut draw| draw.next_delay());
        let after = held.whole.saturating_sub(due);
        held.left(self.clock.monotonic()).saturating_sub(after)
    }

    /// The waits between attempts.
    fn backoff(&self, held: Option<&Held>) -> Backoff {
        let (least, most) = match held {
            Some(held) => (
                held.whole.mul_f64(RENEW_AGAIN.0).min(JOIN_AGAIN.0),
                held.whole.mul_f64(RENEW_AGAIN.1).min(RENEW_AGAIN_MAX),
            ),
            None => JOIN_AGAIN,
        };
        let least = least.max(Duration::from_millis(50));
        let backoff = Backoff::new(least, most.max(least), self.seed);
        backoff.expect("the first is not zero and not above the second")
    }

    /// The next certificate, after as many attempts as it takes. It is in use when this returns.
    async fn next(&self, held: Option<&Held>) -> Held {
        let mut backoff = self.backoff(held);
        let mut is_told = false;
        loop {
            let failed = match self.attempt(held).await {
                Ok(next) => return next,
                Err(failed) => failed,
            };
            self.metrics.certificate.failures.inc();
            let error = crate::chain(&failed);
            let left_seconds = held.map_or(0, |held| held.left(self.clock.monotonic()).as_secs());
            if left_seconds > 0 {
                tracing::warn!(left_seconds, error, "the certificate is not renewed yet");
            } else if !is_told {
                // Once: a person must act, and knows from then on.
                is_told = true;
                tracing::error!(
                    error,
                    "there is no certificate that counts; what is read is spooled"
                );
            } else {
                tracing::warn!(error, "there is still no certificate that counts");
            }
            sleep(backoff.next_delay()).await;
        }
    }

    async fn attempt(&self, held: Option<&Held>) -> Result<Held, Failed> {
        let (key, issued) = match held {
            None => self.join().await?,
            Some(held) if held.left(self.clock.monotonic()).is_zero() => {
                let joined = self.join().await;
                match joined {
                    Ok(joined) => joined,
                    // Our clock may be wrong: the coordinator judges by its own.
                    Err(failed) => self.renew(held).await.map_err(|_failed| failed)?,
                }
            }
            Some(held) => self.renew(held).await?,
        };
        let next = Held::issued(&key, &issued, &self.agent_id, self.now())?;
        let connection = self.connect(Some(&next)).await?;
        let (folder, pem) = (self.folder.clone(), next.pem.clone());
        let kept = blocking::spawn(move || {
            folder.keep(&pem)?;
            folder.forget_join_key();
            Ok::<_, io::Error>(())
        });
        if let Err(error) = kept.await? {
            tracing::error!(
                error = crate::chain(&error),
                "the certificate is in use and not on disk: after a restart the one before counts"
            );
        }
        let lasts_seconds = issued.lasts.as_secs();
        tracing::info!(lasts_seconds, renewed = held.is_some(), "got a certificate");
        self.show(&next, connection);
        Ok(next)
    }

    /// Uses it from now on.
    fn show(&self, held: &Held, connection: Connection) {
        #[expect(clippy::cast_precision_loss, reason = "seconds stay below 2^53")]
        let end = held.not_after_seconds as f64;
        self.metrics.certificate.expiry.set(end);
        self.signpost.send_replace(Some(connection));
    }

    async fn connect(&self, held: Option<&Held>) -> Result<Connection, Failed> {
        let credentials = Credentials {
            ca: self.ca.clone(),
            pem: held.map(|held| held.pem.clone()),
            ..Credentials::default()
        };
        let url = self.url.clone();
        let connected = blocking::spawn(move || client::connect(&url, &credentials, tuned));
        Ok(connected.await??)
    }

    async fn join(&self) -> Result<(KeyPair, Issued), Failed> {
        let (source, folder) = (self.token.clone(), self.folder.clone());
        let agent_id = self.agent_id.clone();
        let prepared = blocking::spawn(move || {
            let token = source.read().map_err(Failed::Token)?;
            let token = token.ok_or(Failed::NoToken(agent_id))?;
            Ok::<_, Failed>((token, folder.join_key()?))
        });
        let (token, key) = prepared.await??;
        let request = JoinRequest {
            agent_id: self.agent_id.to_string(),
            token: token.expose().to_owned(),
            certificate_request: request(&key)?,
        };
        let mut client = JoinServiceClient::new(self.connect(None).await?);
        let answer = answered(client.join(request)).await?;
        Ok((key, answer.issued.try_into()?))
    }

    /// Over the connection that stands, or that would.
    async fn renew(&self, held: &Held) -> Result<(KeyPair, Issued), Failed> {
        let standing = self.signpost.borrow().clone();
        let connection = match standing {
            Some(connection) => connection,
            None => self.connect(Some(held)).await?,
        };
        let key = KeyPair::generate()?;
        let request = RenewRequest {
            certificate_request: request(&key)?,
        };
        let mut client = JoinServiceClient::new(connection);
        let answer = answered(client.renew(request)).await?;
        Ok((key, answer.issued.try_into()?))
    }
}

/// All that counts of it is the key: the coordinator says the rest.
fn request(key: &KeyPair) -> Result<Vec<u8>, rcgen::Error> {
    let request = CertificateParams::default().serialize_request(key)?;
    Ok(request.der().to_vec())
}

async fn answered<T>(
    call: impl Future<Output = Result<tonic::Response<T>, Status>>,
) -> Result<T, Failed> {
    match timeout(ANSWER_WITHIN, call).await {
        Ok(Ok(answer)) => Ok(answer.into_inner()),
        Ok(Err(status)) => Err(Failed::Refused(status)),
        Err(_elapsed) => Err(Failed::Silent),
    }
}
