//! Which crate may use which.
//!
//! The tables here are the architecture: ARCHITECTURE.md shows the first one word for word, and a
//! test compares the two.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// Who may use whom, in the program itself. `wire[client]` allows that feature of it, no other.
pub const MAY_USE: &[(&str, &[&str])] = &[
    ("series", &[]),
    ("spool", &[]),
    ("daemon", &[]),
    ("fleet", &[]),
    ("codec", &["series"]),
    ("wire", &["series"]),
    ("remote", &["series"]),
    ("rollup", &["series"]),
    ("store", &["codec", "rollup", "series"]),
    ("query", &["rollup", "series"]),
    ("spec", &[]),
    ("alert", &["query", "series", "spec"]),
    ("notify", &["alert", "spec"]),
    (
        "agent",
        &[
            "alert",
            "codec",
            "daemon",
            "query",
            "series",
            "spec",
            "spool",
            "wire[client]",
        ],
    ),
    (
        "coordinator",
        &[
            "alert",
            "codec",
            "daemon",
            "notify",
            "query",
            "remote",
            "rollup",
            "series",
            "spec",
            "store",
            "wire[server]",
        ],
    ),
    ("cli", &["alert", "query", "series", "spec", "wire[client]"]),
];

/// What the tests of a crate may use besides.
pub const TESTS_MAY_USE: &[(&str, &[&str])] = &[
    // A made-up coordinator that answers the command line.
    ("cli", &["wire[server]"]),
    // A made-up coordinator that misbehaves.
    ("agent", &["wire[server]"]),
    // A made-up agent that feeds the coordinator.
    ("coordinator", &["wire[client]"]),
];

/// Dependencies that cost much to build or carry a decision, and the crates that may name them.
pub const OWNERS: &[(&str, &[&str])] = &[
    ("rocksdb", &["store"]),
    ("roaring", &["store"]),
    ("zstd", &["codec"]),
    ("pco", &["codec"]),
    ("prost", &["wire"]),
    ("tonic-prost", &["wire"]),
    ("config", &["daemon"]),
    ("tracing-subscriber", &["daemon"]),
    ("hdrhistogram", &["daemon"]),
    ("nvml-wrapper", &["agent", "cli"]),
    ("reqwest", &["agent", "notify"]),
    ("tonic-health", &["cli"]),
    ("tonic-reflection", &["coordinator"]),
    ("tikv-jemallocator", &["agent", "coordinator"]),
    ("x509-parser", &["agent", "coordinator"]),
    ("ring", &["coordinator", "notify"]),
    ("rcgen", &["agent", "cli", "coordinator"]),
    ("serde-saphyr", &["alert", "spec"]),
    ("minijinja", &["notify"]),
    ("lettre", &["notify"]),
    ("ratatui", &["cli"]),
    ("comfy-table", &["cli"]),
    ("indicatif", &["cli"]),
    ("clap_complete", &["cli"]),
    // No program is made of what only tests are.
    ("turmoil", &[]),
    ("mad-turmoil", &[]),
    // Programs may wrap any error for a person; libraries name theirs.
    ("anyhow", &["agent", "coordinator", "cli", "fleet"]),
];

/// Packages that may not be anywhere below a crate, however deep.
pub const NEVER_BELOW: &[(&[&str], &[&str])] = &[
    // The edge and the command line stay small and quick to build.
    (&["agent", "cli", "fleet"], &["rocksdb", "librocksdb-sys"]),
    // The pure core: bytes, values and `now` go in, facts come out.
    (
        &[
            "series", "codec", "remote", "rollup", "spool", "store", "query", "spec", "alert",
        ],
        &["tokio", "tracing", "tonic", "hyper", "axum", "reqwest"],
    ),
    // One TLS, built without cmake and without a system library.
    (
        &["agent", "coordinator", "cli", "fleet"],
        &["openssl-sys", "native-tls", "aws-lc-sys", "aws-lc-rs"],
    ),
];

/// What a dependency is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// For the code itself.
    Normal,
    /// For its build script.
    Build,
    /// For its tests, examples and benches.
    Dev,
}

impl Kind {
    fn of(value: &Value) -> Self {
        match value.as_str() {
            Some("dev") => Self::Dev,
            Some("build") => Self::Build,
            _ => Self::Normal,
        }
    }
}

