//! What the tests of the real programs work with: processes that end with the test, targets that
//! know what they said, and questions.
//!
//! State is learned through public interfaces, with a deadline ([`within`]). Two logs are read: the
//! agent's account of what it spooled and what was acknowledged, because a promise is made about it,
//! and that of Prometheus, which says on which port it listens nowhere else.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper fails its test by panicking"
)]

pub mod agent;
pub mod ask;
pub mod chance;
pub mod coordinator;
pub mod disk;
pub mod gpus;
pub mod hook;
pub mod jump;
pub mod lane;
pub mod process;
pub mod prometheus;
pub mod proxy;
pub mod targets;

use std::future::Future;
use std::time::Duration;

/// How long anything may take that takes well under a second on an idle machine.
pub const SOON: Duration = Duration::from_secs(60);

/// Time between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// Looks again and again until there is something; fails the test, with `what` was waited for,
/// after `deadline`.
pub async fn within<T, F>(deadline: Duration, what: &str, mut look: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let looking = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    match tokio::time::timeout(deadline, looking).await {
        Ok(found) => found,
        Err(_elapsed) => panic!("waited {deadline:?} in vain for {what}"),
    }
}

/// Milliseconds since the Unix epoch.
#[must_use]
pub fn now_millis() -> i64 {
    daemon::clock::SystemClock::shared().wall_millis()
}
