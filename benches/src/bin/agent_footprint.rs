//! `bench-agent`: what the agent costs a node, beside what `node_exporter` costs it.
//!
//! ```text
//! cargo build --release --locked -p agent
//! cargo run --release --locked -p benches --bin bench-agent -- --seconds 120 [--save]
//! ```
//!
//! The two commands are apart on purpose: one build of both would give the agent features that it
//! is not shipped with.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command as BlockingCommand, ExitCode, Stdio};
use std::time::Duration;

use agent::collect::scrape::text::{Format, Limits, parse};
use anyhow::{Context as _, Result, bail, ensure};
use benches::footprint::exporter::Connection;
use benches::footprint::process::{Binary, Usage};
use benches::footprint::report::{Cost, Report};
use benches::footprint::sink::Sink;
use clap::Parser;
use daemon::clock::{Clock as _, SystemClock};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout};

/// What Debian and tools/setup.sh call node_exporter.
const EXPORTER: &str = "prometheus-node-exporter";
/// How long the agent may take to send the rest after it was asked to end.
const DRAIN_WITHIN: Duration = Duration::from_secs(15);
/// How long node_exporter may take to listen.
const LISTEN_WITHIN: Duration = Duration::from_secs(10);

/// Measures an agent that watches this machine, beside node_exporter scraped at the same interval.
#[derive(Debug, Parser)]
#[command(name = "bench-agent")]
struct Arguments {
    /// How long processor time is measured; whole sync intervals compare best.
    #[arg(long, default_value_t = 120)]
    seconds: u32,
    /// Time to settle before it, in seconds.
    #[arg(long, default_value_t = 6)]
    settle: u32,
    /// How often both are read, in seconds.
    #[arg(long, default_value_t = 5)]
    every: u32,
    /// How often the agent sends, in seconds.
    #[arg(long, default_value_t = 60)]
    sync: u32,
    /// The agent [default: the newer one of the dist and the release build].
    #[arg(long)]
    agent: Option<PathBuf>,
    /// Further setting of the agent, as its environment variable; may be given more than once.
    #[arg(long, value_name = "VEDETTE_NAME=VALUE")]
    setting: Vec<String>,
    /// Keeps the result in benches/baselines.
    #[arg(long)]
    save: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    ensure!(
        arguments.every > 0 && arguments.seconds >= arguments.every,
        "too short"
    );
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    // Dropping the run ends what it has started.
    let report = tokio::select! {
        report = run(&arguments) => report?,
        _ = interrupted.recv() => bail!("interrupted"),
        _ = terminated.recv() => bail!("terminated"),
    };
    let text = format!(
        "{}\n```json\n{}\n```\n",
        report.markdown(),
        serde_json::to_string_pretty(&report.json())?
    );
    show(&text);
    if arguments.save {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("baselines");
        std::fs::create_dir_all(&folder).context("making the folder of baselines")?;
        let name = format!("agent-{}-{}.md", report.date, report.revision);
        std::fs::write(folder.join(&name), text).with_context(|| format!("writing {name}"))?;
    }
    if report.agent.binary.mentions_rocksdb {
        bail!("the agent's program mentions RocksDB, which is not to be in it");
    }
    Ok(ExitCode::SUCCESS)
}

#[expect(clippy::print_stdout, reason = "the answer of the program")]
fn show(text: &str) {
    println!("{text}");
}

