//! Which batches count as taken, in whatever order they come.

use super::*;
use crate::notes::Note;

const SPACE: u8 = 9;

fn lost(store: &Store, first: u64, last: u64, why: &str) -> Outcome {
    let arrival = Arrival {
        mark: Some((
            "a".to_owned(),
            Mark {
                epoch: 1,
                first,
                last,
                base: 1,
            },
        )),
        note: Some(Note {
            space: SPACE,
            key: b"a/".to_vec(),
            value: why.as_bytes().to_vec(),
            join: Some(|before, after| {
                (before == after && before != b"full").then(|| before.to_vec())
            }),
        }),
        generation: store.generation(),
        ..Arrival::default()
    };
    store.commit(vec![arrival]).unwrap()[0]
}

fn notes(store: &Store) -> Vec<(u64, u64, String)> {
    let rows = store.scan_state(SPACE, &[], 100).unwrap();
    let number = |bytes: &[u8]| u64::from_be_bytes(bytes.try_into().unwrap());
    rows.into_iter()
        .map(|row| {
            let why = String::from_utf8(row.value).unwrap();
            (number(&row.key[2..10]), number(&row.key[10..]), why)
        })
        .collect()
}

#[test]
fn a_hole_is_kept_over_a_restart_and_closed_by_what_was_missing() {
    let engine = Arc::new(Memory::default());
    let (store, _) = open(&engine);
    let ids = define(&store, &[("up", "a")]);
    let one = |sequence: u64| {
        let time = i64::try_from(sequence).unwrap();
        arrival(&store, "a", sequence, &ids, &block(&[time], &[&[1.0]]))
    };
    let outcomes = store.commit(vec![one(1), one(5), one(3), one(5)]).unwrap();
    let (taken, again) = (Outcome::Taken, Outcome::Duplicate);
    assert_eq!(outcomes, [taken, taken, taken, again]);
    let (second, _) = open(&engine);
    let settled = second.settled("a").sequences;
    assert_eq!(
        (settled.through(), settled.beyond()),
        (1, &[(3, 3), (5, 5)][..])
    );
    let outcomes = store.commit(vec![one(3), one(2), one(4)]).unwrap();
    assert_eq!(outcomes, [again, taken, taken]);
    let settled = open(&engine).0.settled("a").sequences;
    assert_eq!((settled.through(), settled.beyond()), (5, &[][..]));
    let times = read(&store, "up", TimeRange::ALL)[0].1.clone();
    assert_eq!(times.len(), 5);
}

#[test]
fn a_loss_is_noted_for_what_was_not_durable_and_settles_it() {
    let engine = Arc::new(Memory::default());
    let (store, _) = open(&engine);
    let ids = define(&store, &[("up", "a")]);
    let three = arrival(&store, "a", 3, &ids, &block(&[3], &[&[1.0]]));
    store.commit(vec![three]).unwrap();
    assert_eq!(lost(&store, 2, 5, "full"), Outcome::Taken);
    let expected = [(2, 2, "full".to_owned()), (4, 5, "full".to_owned())];
    assert_eq!(notes(&store), expected);
    assert_eq!(lost(&store, 2, 4, "damaged"), Outcome::Duplicate);
    let four = arrival(&store, "a", 4, &ids, &block(&[4], &[&[1.0]]));
    assert_eq!(store.commit(vec![four]).unwrap(), [Outcome::Duplicate]);
    let (again, _) = open(&engine);
    assert_eq!(notes(&again), expected);
    assert_eq!(again.settled("a").sequences.last(), 5);
}

#[test]
fn notes_of_sequences_in_a_row_that_say_the_same_are_one() {
    let engine = Arc::new(Memory::default());
    let (store, _) = open(&engine);
    // Two lanes, one of which comes backwards, and another word in between.
    for sequence in 0..50 {
        lost(&store, 100 + sequence, 100 + sequence, "future");
        lost(&store, 99 - sequence, 99 - sequence, "thinned");
    }
    lost(&store, 150, 150, "refused");
    lost(&store, 151, 160, "future");
    let row = |first, last, why: &str| (first, last, why.to_owned());
    let mut expected = vec![
        row(50, 99, "thinned"),
        row(100, 149, "future"),
        row(150, 150, "refused"),
        row(151, 160, "future"),
    ];
    assert_eq!(notes(&store), expected);
    // What closes the hole between two joins both, and what is settled is in no second row.
    lost(&store, 163, 163, "future");
    lost(&store, 160, 162, "future");
    expected[3].1 = 163;
    assert_eq!(notes(&store), expected);
    // After a restart rows begin anew.
    let (again, _) = open(&engine);
    lost(&again, 164, 164, "future");
    lost(&again, 165, 165, "future");
    expected.push(row(164, 165, "future"));
    assert_eq!(notes(&again), expected);
}

#[test]
fn a_new_epoch_begins_at_its_base() {
    let engine = Arc::new(Memory::default());
    let (store, _) = open(&engine);
    let mut later = arrival(&store, "a", 9, &[], &Block::default());
    later.blocks.clear();
    let mark = &mut later.mark.as_mut().unwrap().1;
    (mark.epoch, mark.base) = (7, 9);
    assert_eq!(store.commit(vec![later]).unwrap(), [Outcome::Taken]);
    let settled = store.settled("a");
    assert_eq!((settled.epoch, settled.sequences.through()), (7, 9));
}

#[test]
fn more_holes_than_are_kept_are_refused_and_change_nothing() {
    let engine = Arc::new(Memory::default());
    let (store, _) = open(&engine);
    let most = u64::try_from(series::sequences::RANGES_MAX).unwrap();
    for hole in 1..=most {
        assert_eq!(lost(&store, hole * 2, hole * 2, "full"), Outcome::Taken);
    }
    assert_eq!(lost(&store, 9000, 9000, "full"), Outcome::Scattered);
    assert_eq!(store.settled("a").sequences.last(), most * 2);
    assert_eq!(lost(&store, 1, 1, "full"), Outcome::Taken);
    assert_eq!(lost(&store, 9000, 9000, "full"), Outcome::Taken);
}
