//! The host collector against the real `node_exporter` on this machine: the same series with the
//! same types, and the same values where they hold still.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of a test may do what a test may"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use agent::collect::Collector;
use agent::collect::host::{Host, HostConfig};
use daemon::clock::{Clock, SharedClock, SystemClock};
use series::{Labels, LabelsBuilder, MetricKind, Snapshot, Timestamp};

/// What `node_exporter` says that the host collector does not, by the start of its name, and why.
const LEFT_OUT: [(&str, &str); 7] = [
    ("go_", "about node_exporter itself"),
    ("process_", "about node_exporter itself"),
    ("promhttp_", "about node_exporter itself"),
    ("node_exporter_build_info", "about node_exporter itself"),
    (
        "node_textfile_",
        "files of other programs, which have their own way into the agent",
    ),
    (
        "node_timex_",
        "adjtimex(2) has no safe wrapper among the agent's dependencies",
    ),
    (
        "node_processes_threads_state",
        "costs a file for each thread of the host",
    ),
];
/// Collectors of `node_exporter` that are turned off because the host collector has none of them,
/// and why. On most hosts they say nothing.
const TURNED_OFF: [(&str, &str); 10] = [
    ("bcache", "storage that inference nodes seldom have"),
    ("btrfs", "storage that inference nodes seldom have"),
    ("fibrechannel", "storage that inference nodes seldom have"),
    ("ipvs", "a load balancer's counters"),
    (
        "nfs",
        "protocol counters of little use beside the filesystem's own",
    ),
    ("nfsd", "a file server's counters"),
    (
        "systemd",
        "a series for each unit and state, and a bus to ask",
    ),
    ("tapestats", "storage that inference nodes seldom have"),
    ("xfs", "internals of a filesystem"),
    ("zfs", "internals of a filesystem"),
];
/// Of what is left out, what is about the host and so counts as missing in the share of the whole.
const ABOUT_THE_HOST: &str = "node_";

/// Labels that releases of `node_exporter` later than that of Debian 12 have added.
const LABELS_ADDED: [(&str, &str); 2] = [
    ("node_disk_info", "rotational"),
    ("node_network_info", "adminstate"),
];

/// Gauges that hold still between two readings, by the start of their name.
const STEADY: [&str; 37] = [
    "node_boot_time_seconds",
    "node_disk_info",
    "node_entropy_pool_size_bits",
    "node_filefd_maximum",
    "node_filesystem_device_error",
    "node_filesystem_files{",
    "node_filesystem_readonly",
    "node_filesystem_size_bytes",
    "node_memory_CommitLimit_bytes",
    "node_memory_HugePages_",
    "node_memory_Hugepagesize_bytes",
    "node_memory_MemTotal_bytes",
    "node_memory_SwapTotal_bytes",
    "node_memory_VmallocTotal_bytes",
    "node_network_address_assign_type",
    "node_network_carrier",
    "node_network_device_id",
    "node_network_dormant",
    "node_network_flags",
    "node_network_iface_",
    "node_network_info",
    "node_network_mtu_bytes",
    "node_network_name_assign_type",
    "node_network_net_dev_group",
    "node_network_protocol_type",
    "node_network_speed_bytes",
    "node_network_transmit_queue_length",
    "node_network_up",
    "node_nf_conntrack_entries_limit",
    "node_os_info",
    "node_os_version",
    "node_processes_max_",
    "node_selinux_enabled",
    "node_sockstat_FRAG",
    "node_time_clocksource_",
    "node_time_zone_offset_seconds",
    "node_uname_info",
];

/// How far a counter may lie outside of the two readings around it: `node_exporter` rounds some
/// times differently, and idle time falls by a few ticks at times.
const COUNTER_SLACK_RATIO: f64 = 0.001;
const COUNTER_SLACK: f64 = 0.1;

/// Type and value by series.
type Page = BTreeMap<String, (MetricKind, f64)>;

struct Exporter {
    child: Child,
    address: SocketAddr,
}

impl Drop for Exporter {
    fn drop(&mut self) {
        let ended = self.child.kill().and_then(|()| self.child.wait());
        assert!(ended.is_ok(), "node_exporter did not end");
    }
}

