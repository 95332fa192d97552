//! A full spool, and a full disk.

use series::{MetricKind, Snapshot, Timestamp};
use spool::Reason;
use wire::Message;
use wire::proto::SpooledBatch;

use super::*;
use crate::batch::{Batcher, Gathered};

/// A spool of some minutes of [`minutes`].
const MINUTES: Config = Config {
    bytes_max: 11 * 1024,
    segment_bytes: 4 * 1024,
    epoch_if_new: 42,
    reserve_bytes: 0,
    span_of: crate::thin::span_of,
};

/// The batches of so many minutes of a node, one for each.
fn minutes(range: std::ops::Range<i64>) -> Vec<Record> {
    let mut batcher = Batcher::new(vec![("node".to_owned(), "n1".to_owned())]);
    let mut records = Vec::new();
    for minute in range {
        for row in 0..12 {
            let mut snapshot = Snapshot::default();
            for at in 0..100 {
                let name = format!("node_thing_{at}_bytes");
                let value = (minute * 7 + row * 13 + at * 31) % 100;
                snapshot.family(&name, MetricKind::Gauge, "");
                snapshot.push(&name, &[], f64::from(i32::try_from(value).unwrap()));
            }
            batcher.push(Gathered {
                divisor: None,
                unknown: Vec::new(),
                source: "test".into(),
                labels: [].into(),
                at: Timestamp::from_millis(minute * 60_000 + row * 5_000),
                snapshot,
            });
        }
        records.extend(batcher.cut());
    }
    records
}

fn open(config: Config) -> (MemoryDisk, Outbox, Arc<Metrics>) {
    let disk = MemoryDisk::default();
    let (spool, _) = Spool::open(disk.clone(), config).unwrap();
    let metrics = Metrics::new();
    (disk, Outbox::new(spool, Arc::clone(&metrics)), metrics)
}

/// For each minute that is there how many samples of the first series it has.
async fn kept(outbox: &Outbox) -> Vec<(i64, usize)> {
    let mut kept = Vec::new();
    let mut next = 1;
    loop {
        let records = outbox.read_from(next, usize::MAX).await.unwrap();
        let Some((last, _)) = records.last() else {
            break;
        };
        next = last + 1;
        for (_, record) in records {
            for block in SpooledBatch::decode(record.as_slice()).unwrap().blocks {
                let times = codec::decode_block(&block.columns).unwrap().times;
                for minute in times.chunk_by(|a, b| a / 60_000 == b / 60_000) {
                    kept.push((minute[0] / 60_000, minute.len()));
                }
            }
        }
    }
    kept
}

#[tokio::test]
async fn a_full_spool_keeps_old_minutes_as_one_sample_and_new_ones_whole() {
    // How many minutes it holds when nothing is thinned.
    let whole = MINUTES.bytes_max / minutes(0..1)[0].bytes.len() as u64;
    assert!((7..=9).contains(&whole), "{whole}");
    let (_, outbox, metrics) = open(MINUTES);
    for minute in 0..14 {
        outbox.put(minutes(minute..minute + 1)).await.unwrap();
        assert_eq!(metrics.spool_lost.get(), 0, "minute {minute}");
    }
    let kept = kept(&outbox).await;
    let all: Vec<i64> = kept.iter().map(|(minute, _)| *minute).collect();
    assert_eq!(all, (0..14).collect::<Vec<_>>(), "no minute is missing");
    let samples: Vec<usize> = kept.iter().map(|(_, samples)| *samples).collect();
    let thin = samples.iter().take_while(|samples| **samples == 1).count();
    assert!((2..13).contains(&thin), "{samples:?}");
    assert!(samples[thin..].iter().all(|samples| *samples == 12));
    assert!(metrics.thinned_segments.get() > 0);
    assert_eq!(metrics.thinned_batches.get(), thin as u64);
    assert!(metrics.thinned_bytes.get() > 0);
}

#[tokio::test]
async fn only_when_all_is_thin_the_oldest_goes_and_its_times_are_told() {
    let (_, outbox, metrics) = open(MINUTES);
    let mut last = 0;
    while metrics.spool_lost.get() == 0 {
        let before = kept(&outbox).await;
        outbox.put(minutes(last..last + 1)).await.unwrap();
        last += 1;
        assert!(last < 200, "it does not grow without end");
        if metrics.spool_lost.get() > 0 {
            // All but what the segment that was written to held.
            let whole = before.iter().filter(|(_, samples)| *samples > 1).count();
            assert!(whole <= 3, "{before:?}");
        }
    }
    assert!(last > 16, "twice as many as whole ones: {last}");
}

