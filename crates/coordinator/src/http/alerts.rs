//! `rules` and `alerts`: what Prometheus' pages of these names tell.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Response;
use series::Matcher;
use wire::proto;

use super::Http;
use super::failed::{Failed, Kind};
use super::json::Json;
use super::params::Params;
use super::reply::{Notes, reply};
use crate::alerting::{ActiveAlert, RuleGroupView};

async fn groups(http: &Http) -> Result<Vec<RuleGroupView>, Failed> {
    let listed = http.office.rules.view().await;
    listed.ok_or_else(|| Failed::new(Kind::Internal, "the listing panicked"))
}

/// The rules in force, in their groups, with the alerts of each.
pub(super) async fn rules(State(http): State<Http>, params: Params) -> Result<Response, Failed> {
    let kind = params.get("type").to_owned();
    if !matches!(kind.as_str(), "" | "alert" | "record") {
        return Err(Failed::parameter(
            "type",
            format!("not supported value {kind:?}"),
        ));
    }
    let wanted = |name: &str| -> Vec<String> { params.all(name).map(str::to_owned).collect() };
    let (names, groups_wanted) = (wanted("rule_name[]"), wanted("rule_group[]"));
    let files = wanted("file[]");
    let selectors = params.selectors()?;
    let without_alerts = params.truth("exclude_alerts")?;
    let groups = groups(&http).await?;
    let is_any = |of: &[String], name: &String| of.is_empty() || of.contains(name);
    reply(Notes::default(), move |json| {
        json.object(|json| {
            json.key("groups").array(|json| {
                for view in &groups {
                    let group = &view.group;
                    if !is_any(&groups_wanted, &group.name) || !is_any(&files, &group.source) {
                        continue;
                    }
                    let shown = |rule: &proto::Rule| {
                        let of_kind = match kind.as_str() {
                            "alert" => rule.kind == "alerting",
                            "record" => rule.kind == "recording",
                            _ => true,
                        };
                        of_kind && is_any(&names, &rule.name) && passes(&selectors, &rule.labels)
                    };
                    // As in Prometheus, a group of which nothing is left is not shown.
                    if !group.rules.iter().any(&shown) {
                        continue;
                    }
                    write_group(json, view, &shown, without_alerts);
                }
            });
        });
    })
    .await
}

/// Whether the labels that a rule gives, as its file says them, pass one of the selectors, if there are any.
fn passes(selectors: &[Vec<Matcher>], labels: &BTreeMap<String, String>) -> bool {
    let value = |name: &str| labels.get(name).map_or("", String::as_str);
    let passes = |matchers: &Vec<Matcher>| matchers.iter().all(|it| it.matches(value(it.name())));
    selectors.is_empty() || selectors.iter().any(passes)
}

fn write_group(
    json: &mut Json,
    view: &RuleGroupView,
    shown: &dyn Fn(&proto::Rule) -> bool,
    without_alerts: bool,
) {
    let group = &view.group;
    json.object(|json| {
        json.key("name").string(&group.name);
        json.key("file").string(&group.source);
        json.key("rules").array(|json| {
            let rules = group.rules.iter().enumerate();
            for (index, rule) in rules.filter(|(_, rule)| shown(rule)) {
                let alerts = view.alerts.iter().filter(|alert| alert.rule == index);
                write_rule(json, group, rule, (!without_alerts).then_some(alerts));
            }
        });
        json.key("interval")
            .seconds(std::time::Duration::from_millis(group.interval_millis));
        json.key("limit").count(0);
        json.key("evaluationTime").number(group.evaluation_seconds);
        json.key("lastEvaluation").time(group.evaluated_millis);
    });
}

fn write_rule<'a>(
    json: &mut Json,
    group: &proto::RuleGroup,
    rule: &proto::Rule,
    alerts: Option<impl Iterator<Item = &'a ActiveAlert>>,
) {
    let seconds = |millis: u64| std::time::Duration::from_millis(millis);
    json.object(|json| {
        let alerting = rule.kind == "alerting";
        if alerting {
            let state = match (rule.firing, rule.pending) {
                (1.., _) => "firing",
                (0, 1..) => "pending",
                (0, 0) => "inactive",
            };
            json.key("state").string(state);
        }
        json.key("name").string(&rule.name);
        json.key("query").string(&rule.expression);
        if alerting {
            json.key("duration").seconds(seconds(rule.for_millis));
            json.key("keepFiringFor")
                .seconds(seconds(rule.keep_firing_millis));
        }
        json.key("labels").pairs(&rule.labels);
        if alerting {
            json.key("annotations").pairs(&rule.annotations);
            json.key("alerts").array(|json| {
                for alert in alerts.into_iter().flatten() {
                    write_alert(json, alert);
                }
            });
        }
        json.key("health").string(&rule.health);
        if !rule.error.is_empty() {
            json.key("lastError").string(&rule.error);
        }
        json.key("lastEvaluation").time(group.evaluated_millis);
        json.key("type").string(&rule.kind);
    });
}

fn write_alert(json: &mut Json, alert: &ActiveAlert) {
    json.object(|json| {
        json.key("labels").pairs(&alert.labels);
        json.key("annotations").pairs(&alert.annotations);
        json.key("state").string(alert.state);
        json.key("activeAt").time(alert.active_millis);
        json.key("value").string(&exponent(alert.value));
    });
}

/// The alerts that are pending or fire, and those that fire by the word of an agent or of another program.
pub(super) async fn alerts(State(http): State<Http>) -> Result<Response, Failed> {
    let groups = groups(&http).await?;
    let others = http.office.other_alerts(&groups).await;
    let others = others.ok_or_else(|| Failed::new(Kind::Internal, "alerting has ended"))?;
    reply(Notes::default(), move |json| {
        json.object(|json| {
            json.key("alerts").array(|json| {
                let seen = groups.iter().flat_map(|view| &view.alerts);
                for alert in seen.chain(&others) {
                    if json.is_full() {
                        return;
                    }
                    write_alert(json, alert);
                }
            });
        });
    })
    .await
}

/// A number as Prometheus writes the values of alerts: shortest, with an exponent of two digits at least.
fn exponent(value: f64) -> String {
    if !value.is_finite() {
        return match value {
            f64::INFINITY => "+Inf".to_owned(),
            f64::NEG_INFINITY => "-Inf".to_owned(),
            _ => "NaN".to_owned(),
        };
    }
    let text = format!("{value:e}");
    let Some((digits, exponent)) = text.split_once('e') else {
        return text;
    };
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(exponent) => ('-', exponent),
        None => ('+', exponent),
    };
    format!("{digits}e{sign}{exponent:0>2}")
}

#[cfg(test)]
mod tests {
    use super::exponent;

    #[test]
    fn values_are_written_as_go_writes_them() {
        for (value, text) in [
            (1.0, "1e+00"),
            (0.05, "5e-02"),
            (-12345.0, "-1.2345e+04"),
            (1e300, "1e+300"),
            (0.0, "0e+00"),
            (f64::INFINITY, "+Inf"),
        ] {
            assert_eq!(exponent(value), text);
        }
    }
}
