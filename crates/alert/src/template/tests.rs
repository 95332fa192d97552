use std::collections::BTreeMap;

use series::Timestamp;

use super::{Sample, Scope, Template};

fn expand_with(text: &str, value: f64) -> String {
    let external = BTreeMap::from([("region".to_owned(), "eu".to_owned())]);
    let query = |text: &str| match text {
        "up" => Ok([("b", 2.0), ("a", 1.0)]
            .map(|(instance, value)| Sample {
                labels: BTreeMap::from([("instance".to_owned(), instance.to_owned())]),
                value,
            })
            .to_vec()),
        "none" => Ok(Vec::new()),
        _ => Err("no such query".to_owned()),
    };
    let scope = Scope {
        alert: "Down",
        at: Timestamp::from_millis(1_500),
        external_url: "http://vedette:7700/prom?x",
        external_labels: &external,
        query: &query,
    };
    let labels = [("instance", "host-1.example:9100"), ("job", "vllm")];
    let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned()));
    match Template::parse(text) {
        Ok(template) => match template.expand(labels, value, &scope) {
            Ok(text) => text,
            Err(error) => format!("<error expanding template: {error}>"),
        },
        Err(error) => format!("refused: {error}"),
    }
}

const CASES: &[(&str, &str)] = &[
    ("plain", "plain"),
    (
        "{{ $labels.job }} {{ .Labels.none }}|{{ $value }}",
        "vllm |1.5",
    ),
    (
        "{{$externalLabels.region}} {{ $externalURL }} {{ pathPrefix }}",
        "eu http://vedette:7700/prom?x /prom",
    ),
    (
        "{{ $value | humanizePercentage }} {{ printf \"%.3g|%5.1f|%-5d|%05d\" 1234.5 $value 7 42 }}",
        "150% 1.23e+03|  1.5|7    |00042",
    ),
    (
        "{{ if gt $value 1.0 }}high{{ else if eq .Labels.job \"x\" }}x{{ else }}low{{ end }}",
        "high",
    ),
    (
        "{{ range $i, $s := query \"up\" | sortByLabel \"instance\" }}{{ $i }}={{ $s.Labels.instance }}:{{ .Value }} {{ end }}",
        "0=a:1 1=b:2 ",
    ),
    (
        "{{ range query \"none\" }}x{{ else }}empty{{ end }}",
        "empty",
    ),
    (
        "{{ with query \"up\" }}{{ . | first | label \"instance\" }}{{ . | first | value }}{{ end }}",
        "b2",
    ),
    ("a  {{- /* not seen */ -}}  b {{- 3 -}} c", "ab3c"),
    (
        "{{ define \"t\" }}[{{ .arg0 }} {{ .arg1 }}]{{ end }}{{ template \"t\" args 1 \"x\" }}",
        "[1 x]",
    ),
    (
        "{{ $x := 1 }}{{ if true }}{{ $x = 2 }}{{ end }}{{ $x }}",
        "2",
    ),
    (
        "{{ stripPort .Labels.instance }} {{ stripDomain .Labels.instance }}",
        "host-1.example host-1:9100",
    ),
    (
        "{{ reReplaceAll \"(.*)-(\\\\d+)\" \"$2 ${1}\" \"host-12\" }} {{ match \"^h\" \"host\" }}",
        "12 host true",
    ),
    (
        "{{ title \"hello wOrld-x\" }} {{ toUpper \"a\" }} {{ toLower \"B\" }}",
        "Hello WOrld-X A b",
    ),
    (
        "{{ and 1 0 }} {{ or 0 \"x\" }} {{ not 1 }} {{ len \"abc\" }} {{ index .Labels \"job\" }}",
        "0 x false 3 vllm",
    ),
    (
        "{{ 1000000.0 }} {{ 123456.0 }} {{ 0.0001 }} {{ 0.00001 }} {{ 1e3 }}",
        "1e+06 123456 0.0001 1e-05 1000",
    ),
    (
        "{{ parseDuration \"1h30m\" }} {{ 0 | humanizeTimestamp }} {{ humanizeTimestamp 1.5 }}",
        "5400 1970-01-01 00:00:00 +0000 UTC 1970-01-01 00:00:01.5 +0000 UTC",
    ),
    (
        "{{ graphLink \"up == 0\" }} {{ html \"<a>\" }} {{ urlquery \"a b\" }}",
        "/graph?g0.expr=up+%3D%3D+0&g0.tab=0 &lt;a&gt; a+b",
    ),
    ("{{ $l.x }}", "refused: line 1: undefined variable \"$l\""),
    (
        "a\n{{ nope 1 }}",
        "refused: line 2: function \"nope\" not defined",
    ),
    ("{{ if true }}", "refused: line 1: unexpected EOF"),
    (
        "{{ gt $value 1 }}",
        "<error expanding template: error executing template __alert_Down: template: __alert_Down:1:115: executing \"__alert_Down\" at <gt $value 1>: error calling gt: incompatible types for comparison>",
    ),
];

