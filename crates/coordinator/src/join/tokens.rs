//! One-time tokens: made by an administrator, good for one certificate.
//!
//! They are kept in the store, as digests. That one is used up is durable before its certificate leaves
//! this process.

use std::hint::black_box;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use store::{StateRow, Store};
use wire::ingest::AgentId;
use wire::join::CreateJoinToken;

use super::refusal::Denied;
use crate::access::{Digest, Secret, digest_of};

/// State space of tokens. Never reused for anything else.
const SPACE: u8 = 7;
/// Tokens that are kept, those that are used up or have ended among them. Each attempt looks at all.
const TOKENS_MAX: usize = 10_000;
/// How long a token is kept after its end, so that who comes with it is told what became of it.
const KEPT_MILLIS: i64 = 7 * 86_400_000;
/// How long a token that is used up gives a certificate once more to the key that used it: the answer may
/// have been lost, and nobody else has that key.
const ANSWER_LOST_MILLIS: i64 = 10 * 60_000;
/// What tokens begin with, so that scanners for lost secrets find them.
const PREFIX: &str = "vdj_";

/// What is kept of a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Token {
    /// Whose certificate it is good for; none for any name that is not known.
    pub(super) agent_id: Option<String>,
    /// Who has made it.
    pub(super) made_by: String,
    made_millis: i64,
    expires_millis: i64,
    used: Option<Use>,
}

/// How a token was used up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Use {
    agent_id: String,
    at_millis: i64,
    key: Digest,
}

/// Who comes with a token.
#[derive(Debug)]
pub(super) struct Comer<'a> {
    pub(super) agent_id: &'a AgentId,
    /// Digest of its public key.
    pub(super) key: Digest,
    pub(super) now_millis: i64,
    /// Whether there was an agent of this name.
    pub(super) is_known: bool,
}

/// Why a token cannot be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum MakeError {
    #[error("{TOKENS_MAX} join tokens are kept already; they go a week after their end")]
    TooMany,
    #[error("making a secret")]
    Random(#[source] io::Error),
    #[error("keeping the join token")]
    Store(#[from] store::Error),
}

/// All tokens.
#[derive(Debug)]
pub(super) struct Tokens {
    store: Arc<Store>,
    all: Mutex<Vec<(Digest, Token)>>,
}

/// The end of a token and its digest, last end first: what is over lies at the end of the space.
fn key(expires_millis: i64, digest: &[u8]) -> Vec<u8> {
    let end = expires_millis.max(0).cast_unsigned();
    [&(u64::MAX - end).to_be_bytes()[..], digest].concat()
}

fn row(digest: &Digest, token: &Token) -> StateRow {
    StateRow {
        key: key(token.expires_millis, digest),
        value: serde_json::to_vec(token).unwrap_or_default(),
    }
}

impl Tokens {
    /// Those that `store` remembers.
    pub(super) fn open(store: Arc<Store>) -> Result<Self, store::Error> {
        let mut all = Vec::new();
        for row in store.scan_state(SPACE, &[], TOKENS_MAX)? {
            let digest = row.key.get(8..).and_then(|it| Digest::try_from(it).ok());
            match (digest, serde_json::from_slice(&row.value)) {
                (Some(digest), Ok(token)) => all.push((digest, token)),
                _ => tracing::warn!("a join token's row cannot be read and is left where it is"),
            }
        }
        let all = Mutex::new(all);
        Ok(Self { store, all })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Digest, Token)>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a token. Gives it and its end.
    pub(super) fn make(
        &self,
        wanted: &CreateJoinToken,
        made_by: &str,
        now_millis: i64,
    ) -> Result<(Secret, i64), MakeError> {
        let mut all = self.lock();
        forget(&self.store, &mut all, now_millis)?;
        if all.len() >= TOKENS_MAX {
            return Err(MakeError::TooMany);
        }
        let secret = Secret::beginning_with(PREFIX).map_err(MakeError::Random)?;
        let lifetime = millis(wanted.lifetime);
        let token = Token {
            agent_id: wanted.agent_id.as_ref().map(ToString::to_string),
            made_by: made_by.to_owned(),
            made_millis: now_millis,
            expires_millis: now_millis.saturating_add(lifetime),
            used: None,
        };
        let (digest, expires) = (digest_of(secret.expose()), token.expires_millis);
        self.store.put_state(SPACE, vec![row(&digest, &token)])?;
        all.push((digest, token));
        Ok((secret, expires))
    }

    /// Finds the token and holds all of them meanwhile, so that nobody else uses it.
    pub(super) fn find(&self, token: &str) -> Option<Found<'_>> {
        let digest = digest_of(token);
        let all = self.lock();
        // Each is compared, and each to its end: how long it takes tells nothing of any.
        let mut at = None;
        for (place, (known, _)) in all.iter().enumerate() {
            if is_same(known, &digest) {
                at = Some(place);
            }
        }
        let store = &self.store;
        at.map(|at| Found { store, all, at })
    }
}

