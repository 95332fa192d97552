use super::*;

#[test]
fn stock_rules_can_be_left_out() {
    let mut config = Config::default();
    let rules = |config: &Config| {
        let book = Book::read(config, &[]).unwrap();
        let groups = book.files.iter().flat_map(|file| &file.groups);
        groups.map(|group| group.rules.len()).sum::<usize>()
    };
    assert!(rules(&config) > 20);
    config.alerting.stock_rules = false;
    assert_eq!(rules(&config), 0);
}

#[test]
fn rules_of_documents_do_without_stock_rules_that_would_explain_them() {
    let mut config = Config::default();
    config.alerting.stock_rules = false;
    let document = Document {
        name: "health".to_owned(),
        text:
            "system_monitoring: {infrastructure_metrics: {cpu_usage: {threshold: 80, alert: true}}}"
                .to_owned(),
    };
    let book = Book::read(&config, &[document]).unwrap();
    assert_eq!(book.routes.inhibitions, []);
    assert!(
        book.plan
            .rules
            .iter()
            .any(|rule| rule.name == "CpuUsageHigh")
    );
}

#[test]
fn rules_that_are_tried_explain_each_other_and_not_what_is_nowhere() {
    let config = Config::default();
    let only = |depends_on: &str| {
        let text = format!(
            "groups: [{{name: g, rules: [{{alert: Parent, expr: x > 1}}, \
             {{alert: Child, expr: y > 1, depends_on: [{depends_on}]}}]}}]"
        );
        let mut book = Book::read(&config, &[]).unwrap();
        let absent = book.only(RuleFile::parse("backtest", &text).unwrap(), &config)?;
        assert_eq!(book.files.len(), 1);
        Ok::<_, BookError>((book.routes.inhibitions, absent))
    };
    let (inhibitions, absent) = only("Parent, AgentSilent").unwrap();
    let dependency = |parent| Inhibition::dependency(parent, "Child");
    assert_eq!(inhibitions, ["AgentSilent", "Parent"].map(dependency));
    let pair = ("Child".to_owned(), "AgentSilent".to_owned());
    assert_eq!(absent, BTreeSet::from([pair]));
    let refused = only("Nowhere").unwrap_err().to_string();
    assert!(refused.contains("no alert of these files"), "{refused}");
    assert!(
        only("Child")
            .unwrap_err()
            .to_string()
            .contains("leads back")
    );
}

#[test]
fn the_interval_at_which_a_word_is_repeated_is_the_configurations() {
    let mut config = Config::default();
    config.alerting.repeat_interval = daemon::units::HumanDuration::from_secs(7200);
    let book = Book::read(&config, &[]).unwrap();
    assert!(book.plan.fatigue.is_some());
    assert_eq!(book.routes.timing.repeat, 7_200_000);
}

#[test]
fn runbooks_are_links_where_there_is_an_address() {
    let runbook = |change: fn(&mut Config)| {
        let mut config = Config::default();
        change(&mut config);
        let book = Book::read(&config, &[]).unwrap();
        let groups = book.files.iter().flat_map(|file| &file.groups);
        let mut rules = groups.flat_map(|group| &group.rules);
        let rule = rules.find(|rule| rule.name == "GpuLost").unwrap();
        let Kind::Alerting(alerting) = &rule.kind else {
            return None;
        };
        let mut annotations = alerting.annotations.iter();
        let (_, link) = annotations.find(|(name, _)| name == "runbook_url")?;
        Some(link.text().to_owned())
    };
    let is = |change, expected: &str| assert_eq!(runbook(change).unwrap(), expected);
    is(|_| (), "docs/runbooks/GpuLost.md");
    let own = |config: &mut Config| config.alerting.external_url = "https://v.example/".into();
    is(own, "https://v.example/runbooks/GpuLost.md");
    let given = |config: &mut Config| {
        config.alerting.external_url = "https://v.example".into();
        config.alerting.runbook_url = "https://wiki.example/r".into();
    };
    is(given, "https://wiki.example/r/GpuLost.md");
}

/// What the configuration lacks for a document, with one rule of the user's own.
fn missing(document: &str, rule: &str, change: fn(&mut Config)) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("own.yml");
    let text = format!("groups: [{{name: g, rules: [{{alert: Own, expr: x > 1{rule}}}]}}]");
    std::fs::write(&path, text).unwrap();
    let mut config = Config::default();
    config.alerting.rules = vec![folder.path().to_owned()];
    change(&mut config);
    let document = Document {
        name: "d.yaml".to_owned(),
        text: document.to_owned(),
    };
    Book::read(&config, &[document]).unwrap().missing
}

#[test]
fn maintain_runbooks_refuses_rules_without_a_page() {
    let document = "documentation: {document_metrics: true, explain_thresholds: true, \
                    maintain_runbooks: true, update_regularly: true}\n\
                    metric_selection: {golden_signals: [latency]}\n";
    let found = missing(document, "", |_| ());
    assert!(
        found
            .iter()
            .any(|it| it.contains("the rule Own has no runbook")),
        "{found:?}"
    );
    let found = missing(document, ", runbook: 'https://wiki/own'", |_| ());
    assert!(found.iter().all(|it| !it.contains("runbook")), "{found:?}");
}

#[test]
fn retention_of_a_document_is_held_against_the_configuration() {
    let document = "monitoring_config: {model_name: m, metrics: [latency]}\n\
                    data_collection: {data_collection: {sampling_rate: 1.0, \
                    storage: time_series_db, retention: 90d}}\n";
    let found = missing(document, "", |_| ());
    assert!(
        found.iter().all(|it| !it.contains("retention")),
        "{found:?}"
    );
    let found = missing(document, "", |config| {
        config.store.retention = daemon::units::HumanDuration::from_secs(30 * 86_400);
    });
    assert!(found.iter().any(|it| it.contains("retention")), "{found:?}");
}
