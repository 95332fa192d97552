//! What is answered of a time whose samples were dropped.

use std::time::Duration;

use super::server::{NOW_MILLIS, Server};

const DAY_MILLIS: i64 = 86_400_000;
/// The hour and the day after the data: 2023-11-14T23:00:00Z and 2023-11-15T00:00:00Z.
const HOUR_END: i64 = 1_700_002_800;
const DAY_END: i64 = 1_700_006_400;

async fn ask(server: &Server, query: &str, time: i64) -> serde_json::Value {
    let path = format!("/api/v1/query?query={query}&time={time}&stats=all");
    serde_json::from_str(&server.get(&path).await.text()).unwrap()
}

/// The values of an answer and the windows that were read for it.
fn told(answer: &serde_json::Value) -> (Vec<&str>, String) {
    let result = answer["data"]["result"].as_array().unwrap();
    let values = result.iter().map(|it| it["value"][1].as_str().unwrap());
    (
        values.collect(),
        answer["data"]["stats"]["windows"].to_string(),
    )
}

#[tokio::test]
async fn windows_answer_after_the_samples_are_dropped_and_what_they_cannot_answer_is_said() {
    let server = Server::start().await;
    let sum = "sum_over_time(requests_total%5B1h%5D)";
    let mean = "avg_over_time(requests_total%5B1d%5D)";
    let ranges = [
        // With samples at hand, an hour is not worth a look at windows and a day is by its hours.
        (sum, HOUR_END, ["{}", r#"{"1h":1}"#], "60.5"),
        (
            mean,
            DAY_END,
            [r#"{"1h":1}"#, r#"{"1d":1}"#],
            "20.166666666666668",
        ),
    ];
    for (query, time, [windows, _], value) in ranges {
        let answer = ask(&server, query, time).await;
        assert_eq!(told(&answer), (vec![value], windows.to_owned()), "{answer}");
    }
    assert_eq!(server.post("/-/flush", "").await.code, 200);
    // A week is kept: on the ninth day the first is dropped.
    let server = server.restart_at(NOW_MILLIS + 9 * DAY_MILLIS).await;
    let mut answer = ask(&server, "requests_total", NOW_MILLIS / 1000).await;
    for _ in 0..300 {
        if answer["warnings"].is_array() {
            break;
        }
        assert_eq!(told(&answer).0, ["30.5"], "{answer}");
        tokio::time::sleep(Duration::from_millis(100)).await;
        answer = ask(&server, "requests_total", NOW_MILLIS / 1000).await;
    }
    assert_eq!(told(&answer).0, Vec::<&str>::new(), "{answer}");
    let warning = answer["warnings"][0].as_str().unwrap();
    assert!(
        warning.starts_with("samples before 2023-11-15 were dropped")
            && warning.contains("1h and 1d"),
        "{warning}"
    );
    for (query, time, [_, windows], value) in ranges {
        let answer = ask(&server, query, time).await;
        assert_eq!(told(&answer), (vec![value], windows.to_owned()), "{answer}");
    }
    let now = ask(&server, "requests_total", NOW_MILLIS / 1000 + 9 * 86_400).await;
    assert_eq!(told(&now).0, ["30.5"], "{now}");
    assert!(now["warnings"].is_null(), "{now}");
    server.end().await;
}
