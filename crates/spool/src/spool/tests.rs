mod damage;
mod room;
mod thin;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::loss::Reason;
use crate::record::segment_first;
use crate::state::{LOSSES_FILE, losses_bytes};
use crate::{Directory, MemoryDisk};

const CONFIG: Config = Config {
    bytes_max: 2048,
    segment_bytes: 512,
    epoch_if_new: 42,
    reserve_bytes: 0,
    span_of,
};

/// The first byte of a record is its time.
fn span_of(record: &[u8]) -> Option<Span> {
    record
        .first()
        .map(|byte| (i64::from(*byte), i64::from(*byte)))
}

fn open(disk: &MemoryDisk) -> (Spool, Recovery) {
    Spool::open(disk.clone(), CONFIG).unwrap()
}

fn all(spool: &mut Spool) -> Vec<(u64, Vec<u8>)> {
    spool.read_from(0, usize::MAX, usize::MAX).unwrap()
}

fn sequences(spool: &mut Spool) -> Vec<u64> {
    all(spool)
        .into_iter()
        .map(|(sequence, _)| sequence)
        .collect()
}

/// A spool with `count` synced records of 84 bytes on disk: five a segment.
fn filled(count: u8) -> (MemoryDisk, Spool) {
    let disk = MemoryDisk::default();
    let (mut spool, _) = open(&disk);
    for byte in 0..count {
        spool.append(&[byte; 68]).unwrap();
    }
    spool.sync().unwrap();
    (disk, spool)
}

fn segments(disk: &MemoryDisk) -> Vec<String> {
    let names = disk.contents().into_iter().map(|(name, _)| name);
    names.filter(|name| segment_first(name).is_some()).collect()
}

#[test]
fn records_come_back_in_order_and_only_when_synced() {
    let (_, mut spool) = filled(3);
    assert_eq!(spool.append(b"later").unwrap(), 4);
    assert_eq!(sequences(&mut spool), [1, 2, 3]);
    spool.sync().unwrap();
    assert_eq!(all(&mut spool)[3], (4, b"later".to_vec()));
    assert_eq!(spool.read_from(2, 1, usize::MAX).unwrap()[0].0, 2);
    assert_eq!(spool.read_from(1, 9, 100).unwrap().len(), 1);
    assert_eq!(spool.read_from(1, 9, 136).unwrap().len(), 2);
    assert_eq!(spool.read_from(1, 9, 0).unwrap().len(), 1);
    assert_eq!((spool.pending(), spool.next_sequence()), (4, 5));
}

#[test]
fn numbers_go_on_after_everything_was_acknowledged_and_the_process_restarted() {
    let (disk, mut spool) = filled(12);
    spool.acknowledge_through(12).unwrap();
    assert_eq!((spool.pending(), segments(&disk).len()), (0, 1));
    let epoch = spool.epoch();
    drop(spool);
    let (mut spool, recovery) = Spool::open(
        disk,
        Config {
            epoch_if_new: 43,
            ..CONFIG
        },
    )
    .unwrap();
    assert_eq!(
        (spool.epoch(), recovery.created, recovery.pending),
        (epoch, false, 0)
    );
    assert_eq!(spool.append(b"x").unwrap(), 13);
}

#[test]
fn acknowledging_frees_whole_segments_and_refuses_what_was_never_given() {
    let (disk, mut spool) = filled(12);
    assert_eq!(segments(&disk).len(), 3);
    spool.acknowledge_through(4).unwrap();
    assert_eq!(segments(&disk).len(), 3);
    spool.acknowledge_through(5).unwrap();
    assert_eq!(segments(&disk).len(), 2);
    assert_eq!(sequences(&mut spool)[0], 6);
    spool.append(b"not synced").unwrap();
    assert!(matches!(
        spool.acknowledge_through(13),
        Err(Error::NeverGiven { got: 13, last: 12 })
    ));
    spool.acknowledge_through(3).unwrap();
    assert_eq!(spool.acknowledged_through(), 5);
}

