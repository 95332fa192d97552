//! What goes when there is no room, and what could not be kept at all.

use super::*;

#[test]
fn it_is_told_beforehand_when_a_record_would_cost_the_oldest() {
    for bytes in [0, 1, 67, 68, 69, 300, 468] {
        let (_, mut spool) = filled(3);
        for _ in 0..40 {
            let full = spool.is_full_for(bytes);
            let before = spool.oldest_sequence();
            spool.append(&vec![1; bytes]).unwrap();
            assert_eq!(full, spool.oldest_sequence() != before, "{bytes}");
        }
    }
}

#[test]
fn a_loss_says_the_times_of_the_records_that_were_not_acknowledged() {
    let (_, mut spool) = filled(12);
    spool.acknowledge_through(2).unwrap();
    assert!(spool.drop_oldest().unwrap());
    let loss = |first, last, span| Loss {
        first,
        last,
        reason: Reason::Full,
        span,
    };
    assert_eq!(spool.losses(), [loss(3, 5, Some((2, 4)))]);
    assert!(spool.drop_oldest().unwrap());
    assert_eq!(spool.losses(), [loss(3, 10, Some((2, 9)))]);
    assert!(!spool.drop_oldest().unwrap(), "the last one is written to");
    assert_eq!(sequences(&mut spool), [11, 12]);
}

#[test]
fn a_loss_tells_the_times_of_what_can_still_be_read() {
    let (disk, mut spool) = filled(12);
    disk.damage(&segments(&disk)[0], |bytes| bytes[28 + 2 * 84 + 50] ^= 1);
    spool.drop_oldest().unwrap();
    assert_eq!(spool.losses()[0].span, Some((0, 1)));
    assert_eq!(spool.losses()[0].last, 5);
}

#[test]
fn on_a_disk_without_room_for_the_note_the_oldest_goes_first() {
    for ends in [false, true] {
        let (disk, mut spool) = filled(12);
        let used: usize = disk.contents().iter().map(|(_, bytes)| bytes.len()).sum();
        disk.set_capacity(Some(used));
        spool.append(&[9; 68]).unwrap_err();
        assert!(spool.drop_oldest().unwrap());
        let mut loss = Loss {
            first: 1,
            last: 5,
            reason: Reason::Full,
            span: Some((0, 4)),
        };
        assert_eq!(spool.losses(), [loss]);
        assert_eq!(spool.append(&[9; 68]).unwrap(), 13);
        spool.sync().unwrap();
        drop(spool);
        if ends {
            // As if the process had ended before the note.
            let mut files = disk.clone();
            files.remove(LOSSES_FILE).unwrap();
            (loss.reason, loss.span) = (Reason::Missing, None);
        }
        let (mut spool, _) = open(&disk);
        assert_eq!(spool.losses(), [loss]);
        assert_eq!(sequences(&mut spool), (6..=13).collect::<Vec<_>>());
    }
}

#[test]
fn what_could_not_be_kept_has_its_sequences_and_is_a_loss() {
    let (disk, mut spool) = filled(3);
    spool.append(b"not synced").unwrap();
    spool.skip(3, Reason::Unwritten, Some((70, 90))).unwrap();
    spool.skip(0, Reason::Unwritten, None).unwrap();
    assert_eq!(spool.append(b"later").unwrap(), 8);
    spool.sync().unwrap();
    let loss = Loss {
        first: 5,
        last: 7,
        reason: Reason::Unwritten,
        span: Some((70, 90)),
    };
    assert_eq!(spool.losses(), [loss]);
    assert_eq!(sequences(&mut spool), [1, 2, 3, 4, 8]);
    spool.acknowledge_through(6).unwrap();
    drop(spool);
    let (mut spool, recovery) = open(&disk);
    assert_eq!(recovery.losses, []);
    assert_eq!(spool.losses(), [loss]);
    assert_eq!(sequences(&mut spool), [8]);
    assert_eq!(spool.append(b"x").unwrap(), 9);
}

#[test]
fn a_skip_that_finds_no_room_for_its_note_changes_nothing() {
    let (disk, mut spool) = filled(3);
    disk.set_room(Some(20));
    let error = spool.skip(3, Reason::Unwritten, None).unwrap_err();
    assert!(error.is_retryable());
    assert_eq!((spool.losses(), spool.next_sequence()), (&[][..], 4));
    disk.set_room(None);
    spool.append(&[9; 68]).unwrap();
    spool.sync().unwrap();
    drop(spool);
    let (mut spool, recovery) = open(&disk);
    assert_eq!(recovery.losses, []);
    assert_eq!(sequences(&mut spool), [1, 2, 3, 4]);
}

#[test]
fn a_skip_whose_segment_or_directory_fails_is_done_all_the_same() {
    for (room, fails) in [(Some(70), 0), (None, 1), (None, 2)] {
        let (disk, mut spool) = filled(3);
        disk.set_room(room);
        disk.fail_replacements(fails);
        spool.skip(3, Reason::Unwritten, None).unwrap();
        let lost = spool.losses().to_vec();
        assert_eq!((lost[0].first, lost[0].last), (4, 6));
        assert_eq!(spool.append(&[9; 68]).is_err(), room.is_some());
        disk.set_room(None);
        let next = spool.append(&[9; 68]).unwrap();
        assert!((7..=8).contains(&next));
        spool.sync().unwrap();
        drop(spool);
        let (mut spool, _) = open(&disk);
        let given = [1, 2, 3].into_iter().chain(7..=next);
        assert_eq!(sequences(&mut spool), given.collect::<Vec<_>>());
        assert_eq!((spool.losses()[0].first, spool.losses()[0].last), (4, 6));
    }
}

#[test]
fn a_segment_that_was_begun_in_vain_ends_no_other() {
    let (disk, mut spool) = filled(5);
    disk.fail_replacements(1);
    spool.append(&[9; 68]).unwrap_err();
    // Its file is there. A shorter record would still find a place in the old one, behind its end.
    assert_eq!(segments(&disk).len(), 2);
    assert_eq!(spool.append(&[9; 2]).unwrap(), 6);
    spool.sync().unwrap();
    drop(spool);
    let (mut spool, _) = open(&disk);
    assert_eq!(sequences(&mut spool), [1, 2, 3, 4, 5, 6]);
}
