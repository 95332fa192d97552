use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::ast::{Kind, Type};
use super::{BYTES_MAX, DEPTH_MAX, Expr, parse};

/// The tree with all grouping shown.
fn shape(expr: &Expr) -> String {
    if let Some(number) = expr.literal() {
        return number.to_string();
    }
    match &expr.kind {
        Kind::Number(number) => number.to_string(),
        Kind::Text(text) => format!("{:?}", text.value),
        Kind::Selector(selector) => {
            format!("{{{}}}{}", matchers(selector), shift(&selector.shift))
        }
        Kind::Range { selector, range } => {
            let millis = range.millis(15_000, 60_000).unwrap();
            let shift = shift(&selector.shift);
            format!("{{{}}}[{millis}]{shift}", matchers(selector))
        }
        Kind::Subquery(subquery) => {
            let range = subquery.range.millis(15_000, 60_000).unwrap();
            let step = subquery
                .step
                .as_ref()
                .map(|step| step.millis(15_000, 60_000).unwrap());
            format!(
                "{}[{range}:{step:?}]{}",
                shape(&subquery.expr),
                shift(&subquery.shift)
            )
        }
        Kind::Call { function, args } => {
            let args: Vec<String> = args.iter().map(shape).collect();
            format!("{}({})", function.name, args.join(", "))
        }
        Kind::Aggregate(aggregate) => format!(
            "{:?} {} {:?} ({})",
            aggregate.op,
            if aggregate.without { "without" } else { "by" },
            aggregate.grouping,
            shape(&aggregate.expr)
        ),
        Kind::Binary(binary) => format!(
            "({} {} {})",
            shape(&binary.lhs),
            binary.op.as_str(),
            shape(&binary.rhs)
        ),
        Kind::Negate(inner) => format!("-({})", shape(inner)),
        Kind::Plus(inner) | Kind::Paren(inner) => shape(inner),
    }
}

/// In order of their text.
fn matchers(selector: &super::ast::Selector) -> String {
    let mut matchers: Vec<String> = selector.matchers.iter().map(ToString::to_string).collect();
    matchers.sort_unstable();
    matchers.join(",")
}

/// What is printed is read as the same tree, and printed the same again.
fn reads_back(expr: &Expr) {
    let line = expr.to_string();
    let pretty = expr.pretty();
    for text in [&line, &pretty] {
        let again = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(shape(&again), shape(expr), "{text}");
        assert_eq!(
            (again.to_string(), again.pretty()),
            (line.clone(), pretty.clone())
        );
    }
}

fn shift(shift: &super::ast::Shift) -> String {
    let offset = shift
        .offset
        .as_ref()
        .map(|offset| offset.millis(15_000, 60_000).unwrap());
    match (offset, shift.at) {
        (None, None) => String::new(),
        (offset, at) => format!(" <{offset:?} {at:?}>"),
    }
}

fn check(texts: &[&str], expected: &Expect) {
    let lines: Vec<String> = texts
        .iter()
        .map(|text| match parse(text) {
            Ok(expr) => shape(&expr),
            Err(error) => error.to_string(),
        })
        .collect();
    expected.assert_eq(&(lines.join("\n") + "\n"));
}

