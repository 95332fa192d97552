//! CPU time, frequency and throttling, and what else `/proc/stat` counts.

use std::collections::BTreeMap;

use super::read::{Files, SourceError, number};
use super::sink::Sink;
use super::{Desc, Round};

/// Ticks of `/proc/stat` in a second. The kernel fixes it at 100 for everything that programs see.
const TICKS_PER_SECOND: f64 = 100.0;
/// A CPU whose idle time falls by this much was unplugged and plugged in again; less is an
/// artefact of how the kernel accounts for idle time.
const IDLE_FALL_SECONDS: f64 = 3.0;

const SECONDS: Desc<'_> = Desc::counter(
    "node_cpu_seconds_total",
    "Seconds the CPU spent in each mode.",
);
const GUEST: Desc<'_> = Desc::counter(
    "node_cpu_guest_seconds_total",
    "Seconds the CPU spent in guests, which user and nice time hold as well.",
);
const ISOLATED: Desc<'_> = Desc::gauge("node_cpu_isolated", "CPUs kept out of scheduling.");
const CORE_THROTTLES: Desc<'_> = Desc::counter(
    "node_cpu_core_throttles_total",
    "Times the core was slowed down for heat.",
);
const PACKAGE_THROTTLES: Desc<'_> = Desc::counter(
    "node_cpu_package_throttles_total",
    "Times the package was slowed down for heat.",
);

