//! What a disk that fails or a spool that is full costs, to the sample.

mod full;

use spool::{Config, MemoryDisk};

use super::*;

const CONFIG: Config = Config {
    bytes_max: 2048,
    segment_bytes: 512,
    epoch_if_new: 42,
    reserve_bytes: 0,
    span_of: spool::no_span,
};

fn outbox() -> (MemoryDisk, Outbox, Arc<Metrics>) {
    let disk = MemoryDisk::default();
    let (spool, _) = Spool::open(disk.clone(), CONFIG).unwrap();
    let metrics = Metrics::new();
    (disk, Outbox::new(spool, Arc::clone(&metrics)), metrics)
}

fn record(bytes: usize, samples: u64) -> Record {
    Record {
        bytes: vec![7; bytes],
        samples,
        stale: 0,
        span: None,
    }
}

async fn sequences(outbox: &Outbox) -> Vec<u64> {
    let records = outbox.read_from(1, usize::MAX).await.unwrap();
    records.into_iter().map(|(sequence, _)| sequence).collect()
}

#[tokio::test]
async fn a_record_that_is_refused_does_not_keep_the_others_out() {
    let (_, outbox, metrics) = outbox();
    let records = vec![record(10, 1), record(4096, 20), record(10, 300)];
    let error = outbox.put(records).await.unwrap_err();
    assert_eq!((error.batches, error.samples), (1, 20));
    assert_eq!(error.waiting, 0);
    assert!(!error.is_retryable());
    assert_eq!(sequences(&outbox).await, [1, 3]);
    let [loss] = outbox.losses()[..] else {
        panic!("one loss");
    };
    assert_eq!(
        (loss.first, loss.last, loss.reason.as_str()),
        (2, 2, "unwritten")
    );
    assert_eq!(metrics.spooled_samples.get(), 301);
    assert_eq!(outbox.pending(), 2);
    // Whoever waits for records is told.
    outbox.fresh().notified().await;
}

#[tokio::test]
async fn what_is_taken_in_before_the_disk_is_full_is_durable() {
    let (disk, outbox, _) = outbox();
    disk.set_room(Some(30));
    let error = outbox
        .put(vec![record(10, 1), record(10, 20), record(10, 300)])
        .await
        .unwrap_err();
    assert_eq!((error.waiting, error.batches, error.samples), (2, 0, 0));
    assert!(error.is_retryable());
    assert_eq!(sequences(&outbox).await, [1]);
    outbox.fresh().notified().await;
}

#[tokio::test]
async fn after_a_failed_sync_nothing_is_missing() {
    let (disk, outbox, _) = outbox();
    disk.fail_syncs(1);
    let error = outbox.put(vec![record(10, 1)]).await.unwrap_err();
    assert_eq!((error.waiting, error.batches, error.samples), (0, 0, 0));
    outbox.put(vec![record(10, 1)]).await.unwrap();
    assert_eq!(sequences(&outbox).await, [1, 2]);
}

#[tokio::test]
async fn a_loss_counts_once_and_stays_until_it_is_told() {
    let (disk, outbox, metrics) = outbox();
    let full = || record(460, 1);
    outbox
        .put(vec![full(), full(), full(), full(), full()])
        .await
        .unwrap();
    assert_eq!(metrics.spool_lost.get(), 1);
    let [loss] = outbox.losses()[..] else {
        panic!("one loss");
    };
    assert_eq!((loss.first, loss.last, outbox.oldest()), (1, 1, 1));
    disk.set_room(Some(0));
    outbox.loss_told(loss).await.unwrap_err();
    assert_eq!(outbox.losses(), [loss]);
    disk.set_room(None);
    outbox.loss_told(loss).await.unwrap();
    outbox.loss_told(loss).await.unwrap();
    assert_eq!((outbox.losses().len(), outbox.oldest()), (0, 2));
    assert_eq!(metrics.spool_lost.get(), 1);
}

#[tokio::test]
async fn a_new_epoch_is_later_whatever_the_clock_says_and_keeps_what_is_pending() {
    let (_, outbox, _) = outbox();
    outbox.put(vec![record(10, 1)]).await.unwrap();
    assert_eq!(outbox.begin_epoch(7).await.unwrap(), 43);
    assert_eq!(outbox.begin_epoch(1000).await.unwrap(), 1000);
    assert_eq!((outbox.epoch(), outbox.pending()), (1000, 1));
    assert_eq!(sequences(&outbox).await, [1]);
}

#[tokio::test]
async fn what_is_damaged_is_counted_measured_and_told() {
    let (disk, outbox, metrics) = outbox();
    let (urgent, mut events) = crate::urgent::queue(&metrics, daemon::clock::SystemClock::shared());
    let outbox = outbox.telling(urgent);
    outbox
        .put(vec![record(400, 1), record(400, 1), record(10, 1)])
        .await
        .unwrap();
    let names = disk.contents().into_iter().map(|(name, _)| name);
    let first = names.into_iter().find(|name| name.ends_with(".seg"));
    assert!(disk.damage(&first.unwrap(), |bytes| bytes[100] ^= 1));
    assert_eq!(sequences(&outbox).await, [2, 3]);
    assert_eq!(metrics.spool_damaged.get(), 1);
    let spool = outbox.lock();
    let bytes = spool.bytes() + 28 + 416;
    let bytes = f64::from(u32::try_from(bytes).unwrap());
    assert_eq!(metrics.spool_bytes.get(), Some(bytes));
    drop(spool);
    let event = events.try_recv().unwrap();
    assert_eq!(event.kind, "spool_damaged");
    assert!(event.summary.contains(".seg.0"), "{}", event.summary);
}

#[tokio::test]
async fn an_agent_that_starts_on_a_full_disk_keeps_batches_until_there_is_room() {
    let disk = MemoryDisk::default();
    disk.set_room(Some(0));
    let (spool, _) = Spool::open(disk.clone(), CONFIG).unwrap();
    let outbox = Outbox::new(spool, Metrics::new());
    for waiting in 1..4 {
        let error = outbox.put(vec![record(10, 1)]).await.unwrap_err();
        assert_eq!((error.waiting, error.batches), (waiting, 0));
    }
    disk.set_room(None);
    outbox.put(vec![record(10, 1)]).await.unwrap();
    assert_eq!(sequences(&outbox).await, [1, 2, 3, 4]);
    assert_eq!((outbox.losses().len(), outbox.epoch()), (0, 42));
}
