//! Series as the demo service of the compliance queries shows them, and what a scraper makes of
//! services that miss scrapes, restart, and show a metric only now and then.

use process_tests::chance::Chance;

/// The first scrape, in milliseconds since the Unix epoch.
const START: i64 = 1_795_440_000_000;
/// Milliseconds between two scrapes.
const INTERVAL: i64 = 15_000;
/// Scrapes of each instance.
const SCRAPES: i64 = 260;
/// Scrapes that are sent in one body.
const IN_BODY: usize = 13;
/// The scrape at which an instance comes back after some that failed, its counters at 0.
const RESTART: i64 = 150;
/// Scrapes that fail before it.
const DOWN: i64 = 9;
/// The scrape at which shipping begins, from 0.
const SHIPPING: i64 = 40;
/// What the last two instances say in the place of a value when there is none; the first just ends.
const STALE: u64 = 0x7ff0_0000_0000_0002;
/// Upper bounds of the buckets.
const BOUNDS: [(&str, f64); 8] = [
    ("0.005", 0.005),
    ("0.01", 0.01),
    ("0.02", 0.02),
    ("0.04", 0.04),
    ("0.08", 0.08),
    ("0.16", 0.16),
    ("0.32", 0.32),
    ("+Inf", f64::INFINITY),
];

/// Labels besides the name, `instance` and `job`.
type Labels<'a> = &'a [(&'a str, &'a str)];

/// A protobuf message that is written field by field.
#[derive(Debug, Default)]
struct Message(Vec<u8>);

impl Message {
    fn number(&mut self, mut value: u64) {
        while value > 0x7f {
            self.0.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.0.push(value.to_le_bytes()[0]);
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.number(field << 3 | 2);
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    /// A series of one sample.
    fn series(&mut self, labels: &[(&str, &str)], time: i64, value: f64) {
        let mut series = Self::default();
        for (name, value) in labels {
            let mut label = Self::default();
            label.bytes(1, name.as_bytes());
            label.bytes(2, value.as_bytes());
            series.bytes(1, &label.0);
        }
        let mut sample = Self::default();
        sample.number(1 << 3 | 1);
        sample.0.extend(value.to_bits().to_le_bytes());
        sample.number(2 << 3);
        sample.number(time.cast_unsigned());
        series.bytes(2, &sample.0);
        self.bytes(1, &series.0);
    }
}

/// One instance of the service.
#[derive(Debug)]
struct Instance {
    name: &'static str,
    index: u32,
    chance: Chance,
    cpu: [f64; 3],
    memory: [f64; 3],
    disk: f64,
    shipped: f64,
    /// When the last batch succeeded, and what it did.
    batch: [f64; 3],
    /// For each kind of request the count of each bucket, and the sum.
    requests: [([f64; 8], f64); 8],
}

/// One scrape: what it shows goes into a message.
struct Scrape<'a> {
    message: &'a mut Message,
    instance: &'static str,
    time: i64,
}

impl Scrape<'_> {
    fn show(&mut self, name: &str, more: Labels<'_>, value: f64) {
        let mut labels = vec![
            ("__name__", name),
            ("instance", self.instance),
            ("job", "demo"),
        ];
        labels.extend(more);
        labels.sort_unstable();
        self.message.series(&labels, self.time, value);
    }
}

impl Instance {
    fn new(name: &'static str, index: u32) -> Self {
        Self {
            name,
            index,
            chance: Chance::from_seed(u64::from(index) + 1),
            cpu: [61_234.5, 9_876.25, 2_468.75].map(|value| value * f64::from(index + 1)),
            memory: [3.2e9, 2.1e9, 0.6e9],
            disk: 52e9 + f64::from(index) * 3e9,
            shipped: 0.0,
            batch: [0.0; 3],
            requests: [([0.0; 8], 0.0); 8],
        }
    }

    /// A number from 0 to under 1.
    fn part(&mut self) -> f64 {
        f64::from(u32::try_from(self.chance.under(1 << 30)).unwrap_or(0)) / f64::from(1 << 30)
    }

    /// Lives on until the next scrape.
    fn step(&mut self, scrape: i64, time: i64) {
        for (value, share) in self.cpu.iter_mut().zip([11.0, 3.0, 1.0]) {
            let part = f64::from(u32::try_from(self.chance.under(1000)).unwrap_or(0)) / 1000.0;
            *value += share * (0.5 + part);
        }
        for index in 0..self.memory.len() {
            let by = self.part() - 0.5;
            self.memory[index] += (by * 6e7).round();
        }
        self.disk += (self.part() * 2e7).round();
        if scrape >= SHIPPING {
            self.shipped += (self.part() * 40.0).round();
        }
        if scrape % 4 == i64::from(self.index) {
            let now = f64::from(i32::try_from((time - START) / 1000).unwrap()) + self.part();
            let start = f64::from(u32::try_from(START / 1000).unwrap());
            self.batch = [
                start + now,
                1.0 + self.part(),
                (1e6 + self.part() * 1e5).round(),
            ];
        }
        for kind in 0..self.requests.len() {
            let count = self.chance.under(9);
            for _ in 0..count {
                let took = 0.004 * (1.0 + 30.0 * self.part() * self.part());
                let (buckets, sum) = &mut self.requests[kind];
                *sum += took;
                for (bucket, (_, bound)) in buckets.iter_mut().zip(BOUNDS) {
                    *bucket += f64::from(u8::from(took <= bound));
                }
            }
        }
    }

