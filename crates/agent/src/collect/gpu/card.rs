//! One GPU: asks the driver for all that it can say about it.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use nvml_wrapper::bitmasks::event::EventTypes;
use nvml_wrapper::enums::device::SampleValue;
use nvml_wrapper::enums::event::XidError;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::gpm::gpm_metrics_get;
use nvml_wrapper::{Device, EventSet, GpmSample, Nvml};

use super::known::Identity;
use super::mig;
use super::missing::{known_f64, known_i64, known_u32, known_u64};
use super::page::{Metric, Page};
use super::readers::{FIELDS, Found, LINK_COUNT, PCIE_THROUGHPUT, PROFILES, READERS, Reader};
use super::shared::{Failure, Shared, failure};
use super::xid::UNKNOWN_NUMBER;

static LINK_UP: Metric = Metric::gauge(
    "vedette_gpu_nvlink_up",
    "Whether the NVLink is active, by link.",
);

/// Most NVLinks asked for: twice `NVML_NVLINK_MAX_LINKS`, which leaves room for newer GPUs.
const LINKS_MAX: u32 = 36;
/// Most events taken from one GPU in one go, so that a flood does not hold up the others.
const EVENTS_AT_ONCE_MAX: usize = 64;
/// The driver renews its profiling counters this often; two samples closer together say nothing.
const PROFILE_SPAN_MIN: Duration = Duration::from_millis(100);

/// One question to a GPU, as far as its answer may be "not supported".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Question {
    /// An entry of [`READERS`].
    Reader(usize),
    /// An entry of [`PCIE_THROUGHPUT`].
    Throughput(usize),
    /// Framebuffer memory of the whole GPU.
    Memory,
    /// All of [`FIELDS`] in one call.
    Fields,
    /// One of [`FIELDS`] by its place.
    Field(usize),
    /// How many NVLinks there are.
    LinkCount,
    /// The state of one NVLink.
    Link(u32),
    /// Whether MIG is on.
    MigMode,
    /// How many MIG instances there may be.
    MigCount,
    /// One MIG instance.
    MigInstance,
    /// The profiling counters.
    Profile,
}

/// What one round is given.
pub(super) struct Round<'a> {
    /// Counts the rounds since the worker started.
    pub(super) number: u64,
    /// A clock that only goes forward.
    pub(super) monotonic: Duration,
    /// After how many rounds a question that was not supported is asked again.
    pub(super) ask_again: u64,
    /// Whether to make the calls that take 20 ms each.
    pub(super) pcie_throughput: bool,
    /// Where the worker says which call it is in.
    pub(super) shared: &'a Shared,
    /// Calls that went wrong, by reason.
    pub(super) failures: &'a mut BTreeMap<&'static str, u64>,
    /// Where the samples go.
    pub(super) page: &'a mut Page,
}

/// One GPU of an open library.
pub(super) struct Card<'nvml> {
    nvml: &'nvml Nvml,
    device: Device<'nvml>,
    identity: Identity,
    /// Until which round a question is not asked.
    silent: HashMap<Question, u64>,
    /// Until which round the GPU is not asked anything.
    lost_until: Option<u64>,
    /// Values read in this round, and calls that went wrong.
    answers: u64,
    mishaps: u64,
    events: Option<EventSet<'nvml>>,
    profile: Option<(Duration, GpmSample<'nvml>)>,
}

impl<'nvml> Card<'nvml> {
    /// Takes over a device and starts to watch its critical events, if it has any.
    pub(super) fn new(
        nvml: &'nvml Nvml,
        device: Device<'nvml>,
        identity: Identity,
        shared: &Shared,
    ) -> Self {
        let index = Some(identity.index);
        // A set for each GPU: a GPU that cannot be watched costs the others nothing, and an event
        // needs no further call to find out where it happened, which a lost GPU would refuse.
        let events = shared
            .during("nvmlEventSetCreate", index, || nvml.create_event_set())
            .ok()
            .and_then(|set| {
                shared
                    .during("nvmlDeviceRegisterEvents", index, || {
                        device.register_events(EventTypes::CRITICAL_XID_ERROR, set)
                    })
                    .ok()
            });
        Self {
            nvml,
            device,
            identity,
            silent: HashMap::new(),
            lost_until: None,
            answers: 0,
            mishaps: 0,
            events,
            profile: None,
        }
    }

