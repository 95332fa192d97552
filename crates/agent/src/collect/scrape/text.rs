//! The exposition formats: Prometheus text 0.0.4 and OpenMetrics 1.0.
//!
//! A page is read once, line by line, without copying it. A line that is not well formed is
//! refused with its number and the reason, and costs nothing but itself. Where the two formats
//! leave a choice we do as Prometheus does, with these differences, all of them towards keeping
//! what can be kept:
//!
//! - Prometheus drops the whole page for one bad line; we drop the line.
//! - CRLF ends a line in both formats.
//! - Exemplars are accepted (checked, then left out) in 0.0.4 as well.
//! - A line feed inside quotes ends the line, as the formats say; Prometheus reads on.
//! - OpenMetrics' rules about the order of lines, or about what value a type may have, are not
//!   checked: they make no sample wrong.
//!
//! Names are those of [`series::labels`]; a quoted UTF-8 name that is not one is refused.

pub(super) mod line;
pub mod number;

use std::collections::HashMap;
use std::io::BufRead;

use series::{Family, Labels, LabelsBuilder, LabelsError, MetricKind, Sample, Snapshot, Timestamp};

use line::{Meta, Piece};

/// How a page is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text format 0.0.4.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Format {
    /// What a `Content-Type` header announces. Whatever is not OpenMetrics is read as 0.0.4, since
    /// many exporters name their type wrongly or not at all.
    #[must_use]
    pub fn of_content_type(content_type: Option<&str>) -> Self {
        let media_type = content_type
            .and_then(|value| value.split(';').next())
            .unwrap_or_default();
        if media_type
            .trim()
            .eq_ignore_ascii_case("application/openmetrics-text")
        {
            Self::OpenMetrics
        } else {
            Self::Text
        }
    }
}

/// Why a line was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// Longer than [`Limits::line_bytes_max`].
    #[error("the line is too long")]
    LineTooLong,
    /// Past [`Limits::samples_max`].
    #[error("the page has too many samples or families")]
    TooMany,
    /// A name or value is not UTF-8.
    #[error("not valid UTF-8")]
    NotUtf8,
    /// OpenMetrics has no blank lines.
    #[error("blank line")]
    BlankLine,
    /// OpenMetrics has no free comments, and a `#` line needs a name and a text.
    #[error("malformed comment line")]
    BadComment,
    /// The word after `# TYPE name` is no type of this format.
    #[error("unknown metric type")]
    BadType,
    /// The unit is not the last part of the family's name.
    #[error("the unit is not the suffix of the metric name")]
    BadUnit,
    /// A second `# TYPE`, `# HELP` or `# UNIT` of one family (OpenMetrics).
    #[error("the family is declared twice")]
    Repeated,
    /// The metric name is missing, there twice, or not a metric name.
    #[error("no valid metric name")]
    BadMetricName,
    /// A label name is missing or not a label name.
    #[error("no valid label name")]
    BadLabelName,
    /// No `=` after a label name.
    #[error("no equals sign after the label name")]
    NoEqualsSign,
    /// No quote before a label value.
    #[error("no opening quote")]
    NoOpeningQuote,
    /// A quote is never closed.
    #[error("no closing quote")]
    NoClosingQuote,
    /// The labels are never closed.
    #[error("no closing brace")]
    NoClosingBrace,
    /// No comma between two labels.
    #[error("no comma between labels")]
    NoComma,
    /// OpenMetrics separates by exactly one space and ends a line without any.
    #[error("words are not separated by one space")]
    BadSpacing,
    /// There is no value.
    #[error("no value")]
    NoValue,
    /// The value is not a number.
    #[error("the value is not a number")]
    BadValue,
    /// The value is larger than any `f64`.
    #[error("the value is out of range")]
    ValueOutOfRange,
    /// The timestamp is not a number that fits 64 bits of milliseconds.
    #[error("the timestamp is not valid")]
    BadTimestamp,
    /// The exemplar is malformed or too long.
    #[error("the exemplar is not valid")]
    BadExemplar,
    /// More words than a sample has.
    #[error("unexpected text after the sample")]
    TrailingText,
    /// Text after `# EOF`.
    #[error("text after the end of the page")]
    AfterEof,
    /// The page of an OpenMetrics source does not end with `# EOF`: it was cut short.
    #[error("the page does not end with # EOF")]
    NoEof,
    /// The labels break a rule of the series model.
    #[error("the labels were refused")]
    Labels(#[source] LabelsError),
    /// The same series was on this page before, with the same time.
    #[error("the series is there twice")]
    Duplicate,
    /// The series is one that the scraper writes itself, such as `up`.
    #[error("the series is reserved for the scraper")]
    Reserved,
}

/// A line that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedLine {
    /// Its number on the page, from 1.
    pub line: u64,
    /// Why.
    pub reason: Reason,
    /// How it begins.
    pub excerpt: String,
}

