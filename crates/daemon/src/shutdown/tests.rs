use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::{Signal, getpid, kill_process};

use super::*;

const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn join_waits_for_tasks_threads_and_blocking_work_that_heed_the_drain() {
    let shutdown = Shutdown::new();
    let finished = Arc::new(AtomicBool::new(false));
    let (token, done) = (shutdown.token(), Arc::clone(&finished));
    shutdown.spawn("sync", async move {
        token.cancelled().await;
        tokio::task::yield_now().await;
        done.store(true, Ordering::SeqCst);
    });
    let answer = shutdown.spawn_blocking("disk", || 7);
    let guard = shutdown.guard("collector");
    assert_eq!(
        shutdown.running().first().map(String::as_str),
        Some("collector")
    );
    let watch = shutdown.clone();
    let thread = std::thread::spawn(move || {
        while !watch.is_draining() {
            std::thread::yield_now();
        }
        drop(guard);
    });
    let joined = shutdown.join(LONG).await;
    assert_eq!(joined, Ok(()));
    assert_eq!(shutdown.exit_code(&joined), DONE);
    assert!(finished.load(Ordering::SeqCst));
    assert_eq!(answer.await.unwrap(), 7);
    assert_eq!(shutdown.running(), Vec::<String>::new());
    assert_eq!(shutdown.reason(), Some(Reason::Requested));
    assert!(!shutdown.hard_token().is_cancelled());
    thread.join().unwrap();
}

#[tokio::test]
async fn what_goes_on_past_the_deadline_is_named() {
    let shutdown = Shutdown::new();
    for name in ["writer", "reader", "reader"] {
        shutdown.spawn(name, std::future::pending::<()>());
    }
    shutdown.spawn("quick", async {});
    tokio::task::yield_now().await;
    let error = shutdown.join(Duration::from_millis(1)).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "not all tasks ended (deadline): reader, reader, writer"
    );
    assert!(shutdown.hard_token().is_cancelled());
    assert_eq!(shutdown.exit_code(&Err(error)), FAILED);
}

#[tokio::test]
async fn a_panic_starts_the_drain_and_is_named() {
    let shutdown = Shutdown::new();
    let handle = shutdown.spawn("head", async {
        let empty: [u8; 0] = [];
        assert!(!std::hint::black_box(&empty).is_empty(), "on purpose");
    });
    shutdown.draining().await;
    assert!(handle.await.unwrap_err().is_panic());
    let reason = shutdown.reason().unwrap();
    assert_eq!(reason, Reason::TaskPanicked("head".to_owned()));
    assert!(!reason.is_orderly());
    let error = shutdown.join(LONG).await.unwrap_err();
    assert_eq!(error.to_string(), "tasks panicked: head");
    assert!(!error.is_retryable());
}

#[tokio::test]
async fn the_end_of_an_essential_task_starts_the_drain_and_of_another_does_not() {
    let shutdown = Shutdown::new();
    let other = shutdown.spawn("warm-up", async { 1 });
    assert_eq!(other.await.unwrap(), 1);
    assert!(!shutdown.is_draining());
    shutdown.spawn_essential("server", async {});
    shutdown.draining().await;
    let reason = shutdown.reason().unwrap();
    assert_eq!(reason.to_string(), "task server ended");
    let joined = shutdown.join(LONG).await;
    assert_eq!(joined, Ok(()));
    assert_eq!(shutdown.exit_code(&joined), FAILED);
}

#[tokio::test]
async fn a_task_that_is_aborted_has_ended_and_did_not_panic() {
    let shutdown = Shutdown::new();
    shutdown.spawn("sync", std::future::pending::<()>()).abort();
    assert_eq!(shutdown.join(LONG).await, Ok(()));
}

#[tokio::test]
async fn the_first_reason_is_kept() {
    let shutdown = Shutdown::new();
    assert_eq!(shutdown.reason(), None);
    shutdown.start(Reason::TaskEnded("a".to_owned()));
    shutdown.start(Reason::Requested);
    assert_eq!(shutdown.reason(), Some(Reason::TaskEnded("a".to_owned())));
}

#[tokio::test]
async fn the_system_asks_to_reload_then_to_drain_then_to_stop() {
    let shutdown = Shutdown::new();
    let mut reloads = shutdown.reloads();
    shutdown.listen().unwrap();
    shutdown.spawn("stuck", std::future::pending::<()>());

    kill_process(getpid(), Signal::HUP).unwrap();
    reloads.changed().await.unwrap();
    assert!(!shutdown.is_draining());

    kill_process(getpid(), Signal::TERM).unwrap();
    shutdown.draining().await;
    assert_eq!(shutdown.reason(), Some(Reason::Signal("SIGTERM")));
    assert!(!shutdown.hard_token().is_cancelled());

    kill_process(getpid(), Signal::INT).unwrap();
    let error = shutdown.join(LONG).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "not all tasks ended (second signal): stuck"
    );
}
