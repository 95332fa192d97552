//! Real pages, read by us and by Python's `prometheus_client`; and the field's parser vectors.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on should stop there"
)]
#![expect(clippy::print_stdout, reason = "a skipped test says so")]

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use agent::collect::scrape::text::{Format, Limits, Page, parse};
use serde::Deserialize;
use series::labels::METRIC_NAME;

/// Pages that are not metrics, or hold lines that are not. What we say of the first such line.
const PAGES_WITH_BAD_LINES: &[(&str, u64, &str)] = &[
    // A list of field names: no line has a value.
    ("netdata/dcgm/all_fields_nonlabel.txt", 623, "no value"),
    // Prose: "This file should be ignored."
    (
        "parser_tests/node_exporter_textfile/no_metric_files/non_matching_file.txt",
        1,
        "the value is not a number",
    ),
    (
        "parser_tests/node_exporter_textfile/two_metric_files/non_matching_file.txt",
        1,
        "the value is not a number",
    ),
];

/// A shared data folder, or `None` (said in one line) where it is not there.
fn shared(folder: &str) -> Option<PathBuf> {
    let root = std::env::var_os("VEDETTE_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let path = root.join("data").join(folder);
    if path.is_dir() {
        Some(path)
    } else {
        println!(
            "skipped: {} is not there (set VEDETTE_SHARED)",
            path.display()
        );
        None
    }
}

fn pages_under(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            pages_under(&path, found);
        } else if [".txt", ".prom", ".metrics", ".prom.txt.gz"]
            .iter()
            .any(|ending| name.ends_with(ending))
        {
            found.push(path);
        }
    }
    found.sort();
}

fn bytes_of(path: &Path) -> Vec<u8> {
    let bytes = std::fs::read(path).unwrap();
    if path.extension().is_none_or(|extension| extension != "gz") {
        return bytes;
    }
    let mut plain = Vec::new();
    let mut decoder = flate2::read::MultiGzDecoder::new(&bytes[..]);
    decoder.read_to_end(&mut plain).unwrap();
    plain
}

fn format_of(path: &Path) -> Format {
    let path = path.to_string_lossy();
    if path.ends_with(".om.txt") || path.contains("/telegraf_openmetrics/") {
        Format::OpenMetrics
    } else {
        Format::Text
    }
}

fn limits() -> Limits {
    Limits {
        refusals_kept_max: 1000,
        ..Limits::default()
    }
}

