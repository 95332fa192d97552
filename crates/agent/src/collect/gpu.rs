//! NVIDIA GPUs, through the driver's own library (NVML), loaded when it is there.
//!
//! Metric names and labels are those of NVIDIA's DCGM exporter, so that the dashboards and rules
//! written for it work unchanged; its units (MiB, W, mJ, ns) come with the names. What it does not
//! have is called `vedette_gpu_…`: lost GPUs, every XID counted by number and by what it asks for
//! (see [`xid`]), the state of each NVLink, byte counters of the PCIe bus.
//!
//! A driver may hang for minutes in any call. So the library belongs to a worker thread, and
//! [`Gpu`] only asks it and waits until a deadline. When the worker is late, the GPUs are missing
//! from the snapshot, and `vedette_agent_gpu_driver_unresponsive_seconds` and
//! `vedette_agent_gpu_driver_unresponsive_call` say for how long and in which call. When it comes
//! back, the next round is a normal one.
//!
//! A value that a GPU does not have is not there: neither 0 nor one of the numbers by which NVML
//! and DCGM say "none".

mod card;
mod known;
mod mig;
mod missing;
mod page;
mod readers;
mod shared;
mod worker;
pub mod xid;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::time::Duration;

use daemon::clock::SharedClock;
use series::{Snapshot, Timestamp};

use super::{Collector, Error};
use page::{Metric, Page};
use shared::{Shared, is_absent};
use worker::{Answer, Reply, Request, Seat};

static UNRESPONSIVE: Metric = Metric::gauge(
    "vedette_agent_gpu_driver_unresponsive_seconds",
    "For how long the GPU driver has not returned from a call; 0 when it answers.",
);
static UNRESPONSIVE_CALL: Metric = Metric::gauge(
    "vedette_agent_gpu_driver_unresponsive_call",
    "The call that the GPU driver does not return from.",
);
static HANGS: Metric = Metric::counter(
    "vedette_agent_gpu_driver_hangs_total",
    "How often the GPU driver did not answer in time.",
);

/// What this collector reads, as errors name it.
const WHAT: &str = "the NVIDIA driver (NVML)";

/// How GPUs are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpuConfig {
    /// The driver's library. Without a path the system's own search finds `libnvidia-ml.so.1`.
    pub library: Option<PathBuf>,
    /// The value of the label `Hostname`. Without one, what the kernel calls the node.
    pub hostname: Option<String>,
    /// How long one round may take before the driver is said to be unresponsive.
    pub deadline: Duration,
    /// How long a host without a driver is left alone; one may be installed later.
    pub retry_unavailable: Duration,
    /// After how many rounds a GPU is asked again for what it said it does not support, and a lost
    /// GPU whether it is back.
    pub ask_again_rounds: u64,
    /// How often the driver is asked for events between rounds: how late a fault may be seen.
    pub event_poll: Duration,
    /// Whether to read `DCGM_FI_DEV_PCIE_{TX,RX}_THROUGHPUT`, which costs 40 ms for each GPU.
    pub pcie_throughput: bool,
}

impl Default for GpuConfig {
    fn default() -> Self {
        Self {
            library: None,
            hostname: None,
            deadline: Duration::from_secs(5),
            retry_unavailable: Duration::from_secs(300),
            ask_again_rounds: 60,
            event_poll: Duration::from_millis(100),
            pcie_throughput: true,
        }
    }
}

/// The driver reported a critical error of a GPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpuEvent {
    /// When it was seen; at most [`GpuConfig::event_poll`] after it happened, unless the driver
    /// was busy or hung.
    pub at: Timestamp,
    /// The GPU's index.
    pub gpu: u32,
    /// Its UUID, which stays when the index does not.
    pub uuid: String,
    /// Its PCI address.
    pub pci_bus_id: String,
    /// What happened; see [`xid::lookup`]. Of several errors that come closer together than the
    /// driver is asked, NVML may give the number of the last for each. [`xid::UNKNOWN_NUMBER`] when the
    /// driver does not know.
    pub xid: u32,
}

/// The events of a [`Gpu`], for whoever has to act on them without waiting for a round.
#[derive(Clone, Debug)]
pub struct GpuEvents {
    shared: Arc<Shared>,
}

impl GpuEvents {
    /// Takes all events since the last time, oldest first. Never waits for the driver.
    #[must_use]
    pub fn drain(&self) -> Vec<GpuEvent> {
        self.shared.drain()
    }

    /// Waits until there may be events to [`GpuEvents::drain`]; a node without faults never wakes.
    pub async fn fresh(&self) {
        self.shared.fresh().notified().await;
    }
}

/// The collector of GPUs.
///
/// Dropping it never waits: a worker that hangs in the driver ends when the driver lets it go, or
/// with the process.
pub struct Gpu {
    config: GpuConfig,
    clock: SharedClock,
    shared: Arc<Shared>,
    worker: Option<Worker>,
    /// Before this no driver is looked for.
    retry_at: Option<Duration>,
    round: u64,
    hangs: u64,
}

