use expect_test::expect;

use super::*;

fn words(kind: alert::Kind) -> Words {
    example_words(kind)
}

fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(next) = source {
        text.push_str(": ");
        text.push_str(&next.to_string());
        source = next.source();
    }
    text
}

fn refused(text: &str) -> String {
    chain(&Templates::new([("alert_slack_template", text)]).unwrap_err())
}

#[test]
fn a_wrong_template_is_found_when_it_is_loaded() {
    expect![[r#"
        the section text of the template alert_slack_template cannot be read: syntax error: unexpected end of input, expected end of block (in own:slack/alert_slack_template/text:1)
        the section text of the template alert_slack_template names tilte, which no message has; see notify::Words for what there is
        the section text of the template alert_slack_template fails on an example: unknown filter: filter loud is unknown (in own:slack/alert_slack_template/text:1)
        the template alert_slack_template: there is no section "subject"; sections are header, text, alert, context
        the template alert_slack_template: it is empty
    "#]]
    .assert_eq(
        &[
            "{% if title",
            "{{ tilte }}",
            "{{ title|loud }}",
            "=== subject\nx",
            " \n",
        ]
        .map(refused)
        .map(|text| text + "\n")
        .concat(),
    );
}

#[test]
fn what_fails_at_run_is_said_by_the_built_in_one() {
    // Fine with the examples, which have three alerts, and endless with more.
    let text = "{% if alerts_total > 3 %}{% for a in range(1000) %}{% for b in range(1000) %}x{% endfor %}{% endfor %}{% endif %}mine";
    let templates = Templates::new([("alert_sms_template", text)]).unwrap();
    let few = words(alert::Kind::Trigger);
    let mut rendering = templates.say(Channel::Sms, None, &few);
    assert_eq!(rendering.section("text"), "mine");
    assert_eq!(rendering.fallback, None);

    let mut many = few;
    many.alerts_total = 4;
    let mut rendering = templates.say(Channel::Sms, None, &many);
    assert!(
        rendering
            .section("text")
            .starts_with("[CRITICAL] vllm is down")
    );
    let fallback = rendering.fallback.unwrap();
    assert!(
        fallback.contains("sms/alert_sms_template/text failed"),
        "{fallback}"
    );
}

#[test]
fn a_template_of_another_name_is_found_and_a_missing_one_is_told() {
    let templates = Templates::new([("short", "=== text\n{{ title }} & {{ level }}")]).unwrap();
    let words = words(alert::Kind::Trigger);
    let mut slack = templates.say(Channel::Slack, Some("short"), &words);
    assert_eq!(slack.section("text"), "vllm is down on 3 nodes & critical");
    // A section that it does not have is the built-in one.
    assert_eq!(slack.section("header"), words.headline);
    assert_eq!(slack.fallback, None);
    assert!(templates.find(Channel::Pagerduty, "short").is_err());
    let mut missing = templates.say(Channel::Sms, Some("shrt"), &words);
    assert!(missing.section("text").starts_with("[CRITICAL]"));
    assert_eq!(
        missing.fallback.as_deref(),
        Some("there is no template shrt; add it to [notify.templates] or use one that is built in")
    );
}

#[test]
fn values_are_escaped_where_the_channel_needs_it() {
    let templates = Templates::new([]).unwrap();
    let mut words = words(alert::Kind::Trigger);
    words.title = "<!channel> & <b>".to_owned();
    words.headline = words.title.clone();
    words.lead = words.title.clone();
    let mut mail = templates.say(Channel::Email, None, &words);
    assert!(
        mail.section("html")
            .contains("&lt;!channel&gt; &amp; &lt;b&gt;")
    );
    assert!(mail.section("text").contains("<!channel> & <b>"));
    let mut slack = templates.say(Channel::Slack, None, &words);
    assert!(
        slack
            .section("text")
            .starts_with("*&lt;!channel&gt; &amp; &lt;b&gt;*")
    );
}
