//! A server whose next answer the test decides, and a clock that it moves.

use std::convert::Infallible;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use daemon::clock::Clock;

pub(crate) fn install_tls_provider() {
    // Only the first of the tests in this process can; that is enough.
    drop(rustls::crypto::ring::default_provider().install_default());
}

/// A clock that stands still until it is moved.
#[derive(Debug, Default)]
pub(crate) struct HandClock(Mutex<(i64, Duration)>);

impl HandClock {
    pub(crate) fn set_wall(&self, millis: i64) {
        self.0.lock().unwrap().0 = millis;
    }

    pub(crate) fn advance(&self, millis: u32) {
        let mut now = self.0.lock().unwrap();
        now.0 += i64::from(millis);
        now.1 += Duration::from_millis(u64::from(millis));
    }
}

impl Clock for HandClock {
    fn wall_millis(&self) -> i64 {
        self.0.lock().unwrap().0
    }

    fn monotonic(&self) -> Duration {
        self.0.lock().unwrap().1
    }
}

/// What the server answers from now on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) body: Vec<u8>,
    status: u16,
    headers: Vec<(&'static str, String)>,
    taking_millis: u32,
    never: bool,
    stalling: bool,
}

impl Answer {
    pub(crate) fn text(body: &str) -> Self {
        Self {
            body: body.as_bytes().to_vec(),
            status: 200,
            headers: vec![("content-type", "text/plain; version=0.0.4".to_owned())],
            ..Self::default()
        }
    }

    pub(crate) fn open_metrics(body: &str) -> Self {
        let mut answer = Self::text(body);
        let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        answer.headers = vec![("content-type", content_type.to_owned())];
        answer
    }

    pub(crate) fn redirect(to: &str) -> Self {
        let mut answer = Self::text("").with_status(302);
        answer.headers.push(("location", to.to_owned()));
        answer
    }

    pub(crate) fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    pub(crate) fn gzipped(mut self) -> Self {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&self.body).unwrap();
        self.body = encoder.finish().unwrap();
        self.headers.push(("content-encoding", "gzip".to_owned()));
        self
    }

    /// Moves the clock on before it answers.
    pub(crate) fn taking(mut self, millis: u32) -> Self {
        self.taking_millis = millis;
        self
    }

    pub(crate) fn never(mut self) -> Self {
        self.never = true;
        self
    }

    /// Sends the head, and never the body.
    pub(crate) fn stalling_body(mut self) -> Self {
        self.stalling = true;
        self
    }
}

/// What the server saw.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) requests: usize,
    pub(crate) connections: usize,
    pub(crate) headers: HeaderMap,
    peers: Vec<SocketAddr>,
}

#[derive(Clone)]
struct Shared {
    answer: Arc<Mutex<Answer>>,
    seen: Arc<Mutex<Seen>>,
    clock: Arc<HandClock>,
}

pub(crate) struct Server {
    address: SocketAddr,
    shared: Shared,
}

impl Server {
    pub(crate) async fn start(clock: Arc<HandClock>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Shared {
            answer: Arc::default(),
            seen: Arc::default(),
            clock,
        };
        let app = Router::new().fallback(serve).with_state(shared.clone());
        // It ends with the runtime of its test.
        tokio::spawn(async move {
            let app = app.into_make_service_with_connect_info::<SocketAddr>();
            axum::serve(listener, app).await.unwrap();
        });
        Self { address, shared }
    }

    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn answer(&self, answer: Answer) {
        *self.shared.answer.lock().unwrap() = answer;
    }

    pub(crate) fn seen(&self) -> Seen {
        self.shared.seen.lock().unwrap().clone()
    }
}

async fn serve(
    State(shared): State<Shared>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let mut answer = shared
        .answer
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    {
        let mut seen = shared.seen.lock().unwrap();
        seen.requests += 1;
        seen.headers = headers;
        if !seen.peers.contains(&peer) {
            seen.peers.push(peer);
        }
        seen.connections = seen.peers.len();
    }
    if uri.path() == "/moved" {
        answer = Answer::text("moved 1\n");
    }
    if answer.never {
        std::future::pending::<()>().await;
    }
    shared.clock.advance(answer.taking_millis);
    let mut response = Response::builder().status(answer.status);
    for (name, value) in answer.headers {
        response = response.header(name, value);
    }
    let body = if answer.stalling {
        Body::from_stream(Stalled)
    } else {
        Body::from(answer.body)
    };
    response.body(body).unwrap()
}

/// A body that never comes.
struct Stalled;

impl tokio_stream::Stream for Stalled {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(
        self: std::pin::Pin<&mut Self>,
        _context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        std::task::Poll::Pending
    }
}
