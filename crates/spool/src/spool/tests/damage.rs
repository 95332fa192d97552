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

fn loss(first: u64, last: u64) -> (u64, u64, Reason) {
    (first, last, Reason::Damaged)
}

/// Twelve records, of which the eighth is damaged.
fn damaged_eighth(config: Config) -> (MemoryDisk, Spool, String) {
    let disk = MemoryDisk::default();
    let (mut spool, _) = Spool::open(disk.clone(), config).unwrap();
    for byte in 0..12 {
        spool.append(&[byte; 68]).unwrap();
    }
    spool.sync().unwrap();
    let name = segments(&disk).remove(1);
    disk.damage(&name, |bytes| bytes[28 + 2 * 84 + 50] ^= 1);
    (disk, spool, name)
}

/// What is left of those.
const LEFT: [u64; 9] = [1, 2, 3, 4, 5, 6, 7, 11, 12];

#[test]
fn on_a_full_disk_good_records_of_a_damaged_segment_stay_and_what_follows_is_read() {
    for room in 0..400 {
        for found_while_reading in [false, true] {
            let (disk, mut spool, name) = damaged_eighth(CONFIG);
            disk.set_room(Some(room));
            if !found_while_reading {
                drop(spool);
                spool = open(&disk).0;
            }
            assert_eq!(sequences(&mut spool), LEFT, "{room}");
            assert_eq!(sequences(&mut spool), LEFT, "{room}");
            // The process may end before there is room.
            drop(spool);
            let (mut spool, _) = open(&disk);
            assert_eq!(sequences(&mut spool), LEFT, "{room}");
            disk.set_room(None);
            spool.sync().unwrap();
            assert_eq!(sequences(&mut spool), LEFT, "{room}");
            let declared = spool.losses().iter();
            let declared: Vec<_> = declared.map(|it| (it.first, it.last)).collect();
            assert_eq!(declared, [(8, 10)], "{room}");
            // What is damaged is kept when the rest is not needed any more.
            assert_eq!(spool.append(b"x").unwrap(), 13);
            spool.sync().unwrap();
            spool.acknowledge_through(12).unwrap();
            let aside = format!("damaged/{name}.0");
            assert!(disk.contents().iter().any(|(have, _)| *have == aside));
            drop(spool);
            assert_eq!(sequences(&mut open(&disk).0), [13]);
        }
    }
}

#[test]
fn a_loss_found_on_a_full_disk_is_told_and_written_when_there_is_room() {
    let (disk, mut spool, _) = damaged_eighth(CONFIG);
    disk.set_room(Some(0));
    assert_eq!(sequences(&mut spool), LEFT);
    assert_eq!(lost(&spool), [loss(8, 10)]);
    disk.set_room(None);
    spool.sync().unwrap();
    let told = spool.losses().to_vec();
    spool.losses_told(&told).unwrap();
    drop(spool);
    let (spool, recovery) = open(&disk);
    assert_eq!((spool.losses(), recovery.losses), (&[][..], vec![]));
}

#[test]
fn a_loss_at_the_end_that_cannot_be_written_is_not_told_before_it_is() {
    let (disk, spool) = filled(3);
    drop(spool);
    disk.damage(&segments(&disk)[0], |bytes| bytes[28 + 84 + 30] ^= 1);
    disk.set_room(Some(0));
    let (mut spool, recovery) = open(&disk);
    assert_eq!((spool.losses(), recovery.losses.len()), (&[][..], 1));
    assert_eq!(sequences(&mut spool), [1]);
    assert!(matches!(spool.append(b"x"), Err(Error::DiskFull { .. })));
    disk.set_room(None);
    assert_eq!(spool.append(b"x").unwrap(), 4);
    spool.sync().unwrap();
    assert_eq!(lost(&spool), [loss(2, 3)]);
    assert_eq!(sequences(&mut spool), [1, 4]);
    drop(spool);
    assert_eq!(sequences(&mut open(&disk).0), [1, 4]);
}

#[test]
fn the_reserve_pays_for_the_good_beginning_of_a_damaged_segment() {
    let with_reserve = Config {
        reserve_bytes: 512,
        ..CONFIG
    };
    for found_while_reading in [false, true] {
        let (disk, mut spool, name) = damaged_eighth(with_reserve);
        let used: usize = disk.contents().iter().map(|(_, bytes)| bytes.len()).sum();
        disk.set_capacity(Some(used));
        if !found_while_reading {
            drop(spool);
            spool = Spool::open(disk.clone(), with_reserve).unwrap().0;
        }
        assert_eq!(sequences(&mut spool), LEFT);
        let aside = format!("damaged/{name}.0");
        assert!(disk.contents().iter().any(|(have, _)| *have == aside));
    }
}

