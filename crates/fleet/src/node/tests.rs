use std::collections::BTreeMap;

use super::*;

const SETTINGS: Settings = Settings {
    seed: 42,
    load: 1.0,
    gpus: 4,
    unix_seconds: 1_790_000_000.0,
};

/// A strict reader of the text format: enough of it for what we write ourselves.
#[derive(Default)]
struct Parsed {
    /// Family to type.
    types: BTreeMap<String, String>,
    /// Name and labels to value.
    samples: BTreeMap<String, f64>,
}

fn parse(page: &str) -> Parsed {
    let mut parsed = Parsed::default();
    let mut family = String::new();
    assert!(page.ends_with('\n'));
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            let twice = parsed.types.insert(name.to_owned(), kind.to_owned());
            assert!(twice.is_none(), "{name} is declared twice");
            family = name.to_owned();
        } else if !line.starts_with("# HELP ") {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let name = series.split('{').next().unwrap();
            let base = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|suffix| name.strip_suffix(suffix))
                .filter(|base| *base == family);
            assert_eq!(base.unwrap_or(name), family, "{line}");
            let value = value.parse::<f64>().unwrap();
            let twice = parsed.samples.insert(series.to_owned(), value);
            assert!(twice.is_none(), "{series} comes twice");
        }
    }
    parsed
}

impl Parsed {
    fn is_cumulative(&self, series: &str) -> bool {
        let name = series.split('{').next().unwrap();
        self.types.get(name).is_some_and(|kind| kind == "counter")
            || ["_bucket", "_sum", "_count"].iter().any(|suffix| {
                name.strip_suffix(suffix)
                    .is_some_and(|base| self.types.get(base).is_some_and(|k| k == "histogram"))
            })
    }

    fn check_histograms(&self) {
        let mut last: Option<(String, f64)> = None;
        let mut seen = 0;
        for (name, _) in self.types.iter().filter(|(_, kind)| *kind == "histogram") {
            let mut buckets: Vec<(f64, f64)> = self
                .samples
                .iter()
                .filter(|(series, _)| series.starts_with(&format!("{name}_bucket{{")))
                .map(|(series, value)| {
                    let bound = series.split("le=\"").nth(1).unwrap();
                    (bound.split('"').next().unwrap().parse().unwrap(), *value)
                })
                .collect();
            buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
            assert!(
                buckets.windows(2).all(|pair| pair[0].1 <= pair[1].1),
                "{name}"
            );
            let count = self
                .samples
                .iter()
                .find(|(series, _)| series.starts_with(&format!("{name}_count{{")))
                .unwrap();
            assert!(buckets.last().unwrap().0.is_infinite());
            assert!((buckets.last().unwrap().1 - count.1).abs() < 0.5, "{name}");
            last = Some((name.clone(), *count.1));
            seen += 1;
        }
        assert_eq!(seen, 15, "{last:?}");
    }
}

#[test]
fn pages_parse_and_nothing_cumulative_goes_back() {
    for index in 0..3 {
        let mut node = Node::new(index, &SETTINGS);
        let mut before = Parsed::default();
        for minute in 0..20 {
            node.advance(f64::from(minute) * 15.0);
            let mut now = parse(&node.vllm_page());
            now.check_histograms();
            let gpus = parse(&node.dcgm_page());
            now.types.extend(gpus.types);
            now.samples.extend(gpus.samples);
            for (series, value) in &before.samples {
                let later = now.samples.get(series).expect("series stay");
                if now.is_cumulative(series) {
                    assert!(later >= value, "{series}: {value} {later}");
                }
            }
            before = now;
        }
        let tokens = before
            .samples
            .iter()
            .find(|(series, _)| series.starts_with("vllm:generation_tokens_total"))
            .unwrap();
        assert!(*tokens.1 > 10_000.0, "{tokens:?}");
    }
}