/// A token that was found.
pub(super) struct Found<'a> {
    store: &'a Store,
    all: MutexGuard<'a, Vec<(Digest, Token)>>,
    at: usize,
}

impl Found<'_> {
    /// The token.
    pub(super) fn token(&self) -> &Token {
        &self.all[self.at].1
    }

    /// Whether it is good for who comes with it. Gives whether it was used by the same before, whose answer was
    /// lost.
    pub(super) fn admits(&self, comer: &Comer<'_>) -> Result<bool, Denied> {
        let (token, name) = (self.token(), comer.agent_id.as_str());
        if let Some(used) = &token.used {
            let since = comer.now_millis.saturating_sub(used.at_millis);
            let is_again = used.agent_id == name && is_same(&used.key, &comer.key);
            let is_soon = (0..ANSWER_LOST_MILLIS).contains(&since);
            return if is_again && is_soon {
                Ok(true)
            } else {
                Err(Denied::Used)
            };
        }
        if comer.now_millis >= token.expires_millis {
            return Err(Denied::Expired);
        }
        match &token.agent_id {
            Some(bound) if bound == name => Ok(false),
            Some(_) => Err(Denied::OtherName(name.to_owned())),
            None if comer.is_known || self.is_spoken_for(comer) => {
                Err(Denied::KnownName(name.to_owned()))
            }
            None => Ok(false),
        }
    }

    /// Whether another token has given this name away, or is good for it alone.
    fn is_spoken_for(&self, comer: &Comer<'_>) -> bool {
        let name = Some(comer.agent_id.as_str());
        self.all.iter().any(|(_, token)| match &token.used {
            Some(used) => Some(&*used.agent_id) == name,
            None => token.agent_id.as_deref() == name && comer.now_millis < token.expires_millis,
        })
    }

    /// Uses it up, for good when this returns.
    pub(super) fn use_up(mut self, comer: &Comer<'_>) -> Result<(), store::Error> {
        let (digest, token) = &mut self.all[self.at];
        let mut used = token.clone();
        used.used = Some(Use {
            agent_id: comer.agent_id.to_string(),
            at_millis: comer.now_millis,
            key: comer.key,
        });
        self.store.put_state(SPACE, vec![row(digest, &used)])?;
        *token = used;
        Ok(())
    }
}

