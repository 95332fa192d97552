//! What a request asks for: the parameters of its address and of its form, read as Prometheus
//! reads them.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::{FromRequest, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Method};
use daemon::units::HumanDuration;
use series::{Matcher, TimeRange, Timestamp};

use super::failed::Failed;
use crate::query::selector;

/// Largest form. An expression may have 64 KiB, three times that when every byte is escaped.
const FORM_BYTES_MAX: usize = 1 << 20;
/// How much of a larger form is read all the same, and let go: most clients send all of it before they
/// listen, and would find the connection closed where the answer should be.
const FORM_BYTES_READ_MAX: usize = 64 << 20;
/// How long a form may take to arrive, so that a slow sender holds no request open.
const FORM_WITHIN: Duration = Duration::from_secs(30);
/// Most parameters of one request.
const PARAMS_MAX: usize = 1000;
/// Most `match[]` of one request: each is a walk through the index.
const SELECTORS_MAX: usize = 100;

/// The first and the last time that Prometheus' clients name, when they mean no bound; years of more
/// than four digits are no RFC 3339.
const TIME_BOUNDS: [(&str, i64); 2] = [
    ("-292273086-05-16T16:47:06Z", -9_223_309_901_257_974_000),
    (
        "292277025-08-18T07:12:54.999999999Z",
        9_223_309_901_257_974_999,
    ),
];

/// Parameters in order, those of the form first, as Go's `Request.Form` has them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Params(Vec<(String, String)>);

impl<S: Sync> FromRequest<S> for Params {
    type Rejection = Failed;

    async fn from_request(request: Request, _: &S) -> Result<Self, Failed> {
        let (parts, body) = request.into_parts();
        let mut params = Self::default();
        if parts.method == Method::POST && is_form(&parts.headers) {
            let body = tokio::time::timeout(FORM_WITHIN, read(body)).await;
            let body = body
                .map_err(|_elapsed| form(format_args!("it took over {FORM_WITHIN:?} to arrive")))?;
            let body = body?;
            let text = std::str::from_utf8(&body).map_err(form)?;
            params.add(text)?;
        }
        params.add(parts.uri.query().unwrap_or_default())?;
        Ok(params)
    }
}

/// A form of at most [`FORM_BYTES_MAX`].
async fn read(mut body: Body) -> Result<Vec<u8>, Failed> {
    let (mut read, mut bytes) = (0, Vec::new());
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let frame = frame.map_err(form)?;
        let Some(data) = frame.data_ref() else {
            continue;
        };
        read += data.len();
        if read > FORM_BYTES_READ_MAX {
            break;
        }
        if read <= FORM_BYTES_MAX {
            bytes.extend_from_slice(data);
        }
    }
    if read > FORM_BYTES_MAX {
        return Err(form(format_args!("more than {FORM_BYTES_MAX} bytes")));
    }
    Ok(bytes)
}

fn form(why: impl std::fmt::Display) -> Failed {
    Failed::bad_data(format!("error parsing form values: {why}"))
}

fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next());
    kind.is_some_and(|kind| {
        kind.trim()
            .eq_ignore_ascii_case("application/x-www-form-urlencoded")
    })
}

impl Params {
    fn add(&mut self, encoded: &str) -> Result<(), Failed> {
        for pair in encoded.split('&').filter(|pair| !pair.is_empty()) {
            if self.0.len() == PARAMS_MAX {
                return Err(form(format_args!("more than {PARAMS_MAX} parameters")));
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            self.0.push((unescape(name)?, unescape(value)?));
        }
        Ok(())
    }

    /// The first value of a parameter; empty when there is none, which means the same.
    pub(super) fn get(&self, name: &str) -> &str {
        let named = self.0.iter().find(|(have, _)| have == name);
        named.map_or("", |(_, value)| value)
    }

    /// All values of a parameter.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = self.0.iter().filter(move |(have, _)| have == name);
        named.map(|(_, value)| value.as_str())
    }

    /// A point in time that must be given.
    pub(super) fn time(&self, name: &str) -> Result<Timestamp, Failed> {
        time(self.get(name)).map_err(|why| Failed::parameter(name, why))
    }