/// One line of a `[dependencies]` table.
#[derive(Clone, Debug)]
pub struct Dependency {
    /// Package name.
    pub name: String,
    /// What it is for.
    pub kind: Kind,
    /// Features asked for by name.
    pub features: Vec<String>,
}

/// One package under `crates/`.
#[derive(Clone, Debug)]
pub struct Member {
    /// Package name.
    pub name: String,
    /// What cargo calls it in the graph.
    pub id: String,
    /// What its manifest asks for.
    pub dependencies: Vec<Dependency>,
}

/// What cargo knows of the workspace.
#[derive(Clone, Debug, Default)]
pub struct Workspace {
    /// The packages under `crates/`.
    pub members: Vec<Member>,
    /// Package id to package name, for every package resolved.
    names: BTreeMap<String, String>,
    /// Package id to the ids below it, tests of third parties and ours left out.
    below: BTreeMap<String, Vec<String>>,
}

/// Asks cargo for the workspace at `root`, as `Cargo.lock` has it.
///
/// # Errors
/// When cargo or rustc fails, or answers something else than we know.
pub fn workspace(root: &Path) -> Result<Workspace> {
    // Only this platform's packages: the others were not downloaded, and cargo would want them.
    let version = output(Command::new("rustc").arg("-vV"))?;
    let host = version
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .unwrap_or_default();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let text = output(
        Command::new(cargo)
            .args(["metadata", "--format-version", "1", "--locked"])
            .args(["--filter-platform", host])
            .current_dir(root),
    )?;
    parse(&serde_json::from_str(&text).context("reading what cargo metadata says")?)
}

fn output(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("running {command:?}"))?;
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{command:?} failed: {complaint}");
    String::from_utf8(output.stdout).with_context(|| format!("reading the output of {command:?}"))
}

/// Reads the answer of `cargo metadata`.
///
/// # Errors
/// When a part that we need is missing.
pub fn parse(metadata: &Value) -> Result<Workspace> {
    let list = |value: &Value, key: &str| -> Result<Vec<Value>> {
        value[key]
            .as_array()
            .cloned()
            .with_context(|| format!("cargo metadata has no {key}"))
    };
    let string = |value: &Value, key: &str| -> Result<String> {
        Ok(value[key]
            .as_str()
            .with_context(|| format!("cargo metadata has no {key}"))?
            .to_owned())
    };
    let crates = format!("{}/crates/", string(metadata, "workspace_root")?);
    let mut workspace = Workspace::default();
    for package in list(metadata, "packages")? {
        let name = string(&package, "name")?;
        let id = string(&package, "id")?;
        workspace.names.insert(id.clone(), name.clone());
        if string(&package, "manifest_path")?.starts_with(&crates) {
            let mut dependencies = Vec::new();
            for dependency in list(&package, "dependencies")? {
                dependencies.push(Dependency {
                    name: string(&dependency, "name")?,
                    kind: Kind::of(&dependency["kind"]),
                    features: list(&dependency, "features")?
                        .iter()
                        .filter_map(|feature| feature.as_str().map(str::to_owned))
                        .collect(),
                });
            }
            workspace.members.push(Member {
                name,
                id,
                dependencies,
            });
        }
    }
    for node in list(&metadata["resolve"], "nodes")? {
        let mut below = Vec::new();
        for dependency in list(&node, "deps")? {
            let kinds = list(&dependency, "dep_kinds")?;
            if kinds
                .iter()
                .any(|kind| Kind::of(&kind["kind"]) != Kind::Dev)
            {
                below.push(string(&dependency, "pkg")?);
            }
        }
        workspace.below.insert(string(&node, "id")?, below);
    }
    Ok(workspace)
}

/// `wire[client]` as name and features.
fn permission(text: &str) -> (&str, Vec<&str>) {
    match text.strip_suffix(']').and_then(|text| text.split_once('[')) {
        Some((name, features)) => (name, features.split(',').collect()),
        None => (text, Vec::new()),
    }
}

