//! Where sub-collectors put their samples.

use std::collections::HashMap;
use std::mem;

use foldhash::fast::RandomState;
use series::labels::METRIC_NAME;
use series::{Labels, MetricKind, Sample, Snapshot};

/// Family names remembered at most; past it the memory starts anew. A host has a few hundred.
const FAMILIES_MAX: usize = 8192;

/// The head of a metric family.
pub(super) struct Desc<'a> {
    /// The metric's name.
    pub(super) name: &'a str,
    kind: MetricKind,
    help: &'a str,
}

impl<'a> Desc<'a> {
    pub(super) const fn gauge(name: &'a str, help: &'a str) -> Self {
        Self {
            name,
            kind: MetricKind::Gauge,
            help,
        }
    }

    pub(super) const fn counter(name: &'a str, help: &'a str) -> Self {
        Self {
            name,
            kind: MetricKind::Counter,
            help,
        }
    }

    /// What `node_exporter` exposes without a type, because the kernel does not say it either.
    pub(super) const fn untyped(name: &'a str, help: &'a str) -> Self {
        Self {
            name,
            kind: MetricKind::Unknown,
            help,
        }
    }
}

/// Collects a round's samples. A round mostly says the same series in the same order as the one
/// before it, so each sub-collector's label sets are kept and copied, which costs a fifth of
/// building them anew.
#[derive(Default)]
pub(super) struct Sink {
    snapshot: Snapshot,
    /// The families ever declared, with the round in which they were declared last.
    declared: HashMap<Box<str>, u64, RandomState>,
    round: u64,
    /// The label sets of the last round, for each sub-collector in order of appearance.
    known: Vec<Vec<Labels>>,
    section: usize,
    cursor: usize,
    malformed_lines: u64,
}

impl Sink {
    /// Starts the part of the round that belongs to sub-collector `section`.
    pub(super) fn begin(&mut self, section: usize) {
        self.close_section();
        if self.known.len() <= section {
            self.known.resize_with(section + 1, Vec::new);
        }
        self.section = section;
        self.cursor = 0;
    }

    /// Adds a sample. `labels` are given in order of name, so that they are found again.
    pub(super) fn push(&mut self, desc: &Desc<'_>, labels: &[(&str, &str)], value: f64) {
        self.declare(desc);
        let Some(known) = self.known.get_mut(self.section) else {
            return;
        };
        match known.get(self.cursor) {
            Some(have) if is_same(have, desc.name, labels) => {
                self.snapshot.samples.push(Sample {
                    labels: have.clone(),
                    value,
                    at: None,
                });
                self.cursor += 1;
            }
            _ => {
                let before = self.snapshot.samples.len();
                self.snapshot.push(desc.name, labels, value);
                if let Some(added) = self.snapshot.samples.get(before) {
                    known.truncate(self.cursor);
                    known.push(added.labels.clone());
                    self.cursor += 1;
                }
            }
        }
    }

    /// Adds a sample when there is a value: missing is not zero.
    pub(super) fn push_some(
        &mut self,
        desc: &Desc<'_>,
        labels: &[(&str, &str)],
        value: Option<f64>,
    ) {
        if let Some(value) = value {
            self.push(desc, labels, value);
        }
    }

    /// Counts a line that could not be understood.
    pub(super) fn malformed(&mut self) {
        self.malformed_lines += 1;
    }

    /// Adds the count of malformed lines since the start.
    pub(super) fn push_malformed(&mut self, desc: &Desc<'_>) {
        #[expect(
            clippy::cast_precision_loss,
            reason = "a count of lines stays below 2^53"
        )]
        self.push(desc, &[], self.malformed_lines as f64);
    }

    /// Ends the round and hands over what it found.
    pub(super) fn finish(&mut self) -> Snapshot {
        self.close_section();
        self.round += 1;
        if self.declared.len() > FAMILIES_MAX {
            self.declared.clear();
        }
        let next = Snapshot {
            families: Vec::with_capacity(self.snapshot.families.len()),
            samples: Vec::with_capacity(self.snapshot.samples.len()),
            ..Snapshot::default()
        };
        mem::replace(&mut self.snapshot, next)
    }

    /// Whether sub-collector `section` said this series in the last round.
    #[cfg(test)]
    pub(super) fn is_from(&self, section: usize, labels: &Labels) -> bool {
        self.known[section].contains(labels)
    }

    fn close_section(&mut self) {
        if let Some(known) = self.known.get_mut(self.section) {
            known.truncate(self.cursor);
        }
    }

    /// Declares a family at its first sample of the round.
    fn declare(&mut self, desc: &Desc<'_>) {
        // Rounds are counted from 0, so that «never» is 0 and the first round is 1.
        let round = self.round + 1;
        match self.declared.get_mut(desc.name) {
            Some(last) if *last == round => return,
            Some(last) => *last = round,
            None => {
                self.declared.insert(desc.name.into(), round);
            }
        }
        self.snapshot.family(desc.name, desc.kind, desc.help);
    }
}

/// Whether `have` is the label set of `metric` and `labels`. Labels without a value do not count.
fn is_same(have: &Labels, metric: &str, labels: &[(&str, &str)]) -> bool {
    let mut pairs = have.iter();
    pairs.next() == Some((METRIC_NAME, metric))
        && labels
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .all(|pair| pairs.next() == Some(*pair))
        && pairs.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Desc<'_> = Desc::gauge("a", "");
    const B: Desc<'_> = Desc::counter("b", "");

    fn round(sink: &mut Sink, devices: &[&str]) -> Vec<String> {
        sink.begin(0);
        for device in devices {
            sink.push(&A, &[("device", device), ("empty", "")], 1.0);
        }
        sink.begin(1);
        sink.push(&B, &[], 2.0);
        let snapshot = sink.finish();
        let names: Vec<_> = snapshot.families.iter().map(|f| f.name.as_str()).collect();
        assert_eq!(names, ["a", "b"], "each family once a round");
        snapshot
            .samples
            .iter()
            .map(|sample| format!("{} {}", sample.labels, sample.value))
            .collect()
    }

    #[test]
    fn remembered_labels_follow_what_comes_and_goes() {
        let mut sink = Sink::default();
        for devices in [
            &["x", "y", "z"][..],
            &["x", "y", "z"],
            &["x", "z"],
            &["w", "x", "y", "z"],
            &["z"],
            &["z", "x"],
        ] {
            let expected: Vec<_> = devices
                .iter()
                .map(|device| format!("a{{device=\"{device}\"}} 1"))
                .chain(["b 2".to_owned()])
                .collect();
            assert_eq!(round(&mut sink, devices), expected);
        }
    }

    #[test]
    fn labels_are_the_same_only_when_all_pairs_are() {
        let have = Labels::with_name("m", &[("a", "1"), ("b", "2")]).unwrap();
        assert!(is_same(&have, "m", &[("a", "1"), ("b", "2"), ("c", "")]));
        assert!(!is_same(&have, "m", &[("a", "1")]));
        assert!(!is_same(&have, "m", &[("a", "1"), ("b", "2"), ("c", "3")]));
        assert!(!is_same(&have, "n", &[("a", "1"), ("b", "2")]));
    }

    #[test]
    fn a_refused_label_set_costs_only_its_sample() {
        let mut sink = Sink::default();
        for _ in 0..2 {
            sink.begin(0);
            sink.push(&A, &[("bad-name", "1")], 1.0);
            sink.push(&A, &[], 1.0);
            let snapshot = sink.finish();
            assert_eq!((snapshot.samples.len(), snapshot.refused), (1, 1));
        }
    }
}
