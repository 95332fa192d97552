use expect_test::{Expect, expect};
use wire::proto::{
    Label, PlanNode, PlanRead, QueryStatistics, ResultSeries, ResultType, StageTime,
};

use super::*;
use crate::args::AnswerFormat;
use crate::times::Moment;

fn series(labels: &[(&str, &str)], points: &[(i64, f64)]) -> ResultSeries {
    ResultSeries {
        labels: labels
            .iter()
            .map(|(name, value)| Label {
                name: (*name).to_owned(),
                value: (*value).to_owned(),
            })
            .collect(),
        times_millis: points.iter().map(|(time, _)| *time).collect(),
        values: points.iter().map(|(_, value)| *value).collect(),
    }
}

fn vector() -> Answer {
    Answer {
        kind: ResultType::Vector,
        series: vec![
            series(
                &[("__name__", "up"), ("job", "vllm")],
                &[(1_700_000_000_000, 1.0)],
            ),
            series(
                &[("job", "a \"b\", c\\")],
                &[(1_700_000_000_500, f64::INFINITY)],
            ),
            series(&[], &[(1_700_000_000_000, 0.1 + 0.2)]),
        ],
        ..Answer::default()
    }
}

fn matrix() -> Answer {
    let points: Vec<(i64, f64)> = (0..60).map(|n| (n * 1000, n as f64)).collect();
    Answer {
        kind: ResultType::Matrix,
        series: vec![
            series(&[("__name__", "up")], &points[..30]),
            series(&[("job", "x")], &[(59_000, f64::NAN)]),
        ],
        ..Answer::default()
    }
}

fn check(answer: &Answer, format: AnswerFormat, range: Option<Range>, expected: &Expect) {
    expected.assert_eq(&text::render(answer, format, range).unwrap());
}

