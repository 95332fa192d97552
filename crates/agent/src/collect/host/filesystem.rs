//! How full the filesystems are.

mod statvfs;

use std::path::{Path, PathBuf};

use super::read::SourceError;
use super::{Desc, Round};
use statvfs::Answer;
pub(super) use statvfs::StatvfsGuard;

const DEVICE_ERROR: Desc<'_> = Desc::gauge(
    "node_filesystem_device_error",
    "Whether the filesystem failed to say how full it is.",
);
const READONLY: Desc<'_> = Desc::gauge("node_filesystem_readonly", "Whether it is read-only.");
const SIZE: Desc<'_> = Desc::gauge("node_filesystem_size_bytes", "Its size.");
const FREE: Desc<'_> = Desc::gauge("node_filesystem_free_bytes", "Its free space.");
const AVAILABLE: Desc<'_> = Desc::gauge(
    "node_filesystem_avail_bytes",
    "Its space that is free for all users.",
);
const FILES: Desc<'_> = Desc::gauge("node_filesystem_files", "How many files it can hold.");
const FILES_FREE: Desc<'_> = Desc::gauge(
    "node_filesystem_files_free",
    "How many more files it can hold.",
);

/// A line of the mount table.
#[derive(Debug, PartialEq, Eq)]
struct Mount {
    device: String,
    point: String,
    kind: String,
    read_only: bool,
}

/// The mount table, each filesystem asked how full it is. One that does not answer is told by
/// `node_filesystem_device_error` and not asked again until it has answered.
pub(super) fn filesystem(round: &mut Round<'_>) -> Result<(), SourceError> {
    let mounts = mounts(round)?;
    let root = round.config.root.as_path();
    let paths: Vec<PathBuf> = mounts
        .iter()
        .map(|mount| on_host(root, &mount.point))
        .collect();
    let answers = round
        .state
        .statvfs
        .ask(&paths, round.config.statvfs_timeout, round.clock);
    let mut unanswered = 0;
    for (mount, answer) in mounts.iter().zip(answers) {
        let read_only = f64::from(u8::from(mount.read_only));
        let error = match &answer {
            Answer::Space(_) => None,
            Answer::Failed(error) => Some(error.to_string()),
            Answer::Stuck => Some("mountpoint timeout".to_owned()),
            Answer::NotAsked => {
                unanswered += 1;
                continue;
            }
        };
        let labels = [
            ("device", mount.device.as_str()),
            ("device_error", error.as_deref().unwrap_or_default()),
            ("fstype", &mount.kind),
            ("mountpoint", &mount.point),
        ];
        round
            .out
            .push(&DEVICE_ERROR, &labels, f64::from(u8::from(error.is_some())));
        round.out.push(&READONLY, &labels, read_only);
        if let Answer::Space(space) = answer {
            round.out.push(&SIZE, &labels, space.size_bytes);
            round.out.push(&FREE, &labels, space.free_bytes);
            round.out.push(&AVAILABLE, &labels, space.available_bytes);
            round.out.push(&FILES, &labels, space.files);
            round.out.push(&FILES_FREE, &labels, space.files_free);
        }
    }
    if unanswered > 0 {
        return Err(SourceError::Unanswered { count: unanswered });
    }
    Ok(())
}

/// The mounts that are not left out, each label set once: what is mounted over another mount
/// point hides it, but has a line of its own.
fn mounts(round: &mut Round<'_>) -> Result<Vec<Mount>, SourceError> {
    // The mounts of process 1 are the host's even when the agent has a mount namespace of its own;
    // to read them takes a privilege.
    let text = round.files.proc_first(["1/mounts", "mounts"])?;
    let mut mounts: Vec<Mount> = Vec::new();
    for line in text.lines() {
        let Some(mount) = parse_mount(line) else {
            round.out.malformed();
            continue;
        };
        let config = round.config;
        let left_out = config.mounts_exclude.is_match(&mount.point)
            || config.filesystems_exclude.is_match(&mount.kind)
            || mounts.iter().any(|other| {
                other.point == mount.point
                    && other.device == mount.device
                    && other.kind == mount.kind
            });
        if !left_out {
            mounts.push(mount);
        }
    }
    Ok(mounts)
}

fn parse_mount(line: &str) -> Option<Mount> {
    let mut fields = line.split(' ');
    let (device, point, kind) = (fields.next()?, fields.next()?, fields.next()?);
    let options = fields.next()?;
    Some(Mount {
        device: unescape(device),
        point: unescape(point),
        kind: kind.to_owned(),
        read_only: options.split(',').any(|option| option == "ro"),
    })
}

/// Undoes the octal escapes by which the kernel writes spaces, tabs, newlines and backslashes.
fn unescape(field: &str) -> String {
    let mut plain = String::with_capacity(field.len());
    let mut rest = field;
    while let Some((before, after)) = rest.split_once('\\') {
        plain.push_str(before);
        let code = after
            .get(..3)
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match (code.filter(u8::is_ascii), after.get(3..)) {
            (Some(code), Some(beyond)) => {
                plain.push(char::from(code));
                rest = beyond;
            }
            _ => {
                plain.push('\\');
                rest = after;
            }
        }
    }
    plain.push_str(rest);
    plain
}

/// Where a mount point of the host lies as the agent sees it.
fn on_host(root: &Path, point: &str) -> PathBuf {
    root.join(point.trim_start_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_line_is_unescaped_and_its_options_are_read() {
        let mount = parse_mount(r"nas:/a\040b /mnt/\134x\011y nfs4 rw,ro 0 0").unwrap();
        assert_eq!(
            mount,
            Mount {
                device: "nas:/a b".to_owned(),
                point: "/mnt/\\x\ty".to_owned(),
                kind: "nfs4".to_owned(),
                read_only: true,
            }
        );
        assert_eq!(parse_mount("/dev/sda1 /"), None);
        assert_eq!(unescape(r"\9z\04é\"), r"\9z\04é\");
    }

    #[test]
    fn mount_points_lie_under_the_root_that_is_given() {
        assert_eq!(on_host(Path::new("/"), "/var"), Path::new("/var"));
        assert_eq!(on_host(Path::new("/host"), "/"), Path::new("/host/"));
        assert_eq!(
            on_host(Path::new("/host"), "/var/lib"),
            Path::new("/host/var/lib")
        );
    }
}
