use std::fmt::Write as _;

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;

/// Families, samples and refusals of a page, one a line.
fn shown(page: &Page) -> String {
    let mut out = String::new();
    for family in &page.snapshot.families {
        let (name, kind) = (&family.name, family.kind.as_str());
        writeln!(
            out,
            "{kind} {name} unit={:?} help={:?}",
            family.unit, family.help
        )
        .unwrap();
    }
    for sample in &page.snapshot.samples {
        let at = sample.at.map_or(String::new(), |at| format!(" @{at}"));
        writeln!(out, "{} {:?}{at}", sample.labels, sample.value).unwrap();
    }
    for refused in &page.refusals.first {
        writeln!(
            out,
            "line {}: {} <{}>",
            refused.line, refused.reason, refused.excerpt
        )
        .unwrap();
    }
    if !page.complete {
        out.push_str("cut short\n");
    }
    out
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "tables are easier to read so"
)]
fn check(format: Format, page: &[u8], expected: Expect) {
    expected.assert_eq(&shown(&parse(page, format, &Limits::default())));
}

#[test]
fn content_types_choose_the_format() {
    for (content_type, format) in [
        (None, Format::Text),
        (Some(""), Format::Text),
        (
            Some("text/plain; version=0.0.4; charset=utf-8"),
            Format::Text,
        ),
        (Some("application/json"), Format::Text),
        (Some("application/openmetrics-text"), Format::OpenMetrics),
        (
            Some("Application/OpenMetrics-Text ; version=1.0.0; charset=utf-8"),
            Format::OpenMetrics,
        ),
    ] {
        assert_eq!(
            Format::of_content_type(content_type),
            format,
            "{content_type:?}"
        );
    }
}