    /// What it is called.
    pub(super) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Whether its events are watched.
    pub(super) fn is_watched(&self) -> bool {
        self.events.is_some()
    }

    /// Whether it no longer answers.
    pub(super) fn is_lost(&self) -> bool {
        self.lost_until.is_some()
    }

    /// The XID numbers of the events that wait.
    pub(super) fn poll_events(&self, shared: &Shared) -> Vec<u32> {
        let Some(set) = &self.events else {
            return Vec::new();
        };
        let mut numbers = Vec::new();
        while numbers.len() < EVENTS_AT_ONCE_MAX {
            // An error, a timeout foremost, ends the turn: a lost GPU answers so for ever.
            let Ok(event) = shared.during("nvmlEventSetWait_v2", Some(self.identity.index), || {
                set.wait(0)
            }) else {
                break;
            };
            numbers.extend(event.event_data.map(|xid| match xid {
                XidError::Value(number) => u32::try_from(number).unwrap_or(UNKNOWN_NUMBER),
                XidError::Unknown => UNKNOWN_NUMBER,
            }));
        }
        numbers
    }

    /// Asks for everything and puts the answers on the page.
    pub(super) fn read(&mut self, round: &mut Round<'_>) {
        if self.lost_until.is_some_and(|until| round.number < until) {
            return;
        }
        self.lost_until = None;
        (self.answers, self.mishaps) = (0, 0);
        for (at, reader) in READERS.iter().enumerate() {
            self.read_one(Question::Reader(at), reader, round);
        }
        if round.pcie_throughput {
            for (at, reader) in PCIE_THROUGHPUT.iter().enumerate() {
                self.read_one(Question::Throughput(at), reader, round);
            }
        }
        if !mig::read(self, round) {
            self.read_one(Question::Memory, &super::readers::MEMORY, round);
        }
        self.read_fields(round);
        self.read_links(round);
        self.read_profile(round);
        // Some drivers know no better than "unknown error" for a GPU that is gone. Asked again next
        // round, since it is not sure.
        if self.lost_until.is_none() && self.answers == 0 && self.mishaps > 0 {
            self.lost_until = Some(round.number + 1);
        }
    }

