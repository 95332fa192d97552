//! Paths in which `*`, `?` and `[…]` stand for others, as in rule_files.

use std::path::{Component, Path, PathBuf};

use anyhow::Context as _;

/// Most paths that a pattern may find.
const PATHS_MAX: usize = 10_000;

/// The paths that a pattern finds, sorted; a relative pattern is one below `folder`. Without a wildcard it
/// is the path, if it is there.
pub(super) fn paths(folder: &Path, pattern: &str) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = vec![PathBuf::new()];
    for component in folder.join(pattern).components() {
        let name = component.as_os_str().to_string_lossy();
        let is_pattern =
            matches!(component, Component::Normal(_)) && name.contains(['*', '?', '[']);
        let mut next = Vec::new();
        for path in found {
            if is_pattern {
                let names = names(&path)?;
                let named = names.into_iter().filter(|it| matches(&name, it));
                next.extend(named.map(|it| path.join(it)));
            } else {
                next.push(path.join(component));
            }
            anyhow::ensure!(
                next.len() <= PATHS_MAX,
                "{pattern:?} finds more than {PATHS_MAX} paths"
            );
        }
        found = next;
    }
    found.retain(|path| path.try_exists().unwrap_or(true));
    Ok(found)
}

/// The names in a folder, sorted; none where it is no folder.
fn names(folder: &Path) -> anyhow::Result<Vec<String>> {
    let here = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let Ok(entries) = std::fs::read_dir(here) else {
        return Ok(Vec::new());
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.with_context(|| format!("listing {}", here.display()))?;
        names.extend(entry.file_name().into_string());
    }
    names.sort();
    Ok(names)
}

/// Whether a name fits a pattern, as Go's `filepath.Match` has it. Each `*` is tried at most once more than
/// the name is long, so the time is bounded by the product of the lengths.
fn matches(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    let (mut at, mut of) = (0, 0);
    // Where the last star stands, and where its text ends for now.
    let mut star: Option<(usize, usize)> = None;
    loop {
        if of == name.len() && pattern.iter().skip(at).all(|c| *c == '*') {
            return true;
        }
        let fits = match pattern.get(at) {
            Some('*') => {
                star = Some((at, of));
                at += 1;
                continue;
            }
            Some(_) => name.get(of).and_then(|c| one(&pattern, at, *c)),
            None => None,
        };
        match (fits, star) {
            (Some(next), _) => {
                at = next;
                of += 1;
            }
            (None, Some((place, end))) if end < name.len() => {
                star = Some((place, end + 1));
                at = place + 1;
                of = end + 1;
            }
            _ => return false,
        }
    }
}

/// Whether a character fits the pattern at a place; where the pattern goes on.
fn one(pattern: &[char], at: usize, c: char) -> Option<usize> {
    match pattern.get(at)? {
        '?' => Some(at + 1),
        '\\' => (*pattern.get(at + 1)? == c).then_some(at + 2),
        '[' => {
            let end = at + pattern.iter().skip(at).position(|it| *it == ']')?;
            let inside = pattern.get(at + 1..end)?;
            let (is_not, inside) = match inside {
                ['^', rest @ ..] => (true, rest),
                inside => (false, inside),
            };
            let mut fits = false;
            let mut place = 0;
            while let Some(first) = inside.get(place) {
                let last = match (inside.get(place + 1), inside.get(place + 2)) {
                    (Some('-'), Some(last)) => {
                        place += 2;
                        last
                    }
                    _ => first,
                };
                place += 1;
                fits |= (*first..=*last).contains(&c);
            }
            (fits != is_not).then_some(end + 1)
        }
        literal => (*literal == c).then_some(at + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_patterns() {
        for (pattern, name, expected) in [
            ("*.yml", "rules.yml", true),
            ("*.yml", "rules.yaml", false),
            ("r*s.y?l", "rules.yml", true),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b", "xxaxxbxx", false),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("*", "", true),
            ("?", "", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn paths_are_found_and_sorted() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.yml", "a.yml", "c.txt"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let found = |pattern: &str| paths(folder.path(), pattern).unwrap();
        let path = |name: &str| folder.path().join(name);
        assert_eq!(found("*.yml"), [path("a.yml"), path("b.yml")]);
        assert_eq!(found("c.txt"), [path("c.txt")]);
        assert!(found("gone.yml").is_empty() && found("gone/*.yml").is_empty());
    }
}
