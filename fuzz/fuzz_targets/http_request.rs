//! Requests to the HTTP port of a coordinator with a few series: bytes as they are, or a page with
//! parameters, a form or a remote write. Each is answered or its connection closed, within a time, and
//! never as a failure of ours; what says that it is JSON is.
#![no_main]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use coordinator::Config;
use coordinator::run::{Running, start};
use daemon::clock::{Clock as _, SystemClock};
use daemon::shutdown::Shutdown;
use daemon::units::HumanDuration;
use fuzz::Input;
use libfuzzer_sys::fuzz_target;

/// Longer than a query may take.
const WITHIN: Duration = Duration::from_secs(10);
const QUERY_WITHIN_SECS: u64 = 2;

const PAGES: [&str; 20] = [
    "/api/v1/query",
    "/api/v1/query_range",
    "/api/v1/format_query",
    "/api/v1/series",
    "/api/v1/labels",
    "/api/v1/label/node/values",
    "/api/v1/metadata",
    "/api/v1/targets",
    "/api/v1/status/tsdb",
    "/api/v1/status/flags",
    "/api/v1/status/buildinfo",
    "/api/v1/status/runtimeinfo",
    "/api/v1/write",
    "/metrics",
    "/-/ready",
    "/-/healthy",
    "/-/flush",
    "/-/compact",
    "/api/v1/label/",
    "/",
];

const NAMES: [&str; 14] = [
    "query",
    "time",
    "start",
    "end",
    "step",
    "match[]",
    "limit",
    "timeout",
    "stats",
    "explain",
    "lookback_delta",
    "metric",
    "limit_per_metric",
    "",
];

const HEADERS: [&str; 8] = [
    "",
    "Accept-Encoding: gzip\r\n",
    "Accept-Encoding: zstd;q=0.5, gzip;q=x, br\r\n",
    "Origin: http://x\r\n",
    "Content-Type: application/x-www-form-urlencoded\r\n",
    "Content-Type: application/x-protobuf\r\nContent-Encoding: snappy\r\n",
    "Content-Type: application/x-protobuf;proto=io.prometheus.write.v2.Request\r\nContent-Encoding: snappy\r\n",
    "Expect: 100-continue\r\n",
];

/// A coordinator that lasts as long as the target.
struct Server {
    running: Running,
    _runtime: tokio::runtime::Runtime,
    _folder: tempfile::TempDir,
}

static SERVER: LazyLock<Server> = LazyLock::new(server);

fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    let is_raw = input.u8().is_multiple_of(8);
    let request = if is_raw {
        data.get(1..).unwrap_or_default().to_vec()
    } else {
        request(&mut input)
    };
    check(&send(SERVER.running.http, &request, is_raw));
});

fn server() -> Server {
    let folder = tempfile::tempdir().expect("there is room");
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut config = Config {
        data_dir: folder.path().to_owned(),
        grpc_listen: any,
        http_listen: any,
        ..Config::default()
    };
    config.query.timeout = HumanDuration::from_secs(QUERY_WITHIN_SECS);
    config.query.samples_max = 1_000_000;
    // It asks as fast as it can.
    config.access.requests_per_second_max = 0;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("threads can be started");
    let running = runtime
        .block_on(start(
            config,
            Arc::new(SystemClock::new()),
            &Shutdown::new(),
        ))
        .expect("it starts");
    let server = Server {
        running,
        _runtime: runtime,
        _folder: folder,
    };
    let body = write_body();
    let head = format!(
        "POST /api/v1/write HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{}Content-Length: {}\r\n\r\n",
        HEADERS[5],
        body.len()
    );
    let answer = send(
        server.running.http,
        &[head.as_bytes(), &body].concat(),
        false,
    );
    assert!(answer.starts_with(b"HTTP/1.1 204"));
    server
}

