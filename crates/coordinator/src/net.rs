//! Connections: their number, their handshakes, and who is at the other end.

mod hosts;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use daemon::chain;
use daemon::metrics::Counter;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use crate::access::{Certificate, Peer};
use crate::metrics::Metrics;

pub(crate) use hosts::neighbourhood;
use hosts::{Hosts, OfHost};

pub use tls::{Alpn, Tls, TlsError, TlsFiles, follow};
pub(crate) use tls::{certificates, verifier};

/// Connections of one port. A fleet of ten thousand agents has two streams each on one connection.
const CONNECTIONS_MAX: usize = 20_000;
/// Connections whose handshake goes on at a time; who comes beyond it waits in the kernel's queue.
const HANDSHAKES_MAX: usize = 512;
/// How long a peer may take to say its first byte, and then to end its handshake.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// The wait after the system refused a connection, for want of file descriptors.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// What ends a connection, or lets it wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Its first byte, or its handshake, came too slowly.
    Handshake,
    /// The head of a request did.
    Head,
    /// The body of a request did.
    Body,
    /// There are as many connections as there may be.
    Connections,
    /// Its host has as many as it may; it is closed.
    Host,
    /// There are as many handshakes under way as there may be.
    Handshakes,
}

impl Limit {
    /// All of them, each at the place of its number.
    pub const ALL: [Self; 6] = [
        Self::Handshake,
        Self::Head,
        Self::Body,
        Self::Connections,
        Self::Host,
        Self::Handshakes,
    ];

    /// The value of the label `reason`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Handshake => "handshake",
            Self::Head => "head",
            Self::Body => "body",
            Self::Connections => "connections",
            Self::Host => "host",
            Self::Handshakes => "handshakes",
        }
    }
}

/// Whether a connection said anything since it was last forgotten. Clones share it; it guards no other
/// memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard(Arc<AtomicBool>);

impl Heard {
    pub(crate) fn is_any(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn forget(&self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// Bytes of one connection.
#[derive(Debug)]
enum Bytes {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// A connection that has said something and, with TLS, ended its handshake.
#[derive(Debug)]
pub struct Connection {
    bytes: Bytes,
    peer: Peer,
    heard: Heard,
    _place: Place,
}

/// The place of a connection: among [`CONNECTIONS_MAX`], and among those of its host.
#[derive(Debug)]
struct Place {
    _of_all: OwnedSemaphorePermit,
    _of_host: OfHost,
}

impl Connection {
    /// Who is at the other end.
    #[must_use]
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    pub(crate) fn heard(&self) -> Heard {
        self.heard.clone()
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

/// Accepts connections of a port for as long as someone takes them from the channel, at most `per_host_max` of one
/// host at a time; 0 for no bound.
pub fn accept(
    listener: TcpListener,
    tls: Option<watch::Receiver<Tls>>,
    alpn: Alpn,
    per_host_max: usize,
    metrics: Arc<Metrics>,
) -> mpsc::Receiver<Connection> {
    let (ready, connections) = mpsc::channel(HANDSHAKES_MAX);
    let hosts = Hosts::new(per_host_max);
    let accepting = accept_all(listener, tls, alpn, hosts, metrics, ready);
    drop(tokio::spawn(accepting));
    connections
}

async fn accept_all(
    listener: TcpListener,
    tls: Option<watch::Receiver<Tls>>,
    alpn: Alpn,
    hosts: Hosts,
    metrics: Arc<Metrics>,
    ready: mpsc::Sender<Connection>,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    loop {
        let taken = async {
            let place = place_of(&places, metrics.limited(Limit::Connections)).await?;
            // Waiting for a first byte in plain text costs nothing that others would want.
            let turn = match &tls {
                Some(_) => place_of(&handshakes, metrics.limited(Limit::Handshakes))
                    .await?
                    .into(),
                None => None,
            };
            Some((place, turn, listener.accept().await))
        };
        let accepted = tokio::select! {
            () = ready.closed() => return,
            taken = taken => taken,
        };
        let Some((place, turn, accepted)) = accepted else {
            return;
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(error = chain(&error), "accepting a connection failed");
                sleep(ACCEPT_AGAIN).await;
                continue;
            }
        };
        let Some(of_host) = hosts.take(address.ip()) else {
            metrics.limited(Limit::Host).inc();
            tracing::debug!(%address, "this host has as many connections as it may");
            continue;
        };
        let place = Place {
            _of_all: place,
            _of_host: of_host,
        };
        let acceptor = tls.as_ref().map(|tls| tls.borrow().acceptor(alpn));
        let (ready, metrics) = (ready.clone(), Arc::clone(&metrics));
        drop(tokio::spawn(async move {
            let shaken = timeout(HANDSHAKE_WITHIN, shake(stream, address, acceptor, place)).await;
            drop(turn);
            match shaken {
                Ok(Ok(connection)) => drop(ready.send(connection).await),
                Ok(Err(error)) => {
                    metrics.handshake_failures.inc();
                    tracing::debug!(%address, error = chain(&error), "a handshake failed");
                }
                Err(_elapsed) => {
                    metrics.handshake_failures.inc();
                    metrics.limited(Limit::Handshake).inc();
                    tracing::debug!(%address, "a handshake took too long");
                }
            }
        }));
    }
}

/// A place, waited for if there is none; that is counted.
async fn place_of(places: &Arc<Semaphore>, waited: &Counter) -> Option<OwnedSemaphorePermit> {
    if let Ok(place) = Arc::clone(places).try_acquire_owned() {
        return Some(place);
    }
    waited.inc();
    Arc::clone(places).acquire_owned().await.ok()
}

async fn shake(
    stream: TcpStream,
    address: SocketAddr,
    acceptor: Option<TlsAcceptor>,
    place: Place,
) -> io::Result<Connection> {
    stream.set_nodelay(true)?;
    let Some(acceptor) = acceptor else {
        // Who says nothing is not served. That a stream is readable would prove nothing: a new one is said to be.
        if stream.peek(&mut [0]).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        return Ok(Connection {
            bytes: Bytes::Plain(stream),
            peer: Peer {
                address,
                certificate: None,
            },
            heard: Heard::default(),
            _place: place,
        });
    };
    let stream = acceptor.accept(stream).await?;
    let shown = stream.get_ref().1.peer_certificates();
    let certificate = shown.and_then(|chain| chain.first()).map(|der| {
        let certificate = Certificate::read(der);
        certificate
            .map(Arc::new)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    });
    Ok(Connection {
        peer: Peer {
            address,
            certificate: certificate.transpose()?,
        },
        bytes: Bytes::Tls(Box::new(stream)),
        heard: Heard::default(),
        _place: place,
    })
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let read = match &mut this.bytes {
            Bytes::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Bytes::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buf),
        };
        if buf.filled().len() > before {
            this.heard.0.store(true, Ordering::Relaxed);
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().bytes {
            Bytes::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Bytes::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().bytes {
            Bytes::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Bytes::Tls(stream) => Pin::new(stream.as_mut()).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.bytes {
            Bytes::Plain(stream) => stream.is_write_vectored(),
            Bytes::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().bytes {
            Bytes::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Bytes::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().bytes {
            Bytes::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Bytes::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }
}
