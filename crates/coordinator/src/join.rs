//! Certificates for agents: the first for a token, each other for the one before.
//!
//! The authority's key signs here when the configuration gives it (`[join]`); otherwise certificates are
//! made elsewhere and nothing here is answered but that.

mod authority;
mod knocks;
mod refusal;
mod request;
mod tokens;

use std::fmt;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use daemon::clock::SharedClock;
use daemon::{blocking, chain};
use store::Store;
use tokio::sync::watch;
use tonic::{Request, Response, Status};
use wire::ingest::AgentId;
use wire::join::{CertificateRequest, CreateJoinToken, JoinRequest};
use wire::proto;
use wire::proto::join_service_server::JoinService;
use wire::proto::join_token_service_server::JoinTokenService;

use crate::access::{Access, Caller, Need, Outcome, Peer};
use crate::config::Config;
use crate::fleet::Fleet;
use crate::metrics::Metrics;
use crate::net::neighbourhood;
use crate::status::ToStatus as _;
use authority::Signed;
use knocks::{Knocks, Rate};
use tokens::{Comer, MakeError, Tokens};

pub use authority::{Authority, AuthorityError, AuthorityFiles};
pub use refusal::Denied;
pub use request::{PublicKey, RequestError};

/// How often one address may come with a token: many nodes may be behind one.
const OF_ADDRESS: Rate = Rate {
    every: Duration::from_millis(200),
    burst: 50,
};
/// How often all may. Each attempt costs a look at all tokens, a signature and a write to disk.
const OF_ALL: Rate = Rate {
    every: Duration::from_millis(10),
    burst: 500,
};
/// How often one agent may renew: once in some hours is enough.
const OF_AGENT: Rate = Rate {
    every: Duration::from_secs(1),
    burst: 10,
};

/// What [`Join`] works with.
pub struct Parts {
    /// The authority that signs, if there is one.
    pub authority: Option<Authority>,
    /// Who is let in.
    pub access: Access,
    /// Who is known.
    pub fleet: Fleet,
    /// Where tokens are kept.
    pub store: Arc<Store>,
    /// The configuration as it is now.
    pub config: watch::Receiver<Arc<Config>>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// The clock.
    pub clock: SharedClock,
}

struct Shared {
    parts: Parts,
    tokens: Tokens,
    comers: Mutex<Knocks<IpAddr>>,
    renewers: Mutex<Knocks<String>>,
}

/// Who gives out certificates. Cheap to clone.
#[derive(Clone)]
pub struct Join(Arc<Shared>);

impl fmt::Debug for Join {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let authority = &self.0.parts.authority;
        f.debug_tuple("Join").field(authority).finish()
    }
}

/// Which way a certificate was come by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// For a token.
    Join,
    /// For the certificate before.
    Renew,
}

impl Way {
    /// Values of the label `way`.
    pub const ALL: [&'static str; 2] = ["join", "renew"];

    const fn index(self) -> usize {
        match self {
            Self::Join => 0,
            Self::Renew => 1,
        }
    }

    /// As the audit log names it when it is refused, and when it is done.
    const fn actions(self) -> (&'static str, &'static str) {
        match self {
            Self::Join => ("certificate.join", "certificate.issued"),
            Self::Renew => ("certificate.renew", "certificate.renewed"),
        }
    }
}

impl Join {
    /// Reads the tokens.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn open(parts: Parts) -> Result<Self, store::Error> {
        let tokens = Tokens::open(Arc::clone(&parts.store))?;
        Ok(Self(Arc::new(Shared {
            parts,
            tokens,
            comers: Mutex::new(Knocks::new(OF_ADDRESS, OF_ALL)),
            renewers: Mutex::new(Knocks::new(OF_AGENT, OF_ALL)),
        })))
    }

    async fn joined(
        &self,
        peer: &Peer,
        request: proto::JoinRequest,
    ) -> Result<proto::IssuedCertificate, Denied> {
        self.0
            .may(&self.0.comers, neighbourhood(peer.address.ip()))?;
        let request = JoinRequest::try_from(request)?;
        let (this, peer) = (self.clone(), peer.clone());
        let work = blocking::spawn(move || this.0.for_token(&peer, &request));
        work.await.map_err(|_source| Denied::Panicked)?
    }

