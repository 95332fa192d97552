//! Thinning, step by step and with a disk that fails in it.

use super::*;

/// The first half of each record of some length.
pub(super) fn halved(records: &[(u64, &[u8])]) -> Vec<Option<Vec<u8>>> {
    let half = |record: &[u8]| (record.len() > 10).then(|| record[..record.len() / 2].to_vec());
    records.iter().map(|(_, record)| half(record)).collect()
}

/// The sequences of records.
fn numbers(records: &[(u64, &[u8])]) -> Vec<u64> {
    records.iter().map(|(sequence, _)| *sequence).collect()
}

fn lengths(spool: &mut Spool) -> Vec<usize> {
    all(spool)
        .into_iter()
        .map(|(_, record)| record.len())
        .collect()
}

/// What is in a spool of twelve records of 68 bytes when the first `count` of them are thin.
fn thin_lengths(count: usize) -> Vec<usize> {
    (0..12).map(|at| if at < count { 34 } else { 68 }).collect()
}

#[test]
fn the_oldest_segment_is_thinned_first_and_each_once_over_restarts_too() {
    let (disk, mut spool) = filled(12);
    let before = spool.bytes();
    let thinned = spool.thin_oldest(1, &mut halved).unwrap().unwrap();
    assert_eq!((thinned.records, thinned.bytes_saved), (5, 5 * 34));
    assert_eq!(spool.bytes(), before - 5 * 34);
    assert_eq!(sequences(&mut spool), (1..=12).collect::<Vec<_>>());
    assert_eq!(lengths(&mut spool), thin_lengths(5));
    drop(spool);
    let (mut spool, recovery) = open(&disk);
    assert_eq!((recovery.losses, recovery.pending), (vec![], 12));
    assert_eq!(lengths(&mut spool), thin_lengths(5));
    let mut asked = Vec::new();
    let mut note = |records: &[(u64, &[u8])]| {
        asked.extend(numbers(records));
        halved(records)
    };
    assert!(spool.thin_oldest(1, &mut note).unwrap().is_some());
    // The last segment is written to.
    assert_eq!(spool.thin_oldest(1, &mut note).unwrap(), None);
    assert_eq!(asked, [6, 7, 8, 9, 10]);
    assert_eq!(lengths(&mut spool), thin_lengths(10));
    // What is as thin as one level may be made thinner by the next.
    assert!(spool.thin_oldest(2, &mut halved).unwrap().is_some());
    assert_eq!(lengths(&mut spool)[4..6], [17, 34]);
}

#[test]
fn nothing_grows_and_what_is_acknowledged_is_not_looked_at() {
    let (disk, mut spool) = filled(12);
    spool.acknowledge_through(2).unwrap();
    let before = disk.contents();
    let mut asked = Vec::new();
    let mut grown = |records: &[(u64, &[u8])]| {
        asked.extend(numbers(records));
        vec![Some(records[0].1.repeat(2)), None, Some(vec![0])]
    };
    let thinned = spool.thin_oldest(1, &mut grown).unwrap();
    assert_eq!(thinned, Some(Thinned::default()));
    assert_eq!(asked, [3, 4, 5]);
    assert_eq!(disk.contents(), before, "nothing is written for nothing");
    drop(spool);
    // Whether there is something to gain is found out anew.
    let (mut spool, _) = open(&disk);
    let thinned = spool.thin_oldest(1, &mut halved).unwrap();
    assert_eq!(thinned.map(|it| it.records), Some(3));
}

#[test]
fn one_record_may_say_what_several_said() {
    let (disk, mut spool) = filled(12);
    let mut into_the_last = |records: &[(u64, &[u8])]| {
        let mut thin = vec![Some(Vec::new()); records.len()];
        thin[records.len() - 1] = Some(vec![7; 200]);
        thin
    };
    let thinned = spool.thin_oldest(1, &mut into_the_last).unwrap().unwrap();
    assert_eq!((thinned.records, thinned.bytes_saved), (5, 5 * 68 - 200));
    assert_eq!(lengths(&mut spool)[..6], [0, 0, 0, 0, 200, 68]);
    drop(spool);
    let (mut spool, _) = open(&disk);
    assert_eq!(lengths(&mut spool)[..6], [0, 0, 0, 0, 200, 68]);
}

#[test]
fn a_reader_goes_on_where_it_was_when_the_segment_under_it_is_thinned() {
    let (_, mut spool) = filled(12);
    assert_eq!(spool.read_from(1, 3, usize::MAX).unwrap().len(), 3);
    spool.thin_oldest(1, &mut halved).unwrap();
    let rest = spool.read_from(4, 2, usize::MAX).unwrap();
    assert_eq!(rest, [(4, vec![3; 34]), (5, vec![4; 34])]);
    spool.acknowledge_through(5).unwrap();
    assert_eq!(sequences(&mut spool), (6..=12).collect::<Vec<_>>());
}

#[test]
fn a_disk_without_room_for_the_thinner_segment_leaves_the_old_one() {
    let (disk, mut spool) = filled(12);
    for room in 0..28 + 5 * (16 + 34) {
        disk.set_room(Some(room));
        let error = spool.thin_oldest(1, &mut halved).unwrap_err();
        assert!(matches!(error, Error::DiskFull { .. }), "{error}");
    }
    assert_eq!(lengths(&mut spool), thin_lengths(0));
    disk.set_room(None);
    spool.thin_oldest(1, &mut halved).unwrap();
    assert_eq!(lengths(&mut spool), thin_lengths(5));
}

