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
/// The shortest wait, however short a certificate lasts.
const AGAIN_MIN: Duration = Duration::from_millis(200);

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
                sleep(until_due(held, self.clock.monotonic(), self.seed)).await;
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

    /// The next certificate, after as many attempts as it takes. It is in use when this returns.
    async fn next(&self, held: Option<&Held>) -> Held {
        let left = || held.map_or(Duration::ZERO, |held| held.left(self.clock.monotonic()));
        let mut is_told = false;
        let mut backoff = backoff(held, self.seed);
        loop {
            let failed = match self.attempt(held).await {
                Ok(next) => return next,
                Err(failed) => failed,
            };
            self.metrics.certificate.failures.inc();
            let (error, left) = (crate::chain(&failed), left());
            if !left.is_zero() {
                let left_seconds = left.as_secs();
                tracing::warn!(left_seconds, error, "the certificate is not renewed yet");
            } else if !is_told {
                // Once: a person must act, and knows from then on.
                is_told = true;
                backoff = self::backoff(None, self.seed);
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

/// How long a certificate need not be renewed.
fn until_due(held: &Held, monotonic: Duration, seed: u64) -> Duration {
    let (early, late) = (held.whole.mul_f64(DUE.0), held.whole.mul_f64(DUE.1));
    // One draw between the two, another for each certificate.
    let seed = seed ^ held.not_after_seconds.cast_unsigned();
    let due = Backoff::new(early, late, seed).map_or(early, |mut draw| draw.next_delay());
    let after = held.whole.saturating_sub(due);
    held.left(monotonic).saturating_sub(after)
}

/// The waits between attempts.
fn backoff(held: Option<&Held>, seed: u64) -> Backoff {
    let (least, most) = match held {
        Some(held) => (
            held.whole.mul_f64(RENEW_AGAIN.0).min(JOIN_AGAIN.0),
            held.whole.mul_f64(RENEW_AGAIN.1).min(RENEW_AGAIN_MAX),
        ),
        None => JOIN_AGAIN,
    };
    let least = least.max(AGAIN_MIN);
    let backoff = Backoff::new(least, most.max(least), seed);
    backoff.expect("the first is not zero and not above the second")
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

#[cfg(test)]
mod tests {
    use wire::client::Pem;

    use super::*;

    fn held(whole: u64, left: u64) -> Held {
        Held {
            pem: Pem::new(String::new()),
            not_after_seconds: 1_800_000_000,
            whole: Duration::from_secs(whole),
            left: Duration::from_secs(left),
            since: Duration::from_secs(50),
        }
    }

    #[test]
    fn a_certificate_is_renewed_at_two_thirds_of_its_time_or_so() {
        let at = |monotonic, held: &Held, seed| {
            until_due(held, Duration::from_secs(monotonic), seed).as_secs_f64()
        };
        let all: Vec<f64> = (0..100)
            .map(|seed| at(50, &held(1000, 1000), seed))
            .collect();
        assert!(
            all.iter().all(|due| (600.0..=700.0).contains(due)),
            "{all:?}"
        );
        assert!(all.iter().any(|due| *due < 630.0) && all.iter().any(|due| *due > 670.0));
        // Kept on disk for half of its time, and since then in use.
        assert!((100.0..=200.0).contains(&at(50, &held(1000, 500), 7)));
        assert!((0.0..=100.0).contains(&at(150, &held(1000, 500), 7)));
        for over in [held(1000, 200), held(1000, 0), held(0, 0)] {
            let due = until_due(&over, Duration::from_secs(50), 7);
            assert_eq!(due, Duration::ZERO);
        }
    }

    #[test]
    fn attempts_are_as_far_apart_as_the_certificate_is_long_and_never_close() {
        let longest = |held: Option<&Held>| {
            let mut backoff = backoff(held, 7);
            let waits = (0..50).map(|_| backoff.next_delay());
            waits.fold(Duration::ZERO, Duration::max)
        };
        assert_eq!(longest(Some(&held(0, 0))), AGAIN_MIN);
        assert!(longest(Some(&held(86_400, 100))) > Duration::from_secs(200));
        assert!(longest(None) <= JOIN_AGAIN.1);
    }
}
