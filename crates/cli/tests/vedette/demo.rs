//! The demo with shell scripts in place of the programs it starts: are they started with what they
//! need, watched, and ended, whatever happens?

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::coordinator::{Coordinator, serve};

/// A script that notes its number, says that it is up, and ends well when asked.
const GOOD: &str = r#"echo $$ > "$HERE/$(basename "$0").$$.pid"; trap 'exit 0' TERM; echo up
while :; do sleep 0.02; done
"#;

/// A release whose programs are scripts.
struct Release {
    dir: tempfile::TempDir,
}

impl Release {
    /// The real `vedette` beside a fleet of one server, a coordinator that is really this test,
    /// and agents that run `agent`.
    async fn new(nodes: &[&str], agent: &str) -> Self {
        let coordinator = Coordinator {
            nodes: nodes.iter().map(|id| (*id).to_owned()).collect(),
            ..Coordinator::default()
        };
        let address = serve(coordinator).await;
        let release = Self {
            // On the disk of the program, so that it can be linked to.
            dir: tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap(),
        };
        std::fs::hard_link(env!("CARGO_BIN_EXE_vedette"), release.path("vedette")).unwrap();
        release.script(
            "vedette-fleet",
            &format!(
                r#"while [ "$1" != --targets-file ]; do shift; done
echo '[{{"targets":["127.0.0.1:9"],"labels":{{"node":"sim-1","job":"vllm","__metrics_path__":"/metrics"}}}}]' > "$2"
{GOOD}"#
            ),
        ).await;
        release
            .script(
                "vedette-coordinator",
                &format!(
                    r#"while [ "$1" != --data-dir ]; do shift; done
echo '{{"grpc":"{address}","http":"{address}"}}' > "$2/listen.json"
{GOOD}"#
                ),
            )
            .await;
        release.script("vedette-agent", agent).await;
        release
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Another process writes the script: what this one has open for writing, a program that a
    /// test beside us just starts has open too, and a file that is open so cannot be run.
    async fn script(&self, name: &str, body: &str) {
        let here = self.dir.path().display();
        let mut install = Command::new("install")
            .args(["-m", "755", "/dev/stdin"])
            .arg(self.path(name))
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = install.stdin.take().unwrap();
        let script = format!("#!/bin/sh\nHERE={here}\n{body}");
        stdin.write_all(script.as_bytes()).await.unwrap();
        drop(stdin);
        assert!(install.wait().await.unwrap().success());
    }

    fn demo(&self, words: &[&str]) -> Child {
        Command::new(self.path("vedette"))
            .args(["demo", "--nodes", "1"])
            .args(words)
            .env_remove("DEMO_SECONDS")
            .env("TMPDIR", self.dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    async fn run(&self, words: &[&str]) -> Output {
        self.demo(words).wait_with_output().await.unwrap()
    }

    /// The numbers of all programs that were started.
    fn started(&self) -> Vec<String> {
        files(self.dir.path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "pid"))
            .map(|path| std::fs::read_to_string(path).unwrap().trim().to_owned())
            .filter(|number| !number.is_empty())
            .collect()
    }

    fn assert_all_ended(&self) {
        for number in self.started() {
            // What ended and was waited for has no entry any more.
            assert!(
                !Path::new("/proc").join(&number).is_dir(),
                "{number} still runs"
            );
        }
        let left = files(self.dir.path())
            .filter(|path| path.to_string_lossy().contains("vedette-demo-"))
            .count();
        assert_eq!(left, 0, "the temporary directory is removed");
    }
}

fn files(dir: &Path) -> impl Iterator<Item = PathBuf> {
    std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test]
async fn a_fleet_that_is_whole_is_shown_and_ended() {
    let release = Release::new(&["this-host", "sim-1"], GOOD).await;
    let output = release.run(&["--once"]).await;
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    assert!(out.contains("2 of 2 nodes, "), "{out}");
    assert!(out.contains("time to first token"), "{out}");
    assert!(out.contains("where to go next"), "{out}");
    assert_eq!(release.started().len(), 4);
    release.assert_all_ended();
}

#[tokio::test]
async fn a_node_that_never_comes_fails_the_demo() {
    let release = Release::new(&["this-host"], GOOD).await;
    let output = release.run(&["--seconds", "1"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stdout).contains("1 of 2 nodes, "),
        "{output:?}"
    );
    release.assert_all_ended();
}

#[tokio::test]
async fn a_program_that_dies_is_named_with_its_last_words() {
    let agent = "echo '2026-11-23T20:00:00Z ERROR agent: the state directory is full'; exit 3\n";
    let release = Release::new(&["this-host", "sim-1"], agent).await;
    let output = release.run(&["--seconds", "30"]).await;
    let err = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(err.contains("ended too soon (exit status: 3)"), "{err}");
    assert!(err.contains("the state directory is full"), "{err}");
    release.assert_all_ended();
}

#[tokio::test]
async fn a_program_that_ends_badly_when_asked_fails_the_demo() {
    let agent = GOOD.replace("exit 0", "exit 9");
    let release = Release::new(&["this-host", "sim-1"], &agent).await;
    let output = release.run(&["--once"]).await;
    let err = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(err.contains("sim-1 ended badly (exit status: 9)"), "{err}");
    release.assert_all_ended();
}

#[tokio::test]
async fn the_demo_takes_everything_with_it_when_it_is_asked_to_end() {
    for (nodes, seen, code) in [
        // Asked to end while it waits for a node, and while all is well.
        (&["this-host"][..], "1 of 2 nodes", 1),
        (&["this-host", "sim-1"], "2 of 2 nodes", 0),
    ] {
        let release = Release::new(nodes, GOOD).await;
        let mut demo = release.demo(&[]);
        let mut progress = BufReader::new(demo.stderr.take().unwrap()).lines();
        while let Some(line) = progress.next_line().await.unwrap() {
            if line.contains(seen) {
                break;
            }
        }
        let number = demo.id().unwrap().to_string();
        let kill = Command::new("kill").args(["-TERM", &number]).status();
        assert!(kill.await.unwrap().success());
        let output = demo.wait_with_output().await.unwrap();
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        assert!(text(&output.stdout).contains(seen), "{output:?}");
        assert_eq!(release.started().len(), 4);
        release.assert_all_ended();
    }
}

#[tokio::test]
async fn without_the_other_programs_it_says_which_is_missing() {
    let release = Release::new(&[], GOOD).await;
    std::fs::remove_file(release.path("vedette-agent")).unwrap();
    let output = release.run(&["--once"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("vedette-agent is not beside"),
        "{output:?}"
    );
    assert_eq!(release.started().len(), 0);
}