    /// A point in time, or `default` when it is not given.
    pub(super) fn time_or(&self, name: &str, default: Timestamp) -> Result<Timestamp, Failed> {
        match self.get(name) {
            "" => Ok(default),
            text => time(text).map_err(|why| {
                Failed::parameter(name, format!("Invalid time value for '{name}': {why}"))
            }),
        }
    }

    /// The times from `start` to `end`, open where one is not given.
    pub(super) fn range(&self) -> Result<TimeRange, Failed> {
        let start = self.time_or("start", Timestamp::MIN)?;
        Ok(TimeRange::new(start, self.time_or("end", Timestamp::MAX)?))
    }

    /// A duration in milliseconds that must be given; it may be negative.
    pub(super) fn millis(&self, name: &str) -> Result<i64, Failed> {
        millis(self.get(name)).map_err(|why| Failed::parameter(name, why))
    }

    /// A duration, if it is given; a negative one counts as none at all.
    pub(super) fn duration(&self, name: &str) -> Result<Option<Duration>, Failed> {
        if self.get(name).is_empty() {
            return Ok(None);
        }
        let millis = self.millis(name)?;
        Ok(Some(Duration::from_millis(millis.max(0).unsigned_abs())))
    }

    /// Whether something is asked for; not, when it is not given.
    pub(super) fn truth(&self, name: &str) -> Result<bool, Failed> {
        match self.get(name) {
            "" | "0" | "false" => Ok(false),
            "1" | "true" => Ok(true),
            other => Err(Failed::parameter(
                name,
                format!("{other:?} is not true or false"),
            )),
        }
    }

    /// The most entries that are asked for; 0 when all are.
    pub(super) fn limit(&self) -> Result<usize, Failed> {
        let limit = match self.get("limit") {
            "" => 0,
            text => text
                .parse::<i64>()
                .map_err(|why| Failed::parameter("limit", format!("{text:?}: {why}")))?,
        };
        usize::try_from(limit)
            .map_err(|_negative| Failed::parameter("limit", "limit must be non-negative"))
    }

    /// The matchers of every `match[]`.
    pub(super) fn selectors(&self) -> Result<Vec<Vec<Matcher>>, Failed> {
        let texts: Vec<_> = self.all("match[]").collect();
        if texts.len() > SELECTORS_MAX {
            let why = format!("{} are given, more than {SELECTORS_MAX}", texts.len());
            return Err(Failed::parameter("match[]", why));
        }
        let read = |text: &&str| selector(text).map_err(|why| Failed::parameter("match[]", why));
        texts.iter().map(read).collect()
    }
}

/// One name or value as it was before it was put into a form.
fn unescape(text: &str) -> Result<String, Failed> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
                let digits = (digit(rest.next()), digit(rest.next()));
                let (Some(high), Some(low)) = digits else {
                    return Err(form(format_args!("invalid URL escape in {text:?}")));
                };
                u8::try_from(16 * high + low).unwrap_or_default()
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).map_err(form)
}

/// Unix seconds with an optional fraction, or RFC 3339.
pub(super) fn time(text: &str) -> Result<Timestamp, String> {
    let none = || format!("cannot parse {text:?} to a valid timestamp");
    if let Ok(seconds) = text.parse::<f64>() {
        return if seconds.is_finite() {
            Ok(Timestamp::from_secs_f64(seconds))
        } else {
            Err(none())
        };
    }
    if let Some((_, millis)) = TIME_BOUNDS.iter().find(|(bound, _)| *bound == text) {
        return Ok(Timestamp::from_millis(*millis));
    }
    // The parser takes more than RFC 3339 does.
    let parsed = is_rfc3339(text).then(|| text.parse::<jiff::Timestamp>().ok());
    let parsed = parsed.flatten().ok_or_else(none)?;
    // Down and not towards zero, so that times before 1970 round as those after do.
    let millis = parsed.as_nanosecond().div_euclid(1_000_000);
    i64::try_from(millis).map_or_else(|_| Err(none()), |millis| Ok(Timestamp::from_millis(millis)))
}

