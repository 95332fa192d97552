//! Which programs the demo starts, with which arguments, and where they say that they listen.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::{Value, json};
use tokio::process::Command;

/// How often the demo's agents collect.
const COLLECT_INTERVAL: &str = "2s";
/// How often they sync: often enough to see it happen.
const SYNC_INTERVAL: &str = "5s";
/// A demo ends before the usual half hour, and wants to show what chunks cost on disk.
const COORDINATOR_CONFIG: &str = "[store]\nflush_interval = \"40s\"\n";
/// The agent of this host.
pub(super) const HOST_ID: &str = "this-host";
/// Largest file that the programs write for the demo to read.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// A simulated server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Server {
    pub(super) name: String,
    /// Its entries in the targets file: vLLM's page and that of the GPUs.
    pub(super) targets: Vec<Target>,
}

/// One page of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) job: String,
    pub(super) address: String,
    pub(super) path: String,
}

/// Where the coordinator listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Listens {
    pub(super) grpc: SocketAddr,
    pub(super) http: SocketAddr,
}

/// An agent to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Agent {
    pub(super) id: String,
    /// What it scrapes; the agent of this host collects from the host itself.
    pub(super) targets: Vec<Target>,
}

/// Names and arguments of everything in one directory.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    dir: PathBuf,
    nodes: usize,
    pub(super) logs: PathBuf,
}

impl Plan {
    /// A plan for so many simulated nodes below `dir`.
    pub(super) fn new(dir: &Path, nodes: usize) -> Self {
        Self {
            dir: dir.to_owned(),
            nodes,
            logs: dir.join("logs"),
        }
    }

    /// Makes the directories.
    pub(super) fn prepare(&self) -> std::io::Result<()> {
        std::fs::create_dir(&self.logs)?;
        std::fs::create_dir(self.data_dir())?;
        std::fs::write(self.coordinator_config(), COORDINATOR_CONFIG)
    }

    fn coordinator_config(&self) -> PathBuf {
        self.dir.join("coordinator.toml")
    }

    fn data_dir(&self) -> PathBuf {
        self.dir.join("coordinator")
    }

    fn targets_file(&self) -> PathBuf {
        self.dir.join("targets.json")
    }

    /// The simulated servers.
    pub(super) fn fleet(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.args([
            "--nodes",
            &self.nodes.to_string(),
            "--listen",
            "127.0.0.1:0",
        ]);
        command.arg("--targets-file").arg(self.targets_file());
        command
    }

    /// The servers, once they all listen.
    pub(super) fn servers(&self) -> Option<Vec<Server>> {
        servers(&read_json(&self.targets_file())?)
    }

    /// The coordinator, on free ports.
    pub(super) fn coordinator(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.arg("--config").arg(self.coordinator_config());
        command.arg("--data-dir").arg(self.data_dir());
        command.args([
            "--grpc-listen",
            "127.0.0.1:0",
            "--http-listen",
            "127.0.0.1:0",
        ]);
        command
    }

    /// Where the coordinator listens, once it does.
    pub(super) fn listens(&self) -> Option<Listens> {
        listens(&read_json(&self.data_dir().join("listen.json"))?)
    }

    /// The agents: one for this host and one for each server.
    pub(super) fn agents(&self, servers: &[Server]) -> Vec<Agent> {
        let host = Agent {
            id: HOST_ID.to_owned(),
            targets: Vec::new(),
        };
        let others = servers.iter().map(|server| Agent {
            id: server.name.clone(),
            targets: server.targets.clone(),
        });
        std::iter::once(host).chain(others).collect()
    }