#[test]
fn the_good_beginning_is_there_whatever_call_the_power_fails_in() {
    // Neither the note nor the new file is lost between two steps.
    let (disk, mut spool, name) = damaged_eighth(CONFIG);
    assert_eq!(sequences(&mut spool), LEFT);
    disk.crash(|| 0);
    assert_eq!(sequences(&mut open(&disk).0), LEFT);
    let whole = |name: &str| disk.contents().into_iter().find(|it| it.0 == name).unwrap();
    assert!(whole(&name).1.len() < whole(&format!("damaged/{name}.0")).1.len());
}

#[test]
fn a_spool_opens_on_a_full_disk_and_takes_records_when_there_is_room() {
    for room in [0, 10, 25, 45] {
        let disk = MemoryDisk::default();
        disk.set_room(Some(room));
        let (mut spool, recovery) = open(&disk);
        assert!(recovery.created);
        assert!(matches!(spool.append(b"x"), Err(Error::DiskFull { .. })));
        spool.sync().unwrap();
        assert_eq!((sequences(&mut spool), spool.pending()), (vec![], 0));
        assert!(!spool.drop_oldest().unwrap());
        disk.set_room(None);
        assert_eq!(spool.append(b"x").unwrap(), 1);
        spool.sync().unwrap();
        drop(spool);
        let (mut spool, recovery) = open(&disk);
        assert_eq!((recovery.created, spool.epoch()), (false, 42));
        assert_eq!(sequences(&mut spool), [1]);
    }
}

#[test]
fn what_could_not_be_kept_by_a_spool_opened_on_a_full_disk_is_a_loss() {
    let disk = MemoryDisk::default();
    disk.set_room(Some(0));
    let (mut spool, _) = open(&disk);
    spool.skip(3, Reason::Unwritten, None).unwrap_err();
    disk.set_room(None);
    spool.skip(3, Reason::Unwritten, None).unwrap();
    assert_eq!(spool.append(b"x").unwrap(), 4);
    spool.sync().unwrap();
    assert_eq!(lost(&spool), [(1, 3, Reason::Unwritten)]);
    drop(spool);
    assert_eq!(sequences(&mut open(&disk).0), [4]);
}

#[test]
fn a_directory_sets_a_file_aside_and_puts_another_in_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let mut disk = Directory::open(folder.path()).unwrap();
    disk.replace("a", b"old").unwrap();
    assert_eq!(disk.replace_aside("a", b"new").unwrap(), "damaged/a.0");
    assert_eq!(disk.replace_aside("a", b"newer").unwrap(), "damaged/a.1");
    assert_eq!(disk.set_aside("a").unwrap(), "damaged/a.2");
    disk.replace_aside("a", b"none").unwrap_err();
    for (turn, bytes) in ["old", "new", "newer"].iter().enumerate() {
        let path = folder.path().join(format!("damaged/a.{turn}"));
        assert_eq!(std::fs::read(path).unwrap(), bytes.as_bytes());
    }
    assert!(disk.list().unwrap().is_empty());
}

#[test]
fn what_is_set_aside_has_a_bound_and_the_oldest_goes_first() {
    let folder = tempfile::tempdir().unwrap();
    let memory = MemoryDisk::default();
    let directory = Directory::open(folder.path()).unwrap();
    let disks: [Box<dyn crate::Disk>; 2] = [Box::new(memory), Box::new(directory)];
    for mut disk in disks {
        // A segment of 512 bytes is more than a tenth of 2048.
        for name in ["epoch", "losses"] {
            disk.replace(name, &[7; 300]).unwrap();
        }
        let (mut spool, recovery) = super::super::recover::open(disk, CONFIG).unwrap();
        assert_eq!(recovery.set_aside, ["damaged/epoch.0", "damaged/losses.0"]);
        let damage = spool.take_damage();
        assert_eq!((damage.files, damage.files_removed), (2, 1));
        assert_eq!(damage.set_aside, recovery.set_aside);
        assert_eq!(damage.removed, ["damaged/epoch.0"]);
        assert_eq!(spool.damaged_bytes(), 300);
        assert_eq!(spool.take_damage(), Damage::default());
    }
}

#[test]
fn a_file_set_aside_while_reading_is_told() {
    let (_, mut spool, name) = damaged_eighth(CONFIG);
    assert_eq!(sequences(&mut spool), LEFT);
    let damage = spool.take_damage();
    assert_eq!(
        (damage.files, damage.set_aside),
        (1, vec![format!("damaged/{name}.0")])
    );
    assert_eq!(spool.damaged_bytes(), 28 + 5 * 84);
}

#[test]
fn the_times_around_a_loss_are_known_if_there_are_records_on_both_sides() {
    let (_, mut spool) = filled(12);
    assert_eq!(spool.span_around(3, 4), Some((1, 4)));
    assert_eq!(spool.span_around(6, 10), Some((4, 10)));
    assert_eq!(spool.span_around(1, 3), None);
    assert_eq!(spool.span_around(9, 12), None);
}