async fn run(arguments: &Arguments) -> Result<Report> {
    let folder = TempDir::new().context("making a folder for the spool")?;
    let (agent_path, build) = find_agent(arguments)?;
    let exporter_path = find_exporter()?;
    let sink = Sink::start().await?;
    let mut agent = start_agent(arguments, &agent_path, sink.address, folder.path())?;
    let mut exporter = start_exporter(&exporter_path).await?;

    let watch = |seconds| Duration::from_secs(u64::from(seconds));
    exporter
        .scrape_for(watch(arguments.settle), watch(arguments.every))
        .await?;
    let clock = SystemClock::new();
    let before = (agent_usage(&mut agent, folder.path())?, exporter.usage()?);
    exporter
        .scrape_for(watch(arguments.seconds), watch(arguments.every))
        .await?;
    let after = (agent_usage(&mut agent, folder.path())?, exporter.usage()?);
    let seconds = clock.monotonic().as_secs_f64();
    end(&mut agent).await?;
    drop(exporter.child.start_kill());

    let counts = sink.counter.read();
    let (first_bytes, first_samples) = counts.first.context("the agent sent no batch")?;
    let later_samples = counts.samples - first_samples;
    let jobs = counts.series_by_job.iter();
    let jobs: Vec<String> = jobs.map(|(job, count)| format!("{job} {count}")).collect();
    let agent_cost = Cost {
        version: version(&agent_path)?,
        binary: Binary::of(&agent_path, folder.path())?,
        usage: after.0,
        cpu_seconds: after.0.cpu_seconds - before.0.cpu_seconds,
        series: counts.series(),
        samples: counts.samples,
        wire_bytes: counts.wire_bytes,
        wire_bytes_per_sample_later: ratio(counts.wire_bytes - first_bytes, later_samples),
    };
    let wire_bytes = exporter.connection.wire_bytes();
    let exporter_cost = Cost {
        version: version(&exporter_path)?,
        binary: Binary::of(&exporter_path, folder.path())?,
        usage: after.1,
        cpu_seconds: after.1.cpu_seconds - before.1.cpu_seconds,
        series: exporter.series,
        samples: exporter.samples,
        wire_bytes,
        wire_bytes_per_sample_later: ratio(wire_bytes, exporter.samples),
    };
    Ok(Report {
        machine: machine()?,
        revision: revision()?,
        date: today()?,
        build,
        seconds,
        every_seconds: f64::from(arguments.every),
        settings: arguments.setting.clone(),
        series_by_job: jobs.join(", "),
        agent: agent_cost,
        exporter: exporter_cost,
    })
}

#[expect(
    clippy::cast_precision_loss,
    reason = "bytes and samples of one run stay far below 2^53"
)]
fn ratio(bytes: u64, samples: u64) -> f64 {
    bytes as f64 / samples as f64
}

/// The program to measure and the profile that it was built with.
fn find_agent(arguments: &Arguments) -> Result<(PathBuf, String)> {
    if let Some(path) = &arguments.agent {
        return Ok((path.clone(), "given by --agent".to_owned()));
    }
    let own = std::env::current_exe().context("finding this program")?;
    let target = own.parent().and_then(Path::parent);
    let target = target.context("this program lies in no folder of builds")?;
    let built = ["dist", "release"].into_iter().filter_map(|profile| {
        let path = target.join(profile).join("vedette-agent");
        let at = path.metadata().and_then(|file| file.modified()).ok()?;
        Some((at, path, profile.to_owned()))
    });
    let (_, path, profile) = built
        .max_by_key(|(at, ..)| *at)
        .context("there is no vedette-agent; run: cargo build --release --locked -p agent")?;
    Ok((path, profile))
}

fn find_exporter() -> Result<PathBuf> {
    let home = std::env::home_dir().unwrap_or_default();
    let cache = std::env::var_os("VEDETTE_CACHE").map_or_else(
        || {
            let base = std::env::var_os("XDG_CACHE_HOME");
            base.map_or_else(|| home.join(".cache"), PathBuf::from)
                .join("vedette")
        },
        PathBuf::from,
    );
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.push(cache.join("tools/bin"));
    folders.push("/usr/bin".into());
    let found = folders
        .iter()
        .map(|folder| folder.join(EXPORTER))
        .find(|path| path.is_file());
    found.with_context(|| format!("{EXPORTER} is missing; run: tools/setup.sh"))
}

fn start_agent(
    arguments: &Arguments,
    path: &Path,
    coordinator: SocketAddr,
    folder: &Path,
) -> Result<Child> {
    let log = std::fs::File::create(folder.join("log")).context("making the agent's log")?;
    let mut command = Command::new(path);
    // Nothing that is set for another agent may reach this one.
    command.env_clear();
    for setting in &arguments.setting {
        let (name, value) = setting
            .split_once('=')
            .context("a setting without a value")?;
        command.env(name, value);
    }
    command
        .args(["--coordinator", &format!("http://{coordinator}")])
        .arg("--state-dir")
        .arg(folder.join("state"))
        .args(["--collect-interval", &format!("{}s", arguments.every)])
        .args(["--sync-interval", &format!("{}s", arguments.sync)])
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("starting {}", path.display()))
}