#[test]
fn at_the_bound_the_oldest_go_and_the_loss_is_kept_until_it_is_told() {
    let (disk, mut spool) = filled(40);
    assert!(spool.bytes() <= CONFIG.bytes_max);
    let lost = spool.losses().to_vec();
    assert_eq!(
        lost,
        [Loss {
            first: 1,
            last: 20,
            reason: Reason::Full,
            span: Some((0, 19)),
        }]
    );
    assert_eq!(sequences(&mut spool), (21..=40).collect::<Vec<_>>());
    drop(spool);
    let (mut spool, recovery) = open(&disk);
    assert_eq!(recovery.losses, []);
    assert_eq!(spool.losses(), lost);
    spool.losses_told(&lost).unwrap();
    drop(spool);
    assert_eq!(open(&disk).0.losses(), []);
}

#[test]
fn a_new_epoch_keeps_the_records_and_their_numbers_over_a_restart() {
    for loses_the_file in [false, true] {
        let (mut disk, mut spool) = filled(12);
        spool.acknowledge_through(2).unwrap();
        spool.append(&[12; 68]).unwrap();
        let error = spool.begin_epoch(CONFIG.epoch_if_new).unwrap_err();
        assert!(matches!(error, Error::EpochNotLater { got: 42, now: 42 }));
        spool.begin_epoch(77).unwrap();
        assert_eq!(spool.epoch(), 77);
        assert_eq!(spool.append(b"later").unwrap(), 14);
        spool.sync().unwrap();
        drop(spool);
        if loses_the_file {
            disk.remove(EPOCH_FILE).unwrap();
        }
        let (mut spool, recovery) = open(&disk);
        assert_eq!(
            (spool.epoch(), recovery.losses, recovery.set_aside),
            (77, vec![], vec![])
        );
        assert_eq!(sequences(&mut spool), (3..=14).collect::<Vec<_>>());
        spool.acknowledge_through(14).unwrap();
        assert_eq!(spool.append(b"x").unwrap(), 15);
    }
}

#[test]
fn a_new_epoch_that_finds_no_room_can_be_begun_again() {
    let (disk, mut spool) = filled(3);
    disk.set_room(Some(20));
    assert!(spool.begin_epoch(77).unwrap_err().is_retryable());
    disk.set_room(Some(29));
    assert!(spool.begin_epoch(78).unwrap_err().is_retryable());
    drop(spool);
    disk.set_room(None);
    let (mut spool, recovery) = open(&disk);
    assert_eq!((spool.epoch(), recovery.set_aside), (78, vec![]));
    spool.begin_epoch(79).unwrap();
    assert_eq!(sequences(&mut spool), [1, 2, 3]);
}

#[test]
fn a_segment_of_a_later_epoch_belongs_to_another_spool() {
    let (mut disk, spool) = filled(3);
    drop(spool);
    let head = head_bytes(&Head {
        first: 4,
        epoch: 43,
        level: 0,
    });
    disk.replace(&segment_name(4), &head).unwrap();
    let (mut spool, recovery) = open(&disk);
    assert_eq!(
        recovery.set_aside,
        [format!("damaged/{}.0", segment_name(4))]
    );
    assert_eq!(sequences(&mut spool), [1, 2, 3]);
}