#[test]
fn the_same_seed_gives_the_same_page_and_another_does_not() {
    let page = |seed, index| {
        let mut node = Node::new(index, &Settings { seed, ..SETTINGS });
        node.advance(100.0);
        node.vllm_page()
    };
    assert_eq!(page(1, 0), page(1, 0));
    assert_ne!(page(1, 0), page(2, 0));
    assert_ne!(page(1, 0), page(1, 3));
}

#[test]
fn names_types_and_labels_are_those_of_a_captured_page() {
    let folder = std::env::var("VEDETTE_SHARED").unwrap_or_else(|_unset| {
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared").to_owned()
    });
    let path = format!("{folder}/data/prom_captures/vllm/vllm_metrics.txt");
    let Ok(captured) = std::fs::read_to_string(&path) else {
        println!("skipped: there is no {path}");
        return;
    };
    let ours = parse(&Node::new(0, &SETTINGS).vllm_page());
    let mut known = 0;
    for line in captured
        .lines()
        .filter_map(|l| l.strip_prefix("# TYPE vllm:"))
    {
        let (name, kind) = line.split_once(' ').unwrap();
        if let Some(ours) = ours.types.get(&format!("vllm:{name}")) {
            assert_eq!(ours, kind, "{name}");
            known += 1;
        }
    }
    // The captured page is a mix of versions; what is not here was dropped since.
    assert_eq!(known, 33);
    let bounds = |page: &str, name: &str| -> Vec<String> {
        page.lines()
            .filter(|line| line.starts_with(&format!("{name}_bucket{{")))
            .map(|line| {
                line.split("le=\"")
                    .nth(1)
                    .unwrap()
                    .split('"')
                    .next()
                    .unwrap()
                    .to_owned()
            })
            .collect()
    };
    let page = Node::new(0, &SETTINGS).vllm_page();
    for (name, same) in [
        ("vllm:time_to_first_token_seconds", 16),
        ("vllm:request_params_n", 5),
    ] {
        let (ours, theirs) = (bounds(&page, name), bounds(&captured, name));
        assert_eq!(ours[..same], theirs[..same], "{name}");
    }
}

#[test]
fn the_first_lines_look_as_they_should() {
    let page = Node::new(0, &SETTINGS).vllm_page();
    let scheduler: Vec<&str> = page
        .lines()
        .filter(|line| line.contains("num_requests_") || line.contains("cache_config_info"))
        .collect();
    expect_test::expect![[r##"
        # HELP vllm:num_requests_running Number of requests in model execution batches.
        # TYPE vllm:num_requests_running gauge
        vllm:num_requests_running{engine="0",model_name="meta-llama/Llama-3.3-70B-Instruct"} 0.0
        # HELP vllm:num_requests_waiting Number of requests waiting to be processed.
        # TYPE vllm:num_requests_waiting gauge
        vllm:num_requests_waiting{engine="0",model_name="meta-llama/Llama-3.3-70B-Instruct"} 0.0
        # HELP vllm:num_requests_waiting_by_reason Number of waiting requests by reason.
        # TYPE vllm:num_requests_waiting_by_reason gauge
        vllm:num_requests_waiting_by_reason{engine="0",model_name="meta-llama/Llama-3.3-70B-Instruct",reason="capacity"} 0.0
        vllm:num_requests_waiting_by_reason{engine="0",model_name="meta-llama/Llama-3.3-70B-Instruct",reason="deferred"} 0.0
        # HELP vllm:cache_config_info Information of the LLMEngine CacheConfig
        # TYPE vllm:cache_config_info gauge
        vllm:cache_config_info{block_size="16",cache_dtype="auto",enable_prefix_caching="True",engine="0",gpu_memory_utilization="0.9",num_cpu_blocks="None",num_gpu_blocks="27000",num_gpu_blocks_override="None",sliding_window="None"} 1.0"##]]
    .assert_eq(&scheduler.join("\n"));
}
