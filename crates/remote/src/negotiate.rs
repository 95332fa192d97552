//! What a sender says it sends, by the two headers that say so.
//!
//! <https://prometheus.io/docs/specs/prw/remote_write_spec_2_0/>: a receiver that does not support a
//! content type or encoding answers 415, and the sender may fall back to another. Both headers are
//! required, and snappy's block format is the only encoding.

/// Which message a body holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// `prometheus.WriteRequest`.
    V1,
    /// `io.prometheus.write.v2.Request`.
    V2,
}

impl Version {
    /// The full name of its message.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::V1 => "prometheus.WriteRequest",
            Self::V2 => "io.prometheus.write.v2.Request",
        }
    }
}

/// What a sender said that is not taken here. The texts name what is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsupported {
    /// The content type is another, or there is none.
    #[error("content type {got:?} is not taken, application/x-protobuf is")]
    ContentType {
        /// What was sent, cut at 64 characters.
        got: String,
    },
    /// The content type names another message.
    #[error(
        "message {got:?} is not taken, {} and {} are",
        Version::V1.message(),
        Version::V2.message()
    )]
    Message {
        /// What was sent, cut at 64 characters.
        got: String,
    },
    /// The content encoding is another, or there is none.
    #[error("content encoding {got:?} is not taken, snappy is (its block format)")]
    Encoding {
        /// What was sent, cut at 64 characters.
        got: String,
    },
}

impl Unsupported {
    /// Whether the same headers could be taken another time: never.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::ContentType { .. } | Self::Message { .. } | Self::Encoding { .. } => false,
        }
    }
}

/// Which message a body with these headers holds. Case and spaces do not matter, nor do parameters
/// other than `proto`.
///
/// # Errors
/// When it is one that cannot be read here: the answer is 415.
pub fn negotiate(
    content_type: Option<&str>,
    content_encoding: Option<&str>,
) -> Result<Version, Unsupported> {
    let content_type = content_type.unwrap_or_default();
    let mut parts = content_type.split(';').map(str::trim);
    if !parts
        .next()
        .is_some_and(|media| media.eq_ignore_ascii_case("application/x-protobuf"))
    {
        return Err(Unsupported::ContentType {
            got: cut(content_type),
        });
    }
    let mut version = Version::V1;
    for part in parts {
        let Some((name, value)) = part.split_once('=') else {
            continue;
        };
        if name.trim().eq_ignore_ascii_case("proto") {
            version = message(value.trim().trim_matches('"'))?;
        }
    }
    let encoding = content_encoding.unwrap_or_default();
    if encoding.trim().eq_ignore_ascii_case("snappy") {
        Ok(version)
    } else {
        Err(Unsupported::Encoding { got: cut(encoding) })
    }
}

fn message(name: &str) -> Result<Version, Unsupported> {
    [Version::V1, Version::V2]
        .into_iter()
        .find(|version| name.eq_ignore_ascii_case(version.message()))
        .ok_or_else(|| Unsupported::Message { got: cut(name) })
}

fn cut(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &str = "application/x-protobuf";

    #[test]
    fn the_three_content_types_of_the_specification_are_taken() {
        for (content_type, version) in [
            (TYPE, Version::V1),
            (
                "application/x-protobuf;proto=prometheus.WriteRequest",
                Version::V1,
            ),
            (
                "application/x-protobuf;proto=io.prometheus.write.v2.Request",
                Version::V2,
            ),
            (
                " Application/X-Protobuf ; charset=utf-8; Proto = \"IO.prometheus.write.v2.Request\"",
                Version::V2,
            ),
            ("application/x-protobuf;", Version::V1),
        ] {
            assert_eq!(
                negotiate(Some(content_type), Some(" Snappy ")),
                Ok(version),
                "{content_type}"
            );
        }
    }

    #[test]
    fn others_are_refused_with_what_is_taken_instead() {
        for (content_type, encoding, text) in [
            (
                Some("application/json"),
                Some("snappy"),
                "content type \"application/json\" is not taken, application/x-protobuf is",
            ),
            (
                None,
                Some("snappy"),
                "content type \"\" is not taken, application/x-protobuf is",
            ),
            (
                Some("application/x-protobuf;proto=a.B"),
                Some("snappy"),
                "message \"a.B\" is not taken, prometheus.WriteRequest and \
                 io.prometheus.write.v2.Request are",
            ),
            (
                Some(TYPE),
                Some("zstd"),
                "content encoding \"zstd\" is not taken, snappy is (its block format)",
            ),
            (
                Some(TYPE),
                None,
                "content encoding \"\" is not taken, snappy is (its block format)",
            ),
        ] {
            let error = negotiate(content_type, encoding).unwrap_err();
            assert_eq!(error.to_string(), text);
            assert!(!error.is_retryable());
        }
    }
}
