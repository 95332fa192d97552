//! What is not answered, and in which words.

use expect_test::expect;

use super::check;
use super::server::Server;

#[tokio::test]
async fn what_is_wrong_with_a_query_is_said_in_prometheus_words() {
    let server = Server::start().await;
    let paths = [
        "query",
        "query?query=up%7B",
        "query?query=up&time=noon",
        "query?query=up&time=NaN",
        "query?query=up&timeout=soon",
        "query?query=up&limit=-1",
        "query?query=up&limit=x",
        "query?query=%zz",
        "query?query=up%20%2B%20on(node)%20up",
        "query?query=up&time=1e300",
    ];
    check(&server, &paths, expect![[r#"
        query
          400 {"status":"error","errorType":"bad_data","error":"invalid parameter \"query\": 1:1: parse error: no expression found in input"}
        query?query=up%7B
          400 {"status":"error","errorType":"bad_data","error":"invalid parameter \"query\": 1:4: parse error: unexpected end of input in label matching, expected identifier or \"}\""}
        query?query=up&time=noon
          400 {"status":"error","errorType":"bad_data","error":"invalid parameter \"time\": Invalid time value for 'time': cannot parse \"noon\" to a valid timestamp"}
        query?query=up&time=NaN
          400 {"status":"error","errorType":"bad_data","error":"invalid parameter \"time\": Invalid time value for 'time': cannot parse \"NaN\" to a valid timestamp"}
        query?query=up&timeout=soon
          400 {"status":"error","errorType":"bad_data","error":"invalid parameter \"timeout\": cannot parse \"soon\" to a valid duration"}
        query?query=up&limit=-1
          400 {"status":"error","errorType":"bad_data","error":"invalid parameter \"limit\": limit must be non-negative"}
        query?query=up&limit=x
          400 {"status":"error","errorType":"bad_data","error":"invalid parameter \"limit\": \"x\": invalid digit found in string"}
        query?query=%zz
          400 {"status":"error","errorType":"bad_data","error":"error parsing form values: invalid URL escape in \"%zz\""}
        query?query=up%20%2B%20on(node)%20up
          422 {"status":"error","errorType":"execution","error":"found duplicate series for the match group {node=\"n1\"} on the right hand-side of the operation: [{__name__=\"up\", instance=\"a:1\", job=\"vllm\", node=\"n1\"}, {__name__=\"up\", instance=\"b:1\", job=\"node\", node=\"n1\"}];many-to-many matching not allowed: matching labels must be unique on one side"}
        query?query=up&time=1e300
          400 {"status":"error","errorType":"bad_data","error":"time is out of range"}
    "#]]).await;
    server.end().await;
}

#[tokio::test]
async fn what_is_wrong_with_a_range_is_said_in_prometheus_words() {
    let server = Server::start().await;
    let paths = [
        "query_range?query=up&end=1&step=1",
        "query_range?query=up&start=1&end=x&step=1",
        "query_range?query=up&start=2&end=1&step=1",
        "query_range?query=up&start=1&end=2&step=0",
        "query_range?query=up&start=1&end=2&step=1x",
        "query_range?query=up&start=1&end=2&step=1e300",
        "query_range?query=up%5B1m%5D&start=1&end=2&step=1",
        "query_range?query=up&start=-1e300&end=1e300&step=1",
    ];
    check(&server, &paths, expect![[r#"
        query_range?query=up&end=1&step=1
          400 {"status":"error","errorType":"bad_data","error":"invalid parameter \"start\": cannot parse \"\" to a valid timestamp"}
        query_range?query=up&start=1&end=x&step=1
          400 {"status":"error","errorType":"bad_data","error":"invalid parameter \"end\": cannot parse \"x\" to a valid timestamp"}
        query_range?query=up&start=2&end=1&step=1
          400 {"status":"error","errorType":"bad_data","error":"invalid parameter \"end\": end timestamp must not be before start time"}
        query_range?query=up&start=1&end=2&step=0
          400 {"status":"error","errorType":"bad_data","error":"invalid parameter \"step\": zero or negative query resolution step widths are not accepted. Try a positive integer"}
        query_range?query=up&start=1&end=2&step=1x
          400 {"status":"error","errorType":"bad_data","error":"invalid parameter \"step\": cannot parse \"1x\" to a valid duration"}
        query_range?query=up&start=1&end=2&step=1e300
          400 {"status":"error","errorType":"bad_data","error":"invalid parameter \"step\": cannot parse \"1e300\" to a valid duration. It overflows int64"}
        query_range?query=up%5B1m%5D&start=1&end=2&step=1
          400 {"status":"error","errorType":"bad_data","error":"invalid parameter \"query\": 1:1: parse error: invalid expression type \"range vector\" for range query, must be Scalar or instant Vector"}
        query_range?query=up&start=-1e300&end=1e300&step=1
          400 {"status":"error","errorType":"bad_data","error":"exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)"}
    "#]]).await;
    server.end().await;
}

#[tokio::test]
async fn what_is_wrong_with_a_listing_is_said_in_prometheus_words() {
    let server = Server::start().await;
    let paths = [
        "series",
        "series?match[]=up%5B1m%5D",
        "series?match[]=%7B%7D",
        "series?match[]=up&start=x",
        "labels?match[]=1%2B",
        "label/a-b/values",
        "label/%FF/values",
        "metadata?limit=x",
        "status/tsdb?limit=0",
    ];
    check(&server, &paths, expect![[r#"
        series
          400 {"status":"error","errorType":"bad_data","error":"no match[] parameter provided"}
        series?match[]=up%5B1m%5D
          400 {"status":"error","errorType":"bad_data","error":"invalid parameter \"match[]\": \"up[1m]\" is not a selector"}
        series?match[]=%7B%7D
          400 {"status":"error","errorType":"bad_data","error":"invalid parameter \"match[]\": 1:1: parse error: vector selector must contain at least one non-empty matcher"}
        series?match[]=up&start=x
          400 {"status":"error","errorType":"bad_data","error":"invalid parameter \"start\": Invalid time value for 'start': cannot parse \"x\" to a valid timestamp"}
        labels?match[]=1%2B
          400 {"status":"error","errorType":"bad_data","error":"invalid parameter \"match[]\": 1:3: parse error: unexpected end of input"}
        label/a-b/values
          400 {"status":"error","errorType":"bad_data","error":"invalid label name: \"a-b\""}
        label/%FF/values
          400 {"status":"error","errorType":"bad_data","error":"Invalid URL: Invalid UTF-8 in `name`"}
        metadata?limit=x
          400 {"status":"error","errorType":"bad_data","error":"limit must be a number"}
        status/tsdb?limit=0
          400 {"status":"error","errorType":"bad_data","error":"limit must be a positive number"}
    "#]]).await;
    server.end().await;
}

#[tokio::test]
async fn other_methods_and_paths_are_refused() {
    let server = Server::start().await;
    for (method, path) in [
        ("PUT", "query"),
        ("POST", "metadata"),
        ("POST", "label/job/values"),
        ("DELETE", "series"),
    ] {
        let answer = server
            .send(method, &format!("/api/v1/{path}"), "", "")
            .await;
        let text = answer.text();
        assert_eq!(
            (answer.code, text.as_str()),
            (405, "Method Not Allowed\n"),
            "{path}"
        );
        assert!(!answer.header("allow").is_empty());
    }
    for path in [
        "/api/v1/nothing",
        "/api/v1/label/job",
        "/api/v2/query",
        "/graph",
    ] {
        let answer = server.get(path).await;
        let text = answer.text();
        assert_eq!(
            (answer.code, text.as_str()),
            (404, "404 page not found\n"),
            "{path}"
        );
    }
    server.end().await;
}
