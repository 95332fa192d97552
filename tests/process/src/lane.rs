//! The bulk lane by hand: a test says every message of it.

use series::{Block, Column, Labels, MetricKind, Rows};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};
use wire::proto::ingest_service_client::IngestServiceClient;
use wire::proto::sync_request::Message;
use wire::proto::sync_response::Message as Answer;
use wire::proto::{self, Batch, Hello, SeriesDefinitions};

use crate::{SOON, now_millis};

/// The hello of an agent of this name whose spool begins at 1.
#[must_use]
pub fn hello(agent: &str) -> Hello {
    Hello {
        protocol: wire::PROTOCOL,
        agent_id: agent.to_owned(),
        epoch: 7,
        oldest_sequence: 1,
        version: "0".to_owned(),
        wall_millis: now_millis(),
        ..Hello::default()
    }
}

/// Definitions of `count` series from number `first` on.
///
/// # Panics
/// Never: the names are good.
#[must_use]
pub fn definitions(first: u32, count: u32) -> Message {
    let name = |number: u32| Labels::with_name("hostile", &[("number", &number.to_string())]);
    let labels: Vec<Labels> = (first..first + count)
        .map(|number| name(number).unwrap())
        .collect();
    let mut list = Vec::new();
    codec::encode_labels_list(&labels, &vec![MetricKind::Gauge; labels.len()], &mut list);
    Message::Definitions(SeriesDefinitions {
        families: Vec::new(),
        first_ref: first,
        list: list.into(),
    })
}

/// A batch with one sample of each of these series.
#[must_use]
pub fn batch(sequence: u64, series: &[u32], at_millis: i64) -> Message {
    let block = Block {
        times: vec![at_millis],
        columns: series
            .iter()
            .map(|number| Column {
                rows: Rows::All,
                values: [f64::from(*number)].into_iter().collect(),
            })
            .collect(),
    };
    let mut columns = Vec::new();
    codec::encode_block(&block, &mut columns);
    raw_batch(sequence, series, columns)
}

/// A batch with these bytes as its columns.
#[must_use]
pub fn raw_batch(sequence: u64, series: &[u32], columns: Vec<u8>) -> Message {
    let block = proto::Block {
        series_refs: series.to_vec(),
        columns: columns.into(),
    };
    Message::Batch(Batch {
        sequence,
        blocks: vec![block],
        ..Batch::default()
    })
}

/// A stream of the bulk lane, of which the test says every message.
#[derive(Debug)]
pub struct Stream {
    requests: mpsc::Sender<proto::SyncRequest>,
    answers: Streaming<proto::SyncResponse>,
}

impl Stream {
    /// One that has said nothing.
    ///
    /// # Panics
    /// When the call is refused.
    pub async fn silent(channel: &Channel) -> Self {
        let (requests, outgoing) = mpsc::channel(16);
        let mut client = IngestServiceClient::new(channel.clone());
        let answers = client
            .sync(ReceiverStream::new(outgoing))
            .await
            .unwrap()
            .into_inner();
        Self { requests, answers }
    }

    /// One of this agent, and how it was welcomed.
    ///
    /// # Panics
    /// When it is not.
    pub async fn welcomed(channel: &Channel, hello: Hello) -> (Self, proto::Welcome) {
        let mut stream = Self::silent(channel).await;
        stream.say(Message::Hello(hello)).await;
        match stream.answer().await {
            Ok(Answer::Welcome(welcome)) => (stream, welcome),
            other => panic!("{other:?}"),
        }
    }

    /// Says a message.
    pub async fn say(&self, message: Message) {
        let message = Some(message);
        // When the stream is closed, its answers say why.
        drop(self.requests.send(proto::SyncRequest { message }).await);
    }

    /// The next answer, or the end of the stream.
    ///
    /// # Errors
    /// The status that ended it.
    ///
    /// # Panics
    /// When there is none in time.
    pub async fn answer(&mut self) -> Result<Answer, Status> {
        let answer = tokio::time::timeout(SOON, self.answers.message()).await;
        let answer = answer.expect("an answer in time")?;
        answer
            .and_then(|answer| answer.message)
            .ok_or_else(|| Status::ok("the stream ended without a word"))
    }

    /// Waits for a refusal of this batch that says `why`.
    ///
    /// # Panics
    /// When something else comes.
    pub async fn refused(&mut self, sequence: u64, why: &str) {
        match self.answer().await {
            Ok(Answer::Refusal(refusal)) => {
                assert_eq!(refusal.sequence, sequence, "{refusal:?}");
                assert!(refusal.reason.contains(why), "{refusal:?}");
            }
            other => panic!("{other:?} where {sequence} should be refused: {why}"),
        }
    }

    /// Waits for the acknowledgement of this batch; gives what all is settled up to.
    ///
    /// # Panics
    /// When something else comes.
    pub async fn acknowledged(&mut self, sequence: u64) -> u64 {
        match self.answer().await {
            Ok(Answer::Acknowledgement(durable)) => {
                assert_eq!(durable.sequence, sequence);
                durable.through_sequence
            }
            other => panic!("{other:?} where {sequence} should be acknowledged"),
        }
    }

    /// Waits for the end of the stream with this code and words.
    ///
    /// # Panics
    /// When it does not end, or otherwise.
    pub async fn ended(&mut self, code: Code, why: &str) {
        let status = self.answer().await.expect_err("the end of the stream");
        assert_eq!(status.code(), code, "{status:?}");
        assert!(
            status.message().contains(why),
            "{status:?} does not say {why:?}"
        );
    }
}
