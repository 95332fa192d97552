//! Every query of every dashboard, asked as Grafana asks it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use process_tests::agent::{Agent, NO_COLLECTORS};
use process_tests::coordinator::{Coordinator, get, post};
use process_tests::gpus::Gpus;
use process_tests::process::{Process, command};
use process_tests::{SOON, now_millis, within};
use serde_json::Value;
use tempfile::TempDir;

use crate::board::{Question, Variable, boards};
use crate::expression::{Names, fill, names};
use crate::host::Host;
use crate::pages::Servers;

/// Queries that may find nothing, by dashboard, panel and letter, each with its reason.
const MAY_BE_EMPTY: &[(&str, &str)] = &[];

/// How long it may take until all of them find something.
const ANSWERED: Duration = Duration::from_secs(30);

/// What Prometheus says, too, of counters whose names others chose: Triton, TGI and DCGM.
const NOT_CALLED_A_COUNTER: &str = "metric might not be a counter";

/// Intervals of an agent under test.
const INTERVALS: &str = "collect_interval = \"1s\"\nsync_interval = \"1s\"\n";

/// A coordinator and everything that feeds it.
struct World {
    coordinator: Coordinator,
    _folder: TempDir,
    _fleet: Process,
    _servers: Servers,
    _host: Host,
    _gpus: Gpus,
    _agents: [Agent; 3],
}

/// Simulated vLLM servers with DCGM exporters, and the file that lists them.
async fn fleet(folder: &TempDir) -> (Process, PathBuf) {
    let targets = folder.path().join("targets.json");
    let arguments = ["--nodes", "2", "--gpus", "2", "--warm-up", "120"].map(str::to_owned);
    let mut arguments = arguments.to_vec();
    arguments.extend(["--targets-file".to_owned(), targets.display().to_string()]);
    let command = command("vedette-fleet", &arguments);
    let process = Process::start("vedette-fleet", command, &folder.path().join("fleet.log"));
    within(SOON, "the list of simulated nodes", || async {
        targets.is_file().then_some(())
    })
    .await;
    (process, targets)
}

impl World {
    async fn start() -> Self {
        let coordinator = Coordinator::start("").await;
        let folder = tempfile::tempdir().unwrap();
        let (fleet, targets) = fleet(&folder).await;
        let servers = Servers::start().await;
        let mut urls: Vec<String> = servers.urls().collect();
        urls.push(format!("http://{}/metrics", coordinator.http));
        let scraping = format!(
            "{INTERVALS}scrape = {urls:?}\n{NO_COLLECTORS}\n[scraping]\ntargets_file = {:?}\n",
            targets.display().to_string()
        );
        let host = Host::start();
        let gpus = Gpus::new("after 2000 xid 0 31").await;
        let no_gpus = format!("{INTERVALS}[collectors.gpu]\nenabled = false\n");
        let agents = [
            // What servers, exporters and the coordinator say over HTTP.
            Agent::start("scraper", &coordinator.url(), &scraping),
            // A host that lacks nothing, with GPUs.
            gpus.agent("made-up", &coordinator, &host.setting()),
            // The machine that runs the test.
            Agent::start("real", &coordinator.url(), &no_gpus),
        ];
        Self {
            coordinator,
            _folder: folder,
            _fleet: fleet,
            _servers: servers,
            _host: host,
            _gpus: gpus,
            _agents: agents,
        }
    }

    /// An answer of the HTTP API to a form.
    async fn ask(&self, path: &str, form: &[(&str, &str)]) -> Result<Value, Fault> {
        let fields = form.iter().map(|(name, value)| {
            let escaped = value.bytes().fold(String::new(), |mut text, byte| {
                write!(text, "%{byte:02X}").unwrap();
                text
            });
            format!("{name}={escaped}")
        });
        let form: Vec<String> = fields.collect();
        let answer = match path.contains("/label/") {
            // Grafana asks this one by GET, as Prometheus has it.
            true => get(self.coordinator.http, &format!("{path}?{}", form.join("&"))).await,
            false => post(self.coordinator.http, path, &form.join("&")).await,
        };
        let (code, body) = answer.ok_or_else(|| Fault::Wrong("no answer".to_owned()))?;
        let wrong = || Fault::Wrong(format!("{code}: {body}"));
        let answer: Value = serde_json::from_str(&body).map_err(|_source| wrong())?;
        let infos = answer["infos"].as_array().into_iter().flatten();
        let mut strange = infos.filter(|info| {
            let info = info.as_str().unwrap_or_default();
            !info.contains(NOT_CALLED_A_COUNTER)
        });
        let is_plain = answer["warnings"].is_null() && strange.next().is_none();
        if code == 200 && answer["status"] == "success" && is_plain {
            Ok(answer["data"].clone())
        } else {
            Err(wrong())
        }
    }

