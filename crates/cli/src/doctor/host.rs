//! What this host shows: directories, configuration files, limits, GPUs.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use nvml_wrapper::Nvml;
use rustix::fs::Access;
use rustix::process::Resource;

use super::{Finding, Level};
use crate::number;
use crate::programs;

/// Longest that checking a configuration file may take.
const CHECK_CONFIG_TIMEOUT: Duration = Duration::from_secs(10);
/// Open files that a coordinator with some hundred agents and its database want.
const OPEN_FILES_WANTED: u64 = 4096;
/// Less free space than this and writing stops soon.
const FREE_BYTES_FAIL: u64 = 256 * 1024 * 1024;
/// Less free space than this share of the disk is worth a look.
const FREE_SHARE_WARN: f64 = 0.1;
/// Most lines of a checker's answer that are shown.
const ANSWER_LINES_MAX: usize = 6;

/// Looks at a directory that one of our programs writes to.
pub(super) fn directory(check: &'static str, dir: &Path) -> Vec<Finding> {
    let shown = dir.display();
    let data = match std::fs::metadata(dir) {
        Ok(data) => data,
        Err(error) => {
            return vec![Finding::fail(
                check,
                format!("{shown} cannot be looked at: {error}"),
                format!(
                    "create it for the user who runs the program: `install -d -m 0750 {shown}`"
                ),
            )];
        }
    };
    if !data.is_dir() {
        let mend = "name a directory, or move the file away";
        return vec![Finding::fail(
            check,
            format!("{shown} is not a directory"),
            mend,
        )];
    }
    let mut findings = Vec::new();
    let all = Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK;
    if let Err(error) = rustix::fs::access(dir, all) {
        findings.push(Finding::fail(
            check,
            format!("{shown} cannot be read and written by this user: {error}"),
            format!(
                "`chown` it to the user who runs the program, or run doctor as that user; \
                     `ls -ld {shown}` shows whose it is"
            ),
        ));
    }
    let mode = std::os::unix::fs::PermissionsExt::mode(&data.permissions());
    if mode & 0o002 != 0 {
        findings.push(Finding::warn(
            check,
            format!("{shown} can be written by everybody on this host"),
            format!("`chmod o-w {shown}`"),
        ));
    }
    findings.push(space(check, dir));
    if findings.iter().all(|finding| finding.level == Level::Ok) {
        findings.truncate(1);
    }
    findings
}

/// Looks at the room that is left where `dir` is.
fn space(check: &'static str, dir: &Path) -> Finding {
    let shown = dir.display();
    match rustix::fs::statvfs(dir) {
        Ok(disk) => {
            let bytes = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
            judge_space(
                check,
                &shown.to_string(),
                bytes(disk.f_bavail),
                bytes(disk.f_blocks),
            )
        }
        Err(error) => Finding::warn(
            check,
            format!("the free space of {shown} is not known: {error}"),
            "look with `df`",
        ),
    }
}

fn judge_space(check: &'static str, dir: &str, free: u64, size: u64) -> Finding {
    let (free_f, size_f) = (free as f64, size as f64);
    let what = format!(
        "{dir}: {} of {} free",
        number::bytes(free_f),
        number::bytes(size_f)
    );
    let mend = "make room, move the directory to a larger disk, or shorten the retention";
    if free < FREE_BYTES_FAIL {
        Finding::fail(check, what, mend)
    } else if free_f < size_f * FREE_SHARE_WARN {
        Finding::warn(check, what, mend)
    } else {
        Finding::ok(check, format!("{what}, readable and writable"))
    }
}

/// Lets the program that a configuration file is for check it. Which one that is shows in the
/// name of the file; otherwise it is good when either takes it.
pub(super) async fn config(file: &Path) -> Finding {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let programs = match (name.contains("agent"), name.contains("coordinator")) {
        (true, false) => vec![programs::AGENT],
        (false, true) => vec![programs::COORDINATOR],
        _ => vec![programs::AGENT, programs::COORDINATOR],
    };
    let mut answers = Vec::new();
    for program in programs {
        match check_config(program, file).await {
            Ok(None) => {
                return Finding::ok("config", format!("{}: {program} takes it", file.display()));
            }
            Ok(Some(answer)) => answers.push(format!("{program}: {answer}")),
            Err(error) => answers.push(format!("{error:#}")),
        }
    }
    Finding::fail(
        "config",
        format!("{}: {}", file.display(), answers.join("; ")),
        "change what is named here; the files in deploy/config explain every key",
    )
}

