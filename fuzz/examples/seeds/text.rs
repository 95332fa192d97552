//! Text: scraped pages, PromQL and matchers.

use std::path::Path;

use fuzz::Draft;
use query::ast::Type;

use crate::Seeds;

pub(crate) fn pages() -> Seeds {
    let classic = "# HELP up Whether it is up.\n# TYPE up gauge\nup{job=\"a\\\\b\",node=\"1\"} 1 1795433624230\n\
        # TYPE wait_seconds histogram\nwait_seconds_bucket{le=\"0.1\"} 3\nwait_seconds_bucket{le=\"+Inf\"} 4\n\
        wait_seconds_sum 1.5e-3\nwait_seconds_count 4\nodd NaN\n{\"up\",x=\"y\"} -Inf\r\n\n";
    let open = "# TYPE a_seconds counter\n# UNIT a_seconds seconds\n# HELP a_seconds Text.\n\
        a_seconds_total{x=\"y\"} 1.0 1.5 # {trace=\"1\"} 0.5 1.25\na_seconds_created 1\n# EOF\n";
    [(0, classic), (1, open)]
        .map(|(format, page)| Draft::default().bytes([format]).bytes(page).done())
        .to_vec()
}

pub(crate) fn queries() -> Seeds {
    let texts = [
        "a",
        "a{job=~\"x|y\",node!=\"2\"}[5m] offset 1m",
        "sum by (job) (rate(b[2m]))",
        "histogram_quantile(0.9, sum by (le) (rate(h_bucket[5m])))",
        "topk(2, a) or b unless on (job) odd",
        "a * on (job, node) group_left b",
        "max_over_time(rate(b[1m])[5m:30s])",
        "label_replace(a, \"x\", \"$1\", \"node\", \"(.*)\")",
        "absent(none)",
        "-2 ^ 3 % 4 >= bool 1e3",
        "quantile_over_time(0.5, odd[10m])",
        "predict_linear(a[5m], 3600)",
        "a @ 300 + a @ end()",
        "count_values(\"v\", b)",
        "sort_desc(a)",
        "time() - timestamp(b)",
        "\"text\"",
        "(((1)))",
        "a > bool on () b",
        "double_exponential_smoothing(a[5m], 0.5, 0.5)",
        "year(vector(1e9))",
    ];
    let mut seeds: Seeds = texts.map(|text| text.as_bytes().to_vec()).to_vec();
    // Every function and aggregation of the series that the target holds.
    for function in query::functions::all() {
        let argument = |wanted: &Type| match wanted {
            Type::Scalar => "0.5",
            Type::String => "\"node\"",
            Type::Matrix => "b[3m]",
            _ if function.name.starts_with("histogram") => "h_bucket",
            _ => "b",
        };
        let arguments: Vec<&str> = function.args.iter().map(argument).collect();
        let text = format!("{}({})", function.name, arguments.join(", "));
        seeds.push(text.into_bytes());
    }
    for aggregation in [
        "sum",
        "avg",
        "count",
        "min",
        "max",
        "group",
        "stddev",
        "stdvar",
        "topk",
        "bottomk",
        "quantile",
        "limitk",
        "limit_ratio",
    ] {
        let parameter = match aggregation {
            "topk" | "bottomk" | "limitk" => "1, ",
            "quantile" | "limit_ratio" => "0.5, ",
            _ => "",
        };
        let text = format!("{aggregation} by (job) ({parameter}{{__name__=~\"a|b|odd\"}})");
        seeds.push(text.into_bytes());
    }
    // The scripts that the evaluator is held against.
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/query/tests");
    for name in [
        "aggregate",
        "functions",
        "histogram",
        "operators",
        "over_time",
        "selectors",
    ] {
        let script = std::fs::read_to_string(Path::new(folder).join(format!("{name}.test")));
        let script = script.unwrap_or_default();
        let lines = script
            .lines()
            .filter_map(|line| line.strip_prefix("eval instant at "));
        let texts = lines.filter_map(|line| line.split_once(' '));
        seeds.extend(texts.map(|(_, text)| text.as_bytes().to_vec()));
    }
    seeds
}

/// Requests as they are, and each page by GET and by POST with some parameters.
pub(crate) fn requests() -> Seeds {
    let raw = [
        "GET /api/v1/query?query=up HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST /api/v1/query HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\
         Content-Type: application/x-www-form-urlencoded\r\n\r\n8\r\nquery=up\r\n0\r\n\r\n",
        "OPTIONS /api/v1/labels HTTP/1.0\r\n\r\nHEAD / HTTP/1.1\r\n\r\n",
    ];
    let raw = raw.map(|text| Draft::default().bytes([0]).bytes(text).done());
    let mut seeds = raw.to_vec();
    for page in 0..20_u8 {
        for how in [0x50_u8, 0x51] {
            let header = if how & 1 == 1 { 4 } else { page % 4 };
            let mut draft = Draft::default().bytes([1, page, header, how]);
            for (name, value) in [
                (0_u8, "sum by (node) (rate(a_total[5m]))"),
                (2, "2026-01-31T12:00:00Z"),
                (3, "1769860860.5"),
                (4, "15s"),
                (5, "up{node=~\"n.*\"}"),
            ] {
                draft = draft.bytes([name]).piece(value);
            }
            seeds.push(draft.done());
        }
    }
    seeds
}

