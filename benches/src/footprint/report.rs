//! The comparison, for a person and for a program.

use serde_json::{Value, json};

use super::process::{Binary, Usage};

/// What one of the two cost.
#[derive(Clone, Debug)]
pub struct Cost {
    /// What it calls itself.
    pub version: String,
    /// Its program.
    pub binary: Binary,
    /// Its memory at the end.
    pub usage: Usage,
    /// Processor time over the time that was measured, in seconds.
    pub cpu_seconds: f64,
    /// Series that it told of.
    pub series: u64,
    /// Samples that came over the wire.
    pub samples: u64,
    /// Bytes on the socket for all of them, both ways.
    pub wire_bytes: u64,
    /// Bytes for each sample once the names are known; the same as over all where names are sent
    /// every time.
    pub wire_bytes_per_sample_later: f64,
}

/// Both, and where and when.
#[derive(Clone, Debug)]
pub struct Report {
    /// The machine in one line.
    pub machine: String,
    /// The revision of this repository.
    pub revision: String,
    /// The date, as year-month-day.
    pub date: String,
    /// Which build of the agent.
    pub build: String,
    /// How long processor time was measured, in seconds.
    pub seconds: f64,
    /// How often both were read, in seconds.
    pub every_seconds: f64,
    /// Settings of the agent other than its defaults.
    pub settings: Vec<String>,
    /// The agent's series by their label `job`.
    pub series_by_job: String,
    /// The agent.
    pub agent: Cost,
    /// `node_exporter`.
    pub exporter: Cost,
}

/// One line: what, the agent's, the exporter's.
type Line = (&'static str, &'static str, f64, f64);

#[expect(
    clippy::cast_precision_loss,
    reason = "bytes and counts of one run stay far below 2^53"
)]
fn float(number: u64) -> f64 {
    number as f64
}

impl Report {
    fn lines(&self) -> [Line; 10] {
        let minutes = self.seconds / 60.0;
        let per_sample = |cost: &Cost| float(cost.wire_bytes) / float(cost.samples.max(1));
        // Both are read so many times while processor time is measured.
        let micros = |cost: &Cost| {
            let samples = float(cost.series) * self.seconds / self.every_seconds;
            cost.cpu_seconds * 1e6 / samples.max(1.0)
        };
        let line =
            |name, key, of: &dyn Fn(&Cost) -> f64| (name, key, of(&self.agent), of(&self.exporter));
        [
            line("program, stripped (MB)", "stripped_mb", &|cost| {
                float(cost.binary.stripped_bytes) / 1e6
            }),
            line("RSS at the end (MiB)", "rss_mib", &|cost| {
                float(cost.usage.resident_kib) / 1024.0
            }),
            line("RSS at most (MiB)", "rss_peak_mib", &|cost| {
                float(cost.usage.resident_peak_kib) / 1024.0
            }),
            line("threads", "threads", &|cost| float(cost.usage.threads)),
            line("CPU (s per minute)", "cpu_seconds_per_minute", &|cost| {
                cost.cpu_seconds / minutes
            }),
            line("CPU (µs per sample)", "cpu_micros_per_sample", &micros),
            line("series", "series", &|cost| float(cost.series)),
            line("samples received", "samples", &|cost| float(cost.samples)),
            line(
                "wire (bytes per sample)",
                "wire_bytes_per_sample",
                &per_sample,
            ),
            line(
                "wire after the first batch",
                "wire_bytes_per_sample_later",
                &|cost| cost.wire_bytes_per_sample_later,
            ),
        ]
    }

    /// As a Markdown table with a heading.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = format!(
            "# Agent beside node_exporter, {}\n\n\
             - machine: {}\n- revision: {}, agent built with profile {}\n\
             - {}; {}\n- both read every {} s, processor time measured over {:.0} s, exact to 0.02 s\n\
             - agent settings besides defaults: {}; its series: {}\n\
             - RocksDB in the agent's program: {}\n\n\
             | | agent | node_exporter | agent ÷ node_exporter |\n|---|---:|---:|---:|\n",
            self.date,
            self.machine,
            self.revision,
            self.build,
            self.agent.version,
            self.exporter.version,
            self.every_seconds,
            self.seconds,
            if self.settings.is_empty() {
                "none".to_owned()
            } else {
                self.settings.join(", ")
            },
            self.series_by_job,
            if self.agent.binary.mentions_rocksdb {
                "YES"
            } else {
                "no"
            },
        );
        for (name, _, agent, exporter) in self.lines() {
            let ratio = agent / exporter;
            let row = [agent, exporter, ratio].map(shown).join(" | ");
            text.push_str(&format!("| {name} | {row} |\n"));
        }
        text
    }

    /// As JSON, by the same names everywhere.
    #[must_use]
    pub fn json(&self) -> Value {
        let side = |pick: fn(&Line) -> f64| -> Value {
            let lines = self.lines();
            let pairs = lines
                .iter()
                .map(|line| (line.1.to_owned(), pick(line).into()));
            Value::Object(pairs.collect())
        };
        json!({
            "date": self.date,
            "machine": self.machine,
            "revision": self.revision,
            "build": self.build,
            "seconds": self.seconds,
            "every_seconds": self.every_seconds,
            "settings": self.settings,
            "rocksdb_in_agent": self.agent.binary.mentions_rocksdb,
            "agent": side(|line| line.2),
            "node_exporter": side(|line| line.3),
        })
    }
}

/// A number with three digits that count.
fn shown(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        1.0.. => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(cpu_seconds: f64, series: u64, wire_bytes: u64) -> Cost {
        Cost {
            version: "v".to_owned(),
            binary: Binary {
                bytes: 4_000_000,
                stripped_bytes: 3_000_000,
                mentions_rocksdb: false,
            },
            usage: Usage::default(),
            cpu_seconds,
            series,
            samples: series * 24,
            wire_bytes,
            wire_bytes_per_sample_later: 1.0,
        }
    }

    #[test]
    fn figures_are_per_minute_and_per_sample_and_ratios_are_ours_over_theirs() {
        let report = Report {
            machine: "m".to_owned(),
            revision: "r".to_owned(),
            date: "2026-01-01".to_owned(),
            build: "release".to_owned(),
            seconds: 120.0,
            every_seconds: 5.0,
            settings: Vec::new(),
            series_by_job: "node 100".to_owned(),
            agent: cost(0.12, 100, 4_800),
            exporter: cost(0.24, 100, 48_000),
        };
        let text = report.markdown();
        assert!(
            text.contains("| CPU (s per minute) | 0.060 | 0.120 | 0.500 |"),
            "{text}"
        );
        assert!(
            text.contains("| CPU (µs per sample) | 50.0 | 100 | 0.500 |"),
            "{text}"
        );
        assert!(
            text.contains("| wire (bytes per sample) | 2.00 | 20.0 | 0.100 |"),
            "{text}"
        );
        assert_eq!(report.json()["agent"]["cpu_seconds_per_minute"], 0.06);
    }
}