    async fn renewed(
        &self,
        peer: &Peer,
        caller: &Caller,
        request: proto::RenewRequest,
    ) -> Result<proto::IssuedCertificate, Denied> {
        self.0.may(&self.0.renewers, caller.name().to_owned())?;
        // It is one: the certificate it comes from was read as one.
        let agent_id = AgentId::try_from(caller.name().to_owned())?;
        let request = CertificateRequest::try_from(request.certificate_request)?;
        let (this, peer) = (self.clone(), peer.clone());
        let work = blocking::spawn(move || {
            let key = PublicKey::read(request.as_bytes())?;
            let signed = this.0.sign(&agent_id, &key)?;
            Ok(this.0.handed_out(Way::Renew, &peer, &agent_id, signed))
        });
        work.await.map_err(|_source| Denied::Panicked)?
    }

    fn denied(&self, way: Way, peer: &Peer, who: &str, denied: &Denied) -> Status {
        let parts = &self.0.parts;
        parts.metrics.certificates_refused[denied.index()].inc();
        if let Denied::Authority(_) | Denied::Store(_) | Denied::Panicked = denied {
            tracing::error!(error = chain(denied), "a certificate could not be issued");
        }
        let (action, _) = way.actions();
        let detail = denied.to_string();
        parts
            .access
            .record(peer.address, who, action, Outcome::Refused, detail);
        denied.to_status()
    }
}

impl Shared {
    fn may<K: Eq + Hash>(&self, knocks: &Mutex<Knocks<K>>, who: K) -> Result<(), Denied> {
        let now = self.parts.clock.monotonic();
        let mut knocks = knocks.lock().unwrap_or_else(PoisonError::into_inner);
        let may = knocks.may(who, now);
        may.then_some(()).ok_or(Denied::TooOften)
    }

    /// Blocks: the use of the token is on disk before there is an answer.
    fn for_token(
        &self,
        peer: &Peer,
        request: &JoinRequest,
    ) -> Result<proto::IssuedCertificate, Denied> {
        if self.parts.authority.is_none() {
            return Err(Denied::NoAuthority);
        }
        let name = &request.agent_id;
        let found = self.tokens.find(&request.token);
        let found = found.ok_or(Denied::UnknownToken)?;
        let key = PublicKey::read(request.certificate_request.as_bytes())?;
        let comer = Comer {
            agent_id: name,
            key: key.digest(),
            now_millis: self.parts.clock.wall_millis(),
            is_known: self.parts.fleet.knows(name),
        };
        let is_again = found.admits(&comer)?;
        if self.parts.access.is_revoked(name.as_str()) {
            return Err(Denied::Revoked(name.to_string()));
        }
        // Before it is used up: a token is not lost to an authority that cannot sign.
        let signed = self.sign(name, &key)?;
        let made_by = found.token().made_by.clone();
        if is_again {
            drop(found);
        } else {
            found.use_up(&comer)?;
        }
        let detail = match is_again {
            false => format!("a token made by {made_by:?}"),
            true => format!("a token made by {made_by:?}, again: the answer was lost"),
        };
        let access = &self.parts.access;
        let action = "join_token.used";
        access.record(peer.address, name.as_str(), action, Outcome::Done, detail);
        Ok(self.handed_out(Way::Join, peer, name, signed))
    }

    fn sign(&self, name: &AgentId, key: &PublicKey) -> Result<Signed, Denied> {
        let authority = self.parts.authority.as_ref().ok_or(Denied::NoAuthority)?;
        let lifetime = self.parts.config.borrow().join.certificate_lifetime;
        let now = self.parts.clock.wall_millis() / 1000;
        Ok(authority.sign(name, key, lifetime.as_duration(), now)?)
    }

