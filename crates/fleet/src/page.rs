//! The text exposition format 0.0.4, written as the Python client of vLLM writes it.

use crate::histogram::Histogram;

/// A page under way.
#[derive(Debug, Default)]
pub struct Page {
    text: String,
}

impl Page {
    /// Starts a family: its `# HELP` and `# TYPE` lines.
    pub fn family(&mut self, name: &str, kind: &str, help: &str) {
        self.push(&[
            "# HELP ",
            name,
            " ",
            help,
            "\n# TYPE ",
            name,
            " ",
            kind,
            "\n",
        ]);
    }

    /// Adds a sample. `labels` is what stands between the braces, or nothing.
    pub fn sample(&mut self, name: &str, labels: &str, value: &str) {
        if labels.is_empty() {
            self.push(&[name, " ", value, "\n"]);
        } else {
            self.push(&[name, "{", labels, "} ", value, "\n"]);
        }
    }

    /// Adds a family with a single sample.
    pub fn single(&mut self, name: &str, kind: &str, help: &str, labels: &str, value: f64) {
        self.family(name, kind, help);
        self.sample(name, labels, &python_float(value));
    }

    /// Adds a family of one histogram. The label `le` stands between `before` and `after`, as
    /// the Python client sorts labels by name.
    pub fn histogram(
        &mut self,
        name: &str,
        help: &str,
        (before, after): (&str, &str),
        histogram: &Histogram,
    ) {
        self.family(name, "histogram", help);
        for (bound, count) in histogram.cumulative() {
            let labels = format!("{before},le=\"{}\",{after}", python_float(bound));
            self.sample(
                &format!("{name}_bucket"),
                &labels,
                &python_float(count as f64),
            );
        }
        let labels = format!("{before},{after}");
        let count = python_float(histogram.count() as f64);
        self.sample(&format!("{name}_count"), &labels, &count);
        self.sample(
            &format!("{name}_sum"),
            &labels,
            &python_float(histogram.sum()),
        );
    }

    /// The whole page.
    #[must_use]
    pub fn into_text(self) -> String {
        self.text
    }

    fn push(&mut self, pieces: &[&str]) {
        for piece in pieces {
            self.text.push_str(piece);
        }
    }
}

/// A number as `prometheus_client.utils.floatToGoString` writes it: Python's `repr`, but with an
/// exponent from 10⁶ on, which that function always begins with a 0.
#[must_use]
pub fn python_float(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    match exponent {
        ..-4 => format!("{mantissa}e-{:02}", exponent.unsigned_abs()),
        16.. => format!("{mantissa}e+{exponent}"),
        6.. if value > 0.0 => format!("{mantissa}e+0{exponent}"),
        _ if value.fract() == 0.0 => format!("{value:.1}"),
        _ => format!("{value}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_look_as_on_a_captured_page() {
        // The right side is from a page of vLLM, or from Python's repr.
        for (value, text) in [
            (0.0, "0.0"),
            (141.0, "141.0"),
            (10.950_000_000_000_001, "10.950000000000001"),
            (1_048_576.0, "1.048576e+06"),
            (6_634_254_336.0, "6.634254336e+09"),
            (1_718_140_558.3, "1.7181405583e+09"),
            (7.358_146_831_393_242e-5, "7.358146831393242e-05"),
            (0.000_1, "0.0001"),
            (1e6, "1e+06"),
            (999_999.5, "999999.5"),
            (1e16, "1e+16"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (f64::NAN, "NaN"),
            (-2_500_000.0, "-2500000.0"),
        ] {
            assert_eq!(python_float(value), text);
        }
    }
}
