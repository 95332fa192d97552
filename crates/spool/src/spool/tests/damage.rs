//! Bytes that the disk does not give back.

use super::*;

/// What Linux says of a bad sector, and of a process with too many files.
const EIO: i32 = 5;
const EMFILE: i32 = 24;

/// A spool with `count` records of a kilobyte, three to a segment.
fn of_kilobytes(count: u8) -> (MemoryDisk, Spool) {
    let disk = MemoryDisk::default();
    let mut spool = open_wide(&disk).0;
    for byte in 0..count {
        spool.append(&[byte; 1024]).unwrap();
    }
    spool.sync().unwrap();
    (disk, spool)
}

fn open_wide(disk: &MemoryDisk) -> (Spool, Recovery) {
    let config = Config {
        bytes_max: 64 * 1024,
        segment_bytes: 12 * 1024,
        ..CONFIG
    };
    Spool::open(disk.clone(), config).unwrap()
}

fn lost(spool: &Spool) -> Vec<(u64, u64, Reason)> {
    let losses = spool.losses().iter();
    losses.map(|it| (it.first, it.last, it.reason)).collect()
}

#[test]
fn a_bad_sector_costs_the_rest_of_its_segment_and_no_more() {
    for found_while_reading in [false, true] {
        let (disk, mut spool) = filled(12);
        let name = segments(&disk).remove(1);
        assert!(disk.spoil(&name, 28 + 2 * 84..28 + 2 * 84 + 1));
        if !found_while_reading {
            drop(spool);
            spool = open(&disk).0;
        }
        // What comes before it in the same page is read only where records are read one by one.
        let first = if found_while_reading { 8 } else { 6 };
        assert_eq!(
            sequences(&mut spool),
            (1..first).chain(11..=12).collect::<Vec<_>>()
        );
        assert_eq!(lost(&spool), [(first, 10, Reason::Damaged)]);
        let aside = format!("damaged/{name}.0");
        assert!(disk.contents().iter().any(|(have, _)| *have == aside));
        assert_eq!(spool.append(b"x").unwrap(), 13);
    }
}

#[test]
fn pages_before_a_bad_one_are_kept() {
    let (disk, spool) = of_kilobytes(20);
    drop(spool);
    // Eleven records to a segment; the fourth ends in the second page.
    disk.spoil(&segments(&disk)[0], 9000..9001);
    let (mut spool, _) = open_wide(&disk);
    assert_eq!(lost(&spool), [(8, 11, Reason::Damaged)]);
    assert_eq!(
        sequences(&mut spool),
        (1..8).chain(12..=20).collect::<Vec<_>>()
    );
}

#[test]
fn a_bad_sector_in_the_last_segment_never_lets_a_number_be_given_out_twice() {
    let (disk, spool) = of_kilobytes(10);
    drop(spool);
    // The last record touches it, so no whole one is behind it.
    disk.spoil(&segments(&disk)[0], 10_000..10_001);
    let (mut spool, _) = open_wide(&disk);
    let [(8, last, Reason::Damaged)] = lost(&spool)[..] else {
        panic!("{:?}", spool.losses());
    };
    assert!((10..10 + 260).contains(&last), "{last}");
    assert_eq!(spool.append(b"x").unwrap(), last + 1);
    spool.sync().unwrap();
    assert_eq!(sequences(&mut spool).len(), 7 + 1);
}

#[test]
fn a_segment_that_cannot_be_read_at_all_does_not_keep_the_spool_from_opening() {
    let (disk, spool) = filled(12);
    drop(spool);
    for name in segments(&disk) {
        disk.spoil(&name, 0..usize::MAX);
    }
    let (mut spool, recovery) = open(&disk);
    assert_eq!(recovery.set_aside.len(), 3);
    assert_eq!(sequences(&mut spool), []);
    assert!(spool.append(b"x").unwrap() > 12);
}

#[test]
fn state_that_cannot_be_read_is_set_aside() {
    let (disk, mut spool) = filled(40);
    let lost = spool.losses().to_vec();
    spool.losses_told(&lost).unwrap();
    spool.acknowledge_through(22).unwrap();
    let epoch = spool.epoch();
    drop(spool);
    for name in [EPOCH_FILE, LOSSES_FILE, ACKNOWLEDGED_FILE] {
        assert!(disk.spoil(name, 0..1));
    }
    let (mut spool, recovery) = open(&disk);
    assert_eq!(recovery.set_aside, ["damaged/epoch.0", "damaged/losses.0"]);
    assert_eq!(spool.epoch(), epoch);
    assert_eq!(sequences(&mut spool), (21..=40).collect::<Vec<_>>());
    spool.acknowledge_through(23).unwrap();
}

#[test]
fn a_segment_that_is_thinned_or_dropped_may_be_unreadable() {
    let (disk, mut spool) = filled(20);
    disk.spoil(&segments(&disk)[0], 200..201);
    spool.thin_oldest(1, &mut thin::halved).unwrap();
    assert_eq!(lost(&spool), [(1, 5, Reason::Damaged)]);
    disk.spoil(&segments(&disk)[0], 200..201);
    assert!(spool.drop_oldest().unwrap());
    assert_eq!(sequences(&mut spool), (11..=20).collect::<Vec<_>>());
}

#[test]
fn an_error_that_says_nothing_of_the_bytes_is_no_damage() {
    let (disk, mut spool) = filled(12);
    disk.fail_reads(1, EMFILE);
    let error = spool.read_from(1, 9, 9999).unwrap_err();
    assert!(matches!(error, Error::Disk { .. }) && error.is_retryable());
    assert_eq!(sequences(&mut spool).len(), 12);
    drop(spool);
    disk.fail_reads(1, EMFILE);
    assert!(Spool::open(disk.clone(), CONFIG).is_err());
    assert_eq!(sequences(&mut open(&disk).0).len(), 12);
    // One that the disk could give the second time is none either.
    disk.fail_reads(1, EIO);
    let (mut spool, _) = open(&disk);
    assert_eq!(sequences(&mut spool).len(), 12);
}
