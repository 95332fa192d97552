//! Other values for rules, to be tried.

use std::collections::BTreeMap;

use alert::rules::{Rule, RuleFile};
use tonic::Status;
use wire::proto;

/// Most choices of values that are tried at a time.
const RUNS_MAX: usize = 100;
/// Most rules that a word about several names.
const NAMED_MAX: usize = 5;

/// Values chosen, by what they are of.
pub(super) type Choice = BTreeMap<String, String>;

/// All choices of one value of each sweep.
pub(super) fn choices(sweeps: &[proto::BacktestSweep]) -> Result<Vec<Choice>, Status> {
    let mut choices = vec![Choice::new()];
    for (at, sweep) in sweeps.iter().enumerate() {
        if sweep.values.is_empty() {
            let problem = format!("there is no value of {:?} to try", sweep.what);
            return Err(Status::invalid_argument(problem));
        }
        if sweeps.iter().take(at).any(|it| it.what == sweep.what) {
            let problem = format!("{:?} is to be tried twice", sweep.what);
            return Err(Status::invalid_argument(problem));
        }
        let more = choices.iter().flat_map(|choice| {
            sweep.values.iter().map(|value| {
                let mut choice = choice.clone();
                choice.insert(sweep.what.clone(), value.clone());
                choice
            })
        });
        choices = more.take(RUNS_MAX + 1).collect();
    }
    if choices.len() > RUNS_MAX {
        let problem = format!("there are more than {RUNS_MAX} choices of values; try fewer");
        return Err(Status::invalid_argument(problem));
    }
    Ok(choices)
}

/// Puts the values of a choice into rules: `threshold` and `for`, or `RULE:threshold` and `RULE:for` for one.
pub(super) fn choose(files: &mut [RuleFile], choice: &Choice) -> Result<(), Status> {
    for (what, value) in choice {
        let (name, thing) = match what.rsplit_once(':') {
            Some((name, thing)) => (Some(name), thing),
            None => (None, what.as_str()),
        };
        let groups = files.iter_mut().flat_map(|file| &mut file.groups);
        let rules = groups.flat_map(|group| &mut group.rules);
        let rules = rules.filter(|rule| name.is_none_or(|name| rule.name == name));
        let set = match thing {
            "threshold" => set_threshold(rules.collect(), what, value),
            "for" => set_for(rules, value),
            _ => Err(format!("{what:?} cannot be tried: threshold and for can")),
        };
        let set = set.map_err(Status::invalid_argument)?;
        if set == 0 {
            let of = name.map_or_else(|| "no rule".to_owned(), |name| format!("no rule {name}"));
            let problem = format!("{of} has a {thing} to be {value}");
            return Err(Status::invalid_argument(problem));
        }
    }
    Ok(())
}

/// Sets the threshold of the one rule that has one: what is right for one is nonsense for another.
fn set_threshold(rules: Vec<&mut Rule>, what: &str, value: &str) -> Result<usize, String> {
    let number: f64 = value
        .parse()
        .map_err(|_error| format!("{what}: {value:?} is no number"))?;
    let mut with: Vec<&mut Rule> = rules.into_iter().filter(|it| it.has_threshold()).collect();
    if with.len() > 1 {
        let mut names: Vec<&str> = with.iter().map(|rule| rule.name.as_str()).collect();
        names.truncate(NAMED_MAX);
        return Err(format!(
            "{what}: {} rules have a threshold ({}, ...); say whose: RULE:threshold={value}, with rules of \
             names of their own",
            with.len(),
            names.join(", ")
        ));
    }
    for rule in &mut with {
        let set = rule.set_threshold(number);
        set.map_err(|why| format!("{what}={value}: {why}"))?;
    }
    Ok(with.len())
}

fn set_for<'r>(rules: impl Iterator<Item = &'r mut Rule>, value: &str) -> Result<usize, String> {
    let length = value.parse::<daemon::units::HumanDuration>();
    let length = length.map_err(|error| format!("for: {error}"))?;
    let millis = series::time::duration_millis(length.as_duration());
    Ok(rules
        .map(|rule| rule.set_for(millis))
        .filter(|set| *set)
        .count())
}

#[cfg(test)]
mod tests {
    use alert::rules::Kind;