/// The order of columns in `/proc/stat`.
const MODES: [(&Desc<'_>, &str); 10] = [
    (&SECONDS, "user"),
    (&SECONDS, "nice"),
    (&SECONDS, "system"),
    (&SECONDS, "idle"),
    (&SECONDS, "iowait"),
    (&SECONDS, "irq"),
    (&SECONDS, "softirq"),
    (&SECONDS, "steal"),
    (&GUEST, "user"),
    (&GUEST, "nice"),
];
const IDLE: usize = 3;

/// The lines of `/proc/stat` that are single numbers.
const TOTALS: [(&str, Desc<'_>); 6] = [
    (
        "intr",
        Desc::counter("node_intr_total", "Interrupts serviced."),
    ),
    (
        "ctxt",
        Desc::counter("node_context_switches_total", "Context switches."),
    ),
    ("processes", Desc::counter("node_forks_total", "Forks.")),
    (
        "btime",
        Desc::gauge(
            "node_boot_time_seconds",
            "When the host was booted, in Unix time.",
        ),
    ),
    (
        "procs_running",
        Desc::gauge("node_procs_running", "Processes that can run."),
    ),
    (
        "procs_blocked",
        Desc::gauge("node_procs_blocked", "Processes that wait for IO."),
    ),
];

/// What `cpu` leaves for `stat` and for its own next round.
#[derive(Default)]
pub(super) struct CpuState {
    /// Seconds in each mode by CPU, as many as the kernel writes.
    seconds: BTreeMap<u32, Vec<f64>>,
    /// The totals that this round's `/proc/stat` gave.
    totals: Option<[Option<f64>; TOTALS.len()]>,
    /// The CPUs that count their throttling, and for how many CPUs that was found out.
    throttled: Vec<Throttled>,
    throttled_of: usize,
}

/// A CPU that stands for its core, and perhaps for its package too.
struct Throttled {
    cpu: String,
    core: String,
    package: String,
    first_of_package: bool,
}

impl CpuState {
    pub(super) fn start_round(&mut self) {
        self.totals = None;
    }
}

/// CPU time from `/proc/stat`, throttling and isolation from sysfs.
pub(super) fn cpu(round: &mut Round<'_>) -> Result<(), SourceError> {
    let state = &mut *round.state;
    read_stat(round.files, &mut state.cpu, round.out)?;
    if state.cpu.seconds.is_empty() {
        return Err(round.files.unusable("CPUs"));
    }
    for (cpu, seconds) in &state.cpu.seconds {
        let cpu = cpu.to_string();
        // Old kernels write fewer columns; what they do not count is left out.
        for ((desc, mode), seconds) in MODES.iter().zip(seconds) {
            round
                .out
                .push(desc, &[("cpu", &cpu), ("mode", mode)], *seconds);
        }
    }
    if let Some(isolated) = round.files.attribute("devices/system/cpu/isolated") {
        for cpu in cpu_list(isolated) {
            round.out.push(&ISOLATED, &[("cpu", &cpu.to_string())], 1.0);
        }
    }
    throttles(round);
    Ok(())
}

/// The totals of `/proc/stat`.
pub(super) fn stat(round: &mut Round<'_>) -> Result<(), SourceError> {
    let cpu = &mut round.state.cpu;
    if cpu.totals.is_none() {
        read_stat(round.files, cpu, round.out)?;
    }
    let totals = cpu.totals.unwrap_or_default();
    for ((_, desc), total) in TOTALS.iter().zip(totals) {
        round.out.push_some(desc, &[], total);
    }
    if totals.iter().all(Option::is_none) {
        return Err(round.files.unusable("totals"));
    }
    Ok(())
}

/// Reads `/proc/stat` once for both: its long line of interrupts makes it costly.
fn read_stat(files: &mut Files, state: &mut CpuState, out: &mut Sink) -> Result<(), SourceError> {
    let text = files.proc("stat")?;
    let mut totals = [None; TOTALS.len()];
    let mut present = Vec::new();
    for line in text.lines() {
        let Some((word, rest)) = line.split_once(' ') else {
            continue;
        };
        if let Some(cpu) = word.strip_prefix("cpu") {
            // The line of the sum over all CPUs has no number.
            if cpu.is_empty() {
                continue;
            }
            let seconds: Option<Vec<f64>> = rest
                .split_whitespace()
                .map(|ticks| number(ticks).map(|ticks| ticks / TICKS_PER_SECOND))
                .collect();
            match (cpu.parse(), seconds) {
                (Ok(cpu), Some(seconds)) if seconds.len() > IDLE => {
                    present.push(cpu);
                    advance(state.seconds.entry(cpu).or_default(), &seconds);
                }
                _ => out.malformed(),
            }
        } else if let Some(index) = TOTALS.iter().position(|(name, _)| *name == word) {
            totals[index] = rest.split(' ').next().and_then(number);
            if totals[index].is_none() {
                out.malformed();
            }
        }
    }
    // A CPU that went offline has no line any more, and so says nothing.
    state.seconds.retain(|cpu, _| present.contains(cpu));
    state.totals = Some(totals);
    Ok(())
}

/// Lets the times of one CPU go forward only: the kernel's idle and iowait times fall at times by
/// a few ticks, which would look like a restart of the host.
fn advance(have: &mut Vec<f64>, now: &[f64]) {
    let replugged = have
        .get(IDLE)
        .zip(now.get(IDLE))
        .is_some_and(|(have, now)| have - now >= IDLE_FALL_SECONDS);
    if replugged || have.len() != now.len() {
        have.clear();
        have.extend_from_slice(now);
        return;
    }
    for (have, now) in have.iter_mut().zip(now) {
        *have = have.max(*now);
    }
}

/// Throttling by core and by package. Which CPU stands for which core does not change, so it is
/// found out again only when the number of CPUs changes.
fn throttles(round: &mut Round<'_>) {
    let cpus = round.state.cpu.seconds.len();
    if round.state.cpu.throttled_of != cpus {
        round.state.cpu.throttled = find_throttled(round.files, round.state.cpu.seconds.keys());
        round.state.cpu.throttled_of = cpus;
    }
    for at in &round.state.cpu.throttled {
        let folder = format!("devices/system/cpu/cpu{}/thermal_throttle", at.cpu);
        let count = round
            .files
            .number(format_args!("{folder}/core_throttle_count"));
        let labels = [("core", at.core.as_str()), ("package", at.package.as_str())];
        round.out.push_some(&CORE_THROTTLES, &labels, count);
        if at.first_of_package {
            let count = round
                .files
                .number(format_args!("{folder}/package_throttle_count"));
            round.out.push_some(&PACKAGE_THROTTLES, &labels[1..], count);
        }
    }
}

fn find_throttled<'a>(files: &mut Files, cpus: impl Iterator<Item = &'a u32>) -> Vec<Throttled> {
    let mut found: Vec<Throttled> = Vec::new();
    for cpu in cpus {
        let folder = format!("devices/system/cpu/cpu{cpu}");
        let mut own = |file: &str| {
            files
                .attribute(format_args!("{folder}/{file}"))
                .map(str::to_owned)
        };
        let (Some(package), Some(core)) =
            (own("topology/physical_package_id"), own("topology/core_id"))
        else {
            continue;
        };
        // Virtual machines and other makes of CPU do not count it.
        if own("thermal_throttle/core_throttle_count").is_none()
            || found
                .iter()
                .any(|other| other.package == package && other.core == core)
        {
            continue;
        }
        found.push(Throttled {
            cpu: cpu.to_string(),
            first_of_package: !found.iter().any(|other| other.package == package),
            core,
            package,
        });
    }
    found
}

/// The CPUs of a list such as `1,3-5`. What is not a number, or a range that runs backwards, is
/// left out.
fn cpu_list(text: &str) -> impl Iterator<Item = u16> + '_ {
    text.split(',').flat_map(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        match (first.parse::<u16>(), last.parse::<u16>()) {
            (Ok(first), Ok(last)) => first..last.saturating_add(1),
            _ => 0..0,
        }
    })
}