#[test]
fn a_number_at_the_end_of_all_numbers_is_no_sequence() {
    for number in [u64::MAX, u64::MAX - 1, u64::MAX / 2 + 1] {
        let (disk, spool) = filled(2);
        drop(spool);
        let mut files = disk.clone();
        let loss = Loss {
            first: number,
            last: number,
            reason: Reason::Full,
            span: None,
        };
        let losses = Losses {
            untold: vec![loss],
            told: vec![],
        };
        let segment = segment_name(number);
        let head = Head {
            first: number,
            epoch: 1,
            level: 0,
        };
        files.replace(&segment, &head_bytes(&head)).unwrap();
        let acknowledged = acknowledged_bytes(number);
        files.replace(ACKNOWLEDGED_FILE, &acknowledged).unwrap();
        let lost = losses_bytes(number, &losses);
        files.replace(LOSSES_FILE, &lost).unwrap();
        let (mut spool, recovery) = open(&disk);
        assert_eq!(
            recovery.set_aside,
            [
                "damaged/losses.0".to_owned(),
                format!("damaged/{segment}.0")
            ]
        );
        assert_eq!(spool.losses(), []);
        assert_eq!(sequences(&mut spool), [1, 2]);
        assert_eq!(spool.append(b"next").unwrap(), 3);
    }
}

#[test]
fn the_last_sequence_is_given_out_once_and_no_other_after_it() {
    let disk = MemoryDisk::default();
    let mut files = disk.clone();
    let almost_all = acknowledged_bytes(SEQUENCE_END - 2);
    files.replace(ACKNOWLEDGED_FILE, &almost_all).unwrap();
    let (mut spool, _) = open(&disk);
    assert_eq!(spool.append(b"last").unwrap(), SEQUENCE_END - 1);
    spool.sync().unwrap();
    let refused = |spool: &mut Spool| spool.append(b"none").unwrap_err();
    assert!(matches!(refused(&mut spool), Error::SequencesExhausted));
    drop(spool);
    let (mut spool, _) = open(&disk);
    assert_eq!(all(&mut spool), [(SEQUENCE_END - 1, b"last".to_vec())]);
    assert!(matches!(refused(&mut spool), Error::SequencesExhausted));
}

#[test]
fn a_torn_tail_is_cut_at_the_last_good_record() {
    let (disk, spool) = filled(3);
    drop(spool);
    let name = segments(&disk).pop().unwrap();
    disk.damage(&name, |bytes| bytes.truncate(bytes.len() - 5));
    let (mut spool, recovery) = open(&disk);
    assert_eq!((recovery.cut_bytes, recovery.losses), (79, vec![]));
    assert_eq!(sequences(&mut spool), [1, 2]);
    assert_eq!(spool.append(b"x").unwrap(), 3);
}

#[test]
fn a_damaged_segment_is_set_aside_its_beginning_kept_and_the_rest_declared_lost() {
    for found_while_reading in [false, true] {
        let (disk, mut spool) = filled(12);
        let name = segments(&disk).remove(1);
        disk.damage(&name, |bytes| bytes[28 + 2 * 84 + 50] ^= 1);
        let loss = Loss {
            first: 8,
            last: 10,
            reason: Reason::Damaged,
            span: Some((6, 10)),
        };
        if !found_while_reading {
            drop(spool);
            let recovery;
            (spool, recovery) = open(&disk);
            assert_eq!(recovery.losses, [loss]);
            assert_eq!(recovery.set_aside, [format!("damaged/{name}.0")]);
        }
        assert_eq!(sequences(&mut spool), [1, 2, 3, 4, 5, 6, 7, 11, 12]);
        assert_eq!(spool.losses(), [loss]);
        assert!(
            disk.contents()
                .iter()
                .any(|(have, _)| *have == format!("damaged/{name}.0"))
        );
        spool.losses_told(&[loss]).unwrap();
        drop(spool);
        let (mut spool, recovery) = open(&disk);
        assert_eq!(recovery.losses, [], "a loss is declared once");
        assert_eq!(sequences(&mut spool), [1, 2, 3, 4, 5, 6, 7, 11, 12]);
    }
}