    /// The command of one agent; its configuration and its state are in a directory of its own.
    pub(super) fn agent(
        &self,
        program: &Path,
        agent: &Agent,
        listens: &Listens,
    ) -> anyhow::Result<Command> {
        let dir = self.dir.join(&agent.id);
        std::fs::create_dir(&dir).with_context(|| format!("making {}", dir.display()))?;
        let config = dir.join("agent.toml");
        // vLLM's page is named by a flag, the others by a file, as Prometheus' targets are.
        let (named, listed): (Vec<&Target>, _) = agent
            .targets
            .iter()
            .partition(|target| target.job == "vllm");
        let targets = dir.join("targets.json");
        for (path, text) in [
            (&config, configuration(agent, &targets)),
            (&targets, targets_file(&listed).to_string()),
        ] {
            std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))?;
        }
        let mut command = Command::new(program);
        command.arg("--config").arg(config);
        command.args(["--coordinator", &format!("http://{}", listens.grpc)]);
        command.arg("--state-dir").arg(dir.join("state"));
        command.args(["--agent-id", &agent.id]);
        command.args([
            "--collect-interval",
            COLLECT_INTERVAL,
            "--sync-interval",
            SYNC_INTERVAL,
        ]);
        let role = if agent.targets.is_empty() {
            "host"
        } else {
            "inference"
        };
        command.args(["--label", &format!("role={role}")]);
        for Target { address, path, .. } in named {
            command.args(["--scrape", &format!("http://{address}{path}")]);
        }
        Ok(command)
    }
}

/// The configuration file of an agent: those of simulated nodes must not count this host's
/// processors and GPUs again.
fn configuration(agent: &Agent, targets: &Path) -> String {
    if agent.targets.is_empty() {
        return "# The agent of this host: everything as it comes.\n".to_owned();
    }
    // A string of JSON is one of TOML too.
    let targets = Value::from(targets.display().to_string());
    format!(
        "# A simulated node: only what it serves over HTTP.\n\
         [collectors.host]\nenabled = false\n\n[collectors.gpu]\nenabled = false\n\n\
         [scraping]\njob = \"vllm\"\ntargets_file = {targets}\n"
    )
}

/// Targets as Prometheus' file-based discovery reads them.
fn targets_file(targets: &[&Target]) -> Value {
    let entry = |target: &&Target| {
        json!({
            "targets": [target.address],
            "labels": {
                "job": target.job,
                "__metrics_path__": target.path,
                "__scrape_interval__": COLLECT_INTERVAL,
            },
        })
    };
    targets.iter().map(entry).collect()
}

