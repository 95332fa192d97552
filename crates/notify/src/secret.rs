//! Secrets: where they are, and the care taken of them.

use std::fmt;
use std::io::{self, Read as _};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Longest secret. A token has some hundred bytes; a larger file is the wrong one.
const SECRET_BYTES_MAX: u64 = 16 * 1024;

/// What a source begins with that is a variable of the environment.
const ENV: &str = "env:";

/// Where a secret is: a path, or `env:NAME`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Source(pub String);

/// A secret. It has no `Display`, and `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Secret {
    pub(crate) fn new(text: String) -> Self {
        Self(text)
    }

    /// The secret itself, for the provider alone.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// Why there is no secret.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("reading the secret {key} in {path}")]
    File {
        /// The key that names it.
        key: String,
        /// Where it should be.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: io::Error,
    },
    /// The variable is not set, or no text.
    #[error("the variable {name} of {key} is not set or is no text")]
    Variable {
        /// The key that names it.
        key: String,
        /// The variable.
        name: String,
    },
    /// It cannot be the secret.
    #[error("the secret {key} in {place} {fault}")]
    Form {
        /// The key that names it.
        key: String,
        /// Where it was read.
        place: String,
        /// What is wrong, without the secret.
        fault: String,
    },
}

impl Error {
    /// Whether it may be there later: files of secrets are replaced while we look.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::File { .. } | Self::Variable { .. } | Self::Form { .. } => true,
        }
    }
}

impl Source {
    /// Reads the secret. It blocks for as long as the disk takes.
    ///
    /// # Errors
    /// When it is not there, empty, or longer than any secret.
    pub(crate) fn read(&self, key: &str) -> Result<Secret, Error> {
        let text = if let Some(name) = self.0.strip_prefix(ENV) {
            // The error of a variable that is no text would show it.
            std::env::var(name).ok().ok_or_else(|| Error::Variable {
                key: key.to_owned(),
                name: name.to_owned(),
            })?
        } else {
            let mut text = String::new();
            std::fs::File::open(&self.0)
                .and_then(|file| file.take(SECRET_BYTES_MAX + 1).read_to_string(&mut text))
                .map_err(|source| Error::File {
                    key: key.to_owned(),
                    path: PathBuf::from(&self.0),
                    source,
                })?;
            text
        };
        let fault = |fault: &str| Error::Form {
            key: key.to_owned(),
            place: self.0.clone(),
            fault: fault.to_owned(),
        };
        let secret = text.trim();
        if secret.is_empty() {
            return Err(fault("is empty"));
        }
        if u64::try_from(secret.len()).is_ok_and(|length| length > SECRET_BYTES_MAX) {
            return Err(fault("is longer than 16 KiB: is this the right file?"));
        }
        if secret.chars().any(char::is_control) {
            return Err(fault("has more than one line: is this the right file?"));
        }
        Ok(Secret::new(secret.to_owned()))
    }

    /// Reads the secret without holding up the runtime.
    ///
    /// # Errors
    /// As [`Source::read`].
    pub(crate) async fn fetch(&self, key: &str) -> Result<Secret, Error> {
        let (source, owned) = (self.clone(), key.to_owned());
        tokio::task::spawn_blocking(move || source.read(&owned))
            .await
            // Only at the end of the runtime is such a task not run.
            .unwrap_or_else(|_| {
                Err(Error::File {
                    key: key.to_owned(),
                    path: PathBuf::from(&self.0),
                    source: io::Error::other("the program is stopping"),
                })
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> Result<Secret, Error> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, text).unwrap();
        Source(path.to_str().unwrap().to_owned()).read("notify.x")
    }

    #[test]
    fn a_secret_is_read_and_not_shown() {
        let secret = read(b" xoxb-1 \n").unwrap();
        assert_eq!(secret.reveal(), "xoxb-1");
        assert_eq!(format!("{secret:?}"), "(secret)");
        let path = Source("env:PATH".to_owned()).read("notify.x").unwrap();
        assert!(!path.reveal().is_empty());
    }

    #[test]
    fn what_is_no_secret_is_refused_and_not_shown() {
        for (text, fault) in [
            (&b"\n"[..], "is empty"),
            (b"hush\nhush", "has more than one line"),
            (&[b'h'; 17_000], "is longer than 16 KiB"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(fault) && !error.contains("hush"), "{error}");
        }
        assert!(read(b"\xff\xfe").is_err());
        let error = Source("env:VEDETTE_NOT_SET".to_owned()).read("notify.x");
        assert_eq!(
            error.unwrap_err().to_string(),
            "the variable VEDETTE_NOT_SET of notify.x is not set or is no text"
        );
    }
}