    /// Counts and records a certificate that goes out.
    fn handed_out(
        &self,
        way: Way,
        peer: &Peer,
        name: &AgentId,
        signed: Signed,
    ) -> proto::IssuedCertificate {
        let parts = &self.parts;
        parts.metrics.certificates_issued[way.index()].inc();
        let (_, action) = way.actions();
        let end = jiff::Timestamp::from_second(signed.not_after_seconds).unwrap_or_default();
        let detail = format!("serial {}, until {end}", signed.serial);
        tracing::info!(agent = %name, action, detail, "a certificate was issued");
        let access = &parts.access;
        access.record(peer.address, name.as_str(), action, Outcome::Done, detail);
        let end_millis = signed.not_after_seconds.saturating_mul(1000);
        let lasts = end_millis.saturating_sub(parts.clock.wall_millis());
        proto::IssuedCertificate {
            chain: signed.chain,
            lasts_millis: lasts.max(0).cast_unsigned(),
        }
    }
}

fn peer_of<T>(request: &Request<T>) -> Result<Peer, Status> {
    let peer = request.extensions().get::<Peer>().cloned();
    peer.ok_or_else(|| Status::internal("the connection has no peer"))
}

#[tonic::async_trait]
impl JoinService for Join {
    async fn join(
        &self,
        request: Request<proto::JoinRequest>,
    ) -> Result<Response<proto::JoinResponse>, Status> {
        let peer = peer_of(&request)?;
        let joined = self.joined(&peer, request.into_inner()).await;
        let issued = joined.map_err(|denied| self.denied(Way::Join, &peer, "", &denied))?;
        let issued = Some(issued);
        Ok(Response::new(proto::JoinResponse { issued }))
    }

    async fn renew(
        &self,
        request: Request<proto::RenewRequest>,
    ) -> Result<Response<proto::RenewResponse>, Status> {
        let peer = peer_of(&request)?;
        // A token is not asked for: only who holds a certificate has one to renew.
        let (action, _) = Way::Renew.actions();
        let access = &self.0.parts.access;
        let judged = access.judge(&peer, None, Need::SpeakAsAgent, &action);
        let caller = judged.map_err(|refusal| refusal.to_status())?;
        let renewed = self.renewed(&peer, &caller, request.into_inner()).await;
        let issued =
            renewed.map_err(|denied| self.denied(Way::Renew, &peer, caller.name(), &denied))?;
        let issued = Some(issued);
        Ok(Response::new(proto::RenewResponse { issued }))
    }
}

/// The service of administrators.
#[derive(Clone, Debug)]
pub struct JoinTokens(pub Join);

#[tonic::async_trait]
impl JoinTokenService for JoinTokens {
    async fn create_join_token(
        &self,
        request: Request<proto::CreateJoinTokenRequest>,
    ) -> Result<Response<proto::CreateJoinTokenResponse>, Status> {
        let peer = peer_of(&request)?;
        let caller = request.extensions().get::<Caller>().cloned();
        let caller = caller.ok_or_else(|| Status::internal("the call has no caller"))?;
        let shared = Arc::clone(&(self.0).0);
        if shared.parts.authority.is_none() {
            return Err(Denied::NoAuthority.to_status());
        }
        let wanted = CreateJoinToken::try_from(request.into_inner());
        let wanted = wanted.map_err(|error| error.to_status())?;
        let work = blocking::spawn(move || {
            let now = shared.parts.clock.wall_millis();
            let (secret, expires_millis) = shared.tokens.make(&wanted, caller.name(), now)?;
            let end = jiff::Timestamp::from_millisecond(expires_millis).unwrap_or_default();
            let whom = wanted.agent_id.as_ref().map(AgentId::as_str);
            let detail = format!("for {}, until {end}", whom.unwrap_or("any new name"));
            let access = &shared.parts.access;
            access.did(&caller, peer.address, "join_token.made", detail);
            Ok(proto::CreateJoinTokenResponse {
                token: secret.expose().to_owned(),
                expires_millis,
            })
        });
        let made: Result<_, MakeError> = work
            .await
            .map_err(|_source| Status::internal("the work panicked"))?;
        let made = made.map_err(|error| match &error {
            MakeError::TooMany => Status::resource_exhausted(chain(&error)),
            MakeError::Random(_) => Status::internal(chain(&error)),
            MakeError::Store(store) => store.to_status(),
        });
        made.map(Response::new)
    }
}

#[cfg(test)]
mod tests;
