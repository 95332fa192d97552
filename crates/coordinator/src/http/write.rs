//! Remote write in: `POST /api/v1/write`, versions 1.0 and 2.0, from any Prometheus, vmagent or
//! OpenTelemetry collector.
//!
//! A request is answered when its samples are durable. What is wrong with single series or samples
//! costs only these: the rest is taken in, and the answer says what was not, as the specification
//! has it.

use std::hash::RandomState;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use daemon::chain;
use remote::{Answer, Decoded, Memory, Reason, Refused, Version};
use store::{Arrival, Outcome, Samples, SeriesId};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::Http;
use super::timed::TooSlow;
use crate::writer::Writer;

/// Largest body, before decompression.
pub(super) const BODY_BYTES_MAX: usize = 16 << 20;
/// Kibibytes of bodies that may be under way, from their first byte until they are durable. Who has
/// more to send waits.
const ROOM_KIB: u32 = 64 << 10;
/// Most requests that are decoded at a time: each may take [`remote::RAW_BYTES_MAX`].
const DECODED_AT_ONCE: usize = 4;
/// Most label sets that are remembered; one more and all are forgotten, which costs only time.
const MEMORY_ENTRIES_MAX: usize = 4 << 20;
/// Label sets that are remembered besides two for each series of the index.
const MEMORY_ENTRIES_SPARE: u64 = 64 << 10;
/// Buffers that are kept for the next requests.
const KEPT_MAX: usize = 8;
/// Larger buffers than this are given back.
const KEPT_BYTES_MAX: usize = 8 << 20;
/// How often a request is done again because old series were dropped under it.
const ATTEMPTS: usize = 3;
/// When a sender should try again.
const RETRY_SECONDS: &str = "1";

/// What remote writes share.
#[derive(Clone, Debug)]
pub struct RemoteWrite {
    writer: Writer,
    memory: Arc<RwLock<Known>>,
    kept: Arc<Mutex<Vec<Work>>>,
    room: Arc<Semaphore>,
    decoding: Arc<Semaphore>,
}

/// The label sets that are remembered, and the generation of the store that their ids are of.
#[derive(Debug)]
struct Known {
    memory: Memory<SeriesId>,
    generation: u64,
}

/// Buffers of one request.
#[derive(Debug, Default)]
struct Work {
    raw: Vec<u8>,
    decoded: Decoded<SeriesId>,
}

impl RemoteWrite {
    /// Remote writes that go to `writer`.
    #[must_use]
    pub fn new(writer: Writer) -> Self {
        let memory = Memory::new(MEMORY_ENTRIES_MAX, &RandomState::new());
        Self {
            writer,
            memory: Arc::new(RwLock::new(Known {
                memory,
                generation: 0,
            })),
            kept: Arc::default(),
            room: Arc::new(Semaphore::new(ROOM_KIB as usize)),
            decoding: Arc::new(Semaphore::new(DECODED_AT_ONCE)),
        }
    }

    /// Waits until there is room for a body of the length that its head claims.
    async fn room(&self, headers: &HeaderMap) -> Option<SemaphorePermit<'_>> {
        let length = headers.get(header::CONTENT_LENGTH);
        let length = length.and_then(|text| text.to_str().ok()?.parse().ok());
        let length: usize = length.unwrap_or(BODY_BYTES_MAX).min(BODY_BYTES_MAX);
        let kib = u32::try_from(length.div_ceil(1024)).unwrap_or(ROOM_KIB);
        // It is never closed.
        self.room.acquire_many(kib).await.ok()
    }

    fn work(&self) -> Work {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.pop().unwrap_or_default()
    }

    fn keep(&self, work: Work) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT_MAX && work.raw.capacity() <= KEPT_BYTES_MAX {
            kept.push(work);
        }
    }
}

/// Takes a request in.
pub(super) async fn write(State(http): State<Http>, request: Request) -> Response {
    let headers = request.headers().clone();
    let _room = http.write.room(&headers).await;
    let body = Bytes::from_request(request, &()).await;
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let version = remote::negotiate(text(header::CONTENT_TYPE), text(header::CONTENT_ENCODING));
    let answered = match (version, body) {
        (Ok(version), Ok(body)) => take(&http, version, body).await,
        // It is no fault of the message: it may be sent again.
        (Ok(_), Err(rejected)) if TooSlow::is_behind(&rejected) => {
            Err(Failed::Later(TooSlow.to_string()))
        }
        (Ok(_), Err(rejected)) => Err(Failed::Body(rejected)),
        (Err(unsupported), _) => Err(Failed::Said(Answer::from(&unsupported))),
    };
    match answered {
        Ok(answer) => {
            http.metrics.write_requests.inc();
            said(&answer)
        }
        Err(failed) => {
            http.metrics.write_failures.inc();
            failed.into_response()
        }
    }
}

/// Why nothing of a request was taken in.
enum Failed {
    /// The request is wrong.
    Said(Answer),
    /// Its body is too large, or did not come to its end.
    Body(BytesRejection),
    /// We are.
    Later(String),
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        match self {
            Self::Said(answer) => said(&answer),
            Self::Body(rejected) => said(&Answer::not_read(
                rejected.status().as_u16(),
                rejected.body_text(),
            )),
            Self::Later(text) => {
                let retry = [(header::RETRY_AFTER, RETRY_SECONDS)];
                (retry, said(&Answer::later(text))).into_response()
            }
        }
    }
}

