//! The envelope around every answer, and what all answers have in common: compression and leave for
//! pages of other origins.

use std::io::Write;

use axum::body::{Body, HttpBody, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;

use super::failed::{Failed, Kind};
use super::json::Json;

/// Largest answer, before compression. The evaluator's own bound of 10 million samples makes about
/// as much.
const ANSWER_BYTES_MAX: usize = 256 << 20;
/// Smaller answers are not compressed: they fit into a packet or two as they are.
const COMPRESSED_BYTES_MIN: usize = 1 << 10;

/// What there is to say beside the data.
#[derive(Clone, Debug, Default)]
pub(super) struct Notes {
    /// What probably makes the data wrong.
    pub(super) warnings: Vec<String>,
    /// What may make it surprising.
    pub(super) infos: Vec<String>,
    /// Whether something that should be in the data is known to be missing.
    pub(super) partial: bool,
}

impl Notes {
    /// Says that there is more, if so.
    pub(super) fn truncated(&mut self, truncated: bool) {
        if truncated {
            self.warnings
                .push("results truncated due to limit".to_owned());
        }
    }
}

/// An answer with this data. It is written on a thread that may block, since it may be long.
///
/// # Errors
/// When the data has no room.
pub(super) async fn reply(
    notes: Notes,
    data: impl FnOnce(&mut Json) + Send + 'static,
) -> Result<Response, Failed> {
    let written = tokio::task::spawn_blocking(move || reply_at_once(&notes, data)).await;
    written.map_err(|_source| Failed::new(Kind::Internal, "writing the answer panicked"))?
}

/// The same for data that is so short that writing it costs less than asking another thread to.
///
/// # Errors
/// When the data has no room.
pub(super) fn reply_at_once(
    notes: &Notes,
    data: impl FnOnce(&mut Json),
) -> Result<Response, Failed> {
    let mut json = Json::new(ANSWER_BYTES_MAX);
    json.object(|json| {
        json.key("status").string("success");
        if notes.partial {
            json.key("isPartial").truth(true);
        }
        data(json.key("data"));
        if !notes.warnings.is_empty() {
            json.key("warnings").strings(&notes.warnings);
        }
        if !notes.infos.is_empty() {
            json.key("infos").strings(&notes.infos);
        }
    });
    let body = json.finish().ok_or_else(|| {
        let why = format!("the answer has more than {ANSWER_BYTES_MAX} bytes; narrow the query");
        Failed::new(Kind::Execution, why)
    })?;
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

/// Answers what a browser asks before it asks for data, lets pages of other origins read the
/// answer as Prometheus does by default, and compresses it for those who take it so.
pub(super) async fn finish(request: Request, next: Next) -> Response {
    let from_page = request.headers().contains_key(header::ORIGIN);
    let encoding = Encoding::of(request.headers());
    let mut response = if request.method() == Method::OPTIONS {
        StatusCode::NO_CONTENT.into_response()
    } else {
        next.run(request).await
    };
    if let Some(encoding) = encoding
        && response.size_hint().lower() >= COMPRESSED_BYTES_MIN as u64
    {
        response = compressed(response, encoding).await;
    }
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    if from_page {
        for (name, value) in [
            (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
            (
                header::ACCESS_CONTROL_ALLOW_HEADERS,
                "Accept, Authorization, Content-Type, Origin",
            ),
            (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, OPTIONS"),
            (header::ACCESS_CONTROL_EXPOSE_HEADERS, "Date"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
    }
    response
}

/// How an answer is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Gzip,
    Zstd,
}

/// Of zstd, where 3 is what its authors recommend; its window is far below the 8 MiB that HTTP allows
/// (RFC 9659).
const ZSTD_LEVEL: i32 = 3;

impl Encoding {
    /// The one that the asker likes best; zstd of two that it likes the same.
    fn of(headers: &HeaderMap) -> Option<Self> {
        let lists = headers.get_all(header::ACCEPT_ENCODING).iter();
        let encodings = lists
            .filter_map(|list| list.to_str().ok())
            .flat_map(|list| list.split(','));
        let known = encodings.filter_map(|encoding| {
            let (name, weight) = encoding.split_once(';').unwrap_or((encoding, ""));
            let encoding = match name.trim() {
                name if name.eq_ignore_ascii_case("zstd") => Self::Zstd,
                name if name.eq_ignore_ascii_case("gzip") => Self::Gzip,
                _ => return None,
            };
            let weight = weight.trim().strip_prefix("q=").unwrap_or("1");
            let weight = weight.parse::<f32>().ok().filter(|weight| *weight > 0.0)?;
            Some((weight, encoding))
        });
        known
            .max_by(|(a, one), (b, other)| {
                a.total_cmp(b)
                    .then_with(|| (*one == Self::Zstd).cmp(&(*other == Self::Zstd)))
            })
            .map(|(_, encoding)| encoding)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    fn compress(self, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
        match self {
            Self::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(bytes)?;
                encoder.finish()
            }
            Self::Zstd => {
                let mut packed = Vec::new();
                codec::compress(bytes, ZSTD_LEVEL, &mut packed);
                Ok(packed)
            }
        }
    }
}

async fn compressed(response: Response, encoding: Encoding) -> Response {
    let (mut parts, body) = response.into_parts();
    // The body is in memory already, so this neither waits nor grows.
    let Ok(whole) = to_bytes(body, usize::MAX).await else {
        return Failed::new(Kind::Internal, "reading the answer back").into_response();
    };
    match tokio::task::spawn_blocking(move || encoding.compress(&whole)).await {
        Ok(Ok(packed)) => {
            let name = HeaderValue::from_static(encoding.name());
            parts.headers.insert(header::CONTENT_ENCODING, name);
            parts.headers.remove(header::CONTENT_LENGTH);
            Response::from_parts(parts, Body::from(packed))
        }
        Ok(Err(_)) | Err(_) => {
            Failed::new(Kind::Internal, "compressing the answer").into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_known_to_lack_something_says_so() {
        let notes = Notes {
            warnings: vec!["left out: a chunk".to_owned()],
            infos: vec!["a hint".to_owned()],
            partial: true,
        };
        let response = reply(notes, |json| json.truth(true)).await.unwrap();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        let body = std::str::from_utf8(&body).unwrap();
        expect_test::expect![[
            r#"{"status":"success","isPartial":true,"data":true,"warnings":["left out: a chunk"],"infos":["a hint"]}"#
        ]]
        .assert_eq(body);
    }

    #[test]
    fn the_asker_chooses_how_it_is_compressed() {
        for (accept, expected) in [
            ("gzip", Some(Encoding::Gzip)),
            ("deflate, GZIP;q=0.5", Some(Encoding::Gzip)),
            ("gzip, deflate, br, zstd", Some(Encoding::Zstd)),
            ("zstd, gzip", Some(Encoding::Zstd)),
            ("zstd;q=0.5, gzip;q=0.8", Some(Encoding::Gzip)),
            ("zstd;q=0, gzip;q=0", None),
            ("gzip; q=0.0", None),
            ("identity", None),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(accept));
            assert_eq!(Encoding::of(&headers), expected, "{accept}");
        }
        assert_eq!(Encoding::of(&HeaderMap::new()), None);
    }
}
