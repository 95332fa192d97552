//! What the kernel knows of this process, under the names that all Prometheus clients use.

use std::fs;

use super::{MetricFamily, MetricKind, float_of};

/// The `process_*` metrics of this process, from `/proc/self`. What cannot be read is missing.
#[must_use]
pub fn process_families() -> Vec<MetricFamily> {
    let stat = fs::read_to_string("/proc/self/stat").ok();
    let stat = stat.as_deref().and_then(Stat::parse);
    let boot_seconds = fs::read_to_string("/proc/stat")
        .ok()
        .as_deref()
        .and_then(boot_seconds);
    let ticks_per_second = float_of(rustix::param::clock_ticks_per_second());
    let page_bytes = float_of(u64::try_from(rustix::param::page_size()).unwrap_or(0));
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let seconds = |ticks: u64| float_of(ticks) / ticks_per_second;
    let facts: [(&'static str, &'static str, MetricKind, Option<f64>); 7] = [
        (
            "process_cpu_seconds_total",
            "Processor time of this process, user and system, in seconds.",
            MetricKind::Counter,
            stat.as_ref().map(|stat| seconds(stat.cpu_ticks)),
        ),
        (
            "process_max_fds",
            "Most file descriptors that this process may open.",
            MetricKind::Gauge,
            // No limit is infinitely many.
            Some(limit.map_or(f64::INFINITY, float_of)),
        ),
        (
            "process_open_fds",
            "File descriptors that this process has open.",
            MetricKind::Gauge,
            open_fds(),
        ),
        (
            "process_resident_memory_bytes",
            "Memory of this process that is in RAM, in bytes.",
            MetricKind::Gauge,
            stat.as_ref()
                .map(|stat| float_of(stat.resident_pages) * page_bytes),
        ),
        (
            "process_start_time_seconds",
            "When this process started, in seconds since the Unix epoch.",
            MetricKind::Gauge,
            stat.as_ref()
                .zip(boot_seconds)
                .map(|(stat, boot)| float_of(boot) + seconds(stat.start_ticks)),
        ),
        (
            "process_threads",
            "Threads of this process.",
            MetricKind::Gauge,
            stat.as_ref().map(|stat| float_of(stat.threads)),
        ),
        (
            "process_virtual_memory_bytes",
            "Address space of this process, in bytes.",
            MetricKind::Gauge,
            stat.as_ref().map(|stat| float_of(stat.virtual_bytes)),
        ),
    ];
    facts
        .into_iter()
        .filter_map(|(name, help, kind, value)| {
            Some(MetricFamily::new(name, help, kind).with(&[], value?))
        })
        .collect()
}

/// What this process has used and holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usage {
    /// Processor time, user and system, in seconds.
    pub cpu_seconds: f64,
    /// Memory that is in RAM, in bytes.
    pub resident_bytes: f64,
}

/// What this process uses, from `/proc/self/stat`; `None` when that cannot be read.
#[must_use]
pub fn usage() -> Option<Usage> {
    let stat = Stat::parse(&fs::read_to_string("/proc/self/stat").ok()?)?;
    let page_bytes = u64::try_from(rustix::param::page_size()).ok()?;
    Some(Usage {
        cpu_seconds: float_of(stat.cpu_ticks) / float_of(rustix::param::clock_ticks_per_second()),
        resident_bytes: float_of(stat.resident_pages.saturating_mul(page_bytes)),
    })
}

/// The processors of this machine that are in use, whatever a cgroup allows of them, from `/proc/stat`;
/// `None` when that cannot be read.
#[must_use]
pub fn processors() -> Option<u32> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let is_one = |line: &&str| {
        let number = line.strip_prefix("cpu").unwrap_or_default();
        number.starts_with(|first: char| first.is_ascii_digit())
    };
    let count = stat.lines().filter(is_one).count();
    u32::try_from(count).ok().filter(|count| *count > 0)
}

/// The fields of `/proc/<pid>/stat` that are used here; see proc_pid_stat(5).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stat {
    /// User and system time in clock ticks.
    pub(super) cpu_ticks: u64,
    /// Threads.
    pub(super) threads: u64,
    /// Start in clock ticks after boot.
    pub(super) start_ticks: u64,
    /// Address space in bytes.
    pub(super) virtual_bytes: u64,
    /// Resident set in pages.
    pub(super) resident_pages: u64,
}

impl Stat {
    /// Reads the line. The program's name, field 2, may hold blanks and brackets of its own, so
    /// the fields are counted from the last closing bracket.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let (_, after) = line.rsplit_once(')')?;
        let fields: Vec<&str> = after.split_ascii_whitespace().collect();
        // The first of them is field 3 of the manual page.
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Self {
            cpu_ticks: field(14)?.checked_add(field(15)?)?,
            threads: field(20)?,
            start_ticks: field(22)?,
            virtual_bytes: field(23)?,
            resident_pages: field(24)?,
        })
    }
}

/// When the machine started, in seconds since the epoch: the line `btime` of `/proc/stat`.
pub(super) fn boot_seconds(text: &str) -> Option<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix("btime "))?
        .trim()
        .parse()
        .ok()
}

fn open_fds() -> Option<f64> {
    let entries = fs::read_dir("/proc/self/fd").ok()?.count();
    // One of them is the descriptor that this very look has open.
    Some(float_of(u64::try_from(entries.checked_sub(1)?).ok()?))
}
