//! The HTTP API of Prometheus, asked over a socket: what is answered to the byte, and what clients
//! that know nothing of us make of it.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper fails its test by panicking"
)]

#[path = "http_api/clients.rs"]
mod clients;
#[path = "http_api/dropped.rs"]
mod dropped;
#[path = "http_api/refused.rs"]
mod refused;
#[path = "http_api/rules.rs"]
mod rules;
#[path = "http_api/server.rs"]
mod server;

use std::fmt::Write;
use std::time::Duration;

use expect_test::{Expect, expect};
use server::Server;

/// Asks each path by GET and compares code and body of all with what is expected.
async fn check(server: &Server, paths: &[&str], expected: Expect) {
    let mut all = String::new();
    for path in paths {
        let answer = server.get(&format!("/api/v1/{path}")).await;
        let text = answer.text();
        writeln!(all, "{path}\n  {} {}", answer.code, text.trim_end()).unwrap();
        if text.starts_with('{') {
            assert_eq!(answer.header("content-type"), "application/json");
            serde_json::from_str::<serde_json::Value>(&text).unwrap();
        }
    }
    expected.assert_eq(&all);
}

#[tokio::test]
async fn instant_queries_answer_every_type_of_value() {
    let server = Server::start().await;
    let paths = [
        "query?query=up",
        "query?query=up&time=1699999985.5&limit=1",
        "query?query=up&time=2023-11-14T22:00:00Z",
        "query?query=1e21&time=1.5",
        "query?query=-1/0&time=0",
        "query?query=%22a%5C%22b%22&time=-0.001",
        "query?query=odd",
        "query?query=up%7Bjob=%22node%22%7D%5B1m%5D",
        "query?query=rate(up%5B1m%5D)",
        "query?query=up%7Bjob=%22node%22%7D&time=1700000120&lookback_delta=1m",
        "query?query=sum(up)&stats=all",
        "query?query=sum_over_time(requests_total%5B1h%5D)&time=1700002800&stats=all",
        "query?query=sum(up)&explain=true",
        "query?query=sum_over_time(requests_total%5B1h%5D)&time=1700002800&explain=1",
        "query?query=1&explain=yes",
    ];
    check(&server, &paths, expect![[r#"
        query?query=up
          200 {"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"up","instance":"a:1","job":"vllm","node":"n1"},"value":[1700000000,"1"]},{"metric":{"__name__":"up","instance":"b:1","job":"node","node":"n1"},"value":[1700000000,"1"]}]}}
        query?query=up&time=1699999985.5&limit=1
          200 {"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"up","instance":"a:1","job":"vllm","node":"n1"},"value":[1699999985.500,"1"]}]},"warnings":["results truncated due to limit"]}
        query?query=up&time=2023-11-14T22:00:00Z
          200 {"status":"success","data":{"resultType":"vector","result":[]}}
        query?query=1e21&time=1.5
          200 {"status":"success","data":{"resultType":"scalar","result":[1.500,"1000000000000000000000"]}}
        query?query=-1/0&time=0
          200 {"status":"success","data":{"resultType":"scalar","result":[0,"-Inf"]}}
        query?query=%22a%5C%22b%22&time=-0.001
          200 {"status":"success","data":{"resultType":"string","result":[-0.001,"a\"b"]}}
        query?query=odd
          200 {"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"odd","kind":"-inf","node":"n1"},"value":[1700000000,"-Inf"]},{"metric":{"__name__":"odd","kind":"huge","node":"n1"},"value":[1700000000,"1e+21"]},{"metric":{"__name__":"odd","kind":"inf","node":"n1"},"value":[1700000000,"+Inf"]},{"metric":{"__name__":"odd","kind":"nan","node":"n1"},"value":[1700000000,"NaN"]},{"metric":{"__name__":"odd","kind":"say \"hi\"\n\\","node":"n1"},"value":[1700000000,"0.1"]},{"metric":{"__name__":"odd","kind":"tiny","node":"n1"},"value":[1700000000,"-1.5e-07"]}]}}
        query?query=up%7Bjob=%22node%22%7D%5B1m%5D
          200 {"status":"success","data":{"resultType":"matrix","result":[{"metric":{"__name__":"up","instance":"b:1","job":"node","node":"n1"},"values":[[1699999970,"0"],[1700000000,"1"]]}]}}
        query?query=rate(up%5B1m%5D)
          200 {"status":"success","data":{"resultType":"vector","result":[{"metric":{"instance":"a:1","job":"vllm","node":"n1"},"value":[1700000000,"0"]},{"metric":{"instance":"b:1","job":"node","node":"n1"},"value":[1700000000,"0.016666666666666666"]}]},"infos":["PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: \"up\" (1:6)"]}
        query?query=up%7Bjob=%22node%22%7D&time=1700000120&lookback_delta=1m
          200 {"status":"success","data":{"resultType":"vector","result":[]}}
        query?query=sum(up)&stats=all
          200 {"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1700000000,"2"]}],"stats":{"timings":{"evalTotalTime":0,"queryPreparationTime":0,"innerEvalTime":0,"execQueueTime":0,"execTotalTime":0},"samples":{"totalQueryableSamples":6,"peakSamples":9},"windows":{},"series":{"totalQueryableSeries":2}}}}
        query?query=sum_over_time(requests_total%5B1h%5D)&time=1700002800&stats=all
          200 {"status":"success","data":{"resultType":"vector","result":[{"metric":{"code":"200","node":"n1"},"value":[1700002800,"60.5"]}],"stats":{"timings":{"evalTotalTime":0,"queryPreparationTime":0,"innerEvalTime":0,"execQueueTime":0,"execTotalTime":0},"samples":{"totalQueryableSamples":3,"peakSamples":4},"windows":{},"series":{"totalQueryableSeries":1}}}}
        query?query=sum(up)&explain=true
          200 {"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1700000000,"2"]}],"plan":[{"depth":0,"expression":"sum(up)","series":1,"seconds":0,"reads":[]},{"depth":1,"expression":"up","series":2,"seconds":0,"reads":[{"selector":"up","tier":"samples","start":1699999700.001,"end":1700000000,"series":2,"points":6,"seconds":0,"again":false}]}]}}
        query?query=sum_over_time(requests_total%5B1h%5D)&time=1700002800&explain=1
          200 {"status":"success","data":{"resultType":"vector","result":[{"metric":{"code":"200","node":"n1"},"value":[1700002800,"60.5"]}],"plan":[{"depth":0,"expression":"sum_over_time(requests_total[1h])","series":1,"seconds":0,"reads":[{"selector":"requests_total","tier":"samples","start":1699999200.001,"end":1700002800,"series":1,"points":3,"seconds":0,"again":false}]}]}}
        query?query=1&explain=yes
          400 {"status":"error","errorType":"bad_data","error":"invalid parameter \"explain\": \"yes\" is not true or false"}
    "#]]).await;
    server.end().await;
}

#[tokio::test]
async fn range_queries_answer_a_matrix() {
    let server = Server::start().await;
    let paths = [
        "query_range?query=up%7Bjob=%22node%22%7D&start=1699999940&end=1700000000&step=30",
        "query_range?query=odd%7Bkind=~%22.*inf%7Chuge%22%7D&start=1699999970&end=2023-11-14T22:13:20Z&step=30s",
        "query_range?query=up&start=1700000000&end=1700000000&step=1&limit=1",
        "query_range?query=sum(requests_total)&start=1699999940&end=1700000000&step=30",
        "query_range?query=7&start=1&end=2&step=500ms",
        "query_range?query=none&start=1&end=2&step=1",
        // As many steps as Prometheus allows, and one more.
        "query_range?query=vector(1)%3E1&start=0&end=11000&step=1",
        "query_range?query=1&start=0&end=11001&step=1",
    ];
    check(&server, &paths, expect![[r#"
        query_range?query=up%7Bjob=%22node%22%7D&start=1699999940&end=1700000000&step=30
          200 {"status":"success","data":{"resultType":"matrix","result":[{"metric":{"__name__":"up","instance":"b:1","job":"node","node":"n1"},"values":[[1699999940,"1"],[1699999970,"0"],[1700000000,"1"]]}]}}
        query_range?query=odd%7Bkind=~%22.*inf%7Chuge%22%7D&start=1699999970&end=2023-11-14T22:13:20Z&step=30s
          200 {"status":"success","data":{"resultType":"matrix","result":[{"metric":{"__name__":"odd","kind":"-inf","node":"n1"},"values":[[1699999970,"1"],[1700000000,"-Inf"]]},{"metric":{"__name__":"odd","kind":"huge","node":"n1"},"values":[[1699999970,"1"],[1700000000,"1e+21"]]},{"metric":{"__name__":"odd","kind":"inf","node":"n1"},"values":[[1699999970,"1"],[1700000000,"+Inf"]]}]}}
        query_range?query=up&start=1700000000&end=1700000000&step=1&limit=1
          200 {"status":"success","data":{"resultType":"matrix","result":[{"metric":{"__name__":"up","instance":"a:1","job":"vllm","node":"n1"},"values":[[1700000000,"1"]]}]},"warnings":["results truncated due to limit"]}
        query_range?query=sum(requests_total)&start=1699999940&end=1700000000&step=30
          200 {"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1699999940,"10"],[1699999970,"20"],[1700000000,"30.5"]]}]}}
        query_range?query=7&start=1&end=2&step=500ms
          200 {"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,"7"],[1.500,"7"],[2,"7"]]}]}}
        query_range?query=none&start=1&end=2&step=1
          200 {"status":"success","data":{"resultType":"matrix","result":[]}}
        query_range?query=vector(1)%3E1&start=0&end=11000&step=1
          200 {"status":"success","data":{"resultType":"matrix","result":[]}}
        query_range?query=1&start=0&end=11001&step=1
          400 {"status":"error","errorType":"bad_data","error":"exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)"}
    "#]]).await;
    server.end().await;
}

#[tokio::test]
async fn listings_name_series_labels_values_and_kinds() {
    let server = Server::start().await;
    let paths = [
        "series?match[]=up",
        "series?match[]=up%7Bjob=%22node%22%7D&match%5B%5D=requests_total&start=1699999000&end=1700000000",
        "series?match[]=up&limit=1",
        "series?match[]=none",
        "labels",
        "labels?match[]=up&limit=2",
        "label/__name__/values",
        "label/job/values?match[]=up%7Binstance=%22a:1%22%7D&start=-292273086-05-16T16:47:06Z&end=292277025-08-18T07:12:54.999999999Z",
        "label/none/values",
        "metadata",
        "metadata?metric=wait_seconds",
        "metadata?metric=wait_seconds_bucket",
        "metadata?limit=1&limit_per_metric=0",
    ];
    check(&server, &paths, expect![[r#"
        series?match[]=up
          200 {"status":"success","data":[{"__name__":"up","instance":"a:1","job":"vllm","node":"n1"},{"__name__":"up","instance":"b:1","job":"node","node":"n1"}]}
        series?match[]=up%7Bjob=%22node%22%7D&match%5B%5D=requests_total&start=1699999000&end=1700000000
          200 {"status":"success","data":[{"__name__":"up","instance":"b:1","job":"node","node":"n1"},{"__name__":"requests_total","code":"200","node":"n1"}]}
        series?match[]=up&limit=1
          200 {"status":"success","data":[{"__name__":"up","instance":"a:1","job":"vllm","node":"n1"}],"warnings":["results truncated due to limit"]}
        series?match[]=none
          200 {"status":"success","data":[]}
        labels
          200 {"status":"success","data":["__name__","code","instance","job","kind","le","node","quantile"]}
        labels?match[]=up&limit=2
          200 {"status":"success","data":["__name__","instance"],"warnings":["results truncated due to limit"]}
        label/__name__/values
          200 {"status":"success","data":["odd","requests_total","size_bytes","size_bytes_count","size_bytes_sum","up","wait_seconds_bucket","wait_seconds_count","wait_seconds_sum"]}
        label/job/values?match[]=up%7Binstance=%22a:1%22%7D&start=-292273086-05-16T16:47:06Z&end=292277025-08-18T07:12:54.999999999Z
          200 {"status":"success","data":["vllm"]}
        label/none/values
          200 {"status":"success","data":[]}
        metadata
          200 {"status":"success","data":{"odd":[{"type":"gauge","help":"","unit":""}],"requests_total":[{"type":"counter","help":"","unit":""}],"size_bytes":[{"type":"summary","help":"","unit":""}],"up":[{"type":"gauge","help":"","unit":""}],"wait_seconds":[{"type":"histogram","help":"How long requests \"wait\".","unit":"seconds"}]}}
        metadata?metric=wait_seconds
          200 {"status":"success","data":{"wait_seconds":[{"type":"histogram","help":"How long requests \"wait\".","unit":"seconds"}]}}
        metadata?metric=wait_seconds_bucket
          200 {"status":"success","data":{}}
        metadata?limit=1&limit_per_metric=0
          200 {"status":"success","data":{"odd":[]}}
    "#]]).await;
    server.end().await;
}

#[tokio::test]
async fn forms_are_asked_like_addresses() {
    let server = Server::start().await;
    for (path, query) in [
        ("query", "query=up%7Bjob%3D%22node%22%7D&time=1700000000"),
        (
            "query_range",
            "query=up&start=1699999940&end=1700000000&step=30",
        ),
        ("series", "match%5B%5D=up&match%5B%5D=odd"),
        ("labels", "match[]=up"),
    ] {
        let get = server.get(&format!("/api/v1/{path}?{query}")).await;
        let post = server.post(&format!("/api/v1/{path}"), query).await;
        assert_eq!((get.code, get.text()), (200, post.text()), "{path}");
        assert!(get.text().contains("\"data\":") && post.code == 200);
    }
    // What the form says comes before what the address says.
    let both = server.post("/api/v1/query?query=2&time=0", "query=1").await;
    expect![[r#"{"status":"success","data":{"resultType":"scalar","result":[0,"1"]}}"#]]
        .assert_eq(&both.text());
    // What is no form is not read as one.
    let other = server.send(
        "POST",
        "/api/v1/query",
        "Content-Type: text/plain\r\n",
        "query=1",
    );
    assert_eq!(other.await.code, 400);
    server.end().await;
}

#[tokio::test]
async fn requests_are_bounded() {
    let server = Server::start_with(|config| {
        config.query.listing_max = 3;
        config.query.series_max = 5;
    })
    .await;
    let selectors = |count| vec!["match[]=up"; count].join("&");
    let pad = |bytes| format!("query=1&time=0&pad={}", "x".repeat(bytes));
    let mut all = String::new();
    for (path, form) in [
        ("series", selectors(100)),
        ("series", selectors(101)),
        ("labels", "x&".repeat(1001)),
        ("query", pad(1_000_000)),
        ("query", pad(1 << 20)),
        ("query", pad(10 << 20)),
        ("query", format!("query={}", "1+".repeat(40_000))),
        ("query", format!("query={}", "x".repeat(70_000))),
        ("query", "query=odd".to_owned()),
        ("labels", "limit=9".to_owned()),
    ] {
        let answer = server.post(&format!("/api/v1/{path}"), &form).await;
        writeln!(all, "{path}: {} {}", answer.code, answer.text()).unwrap();
    }
    expect![[r#"
        series: 200 {"status":"success","data":[{"__name__":"up","instance":"a:1","job":"vllm","node":"n1"},{"__name__":"up","instance":"b:1","job":"node","node":"n1"}]}
        series: 400 {"status":"error","errorType":"bad_data","error":"invalid parameter \"match[]\": 101 are given, more than 100"}
        labels: 400 {"status":"error","errorType":"bad_data","error":"error parsing form values: more than 1000 parameters"}
        query: 200 {"status":"success","data":{"resultType":"scalar","result":[0,"1"]}}
        query: 400 {"status":"error","errorType":"bad_data","error":"error parsing form values: more than 1048576 bytes"}
        query: 400 {"status":"error","errorType":"bad_data","error":"error parsing form values: more than 1048576 bytes"}
        query: 400 {"status":"error","errorType":"bad_data","error":"invalid parameter \"query\": 1:1: parse error: expression has 80000 bytes, more than the maximum of 65536"}
        query: 400 {"status":"error","errorType":"bad_data","error":"invalid parameter \"query\": 1:1: parse error: expression has 70000 bytes, more than the maximum of 65536"}
        query: 422 {"status":"error","errorType":"execution","error":"reading the series of the query: the query reads more than 5 series; narrow the selector or the time range"}
        labels: 200 {"status":"success","data":["__name__","code","instance"],"warnings":["results truncated due to limit"]}
    "#]].assert_eq(&all);
    server.end().await;
}

#[tokio::test]
async fn expressions_are_formatted_for_people() {
    let server = Server::start().await;
    let long = format!("sum%20by%20(le)(rate({}%5B5m%5D))", "x".repeat(90));
    let long = format!("format_query?query={long}");
    let paths = [
        "format_query?query=sum(up)by(node)%3E1",
        "format_query?query=sum(",
        &long,
    ];
    check(&server, &paths, expect![[r#"
        format_query?query=sum(up)by(node)%3E1
          200 {"status":"success","data":"sum by (node) (up) > 1"}
        format_query?query=sum(
          400 {"status":"error","errorType":"bad_data","error":"invalid parameter \"query\": 1:5: parse error: unexpected end of input"}
        format_query?query=sum%20by%20(le)(rate(xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx%5B5m%5D))
          200 {"status":"success","data":"sum by (le) (\n  rate(xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx[5m])\n)"}
    "#]]).await;
    server.end().await;
}

/// Takes more than two minutes when it is not cut short: 11,001 windows of a million samples.
const HEAVY: &str = "/api/v1/query_range?start=0&end=11000&step=1\
                     &query=quantile_over_time(0.5,vector(time())%5B1000000s:1s%5D)";

#[tokio::test]
async fn a_query_out_of_time_is_a_timeout_and_frees_its_place() {
    let server = Server::start_with(|config| config.query.concurrency_max = 1).await;
    let answer = server.get(&format!("{HEAVY}&timeout=50ms")).await;
    assert_eq!(answer.code, 503);
    expect![[r#"{"status":"error","errorType":"timeout","error":"no answer within 50ms (query.timeout or the asker's own); narrow the selector or the range"}"#]].assert_eq(&answer.text());
    let next = server.get("/api/v1/query?query=1&timeout=50").await;
    assert_eq!(next.code, 200, "{}", next.text());
    server.end().await;
}

#[tokio::test]
async fn a_question_whose_asker_is_gone_is_not_worked_on() {
    let server = Server::start_with(|config| config.query.concurrency_max = 1).await;
    let asked = tokio::time::timeout(Duration::from_millis(200), server.get(HEAVY)).await;
    assert!(asked.is_err(), "it was not heavy enough");
    let next = server.get("/api/v1/query?query=1&timeout=50").await;
    assert_eq!(next.code, 200, "{}", next.text());
    server.end().await;
}

#[tokio::test]
async fn answers_are_packed_for_those_who_ask_and_readable_by_pages() {
    let server = Server::start().await;
    let path = "/api/v1/query_range?query=up&start=1699999940&end=1700000000&step=0.1";
    let plain = server.get(path).await;
    let packed = server
        .send("GET", path, "Accept-Encoding: gzip, zstd;q=0.5\r\n", "")
        .await;
    assert!(plain.body.len() > 1024 && packed.body.len() < plain.body.len() / 2);
    assert_eq!(packed.header("content-encoding"), "gzip");
    assert_eq!(packed.header("vary"), "Accept-Encoding");
    assert_eq!((packed.code, packed.text()), (200, plain.text()));
    let packed = server
        .send("GET", path, "Accept-Encoding: gzip, zstd\r\n", "")
        .await;
    assert_eq!(packed.header("content-encoding"), "zstd");
    let unpacked = codec::decompress(&packed.body, 1 << 20).unwrap();
    assert_eq!(String::from_utf8(unpacked).unwrap(), plain.text());
    let small = "/api/v1/query?query=1";
    let small = server
        .send("GET", small, "Accept-Encoding: gzip\r\n", "")
        .await;
    assert_eq!(small.header("content-encoding"), "");

    let shown = |answer: &server::Answer| {
        let of_page = answer
            .headers
            .iter()
            .filter(|(name, _)| name.starts_with("access-control") || name.as_str() == "vary");
        of_page
            .map(|(name, values)| format!("{name}: {}\n", values.join(", ")))
            .collect::<String>()
    };
    assert_eq!(shown(&plain), "vary: Accept-Encoding\n");
    let page = "Origin: http://x\r\n";
    let expected = expect![[r#"
        access-control-allow-headers: Accept, Authorization, Content-Type, Origin
        access-control-allow-methods: GET, POST, OPTIONS
        access-control-allow-origin: *
        access-control-expose-headers: Date
        vary: Accept-Encoding, Origin
    "#]];
    let asked = server.send("OPTIONS", "/api/v1/query", page, "").await;
    assert_eq!((asked.code, asked.body.len()), (204, 0));
    expected.assert_eq(&shown(&asked));
    for path in ["/api/v1/query?query=1", "/api/v1/query?query="] {
        let answer = server.send("GET", path, page, "").await;
        assert_eq!(shown(&answer), shown(&asked));
    }
    server.end().await;
}

#[tokio::test]
async fn the_status_tells_what_there_is() {
    let server = Server::start().await;
    let paths = ["status/runtimeinfo", "status/tsdb?limit=2"];
    check(&server, &paths, expect![[r#"
        status/runtimeinfo
          200 {"status":"success","data":{"startTime":"2023-11-14T22:13:20Z","serverTime":"2023-11-14T22:13:20Z","storageRetention":"7d"}}
        status/tsdb?limit=2
          200 {"status":"success","data":{"headStats":{"numSeries":16,"numLabelPairs":24},"seriesCountByMetricName":[{"name":"odd","value":6},{"name":"up","value":2}],"labelValueCountByLabelName":[{"name":"__name__","value":9},{"name":"kind","value":6}],"memoryInBytesByLabelName":[{"name":"__name__","value":148},{"name":"node","value":32}],"seriesCountByLabelValuePair":[{"name":"node=n1","value":16},{"name":"__name__=odd","value":6}]}}
    "#]]).await;
    let text = server.get("/api/v1/status/buildinfo").await.text();
    let build: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(build["data"]["version"], "2.53.0");
    assert_eq!(
        build["data"]["applicationVersion"],
        daemon::version::VERSION
    );
    // Grafana takes a server that names features for another product.
    assert!(build["data"].get("features").is_none());
    let flags = server.get("/api/v1/status/flags").await.text();
    expect![[r#"{"status":"success","data":{"query.lookback-delta":"5m","query.max-concurrency":"8","query.max-samples":"50000000","query.timeout":"2m","storage.tsdb.retention.time":"7d","web.listen-address":"127.0.0.1:0"}}"#]].assert_eq(&flags);
    server.end().await;
}

#[tokio::test]
async fn agents_are_targets() {
    let mut server = Server::start().await;
    let target = async |server: &Server, path: &str| {
        let text = server.get(&format!("/api/v1/{path}")).await.text();
        let all: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(all["data"]["droppedTargets"], serde_json::json!([]));
        let mut targets = all["data"]["activeTargets"].clone();
        if let Some(target) = targets.get_mut(0) {
            let address = target["discoveredLabels"]["__address__"].as_str().unwrap();
            assert!(address.starts_with("127.0.0.1:"));
            let url = format!("grpc://{address}");
            assert_eq!(
                (&target["scrapeUrl"], &target["globalUrl"]),
                (&url.clone().into(), &url.into())
            );
            for gone in ["discoveredLabels", "scrapeUrl", "globalUrl"] {
                target.as_object_mut().unwrap().remove(gone);
            }
        }
        targets.to_string()
    };
    expect![[r#"[{"health":"up","labels":{"node":"n1","region":"eu"},"lastError":"","lastScrape":"2023-11-14T22:13:20Z","scrapePool":"agents"}]"#]].assert_eq(&target(&server, "targets?state=active&scrapePool=agents").await);
    assert_eq!(target(&server, "targets?state=dropped").await, "[]");
    assert_eq!(target(&server, "targets?scrapePool=other").await, "[]");
    server.disconnect().await;
    expect![[r#"[{"health":"down","labels":{"node":"n1","region":"eu"},"lastError":"not connected","lastScrape":"2023-11-14T22:13:20Z","scrapePool":"agents"}]"#]].assert_eq(&target(&server, "targets").await);
    server.end().await;
}
