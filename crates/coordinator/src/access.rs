//! Who may do what.
//!
//! A caller proves who it is by a client certificate or a bearer token, and has one [`Role`]. Each service
//! and page says what it [needs](Need); [`Access::judge`] is the one place that decides. Without tokens
//! and without an authority for client certificates nothing is asked of anyone: that is for one
//! machine, and the configuration does not listen beyond it so unless it is told to.

mod audit;
mod certificate;
mod changed;
mod guard;
mod limits;
mod refusal;
mod role;
mod tokens;

use std::collections::HashSet;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use daemon::chain;
use daemon::clock::SharedClock;
use tokio::sync::watch;

use crate::config::Config;
use crate::metrics::Metrics;

pub(crate) use audit::retain;
pub use audit::{Audit, Entry, LISTING_MAX, Outcome, Page, Wanted};
pub use certificate::{Certificate, CertificateError};
pub use guard::Guard;
use limits::Limits;
pub use limits::Rates;
pub use refusal::Refusal;
pub use role::{Need, Role};
pub(crate) use tokens::{Digest, digest_of};
pub use tokens::{NewToken, Secret, TokenFileError, Tokens};

/// How often files of tokens and of revocations are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How often a caller with an open stream is judged again when nothing has changed: credentials expire.
const JUDGE_EVERY: Duration = Duration::from_secs(15);

/// The other end of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its address.
    pub address: SocketAddr,
    /// What it has shown in the handshake; its signatures were verified there.
    pub certificate: Option<Arc<Certificate>>,
}

/// What a caller's identity rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Proof {
    Nothing,
    Certificate(Arc<Certificate>),
    Token(tokens::Digest),
}

/// Who is calling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    name: Arc<str>,
    role: Role,
    proof: Proof,
}

impl Caller {
    /// Its name; empty for a caller of whom nothing was asked.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its role.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// Whether it has proved who it is.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        self.proof != Proof::Nothing
    }
}

/// What is in force now.
#[derive(Debug, Default)]
struct InForce {
    tokens: Tokens,
    /// Names and serials of certificates that are taken back.
    revoked: HashSet<String>,
}

/// When each file was written last, and its length.
type Stamps = [Option<(std::time::SystemTime, u64)>; 2];

/// Where what is in force comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// Tokens.
    pub tokens: Option<PathBuf>,
    /// Names and serials of certificates that are taken back, one a line.
    pub revoked: Option<PathBuf>,
    /// Whether client certificates are verified: there is an authority for them.
    pub certificates: bool,
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The tokens.
    #[error(transparent)]
    Tokens(#[from] TokenFileError),
    /// The revocations.
    #[error("reading {} (tls.revoked)", path.display())]
    Revoked {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}

impl Files {
    fn read(&self) -> Result<InForce, FileError> {
        let tokens = match &self.tokens {
            Some(path) => Tokens::read(path)?,
            None => Tokens::default(),
        };
        let revoked = match &self.revoked {
            Some(path) => std::fs::read_to_string(path).map_err(|source| FileError::Revoked {
                path: path.clone(),
                source,
            })?,
            None => String::new(),
        };
        let revoked = revoked
            .lines()
            .map(|line| line.split('#').next().unwrap_or_default().trim())
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect();
        Ok(InForce { tokens, revoked })
    }

    /// What tells whether one of them was written.
    fn stamps(&self) -> Stamps {
        [&self.tokens, &self.revoked].map(|path| {
            let metadata = std::fs::metadata(path.as_ref()?).ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        })
    }
}

/// The judgement at the door. Cheap to clone.
#[derive(Clone)]
pub struct Access(Arc<Shared>);

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Access").field(&self.0.files).finish()
    }
}

struct Shared {
    files: Files,
    /// The files when they were read first.
    seen: Stamps,
    in_force: RwLock<Arc<InForce>>,
    /// Counts changes of what is in force.
    changes: watch::Sender<u64>,
    limits: Limits,
    audit: Audit,
    metrics: Arc<Metrics>,
    clock: SharedClock,
}

