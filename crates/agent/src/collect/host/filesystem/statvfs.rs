//! Asking filesystems how full they are without being held up by a dead one.
//!
//! The call for a network filesystem whose server is gone may never return, and nothing can take
//! it back. So it is made on a thread of its own; a call that outlasts the patience of the round
//! keeps that thread, its mount counts as stuck and is not asked again until the call returns.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TryRecvError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use daemon::clock::Clock;

/// Threads that may be held by stuck mounts. Each costs a stack and a place in the process table;
/// a host with more dead mounts than this gets no further answers until one of them returns.
const STUCK_MAX: usize = 16;

/// How full a filesystem is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Space {
    pub(super) size_bytes: f64,
    pub(super) free_bytes: f64,
    /// What users other than root may fill.
    pub(super) available_bytes: f64,
    pub(super) files: f64,
    pub(super) files_free: f64,
}

/// What came of asking one filesystem.
#[derive(Debug)]
pub(super) enum Answer {
    Space(Space),
    Failed(io::Error),
    /// An earlier call, or this one, has not returned.
    Stuck,
    /// The round's patience was used up by another.
    NotAsked,
}

type Call = dyn Fn(&Path) -> io::Result<Space> + Send + Sync;

/// Asks filesystems, some of which may be dead.
pub(in super::super) struct StatvfsGuard {
    call: Arc<Call>,
    worker: Option<Worker>,
    /// The threads held by mounts, by mount.
    stuck: HashMap<PathBuf, Worker>,
    /// The threads held by mounts that are gone from the mount table.
    orphans: Vec<Worker>,
}

impl Default for StatvfsGuard {
    fn default() -> Self {
        Self::with_call(Arc::new(statvfs))
    }
}

impl fmt::Debug for StatvfsGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatvfsGuard")
            .field("stuck", &self.stuck.keys())
            .finish_non_exhaustive()
    }
}

impl StatvfsGuard {
    fn with_call(call: Arc<Call>) -> Self {
        Self {
            call,
            worker: None,
            stuck: HashMap::new(),
            orphans: Vec::new(),
        }
    }

    /// Asks all of `paths`, waiting at most `patience` for all of them together. The answers are
    /// in the order of the paths.
    pub(super) fn ask(
        &mut self,
        paths: &[PathBuf],
        patience: Duration,
        clock: &dyn Clock,
    ) -> Vec<Answer> {
        self.let_go(paths);
        let mut answers: Vec<Answer> = paths
            .iter()
            .map(|path| {
                if self.stuck.contains_key(path) {
                    Answer::Stuck
                } else {
                    Answer::NotAsked
                }
            })
            .collect();
        let asked: Vec<usize> = (0..paths.len())
            .filter(|index| matches!(answers[*index], Answer::NotAsked))
            .collect();
        let job = asked.iter().map(|index| paths[*index].clone()).collect();
        let Some(worker) = self.start(job) else {
            return answers;
        };
        let deadline = clock.monotonic() + patience;
        for index in asked {
            let left = deadline.saturating_sub(clock.monotonic());
            match worker.answers.recv_timeout(left) {
                Ok(Ok(space)) => answers[index] = Answer::Space(space),
                Ok(Err(error)) => answers[index] = Answer::Failed(error),
                Err(RecvTimeoutError::Timeout) => {
                    // What comes after the stuck one waits for the next round and a new thread.
                    answers[index] = Answer::Stuck;
                    worker.abandoned.store(true, Ordering::Relaxed);
                    self.stuck.insert(paths[index].clone(), worker);
                    return answers;
                }
                Err(RecvTimeoutError::Disconnected) => return answers,
            }
        }
        self.worker = Some(worker);
        answers
    }

    /// Ends what is no longer stuck. What was unmounted while stuck goes on to count against
    /// [`STUCK_MAX`], but another filesystem may be mounted in its place.
    fn let_go(&mut self, paths: &[PathBuf]) {
        let is_held =
            |worker: &Worker| matches!(worker.answers.try_recv(), Err(TryRecvError::Empty));
        self.stuck.retain(|_, worker| is_held(worker));
        self.orphans.retain(is_held);
        let gone = self.stuck.extract_if(|path, _| !paths.contains(path));
        self.orphans.extend(gone.map(|(_, worker)| worker));
    }

    /// A worker that has been given `job`: the one that waits, or a new one.
    fn start(&mut self, job: Vec<PathBuf>) -> Option<Worker> {
        if self.stuck.len() + self.orphans.len() >= STUCK_MAX {
            return None;
        }
        let worker = match self.worker.take() {
            Some(worker) => worker,
            None => Worker::spawn(Arc::clone(&self.call)).ok()?,
        };
        worker.jobs.send(job).ok()?;
        Some(worker)
    }
}

impl Drop for StatvfsGuard {
    /// Joins the thread that waits for work. Those that are stuck in a call end when it returns,
    /// if ever, and so are not waited for.
    fn drop(&mut self) {
        if let Some(Worker { jobs, thread, .. }) = self.worker.take() {
            drop(jobs);
            if thread.join().is_err() {
                tracing::error!("the thread that asks filesystems has panicked");
            }
        }
    }
}

