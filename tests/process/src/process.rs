//! The programs as processes.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

/// A program of ours, built before the tests and found beside them.
///
/// # Panics
/// When it has not been built.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    // target/debug/deps/test-0123 → target/debug
    let programs = test.parent().and_then(Path::parent).unwrap();
    let program = programs.join(name);
    assert!(
        program.is_file(),
        "{} is not there; build it with `cargo build --workspace --bins`",
        program.display()
    );
    program
}

/// A program of others, if it is on the PATH.
#[must_use]
pub fn foreign(name: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders)
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
}

/// A command that sees nothing of this process' environment, where a variable of ours would be a
/// setting, and that is killed with its handle.
#[must_use]
pub fn command(name: &str, arguments: &[impl AsRef<OsStr>]) -> Command {
    let mut command = Command::new(program(name));
    command
        .args(arguments)
        .env_clear()
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// The same, run by another program: `words` and then the program with its arguments.
#[must_use]
pub fn command_by(words: &[String], name: &str, arguments: &[impl AsRef<OsStr>]) -> Command {
    let Some((first, rest)) = words.split_first() else {
        return command(name, arguments);
    };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut command = Command::new(first);
    command
        .args(rest)
        .arg(program(name))
        .args(arguments)
        .env_clear()
        .env("PATH", path)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// Runs a program to its end.
///
/// # Panics
/// When it does not end in time.
pub async fn run(name: &str, arguments: &[impl AsRef<OsStr>]) -> Output {
    let output = command(name, arguments).output();
    match tokio::time::timeout(crate::SOON, output).await {
        Ok(output) => output.unwrap(),
        Err(_elapsed) => panic!("{name} did not end"),
    }
}

/// A process that was started here. It is killed when the handle goes, also by a panic.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a command whose standard error goes to the file `log`.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(name: &str, mut command: Command, log: &Path) -> Self {
        let file = File::create(log).unwrap();
        let child = command
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .unwrap_or_else(|error| panic!("starting {name}: {error}"));
        Self {
            name: name.to_owned(),
            child,
            log: log.to_owned(),
        }
    }

    /// Its number.
    ///
    /// # Panics
    /// When it has ended.
    #[must_use]
    pub fn pid(&self) -> u32 {
        let pid = self.child.id();
        pid.unwrap_or_else(|| panic!("{} has ended: {}", self.name, self.log()))
    }

    /// What it logged so far.
    ///
    /// # Panics
    /// When the file cannot be read.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// The exit status, if it has ended.
    ///
    /// # Panics
    /// When the system does not say.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// When the process has ended.
    pub fn signal(&self, signal: Signal) {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok());
        let pid = pid.and_then(Pid::from_raw);
        let pid = pid.unwrap_or_else(|| panic!("{} has ended: {}", self.name, self.log()));
        kill_process(pid, signal).unwrap();
    }

    /// Ends it by SIGKILL and waits until it is gone.
    ///
    /// # Panics
    /// When it cannot be killed.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Asks it to end by SIGTERM and gives its exit code.
    pub async fn terminate(self) -> Option<i32> {
        self.signal(Signal::TERM);
        self.exit_code(crate::SOON).await
    }

    /// Waits for its end and gives its exit code.
    ///
    /// # Panics
    /// When it does not end within `deadline`.
    pub async fn exit_code(mut self, deadline: Duration) -> Option<i32> {
        match tokio::time::timeout(deadline, self.child.wait()).await {
            Ok(status) => status.unwrap().code(),
            Err(_elapsed) => panic!("{} did not end: {}", self.name, self.log()),
        }
    }
}