#[test]
fn vectors_are_shown_with_exact_values() {
    check(
        &vector(),
        AnswerFormat::Table,
        None,
        &expect![[r#"
        SERIES                              VALUE
        up{job="vllm"}                          1
        {job="a \"b\", c\\"}                 +Inf
        {}                    0.30000000000000004
    "#]],
    );
    check(
        &vector(),
        AnswerFormat::Json,
        None,
        &expect![[r#"
        {"result":[{"metric":{"__name__":"up","job":"vllm"},"value":[1700000000,"1"]},{"metric":{"job":"a \"b\", c\\"},"value":[1700000000.5,"+Inf"]},{"metric":{},"value":[1700000000,"0.30000000000000004"]}],"resultType":"vector"}
    "#]],
    );
    check(
        &vector(),
        AnswerFormat::Csv,
        None,
        &expect![[r#"
        time,value,__name__,job
        2023-11-14T22:13:20Z,1,up,vllm
        2023-11-14T22:13:20.5Z,+Inf,,"a ""b"", c\"
        2023-11-14T22:13:20Z,0.30000000000000004,,
    "#]],
    );
}

#[test]
fn ranges_are_shown_as_lines_of_bars() {
    let range = Some(Range {
        start: 0,
        end: 59_000,
        step: 1000,
    });
    check(
        &matrix(),
        AnswerFormat::Table,
        range,
        &expect![[r#"
        SERIES                                               MIN  MAX  LAST
        up         ▁▁▂▂▂▃▃▄▄▄▅▅▅▆▆▇▇▇██                        0   29    29
        {job="x"}                                              -    -   NaN
        1970-01-01 00:00:00 to 1970-01-01 00:00:59 UTC
    "#]],
    );
    let short = Answer {
        series: vec![series(&[("__name__", "up")], &[(0, 1.0), (1500, f64::NAN)])],
        ..matrix()
    };
    check(
        &short,
        AnswerFormat::Json,
        range,
        &expect![[r#"
        {"result":[{"metric":{"__name__":"up"},"values":[[0,"1"],[1.5,"NaN"]]}],"resultType":"matrix"}
    "#]],
    );
}

#[test]
fn a_short_range_has_no_gaps_between_its_steps() {
    let range = Some(Range {
        start: 0,
        end: 4000,
        step: 1000,
    });
    let points: Vec<(i64, f64)> = (0..5).map(|n| (n * 1000, n as f64)).collect();
    let five = Answer {
        series: vec![series(&[("__name__", "up")], &points)],
        ..matrix()
    };
    check(
        &five,
        AnswerFormat::Table,
        range,
        &expect![[r#"
        SERIES         MIN  MAX  LAST
        up      ▁▃▅▆█    0    4     4
        1970-01-01 00:00:00 to 1970-01-01 00:00:04 UTC
    "#]],
    );
}

#[test]
fn scalars_strings_and_nothing_have_their_own_forms() {
    let scalar = Answer {
        kind: ResultType::Scalar,
        series: vec![series(&[], &[(2000, 42.0)])],
        ..Answer::default()
    };
    check(
        &scalar,
        AnswerFormat::Table,
        None,
        &expect![[r#"
        42
    "#]],
    );
    check(
        &scalar,
        AnswerFormat::Json,
        None,
        &expect![[r#"
        {"result":[2,"42"],"resultType":"scalar"}
    "#]],
    );
    let string = Answer {
        kind: ResultType::String,
        string: "hello".to_owned(),
        ..Answer::default()
    };
    check(
        &string,
        AnswerFormat::Table,
        None,
        &expect![[r#"
        hello
    "#]],
    );
    let nothing = Answer {
        kind: ResultType::Vector,
        ..Answer::default()
    };
    check(
        &nothing,
        AnswerFormat::Table,
        None,
        &expect![[r#"
        nothing found: no series has a value at this time
    "#]],
    );
    check(
        &nothing,
        AnswerFormat::Json,
        None,
        &expect![[r#"
        {"result":[],"resultType":"vector"}
    "#]],
    );
    check(
        &nothing,
        AnswerFormat::Csv,
        None,
        &expect![[r#"
        time,value
    "#]],
    );
}

#[test]
fn what_is_missing_is_said_beside_the_answer() {
    let answer = Answer {
        partial: true,
        warnings: vec!["a chunk is damaged".to_owned()],
        infos: vec!["metric might not be a counter".to_owned()],
        ..vector()
    };
    expect![[r#"
        partial: something that belongs into this answer is missing
        warning: a chunk is damaged
        info: metric might not be a counter"#]]
    .assert_eq(&notes(&answer).join("\n"));
}

fn args(start: Option<Moment>, end: Option<Moment>, step: Option<Duration>) -> QueryArgs {
    QueryArgs {
        expression: "up".to_owned(),
        time: None,
        start,
        end,
        step,
        format: AnswerFormat::Table,
        explain: false,
    }
}

#[test]
fn a_plan_is_a_table_of_parts_and_reads() {
    let read = |tier: &str, again| PlanRead {
        selector: "up{job=\"a\"}".to_owned(),
        tier: tier.to_owned(),
        start_millis: 1_700_000_000_000,
        end_millis: 1_700_000_300_000,
        series: 24_900,
        points: 35_800_000,
        duration_micros: 61_500,
        again,
    };
    let node = |depth, expression: &str, reads| PlanNode {
        depth,
        expression: expression.to_owned(),
        series: 3,
        duration_micros: 1_234_567,
        reads,
    };
    let stage = |stage: &str, duration_micros| StageTime {
        stage: stage.to_owned(),
        duration_micros,
    };
    let answer = Answer {
        plan: vec![
            node(0, "sum(up) + max_over_time(up[1d])", vec![]),
            node(1, "up", vec![read("", false), read("", true)]),
            node(1, "max_over_time(up[1d])", vec![read("1h", false)]),
        ],
        statistics: Some(QueryStatistics {
            stages: vec![stage("wait", 0), stage("parse", 12), stage("read", 123_456)],
            ..QueryStatistics::default()
        }),
        ..Answer::default()
    };
    expect![[r#"
        PART                                                                                        SERIES  POINTS    TIME
        sum(up) + max_over_time(up[1d])                                                                  3            1.2s
          up                                                                                             3            1.2s
            ← samples of up{job="a"} from 2023-11-14T22:13:20Z to 2023-11-14T22:18:20Z               24900   35.8M  61.5ms
            ← samples of up{job="a"} from 2023-11-14T22:13:20Z to 2023-11-14T22:18:20Z, read above
          max_over_time(up[1d])                                                                          3            1.2s
            ← windows of 1h of up{job="a"} from 2023-11-14T22:13:20Z to 2023-11-14T22:18:20Z         24900   35.8M  61.5ms
        wait 0, parse 12.0µs, read 123.5ms
    "#]].assert_eq(&plan::render(&answer));
}

#[test]
fn a_range_has_about_as_many_steps_as_are_good_to_look_at() {
    let hour = Some(Moment::FromNow(-3_600_000));
    let Ok((Question::Range(request), Some(range))) = question(&args(hour, None, None), 10_000_000)
    else {
        panic!("not a range");
    };
    assert_eq!(
        (range.start, range.end, range.step),
        (6_400_000, 10_000_000, 30_000)
    );
    assert_eq!(request.step_millis, range.step);
    let Ok((Question::Range(request), _)) =
        question(&args(Some(Moment::FromNow(-5000)), None, None), 10_000_000)
    else {
        panic!("not a range");
    };
    assert_eq!(request.step_millis, 1000);
    assert!(question(&args(Some(Moment::FromNow(0)), hour, None), 10_000_000).is_err());
}

#[test]
fn without_a_time_the_question_is_about_now() {
    let Ok((Question::Instant(request), None)) = question(&args(None, None, None), 77) else {
        panic!("not an instant");
    };
    assert_eq!(request.time_millis, 77);
}
