//! `vedette demo`: a whole fleet on this machine, in a minute.

mod child;
mod plan;
mod show;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use tokio::time::Instant;

use crate::args::{Connection, DemoArgs};
use crate::client::Coordinator;
use crate::output;
use crate::programs;
use crate::screen;
use crate::top::{self, Key};
use crate::watch::{self, Sort, View, Watcher};
use child::Child;
use plan::Plan;
use show::{Questions, State};

/// Longest wait for a program to say that it listens.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest that `--once` waits for every node, when `--seconds` does not say otherwise.
const ONCE_TIMEOUT: Duration = Duration::from_secs(120);
/// Longest wait for a program to end when asked; then it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(15);
/// How often to look at what the programs do.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often a line of progress is printed where there is no terminal.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);
/// The range of `rate()`: many of the demo's short collections.
const WINDOW: &str = "1m";

/// Runs the demo; the code is that of success only when every node was there at the end, samples
/// flowed and every program ended well.
pub(crate) async fn run(args: &DemoArgs) -> anyhow::Result<ExitCode> {
    let binaries = Binaries::find()?;
    let place = Place::prepare(args.dir.as_deref())?;
    let stop = Stop::listen()?;
    let mut children = Vec::new();
    let shown = start_and_watch(args, &binaries, &place, &mut children, &stop).await;
    let failures = stop_all(&mut children).await;
    let last = match shown {
        Ok(last) => last,
        Err(error) => {
            for report in reports(&mut children) {
                output::note(&report);
            }
            return Err(error);
        }
    };
    for failure in &failures {
        output::note(&format!("error: {failure}"));
    }
    place.finish()?;
    let Some(last) = last else {
        output::note("stopped before the fleet was there");
        return Ok(ExitCode::FAILURE);
    };
    output::print(&screen::plain(&show::verdict(&last, failures.len())))?;
    Ok(if last.is_good() && failures.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The last words that say best why the demo failed: those of who ended too soon; of everybody when
/// nobody did.
fn reports(children: &mut [Child]) -> Vec<String> {
    let anyone = children.iter().any(Child::ended_too_soon);
    let telling = children
        .iter_mut()
        .filter(|child| !anyone || child.ended_too_soon());
    telling.map(Child::report).collect()
}

/// The programs that the demo starts.
struct Binaries {
    coordinator: PathBuf,
    agent: PathBuf,
    fleet: PathBuf,
}

impl Binaries {
    fn find() -> anyhow::Result<Self> {
        Ok(Self {
            coordinator: programs::find(programs::COORDINATOR)?,
            agent: programs::find(programs::AGENT)?,
            fleet: programs::find(programs::FLEET)?,
        })
    }
}

/// The directory that everything is in.
enum Place {
    /// Removed at the end.
    Temporary(tempfile::TempDir),
    /// Stays.
    Kept(PathBuf),
}

impl Place {
    fn prepare(dir: Option<&Path>) -> anyhow::Result<Self> {
        let Some(dir) = dir else {
            let dir = tempfile::Builder::new().prefix("vedette-demo-").tempdir();
            return Ok(Self::Temporary(
                dir.context("making a temporary directory")?,
            ));
        };
        std::fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
        let mut entries =
            std::fs::read_dir(dir).with_context(|| format!("reading {}", dir.display()))?;
        anyhow::ensure!(
            entries.next().is_none(),
            "{} is not empty: name a new directory with --dir",
            dir.display()
        );
        Ok(Self::Kept(dir.to_owned()))
    }

    fn path(&self) -> &Path {
        match self {
            Self::Temporary(dir) => dir.path(),
            Self::Kept(dir) => dir,
        }
    }

    fn finish(self) -> anyhow::Result<()> {
        match self {
            Self::Temporary(dir) => dir.close().context("removing the temporary directory"),
            Self::Kept(_) => Ok(()),
        }
    }
}

/// Whether this process has been asked to stop, by Ctrl-C or SIGTERM.
struct Stop(tokio::sync::watch::Receiver<bool>);

impl Stop {
    /// Listens from now on, so that no signal falls between two waits.
    fn listen() -> anyhow::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let context = "listening for signals";
        let mut interrupt = signal(SignalKind::interrupt()).context(context)?;
        let mut terminate = signal(SignalKind::terminate()).context(context)?;
        let (asked, stop) = tokio::sync::watch::channel(false);
        tokio::spawn(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            asked.send_replace(true);
        });
        Ok(Self(stop))
    }

    async fn asked(&self) {
        let mut stop = self.0.clone();
        while !*stop.borrow_and_update() {
            // The sender only goes away after it has sent.
            if stop.changed().await.is_err() {
                return;
            }
        }
    }
}

/// Starts everything, then shows it until it is time to end; nothing when it was asked to stop
/// before everything ran.
async fn start_and_watch(
    args: &DemoArgs,
    binaries: &Binaries,
    place: &Place,
    children: &mut Vec<Child>,
    stop: &Stop,
) -> anyhow::Result<Option<State>> {
    let watch = tokio::select! {
        started = start(args, binaries, place, children) => started?,
        () = stop.asked() => return Ok(None),
    };
    watch.run(children, stop).await.map(Some)
}