#[test]
fn a_reserve_lets_a_full_disk_be_thinned_and_is_there_again_after_it() {
    let disk = MemoryDisk::default();
    let config = Config {
        reserve_bytes: 512,
        ..CONFIG
    };
    let (mut spool, _) = Spool::open(disk.clone(), config).unwrap();
    for byte in 0..12 {
        spool.append(&[byte; 68]).unwrap();
    }
    spool.sync().unwrap();
    let used = |disk: &MemoryDisk| -> usize {
        let files = disk.contents();
        files.iter().map(|(_, bytes)| bytes.len()).sum()
    };
    let has_reserve = |disk: &MemoryDisk| {
        let files = disk.contents();
        files
            .iter()
            .any(|(name, bytes)| name == "reserve" && bytes.len() == 512)
    };
    assert!(has_reserve(&disk));
    disk.set_capacity(Some(used(&disk)));
    spool.append(&[9; 68]).unwrap_err();
    spool.thin_oldest(1, &mut halved).unwrap();
    assert_eq!(lengths(&mut spool), thin_lengths(5));
    assert!(has_reserve(&disk));
    // What was saved is there for others.
    assert_eq!(spool.append(&[9; 68]).unwrap(), 13);
    // Others have taken all of it: then it is spent, and kept again when there is room.
    disk.set_capacity(Some(used(&disk) - 200));
    spool.thin_oldest(1, &mut halved).unwrap();
    assert_eq!(lengths(&mut spool), thin_lengths(10));
    assert!(!has_reserve(&disk));
    drop(spool);
    let (mut spool, _) = Spool::open(disk.clone(), config).unwrap();
    assert!(!has_reserve(&disk));
    spool.drop_oldest().unwrap();
    assert!(has_reserve(&disk));
}

#[test]
fn a_power_loss_around_thinning_leaves_the_segment_as_it_was_or_as_it_is_to_be() {
    for chance in 0..8 {
        for (fails, thin) in [(0, 5), (1, 5)] {
            let (disk, mut spool) = filled(12);
            disk.fail_replacements(fails);
            let done = spool.thin_oldest(1, &mut halved);
            assert_eq!(done.is_err(), fails == 1);
            assert_eq!(lengths(&mut spool), thin_lengths(thin));
            spool.append(b"later").unwrap();
            drop(spool);
            disk.crash(|| chance);
            let (mut spool, recovery) = open(&disk);
            assert_eq!((recovery.losses, recovery.set_aside), (vec![], vec![]));
            assert_eq!(lengths(&mut spool)[..12], thin_lengths(thin));
        }
    }
}

#[test]
fn a_failure_after_the_thinner_segment_is_there_harms_nothing() {
    let (disk, mut spool) = filled(12);
    disk.fail_replacements(1);
    let error = spool.thin_oldest(1, &mut halved).unwrap_err();
    assert!(error.is_retryable());
    let in_files = |disk: &MemoryDisk| -> usize {
        let files = disk.contents().into_iter();
        files
            .filter(|(name, _)| segment_first(name).is_some())
            .map(|(_, bytes)| bytes.len())
            .sum()
    };
    assert_eq!(spool.bytes(), in_files(&disk) as u64);
    assert_eq!(lengths(&mut spool), thin_lengths(5));
    spool.thin_oldest(1, &mut halved).unwrap();
    assert_eq!(
        lengths(&mut spool),
        thin_lengths(10),
        "each is thinned once"
    );
}

#[test]
fn a_damaged_record_is_set_aside_when_thinning_meets_it() {
    let (disk, mut spool) = filled(12);
    let name = segments(&disk).remove(0);
    disk.damage(&name, |bytes| bytes[28 + 2 * 84 + 50] ^= 1);
    let thinned = spool.thin_oldest(1, &mut halved).unwrap();
    let saved = Thinned {
        records: 0,
        bytes_saved: 3 * 84,
    };
    assert_eq!(thinned, Some(saved));
    let loss = Loss {
        first: 3,
        last: 5,
        reason: Reason::Damaged,
        span: Some((1, 5)),
    };
    assert_eq!(spool.losses(), [loss]);
    spool.thin_oldest(1, &mut halved).unwrap();
    assert_eq!(lengths(&mut spool)[..3], [34, 34, 68]);
    let aside = format!("damaged/{name}.0");
    assert!(disk.contents().iter().any(|(have, _)| *have == aside));
}

#[test]
fn a_thinned_segment_that_is_damaged_keeps_its_level() {
    let (disk, mut spool) = filled(12);
    spool.thin_oldest(1, &mut halved).unwrap();
    drop(spool);
    let name = segments(&disk).remove(0);
    disk.damage(&name, |bytes| bytes[28 + 3 * 50 + 20] ^= 1);
    let (mut spool, recovery) = open(&disk);
    assert_eq!(recovery.losses.len(), 1);
    let mut asked = Vec::new();
    let mut note = |records: &[(u64, &[u8])]| {
        asked.extend(numbers(records));
        Vec::new()
    };
    spool.thin_oldest(1, &mut note).unwrap();
    assert_eq!(asked, [6, 7, 8, 9, 10]);
}
