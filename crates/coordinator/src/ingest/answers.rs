//! What a stream says to its agent, for as long as the agent reads it.

use std::time::Duration;

use daemon::metrics::Counter;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tonic::Status;

/// Answers that may wait in a stream before its agent is no longer read.
const WAITING_MAX: usize = 64;
/// How long an answer may wait for a place among them. An agent that reads none for so long is gone or means
/// harm; what it has sent is durable all the same.
const READ_WITHIN: Duration = Duration::from_secs(60);

/// The answers of one stream.
#[derive(Debug)]
pub(super) struct Answers<T> {
    channel: mpsc::Sender<Result<T, Status>>,
    unread: Counter,
}

impl<T> Answers<T> {
    /// Answers, and their way out. `unread` counts streams that end because nobody reads them.
    pub(super) fn new(unread: Counter) -> (Self, mpsc::Receiver<Result<T, Status>>) {
        let (channel, outgoing) = mpsc::channel(WAITING_MAX);
        (Self { channel, unread }, outgoing)
    }

    /// Says something, when there is room for it.
    pub(super) async fn send(&self, answer: T) -> Result<(), Status> {
        match timeout(READ_WITHIN, self.channel.send(Ok(answer))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_gone)) => Err(Status::cancelled("the agent is gone")),
            Err(_elapsed) => {
                self.unread.inc();
                Err(Status::deadline_exceeded(
                    "the agent has read no answer for 60 s",
                ))
            }
        }
    }

    /// Says why the stream ends. An agent that is gone, or does not read, does not need to hear it.
    pub(super) fn end(self, status: Status) {
        drop(self.channel.try_send(Err(status)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_reads_no_answers_is_waited_for_so_long_and_counted() {
        let unread = Counter::default();
        let (answers, mut outgoing) = Answers::new(unread.clone());
        for number in 0..WAITING_MAX {
            answers.send(number).await.unwrap();
        }
        let began = tokio::time::Instant::now();
        let ended = answers.send(0).await.unwrap_err();
        assert_eq!(ended.code(), tonic::Code::DeadlineExceeded);
        assert_eq!((began.elapsed(), unread.get()), (READ_WITHIN, 1));
        // One that reads again in time misses nothing.
        let reads = async {
            tokio::time::sleep(READ_WITHIN / 2).await;
            outgoing.recv().await
        };
        let (sent, read) = tokio::join!(answers.send(99), reads);
        assert!(sent.is_ok() && matches!(read, Some(Ok(0))));
        drop(outgoing);
        let ended = answers.send(0).await.unwrap_err();
        assert_eq!((ended.code(), unread.get()), (tonic::Code::Cancelled, 1));
    }
}
