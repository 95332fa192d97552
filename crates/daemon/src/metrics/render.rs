//! Metrics as text: Prometheus 0.0.4 and OpenMetrics 1.0.
//!
//! Formats: <https://prometheus.io/docs/instrumenting/exposition_formats/> and
//! <https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md>.

use std::fmt::Write as _;

use super::{MetricFamily, MetricKind, MetricSample};

/// The `Content-Type` of [`render_text`].
pub const TEXT_CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The `Content-Type` of [`render_openmetrics`].
pub const OPENMETRICS_CONTENT_TYPE: &str =
    "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The Prometheus text format 0.0.4.
#[must_use]
pub fn render_text(families: &[MetricFamily]) -> String {
    let mut out = String::new();
    for family in families {
        // In this format a help text escapes the backslash and the line feed, not the quote.
        let help = family.help.replace('\\', r"\\").replace('\n', r"\n");
        push_line(&mut out, format_args!("# HELP {} {help}", family.name));
        let kind = family.kind.as_str();
        push_line(&mut out, format_args!("# TYPE {} {kind}", family.name));
        for sample in &family.samples {
            push_sample(&mut out, family.name, sample);
        }
    }
    out
}

/// The OpenMetrics text format 1.0.
#[must_use]
pub fn render_openmetrics(families: &[MetricFamily]) -> String {
    let mut out = String::new();
    for family in families {
        // The suffix belongs to the sample here and not to the family.
        let (name, kind) = match family.kind {
            MetricKind::Counter => (family.name.strip_suffix("_total"), "counter"),
            MetricKind::Info => (family.name.strip_suffix("_info"), "info"),
            MetricKind::Gauge => (None, "gauge"),
            MetricKind::Histogram => (None, "histogram"),
        };
        let name = name.unwrap_or(family.name);
        push_line(&mut out, format_args!("# TYPE {name} {kind}"));
        push_line(
            &mut out,
            format_args!("# HELP {name} {}", escaped(family.help)),
        );
        for sample in &family.samples {
            push_sample(&mut out, family.name, sample);
        }
    }
    out.push_str("# EOF\n");
    out
}

fn push_sample(out: &mut String, name: &str, sample: &MetricSample) {
    out.push_str(name);
    out.push_str(sample.suffix);
    for (at, (label, value)) in sample.labels.iter().enumerate() {
        out.push(if at == 0 { '{' } else { ',' });
        out.push_str(label);
        out.push_str("=\"");
        out.push_str(&escaped(value));
        out.push('"');
    }
    if !sample.labels.is_empty() {
        out.push('}');
    }
    let value = sample.value;
    if value.is_nan() {
        out.push_str(" NaN\n");
    } else if value.is_infinite() {
        out.push_str(if value > 0.0 { " +Inf\n" } else { " -Inf\n" });
    } else {
        push_line(out, format_args!(" {value}"));
    }
}

/// A label value (and an OpenMetrics help text) with backslash, quote and line feed escaped.
fn escaped(text: &str) -> String {
    text.replace('\\', r"\\")
        .replace('"', "\\\"")
        .replace('\n', r"\n")
}

fn push_line(out: &mut String, line: std::fmt::Arguments<'_>) {
    out.write_fmt(line)
        .expect("a String takes all that is written to it");
    out.push('\n');
}
