//! The thread that owns the driver's library, and that the driver may hang.
//!
//! It serves one question at a time: "what do you see now?". Between questions it looks for
//! events. The library stays open from question to question (a session) until the driver or the
//! set of GPUs changes; what must outlive that is kept in [`Memory`].

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};

use daemon::clock::SharedClock;
use nvml_wrapper::Nvml;
use nvml_wrapper::error::NvmlError;
use series::{Snapshot, Timestamp};

use super::card::{Card, Round};
use super::known::{Identity, Known, write_nameless_loss};
use super::page::{Metric, Page};
use super::shared::{Failure, Shared, failure};
use super::{GpuConfig, GpuEvent};

static DEVICES: Metric = Metric::gauge(
    "vedette_gpu_devices",
    "GPUs that the driver enumerates, lost ones not always among them.",
);
static FAILURES: Metric = Metric::counter(
    "vedette_agent_gpu_read_errors_total",
    "Calls of the GPU driver that went wrong, by reason; what a GPU does not support is none.",
);
static EVENTS_DROPPED: Metric = Metric::counter(
    "vedette_agent_gpu_events_dropped_total",
    "GPU events that nobody took before newer ones needed their place.",
);

/// Most GPUs taken from one driver. The largest node of today has sixteen.
const DEVICES_MAX: u32 = 64;

/// Asks for a snapshot.
pub(super) struct Request {
    /// Which round it is for; the reply says so too.
    pub(super) round: u64,
}

/// The answer to a [`Request`].
pub(super) struct Reply {
    /// Of which round.
    pub(super) round: u64,
    /// What came of it.
    pub(super) answer: Answer,
}

/// What came of one round.
pub(super) enum Answer {
    /// What there is to see.
    Page(Snapshot),
    /// The library could not be opened.
    NotOpened(NvmlError),
    /// The library is open, and even counting the GPUs failed.
    Failed(NvmlError),
}

/// What a worker is started with.
pub(super) struct Seat {
    pub(super) config: GpuConfig,
    pub(super) host: String,
    pub(super) clock: SharedClock,
    pub(super) shared: Arc<Shared>,
    pub(super) requests: Receiver<Request>,
    pub(super) replies: Sender<Reply>,
}

/// What outlives a session.
#[derive(Default)]
struct Memory {
    known: BTreeMap<String, Known>,
    failures: BTreeMap<&'static str, u64>,
}

/// Why a session ended.
enum End {
    /// Nobody asks any more.
    FrontGone,
    /// The library has to be opened anew, and this request is still to be answered.
    Reopen(Option<Request>),
}

/// Serves until nobody asks any more.
#[expect(
    clippy::needless_pass_by_value,
    reason = "the thread owns its channels: dropping them tells the front that it is gone"
)]
pub(super) fn run(seat: Seat) {
    let mut memory = Memory::default();
    let mut pending = None;
    loop {
        let Some(request) = pending.take().or_else(|| seat.requests.recv().ok()) else {
            return;
        };
        match seat
            .shared
            .during("nvmlInit_v2", None, || open(&seat.config))
        {
            Err(error) => {
                if !seat.reply(request.round, Answer::NotOpened(error)) {
                    return;
                }
            }
            Ok(nvml) => {
                let end = serve(&nvml, &seat, &mut memory, request);
                seat.shared.during("nvmlShutdown", None, || drop(nvml));
                match end {
                    End::FrontGone => return,
                    End::Reopen(request) => pending = request,
                }
            }
        }
    }
}

fn open(config: &GpuConfig) -> Result<Nvml, NvmlError> {
    match &config.library {
        Some(path) => Nvml::builder().lib_path(path.as_os_str()).init(),
        None => Nvml::init(),
    }
}

impl Seat {
    /// Whether anybody was there to take it.
    fn reply(&self, round: u64, answer: Answer) -> bool {
        self.replies.send(Reply { round, answer }).is_ok()
    }
}

fn serve(nvml: &Nvml, seat: &Seat, memory: &mut Memory, first: Request) -> End {
    let mut session = match Session::open(nvml, seat, memory) {
        Ok(session) => session,
        Err(error) => {
            return match seat.reply(first.round, Answer::Failed(error)) {
                true => End::Reopen(None),
                false => End::FrontGone,
            };
        }
    };
    // The driver may count its GPUs differently from call to call; a session that was opened for
    // this very request answers it with what it found.
    let mut next = session.round(&first, false, memory);
    let mut request = first;
    loop {
        match next {
            Next::Reopen => return End::Reopen(Some(request)),
            Next::Failed(error) => {
                return match seat.reply(request.round, Answer::Failed(error)) {
                    true => End::Reopen(None),
                    false => End::FrontGone,
                };
            }
            Next::Page(page) => {
                if !seat.reply(request.round, Answer::Page(page)) {
                    return End::FrontGone;
                }
            }
        }
        request = loop {
            match seat.requests.recv_timeout(seat.config.event_poll) {
                Ok(request) => break request,
                Err(RecvTimeoutError::Timeout) => session.poll_events(memory),
                Err(RecvTimeoutError::Disconnected) => return End::FrontGone,
            }
        };
        next = session.round(&request, true, memory);
    }
}

/// What a round came to.
enum Next {
    Page(Snapshot),
    Failed(NvmlError),
    Reopen,
}

/// The library, opened, and the GPUs found then.
struct Session<'nvml, 'seat> {
    nvml: &'nvml Nvml,
    seat: &'seat Seat,
    count: u32,
    cards: Vec<Card<'nvml>>,
    /// Indices that gave no device: lost before they could be named.
    nameless: Vec<u32>,
}

