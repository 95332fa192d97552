//! A program that the demo started: alive or not, what it logged, how it ended.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Pid, Signal};
use tokio::process::Command;

/// Last lines that are kept to be shown when the program fails.
const LINES_KEPT: usize = 15;
/// Most bytes of a log that are read in one go.
const READ_MAX: u64 = 1024 * 1024;
/// Longest line that is shown in full.
const LINE_CHARS_MAX: usize = 400;

/// A child process with its log.
#[derive(Debug)]
pub(super) struct Child {
    name: String,
    process: tokio::process::Child,
    log: Log,
    /// How it ended, once that is known.
    ended: Option<ExitStatus>,
    /// It ended before it was asked to.
    too_soon: bool,
}

impl Child {
    /// Starts `command`; what it prints goes to a file in `logs`.
    pub(super) fn start(name: &str, mut command: Command, logs: &Path) -> anyhow::Result<Self> {
        let path = logs.join(format!("{name}.log"));
        let file = File::create(&path).with_context(|| format!("making {}", path.display()))?;
        let same = file.try_clone().context("sharing a log")?;
        // Settings that are meant for this host's own agent are not for the demo.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("VEDETTE_") {
                command.env_remove(name);
            }
        }
        let process = command
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(same)
            // Ctrl-C goes to the demo alone, which then ends the programs in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {name}"))?;
        Ok(Self {
            name: name.to_owned(),
            process,
            log: Log::new(path),
            ended: None,
            too_soon: false,
        })
    }

    /// Fails, with the last words, when the program has ended by itself.
    pub(super) fn check_alive(&mut self) -> anyhow::Result<()> {
        let Some(status) = self.process.try_wait().context("asking after a program")? else {
            return Ok(());
        };
        self.ended = Some(status);
        self.too_soon = true;
        anyhow::bail!("{} ended too soon ({status})", self.name)
    }

    /// Whether it was found to have ended before it was asked to.
    pub(super) fn ended_too_soon(&self) -> bool {
        self.too_soon
    }

    /// Lines at level ERROR so far.
    pub(super) fn errors(&mut self) -> u64 {
        self.log.catch_up();
        self.log.errors
    }

    /// The last lines of the log, with the name of the program.
    pub(super) fn report(&mut self) -> String {
        self.log.catch_up();
        let mut text = match self.ended {
            Some(status) => format!("--- {} ({status}), its last lines:", self.name),
            None => format!("--- {}, its last lines:", self.name),
        };
        if self.log.last.is_empty() {
            text.push_str(" none");
        }
        for line in &self.log.last {
            text.push_str("\n    ");
            text.push_str(line);
        }
        text
    }

    /// Sends SIGTERM.
    pub(super) fn ask_to_stop(&self) {
        // A process that has been waited for has no id any more.
        let id = self.process.id().and_then(|id| i32::try_from(id).ok());
        if let Some(pid) = id.and_then(Pid::from_raw) {
            // It may have ended just now; `stopped` tells.
            rustix::process::kill_process(pid, Signal::TERM).unwrap_or(());
        }
    }

    /// Waits for the end, for so long at most, and says when it was not a good one.
    pub(super) async fn stopped(&mut self, patience: Duration) -> Result<(), String> {
        let name = self.name.clone();
        let status = match tokio::time::timeout(patience, self.process.wait()).await {
            Ok(Ok(status)) => status,
            Ok(Err(error)) => return Err(format!("{name} could not be waited for: {error}")),
            Err(_elapsed) => {
                let killed = self.process.kill().await;
                let how = if killed.is_ok() {
                    "was killed"
                } else {
                    "could not be killed"
                };
                return Err(format!(
                    "{name} did not end within {}s and {how}\n{}",
                    patience.as_secs(),
                    self.report()
                ));
            }
        };
        self.ended = Some(status);
        // An end that came too soon has been said already.
        if status.success() || self.too_soon {
            Ok(())
        } else {
            Err(format!("{name} ended badly ({status})\n{}", self.report()))
        }
    }
}

/// A log file that is read as it grows.
#[derive(Debug)]
struct Log {
    path: PathBuf,
    read_bytes: u64,
    /// The beginning of a line whose end is not written yet.
    partial: String,
    last: VecDeque<String>,
    errors: u64,
}

impl Log {
    fn new(path: PathBuf) -> Self {
        Self {
            path,
            read_bytes: 0,
            partial: String::new(),
            last: VecDeque::new(),
            errors: 0,
        }
    }

    /// Reads what is new. A log that cannot be read is no reason to end the demo.
    fn catch_up(&mut self) {
        let mut bytes = Vec::new();
        let read = File::open(&self.path).and_then(|mut file| {
            file.seek(SeekFrom::Start(self.read_bytes))?;
            file.take(READ_MAX).read_to_end(&mut bytes)
        });
        if read.is_ok() {
            self.read_bytes += bytes.len() as u64;
            self.take(&String::from_utf8_lossy(&bytes));
        }
    }

