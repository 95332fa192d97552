//! The agent's certificate and key, as one file in the state folder: they change together or not at all.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{KeyPair, PublicKeyData as _};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use wire::client::Pem;
use wire::ingest::AgentId;
use wire::join::Issued;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// Key, certificate and what has signed it, in PEM.
const IDENTITY: &str = "identity.pem";
/// The key that a certificate was asked for with a token, until there is one.
const JOIN_KEY: &str = "join.key";
/// Longest file that is read.
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// Why a certificate is of no use to this agent.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    #[error("the key cannot be read")]
    Key(#[source] rcgen::Error),
    #[error("the certificate does not decode")]
    Certificate,
    #[error("the certificate is that of {0:?}")]
    Name(String),
    #[error("the certificate is that of another key")]
    OtherKey,
}

/// A certificate with its key, and how long it counts.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) pem: Pem,
    pub(super) not_after_seconds: i64,
    /// All of its time.
    pub(super) whole: Duration,
    /// What was left of it at `since`, by the monotonic clock.
    pub(super) left: Duration,
    pub(super) since: Duration,
}

/// The two clocks at one moment: seconds since the Unix epoch, and the monotonic one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub(super) wall_seconds: i64,
    pub(super) monotonic: Duration,
}

impl Held {
    /// Reads key and certificate in PEM.
    pub(super) fn read(text: &str, agent_id: &AgentId, now: Now) -> Result<Self, Unusable> {
        let key = KeyPair::from_pem(text).map_err(Unusable::Key)?;
        let der = CertificateDer::pem_slice_iter(text.as_bytes()).next();
        let Some(Ok(der)) = der else {
            return Err(Unusable::Certificate);
        };
        let decoded = X509Certificate::from_der(&der);
        let (_, decoded) = decoded.map_err(|_source| Unusable::Certificate)?;
        let name = decoded.subject().iter_common_name().next();
        let name = name.and_then(|name| name.as_str().ok()).unwrap_or_default();
        if name != agent_id.as_str() {
            return Err(Unusable::Name(name.to_owned()));
        }
        if decoded.public_key().raw != key.subject_public_key_info() {
            return Err(Unusable::OtherKey);
        }
        let [begin, end] = {
            let times = decoded.validity();
            [times.not_before, times.not_after].map(|time| time.timestamp())
        };
        Ok(Self {
            pem: Pem::new(text.to_owned()),
            not_after_seconds: end,
            whole: between(begin, end),
            left: between(now.wall_seconds, end),
            since: now.monotonic,
        })
    }

    /// What was issued for a key.
    pub(super) fn issued(
        key: &KeyPair,
        issued: &Issued,
        agent_id: &AgentId,
        now: Now,
    ) -> Result<Self, Unusable> {
        let lines = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
        let mut text = key.serialize_pem();
        for der in &issued.chain {
            let certificate = pem::Pem::new("CERTIFICATE", &der[..]);
            text.push_str(&pem::encode_config(&certificate, lines));
        }
        let mut held = Self::read(&text, agent_id, now)?;
        // As the coordinator's clock has it, whatever ours says.
        (held.whole, held.left) = (issued.lasts, issued.lasts);
        Ok(held)
    }

    /// What is left of its time.
    pub(super) fn left(&self, monotonic: Duration) -> Duration {
        let passed = monotonic.saturating_sub(self.since);
        self.left.saturating_sub(passed)
    }
}

fn between(begin: i64, end: i64) -> Duration {
    let seconds = u64::try_from(end.saturating_sub(begin));
    Duration::from_secs(seconds.unwrap_or(0))
}

/// The end of the first certificate in a file, in seconds since the Unix epoch.
pub(super) fn end_of(path: &Path) -> Option<i64> {
    let der = CertificateDer::pem_file_iter(path).ok()?.next()?.ok()?;
    let (_, decoded) = X509Certificate::from_der(&der).ok()?;
    Some(decoded.validity().not_after.timestamp())
}

/// The state folder, of which two files are ours. All of it blocks.
#[derive(Clone, Debug)]
pub(super) struct Folder(pub(super) PathBuf);

impl Folder {
    /// Whether there is a certificate.
    pub(super) fn has_one(&self) -> bool {
        let path = self.0.join(IDENTITY);
        path.try_exists().unwrap_or(true)
    }

