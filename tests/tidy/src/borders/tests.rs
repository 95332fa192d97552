use serde_json::json;

use super::*;

/// Metadata of all our crates with no dependency, and these edges: crate, package, kind, features.
fn made_up(edges: &[(&str, &str, Option<&str>, &[&str])]) -> Workspace {
    let mut names: BTreeSet<&str> = MAY_USE.iter().map(|(name, _)| *name).collect();
    let ours = names.clone();
    names.extend(edges.iter().flat_map(|(from, to, ..)| [*from, *to]));
    let packages: Vec<Value> = names
        .iter()
        .map(|name| {
            let folder = if ours.contains(name) { "/w/crates" } else { "/registry" };
            let dependencies: Vec<Value> = edges
                .iter()
                .filter(|(from, ..)| from == name)
                .map(|(_, to, kind, features)| json!({"name": to, "kind": kind, "features": features}))
                .collect();
            json!({"name": name, "id": format!("id of {name}"), "dependencies": dependencies,
                   "manifest_path": format!("{folder}/{name}/Cargo.toml")})
        })
        .collect();
    let nodes: Vec<Value> = names
        .iter()
        .map(|name| {
            let deps: Vec<Value> = edges
                .iter()
                .filter(|(from, ..)| from == name)
                .map(|(_, to, kind, _)| json!({"pkg": format!("id of {to}"), "dep_kinds": [{"kind": kind}]}))
                .collect();
            json!({"id": format!("id of {name}"), "deps": deps})
        })
        .collect();
    parse(&json!({"workspace_root": "/w", "packages": packages, "resolve": {"nodes": nodes}}))
        .unwrap()
}

#[test]
fn what_the_tables_allow_passes() {
    let workspace = made_up(&[
        ("codec", "series", None, &[]),
        ("agent", "wire", None, &["client"]),
        ("codec", "zstd", None, &[]),
        ("store", "rocksdb", None, &[]),
        ("coordinator", "store", None, &[]),
    ]);
    assert_eq!(uses(&workspace), Vec::<String>::new());
    assert_eq!(owners(&workspace), Vec::<String>::new());
    assert_eq!(graph(&workspace), Vec::<String>::new());
}

#[test]
fn a_use_across_a_border_is_named() {
    let workspace = made_up(&[
        ("agent", "store", None, &[]),
        ("series", "codec", None, &[]),
    ]);
    assert_eq!(
        uses(&workspace),
        ["agent may not use store", "series may not use codec"]
    );
}

#[test]
fn tests_keep_to_a_table_too() {
    let workspace = made_up(&[("series", "codec", Some("dev"), &[])]);
    assert_eq!(uses(&workspace), ["series may not use codec"]);
}

#[test]
fn what_tests_may_use_the_program_may_not() {
    let tests = ("cli", "wire", Some("dev"), &["client", "server"][..]);
    assert_eq!(uses(&made_up(&[tests])), Vec::<String>::new());
    let workspace = made_up(&[tests, ("cli", "wire", None, &["server"])]);
    assert_eq!(
        uses(&workspace),
        ["cli may not use the feature server of wire"]
    );
}

#[test]
fn a_feature_that_is_not_granted_is_named() {
    let workspace = made_up(&[("agent", "wire", None, &["client", "server"])]);
    assert_eq!(
        uses(&workspace),
        ["agent may not use the feature server of wire"]
    );
}

#[test]
fn a_crate_without_a_row_and_a_row_without_a_crate_are_named() {
    let mut workspace = made_up(&[]);
    workspace.members.retain(|member| member.name != "cli");
    let extra = "extra".to_owned();
    workspace.members.push(Member {
        name: extra.clone(),
        id: extra,
        dependencies: Vec::new(),
    });
    assert_eq!(
        uses(&workspace),
        [
            "MAY_USE has a row for cli, which is no crate of ours",
            "extra has no row in MAY_USE (tests/tidy)"
        ]
    );
}

#[test]
fn a_heavy_dependency_outside_its_owner_is_named_unless_it_is_for_tests() {
    let workspace = made_up(&[
        ("wire", "zstd", None, &[]),
        ("spool", "rocksdb", Some("dev"), &[]),
    ]);
    assert_eq!(
        owners(&workspace),
        ["wire names zstd, which only codec may"]
    );
}

#[test]
fn rocksdb_below_the_agent_is_found_through_others() {
    let workspace = made_up(&[
        ("agent", "middle", None, &[]),
        ("middle", "librocksdb-sys", Some("build"), &[]),
        ("cli", "rocksdb", Some("dev"), &[]),
    ]);
    assert_eq!(
        graph(&workspace),
        ["agent → middle → librocksdb-sys must not be built by agent"]
    );
}

#[test]
fn tokio_below_the_pure_core_is_found() {
    let workspace = made_up(&[("store", "codec", None, &[]), ("codec", "tokio", None, &[])]);
    assert_eq!(
        graph(&workspace),
        [
            "codec → tokio must not be built by codec",
            "store → codec → tokio must not be built by store"
        ]
    );
}
