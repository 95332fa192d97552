//! A network that fails: a proxy between an agent and its coordinator.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// Everything.
    Open,
    /// Nothing: connections are closed, and new ones too.
    Cut,
    /// Nothing, and nobody is told: what is said waits.
    Frozen,
}

/// A proxy; it ends with its handle.
#[derive(Debug)]
pub struct Proxy {
    /// Where it listens.
    pub address: SocketAddr,
    network: Arc<watch::Sender<Network>>,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Proxy {
    /// A proxy to this address, through which everything passes.
    ///
    /// # Panics
    /// When no port can be had.
    pub async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let network = Arc::new(watch::channel(Network::Open).0);
        let state = Arc::clone(&network);
        let server = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (near, _) = listener.accept().await.unwrap();
                connections.spawn(connection(near, target, state.subscribe()));
                while connections.try_join_next().is_some() {}
            }
        });
        Self {
            address,
            network,
            server,
        }
    }

    /// The URL for the agent.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on so much passes.
    pub fn set(&self, network: Network) {
        self.network.send_replace(network);
    }
}

async fn connection(near: TcpStream, target: SocketAddr, mut network: watch::Receiver<Network>) {
    if *network.borrow_and_update() == Network::Cut {
        return;
    }
    let Ok(far) = TcpStream::connect(target).await else {
        return;
    };
    let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
    let (there, back) = (network.clone(), network.clone());
    tokio::select! {
        () = pass(near_read, far_write, there) => {}
        () = pass(far_read, near_write, back) => {}
        _ = network.wait_for(|network| *network == Network::Cut) => {}
    }
}

async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut network: watch::Receiver<Network>,
) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if network
            .wait_for(|network| *network != Network::Frozen)
            .await
            .is_err()
        {
            return;
        }
        let Some(read) = buffer.get(..count) else {
            return;
        };
        if to.write_all(read).await.is_err() {
            return;
        }
    }
}