/// Uses of our own crates that the tables do not allow.
#[must_use]
pub fn uses(workspace: &Workspace) -> Vec<String> {
    let ours: BTreeSet<&str> = workspace
        .members
        .iter()
        .map(|member| member.name.as_str())
        .collect();
    let row = |table: &[(&'static str, &'static [&'static str])], name: &str| {
        table
            .iter()
            .find(|(row, _)| *row == name)
            .map(|(_, uses)| *uses)
    };
    let mut faults = Vec::new();
    for name in MAY_USE
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| !ours.contains(name))
    {
        faults.push(format!(
            "MAY_USE has a row for {name}, which is no crate of ours"
        ));
    }
    for member in &workspace.members {
        let Some(for_itself) = row(MAY_USE, &member.name) else {
            faults.push(format!(
                "{} has no row in MAY_USE (tests/tidy)",
                member.name
            ));
            continue;
        };
        let for_tests = row(TESTS_MAY_USE, &member.name).unwrap_or_default();
        for dependency in member
            .dependencies
            .iter()
            .filter(|d| ours.contains(d.name.as_str()))
        {
            let for_tests = if dependency.kind == Kind::Dev {
                for_tests
            } else {
                &[]
            };
            let granted: Vec<Vec<&str>> = for_itself
                .iter()
                .chain(for_tests)
                .map(|text| permission(text))
                .filter(|(name, _)| *name == dependency.name)
                .map(|(_, features)| features)
                .collect();
            if granted.is_empty() {
                faults.push(format!("{} may not use {}", member.name, dependency.name));
                continue;
            }
            for feature in &dependency.features {
                if !granted.iter().flatten().any(|granted| granted == feature) {
                    faults.push(format!(
                        "{} may not use the feature {feature} of {}",
                        member.name, dependency.name
                    ));
                }
            }
        }
    }
    faults
}

/// Heavy dependencies named by a crate that does not own them. Tests may use what they like.
#[must_use]
pub fn owners(workspace: &Workspace) -> Vec<String> {
    let mut faults = Vec::new();
    for member in &workspace.members {
        for dependency in member.dependencies.iter().filter(|d| d.kind != Kind::Dev) {
            for (_, owners) in OWNERS.iter().filter(|(name, _)| *name == dependency.name) {
                if !owners.contains(&member.name.as_str()) {
                    faults.push(format!(
                        "{} names {}, which only {} may",
                        member.name,
                        dependency.name,
                        owners.join(", ")
                    ));
                }
            }
        }
    }
    faults
}

/// Packages that are somewhere below a crate and may not be, with the way that leads there.
#[must_use]
pub fn graph(workspace: &Workspace) -> Vec<String> {
    let mut faults = Vec::new();
    for member in &workspace.members {
        let forbidden: BTreeSet<&str> = NEVER_BELOW
            .iter()
            .filter(|(crates, _)| crates.contains(&member.name.as_str()))
            .flat_map(|(_, packages)| packages.iter().copied())
            .collect();
        for way in ways(workspace, member, &forbidden) {
            faults.push(format!("{} must not be built by {}", way, member.name));
        }
    }
    faults
}

/// The first way found from a crate to each of the packages, as `a → b → c`.
fn ways(workspace: &Workspace, from: &Member, to: &BTreeSet<&str>) -> Vec<String> {
    let name = |id: &str| {
        workspace
            .names
            .get(id)
            .map(String::as_str)
            .unwrap_or_default()
    };
    let mut found = Vec::new();
    let mut seen: BTreeSet<&str> = BTreeSet::from([from.id.as_str()]);
    let mut queue = std::collections::VecDeque::from([(from.id.as_str(), from.name.clone())]);
    while let Some((id, way)) = queue.pop_front() {
        for below in workspace.below.get(id).into_iter().flatten() {
            if seen.insert(below) {
                let way = format!("{way} → {}", name(below));
                if to.contains(name(below)) {
                    found.push(way);
                } else {
                    queue.push_back((below, way));
                }
            }
        }
    }
    found
}

/// [`MAY_USE`] as ARCHITECTURE.md shows it.
#[must_use]
pub fn table() -> String {
    let mut text = String::new();
    for (name, uses) in MAY_USE {
        let uses = if uses.is_empty() {
            "nothing of ours".to_owned()
        } else {
            uses.join(", ")
        };
        text.push_str(&format!("    {name:<14}{uses}\n"));
    }
    text
}

#[cfg(test)]
mod tests;
