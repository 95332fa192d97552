//! systemd's own judgement of the units, where `systemd-analyze` is there.

use std::io;
use std::path::Path;
use std::process::{Command, Output};

use tidy::tree;

/// The first version of systemd that judges files of units without a running systemd.
const VERSION_MIN: u32 = 250;

/// The most exposure of each unit, in tenths: a little above what systemd 252 says (1.1 and 1.7), because
/// each version weighs a little differently.
const EXPOSURES_MAX: [(&str, &str); 2] = [
    ("vedette-coordinator.service", "15"),
    ("vedette-agent.service", "20"),
];

fn analyze(arguments: &[&str], unit: &Path) -> io::Result<Output> {
    Command::new("systemd-analyze")
        .args(arguments)
        .arg(unit)
        .output()
}

/// Why this machine's `systemd-analyze` cannot be used, if it cannot.
fn unusable() -> Option<String> {
    let Ok(output) = Command::new("systemd-analyze").arg("--version").output() else {
        return Some("systemd-analyze is not installed here".to_owned());
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = text.split_whitespace().nth(1).and_then(|word| {
        let digits = word.split(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse::<u32>().ok()
    });
    match version {
        Some(version) if version >= VERSION_MIN => None,
        _ => Some(format!(
            "systemd-analyze is older than {VERSION_MIN}: {text}"
        )),
    }
}

#[test]
fn systemd_understands_the_units_and_finds_them_closed() {
    if let Some(reason) = unusable() {
        eprintln!("not checked: {reason}");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    // Only whether the program is there is asked.
    let program = std::env::current_exe().unwrap();
    let files = tree::files(&tidy::root()).unwrap();
    for (name, exposure_max) in EXPOSURES_MAX {
        let file = files.iter().find(|file| file.name() == name).unwrap();
        let (before, after) = file.text.split_once("ExecStart=").unwrap();
        let (_, flags) = after.split_once(' ').unwrap();
        let text = format!("{before}ExecStart={} {flags}", program.display());
        let unit = folder.path().join(name);
        std::fs::write(&unit, text).unwrap();

        let verified = analyze(&["verify", "--man=no", "--recursive-errors=no"], &unit).unwrap();
        // What it says of units that the system itself has is not ours.
        let said = String::from_utf8_lossy(&verified.stderr);
        let said: Vec<&str> = said.lines().filter(|line| line.contains(name)).collect();
        assert!(verified.status.success() && said.is_empty(), "{said:?}");

        let threshold = format!("--threshold={exposure_max}");
        let secure = ["security", "--offline=true", "--no-pager", &threshold];
        let judged = analyze(&secure, &unit).unwrap();
        let table = String::from_utf8_lossy(&judged.stdout);
        assert!(judged.status.success(), "{table}");
        assert!(table.contains("Overall exposure level"), "{table}");
    }
}
