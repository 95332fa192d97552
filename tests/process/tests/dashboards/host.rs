//! A host made of files, so that it has what the machine that runs the test may lack: pressure,
//! sensors, a disk, a file system of its own.

use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use tokio::task::JoinHandle;

/// Time between two moves of the counters.
const MOVES_EVERY: Duration = Duration::from_millis(500);

/// The files, and the task that moves what counts in them, until this is dropped.
pub(crate) struct Host {
    folder: TempDir,
    task: JoinHandle<()>,
}

impl Drop for Host {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Host {
    /// Writes the files and goes on counting.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_owned();
        write(&root, 1);
        let task = tokio::spawn(async move {
            for count in 2.. {
                tokio::time::sleep(MOVES_EVERY).await;
                write(&root, count);
            }
        });
        Self { folder, task }
    }

    /// An agent's `[collectors.host]` for it.
    pub(crate) fn setting(&self) -> String {
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        format!(
            "[collectors.host]\nproc = \"{}\"\nsys = \"{}\"\nroot = \"{}\"\n",
            path("proc"),
            path("sys"),
            path("")
        )
    }
}

/// Writes every file as it is after so many moves; in its place, because an agent keeps the files of
/// a real host open.
fn write(root: &Path, count: u64) {
    for (name, text) in files(count) {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}

fn files(n: u64) -> [(&'static str, String); 12] {
    let pressure = |some: u64| {
        format!(
            "some avg10=0.00 avg60=0.00 avg300=0.00 total={}\n\
             full avg10=0.00 avg60=0.00 avg300=0.00 total={}\n",
            some * n,
            n
        )
    };
    // User, nice, system, idle, IO, interrupts, soft interrupts, stolen, and guests' twice.
    let cpu = format!("{} 0 {n} {} {n} 0 0 0 0 0", 20 * n, 25 * n);
    [
        (
            "proc/stat",
            format!(
                "cpu  {cpu}\ncpu0 {cpu}\ncpu1 {cpu}\nctxt {n}\nbtime 1764000000\nprocesses {n}\n\
                 procs_running 2\nprocs_blocked 1\n"
            ),
        ),
        ("proc/loadavg", "1.50 1.00 0.50 2/90 1234\n".to_owned()),
        (
            "proc/meminfo",
            "MemTotal: 16000000 kB\nMemFree: 2000000 kB\nMemAvailable: 6000000 kB\n\
             Buffers: 100000 kB\nCached: 4000000 kB\nSwapTotal: 1000000 kB\nSwapFree: 900000 kB\n"
                .to_owned(),
        ),
        (
            "proc/diskstats",
            format!(
                " 259 0 nvme0n1 {n} 0 {} {n} {n} 0 {} {} 0 {} {} 0 0 0 0 0 0\n",
                64 * n,
                80 * n,
                3 * n,
                5 * n,
                4 * n
            ),
        ),
        ("proc/mounts", "/dev/nvme0n1 / ext4 rw 0 0\n".to_owned()),
        (
            "proc/net/dev",
            format!(
                "Inter-|   Receive                                                |  Transmit\n \
                 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets \
                 errs drop fifo colls carrier compressed\n  \
                 eth0: {} {n} {n} {n} 0 0 0 0 {} {n} {n} {n} 0 0 0 0\n",
                9000 * n,
                7000 * n
            ),
        ),
        (
            "proc/net/netstat",
            format!("TcpExt: SyncookiesSent\nTcpExt: {n}\n"),
        ),
        (
            "proc/net/snmp",
            format!("Tcp: InSegs OutSegs RetransSegs\nTcp: {n} {n} {n}\n"),
        ),
        ("proc/pressure/cpu", pressure(5000)),
        ("proc/pressure/io", pressure(3000)),
        ("proc/pressure/memory", pressure(1000)),
        ("sys/class/hwmon/hwmon0/temp1_input", "54000\n".to_owned()),
    ]
}
