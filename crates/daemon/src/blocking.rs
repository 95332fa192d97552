//! Work that keeps a thread busy: disks, compression.
//!
//! It goes to tokio's threads for it, so that those that serve tasks go on. A simulation has one thread
//! and says so with [`simulate`]: on that thread the same work is a task like any other, done after a
//! wait that the simulation draws, and so in an order that its seed decides.

use std::cell::RefCell;
use std::time::Duration;

use tokio::task::JoinHandle;

type Wait = Box<dyn FnMut() -> Duration>;

thread_local! {
    static SIMULATED: RefCell<Option<Wait>> = const { RefCell::new(None) };
}

/// From now on what this thread starts stays on this thread. `wait` says how long each piece of work
/// takes by tokio's clock.
pub fn simulate(wait: impl FnMut() -> Duration + 'static) {
    SIMULATED.set(Some(Box::new(wait)));
}

/// Whether [`simulate`] was called on this thread.
#[must_use]
pub fn is_simulated() -> bool {
    SIMULATED.with_borrow(Option::is_some)
}

fn wait() -> Option<Duration> {
    SIMULATED.with_borrow_mut(|wait| wait.as_mut().map(|wait| wait()))
}

/// Starts work on a thread for it.
pub fn spawn<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    match wait() {
        None => tokio::task::spawn_blocking(work),
        Some(wait) => tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            work()
        }),
    }
}

/// Does work on this thread, for a task that has a thread of its own.
pub async fn here<T>(work: impl FnOnce() -> T) -> T {
    if let Some(wait) = wait() {
        tokio::time::sleep(wait).await;
    }
    work()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[tokio::test]
    async fn work_leaves_the_thread_unless_it_is_simulated() {
        let own = thread::current().id();
        let other = spawn(|| thread::current().id()).await.unwrap();
        assert_ne!(own, other);
        assert_eq!(here(|| thread::current().id()).await, own);
    }

    #[tokio::test]
    async fn simulated_work_is_done_here_in_the_order_of_its_waits() {
        let mut waits = [30, 10, 20].map(Duration::from_millis).into_iter();
        simulate(move || waits.next().unwrap_or_default());
        let (done, mut order) = tokio::sync::mpsc::unbounded_channel();
        for number in [1, 2, 3] {
            let done = done.clone();
            drop(spawn(move || {
                done.send((number, thread::current().id())).unwrap();
            }));
        }
        let own = thread::current().id();
        for number in [2, 3, 1] {
            assert_eq!(order.recv().await, Some((number, own)));
        }
    }
}
