//! Opening a spool whose files hold anything: what it finds it gives out, counts as lost or sets aside,
//! it can be written to, and it is found again as it was left.
#![no_main]

use fuzz::{Input, MIB, seal, within};
use libfuzzer_sys::fuzz_target;
use spool::{Config, Disk, Error, MemoryDisk, Reason, Spool};

const CONFIG: Config = Config {
    bytes_max: 4096,
    segment_bytes: 1024,
    epoch_if_new: 7,
    reserve_bytes: 0,
    span_of: |record| {
        let at = i64::from(*record.first()?);
        Some((at, at))
    },
};

fuzz_target!(|data: &[u8]| {
    let disk = MemoryDisk::default();
    put_files(&mut Input::new(data), &disk);
    within(8 * MIB, || use_spool(&disk));
});

/// Files under names of ours, most of them with right checksums.
fn put_files(input: &mut Input<'_>, disk: &MemoryDisk) {
    let mut disk = disk.clone();
    for _ in 0..16 {
        if input.is_empty() {
            return;
        }
        let kind = input.u8();
        let (name, bytes) = match kind % 8 {
            0 => ("epoch".to_owned(), state(input, *b"VDSE", 1)),
            1 => {
                let version = 1 + (kind >> 3) % 3;
                ("losses".to_owned(), state(input, *b"VDSL", version))
            }
            2 => ("acknowledged".to_owned(), state(input, *b"VDSA", 1)),
            3 => (segment_name(number(input)), input.piece().to_vec()),
            4 => {
                let names = ["epoch", "losses", "acknowledged", "other", "0.seg"];
                let name = names[usize::from(input.u8()) % names.len()];
                (name.to_owned(), input.piece().to_vec())
            }
            _ => segment(input),
        };
        disk.replace(&name, &bytes).expect("memory is not full");
    }
}

fn state(input: &mut Input<'_>, magic: [u8; 4], version: u8) -> Vec<u8> {
    seal::behind(&[&magic[..], &[version, 0, 0, 0], input.piece()].concat())
}

/// A small number, or any.
fn number(input: &mut Input<'_>) -> u64 {
    match input.u8() {
        255 => input.u64(),
        small => small.into(),
    }
}

fn segment_name(first: u64) -> String {
    format!("{first:020}.seg")
}

/// A segment of some records, with bytes between them that are none.
fn segment(input: &mut Input<'_>) -> (String, Vec<u8>) {
    let first = number(input);
    let flags = input.u8();
    let said = if flags & 1 == 0 { first } else { number(input) };
    let version = if flags & 2 == 0 { 1 } else { input.u8() };
    let level = flags >> 3 & 1;
    let mut bytes = seal::segment_head(version, level, said, number(input));
    let mut sequence = first;
    for _ in 0..flags >> 4 {
        let kind = input.u8();
        if kind & 7 == 0 {
            sequence = number(input);
        }
        if kind & 7 == 1 {
            bytes.extend_from_slice(input.piece());
        } else {
            bytes.extend(seal::record(sequence, input.piece()));
        }
        sequence = sequence.wrapping_add(1);
    }
    if flags & 4 == 0 {
        bytes.truncate(bytes.len() - usize::from(input.u8()).min(bytes.len()));
    }
    (segment_name(first), bytes)
}

fn use_spool(disk: &MemoryDisk) {
    let (mut spool, recovery) = match Spool::open(disk.clone(), CONFIG) {
        Ok(opened) => opened,
        Err(Error::UnknownVersion { .. }) => return,
        Err(error) => panic!("a disk that works and {error}"),
    };
    assert_eq!(recovery.pending, spool.pending());
    let next = spool.next_sequence();
    let found = read_all(&mut spool);
    assert!(found.iter().all(|(sequence, _)| *sequence < next));
    assert!(found.is_sorted_by(|a, b| a.0 < b.0));
    // What was found to be lost is not given out.
    for loss in recovery.losses {
        assert!(loss.first <= loss.last && loss.last < next, "{loss:?}");
        let given = found
            .iter()
            .any(|it| (loss.first..=loss.last).contains(&it.0));
        assert!(!given, "{loss:?}");
    }

    match spool.append(b"one") {
        Ok(given) => assert_eq!(given, next),
        Err(Error::SequencesExhausted) => return assert_eq!(next, u64::MAX / 2),
        Err(error) => panic!("a disk that works and {error}"),
    }
    spool.sync().expect("the disk works");
    let before = read_all(&mut spool);
    assert_eq!(before.last(), Some(&(next, b"one".to_vec())));
    let losses = spool.losses().to_vec();
    drop(spool);
    let (mut spool, recovery) = Spool::open(disk.clone(), CONFIG).expect("it was mended");
    assert_eq!((recovery.losses, recovery.cut_bytes), (vec![], 0));
    assert_eq!(spool.losses(), losses);
    assert_eq!(read_all(&mut spool), before);
    make_room(&mut spool, &before);
    let losses = spool.losses().to_vec();
    spool.losses_told(&losses).expect("the disk works");
    assert_eq!(spool.losses(), []);
    let last = spool.synced_next_sequence() - 1;
    spool.acknowledge_through(last).expect("it was given out");
    assert_eq!((spool.pending(), read_all(&mut spool)), (0, vec![]));
}

/// Makes records thinner, drops some and skips some: what is left is what was there.
fn make_room(spool: &mut Spool, before: &[(u64, Vec<u8>)]) {
    let mut half = |records: &[(u64, &[u8])]| {
        let half = |record: &[u8]| Some(record[..record.len() / 2].to_vec());
        records.iter().map(|(_, record)| half(record)).collect()
    };
    while spool
        .thin_oldest(1, &mut half)
        .expect("the disk works")
        .is_some()
    {}
    let thin = read_all(spool);
    assert!(
        thin.iter()
            .zip(before)
            .all(|(thin, whole)| thin.0 == whole.0 && whole.1.starts_with(&thin.1))
    );
    assert_eq!(thin.len(), before.len());
    spool.drop_oldest().expect("the disk works");
    assert!(thin.ends_with(&read_all(spool)));
    match spool.skip(3, Reason::Unwritten, Some((1, 2))) {
        Ok(()) | Err(Error::SequencesExhausted) => {}
        Err(error) => panic!("a disk that works and {error}"),
    }
}

fn read_all(spool: &mut Spool) -> Vec<(u64, Vec<u8>)> {
    let first = spool.oldest_sequence();
    let records = spool.read_from(first, usize::MAX, usize::MAX);
    records.expect("the disk works")
}
