//! How the agent proves who it is, and how that is renewed while it runs.
//!
//! It brings files along (a certificate, or a bearer token), which are followed; or it gets a certificate
//! for a one-time join token and renews it by itself.

mod holder;
mod stored;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use daemon::blocking;
use daemon::shutdown::Shutdown;
use wire::client::{self, Connection, Credentials, Token};
use wire::ingest::AgentId;

use crate::config::Config;
use crate::metrics::Metrics;
use crate::run::tuned;
use crate::sync::Identity;
use crate::way::{Signpost, Way};
use holder::{Holder, TokenSource};
use stored::Folder;

/// Variable that may hold a join token itself.
pub const JOIN_TOKEN: &str = "VEDETTE_JOIN_TOKEN";
/// How often files that were brought along are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Whether a text is a key and a certificate that this agent could use, for a fuzzer.
#[doc(hidden)]
#[must_use]
pub fn is_usable(text: &str, agent_id: &AgentId) -> bool {
    let now = stored::Now {
        wall_seconds: 1_800_000_000,
        monotonic: Duration::ZERO,
    };
    stored::Held::read(text, agent_id, now).is_ok()
}

/// Starts what keeps the way to the coordinator open to this agent.
///
/// # Errors
/// When what was brought along cannot be used.
pub(crate) fn start(
    config: &Config,
    identity: &Identity,
    metrics: &Arc<Metrics>,
    shutdown: &Shutdown,
) -> Result<Way, client::Error> {
    let (signpost, way) = Way::unknown();
    let folder = Folder(config.state_dir.clone());
    let environment = std::env::var(JOIN_TOKEN).ok();
    let token = TokenSource {
        file: config.tls.join_token_file.clone(),
        environment: environment.map(|text| Token::new(&text)),
    };
    let brings_none = config.tls.cert.is_none() && config.token_file.is_none();
    let has_token = token.file.is_some() || token.environment.is_some();
    let has_own = has_token || folder.has_one();
    if config.is_secure() && brings_none && has_own {
        let holder = Holder {
            agent_id: identity.agent_id.clone(),
            url: config.coordinator.clone(),
            ca: config.tls.ca.clone(),
            token,
            folder,
            clock: Arc::clone(&identity.clock),
            // Agents that started together do not come together.
            seed: identity.outbox.epoch(),
            metrics: Arc::clone(metrics),
            signpost,
        };
        drop(shutdown.spawn("certificate", holder.run(shutdown.clone())));
        return Ok(way);
    }
    let brought = Brought {
        url: config.coordinator.clone(),
        ca: config.tls.ca.clone(),
        cert: config.tls.cert.clone(),
        key: config.tls.key.clone(),
        token_file: config.token_file.clone(),
        metrics: Arc::clone(metrics),
    };
    // Before they are read: what is written meanwhile is then read again.
    let seen = brought.stamps();
    signpost.send_replace(Some(brought.connect()?));
    if seen.iter().any(Option::is_some) {
        let follow = brought.follow(seen, signpost, shutdown.clone());
        drop(shutdown.spawn("certificate", follow));
    }
    Ok(way)
}

/// When each file was written last, and its length.
type Stamps = [Option<(SystemTime, u64)>; 4];

/// Files that were brought along.
#[derive(Clone, Debug)]
struct Brought {
    url: String,
    ca: Option<PathBuf>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
    token_file: Option<PathBuf>,
    metrics: Arc<Metrics>,
}

impl Brought {
    fn stamps(&self) -> Stamps {
        [&self.ca, &self.cert, &self.key, &self.token_file].map(|path| {
            let metadata = std::fs::metadata(path.as_ref()?).ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        })
    }

    fn connect(&self) -> Result<Connection, client::Error> {
        let token = self.token_file.as_deref().map(Token::read).transpose()?;
        let credentials = Credentials {
            ca: self.ca.clone(),
            cert: self.cert.clone(),
            key: self.key.clone(),
            token,
            pem: None,
        };
        let connection = client::connect(&self.url, &credentials, tuned)?;
        if let Some(end) = self.cert.as_deref().and_then(end_of) {
            self.metrics.certificate.expiry.set(end);
        }
        Ok(connection)
    }

    /// Takes changed files into use until the drain. Those that cannot be used change nothing.
    async fn follow(self, mut seen: Stamps, signpost: Signpost, shutdown: Shutdown) {
        loop {
            tokio::select! {
                () = shutdown.draining() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let brought = self.clone();
            let looked = blocking::spawn(move || {
                let stamps = brought.stamps();
                (stamps, (stamps != seen).then(|| brought.connect()))
            });
            let Ok((stamps, connected)) = looked.await else {
                continue;
            };
            seen = stamps;
            match connected {
                None => {}
                Some(Ok(connection)) => {
                    signpost.send_replace(Some(connection));
                    tracing::info!("renewed certificates are in use");
                }
                // Half of a pair may be there; the other half is seen when it comes.
                Some(Err(error)) => tracing::warn!(
                    error = crate::chain(&error),
                    "the certificates in use stay: the new ones cannot be used"
                ),
            }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "seconds stay below 2^53")]
fn end_of(path: &Path) -> Option<f64> {
    stored::end_of(path).map(|seconds| seconds as f64)
}