/// Starts everything, each program when those that it needs listen.
async fn start(
    args: &DemoArgs,
    binaries: &Binaries,
    place: &Place,
    children: &mut Vec<Child>,
) -> anyhow::Result<Watch> {
    let plan = Plan::new(place.path(), usize::from(args.nodes));
    plan.prepare()
        .context("preparing the directory of the demo")?;
    output::note(&format!("starting in {}", place.path().display()));
    let fleet = plan.fleet(&binaries.fleet);
    children.push(Child::start("fleet", fleet, &plan.logs)?);
    let servers = wait_for(children, "the simulated servers", || plan.servers()).await?;
    let coordinator = plan.coordinator(&binaries.coordinator);
    children.push(Child::start("coordinator", coordinator, &plan.logs)?);
    let listens = wait_for(children, "the coordinator", || plan.listens()).await?;
    for agent in plan.agents(&servers) {
        let command = plan.agent(&binaries.agent, &agent, &listens)?;
        children.push(Child::start(&agent.id, command, &plan.logs)?);
    }
    let coordinator = Coordinator::new(&Connection {
        ca: None,
        cert: None,
        key: None,
        token_file: None,
        coordinator: format!("http://{}", listens.grpc),
        timeout: Duration::from_secs(10),
    })?;
    Ok(Watch {
        watcher: Watcher::new(coordinator, WINDOW),
        started: Instant::now(),
        limit: match (args.seconds, args.once) {
            (Some(seconds), _) => Some(Duration::from_secs(seconds)),
            (None, true) => Some(ONCE_TIMEOUT),
            (None, false) => None,
        },
        once: args.once,
        state: State::new(usize::from(args.nodes) + 1, listens),
    })
}

/// Waits until `ready` has an answer, as long as every program lives.
async fn wait_for<T>(
    children: &mut [Child],
    what: &str,
    ready: impl Fn() -> Option<T>,
) -> anyhow::Result<T> {
    let deadline = Instant::now() + START_TIMEOUT;
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    loop {
        tick.tick().await;
        if let Some(answer) = ready() {
            return Ok(answer);
        }
        for child in &mut *children {
            child.check_alive()?;
        }
        anyhow::ensure!(
            Instant::now() < deadline,
            "{what} did not start within {}s",
            START_TIMEOUT.as_secs()
        );
    }
}

/// The demo once everything runs.
struct Watch {
    watcher: Watcher,
    started: Instant,
    limit: Option<Duration>,
    once: bool,
    state: State,
}

impl Watch {
    /// Looks again and again until it is time to end; what is left is the last look.
    async fn run(mut self, children: &mut [Child], stop: &Stop) -> anyhow::Result<State> {
        if !output::is_terminal() {
            self.watch(children, stop, None).await?;
            output::print(&screen::plain(&self.state.lines(false)))?;
            return Ok(self.state);
        }
        let mut terminal = ratatui::try_init().context("taking over the terminal")?;
        let done = self.watch(children, stop, Some(&mut terminal)).await;
        ratatui::try_restore().context("giving the terminal back")?;
        done?;
        output::print(&screen::plain(&self.state.lines(false)))?;
        Ok(self.state)
    }

    async fn watch(
        &mut self,
        children: &mut [Child],
        stop: &Stop,
        mut terminal: Option<&mut ratatui::DefaultTerminal>,
    ) -> anyhow::Result<()> {
        let mut look = tokio::time::interval(LOOK_EVERY);
        let mut read_keys = tokio::time::interval(Duration::from_millis(50));
        let mut said = None;
        loop {
            tokio::select! {
                () = stop.asked() => return Ok(()),
                _ = read_keys.tick(), if terminal.is_some() => {
                    let keys = top::keys().context("reading the keyboard")?;
                    if keys.contains(&Key::Quit) {
                        return Ok(());
                    }
                    continue;
                }
                _ = look.tick() => {}
            }
            self.look(children).await?;
            match terminal.as_deref_mut() {
                Some(terminal) => top::draw(terminal, &self.state.lines(true))?,
                None if said.is_none_or(|at: Instant| at.elapsed() >= PROGRESS_EVERY) => {
                    said = Some(Instant::now());
                    output::note(&self.state.progress());
                }
                None => {}
            }
            let over = self
                .limit
                .is_some_and(|limit| self.started.elapsed() >= limit);
            if over || (self.once && self.state.is_good() && self.state.questions.all_answered()) {
                return Ok(());
            }
        }
    }

    /// One look at the programs and at what they say.
    async fn look(&mut self, children: &mut [Child]) -> anyhow::Result<()> {
        let mut errors = 0;
        for child in children {
            child.check_alive()?;
            errors += child.errors();
        }
        self.state.errors = errors;
        self.state.elapsed = self.started.elapsed();
        match self.watcher.look().await {
            Ok(view) => {
                self.state.view = sorted(view);
                self.state.problem = None;
                self.state.questions = Questions::ask(&self.watcher).await;
            }
            // It may be busy for a moment; if it is gone, `check_alive` says so.
            Err(error) => self.state.problem = Some(error.to_string()),
        }
        Ok(())
    }
}

fn sorted(mut view: View) -> View {
    watch::sort(&mut view.rows, Sort::Name);
    view
}

/// Asks every program to end, the agents first so that they can still send what they hold, and
/// says which did not end well.
async fn stop_all(children: &mut [Child]) -> Vec<String> {
    let mut failures = Vec::new();
    // Agents were started last; of the others each needs those that were started before it.
    let (others, agents) = children.split_at_mut(children.len().min(2));
    for child in &mut *agents {
        child.ask_to_stop();
    }
    for child in agents {
        failures.extend(child.stopped(STOP_TIMEOUT).await.err());
    }
    for child in others.iter_mut().rev() {
        child.ask_to_stop();
        failures.extend(child.stopped(STOP_TIMEOUT).await.err());
    }
    failures
}

#[cfg(test)]
mod tests;
