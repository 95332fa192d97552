//! This repository keeps its own rules.

use std::collections::BTreeMap;

use tidy::{borders, contract, manifests, pages, sources, tree, units};

fn none(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

fn page(name: &str) -> std::io::Result<String> {
    std::fs::read_to_string(tidy::root().join(name))
}

#[test]
fn crates_use_only_what_the_table_allows() {
    none(&borders::uses(&borders::workspace(&tidy::root()).unwrap()));
}

#[test]
fn heavy_dependencies_stay_with_their_owners() {
    none(&borders::owners(
        &borders::workspace(&tidy::root()).unwrap(),
    ));
}

#[test]
fn the_edge_holds_no_rocksdb_and_the_core_no_runtime() {
    let workspace = borders::workspace(&tidy::root()).unwrap();
    // The graph is really there: the centre does hold what the edge may not.
    let mut turned = workspace.clone();
    for member in &mut turned.members {
        if member.name == "store" {
            member.name = "agent".to_owned();
        }
    }
    assert!(
        borders::graph(&turned)
            .iter()
            .any(|fault| fault.contains("rocksdb"))
    );
    none(&borders::graph(&workspace));
}

#[test]
fn the_architecture_shows_who_may_use_whom_as_it_is_kept() {
    let table = borders::table();
    let page = page("ARCHITECTURE.md").unwrap();
    assert!(
        page.contains(&table),
        "\nARCHITECTURE.md must show this table:\n\n{table}\n"
    );
}

#[test]
fn crates_inherit_from_the_root() {
    none(&manifests::manifests(&tree::files(&tidy::root()).unwrap()));
}

#[test]
fn sources_are_short_named_well_and_left_clean() {
    none(&sources::sources(&tree::files(&tidy::root()).unwrap()));
}

#[test]
fn pages_name_only_what_exists() {
    let root = tidy::root();
    none(&pages::pages(&root, &tree::files(&root).unwrap()).unwrap());
}

#[test]
fn the_architecture_draws_the_tree_as_it_is() {
    none(&pages::drawn_tree(&tidy::root(), &page("ARCHITECTURE.md").unwrap()).unwrap());
}

#[test]
fn units_start_what_there_is_in_a_sandbox_that_holds() {
    none(&units::units(&tree::files(&tidy::root()).unwrap()));
}

#[test]
fn the_generated_code_is_fresh() {
    let fresh = tempfile::tempdir().unwrap();
    tidy::generate(fresh.path()).unwrap();
    let committed = tidy::root().join("crates/wire/src/generated");
    let read = |folder: &std::path::Path| -> BTreeMap<String, Vec<u8>> {
        std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| {
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                (name, std::fs::read(path).unwrap())
            })
            .collect()
    };
    let (fresh, committed) = (read(fresh.path()), read(&committed));
    let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(
        names(&fresh),
        names(&committed),
        "run: cargo run -p tidy --bin generate"
    );
    for (name, bytes) in fresh {
        assert!(
            bytes == committed[&name],
            "{name} is stale, run: cargo run -p tidy --bin generate"
        );
    }
}

#[test]
fn the_contract_is_explained() {
    none(&contract::said(&tidy::compile(&tidy::root()).unwrap()));
}

#[test]
fn no_number_of_the_contract_changes_its_meaning() {
    let file = tidy::root().join("tests/golden/proto/vedette.v1.txt");
    let now = contract::record(&tidy::compile(&tidy::root()).unwrap());
    let bless = std::env::var_os("VEDETTE_BLESS").is_some_and(|value| value == "1");
    let landed = match std::fs::read_to_string(&file) {
        Ok(text) => contract::read(&text),
        Err(error) if bless && error.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
        Err(error) => panic!("{}: {error}", file.display()),
    };
    none(&contract::broken(&landed, &now));
    if let Some(all) = contract::grown(&landed, &now) {
        assert!(
            bless,
            "\nproto/ has grown; record it: VEDETTE_BLESS=1 cargo test -p tidy\n"
        );
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, contract::write(&all)).unwrap();
    }
}
