//! Connections: their number, their handshakes, and who is at the other end.

mod tls;

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use daemon::chain;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use crate::access::{Certificate, Peer};
use crate::metrics::Metrics;

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
    /// Its place among [`CONNECTIONS_MAX`].
    _place: OwnedSemaphorePermit,
}

impl Connection {
    /// Who is at the other end.
    #[must_use]
    pub fn peer(&self) -> &Peer {
        &self.peer
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

/// Accepts connections of a port for as long as someone takes them from the channel.
pub fn accept(
    listener: TcpListener,
    tls: Option<watch::Receiver<Tls>>,
    alpn: Alpn,
    metrics: Arc<Metrics>,
) -> mpsc::Receiver<Connection> {
    let (ready, connections) = mpsc::channel(HANDSHAKES_MAX);
    let accepting = accept_all(listener, tls, alpn, metrics, ready);
    drop(tokio::spawn(accepting));
    connections
}

async fn accept_all(
    listener: TcpListener,
    tls: Option<watch::Receiver<Tls>>,
    alpn: Alpn,
    metrics: Arc<Metrics>,
    ready: mpsc::Sender<Connection>,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    loop {
        let taken = async {
            let place = Arc::clone(&places).acquire_owned().await.ok()?;
            let turn = Arc::clone(&handshakes).acquire_owned().await.ok()?;
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
                    tracing::debug!(%address, "a handshake took too long");
                }
            }
        }));
    }
}

async fn shake(
    stream: TcpStream,
    address: SocketAddr,
    acceptor: Option<TlsAcceptor>,
    place: OwnedSemaphorePermit,
) -> io::Result<Connection> {
    stream.set_nodelay(true)?;
    let Some(acceptor) = acceptor else {
        // Who says nothing takes no place of a protocol.
        stream.readable().await?;
        return Ok(Connection {
            bytes: Bytes::Plain(stream),
            peer: Peer {
                address,
                certificate: None,
            },
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
        _place: place,
    })
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.get_mut().bytes {
            Bytes::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Bytes::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buf),
        }
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
