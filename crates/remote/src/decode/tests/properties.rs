//! Whatever is sent, what is known already changes nothing but the time it takes.

use super::*;

fn labels() -> impl Strategy<Value = Vec<(String, String)>> {
    let name = prop::sample::select(vec!["job", "node", "le", "a.b", "", "x_1", "__name__"]);
    let value = prop_oneof![
        4 => prop::sample::select(vec!["", "a", "b", "0.5", "+Inf", "ü"]).prop_map(str::to_owned),
        1 => "[a-z]{0,200}",
    ];
    let pair = (name, value).prop_map(|(name, value)| (name.to_owned(), value));
    let metric = prop::sample::select(vec!["up", "vllm:x", "go_gc", ""]);
    (
        metric,
        prop::collection::vec(pair, 0..5),
        any::<prop::sample::Index>(),
    )
        .prop_map(|(metric, mut pairs, at)| {
            // Nearly always where it should be: in front.
            let at = if at.index(4) == 0 {
                at.index(pairs.len() + 1)
            } else {
                0
            };
            pairs.insert(at, ("__name__".to_owned(), metric.to_owned()));
            pairs
        })
}

fn samples() -> impl Strategy<Value = Vec<(i64, f64)>> {
    let time = prop_oneof![
        8 => (0_i64..100_000).prop_map(|late| TIME + late),
        1 => any::<i64>(),
    ];
    let value = prop_oneof![
        any::<u64>().prop_map(f64::from_bits),
        Just(0.0),
        Just(STALE_NAN),
    ];
    prop_oneof![
        3 => prop::collection::vec((time.clone(), value.clone()), 1),
        1 => prop::collection::vec((time, value), 0..4),
    ]
}

fn series() -> impl Strategy<Value = Sent> {
    let kind = prop::sample::select(MetricKind::ALL.to_vec());
    (labels(), kind, samples()).prop_map(|(labels, kind, samples)| Sent {
        labels,
        kind,
        samples,
    })
}

/// Messages that have series in common, in other orders.
fn messages() -> impl Strategy<Value = Vec<Vec<Sent>>> {
    let fleet = prop::collection::vec(series(), 1..12);
    let picks = prop::collection::vec(prop::collection::vec(0_usize..12, 0..25), 1..6);
    (fleet, picks, any::<u32>()).prop_map(|(fleet, picks, salt)| {
        let message = |picks: Vec<usize>| {
            let mut sent: Vec<Sent> = picks
                .iter()
                .map(|pick| fleet[pick % fleet.len()].clone())
                .collect();
            // Values differ from message to message.
            for (index, (_, value)) in sent.iter_mut().flat_map(|s| &mut s.samples).enumerate() {
                if index % 3 == 0 {
                    *value = f64::from(salt) + index as f64;
                }
            }
            sent
        };
        picks.into_iter().map(message).collect()
    })
}

/// What should be found: series that have valid labels, in order for each.
fn expected(version: Version, sent: &[Sent]) -> (Vec<(String, i64, u64)>, u64) {
    let (mut rows, mut refused) = (Vec::new(), 0);
    for series in sent {
        let pairs = series
            .labels
            .iter()
            .map(|(name, value)| (&**name, &**value));
        let labels = Labels::new(&pairs.collect::<Vec<_>>());
        match labels {
            Ok(labels) if !labels.metric_name().is_empty() => {
                let kind = match version {
                    Version::V1 => MetricKind::Unknown,
                    Version::V2 => series.kind,
                };
                let name = format!("{labels} {}", kind.as_str());
                let row = |(time, value): &(i64, f64)| (name.clone(), *time, value.to_bits());
                rows.extend(series.samples.iter().map(row));
            }
            _ => refused += series.samples.len() as u64,
        }
    }
    // Stable, so that the order within a series stays.
    rows.sort_by(|a, b| a.0.cmp(&b.0));
    (rows, refused)
}

proptest! {
    #[test]
    fn a_memory_changes_nothing(messages in messages(), entries_max in 1_usize..20) {
        for version in VERSIONS {
            let mut memory = Memory::new(entries_max, &RandomState::new());
            let (mut registry, mut out) = (Registry::default(), Decoded::default());
            // Twice, so that everything was met before.
            for sent in messages.iter().chain(&messages) {
                let raw = encode(version, sent);
                let rows = registry.receive(version, &raw, &mut memory, &mut out);
                let mut rows = rows.unwrap();
                // The same labels in another order are known apart from each other, and what is
                // known comes before what is not.
                rows.sort();
                let (mut expected, refused) = expected(version, sent);
                expected.sort();
                prop_assert_eq!(rows, expected);
                prop_assert_eq!(out.refused().samples(), refused);
            }
        }
    }

    #[test]
    fn the_samples_of_one_label_set_stay_in_order(messages in messages()) {
        for version in VERSIONS {
            let (mut memory, mut registry) = (memory(), Registry::default());
            let mut out = Decoded::default();
            for sent in &messages {
                // Written in one order, as senders do.
                let mut sent = sent.clone();
                sent.iter_mut().for_each(|series| {
                    series.labels.retain(|(_, value)| !value.is_empty());
                    series.labels.sort();
                });
                let raw = encode(version, &sent);
                let rows = registry.receive(version, &raw, &mut memory, &mut out);
                let mut rows = rows.unwrap();
                rows.sort_by(|a, b| a.0.cmp(&b.0));
                prop_assert_eq!(rows, expected(version, &sent).0);
            }
        }
    }

    #[test]
    fn every_truncation_is_an_error_or_fewer_samples(sent in prop::collection::vec(series(), 1..4)) {
        for version in VERSIONS {
            let raw = encode(version, &sent);
            let (mut memory, mut registry) = (memory(), Registry::default());
            let mut out = Decoded::default();
            let all = registry.receive(version, &raw, &mut memory, &mut out).unwrap();
            for end in 0..raw.len() {
                let cut = registry.receive(version, &raw[..end], &mut memory, &mut out);
                prop_assert!(cut.is_err() || cut.unwrap().len() <= all.len());
            }
        }
    }

    #[test]
    fn damage_never_panics(
        sent in prop::collection::vec(series(), 1..4),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        noise in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        for version in VERSIONS {
            let mut raw = encode(version, &sent);
            let (mut memory, mut registry) = (memory(), Registry::default());
            let mut out = Decoded::default();
            registry.receive(version, &raw, &mut memory, &mut out).unwrap();
            for (at, byte) in &flips {
                let at = at.index(raw.len());
                raw[at] = *byte;
                for read in VERSIONS {
                    drop(registry.receive(read, &raw, &mut memory, &mut out));
                    drop(registry.receive(read, &noise, &mut memory, &mut out));
                }
            }
        }
    }

    #[test]
    fn the_short_way_reads_samples_as_the_long_way(
        time in prop_oneof![any::<i64>(), 1_i64 << 34..1_i64 << 43],
        value in any::<u64>(),
    ) {
        let mut whole = Message::default().double(1, f64::from_bits(value));
        whole = whole.varint(2, time.cast_unsigned());
        let mut memory_out = (memory(), Decoded::<u32>::default());
        let mut reading = Reading::new(&memory_out.0, &mut memory_out.1);
        reading.unusual_sample(&whole.0).unwrap();
        let long = (reading.out.times[0], reading.out.values[0].to_bits());
        prop_assert_eq!(long, (time, value));
        let short = usual_sample(&whole.0).map(|(time, value)| (time, value.to_bits()));
        let is_usual = (1_i64 << 35..1_i64 << 42).contains(&time);
        prop_assert_eq!(short, is_usual.then_some(long));
    }
}
