//! Manifests: what a crate takes over from the root, so that there is one of each.

use toml::{Table, Value};

use crate::tree::File;

/// Every feature that a crate of ours has. Each doubles what must be tested, so there are few.
pub const FEATURES: &[(&str, &[&str])] = &[
    ("wire", &["client", "server"]),
    ("store", &["default", "rocksdb"]),
];

/// What stands in a crate's `[package]` as `key.workspace = true`.
const INHERITED: [&str; 5] = ["version", "edition", "rust-version", "license", "publish"];

/// Manifests that do not inherit, have features beyond [`FEATURES`] or hide behind another name.
#[must_use]
pub fn manifests(files: &[File]) -> Vec<String> {
    files
        .iter()
        .filter(|file| file.name() == "Cargo.toml" && file.path != "Cargo.toml")
        .flat_map(|file| {
            let path = &file.path;
            check(file)
                .into_iter()
                .map(move |fault| format!("{path}: {fault}"))
        })
        .collect()
}

fn check(file: &File) -> Vec<String> {
    let manifest: Table = match file.text.parse() {
        Ok(manifest) => manifest,
        Err(error) => return vec![format!("is no TOML: {error}")],
    };
    let mut faults = Vec::new();
    let package = manifest.get("package");
    for key in INHERITED {
        if !package
            .and_then(|package| package.get(key))
            .is_some_and(is_inherited)
        {
            faults.push(format!("[package] must say {key}.workspace = true"));
        }
    }
    if !manifest.get("lints").is_some_and(is_inherited) {
        faults.push("[lints] must say workspace = true".to_owned());
    }
    let name = package
        .and_then(|package| package.get("name"))
        .and_then(Value::as_str)
        .unwrap_or_default();
    if let Some(folder) = file
        .path
        .strip_prefix("crates/")
        .and_then(|path| path.split('/').next())
        && folder != name
    {
        faults.push(format!(
            "the folder {folder} and the package {name} must have one name"
        ));
    }
    let allowed = FEATURES
        .iter()
        .find(|(row, _)| *row == name)
        .map(|(_, list)| *list)
        .unwrap_or_default();
    for feature in manifest
        .get("features")
        .and_then(Value::as_table)
        .into_iter()
        .flatten()
    {
        if !allowed.contains(&feature.0.as_str()) {
            faults.push(format!(
                "the feature {} is not in FEATURES (tests/tidy)",
                feature.0
            ));
        }
    }
    dependencies(&manifest, &mut faults);
    faults
}

/// Checks the dependency tables of `manifest` and those for one platform inside `[target]`.
fn dependencies(manifest: &Table, faults: &mut Vec<String>) {
    for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
        for (name, line) in manifest
            .get(kind)
            .and_then(Value::as_table)
            .into_iter()
            .flatten()
        {
            if !is_inherited(line) {
                faults.push(format!("[{kind}] {name} must say workspace = true"));
            }
        }
    }
    for (_, platform) in manifest
        .get("target")
        .and_then(Value::as_table)
        .into_iter()
        .flatten()
    {
        if let Some(platform) = platform.as_table() {
            dependencies(platform, faults);
        }
    }
}

fn is_inherited(value: &Value) -> bool {
    value.get("workspace").and_then(Value::as_bool) == Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "[package]\nname = \"wire\"\nversion.workspace = true\n\
        edition.workspace = true\nrust-version.workspace = true\nlicense.workspace = true\n\
        publish.workspace = true\n[lints]\nworkspace = true\n";

    fn faults(path: &str, text: &str) -> Vec<String> {
        manifests(&[File {
            path: path.to_owned(),
            text: text.to_owned(),
        }])
    }

    #[test]
    fn a_manifest_that_inherits_all_passes() {
        let text = format!("{GOOD}[dependencies]\nprost.workspace = true\n[features]\nclient = []");
        assert_eq!(
            faults("crates/wire/Cargo.toml", &text),
            Vec::<String>::new()
        );
    }

    #[test]
    fn a_version_or_lint_of_its_own_is_named() {
        let text = GOOD.replace(
            "version.workspace = true\nedition",
            "version = \"2.0.0\"\nedition",
        );
        let text = text.replace("[lints]\nworkspace = true\n", "");
        assert_eq!(
            faults("crates/wire/Cargo.toml", &text),
            [
                "crates/wire/Cargo.toml: [package] must say version.workspace = true",
                "crates/wire/Cargo.toml: [lints] must say workspace = true"
            ]
        );
    }

    #[test]
    fn a_dependency_with_a_version_of_its_own_is_named_wherever_it_stands() {
        let text = format!(
            "{GOOD}[dev-dependencies]\ntempfile = \"3\"\n\
             [target.'cfg(unix)'.dependencies]\nlibc = {{ version = \"0.2\" }}\n"
        );
        assert_eq!(
            faults("crates/wire/Cargo.toml", &text),
            [
                "crates/wire/Cargo.toml: [dev-dependencies] tempfile must say workspace = true",
                "crates/wire/Cargo.toml: [dependencies] libc must say workspace = true"
            ]
        );
    }

    #[test]
    fn a_new_feature_and_a_folder_of_another_name_are_named() {
        let text = format!("{GOOD}[features]\nfast = []\n");
        assert_eq!(
            faults("crates/line/Cargo.toml", &text),
            [
                "crates/line/Cargo.toml: the folder line and the package wire must have one name",
                "crates/line/Cargo.toml: the feature fast is not in FEATURES (tests/tidy)"
            ]
        );
    }
}