impl<'nvml, 'seat> Session<'nvml, 'seat> {
    fn open(nvml: &'nvml Nvml, seat: &'seat Seat, memory: &mut Memory) -> Result<Self, NvmlError> {
        let shared = &seat.shared;
        let count = shared.during("nvmlDeviceGetCount_v2", None, || nvml.device_count())?;
        let driver = shared
            .during("nvmlSystemGetDriverVersion", None, || {
                nvml.sys_driver_version()
            })
            .unwrap_or_default();
        let mut session = Self {
            nvml,
            seat,
            count,
            cards: Vec::new(),
            nameless: Vec::new(),
        };
        for index in 0..count.min(DEVICES_MAX) {
            match session.card(index, &driver) {
                Ok(card) => session.adopt(card, memory),
                Err(error) => {
                    if let Failure::Failed(reason) = failure(&error) {
                        *memory.failures.entry(reason).or_default() += 1;
                    }
                    session.nameless.push(index);
                }
            }
        }
        Ok(session)
    }

    fn card(&self, index: u32, driver: &str) -> Result<Card<'nvml>, NvmlError> {
        let (nvml, shared, gpu) = (self.nvml, &self.seat.shared, Some(index));
        let device = shared.during("nvmlDeviceGetHandleByIndex_v2", gpu, || {
            nvml.device_by_index(index)
        })?;
        let uuid = shared.during("nvmlDeviceGetUUID", gpu, || text(device.uuid()))?;
        let name = shared.during("nvmlDeviceGetName", gpu, || text(device.name()))?;
        let bus = shared.during("nvmlDeviceGetPciInfo_v3", gpu, || {
            text(device.pci_info().map(|pci| pci.bus_id))
        })?;
        let identity = Identity::new(index, uuid, bus, name, &self.seat.host, driver);
        Ok(Card::new(nvml, device, identity, shared))
    }

    fn adopt(&mut self, card: Card<'nvml>, memory: &mut Memory) {
        let known = memory
            .known
            .entry(card.identity().key())
            .or_insert_with(|| Known::new(card.identity().clone()));
        // Its index and the driver's version may be others than last time.
        known.identity = card.identity().clone();
        known.watched |= card.is_watched();
        self.cards.push(card);
    }

    fn poll_events(&mut self, memory: &mut Memory) {
        for card in &self.cards {
            for xid in card.poll_events(&self.seat.shared) {
                let identity = card.identity();
                if let Some(known) = memory.known.get_mut(&identity.key()) {
                    known.count(xid);
                }
                self.seat.shared.push(GpuEvent {
                    at: Timestamp::from_millis(self.seat.clock.wall_millis()),
                    gpu: identity.index,
                    uuid: identity.uuid.clone(),
                    pci_bus_id: identity.pci_bus_id.clone(),
                    xid,
                });
            }
        }
    }

    fn round(&mut self, request: &Request, may_reopen: bool, memory: &mut Memory) -> Next {
        self.poll_events(memory);
        let nvml = self.nvml;
        let counted = self
            .seat
            .shared
            .during("nvmlDeviceGetCount_v2", None, || nvml.device_count());
        match counted {
            Ok(count) if may_reopen && (count != self.count || self.is_hopeless(request)) => {
                return Next::Reopen;
            }
            Ok(_) => {}
            Err(error) if may_reopen && failure(&error) == Failure::Closed => return Next::Reopen,
            Err(error) => return Next::Failed(error),
        }
        let mut page = Page::default();
        page.put(&DEVICES, &[], f64::from(self.count));
        let config = &self.seat.config;
        for card in &mut self.cards {
            let mut round = Round {
                number: request.round,
                monotonic: self.seat.clock.monotonic(),
                ask_again: config.ask_again_rounds,
                pcie_throughput: config.pcie_throughput,
                shared: &self.seat.shared,
                failures: &mut memory.failures,
                page: &mut page,
            };
            card.read(&mut round);
        }
        self.write_losses(memory, &mut page);
        Self::write_own(memory, &self.seat.shared, &mut page);
        Next::Page(page.into_snapshot())
    }

    /// Whether it is time to open the library anew because no GPU answers, or one never did.
    fn is_hopeless(&self, request: &Request) -> bool {
        let missing = !self.nameless.is_empty() || self.cards.iter().all(Card::is_lost);
        missing
            && self.count > 0
            && request
                .round
                .is_multiple_of(self.seat.config.ask_again_rounds.max(1))
    }

    /// Says of each GPU that was ever seen whether it is still there.
    fn write_losses(&self, memory: &Memory, page: &mut Page) {
        let here: HashSet<String> = self
            .cards
            .iter()
            .filter(|card| !card.is_lost())
            .map(|card| card.identity().key())
            .collect();
        let listed: HashSet<String> = self
            .cards
            .iter()
            .map(|card| card.identity().key())
            .collect();
        for (key, known) in &memory.known {
            known.write(!here.contains(key), page);
        }
        for index in &self.nameless {
            // An index that gives no device, and a GPU that was there and is not: the same.
            let named = memory
                .known
                .iter()
                .any(|(key, known)| known.identity.index == *index && !listed.contains(key));
            if !named {
                write_nameless_loss(*index, &self.seat.host, page);
            }
        }
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "neither errors nor events reach 2^53"
    )]
    fn write_own(memory: &Memory, shared: &Shared, page: &mut Page) {
        for (reason, count) in &memory.failures {
            page.put(&FAILURES, &[("reason", reason)], *count as f64);
        }
        page.put(&EVENTS_DROPPED, &[], shared.dropped() as f64);
    }
}

/// A text that the driver may lack. A GPU that is lost has no name to miss: that is an error.
fn text(answer: Result<String, NvmlError>) -> Result<String, NvmlError> {
    match answer {
        Err(error) if failure(&error) == Failure::NotThere => Ok(String::new()),
        other => other,
    }
}
