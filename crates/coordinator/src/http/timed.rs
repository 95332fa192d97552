//! Bodies of requests that have to come within a time.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Sleep, sleep};

use crate::metrics::Metrics;
use crate::net::Limit;

/// How long a body may take, from when it is first waited for. It holds room that others wait for; the
/// largest, of 16 MiB, has to come with 280 KB/s.
const BODY_WITHIN: Duration = Duration::from_secs(60);

/// A body did not come in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooSlow;

impl fmt::Display for TooSlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the body took longer than {BODY_WITHIN:?}")
    }
}

impl Error for TooSlow {}

impl TooSlow {
    /// Whether it is why something failed.
    pub(super) fn is_behind(error: &(dyn Error + 'static)) -> bool {
        let mut next = Some(error);
        while let Some(error) = next {
            if error.is::<Self>() {
                return true;
            }
            next = error.source();
        }
        false
    }
}

/// A body that fails when it takes too long.
pub(super) struct Timed {
    body: Incoming,
    /// From when it was first waited for.
    ends: Option<Pin<Box<Sleep>>>,
    metrics: Arc<Metrics>,
}

impl Timed {
    /// A body that nobody has waited for.
    pub(super) fn new(body: Incoming, metrics: Arc<Metrics>) -> Self {
        let ends = None;
        Self {
            body,
            ends,
            metrics,
        }
    }
}

impl Body for Timed {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let ends = self
            .ends
            .get_or_insert_with(|| Box::pin(sleep(BODY_WITHIN)));
        if ends.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.metrics.limited(Limit::Body).inc();
        Poll::Ready(Some(Err(TooSlow.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