#[test]
fn damage_in_the_last_segment_never_lets_a_number_be_given_out_twice() {
    let (disk, spool) = filled(3);
    drop(spool);
    let name = segments(&disk).pop().unwrap();
    disk.damage(&name, |bytes| bytes[28 + 84 + 30] ^= 1);
    let (mut spool, recovery) = open(&disk);
    assert_eq!(
        recovery.losses,
        [Loss {
            first: 2,
            last: 3,
            reason: Reason::Damaged,
            span: None,
        }]
    );
    assert_eq!(spool.append(b"x").unwrap(), 4);

    // Not even when nothing of it can be read.
    let (disk, spool) = filled(3);
    drop(spool);
    disk.damage(&segments(&disk).pop().unwrap(), |bytes| bytes.fill(0xee));
    let (mut spool, recovery) = open(&disk);
    assert!(recovery.losses[0].last >= 3);
    assert!(spool.append(b"x").unwrap() > 3);
}

#[test]
fn a_damaged_head_costs_no_record() {
    let (disk, spool) = filled(12);
    drop(spool);
    for name in segments(&disk) {
        disk.damage(&name, |bytes| bytes[9] ^= 1);
    }
    let (mut spool, recovery) = open(&disk);
    assert_eq!((recovery.losses.len(), recovery.set_aside.len()), (0, 3));
    assert_eq!(sequences(&mut spool), (1..=12).collect::<Vec<_>>());
}

#[test]
fn a_missing_segment_is_declared() {
    let (mut disk, spool) = filled(12);
    drop(spool);
    disk.remove(&segments(&disk).remove(1)).unwrap();
    let (mut spool, recovery) = open(&disk);
    assert_eq!(
        recovery.losses,
        [Loss {
            first: 6,
            last: 10,
            reason: Reason::Missing,
            span: Some((4, 10)),
        }]
    );
    assert_eq!(sequences(&mut spool), [1, 2, 3, 4, 5, 11, 12]);
}

#[test]
fn a_segment_that_is_missing_before_a_known_loss_is_declared_at_once() {
    let disk = MemoryDisk::default();
    let loss = |first, last, reason| Loss {
        first,
        last,
        reason,
        span: None,
    };
    let known = Losses {
        untold: vec![loss(3, 5, Reason::Damaged)],
        told: vec![],
    };
    let mut files = disk.clone();
    files
        .replace(LOSSES_FILE, &losses_bytes(1, &known))
        .unwrap();
    let (spool, recovery) = open(&disk);
    assert_eq!(recovery.losses, [loss(1, 2, Reason::Missing)]);
    assert_eq!(spool.next_sequence(), 6);
    drop(spool);
    assert_eq!(open(&disk).1.losses, []);
}

#[test]
fn a_full_disk_is_survived() {
    let (disk, mut spool) = filled(3);
    disk.set_room(Some(20));
    let error = spool.append(&[9; 68]).unwrap_err();
    assert!(matches!(error, Error::DiskFull { .. }) && error.is_retryable());
    assert_eq!(sequences(&mut spool), [1, 2, 3]);
    disk.set_room(None);
    assert_eq!(spool.append(&[9; 68]).unwrap(), 4);
    spool.sync().unwrap();
    drop(spool);
    let (mut spool, recovery) = open(&disk);
    assert_eq!(
        (sequences(&mut spool), recovery.cut_bytes),
        (vec![1, 2, 3, 4], 0)
    );
}

#[test]
fn what_the_next_process_finds_after_a_failed_sync_outlives_a_power_loss() {
    let disk = MemoryDisk::default();
    let mut spool = open(&disk).0;
    spool.append(b"in doubt").unwrap();
    disk.fail_syncs(1);
    spool.sync().unwrap_err();
    drop(spool);
    let mut spool = open(&disk).0;
    spool.append(b"after it").unwrap();
    spool.sync().unwrap();
    let before = all(&mut spool);
    assert_eq!(before.len(), 2);
    drop(spool);
    disk.crash(|| 0);
    assert_eq!(all(&mut open(&disk).0), before);
}

