//! How a process ends: asked once it drains, asked twice or too late it stops.
//!
//! Every task is started through [`Shutdown::spawn`] (or holds a [`TaskGuard`]) under a name, so that
//! [`Shutdown::join`] can wait for all and say which did not end. A task that panics starts the
//! drain, because the state it owned is lost.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::blocking;

/// Exit code of a process that did what it was asked to.
pub const DONE: u8 = 0;
/// Exit code of a process that failed: an error, a task that panicked or did not end in time.
pub const FAILED: u8 = 1;
/// Exit code of a process that was called or configured wrongly; asking again will not help.
pub const USAGE: u8 = 2;

/// Why the drain began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The operating system asked, with the signal of this name.
    Signal(&'static str),
    /// The program itself asked.
    Requested,
    /// This essential task ended by itself.
    TaskEnded(String),
    /// This task panicked.
    TaskPanicked(String),
}

impl Reason {
    /// Whether this is how a process ends that did what it was asked to.
    #[must_use]
    pub const fn is_orderly(&self) -> bool {
        match self {
            Self::Signal(_) | Self::Requested => true,
            Self::TaskEnded(_) | Self::TaskPanicked(_) => false,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signal(name) => f.write_str(name),
            Self::Requested => f.write_str("asked by the program"),
            Self::TaskEnded(name) => write!(f, "task {name} ended"),
            Self::TaskPanicked(name) => write!(f, "task {name} panicked"),
        }
    }
}

/// Why not every task came to an orderly end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Some tasks went on past the deadline, or the second signal came first.
    #[error("not all tasks ended ({cause}): {}", tasks.join(", "))]
    Unfinished {
        /// Their names, sorted; a name comes as often as tasks of that name went on.
        tasks: Vec<String>,
        /// What ended the wait.
        cause: HardStop,
    },
    /// All ended, some by a panic.
    #[error("tasks panicked: {}", tasks.join(", "))]
    Panicked {
        /// Their names, in the order in which they panicked.
        tasks: Vec<String>,
    },
}

impl Error {
    /// Whether to wait again may help.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unfinished { .. } => true,
            Self::Panicked { .. } => false,
        }
    }
}

/// What ended the wait for the tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HardStop {
    /// The deadline passed.
    Deadline,
    /// A second signal came.
    SecondSignal,
}

impl fmt::Display for HardStop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deadline => "deadline",
            Self::SecondSignal => "second signal",
        })
    }
}

/// The end of a process, shared by all its tasks. Clones share it.
#[derive(Clone, Debug)]
pub struct Shutdown(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    drain: CancellationToken,
    hard: CancellationToken,
    tracker: TaskTracker,
    reload: watch::Sender<u64>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    reason: Option<Reason>,
    next_id: u64,
    running: BTreeMap<u64, String>,
    panicked: Vec<String>,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::new()
    }
}