/// The two ends that lead to the worker, and what it still owes.
struct Worker {
    requests: Sender<Request>,
    replies: Receiver<Reply>,
    /// When it was asked something that it has not answered.
    owes_since: Option<Duration>,
}

impl Gpu {
    /// A collector that has not touched the driver yet; the first round does.
    #[must_use]
    pub fn new(config: GpuConfig, clock: SharedClock) -> Self {
        Self {
            config,
            clock,
            shared: Arc::default(),
            worker: None,
            retry_at: None,
            round: 0,
            hangs: 0,
        }
    }

    /// A handle on the events, which stays good as long as it is held.
    #[must_use]
    pub fn events(&self) -> GpuEvents {
        GpuEvents {
            shared: Arc::clone(&self.shared),
        }
    }

    /// Starts the one worker there is.
    fn start(&self) -> Result<Worker, Error> {
        let (requests, asked) = channel();
        let (answers, replies) = channel();
        let host = self.config.hostname.clone().unwrap_or_else(|| {
            let uname = rustix::system::uname();
            uname.nodename().to_string_lossy().into_owned()
        });
        let seat = Seat {
            config: self.config.clone(),
            host,
            clock: Arc::clone(&self.clock),
            shared: Arc::clone(&self.shared),
            requests: asked,
            replies: answers,
        };
        // Not joined: a thread that hangs in the driver cannot be.
        std::thread::Builder::new()
            .name("gpu-driver".to_owned())
            .spawn(move || worker::run(seat))
            .map_err(read_error)?;
        Ok(Worker {
            requests,
            replies,
            owes_since: None,
        })
    }

    /// Takes an answer that came too late: what it says is no longer true of now.
    fn settle(&mut self) {
        if let Some(worker) = &mut self.worker
            && worker.owes_since.is_some()
        {
            match worker.replies.try_recv() {
                Ok(_) => worker.owes_since = None,
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => self.worker = None,
            }
        }
    }

    fn ask(&mut self) -> Result<Snapshot, Error> {
        let now = self.clock.monotonic();
        let mut worker = match self.worker.take() {
            Some(worker) => worker,
            None => self.start()?,
        };
        if let Some(since) = worker.owes_since {
            self.worker = Some(worker);
            return Ok(self.unresponsive(now.saturating_sub(since)));
        }
        self.round += 1;
        let round = self.round;
        // A worker that is gone shows in the answer that does not come; the next round starts one.
        worker
            .requests
            .send(Request { round })
            .map_err(read_error)?;
        worker.owes_since = Some(now);
        let reply = loop {
            match worker.replies.recv_timeout(self.config.deadline) {
                Ok(reply) if reply.round == round => break reply,
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => {
                    self.worker = Some(worker);
                    self.hangs += 1;
                    let waited = self.clock.monotonic().saturating_sub(now);
                    let waited = waited.max(self.config.deadline);
                    return Ok(self.unresponsive(waited));
                }
                Err(error @ RecvTimeoutError::Disconnected) => return Err(read_error(error)),
            }
        };
        worker.owes_since = None;
        self.worker = Some(worker);
        match reply.answer {
            Answer::Page(mut snapshot) => {
                snapshot.append(self.own(Duration::ZERO).into_snapshot());
                Ok(snapshot)
            }
            Answer::NotOpened(error) if is_absent(&error) => {
                self.retry_at = Some(self.clock.monotonic() + self.config.retry_unavailable);
                Err(Error::Unavailable {
                    what: WHAT.to_owned(),
                    source: Some(Box::new(error)),
                })
            }
            Answer::NotOpened(error) | Answer::Failed(error) => Err(read_error(error)),
        }
    }

    fn unresponsive(&self, since: Duration) -> Snapshot {
        let mut page = self.own(since);
        if let Some(place) = self.shared.place() {
            let gpu = place
                .gpu
                .map_or_else(String::new, |index| index.to_string());
            let labels = [("call", place.call), ("gpu", gpu.as_str())];
            page.put(&UNRESPONSIVE_CALL, &labels, 1.0);
        }
        page.into_snapshot()
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "a hang takes seconds: 2^53 of them do not come"
    )]
    fn own(&self, unresponsive: Duration) -> Page {
        let mut page = Page::default();
        page.put(&UNRESPONSIVE, &[], unresponsive.as_secs_f64());
        page.put(&HANGS, &[], self.hangs as f64);
        page
    }
}

impl Collector for Gpu {
    fn name(&self) -> &'static str {
        "gpu"
    }

    fn collect(&mut self, _now: Timestamp) -> Result<Snapshot, Error> {
        if self.retry_at.is_some_and(|at| self.clock.monotonic() < at) {
            return Err(Error::Unavailable {
                what: WHAT.to_owned(),
                source: None,
            });
        }
        self.retry_at = None;
        self.settle();
        self.ask()
    }
}

fn read_error(source: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Read {
        what: WHAT.to_owned(),
        source: Box::new(source),
    }
}
