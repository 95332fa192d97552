use super::*;

const MAIN: &str = "struct Arguments {\n    #[arg(long, value_name = \"FILE\")]\n    config: Option<PathBuf>,\n\
    \x20   #[arg(long)]\n    state_dir: Option<PathBuf>,\n    other: u8,\n}\nshutdown.reloads();\n";

/// A checkout with both units as they should be.
fn good() -> Vec<File> {
    let unit = |name: &str, apart: &[(&str, &str)]| {
        let mut text = format!(
            "[Service]\n# Why=not\nExecStart=/usr/bin/{name} --config /etc/vedette/a.toml --state-dir /var/lib/{name}\n\
             StateDirectory={name}\nUser={name}\nExecReload=/bin/kill -HUP $MAINPID\nTimeoutStopSec=20s\n"
        );
        for (key, value) in EVERYWHERE.iter().chain(apart) {
            text.push_str(&format!("{key}={value}\n"));
        }
        (format!("{FOLDER}{name}.service"), text)
    };
    let manifest = |name: &str| format!("[[bin]]\nname = \"{name}\"\n");
    let mut files = vec![
        (
            "crates/agent/Cargo.toml".to_owned(),
            manifest("vedette-agent"),
        ),
        ("crates/agent/src/main.rs".to_owned(), MAIN.to_owned()),
        (
            "crates/centre/Cargo.toml".to_owned(),
            manifest("vedette-coordinator"),
        ),
        ("crates/centre/src/main.rs".to_owned(), MAIN.to_owned()),
        (
            "deploy/config/a.toml".to_owned(),
            "drain_timeout = \"10s\"\n".to_owned(),
        ),
        (
            format!("{FOLDER}sysusers.conf"),
            "u vedette-agent - \"\"\nu vedette-coordinator - \"\"\n".to_owned(),
        ),
    ];
    files.extend(APART.iter().map(|(name, apart)| unit(name, apart)));
    let file = |(path, text)| File { path, text };
    files.into_iter().map(file).collect()
}

/// The faults after `from` has become `to` in the file at `path`.
fn faults(path: &str, from: &str, to: &str) -> Vec<String> {
    let mut files = good();
    let file = files.iter_mut().find(|file| file.path == path).unwrap();
    assert!(file.text.contains(from), "{from}");
    file.text = file.text.replace(from, to);
    units(&files)
}

const AGENT: &str = "deploy/systemd/vedette-agent.service";

fn of_agent(from: &str, to: &str) -> Vec<String> {
    let prefix = format!("{AGENT}: ");
    let faults = faults(AGENT, from, to);
    let own = |fault: &String| fault.strip_prefix(&prefix).unwrap().to_owned();
    faults.iter().map(own).collect()
}

#[test]
fn units_as_they_should_be_have_no_faults() {
    assert_eq!(units(&good()), Vec::<String>::new());
}

#[test]
fn a_missing_unit_and_one_without_a_row_are_named() {
    let mut files = good();
    for file in &mut files {
        file.path = file.path.replace("agent.service", "other.service");
    }
    assert_eq!(
        units(&files),
        [
            "deploy/systemd/vedette-other.service: has no row in APART (tests/tidy)",
            "deploy/systemd/vedette-agent.service is missing"
        ]
    );
}

#[test]
fn a_sandbox_that_gives_way_or_hides_what_is_measured_is_named() {
    assert_eq!(
        of_agent("NoNewPrivileges=yes\n", ""),
        ["must say NoNewPrivileges=yes"]
    );
    assert_eq!(
        of_agent("ProtectHome=read-only", "ProtectHome=yes"),
        ["must say ProtectHome=read-only, not yes"]
    );
    assert_eq!(
        of_agent("CPUQuota=50%", "CPUQuota=50%\nSystemCallFilter=@mount"),
        [
            "must say SystemCallFilter=@system-service ~@privileged @resources, \
             not @system-service ~@privileged @resources @mount"
        ]
    );
    assert_eq!(
        of_agent("UMask=0077", "UMask=0077\nDynamicUser=yes"),
        ["DynamicUser brings a /tmp of its own and owns no keys"]
    );
}

#[test]
fn a_program_or_flag_that_does_not_exist_is_named() {
    assert_eq!(
        of_agent("/usr/bin/vedette-agent", "/usr/bin/vedette-agents"),
        ["starts \"vedette-agents\", which is no program of ours"]
    );
    assert_eq!(
        of_agent("--state-dir", "--other"),
        ["vedette-agent has no flag --other"]
    );
    assert_eq!(
        of_agent("/etc/vedette/a.toml", "/etc/vedette/b.toml")[0],
        "--config names no file of deploy/config in /etc/vedette"
    );
}

#[test]
fn a_folder_or_user_that_nobody_makes_is_named() {
    assert_eq!(
        of_agent("/var/lib/vedette-agent", "/var/lib/vedette"),
        ["/var/lib/vedette is not its StateDirectory, vedette-agent"]
    );
    assert_eq!(
        of_agent("User=vedette-agent", "User=vedette"),
        ["its user \"vedette\" is not in sysusers.conf"]
    );
}

#[test]
fn a_kill_before_the_drain_and_a_reload_that_is_none_are_named() {
    assert_eq!(
        of_agent("TimeoutStopSec=20s", "TimeoutStopSec=11s"),
        ["TimeoutStopSec must be longer than drain_timeout and a second"]
    );
    let path = "crates/agent/src/main.rs";
    assert_eq!(
        faults(path, ".reloads()", ""),
        [format!(
            "{AGENT}: has ExecReload, and its program does not reload"
        )]
    );
}