/// Whether a text has the shape `2024-01-31T12:00:00.25+01:00`; the fraction is optional, and `Z`
/// stands for no offset.
fn is_rfc3339(text: &str) -> bool {
    let Some((date_time, rest)) = text.split_at_checked("2024-01-31T12:00:00".len()) else {
        return false;
    };
    let has_shape = |text: &str, shape: &str| {
        text.len() == shape.len()
            && text
                .bytes()
                .zip(shape.bytes())
                .all(|(byte, wanted)| match wanted {
                    b'0' => byte.is_ascii_digit(),
                    wanted => byte == wanted,
                })
    };
    let offset = match rest.strip_prefix('.') {
        Some(fraction) => {
            let offset = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
            if offset.len() == fraction.len() {
                return false;
            }
            offset
        }
        None => rest,
    };
    has_shape(date_time, "0000-00-00T00:00:00")
        && (offset == "Z" || has_shape(offset, "+00:00") || has_shape(offset, "-00:00"))
}

/// Seconds with an optional fraction, or a duration such as `1h30m`, in milliseconds.
fn millis(text: &str) -> Result<i64, String> {
    let none = || format!("cannot parse {text:?} to a valid duration");
    if let Ok(seconds) = text.parse::<f64>() {
        // Prometheus counts durations in nanoseconds and refuses what does not fit.
        let fits = seconds.is_finite() && seconds.abs() * 1e9 <= 9.223_372_036_854_775e18;
        return if fits {
            Ok(Timestamp::from_secs_f64(seconds).as_millis())
        } else {
            Err(format!("{}. It overflows int64", none()))
        };
    }
    let duration = text.parse::<HumanDuration>().map_err(|_malformed| none())?;
    Ok(series::time::duration_millis(duration.as_duration()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_unix_seconds_or_rfc_3339() {
        for (text, millis) in [
            ("0", 0),
            ("1.5", 1_500),
            ("-1.25", -1_250),
            ("1e9", 1_000_000_000_000),
            ("1700000000.1234", 1_700_000_000_123),
            ("1970-01-01T00:00:01Z", 1_000),
            ("1970-01-01T00:00:01.25Z", 1_250),
            ("1970-01-01T01:00:00+01:00", 0),
            ("1969-12-31T23:59:59.999999999-00:00", -1),
            (TIME_BOUNDS[0].0, TIME_BOUNDS[0].1),
            (TIME_BOUNDS[1].0, TIME_BOUNDS[1].1),
        ] {
            assert_eq!(time(text), Ok(Timestamp::from_millis(millis)), "{text}");
        }
        for text in [
            "",
            "now",
            "NaN",
            "-Inf",
            "1970-01-01",
            "1970-01-01 00:00:01Z",
            "1970-01-01t00:00:01z",
            "1970-01-01T00:00:01",
            "1970-01-01T00:00:01.Z",
            "1970-01-01T00:00:01,5Z",
            "1970-01-01T00:00:01+0100",
            "1970-01-01T00:00:01Z[UTC]",
            "1970-02-30T00:00:01Z",
            "1970-01-01T00:00:01é",
        ] {
            let error = format!("cannot parse {text:?} to a valid timestamp");
            assert_eq!(time(text), Err(error));
        }
    }

    #[test]
    fn durations_are_seconds_or_have_units() {
        for (text, expected) in [
            ("15", 15_000),
            ("0.5", 500),
            ("-3", -3_000),
            ("1h30m", 5_400_000),
            ("250ms", 250),
        ] {
            assert_eq!(millis(text), Ok(expected), "{text}");
        }
        for text in ["", "1x", "30s1h", "NaN", "1e10", "Inf"] {
            assert!(millis(text).is_err(), "{text}");
        }
    }

    #[test]
    fn forms_are_read_strictly_and_bounded() {
        let read = |text: &str| {
            let mut params = Params::default();
            params.add(text).map(|()| params)
        };
        let params = read("query=a%7Bb%3D%22%C3%A9%22%7D&x&&match[]=1+2&match%5B%5D=3").unwrap();
        assert_eq!(params.get("query"), "a{b=\"é\"}");
        assert_eq!(params.get("x"), "");
        assert_eq!(params.get("none"), "");
        assert_eq!(params.all("match[]").collect::<Vec<_>>(), ["1 2", "3"]);
        for text in ["a=%", "a=%4", "%zz=1", "a=%+1", "a=%FF"] {
            assert!(read(text).is_err(), "{text}");
        }
        assert!(read(&"a&".repeat(PARAMS_MAX)).is_ok());
        assert!(read(&"a&".repeat(PARAMS_MAX + 1)).is_err());
    }
}