    /// The certificate that was kept. One that is of no use is set aside.
    pub(super) fn load(&self, agent_id: &AgentId, now: Now) -> Option<Held> {
        let path = self.0.join(IDENTITY);
        let text = match read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                let error = crate::chain(&error);
                tracing::error!(path = %path.display(), error, "the certificate cannot be read");
                return None;
            }
        };
        match Held::read(&text, agent_id, now) {
            Ok(held) => Some(held),
            Err(error) => {
                let aside = path.with_extension("pem.unusable");
                let moved = std::fs::rename(&path, &aside).is_ok();
                tracing::error!(
                    path = %path.display(),
                    error = crate::chain(&error),
                    moved,
                    "the certificate is of no use and is set aside as identity.pem.unusable"
                );
                None
            }
        }
    }

    /// Keeps a certificate in the place of the one before.
    pub(super) fn keep(&self, pem: &Pem) -> io::Result<()> {
        write_private(&self.0.join(IDENTITY), pem.expose())
    }

    /// The key to join with. It is the same until there is a certificate: if the answer is lost, the
    /// coordinator gives it again to this key alone.
    pub(super) fn join_key(&self) -> io::Result<KeyPair> {
        let path = self.0.join(JOIN_KEY);
        if let Ok(text) = read(&path)
            && let Ok(key) = KeyPair::from_pem(&text)
        {
            return Ok(key);
        }
        let key = KeyPair::generate().map_err(io::Error::other)?;
        write_private(&path, &key.serialize_pem())?;
        Ok(key)
    }

    /// There is a certificate: the next one is for another key.
    pub(super) fn forget_join_key(&self) {
        // What stays of it is of use to no one but us.
        drop(std::fs::remove_file(self.0.join(JOIN_KEY)));
    }
}

fn read(path: &Path) -> io::Result<String> {
    if std::fs::metadata(path)?.len() > FILE_BYTES_MAX {
        return Err(io::Error::other("the file is too long"));
    }
    std::fs::read_to_string(path)
}

/// Replaces a file at once, for our eyes only.
fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let beside = path.with_extension("new");
    // One that a crash has left, whoever may read it.
    drop(std::fs::remove_file(&beside));
    let mut options = OpenOptions::new();
    let options = options.write(true).create_new(true).mode(0o600);
    let mut file = options.open(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use rcgen::{CertificateParams, DnType, date_time_ymd};

    use super::*;

    const NOW: Now = Now {
        wall_seconds: 1_800_000_000,
        monotonic: Duration::from_secs(100),
    };

    fn agent(name: &str) -> AgentId {
        AgentId::try_from(name.to_owned()).unwrap()
    }

    fn issued(name: &str, key: &KeyPair) -> Issued {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        let at = |seconds| date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds);
        (params.not_before, params.not_after) = (at(1_799_999_000), at(1_800_002_000));
        Issued {
            chain: vec![params.self_signed(key).unwrap().der().to_vec()],
            lasts: Duration::from_secs(1000),
        }
    }

    #[test]
    fn what_is_kept_is_found_again_and_is_for_our_eyes_only() {
        let state = tempfile::tempdir().unwrap();
        let folder = Folder(state.path().to_owned());
        let id = agent("node-1");
        assert!(!folder.has_one() && folder.load(&id, NOW).is_none());
        let key = folder.join_key().unwrap();
        let again = folder.join_key().unwrap();
        assert_eq!(key.serialize_pem(), again.serialize_pem());
        let held = Held::issued(&key, &issued("node-1", &key), &id, NOW).unwrap();
        assert_eq!(
            held.left(Duration::from_secs(400)),
            Duration::from_secs(700)
        );
        folder.keep(&held.pem).unwrap();
        folder.forget_join_key();
        let found = folder.load(&id, NOW).unwrap();
        assert_eq!(found.pem, held.pem);
        assert_eq!(found.not_after_seconds, 1_800_002_000);
        let times = (found.whole.as_secs(), found.left.as_secs());
        assert_eq!(times, (3000, 2000));
        for entry in std::fs::read_dir(state.path()).unwrap() {
            let entry = entry.unwrap();
            assert_eq!(entry.file_name(), IDENTITY);
            assert_eq!(
                entry.metadata().unwrap().permissions().mode() & 0o777,
                0o600
            );
        }
        assert!(!format!("{held:?}").contains("PRIVATE"));
    }

    #[test]
    fn what_is_of_no_use_is_set_aside() {
        let state = tempfile::tempdir().unwrap();
        let folder = Folder(state.path().to_owned());
        let key = KeyPair::generate().unwrap();
        let held = Held::issued(&key, &issued("node-1", &key), &agent("node-1"), NOW).unwrap();
        folder.keep(&held.pem).unwrap();
        assert!(folder.load(&agent("node-2"), NOW).is_none());
        assert!(state.path().join("identity.pem.unusable").is_file() && !folder.has_one());
        let other = KeyPair::generate().unwrap();
        let swapped = Held::issued(&other, &issued("node-1", &key), &agent("node-1"), NOW);
        assert!(matches!(swapped, Err(Unusable::OtherKey)));
        for text in ["", "no PEM", &key.serialize_pem()] {
            assert!(Held::read(text, &agent("node-1"), NOW).is_err());
        }
    }
}
