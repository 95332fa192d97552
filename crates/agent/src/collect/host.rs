//! The host: CPU, memory, disks, filesystems, network, kernel and sensors, straight from `/proc`
//! and `/sys`.
//!
//! Metric names, labels, values and types are those of Prometheus' `node_exporter`, so that the
//! dashboards and rules written for it work unchanged; where its releases differ, the newest is
//! followed. The table `SUBS` has one entry for each of its collectors that is provided here.
//!
//! A source that is missing or cannot be read costs only its sub-collector, which then says so by
//! `node_scrape_collector_success`; a line that cannot be understood costs only that line and is
//! counted by `vedette_agent_host_malformed_lines_total`.

mod cpu;
mod disk;
mod filesystem;
mod hwmon;
mod infiniband;
mod kernel;
mod mdadm;
mod net;
mod protocols;
mod read;
mod sensors;
mod sink;
mod system;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use daemon::clock::{Clock, SharedClock};
use jiff::tz::TimeZone;
use regex::Regex;
use series::{Snapshot, Timestamp};

use super::{Collector, Error};
use crate::pace::Pace;
use read::{Files, SourceError};
use sink::{Desc, Sink};

/// Block devices that `node_exporter` leaves out: RAM disks, loop devices, floppies, partitions.
const DISKS_EXCLUDE: &str = r"^(z?ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\d+n\d+p)\d+$";
/// Mount points that it leaves out: what the kernel and the container runtimes mount for themselves.
const MOUNTS_EXCLUDE: &str =
    r"^/(dev|proc|run/credentials/.+|sys|var/lib/docker/.+|var/lib/containers/storage/.+)($|/)";
/// Filesystem types that it leaves out: those that hold no data of their own.
const FILESYSTEMS_EXCLUDE: &str = r"^(autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|fusectl|hugetlbfs|iso9660|mqueue|nsfs|overlay|proc|procfs|pstore|rpc_pipefs|securityfs|selinuxfs|squashfs|erofs|sysfs|tracefs)$";

/// Where the host's facts lie and which of them are left out.
#[derive(Clone, Debug)]
pub struct HostConfig {
    /// Where procfs is mounted.
    pub proc: PathBuf,
    /// Where sysfs is mounted.
    pub sys: PathBuf,
    /// The root of the host's file tree; other than `/` when the agent runs in a container.
    pub root: PathBuf,
    /// The folder of udev's device database.
    pub udev_data: PathBuf,
    /// Block devices to leave out.
    pub disks_exclude: Regex,
    /// Mount points to leave out, as the host sees them.
    pub mounts_exclude: Regex,
    /// Filesystem types to leave out.
    pub filesystems_exclude: Regex,
    /// Network interfaces to leave out; none by default.
    pub interfaces_exclude: Option<Regex>,
    /// Whether to count processes by state, which reads one file for each process. On by default,
    /// unlike in `node_exporter`.
    pub processes: bool,
    /// How long one round waits for filesystems to say how full they are before it goes on
    /// without them.
    pub statvfs_timeout: Duration,
    /// The zone of `node_time_zone_offset_seconds`; none when the system does not say.
    pub time_zone: Option<TimeZone>,
}

impl Default for HostConfig {
    fn default() -> Self {
        let regex =
            |pattern| Regex::new(pattern).expect("a constant of this file that a test uses");
        Self {
            proc: "/proc".into(),
            sys: "/sys".into(),
            root: "/".into(),
            udev_data: "/run/udev/data".into(),
            disks_exclude: regex(DISKS_EXCLUDE),
            mounts_exclude: regex(MOUNTS_EXCLUDE),
            filesystems_exclude: regex(FILESYSTEMS_EXCLUDE),
            interfaces_exclude: None,
            processes: true,
            statvfs_timeout: Duration::from_secs(1),
            time_zone: TimeZone::try_system().ok(),
        }
    }
}

/// What a sub-collector works with during one round.
struct Round<'a> {
    config: &'a HostConfig,
    files: &'a mut Files,
    state: &'a mut State,
    out: &'a mut Sink,
    clock: &'a dyn Clock,
    now: Timestamp,
}

/// What sub-collectors remember from round to round.
#[derive(Default)]
struct State {
    cpu: cpu::CpuState,
    statvfs: filesystem::StatvfsGuard,
    /// The folders of interfaces in sysfs that stay open.
    interfaces: HashMap<String, net::Interface>,
    page_size: Option<f64>,
    /// What the firmware says of the machine, read once: it does not change while the host runs.
    dmi: Option<[String; system::DMI_LABELS.len()]>,
}

