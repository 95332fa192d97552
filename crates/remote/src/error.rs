//! What can be wrong with a whole message.

/// Why nothing of a message was taken. All of it means that the sender is broken, hostile or of a
/// later kind: none is worth another try with the same bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The message is longer than the receiver takes.
    #[error("the message has {got} bytes, more than {max}")]
    TooLarge {
        /// What the snappy block claims.
        got: u64,
        /// The bound.
        max: u64,
    },
    /// The snappy block contradicts itself.
    #[error("the snappy block is damaged: {what}")]
    Snappy {
        /// What is wrong with it.
        what: &'static str,
    },
    /// A field says that it is longer than what is left.
    #[error("the message ends inside a field")]
    Truncated,
    /// A number of more than 64 bits.
    #[error("a varint does not end after ten bytes")]
    Varint,
    /// A field has another wire type than its number says, or one that is not in use.
    #[error("field {field} has wire type {wire}")]
    WireType {
        /// The number of the field.
        field: u64,
        /// What was found.
        wire: u8,
    },
    /// More of something than one message may hold.
    #[error("more than {max} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The bound.
        max: usize,
    },
}

impl Error {
    /// Whether the same bytes could be read another time: never.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::TooLarge { .. }
            | Self::Snappy { .. }
            | Self::Truncated
            | Self::Varint
            | Self::WireType { .. }
            | Self::TooMany { .. } => false,
        }
    }
}
