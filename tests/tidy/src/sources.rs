//! Source files: their length, their names, and what may not be left lying in them.

use crate::tree::File;

/// Most lines of a source file, its tests apart. Longer ones hold more than one thought.
pub const LINES_MAX: usize = 500;

/// Files that may be longer, each with its reason.
pub const LONGER: &[(&str, &str)] = &[];

/// Names that say nothing, for a crate or a module.
const EMPTY_NAMES: [&str; 9] = [
    "utils", "util", "common", "core", "helpers", "helper", "types", "manager", "misc",
];

/// Runs all rules of this module over `files`.
#[must_use]
pub fn sources(files: &[File]) -> Vec<String> {
    let mut faults = Vec::new();
    for file in files {
        length(file, &mut faults);
        names(file, &mut faults);
        leftovers(file, &mut faults);
        switched_off_tests(file, &mut faults);
    }
    for (path, reason) in LONGER {
        if !files
            .iter()
            .any(|file| file.path == *path && lines(&file.text) > LINES_MAX)
        {
            faults.push(format!("{path} is in LONGER ({reason}) and need not be"));
        }
    }
    faults
}

/// Whether a file is tests, benches or generated as a whole.
fn is_apart(file: &File) -> bool {
    file.name() == "tests.rs"
        || ["tests", "benches", "generated"]
            .iter()
            .any(|folder| file.is_under(folder))
}

/// Lines before the inline test module, or all of them.
fn lines(text: &str) -> usize {
    let mut count = 0;
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let opens_tests = lines
            .peek()
            .is_some_and(|next| next.starts_with("mod tests {"));
        if line == "#[cfg(test)]" && opens_tests {
            break;
        }
        count += 1;
    }
    count
}

fn length(file: &File, faults: &mut Vec<String>) {
    let count = lines(&file.text);
    let is_excepted = LONGER.iter().any(|(path, _)| *path == file.path);
    if file.is("rs") && !is_apart(file) && !is_excepted && count > LINES_MAX {
        faults.push(format!(
            "{}: {count} lines without its tests, {LINES_MAX} is the most: split it by thought",
            file.path
        ));
    }
}

fn names(file: &File, faults: &mut Vec<String>) {
    if !file.is("rs") {
        return;
    }
    if file.name() == "mod.rs" {
        faults.push(format!(
            "{}: a module is foo.rs beside foo/, never mod.rs",
            file.path
        ));
    }
    let parts = file
        .path
        .split('/')
        .filter_map(|part| part.split('.').next());
    for part in parts.filter(|part| EMPTY_NAMES.contains(part)) {
        faults.push(format!(
            "{}: {part} is no name; say what it is for",
            file.path
        ));
    }
    for (number, line) in file.text.lines().enumerate() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let Some(at) = words.iter().position(|word| *word == "mod")
            && at < 2
            && let [_, name, "{", ..] = words.split_at(at).1
            && EMPTY_NAMES.contains(name)
        {
            let number = number + 1;
            faults.push(format!(
                "{}:{number}: {name} is no name; say what it is for",
                file.path
            ));
        }
    }
}

/// Notes to oneself. Pages may speak about them; code may hold the first with an issue's number.
fn leftovers(file: &File, faults: &mut Vec<String>) {
    let later = concat!("TO", "DO");
    let never = [
        concat!("FIX", "ME"),
        concat!("XX", "X"),
        concat!("HA", "CK"),
    ];
    if file.is("md") {
        return;
    }
    for (number, line) in file.text.lines().enumerate() {
        let number = number + 1;
        for word in line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
            if never.contains(&word) {
                faults.push(format!(
                    "{}:{number}: no {word} lands: mend it now",
                    file.path
                ));
            }
            if word == later && !names_issue(line, later) {
                faults.push(format!(
                    "{}:{number}: a {word} names its issue: {word}(#12)",
                    file.path
                ));
            }
        }
    }
}

