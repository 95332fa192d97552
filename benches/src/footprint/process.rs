//! A process from outside, by `/proc`; a program by its file.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

/// Ticks of a second in `/proc/PID/stat`: `USER_HZ`, which Linux keeps at 100 on every
/// architecture that these programs are built for.
const TICKS_PER_SECOND: f64 = 100.0;

/// What a process has used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// Memory in use now, in KiB (`VmRSS`).
    pub resident_kib: u64,
    /// The most memory it has used, in KiB (`VmHWM`).
    pub resident_peak_kib: u64,
    /// Threads now.
    pub threads: u64,
    /// Processor time of all its threads, those that have ended included, in seconds; exact to
    /// about 0.02.
    pub cpu_seconds: f64,
}

impl Usage {
    /// Of the process with this id.
    ///
    /// # Errors
    /// When there is no such process, or `/proc` is not as Linux has it.
    pub fn of(pid: u32) -> Result<Self> {
        let read = |name| {
            let path = format!("/proc/{pid}/{name}");
            std::fs::read_to_string(&path).with_context(|| format!("reading {path}"))
        };
        Self::parse(&read("status")?, &read("stat")?)
    }

    fn parse(status: &str, stat: &str) -> Result<Self> {
        let field = |name: &str| -> Result<u64> {
            let mut lines = status.lines();
            let line = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            let word = line.and_then(|line| line.split_whitespace().next());
            let word = word.with_context(|| format!("{name} is not in the status"))?;
            word.parse().with_context(|| format!("{name} is no number"))
        };
        // The name of the program stands in brackets and may hold anything, brackets too. The
        // third field follows the last of them; the times are fields 14 and 15.
        let (_, rest) = stat.rsplit_once(')').context("stat has no name")?;
        let ticks: Vec<u32> = rest
            .split_whitespace()
            .skip(11)
            .take(2)
            .map(str::parse)
            .collect::<Result<_, _>>()
            .context("the times in stat are no numbers")?;
        ensure!(ticks.len() == 2, "stat is too short");
        Ok(Self {
            resident_kib: field("VmRSS")?,
            resident_peak_kib: field("VmHWM")?,
            threads: field("Threads")?,
            cpu_seconds: ticks.into_iter().map(f64::from).sum::<f64>() / TICKS_PER_SECOND,
        })
    }
}

/// A program as it lies on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binary {
    /// Bytes as built.
    pub bytes: u64,
    /// Bytes without symbols.
    pub stripped_bytes: u64,
    /// Whether anything in it mentions RocksDB: a symbol, a message, a path of its source.
    pub mentions_rocksdb: bool,
}

impl Binary {
    /// Of the program at `path`, which is copied into `folder` to be stripped.
    ///
    /// # Errors
    /// When it cannot be read or copied, or there is no `strip`.
    pub fn of(path: &Path, folder: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        let stripped = folder.join("stripped");
        std::fs::write(&stripped, &bytes).context("copying the program")?;
        let done = Command::new("strip").arg(&stripped).status();
        if !done.context("running strip (Debian: binutils)")?.success() {
            bail!("strip does not take {}", path.display());
        }
        Ok(Self {
            bytes: bytes.len() as u64,
            stripped_bytes: std::fs::metadata(&stripped)?.len(),
            mentions_rocksdb: mentions(&bytes, b"rocksdb"),
        })
    }
}

/// Whether `word`, in lower case, is in `bytes` in any case.
fn mentions(bytes: &[u8], word: &[u8]) -> bool {
    bytes
        .windows(word.len())
        .any(|window| window.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_read_whatever_the_program_is_called() {
        let status = "Name:\ta\nVmHWM:\t    5120 kB\nVmRSS:\t    4096 kB\nThreads:\t7\n";
        let stat = "42 (odd) S (name) S 1 42 42 0 -1 4194560 900 0 0 0 150 25 9 9 20 0 7 0";
        let usage = Usage::parse(status, stat).unwrap();
        assert_eq!(
            usage,
            Usage {
                resident_kib: 4096,
                resident_peak_kib: 5120,
                threads: 7,
                cpu_seconds: 1.75,
            }
        );
        assert!(Usage::parse("Threads:\t7\n", stat).is_err());
        assert!(Usage::parse(status, "42 (a) S 1").is_err());
    }

    #[test]
    fn this_process_has_usage() {
        let usage = Usage::of(std::process::id()).unwrap();
        assert!(usage.resident_kib > 0 && usage.resident_peak_kib >= usage.resident_kib);
    }

    #[test]
    fn a_word_is_found_in_any_case_and_at_the_end() {
        assert!(mentions(b"xx_ZN7RocksDB", b"rocksdb"));
        assert!(!mentions(b"rocks", b"rocksdb"));
    }
}