impl Access {
    /// Reads the files. Callers are held to `rates`.
    ///
    /// # Errors
    /// When one of them cannot be used.
    pub fn open(
        files: Files,
        rates: Rates,
        audit: Audit,
        metrics: Arc<Metrics>,
        clock: SharedClock,
    ) -> Result<Self, FileError> {
        // Before it is read: what is written meanwhile is then read again.
        let seen = files.stamps();
        let in_force = RwLock::new(Arc::new(files.read()?));
        Ok(Self(Arc::new(Shared {
            files,
            seen,
            in_force,
            changes: watch::Sender::new(0),
            limits: Limits::new(rates),
            audit,
            metrics,
            clock,
        })))
    }

    /// Whether anything is asked of callers.
    #[must_use]
    pub fn is_enforced(&self) -> bool {
        self.0.files.tokens.is_some() || self.0.files.certificates
    }

    fn in_force(&self) -> Arc<InForce> {
        let lock = self.0.in_force.read();
        Arc::clone(&lock.unwrap_or_else(PoisonError::into_inner))
    }

    /// Who calls, if it may. `authorization` is the header of that name. `action` is what it wants, for the
    /// audit log.
    ///
    /// # Errors
    /// Why not. It has been counted and recorded.
    pub fn judge(
        &self,
        peer: &Peer,
        authorization: Option<&str>,
        need: Need,
        action: &dyn fmt::Display,
    ) -> Result<Caller, Refusal> {
        let judged = self.consider(peer, authorization, need);
        judged.inspect_err(|refusal| self.refused(peer.address, action, refusal))
    }

    fn consider(
        &self,
        peer: &Peer,
        authorization: Option<&str>,
        need: Need,
    ) -> Result<Caller, Refusal> {
        let (limits, now) = (&self.0.limits, self.0.clock.monotonic());
        let known = self.identify(peer, authorization);
        // Only failures are held against a host: who has a credential is let in also beside others who
        // have none, behind the same address.
        let caller = known.map_err(|refusal| limits.failed(refusal, peer.address.ip(), now))?;
        let may = !caller.is_proven() || caller.role.may(need);
        // Agents and remote writes are held back without being refused: by quotas, and by room for bodies.
        let is_held_back = matches!(need, Need::SpeakAsAgent | Need::RemoteWrite);
        if !(may && is_held_back) {
            limits.asked(&caller, peer.address.ip(), now)?;
        }
        if may {
            return Ok(caller);
        }
        let (name, role) = (caller.name, caller.role);
        Err(Refusal::Role { name, role, need })
    }

    fn identify(&self, peer: &Peer, authorization: Option<&str>) -> Result<Caller, Refusal> {
        if !self.is_enforced() {
            return Ok(Caller {
                name: "".into(),
                role: Role::Admin,
                proof: Proof::Nothing,
            });
        }
        let caller = match (authorization, &peer.certificate) {
            (Some(text), _) => {
                let digest = tokens::digest_of_header(text).ok_or(Refusal::UnknownToken)?;
                let in_force = self.in_force();
                let token = in_force.tokens.get(&digest);
                let token = token.ok_or(Refusal::UnknownToken)?;
                Caller {
                    name: Arc::clone(&token.name),
                    role: token.role,
                    proof: Proof::Token(digest),
                }
            }
            (None, Some(certificate)) => Caller {
                name: Arc::clone(&certificate.name),
                role: certificate.role,
                proof: Proof::Certificate(Arc::clone(certificate)),
            },
            (None, None) => return Err(Refusal::NoCredential),
        };
        self.still(&caller)?;
        Ok(caller)
    }

    /// Whether a caller that was let in would be let in now.
    fn still(&self, caller: &Caller) -> Result<(), Refusal> {
        let in_force = self.in_force();
        let name = || Arc::clone(&caller.name);
        let expires_seconds = match &caller.proof {
            Proof::Nothing => return Ok(()),
            Proof::Token(digest) => {
                let token = in_force.tokens.get(digest);
                token.ok_or(Refusal::UnknownToken)?.expires_seconds
            }
            Proof::Certificate(certificate) => {
                let revoked = &in_force.revoked;
                if revoked.contains(&*certificate.name) || revoked.contains(&certificate.serial) {
                    return Err(Refusal::Revoked(name()));
                }
                Some(certificate.not_after_seconds)
            }
        };
        if expires_seconds.is_some_and(|at| self.0.clock.wall_millis() / 1000 >= at) {
            return Err(Refusal::Expired(name()));
        }
        Ok(())
    }

