//! What the cgroup allows this process (cgroup v2).

use std::fs;
use std::path::Path;

/// Where cgroup v2 is mounted.
const ROOT: &str = "/sys/fs/cgroup";
/// Of the cgroup's own limit, how much the agent takes for itself: at the limit the kernel slows or kills
/// it, and there a cap would never be seen to be passed.
const SHARE: f64 = 0.9;

/// The least that this cgroup and those above it allow; `None` where none says anything.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Allowed {
    /// Processors.
    pub cpu: Option<f64>,
    /// Bytes.
    pub memory: Option<f64>,
}

impl Allowed {
    /// Of this process.
    #[must_use]
    pub fn of_this_process() -> Self {
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        Self::read(Path::new(ROOT), &own)
    }

    /// `own` is `/proc/self/cgroup`. In a container its path may lie outside of what is mounted; then the
    /// root of the mount is its own.
    fn read(root: &Path, own: &str) -> Self {
        let mut allowed = Self::default();
        let path = own.lines().find_map(|line| line.strip_prefix("0::/"));
        let Some(path) = path.filter(|path| !path.contains("..")) else {
            return allowed;
        };
        let folder = root.join(path);
        let folders = folder.ancestors();
        for folder in folders.take_while(|folder| folder.starts_with(root)) {
            let file = |name| fs::read_to_string(folder.join(name)).unwrap_or_default();
            allowed.cpu = least(allowed.cpu, cpu_max(&file("cpu.max")));
            allowed.memory = least(allowed.memory, memory_max(&file("memory.max")));
        }
        allowed
    }
}

fn least(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// `quota period` in microseconds; the quota may be `max`.
fn cpu_max(text: &str) -> Option<f64> {
    let mut words = text.split_ascii_whitespace();
    let quota: f64 = words.next()?.parse().ok()?;
    let period: f64 = words.next()?.parse().ok()?;
    (period > 0.0).then(|| SHARE * quota / period)
}

/// Bytes, or `max`.
fn memory_max(text: &str) -> Option<f64> {
    let bytes: f64 = text.trim().parse().ok()?;
    Some(SHARE * bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_of_all_cgroups_above_counts() {
        let root = tempfile::tempdir().unwrap();
        let slice = root.path().join("system.slice");
        let own = slice.join("vedette-agent.service");
        fs::create_dir_all(&own).unwrap();
        let read = |own: &str| Allowed::read(root.path(), own);
        let line = "0::/system.slice/vedette-agent.service\n";
        assert_eq!(read(line), Allowed::default());
        fs::write(own.join("cpu.max"), "max 100000\n").unwrap();
        fs::write(own.join("memory.max"), "1000\n").unwrap();
        fs::write(slice.join("cpu.max"), "50000 100000\n").unwrap();
        fs::write(slice.join("memory.max"), "max\n").unwrap();
        let allowed = Allowed {
            cpu: Some(0.45),
            memory: Some(900.0),
        };
        assert_eq!(read(line), allowed);
        assert_eq!(read("0::/../elsewhere\n"), Allowed::default());
        assert_eq!(read("4:memory:/x\n"), Allowed::default());
    }

    #[test]
    fn a_file_that_says_nothing_allows_everything() {
        assert_eq!(cpu_max(""), None);
        assert_eq!(cpu_max("100 0"), None);
        assert_eq!(memory_max("max"), None);
    }
}
