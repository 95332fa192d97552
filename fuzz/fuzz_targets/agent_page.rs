//! Reading a scraped page: nothing past its limits is kept, what is refused is counted and shown where
//! it stands, and the samples come back from a page that is written from them.
#![no_main]

use std::fmt::Write;

use agent::collect::scrape::text::{Format, Limits, Page, parse};
use fuzz::{Input, KIB, within};
use libfuzzer_sys::fuzz_target;

const LIMITS: Limits = Limits {
    samples_max: 100,
    line_bytes_max: KIB,
    refusals_kept_max: 4,
};

fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    let format = if input.u8() & 1 == 0 {
        Format::Text
    } else {
        Format::OpenMetrics
    };
    let text = input.rest();
    // A line of a few bytes is a sample or family with some texts of its own.
    let bytes_max = 200 * text.len() + 64 * KIB;
    let page = within(bytes_max, || parse(text, format, &LIMITS));
    check(&page, text);
    if format == Format::Text {
        assert!(page.complete);
    }
    let again = parse(written(&page).as_bytes(), Format::Text, &LIMITS);
    assert_eq!(again.refusals.count, 0, "{:?}", again.refusals);
    assert_eq!(samples(&again), samples(&page));
});

fn check(page: &Page, text: &[u8]) {
    let snapshot = &page.snapshot;
    assert!(snapshot.samples.len() <= LIMITS.samples_max);
    assert!(snapshot.families.len() <= LIMITS.samples_max);
    assert!(snapshot.refused <= page.refusals.count);
    assert_eq!(snapshot.first_refusal.is_some(), snapshot.refused > 0);
    let kept = page.refusals.first.len();
    assert!(kept <= LIMITS.refusals_kept_max && kept as u64 <= page.refusals.count);
    // One more, for an end that is missing.
    let lines = 1 + text.split(|byte| *byte == b'\n').count() as u64;
    for refused in &page.refusals.first {
        assert!((1..=lines).contains(&refused.line));
    }
}

fn written(page: &Page) -> String {
    let mut text = String::new();
    for sample in &page.snapshot.samples {
        let at = sample.at.map(|at| format!(" {}", at.as_millis()));
        let at = at.unwrap_or_default();
        writeln!(text, "{} {}{at}", sample.labels, sample.value).expect("a string has room");
    }
    text
}

/// Labels, bits and time of each sample.
fn samples(page: &Page) -> Vec<(String, u64, Option<i64>)> {
    let samples = page.snapshot.samples.iter().map(|sample| {
        let at = sample.at.map(|at| at.as_millis());
        (sample.labels.to_string(), sample.value.to_bits(), at)
    });
    samples.collect()
}