/// A Python with `prometheus_client`: the machine's own, or a virtual environment made for it.
fn python() -> Option<PathBuf> {
    let works = |python: &Path| {
        let import = Command::new(python)
            .args(["-c", "import prometheus_client"])
            .output();
        import.is_ok_and(|output| output.status.success())
    };
    if works(Path::new("python3")) {
        return Some("python3".into());
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("prometheus_client");
    let python = folder.join("bin/python");
    let made = works(&python)
        || (Command::new("python3")
            .args(["-m", "venv"])
            .arg(&folder)
            .output()
            .is_ok()
            && Command::new(folder.join("bin/pip"))
                .args(["install", "--quiet", "prometheus-client"])
                .output()
                .is_ok()
            && works(&python));
    if !made {
        println!("skipped: no python3 with prometheus_client, and it could not be installed");
    }
    made.then_some(python)
}

#[derive(Deserialize)]
struct Oracle {
    samples: Vec<Row>,
    refused: Vec<u64>,
    families: Option<usize>,
}

/// Name, labels, value bits (or `nan`), milliseconds.
type Row = (String, BTreeMap<String, String>, String, Option<i64>);

fn rows(page: &Page) -> Vec<Row> {
    let samples = page.snapshot.samples.iter();
    samples
        .map(|sample| {
            let labels = sample
                .labels
                .iter()
                .filter(|(name, _)| *name != METRIC_NAME);
            let bits = if sample.value.is_nan() {
                "nan".to_owned()
            } else {
                format!("{:016x}", sample.value.to_bits())
            };
            (
                sample.labels.metric_name().to_owned(),
                labels
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .collect(),
                bits,
                sample.at.map(series::Timestamp::as_millis),
            )
        })
        .collect()
}

#[test]
fn every_captured_page_reads_as_prometheus_client_reads_it() {
    let Some(root) = shared("prom_captures") else {
        return;
    };
    let Some(python) = python() else { return };
    let mut pages = Vec::new();
    pages_under(&root, &mut pages);
    // Outputs of nvidia-smi lie beside the pages.
    pages.retain(|path| !path.starts_with(root.join("nvidia_smi_captures")));
    let mut command = Command::new(python);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scrape_oracle.py"));
    for page in &pages {
        let format = match format_of(page) {
            Format::Text => "text",
            Format::OpenMetrics => "openmetrics",
        };
        command.arg(format).arg(page);
    }
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let answers = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<&str> = answers.lines().collect();
    assert_eq!(answers.len(), pages.len());
    let (mut samples, mut counted) = (0, 0);
    for (path, answer) in pages.iter().zip(answers) {
        let oracle: Oracle = serde_json::from_str(answer).unwrap();
        let page = parse(&bytes_of(path), format_of(path), &limits());
        let name = path
            .strip_prefix(&root)
            .unwrap()
            .to_string_lossy()
            .into_owned();
        let ours = rows(&page);
        assert_eq!(ours.len(), oracle.samples.len(), "{name}");
        for (got, expected) in ours.iter().zip(&oracle.samples) {
            assert_eq!(got, expected, "{name}");
        }
        let refused: Vec<u64> = page
            .refusals
            .first
            .iter()
            .map(|refused| refused.line)
            .collect();
        assert_eq!(
            refused,
            oracle.refused,
            "{name}: {:?}",
            page.refusals.first.first()
        );
        let expected = PAGES_WITH_BAD_LINES.iter().find(|(bad, ..)| *bad == name);
        let (count, reason) = expected.map_or((0, ""), |&(_, count, reason)| (count, reason));
        assert_eq!(page.refusals.count, count, "{name}");
        if let Some(first) = page.refusals.first.first() {
            assert_eq!(first.reason.to_string(), reason, "{name}");
        }
        if let Some(families) = oracle.families {
            assert_eq!(families, ours.len(), "{name}");
            counted += 1;
        }
        assert!(page.complete, "{name}");
        samples += ours.len();
    }
    println!(
        "{} pages, {samples} samples, {counted} also by families",
        pages.len()
    );
    assert!(pages.len() > 80 && samples > 10_000 && counted > 70);
}

/// Valid by the vectors, and refused by us, with the reason.
const GOOD_BUT_REFUSED: &[(&str, &str)] = &[
    // 12345678901234567890 s does not fit 64 bits of milliseconds.
    ("timestamps", "the timestamp is not valid"),
];

/// Invalid by the vectors, and kept by us: no sample on them can be mistaken.
const BAD_BUT_KEPT: &[(&str, &str)] = &[
    (
        "bad_clashing_names_2",
        "names of different families are not compared",
    ),
    (
        "bad_counter_values_",
        "values are not checked against the type",
    ),
    (
        "bad_info_and_stateset_values_",
        "values are not checked against the type",
    ),
    (
        "bad_stateset_info_values_",
        "values are not checked against the type",
    ),
    (
        "bad_exemplars_on_unallowed_",
        "exemplars are left out wherever they stand",
    ),
    (
        "bad_grouping_or_ordering_",
        "the order of samples is not checked",
    ),
    (
        "bad_metadata_in_wrong_place_",
        "the order of declarations is not checked",
    ),
    (
        "bad_histograms_",
        "whether a histogram is whole is not checked",
    ),
    (
        "bad_missing_or_invalid_labels_for_a_type_",
        "le and quantile are not checked",
    ),
    (
        "bad_missing_or_extra_commas_2",
        "a trailing comma is kept, as Prometheus keeps it",
    ),
    ("bad_unit_6", "units are not checked against the type"),
    ("bad_unit_7", "units are not checked against the type"),
];

#[test]
fn the_open_metrics_vectors_are_read_or_refused_as_they_say() {
    let Some(root) = shared("openmetrics/parsers") else {
        return;
    };
    let (mut good, mut bad, mut kept) = (0, 0, Vec::new());
    for entry in std::fs::read_dir(root).unwrap() {
        let folder = entry.unwrap().path();
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let about: serde_json::Value =
            serde_json::from_slice(&std::fs::read(folder.join("test.json")).unwrap()).unwrap();
        let metrics = std::fs::read(folder.join("metrics")).unwrap();
        let page = parse(&metrics, Format::OpenMetrics, &limits());
        let refusals = &page.refusals.first;
        if about["shouldParse"].as_bool().unwrap() {
            good += 1;
            if let Some((_, reason)) = GOOD_BUT_REFUSED.iter().find(|(case, _)| *case == name) {
                assert_eq!(refusals.len(), 1, "{name}");
                assert_eq!(refusals[0].reason.to_string(), *reason);
            } else {
                assert_eq!(refusals, &[], "{name}");
            }
        } else {
            bad += 1;
            if page.refusals.count == 0 {
                let why = BAD_BUT_KEPT.iter().find(|(case, _)| name.starts_with(case));
                assert!(why.is_some(), "{name} is kept");
                kept.push(name);
            }
        }
    }
    println!("{good} good, {bad} bad of which {} are kept", kept.len());
    assert_eq!((good, bad), (44, 167));
    for (case, _) in BAD_BUT_KEPT {
        assert!(
            kept.iter().any(|name| name.starts_with(case)),
            "{case} is refused"
        );
    }
}

/// Splits at `separator` where no backslash stands before it, and undoes those backslashes.
fn split_escaped(text: &str, separator: char) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c == separator {
            parts.push(String::new());
        } else {
            parts.last_mut().unwrap().push(c);
            if c == '\\' {
                parts.last_mut().unwrap().extend(chars.next());
            }
        }
    }
    parts
}