    /// Starts again from nothing.
    fn restart(&mut self) {
        self.cpu = [0.0; 3];
        self.shipped = 0.0;
        self.requests = [([0.0; 8], 0.0); 8];
    }

    /// Shows everything but the histogram and what is not always there.
    fn show(&mut self, to: &mut Scrape<'_>) {
        for (mode, value) in ["idle", "user", "system"].iter().zip(self.cpu) {
            to.show("demo_cpu_usage_seconds_total", &[("mode", mode)], value);
        }
        let [used, cached, buffers] = self.memory;
        let memory = [
            used,
            cached,
            buffers,
            8.0 * f64::from(1 << 30) - used - cached - buffers,
        ];
        for (kind, value) in ["used", "cached", "buffers", "free"].iter().zip(memory) {
            to.show("demo_memory_usage_bytes", &[("type", kind)], value);
        }
        let [success, duration, bytes] = self.batch;
        let count = f64::from(u8::try_from(self.chance.under(6)).unwrap_or(0));
        for (name, value) in [
            ("demo_num_cpus", f64::from(2 << self.index)),
            ("demo_disk_usage_bytes", self.disk),
            ("demo_disk_total_bytes", 160.0 * f64::from(1 << 30)),
            ("demo_items_shipped_total", self.shipped),
            ("demo_api_http_requests_in_progress", count),
            ("demo_is_holiday", 0.0),
            ("demo_batch_last_success_timestamp_seconds", success),
            ("demo_batch_last_run_timestamp_seconds", success),
            ("demo_batch_last_run_duration_seconds", duration),
            ("demo_batch_last_run_processed_bytes", bytes),
            ("up", 1.0),
        ] {
            to.show(name, &[], value);
        }
        // No metric of the service: values that are seldom.
        let odd = [
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            -0.0,
            1e-310,
            -1.5,
        ];
        let at = usize::try_from(self.chance.under(odd.len() as u64)).unwrap_or(0);
        to.show("demo_odd_values", &[], odd[at]);
    }

    fn show_requests(&self, to: &mut Scrape<'_>) {
        let kinds = [
            ("GET", "/api/foo"),
            ("POST", "/api/foo"),
            ("GET", "/api/bar"),
        ];
        let kinds = kinds.into_iter().chain([("POST", "/api/bar")]);
        let kinds = kinds.flat_map(|(method, path)| {
            ["200", "500"].map(|status| [("method", method), ("path", path), ("status", status)])
        });
        for (labels, (buckets, sum)) in kinds.zip(self.requests) {
            for (value, (le, _)) in buckets.iter().zip(BOUNDS) {
                let labels = [("le", le)].into_iter().chain(labels);
                let labels: Vec<_> = labels.collect();
                to.show("demo_api_request_duration_seconds_bucket", &labels, *value);
            }
            to.show("demo_api_request_duration_seconds_sum", &labels, sum);
            to.show(
                "demo_api_request_duration_seconds_count",
                &labels,
                buckets[7],
            );
        }
    }

    /// Shows the metric that comes and goes: eleven scrapes with it, then nine without.
    fn show_intermittent(&self, scrape: i64, to: &mut Scrape<'_>) {
        let value = match scrape % 20 {
            phase @ 0..11 => f64::from(i32::try_from(phase).unwrap_or(0)) + 1.0,
            11 if self.index > 0 => f64::from_bits(STALE),
            _ => return,
        };
        to.show("demo_intermittent_metric", &[], value);
    }
}

/// All scrapes, as remote writes.
pub(crate) fn bodies() -> Vec<Vec<u8>> {
    let names = [
        "demo.promlabs.com:10000",
        "demo.promlabs.com:10001",
        "demo.promlabs.com:10002",
    ];
    let instances = (0..).zip(names);
    let mut instances: Vec<Instance> = instances
        .map(|(index, name)| Instance::new(name, index))
        .collect();
    let mut messages = Vec::new();
    for scrape in 0..SCRAPES {
        let mut message = Message::default();
        for instance in &mut instances {
            let index = i64::from(instance.index);
            let late = i64::try_from(instance.chance.under(9)).unwrap_or(0);
            let time = START + scrape * INTERVAL + 1_113 + index * 4_020 + late;
            instance.step(scrape, time);
            if index == 1 && scrape == RESTART {
                instance.restart();
            }
            let is_down = index == 1 && (RESTART - DOWN..RESTART).contains(&scrape);
            if is_down || instance.chance.once_in(50) {
                continue;
            }
            let mut to = Scrape {
                message: &mut message,
                instance: instance.name,
                time,
            };
            instance.show(&mut to);
            instance.show_requests(&mut to);
            instance.show_intermittent(scrape, &mut to);
        }
        messages.push(message.0);
    }
    let bodies = messages.chunks(IN_BODY).map(|messages| {
        let packed = snap::raw::Encoder::new().compress_vec(&messages.concat());
        packed.unwrap()
    });
    bodies.collect()
}