    /// Asks one question of this GPU, unless it is lost or has said lately that it cannot answer.
    pub(super) fn ask<T>(
        &mut self,
        question: Question,
        call: &'static str,
        round: &mut Round<'_>,
        make: impl FnOnce(&Device<'nvml>) -> Result<T, NvmlError>,
    ) -> Option<T> {
        let silent = self.silent.get(&question).copied().unwrap_or(0);
        if self.lost_until.is_some() || round.number < silent {
            return None;
        }
        let index = Some(self.identity.index);
        match round.shared.during(call, index, || make(&self.device)) {
            Ok(answer) => Some(answer),
            Err(error) => {
                self.note(question, &error, round);
                None
            }
        }
    }

    /// Remembers what a failed call means for the next rounds.
    pub(super) fn note(&mut self, question: Question, error: &NvmlError, round: &mut Round<'_>) {
        match failure(error) {
            Failure::NotThere => {
                self.silent.insert(question, round.number + round.ask_again);
            }
            Failure::Lost => self.lost_until = Some(round.number + round.ask_again),
            // The session finds out by itself when it next counts the devices.
            Failure::Closed => *round.failures.entry("closed").or_default() += 1,
            Failure::Failed(reason) => {
                self.mishaps += 1;
                *round.failures.entry(reason).or_default() += 1;
            }
        }
    }

    fn read_one(&mut self, question: Question, reader: &Reader, round: &mut Round<'_>) {
        let mut found = Found::default();
        let read = |device: &Device<'nvml>| (reader.read)(device, &mut found);
        if self.ask(question, reader.call, round, read).is_some() {
            self.answers += 1;
            let labels = self.identity.labels(&[]);
            for (metric, value) in found.0 {
                round.page.put(metric, &labels, value);
            }
        }
    }

    fn read_fields(&mut self, round: &mut Round<'_>) {
        let wanted: Vec<usize> = (0..FIELDS.len())
            .filter(|at| {
                let silent = self.silent.get(&Question::Field(*at)).copied();
                round.number >= silent.unwrap_or(0)
            })
            .collect();
        let ids: Vec<_> = wanted.iter().map(|at| FIELDS[*at].field_id()).collect();
        if ids.is_empty() {
            return;
        }
        let Some(answers) = self.ask(
            Question::Fields,
            "nvmlDeviceGetFieldValues",
            round,
            |device| device.field_values_for(&ids),
        ) else {
            return;
        };
        // Answers come in the order of the questions; their numbers may be those of the driver's
        // own scheme.
        for (at, answer) in wanted.into_iter().zip(answers) {
            match answer.and_then(|sample| sample.value) {
                Ok(value) => {
                    self.answers += 1;
                    if let Some(value) = known(&value) {
                        let labels = self.identity.labels(&[]);
                        round.page.put(FIELDS[at].metric, &labels, value);
                    }
                }
                Err(error) => self.note(Question::Field(at), &error, round),
            }
        }
    }

    fn read_links(&mut self, round: &mut Round<'_>) {
        let count = self
            .ask(
                Question::LinkCount,
                "nvmlDeviceGetFieldValues",
                round,
                |device| {
                    let answers = device.field_values_for(&[LINK_COUNT])?;
                    let first = answers.into_iter().next().ok_or(NvmlError::NoData)?;
                    first?.value
                },
            )
            .and_then(|value| match value {
                SampleValue::U32(count) if known_u32(count).is_some() => Some(count),
                _ => None,
            });
        for link in 0..count.unwrap_or(0).min(LINKS_MAX) {
            let up = self.ask(
                Question::Link(link),
                "nvmlDeviceGetNvLinkState",
                round,
                |device| device.link_wrapper_for(link).is_active(),
            );
            if let Some(up) = up {
                let link = link.to_string();
                let labels = self.identity.labels(&[("link", link.as_str())]);
                round.page.put(&LINK_UP, &labels, f64::from(u8::from(up)));
            }
        }
    }

    /// Works out the profiling counters between the last round and this one.
    fn read_profile(&mut self, round: &mut Round<'_>) {
        let Some(sample) = self.ask(Question::Profile, "nvmlGpmSampleGet", round, |device| {
            device.gpm_sample()
        }) else {
            self.profile = None;
            return;
        };
        let Some((since, before)) = self.profile.take() else {
            self.profile = Some((round.monotonic, sample));
            return;
        };
        if round.monotonic.saturating_sub(since) < PROFILE_SPAN_MIN {
            self.profile = Some((since, before));
            return;
        }
        let ids: Vec<_> = PROFILES.iter().map(|profile| profile.id).collect();
        let nvml = self.nvml;
        let answers = self.ask(Question::Profile, "nvmlGpmMetricsGet", round, |_| {
            gpm_metrics_get(nvml, &before, &sample, &ids)
        });
        self.profile = Some((round.monotonic, sample));
        let labels = self.identity.labels(&[]);
        for (profile, answer) in PROFILES.iter().zip(answers.into_iter().flatten()) {
            // What one metric lacks is left out; the call is one for all of them.
            let value = answer.ok().and_then(|result| known_f64(result.value));
            if let Some(value) = value {
                round
                    .page
                    .put(profile.metric, &labels, value * profile.factor);
            }
        }
    }
}

/// The value of a field, whatever its type.
fn known(value: &SampleValue) -> Option<f64> {
    match value {
        SampleValue::F64(value) => known_f64(*value),
        SampleValue::U32(value) => known_u32(*value),
        SampleValue::U64(value) => known_u64(*value),
        SampleValue::I64(value) => known_i64(*value),
    }
}