#[tokio::test]
async fn a_disk_that_is_full_for_some_minutes_loses_nothing() {
    let (disk, outbox, metrics) = open(MINUTES);
    outbox.put(minutes(0..2)).await.unwrap();
    disk.set_room(Some(0));
    for minute in 2..5 {
        let error = outbox.put(minutes(minute..minute + 1)).await.unwrap_err();
        assert!(error.is_retryable());
        assert_eq!(
            (error.waiting, error.batches),
            (minute.cast_unsigned() - 1, 0)
        );
        assert_eq!(outbox.waiting(), error.waiting);
    }
    disk.set_room(None);
    outbox.put(Vec::new()).await.unwrap();
    assert_eq!((outbox.waiting(), metrics.spool_lost.get()), (0, 0));
    let all: Vec<_> = kept(&outbox).await;
    assert_eq!(all, (0..5).map(|minute| (minute, 12)).collect::<Vec<_>>());
    assert_eq!(sequences(&outbox).await, [1, 2, 3, 4, 5]);
    assert_eq!(metrics.spooled_batches.get(), 5);
}

#[tokio::test]
async fn what_waits_for_too_long_is_lost_with_its_times_and_is_told_when_the_disk_is_back() {
    let (disk, outbox, metrics) = open(MINUTES);
    let bytes = minutes(0..1)[0].bytes.len();
    *outbox.intake.lock().unwrap() = Intake::within(bytes * 7 / 2);
    outbox.put(minutes(0..1)).await.unwrap();
    disk.set_room(Some(0));
    let mut lost = (0, 0);
    for minute in 1..7 {
        let error = outbox.put(minutes(minute..minute + 1)).await.unwrap_err();
        lost = (lost.0 + error.batches, lost.1 + error.samples);
    }
    assert_eq!((lost, outbox.waiting()), ((3, 3 * 1200), 3));
    assert_eq!(metrics.spool_lost.get(), 0, "nobody could note it yet");
    // Room for the note that they are lost, but not for the one that it was told.
    disk.set_room(Some(100));
    outbox.put(Vec::new()).await.unwrap_err();
    {
        let spool = outbox.lock();
        let loss = Loss {
            first: 2,
            last: 4,
            reason: Reason::Unwritten,
            span: Some((60_000, 3 * 60_000 + 55_000)),
        };
        assert_eq!(spool.losses(), [loss]);
    }
    disk.set_room(None);
    outbox.put(Vec::new()).await.unwrap();
    assert_eq!(metrics.spool_lost.get(), 3);
    assert_eq!(sequences(&outbox).await, [1, 5, 6, 7]);
}

#[tokio::test]
async fn a_disk_that_the_spool_itself_has_filled_is_thinned_before_anything_goes() {
    let (disk, outbox, metrics) = open(Config {
        bytes_max: 1 << 30,
        reserve_bytes: MINUTES.segment_bytes,
        ..MINUTES
    });
    disk.set_capacity(Some(16 * 1024));
    for minute in 0..20 {
        outbox.put(minutes(minute..minute + 1)).await.unwrap();
    }
    assert!(metrics.thinned_segments.get() >= 2);
    assert_eq!((outbox.waiting(), metrics.spool_lost.get()), (0, 0));
    let all: Vec<i64> = kept(&outbox).await.iter().map(|(it, _)| *it).collect();
    assert_eq!(all, (0..20).collect::<Vec<_>>(), "no minute is missing");
}

#[tokio::test]
async fn old_batches_go_for_new_ones_when_memory_is_full_too_and_only_if_it_helps() {
    for helps in [true, false] {
        let (disk, outbox, metrics) = open(MINUTES);
        *outbox.intake.lock().unwrap() = Intake::within(0);
        for minute in 0..4 {
            outbox.put(minutes(minute..minute + 1)).await.unwrap();
        }
        let used: usize = disk.contents().iter().map(|(_, bytes)| bytes.len()).sum();
        disk.set_capacity(Some(used));
        if !helps {
            // Others take what becomes free.
            disk.set_room(Some(150));
        }
        let put = outbox.put(minutes(4..5)).await;
        assert_eq!(put.is_ok(), helps);
        let there = kept(&outbox).await;
        let newest = there.last().unwrap().0;
        assert_eq!(newest, if helps { 4 } else { 3 });
        let first = there[0].0;
        assert!(first > 0, "{there:?}");
        if helps {
            assert_eq!(metrics.spool_lost.get(), first.cast_unsigned());
            continue;
        }
        outbox.put(minutes(5..6)).await.unwrap_err();
        assert_eq!(kept(&outbox).await, there, "it did not help the last time");
    }
}