impl Exporter {
    /// The exporter of this machine with the filters of `config`; none when it is not installed.
    fn start(config: &HostConfig) -> Option<Self> {
        let address = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        for program in ["prometheus-node-exporter", "node_exporter"] {
            let child = Command::new(program)
                .arg(format!("--web.listen-address={address}"))
                .arg(format!(
                    "--collector.diskstats.device-exclude={}",
                    config.disks_exclude
                ))
                .arg(format!(
                    "--collector.filesystem.mount-points-exclude={}",
                    config.mounts_exclude
                ))
                .arg(format!(
                    "--collector.filesystem.fs-types-exclude={}",
                    config.filesystems_exclude
                ))
                .arg("--collector.netdev.device-exclude=^$")
                .arg("--collector.processes")
                .args(TURNED_OFF.map(|(name, _)| format!("--no-collector.{name}")))
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn();
            match child {
                Ok(child) => return Some(Self { child, address }),
                Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{program}: {error}"),
            }
        }
        None
    }

    /// A page of metrics, as soon as the exporter listens.
    fn fetch(&mut self, clock: &dyn Clock) -> String {
        let (_never, pace) = mpsc::channel::<()>();
        let deadline = clock.monotonic() + Duration::from_secs(30);
        let mut stream = loop {
            match TcpStream::connect(self.address) {
                Ok(stream) => break stream,
                Err(error) => {
                    assert_eq!(
                        self.child.try_wait().unwrap(),
                        None,
                        "node_exporter has ended"
                    );
                    assert!(
                        clock.monotonic() < deadline,
                        "node_exporter does not listen: {error}"
                    );
                    assert!(pace.recv_timeout(Duration::from_millis(10)).is_err());
                }
            }
        };
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        stream
            .write_all(b"GET /metrics HTTP/1.0\r\nAccept: text/plain\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(" 200 "), "{head}");
        body.to_owned()
    }
}

/// The series of a page in the text format, their labels in order and those without value left out.
fn parse(text: &str) -> Page {
    let mut kinds = BTreeMap::new();
    let mut page = Page::new();
    for line in text.lines() {
        if let Some(declared) = line.strip_prefix("# TYPE ") {
            let (name, word) = declared.split_once(' ').unwrap();
            kinds.insert(name.to_owned(), MetricKind::from_word(word).unwrap());
        }
        if line.starts_with('#') {
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let mut builder = LabelsBuilder::default();
        builder.push("__name__", name);
        let mut rest = labels;
        while let Some((label, quoted)) = rest.split_once("=\"") {
            let mut text = String::new();
            let mut chars = quoted.char_indices();
            while let Some((at, c)) = chars.next() {
                match c {
                    '"' => {
                        rest = quoted.get(at + 1..).unwrap();
                        break;
                    }
                    '\\' => match chars.next().unwrap().1 {
                        'n' => text.push('\n'),
                        c => text.push(c),
                    },
                    c => text.push(c),
                }
            }
            builder.push(label.trim_start_matches(','), &text);
        }
        let base = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|end| name.strip_suffix(end));
        let kind = kinds
            .get(name)
            .or_else(|| kinds.get(base?))
            .copied()
            .unwrap_or_default();
        page.insert(
            builder.build().unwrap().to_string(),
            (kind, value.parse().unwrap()),
        );
    }
    page
}

/// Our own series without the labels that this `node_exporter` does not know.
fn flatten(snapshot: &Snapshot) -> Page {
    let kinds: BTreeMap<&str, MetricKind> = snapshot
        .families
        .iter()
        .map(|family| (family.name.as_str(), family.kind))
        .collect();
    assert_eq!(kinds.len(), snapshot.families.len(), "each family once");
    assert_eq!(snapshot.first_refusal, None);
    let page: Page = snapshot
        .samples
        .iter()
        .map(|sample| {
            let metric = sample.labels.metric_name();
            let mut labels = LabelsBuilder::from_labels(&sample.labels);
            labels.retain(|label| !LABELS_ADDED.contains(&(metric, label)));
            let labels: Labels = labels.build().unwrap();
            (labels.to_string(), (kinds[metric], sample.value))
        })
        .collect();
    assert_eq!(page.len(), snapshot.samples.len(), "each series once");
    page
}

fn left_out(series: &str) -> Option<&'static str> {
    LEFT_OUT
        .iter()
        .find(|(start, _)| series.starts_with(start))
        .map(|(_, reason)| *reason)
}

