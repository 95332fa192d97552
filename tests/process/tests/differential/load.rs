//! Remote writes as the bench kit keeps them in a file: a header of 16 bytes, little end first, with
//! the length of the body (u32), the count of its samples (u32), the sender's shard (u16), 0 (u16)
//! and the length before compression (u32); then the body, a snappy block of version 1.0.

use std::collections::BTreeSet;
use std::hash::RandomState;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::RwLock;

use process_tests::process::foreign;
use remote::{Decoded, Memory, RAW_BYTES_MAX, Version};
use tokio::process::Command;

/// Names the variable that holds the path of the small reference load. Without it, the bench kit
/// makes one.
pub(crate) const SMALL: &str = "VEDETTE_TEST_LOAD";

/// Bodies in the order in which they are sent, and the times of their samples.
#[derive(Debug)]
pub(crate) struct Load {
    /// The bodies.
    pub(crate) bodies: Vec<Vec<u8>>,
    /// The times in milliseconds since the Unix epoch.
    pub(crate) times: BTreeSet<i64>,
}

impl Load {
    /// Reads what these bodies hold.
    pub(crate) fn new(bodies: Vec<Vec<u8>>) -> Self {
        let memory: RwLock<Memory<u32>> = RwLock::new(Memory::new(100_000, &RandomState::new()));
        let (mut buffer, mut decoded) = (Vec::new(), Decoded::default());
        let mut times = BTreeSet::new();
        for body in &bodies {
            let raw = remote::decompress(body, RAW_BYTES_MAX, &mut buffer).unwrap();
            remote::decode(Version::V1, raw, &memory.read().unwrap(), &mut decoded).unwrap();
            let unknown = decoded.take_unknown();
            decoded.settle(unknown.iter().map(|_series| Some(0)));
            memory.write().unwrap().learn(&decoded);
            times.extend(decoded.samples().times);
        }
        Self { bodies, times }
    }

    /// Reads a file, of all shards or of one.
    fn read(path: &Path, shard: Option<u16>) -> Self {
        let bytes =
            std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut bodies = Vec::new();
        let mut rest = bytes.as_slice();
        while let Some((head, after)) = rest.split_first_chunk::<16>() {
            let length = u32::from_le_bytes(*head.first_chunk().unwrap());
            let (body, after) = after.split_at(usize::try_from(length).unwrap());
            let [_, _, _, _, _, _, _, _, low, high, ..] = *head;
            if shard.is_none_or(|shard| shard == u16::from_le_bytes([low, high])) {
                bodies.push(body.to_vec());
            }
            rest = after;
        }
        Self::new(bodies)
    }
}

/// The folder of public data.
pub(crate) fn shared() -> PathBuf {
    std::env::var_os("VEDETTE_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    )
}

/// The folder of the bench kit.
fn kit() -> PathBuf {
    std::env::var_os("BENCH_KIT").map_or_else(|| shared().join("bench"), PathBuf::from)
}

/// The recording of a real node_exporter; nothing (said in one line) where it is not there.
pub(crate) fn recording() -> Option<Load> {
    let path = kit().join("baseline/real/node_5s_long.rw");
    if path.is_file() {
        return Some(Load::read(&path, None));
    }
    println!("skipped: {} is not there (set BENCH_KIT)", path.display());
    None
}

/// One of the four shards of the small reference load, which is every fourth node; nothing (said in
/// one line) where it is not there and cannot be made.
pub(crate) async fn small() -> Option<Load> {
    if let Some(path) = std::env::var_os(SMALL) {
        return Some(Load::read(Path::new(&path), Some(0)));
    }
    let (script, python) = (kit().join("make_load.py"), foreign("python3"));
    if let Some(python) = python.filter(|_| script.is_file()) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("small.rw");
        let mut command = Command::new(python);
        command.arg(&script).arg(&path).args(["--preset", "small"]);
        command.stdin(Stdio::null()).stderr(Stdio::null());
        let status = command.stdout(Stdio::null()).kill_on_drop(true).status();
        if status.await.is_ok_and(|status| status.success()) {
            return Some(Load::read(&path, Some(0)));
        }
    }
    println!(
        "skipped: no small load; {SMALL} names one, or python3 with numpy and cramjam makes it"
    );
    None
}