    /// Waits until a caller would no longer be let in.
    pub async fn until_refused(&self, caller: &Caller) -> Refusal {
        if !caller.is_proven() {
            return std::future::pending().await;
        }
        let mut changes = self.0.changes.subscribe();
        loop {
            if let Err(refusal) = self.still(caller) {
                return refusal;
            }
            // The sender lives as long as we do.
            drop(tokio::time::timeout(JUDGE_EVERY, changes.changed()).await);
        }
    }

    /// Counts and records that someone was not let in.
    pub fn refused(&self, address: SocketAddr, action: &dyn fmt::Display, refusal: &Refusal) {
        self.0.metrics.access_refused[refusal.index()].inc();
        let (action, detail) = (action.to_string(), refusal.to_string());
        self.record(address, refusal.who(), &action, Outcome::Refused, detail);
    }

    /// Whether certificates of this name are taken back.
    #[must_use]
    pub fn is_revoked(&self, name: &str) -> bool {
        self.in_force().revoked.contains(name)
    }

    /// Records that a caller has changed something.
    pub fn did(&self, caller: &Caller, address: SocketAddr, action: &str, detail: String) {
        self.record(address, &caller.name, action, Outcome::Done, detail);
    }

    /// Records what was done or refused where there is no caller that was let in.
    pub fn record(
        &self,
        address: SocketAddr,
        who: &str,
        action: &str,
        outcome: Outcome,
        detail: String,
    ) {
        self.0.audit.record(Entry {
            at_millis: self.0.clock.wall_millis(),
            who: who.to_owned(),
            address: address.to_string(),
            action: action.to_owned(),
            outcome,
            detail,
        });
    }

    /// Follows the files until the process drains. One that cannot be used changes nothing.
    pub async fn follow(self, shutdown: daemon::shutdown::Shutdown) {
        let mut seen = self.0.seen;
        loop {
            tokio::select! {
                () = shutdown.draining() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let stamps = self.0.files.stamps();
            if stamps == seen {
                continue;
            }
            seen = stamps;
            let files = self.0.files.clone();
            let Ok(read) = tokio::task::spawn_blocking(move || files.read()).await else {
                continue;
            };
            match read {
                Ok(in_force) => self.put_in_force(in_force),
                Err(error) => tracing::error!(
                    error = chain(&error),
                    "what callers are judged by is not changed: the file cannot be used"
                ),
            }
        }
    }

    fn put_in_force(&self, in_force: InForce) {
        let detail = changed::told(&self.in_force(), &in_force);
        tracing::info!(detail, "what callers are judged by has changed");
        *self
            .0
            .in_force
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Arc::new(in_force);
        self.changed("access.changed", detail);
        self.0.changes.send_modify(|count| *count += 1);
    }

    /// Logs and records which keys each new configuration changes, until the process drains.
    pub async fn record_reloads(
        self,
        mut config: watch::Receiver<Arc<Config>>,
        shutdown: daemon::shutdown::Shutdown,
    ) {
        let mut before = Arc::clone(&config.borrow_and_update());
        loop {
            tokio::select! {
                () = shutdown.draining() => return,
                changed = config.changed() => if changed.is_err() { return },
            }
            let now = Arc::clone(&config.borrow_and_update());
            let keys = now.keys_changed_since(&before).join(", ");
            let detail = match keys.as_str() {
                "" => "nothing has changed".to_owned(),
                keys => format!("changed: {keys}"),
            };
            tracing::info!(detail, "configuration reloaded");
            self.changed("config.reloaded", detail);
            before = now;
        }
    }

    /// Records what files have changed: nobody called.
    fn changed(&self, action: &str, detail: String) {
        self.0.audit.record(Entry {
            at_millis: self.0.clock.wall_millis(),
            who: String::new(),
            address: String::new(),
            action: action.to_owned(),
            outcome: Outcome::Done,
            detail,
        });
    }
}

#[cfg(test)]
mod tests;
