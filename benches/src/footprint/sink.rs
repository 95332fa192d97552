//! The smallest coordinator that an agent can talk to: it takes everything, keeps nothing, and
//! counts samples and every byte on the sockets.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use anyhow::Context as _;
use series::Labels;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::transport::Server;
use tonic::transport::server::Connected;
use tonic::{Request, Response, Status, Streaming};
use wire::proto;
use wire::proto::ingest_service_server::{IngestService, IngestServiceServer};

/// What has come so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Bytes on all sockets, both ways, HTTP/2 included, TCP and IP left out.
    pub wire_bytes: u64,
    /// Samples of all batches.
    pub samples: u64,
    /// Batches.
    pub batches: u64,
    /// Bytes of columns and series numbers in them.
    pub batch_bytes: u64,
    /// Bytes of series names.
    pub name_bytes: u64,
    /// Series, by their label `job`.
    pub series_by_job: BTreeMap<String, u64>,
    /// Bytes and samples up to the end of the first batch, which brings most of the names.
    pub first: Option<(u64, u64)>,
}

impl Counts {
    /// Series of all jobs.
    #[must_use]
    pub fn series(&self) -> u64 {
        self.series_by_job.values().sum()
    }
}

/// A handle on the counts.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<Mutex<Counts>>);

impl Counter {
    /// The counts now.
    #[must_use]
    pub fn read(&self) -> Counts {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn change(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn wire(&self, bytes: usize) {
        self.change(|counts| counts.wire_bytes += bytes as u64);
    }
}

/// A sink that is listening.
#[derive(Debug)]
pub struct Sink {
    /// Where.
    pub address: SocketAddr,
    /// What came.
    pub counter: Counter,
    task: JoinHandle<Result<(), tonic::transport::Error>>,
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Sink {
    /// Listens on a free port of this machine.
    ///
    /// # Errors
    /// When there is none.
    pub async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .context("listening")?;
        let address = listener.local_addr()?;
        let counter = Counter::default();
        let sockets = counter.clone();
        let incoming = TcpListenerStream::new(listener).map(move |stream| {
            let stream = stream?;
            stream.set_nodelay(true)?;
            Ok::<_, io::Error>(Counted {
                stream,
                counter: sockets.clone(),
            })
        });
        let service = IngestServiceServer::new(Ingest {
            counter: counter.clone(),
        })
        .max_decoding_message_size(wire::MESSAGE_BYTES_MAX);
        let serving = Server::builder()
            .add_service(service)
            .serve_with_incoming(incoming);
        Ok(Self {
            address,
            counter,
            task: tokio::spawn(serving),
        })
    }
}

/// A socket that counts.
#[derive(Debug)]
struct Counted {
    stream: TcpStream,
    counter: Counter,
}

impl Connected for Counted {
    type ConnectInfo = ();
    fn connect_info(&self) {}
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.counter.wire(buffer.filled().len() - before);
        polled
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        if let Poll::Ready(Ok(written)) = polled {
            self.counter.wire(written);
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

struct Ingest {
    counter: Counter,
}

type Answers<T> = ReceiverStream<Result<T, Status>>;

#[tonic::async_trait]
impl IngestService for Ingest {
    type SyncStream = Answers<proto::SyncResponse>;
    type UrgentStream = Answers<proto::UrgentResponse>;

    async fn sync(
        &self,
        request: Request<Streaming<proto::SyncRequest>>,
    ) -> Result<Response<Self::SyncStream>, Status> {
        let (answers, outgoing) = mpsc::channel(4);
        let mut stream = Stream {
            counter: self.counter.clone(),
            series: Vec::new(),
        };
        let mut incoming = request.into_inner();
        tokio::spawn(async move {
            while let Ok(Some(request)) = incoming.message().await {
                let answer = match stream.take(request) {
                    Ok(Some(answer)) => Ok(proto::SyncResponse {
                        message: Some(answer),
                    }),
                    Ok(None) => continue,
                    Err(problem) => Err(Status::invalid_argument(problem)),
                };
                let is_last = answer.is_err();
                if answers.send(answer).await.is_err() || is_last {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(outgoing)))
    }

    async fn urgent(
        &self,
        request: Request<Streaming<proto::UrgentRequest>>,
    ) -> Result<Response<Self::UrgentStream>, Status> {
        let (answers, outgoing) = mpsc::channel(4);
        let mut incoming = request.into_inner();
        tokio::spawn(async move {
            while let Ok(Some(request)) = incoming.message().await {
                let Some(proto::urgent_request::Message::Event(event)) = request.message else {
                    continue;
                };
                let recorded = proto::urgent_response::Message::RecordedEventId(event.id);
                let message = Some(recorded);
                if answers
                    .send(Ok(proto::UrgentResponse { message }))
                    .await
                    .is_err()
                {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(outgoing)))
    }
}

/// One bulk lane.
struct Stream {
    counter: Counter,
    /// The defined series, and whether a batch has had a sample of it.
    series: Vec<(Labels, bool)>,
}

impl Stream {
    fn take(
        &mut self,
        request: proto::SyncRequest,
    ) -> Result<Option<proto::sync_response::Message>, &'static str> {
        use proto::sync_request::Message;
        use proto::sync_response::Message as Answer;
        match request.message.ok_or("an empty message")? {
            Message::Hello(_) => Ok(Some(Answer::Welcome(proto::Welcome::default()))),
            Message::Definitions(definitions) => {
                self.define(&definitions)?;
                Ok(None)
            }
            Message::Batch(batch) => {
                let sequence = batch.sequence;
                self.batch(batch)?;
                let acknowledgement = proto::Acknowledgement {
                    through_sequence: sequence,
                    sequence,
                };
                Ok(Some(Answer::Acknowledgement(acknowledgement)))
            }
            Message::RulesRun(_) => Ok(None),
            Message::Loss(loss) => Ok(Some(Answer::LossRecorded(proto::LossRecorded {
                first_sequence: loss.first_sequence,
                last_sequence: loss.last_sequence,
            }))),
        }
    }

    fn define(&mut self, definitions: &proto::SeriesDefinitions) -> Result<(), &'static str> {
        if usize::try_from(definitions.first_ref) != Ok(self.series.len()) {
            return Err("the numbers of series leave a gap");
        }
        let list = codec::decode_labels_list(&definitions.list)
            .map_err(|_source| "the names do not decode")?;
        self.series
            .extend(list.into_iter().map(|(labels, _)| (labels, false)));
        self.counter
            .change(|counts| counts.name_bytes += definitions.list.len() as u64);
        Ok(())
    }

    fn batch(&mut self, batch: proto::Batch) -> Result<(), &'static str> {
        let bytes = wire::Message::encoded_len(&batch) as u64;
        let mut samples = 0;
        let mut fresh = Vec::new();
        for block in batch.blocks {
            let decoded = codec::decode_block(&block.columns)
                .map_err(|_source| "the columns do not decode")?;
            if decoded.columns.len() != block.series_refs.len() {
                return Err("a block has not as many columns as series");
            }
            samples += decoded.sample_count() as u64;
            for number in block.series_refs {
                let at = usize::try_from(number).unwrap_or(usize::MAX);
                let (labels, seen) = self.series.get_mut(at).ok_or("an unknown series")?;
                if !std::mem::replace(seen, true) {
                    fresh.push(labels.get("job").to_owned());
                }
            }
        }
        self.counter.change(|counts| {
            counts.batches += 1;
            counts.batch_bytes += bytes;
            counts.samples += samples;
            for job in fresh {
                *counts.series_by_job.entry(job).or_default() += 1;
            }
            let so_far = (counts.wire_bytes, counts.samples);
            counts.first.get_or_insert(so_far);
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests;