/// A JSON file; nothing as long as it is not there or not whole.
fn read_json(path: &Path) -> Option<Value> {
    let size = std::fs::metadata(path).ok()?.len();
    if size > FILE_BYTES_MAX {
        return None;
    }
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// The servers of a `file_sd` file.
fn servers(file: &Value) -> Option<Vec<Server>> {
    let mut servers: Vec<Server> = Vec::new();
    for entry in file.as_array()? {
        let labels = entry.get("labels")?;
        let name = labels.get("node")?.as_str()?;
        let text = |value: Option<&Value>| Some(value?.as_str()?.to_owned());
        let target = Target {
            job: text(labels.get("job"))?,
            address: text(entry.get("targets")?.get(0))?,
            path: text(labels.get("__metrics_path__"))?,
        };
        match servers.iter_mut().find(|server| server.name == name) {
            Some(server) => server.targets.push(target),
            None => servers.push(Server {
                name: name.to_owned(),
                targets: vec![target],
            }),
        }
    }
    (!servers.is_empty()).then_some(servers)
}

fn listens(file: &Value) -> Option<Listens> {
    let address = |name| file.get(name)?.as_str()?.parse().ok();
    Some(Listens {
        grpc: address("grpc")?,
        http: address("http")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    fn words(command: &Command, dir: &Path) -> String {
        let command = command.as_std();
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
        words.join(" ").replace(&dir.display().to_string(), "DIR")
    }

    #[test]
    fn every_program_gets_the_arguments_it_knows() {
        let dir = tempfile::tempdir().unwrap();
        let plan = Plan::new(dir.path(), 2);
        plan.prepare().unwrap();
        let listens = Listens {
            grpc: "127.0.0.1:1234".parse().unwrap(),
            http: "127.0.0.1:1235".parse().unwrap(),
        };
        let target = |job: &str, path: &str| Target {
            job: job.to_owned(),
            address: "127.0.0.1:9".to_owned(),
            path: path.to_owned(),
        };
        let server = Server {
            name: "sim-1".to_owned(),
            targets: vec![target("vllm", "/metrics"), target("dcgm", "/gpu/metrics")],
        };
        let mut lines = vec![
            words(&plan.fleet(Path::new("fleet")), dir.path()),
            words(&plan.coordinator(Path::new("coordinator")), dir.path()),
        ];
        for agent in plan.agents(&[server]) {
            let command = plan.agent(Path::new("agent"), &agent, &listens).unwrap();
            lines.push(words(&command, dir.path()));
        }
        expect![[r#"
            fleet --nodes 2 --listen 127.0.0.1:0 --targets-file DIR/targets.json
            coordinator --config DIR/coordinator.toml --data-dir DIR/coordinator --grpc-listen 127.0.0.1:0 --http-listen 127.0.0.1:0
            agent --config DIR/this-host/agent.toml --coordinator http://127.0.0.1:1234 --state-dir DIR/this-host/state --agent-id this-host --collect-interval 2s --sync-interval 5s --label role=host
            agent --config DIR/sim-1/agent.toml --coordinator http://127.0.0.1:1234 --state-dir DIR/sim-1/state --agent-id sim-1 --collect-interval 2s --sync-interval 5s --label role=inference --scrape http://127.0.0.1:9/metrics"#]].assert_eq(&lines.join("\n"));
        let written = |file| {
            let text = std::fs::read_to_string(dir.path().join(file)).unwrap();
            text.replace(&dir.path().display().to_string(), "DIR")
        };
        expect![[r##"
            # A simulated node: only what it serves over HTTP.
            [collectors.host]
            enabled = false

            [collectors.gpu]
            enabled = false

            [scraping]
            job = "vllm"
            targets_file = "DIR/sim-1/targets.json"
        "##]]
        .assert_eq(&written("sim-1/agent.toml"));
        expect![[r#"[{"labels":{"__metrics_path__":"/gpu/metrics","__scrape_interval__":"2s","job":"dcgm"},"targets":["127.0.0.1:9"]}]"#]].assert_eq(&written("sim-1/targets.json"));
    }

    #[test]
    fn servers_are_read_from_the_targets_file() {
        let entry = |node: &str, job: &str, target: &str, path: &str| {
            let labels = json!({"node": node, "job": job, "__metrics_path__": path});
            json!({"targets": [target], "labels": labels})
        };
        let file = json!([
            entry("sim-1", "vllm", "127.0.0.1:1", "/metrics"),
            entry("sim-1", "dcgm", "127.0.0.1:1", "/gpu/metrics"),
            entry("sim-2", "vllm", "127.0.0.1:2", "/metrics"),
        ]);
        let got = servers(&file).unwrap();
        assert_eq!(got.len(), 2);
        assert_eq!(got[0].targets.len(), 2);
        assert_eq!(got[0].targets[1].path, "/gpu/metrics");
        assert_eq!(servers(&json!([])), None);
        assert_eq!(servers(&json!([{"targets": []}])), None);
    }

    #[test]
    fn a_file_that_is_not_whole_is_not_there_yet() {
        let dir = tempfile::tempdir().unwrap();
        let plan = Plan::new(dir.path(), 1);
        plan.prepare().unwrap();
        assert_eq!(plan.listens(), None);
        let file = dir.path().join("coordinator/listen.json");
        std::fs::write(&file, r#"{"grpc":"127.0.0.1:12"#).unwrap();
        assert_eq!(plan.listens(), None);
        std::fs::write(
            &file,
            r#"{"grpc":"127.0.0.1:1234","http":"127.0.0.1:1235"}"#,
        )
        .unwrap();
        assert_eq!(plan.listens().unwrap().http.port(), 1235);
    }
}