/// Asks a program; its complaint, or nothing when all is well.
async fn check_config(program: &str, file: &Path) -> anyhow::Result<Option<String>> {
    let path = programs::find(program)?;
    let run = tokio::process::Command::new(path)
        .arg("check-config")
        .arg("--config")
        .arg(file)
        // This variable is ours; the coordinator would take it for a key of its own.
        .env_remove("VEDETTE_COORDINATOR")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(CHECK_CONFIG_TIMEOUT, run).await;
    let output = output.map_err(|_elapsed| anyhow::anyhow!("{program} did not end"))??;
    if output.status.success() {
        return Ok(None);
    }
    let said = [output.stderr, output.stdout].concat();
    let said = String::from_utf8_lossy(&said);
    // The program says its own name first, which is said here anyway.
    let own = format!("{program}: ");
    let lines = said
        .lines()
        .map(|line| line.trim_start_matches(&own).trim())
        .filter(|line| !line.is_empty());
    let answer = lines.take(ANSWER_LINES_MAX).collect::<Vec<_>>().join(" ");
    Ok(Some(if answer.is_empty() {
        output.status.to_string()
    } else {
        answer
    }))
}

/// Looks at how many files a process may have open.
pub(super) fn files() -> Finding {
    judge_files(rustix::process::getrlimit(Resource::Nofile).current)
}

fn judge_files(limit: Option<u64>) -> Finding {
    let check = "open files";
    match limit {
        None => Finding::ok(check, "as many as a process wants"),
        Some(limit) if limit >= OPEN_FILES_WANTED => {
            Finding::ok(check, format!("{limit} for a process"))
        }
        Some(limit) => Finding::warn(
            check,
            format!("only {limit} for a process that is started here"),
            "a coordinator wants more: `ulimit -n 65536`, or LimitNOFILE=65536 in its unit",
        ),
    }
}

/// Looks whether NVIDIA GPUs can be read.
pub(super) fn gpus() -> Finding {
    let check = "gpu";
    let described = Nvml::init().and_then(|nvml| {
        let driver = nvml.sys_driver_version()?;
        Ok((nvml.device_count()?, driver))
    });
    match described {
        Ok((count, driver)) => Finding::ok(check, format!("{count} by NVML, driver {driver}")),
        Err(error) => judge_no_nvml(
            &error.to_string(),
            Path::new("/dev/nvidiactl").try_exists().unwrap_or(true),
        ),
    }
}

/// Without NVML: fine where there is no GPU.
fn judge_no_nvml(error: &str, device: bool) -> Finding {
    let check = "gpu";
    if !device {
        return Finding::ok(check, "no NVIDIA driver on this host, so no GPU metrics");
    }
    Finding::warn(
        check,
        format!("there is an NVIDIA device, but NVML does not answer: {error}"),
        "look whether `nvidia-smi` works; in a container, add the NVIDIA runtime with the \
         `utility` capability",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_judged_by_what_is_left() {
        const GIB: u64 = 1 << 30;
        for (free, size, level) in [
            (50 * GIB, 100 * GIB, Level::Ok),
            (9 * GIB, 100 * GIB, Level::Warn),
            (GIB / 8, GIB, Level::Fail),
        ] {
            assert_eq!(judge_space("disk", "/x", free, size).level, level);
        }
    }

    #[test]
    fn a_directory_that_is_not_there_or_open_to_all_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let missing = directory("state directory", &dir.path().join("none"));
        assert_eq!(missing[0].level, Level::Fail);
        assert!(missing[0].mend.contains("install -d"));
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert_eq!(directory("state directory", &file)[0].level, Level::Fail);
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(dir.path(), open).unwrap();
        let found = directory("state directory", dir.path());
        assert_eq!(found[0].level, Level::Warn, "{found:?}");
    }

    #[test]
    fn few_files_and_a_dumb_driver_are_worth_a_look() {
        assert_eq!(judge_files(Some(1024)).level, Level::Warn);
        assert_eq!(judge_files(Some(65_536)).level, Level::Ok);
        assert_eq!(judge_files(None).level, Level::Ok);
        assert_eq!(judge_no_nvml("x", false).level, Level::Ok);
        assert_eq!(judge_no_nvml("x", true).level, Level::Warn);
    }
}
