use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;

fn check<T>(texts: &[&str], expected: &Expect)
where
    T: FromStr<Err = Error> + fmt::Display + fmt::Debug,
{
    let lines: Vec<String> = texts
        .iter()
        .map(|text| match text.parse::<T>() {
            Ok(value) => format!("{text:?} -> {value:?} {value}\n"),
            Err(error) => format!("{text:?} -> error: {error}\n"),
        })
        .collect();
    expected.assert_eq(&lines.concat());
}

#[test]
fn sizes_read_in_both_systems_and_show_their_shortest_form() {
    check::<ByteSize>(
        &[
            "0",
            "512",
            "512B",
            "1kB",
            "1KiB",
            "64MiB",
            "1GB",
            "1048576",
            " 2 TiB ",
            "3TB",
            "18446744073709551615",
        ],
        &expect![[r#"
            "0" -> ByteSize(0) 0B
            "512" -> ByteSize(512) 512B
            "512B" -> ByteSize(512) 512B
            "1kB" -> ByteSize(1000) 1kB
            "1KiB" -> ByteSize(1024) 1KiB
            "64MiB" -> ByteSize(67108864) 64MiB
            "1GB" -> ByteSize(1000000000) 1GB
            "1048576" -> ByteSize(1048576) 1MiB
            " 2 TiB " -> ByteSize(2199023255552) 2TiB
            "3TB" -> ByteSize(3000000000000) 3TB
            "18446744073709551615" -> ByteSize(18446744073709551615) 18446744073709551615B
        "#]],
    );
}

#[test]
fn what_is_not_a_size_is_refused_with_the_right_form() {
    check::<ByteSize>(
        &[
            "",
            "MiB",
            "-1",
            "1.5GiB",
            "64mib",
            "64Mi",
            "1 0",
            "18446744073709551616",
            "17179869184GiB",
        ],
        &expect![[r#"
            "" -> error: "" is not a size; write a whole number and a unit, such as "64MiB" or "1GB" (B, kB, MB, GB, TB, KiB, MiB, GiB, TiB)
            "MiB" -> error: "MiB" is not a size; write a whole number and a unit, such as "64MiB" or "1GB" (B, kB, MB, GB, TB, KiB, MiB, GiB, TiB)
            "-1" -> error: "-1" is not a size; write a whole number and a unit, such as "64MiB" or "1GB" (B, kB, MB, GB, TB, KiB, MiB, GiB, TiB)
            "1.5GiB" -> error: "1.5GiB" is not a size; write a whole number and a unit, such as "64MiB" or "1GB" (B, kB, MB, GB, TB, KiB, MiB, GiB, TiB)
            "64mib" -> error: "64mib" is not a size; write a whole number and a unit, such as "64MiB" or "1GB" (B, kB, MB, GB, TB, KiB, MiB, GiB, TiB)
            "64Mi" -> error: "64Mi" is not a size; write a whole number and a unit, such as "64MiB" or "1GB" (B, kB, MB, GB, TB, KiB, MiB, GiB, TiB)
            "1 0" -> error: "1 0" is not a size; write a whole number and a unit, such as "64MiB" or "1GB" (B, kB, MB, GB, TB, KiB, MiB, GiB, TiB)
            "18446744073709551616" -> error: "18446744073709551616" is more than can be held
            "17179869184GiB" -> error: "17179869184GiB" is more than can be held
        "#]],
    );
}

#[test]
fn durations_read_largest_unit_first() {
    check::<HumanDuration>(
        &[
            "30s",
            "5m",
            "1h30m",
            "250ms",
            "90d",
            "1y",
            "2w",
            "0s",
            "90m",
            "1d2h3m4s5ms6us7ns",
            " 7s ",
        ],
        &expect![[r#"
            "30s" -> HumanDuration(30s) 30s
            "5m" -> HumanDuration(300s) 5m
            "1h30m" -> HumanDuration(5400s) 1h30m
            "250ms" -> HumanDuration(250ms) 250ms
            "90d" -> HumanDuration(7776000s) 90d
            "1y" -> HumanDuration(31536000s) 1y
            "2w" -> HumanDuration(1209600s) 14d
            "0s" -> HumanDuration(0ns) 0s
            "90m" -> HumanDuration(5400s) 1h30m
            "1d2h3m4s5ms6us7ns" -> HumanDuration(93784.005006007s) 1d2h3m4s5ms6us7ns
            " 7s " -> HumanDuration(7s) 7s
        "#]],
    );
}

#[test]
fn what_is_not_a_duration_is_refused_with_the_right_form() {
    check::<HumanDuration>(
        &[
            "",
            "30",
            "0",
            "s",
            "1.5s",
            "30s1h",
            "1h1h",
            "1h 30m",
            "-5s",
            "5min",
            "1µs",
            "99999999999999999999s",
            "18446744073709551615y",
            "18446744073709551615s1m",
        ],
        &expect![[r#"
            "" -> error: "" is not a duration; write whole numbers with units, largest first, such as "30s", "1h30m" or "250ms" (y, w, d, h, m, s, ms, us, ns)
            "30" -> error: "30" has no unit; write "30s" for seconds or "30ms" for milliseconds
            "0" -> error: "0" has no unit; write "0s" for seconds or "0ms" for milliseconds
            "s" -> error: "s" is not a duration; write whole numbers with units, largest first, such as "30s", "1h30m" or "250ms" (y, w, d, h, m, s, ms, us, ns)
            "1.5s" -> error: "1.5s" is not a duration; write whole numbers with units, largest first, such as "30s", "1h30m" or "250ms" (y, w, d, h, m, s, ms, us, ns)
            "30s1h" -> error: "30s1h" is not a duration; write whole numbers with units, largest first, such as "30s", "1h30m" or "250ms" (y, w, d, h, m, s, ms, us, ns)
            "1h1h" -> error: "1h1h" is not a duration; write whole numbers with units, largest first, such as "30s", "1h30m" or "250ms" (y, w, d, h, m, s, ms, us, ns)
            "1h 30m" -> error: "1h 30m" is not a duration; write whole numbers with units, largest first, such as "30s", "1h30m" or "250ms" (y, w, d, h, m, s, ms, us, ns)
            "-5s" -> error: "-5s" is not a duration; write whole numbers with units, largest first, such as "30s", "1h30m" or "250ms" (y, w, d, h, m, s, ms, us, ns)
            "5min" -> error: "5min" is not a duration; write whole numbers with units, largest first, such as "30s", "1h30m" or "250ms" (y, w, d, h, m, s, ms, us, ns)
            "1µs" -> error: "1µs" is not a duration; write whole numbers with units, largest first, such as "30s", "1h30m" or "250ms" (y, w, d, h, m, s, ms, us, ns)
            "99999999999999999999s" -> error: "99999999999999999999s" is more than can be held
            "18446744073709551615y" -> error: "18446744073709551615y" is more than can be held
            "18446744073709551615s1m" -> error: "18446744073709551615s1m" is not a duration; write whole numbers with units, largest first, such as "30s", "1h30m" or "250ms" (y, w, d, h, m, s, ms, us, ns)
        "#]],
    );
}

#[test]
fn both_travel_through_serde_as_text() {
    let json = |text: &str| {
        let size = serde_json::from_str::<ByteSize>(text).map_err(|error| error.to_string());
        let time = serde_json::from_str::<HumanDuration>(text).map_err(|error| error.to_string());
        format!("{text}\n  {size:?}\n  {time:?}\n")
    };
    let table = [r#""64MiB""#, r#""1h""#, "30", "-30", "1.5", "true", "null"]
        .map(json)
        .concat();
    expect![[r#"
        "64MiB"
          Ok(ByteSize(67108864))
          Err("\"64MiB\" is not a duration; write whole numbers with units, largest first, such as \"30s\", \"1h30m\" or \"250ms\" (y, w, d, h, m, s, ms, us, ns) at line 1 column 7")
        "1h"
          Err("\"1h\" is not a size; write a whole number and a unit, such as \"64MiB\" or \"1GB\" (B, kB, MB, GB, TB, KiB, MiB, GiB, TiB) at line 1 column 4")
          Ok(HumanDuration(3600s))
        30
          Ok(ByteSize(30))
          Err("\"30\" has no unit; write \"30s\" for seconds or \"30ms\" for milliseconds at line 1 column 2")
        -30
          Err("invalid value: integer `-30`, expected a size such as \"64MiB\", or a number of bytes at line 1 column 3")
          Err("invalid value: integer `-30`, expected a duration with its unit, such as \"30s\" or \"1h30m\" at line 1 column 3")
        1.5
          Err("invalid type: floating point `1.5`, expected a size such as \"64MiB\", or a number of bytes at line 1 column 3")
          Err("invalid type: floating point `1.5`, expected a duration with its unit, such as \"30s\" or \"1h30m\" at line 1 column 3")
        true
          Err("invalid type: boolean `true`, expected a size such as \"64MiB\", or a number of bytes at line 1 column 4")
          Err("invalid type: boolean `true`, expected a duration with its unit, such as \"30s\" or \"1h30m\" at line 1 column 4")
        null
          Err("invalid type: null, expected a size such as \"64MiB\", or a number of bytes at line 1 column 4")
          Err("invalid type: null, expected a duration with its unit, such as \"30s\" or \"1h30m\" at line 1 column 4")
    "#]].assert_eq(&table);
    assert_eq!(
        serde_json::to_string(&(ByteSize::mib(64), HumanDuration::from_secs(5400))).unwrap(),
        r#"["64MiB","1h30m"]"#
    );
}

#[test]
fn the_shown_text_pads_like_any_other() {
    assert_eq!(
        format!(
            "{:>8}|{:<6}|",
            ByteSize::gib(2),
            HumanDuration::from_millis(5)
        ),
        "    2GiB|5ms   |"
    );
}

proptest! {
    #[test]
    fn a_shown_size_reads_back(bytes: u64, shift in 0_u32..64) {
        for size in [ByteSize(bytes), ByteSize(bytes >> shift), ByteSize(bytes << shift)] {
            prop_assert_eq!(size.to_string().parse(), Ok(size));
        }
    }

    #[test]
    fn a_shown_duration_reads_back(seconds: u64, nanos in 0_u32..1_000_000_000, shift in 0_u32..64) {
        for duration in [Duration::new(seconds, nanos), Duration::new(seconds >> shift, nanos)] {
            let human = HumanDuration(duration);
            prop_assert_eq!(human.to_string().parse(), Ok(human));
        }
    }

    #[test]
    fn no_text_makes_the_parsers_fail_other_than_by_an_error(text in "\\PC{0,40}|[0-9ydhmsun]{0,40}") {
        if let Ok(size) = text.parse::<ByteSize>() {
            prop_assert_eq!(size.to_string().parse(), Ok(size));
        }
        if let Ok(duration) = text.parse::<HumanDuration>() {
            prop_assert_eq!(duration.to_string().parse(), Ok(duration));
        }
    }
}