/// The lines that were refused: how many, and the first few.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusals {
    /// How many in all.
    pub count: u64,
    /// The first [`Limits::refusals_kept_max`].
    pub first: Vec<RefusedLine>,
}

/// What one page may cost us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most samples, and most families; what comes after is refused and counted. One target is one
    /// block, so this is the width of a block less what the scraper adds.
    pub samples_max: usize,
    /// Longest line in bytes: the largest label set with every byte escaped, and room for a value.
    pub line_bytes_max: usize,
    /// How many refused lines are kept for the log.
    pub refusals_kept_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            samples_max: series::limits::BLOCK_COLUMNS_MAX - super::REPORT_NAMES.len(),
            line_bytes_max: 2 * series::limits::LABELS_BYTES_MAX + 1024,
            refusals_kept_max: 8,
        }
    }
}

/// Longest excerpt of a refused line, in bytes.
const EXCERPT_BYTES_MAX: usize = 96;

/// What a page said.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// Families and samples. Its own count of refusals covers refused label sets, which are among
    /// [`Page::refusals`] too.
    pub snapshot: Snapshot,
    /// The lines that were refused.
    pub refusals: Refusals,
    /// False when an OpenMetrics page lacks its `# EOF`.
    pub complete: bool,
}

/// Reads a page.
#[must_use]
pub fn parse(page: &[u8], format: Format, limits: &Limits) -> Page {
    let mut collect = Collect::default();
    let mut read = read_page(page, format, limits, &mut collect);
    let mut snapshot = Snapshot {
        families: std::mem::take(&mut read.families),
        samples: collect.samples,
        ..Snapshot::default()
    };
    read.count_label_refusals(&mut snapshot);
    Page {
        snapshot,
        refusals: read.refusals,
        complete: read.complete,
    }
}

/// Takes the samples of a page.
pub(super) trait Sink {
    /// The series that this line begins with, if that can be told without reading it: how many
    /// bytes it has.
    fn foresee(&mut self, line: &[u8]) -> Option<usize>;

    /// A sample of `series`, which is as it stands on the page; `foreseen` when its length came
    /// from [`Sink::foresee`] just before.
    fn sample(
        &mut self,
        series: &[u8],
        foreseen: bool,
        value: f64,
        at: Option<Timestamp>,
    ) -> Result<(), Reason>;
}

/// Builds every label set anew.
#[derive(Default)]
struct Collect {
    samples: Vec<Sample>,
}

impl Sink for Collect {
    fn foresee(&mut self, _line: &[u8]) -> Option<usize> {
        None
    }

    fn sample(
        &mut self,
        series: &[u8],
        _foreseen: bool,
        value: f64,
        at: Option<Timestamp>,
    ) -> Result<(), Reason> {
        let mut builder = LabelsBuilder::default();
        line::pieces(series, &mut |piece| match piece {
            Piece::Metric(name) => builder.push(series::labels::METRIC_NAME, &name),
            Piece::Label(name, value) => builder.push(&name, &value),
        })?;
        let labels: Labels = builder.build().map_err(Reason::Labels)?;
        self.samples.push(Sample { labels, value, at });
        Ok(())
    }
}

/// What a page said apart from its samples.
pub(super) struct Read {
    pub(super) families: Vec<Family>,
    pub(super) refusals: Refusals,
    /// Well-formed sample lines, whatever became of them.
    pub(super) samples: usize,
    pub(super) complete: bool,
    labels_refused: u64,
    first_labels_error: Option<LabelsError>,
}

impl Read {
    /// Writes the refused label sets where every collector has them.
    pub(super) fn count_label_refusals(&mut self, snapshot: &mut Snapshot) {
        snapshot.refused += self.labels_refused;
        if snapshot.first_refusal.is_none() {
            snapshot.first_refusal = self.first_labels_error.take();
        }
    }
}