/// Drops what has been over for long.
fn forget(
    store: &Store,
    all: &mut Vec<(Digest, Token)>,
    now_millis: i64,
) -> Result<(), store::Error> {
    let oldest = now_millis.saturating_sub(KEPT_MILLIS);
    if all.iter().all(|(_, token)| token.expires_millis >= oldest) {
        return Ok(());
    }
    store.drop_state(SPACE, &key(oldest.saturating_sub(1), &[]))?;
    all.retain(|(_, token)| token.expires_millis >= oldest);
    Ok(())
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Compares in a time that does not depend on where they differ.
fn is_same(one: &Digest, other: &Digest) -> bool {
    let differ = one
        .iter()
        .zip(other)
        .fold(0, |differ, (one, other)| black_box(differ | (one ^ other)));
    differ == 0
}

#[cfg(test)]
mod tests {
    use store::engine::memory::Memory;

    use super::*;

    const NOW: i64 = 1_800_000_000_000;
    const HOUR: i64 = 3_600_000;

    fn open(engine: &Arc<Memory>) -> Tokens {
        let (store, _) = Store::open(Box::new(Arc::clone(engine))).unwrap();
        Tokens::open(Arc::new(store)).unwrap()
    }

    fn agent(name: &str) -> AgentId {
        AgentId::try_from(name.to_owned()).unwrap()
    }

    fn make(tokens: &Tokens, name: Option<&str>) -> String {
        let wanted = CreateJoinToken {
            agent_id: name.map(agent),
            lifetime: Duration::from_secs(3600),
        };
        let (secret, expires) = tokens.make(&wanted, "anna", NOW).unwrap();
        assert_eq!(expires, NOW + HOUR);
        secret.expose().to_owned()
    }

    fn come(tokens: &Tokens, secret: &str, name: &str, key: u8, at: i64) -> Result<bool, Denied> {
        let agent_id = agent(name);
        let comer = Comer {
            agent_id: &agent_id,
            key: [key; 32],
            now_millis: at,
            is_known: name == "old",
        };
        let found = tokens.find(secret).ok_or(Denied::UnknownToken)?;
        let again = found.admits(&comer)?;
        if !again {
            found.use_up(&comer).unwrap();
        }
        Ok(again)
    }

    #[test]
    fn a_token_is_good_once_for_its_name_and_in_its_time() {
        let engine = Arc::new(Memory::default());
        let tokens = open(&engine);
        let secret = make(&tokens, Some("node-1"));
        let other = Err(Denied::OtherName("node-2".to_owned()));
        assert_eq!(come(&tokens, &secret, "node-2", 1, NOW), other);
        let late = come(&tokens, &secret, "node-1", 1, NOW + HOUR);
        assert_eq!(late, Err(Denied::Expired));
        let wrong = come(&tokens, "vdj_00", "node-1", 1, NOW);
        assert_eq!(wrong, Err(Denied::UnknownToken));
        assert_eq!(come(&tokens, &secret, "node-1", 1, NOW), Ok(false));
        // Over a restart, too; but the answer may have been lost.
        let tokens = open(&engine);
        assert_eq!(come(&tokens, &secret, "node-1", 2, NOW), Err(Denied::Used));
        assert_eq!(come(&tokens, &secret, "node-2", 1, NOW), Err(Denied::Used));
        assert_eq!(come(&tokens, &secret, "node-1", 1, NOW + 1), Ok(true));
        let late = come(&tokens, &secret, "node-1", 1, NOW + ANSWER_LOST_MILLIS);
        assert_eq!(late, Err(Denied::Used));
    }

    #[test]
    fn a_token_for_any_name_gives_none_away_that_is_spoken_for() {
        let engine = Arc::new(Memory::default());
        let tokens = open(&engine);
        let _bound = make(&tokens, Some("bound"));
        let [one, two] = [make(&tokens, None), make(&tokens, None)];
        for name in ["old", "bound"] {
            let known = Err(Denied::KnownName(name.to_owned()));
            assert_eq!(come(&tokens, &one, name, 1, NOW), known);
        }
        assert_eq!(come(&tokens, &one, "new", 1, NOW), Ok(false));
        let known = Err(Denied::KnownName("new".to_owned()));
        assert_eq!(come(&tokens, &two, "new", 2, NOW), known);
        assert_eq!(come(&tokens, &two, "newer", 2, NOW), Ok(false));
    }

    #[test]
    fn what_is_kept_is_no_secret_and_goes_a_week_after_its_end() {
        let engine = Arc::new(Memory::default());
        let tokens = open(&engine);
        let secret = make(&tokens, None);
        let rows = tokens.store.scan_state(SPACE, &[], 10).unwrap();
        assert!(!String::from_utf8_lossy(&rows[0].value).contains(&secret));
        let wanted = CreateJoinToken {
            agent_id: None,
            lifetime: Duration::from_secs(1),
        };
        let later = NOW + HOUR + KEPT_MILLIS;
        tokens.make(&wanted, "anna", later).unwrap();
        assert!(tokens.find(&secret).is_some());
        tokens.make(&wanted, "anna", later + 1).unwrap();
        assert!(tokens.find(&secret).is_none());
        assert_eq!(open(&engine).lock().len(), 2);
    }
}