impl Shutdown {
    /// A shutdown that nothing has asked for. Signals are heard after [`Shutdown::listen`].
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Inner {
            drain: CancellationToken::new(),
            hard: CancellationToken::new(),
            tracker: TaskTracker::new(),
            reload: watch::Sender::new(0),
            state: Mutex::default(),
        }))
    }

    /// Listens for SIGTERM and SIGINT (drain; a second one of either is the hard stop) and SIGHUP
    /// (reload) from now on.
    ///
    /// # Errors
    /// When a handler cannot be installed.
    pub fn listen(&self) -> io::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let shutdown = self.clone();
        // Not tracked: it listens until the runtime goes, or else join would wait for it.
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    Some(()) = terminate.recv() => shutdown.on_signal("SIGTERM"),
                    Some(()) = interrupt.recv() => shutdown.on_signal("SIGINT"),
                    Some(()) = hangup.recv() => shutdown.request_reload(),
                    else => return,
                }
            }
        });
        Ok(())
    }

    /// Starts the drain, if it has not begun. The first reason is the one that is kept.
    pub fn start(&self, reason: Reason) {
        let text = reason.to_string();
        {
            let mut state = self.lock();
            if state.reason.is_some() {
                return;
            }
            state.reason = Some(reason);
        }
        tracing::info!(reason = text, "draining");
        self.0.drain.cancel();
    }

    /// Ends the wait of [`Shutdown::join`] now.
    pub fn stop_hard(&self) {
        self.0.hard.cancel();
    }

    /// Asks all holders of [`Shutdown::reloads`] to read their configuration again.
    pub fn request_reload(&self) {
        self.0
            .reload
            .send_modify(|generation| *generation = generation.wrapping_add(1));
    }

    /// Cancelled when the drain begins: stop taking work, finish what was taken, end.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.0.drain.clone()
    }

    /// Cancelled at the hard stop: end at once.
    #[must_use]
    pub fn hard_token(&self) -> CancellationToken {
        self.0.hard.clone()
    }

    /// Whether the drain has begun.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.0.drain.is_cancelled()
    }

    /// Waits until the drain begins.
    pub async fn draining(&self) {
        self.0.drain.cancelled().await;
    }

    /// Why the drain began, if it did.
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        self.lock().reason.clone()
    }

    /// Changes each time a reload is asked for. Requests that come while one is being served are
    /// seen as one.
    #[must_use]
    pub fn reloads(&self) -> watch::Receiver<u64> {
        self.0.reload.subscribe()
    }

    /// Starts a task that is waited for at the end.
    pub fn spawn<F>(&self, name: impl Into<String>, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let guard = self.guard(name);
        tokio::spawn(async move {
            let _guard = guard;
            task.await
        })
    }

    /// As [`Shutdown::spawn`], for a task without which the process is of no use: its end starts
    /// the drain.
    pub fn spawn_essential<F>(&self, name: impl Into<String>, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let name = name.into();
        let shutdown = self.clone();
        self.spawn(name.clone(), async move {
            let output = task.await;
            shutdown.start(Reason::TaskEnded(name));
            output
        })
    }

    /// Starts blocking work on tokio's threads for it, and waits for it at the end.
    pub fn spawn_blocking<F, T>(&self, name: impl Into<String>, work: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let guard = self.guard(name);
        blocking::spawn(move || {
            let _guard = guard;
            work()
        })
    }

    /// Starts a task that blocks between its waits, on a thread of its own, and waits for it at the
    /// end. What blocks goes through [`blocking::here`].
    pub fn spawn_on_thread<F>(&self, name: impl Into<String>, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        if blocking::is_simulated() {
            return self.spawn(name, task);
        }
        let runtime = Handle::current();
        self.spawn_blocking(name, move || runtime.block_on(task))
    }

    /// Something that runs until the guard is dropped, such as a thread of its own.
    #[must_use]
    pub fn guard(&self, name: impl Into<String>) -> TaskGuard {
        let token = self.0.tracker.token();
        let mut state = self.lock();
        let id = state.next_id;
        state.next_id += 1;
        state.running.insert(id, name.into());
        TaskGuard {
            shutdown: self.clone(),
            id,
            _token: token,
        }
    }

    /// Names of what runs, sorted; a name comes as often as tasks have it.
    #[must_use]
    pub fn running(&self) -> Vec<String> {
        let mut names: Vec<String> = self.lock().running.values().cloned().collect();
        names.sort();
        names
    }

    /// Starts the drain if nothing did, and waits until every task has ended, at most `deadline`
    /// from now or until the hard stop. Past that the hard token is cancelled, and the caller ends
    /// the process.
    ///
    /// # Errors
    /// When tasks did not end, or ended by a panic.
    pub async fn join(&self, deadline: Duration) -> Result<(), Error> {
        self.start(Reason::Requested);
        self.0.tracker.close();
        let cause = tokio::select! {
            // In this order, so that a task that ended at the deadline has ended.
            biased;
            () = self.0.tracker.wait() => None,
            () = self.0.hard.cancelled() => Some(HardStop::SecondSignal),
            () = tokio::time::sleep(deadline) => Some(HardStop::Deadline),
        };
        if let Some(cause) = cause {
            self.0.hard.cancel();
            let tasks = self.running();
            return Err(Error::Unfinished { tasks, cause });
        }
        let panicked = self.lock().panicked.clone();
        if panicked.is_empty() {
            Ok(())
        } else {
            Err(Error::Panicked { tasks: panicked })
        }
    }

    /// The exit code of a process whose tasks were joined with this result: [`DONE`] if all ended
    /// well and the drain was asked for, else [`FAILED`].
    #[must_use]
    pub fn exit_code(&self, joined: &Result<(), Error>) -> u8 {
        let is_orderly = self.reason().is_none_or(|reason| reason.is_orderly());
        if joined.is_ok() && is_orderly {
            DONE
        } else {
            FAILED
        }
    }

    fn on_signal(&self, name: &'static str) {
        if self.is_draining() {
            tracing::warn!(signal = name, "asked again, stopping now");
            self.stop_hard();
        } else {
            self.start(Reason::Signal(name));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change is one step, so what a panic leaves behind is whole.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps [`Shutdown::join`] waiting until it is dropped.
#[derive(Debug)]
pub struct TaskGuard {
    shutdown: Shutdown,
    id: u64,
    // Dropped after the body of `drop` below, so that the name is gone when the wait ends.
    _token: TaskTrackerToken,
}

impl Drop for TaskGuard {
    fn drop(&mut self) {
        let name = self.shutdown.lock().running.remove(&self.id);
        if let Some(name) = name
            && std::thread::panicking()
        {
            tracing::error!(task = name, "task panicked");
            self.shutdown.lock().panicked.push(name.clone());
            self.shutdown.start(Reason::TaskPanicked(name));
        }
    }
}

#[cfg(test)]
mod tests;
