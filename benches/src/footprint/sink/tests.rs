use super::*;

use series::{Block, Column, MetricKind, Rows};
use wire::proto::sync_request::Message;
use wire::proto::sync_response::Message as Answer;

fn stream() -> Stream {
    Stream {
        counter: Counter::default(),
        series: Vec::new(),
    }
}

fn request(message: Message) -> proto::SyncRequest {
    proto::SyncRequest {
        message: Some(message),
    }
}

fn definitions(first_ref: u32) -> Message {
    let labels = ["a", "b"].map(|name| Labels::with_name(name, &[("job", "node")]).unwrap());
    let mut list = Vec::new();
    codec::encode_labels_list(&labels, &[MetricKind::Gauge; 2], &mut list);
    let list = list.into();
    Message::Definitions(proto::SeriesDefinitions {
        first_ref,
        list,
        families: Vec::new(),
    })
}

fn batch(sequence: u64, series_refs: Vec<u32>) -> Message {
    let column = Column {
        rows: Rows::All,
        values: vec![1.0, 2.0, 3.0].into(),
    };
    let block = Block {
        times: vec![1, 2, 3],
        columns: vec![column; 2],
    };
    let mut columns = Vec::new();
    codec::encode_block(&block, &mut columns);
    let block = proto::Block {
        series_refs,
        columns: columns.into(),
    };
    Message::Batch(proto::Batch {
        sequence,
        blocks: vec![block],
        ..proto::Batch::default()
    })
}

#[test]
fn samples_and_series_are_counted_and_batches_acknowledged() {
    let mut stream = stream();
    let mut take = |message| stream.take(request(message)).unwrap();
    assert!(take(definitions(0)).is_none());
    let acknowledged = |sequence| {
        Some(Answer::Acknowledgement(proto::Acknowledgement {
            through_sequence: sequence,
            sequence,
        }))
    };
    assert_eq!(take(batch(1, vec![0, 1])), acknowledged(1));
    assert_eq!(take(batch(2, vec![1, 0])), acknowledged(2));
    let counts = stream.counter.read();
    assert_eq!((counts.samples, counts.batches), (12, 2));
    assert_eq!(counts.series(), 2);
    assert_eq!(counts.first.map(|(_, samples)| samples), Some(6));
    assert!(counts.name_bytes > 0 && counts.batch_bytes > 0);
}

#[test]
fn what_breaks_the_contract_is_refused() {
    assert!(stream().take(request(definitions(1))).is_err());
    assert!(stream().take(request(batch(1, vec![0, 1]))).is_err());
    let mut stream = stream();
    stream.take(request(definitions(0))).unwrap();
    assert!(stream.take(request(batch(1, vec![0]))).is_err());
}

#[tokio::test]
async fn every_byte_of_a_socket_is_counted() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut near = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let counter = Counter::default();
    let mut far = Counted {
        stream: listener.accept().await.unwrap().0,
        counter: counter.clone(),
    };
    near.write_all(b"seven b").await.unwrap();
    far.read_exact(&mut [0; 7]).await.unwrap();
    far.write_all(b"abc").await.unwrap();
    near.read_exact(&mut [0; 3]).await.unwrap();
    assert_eq!(counter.read().wire_bytes, 10);
}
