//! Both lanes against a coordinator that does what a test wants.

use std::sync::Mutex;

use daemon::clock::SystemClock;
use spool::{Config, MemoryDisk, Spool};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Streaming};
use wire::Message as _;
use wire::client::{Connection, Credentials, connect};
use wire::proto::ingest_service_server::{IngestService, IngestServiceServer};
use wire::proto::urgent_request::Message as Said;

use super::*;
use crate::batch::{Batcher, Gathered, Record};
use crate::urgent::{Happened, Kept, Lane, Urgent, queue};

type Answers<T> = ReceiverStream<Result<T, Status>>;

/// Has a mark, and refuses events of one kind.
#[derive(Clone, Default)]
struct Fake {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    mark: (u64, Sequences),
    hellos: Vec<u64>,
    batches: Vec<u64>,
    losses: Vec<(u64, u64, String)>,
    lost_times: Vec<(i64, i64)>,
    /// Whether it is a coordinator of before: it takes no holes, and answers every third batch.
    is_old: bool,
    /// The first number of the definitions and the references of the batches, as they came.
    said: Vec<u32>,
    events: Vec<String>,
    /// Batches at which it ends the stream.
    poison: Vec<u64>,
    /// What it says when it has taken the first batch, before it says so.
    says_first: Vec<Answer>,
    /// Streams that it ended so.
    ended: u32,
}

#[tonic::async_trait]
impl IngestService for Fake {
    type SyncStream = Answers<proto::SyncResponse>;
    type UrgentStream = Answers<proto::UrgentResponse>;