#[test]
fn templates_expand_as_go_expands_them() {
    for (text, expected) in CASES {
        assert_eq!(expand_with(text, 1.5), *expected, "{text}");
    }
}

#[test]
fn numbers_are_humanized_as_prometheus_does() {
    let shown =
        |function: &str, value: f64| expand_with(&format!("{{{{ $value | {function} }}}}"), value);
    for (function, value, expected) in [
        ("humanize", 0.0, "0"),
        ("humanize", 1_234_567.0, "1.235M"),
        ("humanize", -0.001_234, "-1.234m"),
        ("humanize", f64::INFINITY, "+Inf"),
        ("humanize1024", 1_048_576.0, "1Mi"),
        ("humanize1024", 0.5, "0.5"),
        ("humanizeDuration", 0.0, "0s"),
        ("humanizeDuration", 899.99, "14m 59s"),
        ("humanizeDuration", 1_000_000.0, "11d 13h 46m 40s"),
        ("humanizeDuration", -0.1, "-100ms"),
        ("humanizeDuration", 12.345_67, "12.35s"),
        ("humanizePercentage", 0.123_456, "12.35%"),
        ("humanizeTimestamp", f64::NAN, "NaN"),
    ] {
        assert_eq!(shown(function, value), expected, "{function} {value}");
    }
}

#[test]
fn a_template_takes_no_more_than_it_may() {
    let recursive = "{{ define \"a\" }}{{ template \"a\" }}{{ end }}{{ template \"a\" }}";
    assert!(expand_with(recursive, 0.0).contains("exceeded maximum template depth"));
    let large = format!("{{{{ define \"a\" }}}}{}{{{{ end }}}}", "x".repeat(30_000))
        + &"{{ template \"a\" }}".repeat(3);
    assert!(expand_with(&large, 0.0).contains("bytes of text"));
    let doubled = "{{ $x := \"0123456789abcdef\" }}".to_owned()
        + &"{{ $x = printf \"%s%s\" $x $x }}".repeat(40);
    assert!(expand_with(&doubled, 0.0).contains("bytes of text"));
    let replaced =
        "{{ $x := printf \"%1000d\" 1 }}{{ $y := reReplaceAll \" \" $x $x }}{{ $y | len }}";
    assert!(expand_with(replaced, 0.0).contains("bytes of text"));
    let nested = "{{ define \"a\" }}{{ if true }}{{ (((tmpl \"a\" 1))) }}{{ end }}{{ end }}{{ template \"a\" }}";
    assert!(expand_with(nested, 0.0).contains("exceeded maximum template depth"));
    let deep = "{{ if true }}".repeat(1000);
    assert!(expand_with(&deep, 0.0).starts_with("refused: line 1: more than"));
    assert!(expand_with(&"(".repeat(10).replace('(', "{{ ("), 0.0).starts_with("refused"));
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "[{}() .$a-z\"'|:=0-9%\\n-]{0,60}") {
        expand_with(&text, 1.0);
        expand_with(&format!("{{{{{text}}}}}"), 1.0);
        expand_with(&format!("{{{{ printf \"{text}\" 1 $value }}}}"), 1.0);
    }
}
