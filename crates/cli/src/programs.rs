//! The other programs of the release, which stand beside this one.

use std::path::PathBuf;

use anyhow::Context as _;

/// The coordinator.
pub(crate) const COORDINATOR: &str = "vedette-coordinator";
/// The agent.
pub(crate) const AGENT: &str = "vedette-agent";
/// The simulated servers.
pub(crate) const FLEET: &str = "vedette-fleet";

/// Where the program with this name is: in the folder of this one, and nowhere else, so that the
/// versions fit.
pub(crate) fn find(name: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("finding out where this program is")?;
    let path = own.with_file_name(name);
    anyhow::ensure!(
        path.is_file(),
        "{name} is not beside this program: expected it at {}; install it there, or build it with \
         `cargo build --release`",
        path.display()
    );
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_not_there_is_said_with_its_place() {
        let error = find("vedette-of-another-world").unwrap_err().to_string();
        assert!(
            error.contains("vedette-of-another-world is not beside"),
            "{error}"
        );
        assert!(error.contains("cargo build"), "{error}");
    }
}
