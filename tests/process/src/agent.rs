//! An agent of the test's own, and its account of what it did.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;

use crate::disk::SmallDisk;
use crate::process::{Process, command_by};

/// Settings of logs that make an agent give its account.
const ACCOUNT: &str = "\n[log]\nformat = \"json\"\nfilter = \"info,agent::outbox=debug\"\n";

/// Settings of an agent that only scrapes.
pub const NO_COLLECTORS: &str =
    "[collectors.host]\nenabled = false\n[collectors.gpu]\nenabled = false\n";

/// An agent: its folder, and its process while it runs.
#[derive(Debug)]
pub struct Agent {
    folder: TempDir,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    /// What runs it, if it is not run directly.
    by: Vec<String>,
    process: Option<Process>,
    starts: u32,
}

impl Agent {
    /// Starts one with this configuration (TOML, without `[log]`) for this coordinator.
    #[must_use]
    pub fn start(id: &str, coordinator: &str, config: &str) -> Self {
        Self::start_in(id, coordinator, config, &[])
    }

    /// The same, with its state on a disk of its own.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start_on(disk: &SmallDisk, id: &str, coordinator: &str, config: &str) -> Self {
        let state = Some(disk.path().join("state"));
        Self::begin(id, coordinator, config, &[], state, disk.entering())
    }

    /// The same, with variables in its environment.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start_in(
        id: &str,
        coordinator: &str,
        config: &str,
        environment: &[(&str, &str)],
    ) -> Self {
        Self::begin(id, coordinator, config, environment, None, Vec::new())
    }

    fn begin(
        id: &str,
        coordinator: &str,
        config: &str,
        environment: &[(&str, &str)],
        state: Option<PathBuf>,
        by: Vec<String>,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let state = state.unwrap_or_else(|| folder.path().join("state"));
        let file = folder.path().join("agent.toml");
        std::fs::write(&file, format!("{config}{ACCOUNT}")).unwrap();
        let arguments = [
            ("--config", file.display().to_string()),
            ("--agent-id", id.to_owned()),
            ("--coordinator", coordinator.to_owned()),
            ("--state-dir", state.display().to_string()),
        ];
        let mut agent = Self {
            folder,
            arguments: arguments
                .into_iter()
                .flat_map(|(flag, value)| [flag.to_owned(), value])
                .collect(),
            environment: environment
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            by,
            process: None,
            starts: 0,
        };
        agent.restart();
        agent
    }

    /// Its state folder.
    ///
    /// # Panics
    /// Never: it is always started with one.
    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        let mut flags = self.arguments.iter().skip_while(|it| *it != "--state-dir");
        PathBuf::from(flags.nth(1).unwrap())
    }

    /// The arguments it is started with.
    #[must_use]
    pub fn arguments(&self) -> &[String] {
        &self.arguments
    }

    /// Starts it again, on the same spool.
    ///
    /// # Panics
    /// When it runs.
    pub fn restart(&mut self) {
        assert!(self.process.is_none(), "the agent runs");
        self.starts += 1;
        let mut command = command_by(&self.by, "vedette-agent", &self.arguments);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let log = self.log_file(self.starts);
        self.process = Some(Process::start("vedette-agent", command, &log));
    }

    fn log_file(&self, start: u32) -> PathBuf {
        self.folder.path().join(format!("log.{start:03}"))
    }

    fn take(&mut self) -> Process {
        self.process
            .take()
            .unwrap_or_else(|| panic!("the agent does not run"))
    }

    /// The process.
    ///
    /// # Panics
    /// When it does not run.
    #[must_use]
    pub fn process(&self) -> &Process {
        self.process
            .as_ref()
            .unwrap_or_else(|| panic!("the agent does not run"))
    }

    /// Ends it by SIGKILL.
    pub async fn kill(&mut self) {
        self.take().kill().await;
    }

    /// Ends it by SIGTERM and gives its exit code.
    pub async fn terminate(&mut self) -> Option<i32> {
        self.take().terminate().await
    }

    /// What all its lives so far said in their logs.
    ///
    /// # Panics
    /// When a log cannot be read.
    #[must_use]
    pub fn account(&self) -> Account {
        let mut account = Account::default();
        for start in 1..=self.starts {
            let log = std::fs::read_to_string(self.log_file(start)).unwrap();
            // A line that was cut short by a kill, or is being written, has no end.
            let whole = log
                .rfind('\n')
                .map_or("", |end| log.get(..end).unwrap_or(""));
            for line in whole.lines() {
                account.read(line);
            }
        }
        account
    }
}

/// What an agent says it did.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// Batches spooled, by sequence: samples and stale markers.
    pub spooled: BTreeMap<u64, (u64, u64)>,
    /// Sequences that were spooled twice, which never happens.
    pub spooled_again: Vec<u64>,
    /// Sequences acknowledged, in the order of the log.
    pub acknowledged: Vec<u64>,
    /// Warnings and errors about data: refused, lost, damaged.
    pub complaints: Vec<String>,
}

impl Account {
    fn read(&mut self, line: &str) {
        let line: Value = match serde_json::from_str(line) {
            Ok(line) => line,
            // What a program says before its logs are set up.
            Err(_) => Value::from(line),
        };
        let number = |name: &str| {
            line[name]
                .as_u64()
                .unwrap_or_else(|| panic!("{name}: {line}"))
        };
        match (line["level"].as_str(), line["message"].as_str()) {
            (Some("DEBUG"), Some("spooled")) => {
                let sequence = number("sequence");
                let batch = (number("samples"), number("stale"));
                if self.spooled.insert(sequence, batch).is_some() {
                    self.spooled_again.push(sequence);
                }
            }
            (Some("DEBUG"), Some("acknowledged")) => self.acknowledged.push(number("sequence")),
            (Some("ERROR") | None, _) => self.complaints.push(line.to_string()),
            _ => {}
        }
    }

    /// The last sequence spooled; 0 for none.
    #[must_use]
    pub fn last_spooled(&self) -> u64 {
        self.spooled
            .last_key_value()
            .map_or(0, |(sequence, _)| *sequence)
    }

    /// The highest sequence acknowledged; 0 for none.
    #[must_use]
    pub fn last_acknowledged(&self) -> u64 {
        self.acknowledged.iter().copied().max().unwrap_or_default()
    }
}