#[test]
fn after_a_failed_sync_the_records_are_written_elsewhere() {
    let (disk, mut spool) = filled(3);
    spool.append(b"in doubt").unwrap();
    disk.fail_syncs(1);
    assert!(spool.sync().unwrap_err().is_retryable());
    assert_eq!(sequences(&mut spool), [1, 2, 3]);
    spool.sync().unwrap();
    disk.crash(|| 0);
    let (mut spool, recovery) = open(&disk);
    assert_eq!(all(&mut spool)[3], (4, b"in doubt".to_vec()));
    assert_eq!(recovery.losses, []);
}

#[test]
fn a_later_version_is_refused_and_left_alone() {
    let (disk, spool) = filled(1);
    drop(spool);
    let name = segments(&disk).pop().unwrap();
    disk.damage(&name, |bytes| {
        bytes[4] = 2;
        let checksum = crc32fast::hash(&bytes[..24]);
        bytes[24..28].copy_from_slice(&checksum.to_le_bytes());
    });
    assert!(matches!(
        Spool::open(disk.clone(), CONFIG),
        Err(Error::UnknownVersion { version: 2, .. })
    ));
    assert_eq!(segments(&disk), [name]);
}

#[test]
fn a_record_larger_than_a_segment_and_a_bad_configuration_are_refused() {
    let (_, mut spool) = filled(0);
    assert!(matches!(
        spool.append(&[0; 469]),
        Err(Error::RecordTooLarge { got: 469, max: 468 })
    ));
    assert_eq!(spool.append(&[0; 468]).unwrap(), 1);
    for (bytes_max, segment_bytes) in [(1000, 512), (1 << 40, 1 << 30), (1000, 10)] {
        let config = Config {
            bytes_max,
            segment_bytes,
            epoch_if_new: 1,
            reserve_bytes: 0,
            span_of,
        };
        assert!(matches!(config.validate(), Err(Error::BadConfig { .. })));
    }
}

#[test]
fn a_directory_is_locked_and_keeps_what_it_is_given() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool");
    let open = || Spool::open(Directory::open(&path).unwrap(), CONFIG).unwrap();
    let (mut spool, recovery) = open();
    assert!(recovery.created);
    let error = Directory::open(&path).unwrap_err();
    assert!(matches!(error, Error::InUse { .. }));
    for byte in 0..12 {
        spool.append(&[byte; 68]).unwrap();
    }
    spool.sync().unwrap();
    spool.acknowledge_through(6).unwrap();
    drop(spool);
    std::fs::write(path.join("00000000000000000099.seg.tmp"), b"unfinished").unwrap();
    let damaged = path.join("00000000000000000006.seg");
    let mut bytes = std::fs::read(&damaged).unwrap();
    bytes[28 + 84 + 20] ^= 1;
    std::fs::write(&damaged, bytes).unwrap();
    let (mut spool, recovery) = open();
    assert_eq!(
        recovery.losses,
        [Loss {
            first: 7,
            last: 10,
            reason: Reason::Damaged,
            span: Some((5, 10)),
        }]
    );
    assert_eq!(sequences(&mut spool), [11, 12]);
    assert!(path.join(&recovery.set_aside[0]).is_file());
}

#[derive(Clone, Debug)]
enum Step {
    Append(usize),
    Sync,
    Acknowledge(u64),
    Tell,
    Room(usize),
    FailSync,
    FailReplacement,
    Thin,
    DropOldest,
    Skip(u64),
    Damage(usize, usize),
    Spoil(usize, usize),
    Restart,
    Crash(Vec<u64>),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0_usize..300).prop_map(Step::Append),
        4 => Just(Step::Sync),
        2 => any::<u64>().prop_map(Step::Acknowledge),
        1 => Just(Step::Tell),
        1 => (0_usize..600).prop_map(Step::Room),
        1 => Just(Step::FailSync),
        1 => Just(Step::FailReplacement),
        3 => Just(Step::Thin),
        1 => Just(Step::DropOldest),
        1 => (0_u64..4).prop_map(Step::Skip),
        1 => (any::<usize>(), any::<usize>()).prop_map(|(file, byte)| Step::Damage(file, byte)),
        1 => (any::<usize>(), any::<usize>()).prop_map(|(file, byte)| Step::Spoil(file, byte)),
        1 => Just(Step::Restart),
        2 => prop::collection::vec(any::<u64>(), 1..8).prop_map(Step::Crash),
    ]
}

