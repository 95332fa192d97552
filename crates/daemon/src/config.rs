//! Layered configuration: defaults, then a TOML file, then the environment, then flags.
//!
//! A later layer wins key by key; a list is replaced as a whole. The type being loaded derives
//! `Serialize` and `Deserialize` and has a `Default`: the defaults are its first layer, so the
//! keys that exist are known and a mistyped one is told with the nearest that exists.
//!
//! The environment: the prefix, one underscore, then the path in capitals with two underscores
//! between levels. `VEDETTE_GRPC_LISTEN` is `grpc_listen`, `VEDETTE_SPOOL__BYTES_MAX` is
//! `spool.bytes_max`; names are taken in lower case. Where the default is a list, the text is a TOML list or parts between commas.
//! What Kubernetes sets for a Service of the same name (`VEDETTE_X_SERVICE_HOST`,
//! `VEDETTE_X_PORT=tcp://…`) is left alone.
//!
//! No value of a key that [`is_secret`] is part of any message, be it in the file, in the
//! environment, or in a table that holds it. A struct with `#[serde(flatten)]` takes every key, so
//! unknown keys inside it are not seen.

mod layers;
mod report;

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use config::{Config, Source as _};
use serde::Serialize;
use serde::de::DeserializeOwned;

use layers::Layer;

/// Most bytes of a configuration file. The longest that makes sense has some hundred lines.
pub const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// The prefix of our environment variables.
pub const PREFIX: &str = "VEDETTE";

/// Where the values come from. It has no `Debug`, because its values may be secrets.
pub struct Sources<'a, E> {
    /// The TOML file, if there is one. One that is named must be there.
    pub file: Option<&'a Path>,
    /// Names and values of the environment, such as [`process_environment`].
    pub environment: E,
    /// What the names of our variables begin with, without the underscore; normally [`PREFIX`].
    pub prefix: &'a str,
    /// Full names of variables with the prefix that something else reads, such as a flag.
    pub reserved: &'a [&'a str],
    /// Dotted paths and values given as flags, as text. They win.
    pub overrides: Vec<(String, String)>,
}

/// What was loaded.
#[derive(Clone, Debug)]
pub struct Loaded<T> {
    /// The values.
    pub value: T,
    /// Keys that no part of `value` took, sorted by path. A running process warns of them and
    /// counts them, so that a rollback does not stop a fleet.
    pub unknown: Vec<UnknownKey>,
}

impl<T> Loaded<T> {
    /// The values if every key is known, which is what `check-config` asks for.
    ///
    /// # Errors
    /// When a key is not known.
    pub fn strict(self) -> Result<T, Error> {
        if self.unknown.is_empty() {
            Ok(self.value)
        } else {
            Err(Error::Unknown { keys: self.unknown })
        }
    }
}

/// A key that means nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownKey {
    /// Its dotted path.
    pub path: String,
    /// The nearest key that exists, if one is at most two letters away.
    pub suggestion: Option<String>,
    /// Where it was given: file and line, variable, or flag.
    pub origin: String,
}

impl std::fmt::Display for UnknownKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "unknown key `{}` ({})", self.path, self.origin)?;
        match &self.suggestion {
            Some(known) => write!(f, "; did you mean `{known}`?"),
            None => Ok(()),
        }
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("reading {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// The file is longer than [`FILE_BYTES_MAX`].
    #[error("{} is longer than {FILE_BYTES_MAX} bytes", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// The file is not TOML.
    #[error("{}:{line}:{column}: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Character in the line, from 1.
        column: usize,
        /// What is wrong there, without the text of the line.
        message: String,
    },
    /// A value is not what its key takes.
    #[error("`{path}` is {found} ({origin}): {problem}")]
    Value {
        /// The dotted path of the key.
        path: String,
        /// The value, or what stands for it when it is secret or long.
        found: String,
        /// What was expected.
        problem: String,
        /// Where it was given: file and line, variable, flag, or the defaults.
        origin: String,
    },
    /// Keys that are not known, in strict mode.
    #[error("{}", keys.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Unknown {
        /// The keys.
        keys: Vec<UnknownKey>,
    },
    /// The defaults are not a table. This is a mistake in the program.
    #[error("the defaults cannot be written as a table")]
    Defaults {
        /// What is in the way, if it is one value.
        #[source]
        source: Option<serde_json::Error>,
    },
    /// The layers cannot be put together.
    #[error("putting the layers of the configuration together")]
    Layers {
        /// What went wrong.
        #[source]
        source: config::ConfigError,
    },
}

impl Error {
    /// Whether the same sources may load later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Read { .. } => true,
            Self::TooLong { .. }
            | Self::Syntax { .. }
            | Self::Value { .. }
            | Self::Unknown { .. }
            | Self::Defaults { .. }
            | Self::Layers { .. } => false,
        }
    }
}

/// The environment of this process, for [`Sources::environment`]. Variables that are not UTF-8 are
/// none of ours and are left out.
pub fn process_environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// Whether a key holds a secret by its name: `token`, `secret` and `password`, alone or after an
/// underscore.
#[must_use]
pub fn is_secret(key: &str) -> bool {
    let last_word = key.rsplit('_').next().unwrap_or(key);
    ["token", "secret", "password"]
        .iter()
        .any(|word| last_word.eq_ignore_ascii_case(word))
}

/// Loads a configuration from all its layers.
///
/// # Errors
/// When the file cannot be read or is not TOML, or a value is not what its key takes. Unknown keys
/// are no error here, see [`Loaded::strict`].
pub fn load<T>(
    sources: Sources<'_, impl Iterator<Item = (String, String)>>,
) -> Result<Loaded<T>, Error>
where
    T: Serialize + DeserializeOwned + Default,
{
    let defaults = serde_json::to_value(T::default()).map_err(|source| Error::Defaults {
        source: Some(source),
    })?;
    if !defaults.is_object() {
        return Err(Error::Defaults { source: None });
    }
    let mut builder = Config::builder().add_source(Layer::of_defaults(&defaults));
    if let Some(path) = sources.file {
        builder = builder.add_source(Layer::of_file(path, &read(path)?)?);
    }
    let environment = layers::of_prefix(sources.environment, sources.prefix, sources.reserved);
    let merged = builder
        .add_source(Layer::of_environment(environment, &defaults))
        .add_source(Layer::of_overrides(sources.overrides, &defaults))
        .build()
        .and_then(|merged| merged.collect())
        .map_err(|source| Error::Layers { source })?;
    let merged = layers::unwrapped(merged);
    report::check_kinds(&defaults, &merged, &mut Vec::new())?;

    let mut ignored = Vec::new();
    let mut note = |path: serde_ignored::Path<'_>| ignored.push(report::segments(&path));
    let deserializer = serde_ignored::Deserializer::new(merged.clone(), &mut note);
    let value = serde_path_to_error::deserialize(deserializer)
        .map_err(|error| report::value_error::<T>(error, &merged))?;
    Ok(Loaded {
        value,
        unknown: report::unknown_keys(ignored, &merged, &defaults),
    })
}

/// The text of a file that is not too long.
fn read(path: &Path) -> Result<String, Error> {
    let failed = |source| Error::Read {
        path: path.to_owned(),
        source,
    };
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut text = String::new();
    let length = file
        .take(FILE_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .map_err(failed)?;
    if u64::try_from(length).is_ok_and(|length| length <= FILE_BYTES_MAX) {
        Ok(text)
    } else {
        Err(Error::TooLong {
            path: path.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests;
