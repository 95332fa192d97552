use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use expect_test::expect;
use tracing::{debug, info, info_span, warn};

use super::*;
use crate::clock::Clock;

/// A clock that always shows the same time.
struct Stopped(i64);

impl Clock for Stopped {
    fn wall_millis(&self) -> i64 {
        self.0
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What the events of `say` look like under this configuration.
fn logged(config: &LogConfig, color: bool, say: impl FnOnce(&LogHandle)) -> String {
    let lines = Lines::default();
    let writer = lines.clone();
    let clock = Arc::new(Stopped(1_767_323_045_678));
    let (subscriber, handle) = subscriber(config, color, clock, move || writer.clone()).unwrap();
    tracing::subscriber::with_default(subscriber, || say(&handle));
    String::from_utf8(lines.0.lock().unwrap().clone()).unwrap()
}

fn say(_: &LogHandle) {
    let _span = info_span!(target: "agent", "sync", node = "n1").entered();
    info!(target: "agent", bytes = 512, "batch sent");
    debug!(target: "agent", "not shown");
    warn!(target: "spool", reason = "full", "batch dropped");
}

#[test]
fn text_is_one_short_line_an_event() {
    expect![[r#"
        2026-01-02T03:04:05.678Z  INFO sync: agent: batch sent bytes=512 node="n1"
        2026-01-02T03:04:05.678Z  WARN sync: spool: batch dropped reason="full" node="n1"
    "#]]
    .assert_eq(&logged(&LogConfig::default(), false, say));
}

#[test]
fn json_is_one_object_a_line_and_never_coloured() {
    let config = LogConfig {
        format: LogFormat::Json,
        ..LogConfig::default()
    };
    let text = logged(&config, true, say);
    for line in text.lines() {
        let object: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(object["timestamp"], "2026-01-02T03:04:05.678Z");
    }
    expect![[r#"
        {"timestamp":"2026-01-02T03:04:05.678Z","level":"INFO","message":"batch sent","bytes":512,"target":"agent","span":{"node":"n1","name":"sync"}}
        {"timestamp":"2026-01-02T03:04:05.678Z","level":"WARN","message":"batch dropped","reason":"full","target":"spool","span":{"node":"n1","name":"sync"}}
    "#]].assert_eq(&text);
}

#[test]
fn colour_is_only_in_coloured_text() {
    assert!(logged(&LogConfig::default(), true, say).contains('\u{1b}'));
    assert!(!logged(&LogConfig::default(), false, say).contains('\u{1b}'));
}

#[test]
fn the_filter_changes_while_running_and_a_bad_one_changes_nothing() {
    let config = LogConfig {
        filter: "warn".to_owned(),
        ..LogConfig::default()
    };
    let text = logged(&config, false, |handle| {
        info!("hidden at first");
        handle.reload("info").unwrap();
        info!("shown after the change");
        let error = handle.reload("info,x=loud").unwrap_err();
        assert!(!error.is_retryable());
        info!("shown after the mistake");
    });
    assert!(!text.contains("hidden at first"));
    assert!(text.contains("shown after the change") && text.contains("shown after the mistake"));
}

#[test]
fn a_second_init_is_an_error_and_not_a_panic() {
    let config = LogConfig {
        filter: "off".to_owned(),
        ..LogConfig::default()
    };
    let handle = init(&config).unwrap();
    assert!(matches!(init(&config).unwrap_err(), Error::Twice { .. }));
    handle.reload("off").unwrap();
}

#[test]
fn a_config_reads_its_words_and_refuses_others() {
    let config: LogConfig =
        serde_json::from_str(r#"{"format":"json","filter":"debug","color":"never"}"#).unwrap();
    assert_eq!(
        (config.format, config.color),
        (LogFormat::Json, LogColor::Never)
    );
    assert!(config.validate().is_ok());
    assert!(serde_json::from_str::<LogConfig>(r#"{"format":"xml"}"#).is_err());
    assert!(matches!(
        "xml".parse::<LogFormat>(),
        Err(Error::Format { .. })
    ));
    for format in [LogFormat::Text, LogFormat::Json] {
        assert_eq!(format.to_string().parse::<LogFormat>().unwrap(), format);
    }
    let bad = LogConfig {
        filter: "a=b=c".to_owned(),
        ..LogConfig::default()
    };
    assert!(matches!(bad.validate().unwrap_err(), Error::Filter { .. }));
}

#[test]
fn times_are_right_around_leap_days_and_before_the_epoch() {
    let table: String = [
        0,
        -1,
        951_782_399_999,
        951_782_400_000,
        951_868_800_000,
        1_709_164_800_000,
        4_107_542_400_000,
        253_402_300_799_999,
        -62_167_219_200_000,
    ]
    .into_iter()
    .map(|millis| {
        let mut text = format!("{millis} ");
        write_utc(&mut text, millis).unwrap();
        text + "\n"
    })
    .collect();
    expect![[r#"
        0 1970-01-01T00:00:00.000Z
        -1 1969-12-31T23:59:59.999Z
        951782399999 2000-02-28T23:59:59.999Z
        951782400000 2000-02-29T00:00:00.000Z
        951868800000 2000-03-01T00:00:00.000Z
        1709164800000 2024-02-29T00:00:00.000Z
        4107542400000 2100-03-01T00:00:00.000Z
        253402300799999 9999-12-31T23:59:59.999Z
        -62167219200000 0000-01-01T00:00:00.000Z
    "#]]
    .assert_eq(&table);
}