/// The files of a CPU's `cpufreq` folder, which have kilohertz.
#[rustfmt::skip]
const FREQUENCIES: [(&str, Desc<'_>); 6] = [
    ("cpuinfo_cur_freq", Desc::gauge("node_cpu_frequency_hertz", "Frequency of the CPU by the hardware.")),
    ("cpuinfo_min_freq", Desc::gauge("node_cpu_frequency_min_hertz", "Lowest frequency of the CPU.")),
    ("cpuinfo_max_freq", Desc::gauge("node_cpu_frequency_max_hertz", "Highest frequency of the CPU.")),
    ("scaling_cur_freq", Desc::gauge("node_cpu_scaling_frequency_hertz", "Frequency of the CPU by the kernel.")),
    ("scaling_min_freq", Desc::gauge("node_cpu_scaling_frequency_min_hertz", "Lowest frequency that the kernel chooses.")),
    ("scaling_max_freq", Desc::gauge("node_cpu_scaling_frequency_max_hertz", "Highest frequency that the kernel chooses.")),
];
const GOVERNOR: Desc<'_> = Desc::gauge(
    "node_cpu_scaling_governor",
    "Which governor chooses the frequency.",
);

/// Frequencies in `/sys/devices/system/cpu/cpu*/cpufreq`.
pub(super) fn cpufreq(round: &mut Round<'_>) -> Result<(), SourceError> {
    // Most virtual machines have the folder of policies and nothing in it.
    if round
        .files
        .list_sys("devices/system/cpu/cpufreq")
        .is_ok_and(|all| all.is_empty())
    {
        return Ok(());
    }
    let entries = round.files.list_sys("devices/system/cpu")?;
    let mut cpus: Vec<u32> = entries
        .iter()
        .filter_map(|name| name.strip_prefix("cpu")?.parse().ok())
        .collect();
    cpus.sort_unstable();
    for cpu in cpus {
        let folder = format!("devices/system/cpu/cpu{cpu}/cpufreq");
        let Some(governor) = round
            .files
            .attribute(format_args!("{folder}/scaling_governor"))
        else {
            continue;
        };
        let governor = governor.to_owned();
        let cpu = cpu.to_string();
        for (file, desc) in &FREQUENCIES {
            let khz = round.files.number(format_args!("{folder}/{file}"));
            round
                .out
                .push_some(desc, &[("cpu", &cpu)], khz.map(|khz| khz * 1000.0));
        }
        let all = round
            .files
            .attribute(format_args!("{folder}/scaling_available_governors"));
        for name in all.unwrap_or(&governor).split_whitespace() {
            let chosen = f64::from(u8::from(name == governor));
            round
                .out
                .push(&GOVERNOR, &[("cpu", &cpu), ("governor", name)], chosen);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_times_go_forward_unless_the_cpu_was_replugged() {
        let mut have = Vec::new();
        advance(&mut have, &[1.0, 0.0, 0.0, 10.0, 5.0]);
        advance(&mut have, &[2.0, 0.0, 0.0, 9.9, 4.0]);
        assert_eq!(have, [2.0, 0.0, 0.0, 10.0, 5.0]);
        advance(&mut have, &[0.1, 0.0, 0.0, 0.2, 0.0]);
        assert_eq!(have, [0.1, 0.0, 0.0, 0.2, 0.0]);
    }

    #[test]
    fn a_cpu_list_has_numbers_and_ranges() {
        let list = |text| cpu_list(text).collect::<Vec<_>>();
        assert_eq!(list("1,3-5,9"), [1, 3, 4, 5, 9]);
        assert_eq!(list("x,7-6,-2,2-"), Vec::<u16>::new());
    }
}
