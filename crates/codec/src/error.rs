//! What can be wrong with bytes that claim to be ours.

use series::LabelsError;

/// Why bytes could not be decoded. All of it means that the input is damaged, hostile or of a
/// later version: none is worth another try with the same bytes.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The input ends before the named thing does.
    #[error("the input ends inside {what}")]
    Truncated {
        /// What was being read.
        what: &'static str,
    },
    /// Bytes are left over after the end of the named thing.
    #[error("{bytes} bytes are left over after {what}")]
    Trailing {
        /// What was read.
        what: &'static str,
        /// How many bytes are left.
        bytes: usize,
    },
    /// The input does not start with the magic number of the named thing.
    #[error("this is not {what}")]
    BadMagic {
        /// What was expected.
        what: &'static str,
    },
    /// A later version wrote this, or the version byte is damaged.
    #[error("version {version} of {what} is not known")]
    UnknownVersion {
        /// Of what.
        what: &'static str,
        /// The version found.
        version: u8,
    },
    /// A kind or method byte has no meaning in this version.
    #[error("{what} {code} is not known")]
    UnknownCode {
        /// What the byte says.
        what: &'static str,
        /// The byte.
        code: u8,
    },
    /// The checksum does not match.
    #[error("the checksum is {computed:08x}, not {stored:08x}")]
    BadChecksum {
        /// What the bytes say.
        stored: u32,
        /// What the bytes are.
        computed: u32,
    },
    /// A count or a length is more than its bound.
    #[error("{what} is {got}, more than {max}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// The count or length found.
        got: u64,
        /// The bound.
        max: u64,
    },
    /// A field has a value that no encoder writes.
    #[error("{what} makes no sense")]
    Invalid {
        /// Which field.
        what: &'static str,
    },
    /// A stream of numbers could not be unpacked.
    #[error("a stream of numbers is damaged")]
    Numbers {
        /// What the number codec says.
        #[source]
        source: pco::errors::PcoError,
    },
    /// A zstd frame could not be unpacked.
    #[error("a zstd frame is damaged")]
    Frame {
        /// What zstd says.
        #[source]
        source: std::io::Error,
    },
    /// A label set breaks a rule of [`series::Labels`].
    #[error("label set {index} is not valid")]
    Labels {
        /// Its place in the list.
        index: usize,
        /// The rule.
        #[source]
        source: LabelsError,
    },
}

impl Error {
    /// Whether the same bytes could decode another time: never.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Truncated { .. }
            | Self::Trailing { .. }
            | Self::BadMagic { .. }
            | Self::UnknownVersion { .. }
            | Self::UnknownCode { .. }
            | Self::BadChecksum { .. }
            | Self::TooLarge { .. }
            | Self::Invalid { .. }
            | Self::Numbers { .. }
            | Self::Frame { .. }
            | Self::Labels { .. } => false,
        }
    }
}
