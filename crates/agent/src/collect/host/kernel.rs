//! Load, memory, paging, pressure, scheduling, files and processes, as procfs counts them.

use std::fmt::Write as _;

use super::read::{SourceError, number};
use super::{Desc, Round};

/// `/proc/loadavg`.
pub(super) fn loadavg(round: &mut Round<'_>) -> Result<(), SourceError> {
    const LOADS: [Desc<'_>; 3] = [
        Desc::gauge("node_load1", "1m load average."),
        Desc::gauge("node_load5", "5m load average."),
        Desc::gauge("node_load15", "15m load average."),
    ];
    let text = round.files.proc("loadavg")?;
    let mut fields = text.split_whitespace();
    let mut found = 0;
    for desc in &LOADS {
        match fields.next().and_then(number) {
            Some(load) => {
                round.out.push(desc, &[], load);
                found += 1;
            }
            None => round.out.malformed(),
        }
    }
    if found == 0 {
        return Err(round.files.unusable("load averages"));
    }
    Ok(())
}

/// `/proc/meminfo`: `Active(anon)` becomes `node_memory_Active_anon_bytes`.
pub(super) fn meminfo(round: &mut Round<'_>) -> Result<(), SourceError> {
    const HELP: &str = "Field of /proc/meminfo.";
    let text = round.files.proc("meminfo")?;
    let mut name = String::new();
    for line in text.lines() {
        let parsed = line.split_once(':').and_then(|(field, rest)| {
            let mut rest = rest.split_whitespace();
            let value = number(rest.next()?)?;
            Some((field, value, rest.next()))
        });
        let Some((field, value, unit)) = parsed else {
            round.out.malformed();
            continue;
        };
        name.clear();
        name.push_str("node_memory_");
        name.extend(field.chars().filter_map(|c| match c {
            '(' => Some('_'),
            ')' => None,
            c => Some(c),
        }));
        let value = match unit {
            None => value,
            Some("kB") => {
                name.push_str("_bytes");
                value * 1024.0
            }
            Some(_) => {
                round.out.malformed();
                continue;
            }
        };
        round.out.push(&Desc::gauge(&name, HELP), &[], value);
    }
    Ok(())
}

/// `/proc/vmstat`: paging, swapping, faults and kills for lack of memory.
pub(super) fn vmstat(round: &mut Round<'_>) -> Result<(), SourceError> {
    const HELP: &str = "Field of /proc/vmstat.";
    let text = round.files.proc("vmstat")?;
    let mut name = String::new();
    for line in text.lines() {
        let Some((field, value)) = line.split_once(' ') else {
            round.out.malformed();
            continue;
        };
        if !is_kept_vmstat(field) {
            continue;
        }
        let Some(value) = number(value) else {
            round.out.malformed();
            continue;
        };
        name.clear();
        name.push_str("node_vmstat_");
        name.push_str(field);
        round.out.push(&Desc::untyped(&name, HELP), &[], value);
    }
    Ok(())
}

/// The default filter of `node_exporter`: `^(oom_kill|pgpg|pswp|pg.*fault).*`.
fn is_kept_vmstat(field: &str) -> bool {
    ["oom_kill", "pgpg", "pswp"]
        .iter()
        .any(|start| field.starts_with(start))
        || field
            .strip_prefix("pg")
            .is_some_and(|rest| rest.contains("fault"))
}