    async fn sync(
        &self,
        request: Request<Streaming<proto::SyncRequest>>,
    ) -> Result<Response<Self::SyncStream>, Status> {
        let mut incoming = request.into_inner();
        let (answers, outgoing) = mpsc::channel(16);
        let fake = self.clone();
        tokio::spawn(async move {
            let mut epoch = 0;
            while let Ok(Some(message)) = incoming.message().await {
                let message = message.message.unwrap();
                if fake.is_poison(&message) {
                    drop(answers.send(Err(Status::invalid_argument("no"))).await);
                    return;
                }
                let says_first = match &message {
                    Message::Batch(_) => std::mem::take(&mut fake.state.lock().unwrap().says_first),
                    _ => Vec::new(),
                };
                for answer in says_first {
                    let message = Some(answer);
                    drop(answers.send(Ok(proto::SyncResponse { message })).await);
                }
                let answer = fake.answer(message, &mut epoch);
                if let Some(answer) = answer {
                    let message = Some(answer);
                    drop(answers.send(Ok(proto::SyncResponse { message })).await);
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(outgoing)))
    }

    async fn urgent(
        &self,
        request: Request<Streaming<proto::UrgentRequest>>,
    ) -> Result<Response<Self::UrgentStream>, Status> {
        use wire::proto::urgent_response::Message;
        let mut incoming = request.into_inner();
        let (answers, outgoing) = mpsc::channel(16);
        let fake = self.clone();
        tokio::spawn(async move {
            while let Ok(Some(message)) = incoming.message().await {
                let Some(Said::Event(event)) = message.message else {
                    continue;
                };
                if event.kind == "refused" {
                    drop(answers.send(Err(Status::invalid_argument("no"))).await);
                    return;
                }
                let message = Some(Message::RecordedEventId(event.id));
                fake.state.lock().unwrap().events.push(event.kind);
                drop(answers.send(Ok(proto::UrgentResponse { message })).await);
            }
        });
        Ok(Response::new(ReceiverStream::new(outgoing)))
    }
}

impl Fake {
    fn is_poison(&self, message: &Message) -> bool {
        let mut state = self.state.lock().unwrap();
        let is_poison = match message {
            Message::Batch(batch) => state.poison.contains(&batch.sequence),
            _ => false,
        };
        state.ended += u32::from(is_poison);
        is_poison
    }

    fn answer(&self, message: Message, epoch: &mut u64) -> Option<Answer> {
        let mut state = self.state.lock().unwrap();
        match message {
            Message::Hello(hello) => {
                *epoch = hello.epoch;
                state.hellos.push(hello.epoch);
                if state.mark.0 != hello.epoch {
                    state.mark = (hello.epoch, Sequences::up_to(hello.oldest_sequence - 1));
                }
                let settled = &state.mark.1;
                let beyond = settled.beyond().iter();
                Some(Answer::Welcome(proto::Welcome {
                    last_durable_sequence: settled.through(),
                    durable_beyond: beyond
                        .map(|&(first, last)| proto::SequenceRange { first, last })
                        .collect(),
                    takes_holes: !state.is_old,
                    ..proto::Welcome::default()
                }))
            }
            Message::Definitions(definitions) => {
                state.said.push(definitions.first_ref);
                None
            }
            Message::Batch(batch) => {
                assert_eq!(state.mark.0, *epoch);
                let first = Some(batch.first_sequence).filter(|first| *first > 0);
                let first = first.unwrap_or(batch.sequence);
                assert!(state.mark.1.insert(first, batch.sequence));
                state.batches.push(batch.sequence);
                if state.is_old {
                    let is_third = state.batches.len().is_multiple_of(3);
                    return is_third.then_some(Answer::Acknowledgement(proto::Acknowledgement {
                        through_sequence: batch.sequence,
                        sequence: 0,
                    }));
                }
                for block in batch.blocks {
                    state.said.extend(block.series_refs);
                }
                Some(Answer::Acknowledgement(proto::Acknowledgement {
                    through_sequence: state.mark.1.through(),
                    sequence: batch.sequence,
                }))
            }
            Message::RulesRun(_) => None,
            Message::Loss(loss) => {
                assert!(!state.is_old, "it does not know of losses");
                let (first, last) = (loss.first_sequence, loss.last_sequence);
                assert!(state.mark.1.insert(first, last));
                state.losses.push((first, last, loss.reason));
                let times = (loss.first_millis, loss.last_millis);
                state.lost_times.push(times);
                Some(Answer::LossRecorded(proto::LossRecorded {
                    first_sequence: first,
                    last_sequence: last,
                }))
            }
        }
    }
}

struct Setup {
    fake: Fake,
    connection: Connection,
    identity: Identity,
    metrics: Arc<Metrics>,
    disk: MemoryDisk,
}

const LIMITS: Config = Config {
    bytes_max: 1 << 20,
    segment_bytes: 1 << 16,
    epoch_if_new: 42,
    reserve_bytes: 0,
    span_of: crate::thin::span_of,
};

fn connection(url: &str) -> Connection {
    connect(url, &Credentials::default(), |endpoint| endpoint).unwrap()
}

async fn setup() -> Setup {
    let fake = Fake::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = IngestServiceServer::new(fake.clone());
    let server = Server::builder().add_service(service);
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    let url = format!("http://{address}");
    let connection = connection(&url);
    let disk = MemoryDisk::default();
    let metrics = Metrics::new();
    let (spool, _) = Spool::open(disk.clone(), LIMITS).unwrap();
    let identity = Identity {
        agent_id: AgentId::try_from("a".to_owned()).unwrap(),
        outbox: Outbox::new(spool, Arc::clone(&metrics)),
        labels: BTreeMap::new(),
        clock: SystemClock::shared(),
    };
    Setup {
        fake,
        connection,
        identity,
        metrics,
        disk,
    }
}

impl Setup {
    fn bulk(&self) -> Bulk {
        Bulk {
            identity: self.identity.clone(),
            way: Way::fixed(self.connection.clone()),
            outbox: self.identity.outbox.clone(),
            families: Families::default(),
            interval: watch::channel(None).0,
            pace: crate::pace::Pace::default(),
            rules: crate::rules::Link::default(),
            metrics: Arc::clone(&self.metrics),
        }
    }
}

/// One stream, which must end by itself.
async fn speak(bulk: &Bulk, useful: &mut bool) -> Result<(), Ended> {
    let mut suspicion = Suspicion::default();
    let spoken = bulk.speak(useful, &mut suspicion);
    timeout(Duration::from_secs(20), spoken).await.unwrap()
}

fn record(series: &str) -> Record {
    let mut batcher = Batcher::new(Vec::new());
    let mut snapshot = series::Snapshot::default();
    snapshot.push(series, &[], 1.0);
    batcher.push(Gathered {
        divisor: None,
        unknown: Vec::new(),
        source: Arc::from("test"),
        labels: [].into(),
        at: series::Timestamp::from_millis(1000),
        snapshot,
    });
    batcher.cut().remove(0)
}

fn garbage(bytes: Vec<u8>) -> Record {
    Record {
        bytes,
        samples: 1,
        stale: 0,
        span: None,
    }
}

#[tokio::test]
async fn a_record_that_does_not_decode_is_counted_and_passed_over() {
    let setup = setup().await;
    let outbox = &setup.identity.outbox;
    // One with a good block of a new series before the bad one: its number is given all the same.
    let good = proto::SpooledBatch::decode(record("half").bytes.as_slice()).unwrap();
    let mut half = good.clone();
    half.blocks.push(proto::SpooledBlock {
        series_list: vec![9; 9].into(),
        ..half.blocks[0].clone()
    });
    let records = vec![
        garbage(vec![0xff; 9]),
        record("a"),
        garbage(half.encode_to_vec()),
        record("b"),
        garbage(vec![0xff; 9]),
    ];
    outbox.put(records).await.unwrap();
    outbox.close();
    let mut useful = false;
    speak(&setup.bulk(), &mut useful).await.unwrap();
    assert!(useful);
    assert_eq!((outbox.pending(), setup.metrics.undecodable.get()), (0, 3));
    let state = setup.fake.state.lock().unwrap();
    assert_eq!(state.batches, [2, 4]);
    assert_eq!(state.said, [0, 0, 1, 2, 2]);
    let lost: Vec<_> = state.losses.iter().map(|loss| loss.0).collect();
    assert_eq!(lost, [5, 1, 3]);
    // Only the third has records before and after it.
    let between = state.lost_times[2];
    assert_eq!(state.lost_times, [(0, 0), (0, 0), between]);
    assert!(between.0 > 0 && between.0 <= between.1, "{between:?}");
}

#[tokio::test]
async fn another_way_is_taken_when_what_is_under_way_is_answered() {
    let setup = setup().await;
    let outbox = &setup.identity.outbox;
    let (signpost, way) = Way::unknown();
    let bulk = Bulk {
        way,
        ..setup.bulk()
    };
    outbox.put(vec![record("a")]).await.unwrap();
    let changes = async {
        signpost.send_replace(Some(setup.connection.clone()));
        while outbox.pending() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        signpost.send_replace(Some(setup.connection.clone()));
    };
    let mut useful = false;
    let (ended, ()) = tokio::join!(speak(&bulk, &mut useful), changes);
    assert!(matches!(ended, Err(Ended::Outgrown)) && useful);
    outbox.put(vec![record("b")]).await.unwrap();
    outbox.close();
    speak(&bulk, &mut useful).await.unwrap();
    assert_eq!(setup.fake.state.lock().unwrap().batches, [1, 2]);
}

#[tokio::test]
async fn answers_are_heard_while_the_bulk_has_to_wait() {
    let setup = setup().await;
    let outbox = &setup.identity.outbox;
    outbox.put(vec![record("a")]).await.unwrap();
    setup.fake.state.lock().unwrap().says_first = vec![Answer::SlowDown(proto::SlowDown {
        wait_millis: 60_000,
        ..proto::SlowDown::default()
    })];
    let (signpost, way) = Way::unknown();
    let bulk = Bulk {
        way,
        ..setup.bulk()
    };
    let changes = async {
        signpost.send_replace(Some(setup.connection.clone()));
        while outbox.pending() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // What comes now waits, and another certificate does not.
        outbox.put(vec![record("b")]).await.unwrap();
        signpost.send_replace(Some(setup.connection.clone()));
    };
    let mut useful = false;
    let (ended, ()) = tokio::join!(speak(&bulk, &mut useful), changes);
    assert!(matches!(ended, Err(Ended::Outgrown)), "{ended:?}");
    assert_eq!(setup.fake.state.lock().unwrap().batches, [1]);
}

#[tokio::test]
async fn a_spool_that_is_behind_the_coordinator_goes_on_in_a_new_epoch() {
    let setup = setup().await;
    let outbox = &setup.identity.outbox;
    outbox.put(vec![record("a"), record("b")]).await.unwrap();
    outbox.close();
    setup.fake.state.lock().unwrap().mark = (42, Sequences::up_to(100));
    let bulk = setup.bulk();
    let mut useful = false;
    let ended = speak(&bulk, &mut useful).await;
    assert!(matches!(ended, Err(Ended::NewEpoch)));
    assert!(!useful);
    let epoch = outbox.epoch();
    assert!(epoch > 42);
    speak(&bulk, &mut useful).await.unwrap();
    assert_eq!(outbox.pending(), 0);
    {
        let state = setup.fake.state.lock().unwrap();
        assert_eq!(
            (&*state.hellos, &*state.batches),
            (&[42, epoch][..], &[1, 2][..])
        );
        assert_eq!(state.mark, (epoch, Sequences::up_to(2)));
    }
    let (spool, recovery) = Spool::open(setup.disk.clone(), LIMITS).unwrap();
    assert_eq!((spool.epoch(), recovery.losses.len()), (epoch, 0));
}

#[tokio::test]
async fn after_an_outage_the_newest_goes_first_and_the_holes_are_filled() {
    let setup = setup().await;
    let outbox = &setup.identity.outbox;
    let records = (0..9).map(|_| record("a")).collect();
    outbox.put(records).await.unwrap();
    outbox.close();
    // A stream before this one brought 1, 4 and 5.
    let mut settled = Sequences::up_to(1);
    assert!(settled.insert(4, 5));
    setup.fake.state.lock().unwrap().mark = (42, settled);
    let mut useful = false;
    speak(&setup.bulk(), &mut useful).await.unwrap();
    assert_eq!((outbox.pending(), outbox.oldest()), (0, 10));
    let state = setup.fake.state.lock().unwrap();
    assert_eq!(state.batches, [9, 2, 3, 6, 7, 8]);
    assert_eq!(state.mark.1, Sequences::up_to(9));
}

#[tokio::test]
async fn a_batch_that_stands_for_others_is_sent_though_its_own_sequence_is_settled() {
    let setup = setup().await;
    let outbox = &setup.identity.outbox;
    let stands_from = |first_sequence| {
        let whole = proto::SpooledBatch::decode(record("a").bytes.as_slice()).unwrap();
        let thin = proto::SpooledBatch {
            first_sequence,
            thinned: true,
            ..whole
        };
        garbage(thin.encode_to_vec())
    };
    let empty = || garbage(Vec::new());
    // What 4 and 5 said was in a record that is damaged now.
    let mut records = vec![empty(), empty(), stands_from(1), empty(), empty()];
    records.extend([stands_from(6), empty(), stands_from(7), record("b")]);
    outbox.put(records).await.unwrap();
    outbox.close();
    // When 2, 3 and 8 came, they were whole.
    let mut settled = Sequences::default();
    assert!(settled.insert(2, 3) && settled.insert(8, 8));
    setup.fake.state.lock().unwrap().mark = (42, settled);
    let mut useful = false;
    speak(&setup.bulk(), &mut useful).await.unwrap();
    let state = setup.fake.state.lock().unwrap();
    assert_eq!(state.batches, [9, 3, 6, 8]);
    assert_eq!(state.losses, [(4, 5, "damaged".to_owned())]);
    assert_eq!(state.mark.1, Sequences::up_to(9));
    assert_eq!(outbox.pending(), 0);
}

#[tokio::test]
async fn a_coordinator_of_before_gets_all_in_order_and_hears_of_no_loss() {
    let setup = setup().await;
    let outbox = &setup.identity.outbox;
    let mut records: Vec<_> = (0..9).map(|_| record("a")).collect();
    records[4] = garbage(vec![0xff; 9]);
    records.push(garbage(vec![0xff; 9]));
    outbox.put(records).await.unwrap();
    outbox.close();
    {
        let mut state = setup.fake.state.lock().unwrap();
        (state.is_old, state.mark) = (true, (42, Sequences::up_to(2)));
    }
    let mut useful = false;
    speak(&setup.bulk(), &mut useful).await.unwrap();
    assert_eq!((outbox.pending(), useful), (0, true));
    let state = setup.fake.state.lock().unwrap();
    assert_eq!(state.batches, [3, 4, 6, 7, 8, 9]);
}

#[tokio::test]
async fn a_loss_is_told_until_the_coordinator_knows_it() {
    let setup = setup().await;
    let outbox = &setup.identity.outbox;
    // Names that do not compress, so that the oldest segments have to go.
    let many = |from: u64| {
        let name = |n: u64| format!("s{:x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        (from..from + 5000).map(|n| record(&name(n))).collect()
    };
    for turn in 0..10 {
        outbox.put(many(turn * 5000)).await.unwrap();
    }
    let losses = outbox.losses();
    let &[loss] = &losses[..] else {
        panic!("{losses:?}");
    };
    assert_eq!((loss.first, outbox.oldest()), (1, 1));
    assert_eq!(setup.metrics.spool_lost.get(), loss.last);
    outbox.close();
    let mut useful = false;
    speak(&setup.bulk(), &mut useful).await.unwrap();
    assert_eq!((outbox.losses().len(), outbox.pending()), (0, 0));
    let state = setup.fake.state.lock().unwrap();
    assert_eq!(state.losses, [(1, loss.last, "full".to_owned())]);
    assert_eq!(state.mark.1, Sequences::up_to(50_000));
    assert!(!state.batches.is_empty());
}

#[test]
fn the_coordinator_knows_each_reason_of_a_loss() {
    let words = spool::Reason::ALL.map(spool::Reason::as_str);
    for word in words.into_iter().chain([refused::REASON]) {
        assert!(wire::ingest::LOSS_REASONS.contains(&word), "{word}");
    }
}

/// Streams until all is said, as [`Bulk::run`] opens them.
async fn speak_on(bulk: &Bulk) {
    let mut suspicion = Suspicion::default();
    let all = async {
        let mut useful = false;
        while bulk.speak(&mut useful, &mut suspicion).await.is_err() {}
    };
    timeout(Duration::from_secs(20), all).await.unwrap();
}

#[tokio::test]
async fn batches_that_end_the_stream_each_time_are_lost_and_hold_up_nothing() {
    let setup = setup().await;
    let outbox = &setup.identity.outbox;
    outbox
        .put((0..9).map(|_| record("a")).collect())
        .await
        .unwrap();
    outbox.close();
    setup.fake.state.lock().unwrap().poison = vec![9, 4];
    speak_on(&setup.bulk()).await;
    assert_eq!((outbox.pending(), setup.metrics.refused.get()), (0, 2));
    let state = setup.fake.state.lock().unwrap();
    let lost = |sequence| (sequence, sequence, "undecodable".to_owned());
    assert_eq!(state.losses, [lost(9), lost(4)]);
    assert_eq!(state.batches, [1, 2, 3, 5, 6, 7, 8]);
    // Once among others, and three times by itself.
    assert_eq!(state.ended, 8);
}

#[tokio::test]
async fn a_batch_that_waited_when_something_else_was_refused_is_taken() {
    let setup = setup().await;
    let outbox = &setup.identity.outbox;
    outbox
        .put((0..3).map(|_| record("a")).collect())
        .await
        .unwrap();
    outbox.close();
    setup.fake.state.lock().unwrap().poison = vec![2];
    let bulk = setup.bulk();
    let (mut useful, mut suspicion) = (false, Suspicion::default());
    let ended = bulk.speak(&mut useful, &mut suspicion).await;
    assert!(matches!(ended, Err(Ended::Status(_))), "{ended:?}");
    setup.fake.state.lock().unwrap().poison.clear();
    let ended = bulk.speak(&mut useful, &mut suspicion).await;
    assert!(matches!(ended, Err(Ended::Tried)), "{ended:?}");
    bulk.speak(&mut useful, &mut suspicion).await.unwrap();
    let state = setup.fake.state.lock().unwrap();
    assert_eq!((&*state.batches, &*state.losses), (&[1, 2, 3][..], &[][..]));
}

#[tokio::test]
async fn a_welcome_is_of_use_only_when_there_is_nothing_to_send() {
    let setup = setup().await;
    let bulk = setup.bulk();
    let mut useful = false;
    setup.identity.outbox.close();
    speak(&bulk, &mut useful).await.unwrap();
    assert!(useful);
}

#[tokio::test]
async fn a_coordinator_that_does_not_answer_the_call_is_given_up() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut setup = setup().await;
    // Connections are taken and nothing is ever said on them.
    let url = format!("http://{address}");
    setup.connection = connection(&url);
    let mut useful = false;
    let ended = speak(&setup.bulk(), &mut useful).await;
    assert!(matches!(ended, Err(Ended::Silent(WELCOME_WITHIN))));
    assert!(!useful);
}

fn lane(setup: &Setup) -> (Urgent, Lane) {
    let (urgent, events) = queue(&setup.metrics, SystemClock::shared());
    let lane = Lane {
        identity: setup.identity.clone(),
        way: Way::fixed(setup.connection.clone()),
        events,
        kept: Kept::in_memory(LIMITS, &setup.metrics).unwrap(),
        metrics: Arc::clone(&setup.metrics),
    };
    (urgent, lane)
}

#[tokio::test]
async fn an_event_that_is_refused_is_dropped_and_the_others_arrive() {
    let setup = setup().await;
    let (urgent, lane) = lane(&setup);
    for kind in ["first", "refused", "second", "refused", "third"] {
        urgent.send(Happened::new(kind, "info", String::new()));
    }
    let shutdown = Shutdown::new();
    let running = tokio::spawn(lane.run(shutdown.clone()));
    let third = async {
        while setup.metrics.events.get() < 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(20), third).await.unwrap();
    assert_eq!(setup.metrics.events_dropped.refused.get(), 2);
    let events = setup.fake.state.lock().unwrap().events.clone();
    assert_eq!(events, ["first", "second", "third"]);
    shutdown.start(daemon::shutdown::Reason::Requested);
    running.await.unwrap();
}