    /// The values of a label, of the series that pass a selector.
    async fn values(&self, label: &str, selector: &str) -> Result<BTreeSet<String>, Fault> {
        let now = now_millis();
        let (start, end) = (seconds(now - 60_000), seconds(now));
        let mut form = vec![("start", start.as_str()), ("end", end.as_str())];
        if !selector.is_empty() {
            form.push(("match[]", selector));
        }
        let path = format!("/api/v1/label/{label}/values");
        let data = self.ask(&path, &form).await?;
        let values = data.as_array().into_iter().flatten();
        Ok(values
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect())
    }

    /// What a query finds; a fault when that is nothing, or nothing but what is no number.
    async fn answer(&self, asked: &Asked) -> Result<(), Fault> {
        let now = now_millis();
        let (start, end) = (seconds(now - 60_000), seconds(now));
        let expression = asked.filled.as_str();
        let data = if asked.question.instant {
            let form = [("query", expression), ("time", &end)];
            self.ask("/api/v1/query", &form).await?
        } else {
            let form = [
                ("query", expression),
                ("start", &start),
                ("end", &end),
                ("step", "1"),
            ];
            self.ask("/api/v1/query_range", &form).await?
        };
        let result = data["result"].as_array().into_iter().flatten();
        let series: Vec<&Value> = result.filter(|series| has_number(series)).collect();
        if series.is_empty() {
            return Err(Fault::Empty);
        }
        // A legend that names a label which is not there shows its own braces' emptiness.
        for label in legend_labels(&asked.question.legend) {
            if series.iter().all(|one| one["metric"][label].is_null()) {
                return Err(Fault::Wrong(format!("no series has the label {label}")));
            }
        }
        Ok(())
    }

    /// What a variable offers; a fault when that is nothing.
    async fn choices(&self, variable: &Variable, all: &[Variable]) -> Result<(), Fault> {
        let (selector, label) = parts(&variable.query).map_err(Fault::Wrong)?;
        let selector = fill(selector, all).map_err(Fault::Wrong)?;
        match self.values(label, &selector).await?.is_empty() {
            true => Err(Fault::Empty),
            false => Ok(()),
        }
    }

    /// Names in an expression that the coordinator has never heard.
    async fn strangers(&self, said: &Names) -> Vec<String> {
        let metrics = self.values("__name__", "").await.unwrap_or_default();
        let labels = self.ask("/api/v1/labels", &[]).await.unwrap_or_default();
        let labels: BTreeSet<String> = serde_json::from_value(labels).unwrap_or_default();
        let strange = said.metrics.difference(&metrics);
        let strange = strange.chain(said.labels.difference(&labels));
        strange.cloned().collect()
    }
}

/// What is wrong with an answer.
#[derive(Debug)]
enum Fault {
    /// It holds no number; there may be one later.
    Empty,
    /// Anything else, which time does not mend.
    Wrong(String),
}

/// A query, ready to be asked.
struct Asked {
    question: Question,
    filled: String,
}

fn seconds(millis: i64) -> String {
    format!("{}.{:03}", millis / 1000, millis % 1000)
}

/// Whether a series of an answer has at least one number.
fn has_number(series: &Value) -> bool {
    let range = series["values"].as_array().into_iter().flatten();
    let mut values = range.chain(std::iter::once(&series["value"]));
    values.any(|pair| {
        let value = pair[1].as_str().and_then(|text| text.parse::<f64>().ok());
        value.is_some_and(f64::is_finite)
    })
}

/// The labels in `{{node}} {{gpu}}`.
fn legend_labels(legend: &str) -> impl Iterator<Item = &str> {
    let parts = legend.split("{{").skip(1);
    parts.filter_map(|part| part.split_once("}}").map(|(label, _)| label.trim()))
}

/// Selector and label of `label_values(selector, label)`.
fn parts(query: &str) -> Result<(&str, &str), String> {
    let inner = query.strip_prefix("label_values(");
    let inner = inner.and_then(|rest| rest.strip_suffix(')'));
    let parts = inner.and_then(|inner| inner.rsplit_once(", "));
    parts.ok_or_else(|| format!("{query} is not label_values(selector, label)"))
}

