use expect_test::expect;

use super::*;

#[test]
fn findings_say_what_and_how_to_mend_it() {
    let findings = [
        Finding::ok("coordinator", "serves at http://127.0.0.1:7700"),
        Finding::warn(
            "nodes",
            "not connected: b",
            "look whether the agent runs there",
        ),
        Finding::fail(
            "state directory",
            "/x is not a directory",
            "name a directory",
        ),
    ];
    expect![[r#"
        ok    coordinator      serves at http://127.0.0.1:7700
        warn  nodes            not connected: b
                               → look whether the agent runs there
        fail  state directory  /x is not a directory
                               → name a directory
        1 ok, 1 to look at, 1 broken
    "#]]
    .assert_eq(&text(&findings));
    expect![[r#"{"check":"state directory","level":"fail","mend":"name a directory","what":"/x is not a directory"}"#]].assert_eq(&finding_json(&findings[2]).to_string());
}

#[test]
fn broken_is_worse_than_worth_a_look() {
    assert!(Level::Fail > Level::Warn && Level::Warn > Level::Ok);
}