    use super::*;

    fn sweep(what: &str, values: &[&str]) -> proto::BacktestSweep {
        proto::BacktestSweep {
            what: what.to_owned(),
            values: values.iter().map(|&value| value.to_owned()).collect(),
        }
    }

    #[test]
    fn each_value_is_tried_with_all_others_and_not_too_many() {
        assert_eq!(choices(&[]).unwrap(), [Choice::new()]);
        let two = [
            sweep("threshold", &["1", "2"]),
            sweep("for", &["1m", "5m", "9m"]),
        ];
        let all = choices(&two).unwrap();
        assert_eq!(all.len(), 6);
        let pair = |it: &Choice| format!("{} {}", it["threshold"], it["for"]);
        let pairs: Vec<String> = all.iter().map(pair).collect();
        assert_eq!(pairs[..4], ["1 1m", "1 5m", "1 9m", "2 1m"]);
        let many = ["1"; RUNS_MAX];
        assert_eq!(choices(&[sweep("for", &many)]).unwrap().len(), RUNS_MAX);
        for (sweeps, why) in [
            (vec![sweep("for", &["1"; RUNS_MAX + 1])], "more than 100"),
            (
                vec![sweep("a", &["1"; 50]), sweep("b", &["1"; 50])],
                "more than 100",
            ),
            (vec![sweep("for", &[])], "no value"),
            (vec![sweep("for", &["1"]), sweep("for", &["2"])], "twice"),
        ] {
            let error = choices(&sweeps).unwrap_err();
            assert!(error.message().contains(why), "{error}");
        }
    }

    const RULES: &str = "groups: [{name: g, rules: [\
        {alert: Hot, expr: 't > 90', clear_when: 't < 80', for: 1m},\
        {alert: Full, expr: 'used > 0.9'}, {alert: Gone, expr: 'absent(up)'},\
        {alert: Odd, expr: 'x > 1', clear_when: 'y'}]}]";

    /// Expressions, ends and times of rules after a choice, or why there are none.
    fn chosen(rules: &str, what: &str, value: &str) -> Result<String, String> {
        let mut files = [RuleFile::parse("f", rules).unwrap()];
        let choice = Choice::from([(what.to_owned(), value.to_owned())]);
        choose(&mut files, &choice).map_err(|status| status.message().to_owned())?;
        let rules = files[0].groups[0].rules.iter().map(|rule| {
            let Kind::Alerting(alerting) = &rule.kind else {
                panic!("an alert");
            };
            let clear = alerting.clear_when.as_deref().unwrap_or("-");
            format!("{} {} {}", rule.text, clear, alerting.timing.hold_millis)
        });
        Ok(rules.collect::<Vec<_>>().join("; "))
    }

    #[test]
    fn a_value_is_put_into_the_rule_that_is_named() {
        let hot = chosen(RULES, "Hot:threshold", "95").unwrap();
        assert!(
            hot.starts_with("(t) > 95 (t) < 85 60000; used > 0.9 -"),
            "{hot}"
        );
        let full = chosen(RULES, "Full:for", "5m").unwrap();
        assert!(
            full.contains("t < 80 60000; used > 0.9 - 300000;"),
            "{full}"
        );
        let all = chosen(RULES, "for", "2m").unwrap();
        assert_eq!(all.matches("120000").count(), 4);
        let one = "groups: [{name: g, rules: [{alert: Full, expr: 'used > 0.9'}]}]";
        assert_eq!(chosen(one, "threshold", "0.8").unwrap(), "(used) > 0.8 - 0");
    }

    #[test]
    fn a_value_that_fits_no_rule_or_several_is_refused() {
        for (what, value, why) in [
            ("threshold", "5", "3 rules have a threshold (Hot, Full, Odd"),
            ("Gone:threshold", "5", "no rule Gone has a threshold"),
            ("None:for", "5m", "no rule None has a for"),
            ("Hot:threshold", "high", "is no number"),
            ("Hot:for", "soon", "for: "),
            ("Hot:labels", "5", "cannot be tried"),
            ("Odd:threshold", "2", "clear_when of Odd"),
        ] {
            let error = chosen(RULES, what, value).unwrap_err();
            assert!(error.contains(why), "{what}: {error}");
        }
    }
}