type Sub = fn(&mut Round<'_>) -> Result<(), SourceError>;

/// The sub-collectors by the name that `node_exporter` gives them. `stat` follows `cpu`, whose
/// reading of `/proc/stat` it shares.
const SUBS: [(&str, Sub); 35] = [
    ("arp", protocols::arp),
    ("bonding", net::bonding),
    ("conntrack", protocols::conntrack),
    ("cpu", cpu::cpu),
    ("cpufreq", cpu::cpufreq),
    ("diskstats", disk::diskstats),
    ("dmi", system::dmi),
    ("edac", sensors::edac),
    ("entropy", kernel::entropy),
    ("filefd", kernel::filefd),
    ("filesystem", filesystem::filesystem),
    ("hwmon", hwmon::hwmon),
    ("infiniband", infiniband::infiniband),
    ("loadavg", kernel::loadavg),
    ("mdadm", mdadm::mdadm),
    ("meminfo", kernel::meminfo),
    ("netclass", net::netclass),
    ("netdev", net::netdev),
    ("netstat", protocols::netstat),
    ("nvme", disk::nvme),
    ("os", system::os),
    ("powersupplyclass", sensors::power_supply),
    ("pressure", kernel::pressure),
    (PROCESSES, kernel::processes),
    ("rapl", sensors::rapl),
    ("schedstat", kernel::schedstat),
    ("selinux", system::selinux),
    ("sockstat", protocols::sockstat),
    ("softnet", protocols::softnet),
    ("stat", cpu::stat),
    ("thermal_zone", sensors::thermal_zone),
    ("time", system::time),
    ("udp_queues", protocols::udp_queues),
    ("uname", system::uname),
    ("vmstat", kernel::vmstat),
];

/// The one that [`HostConfig::processes`] turns off.
const PROCESSES: &str = "processes";
/// Those that succeed everywhere and so say nothing about whether the host could be read.
const UNFAILING: [&str; 4] = ["edac", "selinux", "time", "uname"];

const DURATION: Desc<'_> = Desc::gauge(
    "node_scrape_collector_duration_seconds",
    "How long the sub-collector took.",
);
const SUCCESS: Desc<'_> = Desc::gauge(
    "node_scrape_collector_success",
    "Whether the sub-collector read its source, 0 also when this host has no such source.",
);
const MALFORMED: Desc<'_> = Desc::counter(
    "vedette_agent_host_malformed_lines_total",
    "Lines of /proc and /sys that were left out because they could not be understood.",
);

/// The collector of host metrics.
pub struct Host {
    config: HostConfig,
    clock: SharedClock,
    files: Files,
    state: State,
    sink: Sink,
    pace: Pace,
}

impl Host {
    /// A collector that reads the trees named in `config`; `clock` times the sub-collectors.
    #[must_use]
    pub fn new(config: HostConfig, clock: SharedClock) -> Self {
        let files = Files::new(&config);
        Self {
            config,
            clock,
            files,
            state: State::default(),
            sink: Sink::default(),
            pace: Pace::default(),
        }
    }

    /// The same, without the counts of processes when `pace` wants less detail.
    #[must_use]
    pub fn paced(self, pace: Pace) -> Self {
        Self { pace, ..self }
    }
}

impl Host {
    /// The error of a round in which every sub-collector failed; `first` is the first of them.
    fn nothing_read(&self, first: SourceError) -> Error {
        let (proc, sys) = (self.config.proc.display(), self.config.sys.display());
        let what = format!("{proc} and {sys}");
        if first.is_retryable() {
            Error::Read {
                what,
                source: Box::new(first),
            }
        } else {
            Error::Unavailable {
                what,
                source: Some(Box::new(first)),
            }
        }
    }
}

impl Collector for Host {
    fn name(&self) -> &'static str {
        "host"
    }

    fn collect(&mut self, now: Timestamp) -> Result<Snapshot, Error> {
        self.state.cpu.start_round();
        let mut outcomes = Vec::with_capacity(SUBS.len());
        let mut first_error = None;
        let mut read_something = false;
        let processes = self.config.processes && self.pace.divisor() == 1;
        for (index, (name, sub)) in SUBS.into_iter().enumerate() {
            if name == PROCESSES && !processes {
                continue;
            }
            self.sink.begin(index);
            let started = self.clock.monotonic();
            let outcome = sub(&mut Round {
                config: &self.config,
                files: &mut self.files,
                state: &mut self.state,
                out: &mut self.sink,
                clock: &*self.clock,
                now,
            });
            let took = self.clock.monotonic().saturating_sub(started);
            outcomes.push((
                name,
                took.as_secs_f64(),
                f64::from(u8::from(outcome.is_ok())),
            ));
            match outcome {
                Ok(()) => read_something |= !UNFAILING.contains(&name),
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        self.sink.begin(SUBS.len());
        for (name, took, success) in outcomes {
            self.sink.push(&DURATION, &[("collector", name)], took);
            self.sink.push(&SUCCESS, &[("collector", name)], success);
        }
        self.sink.push_malformed(&MALFORMED);
        let snapshot = self.sink.finish();
        match first_error {
            Some(error) if !read_something => Err(self.nothing_read(error)),
            _ => Ok(snapshot),
        }
    }
}
