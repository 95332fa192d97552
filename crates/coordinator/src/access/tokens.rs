//! Bearer tokens, and the file that holds their digests.
//!
//! A token is 256 random bits, so a plain SHA-256 of it gives nothing away and may lie in a file that is
//! mounted, copied and backed up.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::Deserialize;
use wire::ingest::AgentId;

use super::Role;

/// What tokens begin with, so that scanners for lost secrets find them.
const PREFIX: &str = "vdt_";
/// Random bytes of a token.
const SECRET_BYTES: usize = 32;
/// Most tokens of a file.
const TOKENS_MAX: usize = 100_000;
/// Longest file.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// SHA-256 of a token.
pub(crate) type Digest = [u8; SHA256_OUTPUT_LEN];

/// A token as it is handed out, once.
pub struct Secret(String);

impl Secret {
    /// A new one, from the system's randomness.
    ///
    /// # Errors
    /// When the system has none.
    pub fn new() -> io::Result<Self> {
        Self::beginning_with(PREFIX)
    }

    /// A new one of another kind.
    ///
    /// # Errors
    /// As [`Secret::new`].
    pub(crate) fn beginning_with(prefix: &str) -> io::Result<Self> {
        let mut bytes = [0; SECRET_BYTES];
        let filled = SystemRandom::new().fill(&mut bytes);
        filled.map_err(|_unspecified| io::Error::other("the system gives no randomness"))?;
        Ok(Self(format!("{prefix}{}", hex(&bytes))))
    }

    /// The text, to be shown to its owner.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The digest of a token.
pub(crate) fn digest_of(token: &str) -> Digest {
    let mut out = [0; SHA256_OUTPUT_LEN];
    out.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    out
}

/// The digest of the token in an `authorization` header.
pub(super) fn digest_of_header(header: &str) -> Option<Digest> {
    let (scheme, token) = header.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| digest_of(token.trim()))
}

/// What the file says of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) name: Arc<str>,
    pub(super) role: Role,
    /// In seconds since the Unix epoch.
    pub(super) expires_seconds: Option<i64>,
}

/// All tokens of a file, in order of name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    by_digest: HashMap<Digest, Token>,
}

/// A token to be made.
#[derive(Debug)]
pub struct NewToken {
    /// Who it is for: for an agent its id.
    pub name: AgentId,
    /// What it allows.
    pub role: Role,
    /// When it ends, in seconds since the Unix epoch.
    pub expires_seconds: Option<i64>,
}

/// Why a file of tokens cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the tokens in {}", path.display())]
pub struct TokenFileError {
    path: PathBuf,
    #[source]
    source: Problem,
}

#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error("reading or writing the file")]
    File(#[from] io::Error),
    #[error("the file is over {FILE_BYTES_MAX} bytes")]
    TooLong,
    #[error(transparent)]
    Syntax(#[from] toml::de::Error),
    #[error("there are more than {TOKENS_MAX}")]
    TooMany,
    #[error("{0:?} is not a name: 1 to 128 of A-Z a-z 0-9 . _ : -")]
    Name(String),
    #[error("sha256 of {0:?} is not 64 hexadecimal digits")]
    Digest(String),
    #[error("expires of {0:?} is not a time such as 2030-01-31T00:00:00Z")]
    Expires(String),
    #[error("there are two of {0:?}")]
    Twice(String),
    #[error("there is none of {0:?}")]
    Unknown(String),
}

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    token: Vec<Line>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    name: String,
    role: Role,
    sha256: String,
    expires: Option<String>,
}

impl Tokens {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_digest.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_digest.is_empty()
    }

    pub(super) fn get(&self, digest: &Digest) -> Option<&Token> {
        self.by_digest.get(digest)
    }

    /// All, with their digests.
    pub(super) fn all(&self) -> impl Iterator<Item = (&Digest, &Token)> {
        self.by_digest.iter()
    }

    /// Name, role and end of each, in order of name.
    #[must_use]
    pub fn list(&self) -> Vec<(&str, Role, Option<i64>)> {
        let all = self.by_digest.values();
        let mut all: Vec<_> = all
            .map(|token| (&*token.name, token.role, token.expires_seconds))
            .collect();
        all.sort_unstable_by_key(|(name, ..)| *name);
        all
    }

    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read or one of its tokens is wrong.
    pub fn read(path: &Path) -> Result<Self, TokenFileError> {
        Self::read_inner(path).map_err(|source| TokenFileError {
            path: path.to_owned(),
            source,
        })
    }

    fn read_inner(path: &Path) -> Result<Self, Problem> {
        if std::fs::metadata(path)?.len() > FILE_BYTES_MAX {
            return Err(Problem::TooLong);
        }
        Self::parse(&std::fs::read_to_string(path)?)
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        let file: File = toml::from_str(text)?;
        if file.token.len() > TOKENS_MAX {
            return Err(Problem::TooMany);
        }
        let mut tokens = Self::default();
        for line in file.token {
            let name = AgentId::try_from(line.name.clone());
            let name = name.map_err(|_source| Problem::Name(line.name.clone()))?;
            let digest = unhex(&line.sha256).ok_or_else(|| Problem::Digest(line.name.clone()))?;
            let expires = line.expires.map(|text| text.parse::<Timestamp>());
            let expires = expires.transpose();
            let expires = expires.map_err(|_source| Problem::Expires(line.name))?;
            tokens.put(
                digest,
                Token {
                    name: name.as_str().into(),
                    role: line.role,
                    expires_seconds: expires.map(Timestamp::as_second),
                },
            )?;
        }
        Ok(tokens)
    }

    fn put(&mut self, digest: Digest, token: Token) -> Result<(), Problem> {
        let is_known = |other: &Token| other.name == token.name;
        if self.by_digest.values().any(is_known) || self.by_digest.contains_key(&digest) {
            return Err(Problem::Twice(token.name.to_string()));
        }
        self.by_digest.insert(digest, token);
        Ok(())
    }

    /// Makes a token and adds it to a file, which is made if there is none. Only the digest is kept.
    ///
    /// # Errors
    /// When the file cannot be used or has a token of this name.
    pub fn add(path: &Path, new: &NewToken) -> Result<Secret, TokenFileError> {
        let secret = Secret::new();
        Self::change(path, |tokens| {
            let secret = secret?;
            let token = Token {
                name: new.name.as_str().into(),
                role: new.role,
                expires_seconds: new.expires_seconds,
            };
            tokens.put(digest_of(secret.expose()), token)?;
            Ok(secret)
        })
    }

    /// Takes a token out of a file. A running coordinator ends what it was used for within seconds.
    ///
    /// # Errors
    /// When the file cannot be used or has no token of this name.
    pub fn remove(path: &Path, name: &str) -> Result<(), TokenFileError> {
        Self::change(path, |tokens| {
            let before = tokens.len();
            tokens.by_digest.retain(|_, token| &*token.name != name);
            if tokens.len() == before {
                return Err(Problem::Unknown(name.to_owned()));
            }
            Ok(())
        })
    }

    fn change<T>(
        path: &Path,
        change: impl FnOnce(&mut Self) -> Result<T, Problem>,
    ) -> Result<T, TokenFileError> {
        let changed = || {
            let mut tokens = match Self::read_inner(path) {
                Err(Problem::File(error)) if error.kind() == io::ErrorKind::NotFound => {
                    Self::default()
                }
                read => read?,
            };
            let made = change(&mut tokens)?;
            write_whole(path, &tokens.to_string())?;
            Ok(made)
        };
        changed().map_err(|source| TokenFileError {
            path: path.to_owned(),
            source,
        })
    }
}