pub(crate) fn matchers() -> Seeds {
    let patterns = [
        "a|b(c|d)",
        "x[12]",
        "gpu-0.+",
        "a|",
        "(?i)up",
        "^a$",
        "(?:gpu)-.*|x",
        "é+",
        "a{2,3}",
        "\\d\\w\\b",
        "(?x) a b # c",
        "[^a]",
        "node-(1|2)\\.eu",
        "(?s-u:a)",
        "a)|(b",
    ];
    let seed = |pattern: &str| {
        Draft::default()
            .piece("bc")
            .piece("1")
            .bytes(pattern)
            .done()
    };
    patterns.map(seed).to_vec()
}

/// Documents of the specification, in short.
pub(crate) fn documents() -> Seeds {
    [
        "monitoring_config:\n  model_name: a\n  metrics: [accuracy, latency]\n  thresholds: {accuracy: 0.95}\n  monitoring_interval: 1m\n",
        "system_monitoring:\n  infrastructure_metrics:\n    cpu_usage: {threshold: 80, alert: true}\nalerting:\n  alerting:\n    channels: [email]\n    escalation:\n      level_1: {timeout: 5m, notify: [oncall]}\n",
        "alerting_config:\n  alert_levels:\n    critical:\n      conditions: [system_down]\n      response_time: immediate\n      channels: [pagerduty]\n      escalation: automatic\n",
        "automated_response_config: {response_actions: {a: {triggers: ['cpu_usage > 80% for 5m']}}}\n---\nbindings: {b: {query: c, unit: ms}}\n",
        "metric_selection:\n  golden_signals: [latency]\nalerting:\n  avoid_alerting_on_causes: true\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

pub(crate) fn rule_files() -> Seeds {
    [
        "groups:\n- name: g\n  interval: 30s\n  rules:\n  - alert: A\n    expr: sum by (node) (x) > 2\n    for: 5m\n    labels: {severity: page}\n    annotations: {summary: '{{ $labels.node }} {{ $value | humanize }}'}\n",
        "groups: [{name: g, limit: 5, rules: [{record: 'a:b', expr: 'rate(x[5m])'}, {alert: B, expr: up == 0, missing: fire, count: {least: 3, of: 5}}]}]",
        "groups: [{name: g, rules: [{alert: C, expr: x > 1, clear_when: x < 0.5, clear_for: 1m, min_complete: 0.9, level: high, depends_on: [C]}]}]",
        "rule_files: [a.yml]\nevaluation_interval: 1m\ntests:\n- interval: 1m\n  input_series:\n  - series: 'x{a=\"b\"}'\n    values: '0+1x10 _ stale'\n  alert_rule_test:\n  - {eval_time: 5m, alertname: A, exp_alerts: [{exp_labels: {a: b}}]}\n  promql_expr_test:\n  - {expr: x, eval_time: 1m, exp_samples: [{labels: x, value: 1}]}\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

pub(crate) fn templates() -> Seeds {
    [
        "{{ $labels.job }} is at {{ $value | humanizePercentage }}",
        "{{ range query \"up\" | sortByLabel \"job\" }}{{ .Labels.job }}={{ .Value | printf \"%.2f\" }};{{ else }}none{{ end }}",
        "{{ with $x := 1.5 }}{{ if gt $x 1.0 }}{{ humanizeDuration $x }}{{ end }}{{ end }}{{ define \"t\" }}a{{ end }}{{ template \"t\" }}",
        "{{ reReplaceAll \"(a)(b*)\" \"$2$1\" \"abbb\" | toUpper | title }} {{ match \"^a\" \"b\" }} {{ printf \"%+05d|%q|%x\" 7 \"a\" 255 }}",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

/// Files of targets, as JSON and as TOML.
pub(crate) fn targets() -> Seeds {
    let json = r#"[{"targets": ["127.0.0.1:8000", "https://[::1]:1/m?x=y"],
        "labels": {"job": "vllm", "__metrics_path__": "/metrics", "__scrape_interval__": "1m30s",
        "__scrape_timeout__": "5s", "__scheme__": "https", "__param_a": "b c"}}]"#;
    let toml = "[[group]]\ntargets = [\"a:1\", \"a:1\"]\nlabels = { job = \"vllm\" }\n[[group]]\ntargets = []\n";
    [(0, json), (1, toml)]
        .map(|(kind, text)| Draft::default().bytes([kind]).bytes(text).done())
        .to_vec()
}

/// A file of tokens.
pub(crate) fn tokens() -> Seeds {
    let digest = |digit: &str| digit.repeat(64);
    let file = format!(
        "[[token]]\nname = \"node-1\"\nrole = \"agent\"\nsha256 = \"{}\"\nexpires = \"2030-01-31T00:00:00Z\"\n\
         [[token]]\nname = \"ops\"\nrole = \"admin\"\nsha256 = \"{}\"\n",
        digest("a"),
        digest("0")
    );
    vec![file.into_bytes()]
}

/// Alerts as Prometheus posts them.
pub(crate) fn outside_alerts() -> Seeds {
    [
        r#"[{"labels":{"alertname":"A","empty":""},"annotations":{"summary":"s"},"startsAt":"2027-01-15T08:00:00.5Z",
            "endsAt":"0001-01-01T00:00:00Z","generatorURL":"http://p/graph"},{"labels":{"alertname":"B"}}]"#,
        r#"[{"labels":{"alertname":"C"},"startsAt":"2027-01-15T09:00:00+01:00","endsAt":"1800000000.5"}]"#,
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}