/// Reads a page into `sink`.
pub(super) fn read_page<'a>(
    page: &'a [u8],
    format: Format,
    limits: &Limits,
    sink: &mut impl Sink,
) -> Read {
    let mut reader = Reader {
        format,
        limits,
        families: Families::with_room_for(page.len() / BYTES_PER_FAMILY),
        refusals: Refusals::default(),
        samples: 0,
        labels_refused: 0,
        first_labels_error: None,
        eof: false,
    };
    let (mut rest, mut number): (&'a [u8], u64) = (page, 0);
    while !rest.is_empty() {
        let mut after = rest;
        // Reading from a slice cannot fail; std searches for the line feed a word at a time.
        let taken = after.skip_until(b'\n').unwrap_or(rest.len());
        let text = &rest[..taken];
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        rest = after;
        number += 1;
        if let Err(reason) = reader.line(text, sink) {
            reader.refuse(number, reason, text);
        }
    }
    let complete = reader.eof || format == Format::Text;
    if !complete {
        reader.refuse(number + 1, Reason::NoEof, b"");
    }
    Read {
        families: reader.families.list,
        refusals: reader.refusals,
        samples: reader.samples,
        complete,
        labels_refused: reader.labels_refused,
        first_labels_error: reader.first_labels_error,
    }
}

struct Reader<'a, 'l> {
    format: Format,
    limits: &'l Limits,
    families: Families<'a>,
    refusals: Refusals,
    samples: usize,
    labels_refused: u64,
    first_labels_error: Option<LabelsError>,
    eof: bool,
}

impl<'a> Reader<'a, '_> {
    fn line(&mut self, text: &'a [u8], sink: &mut impl Sink) -> Result<(), Reason> {
        if self.eof {
            return Err(Reason::AfterEof);
        }
        if text.len() > self.limits.line_bytes_max {
            return Err(Reason::LineTooLong);
        }
        let text = match self.format {
            Format::Text => text.trim_ascii_start(),
            Format::OpenMetrics => text,
        };
        match text.first() {
            None | Some(b'#') => self.meta(text),
            Some(_) => self.sample(text, sink),
        }
    }

    fn sample(&mut self, text: &[u8], sink: &mut impl Sink) -> Result<(), Reason> {
        let foreseen = sink.foresee(text);
        let length = match foreseen {
            Some(length) => length,
            None => line::series_len(text)?,
        };
        let (series, rest) = text.split_at(length);
        let (value, at) = line::value_and_time(rest, self.format)?;
        if self.samples >= self.limits.samples_max {
            return Err(Reason::TooMany);
        }
        self.samples += 1;
        sink.sample(series, foreseen.is_some(), value, at)
    }

    fn meta(&mut self, text: &'a [u8]) -> Result<(), Reason> {
        let (name, declares) = match line::meta(text, self.format)? {
            Meta::Nothing => return Ok(()),
            Meta::Eof => {
                self.eof = true;
                return Ok(());
            }
            Meta::Help(name, help) => (name, Declares::Help(help.into_owned())),
            Meta::Type(name, kind) => (name, Declares::Type(kind)),
            Meta::Unit(name, unit) => (name, Declares::Unit(unit.to_owned())),
        };
        let (family, declared) = self.families.named(name, self.limits.samples_max)?;
        let bit = match &declares {
            Declares::Help(_) => 1,
            Declares::Type(_) => 2,
            Declares::Unit(_) => 4,
        };
        // In 0.0.4 the last one counts, as in Prometheus; OpenMetrics forbids a second.
        if *declared & bit != 0 && self.format == Format::OpenMetrics {
            return Err(Reason::Repeated);
        }
        *declared |= bit;
        match declares {
            Declares::Help(help) => family.help = help,
            Declares::Type(kind) => family.kind = kind,
            Declares::Unit(unit) => family.unit = unit,
        }
        Ok(())
    }

    fn refuse(&mut self, number: u64, reason: Reason, text: &[u8]) {
        if let Reason::Labels(error) = &reason {
            self.labels_refused += 1;
            self.first_labels_error.get_or_insert_with(|| error.clone());
        }
        self.refusals.count += 1;
        if self.refusals.first.len() < self.limits.refusals_kept_max {
            let begin = &text[..text.len().min(EXCERPT_BYTES_MAX)];
            self.refusals.first.push(RefusedLine {
                line: number,
                reason,
                excerpt: String::from_utf8_lossy(begin).into_owned(),
            });
        }
    }
}

enum Declares {
    Help(String),
    Type(MetricKind),
    Unit(String),
}

/// Few pages have more families than one for so many bytes; room for them is made at once.
const BYTES_PER_FAMILY: usize = 256;

/// The families of a page, each name once, in order of appearance.
struct Families<'a> {
    list: Vec<Family>,
    /// Which of help, type and unit each has: bits 0, 1 and 2.
    declared: Vec<u8>,
    by_name: HashMap<&'a str, usize, foldhash::fast::RandomState>,
}

impl<'a> Families<'a> {
    fn with_room_for(count: usize) -> Self {
        Self {
            list: Vec::with_capacity(count),
            declared: Vec::with_capacity(count),
            by_name: HashMap::with_capacity_and_hasher(count, Default::default()),
        }
    }

    fn named(&mut self, name: &'a str, max: usize) -> Result<(&mut Family, &mut u8), Reason> {
        // The lines of a family follow one another, so it mostly is the last.
        let last = self.list.len().wrapping_sub(1);
        let index = if self.list.last().is_some_and(|family| family.name == name) {
            last
        } else if let Some(&index) = self.by_name.get(name) {
            index
        } else if self.list.len() >= max {
            return Err(Reason::TooMany);
        } else {
            self.list.push(Family {
                name: name.to_owned(),
                kind: MetricKind::Unknown,
                help: String::new(),
                unit: String::new(),
            });
            self.declared.push(0);
            self.by_name.insert(name, self.list.len() - 1);
            self.list.len() - 1
        };
        Ok((&mut self.list[index], &mut self.declared[index]))
    }
}

#[cfg(test)]
mod tests;
