//! The text files of a checkout.

use std::path::Path;

use anyhow::{Context, Result};

/// One text file.
#[derive(Clone, Debug)]
pub struct File {
    /// Path from the root, with `/` between folders.
    pub path: String,
    /// All of it.
    pub text: String,
}

impl File {
    /// Name without folders.
    #[must_use]
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// Whether its name ends so.
    #[must_use]
    pub fn is(&self, extension: &str) -> bool {
        self.name()
            .rsplit_once('.')
            .is_some_and(|(_, found)| found == extension)
    }

    /// Whether one of its folders has this name.
    #[must_use]
    pub fn is_under(&self, folder: &str) -> bool {
        let mut parts: Vec<&str> = self.path.split('/').collect();
        parts.pop();
        parts.contains(&folder)
    }
}

/// What the rules look at; everything else is data.
const EXTENSIONS: [&str; 9] = [
    "rs", "toml", "md", "proto", "sh", "yaml", "yml", "service", "conf",
];
/// Text files that have no extension.
const NAMES: [&str; 2] = ["Makefile", "run"];
/// Folders that are not ours.
const SKIPPED: [&str; 3] = [".git", "target", "node_modules"];

/// Every text file under `root`, in order of path.
///
/// # Errors
/// When a folder or file cannot be read.
pub fn files(root: &Path) -> Result<Vec<File>> {
    let mut found = Vec::new();
    walk(root, "", &mut found)?;
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

fn walk(folder: &Path, prefix: &str, found: &mut Vec<File>) -> Result<()> {
    let listing =
        std::fs::read_dir(folder).with_context(|| format!("listing {}", folder.display()))?;
    for entry in listing {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let kind = entry.file_type()?;
        let path = format!("{prefix}{name}");
        if kind.is_dir() {
            if !SKIPPED.contains(&name.as_str()) {
                walk(&entry.path(), &format!("{path}/"), found)?;
            }
            continue;
        }
        let file = File {
            path,
            text: String::new(),
        };
        if EXTENSIONS.iter().any(|extension| file.is(extension)) || NAMES.contains(&name.as_str()) {
            let text = std::fs::read_to_string(entry.path())
                .with_context(|| format!("reading {}", file.path))?;
            found.push(File { text, ..file });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_files_are_found_in_order_and_builds_are_left_out() {
        let root = tempfile::tempdir().unwrap();
        for folder in ["src", "target/debug", ".git"] {
            std::fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        for name in [
            "src/b.rs",
            "src/a.proto",
            "src/data.bin",
            "target/debug/c.rs",
            ".git/d.md",
        ] {
            std::fs::write(root.path().join(name), "x").unwrap();
        }
        std::fs::write(root.path().join("Makefile"), "x").unwrap();
        let paths: Vec<String> = files(root.path())
            .unwrap()
            .into_iter()
            .map(|file| file.path)
            .collect();
        assert_eq!(paths, ["Makefile", "src/a.proto", "src/b.rs"]);
    }

    #[test]
    fn a_folder_counts_and_a_file_of_that_name_does_not() {
        let file = File {
            path: "crates/spool/tests/disk.rs".to_owned(),
            text: String::new(),
        };
        assert!(file.is_under("tests") && file.is("rs") && !file.is_under("disk.rs"));
    }
}
