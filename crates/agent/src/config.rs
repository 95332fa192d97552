//! What can be set. `deploy/config/agent.toml` is the documentation of every key.

mod rules;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use daemon::logs::LogConfig;
use daemon::units::{ByteSize, HumanDuration};
use serde::{Deserialize, Serialize};
use wire::ingest::AgentId;

pub use rules::RulesConfig;

/// The agent's configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Name of this agent, unique in the fleet; the host's name when empty.
    pub agent_id: String,
    /// URL of the coordinator's gRPC port.
    pub coordinator: String,
    /// Certificates for it.
    pub tls: TlsConfig,
    /// A file that holds the bearer token to show to it.
    pub token_file: Option<PathBuf>,
    /// Where the spool and the events lie.
    pub state_dir: PathBuf,
    /// How often collectors and targets are read.
    pub collect_interval: HumanDuration,
    /// How often what was read is sent; spread over the fleet by the agent's name.
    pub sync_interval: HumanDuration,
    /// Labels that every series of this agent gets.
    pub labels: BTreeMap<String, String>,
    /// Addresses of Prometheus endpoints to read.
    pub scrape: Vec<String>,
    /// How endpoints are read.
    pub scraping: ScrapingConfig,
    /// What is read of the node itself.
    pub collectors: CollectorsConfig,
    /// What the agent may use of its node.
    pub budget: BudgetConfig,
    /// How many series a target may say.
    pub guard: GuardConfig,
    /// Rules that are run here.
    pub rules: RulesConfig,
    /// What is kept on disk until the coordinator has it.
    pub spool: SpoolConfig,
    /// How long a drain may take; what is not acknowledged by then stays in the spool.
    pub drain_timeout: HumanDuration,
    /// Logs.
    pub log: LogConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            agent_id: String::new(),
            coordinator: "http://127.0.0.1:7700".to_owned(),
            tls: TlsConfig::default(),
            token_file: None,
            state_dir: PathBuf::from("vedette-agent-state"),
            collect_interval: HumanDuration::from_secs(5),
            sync_interval: HumanDuration::from_secs(60),
            labels: BTreeMap::new(),
            scrape: Vec::new(),
            scraping: ScrapingConfig::default(),
            collectors: CollectorsConfig::default(),
            budget: BudgetConfig::default(),
            guard: GuardConfig::default(),
            rules: RulesConfig::default(),
            spool: SpoolConfig::default(),
            drain_timeout: HumanDuration::from_secs(10),
            log: LogConfig::default(),
        }
    }
}

/// Certificates, all in PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TlsConfig {
    /// The authority that has signed the coordinator's certificate.
    pub ca: Option<PathBuf>,
    /// The agent's own certificate, whose common name is its id, and its chain.
    pub cert: Option<PathBuf>,
    /// The key of it.
    pub key: Option<PathBuf>,
    /// A file that holds a token that is good for a first certificate, once.
    pub join_token_file: Option<PathBuf>,
}

/// How endpoints are read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ScrapingConfig {
    /// The label `job` of targets that name none.
    pub job: String,
    /// How long one reading may take; cut to the collect interval where that is shorter.
    pub timeout: HumanDuration,
    /// Whether an endpoint's own labels win over `job`, `instance` and the target's labels.
    pub honor_labels: bool,
    /// A file of further targets in Prometheus' `file_sd` form, read anew when it changes.
    pub targets_file: Option<PathBuf>,
    /// How often that file is looked at.
    pub targets_poll: HumanDuration,
    /// Largest page, after decompression.
    pub page_max: ByteSize,
}

impl Default for ScrapingConfig {
    fn default() -> Self {
        Self {
            job: "scrape".to_owned(),
            timeout: HumanDuration::from_secs(10),
            honor_labels: false,
            targets_file: None,
            targets_poll: HumanDuration::from_secs(5),
            page_max: ByteSize::mib(64),
        }
    }
}

/// What is read of the node itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CollectorsConfig {
    /// The host: `/proc` and `/sys`.
    pub host: HostSwitch,
    /// The GPUs: NVML.
    pub gpu: GpuSwitch,
}

/// The host collector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostSwitch {
    /// Whether it runs.
    pub enabled: bool,
    /// Root of the host's file tree: other than `/` in a container.
    pub root: PathBuf,
    /// Where procfs is mounted.
    pub proc: PathBuf,
    /// Where sysfs is mounted.
    pub sys: PathBuf,
    /// Whether processes are counted by state, which reads one file for each.
    pub processes: bool,
}

impl Default for HostSwitch {
    fn default() -> Self {
        Self {
            enabled: true,
            root: "/".into(),
            proc: "/proc".into(),
            sys: "/sys".into(),
            processes: true,
        }
    }
}

