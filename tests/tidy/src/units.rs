//! Units of systemd: they start a program of ours with flags that it has, in a sandbox that neither gives
//! way nor stands before what the agent measures.

use toml::{Table, Value};

use crate::tree::File;

const FOLDER: &str = "deploy/systemd/";

/// What every unit says.
const EVERYWHERE: &[(&str, &str)] = &[
    ("Wants", "network-online.target"),
    ("Restart", "on-failure"),
    ("StartLimitIntervalSec", "0"),
    ("NoNewPrivileges", "yes"),
    ("CapabilityBoundingSet", ""),
    ("PrivateMounts", "yes"),
    ("PrivateUsers", "yes"),
    ("ProtectSystem", "strict"),
    ("ProtectClock", "yes"),
    ("ProtectControlGroups", "yes"),
    ("ProtectKernelLogs", "yes"),
    ("ProtectKernelModules", "yes"),
    ("ProtectKernelTunables", "yes"),
    ("DevicePolicy", "closed"),
    ("LockPersonality", "yes"),
    ("MemoryDenyWriteExecute", "yes"),
    ("RestrictNamespaces", "yes"),
    ("RestrictRealtime", "yes"),
    ("RestrictSUIDSGID", "yes"),
    ("SystemCallArchitectures", "native"),
    (
        "SystemCallFilter",
        "@system-service ~@privileged @resources",
    ),
    ("StateDirectoryMode", "0700"),
    ("UMask", "0077"),
];

/// What each unit says besides. Where the agent's is more open than the coordinator's it has to be: closed,
/// it would measure its sandbox and not the node (`deploy/systemd/README.md`).
const APART: &[(&str, &[(&str, &str)])] = &[
    (
        "vedette-agent",
        &[
            ("ProtectHome", "read-only"),
            ("PrivateTmp", "no"),
            ("PrivateDevices", "no"),
            ("DeviceAllow", "char-195 rw char-nvidia-caps r"),
            ("PrivateNetwork", "no"),
            ("ProtectHostname", "no"),
            ("ProtectProc", "default"),
            ("ProcSubset", "all"),
            ("RestrictAddressFamilies", "AF_INET AF_INET6 AF_UNIX"),
            ("MemoryMax", "512M"),
            ("CPUQuota", "50%"),
        ],
    ),
    (
        "vedette-coordinator",
        &[
            ("ProtectHome", "yes"),
            ("PrivateTmp", "yes"),
            ("PrivateDevices", "yes"),
            ("ProtectHostname", "yes"),
            ("ProtectProc", "invisible"),
            ("RestrictAddressFamilies", "AF_INET AF_INET6"),
        ],
    ),
];

/// Faults of the units among `files`, which are those of a whole checkout.
#[must_use]
pub fn units(files: &[File]) -> Vec<String> {
    let programs = programs(files);
    let mut faults = Vec::new();
    for file in files {
        if file.path.starts_with(FOLDER) && file.is("service") {
            let unit = Unit::read(file);
            let mut found = unit.sandbox();
            found.extend(unit.start(files, &programs));
            faults.extend(found.iter().map(|fault| format!("{}: {fault}", file.path)));
        }
    }
    for (name, _) in APART {
        let path = format!("{FOLDER}{name}.service");
        if !files.iter().any(|file| file.path == path) {
            faults.push(format!("{path} is missing"));
        }
    }
    faults
}

/// The names of all programs, each with the folder of its crate.
fn programs(files: &[File]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for file in files {
        let Some(folder) = file.path.strip_suffix("/Cargo.toml") else {
            continue;
        };
        let manifest: Table = file.text.parse().unwrap_or_default();
        let bins = manifest.get("bin").and_then(Value::as_array);
        for bin in bins.into_iter().flatten() {
            if let Some(name) = bin.get("name").and_then(Value::as_str) {
                found.push((name.to_owned(), folder.to_owned()));
            }
        }
    }
    found
}

struct Unit<'a> {
    /// Without `.service`.
    name: &'a str,
    settings: Vec<(&'a str, &'a str)>,
}

impl<'a> Unit<'a> {
    fn read(file: &'a File) -> Self {
        let is_comment = |line: &str| line.starts_with(['#', ';']);
        let lines = file.text.lines().filter(|line| !is_comment(line));
        Self {
            name: file.name().trim_end_matches(".service"),
            settings: lines.filter_map(|line| line.split_once('=')).collect(),
        }
    }