/// Whether the series is about a collector that only the other side has.
fn is_of_other_collector(series: &str, ours: &Page) -> bool {
    series.starts_with("node_scrape_collector_")
        && !ours.contains_key(&series.replace("_duration_seconds{", "_success{"))
}

#[test]
fn series_types_and_values_are_those_of_node_exporter() {
    let clock: SharedClock = SystemClock::shared();
    let config = HostConfig::default();
    let Some(mut exporter) = Exporter::start(&config) else {
        eprintln!("not compared: node_exporter is not installed here");
        return;
    };
    // The first page makes the exporter warm, so that the second lies close to our own readings.
    exporter.fetch(&*clock);
    let mut host = Host::new(config, SharedClock::clone(&clock));
    let mut collect = || {
        let now = Timestamp::from_millis(clock.wall_millis());
        flatten(&host.collect(now).unwrap())
    };
    let before = collect();
    let theirs = parse(&exporter.fetch(&*clock));
    let after = collect();
    drop(exporter);

    check_presence(&theirs, &after);
    check_values(&theirs, &before, &after);
}

/// At least 95 % of what is not left out knowingly, and 90 % of all.
fn check_presence(theirs: &Page, ours: &Page) {
    let about_host = |series: &str| {
        series.starts_with(ABOUT_THE_HOST)
            && !series.starts_with("node_exporter_")
            && !is_of_other_collector(series, ours)
    };
    let all: Vec<&String> = theirs.keys().filter(|series| about_host(series)).collect();
    let (known, rest): (Vec<&String>, Vec<&String>) = all
        .iter()
        .copied()
        .partition(|series| left_out(series).is_some());
    let missing: Vec<&String> = rest
        .iter()
        .copied()
        .filter(|series| !ours.contains_key(*series))
        .collect();
    let present = rest.len() - missing.len();
    for (name, reason) in TURNED_OFF {
        println!("turned off: {name} ({reason})");
    }
    for series in &known {
        println!(
            "left out: {series} ({})",
            left_out(series).unwrap_or_default()
        );
    }
    println!("missing: {missing:#?}");
    println!(
        "{present} of {} series, {} left out knowingly",
        all.len(),
        known.len()
    );
    assert!(
        rest.len() > 200,
        "node_exporter said too little to compare with"
    );
    assert!(
        present * 100 >= rest.len() * 95,
        "{} of {} missing",
        missing.len(),
        rest.len()
    );
    assert!(present * 100 >= all.len() * 90, "too much is left out");
}

/// The same types; counters between our readings before and after; steady gauges equal.
fn check_values(theirs: &Page, before: &Page, after: &Page) {
    let mut wrong = BTreeSet::new();
    let (mut counters, mut steady) = (0, 0);
    for (series, (kind, value)) in theirs {
        let Some(((our_kind, first), (_, last))) = before.get(series).zip(after.get(series)) else {
            continue;
        };
        if kind != our_kind {
            wrong.insert(format!(
                "{series} is {} and ours {}",
                kind.as_str(),
                our_kind.as_str()
            ));
        }
        let slack = COUNTER_SLACK + value.abs() * COUNTER_SLACK_RATIO;
        if *kind == MetricKind::Counter {
            counters += 1;
            if *value < first - slack || *value > last + slack {
                wrong.insert(format!(
                    "{series}: {first} <= {value} <= {last} does not hold"
                ));
            }
        } else if STEADY.iter().any(|start| series.starts_with(start)) {
            steady += 1;
            if !series::same_bits(*value, *last) {
                wrong.insert(format!("{series}: {value} is not {last}"));
            }
        }
    }
    println!("{counters} counters and {steady} steady gauges compared by value");
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(
        counters > 60 && steady > 30,
        "{counters} counters, {steady} steady gauges"
    );
}
