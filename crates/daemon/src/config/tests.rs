use std::collections::BTreeMap;
use std::fmt::Debug;
use std::fs;

use expect_test::{Expect, expect};
use serde::Deserialize;

use super::*;
use crate::{ByteSize, HumanDuration};

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
struct Daemon {
    grpc_listen: String,
    node: Option<String>,
    port: u16,
    ratio: f64,
    urgent: bool,
    api_token: String,
    sync_interval: HumanDuration,
    labels: BTreeMap<String, String>,
    roots: Vec<String>,
    weights: Vec<u32>,
    spool: Spool,
    scrape: Vec<Target>,
    mode: Mode,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
struct Spool {
    bytes_max: ByteSize,
    fsync: bool,
    tls_password: Option<u32>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Target {
    url: String,
    #[serde(default)]
    timeout: Option<HumanDuration>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    Edge,
    Centre,
}

impl Default for Daemon {
    fn default() -> Self {
        Self {
            grpc_listen: "127.0.0.1:7070".to_owned(),
            node: None,
            port: 7070,
            ratio: 0.5,
            urgent: true,
            api_token: String::new(),
            sync_interval: HumanDuration::from_secs(60),
            labels: BTreeMap::from([("dotted.key".to_owned(), "kept".to_owned())]),
            roots: vec!["/".to_owned()],
            weights: Vec::new(),
            spool: Spool::default(),
            scrape: Vec::new(),
            mode: Mode::Edge,
        }
    }
}

impl Default for Spool {
    fn default() -> Self {
        Self {
            bytes_max: ByteSize::gib(1),
            fsync: true,
            tls_password: None,
        }
    }
}

fn pairs(of: &[(&str, &str)]) -> Vec<(String, String)> {
    of.iter()
        .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
        .collect()
}

/// Loads a file of this text, so named that messages are the same on every machine.
fn load_from(
    text: &str,
    environment: &[(&str, &str)],
    overrides: &[(&str, &str)],
) -> Result<Loaded<Daemon>, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("agent.toml");
    fs::write(&file, text).unwrap();
    load::<Daemon>(Sources {
        file: Some(&file),
        environment: pairs(environment).into_iter(),
        prefix: PREFIX,
        reserved: &["VEDETTE_CONFIG"],
        overrides: pairs(overrides),
    })
    .map_err(|error| {
        assert!(!error.is_retryable());
        let folder = format!("{}/", folder.path().display());
        error.to_string().replace(&folder, "")
    })
}

fn check_value<T: Debug>(value: &T, expected: &Expect) {
    expected.assert_eq(&format!("{value:#?}\n"));
}

/// One line for each text: its error.
fn check_errors(texts: &[&str], expected: &Expect) {
    let lines: Vec<String> = texts
        .iter()
        .map(|text| {
            let error = load_from(text, &[], &[]).map(|loaded| loaded.value);
            format!("{text:?}\n    {}\n", error.unwrap_err())
        })
        .collect();
    expected.assert_eq(&lines.concat());
}

#[test]
fn without_any_source_the_defaults_come_back_whole() {
    let loaded = load::<Daemon>(Sources {
        file: None,
        environment: std::iter::empty(),
        prefix: PREFIX,
        reserved: &[],
        overrides: Vec::new(),
    })
    .unwrap();
    assert_eq!(loaded.unknown, []);
    assert_eq!(
        format!("{:?}", loaded.value),
        format!("{:?}", Daemon::default())
    );
}

const FILE: &str = r#"
    grpc_listen = "file"
    port = 1
    node = "file"
    roots = ["/a", "/b"]
    [labels]
    region = "file"
    "quoted.key" = "file"
    [spool]
    bytes_max = "1MiB"
    fsync = false
    [[scrape]]
    url = "http://127.0.0.1:1/metrics"
    timeout = "250ms"
"#;

const ENVIRONMENT: [(&str, &str); 10] = [
    ("VEDETTE_PORT", "2"),
    ("VEDETTE_NODE", "env"),
    ("VEDETTE_SPOOL__BYTES_MAX", "2MiB"),
    ("VEDETTE_LABELS__REGION", "env"),
    ("VEDETTE_WEIGHTS", "[1, 2]"),
    ("VEDETTE_ROOTS", "/c, /d"),
    ("VEDETTE_URGENT", "false"),
    ("VEDETTE_MODE", "centre"),
    ("PORT", "9"),
    ("VEDETTEPORT", "9"),
];

#[test]
fn each_layer_wins_over_the_one_before_key_by_key() {
    let overrides = [("node", "flag"), ("spool.tls_password", "7")];
    let loaded = load_from(FILE, &ENVIRONMENT, &overrides).unwrap();
    assert_eq!(loaded.unknown, []);
    check_value(
        &loaded.value,
        &expect![[r#"
            Daemon {
                grpc_listen: "file",
                node: Some(
                    "flag",
                ),
                port: 2,
                ratio: 0.5,
                urgent: false,
                api_token: "",
                sync_interval: HumanDuration(
                    60s,
                ),
                labels: {
                    "dotted.key": "kept",
                    "quoted.key": "file",
                    "region": "env",
                },
                roots: [
                    "/c",
                    "/d",
                ],
                weights: [
                    1,
                    2,
                ],
                spool: Spool {
                    bytes_max: ByteSize(
                        2097152,
                    ),
                    fsync: false,
                    tls_password: Some(
                        7,
                    ),
                },
                scrape: [
                    Target {
                        url: "http://127.0.0.1:1/metrics",
                        timeout: Some(
                            HumanDuration(
                                250ms,
                            ),
                        ),
                    },
                ],
                mode: Centre,
            }
        "#]],
    );
}

#[test]
fn a_key_that_looks_like_a_path_is_just_a_key() {
    let file = "'scrape[4000000000]' = 1\n'spool.fsync' = false";
    let loaded = load_from(file, &[("VEDETTE_ROOTS[4000000000]", "x")], &[]).unwrap();
    let paths: Vec<&str> = loaded.unknown.iter().map(|key| key.path.as_str()).collect();
    assert_eq!(
        paths,
        ["roots[4000000000]", "scrape[4000000000]", "spool.fsync"]
    );
    assert!(loaded.value.spool.fsync && loaded.value.scrape.is_empty());
}

#[test]
fn a_path_without_end_is_one_unknown_key() {
    let name = format!("VEDETTE_{}", "A__".repeat(30_000));
    let loaded = load_from("", &[(&name, "x")], &[]).unwrap();
    assert_eq!(loaded.unknown.len(), 1);
}

#[test]
fn a_variable_below_another_one_is_a_mistake_that_shows() {
    let mut environment = [("VEDETTE_SPOOL__FSYNC", "false"), ("VEDETTE_SPOOL", "x")];
    for _ in 0..2 {
        let told = load_from("", &environment, &[]).unwrap_err();
        assert_eq!(
            told,
            "`spool` is \"x\" (environment VEDETTE_SPOOL): expected a table"
        );
        environment.reverse();
    }
}

#[test]
fn a_scalar_text_that_begins_with_a_bracket_stays_a_text() {
    let environment = [
        ("VEDETTE_GRPC_LISTEN", "[::1]"),
        ("VEDETTE_NODE", "[::1]:80"),
    ];
    let value = load_from("", &environment, &[]).unwrap().value;
    assert_eq!(value.grpc_listen, "[::1]");
    assert_eq!(value.node.as_deref(), Some("[::1]:80"));
}

#[test]
fn unknown_keys_are_told_with_the_nearest_known_one_and_refused_when_strict() {
    let file = "
        prot = 1
        nonsense = 2
        [spool]
        byte_max = '1MiB'
        [grpc]
        listen = 'x'
        [[scrape]]
        url = 'u'
        uri = 'u'
    ";
    let environment = [
        ("VEDETTE_SYNC_INTERVALL", "1s"),
        ("VEDETTE_CONFIG", "/etc/vedette/agent.toml"),
        ("VEDETTE_AGENT_SERVICE_HOST", "10.0.0.1"),
        ("VEDETTE_AGENT_SERVICE_PORT_GRPC", "7070"),
        ("VEDETTE_AGENT_PORT", "tcp://10.0.0.1:7070"),
        ("VEDETTE_AGENT_PORT_7070_TCP_ADDR", "10.0.0.1"),
    ];
    let loaded = load_from(file, &environment, &[("labls", "x")]).unwrap();
    let told = loaded.unknown.iter().map(|key| {
        let origin = key.origin.rsplit('/').next().unwrap().to_owned();
        UnknownKey {
            origin,
            ..key.clone()
        }
        .to_string()
            + "\n"
    });
    expect![[r#"
        unknown key `grpc` (agent.toml:7)
        unknown key `labls` (command line); did you mean `labels`?
        unknown key `nonsense` (agent.toml:3)
        unknown key `prot` (agent.toml:2); did you mean `port`?
        unknown key `scrape[0].uri` (agent.toml:10)
        unknown key `spool.byte_max` (agent.toml:5); did you mean `spool.bytes_max`?
        unknown key `sync_intervall` (environment VEDETTE_SYNC_INTERVALL); did you mean `sync_interval`?
    "#]].assert_eq(&told.collect::<String>());
    let count = loaded.unknown.len();
    let refused = loaded.strict().unwrap_err();
    assert!(matches!(&refused, Error::Unknown { keys } if keys.len() == count));
    assert!(load_from("port = 1", &[], &[]).unwrap().strict().is_ok());
}

#[test]
fn a_wrong_value_is_told_with_path_value_place_and_expectation() {
    check_errors(
        &[
            "port = 70000",
            "port = -1",
            "port = 2.7",
            "port = true",
            "\n\nurgent = 1",
            "ratio = false",
            "ratio = 'half'",
            "sync_interval = 30",
            "sync_interval = '30'",
            "mode = 'middle'",
            "roots = '/'",
            "spool = 5",
            "labels = ['a']",
            "[spool]\n\nbytes_max = '64mib'",
            "[[scrape]]\ntimeout = '1s'",
            "[[scrape]]\nurl = 'a'\n[[scrape]]\nurl = 'b'\ntimeout = 1",
            "port = 99999999999999999999",
            "port = 1\nport = 2",
            "port = = 1",
        ],
        &expect![[r#"
            "port = 70000"
                `port` is 70000 (agent.toml:1): expected an unsigned 16 bit integer
            "port = -1"
                `port` is -1 (agent.toml:1): expected an unsigned 64 bit or less integer
            "port = 2.7"
                `port` is 2.7 (agent.toml:1): expected a whole number
            "port = true"
                `port` is true (agent.toml:1): expected a whole number
            "\n\nurgent = 1"
                `urgent` is 1 (agent.toml:3): expected true or false
            "ratio = false"
                `ratio` is false (agent.toml:1): expected a number
            "ratio = 'half'"
                `ratio` is "half" (agent.toml:1): expected a floating point
            "sync_interval = 30"
                `sync_interval` is 30 (agent.toml:1): "30" has no unit; write "30s" for seconds or "30ms" for milliseconds
            "sync_interval = '30'"
                `sync_interval` is "30" (agent.toml:1): "30" has no unit; write "30s" for seconds or "30ms" for milliseconds
            "mode = 'middle'"
                `mode` is "middle" (agent.toml:1): expected `edge` or `centre`
            "roots = '/'"
                `roots` is "/" (agent.toml:1): expected a list
            "spool = 5"
                `spool` is 5 (agent.toml:1): expected a table
            "labels = ['a']"
                `labels` is a list (agent.toml:1): expected a table
            "[spool]\n\nbytes_max = '64mib'"
                `spool.bytes_max` is "64mib" (agent.toml:3): "64mib" is not a size; write a whole number and a unit, such as "64MiB" or "1GB" (B, kB, MB, GB, TB, KiB, MiB, GiB, TiB)
            "[[scrape]]\ntimeout = '1s'"
                `scrape[0]` is a table (agent.toml:1): key `url` is missing
            "[[scrape]]\nurl = 'a'\n[[scrape]]\nurl = 'b'\ntimeout = 1"
                `scrape[1].timeout` is 1 (agent.toml:5): "1" has no unit; write "1s" for seconds or "1ms" for milliseconds
            "port = 99999999999999999999"
                agent.toml:1:8: number out of range
            "port = 1\nport = 2"
                agent.toml:2:1: duplicate key
            "port = = 1"
                agent.toml:1:8: extra `=`, expected nothing
        "#]],
    );
}

#[test]
fn a_wrong_value_of_a_variable_or_flag_names_it() {
    let told = [
        load_from("port = 5", &[("VEDETTE_PORT", "many")], &[]),
        load_from("", &[("VEDETTE_SPOOL__BYTES_MAX", "lots")], &[]),
        load_from("", &[], &[("sync_interval", "5")]),
        load_from("", &[("VEDETTE_WEIGHTS", "1,x")], &[]),
    ]
    .map(|loaded| loaded.unwrap_err() + "\n");
    expect![[r#"
        `port` is "many" (environment VEDETTE_PORT): expected an integer
        `spool.bytes_max` is "lots" (environment VEDETTE_SPOOL__BYTES_MAX): "lots" is not a size; write a whole number and a unit, such as "64MiB" or "1GB" (B, kB, MB, GB, TB, KiB, MiB, GiB, TiB)
        `sync_interval` is "5" (command line): "5" has no unit; write "5s" for seconds or "5ms" for milliseconds
        `weights[1]` is "x" (environment VEDETTE_WEIGHTS): expected an integer
    "#]].assert_eq(&told.concat());
}

#[test]
fn no_message_shows_a_secret() {
    let texts = [
        "api_token = ['hunter2']",
        "api_token = \"hunter2",
        "api_token = hunter2",
        "api_token = 'a'\napi_token = 'hunter2'",
        "[spool]\ntls_password = 'hunter2'",
        "[[scrape]]\nurl = 5\npush_secret = 'hunter2'\n[[scrape]]\ntoken = 'hunter2'",
        "roots = { token = 'hunter2' }",
        "password = 'hunter2'\nport = 'x'",
    ];
    for text in texts {
        let told = load_from(text, &[], &[]).map(|_| ()).unwrap_err();
        assert!(!told.contains("hunter2"), "{text:?} gives {told:?}");
    }
    let loaded = load_from("password = 'hunter2'\napi_tokens = 'hunter2'", &[], &[]).unwrap();
    assert_eq!(loaded.unknown.len(), 2);
    assert!(!format!("{:?}", loaded.unknown).contains("hunter2"));
    let told = load_from("", &[("VEDETTE_SPOOL__TLS_PASSWORD", "hunter2")], &[]).unwrap_err();
    expect!["`spool.tls_password` is a value that is not shown (environment VEDETTE_SPOOL__TLS_PASSWORD): expected an integer"].assert_eq(&told);
}

#[test]
fn keys_are_secret_by_their_last_word() {
    for key in ["api_token", "token", "PASSWORD", "client_secret"] {
        assert!(is_secret(key), "{key}");
    }
    for key in ["tokens_per_second", "secretary", "token_file", "port", ""] {
        assert!(!is_secret(key), "{key}");
    }
}

#[test]
fn a_file_that_is_named_must_be_there_and_not_too_long() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("agent.toml");
    let load_it = || {
        load::<Daemon>(Sources {
            file: Some(&file),
            environment: std::iter::empty(),
            prefix: PREFIX,
            reserved: &[],
            overrides: Vec::new(),
        })
    };
    let missing = load_it().unwrap_err();
    assert!(missing.is_retryable());
    assert!(
        matches!(missing, Error::Read { source, .. } if source.kind() == io::ErrorKind::NotFound)
    );
    let line = "# A comment that fills the file.\n";
    let lines = usize::try_from(FILE_BYTES_MAX).unwrap() / line.len();
    fs::write(&file, line.repeat(lines)).unwrap();
    assert!(load_it().is_ok());
    fs::write(&file, line.repeat(lines + 1)).unwrap();
    assert!(matches!(load_it().unwrap_err(), Error::TooLong { .. }));
}

#[test]
fn the_process_environment_can_be_read() {
    let names: Vec<String> = process_environment().map(|(name, _)| name).collect();
    assert!(names.iter().any(|name| name == "PATH"));
}