    fn take(&mut self, text: &str) {
        let whole = std::mem::take(&mut self.partial) + text;
        let mut lines = whole.split('\n').peekable();
        while let Some(line) = lines.next() {
            if lines.peek().is_none() {
                self.partial = line.chars().take(LINE_CHARS_MAX).collect();
                return;
            }
            if is_error(line) {
                self.errors += 1;
            }
            if self.last.len() == LINES_KEPT {
                self.last.pop_front();
            }
            self.last
                .push_back(line.chars().take(LINE_CHARS_MAX).collect());
        }
    }
}

/// Whether a log line, in words or in JSON, is at level ERROR.
fn is_error(line: &str) -> bool {
    // The level stands behind the time; what the message says does not count.
    line.split_whitespace().take(2).any(|word| word == "ERROR")
        || line.contains("\"level\":\"ERROR\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_from_words_that_look_like_them() {
        for (line, error) in [
            ("2026-11-23T20:00:00Z ERROR spool: data lost", true),
            ("ERROR spool: data lost", true),
            (r#"{"timestamp":"…","level":"ERROR","fields":{}}"#, true),
            ("2026-11-23T20:00:00Z  INFO sync: no ERROR here", false),
            (r#"{"level":"INFO","message":"ERROR"}"#, false),
        ] {
            assert_eq!(is_error(line), error, "{line}");
        }
    }

    #[test]
    fn a_log_is_read_once_however_it_is_cut() {
        let mut log = Log::new(PathBuf::new());
        for piece in ["a\n2026 ERR", "OR x\nb", "", "c\n", "2026 ERROR y"] {
            log.take(piece);
        }
        assert_eq!(log.errors, 1);
        assert_eq!(log.last, ["a", "2026 ERROR x", "bc"]);
        log.take(&"\nz".repeat(100));
        assert_eq!((log.errors, log.last.len()), (2, LINES_KEPT));
    }

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(script);
        command
    }

    #[tokio::test]
    async fn a_program_that_fails_is_noticed_with_its_last_words() {
        let dir = tempfile::tempdir().unwrap();
        let script = shell("echo '2026 ERROR cannot bind' >&2; exit 3");
        let mut child = Child::start("broken", script, dir.path()).unwrap();
        let error = loop {
            match child.check_alive() {
                Ok(()) => tokio::time::sleep(Duration::from_millis(10)).await,
                Err(error) => break error.to_string(),
            }
        };
        assert_eq!(error, "broken ended too soon (exit status: 3)");
        assert_eq!(child.errors(), 1);
        assert!(child.report().ends_with("\n    2026 ERROR cannot bind"));
        // Its end has been said; it is not said again.
        child.ask_to_stop();
        assert_eq!(child.stopped(Duration::from_secs(5)).await, Ok(()));
    }

    #[tokio::test]
    async fn a_program_that_obeys_ends_well() {
        let dir = tempfile::tempdir().unwrap();
        let script = shell("trap 'exit 0' TERM; echo up; while :; do sleep 0.05; done");
        let mut child = Child::start("good", script, dir.path()).unwrap();
        while !std::fs::read_to_string(dir.path().join("good.log"))
            .unwrap()
            .contains("up")
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        child.check_alive().unwrap();
        child.ask_to_stop();
        assert_eq!(child.stopped(Duration::from_secs(10)).await, Ok(()));
    }

    #[tokio::test]
    async fn a_program_that_does_not_obey_is_killed_and_named() {
        let dir = tempfile::tempdir().unwrap();
        let script = shell("trap '' TERM; echo up; while :; do sleep 0.05; done");
        let mut child = Child::start("stubborn", script, dir.path()).unwrap();
        while !std::fs::read_to_string(dir.path().join("stubborn.log"))
            .unwrap()
            .contains("up")
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        child.ask_to_stop();
        let failure = child.stopped(Duration::from_millis(200)).await.unwrap_err();
        assert!(
            failure.starts_with("stubborn did not end within 0s and was killed"),
            "{failure}"
        );
    }

    #[tokio::test]
    async fn a_program_that_ends_badly_when_asked_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let script = shell("trap 'exit 7' TERM; echo up; while :; do sleep 0.05; done");
        let mut child = Child::start("bad", script, dir.path()).unwrap();
        while !std::fs::read_to_string(dir.path().join("bad.log"))
            .unwrap()
            .contains("up")
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        child.ask_to_stop();
        let failure = child.stopped(Duration::from_secs(10)).await.unwrap_err();
        assert!(
            failure.starts_with("bad ended badly (exit status: 7)"),
            "{failure}"
        );
    }
}