/// The GPU collector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GpuSwitch {
    /// Whether it runs.
    pub enabled: bool,
    /// The driver's library, when the system's own search does not find it.
    pub library: Option<PathBuf>,
    /// How long one round may take before the driver is said to be unresponsive.
    pub deadline: HumanDuration,
}

impl Default for GpuSwitch {
    fn default() -> Self {
        Self {
            enabled: true,
            library: None,
            deadline: HumanDuration::from_secs(5),
        }
    }
}

/// What the agent may use of its node before it reads less. The disk is the spool's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BudgetConfig {
    /// Processors; 0 for no cap.
    pub cpu: f64,
    /// Resident memory; 0 for no cap.
    pub memory: ByteSize,
    /// Bytes sent in a minute; 0 for no cap.
    pub bytes_per_minute: ByteSize,
}

impl Default for BudgetConfig {
    fn default() -> Self {
        Self {
            cpu: 0.5,
            memory: ByteSize::mib(256),
            bytes_per_minute: ByteSize::mib(16),
        }
    }
}

/// The least cap on memory: an agent that reads nothing takes some 10 MiB.
const BUDGET_MEMORY_MIN: ByteSize = ByteSize::mib(16);
/// The least cap on bytes: less than this the agent's own metrics take.
const BUDGET_BYTES_MIN: ByteSize = ByteSize::kib(4);

impl BudgetConfig {
    fn validate(&self, processors: Option<u32>) -> Result<(), ConfigError> {
        let bad = |path, problem: String| Err(ConfigError::Value { path, problem });
        if !self.cpu.is_finite() || self.cpu < 0.0 {
            return bad("budget.cpu", format!("is {}, not 0 or more", self.cpu));
        }
        if let Some(processors) = processors.filter(|it| self.cpu > f64::from(*it)) {
            let problem = format!("is {} on a machine with {processors} processors", self.cpu);
            return bad("budget.cpu", problem);
        }
        let is_below = |size: ByteSize, least: ByteSize| size.as_u64() > 0 && size < least;
        if is_below(self.memory, BUDGET_MEMORY_MIN) {
            let problem = format!("is under \"{BUDGET_MEMORY_MIN}\" and not 0");
            return bad("budget.memory", problem);
        }
        if is_below(self.bytes_per_minute, BUDGET_BYTES_MIN) {
            let problem = format!("is under \"{BUDGET_BYTES_MIN}\" and not 0");
            return bad("budget.bytes_per_minute", problem);
        }
        Ok(())
    }
}

/// How many series a target may say before the others are folded into sums.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GuardConfig {
    /// Most series of one metric name of one target; 0 for no bound.
    pub series_per_metric_max: usize,
    /// Most series of one target; 0 for no bound.
    pub series_per_target_max: usize,
}

impl Default for GuardConfig {
    fn default() -> Self {
        Self {
            series_per_metric_max: 10_000,
            series_per_target_max: 50_000,
        }
    }
}

/// What is kept on disk until the coordinator has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SpoolConfig {
    /// Most bytes; past it the oldest are thinned, and when all are thin the oldest go, and are counted.
    pub bytes_max: ByteSize,
    /// Bytes of one file; space is freed in units of it.
    pub segment_bytes: ByteSize,
    /// Whether the oldest are thinned before they go.
    pub thin: bool,
}

impl Default for SpoolConfig {
    fn default() -> Self {
        Self {
            bytes_max: ByteSize::gib(1),
            segment_bytes: ByteSize::mib(4),
            thin: true,
        }
    }
}

/// A value that cannot work.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It lies outside its bounds.
    #[error("{path} {problem}")]
    Value {
        /// The key.
        path: &'static str,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// The name of the agent is not usable.
    #[error("agent_id {given:?} cannot be used")]
    AgentId {
        /// The name.
        given: String,
        /// Why not.
        #[source]
        source: wire::ingest::ProtocolError,
    },
}

