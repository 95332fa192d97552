//! The real program: it listens, serves its pages over HTTP, and ends when asked.

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
    use tokio::net::TcpStream;
    use tokio::process::Command;

    /// The answer to a GET, head and body.
    async fn get(address: &str, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    /// The value of the first sample of a metric.
    fn value(page: &str, metric: &str) -> f64 {
        let mut lines = page.lines();
        let line = lines
            .find(|line| line.starts_with(&format!("{metric}{{")))
            .unwrap();
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }

    #[tokio::test]
    async fn nodes_are_announced_serve_and_end_when_asked() {
        let targets = std::env::temp_dir().join(format!("fleet-{}.json", std::process::id()));
        let mut program = Command::new(env!("CARGO_BIN_EXE_vedette-fleet"))
            .args(["--nodes", "3", "--listen", "127.0.0.1:0", "--warm-up", "60"])
            .arg("--targets-file")
            .arg(&targets)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(program.stdout.take().unwrap()).lines();
        let mut addresses = Vec::new();
        for index in 1..=3 {
            let line = lines.next_line().await.unwrap().unwrap();
            let url = line
                .strip_prefix(&format!("node=sim-{index} url=http://"))
                .unwrap();
            addresses.push(url.strip_suffix("/metrics").unwrap().to_owned());
        }
        let listed: serde_json::Value =
            serde_json::from_slice(&std::fs::read(&targets).unwrap()).unwrap();
        std::fs::remove_file(&targets).unwrap();
        assert_eq!(listed[0]["targets"][0], addresses[0].as_str());
        assert_eq!(listed.as_array().unwrap().len(), 6);

        let page = get(&addresses[1], "/metrics").await;
        assert!(page.starts_with("HTTP/1.1 200"), "{page}");
        assert!(page.contains("text/plain; version=0.0.4"), "{page}");
        let before = value(&page, "vllm:generation_tokens_total");
        assert!(before > 0.0);
        let moves = async {
            while value(
                &get(&addresses[1], "/metrics").await,
                "vllm:generation_tokens_total",
            ) <= before
            {}
        };
        let moved = tokio::time::timeout(std::time::Duration::from_secs(30), moves).await;
        assert!(moved.is_ok(), "the numbers move in real time");
        let gpus = get(&addresses[2], "/gpu/metrics").await;
        assert_eq!(gpus.matches("\nDCGM_FI_DEV_GPU_UTIL{").count(), 4);
        assert!(
            get(&addresses[0], "/health")
                .await
                .starts_with("HTTP/1.1 200")
        );

        // A connection that stays open must not hold up the end.
        let held = TcpStream::connect(&addresses[0]).await.unwrap();
        let number = program.id().unwrap().to_string();
        let kill = Command::new("kill").args(["-TERM", &number]).status();
        assert!(kill.await.unwrap().success());
        let ended = tokio::time::timeout(std::time::Duration::from_secs(10), program.wait());
        assert!(ended.await.unwrap().unwrap().success());
        drop(held);
    }

    #[tokio::test]
    async fn a_port_that_is_taken_is_named() {
        let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let output = Command::new(env!("CARGO_BIN_EXE_vedette-fleet"))
            .args(["--nodes", "1", "--warm-up", "0", "--listen", &address])
            .output();
        let output = output.await.unwrap();
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            said.contains(&format!("cannot listen on {address}")),
            "{said}"
        );
    }
}