/// Resource, kind of line, metric.
#[rustfmt::skip]
const PRESSURES: [(&str, &str, Desc<'_>); 6] = [
    ("cpu", "some", Desc::counter("node_pressure_cpu_waiting_seconds_total", "Time that processes have waited for CPU time.")),
    ("io", "some", Desc::counter("node_pressure_io_waiting_seconds_total", "Time that processes have waited for IO.")),
    ("io", "full", Desc::counter("node_pressure_io_stalled_seconds_total", "Time that no process made progress for waiting for IO.")),
    ("memory", "some", Desc::counter("node_pressure_memory_waiting_seconds_total", "Time that processes have waited for memory.")),
    ("memory", "full", Desc::counter("node_pressure_memory_stalled_seconds_total", "Time that no process made progress for waiting for memory.")),
    ("irq", "full", Desc::counter("node_pressure_irq_stalled_seconds_total", "Time that no process made progress for serving interrupts.")),
];

/// `/proc/pressure/*`: the time that tasks waited (some) or all of them stood still (full).
pub(super) fn pressure(round: &mut Round<'_>) -> Result<(), SourceError> {
    let mut first_error = None;
    let mut found = false;
    for resource in ["cpu", "io", "memory", "irq"] {
        let text = match round.files.proc(format_args!("pressure/{resource}")) {
            Ok(text) => text,
            Err(error) => {
                // Only kernels that account for interrupts have the last one.
                if resource != "irq" {
                    first_error = first_error.or(Some(error));
                }
                continue;
            }
        };
        for line in text.lines() {
            let kind = line.split(' ').next().unwrap_or_default();
            let micros = line
                .rsplit_once("total=")
                .and_then(|(_, total)| number(total));
            let Some(micros) = micros else {
                round.out.malformed();
                continue;
            };
            for (_, _, desc) in PRESSURES
                .iter()
                .filter(|(of, some, _)| *of == resource && *some == kind)
            {
                round.out.push(desc, &[], micros / 1e6);
                found = true;
            }
        }
    }
    match first_error {
        Some(error) if !found => Err(error),
        _ => Ok(()),
    }
}

/// `/proc/sys/fs/file-nr`: open files of the whole host.
pub(super) fn filefd(round: &mut Round<'_>) -> Result<(), SourceError> {
    const ALLOCATED: Desc<'_> = Desc::gauge("node_filefd_allocated", "File descriptors in use.");
    const MAXIMUM: Desc<'_> = Desc::gauge("node_filefd_maximum", "File descriptors allowed.");
    let text = round.files.proc("sys/fs/file-nr")?;
    let mut fields = text.split_whitespace().map(number);
    if let (Some(Some(allocated)), Some(_), Some(Some(maximum))) =
        (fields.next(), fields.next(), fields.next())
    {
        round.out.push(&ALLOCATED, &[], allocated);
        round.out.push(&MAXIMUM, &[], maximum);
        Ok(())
    } else {
        Err(round.files.unusable("three numbers"))
    }
}

/// `/proc/sys/kernel/random`.
pub(super) fn entropy(round: &mut Round<'_>) -> Result<(), SourceError> {
    const AVAILABLE: Desc<'_> =
        Desc::gauge("node_entropy_available_bits", "Bits of entropy at hand.");
    const POOL: Desc<'_> = Desc::gauge(
        "node_entropy_pool_size_bits",
        "Bits of entropy that the pool holds.",
    );
    for (desc, file) in [(&AVAILABLE, "entropy_avail"), (&POOL, "poolsize")] {
        let bits = round
            .files
            .proc_number(format_args!("sys/kernel/random/{file}"))?;
        round.out.push(desc, &[], bits);
    }
    Ok(())
}

/// `/proc/schedstat`: the last three numbers of each CPU's line.
pub(super) fn schedstat(round: &mut Round<'_>) -> Result<(), SourceError> {
    const RUNNING: Desc<'_> = Desc::counter(
        "node_schedstat_running_seconds_total",
        "Time that the CPU spent running a process.",
    );
    const WAITING: Desc<'_> = Desc::counter(
        "node_schedstat_waiting_seconds_total",
        "Time that processes spent waiting for this CPU.",
    );
    const SLICES: Desc<'_> = Desc::counter(
        "node_schedstat_timeslices_total",
        "Time slices that the CPU has run.",
    );
    let text = round.files.proc("schedstat")?;
    for line in text.lines() {
        let mut fields = line.split_whitespace();
        let Some(cpu) = fields.next().and_then(|word| word.strip_prefix("cpu")) else {
            continue;
        };
        let mut last = fields.skip(6).map(number);
        let (Some(Some(running)), Some(Some(waiting)), Some(Some(slices))) =
            (last.next(), last.next(), last.next())
        else {
            round.out.malformed();
            continue;
        };
        let labels = [("cpu", cpu)];
        round.out.push(&RUNNING, &labels, running / 1e9);
        round.out.push(&WAITING, &labels, waiting / 1e9);
        round.out.push(&SLICES, &labels, slices);
    }
    Ok(())
}