impl Config {
    /// Checks what the types do not.
    ///
    /// # Errors
    /// Names the first key whose value cannot work.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let bad = |path, problem: &str| {
            Err(ConfigError::Value {
                path,
                problem: problem.to_owned(),
            })
        };
        let (collect, sync) = (
            self.collect_interval.as_duration(),
            self.sync_interval.as_duration(),
        );
        if collect < Duration::from_millis(100) {
            return bad("collect_interval", "is under \"100ms\"");
        }
        if sync < Duration::from_secs(1) {
            return bad("sync_interval", "is under \"1s\"");
        }
        if sync < collect {
            return bad("sync_interval", "is shorter than collect_interval");
        }
        if !self.agent_id.is_empty() {
            self.agent_id()?;
        }
        let labels = self
            .labels
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        if let Err(error) = series::Labels::new(&labels.collect::<Vec<_>>()) {
            return bad("labels", &format!("cannot be used: {error}"));
        }
        let reserved = ["__name__", "node"];
        if let Some(name) = reserved
            .into_iter()
            .find(|name| self.labels.contains_key(*name))
        {
            return bad(
                "labels",
                &format!("hold {name:?}, which the agent sets itself"),
            );
        }
        self.validate_coordinator()?;
        self.budget.validate(daemon::metrics::processors())?;
        if self.spool.segment_bytes.as_u64() < RECORD_BYTES_MAX as u64 {
            return bad(
                "spool.segment_bytes",
                "is under \"4MiB\", the largest record",
            );
        }
        if self.spool.bytes_max.as_u64() / 2 < self.spool.segment_bytes.as_u64() {
            return bad("spool.bytes_max", "is under twice spool.segment_bytes");
        }
        for address in &self.scrape {
            if let Err(error) = crate::collect::scrape::Target::new(address, &self.scraping.job) {
                return bad(
                    "scrape",
                    &format!("holds {address:?}: {}", crate::chain(&error)),
                );
            }
        }
        Ok(())
    }

    /// Whether TLS is spoken to the coordinator.
    pub(crate) fn is_secure(&self) -> bool {
        self.coordinator.starts_with("https://")
    }

    fn validate_coordinator(&self) -> Result<(), ConfigError> {
        let bad = |path, problem: &str| {
            Err(ConfigError::Value {
                path,
                problem: problem.to_owned(),
            })
        };
        let secure = self.is_secure();
        if !secure && !self.coordinator.starts_with("http://") {
            return bad(
                "coordinator",
                "is no URL such as \"https://coordinator:7700\"",
            );
        }
        if secure && self.tls.ca.is_none() {
            return bad(
                "tls.ca",
                "is missing: an https coordinator is known by the authority of its certificate",
            );
        }
        if self.tls.cert.is_some() != self.tls.key.is_some() {
            return bad("tls", "has one of cert and key; both or none are needed");
        }
        if !secure && self.tls.cert.is_some() {
            return bad("tls.cert", "is of no use to an http coordinator");
        }
        if self.tls.join_token_file.is_some() {
            let path = "tls.join_token_file";
            if !secure {
                return bad(path, "would be sent to an http coordinator in plain text");
            }
            if self.tls.cert.is_some() || self.token_file.is_some() {
                let problem = "is there beside tls.cert or token_file: the agent shows one of them";
                return bad(path, problem);
            }
        }
        Ok(())
    }

    /// The agent's name: what is set, or the host's name.
    ///
    /// # Errors
    /// When the name holds what a name may not.
    pub fn agent_id(&self) -> Result<AgentId, ConfigError> {
        let given = if self.agent_id.is_empty() {
            rustix::system::uname()
                .nodename()
                .to_string_lossy()
                .into_owned()
        } else {
            self.agent_id.clone()
        };
        AgentId::try_from(given.clone()).map_err(|source| ConfigError::AgentId { given, source })
    }
}

/// Largest spool record with its heads; a batch must fit one message.
const RECORD_BYTES_MAX: usize = wire::MESSAGE_BYTES_MAX;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        Config::default().validate().unwrap();
    }

    #[test]
    fn each_bad_value_is_named() {
        let refused = |change: fn(&mut Config)| {
            let mut config = Config::default();
            change(&mut config);
            config.validate().unwrap_err().to_string()
        };
        assert!(
            refused(|c| c.sync_interval = HumanDuration::from_secs(1)).starts_with("sync_interval")
        );
        assert!(refused(|c| c.agent_id = "a b".to_owned()).starts_with("agent_id \"a b\""));
        assert!(refused(|c| c.coordinator = "host:7700".to_owned()).starts_with("coordinator"));
        let secure = |c: &mut Config| c.coordinator = "https://host:7700".to_owned();
        assert!(refused(secure).starts_with("tls.ca"));
        assert!(refused(|c| c.tls.key = Some("key.pem".into())).starts_with("tls has one"));
        let token = |c: &mut Config| c.tls.join_token_file = Some("join.token".into());
        assert!(refused(token).starts_with("tls.join_token_file would be sent"));
        let refusal = refused(|c| c.budget.cpu = -0.5);
        assert_eq!(refusal, "budget.cpu is -0.5, not 0 or more");
        assert!(refused(|c| c.budget.cpu = f64::NAN).starts_with("budget.cpu"));
        assert!(refused(|c| c.budget.cpu = 1e6).contains("on a machine with"));
        assert!(refused(|c| c.budget.memory = ByteSize::mib(1)).starts_with("budget.memory"));
        let refusal = refused(|c| c.budget.bytes_per_minute = ByteSize::bytes(1));
        assert_eq!(
            refusal,
            "budget.bytes_per_minute is under \"4KiB\" and not 0"
        );
        assert!(refused(|c| c.scrape = vec!["ftp://x".to_owned()]).starts_with("scrape holds"));
        assert!(
            refused(|c| c.labels = BTreeMap::from([("node".to_owned(), "x".to_owned())]))
                .contains("sets itself")
        );
    }
}
