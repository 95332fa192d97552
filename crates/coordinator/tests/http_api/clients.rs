//! Clients that were written for Prometheus, unchanged: `promtool` and Python's
//! `prometheus-api-client`. `make setup` puts them into the cache folder and on the PATH; a test whose
//! client is not there says so and passes.

use expect_test::expect;
use tokio::process::Command;

use super::server::Server;

/// Whether a command runs and succeeds.
async fn runs(program: &str, arguments: &[&str]) -> bool {
    let output = Command::new(program).args(arguments).output().await;
    output.is_ok_and(|output| output.status.success())
}

#[tokio::test]
async fn promtool_reads_every_answer_it_asks_for() {
    if !runs("promtool", &["--version"]).await {
        println!("skipped: no promtool on the PATH (make setup puts it there)");
        return;
    }
    let server = Server::start().await;
    let url = server.url();
    let mut all = String::new();
    for arguments in [
        "instant --time=1700000000 URL up",
        "instant --time=2023-11-14T22:13:20Z URL odd",
        "instant --time=1700000000.5 URL scalar(sum(up))",
        "instant URL up{",
        "range --start=1699999940 --end=1700000000 --step=30s URL sum(requests_total)",
        "series --match=up --match=requests_total --start=1699999000 --end=1700000000 URL",
        "labels URL job",
        "labels --match=requests_total URL __name__",
    ] {
        let mut command = Command::new("promtool");
        command.arg("query");
        for argument in arguments.split(' ') {
            command.arg(if argument == "URL" { &url } else { argument });
        }
        let output = command.output().await.unwrap();
        all.push_str(&format!("{arguments}: {}\n", output.status.code().unwrap()));
        all.push_str(&String::from_utf8_lossy(&output.stdout));
        all.push_str(&String::from_utf8_lossy(&output.stderr));
    }
    expect![[r#"
        instant --time=1700000000 URL up: 0
        up{instance="a:1", job="vllm", node="n1"} => 1 @[1700000000]
        up{instance="b:1", job="node", node="n1"} => 1 @[1700000000]
        instant --time=2023-11-14T22:13:20Z URL odd: 0
        odd{kind="-inf", node="n1"} => -Inf @[1700000000]
        odd{kind="huge", node="n1"} => 1000000000000000000000 @[1700000000]
        odd{kind="inf", node="n1"} => +Inf @[1700000000]
        odd{kind="nan", node="n1"} => NaN @[1700000000]
        odd{kind="say \"hi\"\n\\", node="n1"} => 0.1 @[1700000000]
        odd{kind="tiny", node="n1"} => -0.00000015 @[1700000000]
        instant --time=1700000000.5 URL scalar(sum(up)): 0
        scalar: 2 @[1700000000.5]
        instant URL up{: 1
        query error: bad_data: invalid parameter "query": 1:4: parse error: unexpected end of input in label matching, expected identifier or "}"
        range --start=1699999940 --end=1700000000 --step=30s URL sum(requests_total): 0
        {} =>
        10 @[1699999940]
        20 @[1699999970]
        30.5 @[1700000000]
        series --match=up --match=requests_total --start=1699999000 --end=1700000000 URL: 0
        {__name__="up", instance="a:1", job="vllm", node="n1"}
        {__name__="up", instance="b:1", job="node", node="n1"}
        {__name__="requests_total", code="200", node="n1"}
        labels URL job: 0
        node
        vllm
        labels --match=requests_total URL __name__: 0
        requests_total
    "#]].assert_eq(&all);
    server.end().await;
}

/// Asks by every method of the library that needs no numpy or pandas.
const PYTHON: &str = r#"
import sys
from datetime import datetime, timezone
from prometheus_api_client import PrometheusConnect
p = PrometheusConnect(url=sys.argv[1])
at = lambda s: datetime.fromtimestamp(s, tz=timezone.utc)
print(p.check_prometheus_connection())
print(p.all_metrics())
print(p.get_label_names())
print(p.get_label_values("job"))
print(p.get_series(start=at(1699999000), end=at(1700000000), params={"match[]": "requests_total"}))
print(p.get_current_metric_value("up", label_config={"job": "node"}, params={"time": 1700000000}))
print(p.custom_query("requests_total * 2", params={"time": 1700000000}))
print(p.custom_query_range("sum(requests_total)", start_time=at(1699999940), end_time=at(1700000000), step="30"))
print(p.get_metric_range_data("up{job='node'}", start_time=at(1699999900), end_time=at(1700000000)))
print(p.get_scrape_pools())
print([target["health"] for target in p.get_targets()["activeTargets"]])
print(p.get_metric_metadata("wait_seconds"))
"#;

#[tokio::test]
async fn the_python_client_reads_every_answer_it_asks_for() {
    if !runs("python3", &["-c", "import prometheus_api_client"]).await {
        println!("skipped: python3 has no prometheus-api-client (make setup installs it)");
        return;
    }
    let server = Server::start().await;
    let mut command = Command::new("python3");
    command.args(["-c", PYTHON, &server.url()]);
    let output = command.output().await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    expect![[r#"
        True
        ['odd', 'requests_total', 'size_bytes', 'size_bytes_count', 'size_bytes_sum', 'up', 'wait_seconds_bucket', 'wait_seconds_count', 'wait_seconds_sum']
        ['__name__', 'code', 'instance', 'job', 'kind', 'le', 'node', 'quantile']
        ['node', 'vllm']
        [{'__name__': 'requests_total', 'code': '200', 'node': 'n1'}]
        [{'metric': {'__name__': 'up', 'instance': 'b:1', 'job': 'node', 'node': 'n1'}, 'value': [1700000000, '1']}]
        [{'metric': {'code': '200', 'node': 'n1'}, 'value': [1700000000, '61']}]
        [{'metric': {}, 'values': [[1699999940, '10'], [1699999970, '20'], [1700000000, '30.5']]}]
        [{'metric': {'__name__': 'up', 'instance': 'b:1', 'job': 'node', 'node': 'n1'}, 'values': [[1699999940, '1'], [1699999970, '0'], [1700000000, '1']]}]
        ['agents']
        ['up']
        [{'metric_name': 'wait_seconds', 'type': 'histogram', 'help': 'How long requests "wait".', 'unit': 'seconds'}]
    "#]]
    .assert_eq(&text);
    server.end().await;
}
