//! Pages: a document names only what exists.

use std::path::Path;

use anyhow::{Context, Result};

use crate::tree::File;

/// Folders at the root that a path in a page may begin with.
const ROOTS: [&str; 10] = [
    "crates/", "proto/", "tests/", "tools/", "docs/", "deploy/", "benches/", "fuzz/", ".ci/",
    ".cargo/",
];

/// The part of ARCHITECTURE.md that draws the tree.
const TREE_HEADING: &str = "## Where things live";

/// Links, paths and make targets in pages that lead nowhere.
///
/// A decision is a page of its day and is not edited later: only its links are checked.
///
/// # Errors
/// When the disk cannot be asked whether something exists.
pub fn pages(root: &Path, files: &[File]) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    let makefile = files
        .iter()
        .find(|file| file.path == "Makefile")
        .map_or("", |file| file.text.as_str());
    for file in files.iter().filter(|file| file.is("md")) {
        let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let is_decision = file.path.starts_with("docs/decisions/");
        for (number, line) in file.text.lines().enumerate() {
            let mut fault =
                |what: String| faults.push(format!("{}:{}: {what}", file.path, number + 1));
            for target in links(line) {
                if !exists(&root.join(folder).join(target))? {
                    fault(format!("links to {target}, which does not exist"));
                }
            }
            if is_decision {
                continue;
            }
            for path in quoted(line).filter(|text| is_path(text)) {
                // A page inside a crate may speak of its own folders.
                if !exists(&root.join(path))? && !exists(&root.join(folder).join(path))? {
                    fault(format!("names {path}, which does not exist"));
                }
            }
            for target in make_targets(line) {
                if !makefile
                    .lines()
                    .any(|line| line.starts_with(&format!("{target}:")))
                {
                    fault(format!(
                        "names `make {target}`, which the Makefile does not have"
                    ));
                }
            }
        }
    }
    Ok(faults)
}

/// Paths that the tree in ARCHITECTURE.md draws and that are not there, and crates that it leaves
/// out.
///
/// # Errors
/// When the page has no such part or the disk cannot be asked.
pub fn drawn_tree(root: &Path, page: &str) -> Result<Vec<String>> {
    let (_, rest) = page
        .split_once(TREE_HEADING)
        .context("ARCHITECTURE.md draws no tree")?;
    let part = rest.split_once("\n## ").map_or(rest, |(part, _)| part);
    let mut faults = Vec::new();
    let mut drawn = Vec::new();
    let mut parent = "";
    for line in part.lines() {
        let Some(entry) = line.strip_prefix("    ") else {
            continue;
        };
        let indent = entry.len() - entry.trim_start().len();
        let Some(name) = entry.split_whitespace().next() else {
            continue;
        };
        // A line that goes on with the text of the one above stands far to the right.
        let path = match indent {
            0 => {
                parent = name;
                name.to_owned()
            }
            2 => format!("{parent}{name}"),
            _ => continue,
        };
        if !exists(&root.join(&path))? {
            faults.push(format!(
                "ARCHITECTURE.md draws {path}, which does not exist"
            ));
        }
        drawn.push(path);
    }
    for entry in std::fs::read_dir(root.join("crates")).context("listing crates")? {
        let path = format!("crates/{}/", entry?.file_name().to_string_lossy());
        if !drawn.contains(&path) {
            faults.push(format!("ARCHITECTURE.md does not draw {path}"));
        }
    }
    Ok(faults)
}

fn exists(path: &Path) -> Result<bool> {
    path.try_exists()
        .with_context(|| format!("looking for {}", path.display()))
}

/// The files that a line links to: `[text](file#part)`, without those on the web.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')').map(|(target, _)| target))
        .filter(|target| !target.contains("://") && !target.starts_with('#'))
        .filter_map(|target| target.split('#').next())
}

/// What stands between backquotes.
fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// Whether a quoted text is one path of this repository, with nothing to fill in.
fn is_path(text: &str) -> bool {
    ROOTS.iter().any(|root| text.starts_with(root))
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c))
}

/// Targets that a line tells a person to make, quoted or in a block of commands.
fn make_targets(line: &str) -> Vec<&str> {
    quoted(line)
        .chain([line.strip_prefix("    ").unwrap_or(line)])
        .filter_map(|command| command.strip_prefix("make "))
        .filter_map(|rest| rest.split_whitespace().next())
        .filter(|target| target.chars().all(|c| c.is_ascii_lowercase() || c == '-'))
        .filter(|target| !target.starts_with('-'))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made_up() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for folder in ["crates/series/src", "docs/decisions"] {
            std::fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        std::fs::write(root.path().join("crates/series/src/lib.rs"), "").unwrap();
        std::fs::write(root.path().join("README.md"), "").unwrap();
        root
    }

    fn faults(path: &str, text: &str) -> Vec<String> {
        let root = made_up();
        let makefile = File {
            path: "Makefile".to_owned(),
            text: "test: lint\n".to_owned(),
        };
        let page = File {
            path: path.to_owned(),
            text: text.to_owned(),
        };
        pages(root.path(), &[makefile, page]).unwrap()
    }

    #[test]
    fn links_that_lead_nowhere_are_named() {
        let text = "[a](README.md) [b](https://example.org/x) [c](#part) [d](docs/gone.md#x)";
        assert_eq!(
            faults("A.md", text),
            ["A.md:1: links to docs/gone.md, which does not exist"]
        );
        assert_eq!(
            faults(
                "docs/decisions/B.md",
                "\n[a](../../README.md) [b](README.md)"
            ),
            ["docs/decisions/B.md:2: links to README.md, which does not exist"]
        );
    }

    #[test]
    fn quoted_paths_that_do_not_exist_are_named_except_in_decisions() {
        let text = "`crates/series/src/lib.rs` `crates/gone/` `docs/decisions/YYYY-*.md` `a/b`";
        assert_eq!(
            faults("A.md", text),
            ["A.md:1: names crates/gone/, which does not exist"]
        );
        assert_eq!(faults("docs/decisions/A.md", text), Vec::<String>::new());
        let text = "`docs/decisions/` `docs/gone/`";
        assert_eq!(
            faults("x/A.md", text),
            ["x/A.md:1: names docs/gone/, which does not exist"]
        );
    }

    #[test]
    fn make_targets_that_do_not_exist_are_named() {
        let text = "`make test` `make gone A=1`\n    make lost\nmake $(X)\n`make -s env`";
        assert_eq!(
            faults("A.md", text),
            [
                "A.md:1: names `make gone`, which the Makefile does not have",
                "A.md:2: names `make lost`, which the Makefile does not have"
            ]
        );
    }

    #[test]
    fn the_drawn_tree_is_compared_with_the_disk_both_ways() {
        let root = made_up();
        std::fs::create_dir(root.path().join("crates/codec")).unwrap();
        let page = "# A\n\n## Where things live\n\n    crates/     who\n      series/   words\n\
            \x20                 more words\n      gone/     none\n    docs/       why\n\n## Next\n    else/\n";
        assert_eq!(
            drawn_tree(root.path(), page).unwrap(),
            [
                "ARCHITECTURE.md draws crates/gone/, which does not exist",
                "ARCHITECTURE.md does not draw crates/codec/"
            ]
        );
    }
}