/// Asks again what found nothing, until it finds something or the time is up.
async fn until_answered(world: &World, mut open: Vec<Asked>) -> Vec<String> {
    let deadline = tokio::time::Instant::now() + ANSWERED;
    let mut faults = Vec::new();
    loop {
        let mut empty = Vec::new();
        for asked in open {
            match world.answer(&asked).await {
                Ok(()) => {}
                Err(Fault::Empty) => empty.push(asked),
                Err(Fault::Wrong(why)) => {
                    faults.push(format!("{}: {}: {why}", asked.question.at, asked.filled));
                }
            }
        }
        open = empty;
        let is_late = tokio::time::Instant::now() > deadline;
        if is_late || open.iter().all(|asked| may_be_empty(&asked.question.at)) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    let never = open
        .iter()
        .filter(|asked| !may_be_empty(&asked.question.at));
    faults.extend(
        never.map(|asked| format!("{}: {}: found nothing", asked.question.at, asked.filled)),
    );
    let found_all = MAY_BE_EMPTY
        .iter()
        .filter(|(at, _)| !open.iter().any(|asked| asked.question.at == *at));
    faults.extend(found_all.map(|(at, _)| format!("{at} is in MAY_BE_EMPTY and need not be")));
    faults
}

fn may_be_empty(at: &str) -> bool {
    MAY_BE_EMPTY.iter().any(|(known, _)| *known == at)
}

/// Queries that are wrong are found to be: this test can fail.
async fn tell_wrong_ones(world: &World) {
    let wrong = |expression: &str, legend: &str| Asked {
        question: Question {
            at: String::new(),
            expression: expression.to_owned(),
            instant: true,
            legend: legend.to_owned(),
        },
        filled: expression.to_owned(),
    };
    let said = world.answer(&wrong("node_lode1", "")).await;
    assert!(matches!(said, Err(Fault::Empty)), "{said:?}");
    let said = world.answer(&wrong("0 * node_load1 / 0", "")).await;
    assert!(matches!(said, Err(Fault::Empty)), "{said:?}");
    for (expression, legend) in [
        ("sum(node_load1", ""),
        // It is answered, with a warning.
        ("quantile(2, node_load1)", ""),
        ("sum by (node) (node_load1)", "{{host}}"),
    ] {
        let said = world.answer(&wrong(expression, legend)).await;
        assert!(matches!(said, Err(Fault::Wrong(_))), "{said:?}");
    }
    let strangers = world.strangers(&names("sum by (noode) (node_lode1)")).await;
    assert_eq!(strangers, ["node_lode1", "noode"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_query_is_answered_with_numbers() {
    let world = World::start().await;
    // Something in chunks.
    let samples = "vedette_coordinator_samples_total";
    world.coordinator.metric_reaches(samples, 5000.0).await;
    let (code, _) = post(world.coordinator.http, "/-/flush", "").await.unwrap();
    assert_eq!(code, 200);
    let newest = || async {
        world
            .values("__name__", "node_load1")
            .await
            .ok()?
            .pop_first()
    };
    within(SOON, "a sample of a host", newest).await;
    tell_wrong_ones(&world).await;

    let (mut faults, mut asked, mut said) = (Vec::new(), Vec::new(), Names::default());
    let mut variables = Vec::new();
    for board in boards() {
        let own = board.variables();
        for question in board.questions() {
            let filled = fill(&question.expression, &own);
            let filled = filled.unwrap_or_else(|why| panic!("{}: {why}", question.at));
            let Names { metrics, labels } = names(&filled);
            said.metrics.extend(metrics);
            said.labels.extend(labels);
            asked.push(Asked { question, filled });
        }
        variables.extend(
            own.iter()
                .map(|one| (board.name.clone(), one.clone(), own.clone())),
        );
    }
    let queries = asked.len();
    faults.extend(until_answered(&world, asked).await);
    for (board, variable, own) in &variables {
        if let Err(fault) = world.choices(variable, own).await {
            faults.push(format!("{board}: {}: {fault:?}", variable.query));
        }
    }
    let strangers = world.strangers(&said).await;
    faults.extend(
        strangers
            .into_iter()
            .map(|name| format!("{name} is no name that is known")),
    );
    println!("{queries} queries, {} metrics", said.metrics.len());
    assert!(faults.is_empty(), "{faults:#?}");
}
