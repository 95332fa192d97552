//! A small disk that can be filled: a tmpfs in a mount namespace of its own, kept by a process that
//! sleeps. No privilege is needed where users may make namespaces.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// The disk; it is gone with its handle.
#[derive(Debug)]
pub struct SmallDisk {
    folder: TempDir,
    holder: Child,
}

impl SmallDisk {
    /// A disk of so many bytes; `None` where this machine lets nobody mount one.
    ///
    /// # Panics
    /// When a program that is there cannot be run.
    pub async fn new(bytes: u64) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let script = format!(
            "mount -t tmpfs -o size={bytes} tmpfs '{}' && echo ready && exec sleep infinity",
            folder.path().display()
        );
        let mut holder = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", &script])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .ok()?;
        let said = BufReader::new(holder.stdout.take()?);
        let line = said.lines().next_line().await.ok()??;
        (line == "ready").then_some(Self { folder, holder })
    }

    /// Where it is mounted, as programs see it that run on it.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    fn pid(&self) -> String {
        self.holder.id().unwrap_or_default().to_string()
    }

    /// The same as this process sees it.
    #[must_use]
    pub fn seen_from_here(&self) -> PathBuf {
        let path = self
            .path()
            .strip_prefix("/")
            .unwrap_or_else(|_| self.path());
        Path::new("/proc").join(self.pid()).join("root").join(path)
    }

    /// What has a program run on it: words before its own.
    #[must_use]
    pub fn entering(&self) -> Vec<String> {
        [
            "nsenter",
            "--preserve-credentials",
            "--user",
            "--mount",
            "--target",
            &self.pid(),
        ]
        .map(str::to_owned)
        .to_vec()
    }

    /// Others fill it.
    ///
    /// # Panics
    /// When nothing can be written at all.
    pub fn fill(&self) {
        let mut bytes = 64 << 20;
        while bytes > 0 {
            // As much as fits: what did not fit is tried again in smaller pieces.
            let name = self.seen_from_here().join(format!("filler-{bytes}"));
            if std::fs::write(&name, vec![0; bytes]).is_err() {
                std::fs::remove_file(&name).unwrap();
            }
            bytes /= 2;
        }
    }

    /// They go away.
    ///
    /// # Panics
    /// When the disk cannot be listed.
    pub fn free(&self) {
        for file in std::fs::read_dir(self.seen_from_here()).unwrap() {
            let file = file.unwrap();
            if file.file_name().to_string_lossy().starts_with("filler-") {
                std::fs::remove_file(file.path()).unwrap();
            }
        }
    }
}
