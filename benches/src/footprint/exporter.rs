//! A scraper as Prometheus is one, as far as the wire is concerned: one connection that is kept,
//! the same headers, gzip.

use std::net::SocketAddr;

use std::io::Read as _;

use anyhow::{Context as _, Result, bail, ensure};
use flate2::read::GzDecoder;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Largest head of an answer, in bytes.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Largest body, as sent and when unpacked.
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// One connection to an exporter.
#[derive(Debug)]
pub struct Connection {
    address: SocketAddr,
    stream: TcpStream,
    /// What was read and not yet used.
    buffer: Vec<u8>,
    wire_bytes: u64,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens there.
    pub async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)
            .await
            .with_context(|| format!("connecting to {address}"))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            address,
            stream,
            buffer: Vec::new(),
            wire_bytes: 0,
        })
    }

    /// Bytes on the socket so far, both ways, HTTP included, TCP and IP left out.
    #[must_use]
    pub fn wire_bytes(&self) -> u64 {
        self.wire_bytes
    }

    /// Reads `/metrics` once; the page, unpacked.
    ///
    /// # Errors
    /// When the exporter does not answer with a page that can be read.
    pub async fn scrape(&mut self) -> Result<Vec<u8>> {
        let request = format!(
            "GET /metrics HTTP/1.1\r\nHost: {}\r\nUser-Agent: Prometheus/2.42.0\r\n\
             Accept: application/openmetrics-text;version=1.0.0,application/openmetrics-text;\
             version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1\r\n\
             Accept-Encoding: gzip\r\nX-Prometheus-Scrape-Timeout-Seconds: 5\r\n\r\n",
            self.address
        );
        self.stream.write_all(request.as_bytes()).await?;
        self.wire_bytes += request.len() as u64;
        let head = Head::parse(&self.head().await?)?;
        let body = match head.length {
            Some(length) => self.take(length).await?,
            None => self.chunks().await?,
        };
        if !head.is_gzip {
            return Ok(body);
        }
        let mut page = Vec::new();
        GzDecoder::new(&body[..])
            .take(BODY_BYTES_MAX as u64)
            .read_to_end(&mut page)
            .context("unpacking the page")?;
        Ok(page)
    }

    async fn fill(&mut self) -> Result<()> {
        let read = self.stream.read_buf(&mut self.buffer).await?;
        ensure!(read > 0, "the exporter closed the connection");
        self.wire_bytes += read as u64;
        Ok(())
    }

    async fn take(&mut self, count: usize) -> Result<Vec<u8>> {
        ensure!(count <= BODY_BYTES_MAX, "a body of {count} bytes");
        while self.buffer.len() < count {
            self.fill().await?;
        }
        Ok(self.buffer.drain(..count).collect())
    }

    /// Up to `end`, which is left out.
    async fn until(&mut self, end: &[u8]) -> Result<Vec<u8>> {
        loop {
            if let Some(at) = position(&self.buffer, end) {
                let mut taken = self.take(at + end.len()).await?;
                taken.truncate(at);
                return Ok(taken);
            }
            ensure!(self.buffer.len() <= HEAD_BYTES_MAX, "a head without an end");
            self.fill().await?;
        }
    }

    async fn head(&mut self) -> Result<String> {
        let head = self.until(b"\r\n\r\n").await?;
        String::from_utf8(head).context("a head that is no text")
    }

    async fn chunks(&mut self) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.until(b"\r\n").await?;
            let size = str::from_utf8(&line)
                .ok()
                .and_then(|line| line.split(';').next());
            let size = size.and_then(|size| usize::from_str_radix(size.trim(), 16).ok());
            let size = size.context("a chunk without a size")?;
            ensure!(
                body.len() + size.min(BODY_BYTES_MAX + 1) <= BODY_BYTES_MAX,
                "a long body"
            );
            body.append(&mut self.take(size).await?);
            ensure!(self.take(2).await? == b"\r\n", "a chunk without an end");
            if size == 0 {
                return Ok(body);
            }
        }
    }
}

fn position(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

/// What matters of the head of an answer.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    is_gzip: bool,
    /// Bytes of the body; none when it comes in chunks.
    length: Option<usize>,
}

impl Head {
    fn parse(text: &str) -> Result<Self> {
        let mut lines = text.split("\r\n");
        let status = lines.next().unwrap_or_default();
        ensure!(
            status.starts_with("HTTP/1.1 200"),
            "the exporter says {status}"
        );
        let fields: Vec<(String, &str)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim()))
            .collect();
        let get = |wanted: &str| {
            let mut found = fields.iter().filter(|(name, _)| name == wanted);
            found.next().map(|(_, value)| *value)
        };
        let is_chunked = get("transfer-encoding") == Some("chunked");
        let length = match get("content-length") {
            Some(length) => Some(length.parse().context("a body without a length")?),
            None if is_chunked => None,
            None => bail!("a body with neither length nor chunks"),
        };
        Ok(Self {
            is_gzip: get("content-encoding") == Some("gzip"),
            length,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[test]
    fn a_head_says_how_the_body_comes() {
        let parse = |text| Head::parse(text).ok();
        assert_eq!(
            parse("HTTP/1.1 200 OK\r\ncontent-length: 12\r\nContent-Encoding: gzip"),
            Some(Head {
                is_gzip: true,
                length: Some(12)
            })
        );
        assert_eq!(
            parse("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked"),
            Some(Head {
                is_gzip: false,
                length: None
            })
        );
        assert_eq!(parse("HTTP/1.1 200 OK"), None);
        assert_eq!(parse("HTTP/1.1 503 Busy\r\nContent-Length: 0"), None);
    }

    #[tokio::test]
    async fn pages_come_over_one_connection_and_every_byte_is_counted() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answers: [&[u8]; 2] = [
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nup \r\n2\r\n1\n\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nup 0\n",
        ];
        let server = tokio::spawn(async move {
            let mut stream = listener.accept().await.unwrap().0;
            let mut received = 0;
            for answer in answers {
                let mut request = Vec::new();
                while position(&request, b"\r\n\r\n").is_none() {
                    received += stream.read_buf(&mut request).await.unwrap();
                }
                stream.write_all(answer).await.unwrap();
            }
            received
        });
        let mut connection = Connection::open(address).await.unwrap();
        assert_eq!(connection.scrape().await.unwrap(), b"up 1\n");
        assert_eq!(connection.scrape().await.unwrap(), b"up 0\n");
        let sent: usize = answers.iter().map(|answer| answer.len()).sum();
        let received = server.await.unwrap();
        assert_eq!(connection.wire_bytes(), (sent + received) as u64);
    }
}