/// What the agent has used; an agent that has ended is an error with its last words.
fn agent_usage(agent: &mut Child, folder: &Path) -> Result<Usage> {
    if let Some(status) = agent.try_wait()? {
        let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
        bail!("the agent ended with {status}:\n{log}");
    }
    Usage::of(agent.id().context("the agent has ended")?)
}

/// Asks the agent to end, which brings what it still holds.
async fn end(agent: &mut Child) -> Result<()> {
    let pid = agent.id().and_then(|id| i32::try_from(id).ok());
    let pid = pid
        .and_then(rustix::process::Pid::from_raw)
        .context("the agent has ended")?;
    rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
    let ended = timeout(DRAIN_WITHIN, agent.wait()).await;
    let status = ended.context("the agent does not end")??;
    ensure!(status.success(), "the agent ended with {status}");
    Ok(())
}

/// A node_exporter that is being scraped.
struct Exporter {
    child: Child,
    connection: Connection,
    /// Samples of the last page.
    series: u64,
    samples: u64,
}

async fn start_exporter(path: &Path) -> Result<Exporter> {
    // Free now, and nobody else on a quiet machine takes it in between.
    let free = std::net::TcpListener::bind("127.0.0.1:0").context("looking for a free port")?;
    let address = free.local_addr()?;
    drop(free);
    let mut child = Command::new(path)
        .arg(format!("--web.listen-address={address}"))
        .arg("--log.level=error")
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("starting {}", path.display()))?;
    let connected = timeout(LISTEN_WITHIN, async {
        loop {
            if let Some(status) = child.try_wait()? {
                bail!("{EXPORTER} ended with {status}");
            }
            match Connection::open(address).await {
                Ok(connection) => return Ok(connection),
                Err(_) => sleep(Duration::from_millis(50)).await,
            }
        }
    });
    let connection = connected.await.context("node_exporter does not listen")??;
    Ok(Exporter {
        child,
        connection,
        series: 0,
        samples: 0,
    })
}

impl Exporter {
    fn usage(&self) -> Result<Usage> {
        Usage::of(self.child.id().context("node_exporter has ended")?)
    }

    /// Scrapes at once and then at every interval, until `time` is over.
    async fn scrape_for(&mut self, time: Duration, every: Duration) -> Result<()> {
        let end = Instant::now() + time;
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // A scrape that has begun is never cut short: its rest would be in the way of the next.
            tokio::select! {
                biased;
                () = sleep_until(end) => return Ok(()),
                _ = ticks.tick() => {}
            }
            let page = self.connection.scrape().await?;
            let read = parse(&page, Format::Text, &Limits::default());
            self.series = read.snapshot.samples.len() as u64;
            self.samples += self.series;
        }
    }
}

/// The first line of what a command says.
fn first_line(command: &mut BlockingCommand) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("running {command:?}"))?;
    // Old releases of node_exporter say their version on the error stream.
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

fn version(program: &Path) -> Result<String> {
    first_line(BlockingCommand::new(program).arg("--version"))
}

fn revision() -> Result<String> {
    let mut git = BlockingCommand::new("git");
    git.current_dir(env!("CARGO_MANIFEST_DIR"));
    first_line(git.args(["describe", "--always", "--dirty"]))
}

fn today() -> Result<String> {
    let now = jiff::Timestamp::from_millisecond(SystemClock::new().wall_millis())?;
    Ok(now.strftime("%Y-%m-%d").to_string())
}

fn machine() -> Result<String> {
    let read = |path| std::fs::read_to_string(path).with_context(|| format!("reading {path}"));
    let field = |text: &str, name: &str| -> String {
        let mut lines = text.lines().filter(|line| line.starts_with(name));
        let value = lines.next().and_then(|line| line.split_once(':'));
        value.map_or_else(
            || "unknown".to_owned(),
            |(_, value)| value.trim().to_owned(),
        )
    };
    let processors = read("/proc/cpuinfo")?;
    let count = processors
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    Ok(format!(
        "{count} × {}, {} of memory, Linux {}, load {}",
        field(&processors, "model name"),
        field(&read("/proc/meminfo")?, "MemTotal"),
        read("/proc/sys/kernel/osrelease")?.trim(),
        read("/proc/loadavg")?.split(' ').next().unwrap_or_default(),
    ))
}