fn names_issue(line: &str, word: &str) -> bool {
    line.split_once(word)
        .and_then(|(_, rest)| rest.strip_prefix("(#"))
        .and_then(|rest| rest.split_once(')'))
        .is_some_and(|(issue, _)| !issue.is_empty() && issue.chars().all(|c| c.is_ascii_digit()))
}

fn switched_off_tests(file: &File, faults: &mut Vec<String>) {
    if !file.is("rs") {
        return;
    }
    for (number, line) in file.text.lines().enumerate() {
        let line = line.trim_start();
        for attribute in ["#[ignore", "#[should_panic"] {
            if line.starts_with(attribute) {
                let number = number + 1;
                faults.push(format!(
                    "{}:{number}: {attribute}] is not used here",
                    file.path
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(path: &str, text: &str) -> Vec<String> {
        sources(&[File {
            path: path.to_owned(),
            text: text.to_owned(),
        }])
    }

    #[test]
    fn a_file_over_the_length_is_named_and_its_tests_do_not_count() {
        let long = "x\n".repeat(LINES_MAX + 1);
        assert_eq!(
            faults("crates/a/src/a.rs", &long),
            [
                "crates/a/src/a.rs: 501 lines without its tests, 500 is the most: split it by thought"
            ]
        );
        let tested = format!(
            "{}#[cfg(test)]\nmod tests {{\n{long}}}\n",
            "x\n".repeat(LINES_MAX)
        );
        for (path, text) in [
            ("crates/a/src/a.rs", &tested),
            ("crates/a/src/a/tests.rs", &long),
            ("crates/a/tests/real.rs", &long),
            ("crates/a/src/generated/a.rs", &long),
            ("crates/a/FORMAT.md", &long),
        ] {
            assert_eq!(faults(path, text), Vec::<String>::new(), "{path}");
        }
    }

    #[test]
    fn a_test_module_in_its_own_file_hides_no_lines() {
        let text = format!("#[cfg(test)]\nmod tests;\n{}", "x\n".repeat(LINES_MAX));
        assert_eq!(faults("crates/a/src/a.rs", &text).len(), 1);
    }

    #[test]
    fn names_that_say_nothing_are_named() {
        for path in [
            "crates/utils/src/lib.rs",
            "crates/a/src/types.rs",
            "crates/a/src/core/b.rs",
        ] {
            assert_eq!(faults(path, "").len(), 1, "{path}");
        }
        assert_eq!(
            faults("crates/a/src/lib.rs", "mod good;\npub mod helpers {\n}\n"),
            ["crates/a/src/lib.rs:2: helpers is no name; say what it is for"]
        );
        assert_eq!(
            faults("crates/a/src/b/mod.rs", ""),
            ["crates/a/src/b/mod.rs: a module is foo.rs beside foo/, never mod.rs"]
        );
    }

    #[test]
    fn notes_to_oneself_are_named_unless_they_name_an_issue() {
        let note = concat!("// TO", "DO");
        assert_eq!(faults("a.rs", &format!("{note}: later")).len(), 1);
        assert_eq!(faults("a.sh", &format!("{note}(soon)")).len(), 1);
        assert_eq!(
            faults("a.rs", &format!("{note}(#12): later")),
            Vec::<String>::new()
        );
        assert_eq!(
            faults("p.proto", concat!("ok\n// FIX", "ME: this")),
            [concat!("p.proto:2: no FIX", "ME lands: mend it now")]
        );
        assert_eq!(
            faults("a.md", concat!("no FIX", "ME lands")),
            Vec::<String>::new()
        );
    }

    #[test]
    fn tests_that_are_switched_off_are_named() {
        let text = "#[test]\n    #[ignore = \"slow\"]\nfn a() {}\n";
        assert_eq!(faults("a.rs", text), ["a.rs:2: #[ignore] is not used here"]);
        let text = "#[should_panic(expected = \"x\")]\n";
        assert_eq!(
            faults("a.rs", text),
            ["a.rs:1: #[should_panic] is not used here"]
        );
    }
}