    /// What a key is set to, all its lines together; none when there is no line.
    fn get(&self, key: &str) -> Option<String> {
        let lines = self.settings.iter().filter(|(found, _)| *found == key);
        let values: Vec<&str> = lines.map(|(_, value)| value.trim()).collect();
        (!values.is_empty()).then(|| values.join(" "))
    }

    fn sandbox(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let row = APART.iter().find(|(name, _)| *name == self.name);
        let Some((_, apart)) = row else {
            return vec!["has no row in APART (tests/tidy)".to_owned()];
        };
        for (key, value) in EVERYWHERE.iter().chain(*apart) {
            match self.get(key) {
                Some(found) if found == *value => {}
                Some(found) => faults.push(format!("must say {key}={value}, not {found}")),
                None => faults.push(format!("must say {key}={value}")),
            }
        }
        if self.get("DynamicUser").is_some() {
            faults.push("DynamicUser brings a /tmp of its own and owns no keys".to_owned());
        }
        faults
    }

    fn start(&self, files: &[File], programs: &[(String, String)]) -> Vec<String> {
        let text = |path: String| {
            let file = files.iter().find(|file| file.path == path);
            file.map_or("", |file| file.text.as_str())
        };
        let command = self.get("ExecStart").unwrap_or_default();
        let mut words = command.split_whitespace();
        let program = words.next().unwrap_or_default();
        let program = program.rsplit('/').next().unwrap_or_default();
        let Some((_, folder)) = programs.iter().find(|(name, _)| name == program) else {
            return vec![format!("starts {program:?}, which is no program of ours")];
        };
        let main = text(format!("{folder}/src/main.rs"));
        let known = flags(main);
        let mut faults = Vec::new();
        let mut config = "";
        while let Some(word) = words.next() {
            let Some(flag) = word.strip_prefix("--") else {
                faults.push(format!("{word} is no flag"));
                continue;
            };
            let value = words.next().unwrap_or_default();
            if !known.iter().any(|known| known == flag) {
                faults.push(format!("{program} has no flag --{flag}"));
            }
            match flag {
                "config" => config = value.strip_prefix("/etc/vedette/").unwrap_or_default(),
                "state-dir" | "data-dir" => {
                    let kept = self.get("StateDirectory").unwrap_or_default();
                    if value != format!("/var/lib/{kept}") {
                        faults.push(format!("{value} is not its StateDirectory, {kept}"));
                    }
                }
                _ => {}
            }
        }
        let config = text(format!("deploy/config/{config}"));
        if config.is_empty() {
            faults.push("--config names no file of deploy/config in /etc/vedette".to_owned());
        }
        faults.extend(self.signals(config, main));
        let user = self.get("User").unwrap_or_default();
        if !text(format!("{FOLDER}sysusers.conf")).contains(&format!("u {user} ")) {
            faults.push(format!("its user {user:?} is not in sysusers.conf"));
        }
        faults
    }

    /// Whether it is told to reload only if it does, and not killed before it has drained.
    fn signals(&self, config: &str, main: &str) -> Vec<String> {
        let mut faults = Vec::new();
        if self.get("ExecReload").is_some() && !main.contains(".reloads()") {
            faults.push("has ExecReload, and its program does not reload".to_owned());
        }
        let config: Table = config.parse().unwrap_or_default();
        let drain = config.get("drain_timeout").and_then(Value::as_str);
        let drain = drain.and_then(seconds);
        let stop = self.get("TimeoutStopSec");
        let stop = stop.as_deref().and_then(seconds);
        // A second more is what a program leaves to work that blocks.
        if drain
            .zip(stop)
            .is_none_or(|(drain, stop)| stop <= drain + 1)
        {
            faults.push("TimeoutStopSec must be longer than drain_timeout and a second".to_owned());
        }
        faults
    }
}

fn seconds(text: &str) -> Option<u64> {
    text.strip_suffix('s')?.parse().ok()
}

/// The long flags that clap makes of the fields below `#[arg(long…)]`.
fn flags(main: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut is_flag = false;
    for line in main.lines().map(str::trim) {
        if line.starts_with("#[arg(long") {
            is_flag = true;
        } else if is_flag && let Some((field, _)) = line.split_once(": ") {
            found.push(field.replace('_', "-"));
            is_flag = false;
        }
    }
    found
}

#[cfg(test)]
mod tests;
