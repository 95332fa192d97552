//! `/proc/mdstat`: software RAID.

use super::read::{SourceError, number};
use super::{Desc, Round};

const DISKS: Desc<'_> = Desc::gauge("node_md_disks", "Disks of the array in each state.");
const REQUIRED: Desc<'_> = Desc::gauge("node_md_disks_required", "Disks that the array needs.");
const STATE: Desc<'_> = Desc::gauge("node_md_state", "Which state the array is in.");
const BLOCKS: Desc<'_> = Desc::gauge("node_md_blocks", "Blocks of the array.");
const SYNCED: Desc<'_> = Desc::gauge("node_md_blocks_synced", "Blocks that are in sync.");
const DEGRADED: Desc<'_> = Desc::gauge("node_md_degraded", "Disks that the array lacks.");
const RAID_DISKS: Desc<'_> =
    Desc::gauge("node_md_raid_disks", "Disks that the array has places for.");

/// What `/proc/mdstat` says of one array.
#[derive(Debug, Default, PartialEq)]
struct Array {
    name: String,
    state: &'static str,
    active: f64,
    required: f64,
    failed: f64,
    spare: f64,
    blocks: f64,
    synced: f64,
}

/// All arrays.
pub(super) fn mdadm(round: &mut Round<'_>) -> Result<(), SourceError> {
    let text = round.files.proc("mdstat")?;
    let mut names = Vec::new();
    for lines in sections(text) {
        let Some(array) = parse(&lines) else {
            round.out.malformed();
            continue;
        };
        let device = array.name.as_str();
        for (state, count) in [
            ("active", array.active),
            ("failed", array.failed),
            ("spare", array.spare),
        ] {
            round
                .out
                .push(&DISKS, &[("device", device), ("state", state)], count);
        }
        for state in ["active", "check", "inactive", "recovering", "resync"] {
            let labels = [("device", device), ("state", state)];
            round
                .out
                .push(&STATE, &labels, f64::from(u8::from(state == array.state)));
        }
        for (desc, value) in [
            (&REQUIRED, array.required),
            (&BLOCKS, array.blocks),
            (&SYNCED, array.synced),
        ] {
            round.out.push(desc, &[("device", device)], value);
        }
        names.push(array.name);
    }
    for device in names {
        for (desc, file) in [(&DEGRADED, "degraded"), (&RAID_DISKS, "raid_disks")] {
            let value = round.files.number(format_args!("block/{device}/md/{file}"));
            round.out.push_some(desc, &[("device", &device)], value);
        }
    }
    Ok(())
}

/// The lines of each array: the first starts at the margin, the others are indented.
fn sections(text: &str) -> Vec<Vec<&str>> {
    let mut sections: Vec<Vec<&str>> = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        if !line.starts_with([' ', '\t']) {
            sections.push(vec![line]);
        } else if let Some(section) = sections.last_mut() {
            section.push(line);
        }
    }
    sections
        .retain(|lines| !lines[0].starts_with("Personalities") && !lines[0].starts_with("unused"));
    sections
}

fn parse(lines: &[&str]) -> Option<Array> {
    let (head, status) = (lines.first()?, lines.get(1)?);
    let mut words = head.split_whitespace();
    let (name, activity) = (words.next()?, words.nth(1)?);
    let is_active = match activity {
        "active" => true,
        "inactive" => false,
        _ => return None,
    };
    let (blocks, rest) = status.trim().split_once(" blocks")?;
    let blocks = number(blocks)?;
    let disks = count(head, "[");
    let (required, active) = if head.contains("raid0") || head.contains("linear") {
        // These cannot lack a disk, and do not say how many they have.
        (disks, disks)
    } else if is_active {
        bracketed_pair(rest)?
    } else {
        (0.0, 0.0)
    };
    let mut array = Array {
        name: name.to_owned(),
        state: if is_active { "active" } else { "inactive" },
        active,
        required,
        failed: count(head, "(F)"),
        spare: count(head, "(S)"),
        blocks,
        synced: blocks,
    };
    let work = [
        ("recovery", "recovering"),
        ("resync", "resync"),
        ("check", "check"),
    ];
    let found = lines.iter().skip(2).find_map(|line| {
        // Such as «recovery = 8.5%» or «resync=DELAYED».
        let (_, state) = line
            .split_whitespace()
            .filter_map(|word| word.split('=').next())
            .find_map(|word| work.into_iter().find(|(work, _)| *work == word))?;
        Some((*line, state))
    });
    if let Some((line, state)) = found {
        array.state = state;
        array.synced = if line.contains("DELAYED") || line.contains("PENDING") {
            0.0
        } else {
            let (_, done) = line.split_once('(')?;
            number(done.split_once('/')?.0)?
        };
    }
    Some(array)
}