/// What a spool promises, in the simplest words.
#[derive(Default)]
struct Model {
    /// What was appended last under each number.
    records: BTreeMap<u64, Vec<u8>>,
    synced_next: u64,
    acknowledged: u64,
    declared: Vec<Loss>,
    /// Numbers that were given to no record.
    skipped: BTreeSet<u64>,
    /// The disk was damaged on purpose, so a loss may be declared for that reason.
    damaged: bool,
}

impl Model {
    fn declare(&mut self, spool: &Spool) {
        if !self.damaged {
            let harmless = |loss: &Loss| match loss.reason {
                Reason::Full | Reason::Unwritten => true,
                Reason::Damaged => loss.last <= self.acknowledged,
                // The note of what was dropped or skipped may be lost, but not the hole.
                Reason::Missing => (loss.first..=loss.last).all(|sequence| {
                    sequence <= self.acknowledged
                        || self.skipped.contains(&sequence)
                        || self.is_declared(sequence)
                }),
            };
            assert!(spool.losses().iter().all(harmless), "{:?}", spool.losses());
        }
        self.declared.extend_from_slice(spool.losses());
    }

    fn is_declared(&self, sequence: u64) -> bool {
        self.declared
            .iter()
            .any(|loss| (loss.first..=loss.last).contains(&sequence))
    }

    fn check(&mut self, spool: &mut Spool) {
        let given: BTreeMap<u64, Vec<u8>> = all(spool).into_iter().collect();
        self.declare(spool);
        for (sequence, payload) in &given {
            let whole = self.records.get(sequence);
            // Damage to a head may let a segment be thinned again.
            let sound = whole.is_some_and(|whole| {
                let mut lengths = std::iter::successors(Some(whole.len()), |length| {
                    (*length > 10).then_some(length / 2)
                });
                let first = if self.damaged { usize::MAX } else { 2 };
                whole.starts_with(payload)
                    && lengths
                        .position(|it| it == payload.len())
                        .is_some_and(|at| at < first)
            });
            assert!(sound, "{sequence}");
            assert!(*sequence < spool.synced_next_sequence());
        }
        for sequence in self.acknowledged + 1..self.synced_next {
            assert!(
                given.contains_key(&sequence) || self.is_declared(sequence),
                "{sequence} is gone without a word"
            );
        }
        assert!(spool.bytes() <= CONFIG.bytes_max);
        assert!(spool.pending() >= given.len() as u64);
    }

    fn skip(&mut self, spool: &mut Spool, count: u64) {
        let first = spool.next_sequence();
        if spool.skip(count, Reason::Unwritten, None).is_ok() {
            assert_eq!(spool.next_sequence(), first + count);
            self.skipped.extend(first..first + count);
        }
    }

    /// Damages a file, but spares the last: damage to its last record looks like a torn tail.
    fn strike(
        &mut self,
        disk: &MemoryDisk,
        spool: &Spool,
        file: usize,
        damage: impl FnOnce(&str) -> bool,
    ) {
        let names = segments(disk);
        if names.len() > 1 && spool.segments.len() == names.len() {
            self.damaged |= damage(&names[file % (names.len() - 1)]);
        }
    }

    /// A new process has opened the spool.
    fn reopened(&mut self, spool: &Spool) {
        // Only numbers that nobody has seen may be given out again.
        assert!(spool.next_sequence() >= self.synced_next);
        let next = spool.next_sequence();
        self.records.retain(|&sequence, _| sequence < next);
        self.synced_next = next;
    }
}

