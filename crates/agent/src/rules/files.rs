//! Rules and what they remember, in the state folder.
//!
//! Each file is replaced as a whole: eight bytes that say what it is, its body, and FNV-1a of 64 bits over both,
//! little-endian. The body of `rules` is an `EdgeRules` of the contract, that of `alerts` JSON. What cannot be
//! read is set aside.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use wire::Message as _;
use wire::proto;
use wire::transition::{EdgeRules, RULES_MAX};

use super::watch::Remembered;

const RULES: &str = "rules";
const ALERTS: &str = "alerts";
const RULES_MAGIC: [u8; 8] = *b"VDRULES1";
const ALERTS_MAGIC: [u8; 8] = *b"VDALERT1";
/// Largest file that is read.
const BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The folder of the rules.
#[derive(Clone, Debug)]
pub(super) struct Files(PathBuf);

fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn framed(magic: [u8; 8], body: &[u8]) -> Vec<u8> {
    let mut bytes = magic.to_vec();
    bytes.extend_from_slice(body);
    bytes.extend_from_slice(&checksum(&bytes).to_le_bytes());
    bytes
}

fn body(magic: [u8; 8], bytes: &[u8]) -> Option<&[u8]> {
    let (framed, sum) = bytes.split_last_chunk::<8>()?;
    let body = framed.strip_prefix(&magic)?;
    (u64::from_le_bytes(*sum) == checksum(framed)).then_some(body)
}

/// The rules that a file holds.
pub(super) fn rules_of(file: &[u8]) -> Option<EdgeRules> {
    let rules = proto::EdgeRules::decode(body(RULES_MAGIC, file)?).ok()?;
    EdgeRules::try_from(rules).ok()
}

/// What a file says that rules remember. What of it belongs to no rule is left out when they get it back.
pub(super) fn remembered_of(file: &[u8]) -> Option<Remembered> {
    let remembered: Remembered = serde_json::from_slice(body(ALERTS_MAGIC, file)?).ok()?;
    let is_bounded = remembered.rules.len() <= RULES_MAX;
    is_bounded.then_some(remembered)
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = File::create(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

impl Files {
    /// The folder, made if it is not there.
    pub(super) fn open(path: PathBuf) -> io::Result<Self> {
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    fn read<T>(&self, name: &str, decode: impl Fn(&[u8]) -> Option<T>) -> Option<T> {
        let path = self.0.join(name);
        let mut bytes = Vec::new();
        let read = File::open(&path).and_then(|file| file.take(BYTES_MAX).read_to_end(&mut bytes));
        let found = match read {
            Ok(_) => decode(&bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(_) => None,
        };
        if found.is_none() {
            let moved = std::fs::rename(&path, path.with_extension("unusable")).is_ok();
            let path = path.display().to_string();
            tracing::error!(
                path,
                moved,
                "what rules are kept in cannot be read; set aside"
            );
        }
        found
    }

    /// The rules that an earlier life was given.
    pub(super) fn rules(&self) -> Option<EdgeRules> {
        self.read(RULES, rules_of)
    }

    /// Keeps rules in the place of those before.
    pub(super) fn keep_rules(&self, rules: EdgeRules) -> io::Result<()> {
        let bytes = proto::EdgeRules::from(rules).encode_to_vec();
        write(&self.0.join(RULES), &framed(RULES_MAGIC, &bytes))
    }

    /// What the rules remembered.
    pub(super) fn remembered(&self) -> Option<Remembered> {
        self.read(ALERTS, remembered_of)
    }

    /// Keeps what the rules remember.
    pub(super) fn keep_remembered(&self, remembered: &Remembered) -> io::Result<()> {
        let bytes = serde_json::to_vec(remembered)?;
        write(&self.0.join(ALERTS), &framed(ALERTS_MAGIC, &bytes))
    }
}
