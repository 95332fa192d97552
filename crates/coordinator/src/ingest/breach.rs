//! What agents do that ends their stream.

use tonic::{Code, Status};

/// Why a stream was ended. Each is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breach {
    /// The first message is no hello, or one that cannot be taken.
    Hello,
    /// There was no hello in time.
    Silent,
    /// It speaks in another's name.
    Foreign,
    /// A message is too large.
    Oversized,
    /// Definitions that do not decode, or leave a gap.
    Definitions,
    /// More series than a stream may define.
    TooManySeries,
    /// Another message that makes no sense.
    Message,
}

impl Breach {
    /// All of them, each at the place of its number.
    pub const ALL: [Self; 7] = [
        Self::Hello,
        Self::Silent,
        Self::Foreign,
        Self::Oversized,
        Self::Definitions,
        Self::TooManySeries,
        Self::Message,
    ];

    /// The value of the label `reason`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hello => "hello",
            Self::Silent => "silent",
            Self::Foreign => "foreign",
            Self::Oversized => "oversized",
            Self::Definitions => "definitions",
            Self::TooManySeries => "too_many_series",
            Self::Message => "message",
        }
    }

    /// What a message was that could not be read; nothing when the connection is gone.
    pub(super) fn of_unread(status: &Status) -> Option<Self> {
        (status.code() == Code::OutOfRange).then_some(Self::Oversized)
    }
}