fn run(steps: &[Step]) {
    let disk = MemoryDisk::default();
    let (mut spool, _) = open(&disk);
    let mut model = Model {
        synced_next: 1,
        ..Model::default()
    };
    for (turn, step) in steps.iter().enumerate() {
        let before = turn.checked_sub(1).map(|before| &steps[before]);
        let fails = matches!(before, Some(Step::FailReplacement));
        disk.fail_replacements(usize::from(fails));
        match step {
            Step::Append(len) => {
                let payload = vec![u8::try_from(turn % 251).unwrap(); *len];
                let expected = spool.next_sequence();
                if let Ok(sequence) = spool.append(&payload) {
                    assert_eq!(sequence, expected);
                    model.records.insert(sequence, payload);
                }
            }
            Step::Sync => drop(spool.sync()),
            Step::Acknowledge(part) => {
                let sequence = part % spool.synced_next_sequence();
                // Only the note on disk can fail; the acknowledgement holds.
                drop(spool.acknowledge_through(sequence));
                model.acknowledged = model.acknowledged.max(spool.acknowledged_through());
            }
            Step::Tell => {
                model.declare(&spool);
                let losses = spool.losses().to_vec();
                if spool.losses_told(&losses).is_ok() {
                    assert_eq!(spool.losses(), []);
                }
            }
            Step::Room(room) => disk.set_room(Some(*room)),
            Step::FailSync => disk.fail_syncs(1),
            // For the next step.
            Step::FailReplacement => {}
            Step::Thin => drop(spool.thin_oldest(1, &mut thin::halved)),
            Step::DropOldest => drop(spool.drop_oldest()),
            Step::Skip(count) => model.skip(&mut spool, *count),
            Step::Damage(file, byte) => model.strike(&disk, &spool, *file, |name| {
                disk.damage(name, |bytes| {
                    let at = byte % bytes.len();
                    bytes[at] ^= 0x55;
                })
            }),
            Step::Spoil(file, byte) => model.strike(&disk, &spool, *file, |name| {
                let at = byte % 512;
                disk.spoil(name, at..at + 1)
            }),
            Step::Restart => {
                // The disk may still be full, unless a sync has failed: see `FORMAT.md`, "Not covered".
                if steps.iter().any(|it| matches!(it, Step::FailSync)) {
                    disk.set_room(None);
                }
                disk.fail_syncs(0);
                disk.fail_replacements(0);
                drop(spool);
                spool = open(&disk).0;
                model.reopened(&spool);
            }
            Step::Crash(chances) => {
                drop(spool);
                let mut chances = chances.iter().cycle();
                disk.crash(|| *chances.next().unwrap());
                spool = open(&disk).0;
                model.reopened(&spool);
            }
        }
        model.synced_next = model.synced_next.max(spool.synced_next_sequence());
        disk_lifted(&disk, || model.check(&mut spool));
    }
}

/// Looking must not depend on how full the disk is.
fn disk_lifted(disk: &MemoryDisk, look: impl FnOnce()) {
    let room = disk.room();
    disk.set_room(None);
    disk.fail_replacements(0);
    look();
    disk.set_room(room);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn nothing_synced_and_unacknowledged_is_lost_except_declared(
        steps in prop::collection::vec(step(), 1..120)
    ) {
        run(&steps);
    }

    #[test]
    fn any_bytes_for_segments_can_be_opened(
        files in prop::collection::vec((0_u64..30, prop::collection::vec(any::<u8>(), 0..200)), 0..5),
        cut in any::<prop::sample::Index>(),
    ) {
        let (mut disk, spool) = filled(12);
        drop(spool);
        for (first, bytes) in files {
            disk.replace(&segment_name(first), &bytes).unwrap();
        }
        let names = segments(&disk);
        disk.damage(&names[cut.index(names.len())], |bytes| bytes.truncate(bytes.len() / 2));
        let (mut spool, _) = open(&disk);
        all(&mut spool);
        let sequence = spool.append(b"on it goes").unwrap();
        spool.sync().unwrap();
        prop_assert_eq!(all(&mut spool).pop(), Some((sequence, b"on it goes".to_vec())));
    }
}