/// A few series with a sample each.
fn write_body() -> Vec<u8> {
    let now = SystemClock::new().wall_millis().unsigned_abs();
    let field = |number: u8, bytes: &[u8]| {
        let length = u8::try_from(bytes.len()).expect("it is short");
        [&[number << 3 | 2, length], bytes].concat()
    };
    let label = |name: &str, value: &str| {
        let label = [field(1, name.as_bytes()), field(2, value.as_bytes())].concat();
        field(1, &label)
    };
    let mut body = Vec::new();
    for node in ["n1", "n2", "n3"] {
        for metric in ["up", "a_total", "h_bucket"] {
            let mut sample = vec![9];
            sample.extend_from_slice(&1.5_f64.to_le_bytes());
            sample.push(16);
            let mut time = now;
            while time > 127 {
                sample.push(u8::try_from(time & 127).expect("it is seven bits") | 128);
                time >>= 7;
            }
            sample.push(u8::try_from(time).expect("it is seven bits"));
            let series = [
                label("__name__", metric),
                label("le", "0.5"),
                label("node", node),
                field(2, &sample),
            ];
            body.extend(field(1, &series.concat()));
        }
    }
    snap::raw::Encoder::new()
        .compress_vec(&body)
        .expect("it is short")
}

/// A request of a page, by GET or with a body.
fn request(input: &mut Input<'_>) -> Vec<u8> {
    let page = PAGES[usize::from(input.u8()) % PAGES.len()];
    let headers = HEADERS[usize::from(input.u8()) % HEADERS.len()];
    let how = input.u8();
    let mut form = String::new();
    for _ in 0..how >> 4 {
        let name = NAMES[usize::from(input.u8()) % NAMES.len()];
        let value: String = match std::str::from_utf8(input.piece()) {
            // Mostly what can be read; the rest tries the escapes.
            Ok(text) if how & 4 == 0 => text.bytes().map(|byte| format!("%{byte:02X}")).collect(),
            Ok(text) => text.replace([' ', '\r', '\n'], "+"),
            Err(_) => continue,
        };
        form += &format!("&{name}={value}");
    }
    let (line, body) = if how & 1 == 0 {
        (format!("GET {page}?{form}"), Vec::new())
    } else if page.ends_with("write") {
        let piece = input.piece();
        let packed = snap::raw::Encoder::new().compress_vec(piece);
        let body = if how & 2 == 0 {
            packed.unwrap_or_default()
        } else {
            piece.to_vec()
        };
        (format!("POST {page}"), body)
    } else {
        (format!("POST {page}"), form.into_bytes())
    };
    let length = body.len();
    let head = format!(
        "{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n"
    );
    [head.into_bytes(), body].concat()
}

/// Sends bytes and gives all that comes back until the connection is closed.
fn send(address: SocketAddr, request: &[u8], is_raw: bool) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(WITHIN)).expect("it is a time");
    // The other side may close before it has read all.
    drop(stream.write_all(request));
    if is_raw {
        drop(stream.shutdown(std::net::Shutdown::Write));
    }
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
        Err(error) => panic!("no answer: {error}"),
    }
    answer
}

fn check(answer: &[u8]) {
    let Some(end) = answer.windows(4).position(|at| at == b"\r\n\r\n") else {
        return;
    };
    let (head, body) = answer.split_at(end + 4);
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let code = head.get(9..12).unwrap_or_default();
    assert!(
        code != "500" && code.starts_with(['1', '2', '4', '5']),
        "{head}"
    );
    let is_packed = head.contains("content-encoding") || head.contains("transfer-encoding");
    if head.contains("content-type: application/json") && !is_packed && code != "100" {
        // A raw request may hold several, whose answers follow one another.
        let values = serde_json::Deserializer::from_slice(body).into_iter::<serde_json::Value>();
        let first = values.into_iter().next();
        assert!(
            first.is_none_or(|it| it.is_ok()),
            "{}",
            String::from_utf8_lossy(body)
        );
    }
}