#[test]
fn telegrafs_vectors_say_the_same_samples() {
    let Some(root) = shared("prom_captures/parser_tests/telegraf_prometheus") else {
        return;
    };
    let cases = [
        "benchmark",
        "metric_with_timestamp",
        "valid_counter",
        "valid_gauge",
        "valid_histogram",
        "valid_summary",
    ];
    for case in cases {
        let folder = root.join(case);
        let page = parse(
            &bytes_of(&folder.join("input.txt")),
            Format::Text,
            &limits(),
        );
        let mut ours: Vec<Row> = rows(&page);
        let expected = std::fs::read_to_string(folder.join("expected_v2.out")).unwrap();
        let mut theirs = Vec::new();
        for line in expected.lines() {
            // prometheus,tag=value,... field=value,... nanoseconds
            let words = split_escaped(line, ' ');
            let labels: BTreeMap<String, String> = split_escaped(&words[0], ',')[1..]
                .iter()
                .map(|tag| tag.replace('\\', ""))
                .filter_map(|tag| {
                    tag.split_once('=')
                        .map(|(n, v)| (n.to_owned(), v.to_owned()))
                })
                .filter(|(name, _)| name != "_type")
                .collect();
            for field in split_escaped(&words[1], ',') {
                let (name, value) = field.split_once('=').unwrap();
                let value: f64 = value.parse().unwrap();
                let millis = words
                    .get(2)
                    .map(|nanos| nanos.parse::<i64>().unwrap() / 1_000_000);
                let bits = format!("{:016x}", value.to_bits());
                theirs.push((name.to_owned(), labels.clone(), bits, millis));
            }
        }
        ours.sort();
        theirs.sort();
        assert_eq!(ours, theirs, "{case}");
    }
}