fn said(answer: &Answer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::BAD_REQUEST);
    let mut response = (status, answer.text.clone()).into_response();
    for (name, value) in answer.headers {
        response
            .headers_mut()
            .insert(name, HeaderValue::from(value));
    }
    response
}

async fn take(http: &Http, version: Version, body: Bytes) -> Result<Answer, Failed> {
    http.metrics.received_bytes.add(body.len() as u64);
    for _ in 0..ATTEMPTS {
        let (this, body) = (http.clone(), body.clone());
        let turn = Arc::clone(&http.write.decoding).acquire_owned().await;
        let read = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            read(&this, version, &body)
        });
        let read = read.await;
        let read = read.map_err(|_panicked| Failed::Later("reading panicked".to_owned()))??;
        let (arrival, answer, refused) = read;
        // What is sent again because nothing was written is counted when it is.
        let count = || {
            for (reason, counter) in Reason::ALL.iter().zip(&http.metrics.write_refused_samples) {
                counter.add(refused.samples_for(*reason));
            }
        };
        if arrival.samples.values.is_empty() {
            count();
            return Ok(answer);
        }
        let gone = || Failed::Later("shutting down".to_owned());
        let verdict = http.write.writer.submit(arrival).await;
        let verdict = verdict.map_err(|_stopped| gone())?.await;
        match verdict.map_err(|_gone| gone())? {
            Ok(Outcome::Taken | Outcome::Duplicate) => {
                count();
                return Ok(answer);
            }
            // What has no sequence makes no hole.
            Ok(Outcome::StaleSeries | Outcome::Scattered) => {}
            Err(error) => return Err(Failed::Later(chain(&*error))),
        }
    }
    Err(Failed::Later("old series are being dropped".to_owned()))
}

/// A request that was read: what is to be written, what to answer when it is, and what was refused.
type Read = (Arrival, Answer, Refused);

/// Decodes a request and gives its series their ids.
fn read(http: &Http, version: Version, body: &[u8]) -> Result<Read, Failed> {
    let mut work = http.write.work();
    let read = read_with(http, version, body, &mut work);
    http.write.keep(work);
    read
}

fn read_with(http: &Http, version: Version, body: &[u8], work: &mut Work) -> Result<Read, Failed> {
    let wrong = |error: remote::Error| Failed::Said(Answer::from(&error));
    let Work { raw, decoded } = work;
    let raw = remote::decompress(body, remote::RAW_BYTES_MAX, raw).map_err(wrong)?;
    let memory = &http.write.memory;
    let generation = http.store.generation();
    forget_if_older(memory, generation);
    {
        let known = memory.read().unwrap_or_else(PoisonError::into_inner);
        remote::decode(version, raw, &known.memory, decoded).map_err(wrong)?;
    }
    http.families
        .note(decoded.take_families())
        .map_err(|error| Failed::Later(chain(&error)))?;
    if decoded.has_unknown() {
        let unknown = decoded.take_unknown();
        let defined = http.store.define(&unknown);
        let defined = defined.map_err(|error| Failed::Later(chain(&error)))?;
        decoded.settle(defined.ids);
        let mut known = memory.write().unwrap_or_else(PoisonError::into_inner);
        if known.generation == generation {
            // Most of many more are of series that are gone.
            let most = 2 * http.store.series_count() + MEMORY_ENTRIES_SPARE;
            if known.memory.len() as u64 > most {
                known.memory.clear();
            }
            known.memory.learn(decoded);
        }
    }
    let samples = in_time(http, decoded);
    let written = samples.values.len() as u64;
    let answer = Answer::of(version, written, decoded.refused(), decoded.skipped());
    let arrival = Arrival {
        generation,
        samples,
        ..Arrival::default()
    };
    Ok((arrival, answer, decoded.refused().clone()))
}

/// Ids of an older generation may have been dropped.
fn forget_if_older(memory: &RwLock<Known>, generation: u64) {
    let is_old = |known: &Known| known.generation != generation;
    if is_old(&memory.read().unwrap_or_else(PoisonError::into_inner)) {
        let mut known = memory.write().unwrap_or_else(PoisonError::into_inner);
        if is_old(&known) {
            known.memory.clear();
            known.generation = generation;
        }
    }
}

/// The samples whose time can be kept; the others are refused.
fn in_time(http: &Http, decoded: &mut Decoded<SeriesId>) -> Samples {
    let (oldest, newest) = http.config.borrow().sample_times(http.clock.wall_millis());
    let all = decoded.samples();
    let fits = |time: &i64| (oldest..=newest).contains(time);
    let number = |id: &SeriesId| id.number();
    if all.times.iter().all(fits) {
        return Samples {
            series: all.ids.iter().map(number).collect(),
            times: all.times.to_vec(),
            values: all.values.to_vec(),
        };
    }
    let mut samples = Samples::default();
    let mut refused = 0;
    for ((id, time), value) in all.ids.iter().zip(all.times).zip(all.values) {
        if fits(time) {
            samples.series.push(id.number());
            samples.times.push(*time);
            samples.values.push(*value);
        } else {
            refused += 1;
        }
    }
    decoded.refused_mut().add(Reason::BadTime, refused, || {
        format!("samples outside {oldest} to {newest} (milliseconds)")
    });
    samples
}
