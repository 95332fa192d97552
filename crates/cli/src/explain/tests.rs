use std::collections::BTreeSet;

use expect_test::{Expect, expect};

use super::*;

mod rules;

fn texts(bodies: &[&str]) -> Vec<(String, String)> {
    let name = |at: usize| format!("{at}.yaml");
    let text = |(at, body): (usize, &&str)| (name(at + 1), (*body).to_owned());
    bodies.iter().enumerate().map(text).collect()
}

fn check(bodies: &[&str], expected: &Expect) {
    let page = page::page(&load(&texts(bodies)).unwrap());
    assert!(
        page.lines().all(|line| line.chars().count() <= 100),
        "{page}"
    );
    expected.assert_eq(&page);
}

const ALL_METRICS: &str = "
monitoring_config:
  model_name: a
  metrics: [accuracy, precision, recall, f1_score, latency, response_time, time_to_first_token,
    throughput, error_rate, queue_length, kv_cache_usage, cpu_usage, memory_usage, gpu_usage,
    gpu_memory_usage, gpu_temperature, disk_usage, network_io, user_satisfaction, conversion_rate,
    user_engagement, revenue, revenue_impact]
alerting_config:
  alerting: {threshold_alerts: true, trend_alerts: true, anomaly_alerts: true}
";

#[test]
fn a_page_says_of_each_setting_what_it_does_and_reads() {
    check(
        &["
monitoring_config:
  model_name: classifier
  thresholds: {error_rate: 0.01}
data_collection:
  real_time_processing: true
alerting_config:
  alerting: {threshold_alerts: true}
"],
        &expect![[r#"
            model_performance_monitoring (1.yaml): 4 settings
              monitoring_config.model_name = classifier  (line 3)
                  all of this document is about the series of model classifier
              monitoring_config.thresholds.error_rate = 0.01  (line 4)
                  ErrorRateHigh alerts when error rate of classifier is above 0.01 for 5m
                  it is over when it is < 0.009 (base unit)
                  error_rate: in ratio, a threshold is a ceiling; agents collect it
                  query:
                    (sum(rate(vllm:request_success_total{finished_reason="error",model_name="classifier"}[5m]))
                    or 0 * sum(rate(vllm:request_success_total{model_name="classifier"}[5m]))) /
                    sum(rate(vllm:request_success_total{model_name="classifier"}[5m])) or
                    sum(rate(nv_inference_request_failure{model="classifier"}[5m])) /
                    (sum(rate(nv_inference_request_failure{model="classifier"}[5m])) +
                    sum(rate(nv_inference_request_success{model="classifier"}[5m]))) or 1 -
                    sum(rate(tgi_request_success{model_name="classifier"}[5m])) /
                    sum(rate(tgi_request_count{model_name="classifier"}[5m]))
              data_collection.real_time_processing = true  (line 6)
                  NOT BUILT: rules look at what is stored, once an interval; samples are not looked at as they
                    arrive
              alerting_config.alerting.threshold_alerts = true  (line 8)
                  each threshold of this document alerts

            1 setting is refused as not built:
              data_collection.real_time_processing: rules look at what is stored, once an interval; samples are
                  not looked at as they arrive

            4 settings, 3 in force; 49 rules that alert (48 of them on without being asked for), 0 that record
        "#]],
    );
}

#[test]
fn every_query_of_every_metric_and_every_stock_rule_is_promql() {
    let plan = load(&texts(&[ALL_METRICS])).unwrap();
    let read: BTreeSet<&String> = plan.bindings.keys().collect();
    assert_eq!(
        read.len(),
        spec::metrics().count(),
        "a metric is not in this test"
    );
    for binding in spec::metrics() {
        for model in [None, Some("a")] {
            let text = binding.query(model);
            assert!(!text.contains('$'), "{text}");
            if let Err(error) = query::parse(&text) {
                panic!("{}: {error}: {text}", binding.name);
            }
        }
    }
}

#[test]
fn a_query_that_is_no_promql_is_wrong() {
    let bindings = "bindings: {tea: {query: 'sum(('}}";
    let model = "monitoring_config: {metrics: [tea]}";
    let problems = load(&texts(&[model, bindings])).unwrap_err();
    assert!(problems[0].contains("is no PromQL"), "{problems:?}");
}

#[test]
fn problems_are_a_line_each() {
    let problems = load(&texts(&["a: 1\nb: 2\n"])).unwrap_err();
    assert_eq!(problems.len(), 2);
    assert!(problems[1].starts_with("1.yaml:2:1: b: "), "{problems:?}");
}
