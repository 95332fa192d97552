//! The way to the coordinator. It changes when the agent's certificate does: what is open is ended in good
//! order, and what is opened next goes the new way.

use tokio::sync::watch;
use wire::client::Connection;

/// The way to the coordinator as it is now. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Way(watch::Receiver<Option<Connection>>);

/// Where a way is set.
pub(crate) type Signpost = watch::Sender<Option<Connection>>;

impl Way {
    /// A way that never changes.
    #[must_use]
    pub fn fixed(connection: Connection) -> Self {
        Self(watch::channel(Some(connection)).1)
    }

    /// A way that is not there yet.
    pub(crate) fn unknown() -> (Signpost, Self) {
        let (signpost, way) = watch::channel(None);
        (signpost, Self(way))
    }

    /// The connection to open streams on, when there is one.
    pub(crate) async fn connection(&mut self) -> Connection {
        loop {
            if let Some(connection) = self.0.borrow_and_update().clone() {
                return connection;
            }
            self.wait().await;
        }
    }

    /// Takes note of the connection that there is: what is told from now on is a change of it.
    pub(crate) fn mark_seen(&mut self) {
        self.0.mark_unchanged();
    }

    /// Waits until another connection should be used than the last one given or seen.
    pub(crate) async fn changed(&mut self) {
        self.wait().await;
    }

    async fn wait(&mut self) {
        if self.0.changed().await.is_err() {
            // No one is left to change it.
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;
    use wire::client::{Credentials, connect};

    use super::*;

    #[tokio::test]
    async fn a_way_is_waited_for_and_its_change_is_told_once() {
        let soon = Duration::from_millis(20);
        let made = || connect("http://host:1", &Credentials::default(), |it| it).unwrap();
        let (signpost, mut way) = Way::unknown();
        assert!(timeout(soon, way.connection()).await.is_err());
        signpost.send_replace(Some(made()));
        let mut other = way.clone();
        way.connection().await;
        assert!(timeout(soon, way.changed()).await.is_err());
        signpost.send_replace(Some(made()));
        timeout(soon, way.changed()).await.unwrap();
        signpost.send_replace(Some(made()));
        way.mark_seen();
        assert!(timeout(soon, way.changed()).await.is_err());
        // Who opens after the change goes the new way and is not told of it.
        other.connection().await;
        assert!(timeout(soon, other.changed()).await.is_err());
        drop(signpost);
        other.connection().await;
        assert!(timeout(soon, other.changed()).await.is_err());
    }
}
