//! GPUs as a stand-in for the driver's library tells them.

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::process::Command;

use crate::agent::Agent;
use crate::coordinator::Coordinator;

/// The library and a story, in a folder of their own.
#[derive(Debug)]
pub struct Gpus {
    folder: TempDir,
}

impl Gpus {
    /// Eight H100 that are well, and what the story says of them besides.
    ///
    /// # Panics
    /// When the library cannot be built.
    pub async fn new(story: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/agent/tests/nvml");
        let story = format!("include h100.story\n{story}\n");
        std::fs::copy(sources.join("h100.story"), folder.path().join("h100.story")).unwrap();
        std::fs::write(folder.path().join("test.story"), story).unwrap();
        let gpus = Self { folder };
        let output = Command::new("cc")
            .args([
                "-std=c11",
                "-O1",
                "-shared",
                "-fPIC",
                "-pthread",
                "-Wl,-z,nodelete",
                "-o",
            ])
            .arg(gpus.path("libnvidia-ml.so.1"))
            .arg(sources.join("nvml_stand_in.c"))
            .output()
            .await
            .unwrap_or_else(|error| panic!("a C compiler builds the stand-in library: {error}"));
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        gpus
    }

    /// A file beside the library.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// An agent of a node with these GPUs; `gpu` is more of its configuration's `[collectors.gpu]`.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn agent(&self, id: &str, coordinator: &Coordinator, gpu: &str) -> Agent {
        let config = "collect_interval = \"1s\"\nsync_interval = \"1s\"\n";
        self.agent_with(id, coordinator, config, gpu)
    }

    /// The same, with more of its configuration before `[collectors.gpu]`.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn agent_with(
        &self,
        id: &str,
        coordinator: &Coordinator,
        config: &str,
        gpu: &str,
    ) -> Agent {
        let config = format!(
            "{config}[collectors.gpu]\nlibrary = \"{}\"\n{gpu}\n",
            self.path("libnvidia-ml.so.1").display()
        );
        let story = self.path("test.story");
        let environment = [("VEDETTE_NVML_STORY", story.to_str().unwrap())];
        Agent::start_in(id, &coordinator.url(), &config, &environment)
    }
}