/// `/proc/*/stat`: processes by state, and their threads.
pub(super) fn processes(round: &mut Round<'_>) -> Result<(), SourceError> {
    const THREADS: Desc<'_> = Desc::gauge("node_processes_threads", "Threads on the host.");
    const THREADS_MAX: Desc<'_> = Desc::gauge(
        "node_processes_max_threads",
        "Threads that the host allows.",
    );
    const STATE: Desc<'_> = Desc::gauge("node_processes_state", "Processes in each state.");
    const PIDS: Desc<'_> = Desc::gauge("node_processes_pids", "Processes on the host.");
    const PIDS_MAX: Desc<'_> = Desc::gauge(
        "node_processes_max_processes",
        "Process ids that the host allows.",
    );
    let mut states = [0_u32; 26];
    let mut threads = 0.0;
    let mut pids = 0_u32;
    let mut path = String::new();
    let listed = round.files.list_proc("")?;
    let folder = round
        .files
        .enter_proc("")
        .ok_or_else(|| round.files.unusable("processes"))?;
    for pid in listed {
        if !pid.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        path.clear();
        write!(path, "{pid}/stat").expect("a String takes everything");
        // A process may end between being listed and being read.
        let Some(stat) = round.files.attribute_in(&folder, &path) else {
            continue;
        };
        let Some((state, count)) = process_stat(stat) else {
            round.out.malformed();
            continue;
        };
        pids += 1;
        threads += count;
        states[state] += 1;
    }
    round.out.push(&THREADS, &[], threads);
    round.out.push(&PIDS, &[], f64::from(pids));
    let threads_max = round.files.proc_number("sys/kernel/threads-max")?;
    round.out.push(&THREADS_MAX, &[], threads_max);
    let pids_max = round.files.proc_number("sys/kernel/pid_max")?;
    round.out.push(&PIDS_MAX, &[], pids_max);
    for (letter, count) in ('A'..='Z').zip(states).filter(|(_, count)| *count > 0) {
        let mut utf8 = [0; 4];
        round.out.push(
            &STATE,
            &[("state", letter.encode_utf8(&mut utf8))],
            f64::from(count),
        );
    }
    Ok(())
}

/// The index of the state's letter and the number of threads. The command stands in brackets and
/// may itself hold brackets and spaces, so the fields are counted from its last one.
fn process_stat(stat: &str) -> Option<(usize, f64)> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let letter = fields.next()?.bytes().next()?.to_ascii_uppercase();
    let state = usize::from(letter.checked_sub(b'A')?);
    let threads = number(fields.nth(16)?)?;
    (state < 26).then_some((state, threads))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_may_hold_brackets_and_spaces() {
        let stat = "7 (a) b) R 1 7 7 0 -1 4194560 0 0 0 0 1 2 3 4 20 0 5 0 99 0 0";
        assert_eq!(process_stat(stat), Some((17, 5.0)));
        assert_eq!(process_stat("7 (torn"), None);
        assert_eq!(process_stat("7 (torn) S 1 2"), None);
    }

    #[test]
    fn the_vmstat_filter_is_that_of_node_exporter() {
        let kept = [
            "oom_kill",
            "pgpgin",
            "pgpgout",
            "pswpin",
            "pgfault",
            "pgmajfault",
        ];
        assert!(kept.iter().all(|field| is_kept_vmstat(field)));
        let left = [
            "nr_free_pages",
            "pgalloc_dma",
            "pgsteal_kswapd",
            "thp_fault_alloc",
        ];
        assert!(!left.iter().any(|field| is_kept_vmstat(field)));
    }
}
