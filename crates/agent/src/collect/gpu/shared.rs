//! What the worker leaves for others to see: where it is, and what it saw happen.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use nvml_wrapper::error::NvmlError;
use tokio::sync::Notify;

use super::GpuEvent;

/// Most events kept for the next [`super::GpuEvents::drain`]. A broken GPU may say the same
/// thousands of times; what does not fit is counted there and in the counters by XID all the same.
const EVENTS_MAX: usize = 4096;

/// Which call of the driver, and on which GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The C function.
    pub(super) call: &'static str,
    /// The GPU's index, unless the call is for the whole driver.
    pub(super) gpu: Option<u32>,
}

#[derive(Debug, Default)]
struct Queue {
    events: VecDeque<GpuEvent>,
    dropped: u64,
}

/// Shared between the worker and its front. Both locks are held for a few instructions and never
/// while the driver is called.
#[derive(Debug, Default)]
pub(super) struct Shared {
    place: Mutex<Option<Place>>,
    queue: Mutex<Queue>,
    fresh: Notify,
}

/// A thread that panicked while it held one of these locks left plain data behind it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// Makes one call of the driver and lets others see which while it lasts.
    pub(super) fn during<T>(
        &self,
        call: &'static str,
        gpu: Option<u32>,
        make: impl FnOnce() -> T,
    ) -> T {
        *lock(&self.place) = Some(Place { call, gpu });
        let answer = make();
        *lock(&self.place) = None;
        answer
    }

    /// The call that has not returned yet.
    pub(super) fn place(&self) -> Option<Place> {
        *lock(&self.place)
    }

    /// Keeps an event for whoever drains them; the oldest goes when there are too many.
    pub(super) fn push(&self, event: GpuEvent) {
        let mut queue = lock(&self.queue);
        if queue.events.len() == EVENTS_MAX {
            queue.events.pop_front();
            queue.dropped += 1;
        }
        queue.events.push_back(event);
        self.fresh.notify_one();
    }

    /// Told whenever there is an event.
    pub(super) fn fresh(&self) -> &Notify {
        &self.fresh
    }

    /// Takes all events, oldest first.
    pub(super) fn drain(&self) -> Vec<GpuEvent> {
        lock(&self.queue).events.drain(..).collect()
    }

    /// How many events nobody drained in time.
    pub(super) fn dropped(&self) -> u64 {
        lock(&self.queue).dropped
    }
}

/// What a failed call says about the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// This GPU or driver will not answer it: ask again only after many rounds.
    NotThere,
    /// The GPU is gone: no further call makes sense.
    Lost,
    /// The library must be opened anew.
    Closed,
    /// It went wrong; counted under this reason, and asked again next time.
    Failed(&'static str),
}

/// Sorts an error of the driver.
pub(super) fn failure(error: &NvmlError) -> Failure {
    match error {
        NvmlError::NotSupported
        | NvmlError::FunctionNotFound
        | NvmlError::FailedToLoadSymbol(_)
        | NvmlError::NoPermission
        | NvmlError::InvalidArg
        | NvmlError::NotFound => Failure::NotThere,
        NvmlError::GpuLost => Failure::Lost,
        NvmlError::Uninitialized | NvmlError::DriverNotLoaded => Failure::Closed,
        NvmlError::ResetRequired => Failure::Failed("reset_required"),
        NvmlError::Timeout => Failure::Failed("timeout"),
        NvmlError::IrqIssue => Failure::Failed("irq_issue"),
        NvmlError::InsufficientPower => Failure::Failed("insufficient_power"),
        NvmlError::CorruptedInfoROM => Failure::Failed("corrupted_inforom"),
        NvmlError::OperatingSystem => Failure::Failed("operating_system"),
        NvmlError::InUse => Failure::Failed("in_use"),
        NvmlError::NoData => Failure::Failed("no_data"),
        NvmlError::UnexpectedVariant(_) | NvmlError::IncorrectBits(_) => {
            Failure::Failed("not_understood")
        }
        NvmlError::Unknown => Failure::Failed("unknown"),
        _ => Failure::Failed("other"),
    }
}

/// Whether an error of opening the library means that there is no (working) driver on this host,
/// rather than that it failed this once.
pub(super) fn is_absent(error: &NvmlError) -> bool {
    matches!(
        error,
        NvmlError::LibloadingError(_)
            | NvmlError::FailedToLoadSymbol(_)
            | NvmlError::DriverNotLoaded
            | NvmlError::LibraryNotFound
            | NvmlError::FunctionNotFound
            | NvmlError::NotFound
            | NvmlError::NoPermission
            | NvmlError::LibRmVersionMismatch
    )
}