impl fmt::Display for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "# Digests of bearer tokens, written by `vedette-coordinator token`. A coordinator that\n\
             # runs takes a changed file into use within seconds.\n",
        )?;
        let mut all: Vec<_> = self.by_digest.iter().collect();
        all.sort_unstable_by_key(|(_, token)| Arc::clone(&token.name));
        for (digest, token) in all {
            let (name, role) = (&token.name, token.role.as_str());
            write!(f, "\n[[token]]\nname = \"{name}\"\nrole = \"{role}\"\n")?;
            writeln!(f, "sha256 = \"{}\"", hex(digest))?;
            let expires = token.expires_seconds.map(Timestamp::from_second);
            if let Some(Ok(expires)) = expires {
                writeln!(f, "expires = \"{expires}\"")?;
            }
        }
        Ok(())
    }
}

fn unhex(text: &str) -> Option<Digest> {
    let mut out = [0; SHA256_OUTPUT_LEN];
    if text.len() != 2 * out.len() || !text.is_ascii() {
        return None;
    }
    for (byte, digits) in out.iter_mut().zip(text.as_bytes().chunks(2)) {
        let digits = std::str::from_utf8(digits).ok()?;
        *byte = u8::from_str_radix(digits, 16).ok()?;
    }
    Some(out)
}

/// Replaces a file at once: who reads it sees the old one or the new one.
fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = std::fs::File::create(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(name: &str, role: Role) -> NewToken {
        NewToken {
            name: AgentId::try_from(name.to_owned()).unwrap(),
            role,
            expires_seconds: (name == "short").then_some(1_900_000_000),
        }
    }

    #[test]
    fn what_is_added_is_found_by_its_secret_until_it_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.toml");
        let secret = Tokens::add(&path, &new("grafana", Role::Viewer)).unwrap();
        Tokens::add(&path, &new("short", Role::Agent)).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains(secret.expose()) && !format!("{secret:?}").contains("vdt_"));
        let tokens = Tokens::read(&path).unwrap();
        let header = format!("bearer {}", secret.expose());
        let found = tokens.get(&digest_of_header(&header).unwrap()).unwrap();
        assert_eq!((&*found.name, found.role), ("grafana", Role::Viewer));
        assert_eq!(
            tokens.list(),
            [
                ("grafana", Role::Viewer, None),
                ("short", Role::Agent, Some(1_900_000_000))
            ]
        );
        assert!(Tokens::add(&path, &new("grafana", Role::Admin)).is_err());
        Tokens::remove(&path, "grafana").unwrap();
        assert!(Tokens::remove(&path, "grafana").is_err());
        assert_eq!(Tokens::read(&path).unwrap().len(), 1);
    }

    #[test]
    fn a_wrong_file_is_refused_with_the_reason() {
        let refused = |text: &str| Tokens::parse(text).unwrap_err().to_string();
        let digest = "0".repeat(64);
        let line = |name: &str, role: &str, digest: &str, more: &str| {
            format!(
                "[[token]]\nname = \"{name}\"\nrole = \"{role}\"\nsha256 = \"{digest}\"\n{more}\n"
            )
        };
        assert!(refused(&line("a b", "viewer", &digest, "")).contains("is not a name"));
        assert!(refused(&line("a", "root", &digest, "")).contains("unknown variant"));
        assert!(refused(&line("a", "viewer", "00", "")).contains("64 hexadecimal"));
        assert!(
            refused(&line("a", "viewer", &digest, "expires = \"soon\"")).contains("is not a time")
        );
        assert!(refused(&line("a", "viewer", &digest, "token = 1")).contains("unknown field"));
        let twice = line("a", "viewer", &digest, "") + &line("a", "admin", &"1".repeat(64), "");
        assert!(refused(&twice).contains("two of"));
    }
}