#[test]
fn operators_bind_as_documented() {
    check(
        &[
            "1 + 2 * 3 ^ 2 ^ 2",
            "-1 ^ 2",
            "-a * b",
            "2 ^ -1 ^ 2 * 3",
            "a or b and c unless d == e + f",
            "a - b - c",
            "- - a offset 5m",
            "1 == bool 2 > bool 3",
            "a ATAN2 b OR c",
        ],
        &expect![[r#"
            (1 + (2 * (3 ^ (2 ^ 2))))
            -((1 ^ 2))
            (-({__name__="a"}) * {__name__="b"})
            ((2 ^ -((1 ^ 2))) * 3)
            ({__name__="a"} or (({__name__="b"} and {__name__="c"}) unless ({__name__="d"} == ({__name__="e"} + {__name__="f"}))))
            (({__name__="a"} - {__name__="b"}) - {__name__="c"})
            -(-({__name__="a"} <Some(300000) None>))
            ((1 == 2) > 3)
            (({__name__="a"} atan2 {__name__="b"}) or {__name__="c"})
        "#]],
    );
}

#[test]
fn selectors_take_all_their_forms() {
    check(
        &[
            r#"{"a.b", 'c d'="e", f!~"g|h",}"#,
            "sum[5m]",
            "a:b{offset=\"1\"}[1h30m] @ end() offset -1m",
            "a[5m:1m] @ 1.5",
            "a[5m:]",
            "a[step() * 2 + 1ms] offset -(range() / 2)",
            "a offset 1m @ -3",
            "by{on=\"1\"} # a comment\n+ group_left_total",
            "sum by (job, on) (a) / count without (\"x\") (b)",
            "sum(a) by (job)",
        ],
        &expect![[r#"
            {__name__="a.b",c d="e",f!~"g|h"}
            {__name__="sum"}[300000]
            {__name__="a:b",offset="1"}[5400000] <Some(-60000) Some(End)>
            {__name__="a"}[300000:Some(60000)] <None Some(Millis(1500))>
            {__name__="a"}[300000:None]
            {__name__="a"}[30001] <Some(-30000) None>
            {__name__="a"} <Some(60000) Some(Millis(-3000))>
            ({__name__="by",on="1"} + {__name__="group_left_total"})
            (Sum by ["job", "on"] ({__name__="a"}) / Count without ["x"] ({__name__="b"}))
            Sum by ["job"] ({__name__="a"})
        "#]],
    );
}

#[test]
fn literals_are_those_of_go() {
    check(
        &[
            "0x1F",
            "0755",
            "1e3",
            ".5",
            "5.",
            "1_000",
            "Inf",
            "nAn",
            "1h30m",
            "1500ms",
            r#""a\tb\x41\u00e9\101\"""#,
            "`raw\\n`",
            r"'it\'s'",
        ],
        &expect![[r#"
            31
            493
            1000
            0.5
            5
            1000
            inf
            NaN
            5400
            1.5
            "a\tbAéA\""
            "raw\\n"
            "it's"
        "#]],
    );
}

#[test]
fn errors_say_where_and_what() {
    check(
        &[
            "",
            "a +",
            "a b",
            "sum(",
            "rate(a)",
            "rate(a[5m]",
            "nothing(a)",
            "clamp(a)",
            "round(a, 1, 2)",
            "label_join(a)",
            "{}",
            r#"{a=~".*"}"#,
            r#"a{b=~"("}"#,
            r#"a{__name__="b"}"#,
            "a{b=c}",
            "a{b}",
            "a[5]m",
            "a[0s]",
            "a[5m30h]",
            "a[99999999y]",
            "a[1e300]",
        ],
        &expect![[r#"
            1:1: parse error: no expression found in input
            1:4: parse error: unexpected end of input
            1:3: parse error: unexpected identifier "b"
            1:5: parse error: unexpected end of input
            1:6: parse error: expected type range vector in call to function "rate", got instant vector
            1:11: parse error: unexpected end of input in function call, expected "," or ")"
            1:1: parse error: unknown function with name "nothing"
            1:1: parse error: expected 3 argument(s) in call to "clamp", got 1
            1:1: parse error: expected at most 2 argument(s) in call to "round", got 3
            1:1: parse error: expected at least 3 argument(s) in call to "label_join", got 1
            1:1: parse error: vector selector must contain at least one non-empty matcher
            1:1: parse error: vector selector must contain at least one non-empty matcher
            1:3: parse error: regular expression "(" cannot be used: error: unclosed group
            1:3: parse error: metric name must not be set twice: "a" or "b"
            1:5: parse error: unexpected identifier "c" in label matching, expected string
            1:4: parse error: unexpected "}" in label matching, expected label matching operator
            1:5: parse error: unexpected identifier "m"
            1:3: parse error: duration must be greater than 0
            1:3: parse error: bad number or duration syntax: "5m30h"
            1:3: parse error: duration out of range
            1:3: parse error: duration out of range
        "#]],
    );
}

#[test]
fn modifiers_and_types_are_checked() {
    check(
        &[
            "(a + b)[5m]",
            "a offset 1m offset 1m",
            "sum(a) offset 1m",
            "a @ NaN",
            "1 > 2",
            "a + bool b",
            "a and 1",
            "a + on (x) 1",
            "a and on (x) group_left b",
            "a * on (x) group_left (x) b",
            "-\"text\"",
            "a[5m] + 1",
            "topk(a, b)",
            "sum(a, b)",
            "1[5m:]",
            "\"open",
            "\"\\q\"",
            "a ! b",
            "a\n  + }",
            "x\u{e9}",
        ],
        &expect![[r#"
            1:8: parse error: ranges only allowed for vector selectors
            1:13: parse error: offset may not be set multiple times
            1:8: parse error: offset modifier must be preceded by an instant vector selector or range vector selector or a subquery
            1:5: parse error: timestamp out of bounds for @ modifier: NaN
            1:1: parse error: comparisons between scalars must use BOOL modifier
            1:5: parse error: bool modifier can only be used on comparison operators
            1:1: parse error: set operator "and" not allowed in binary scalar expression
            1:1: parse error: vector matching only allowed between instant vectors
            1:1: parse error: no grouping allowed for "and" operation
            1:1: parse error: label "x" must not occur in ON and GROUP clause at once
            1:1: parse error: unary expression only allowed on expressions of type scalar or instant vector, got "string"
            1:1: parse error: binary expression must contain only scalar and instant vector types
            1:6: parse error: expected type scalar in aggregation parameter, got instant vector
            1:1: parse error: wrong number of arguments for aggregate expression provided, expected 1, got 2
            1:1: parse error: subquery is only allowed on instant vector, got scalar instead
            1:1: parse error: unterminated quoted string
            1:1: parse error: unknown escape sequence
            1:3: parse error: unexpected character: '!'
            2:5: parse error: unexpected "}"
            1:2: parse error: unexpected character: 'é'
        "#]],
    );
}

#[test]
fn types_are_known() {
    for (text, wanted) in [
        ("1 + 1", Type::Scalar),
        ("1 + a", Type::Vector),
        ("scalar(a)", Type::Scalar),
        ("(a[5m])", Type::Matrix),
        ("-(1)", Type::Scalar),
        ("(\"a\")", Type::String),
    ] {
        assert_eq!(parse(text).unwrap().value_type(), wanted, "{text}");
    }
}

#[test]
fn the_bounds_are_where_they_are_said_to_be() {
    let padded = |length: usize| format!("1{}", " ".repeat(length - 1));
    assert!(parse(&padded(BYTES_MAX)).is_ok());
    assert!(parse(&padded(BYTES_MAX + 1)).is_err());
    let nested = |depth: usize| format!("{}1{}", "(".repeat(depth - 1), ")".repeat(depth - 1));
    assert!(parse(&nested(DEPTH_MAX)).is_ok());
    assert!(parse(&nested(DEPTH_MAX + 1)).is_err());
    let chain = |terms: usize| vec!["1"; terms].join("+");
    assert!(parse(&chain(DEPTH_MAX)).is_ok());
    assert!(parse(&chain(DEPTH_MAX + 1)).is_err());
}

/// Pieces of expressions, so that random texts get past the first token.
const PIECES: [&str; 48] = [
    "a",
    "b:c",
    "sum",
    "rate",
    "abs",
    "topk",
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "bool",
    "offset",
    "start",
    "end",
    "step",
    "min_of",
    "fill",
    "or",
    "and",
    "unless",
    "atan2",
    "(",
    ")",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "@",
    "+",
    "-",
    "*",
    "^",
    "==",
    "=~",
    "!~",
    "=",
    "<=",
    "1",
    "5m",
    "0x",
    "1e",
    "\"x\"",
    "'",
    "\\",
    "\u{e9}#",
];

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(
        pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..40),
        spaced in any::<bool>(),
        garbage in ".{0,40}",
    ) {
        let text = pieces.join(if spaced { " " } else { "" });
        for text in [&text, &garbage, &format!("{garbage}{text}"), &format!("{text}{garbage}")] {
            match parse(text) {
                Ok(expr) => reads_back(&expr),
                Err(error) => prop_assert!(error.position.line >= 1 && error.position.column >= 1),
            }
        }
    }
}

#[test]
fn what_is_printed_is_read_as_the_same() {
    for text in [
        r#"{__name__="inf", a="b"}"#,
        r#"{"not a name", "not a label"!~"x|\n\u00e9"} offset -5m"#,
        "sum(up) by (b, a, b)",
        "+up - -up",
        "-1 ^ 2",
        "(-1) ^ 2",
        "up[1h30m10ms] @ 1.5 offset 1w",
        "max_over_time(rate(up[5m] offset 1y)[30m:1m] @ end())",
        "a[(1m + step()) * 2] offset (1m - range())",
        "a[min_of(1m, 2m ^ 2) - -5s]",
        "a + on () b",
        "a * ignoring (x) group_left (y, z) b",
        "a > bool on (x) fill_left (0) b",
        "count_values without (a) (\"v\", up)",
        "quantile by () (0.5, up) or vector(1e300) or vector(-Inf) + NaN",
    ] {
        reads_back(&parse(text).unwrap());
    }
}

#[test]
fn long_expressions_are_broken_where_they_can_be() {
    let text = "sum by (instance, model_name) (rate(vllm:generation_tokens_total{job=\"vllm\"}[5m])) \
                / -on (instance) group_left () topk(3, max_over_time(sum by (instance) \
                (vllm:num_requests_running{job=~\"vllm.*\"} offset 1d)[1h:]))";
    let text = text.replace("-on", "on");
    expect![[r#"
          sum by (instance, model_name) (rate(vllm:generation_tokens_total{job="vllm"}[5m]))
        / on (instance) group_left ()
          topk(3, max_over_time(sum by (instance) (vllm:num_requests_running{job=~"vllm.*"} offset 1d)[1h:]))
    "#]]
    .assert_eq(&(parse(&text).unwrap().pretty() + "\n"));
}