#[test]
fn text_0_0_4_is_read_as_prometheus_reads_it() {
    check(
        Format::Text,
        b"# HELP vllm:num_requests_running Number \\\\ of\\nrequests\\q \"x\".\r\n\
          # TYPE vllm:num_requests_running gauge\r\n\
          vllm:num_requests_running{engine=\"0\",model_name=\"a \\\"b\\\" \\\\ \\n \\t\",} 8.0\r\n\
          \n  # a comment\n#HELP x\n# EOF\n\
          \t a { b = \"1\" , c=\"}{,=#\" } \t +Inf \t -5 \n\
          bare\t1\n\
          tight{}2\n\
          empty{a=\"\",b=\"\xc3\xa9\"} nan 1395066363000\n\
          {\"quoted\",x=\"1\"} 3\n\
          ex{le=\"1\"} 4 # {trace_id=\"a#}\"} 0.5 1.5\n\
          last 1",
        expect![[r#"
            gauge vllm:num_requests_running unit="" help="Number \\ of\nrequests\\q \"x\"."
            vllm:num_requests_running{engine="0",model_name="a \"b\" \\ \n \\t"} 8.0
            a{b="1",c="}{,=#"} inf @-0.005
            bare 1.0
            tight 2.0
            empty{b="é"} NaN @1395066363.000
            quoted{x="1"} 3.0
            ex{le="1"} 4.0
            last 1.0
        "#]],
    );
}

#[test]
fn open_metrics_is_read_as_its_text_says() {
    check(
        Format::OpenMetrics,
        b"# TYPE req_seconds histogram\n# UNIT req_seconds seconds\n\
          # HELP req_seconds \\\"how\\\" long\\\\\n\
          req_seconds_bucket{le=\"1.0\"} 2 1.5 # {id=\"x\"} 0.5 1.25\n\
          req_seconds_bucket{le=\"+Inf\"} 3 # {} 0.5\n\
          req_seconds_created 1.5e9\n\
          # TYPE s stateset\ns{s=\"on\"} 1\n# EOF\n",
        expect![[r#"
            histogram req_seconds unit="seconds" help="\"how\" long\\"
            stateset s unit="" help=""
            req_seconds_bucket{le="1.0"} 2.0 @1.500
            req_seconds_bucket{le="+Inf"} 3.0
            req_seconds_created 1500000000.0
            s{s="on"} 1.0
        "#]],
    );
}

/// Between two good ones, one line for each way to be bad.
const BAD_LINES: &[&[u8]] = &[
    b"ok 1",
    b"novalue",
    b"novalue{a=\"b\"}",
    b"0bad 1",
    b"a.b 1",
    b"a{b=\"c\" 1",
    b"a{b=\"c} 1",
    b"a{b} 1",
    b"a{b=c} 1",
    b"a{b=\"1\"c=\"2\"} 1",
    b"a{,} 1",
    b"a{b=\"1\",,} 1",
    b"a{1=\"1\"} 1",
    b"a{b=\"1\",b=\"2\"} 1",
    b"a{b=\"\xff\"} 1",
    b"\xff 1",
    b"{} 1",
    b"{\"a\",\"b\"} 1",
    b"{\"a.b\"} 1",
    b"a x",
    b"a 1e999",
    b"a 1 1.5",
    b"a 1 2 3",
    b"a 1 #x",
    b"a 1 # {a=\"b\"}",
    b"# TYPE a meh",
    b"# TYPE a",
    b"# HELP",
    b"# HELP a.b text",
    b"# HELP a \xff",
    b"<html>",
    b"ok 2",
];

#[test]
fn a_bad_line_costs_only_itself() {
    let limits = Limits {
        refusals_kept_max: 100,
        ..Limits::default()
    };
    let page = parse(&BAD_LINES.join(&b'\n'), Format::Text, &limits);
    assert_eq!(page.snapshot.samples.len(), 2);
    assert_eq!(page.refusals.count, 30);
    assert_eq!(page.snapshot.refused, 2);
    expect![[r#"
        ok 1.0
        ok 2.0
        line 2: no value <novalue>
        line 3: no value <novalue{a="b"}>
        line 4: no valid metric name <0bad 1>
        line 5: no valid metric name <a.b 1>
        line 6: no closing brace <a{b="c" 1>
        line 7: no closing quote <a{b="c} 1>
        line 8: no equals sign after the label name <a{b} 1>
        line 9: no opening quote <a{b=c} 1>
        line 10: no comma between labels <a{b="1"c="2"} 1>
        line 11: no valid label name <a{,} 1>
        line 12: no valid label name <a{b="1",,} 1>
        line 13: no valid label name <a{1="1"} 1>
        line 14: the labels were refused <a{b="1",b="2"} 1>
        line 15: not valid UTF-8 <a{b="�"} 1>
        line 16: not valid UTF-8 <� 1>
        line 17: no valid metric name <{} 1>
        line 18: no valid metric name <{"a","b"} 1>
        line 19: the labels were refused <{"a.b"} 1>
        line 20: the value is not a number <a x>
        line 21: the value is out of range <a 1e999>
        line 22: the timestamp is not valid <a 1 1.5>
        line 23: unexpected text after the sample <a 1 2 3>
        line 24: the exemplar is not valid <a 1 #x>
        line 25: the exemplar is not valid <a 1 # {a="b"}>
        line 26: unknown metric type <# TYPE a meh>
        line 27: unknown metric type <# TYPE a>
        line 28: malformed comment line <# HELP>
        line 29: no valid metric name <# HELP a.b text>
        line 30: not valid UTF-8 <# HELP a �>
        line 31: no value <<html>>
    "#]]
    .assert_eq(&shown(&page));
}

#[test]
fn an_empty_name_in_quotes_is_no_metric_name() {
    check(
        Format::Text,
        b"{\"\"} 1\n{\"\",a=\"b\"} 1\n{\"\",__name__=\"x\"} 1\n{\"x\",a=\"\"} 1\n",
        expect![[r#"
            x 1.0
            line 1: no valid metric name <{""} 1>
            line 2: no valid metric name <{"",a="b"} 1>
            line 3: no valid metric name <{"",__name__="x"} 1>
        "#]],
    );
}

#[test]
fn a_page_is_bounded() {
    let limits = Limits {
        samples_max: 3,
        line_bytes_max: 20,
        refusals_kept_max: 2,
    };
    let page = parse(
        b"a 1\nb 2\nlong{a=\"0123456789\"} 1\nc 3\nd 4\ne 5\n",
        Format::Text,
        &limits,
    );
    expect![[r#"
        a 1.0
        b 2.0
        c 3.0
        line 3: the line is too long <long{a="0123456789"} 1>
        line 5: the page has too many samples or families <d 4>
    "#]]
    .assert_eq(&shown(&page));
    assert_eq!(page.refusals.count, 3);
    let families = parse(
        b"# HELP a x\n# HELP b x\n# HELP a y\n# HELP c x\n# HELP d x\n",
        Format::Text,
        &limits,
    );
    assert_eq!(families.snapshot.families.len(), 3);
    assert_eq!(families.refusals.count, 1);
}

#[test]
fn an_open_metrics_page_needs_its_end_and_nothing_after() {
    check(
        Format::OpenMetrics,
        b"a 1\nb 2",
        expect![[r"
            a 1.0
            b 2.0
            line 3: the page does not end with # EOF <>
            cut short
        "]],
    );
    check(
        Format::OpenMetrics,
        b"a 1\r\n# EOF\r\nb 2\n",
        expect![[r"
            a 1.0
            line 3: text after the end of the page <b 2>
        "]],
    );
    assert!(!parse(b"", Format::OpenMetrics, &Limits::default()).complete);
    assert!(parse(b"", Format::Text, &Limits::default()).complete);
}

/// Writes a page that says what `page` says.
fn print(page: &Page, format: Format) -> String {
    let mut out = String::new();
    for family in &page.snapshot.families {
        let (name, kind) = (&family.name, family.kind.as_str());
        writeln!(out, "# TYPE {name} {kind}").unwrap();
        if !family.unit.is_empty() {
            writeln!(out, "# UNIT {name} {}", family.unit).unwrap();
        }
        let help = family.help.replace('\\', "\\\\").replace('\n', "\\n");
        writeln!(out, "# HELP {name} {help}").unwrap();
    }
    for sample in &page.snapshot.samples {
        write!(out, "{} {}", sample.labels, sample.value).unwrap();
        match (sample.at, format) {
            (None, _) => {}
            (Some(at), Format::Text) => write!(out, " {}", at.as_millis()).unwrap(),
            (Some(at), Format::OpenMetrics) => write!(out, " {at}").unwrap(),
        }
        out.push('\n');
    }
    if format == Format::OpenMetrics {
        out.push_str("# EOF\n");
    }
    out
}

fn any_value() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>(),
        any::<i64>().prop_map(|whole| f64::from(i32::try_from(whole >> 33).unwrap())),
        Just(f64::NAN),
        Just(f64::INFINITY),
        Just(f64::NEG_INFINITY),
        Just(-0.0),
    ]
    .prop_map(|value| {
        if value.is_nan() {
            number::NORMAL_NAN
        } else {
            value
        }
    })
}

fn any_sample() -> impl Strategy<Value = Sample> {
    (
        "[a-zA-Z_:][a-zA-Z0-9_:]{0,12}",
        proptest::collection::btree_map(
            "[a-zA-Z_][a-zA-Z0-9_]{0,8}",
            ".{0,12}|[\\\\\"\n}{,=# ]{0,8}",
            0..5,
        ),
        any_value(),
        // Up to the year 5138: further out, seconds as a float no longer tell every millisecond.
        proptest::option::of(-100_000_000_000_000_i64..100_000_000_000_000),
    )
        .prop_filter_map("labels", |(metric, labels, value, at)| {
            let pairs: Vec<_> = labels
                .iter()
                .map(|(n, v)| (n.as_str(), v.as_str()))
                .collect();
            Some(Sample {
                labels: Labels::with_name(&metric, &pairs).ok()?,
                value,
                at: at.map(Timestamp::from_millis),
            })
        })
}

fn any_page() -> impl Strategy<Value = Page> {
    let family = (
        "[^ \t\r\u{b}\u{c}]([^\r]{0,20}[^ \t\r\u{b}\u{c}])?|",
        0..8_usize,
        any::<bool>(),
    );
    (
        proptest::collection::btree_map("[a-z:][a-z_]{0,10}", family, 0..6),
        proptest::collection::vec(any_sample(), 0..12),
    )
        .prop_map(|(families, samples)| Page {
            snapshot: Snapshot {
                families: families
                    .into_iter()
                    .map(|(name, (help, kind, unit))| Family {
                        name: if unit { format!("{name}_bytes") } else { name },
                        kind: MetricKind::ALL[kind],
                        help,
                        unit: if unit {
                            "bytes".to_owned()
                        } else {
                            String::new()
                        },
                    })
                    .collect(),
                samples,
                ..Snapshot::default()
            },
            complete: true,
            ..Page::default()
        })
}

fn same(got: &Page, expected: &Page) -> bool {
    let bits = |page: &Page| -> Vec<_> {
        let samples = page.snapshot.samples.iter();
        samples
            .map(|sample| (sample.labels.clone(), sample.value.to_bits(), sample.at))
            .collect()
    };
    got.complete
        && got.refusals == expected.refusals
        && got.snapshot.families == expected.snapshot.families
        && bits(got) == bits(expected)
}

proptest! {
    #[test]
    fn what_is_printed_is_read_back(mut page in any_page()) {
        page.snapshot.families.dedup_by(|a, b| a.name == b.name);
        let text = print(&page, Format::OpenMetrics);
        let got = parse(text.as_bytes(), Format::OpenMetrics, &Limits::default());
        prop_assert!(same(&got, &page), "{text}\n{got:?}");

        // 0.0.4 has no units, and ends lines by CRLF as gladly.
        for family in &mut page.snapshot.families {
            family.unit.clear();
        }
        let text = print(&page, Format::Text).replace('\n', "\r\n");
        let got = parse(text.as_bytes(), Format::Text, &Limits::default());
        prop_assert!(same(&got, &page), "{text}\n{got:?}");
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        for format in [Format::Text, Format::OpenMetrics] {
            let page = parse(&bytes, format, &Limits::default());
            prop_assert!(page.snapshot.samples.len() <= bytes.len());
        }
    }

    #[test]
    fn no_torn_or_garbled_page_makes_it_panic(
        page in any_page(),
        hits in proptest::collection::vec((any::<usize>(), any::<u8>()), 0..6),
        end in any::<usize>(),
    ) {
        let mut text = print(&page, Format::OpenMetrics).into_bytes();
        for (at, byte) in hits {
            let len = text.len();
            text[at % len] = byte;
        }
        text.truncate(end % (text.len() + 1));
        for format in [Format::Text, Format::OpenMetrics] {
            let got = parse(&text, format, &Limits::default());
            let lines = u64::try_from(text.split(|&b| b == b'\n').count()).unwrap();
            prop_assert!(got.refusals.count <= lines + 1);
        }
    }

    #[test]
    fn soup_of_the_right_characters_does_not_make_it_panic(
        soup in "([a#{}\"\\\\=, \n\t1.]|# TYPE |# HELP |# EOF|# UNIT ){0,60}"
    ) {
        for format in [Format::Text, Format::OpenMetrics] {
            let page = parse(soup.as_bytes(), format, &Limits::default());
            prop_assert!(page.snapshot.samples.len() <= soup.len());
        }
    }
}