/// A thread that asks one filesystem after another, and ends when nobody has work for it.
struct Worker {
    jobs: SyncSender<Vec<PathBuf>>,
    answers: Receiver<io::Result<Space>>,
    /// Set when nobody wants the rest of its job.
    abandoned: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Worker {
    fn spawn(call: Arc<Call>) -> io::Result<Self> {
        let (jobs, taken) = mpsc::sync_channel::<Vec<PathBuf>>(1);
        let (give, answers) = mpsc::channel();
        let abandoned = Arc::new(AtomicBool::new(false));
        let is_abandoned = Arc::clone(&abandoned);
        let thread = thread::Builder::new()
            .name("statvfs".to_owned())
            .spawn(move || {
                for path in taken.iter().flatten() {
                    if is_abandoned.load(Ordering::Relaxed) || give.send(call(&path)).is_err() {
                        return;
                    }
                }
            })?;
        Ok(Self {
            jobs,
            answers,
            abandoned,
            thread,
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "samples are f64")]
fn statvfs(path: &Path) -> io::Result<Space> {
    let found = rustix::fs::statvfs(path)?;
    let block_bytes = found.f_frsize as f64;
    Ok(Space {
        size_bytes: found.f_blocks as f64 * block_bytes,
        free_bytes: found.f_bfree as f64 * block_bytes,
        available_bytes: found.f_bavail as f64 * block_bytes,
        files: found.f_files as f64,
        files_free: found.f_ffree as f64,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use daemon::clock::SystemClock;

    use super::*;

    const SPACE: Space = Space {
        size_bytes: 1.0,
        free_bytes: 1.0,
        available_bytes: 1.0,
        files: 1.0,
        files_free: 1.0,
    };

    fn say(answers: &[Answer]) -> String {
        let word = |answer: &Answer| match answer {
            Answer::Space(_) => "space",
            Answer::Failed(_) => "failed",
            Answer::Stuck => "stuck",
            Answer::NotAsked => "not asked",
        };
        answers.iter().map(word).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn a_dead_mount_holds_up_one_round_and_is_asked_again_when_it_has_answered() {
        let (revive, dead) = mpsc::channel::<()>();
        let dead = Mutex::new(dead);
        let (called, calls) = mpsc::channel();
        let clock = SystemClock::new();
        let mut guard = StatvfsGuard::with_call(Arc::new(move |path: &Path| {
            if path == Path::new("/dead") {
                let waited = dead.lock().unwrap().recv();
                called.send(()).unwrap();
                waited.map_err(io::Error::other)?;
            }
            if path == Path::new("/bad") {
                return Err(io::ErrorKind::PermissionDenied.into());
            }
            Ok(SPACE)
        }));
        let paths = ["/a", "/bad", "/dead", "/b"].map(PathBuf::from);
        let short = Duration::from_secs(1);
        let long = Duration::from_secs(30);
        assert_eq!(
            say(&guard.ask(&paths, short, &clock)),
            "space, failed, stuck, not asked"
        );
        // From then on the others are answered, and the dead one costs no time.
        for _ in 0..3 {
            assert_eq!(
                say(&guard.ask(&paths, long, &clock)),
                "space, failed, stuck, space"
            );
        }
        revive.send(()).unwrap();
        revive.send(()).unwrap();
        calls.recv().unwrap();
        // The call has returned and its answer is on the way.
        while !guard
            .ask(&paths, long, &clock)
            .iter()
            .all(|a| !matches!(a, Answer::Stuck))
        {}
        assert_eq!(guard.stuck.len(), 0);
    }

    #[test]
    fn threads_are_bounded_and_a_mount_that_is_gone_makes_room_for_its_successor() {
        let (_keep, dead) = mpsc::channel::<()>();
        let dead = Mutex::new(dead);
        let (start, started) = mpsc::channel();
        let clock = SystemClock::new();
        let mut guard = StatvfsGuard::with_call(Arc::new(move |path: &Path| {
            if path != Path::new("/well") {
                start.send(()).map_err(io::Error::other)?;
                // All wait here for ever, one in the channel and the others for the lock.
                dead.lock().unwrap().recv().map_err(io::Error::other)?;
            }
            Ok(SPACE)
        }));
        let short = Duration::from_millis(1);
        let long = Duration::from_secs(30);
        let gone = ["/0"].map(PathBuf::from);
        // A thread that has not come to its call when it is abandoned is not stuck.
        while started.try_recv().is_err() {
            assert_eq!(say(&guard.ask(&gone, short, &clock)), "stuck");
        }
        let well = ["/well"].map(PathBuf::from);
        assert_eq!(say(&guard.ask(&well, long, &clock)), "space");
        assert_eq!((guard.stuck.len(), guard.orphans.len()), (0, 1));
        let paths: Vec<PathBuf> = (0..=STUCK_MAX).map(|n| format!("/{n}").into()).collect();
        let mut calls = 1;
        while calls < STUCK_MAX {
            guard.ask(&paths, short, &clock);
            calls += started.try_iter().count();
        }
        let answers = guard.ask(&paths, long, &clock);
        assert_eq!(guard.stuck.len() + guard.orphans.len(), STUCK_MAX);
        assert!(matches!(answers[STUCK_MAX], Answer::NotAsked));
    }

    #[test]
    fn the_root_filesystem_answers() {
        let space = statvfs(Path::new("/")).unwrap();
        assert!(space.size_bytes >= space.free_bytes && space.free_bytes >= space.available_bytes);
        assert!(statvfs(Path::new("/no/such/place")).is_err());
    }
}