/// How often `what` stands in `line`.
fn count(line: &str, what: &str) -> f64 {
    u32::try_from(line.matches(what).count()).map_or(f64::NAN, f64::from)
}

/// The numbers of `[8/7]`: how many disks there should be, and how many there are.
fn bracketed_pair(text: &str) -> Option<(f64, f64)> {
    text.split('[').find_map(|part| {
        let (inside, _) = part.split_once(']')?;
        let (required, active) = inside.split_once('/')?;
        Some((number(required)?, number(active)?))
    })
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(text: &str, expected: &Expect) {
        let lines: Vec<String> = sections(text)
            .iter()
            .map(|lines| match parse(lines) {
                None => format!("{}: malformed\n", lines[0]),
                Some(a) => format!(
                    "{} {} {}/{} failed {} spare {} synced {}/{}\n",
                    a.name, a.state, a.active, a.required, a.failed, a.spare, a.synced, a.blocks
                ),
            })
            .collect();
        expected.assert_eq(&lines.concat());
    }

    #[test]
    fn arrays_in_every_state_are_read() {
        check(
            "\
Personalities : [raid0] [raid1] [raid6]
md0 : active raid1 nvme1n1p1[1] nvme0n1p1[0]
      248896 blocks [2/2] [UU]

md6 : active raid1 sdb2[2](F) sdc[1](S) sda2[0]
      195310144 blocks [2/1] [U_]
      [=>...................]  recovery =  8.5% (16775552/195310144) finish=17.0min speed=2K/sec

md7 : active raid6 sdb1[0] sde1[3](F) sdd1[2] sdc1[1]
      7813735424 blocks super 1.2 level 6, 512k chunk, algorithm 2 [4/3] [U_UU]
      bitmap: 0/30 pages [0KB], 65536KB chunk

md9 : active (auto-read-only) raid1 sdc2[2] sdd2[3]
      523968 blocks super 1.2 [4/4] [UUUU]
        resync=DELAYED

md10 : active raid0 sda1[0] sdb1[1]
      314159265 blocks 64k chunks

md201 : active raid1 sda3[0] sdb3[1]
      1993728 blocks super 1.2 [2/2] [UU]
      [=>...................]  check =  5.7% (114176/1993728) finish=0.2min speed=114176K/sec

md219 : inactive sdb[2](S) sdc[1](S) sda[0](S)
        7932 blocks super external:imsm

md8 : active raid1 sda1[0]
md5 : dreaming raid1 sda1[0]
      many blocks

unused devices: <none>
",
            &expect![[r"
                md0 active 2/2 failed 0 spare 0 synced 248896/248896
                md6 recovering 1/2 failed 1 spare 1 synced 16775552/195310144
                md7 active 3/4 failed 1 spare 0 synced 7813735424/7813735424
                md9 resync 4/4 failed 0 spare 0 synced 0/523968
                md10 active 2/2 failed 0 spare 0 synced 314159265/314159265
                md201 check 2/2 failed 0 spare 0 synced 114176/1993728
                md219 inactive 0/0 failed 0 spare 3 synced 7932/7932
                md8 : active raid1 sda1[0]: malformed
                md5 : dreaming raid1 sda1[0]: malformed
            "]],
        );
    }
}
